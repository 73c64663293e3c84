"""On four cells, a game is played in which a player may move twice in a row; it also comes with each fault."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.envs.games import Game
from swingup.spaces import Box, Discrete
from swingup.types import Transition

CELLS = 4


class Row(NamedTuple):
    owner: Array  # [4] of each cell: -1 none, 0 who began, 1 the other
    mover: Array


class Ends(Game):
    """Take a free cell; who takes one at an end of the row moves again. Who has more cells at last has won."""

    observation_space, action_space = Box.of(0.0, 1.0, (CELLS, 2)), Discrete(CELLS)
    reverse = np.arange(CELLS)[::-1]
    symmetries = ((np.arange(2 * CELLS).reshape(CELLS, 2)[::-1].ravel(), reverse),)

    def __init__(self, name: str = "Ends"):
        self.name = name

    def reset(self, key: Array) -> tuple[Row, Array]:
        state = Row(jnp.full(CELLS, -1), jnp.int32(0))
        return state, self.observe(state)

    def step(self, state: Row, action: Array, key: Array) -> tuple[Row, Transition]:
        over = jnp.all(state.owner >= 0)
        owner = jnp.where(over, state.owner, state.owner.at[action].set(state.mover))
        again = (action == 0) | (action == CELLS - 1) | over
        after = Row(owner, jnp.where(again, state.mover, 1 - state.mover))
        ended = jnp.all(owner >= 0)
        lead = jnp.sum(owner == state.mover) - jnp.sum(owner == 1 - state.mover)
        reward = jnp.where(ended & ~over, jnp.sign(lead), 0).astype(jnp.float32)
        return after, Transition(self.observe(after), reward, ended, jnp.bool_(False))

    def observe(self, state: Row) -> Array:
        mine, theirs = state.owner == state.mover, state.owner == 1 - state.mover
        return jnp.stack([mine, theirs], -1).astype(jnp.float32)

    def legal(self, state: Row) -> Array:
        return state.owner < 0

    def player(self, state: Row) -> Array:
        return state.mover

    def board(self, state: Row) -> str:
        return " ".join(".xo"[int(x) + 1] for x in state.owner)


class LegalAsFloats(Ends):
    def legal(self, state: Row) -> Array:
        return super().legal(state) * 1.0


class Stuck(Ends):
    def legal(self, state: Row) -> Array:
        return super().legal(state) & (jnp.sum(state.owner >= 0) < 2)


class CountsPlayersFromOne(Ends):
    def player(self, state: Row) -> Array:
        return state.mover + 1


class PaysTheBeginner(Ends):
    """As a game does that pays by points."""

    def step(self, state: Row, action: Array, key: Array) -> tuple[Row, Transition]:
        after, t = super().step(state, action, key)
        return after, t._replace(reward=2 * t.reward + ~t.terminated)


class Cut(Ends):
    def step(self, state: Row, action: Array, key: Array) -> tuple[Row, Transition]:
        after, t = super().step(state, action, key)
        return after, t._replace(terminated=jnp.bool_(False), truncated=t.terminated)


class PaysTwice(Ends):
    def step(self, state: Row, action: Array, key: Array) -> tuple[Row, Transition]:
        after, t = super().step(state, action, key)
        return after, t._replace(reward=t.reward + jnp.all(state.owner >= 0))


class Shifted(Ends):
    symmetries = ((*Ends.symmetries[0][:1], np.array([1, 2, 3, 4])),)


class MirrorsThePolicyAlone(Ends):
    symmetries = ((np.arange(2 * CELLS), Ends.reverse),)


FAULTY: dict[str, Any] = {
    "legal-form": LegalAsFloats(),
    "no-legal-move": Stuck(),
    "player-number": CountsPlayersFromOne(),
    "game-reward": PaysTheBeginner(),
    "game-truncated": Cut(),
    "moves-after-end": PaysTwice(),
    "symmetry-form": Shifted(),
    "symmetry-broken": MirrorsThePolicyAlone(),
}
