"""Brax's robots are drawn by MuJoCo, from their positions in its model."""

from typing import Any

import numpy as np
from PIL import Image

from swingup.envs.adapters.brax import quietly
from swingup.play.scenes import captioned


class Body:
    """The robot of a Brax environment stands in front of MuJoCo's camera. OpenGL must have been chosen before."""

    def __init__(self, env: Any, width: int = 480, height: int = 320):
        import mujoco
        from gymnasium.envs.mujoco.mujoco_rendering import OffScreenViewer

        self.mujoco: Any = mujoco
        self.model = env.env.sys.mj_model
        self.model.vis.global_.offwidth, self.model.vis.global_.offheight = width, height
        self.data = self.mujoco.MjData(self.model)
        self.camera = self.mujoco.mj_name2id(self.model, self.mujoco.mjtObj.mjOBJ_CAMERA, "track")
        self.viewer = quietly(OffScreenViewer, self.model, self.data, width, height)

    def paint(self, state: Any, obs: np.ndarray, caption: str) -> Image.Image:
        physics = state[0].pipeline_state
        self.data.qpos[:], self.data.qvel[:] = np.asarray(physics.q), np.asarray(physics.qd)
        self.mujoco.mj_forward(self.model, self.data)
        return captioned(self.viewer.render("rgb_array", camera_id=self.camera), caption)

    def close(self) -> None:
        self.viewer.close()
