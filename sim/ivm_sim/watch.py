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
`ivm-sim watch`: episodes as an animation.

One policy: what the camera sees, the mask, what is left. Several: what each of them saw of the
same episode, side by side.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ivm_ros.config import check, ConfigError, Doc, nearest, Range
from ivm_ros.deploy import apply, DeployConfig, MethodName
from ivm_ros.files import replace_file
from ivm_sim.demo_pictures import edged, GAP, INK, PAPER, SMALL, strip
from ivm_sim.demo_recording import Shot
from ivm_sim.evaluation.config import SHIPPED, shipped_clone

GIF, MOVIE = '.gif', '.mp4'
PLAIN = ('expert', 'random')  # policies that look at no picture


@dataclass(frozen=True)
class WatchConfig:
    """Show an episode: camera, mask and masked picture; or what several policies saw of it."""

    task: Annotated[str, Doc('Task, as in IvmTabletop-v0.')] = 'put'
    clutter: Annotated[str, Doc('Clutter level: none, few, many, moving, look, all.')] = 'many'
    policy: Annotated[tuple[str, ...], Doc(
        'Who acts: expert, random, a shipped clone (raw, masked, ...), or a file of "ivm-sim '
        'clone". Clones see the sort of picture they were trained on.')] = ('expert',)
    masks: Annotated[Literal['truth', 'weights'], Doc(
        "Masks by the simulator's truth, or by the shipped weights.")] = 'weights'
    method: Annotated[MethodName, Doc('How the mask is shown.')] = 'overlay'
    episodes: Annotated[int, Range(1, 1000), Doc('Episodes, one after another.')] = 1
    seed: Annotated[int, Range(0), Doc('The first episode is reset with it.')] = 0
    arm: Annotated[str, Doc('Arm: primitive, ur5e.')] = 'primitive'
    size: Annotated[int, Range(64, 1024), Doc('Side of the pictures in pixels.')] = 192
    out: Annotated[str, Doc('Animation to write, .gif or .mp4.')] = 'watch.gif'

    def __post_init__(self) -> None:
        """Check ranges, the format, and that there is somebody to act."""
        check(self)
        if Path(self.out).suffix not in (GIF, MOVIE):
            raise ConfigError(f'WatchConfig.out: wanted .gif or .mp4, got {self.out!r}')
        if not self.policy:
            raise ConfigError('WatchConfig.policy: wanted at least one')
        for name in self.policy:
            if name not in PLAIN:
                _weights_of(name)


@dataclass(frozen=True)
class Moment:
    """
    One step as it is shown.

    Attributes:
        shot (Shot): Camera, mask, masked picture.
        seen (np.ndarray): What the policy saw, uint8 [S, S, 3].
        text (str): The sentence.
        success (bool): The episode is won.
    """

    shot: Shot
    seen: np.ndarray
    text: str
    success: bool


def watch(config: WatchConfig) -> list[str]:
    """
    Run episodes and write the animation; return what to tell.

    Raises:
        ConfigError: Task or clutter is unknown.
        GLError: MuJoCo cannot draw here.
    """
    from ivm_sim.env import TabletopEnv

    said: list[str] = []
    strips: list[np.ndarray] = []
    texts: list[str] = []
    with closing(TabletopEnv(config.task, config.clutter, config.size,
                             arm=config.arm)) as env:
        for seed in range(config.seed, config.seed + config.episodes):
            told = {name: list(_episode(env, config, name, seed)) for name in config.policy}
            strips += _film(told)
            text = env.assignment.instruction
            texts += [text] * (len(strips) - len(texts))
            said += [f'seed {seed}, {name}: '
                     f'{"success" if moments[-1].success else "failure"}, "{text}"'
                     for name, moments in told.items()]
    path = Path(config.out)
    with replace_file(path) as part:
        if path.suffix == GIF:
            from ivm_sim.demo_pictures import save_animation
            save_animation(strips, texts, part, [1 / env.rate] * len(strips))
        else:
            _save_movie(strips, part, env.rate)
    return [*said, f'wrote {path}']


def _film(told: dict[str, list[Moment]]) -> list[np.ndarray]:
    """Give the frames of what policies did."""
    if len(told) > 1:
        return _side_by_side(told)
    return [strip(moment.shot) for moments in told.values() for moment in moments]


def _episode(env: Any, config: WatchConfig, name: str, seed: int) -> Iterator[Moment]:
    """Let a policy act; yield what there is to see after each step."""
    from ivm_sim.expert import Expert
    from ivm_sim.masked import MaskedCamera, TruthMasker
    from ivm_sim.policy import Policy, RandomPolicy, run

    source = TruthMasker(env) if config.masks == 'truth' else _weights()
    deploy = DeployConfig(method=config.method)
    policy: Policy
    masked = False
    if name in PLAIN:
        policy = Expert(env) if name == 'expert' else RandomPolicy(seed)
    else:
        from ivm_sim.clones.policy import ClonePolicy

        policy = clone = ClonePolicy(_weights_of(name), env.action_space.high)
        masked = clone.info['camera'] != 'raw'
    for step in run(MaskedCamera(env, source, deploy) if masked else env, policy, seed):
        # What the camera shows now, after the action.
        picture, text = env.render(), env.assignment.instruction
        mask = source(picture, text)
        planes = [(plane * 255).astype(np.uint8) for plane in (mask.target, mask.robot)]
        shown = apply(picture, mask, deploy).image
        yield Moment(Shot(picture, shown, *planes), shown if masked else picture, text,
                     step.success)


def _side_by_side(told: dict[str, list[Moment]]) -> list[np.ndarray]:
    """Lay what each policy saw beside what the others did; who is done waits in its outcome."""
    names = {name: Path(name).stem for name in told}
    panels = [[_titled(moment.seen, names[name]) for moment in moments[:-1]]
              + [_titled(edged(moments[-1].seen, moments[-1].success),
                         f'{names[name]}: {"success" if moments[-1].success else "failure"}')]
              for name, moments in told.items()]
    gap = np.full((panels[0][0].shape[0], GAP, 3), PAPER, np.uint8)
    return [np.hstack([part for index, panel in enumerate(row)
                       for part in ((gap, panel) if index else (panel,))])
            for row in zip(*(_held(panel, max(map(len, panels))) for panel in panels))]


def _held(panel: list[np.ndarray], length: int) -> list[np.ndarray]:
    """Stretch a film by its last frame, which stands for a second and a half at the end of all."""
    return panel + [panel[-1]] * (length + 15 - len(panel))


def _titled(picture: np.ndarray, title: str) -> np.ndarray:
    """Put a line above a picture uint8 [H, W, 3]."""
    band = Image.new('RGB', (picture.shape[1], SMALL + GAP), PAPER)
    ImageDraw.Draw(band).text((2, 2), title, INK, ImageFont.load_default(SMALL))
    return np.vstack([np.asarray(band), picture])


def _weights_of(name: str) -> Path:
    """Find a clone by its path or by the name of a shipped one."""
    for path in (Path(name), shipped_clone(name)):
        if path.is_file():
            return path
    known = [*PLAIN, *sorted(path.stem for path in SHIPPED.glob('*.safetensors'))]
    raise ConfigError(f'WatchConfig.policy: no {name!r}{nearest(name, known)}. Known: '
                      f'{", ".join(known)}, or a file of "ivm-sim clone"')


def _weights() -> Any:
    from ivm_ros.masker import Masker

    return Masker()


def _save_movie(strips: list[np.ndarray], path: Path, rate: int) -> None:
    """Write MPEG-4 with OpenCV, which every player knows."""
    import cv2

    height, width = (side // 2 * 2 for side in strips[0].shape[:2])
    movie = path.with_name(f'{path.name}{MOVIE}')  # FFmpeg goes by the name
    writer = cv2.VideoWriter(str(movie), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*'mp4v'), rate,
                             (width, height))
    if not writer.isOpened():
        raise ConfigError('WatchConfig.out: this OpenCV cannot write .mp4; use a .gif')
    for picture in strips:
        writer.write(cv2.cvtColor(picture[:height, :width], cv2.COLOR_RGB2BGR))
    writer.release()
    movie.replace(path)
