# Copyright 2026 The ivm_ros authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""
Demonstrations as a LeRobot dataset (format v3).

LeRobot wants other releases of some packages than masks do, so it lives in an environment of its
own; what this file needs beside it is `pip install --no-deps ivm_ros` and tyro:

    python -m ivm_sim.lerobot_export data/demos data/demos_lerobot
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import sys
from typing import Annotated, Any

import numpy as np
import tyro

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.data.shards import DatasetError, read_info
from ivm_sim.episodes import Episode, read_episodes

ROBOT = 'ivm_tabletop'
STATE = ('x', 'y', 'z', 'qw', 'qx', 'qy', 'qz', 'opening', 'asked_x', 'asked_y', 'asked_z',
         'asked_qw', 'asked_qx', 'asked_qy', 'asked_qz')
ACTION = ('dx', 'dy', 'dz', 'rx', 'ry', 'rz', 'gripper')
CAMERAS = ('front', 'wrist')


@dataclass(frozen=True)
class ExportConfig:
    """Write demonstrations of "ivm-sim demos" as a LeRobot dataset, pictures without loss."""

    demos: Annotated[tyro.conf.Positional[str], Doc('Folder of demonstrations.')]
    out: Annotated[tyro.conf.Positional[str], Doc('Folder to write; it must not exist.')]
    rate: Annotated[int, Range(0, 1000), Doc('Steps a second; 0: by dataset.json.')] = 0
    name: Annotated[str, Doc("The dataset's name, USER/NAME.")] = 'ivm_ros/tabletop'

    def __post_init__(self) -> None:
        """Check ranges."""
        check(self)


def export(config: ExportConfig) -> int:
    """
    Write the dataset; return how many episodes it has.

    Raises:
        ConfigError: LeRobot is not installed, or the folder exists.
        DatasetError: The demonstrations cannot be read.
    """
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ImportError as error:
        raise ConfigError(
            f'LeRobot cannot be imported ({error}). "pip install lerobot" into an environment of '
            'its own, beside it "pip install tyro" and "pip install --no-deps ivm_ros", and run '
            f'"python -m ivm_sim.lerobot_export {config.demos} {config.out}" there') from error
    out = Path(config.out)
    if out.exists():
        raise ConfigError(f'{out} exists: LeRobot does not write into it; delete it, or give '
                          'another')
    episodes = read_episodes(Path(config.demos))
    first = next(episodes)
    cameras = tuple(camera for camera in CAMERAS if getattr(first, camera))
    rate = config.rate or int(read_info(Path(config.demos))['rate'])
    dataset: Any = LeRobotDataset.create(
        config.name, rate, features_of(first, cameras), root=out, robot_type=ROBOT,
        use_videos=False)
    count = 0
    for episode in (first, *episodes):
        for frame in frames_of(episode, cameras):
            dataset.add_frame(frame)
        dataset.save_episode()
        count += 1
    dataset.finalize()
    return count


def features_of(episode: Episode, cameras: tuple[str, ...]) -> dict[str, Any]:
    """Describe what each frame holds, as LeRobot wants it."""
    views = {f'observation.images.{camera}': {
        'dtype': 'image', 'shape': episode.pictures(camera).shape[1:],
        'names': ['height', 'width', 'channels']} for camera in cameras}
    return {**views,
            'observation.state': {'dtype': 'float32', 'shape': (len(STATE),),
                                  'names': list(STATE)},
            'action': {'dtype': 'float32', 'shape': (len(ACTION),), 'names': list(ACTION)}}


def frames_of(episode: Episode, cameras: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield an episode's frames; the task is its sentence."""
    views = {f'observation.images.{camera}': episode.pictures(camera) for camera in cameras}
    for index, (state, action) in enumerate(zip(episode.proprio, episode.actions)):
        yield {**{name: pictures[index] for name, pictures in views.items()},
               'observation.state': state.astype(np.float32),
               'action': action.astype(np.float32), 'task': episode.instruction}


def main() -> None:
    """Export from the command line."""
    config = tyro.cli(ExportConfig, description=__doc__.strip())
    try:
        print(f'{export(config)} episodes in {config.out}')
    except (ConfigError, DatasetError, OSError) as error:
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
