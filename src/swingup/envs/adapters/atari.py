"""Atari games are played through ale-py and Gymnasium, prepared as in Mnih et al. (2015)."""

from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers


def make_game(
    name: str, *, episodic_life: bool = False, repeat_action_probability: float = 0.0, **options: Any
) -> gymnasium.Env:
    """Make a game, such as "ALE/Pong-v5", with observations [84, 84, 4]: the last four grey frames, uint8.

    Up to 30 no-ops and the fire button start an episode; an action is held for 4 frames, of which the last two
    are merged by their maximum. `repeat_action_probability` is 0 here, without sticky actions; Machado et al.
    (2018) use 0.25. `episodic_life` ends an episode at the loss of a life, for training alone: the return of an
    episode is then a life's.
    """
    ale_py = import_module("ale_py")
    gymnasium.register_envs(ale_py)
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # it greets otherwise, once for each game
    env = gymnasium.make(
        name,
        frameskip=1,  # the wrapper below skips, and sees the frames between
        repeat_action_probability=repeat_action_probability,
        disable_env_checker=True,
        **options,
    )
    env = wrappers.AtariPreprocessing(env, noop_max=30, frame_skip=4, screen_size=84, grayscale_obs=True)
    if episodic_life:
        env = EpisodicLife(env)
    if "FIRE" in buttons(env):
        env = FireOnReset(env)
    env = wrappers.FrameStackObservation(env, 4, padding_type="reset")
    space = gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    return wrappers.TransformObservation(env, lambda frames: np.moveaxis(frames, 0, -1), space)


def buttons(env: gymnasium.Env) -> list[str]:
    """Return what the actions of a game are called."""
    game: Any = env.unwrapped
    return game.get_action_meanings()


class FireOnReset(gymnasium.Wrapper):
    """Press the fire button when an episode starts: some games wait for it."""

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        obs, info = self.env.reset(seed=seed, options=options)
        fire = buttons(self.env).index("FIRE")
        obs, _, terminated, truncated, info = self.env.step(fire)
        return self.env.reset(options=options) if terminated or truncated else (obs, info)


class EpisodicLife(gymnasium.Wrapper):
    """The loss of a life terminates the episode; the game goes on in the next one until it is over."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.lives, self.over = 0, True

    def step(self, action: Any) -> tuple:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self.over, before, self.lives = terminated or truncated, self.lives, info["lives"]
        return obs, reward, terminated or 0 < self.lives < before, truncated, info

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        if self.over or seed is not None:
            obs, info = self.env.reset(seed=seed, options=options)
        else:  # past the frame in which the life was lost
            obs, _, terminated, truncated, info = self.env.step(0)
            if terminated or truncated:
                obs, info = self.env.reset(options=options)
        self.over, self.lives = False, info["lives"]
        return obs, info
