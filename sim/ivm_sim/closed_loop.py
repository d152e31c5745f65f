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
The closed loop over ROS 2: simulated arm, ivm_node and a cloned policy, in processes of their own.

Example: python -m ivm_sim.closed_loop --camera masked --sim.task cup_on_pan --sim.clutter many
Exit code 1: an action was lost, or nothing was acted on.
"""

from dataclasses import asdict, dataclass, field
import json
from pathlib import Path
import shlex
import sys
import time
from typing import Annotated, Any, Literal

from rich.console import Console
import tyro

from ivm_ros.config import check, ConfigError, Doc, Range
from ivm_ros.deploy import MethodName
from ivm_ros.files import write_json
from ivm_ros.processes import (
    environment_of, ProcessError, Program, Programs, reserve_domain, ros_arguments, ros_facts)
from ivm_ros.version import commit, versions
from ivm_sim.evaluation.config import shipped_clone
from ivm_sim.evaluation.results import wilson
from ivm_sim.gl import choose
from ivm_sim.nodes.loop_config import SimConfig
from ivm_sim.program import fail, leave

STALLED = 300.0  # s without an episode's end


@dataclass(frozen=True)
class LoopConfig:
    """What is played by whom."""

    weights: Annotated[Path | None, Doc(
        'Policy of "ivm-sim clone" (.safetensors); none: the shipped one of that camera.')] = None
    camera: Annotated[Literal['raw', 'masked'], Doc('What the policy sees.')] = 'masked'
    method: Annotated[MethodName, Doc('How the mask is shown.')] = 'overlay'
    masker: Annotated[str, Doc('Checkpoint of the masker; empty for the one in use.')] = ''
    episodes: Annotated[int, Range(1), Doc('Episodes to play.')] = 5
    out: Annotated[Path, Doc('Folder for closed_loop.json and logs.')] = Path('closed_loop')
    sim: Annotated[SimConfig, Doc('Task, clutter, seed and pace.')] = field(
        default_factory=SimConfig)

    def __post_init__(self) -> None:
        """Refuse wrong ranges, choices and a missing file."""
        check(self)
        if not self.policy.is_file():
            raise ConfigError(f'LoopConfig.weights: wanted a policy of "ivm-sim clone", got '
                              f'{self.policy}, which does not exist')

    @property
    def policy(self) -> Path:
        """Weights of who acts."""
        return self.weights or shipped_clone(self.camera)


def run(config: LoopConfig, console: Console) -> dict[str, Any]:
    """
    Play the episodes; write and return the report.

    Raises:
        ConfigError, GLError, ProcessError: It could not be run.
    """
    choose()
    about = ros_facts()
    domain, lock = reserve_domain()
    environment = environment_of(about, domain)
    with lock, Programs(environment, config.out / 'logs') as programs:
        arm = _start(config, programs)
        with console.status('starting') as status:
            facts = _follow(config, programs, arm, status)
    won, count = facts['won'], len(facts['episodes'])
    low, high = wilson(won, count)
    report = {**facts, 'success': won / count, 'n': count, 'ci95': [low, high],
              'settings': json.loads(json.dumps(asdict(config), default=str)),
              'command': shlex.join(['python', '-m', 'ivm_sim.closed_loop', *sys.argv[1:]]),
              'commit': commit(), 'versions': {**versions(), 'ros': about['distribution']}}
    write_json(config.out / 'closed_loop.json', report)
    return report


def _start(config: LoopConfig, programs: Programs) -> Program:
    """Start policy, masker and arm; the arm waits for the others."""
    masked = config.camera == 'masked'
    seen = 'masked/image' if masked else 'front/image_raw'
    programs.start('policy_node', 'ivm_sim.nodes.policy_node', [
        *ros_arguments({'weights': str(config.policy.resolve()), 'camera': config.camera,
                        'max_shift': 0.5 / config.sim.rate, 'max_turn': 5.0 / config.sim.rate}),
        '-r', f'image:={seen}'])
    if masked:
        programs.start('ivm_node', 'ivm_ros.nodes.ivm_node', [
            *ros_arguments({'weights': config.masker, 'method': config.method,
                            'use_sim_time': True, 'output_reliability': 'reliable',
                            'reliability': 'reliable'}),
            '-r', 'image:=front/image_raw', '-r', 'camera_info:=front/camera_info'])
    return programs.start('sim_node', 'ivm_sim.nodes.sim_node', ros_arguments(
        {**asdict(config.sim), 'episodes': config.episodes}))


def _follow(config: LoopConfig, programs: Programs, arm: Program, status: Any
            ) -> dict[str, Any]:
    """Show what the arm says until its last episode; raise ProcessError when somebody fails."""
    last: dict[str, Any] = {}
    moved = time.monotonic()
    while len(last.get('episodes', ())) < config.episodes:
        facts = arm.facts(patience=0.5)
        programs.check(finished=[arm])
        if facts:
            last, moved = facts, time.monotonic()
            status.update(f'{len(last["episodes"])} of {config.episodes} episodes, '
                          f'{last["won"]} won')
        elif time.monotonic() - moved > STALLED:
            raise ProcessError(f'no episode ended for {STALLED:.0f} s. {arm.last_words()}')
    return last


def problems(report: dict[str, Any]) -> list[str]:
    """Say what went wrong on the way, if anything did."""
    actions = report['actions']
    found = []
    if not actions['on_time']:
        found.append('no action came in time')
    if actions['lost']:
        found.append(f'{actions["lost"]} of {actions["sent"]} observations were never answered')
    return found


def show(report: dict[str, Any], console: Console) -> None:
    """Print success, and what became of the actions."""
    low, high = report['ci95']
    console.print(f'success {report["won"]} of {report["n"]} [{low:.2f}, {high:.2f}]  '
                  + '  '.join(f'{name} {count}' for name, count in report['actions'].items()),
                  highlight=False, soft_wrap=True)


def job(console: Console) -> int:
    """Run the closed loop as the command line says; return its exit code."""
    report = run(tyro.cli(LoopConfig, prog='python -m ivm_sim.closed_loop',
                          description=str(__doc__).strip()), console)
    show(report, console)
    found = problems(report)
    for line in found:
        fail(console, line)
    return int(bool(found))


def main() -> None:
    """Run the closed loop from the command line."""
    leave(job)


if __name__ == '__main__':
    main()
