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
"""The least that a Python node can do with a picture: send it on. `ivm bench` compares with it."""

import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs.msg import Image


def main(args: list[str] | None = None) -> None:
    """Relay image to masked/image until the end."""
    try:
        rclpy.init(args=args)
        node = rclpy.create_node('bench_relay')
        publisher = node.create_publisher(Image, 'masked/image', 5)
        node.create_subscription(Image, 'image', publisher.publish, 5)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
