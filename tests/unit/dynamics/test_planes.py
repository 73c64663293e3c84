"""Models of planes are compared with slow loops in NumPy, and with environments whose planes they tell."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imagined_by_hand import LEVELS
from jax import Array
from scipy.stats import binom

from conftest import Idle
from swingup.dynamics import planes
from swingup.dynamics.planes import Copied, Corrupted, Planes, Steps
from swingup.envs.models import Exact
from swingup.envs.pushbox import PushBox
from swingup.errors import ConfigError
from swingup.nets.layers import Conv
from swingup.optimisers import descend, fresh
from swingup.spaces import Box, Discrete
from swingup.types import Seen

SPACE, ACTIONS = Box.of(0, 1, (4, 5, 2), "uint8"), 3


def model(space: Box = SPACE, actions: int = ACTIONS, filters: int = 3) -> Planes:
    """A network whose weights are all random, biases too."""
    net = jax.eval_shape(lambda: Planes(space, actions, filters, key=jax.random.key(0)))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape), jnp.float32), net)


def some(size: int = 6, seed: int = 1) -> Any:
    """Transitions of random bits."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (2, size, *SPACE.shape)).astype(np.uint8)
    action, reward = rng.integers(0, ACTIONS, size), rng.normal(size=size).astype(np.float32)
    made: Any = Steps
    return made(bits[0], action, reward, bits[1], rng.integers(0, 2, size).astype(bool))


def slow_conv(conv: Conv, x: np.ndarray) -> np.ndarray:
    """A convolution that keeps the size, cell by cell; around the image there are zeros."""
    weight, bias = (np.asarray(w, np.float64) for w in (conv.dense.weight, conv.dense.bias))
    height, width, kinds = x.shape
    reach = conv.size // 2
    out = np.zeros((height, width, len(bias)))
    for i in range(height):
        for j in range(width):
            seen = np.zeros((conv.size, conv.size, kinds))
            for di in range(-reach, reach + 1):
                for dj in range(-reach, reach + 1):
                    if 0 <= i + di < height and 0 <= j + dj < width:
                        seen[di + reach, dj + reach] = x[i + di, j + dj]
            out[i, j] = seen.ravel() @ weight + bias
    return out


def slow_said(net: Planes, obs: np.ndarray, action: int) -> tuple[np.ndarray, float, float]:
    """Logits, reward and logit of the end of one transition, in float64."""
    x = np.concatenate([obs, np.broadcast_to(np.eye(net.actions)[action], (*obs.shape[:2], net.actions))], -1)
    for conv in net.convs:
        x = np.maximum(slow_conv(conv, x), 0)
    bits = slow_conv(net.bits, x) + 4 * (2.0 * obs - 1)
    pooled = np.concatenate([x.mean((0, 1)), x.max((0, 1))])
    first, last = net.head.layers
    hidden = np.maximum(pooled @ np.float64(first.weight) + np.float64(first.bias), 0)
    reward, end = hidden @ np.float64(last.weight) + np.float64(last.bias)
    return bits, reward, end


def test_what_it_says_is_that_of_a_slow_loop() -> None:
    net, b = model(), some()
    both = jax.jit(lambda net, obs, action: (net(obs, action), net.step(obs, action, ())))
    said, (after, t) = both(net, b.obs, b.action)
    for i in range(len(b.reward)):
        bits, reward, end = slow_said(net, b.obs[i], b.action[i])
        np.testing.assert_allclose(said.bits[i], bits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose([said.reward[i], said.end[i]], [reward, end], rtol=1e-4, atol=1e-4)
        sure = np.abs(bits) > 1e-3
        np.testing.assert_array_equal(np.asarray(after[i])[sure], (bits > 0)[sure])
        assert bool(t.terminated[i]) == (end > 0)
    assert after.dtype == np.uint8
    assert not np.any(t.truncated)


def test_the_loss_is_that_of_a_slow_loop() -> None:
    """Cross-entropy of each bit, and of the end; the squared error of the reward; a mean over transitions."""
    net, b = model(), some()
    expected = 0.0
    for i in range(len(b.reward)):
        bits, reward, end = slow_said(net, b.obs[i], b.action[i])

        def nats(logit: Any, truth: Any) -> Any:
            p = 1 / (1 + np.exp(-logit))
            return -np.where(truth > 0, np.log(p), np.log(1 - p))

        expected += nats(bits, b.next_obs[i]).sum() + (reward - b.reward[i]) ** 2
        expected += float(nats(end, b.terminated[i]))
    found = jax.jit(planes.loss)(net, b)
    np.testing.assert_allclose(found, expected / len(b.reward), rtol=1e-4)


@pytest.mark.slow
def test_an_untrained_model_copies() -> None:
    """So that it begins with what is right of most bits."""
    b = some()
    made = jax.jit(lambda key: Planes(SPACE, ACTIONS, 3, key=key).step(b.obs, b.action, ())[0])
    assert np.mean(np.asarray(made(jax.random.key(0))) == b.obs) > 0.9


def test_a_copy_says_that_nothing_happens_and_is_wrong_where_something_does() -> None:
    b = some()
    told = planes.told(Copied(), b, jax.random.key(0))
    assert float(told["model/bits_wrong"]) == float(told["model/bits_changed"]) > 0.3
    np.testing.assert_allclose(told["model/reward_error"], np.sqrt(np.mean(b.reward**2)), rtol=1e-5)


def test_the_environment_itself_is_never_wrong() -> None:
    env = PushBox()
    obs, action = jnp.asarray(np.repeat(LEVELS, 4, 0)), jnp.tile(jnp.arange(4), len(LEVELS))

    def go(key: Array) -> Any:
        state, keys = jax.vmap(env.state_of)(obs), jax.random.split(key, len(obs))
        _, t = jax.vmap(env.step)(state, action, keys)
        return planes.told(Exact(env), Steps(obs, action, t.reward, t.obs, t.terminated), key)

    told = jax.jit(go)(jax.random.key(0))
    assert float(told["model/bits_wrong"]) == 0
    assert float(told["model/reward_error"]) == 0
    assert float(told["model/bits_changed"]) > 0


def test_flips_of_probability_zero_change_no_bit_and_of_one_all() -> None:
    net, b = model(), some()
    expected = net.step(b.obs, b.action, ())
    for p, flipped in ((0.0, False), (1.0, True)):
        faulty = Corrupted(net, p, SPACE.shape)
        after, t = faulty.step(faulty.start(Seen(b.obs)), b.action, faulty.draw(jax.random.key(1), (6,)))
        np.testing.assert_array_equal(np.asarray(after) != np.asarray(expected[0]), flipped)
        np.testing.assert_array_equal(after, t.obs)  # it goes on from what it shows
        np.testing.assert_array_equal(t.reward, expected[1].reward)
        assert after.dtype == expected[0].dtype


def test_bits_are_flipped_as_often_as_is_said() -> None:
    """Binomial, with a false alarm in a million."""
    faulty, size = Corrupted(Copied(), 0.1, SPACE.shape), 200
    obs = jnp.zeros((size, *SPACE.shape), jnp.uint8)
    after, _ = faulty.step(obs, jnp.zeros(size, jnp.int32), faulty.draw(jax.random.key(5), (size,)))
    low, high = binom.interval(1 - 1e-6, obs.size, 0.1)
    assert low <= int(np.sum(np.asarray(after))) <= high


@pytest.mark.parametrize(
    "space, actions, wanted",
    [
        (Box.of(-1, 1, (4,)), Discrete(2), "planes"),
        (Discrete(5), Discrete(2), "planes"),
        (Box.of(0, 255, (7, 7, 3), "uint8"), Discrete(2), "zeros and ones.*0 to 255"),
        (SPACE, Box.of(-1, 1, (1,)), "Discrete"),
    ],
    ids=["vectors", "integers", "grey pixels", "real actions"],
)
def test_what_cannot_be_imagined_as_planes_is_refused(space: Any, actions: Any, wanted: str) -> None:
    idle: Any = Idle
    with pytest.raises(ConfigError, match=wanted):
        planes.planes(idle("Somewhere", 2, space, actions))


def played(env: PushBox, size: int) -> Steps:
    """Transitions of random actions in levels of one's own."""
    key = jax.random.key(3)
    keys, action = jax.random.split(key, size), jax.random.randint(key, (size,), 0, 4)

    @jax.jit
    def go(keys: Array, action: Array) -> Any:
        state, obs = jax.vmap(env.reset)(keys)
        return obs, jax.vmap(env.step)(state, action, keys)[1]

    obs, t = go(keys, action)
    return Steps(obs, action, t.reward, t.obs, t.terminated)


@pytest.mark.slow
def test_a_model_learns_the_puzzle_from_random_levels() -> None:
    """After 1,500 gradient steps less than a tenth as many bits are wrong as change, on levels that it has not seen."""
    env, rule = PushBox(), planes.optimizer(3e-3)
    space: Any = env.observation_space
    net = Planes(space, 4, 16, key=jax.random.key(1))
    rows = played(env, 2048)
    test = jax.tree.map(lambda x: x[:256], rows)
    slope = jax.grad(planes.loss)

    def gradient_step(carry: Any, key: Array) -> Any:
        at = jax.random.randint(key, (64,), 256, 2048)
        net, opt_state = carry
        return descend(rule, net, opt_state, slope(net, jax.tree.map(lambda x: x[at], rows))), None

    first = net, fresh(rule, net)
    net = jax.jit(lambda first, keys: jax.lax.scan(gradient_step, first, keys)[0][0])(
        first, jax.random.split(jax.random.key(2), 1500)
    )
    told = planes.told(net, test, jax.random.key(0))
    assert float(told["model/bits_wrong"]) < 0.1 * float(told["model/bits_changed"])
