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
Mask, then ask: a multimodal model sees only what the question is about.

    >>> from ivm_ros.client import IvmClient
    >>> client = IvmClient('http://localhost:11434/v1', 'qwen2.5vl')
    >>> answer = client.ask('kitchen.jpg', 'What colour is the mug on the shelf?')
    >>> print(answer.text)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ivm_ros.chat import Chat, ChatConfig, Reply
from ivm_ros.deploy import apply, DeployConfig, Deployment, MethodName
from ivm_ros.image import check_image, ImageError
from ivm_ros.masker import Masker
from ivm_ros.picture_files import PictureFileError, read_picture
from ivm_ros.sample import Mask

CACHE = Path('~/.cache/ivm_ros/llm')


@dataclass(frozen=True)
class Answer:
    """
    What a model said of a masked picture.

    Attributes:
        text (str): Its words.
        mask (Mask): What the sentence needs of the picture.
        shown (Deployment): What the model saw: `shown.image`, and whether it was masked.
        reply (Reply): The words with what they cost in tokens.
    """

    text: str
    mask: Mask
    shown: Deployment
    reply: Reply


class IvmClient:
    """
    Masks pictures by questions and asks a model about what is left.

    Args:
        url: Server of the OpenAI chat protocol.
        model: Name of the model at the server.
        masker: Gives a mask to a picture and a sentence; None: a `Masker` of the weights in use.
        deploy: How they are shown; robots are not kept unless it says so.
        config: More about the server; its `url` and `model` do not count.

    Raises:
        ConfigError: The address is none.
    """

    def __init__(self, url: str, model: str,
                 masker: Callable[[np.ndarray, str], Mask] | None = None,
                 deploy: DeployConfig = DeployConfig(keep_robot=False),
                 config: ChatConfig = ChatConfig()) -> None:
        self.chat = Chat(replace(config, url=url, model=model), CACHE.expanduser())
        self.masker: Callable[[np.ndarray, str], Mask] = masker or Masker()
        self.deploy = deploy

    def ask(self, picture: np.ndarray | str | Path, question: str, instruction: str = '',
            method: MethodName | None = None) -> Answer:
        """
        Mask and ask.

        Args:
            picture: uint8 [H, W, 3] RGB, or the path of a file.
            question: What the model is asked.
            instruction: What the mask is made for; '' for the question itself.
            method: How the mask is shown; None: as `deploy` has it.

        Raises:
            ImageError: It is no picture.
            InstructionError: The sentence is empty or too long.
            LlmError: The model does not answer.
        """
        image = picture if isinstance(picture, np.ndarray) else _read(Path(picture))
        check_image(image)
        mask = self.masker(image, instruction or question)
        config = replace(self.deploy, method=method) if method else self.deploy
        shown = apply(image, mask, config)
        reply = self.chat.look(shown.image, question)
        return Answer(reply.text, mask, shown, reply)


def _read(path: Path) -> np.ndarray:
    try:
        return cv2.cvtColor(read_picture(path), cv2.COLOR_BGR2RGB)
    except PictureFileError as error:
        raise ImageError(f'wanted a picture file, got none that OpenCV can read: {error}'
                         ) from error
