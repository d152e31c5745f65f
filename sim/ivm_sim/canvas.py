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
"""Draws a MuJoCo model: colour pictures with anti-aliasing, and segmentation without."""

import weakref

import numpy as np

from ivm_sim.gl import load_triton
from ivm_sim.mj import mujoco
from ivm_sim.model import HIDDEN

SAMPLES = 4  # multisampling of colour pictures


class Canvas:
    """
    Off-screen buffers of one picture size.

    MuJoCo's own `Renderer` decodes segmentation in a Python loop over geoms and cannot draw colour
    with anti-aliasing and segmentation without it; this class does both in one GL context.

    Attributes:
        close (Callable): Frees buffers and context; the canvas cannot draw any more.
    """

    def __init__(self, model: mujoco.MjModel, height: int, width: int):
        """Open a GL context and two buffers of height x width pixels."""
        load_triton()
        self._model = model
        self._size = height, width
        self._gl = mujoco.GLContext(width, height)
        self._gl.make_current()
        model.vis.global_.offwidth, model.vis.global_.offheight = width, height
        self._colour = self._buffer(SAMPLES)
        self._labels = self._buffer(0)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 50)
        self._options = mujoco.MjvOption()
        self._options.geomgroup[:] = 1
        self._options.geomgroup[HIDDEN] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._area = mujoco.MjrRect(0, 0, width, height)
        # Call it to free all; also runs at exit, before OSMesa has lost what it needs for that.
        self.close = weakref.finalize(self, _free, self._gl, self._colour, self._labels)

    def _buffer(self, samples: int) -> mujoco.MjrContext:
        self._model.vis.quality.offsamples = samples
        buffer = mujoco.MjrContext(self._model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, buffer)
        return buffer

    def colour(self, data: mujoco.MjData, shadow: bool, camera: int = 0) -> np.ndarray:
        """Draw what a camera of the model sees as uint8 [H, W, 3]."""
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadow
        # Shadow and anti-aliasing cost 50 ms together at 192x256 on one core, either one 20 to 30.
        return self._draw(data, self._labels if shadow else self._colour, camera)

    def geoms(self, data: mujoco.MjData, camera: int = 0) -> np.ndarray:
        """Geom id of every pixel, int32 [H, W]; -1 on the background."""
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        picture = self._draw(data, self._labels, camera).astype(np.int32)
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0
        code = picture[..., 0] + (picture[..., 1] << 8) + (picture[..., 2] << 16)
        table = np.full(self._scene.ngeom + 1, -1, np.int32)
        for geom in self._scene.geoms[:self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                table[geom.segid + 1] = geom.objid
        return table[code]

    def depth(self, data: mujoco.MjData, camera: int = 0) -> np.ndarray:
        """Distance along the viewing axis of what each pixel shows, metres, float64 [H, W]."""
        self._draw(data, self._labels, camera)
        buffer = np.empty(self._size, np.float32)
        mujoco.mjr_readPixels(None, buffer, self._area, self._labels)
        near, far = (bound * self._model.stat.extent for bound in (
            self._model.vis.map.znear, self._model.vis.map.zfar))
        return near * far / (far - buffer[::-1].astype(np.float64) * (far - near))

    def _draw(self, data: mujoco.MjData, buffer: mujoco.MjrContext, camera: int) -> np.ndarray:
        self._gl.make_current()
        self._camera.fixedcamid = camera
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, buffer)
        mujoco.mjv_updateScene(self._model, data, self._options, None, self._camera,
                               mujoco.mjtCatBit.mjCAT_ALL, self._scene)
        mujoco.mjr_render(self._area, self._scene, buffer)
        picture = np.empty((*self._size, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, self._area, buffer)
        return picture[::-1].copy()


def _free(gl: mujoco.GLContext, *buffers: mujoco.MjrContext) -> None:
    gl.make_current()
    for buffer in buffers:
        buffer.free()
    gl.free()
