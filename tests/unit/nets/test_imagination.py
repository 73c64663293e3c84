"""The reader of imagined rollouts is compared with a plain loop, and agents with others of as many weights."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imagined_by_hand import affine, slow_cnn, slow_code, slow_heads

from swingup.nets.imagination import Future, Guess, Imaginative, Sight, network, weights
from swingup.spaces import Box

SPACE, ACTIONS, CODE, DEPTH = Box.of(0, 1, (4, 5, 2), "uint8"), 3, 2, 3


@pytest.fixture(scope="module")
def net() -> Imaginative:
    """An agent whose weights are all random, biases too."""
    make = partial(Imaginative, SPACE, ACTIONS, (4,), "tanh", width=3, code=CODE)
    made = jax.eval_shape(lambda: make(key=jax.random.key(0)))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape), jnp.float32), made)


def sights(size: int = 4) -> Any:
    sight: Any = Sight
    future: Any = Future
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 2, (size, ACTIONS, DEPTH, *SPACE.shape)).astype(np.uint8)
    obs = rng.integers(0, 2, (size, *SPACE.shape)).astype(np.uint8)
    return sight(obs, future(frames, rng.normal(size=(size, ACTIONS, DEPTH)).astype(np.float32)))


def test_a_code_is_that_of_a_slow_loop_backwards_in_time(net: Imaginative) -> None:
    assert net.encoder
    future = sights().future
    code = jax.jit(lambda encoder, future: encoder(*future))(
        net.encoder, future._replace(frames=future.frames.astype(np.float32))
    )
    for b, a in np.ndindex(code.shape[:2]):
        expected = slow_code(net.encoder, future.frames[b, a], future.reward[b, a])
        np.testing.assert_allclose(code[b, a], expected, rtol=1e-4, atol=1e-5)
        forward = slow_code(net.encoder, future.frames[b, a][::-1], future.reward[b, a][::-1])
        assert np.max(np.abs(code[b, a] - forward)) > 1e-3  # the order matters


def test_policy_and_value_are_those_of_a_slow_loop(net: Imaginative) -> None:
    """The path without a model comes first, then the codes by their actions."""
    sight = sights()
    pi, value = jax.jit(lambda net, sight: net(sight))(net, sight)
    for b in range(len(value)):
        logits, v = slow_heads(net, sight, b)
        np.testing.assert_allclose(pi.logits[b], logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(value[b], v, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_leading_axes_are_only_batches(net: Imaginative) -> None:
    sight = sights()
    lead = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), sight)
    read = jax.jit(lambda net, sight: (net.policy(sight).logits, net.value(sight)))
    for x, y in zip(read(net, sight), read(net, lead), strict=True):
        np.testing.assert_allclose(x, y.reshape(x.shape), rtol=1e-5, atol=1e-6)


def test_the_rollout_policy_looks_at_what_is_there_alone(net: Imaginative) -> None:
    assert isinstance(net.guess, Guess)
    obs = sights().obs
    said = jax.jit(lambda net, obs: net.guessed(obs).logits)(net, obs)
    for b in range(len(obs)):
        expected = affine(net.guess.head, slow_cnn(net.guess.eye, obs[b].astype(np.float64)))
        np.testing.assert_allclose(said[b], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("hidden, code, shape", [((64,), 32, (7, 7, 4)), ((16, 8), 5, (10, 10, 6))])
def test_who_does_not_imagine_has_as_many_weights(
    hidden: tuple[int, ...], code: int, shape: tuple[int, int, int]
) -> None:
    """To within half of what one unit of the path has, which is less than one in a hundred."""
    space = Box.of(0, 1, shape, "uint8")

    def count(imagines: bool) -> int:
        made = jax.eval_shape(
            lambda: network(space, 4, hidden, "relu", code, imagines=imagines, key=jax.random.key(0))
        )
        return weights(made)

    (height, width, _), whole, path = shape, count(True), count(False)
    unit = (height - 2) * (width - 2) * 16 + 1 + 2 * hidden[0]
    assert abs(whole - path) <= unit / 2
    assert abs(whole - path) < 0.03 * whole
