# ivm_ros on ROS 2 for x86_64:
#     docker build -t ivm_ros .
#     docker run --rm --net host --ipc host ivm_ros image:=/camera/image_raw instruction:="pick up the red mug"
# --ipc host: pictures travel through shared memory. With a GPU: --gpus all.
ARG ROS=jazzy
FROM ros:${ROS}
ARG ROS

RUN apt-get update && apt-get install -y --no-install-recommends \
        python3-pip python3-venv \
        ros-${ROS}-cv-bridge ros-${ROS}-diagnostic-msgs ros-${ROS}-sensor-msgs \
    && rm -rf /var/lib/apt/lists/*

# Ubuntu's Python takes no packages from pip; what ROS brings stays in view.
RUN python3 -m venv --system-site-packages /opt/ivm
ENV PATH=/opt/ivm/bin:$PATH

# TORCH=https://download.pytorch.org/whl/cpu makes the image 4 GB smaller.
ARG TORCH=https://pypi.org/simple
RUN pip install --no-cache-dir --index-url ${TORCH} torch torchvision
RUN pip install --no-cache-dir colcon-common-extensions 'setuptools<80'

WORKDIR /ws
COPY . src/ivm_ros
# numpy stays the one that ROS was built for.
RUN python3 -c 'import numpy; print(f"numpy=={numpy.__version__}")' > /tmp/constraints.txt \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt rosbags \
        -r src/ivm_ros/requirements.txt 'transformers>=5,<6' 'opencv-python-headless>=4.9,<4.12' \
        'pillow>=10.2,<14' rich 'onnxruntime>=1.20,<2' 'onnx>=1.17,<2' 'onnxscript>=0.5,<1'
RUN . /opt/ros/${ROS}/setup.sh && python3 -m colcon build --packages-select ivm_ros

# As another user than root, who owns nothing here.
RUN useradd --create-home robot
USER robot
ENV ROS_DISTRO=${ROS}
ENTRYPOINT ["/bin/bash", "-c", ". /opt/ros/$ROS_DISTRO/setup.bash && . /ws/install/setup.bash && exec ros2 launch ivm_ros ivm.launch.py \"$@\"", "--"]
