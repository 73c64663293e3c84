"""Tests say what an observation is: images by their shape, bytes by their bounds, and what is normalised."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conftest import algorithm, small
from swingup import train
from swingup.envs import make
from swingup.errors import ConfigError
from swingup.nets.actor_critic import CNN, ActorCritic, NatureCNN
from swingup.nets.observations import check_body, features, image_shape, obs_moments, role, scale
from swingup.nets.value_networks import ActorNetwork, Critic, QNetwork
from swingup.normalise import Off
from swingup.spaces import Box, Discrete

ACTIONS, TORQUES = Discrete(3), Box.of(-1.0, 1.0, (2,))


def pixels(*shape: int, dtype: str = "uint8") -> Box:
    return Box.of(0, 255, shape, dtype)


def filled(build: Any) -> Any:
    """A module with random weights of a moderate size, without the costly orthogonal ones."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(build, jax.random.key(0))
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) / 50, x.dtype), shapes)


# --- Roles

ROLES = {
    (84, 84, 4): "channels last",
    (84, 84, 1): "channels last",
    (210, 160, 3): "channels last",
    (96, 96, 3): "channels last",
    (10, 10, 10): "channels last",  # Seaquest-MinAtar
    (8, 8, 119): "channels last",  # a chess board
    (5, 4, 2): "channels last",
    (4, 84, 84): "channels first",
    (3, 64, 64): "channels first",
    (1, 84, 84): "channels first",
    (3, 210, 160): "channels first",
    (119, 8, 8): "channels first",
    (1, 30, 5): "channels first",
    (6, 7, 8): "vector",  # no axis is clearly the channels
    (8, 10, 119): "vector",
    (40, 3, 50): "vector",
    (3, 64, 3): "vector",
    (2, 2, 3): "vector",  # nothing to convolve
    (1, 1, 1): "vector",
    (3, 2, 2): "vector",
    (200, 2, 1): "vector",
    (3, 3, 1): "channels last",
    (84, 84): "vector",
    (7,): "vector",
    (): "vector",
}


@pytest.mark.parametrize(("shape", "kind"), ROLES.items(), ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int32"])
def test_the_shape_decides_what_is_an_image(shape: tuple[int, ...], kind: str, dtype: str) -> None:
    assert role(pixels(*shape, dtype=dtype)) == kind


def test_the_option_body_overrules_it() -> None:
    assert role(pixels(84, 84, 4), "mlp") == role(pixels(2, 3, 4, 5), "mlp") == "vector"
    assert role(pixels(84, 84), "cnn") == "matrix"
    assert role(pixels(4, 84, 84), "cnn") == "channels first"
    assert role(pixels(6, 7, 8), "cnn") == "channels last"
    assert role(Discrete(4), "mlp") == role(Discrete(4)) == "one-hot"
    assert image_shape(pixels(20, 30), "matrix") == (20, 30, 1)
    assert image_shape(pixels(4, 84, 80), "channels first") == (84, 80, 4)


@pytest.mark.parametrize(
    ("space", "body", "words"),
    [
        (Discrete(4), "cnn", "they are integers"),
        (pixels(7), "cnn", r"their shape is \[7\]"),
        (pixels(2, 2, 3), "cnn", "have 2 x 2"),
        (pixels(2, 9), "cnn", "have 2 x 9"),
        (pixels(4, 84, 84, 1), "auto", "have 4 axes"),
        (pixels(4, 84, 84, 1), "cnn", "have 4 axes"),
        (pixels(84, 84, 4), "conv", "body"),
    ],
)
def test_impossible_bodies_are_refused(space: Any, body: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        role(space, body)


def test_a_memory_is_a_body_itself() -> None:
    check_body("auto", "lstm")
    with pytest.raises(ConfigError, match="body='auto'"):
        check_body("mlp", "lstm")


# --- Features


def test_features_of_each_kind_of_space() -> None:
    """One-hot integers, flat arrays, images with their channels last, whichever way they came."""
    one_hot = features(Discrete(3), jnp.array([[2, 0]]), "one-hot")
    np.testing.assert_array_equal(one_hot, [[[0, 0, 1], [1, 0, 0]]])
    matrix = np.arange(12.0).reshape(2, 2, 3)
    space = Box.of(0.0, 20.0, (2, 3))
    np.testing.assert_array_equal(features(space, jnp.asarray(matrix), "vector"), matrix.reshape(2, 6))
    np.testing.assert_array_equal(features(space, jnp.asarray(matrix), "matrix"), matrix[..., None])
    assert features(Box.of(0.0, 1.0, ()), jnp.zeros(5), "vector").shape == (5, 1)
    image = np.random.default_rng(0).integers(0, 256, (7, 3, 20, 30)).astype(np.uint8)
    got = features(pixels(3, 20, 30), jnp.asarray(image), "channels first")
    np.testing.assert_allclose(got, np.moveaxis(image, 1, -1) / 255, rtol=1e-6)


def test_bytes_are_scaled_by_their_bounds() -> None:
    """From [low, high] to [0, 1], each entry by its own; not by 255."""
    space = Box.of([10, 0, 0], [60, 255, 100], (3,), "uint8")
    obs = jnp.array([[10, 0, 0], [60, 255, 100], [35, 51, 25]], jnp.uint8)
    np.testing.assert_allclose(features(space, obs, "vector"), [[0, 0, 0], [1, 1, 1], [0.5, 0.2, 0.25]])


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 1, "uint8"),  # flags and one-hots
        (0, 15, "uint8"),  # codes
        (7, 7, "uint8"),  # a constant
        (0, 1, "bool"),
        (0, 1000, "int32"),
        (-100, 100, "int16"),
        (-300.0, 300.0, "float32"),
        (-np.inf, np.inf, "float32"),
    ],
)
def test_flags_codes_other_integers_and_floats_stay(low: float, high: float, dtype: str) -> None:
    space = Box(float(low), float(high), (4,), dtype)
    obs = jnp.asarray(np.array([low, high, high, low]) if np.isfinite(low) else np.arange(4.0), dtype)
    np.testing.assert_array_equal(features(space, obs, "vector"), np.asarray(obs, np.float32))


def test_seventeen_levels_are_a_number() -> None:
    np.testing.assert_array_equal(scale(Box.of(0, 16, (1,), "uint8"), "vector")[1], 16)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_pixels_are_scaled_whatever_their_type(dtype: str) -> None:
    """[0, 255] in floats or integers are pixels too, if it is an image; a vector of numbers from 0 to 255 is none."""
    assert float(
        features(pixels(9, 9, 3, dtype=dtype), jnp.full((9, 9, 3), 51, dtype), "channels last").max()
    ) == (pytest.approx(0.2))
    factor = 255 if dtype == "uint8" else 1
    assert np.all(scale(pixels(9, dtype=dtype), "vector")[1] == factor)


# --- Running statistics


def test_what_is_normalised_and_what_is_not() -> None:
    """Neither one-hots, images nor scaled bytes; floats, integers and flags are."""
    none = (Discrete(4), pixels(84, 84, 4), pixels(4, 84, 84), pixels(7), Box.of(0.0, 1.0, (10, 10, 4)))
    assert [obs_moments(space) for space in none] == [Off()] * len(none)
    free = Box.of(-np.inf, np.inf, (8, 8, 2))
    for space in (Box.of(-1.0, 1.0, (3,)), Box.of(0, 1000, (3,), "int32"), Box.of(0, 1, (3,), "uint8"), free):
        found = obs_moments(space)
        assert found is not None
        assert found.mean.shape == space.shape
    assert obs_moments(Box.of(0.0, 1.0, (10, 10, 4)), "mlp") != Off()


# --- Bodies

IMAGES = [
    (84, 84, 4),
    (84, 84, 1),
    (4, 84, 84),
    (1, 84, 84),
    (3, 64, 64),
    (64, 64, 3),
    (96, 96, 3),
    (210, 160, 3),
]
LARGE = [(36, 36, 3), (128, 128, 3), (128, 129, 1), (256, 256, 3), (40, 200, 1), (512, 512, 1)]
SMALL = [(35, 35, 3), (1, 30, 5), (7, 7, 3), (3, 3, 2), (10, 10, 4), (36, 35, 1)]
TINY = [(2, 2, 3), (1, 1, 1), (2, 9, 1), (1, 1, 5)]


def size(net: Any) -> int:
    return sum(x.size for x in jax.tree.leaves(net))


@pytest.mark.parametrize("shape", IMAGES + LARGE, ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_from_36_pixels_on_get_the_strided_body(shape: tuple[int, ...], dtype: str) -> None:
    """Its dense layer has 512 units at any `hidden`, and its size is that of Atari's, to a factor of two."""
    build = partial(ActorCritic, pixels(*shape, dtype=dtype), ACTIONS, (64, 64), "tanh")
    net = jax.eval_shape(lambda key: build(key=key), jax.random.key(0))
    assert isinstance(net.body, NatureCNN)
    assert net.body.dense.weight.shape[1] == 512
    assert [layer.weight.shape for layer in net.actor.layers] == [(512, 64), (64, 3)]
    assert 100_000 < sum(math.prod(x.shape) for x in jax.tree.leaves(net)) < 3_500_000


def test_the_width_of_the_strided_body_is_at_least_512() -> None:
    def widths(hidden):
        net = jax.eval_shape(
            lambda key: QNetwork(pixels(64, 64, 3), ACTIONS, hidden, "relu", key=key), jax.random.key(0)
        )
        return [net.body.dense.weight.shape[1], *(layer.weight.shape[0] for layer in net.advantage.layers)]

    assert widths((512,)) == widths((64,)) == [512, 512]
    assert widths((1024, 32)) == [1024, 1024, 32]


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_small_images_get_the_small_body(shape: tuple[int, ...]) -> None:
    net = jax.eval_shape(
        lambda key: ActorCritic(pixels(*shape), ACTIONS, (64, 64), "tanh", key=key), jax.random.key(0)
    )
    assert isinstance(net.body, CNN)
    assert net.body.dense.weight.shape[1] == 64


def networks(space: Box) -> dict[str, Any]:
    """Each kind of network over a space, as functions of observations."""
    hidden = (32, 32)
    q = filled(lambda key: QNetwork(space, ACTIONS, hidden, "relu", dueling=True, key=key))
    critic = filled(lambda key: Critic(space, TORQUES, hidden, "relu", key=key))
    actor = filled(lambda key: ActorNetwork(space, TORQUES, hidden, "relu", key=key))
    both = filled(lambda key: ActorCritic(space, ACTIONS, hidden, "tanh", key=key))
    return {
        "q": (q, lambda net, obs: net(obs)),
        "critic": (critic, lambda net, obs: net(obs, jnp.full((len(obs), 2), 0.3))),
        "actor": (actor, lambda net, obs: net(obs)),
        "actor-critic": (both, lambda net, obs: net.value(obs) + net.policy(obs).entropy()),
    }


@pytest.mark.parametrize("shape", [(3, 64, 64), (96, 96, 3), (36, 36, 1), *SMALL[:3], *TINY[1:]], ids=str)
def test_every_shape_runs_forward_and_back(shape: tuple[int, ...]) -> None:
    """All kinds of network for small images; for large ones, whose body takes long to compile, one of them."""
    space = pixels(*shape)
    obs = np.random.default_rng(1).integers(0, 256, (2, *shape)).astype(np.uint8)
    nets = networks(space)
    chosen = ["q"] if max(shape) >= 36 else list(nets)

    def loss(nets, obs):
        return sum(jnp.square(use(nets[name][0], obs)).sum() for name, (_, use) in uses.items())

    uses = {name: nets[name] for name in chosen}
    quick = jax.jit(jax.value_and_grad(loss), compiler_options={"xla_backend_optimization_level": 0})
    value, grads = quick({name: (net,) for name, (net, _) in uses.items()}, obs)
    assert np.isfinite(value)
    for name in chosen:
        leaves = [np.asarray(x) for x in jax.tree.leaves(grads[name])]
        assert all(np.isfinite(x).all() for x in leaves), name
        assert any(x.any() for x in leaves), name


def test_channels_first_is_the_same_image() -> None:
    """The body of [4, 40, 44] sees what that of [40, 44, 4] sees."""
    first, last = pixels(4, 40, 44), pixels(40, 44, 4)
    obs = np.random.default_rng(0).integers(0, 256, (2, 40, 44, 4)).astype(np.uint8)
    a, b = (filled(lambda key, s=s: QNetwork(s, ACTIONS, (16,), "relu", key=key)) for s in (first, last))
    np.testing.assert_array_equal(a(jnp.asarray(np.moveaxis(obs, -1, 1))), b(jnp.asarray(obs)))


@pytest.mark.parametrize("shape", [(10, 10, 4), (40, 40, 1)], ids=str)
@pytest.mark.parametrize("hidden", [(16,), (16, 8)])
def test_critics_of_pixels_are_not_linear_in_the_action(
    shape: tuple[int, ...], hidden: tuple[int, ...]
) -> None:
    """With one hidden width too: Q(s, a) + Q(s, -a) would be twice Q(s, 0)."""
    space = pixels(*shape)
    net = filled(lambda key: Critic(space, TORQUES, hidden, "relu", key=key))
    obs = jnp.full((1, *shape), 7, jnp.uint8)
    q = [float(net(obs, jnp.full((1, 2), a))[0]) for a in (-1e4, 0.0, 1e4)]
    assert abs(q[0] + q[2] - 2 * q[1]) > 0.01 * max(map(abs, q))
    assert [layer.weight.shape[1] for layer in net.mlp.layers] == [*hidden, 1]


ON_POLICY = ("vpg", "a2c", "ppo", "trpo")


@pytest.mark.parametrize("name", ON_POLICY)
def test_normalising_leaves_integers_one_hot(name: str) -> None:
    """Once, the states of FrozenLake became the zero vector: every state looked like every other."""
    algo, env = small(name, normalise_obs=True), make("tabular:FrozenLake", 2)
    learner = jax.eval_shape(partial(algo.init, env), jax.random.key(0)).learner
    assert learner.obs_moments == Off()
    vectors = jax.eval_shape(partial(algo.init, make("Pendulum-v1", 2)), jax.random.key(0)).learner
    assert vectors.obs_moments.mean.shape == (3,)


@pytest.mark.slow
def test_ppo_with_normalised_observations_crosses_the_frozen_lake() -> None:
    """Without slipping its best return is 1, of any seed; it was 0."""
    algo = algorithm("ppo")(normalise_obs=True)
    run = train(algo, "tabular:FrozenLake?slip=0", env_steps=40_000, seeds=2)
    assert np.all(np.asarray(run.final_return) == 1)


@pytest.mark.parametrize("name", [*ON_POLICY, "dqn", "c51", "qr_dqn"])
def test_the_option_body_reaches_the_networks(name: str) -> None:
    env = make("Breakout-MinAtar", 2)
    shapes = jax.eval_shape(partial(small(name, num_envs=2, body="mlp").init, env), jax.random.key(0))
    assert shapes.learner.params.body is None
    with pytest.raises(ConfigError, match="body"):
        small(name, body="conv")
    with pytest.raises(ConfigError, match="images"):
        small(name, num_envs=2, body="cnn").init(make("CartPole-v1", 2), jax.random.key(0))
