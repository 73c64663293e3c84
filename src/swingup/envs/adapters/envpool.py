"""EnvPool's environments stand behind `VecEnv`: threads of compiled code step physics and Atari games.

EnvPool resets an environment on the env step after its episode ended and discards that action, so that each
episode costs a dead transition. Here the rows that ended are reset at once, and no such transition exists.
Where an episode both terminates and reaches its time limit, EnvPool itself reports the time limit alone.
"""

import warnings
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from swingup.envs.adapters.goals import distance_reward
from swingup.envs.adapters.gymnasium_spaces import convert, first
from swingup.envs.adapters.host import Answer, HostVec, Pool, joined
from swingup.errors import ConfigError
from swingup.spaces import Box, Space

envpool = import_module("envpool")  # an extra, so no type checker knows it


def make_envpool(name: str, num_envs: int, **options: Any) -> HostVec:
    """Make `num_envs` environments by EnvPool's id; `options` go to `envpool.make`.

    Atari games follow Mnih et al. (2015): up to 30 no-ops and the fire button at the start, each action held for
    4 frames of which the last two are merged by their maximum, grey 84x84 images, the last 4 stacked. Rewards
    are clipped to their sign for the algorithm (`reward_clip=false` turns that off); episode returns count the
    game's own. Sticky actions are off (`repeat_action_probability=0.25` as in Machado et al. 2018), and so is
    ending an episode at the loss of a life (`episodic_life=true`, for training alone: returns are then a life's).
    Raises `ConfigError` for an unknown option or a space that is not supported.
    """
    if num_envs < 1:
        raise ConfigError(f"num_envs must be at least 1, not {num_envs}")
    if reserved := {"seed", "env_seed", "batch_size"} & options.keys():
        raise ConfigError(f"envpool:{name}: swingup sets {', '.join(sorted(reserved))} itself")
    try:
        config = _quietly(envpool.make_spec, name, **options).config._fields
        atari = {"reward_clip", "noop_max"} <= set(config)
        sign = atari and options.pop("reward_clip", True)
        env = HostVec(EnvPoolPool(name, num_envs, options), sign)
        env.stacked = atari and len(env.observation_space.shape) == 3
        return env
    except (TypeError, AssertionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"envpool:{name} cannot be opened: {error}") from None


class Segment(NamedTuple):
    """Rows start .. start+count-1, which were seeded together and so are one pool of EnvPool's."""

    start: int
    count: int
    pool: Any


class EnvPoolPool(Pool):
    """The rows are environments of one pool, or of one pool for each part that was reset apart: EnvPool takes seeds
    only when it is made.
    """

    def __init__(self, name: str, num_envs: int, options: dict[str, Any]):
        self.name, self.num_envs, self.options = name, num_envs, options
        spec = _quietly(envpool.make_spec, name, **options)
        spaces = _quietly(lambda: (spec.gymnasium_observation_space, spec.gymnasium_action_space))
        space = convert(spaces[0], name, "observation")
        self.frames_first = isinstance(space, Box) and space.dtype == "uint8" and len(space.shape) == 3
        self.observation_space: Space = space
        if self.frames_first:
            channels, height, width = space.shape
            self.observation_space = Box.of(0, 255, (height, width, channels), "uint8")
        self.action_space = convert(spaces[1], name, "action")
        self._first = first(spaces[0]), first(spaces[1])  # what each counts from
        self.goal_reward = _goal_reward(name, spec.config)
        modules = [kind.__module__ for kind in type(spec).__mro__ if kind.__module__.startswith("envpool.")]
        self.family = modules[0].split(".")[1]  # atari, mujoco, ...
        self._segments: list[Segment] = []

    def reset(self, start: int, seeds: list[int]) -> np.ndarray:
        stop, kept = start + len(seeds), []
        for segment in self._segments:  # the rows of one that overlaps must all be reset again
            if segment.start < stop and start < segment.start + segment.count:
                segment.pool.close()
            else:
                kept.append(segment)
        pool = _quietly(envpool.make, self.name, "gymnasium", num_envs=len(seeds), seed=seeds, **self.options)
        self._segments = sorted([*kept, Segment(start, len(seeds), pool)], key=lambda s: s.start)
        return self._observations(_quietly(pool.reset)[0])

    def restart(self, rows: np.ndarray) -> np.ndarray:
        parts = []
        for segment in self._segments:
            inside = rows[(rows >= segment.start) & (rows < segment.start + segment.count)] - segment.start
            if inside.size:
                parts.append(joined(segment.pool.reset(inside.astype(np.int32))[0]))
        return self._observations(np.concatenate(parts))

    def step(self, start: int, action: np.ndarray) -> Answer:
        stop = start + len(action)
        segments = [s for s in self._segments if start <= s.start and s.start + s.count <= stop]
        if sum(s.count for s in segments) != len(action):
            raise ConfigError(
                f"{self.name}: rows {start} to {stop - 1} must be reset before they are stepped"
            )
        if self._first[1]:
            action = action + self._first[1]
        for s in segments:  # all of them work at once
            s.pool.send(action[s.start - start : s.start - start + s.count])
        answers = [s.pool.recv() for s in segments]
        obs, reward, terminated, truncated = (
            np.concatenate([np.asarray(joined(a[i])) for a in answers]) for i in range(4)
        )
        return Answer(self._observations(obs), reward.astype(np.float64), terminated, truncated)

    def picture(self, row: int) -> np.ndarray:
        """[H, W, 3], by EnvPool with the option `render_mode="rgb_array"`; raises NotImplementedError if it cannot."""
        segment = next(s for s in self._segments if s.start <= row < s.start + s.count)
        try:
            return segment.pool.render(env_ids=row - segment.start)[0]
        except RuntimeError as error:
            raise NotImplementedError from error

    def close(self) -> None:
        for segment in self._segments:
            segment.pool.close()
        self._segments = []

    def _observations(self, obs: Any) -> np.ndarray:
        obs = joined(obs)
        if self.frames_first:
            obs = np.moveaxis(obs, 1, -1)
        if self._first[0]:
            obs = obs - self._first[0]
        return np.array(
            obs, self.observation_space.dtype if isinstance(self.observation_space, Box) else np.int32
        )


def _goal_reward(name: str, config: Any) -> Any:
    """Say how the goals of these environments are rewarded, which EnvPool does not tell."""
    if not name.startswith("Fetch"):
        return None
    return distance_reward(config.distance_threshold, config.reward_type)


def _quietly(make: Any, *args: Any, **options: Any) -> Any:
    """Silence Gymnasium's remarks on the precision of EnvPool's own spaces."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(*args, **options)
