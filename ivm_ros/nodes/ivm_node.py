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
`ivm_node`: a camera's pictures in, pictures that show what the instruction is about out.

It converts, calls the model and publishes; the modules beside it do the work. Masking helps a
policy to look at the right thing; it is not a safety function.
"""

import os
import sys
from typing import TYPE_CHECKING

from ivm_ros.nodes.run import run
from ivm_ros.nodes.shared_memory import free_left_behind

if TYPE_CHECKING:
    from ivm_ros.nodes.lifecycle import IvmNode


def main(args: list[str] | None = None) -> None:
    """Run the node until Ctrl-C or a shutdown request."""
    run('ivm_node', make, args, start=lambda node: node.start())
    # All is closed. Python's own end takes torch apart for most of a second, and under a model
    # that may still hang in a thread.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def make() -> 'IvmNode':
    """Make the node, with room for its shared memory."""
    free_left_behind()
    # Here, as torch takes seconds to load: Ctrl-C must end those cleanly too.
    from ivm_ros.nodes.lifecycle import IvmNode

    return IvmNode()


if __name__ == '__main__':
    main()
