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
"""A node of the simulation as a program: it plays until it is done or stopped."""

from collections.abc import Callable
import signal
import sys
from typing import Any

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.signals import SignalHandlerOptions

from ivm_ros.config import ConfigError
from ivm_sim.gl import GLError


def play(name: str, make: Callable[[], Any], args: list[str] | None = None) -> None:
    """
    Have a node play, until it is done, or Ctrl-C or SIGTERM stops it; then close it.

    Args:
        name: Of the program, for messages.
        make: Makes the node; it has `play` and `close`.
        args: Of the command line; None: those of the process.
    """
    node = None
    # rclpy's own handlers would take the context away while a frame is being published.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = make()
        node.play()
    except KeyboardInterrupt:
        pass
    except (ConfigError, GLError, ParameterException) as error:
        sys.exit(f'{name}: {error}')
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
