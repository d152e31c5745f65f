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
"""`python -m ivm_ros.nodes.about`: the ROS 2 under our feet, as one JSON object on stdout."""

from importlib.metadata import PackageNotFoundError, version
import json
import os

import rclpy

from ivm_ros.nodes import dds

DISTRIBUTIONS = {'3.': 'humble', '7.': 'jazzy', '9.': 'kilted'}
"""Major version of rclpy to ROS 2 distribution; a sourced ROS says itself in ROS_DISTRO."""


def about() -> dict[str, str]:
    """Return versions, middleware, domain and the Fast DDS profile in force."""
    release = _rclpy_version()
    guess = next((name for major, name in DISTRIBUTIONS.items() if release.startswith(major)), '')
    shipped = dds.shipped_profile()
    return {
        'distribution': os.environ.get('ROS_DISTRO') or guess or 'unknown',
        'rclpy': f'{release} in {os.path.dirname(rclpy.__file__)}',
        'rmw': rclpy.get_rmw_implementation_identifier(),
        'domain': os.environ.get('ROS_DOMAIN_ID', '0'),
        'discovery_range': os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET'),
        'dds_profile': dds.profile_in_use() or (
            f'none: 640x480 pictures overflow the default shared memory; set {dds.variable()}='
            f'{shipped or "config/fastdds.xml"}'),
        'profile_variable': dds.variable(),
        'shipped_profile': str(shipped or ''),
    }


def _rclpy_version() -> str:
    for package in ('rclpy', 'ros-rclpy'):  # of a ROS installation; the wheels
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return 'unknown'


if __name__ == '__main__':
    print(json.dumps(about()))
