"""Networks are tested: orthogonal weights, layers against NumPy and XLA, and the actor-critic's choices.

Statistical tests compare with 6 standard errors in fewer than 100 places: false alarms below 1e-6.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special as special

from swingup.distributions import Categorical, Normal
from swingup.errors import ConfigError
from swingup.nets.actor_critic import ACTIVATIONS, CNN, MLP, ActorCritic, Conv, Dense, NatureCNN, orthogonal
from swingup.spaces import Box, Discrete

VECTOR, IMAGE, PAIR = Box.of(-1.0, 1.0, (3,)), Box.of(0.0, 1.0, (5, 4, 2)), Box.of(-1.0, 1.0, (2,))

# Compiles in a third of the time; for tests that are not about speed.
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


def actor_critic(observations, actions, key, **changes):
    settings = {"hidden": (16, 8), "activation": "tanh"} | changes
    return ActorCritic(observations, actions, **settings, key=key)


def filled(build):
    """A module with random weights. (Its own initialisation compiles one loop for each shape: slow.)"""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(build, jax.random.key(0))
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) / 2, x.dtype), shapes)


# --- Orthogonal weights


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (64, 64), (7, 1), (1, 7), (1, 1)], ids=str)
def test_orthogonal_columns_or_rows_over_200_seeds(shape):
    """W'W = I (or WW' = I), also for the worst conditioned of 200 square matrices, and scaled."""
    w = np.asarray(jax.jit(jax.vmap(lambda k: orthogonal(k, *shape, scale=2.5)))(keys(200)), np.float64) / 2.5
    assert w.shape == (200, *shape)
    gram = np.swapaxes(w, 1, 2) @ w if shape[0] >= shape[1] else w @ np.swapaxes(w, 1, 2)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(min(shape)), gram.shape), atol=1e-4)


def test_orthogonal_is_uniform():
    """Entries of a uniform (Haar) one have mean 0 and variance 1/n everywhere, and either determinant.

    A QR without the sign correction has a non-zero mean on its diagonal, and one determinant only.
    """
    n, seeds = 4, 10_000
    w = np.asarray(jax.jit(jax.vmap(lambda k: orthogonal(k, n, n)))(keys(seeds)), np.float64)
    assert np.all(np.abs(w.mean(0)) < 6 * np.sqrt(1 / n / seeds))
    variance_of_square = 3 / (n * (n + 2)) - 1 / n**2
    assert np.all(np.abs((w**2).mean(0) - 1 / n) < 6 * np.sqrt(variance_of_square / seeds))
    assert np.all(np.abs(np.mean(w > 0, axis=0) - 0.5) < 6 * 0.5 / np.sqrt(seeds))
    assert abs(np.mean(np.linalg.det(w) > 0) - 0.5) < 6 * 0.5 / np.sqrt(seeds)


@pytest.fixture(scope="module")
def vmapped_init():
    """The initialisation of 8 seeds, lowered: 64 x 64 as in PPO's defaults."""
    return jax.jit(jax.vmap(lambda key: actor_critic(VECTOR, PAIR, key, hidden=(64, 64)))).lower(keys(8))


def test_vmapped_initialisation_equals_the_single_ones(vmapped_init):
    together = jax.tree.leaves(vmapped_init.compile()(keys(8)))
    single = jax.jit(lambda key: actor_critic(VECTOR, PAIR, key, hidden=(64, 64)))
    for i, key in enumerate(keys(8)):
        for a, b in zip(together, jax.tree.leaves(single(key)), strict=True):
            np.testing.assert_allclose(a[i], b, atol=1e-5)


def test_vmapped_initialisation_calls_no_lapack(vmapped_init):
    """Batched LAPACK calls deadlock jaxlib's pool on two threads; a QR would show as such a call."""
    qr = jax.jit(jax.vmap(lambda k: jnp.linalg.qr(jax.random.normal(k, (4, 4)))[0])).lower(keys(8)).as_text()
    names = ("lapack", "geqrf", "householder", "qr_", "gesdd", "syevd", "custom_call")
    assert any(name in qr.lower() for name in names)  # the search would find one
    text = vmapped_init.as_text().lower()
    assert [name for name in names if name in text] == []


# --- Layers


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_mlp_matches_numpy(activation):
    """Activation after each layer but the last, biases included, any leading axes."""
    reference = {
        "tanh": np.tanh,
        "relu": lambda x: np.maximum(x, 0),
        "silu": lambda x: x * special.expit(x),
        "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    }[activation]
    rng = np.random.default_rng(0)
    mlp = filled(lambda key: MLP((3, 5, 4, 2), activation, 1.0, key=key))
    x = rng.normal(size=(2, 3, 3)).astype(np.float32)
    expected = x.astype(np.float64)
    for i, layer in enumerate(mlp.layers):
        expected = expected @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias, np.float64)
        expected = reference(expected) if i < 2 else expected
    np.testing.assert_allclose(quick(lambda m, x: m(x))(mlp, x), expected, rtol=1e-4, atol=1e-4)


def test_mlp_starts_orthogonal_with_zero_biases():
    """√2 in hidden layers, `last_scale` in the last."""
    mlp = quick(lambda key: MLP((3, 8, 8, 2), "tanh", 0.01, key=key))(jax.random.key(0))
    for layer, scale in zip(mlp.layers, (np.sqrt(2), np.sqrt(2), 0.01), strict=True):
        singular_values = np.linalg.svd(np.asarray(layer.weight), compute_uv=False)
        np.testing.assert_allclose(singular_values, np.full(singular_values.shape, scale), rtol=1e-4)
        assert not np.any(layer.bias)
    hidden = [np.asarray(layer.weight) for layer in mlp.layers[:2]]
    assert not np.allclose(hidden[0], hidden[1][:3])  # each layer has its own key


def kernel_of(conv, channels):
    """The weight [size, size, C, outputs] in the order of rows and columns of pixels."""
    n, s = conv.size // conv.stride, conv.stride
    squares = np.asarray(conv.dense.weight).reshape(n, n, s, s, channels, -1)
    return squares.transpose(0, 2, 1, 3, 4, 5).reshape(conv.size, conv.size, channels, -1)


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (4, 2), (8, 4), (2, 2), (1, 1)])
def test_conv_matches_xlas_convolution(size, stride):
    """Also where the stride leaves a border over, which is dropped: 13 by 11 pixels."""
    conv = filled(lambda key: Conv(2, 6, size, stride, key=key))
    x = np.random.default_rng(1).normal(size=(2, 3, 13, 11, 2)).astype(np.float32)
    expected = jax.lax.conv_general_dilated(
        x.reshape(6, 13, 11, 2),
        kernel_of(conv, 2),
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    got = quick(lambda c, x: c(x))(conv, x)
    assert got.shape == (2, 3, (13 - size) // stride + 1, (11 - size) // stride + 1, 6)
    np.testing.assert_allclose(got.reshape(expected.shape), expected + conv.dense.bias, rtol=1e-4, atol=1e-4)


def test_cnn_is_conv_relu_dense_relu():
    cnn = filled(lambda key: CNN((5, 4, 2), 7, key=key))
    x = np.random.default_rng(1).normal(size=(3, 5, 4, 2)).astype(np.float32)
    convolved, got = quick(lambda cnn, x: (cnn.conv(x), cnn(x)))(cnn, x)
    hidden = np.maximum(np.asarray(convolved), 0).reshape(3, -1)
    expected = np.maximum(hidden @ np.asarray(cnn.dense.weight) + np.asarray(cnn.dense.bias), 0)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_nature_cnn_is_the_one_of_mnih_et_al():
    """Filters of 8x8, 4x4 and 3x3 with strides 4, 2 and 1: 20x20x32, 9x9x64, 7x7x64, then a dense layer."""
    cnn = jax.tree.map(lambda x: x / 16, filled(lambda key: NatureCNN((84, 84, 4), 5, key=key)))
    x = np.random.default_rng(1).random((2, 84, 84, 4)).astype(np.float32)
    got, hidden = quick(lambda c, x: c(x))(cnn, x[None]), x
    for layer, size, stride, shape in zip(
        cnn.convs, (8, 4, 3), (4, 2, 1), ((20, 20, 32), (9, 9, 64), (7, 7, 64)), strict=True
    ):
        windows = np.lib.stride_tricks.sliding_window_view(hidden, (size, size), (1, 2))[
            :, ::stride, ::stride
        ]
        kernel = kernel_of(layer, hidden.shape[-1])
        hidden = np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, kernel) + np.asarray(layer.dense.bias), 0)
        assert hidden.shape == (2, *shape)
    expected = np.maximum(
        hidden.reshape(2, -1) @ np.asarray(cnn.dense.weight) + np.asarray(cnn.dense.bias), 0
    )
    np.testing.assert_allclose(got[0], expected, rtol=1e-3, atol=1e-3)
    assert got.any()


@pytest.mark.parametrize(
    "build",
    [
        lambda k: Dense(3, 2, 1.0, key=k),
        lambda k: MLP((3, 4, 2), "relu", 1.0, key=k),
        lambda k: Conv(2, 3, key=k),
        lambda k: CNN((4, 4, 1), 3, key=k),
        lambda k: actor_critic(VECTOR, Discrete(3), k),
        lambda k: actor_critic(Discrete(4), PAIR, k),
        lambda k: actor_critic(IMAGE, PAIR, k),
    ],
    ids=["Dense", "MLP", "Conv", "CNN", "vector", "one-hot", "image"],
)
def test_modules_are_pytrees_of_float_arrays_only(build):
    """So plain jit, grad, vmap and scan apply. They are built under a trace here: that works too."""

    def traced(key):
        leaves = jax.tree.leaves(build(key))
        assert all(isinstance(x, jax.Array) for x in leaves)
        return leaves

    leaves = jax.eval_shape(traced, jax.random.key(0))
    assert len(leaves) >= 2
    assert all(x.dtype == jnp.float32 for x in leaves)


# --- The actor-critic


def test_actor_critic_shares_a_cnn_for_images_only():
    """[H, W, C] gets a CNN with two heads; vectors, matrices and integers get two separate MLPs."""
    for space in (VECTOR, Discrete(4), Box.of(0.0, 1.0, (8, 8))):
        assert filled(partial(actor_critic, space, Discrete(3))).body is None
    net = filled(partial(actor_critic, IMAGE, Discrete(3)))
    assert isinstance(net.body, CNN)
    assert net.body.dense.weight.shape == (3 * 2 * 16, 16)
    assert [layer.weight.shape for layer in net.actor.layers] == [(16, 8), (8, 3)]
    frames = filled(partial(actor_critic, Box.of(0, 255, (84, 84, 4), "uint8"), Discrete(3), hidden=(512,)))
    assert isinstance(frames.body, NatureCNN)
    assert frames.body.dense.weight.shape == (7 * 7 * 64, 512)


@quick
def value_gradient(net, obs):
    """How much V moves with the parameters of each part."""
    grad = jax.grad(lambda net: net.value(obs).sum())(net)

    def size(tree):
        return sum(jnp.abs(x).sum() for x in jax.tree.leaves(tree))

    return size(grad.body), size(grad.actor), size(grad.critic)


def test_gradients_of_the_value_reach_the_parts_that_they_should():
    """V moves no policy weight on vectors; on images it moves the shared body, but no policy head."""
    body, actor, critic = value_gradient(filled(partial(actor_critic, VECTOR, Discrete(3))), np.ones((2, 3)))
    assert (body, actor) == (0, 0)
    assert critic > 0
    obs = np.random.default_rng(0).random((2, 5, 4, 2))
    body, actor, critic = value_gradient(filled(partial(actor_critic, IMAGE, Discrete(3))), obs)
    assert actor == 0
    assert body > 0
    assert critic > 0


def test_integer_observations_are_one_hot():
    """V of state i is that of the i-th unit vector."""
    net = filled(partial(actor_critic, Discrete(4), Discrete(3), hidden=(8,)))
    (w, b), (v, c) = ((np.asarray(x.weight), np.asarray(x.bias)) for x in net.critic.layers)
    expected = np.tanh(np.eye(4) @ w + b) @ v + c
    got = quick(lambda net, obs: net.value(obs))(net, jnp.arange(4))
    np.testing.assert_allclose(got, expected[:, 0], rtol=1e-4, atol=1e-5)
    assert len(set(np.asarray(got).tolist())) == 4


@pytest.mark.parametrize("space", [VECTOR, IMAGE, Discrete(4)], ids=["vector", "image", "one-hot"])
def test_leading_axes_are_a_batch(space):
    """π and V of a [T, N] batch are those of each observation alone."""
    net = filled(partial(actor_critic, space, PAIR))
    obs = quick(jax.vmap(jax.vmap(space.sample)))(keys(6).reshape(2, 3))

    @quick
    def use(net, obs):
        pi, value = net(obs)
        return pi.mean, value, net.policy(obs).mean, net.value(obs), pi.log_prob(jnp.ones(2))

    together, alone = use(net, obs), use(net, obs[1, 2])
    for both, single in ((0, 2), (1, 3)):  # the two at once are the two one by one
        np.testing.assert_array_equal(together[both], together[single])
    for a, b in zip(together, alone, strict=True):
        assert a.shape[:2] == (2, 3)
        np.testing.assert_allclose(a[1, 2], b, rtol=1e-4, atol=1e-4)


def begin(observations, actions):
    """The initial policy and values at 50 observations."""

    @quick
    def build(key, obs_keys):
        net = actor_critic(observations, actions, key, log_std_init=-0.5)
        obs = jax.vmap(observations.sample)(obs_keys)
        return net.policy(obs), net.value(obs)

    return build(jax.random.key(0), keys(50))


@pytest.mark.parametrize("observations", [VECTOR, IMAGE, Discrete(4)], ids=["vector", "image", "one-hot"])
def test_initial_policies_are_nearly_uniform(observations):
    """The last policy layer is scaled by 0.01, that of the value is not."""
    policy, value = begin(observations, Discrete(4))
    assert isinstance(policy, Categorical)
    np.testing.assert_allclose(special.softmax(policy.logits, -1), np.full((50, 4), 0.25), atol=0.02)
    assert np.ptp(np.asarray(value)) > 0.05


def test_initial_gaussian_policies_are_centred_with_the_chosen_width():
    policy, _ = begin(VECTOR, PAIR)
    assert isinstance(policy, Normal)
    np.testing.assert_allclose(policy.mean, np.zeros((50, 2)), atol=0.1)
    np.testing.assert_array_equal(policy.log_std, np.full(2, -0.5))


def test_unusable_settings_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'tanh'"):
        actor_critic(VECTOR, Discrete(3), jax.random.key(0), activation="tahn")
    for shape in ((2, 2), ()):
        with pytest.raises(ConfigError, match="no policy head"):
            actor_critic(VECTOR, Box.of(-1.0, 1.0, shape), jax.random.key(0))
