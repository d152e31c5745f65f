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
"""What `python -m ivm_sim.demo` and `python -m ivm_sim.closed_loop` have in common."""

from collections.abc import Callable
import sys

from rich.console import Console

from ivm_ros.config import ConfigError
from ivm_ros.processes import end_as_by_ctrl_c, ProcessError
from ivm_ros.terminal import marked
from ivm_sim.gl import GLError


def leave(job: Callable[[Console], int]) -> None:
    """Do a job and leave with its exit code; mistakes end in one line and exit code 1."""
    console = Console()
    end_as_by_ctrl_c()
    try:
        sys.exit(job(console))
    except KeyboardInterrupt:
        console.print('stopped')
        sys.exit(130)
    except (ConfigError, GLError, ProcessError) as error:
        fail(console, str(error))
        sys.exit(1)


def fail(console: Console, reason: str) -> None:
    """Say why something failed."""
    console.print(marked('failed:', 'bold red', reason), highlight=False, soft_wrap=True)
