"""Environments on the host stand behind `VecEnv`, with the same-step convention, episode statistics, seeds and parts.

A `Pool` only resets and steps rows; everything that the adapters share is here, once.
"""

import copy
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jax import Array

from swingup.envs.adapters.answers import GOALS, check_float32
from swingup.errors import ConfigError
from swingup.protocols import GoalReward, VecEnv
from swingup.spaces import Space
from swingup.types import Step


class Answer(NamedTuple):
    """An answer is what `n` environments say to `n` actions, before any of them is reset."""

    obs: np.ndarray  # [n, ...] the true successor, a copy that nobody writes to later
    reward: np.ndarray  # [n] float64
    terminated: np.ndarray  # [n] bool
    truncated: np.ndarray  # [n] bool


class Pool(Protocol):
    """`num_envs` environments that do not reset themselves; rows are numbered from 0."""

    name: str
    num_envs: int
    observation_space: Space
    action_space: Space
    goal_reward: GoalReward | None = None  # rewards for another goal, if observations have goals
    legal: np.ndarray | None = (
        None  # [num_envs, A] the actions allowed now, if the environments tell; written over
    )

    def masked(self) -> bool:
        """Say whether the environments tell which actions are allowed, as far as resets have shown."""
        return False

    def reset(self, start: int, seeds: list[int]) -> np.ndarray:
        """Seed and reset the rows from `start` on, one for each seed; return their observations [n, ...]."""
        ...

    def restart(self, rows: np.ndarray) -> np.ndarray:
        """Reset these rows, which have ended, with the generators they have: observations [n, ...]."""
        ...

    def step(self, start: int, action: np.ndarray) -> Answer:
        """Step the rows from `start` on, one for each action."""
        ...

    def close(self) -> None:
        """Close the environments that were opened here, and none that somebody else holds."""
        ...


class HostVec(VecEnv):
    """The environments of a pool, or some of them, keep the same-step convention of `Step`.

    It holds state: `reset` begins anew, `step` goes on from wherever the last call left off, and what
    it is given and returns as the environments' state is `()`. Arrays are NumPy's, float32 where float.
    With `reward_sign`, the algorithm sees the sign of each reward; episode returns count the reward itself.
    `stacked` says that observations are stacks of frames as `frames` describes them.
    """

    jittable, stateful, divisible = False, True, True

    def __init__(self, pool: Pool, reward_sign: bool = False):
        self.pool, self._start, self.reward_sign = pool, 0, reward_sign
        self.name, self.num_envs = pool.name, pool.num_envs
        self.observation_space, self.action_space = pool.observation_space, pool.action_space
        self.goal_reward = pool.goal_reward
        self._return, self._length = np.zeros(pool.num_envs), np.zeros(pool.num_envs, np.int32)

    def part(self, start: int, count: int) -> "HostVec":
        """Return a view of the rows start .. start+count-1: they are shared, and no other row is touched.

        Its `reset(key)` seeds these rows as a stand-alone `HostVec` of `count` environments does. Raises
        `ConfigError` where there are no such rows.
        """
        if not 0 <= start < start + count <= self.num_envs:
            raise ConfigError(f"no rows {start} to {start + count - 1} among {self.num_envs} environments")
        view = copy.copy(self)
        view._start, view.num_envs = self._start + start, count
        view._return, view._length = self._return[start : start + count], self._length[start : start + count]
        return view

    def reset(self, key: Array) -> tuple[tuple, np.ndarray]:
        """Return first observations [N, ...] of new episodes, from generators that the key determines.

        Later episodes go on with the same generators, so a key fixes the whole stream.
        """
        obs = self.pool.reset(self._start, seeds_of(key, self.num_envs))
        self._return[:], self._length[:] = 0, 0
        return (), obs

    def draw(self, key: Array, num_steps: int) -> tuple:
        """Draw nothing: the environments have generators of their own."""
        return ()

    def step(self, state: tuple, action: Any, noise: Any = ()) -> tuple[tuple, Step]:
        """Step with actions [N, ...] in the environment's units; environments that ended start anew at once.

        Raises `ConfigError` where the number of actions is not the number of environments.
        """
        action = np.asarray(action)
        if action.shape[:1] != (self.num_envs,):
            raise ConfigError(
                f"{self.name}: actions of shape {action.shape} for {self.num_envs} environments"
            )
        next_obs, reward, terminated, truncated = self.pool.step(self._start, action)
        next_legal = self.legal(())
        truncated = truncated & ~terminated  # where both hold, the MDP's own end wins
        done = terminated | truncated
        self._return += reward
        self._length += 1
        check_float32(reward, self._return, self.name)
        ep_return, ep_length = self._return.astype(np.float32), self._length.copy()
        obs, ended = next_obs, np.flatnonzero(done)
        if ended.size:
            obs = next_obs.copy()
            obs[ended] = self.pool.restart(self._start + ended)
            self._return[ended], self._length[ended] = 0, 0
        reward = (np.sign(reward) if self.reward_sign else reward).astype(np.float32)
        fields = obs, next_obs, reward, terminated, truncated, ep_return, ep_length, next_legal
        return (), Step._make(fields)

    def legal(self, state: tuple) -> Any:
        """Return the actions that are allowed now, [N, A]; None where the environments do not tell."""
        rows = slice(self._start, self._start + self.num_envs)
        return None if self.pool.legal is None else self.pool.legal[rows].copy()

    @property
    def masked(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Say whether the environments tell which actions are allowed."""
        return self.pool.masked()

    def close(self) -> None:
        """Give back what the environments hold: processes, threads, windows. Twice does no harm.

        It closes what was opened here, by an id or a constructor or as a copy; an environment that somebody
        passed stays open, and is theirs to close.
        """
        self.pool.close()


def seeds_of(key: Array, count: int) -> list[int]:
    """Derive `count` seeds of 31 bits, each from a child of the `SeedSequence` of the key's data.

    Not seed, seed + 1, ...: those of neighbouring keys would overlap.
    """
    data = np.asarray(jax.random.key_data(key)).ravel().tolist()
    return [int(child.generate_state(1)[0] >> 1) for child in np.random.SeedSequence(data).spawn(count)]


def joined(obs: Any) -> Any:
    """Join a dictionary of goals and observation, or of arrays of them, to one vector each; leave all else as it is."""
    return np.concatenate([np.asarray(obs[key]) for key in GOALS], -1) if isinstance(obs, dict) else obs


def name_of(env: Any) -> str:
    """Return a Gymnasium environment's id, or its class where it has none."""
    spec = getattr(env, "spec", None)
    return spec.id if spec is not None else type(getattr(env, "unwrapped", env)).__name__
