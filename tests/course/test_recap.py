"""The recap of deep learning is tested here, with bodies that have a memory, and the task that needs one.

Oracles: finite differences in float64, optax, equinox's layers with the same weights, Gauss-Hermite quadrature (which
is exact for what it is used on). The one statistic compares with 6 standard errors: a false alarm in 5e8 runs.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from conftest import arrays, same_bits, small
from swingup.course.recap import (
    adam,
    adam_start,
    gradient_descent,
    mean_squared,
    pathwise_gradient,
    penalised,
    score_function_gradient,
    squared_norm,
    too_long,
    two_layers,
    two_layers_gradient,
)
from swingup.envs import make
from swingup.envs.tasks import Recall
from swingup.errors import ConfigError
from swingup.lab.two_layers import differences, distance
from swingup.lab.two_layers import start as two_layers_start
from swingup.nets.actor_critic import ActorCritic
from swingup.nets.layers import layer_norm
from swingup.nets.sequences import LSTM, MEMORIES, Attention
from swingup.runs import checkpoint, settings
from swingup.spaces import Box, Discrete
from swingup.training import driver

K, D, WIDTH = 5, 3, 8
few = hypothesis_settings(max_examples=20, deadline=None)


def floats(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


# --- A model, a loss, gradient descent


@few
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(0, 1000))
def test_the_gradient_by_hand_is_that_of_differences_M5(
    inputs: int, hidden: int, outputs: int, rows: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    params = two_layers_start(rng, inputs, hidden, outputs)
    x, y = rng.normal(size=(rows, inputs)), rng.normal(size=(rows, outputs))
    assert distance(differences(params, x, y, 1e-5), two_layers_gradient(params, x, y)) < 1e-7


def test_two_layers_gradient_matches_autodiff_and_finite_differences_M5() -> None:
    rng = np.random.default_rng(0)
    params = two_layers_start(rng, 3, 4, 2)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    by_hand = two_layers_gradient(params, x, y)
    assert two_layers(params, x).shape == (5, 2)
    assert distance(differences(params, x, y, 1e-5), by_hand) < 1e-8
    assert distance(jax.grad(mean_squared)(*floats((params, x, y))), by_hand) < 1e-5


def test_gradient_descent_on_a_quadratic_is_known_in_closed_form_M5() -> None:
    """Each coordinate shrinks by 1 - α times its curvature per update."""
    curvature, start = jnp.array([1.0, 0.5]), jnp.array([3.0, -2.0])
    theta, losses = gradient_descent(lambda p: 0.5 * (curvature * p**2).sum(), start, 0.1, 20)
    expected = start * (1 - 0.1 * curvature) ** np.arange(21)[:, None]
    np.testing.assert_allclose(theta, expected[-1], rtol=1e-5)
    np.testing.assert_allclose(losses, 0.5 * (curvature * expected[:-1] ** 2).sum(1), rtol=1e-5)


# --- Regularisation, normalisation, Adam


@few
@given(st.floats(0, 10), st.integers(0, 1000))
def test_the_penalty_adds_its_own_gradient_M7(lam: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w, x, y = floats((rng.normal(size=3), rng.normal(size=(6, 3)), rng.normal(size=6)))

    def loss(w: jax.Array) -> jax.Array:
        return ((x @ w - y) ** 2).mean()

    found = jax.grad(penalised(loss, squared_norm, lam))(w)
    np.testing.assert_allclose(found, jax.grad(loss)(w) + 2 * lam * w, rtol=1e-4, atol=1e-4)


def test_layer_norm_is_equinoxs_M8() -> None:
    rng = np.random.default_rng(0)
    a, gain, bias = floats((rng.normal(2, 3, size=(4, 5, 7)), rng.normal(size=7), rng.normal(size=7)))
    module = eqx.tree_at(lambda m: (m.weight, m.bias), eqx.nn.LayerNorm(7), (gain, bias))
    expected = jax.vmap(jax.vmap(module))(a)
    np.testing.assert_allclose(layer_norm(a, gain, bias), expected, rtol=1e-5, atol=1e-5)


@few
@given(st.floats(0.1, 100), st.floats(-10, 10), st.integers(0, 1000))
def test_layer_norm_knows_no_scale_and_no_shift_M8(scale: float, shift: float, seed: int) -> None:
    a = np.random.default_rng(seed).normal(size=(3, 6))
    np.testing.assert_allclose(
        layer_norm(scale * a + shift, epsilon=0.0), layer_norm(a, epsilon=0.0), atol=1e-3
    )


@pytest.mark.parametrize("correct", [True, False])
def test_adam_is_optaxs_with_the_correction_and_without_M9(correct: bool) -> None:
    """optax has no switch, so without the correction its own m and v are put into the slide's formula."""
    rng = np.random.default_rng(0)
    ours = theirs = floats({"w": rng.normal(size=(2, 3)), "b": rng.normal(size=3)})
    optimiser = optax.scale_by_adam(b1=0.8, b2=0.99, eps=1e-3)
    state, memory = optimiser.init(theirs), adam_start(ours)
    for _ in range(20):
        grads = jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32), ours)
        step: Any
        step, state = optimiser.update(grads, state)
        if not correct:
            m, v = state.mu, state.nu  # pyright: ignore
            step = jax.tree.map(lambda m, v: m / (jnp.sqrt(v) + 1e-3), m, v)
        theirs = jax.tree.map(lambda p, step: p - 0.1 * step, theirs, step)
        ours, memory = adam(ours, grads, memory, 0.1, beta1=0.8, beta2=0.99, epsilon=1e-3, correct=correct)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_without_the_correction_updates_are_too_long_by_the_formula_M9() -> None:
    """Whatever the gradients: the ratio of both updates is (1 - β1^t) / √(1 - β2^t), largest at the twelfth."""
    rng, states = np.random.default_rng(0), [adam_start(np.zeros(4))] * 2
    for t in range(1, 40):
        g, moved = rng.normal(size=4), []
        for i, correct in enumerate((False, True)):
            theta, states[i] = adam(np.zeros(4), g, states[i], 1.0, epsilon=0.0, correct=correct)
            moved.append(theta)
        np.testing.assert_allclose(moved[0] / moved[1], np.full(4, too_long(t)), rtol=1e-9)
    assert int(np.argmax(too_long(np.arange(1, 1000)))) + 1 == 12


# --- Gradients of expectations


@pytest.mark.parametrize(
    ("f", "slopes"),
    [
        (lambda x: (x**2).sum(), lambda m, s: (2 * m, 2 * s)),
        (lambda x: (x**3 - x).sum(), lambda m, s: (3 * m**2 + 3 * s**2 - 1, 6 * m * s)),
        (
            lambda x: jnp.cos(x).sum(),
            lambda m, s: np.array([-np.sin(m), -s * np.cos(m)]) * np.exp(-(s**2) / 2),
        ),
    ],
    ids=["quadratic", "cubic", "cosine"],
)
def test_both_gradients_have_the_analytic_value_as_their_mean_M10(f: Any, slopes: Any) -> None:
    """By quadrature over z, so without any noise; and the pathwise one varies less."""
    z, weight = np.polynomial.hermite_e.hermegauss(40)
    weight = weight / weight.sum()
    mean, std = 0.7, 0.6
    how = f, jnp.array([mean]), jnp.array([std]), jnp.asarray(z[:, None], jnp.float32)
    spreads = []
    for gradients in (
        pathwise_gradient(*how),
        score_function_gradient(*how),
        score_function_gradient(*how, 2.0),
    ):
        found = np.array([np.asarray(g, np.float64)[:, 0] for g in gradients])
        np.testing.assert_allclose(found @ weight, slopes(mean, std), rtol=1e-4, atol=1e-4)
        spreads.append((found**2 @ weight) - (found @ weight) ** 2)
    assert (spreads[0] < spreads[1]).all()


# --- Bodies


def body(name: str, window: int = K, inputs: int = D, width: int = WIDTH) -> Any:
    """With random weights, biases included."""
    rng = np.random.default_rng(0)
    module = jax.eval_shape(lambda key: MEMORIES[name](window, inputs, width, key=key), jax.random.key(0))
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) / 2, jnp.float32), module)


def windows(*lead: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).normal(size=(*lead, K, D)), jnp.float32)


def test_the_lstm_is_equinoxs_with_the_same_weights_M6() -> None:
    ours: LSTM = body("lstm")
    cell: Any = eqx.nn.LSTMCell(D, WIDTH, key=jax.random.key(0))
    parts = ours.inputs.weight.T, ours.recurrent.T, ours.inputs.bias
    cell = eqx.tree_at(lambda c: (c.weight_ih, c.weight_hh, c.bias), cell, parts)
    carry, expected = (jnp.zeros(WIDTH), jnp.zeros(WIDTH)), []
    for x in windows():
        carry = cell(x, carry)
        expected.append(carry[0])
    np.testing.assert_allclose(ours.read(windows()), np.stack(expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(ours(windows()), ours.read(windows())[-1])


def test_attention_is_equinoxs_with_the_same_weights_M6() -> None:
    ours: Attention = body("attention")
    biases = {f"use_{name}_bias": True for name in ("query", "key", "value", "output")}
    theirs: Any = eqx.nn.MultiheadAttention(ours.heads, WIDTH, **biases, key=jax.random.key(0))
    for name in ("query", "key", "value", "output"):
        dense = getattr(ours, name)
        where = partial(
            lambda name, m: (getattr(m, f"{name}_proj").weight, getattr(m, f"{name}_proj").bias), name
        )
        theirs = eqx.tree_at(where, theirs, (dense.weight.T, dense.bias))
    x = jnp.asarray(np.random.default_rng(2).normal(size=(K, WIDTH)), jnp.float32)
    expected = theirs(x, x, x, mask=jnp.tril(jnp.ones((K, K), bool)))
    np.testing.assert_allclose(ours.attend(x, K), expected, rtol=1e-3, atol=1e-5)


def test_the_attention_block_is_its_formula_M6() -> None:
    """Norms before each part, residuals around them, a last norm; in NumPy, for the last place."""
    ours: Attention = body("attention")
    dense = [
        np.asarray(x, np.float64)
        for x in (ours.embed.weight, ours.embed.bias, ours.place, ours.gain, ours.bias)
    ]
    embed, bias, place, gain, shift = dense

    def norm(x: np.ndarray, i: int) -> np.ndarray:
        z = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return gain[i] * z + shift[i]

    x = np.asarray(windows(), np.float64) @ embed + bias + place
    x = x + np.asarray(ours.attend(jnp.asarray(norm(x, 0), jnp.float32), K), np.float64)
    x = x + np.asarray(ours.mlp(jnp.asarray(norm(x, 1), jnp.float32)), np.float64)
    np.testing.assert_allclose(ours(windows()), norm(x, 2)[-1], rtol=1e-3, atol=1e-4)


@jax.jit
def read(module: Any, x: jax.Array) -> jax.Array:
    return module.read(x, K) if isinstance(module, Attention) else module.read(x)


@pytest.mark.parametrize("name", MEMORIES)
def test_no_place_sees_the_future_and_the_last_sees_all_M6(name: str) -> None:
    module, x = body(name), windows()
    before = read(module, x)
    for k in range(1, K):
        after = read(module, x.at[k:].add(1.0))
        np.testing.assert_allclose(after[:k], before[:k], atol=1e-6)
        assert np.abs(after[k:] - before[k:]).max(-1).min() > 1e-4
    slope = jax.jit(jax.grad(lambda x: (module(x) ** 2).sum()))(x)
    assert (np.abs(slope).max(-1) > 1e-6).all(), "every observation of the window counts"


@pytest.mark.parametrize("name", MEMORIES)
def test_bodies_take_any_leading_axes_and_train_all_their_parts_M6(name: str) -> None:
    module, x = body(name), windows(2, 3)
    together, alone = jax.jit(lambda module, x: (module(x), module(x[1, 2])))(module, x)
    assert together.shape == (2, 3, WIDTH)
    np.testing.assert_allclose(together[1, 2], alone, rtol=1e-4, atol=1e-5)
    weights = jnp.asarray(np.random.default_rng(3).normal(size=WIDTH), jnp.float32)
    grads = jax.jit(jax.grad(lambda module: (module(x) @ weights).sum()))(module)
    missing = [i for i, g in enumerate(jax.tree.leaves(grads)) if not np.abs(g).max() > 1e-7]
    # The bias of the keys moves all scores of a query alike, and the softmax takes that out.
    assert len(missing) <= (name == "attention")
    assert all(isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(module))


def test_an_lstm_starts_with_orthogonal_gates_that_keep_M6() -> None:
    lstm = jax.jit(lambda key: LSTM(K, D, WIDTH, key=key))(jax.random.key(0))
    for gate in jnp.split(lstm.recurrent, 4, -1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(WIDTH), atol=1e-4)
    np.testing.assert_array_equal(lstm.inputs.bias.reshape(4, WIDTH), np.eye(4)[1][:, None] * np.ones(WIDTH))


def test_a_memory_needs_a_window_and_a_known_name() -> None:
    for space in (Discrete(4), Box.of(0.0, 1.0, (3,)), Box.of(0.0, 1.0, (5, 4, 2))):
        with pytest.raises(ConfigError, match=r"window of the last K observations"):
            ActorCritic(space, Discrete(2), (8,), "tanh", memory="lstm", key=jax.random.key(0))
    with pytest.raises(ConfigError, match="did you mean 'lstm'"):
        small("ppo", memory="lsmt")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "attention"])
def test_ppo_trains_saves_and_resumes_with_each_memory_M6(name: str, tmp_path: Any) -> None:
    """All parts of the network move; two iterations are one, saved, loaded, and one more; settings survive JSON."""
    algo = small("ppo", memory=name, hidden=(8,), num_envs=2, num_steps=4, epochs=1)
    assert settings.from_json(settings.to_json(algo)) == algo
    env = make("task:Recall?length=3", 2)
    first = driver.init(algo, env, [0, 1])
    start = arrays(first.learner.params)
    half = driver.run(algo, env, first, 1)
    checkpoint.save(tmp_path, half, step=1, meta={})
    loaded, _ = checkpoint.load(tmp_path, jax.eval_shape(lambda: driver.init(algo, env, [0, 1])))
    whole = driver.run(algo, env, driver.init(algo, env, [0, 1]), 2)
    assert same_bits(driver.run(algo, env, loaded, 2, done=1), whole)
    moved = [not np.array_equal(a, b) for a, b in zip(start, arrays(whole.learner.params), strict=True)]
    assert all(moved)
    assert isinstance(whole.learner.params.body, MEMORIES[name])


# --- The task


def play(env: Recall, answer: Any, seed: int) -> tuple[list[np.ndarray], list[float], int]:
    """Observations, rewards and the cue of one episode; `answer` maps an observation to an action."""
    state, obs = env.reset(jax.random.key(seed))
    seen, rewards, cue = [np.asarray(obs)], [], int(state.cue)
    while True:
        state, step = env.step(state, answer(seen[-1]), jax.random.key(1000 + 100 * seed + len(rewards)))
        seen.append(np.asarray(step.obs))
        rewards.append(float(step.reward))
        assert not step.truncated
        if step.terminated:
            return seen, rewards, cue


@pytest.mark.parametrize("window", [0, 1, 3])
def test_recall_shows_the_cue_once_and_asks_for_it_at_the_end_M6(window: int) -> None:
    length, cues = 4, 3
    env = Recall(length, cues, window)
    k = window or length
    assert env.observation_space.shape == (k, cues + 1)
    for seed in range(4):
        seen, rewards, cue = play(env, lambda obs: int(obs[0, :cues].argmax()), seed)
        assert len(rewards) == length
        assert rewards[:-1] == [0.0] * (length - 1)
        # The last acts on observation length - 1, whose oldest row is the cue if the window is the episode.
        asked = seen[length - 1]
        assert rewards[-1] == float(asked[0, :cues].argmax() == cue)
        assert (asked[0, -1] == 1) == (k == length)
        assert seen[0][-1].tolist() == [*np.eye(cues)[cue], 1.0]
        for t, obs in enumerate(seen):
            assert obs.shape == (k, cues + 1)
            np.testing.assert_array_equal(obs[: max(0, k - t - 1)], 0)  # nothing before the first
            if t:
                np.testing.assert_array_equal(obs[:-1], seen[t - 1][1:])  # the window moves on by one
                assert obs[-1, -1] == 0


def test_the_present_says_nothing_of_the_cue_M6() -> None:
    """Exactly: with window=1 every later observation is the same function of the key, whatever the cue."""
    env, key = Recall(window=1), jax.random.key(0)
    state, _ = env.reset(jax.random.key(1))
    answers = [env.step(state._replace(cue=jnp.int32(c)), jnp.int32(0), key)[1].obs for c in range(4)]
    assert all(np.array_equal(x, answers[0]) for x in answers)


def test_guesses_are_right_as_often_as_chance_M6() -> None:
    """The distraction of the present is as good a guess as any: within 6 standard errors of 1 in 4."""
    env, n = make("task:Recall?length=2&window=1", 2000), 2000
    state, _ = env.reset(jax.random.key(0))
    draws = env.draw(jax.random.key(1), 2)
    state, step = env.step(state, jnp.zeros(n, jnp.int32), jax.tree.map(lambda x: x[0], draws))
    _, step = env.step(state, step.obs[:, 0, :4].argmax(-1), jax.tree.map(lambda x: x[1], draws))
    assert bool(step.terminated.all())
    assert abs(float(step.reward.mean()) - 0.25) < 6 * np.sqrt(0.25 * 0.75 / n)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("length=1", "length must be a whole number from 2"),
        ("cues=1.5", "cues must be a whole number"),
        ("length=4&window=5", "longer than the episode"),
        ("lenght=3", "lenght"),
    ],
)
def test_impossible_recalls_are_refused(options: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make(f"task:Recall?{options}", 1)
