"""Finite MDPs are environments too: `tabular:Cliff`, `tabular:Random?states=20`, or `Tabular(mdp)` of your tables."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.envs.tabular import LAYOUTS, MDP, PROCESSES, cells
from swingup.errors import ConfigError, unknown
from swingup.protocols import Env
from swingup.spaces import Box, Discrete
from swingup.types import Transition


class TableState(NamedTuple):
    state: Array  # its number
    time: Array  # env steps since the start


class Tabular(Env):
    """An MDP is an environment here. It is truncated after `time_limit` env steps; 0 sets no limit.

    Observations are the numbers of states, which tables take as they are and networks as one-hot vectors;
    with `observe="coordinates"` they are row and column of a gridworld, or the number, from -1 to 1. With `mix` the
    action is one number a in [-1, 1], for algorithms of continuous control: of the MDP's two actions the second is
    taken with probability (1 + a) / 2. So Q(s, a) is linear in a, and the best policies are those of the table.
    """

    def __init__(
        self,
        process: MDP,
        name: str = "MDP",
        *,
        time_limit: int = 100,
        observe: str = "state",
        mix: bool = False,
    ):
        if observe not in ("state", "coordinates"):
            raise ConfigError(unknown("observation", observe, ("state", "coordinates")))
        if not isinstance(time_limit, int) or time_limit < 0:
            raise ConfigError(f"time_limit must be a whole number, 0 for none; not {time_limit!r}")
        if mix and process.num_actions != 2:
            raise ConfigError(f"mix needs two actions to choose between, not {process.num_actions}")
        self.mdp, self.name, self.time_limit, self.mix = process, name, time_limit, mix
        self.layout = LAYOUTS.get(name.partition("?")[0])
        self.action_space = Box.of(-1.0, 1.0, (1,)) if mix else Discrete(process.num_actions)
        # Inverse distribution functions; beyond the last possible state nothing is left to rounding.
        self._start, self._next = (jnp.asarray(_cumulative(x)) for x in (process.start, process.transition))
        self._reward, self._terminal = jnp.asarray(process.reward, jnp.float32), jnp.asarray(process.terminal)
        numbers = np.arange(process.num_states, dtype=np.float64)[:, None]
        place = np.array(cells(self.layout), np.float64) if self.layout else numbers
        self._places = jnp.asarray(2 * place / place.max(0) - 1, jnp.float32) if observe != "state" else None
        self.observation_space = (
            Discrete(process.num_states) if observe == "state" else Box.of(-1.0, 1.0, (place.shape[1],))
        )

    def observe(self, state: Array) -> Array:
        return state if self._places is None else self._places[state]

    def reset(self, key: Array) -> tuple[TableState, Array]:
        state = _draw(self._start, key)
        return TableState(state, jnp.int32(0)), self.observe(state)

    def step(self, state: TableState, action: Array, key: Array) -> tuple[TableState, Transition]:
        if self.mix:
            key, k_action = jax.random.split(key)
            action = (2 * jax.random.uniform(k_action) - 1 < action[0]).astype(jnp.int32)
        following = _draw(self._next[state.state, action], key)
        time, terminated = state.time + 1, self._terminal[following]
        late = (time >= self.time_limit) if self.time_limit else jnp.zeros_like(terminated)
        reward = self._reward[state.state, action, following]
        transition = Transition(self.observe(following), reward, terminated, ~terminated & late)
        return TableState(following, time), transition


def make_tabular(bare: str, **options: Any) -> Tabular:
    """Make the environment of a name in `PROCESSES`, with options for it and for its process."""
    own = {k: options.pop(k) for k in ("time_limit", "observe", "mix") if k in options}
    query = "&".join(f"{k}={v}" for k, v in options.items())
    return Tabular(PROCESSES[bare](**options), bare + ("?" + query if query else ""), **own)


def _cumulative(p: np.ndarray) -> np.ndarray:
    total = np.cumsum(p, -1)
    after = np.cumsum(p[..., ::-1], -1)[..., ::-1] - p <= 0  # nothing is possible beyond
    return np.where(after, 2.0, total).astype(np.float32)


def _draw(cumulative: Array, key: Array) -> Array:
    return jnp.argmax(jax.random.uniform(key) < cumulative, -1).astype(jnp.int32)
