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
`ivm-sim`: make datasets in simulation and look at them.

example: ivm-sim dataset --out data/train --scenes 2000 && ivm-sim look data/train
"""

from collections.abc import Callable, Sequence
import os
import sys

from rich.console import Console
from rich.markup import escape
import tyro

from ivm_ros.config import ConfigError
from ivm_ros.data.shards import DatasetError
from ivm_sim.dataset import DatasetConfig, write_dataset
from ivm_sim.gl import GLError
from ivm_sim.look import draw_sheet, LookConfig

VERBS: dict[str, Callable[..., DatasetConfig | LookConfig]] = {
    'dataset': DatasetConfig, 'look': LookConfig}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; mistakes end in one line on stderr and exit code 2."""
    try:
        config = tyro.extras.subcommand_cli_from_dict(
            VERBS, prog='ivm-sim', description=__doc__.strip(), args=arguments)
        if isinstance(config, LookConfig):
            print(f'wrote {draw_sheet(config)}')
        else:
            info = write_dataset(config)
            print(f'{info["rows"]} sentences about {info["scenes"]} pictures in {config.out}: '
                  + ', '.join(f'{count} {kind}' for kind, count in info['kinds'].items()))
    except KeyboardInterrupt:
        return _fail('stopped; the same command goes on where it was', 130)
    except BrokenPipeError:  # `ivm-sim ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ConfigError, DatasetError, GLError, OSError) as error:
        return _fail(str(error), 2)
    return 0


def _fail(message: str, code: int) -> int:
    Console(stderr=True).print(f'[bold red]error:[/] {escape(message)}', soft_wrap=True,
                               highlight=False)
    return code


if __name__ == '__main__':
    sys.exit(main())
