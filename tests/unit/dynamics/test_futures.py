"""What is imagined of each action is compared with the environment itself, stepped in a plain loop."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from imagined_by_hand import LEVELS
from jax import Array

from swingup.distributions import Categorical
from swingup.dynamics import futures
from swingup.dynamics.planes import Copied, Corrupted
from swingup.envs.models import Exact
from swingup.envs.pushbox import AGENT, GOAL, PushBox
from swingup.nets.imagination import Future
from swingup.types import Seen, Transition

ENV, DEPTH, ACTIONS = PushBox(), 3, 4


FAULTY = Corrupted(Copied(), 0.3, (7, 7, 4))


def biased(obs: Array) -> Categorical:
    """A policy that looks where the agent stands."""
    row = obs[..., AGENT].astype(jnp.float32).sum(-1) @ jnp.arange(7.0)
    return Categorical(jnp.stack([row, 3 - row, 0.5 * row, jnp.zeros_like(row)], -1))


@partial(jax.jit, static_argnums=1)
def run(model: Any, guess: Any, obs: Array, keys: Array) -> Future:
    """One program for each kind of model."""
    chance = jax.vmap(partial(futures.draw, model, ACTIONS, DEPTH))(keys)
    return futures.imagine(model, guess, obs, chance)


def dreamt(model: Any, obs: Any = LEVELS, key: Array | None = None, guess: Any = biased) -> Future:
    keys = jax.random.split(jax.random.key(7), len(obs)) if key is None else key
    return jax.device_get(run(model, guess, jnp.asarray(obs), keys))


def test_a_dream_of_the_exact_model_is_what_the_environment_does() -> None:
    """Step by step for each level and first action, with the guesses that its own noise makes."""
    keys = jax.random.split(jax.random.key(7), len(LEVELS))
    found, step = dreamt(Exact(ENV)), jax.jit(ENV.step)
    ended = 0
    for b, level in enumerate(LEVELS):
        _, gumbel = futures.draw(Exact(ENV), ACTIONS, DEPTH, keys[b])
        for first in range(ACTIONS):
            state, action, alive = ENV.state_of(jnp.asarray(level)), first, True
            for h in range(DEPTH):
                state, t = step(state, jnp.int32(action), keys[0])
                frame, reward = (t.obs, t.reward) if alive else (0 * t.obs, 0.0)
                np.testing.assert_array_equal(found.frames[b, first, h], frame)
                np.testing.assert_allclose(found.reward[b, first, h], reward)
                alive = alive and not t.terminated
                action = int(biased(t.obs).from_noise(gumbel[h, first]))
            ended += not alive
    # One push solves the first level, and guesses may solve others: nothing is seen behind an end.
    assert 1 <= ended < len(LEVELS) * ACTIONS


def test_the_first_action_is_forced_and_all_others_are_guessed() -> None:
    """The guess is always 3, left: so only the first env step depends on the action."""

    class Named(eqx.Module):
        """A model that shows the actions that it was asked for."""

        def start(self, seen: Seen) -> Array:
            return seen.obs

        def draw(self, key: Array, lead: tuple[int, ...]) -> Any:
            return ()

        def step(self, state: Array, action: Array, noise: Any) -> tuple[Array, Transition]:
            none = jnp.zeros(len(action), bool)
            return state, Transition(state, action.astype(jnp.float32), none, none)

    def left(obs: Array) -> Categorical:
        return Categorical(jnp.where(jnp.arange(4) == 3, 100.0, jnp.zeros((len(obs), 4))))

    found = dreamt(Named(), guess=left)
    np.testing.assert_array_equal(found.reward[..., 0], np.tile(np.arange(4), (len(LEVELS), 1)))
    np.testing.assert_array_equal(found.reward[..., 1:], 3)


def test_a_rows_dreams_depend_on_that_row_alone() -> None:
    """States and actions are laid out alike: another order, or other rows beside it, change no bit of a row's."""
    keys = jax.random.split(jax.random.key(9), 3)
    for model in (Exact(ENV), FAULTY):
        whole, order = dreamt(model, key=keys), np.array([2, 0, 1])
        turned = dreamt(model, LEVELS[order], keys[order])
        for x, y in zip(whole, turned, strict=True):
            np.testing.assert_array_equal(x[order], y)
    beside = LEVELS.copy()
    beside[1:] = LEVELS[0]
    for x, y in zip(dreamt(FAULTY, beside, keys), dreamt(FAULTY, key=keys), strict=True):
        np.testing.assert_array_equal(x[0], y[0])


def test_rows_with_keys_of_their_own_dream_differently_from_the_same_place() -> None:
    frames = dreamt(FAULTY, np.stack([LEVELS[1]] * 3)).frames
    assert np.any(frames[0] != frames[1])
    assert np.any(frames[0, 0] != frames[0, 1])  # and so does each action


def test_no_gradient_comes_back_through_a_dream() -> None:
    def earned(bonus: Array) -> Array:
        class Paying(Copied):
            def step(self, state: Array, action: Array, noise: Any) -> tuple[Array, Transition]:
                none = jnp.zeros(len(action), bool)
                return state, Transition(state, bonus * jnp.ones(len(action)), none, none)

        keys = jax.random.split(jax.random.key(0), 3)
        chance = jax.vmap(partial(futures.draw, Paying(), 4, 2))(keys)
        return futures.imagine(Paying(), biased, jnp.asarray(LEVELS), chance).reward.sum()

    value, slope = jax.jit(jax.value_and_grad(earned))(jnp.float32(2.0))
    assert float(value) == 2 * 3 * 4 * 2
    assert float(slope) == 0


def test_an_observation_decides_its_key() -> None:
    """The same one in whatever row; another one for another bit."""
    one = LEVELS[0].copy()
    one[3, 4, GOAL], one[5, 5, GOAL] = 0, 1
    rows = jax.random.key_data(futures.keys_of(jnp.asarray(np.stack([*LEVELS, one, LEVELS[0]]))))
    assert len({tuple(x) for x in np.asarray(rows).tolist()}) == 4
    np.testing.assert_array_equal(rows[0], rows[-1])
