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
"""A node as a program: it runs until Ctrl-C, and leaves nothing behind."""

from collections.abc import Callable
import signal
import sys
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException

from ivm_ros.config import ConfigError


def end_with_help(name: str, text: str, args: list[str] | None = None) -> None:
    """
    End the program with code 0 and how it is used, where -h or --help is asked for.

    Args:
        name: Of the program.
        text: What it does.
        args: Of the command line; None: those of the process.
    """
    if not {'-h', '--help'} & {*(sys.argv[1:] if args is None else args)}:
        return
    print(f'usage: {name} [--ros-args -p PARAMETER:=VALUE ... -r TOPIC:=TOPIC ... '
          f'--params-file FILE]\n\n{text.strip()}\n\nParameters and topics: the page Reference of '
          f'the documents ("make docs"), or, while it runs,\n"ros2 param describe /{name} '
          f'PARAMETER" and "ros2 node info /{name}".')
    sys.exit(0)


def run(name: str, make: Callable[[], Any], args: list[str] | None = None,
        start: Callable[[Any], object] | None = None) -> None:
    """
    Spin a node until Ctrl-C or a shutdown request, then close it.

    Args:
        name: Of the program, for messages.
        make: Makes the node; it has a `close`.
        args: Of the command line; None: those of the process.
        start: What is done with the node before it spins; what it leaves is closed all the same.
    """
    end_with_help(name, sys.modules[make.__module__].__doc__ or '', args)
    node = None
    try:
        rclpy.init(args=args)
        node = make()
        if start is not None:
            start(node)
        # A lifecycle node takes a Ctrl-C within a transition for an error of that transition.
        if rclpy.ok():
            rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ConfigError, ParameterException) as error:
        sys.exit(f'{name}: {error}')
    finally:
        # Under `ros2 launch` Ctrl-C comes twice: from the terminal, and from launch.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
