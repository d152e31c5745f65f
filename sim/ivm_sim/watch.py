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
"""`ivm-sim watch`: an episode as an animation: what the camera sees, the mask, what is left."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.deploy import MethodName
from ivm_ros.files import replace_file

GIF, MOVIE = '.gif', '.mp4'


@dataclass(frozen=True)
class WatchConfig:
    """Show an episode: camera, mask and masked picture side by side."""

    task: Annotated[str, Doc('Task, as in IvmTabletop-v0.')] = 'put'
    clutter: Annotated[str, Doc('Clutter level: none, few, many, moving, look, all.')] = 'many'
    policy: Annotated[Literal['expert', 'random'], Doc('Who acts.')] = 'expert'
    masks: Annotated[Literal['truth', 'weights'], Doc(
        "Masks by the simulator's truth, or by the shipped weights.")] = 'weights'
    method: Annotated[MethodName, Doc('How the mask is shown.')] = 'overlay'
    episodes: Annotated[int, Range(1, 1000), Doc('Episodes, one after another.')] = 1
    seed: Annotated[int, Range(0), Doc('The first episode is reset with it.')] = 0
    size: Annotated[int, Range(64, 1024), Doc('Side of the pictures in pixels.')] = 192
    out: Annotated[str, Doc('Animation to write, .gif or .mp4.')] = 'watch.gif'

    def __post_init__(self) -> None:
        """Check ranges and the format."""
        check(self)
        if Path(self.out).suffix not in (GIF, MOVIE):
            raise ConfigError(f'WatchConfig.out: wanted .gif or .mp4, got {self.out!r}')


def watch(config: WatchConfig) -> list[str]:
    """
    Run episodes and write the animation; return what to tell.

    Raises:
        ConfigError: Task or clutter is unknown.
        GLError: MuJoCo cannot draw here.
    """
    from ivm_sim.env import TabletopEnv

    said, strips, texts = [], [], []
    with closing(TabletopEnv(config.task, config.clutter, config.size, masks=True)) as env:
        for seed in range(config.seed, config.seed + config.episodes):
            shots = list(_episode(env, config, seed))
            strips += [picture for picture, _, _ in shots]
            texts += [text for _, text, _ in shots]
            _, text, success = shots[-1]
            said.append(f'seed {seed}: {"success" if success else "failure"}, "{text}"')
    path = Path(config.out)
    with replace_file(path) as part:
        if path.suffix == GIF:
            from ivm_sim.demo_pictures import save_animation
            save_animation(strips, texts, part, [1 / env.rate] * len(strips))
        else:
            _save_movie(strips, part, env.rate)
    return [*said, f'wrote {path}']


def _episode(env: Any, config: WatchConfig, seed: int
             ) -> Iterator[tuple[np.ndarray, str, bool]]:
    """Yield camera | mask | masked, the sentence, and whether it is done."""
    from ivm_ros.deploy import DeployConfig
    from ivm_sim.demo_pictures import strip
    from ivm_sim.demo_recording import Shot
    from ivm_sim.expert import Expert
    from ivm_sim.masked import MaskedCamera, TruthMasker
    from ivm_sim.policy import RandomPolicy, run

    masked = MaskedCamera(env, TruthMasker(env) if config.masks == 'truth' else _weights(),
                          DeployConfig(method=config.method))
    policy = Expert(env) if config.policy == 'expert' else RandomPolicy(seed)
    for step in run(masked, policy, seed):
        mask = masked.mask
        if mask is None:
            continue
        # The mask is that of the picture after the action, which is what the camera shows now.
        planes = [(plane * 255).astype(np.uint8) for plane in (mask.target, mask.robot)]
        yield (strip(Shot(env.render(), masked.shown, *planes)), env.assignment.instruction,
               step.success)


def _weights() -> Any:
    from ivm_ros.masker import Masker

    return Masker()


def _save_movie(strips: list[np.ndarray], path: Path, rate: int) -> None:
    """Write MPEG-4 with OpenCV, which every player knows."""
    import cv2

    height, width = (side // 2 * 2 for side in strips[0].shape[:2])
    movie = path.with_name(f'{path.name}{MOVIE}')  # FFmpeg goes by the name
    writer = cv2.VideoWriter(str(movie), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*'mp4v'), rate,
                             (width, height))
    if not writer.isOpened():
        raise ConfigError('WatchConfig.out: this OpenCV cannot write .mp4; use a .gif')
    for picture in strips:
        writer.write(cv2.cvtColor(picture[:height, :width], cv2.COLOR_RGB2BGR))
    writer.release()
    movie.replace(path)
