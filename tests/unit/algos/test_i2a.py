"""I2A's losses and targets are compared with slow loops, and its arms with each other."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imagined_by_hand import LEVELS, room, slow_heads
from jax import Array

from conftest import same_bits, small
from swingup.algos.a2c import Batch
from swingup.algos.i2a import I2A, IMAGINES, Acted, Learner
from swingup.counters import counter
from swingup.dynamics import planes
from swingup.dynamics.futures import keys_of
from swingup.dynamics.planes import Copied, Planes
from swingup.envs import make
from swingup.envs.models import exact
from swingup.envs.pushbox import push
from swingup.errors import ConfigError
from swingup.nets.imagination import Future, Imaginative, Sight
from swingup.optimisers import fresh
from swingup.protocols import VecEnv
from swingup.types import Rollout, Seen, Step, Transition

T, N = 3, 2
SHAPE = (7, 7, 4)
OBS = LEVELS[:N]


def algo_of(arm: str = "learned", **how: Any) -> I2A:
    return small("i2a", arm=arm, num_steps=T, num_envs=N, activation="tanh", **how)


@cache
def world() -> VecEnv:
    return make("task:PushBox", N)


@cache
def learner_of(arm: str = "learned") -> Learner:
    """One whose weights are all random, biases too; all that imagine have the same, and the same model."""
    algo, rng = algo_of(arm), np.random.default_rng(0)
    space, actions = planes.planes(world())
    width, code = (algo.hidden[0], algo.code) if arm in IMAGINES else (5, 0)
    net = jax.eval_shape(
        lambda: Imaginative(space, 4, algo.hidden, "tanh", width=width, code=code, key=jax.random.key(0))
    )
    shapes = jax.eval_shape(lambda: Planes(space, actions, algo.model_filters, key=jax.random.key(0)))

    def filled(x: Any) -> Array:
        return jnp.asarray(0.3 * rng.normal(size=x.shape), jnp.float32)

    params, learnt = jax.tree.map(filled, net), jax.tree.map(filled, shapes)
    others = {"exact": exact(world()), "copy": Copied(), "model-free": None}
    rule = fresh(algo.a2c().optimizer(jnp.int32(0)), params)
    return Learner(params, rule, others.get(arm, learnt), fresh(planes.optimizer(1e-3), learnt), counter())


@cache
def acted(arm: str = "learned") -> Any:
    """What an agent chooses, with noise and without."""
    algo, learner, seen = algo_of(arm), learner_of(arm), Seen(jnp.asarray(OBS))
    drawn = jax.jit(lambda key: algo.draw(world().action_space, key, (N,)))(jax.random.key(8))
    return jax.device_get((algo.act(learner, seen, drawn), algo.act(learner, seen)))


@jax.jit
def looked(algo: I2A, learner: Learner, obs: Array, keys: Array) -> Any:
    """What is imagined from there."""
    return algo.look(learner, obs, algo.chance(learner, keys)).future


@cache
def played(arm: str = "learned") -> Any:
    """A rollout of made-up transitions between levels; one row ends, one is cut."""
    rng, algo, learner = np.random.default_rng(2), algo_of(arm), learner_of(arm)
    places = [tuple(x) for x in rng.integers(1, 6, (2 * T * N, 2))]
    rooms = [room(p, (int(p[0]), int(p[1] % 5 + 1)), (4, int(p[0]))) for p in places]
    obs, after = np.stack(rooms).reshape(2, T, N, *SHAPE)
    flat = obs.reshape(-1, *SHAPE)
    keys = jax.random.split(jax.random.key(3), T * N)
    future = looked(algo, learner, flat, keys)
    future = jax.tree.map(lambda x: np.asarray(x).reshape(T, N, *x.shape[1:]), future)
    none = np.zeros((T, N), bool)
    terminated, truncated = none.copy(), none.copy()
    terminated[1, 0] = truncated[1, 1] = True
    reward = rng.normal(size=(T, N)).astype(np.float32)
    shown = np.concatenate([obs[1:], after[-1:]])  # what is acted on next
    true = np.where((terminated | truncated)[..., None, None, None], after, shown)
    step = Step(shown, true, reward, terminated, truncated, reward, np.ones((T, N), np.int32))
    action = rng.integers(0, 4, (T, N))
    return Rollout(obs, action, Acted(np.full((T, N), -1.4, np.float32), future), step)


@cache
def batch() -> Any:
    """Made up: what is imagined, too."""
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 2, (T, N, 4, 2, *SHAPE)).astype(np.uint8)
    obs = np.stack([LEVELS[i % len(LEVELS)] for i in range(T * N)]).reshape(T, N, *SHAPE)
    action, numbers = rng.integers(0, 4, (T, N)), rng.normal(size=(4, T, N)).astype(np.float32)
    future = Future(frames, rng.normal(size=(T, N, 4, 2)).astype(np.float32))
    return Batch(Sight(obs, future), action, *numbers)


@cache
def judged() -> Any:
    """One program: the loss with its metrics, gradients of the distillation and of the rest, what π̂ says."""
    algo, alone, net = algo_of(**WEIGHTS), algo_of(**WEIGHTS | {"c_distil": 0.0}), learner_of().params

    def judge(net: Imaginative, b: Batch) -> Any:
        slopes = jax.grad(algo.distillation)(net, b), jax.grad(lambda net: alone.loss(net, b)[0])(net)
        return algo.loss(net, b), slopes, net.guessed(b.obs.obs).logits

    judge = jax.jit(judge)
    first = judge(net, batch())
    closer = jax.tree.map(lambda x, g: x - 0.05 * g, net, first[1][0])
    return first, judge(closer, batch())


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def read(net: Imaginative, b: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Logits [T N, A] and values [T N] by the slow loop of the network's own test."""
    flat = jax.tree.map(lambda x: np.asarray(x).reshape(T * N, *x.shape[2:]), b.obs)
    rows = [slow_heads(net, flat, i) for i in range(T * N)]
    return np.array([x for x, _ in rows]), np.array([v for _, v in rows])


# --- The losses ----------------------------------------------------------------------------------------------------


WEIGHTS: Any = {"c_distil": 0.7, "c_entropy": 0.3}


def slow_distillation(pi: np.ndarray, said: Array) -> float:
    """Cross-entropy of π̂ with respect to π, row by row."""
    guessed = np.asarray(said, np.float64).reshape(T * N, -1)
    return float(np.mean([-(p * np.log(softmax(g))).sum() for p, g in zip(pi, guessed, strict=True)]))


def test_loss_and_distillation_are_those_of_a_slow_loop() -> None:
    algo, b, net = algo_of(**WEIGHTS), batch(), learner_of().params
    (loss, metrics), _, said = judged()[0]
    logits, value = read(net, b)
    pi, action = softmax(logits), np.asarray(b.action).ravel()
    total = 0.0
    for i in range(T * N):
        total -= np.log(pi[i, action[i]]) * np.asarray(b.adv).ravel()[i]
        total += algo.c_value * (value[i] - np.asarray(b.target).ravel()[i]) ** 2
        total += algo.c_entropy * (pi[i] * np.log(pi[i])).sum()
    distil = slow_distillation(pi, said)
    np.testing.assert_allclose(metrics["loss/distil"], distil, rtol=1e-4)
    np.testing.assert_allclose(loss, total / (T * N) + algo.c_distil * distil, rtol=1e-4)


def test_distillation_moves_only_the_rollout_policy_and_the_agents_loss_all_but_it() -> None:
    parts = "path", "encoder", "guess", "actor", "critic"
    distil, agent = (
        {name for name in parts if any(np.any(x) for x in jax.tree.leaves(vars(slope)[name]))}
        for slope in judged()[0][1]
    )
    assert distil == {"guess"}
    assert agent == set(parts) - distil


def test_agreement_rises_along_the_gradient_of_the_distillation() -> None:
    """The sign is right: π̂ comes closer to π."""
    pi = softmax(read(learner_of().params, batch())[0])
    before, after = (slow_distillation(pi, said) for _, _, said in judged())
    assert after < before - 1e-4


# --- Targets -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_targets_are_those_of_a_slow_loop() -> None:
    """The longest n-step advantage; an end bootstraps nothing, a time limit from what its own last sight is worth."""
    algo, learner, rollout = algo_of(), learner_of(), played()
    step = rollout.step
    b = jax.device_get(jax.jit(algo.advantages)(learner, rollout, jax.random.key(6)))
    value = read(learner.params, b)[1].reshape(T, N)
    after = step.next_obs.reshape(-1, *SHAPE)
    imagined = looked(algo, learner, after, jax.random.split(jax.random.key(6), T * N))
    last = Sight(after, jax.device_get(imagined))
    worth = np.array([slow_heads(learner.params, last, i)[1] for i in range(T * N)]).reshape(T, N)
    for n in range(N):
        for t in range(T):
            total, discount = 0.0, 1.0
            for k in range(t, T):
                total += discount * step.reward[k, n]
                discount *= algo.gamma
                if step.terminated[k, n]:
                    break
                if step.truncated[k, n] or k == T - 1:
                    total += discount * float(worth[k, n])
                    break
            np.testing.assert_allclose(b.target[t, n], total, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(b.adv[t, n], total - value[t, n], rtol=1e-3, atol=1e-3)


# --- The update ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_update_is_a_step_of_the_agent_and_one_of_the_model_and_neither_moves_the_other() -> None:
    algo, learner = algo_of(), learner_of()
    after, metrics = algo.update(learner, played(), jax.random.key(1))
    k_value, _ = jax.random.split(jax.random.key(1))
    data = jax.jit(algo.advantages)(learner, played(), k_value)

    def slow(learner: Learner) -> tuple[Any, Any]:
        agent = jax.grad(lambda net: algo.loss(net, data)[0])(learner.params)
        model = jax.grad(planes.loss)(learner.model, planes.steps(played()))
        return agent, model

    agent, model = jax.jit(slow)(learner)
    for x, y, g, lr in (
        *zip(*map(jax.tree.leaves, (learner.params, after.params, agent)), [algo.lr] * 99, strict=False),
        *zip(*map(jax.tree.leaves, (learner.model, after.model, model)), [algo.model_lr] * 99, strict=False),
    ):
        # Adam's first step: the learning rate, against the gradient's sign.
        sure = np.abs(g) > 1e-3
        np.testing.assert_allclose((x - y)[sure], lr * np.sign(g)[sure], rtol=0.05)
    assert float(metrics["model/imagined"]) == T * N * 4 * algo.depth


@pytest.mark.slow
def test_gradients_of_the_agent_reach_no_model() -> None:
    """What it reads does not depend on the model's weights by a gradient, nor does what it says of that."""
    algo, learner = algo_of(), learner_of()

    def through(model: Any) -> Array:
        dreaming, obs = learner._replace(model=model), jnp.asarray(OBS)
        sight = algo.look(dreaming, obs, algo.chance(dreaming, keys_of(obs)))
        pi, value = learner.params(sight)
        return pi.logits.sum() + value.sum()

    value, slope = jax.jit(jax.value_and_grad(through))(learner.model)
    assert np.isfinite(value)
    assert all(not np.any(x) for x in jax.tree.leaves(slope))


# --- The arms ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_noise_an_agent_is_sure_and_imagines_what_it_always_does() -> None:
    """In whatever row a place is: here the rows are turned round."""
    again = jax.device_get(algo_of().act(learner_of(), Seen(jnp.asarray(OBS[::-1]))))
    greedy = acted()[1]
    assert same_bits(jax.tree.map(lambda x: x[::-1], again.extras.future), greedy.extras.future)
    np.testing.assert_array_equal(again.action[::-1], greedy.action)


@pytest.mark.slow
def test_a_model_that_is_corrupted_with_probability_zero_is_the_learnt_one() -> None:
    obs, keys = jnp.asarray(OBS), jax.random.split(jax.random.key(8), N)
    clean, none, faulty = (
        looked(algo, learner_of(), obs, keys)
        for algo in (algo_of(), algo_of("corrupted", flip=0.0), algo_of("corrupted", flip=0.5))
    )
    assert same_bits(clean, none)
    assert not same_bits(clean, faulty)


@pytest.mark.slow
def test_a_copy_shows_what_is_there_and_the_exact_model_what_comes() -> None:
    def look(arm: str) -> Any:
        return jax.device_get(
            looked(algo_of(arm), learner_of(arm), jnp.asarray(OBS), keys_of(jnp.asarray(OBS)))
        )

    frames = look("copy").frames
    np.testing.assert_array_equal(frames, np.broadcast_to(OBS[:, None, None], frames.shape))
    first = look("exact")
    for b, a in np.ndindex(N, 4):
        after, reward, _ = push(jnp.asarray(OBS[b]), jnp.int32(a))
        np.testing.assert_array_equal(first.frames[b, a, 0], after)
        np.testing.assert_allclose(first.reward[b, a, 0], reward)


def test_lookahead_is_reward_and_value_of_what_each_action_leads_to_and_nothing_behind_an_end() -> None:
    class Rules(Copied):
        """A model that is right."""

        def step(self, state: Array, action: Array, noise: Any) -> tuple[Array, Transition]:
            after, reward, end = jax.vmap(push)(state, action)
            return after, Transition(after, reward, end, jnp.zeros(len(action), bool))

    algo, obs = algo_of("lookahead"), jnp.asarray(LEVELS)
    learner = learner_of("lookahead")._replace(model=Rules())
    state, action = np.repeat(LEVELS, 4, 0), np.tile(np.arange(4), len(LEVELS))

    def look(learner: Learner) -> Any:
        after, t = learner.model.step(state, action, ())
        return algo.ahead(learner, obs), t, learner.params.value(Sight(after))

    found, t, value = jax.device_get(jax.jit(look)(learner))
    assert 0 < t.terminated.sum() < t.terminated.size
    expected = [
        r + (0.0 if end else algo.gamma * v) for r, end, v in zip(t.reward, t.terminated, value, strict=True)
    ]
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_who_looks_ahead_does_so_only_when_greedy() -> None:
    algo, learner = algo_of("lookahead"), learner_of("lookahead")
    noisy, greedy = acted("lookahead")
    best = jax.jit(algo.ahead)(learner, jnp.asarray(OBS)).argmax(-1)
    np.testing.assert_array_equal(greedy.action, best)
    pi = jax.jit(lambda net: net.policy(Sight(jnp.asarray(OBS))))(learner.params)
    np.testing.assert_allclose(noisy.extras.logp, pi.log_prob(noisy.action), rtol=1e-4)


def test_who_imagines_nothing_has_no_model() -> None:
    algo = algo_of("model-free")
    update = partial(jax.eval_shape, algo.update)
    after, metrics = update(learner_of("model-free"), played("model-free"), jax.random.key(1))
    assert after.model is None
    assert not any(name.startswith("model/") or name == "loss/distil" for name in metrics)


def test_the_exact_model_needs_observations_that_show_the_state() -> None:
    with pytest.raises(ConfigError, match=r"state_of.*arm='learned'"):
        jax.eval_shape(partial(algo_of("exact").init, make("gymnax:Breakout-MinAtar", N)), jax.random.key(0))
