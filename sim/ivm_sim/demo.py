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
The demo: a simulated camera, ivm_node and a recorder, in processes of their own over ROS 2.

The instruction changes twice while things move. At the end there are figures (summary.json), a
contact sheet and an animation: what the camera saw, what the sentence needs, what a policy sees.
Exit code 1: frames were lost, or nothing was masked.
"""

from dataclasses import asdict, dataclass
import json
from pathlib import Path
import shlex
import shutil
import sys
import time
from typing import Annotated, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
import tyro

from ivm_ros.config import check, Doc, Range
from ivm_ros.deploy import DeployConfig
from ivm_ros.files import write_json
from ivm_ros.processes import (
    environment_of, ProcessError, Program, Programs, reserve_domain, ros_arguments, ros_facts)
from ivm_ros.terminal import marked
from ivm_ros.version import commit, versions
from ivm_sim.demo_pictures import ANIMATION, SHEET
from ivm_sim.demo_summary import problems, remarks, show, summarise, Summary
from ivm_sim.gl import choose
from ivm_sim.nodes.camera_config import CameraConfig
from ivm_sim.program import fail, leave

STARTING, STALLED, WRITING = 180.0, 60.0, 120.0
"""Seconds to wait: for the first frame, for the next one, for the pictures."""
SHOTS = 100  # pictures in the animation, about


@dataclass(frozen=True)
class DemoConfig:
    """What the demo does."""

    seconds: Annotated[float, Range(1, 600), Doc('Length of the run.')] = 20.0
    rate: Annotated[float, Range(1, 60), Doc('Frames per second.')] = CameraConfig.rate
    width: Annotated[int, Range(64, 1920), Doc('Of the picture.')] = CameraConfig.width
    height: Annotated[int, Range(64, 1080), Doc('Of the picture.')] = CameraConfig.height
    out: Annotated[Path, Doc('Folder for figures, pictures and logs.')] = Path('demo')
    weights: Annotated[str, Doc('Checkpoint of the masker; empty for the one in use.')] = ''
    method: Annotated[str, Doc('How the mask is shown: overlay, blur, grayscale, ...')] = 'overlay'
    profile: Annotated[Literal['shared-memory', 'default'], Doc(
        'Fast DDS profile: shared memory that pictures fit into (config/fastdds.xml), or what '
        'Fast DDS does by itself.')] = 'shared-memory'
    reliability: Annotated[Literal['reliable', 'best_effort'], Doc('QoS of all images.')] = (
        'reliable')
    seed: Annotated[int, Range(900_000), Doc(
        'Scene, 900000 or more: those are in no training data.')] = CameraConfig.seed
    pictures: Annotated[Path | None, Doc(
        'Copy the pictures to this folder too, as demo.png and demo.gif.')] = None

    def __post_init__(self) -> None:
        """Refuse wrong ranges and choices."""
        check(self)
        DeployConfig(method=self.method)  # type: ignore[arg-type]  # refuses an unknown one

    @property
    def count(self) -> int:
        """Frames to send."""
        return round(self.seconds * self.rate)


def run(config: DemoConfig, console: Console) -> int:
    """
    Run the demo and return its exit code.

    Raises:
        ConfigError, GLError, ProcessError: It could not be run.
    """
    choose()
    about = ros_facts()
    domain, lock = reserve_domain()
    environment = environment_of(about, domain, config.profile == 'shared-memory')
    console.print(f'camera -> ivm_node -> recorder over ROS 2 {about["distribution"]}, '
                  f'ROS_DOMAIN_ID={domain}', highlight=False)
    config.out.mkdir(parents=True, exist_ok=True)
    for name in ('frames.json', 'summary.json', SHEET, ANIMATION):
        (config.out / name).unlink(missing_ok=True)  # of an earlier run
    with lock, Programs(environment, config.out / 'logs') as programs:
        _run_nodes(config, programs, console)
    summary = write_summary(config, about)
    show(summary, console)
    for line in remarks(summary, config.rate):
        console.print(marked('note:', 'yellow', line), highlight=False, soft_wrap=True)
    found = problems(summary, cure(config, about))
    for line in found:
        fail(console, line)
    _point_to_pictures(config, console)
    return int(bool(found))


def _run_nodes(config: DemoConfig, programs: Programs, console: Console) -> None:
    qos = {'reliability': config.reliability}
    out = config.out.resolve()
    recorder = programs.start('recorder_node', 'ivm_sim.nodes.recorder_node', ros_arguments({
        'out': str(out), 'rate': config.rate, 'keep_every': max(1, round(config.count / SHOTS)),
        **qos}))
    programs.start('ivm_node', 'ivm_ros.nodes.ivm_node', ros_arguments({
        'weights': config.weights and str(Path(config.weights).resolve()),
        'method': config.method, 'diagnostics_period': 0.5, **qos,
        'output_reliability': config.reliability}))
    camera = programs.start('camera_node', 'ivm_sim.nodes.camera_node', ros_arguments({
        'seed': config.seed, 'width': config.width, 'height': config.height, 'rate': config.rate,
        'count': config.count, 'change_every': -(-config.count // 3), 'numbered': True,
        'wait_for': 2, **qos}))
    _follow(config, programs, recorder, camera, console)
    with console.status('writing pictures'):
        recorder.wait(WRITING)


def _follow(config: DemoConfig, programs: Programs, recorder: Program, camera: Program,
            console: Console) -> None:
    """Show progress until the recorder has all; raise ProcessError when somebody fails."""
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(),
               TextColumn('{task.description}', markup=False))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task('drawing a scene, loading the model', total=config.count)
        sent, moved = -1, time.monotonic()
        while recorder.code is None:
            programs.check(finished=[camera, recorder])
            facts = recorder.facts(patience=0.5)
            if not facts:
                continue
            if facts['problem']:
                raise ProcessError(f'ivm_node: {facts["problem"]}')
            text = f'"{facts["instruction"]}"' if facts['instruction'] else (
                'drawing a scene, loading the model')
            progress.update(task, completed=facts['arrived'], description=text)
            if facts['finished']:
                return
            if facts['sent'] != sent:
                sent, moved = facts['sent'], time.monotonic()
            limit = STALLED if sent else STARTING
            if time.monotonic() - moved > limit:
                raise ProcessError(f'nothing happened for {limit:.0f} s; see {config.out}/logs. '
                                   f'{camera.last_words()}')
        programs.check(finished=[camera, recorder])


def write_summary(config: DemoConfig, about: dict[str, str]) -> Summary:
    """Sum up what the recorder wrote and write it as summary.json."""
    summary = summarise(json.loads((config.out / 'frames.json').read_text()))
    settings = {name: str(value) if isinstance(value, Path) else value
                for name, value in asdict(config).items()}
    summary |= {'settings': settings, 'command': shlex.join(
        ['python', '-m', 'ivm_sim.demo', *sys.argv[1:]]), 'commit': commit(),
        'versions': {**versions(), 'ros': about['distribution'], 'rmw': about['rmw']}}
    write_json(config.out / 'summary.json', summary)
    return summary


def cure(config: DemoConfig, about: dict[str, str]) -> str:
    """Say what helps against lost frames."""
    if config.profile == 'default':
        return (f'the default shared memory of Fast DDS is too small for images. The demo does '
                f'better without --profile default; for your own camera and node set '
                f'{about["profile_variable"]}={about["shipped_profile"]}')
    return 'the machine is too busy; try a lower --rate, or --reliability reliable'


def _point_to_pictures(config: DemoConfig, console: Console) -> None:
    written = [config.out / name for name in (SHEET, ANIMATION, 'summary.json')
               if (config.out / name).is_file()]
    if config.pictures is not None:
        config.pictures.mkdir(parents=True, exist_ok=True)
        for path, name in zip(written[:-1], ('demo.png', 'demo.gif'), strict=False):
            written.append(Path(shutil.copyfile(path, config.pictures / name)))
    for path in written:
        console.print(f'wrote {path} ({path.stat().st_size / 1e6:.2f} MB)', highlight=False,
                      soft_wrap=True)


def job(console: Console) -> int:
    """Run the demo as the command line says; return its exit code."""
    return run(tyro.cli(DemoConfig, prog='python -m ivm_sim.demo',
                        description=str(__doc__).strip()), console)


def main() -> None:
    """Run the demo from the command line."""
    leave(job)


if __name__ == '__main__':
    main()
