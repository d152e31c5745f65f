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
"""What can be wrong with a model, by name; apart, so that nothing needs PyTorch to catch it."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file, what is wrong and the cure."""


class DeviceError(ValueError):
    """The device asked for is not there."""


class MemoryFullError(ValueError):
    """CUDA memory ran out and the rule did not help; the message says what would."""


class OnnxError(ValueError):
    """An ONNX graph cannot be made or used; the message says what to do."""


class TextEncoderError(ValueError):
    """The sentence encoder is missing or is not the one the weights were trained with."""
