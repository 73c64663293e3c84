"""Gymnasium's vector environments may reset themselves in any mode, be they a user's own or an `AsyncVectorEnv`."""

from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from swingup.envs.adapters.answers import flags, rewards
from swingup.envs.adapters.calls import check_reset, check_steps, raised
from swingup.envs.adapters.copies import close
from swingup.envs.adapters.gymnasium_spaces import Actions, convert, reader
from swingup.envs.adapters.host import Answer, Pool, name_of
from swingup.envs.adapters.running import refuse_statistics
from swingup.errors import ConfigError, EnvironmentFault


class VectorPool(Pool):
    """This pool is a Gymnasium vector environment whose resets are under our control.

    DISABLED: it resets the rows it is told to. SAME_STEP: it has reset the rows that ended when the step
    returns, and hands over their last observations. NEXT_STEP spends an env step of each row that ended on
    its reset, which cannot be undone from outside, and is refused. A `SyncVectorEnv` is switched to DISABLED
    in any case: in SAME_STEP, too, it loses last observations of environments that write over their own arrays.
    One that is `theirs` was passed by somebody, who closes it.
    """

    def __init__(self, env: VectorEnv, name: str | None = None, theirs: bool = False):
        self.env: Any = env
        self.opened: list[Any] = [] if theirs else [env]
        self.num_envs = env.num_envs
        self.name = name or name_of(env)
        refuse_statistics(env, self.name)
        self._read = reader(env.single_observation_space, self.name)
        self.observation_space = self._read.space
        self.action_space = convert(env.single_action_space, self.name, "action")
        self._actions = Actions(env.single_action_space)
        self.goal_reward = None
        self._same_step = _settle(env, self.name) is AutoresetMode.SAME_STEP
        self._many_seeds = isinstance(env.unwrapped, SyncVectorEnv | AsyncVectorEnv)
        self._steps = 0
        self._fresh = np.empty(0)  # in SAME_STEP: the observations after the resets, [N, ...]

    def reset(self, start: int, seeds: list[int]) -> np.ndarray:
        rows = np.arange(start, start + len(seeds))
        if len(seeds) == self.num_envs:
            # Vector environments of other makes derive what they need from one number.
            obs = self._begin(seed=list(seeds) if self._many_seeds else seeds[0])
        elif self._many_seeds:
            padded = [None] * start + seeds + [None] * (self.num_envs - start - len(seeds))
            obs = self._begin(seed=padded, options={"reset_mask": self._mask(rows)})
        else:
            raise ConfigError(
                f"{self.name}: {type(self.env.unwrapped).__name__} cannot seed some of its rows"
            )
        return obs[rows]

    def restart(self, rows: np.ndarray) -> np.ndarray:
        if self._same_step:
            return self._fresh[rows]
        return self._begin(options={"reset_mask": self._mask(rows)})[rows]

    def _begin(self, **how: Any) -> np.ndarray:
        try:
            answer = self.env.reset(**how)
        except Exception as error:
            raise raised(self.name, "reset", error) from error
        return self._gather(check_reset(answer, self.name))

    def step(self, start: int, action: np.ndarray) -> Answer:
        if len(action) != self.num_envs:
            raise ConfigError(f"{self.name}: {type(self.env).__name__} steps all of its rows or none")
        try:
            answer = self.env.step(self._actions(action))
        except Exception as error:
            raise raised(self.name, "step", error, f"after {self._steps:,} env steps of each") from error
        if not self._steps:
            check_steps([answer], self.name)
        self._steps += 1
        obs, reward, terminated, truncated, info = answer
        obs, (terminated, truncated) = self._gather(obs), self._flags(terminated, truncated)
        if self._same_step:
            self._fresh, obs = obs, obs.copy()
            for i in np.flatnonzero(terminated | truncated):
                if "final_obs" not in info:
                    raise ConfigError(
                        f"{self.name}: in mode SAME_STEP info['final_obs'] must hold last observations"
                    )
                obs[i] = self._read([info["final_obs"][i]])[0]
        return Answer(obs, rewards(reward, len(action), self.name), terminated, truncated)

    def close(self) -> None:
        close(self.opened)

    def _gather(self, obs: Any) -> np.ndarray:
        out = self._read(obs)
        if len(out) != self.num_envs:
            raise EnvironmentFault(
                f"{self.name}: {len(out)} observations for {self.num_envs} environments", "num-envs"
            )
        return out

    def _flags(self, terminated: Any, truncated: Any) -> np.ndarray:
        if any(np.shape(x)[:1] != (self.num_envs,) for x in (terminated, truncated)):
            raise EnvironmentFault(
                f"{self.name}: terminated, truncated are {terminated!r}, {truncated!r}: return one bool for each of "
                f"{self.num_envs} environments",
                "flag-shape",
            )
        return flags(terminated, truncated, self.name)

    def _mask(self, rows: np.ndarray) -> np.ndarray:
        return np.isin(np.arange(self.num_envs), rows)


def _settle(env: VectorEnv, name: str) -> AutoresetMode:
    """Settle the mode in which the environment resets itself from now on: DISABLED or SAME_STEP."""
    inner = env.unwrapped
    # The attribute first: Gymnasium writes the mode in the metadata of the environment's *class*, where the
    # vector environment that was opened last has overwritten the others'.
    mode = getattr(inner, "autoreset_mode", None) or env.metadata.get("autoreset_mode")
    try:
        mode = AutoresetMode(mode)
    except ValueError:
        raise ConfigError(
            f"{name}: metadata['autoreset_mode'] is {mode!r}, not one of Gymnasium's modes"
        ) from None
    if env is inner and isinstance(inner, SyncVectorEnv):  # no wrapper relies on its mode
        inner.autoreset_mode = AutoresetMode.DISABLED
        inner.metadata = inner.metadata | {"autoreset_mode": AutoresetMode.DISABLED}
        return AutoresetMode.DISABLED
    if mode is not AutoresetMode.NEXT_STEP:
        return mode
    raise ConfigError(
        f"{name}: {type(env).__name__} resets in mode NEXT_STEP, which spends a step of each episode on its "
        "reset: open it with autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED or SAME_STEP"
    )
