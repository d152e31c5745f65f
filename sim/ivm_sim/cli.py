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
`ivm-sim`: datasets, episodes, demonstrations and cloned policies in simulation.

example: ivm-sim dataset --out data/train --scenes 2000 && ivm-sim look data/train
"""

from collections.abc import Callable, Sequence
import os
import sys

from rich.console import Console
import tyro

from ivm_ros.config import ConfigError
from ivm_ros.data.look import look, LookConfig
from ivm_ros.data.shards import DatasetError
from ivm_ros.terminal import marked
from ivm_ros.work import WorkError
from ivm_sim.clones.config import CloneTraining
from ivm_sim.dataset import DatasetConfig, write_dataset
from ivm_sim.demos import DemosConfig, write_demos
from ivm_sim.evaluation.config import EvaluateConfig, ReportConfig
from ivm_sim.furniture import fetch_objects, FetchConfig
from ivm_sim.gl import GLError
from ivm_sim.meshes import MeshError
from ivm_sim.sequences import SequencesConfig, write_sequences
from ivm_sim.splits import SplitsConfig, write_splits
from ivm_sim.watch import watch, WatchConfig

Verb = (DatasetConfig | DemosConfig | LookConfig | WatchConfig | CloneTraining
        | EvaluateConfig | ReportConfig | FetchConfig | SplitsConfig | SequencesConfig)
VERBS: dict[str, Callable[..., Verb]] = {
    'dataset': DatasetConfig, 'look': LookConfig, 'watch': WatchConfig, 'demos': DemosConfig,
    'clone': CloneTraining, 'evaluate': EvaluateConfig, 'report': ReportConfig,
    'fetch-objects': FetchConfig, 'splits': SplitsConfig,
    'sequences': SequencesConfig}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; mistakes end in one line on stderr and exit code 2."""
    try:
        config = tyro.extras.subcommand_cli_from_dict(
            VERBS, prog='ivm-sim', description=__doc__.strip(), args=arguments)
        print('\n'.join(_run(config)))
    except KeyboardInterrupt:
        return _fail('stopped; the same command goes on where it was', 130)
    except BrokenPipeError:  # `ivm-sim ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ConfigError, DatasetError, GLError, MeshError, WorkError, OSError) as error:
        return _fail(str(error), 2)
    return 0


def _run(config: Verb) -> list[str]:
    """Run a verb; return what to tell."""
    if isinstance(config, LookConfig):
        return [f'wrote {look(config)}']
    if isinstance(config, FetchConfig):
        return [f'wrote {fetch_objects(config)}']
    if isinstance(config, SplitsConfig):
        return list(write_splits(config))
    if isinstance(config, SequencesConfig):
        return list(write_sequences(config))
    if isinstance(config, WatchConfig):
        return watch(config)
    if isinstance(config, DemosConfig):
        info = write_demos(config)
        return [f'{sum(info["kept"].values())} episodes, {info["steps"]} steps in {config.out}']
    if isinstance(config, CloneTraining):
        from ivm_sim.clones.train import clone  # torch takes seconds to import
        return [f'wrote {clone(config)}']
    if isinstance(config, EvaluateConfig):
        from ivm_sim.evaluation.evaluate import evaluate  # needs OpenGL
        from ivm_sim.evaluation.results import table
        return [*table(evaluate(config)), f'wrote {config.json}']
    if isinstance(config, ReportConfig):
        from ivm_sim.evaluation.report import write_report
        return [f'wrote {write_report(config)}']
    info = write_dataset(config)
    return [f'{info["rows"]} sentences about {info["scenes"]} pictures in {config.out}: '
            + ', '.join(f'{count} {kind}' for kind, count in info['kinds'].items())]


def _fail(message: str, code: int) -> int:
    Console(stderr=True).print(marked('error:', 'bold red', message), soft_wrap=True,
                               highlight=False)
    return code


if __name__ == '__main__':
    sys.exit(main())
