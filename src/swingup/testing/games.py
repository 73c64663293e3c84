"""A game for two is checked here: its rules are played at random."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from swingup.envs.games import Game
from swingup.spaces import choices
from swingup.testing.faults import Finding, finding

GAMES = 3  # that are played to their ends
MOVES = 300  # of one of them at most


class Rules(NamedTuple):
    """These are the functions of a game, compiled."""

    step: Any
    legal: Any
    player: Any


class Position(NamedTuple):
    """It says where a game stands, as far as it can be told from outside."""

    obs: np.ndarray
    legal: np.ndarray
    player: int


def check_game(game: Game, seed: int) -> Iterator[Finding]:
    """Check moves, players, rewards, the end and the symmetries in a few games; one finding of each kind at most."""
    shape = jax.eval_shape(lambda key: game.legal(game.reset(key)[0]), jax.random.key(0))
    if shape.shape != (choices(game.action_space),) or shape.dtype != bool:
        want = f"bool[{choices(game.action_space)}]"
        yield finding("legal-form", got=f"{shape.dtype}{list(shape.shape)}", want=want)
        return
    formed = True
    for number, symmetry in enumerate(game.symmetries):
        if fault := _permutations(game, number, symmetry):
            yield fault
            formed = False
    rules, seen = Rules(*map(jax.jit, (game.step, game.legal, game.player))), set()
    for number in range(GAMES):
        rng, key = np.random.default_rng((seed, number)), jax.random.fold_in(jax.random.key(seed), number)
        for fault in _play(game, rules, rng, key, formed):
            if fault.code not in seen:
                seen.add(fault.code)
                yield fault


def _play(game: Game, rules: Rules, rng: np.random.Generator, key: Any, mirrored: bool) -> Iterator[Finding]:
    """Play one game of random moves, and at the same time all of its images."""
    state, obs = game.reset(key)
    images = (
        [(i, cells, moves, state) for i, (cells, moves) in enumerate(game.symmetries)] if mirrored else []
    )
    if (first := int(rules.player(state))) != 0:
        yield finding("player-number", time=0, got=first)
    here = _position(rules, state, obs)
    yield from _images(rules, here, [(*image, obs) for image in images], 0)
    for time in range(1, MOVES + 1):
        if not here.legal.any():
            yield finding("no-legal-move", time=time - 1)
            return
        action = np.int32(rng.choice(np.flatnonzero(here.legal)))
        state, t = rules.step(state, action, key)
        here = _position(rules, state, t.obs)
        if here.player not in (0, 1):
            yield finding("player-number", time=time, got=here.player)
        if t.truncated:
            yield finding("game-truncated", time=time)
            return
        if float(t.reward) not in (-1.0, 0.0, 1.0) or (float(t.reward) and not t.terminated):
            yield finding("game-reward", time=time, got=float(t.reward))
        images = [(i, c, m, *rules.step(s, np.int32(np.argsort(m)[action]), key)) for i, c, m, s in images]
        others = [(i, c, m, s, after.obs) for i, c, m, s, after in images]
        yield from _images(rules, here, others, time, ended=bool(t.terminated))
        images = [image[:4] for image in images]
        if t.terminated:
            yield from _after(rules, state, here, action, key)
            return


def _position(rules: Rules, state: Any, obs: Any) -> Position:
    return Position(np.asarray(obs), np.asarray(rules.legal(state)), int(rules.player(state)))


def _images(rules: Rules, here: Position, images: list, time: int, ended: bool = False) -> Iterator[Finding]:
    """Mirrored games must be what mirroring makes of this one. Where a game is over, only observations tell."""
    for number, cells, moves, state, obs in images:
        there = _position(rules, state, obs)
        what = "observations" if not np.array_equal(there.obs.ravel(), here.obs.ravel()[cells]) else ""
        if not ended and not np.array_equal(there.legal, here.legal[moves]):
            what = what or "legal moves"
        if what or there.player != here.player:
            yield finding("symmetry-broken", number=number, what=what or "players", time=time)


def _after(rules: Rules, state: Any, here: Position, action: np.int32, key: Any) -> Iterator[Finding]:
    """Take a step past the end."""
    state, t = rules.step(state, action, key)
    there = _position(rules, state, t.obs)
    if not np.array_equal(there.obs, here.obs) or there.player != here.player:
        yield finding("moves-after-end", what="changes the position")
    elif t.reward != 0:
        yield finding("moves-after-end", what=f"pays {float(t.reward):g}")
    elif not t.terminated:
        yield finding("moves-after-end", what="is answered with terminated False")


def _permutations(game: Game, number: int, symmetry: Any) -> Finding | None:
    sizes = int(np.prod(game.observation_space.shape)), choices(game.action_space)
    whole = isinstance(symmetry, tuple) and len(symmetry) == 2
    if whole and all(np.array_equal(np.sort(p), np.arange(n)) for p, n in zip(symmetry, sizes, strict=True)):
        return None
    return finding("symmetry-form", number=number, cells=sizes[0], moves=sizes[1])
