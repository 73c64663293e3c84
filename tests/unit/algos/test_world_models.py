"""World Models are held to slow loops: what each arm sees, what M learns, and what is dreamt."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.algos.world_models import ARMS, WorldModels
from swingup.distributions import Normal
from swingup.dynamics import latent
from swingup.dynamics.latent import MDNRNN
from swingup.errors import ConfigError
from swingup.evolution import candidates
from swingup.nets import mixture
from swingup.nets.controller import Controller, affine
from swingup.nets.layers import Dense
from swingup.nets.mixture import Mixture
from swingup.nets.sequences import LSTM
from swingup.replay.sequences import Stretch
from swingup.spaces import Box, Discrete, Space
from swingup.types import Seen

Z, K, H, A = 3, 2, 4, 2
ACTIONS = Box.of(-1.0, 1.0, (A,))


def filled(shapes: Any, seed: int = 0, size: float = 0.5) -> Any:
    """A tree of these shapes with random numbers: without the loops that orthogonal weights need."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(size * rng.normal(size=x.shape), x.dtype), shapes)


def small_model(space: Space = ACTIONS) -> MDNRNN:
    return filled(jax.eval_shape(lambda key: MDNRNN(space, Z, K, H, key=key), jax.random.key(0)))


def dense(layer: Dense, x: Any) -> Any:
    return x @ np.asarray(layer.weight, float) + np.asarray(layer.bias, float)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def stepped(lstm: LSTM, x: Any, hidden: Any, cell: Any) -> tuple[Any, Any]:
    """An LSTM in NumPy, gates in the order of Hochreiter's names: in, forget, candidate, out."""
    gates = dense(lstm.inputs, x) + hidden @ np.asarray(lstm.recurrent, float)
    i, f, g, o = np.split(gates, 4, -1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(cell), cell


def test_a_dream_is_that_of_a_slow_loop() -> None:
    """Latents, actions, rewards and ends, of two controllers in three dreams, at τ = 0.7."""
    model, control, t, p, e, tau = small_model(), Controller(ACTIONS, Z + H, 0), 6, 2, 3, 0.7
    rng = np.random.default_rng(1)
    weights = jnp.asarray(rng.normal(size=(p, control.size)), jnp.float32)
    first = jnp.asarray(rng.normal(size=(e, Z)), jnp.float32)
    noise = mixture.draw(jax.random.key(2), (t, e), Z, K)
    gumbel, normal = (np.asarray(x, float) for x in noise)
    outputs = np.zeros((t, p, e, 2))  # reward, and logit of an end, as if none ended
    for i in range(p):
        w = np.asarray(weights[i], float).reshape(Z + H + 1, A)
        for j in range(e):
            z, hidden, cell = np.asarray(first[j], float), np.zeros(H), np.zeros(H)
            for s in range(t):
                action = np.tanh(np.concatenate([z, hidden]) @ w[:-1] + w[-1])
                hidden, cell = stepped(model.lstm, np.concatenate([z, action]), hidden, cell)
                out = dense(model.head, hidden)
                outputs[s, i, j] = out[-2:]
                logits, mean, log_std = out[:-2].reshape(3, Z, K)
                k, rows = np.argmax(logits / tau + gumbel[s, j], -1), np.arange(Z)
                z = mean[rows, k] + np.exp(log_std[rows, k]) * np.sqrt(tau) * normal[s, j]

    def act(z: Any, hidden: Any) -> Any:
        return control(weights[:, None], jnp.concatenate([z, hidden], -1))

    # Three logits are above 0 with this, whatever the seed: of six dreams, some end and some do not.
    shift = -np.sort(outputs[..., 1].ravel())[-4:-2].mean()
    model = eqx.tree_at(lambda m: m.head.bias, model, model.head.bias.at[-1].add(shift))
    found = latent.dream(model, act, jnp.broadcast_to(first, (p, e, Z)), noise, tau)
    over = np.cumsum(outputs[..., 1] + shift > 0, 0) > 0
    before = np.concatenate([np.zeros((1, p, e), bool), over[:-1]])
    assert 0 < before[-1].sum() + over[-1].sum() < 2 * p * e
    np.testing.assert_allclose(found, np.where(before, 0, outputs[..., 0]), rtol=1e-3, atol=1e-4)


def test_the_loss_of_a_model_is_that_of_a_slow_loop() -> None:
    """Memory is forgotten after an end, and the latents after it are nobody's."""
    model, b, n = small_model(Discrete(A)), 2, 5
    rng = np.random.default_rng(3)
    z = jnp.asarray(rng.normal(size=(b, n, Z)), jnp.float32)
    done = jnp.asarray([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0]], bool)
    ended = done & jnp.asarray([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
    action, reward = (
        jnp.asarray(rng.integers(0, A, (b, n))),
        jnp.asarray(rng.normal(size=(b, n)), jnp.float32),
    )
    found, told = latent.loss(model, z, Stretch(jnp.zeros((b, n), jnp.int32), action, reward, ended, done))
    likelihood, missed, cross = [], [], []
    for i in range(b):
        hidden, cell = np.zeros(H), np.zeros(H)
        for t in range(n - 1):
            x = np.concatenate([np.asarray(z[i, t], float), np.eye(A)[int(action[i, t])]])
            hidden, cell = stepped(model.lstm, x, hidden, cell)
            out = jnp.asarray(dense(model.head, hidden), jnp.float32)
            if not done[i, t]:
                likelihood.append(float(Mixture.of(out[:-2], Z).log_prob(z[i, t + 1])))
            missed.append((float(out[-2]) - float(reward[i, t])) ** 2)
            p = sigmoid(float(out[-1]))
            cross.append(-np.log(p if ended[i, t] else 1 - p))
            if done[i, t]:
                hidden, cell = np.zeros(H), np.zeros(H)
    r = np.asarray(reward[:, :-1], float)
    error = np.mean(missed) / (r.var() + 0.01 * (r**2).mean())
    np.testing.assert_allclose(told["model/reward_error"], error, rtol=1e-4)
    np.testing.assert_allclose(found, error + np.mean(cross) - np.mean(likelihood) / Z, rtol=1e-4)


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("space", [ACTIONS, Discrete(3)], ids=["box", "discrete"])
def test_each_row_is_controlled_by_its_own_weights(space: Space, hidden: int) -> None:
    control, rng = Controller(space, 4, hidden), np.random.default_rng(4)
    outputs = 3 if isinstance(space, Discrete) else A
    assert control.size == ((5 * 5 + 6 * outputs) if hidden else 5 * outputs)
    weights, x = rng.normal(size=(6, control.size)), rng.normal(size=(6, 4))
    found = control(jnp.asarray(weights, jnp.float32), jnp.asarray(x, jnp.float32))
    for row in range(6):
        w, seen = weights[row], x[row]
        if hidden:
            first, w = w[:25].reshape(5, 5), w[25:]
            seen = np.tanh(seen @ first[:-1] + first[-1])
        w = w.reshape(-1, outputs)
        out = seen @ w[:-1] + w[-1]
        expected = np.argmax(out) if isinstance(space, Discrete) else np.tanh(out)
        np.testing.assert_allclose(found[row], expected, rtol=1e-4)


def test_what_is_forbidden_is_not_chosen() -> None:
    control = Controller(Discrete(3), 1, 0)
    weights = jnp.array([0.0, 0.0, 0.0, 1.0, 2.0, 3.0])
    assert int(control(weights, jnp.ones(1), jnp.array([True, True, False]))) == 1
    np.testing.assert_allclose(affine(weights, jnp.ones(1)), [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"arm": "v-n"}, "arm"),
        ({"arm": "v", "dreams": True}, "nothing else dreams"),
        ({"num_envs": 33}, "multiple of population"),
        ({"replay_size": 100}, "must hold"),
        ({"num_steps": 50}, "more than length"),
        ({"population": 3}, "at least 4"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        WorldModels(**settings)


act = WorldModels.act.__wrapped__  # without `jit`: its few operations are compiled once for all arms


def learner_of(algo: WorldModels, iteration: int = 99) -> Any:
    """A learner with random numbers, as it acts."""
    from swingup.envs import make

    env = make("CartPole-v1", algo.num_envs)
    shapes = jax.eval_shape(lambda key: algo.acting(algo.init(env, key).learner), jax.random.key(0))
    learner = filled(shapes)
    count = jax.tree.map(lambda x: jnp.int32(0), learner.iteration)._replace(low=jnp.int32(iteration))
    return learner._replace(iteration=count), env


SMALL: dict[str, Any] = {
    "num_envs": 8,
    "num_steps": 4,
    "population": 4,
    "latents": 2,
    "vision_width": 4,
    "model_width": 3,
    "length": 2,
    "replay_size": 64,
}


@pytest.mark.parametrize("arm", ARMS)
def test_each_arm_sees_what_it_should(arm: str) -> None:
    """By NumPy, from the memory that it carries; two environments for each candidate, in order."""
    algo = WorldModels(arm=arm, **SMALL)
    learner, env = learner_of(algo)
    rng = np.random.default_rng(5)
    memory = filled(algo.start_memory(env.action_space, 8), 6)._replace(age=jnp.arange(8))
    obs = jnp.asarray(rng.normal(size=(8, 4)), jnp.float32)
    noise = jnp.asarray(rng.normal(size=(8, 2)), jnp.float32)
    z = np.asarray(learner.vision.encode(obs).mean)
    look = {
        "v-m": np.concatenate([z, memory.hidden], -1),
        "v-untrained-m": np.concatenate([z, memory.hidden], -1),
        "frames": np.concatenate([z, memory.before], -1),
    }.get(arm, z)
    chosen = act(algo, learner, Seen(obs, memory=memory), noise)
    weights = np.repeat(np.asarray(candidates(learner.evolution, learner.epsilon)), 2, 0)
    control = algo.controller(env.action_space)
    expected = np.array([control(jnp.asarray(w), jnp.asarray(x)) for w, x in zip(weights, look, strict=True)])
    held = np.where((np.arange(8) % algo.hold == 0)[:, None], noise, memory.held)
    if arm == "random":
        expected = np.argmax(held, -1)
    np.testing.assert_array_equal(chosen.action, expected)
    np.testing.assert_allclose(chosen.memory.held, held)
    np.testing.assert_allclose(chosen.memory.before, z, rtol=1e-5)
    np.testing.assert_array_equal(chosen.memory.age, np.arange(8) + 1)
    assert np.array_equal(chosen.memory.hidden, memory.hidden) == (arm not in ("v-m", "v-untrained-m"))


def test_before_the_first_generation_actions_are_random_and_held() -> None:
    algo = WorldModels(**SMALL, hold=3)
    learner, env = learner_of(algo, iteration=algo.learning - 1)
    memory, noise = algo.start_memory(env.action_space, 8), jax.random.normal(jax.random.key(0), (9, 8, 2))
    obs = jnp.ones((8, 4))
    for t in range(9):
        chosen = act(algo, learner, Seen(obs, memory=memory), noise[t])
        memory = chosen.memory
        np.testing.assert_array_equal(chosen.action, np.argmax(noise[t - t % 3], -1))


def test_dreaming_the_mean_acts_whatever_the_noise() -> None:
    algo = WorldModels(**SMALL, dreams=True)
    learner, env = learner_of(algo)
    seen = Seen(jax.random.normal(jax.random.key(1), (8, 4)), memory=algo.start_memory(env.action_space, 8))
    noise = jax.random.normal(jax.random.key(2), (8, 2))
    np.testing.assert_array_equal(act(algo, learner, seen).action, act(algo, learner, seen, noise).action)


def test_the_divergence_of_a_frame_costs_no_less_than_its_floor() -> None:
    algo = WorldModels(**SMALL, kl_floor=10.0)
    learner, _ = learner_of(algo)
    x, noise = jnp.ones((3, 4)), jnp.zeros((3, 2))
    loss, told = algo.vision_loss(learner.vision, x, noise)
    assert told["vision/kl"] < 20
    np.testing.assert_allclose(loss, 20 + told["vision/error"], rtol=1e-5)
    free, told = replace(algo, kl_floor=0.0).vision_loss(learner.vision, x, noise)
    np.testing.assert_allclose(free, told["vision/kl"] + told["vision/error"], rtol=1e-5)
    assert isinstance(learner.vision.encode(x), Normal)
