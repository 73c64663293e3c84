"""A policy is taught what was written down, and nothing else: compared with least squares."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.planning import imitation
from swingup.planning.imitation import Examples


def loss(weights: Array, obs: Array, action: Array) -> Array:
    """Half the squared error of a linear policy."""
    return 0.5 * jnp.square(obs @ weights - action).sum(-1).mean()


def test_what_is_imitated_is_the_least_squares_solution_of_the_pages_that_are_written() -> None:
    """The pages behind are NaN: one row of them would spoil everything."""
    rng = np.random.default_rng(0)
    obs, action = rng.normal(size=(3, 8, 2)).astype("f"), rng.normal(size=(3, 8, 1)).astype("f")
    obs[2], action[2] = np.nan, np.nan
    book, begun = Examples(jnp.array(obs), jnp.array(action)), jnp.zeros((2, 1))
    how = {"gradient_steps": 1500, "batch_size": 64, "lr": 3e-3}
    weights, last = jax.jit(
        lambda pages: imitation.imitated(loss, begun, book, pages, jax.random.key(0), **how)
    )(jnp.int32(2))
    best = np.linalg.lstsq(obs[:2].reshape(16, 2), action[:2].reshape(16, 1), rcond=None)[0]
    np.testing.assert_allclose(weights, best, atol=0.05)
    assert np.isfinite(last)


def test_a_page_is_written_over_and_others_stay() -> None:
    book = imitation.blank(3, 4, 2, 1)
    obs, action = jnp.arange(8.0).reshape(2, 2, 2), jnp.arange(4.0).reshape(2, 2, 1)  # [T, N, ...]
    once = imitation.written(book, jnp.int32(1), obs, action, jnp.bool_(True))
    again = imitation.written(once, jnp.int32(1), -obs, -action, jnp.bool_(True))
    np.testing.assert_array_equal(again.obs[1], -np.arange(8.0).reshape(4, 2))
    np.testing.assert_array_equal(again.action[1], -np.arange(4.0).reshape(4, 1))
    assert not np.any(again.obs[jnp.array([0, 2])])
    same = imitation.written(again, jnp.int32(0), obs, action, jnp.bool_(False))
    np.testing.assert_array_equal(same.obs, again.obs)
    np.testing.assert_array_equal(same.action, again.action)
