"""The command line can name small environments on the host: `gymnasium:life_envs:Pixels-v0`."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Pixels(gymnasium.Env):
    """A bright column walks over 12x12 bytes; episodes of eight env steps, a reward for action 1 or for a > 0."""

    observation_space = spaces.Box(0, 255, (12, 12, 1), np.uint8)
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, continuous: bool = False, render_mode: str | None = None):
        self.action_space = spaces.Box(-1, 1, (1,), np.float32) if continuous else spaces.Discrete(2)
        self.render_mode, self.t = render_mode, 0

    def _see(self) -> np.ndarray:
        picture = np.zeros((12, 12, 1), np.uint8)
        picture[:, self.t % 12] = 255
        return picture

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t = int(self.np_random.integers(3))
        self.end = self.t + 8
        return self._see(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.t += 1
        return self._see(), float(np.sum(action) > 0), self.t >= self.end, False, {}

    def render(self) -> np.ndarray:
        return np.repeat(self._see(), 3, -1)


class Reach(gymnasium.Env):
    """Move a point to a goal on a line, in ten env steps."""

    action_space = spaces.Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None):
        line = spaces.Box(-1, 1, (1,), np.float32)
        parts = {"observation": line, "achieved_goal": line, "desired_goal": line}
        self.observation_space, self.render_mode = spaces.Dict(parts), render_mode

    def _see(self) -> dict[str, np.ndarray]:
        return {"observation": self.x.copy(), "achieved_goal": self.x.copy(), "desired_goal": self.goal}

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        far = np.abs(np.asarray(achieved) - np.asarray(desired)).sum(-1) > 0.2
        return -far.astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self.t, self.x = 0, np.zeros(1, np.float32)
        self.goal = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self._see(), {}

    def step(self, action: Any) -> tuple[dict, float, bool, bool, dict]:
        self.t += 1
        self.x = np.clip(self.x + 0.3 * np.asarray(action, np.float32), -1, 1).astype(np.float32)
        return self._see(), float(self.compute_reward(self.x, self.goal, {})), False, self.t >= 10, {}

    def render(self) -> np.ndarray:
        picture = np.zeros((16, 16, 3), np.uint8)
        picture[:, int(7.5 * (self.x[0] + 1))] = 255
        return picture


class Broken(Pixels):
    """It raises in its 100th env step, whichever episode that is in."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    steps = 0

    def _see(self) -> np.ndarray:
        return np.zeros(1, np.float32)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps += 1
        if self.steps == 100:
            raise ConnectionError("simulator on port 2000 is gone")
        return super().step(action)


gymnasium.register("Pixels-v0", Pixels)
gymnasium.register("PixelsContinuous-v0", Pixels, kwargs={"continuous": True})
gymnasium.register("Reach-v0", Reach)
gymnasium.register("Broken-v0", Broken)
