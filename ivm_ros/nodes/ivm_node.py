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
import signal
import sys

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException

from ivm_ros.config import ConfigError
from ivm_ros.nodes.run import end_with_help
from ivm_ros.nodes.shared_memory import free_left_behind


def main(args: list[str] | None = None) -> None:
    """Run the node until Ctrl-C or a shutdown request."""
    end_with_help('ivm_node', __doc__, args)
    node = None
    try:
        free_left_behind()
        rclpy.init(args=args)
        # Here, as torch takes seconds to load: Ctrl-C must end those cleanly too.
        from ivm_ros.nodes.lifecycle import IvmNode

        node = IvmNode()
        node.start()
        # A lifecycle node takes a Ctrl-C within a transition for an error of that transition.
        if rclpy.ok():
            rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ConfigError, ParameterException) as error:
        sys.exit(f'ivm_node: {error}')
    finally:
        # Under `ros2 launch` Ctrl-C comes twice: from the terminal, and from launch.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    # All is closed. Python's own end takes torch apart for most of a second, and under a model
    # that may still hang in a thread.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == '__main__':
    main()
