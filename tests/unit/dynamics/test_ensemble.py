"""An ensemble is compared with slow loops, with members alone, and with dynamics that are known exactly."""

from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import Array

from conftest import Idle, assert_close, late
from swingup.dynamics.ensemble import Ensemble, ensemble
from swingup.dynamics.errors import errors
from swingup.dynamics.fit import BOUNDS, EVERY, Pairs, Rows, drawn, error, fit, loss, pairs, rescaled
from swingup.envs import make
from swingup.envs.control import LQ
from swingup.errors import ConfigError
from swingup.rollout import wander
from swingup.spaces import Box, Discrete
from swingup.types import Rollout, Step

IDLE: Any = Idle  # nobody steps it


def world(d: int = 2, a: int = 1, **given: Any) -> Any:
    env = IDLE("Idle", 1, Box.of(-np.inf, np.inf, (d,)), Box.of(-10.0, 10.0, (a,)))
    env.known_reward, env.known_end = given.get("reward"), given.get("end")
    return env


def never(obs: Array, action: Array, next_obs: Array) -> Array:
    return jnp.zeros(next_obs.shape[:-1], bool)


def zero(obs: Array, action: Array, next_obs: Array) -> Array:
    return jnp.zeros(next_obs.shape[:-1])


GIVEN: dict[str, Any] = {"reward": zero, "end": never}


def rows(m: int, there: int | None = None, seed: int = 0, d: int = 2) -> Rows:
    """Random transitions of a smooth map, whose reward is that of moving up, and which end beyond 1."""
    rng = np.random.default_rng(seed)
    obs, action = rng.normal(size=(m, d)), rng.uniform(-1, 1, (m, 1))
    next_obs = obs + 0.3 * np.tanh(obs[:, ::-1]) + 0.2 * action
    reward, ends = 2 * next_obs.sum(1), next_obs[:, 0] > 1
    arrays = (obs, action, reward, next_obs)
    return Rows(
        *(jnp.asarray(x, jnp.float32) for x in arrays), jnp.asarray(ends), jnp.arange(m) < (there or m)
    )


def made_of(
    env: Any, members: int = 2, hidden: tuple[int, ...] = (6,), activation: str = "silu", **how: Any
) -> Any:
    """An ensemble that has learnt nothing."""
    return jax.jit(lambda key: ensemble(env, key, members, hidden, activation, **how))(jax.random.key(0))


LEARNT, GIVEN_ALL = world(), world(**GIVEN)


@cache
def made(given: bool = False, gaussian: bool = False) -> Any:
    """Two small members."""
    return made_of(GIVEN_ALL if given else LEARNT, gaussian=gaussian)


FIT: dict[str, Any] = {"looks": 2, "gradient_steps": 3, "batch_size": 8}
STATIC = "looks", "gradient_steps", "batch_size", "resample"
fitted_to = jax.jit(fit, static_argnames=STATIC)
PREDICT = jax.jit(lambda made, *args: made.predict(*args))
GRAD = jax.jit(jax.value_and_grad(loss), static_argnums=2)
ERROR = jax.jit(error)

# --- The loss ---------------------------------------------------------------------------------------------------------


def mlp(member: Any, x: np.ndarray) -> np.ndarray:
    *hidden, last = member.mlp.layers
    for layer in hidden:
        z = x @ np.asarray(layer.weight, np.float64) + np.asarray(layer.bias, np.float64)
        x = z / (1 + np.exp(-z))  # silu
    return x @ np.asarray(last.weight, np.float64) + np.asarray(last.bias, np.float64)


@pytest.mark.parametrize("given, gaussian", [(False, False), (False, True), (True, True)])
def test_the_loss_is_that_of_a_slow_loop(given: bool, gaussian: bool) -> None:
    both = made(given, gaussian)
    member = jax.tree.map(lambda x: x[0], both.members)
    b = jax.tree.map(lambda x: x[:7], pairs(both, rows(7)))
    out, n = mlp(member, np.asarray(b.x, np.float64)), len(both.targets.mean)
    assert n == (2 if given else 3)
    total, y = 0.0, np.asarray(b.y, np.float64)
    for i in range(7):
        for j in range(n):
            square = (y[i, j] - out[i, j]) ** 2
            if gaussian:
                log_var = 0.5 - np.log1p(np.exp(0.5 - out[i, n + j]))
                log_var = -10 + np.log1p(np.exp(log_var + 10))
                square = square / np.exp(log_var) + log_var
            total += square / (7 * n)
    if gaussian:
        total += BOUNDS * n * 10.5
    if not given:
        for i in range(7):
            p = 1 / (1 + np.exp(-out[i, -1]))
            total -= np.log(p if b.end[i] else 1 - p) / 7
    weights = sum(float(jnp.square(x.weight).sum()) for x in member.mlp.layers)
    found = loss(member, b, not given, decay=0.1)
    assert float(found) == pytest.approx(total + 0.1 * weights, rel=1e-4)


def test_log_variances_stay_between_their_bounds_whatever_the_input() -> None:
    member = jax.tree.map(lambda x: x[0], made(True, True).members)
    raw = jax.jit(lambda m, x: m(x))(member, 1e4 * jax.random.normal(jax.random.key(1), (100, 3)))
    assert raw.log_var.shape == (100, 2)
    assert raw.log_var.max() <= 0.5 + 0.05
    assert raw.log_var.min() >= -10.0 - 1e-3


# --- The fit ----------------------------------------------------------------------------------------------------------


def slow_fit(first: Ensemble, data: Rows, i: int, key: Array, resample: str) -> tuple[Any, float]:
    """Member i alone, one gradient step after the other."""
    m = len(data.reward)
    held = np.array([k for k in range(m) if k % EVERY == 0])
    learnt = np.array([k for k in range(m) if k % EVERY])
    first = rescaled(first, data, learnt)
    all_pairs = pairs(first, data)
    train, test = (jax.tree.map(lambda x, at=at: x[at], all_pairs) for at in (learnt, held))
    key = jax.random.split(key, first.size)[i]
    order, count = drawn(key, data.there[learnt], resample)
    rule = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(1e-2))
    update = jax.jit(rule.update)
    member = jax.tree.map(lambda x: x[i], first.members)
    state = rule.init(member)
    weight = data.there[held].astype(jnp.float32)
    best, least, step = member, float(ERROR(member, test, weight)), 0
    for _ in range(FIT["looks"]):
        for _ in range(FIT["gradient_steps"]):
            at = [int(order[(step * FIT["batch_size"] + k) % int(count)]) for k in range(FIT["batch_size"])]
            _, grads = GRAD(member, Pairs(*(x[np.array(at)] for x in train)), first.end is None)
            updates, state = update(grads, state)
            member, step = jax.tree.map(jnp.add, member, updates), step + 1
        if (now := float(ERROR(member, test, weight))) < least:
            best, least = member, now
    return best, least


@pytest.mark.parametrize("resample", late(["bootstrap", "permuted"], "bootstrap"))
def test_members_fitted_together_are_those_fitted_alone(resample: str) -> None:
    """By a slow loop of gradient steps, on a replay that is not full; with the best of what each look saw."""
    first, data, key = made(False, resample == "permuted"), rows(60, there=41), jax.random.key(7)
    fitted, _ = fitted_to(first, data, key, resample=resample, lr=1e-2, **FIT)
    for i in range(2):
        best, least = slow_fit(first, data, i, key, resample)
        assert_close(jax.tree.map(lambda x, i=i: x[i], fitted.members), best, 1e-4)
        assert float(fitted.error[i]) == pytest.approx(least, rel=1e-3)


def test_draws_are_of_rows_that_are_there_and_differ_between_members() -> None:
    there = jnp.arange(100) < 60
    keys = jax.random.split(jax.random.key(0), 3)
    for resample in ("permuted", "bootstrap"):
        order, count = jax.vmap(lambda k, r=resample: drawn(k, there, r))(keys)
        order = np.asarray(order)[:, :60]
        assert np.all(count == 60)
        assert order.max() < 60
        assert len({tuple(x) for x in order}) == 3
        kinds = [len(set(x)) for x in order]
        # A share of 1 - 1/e of n draws with replacement differ: 38 of 60, with a deviation of 2.6.
        assert kinds == [60] * 3 if resample == "permuted" else all(25 <= k <= 51 for k in kinds)
    assert int(drawn(keys[0], jnp.zeros(5, bool), "permuted")[1]) == 1


def test_what_is_held_out_teaches_nothing_not_even_a_scale() -> None:
    """Every fifth row changed beyond recognition: only the errors differ, by which weights are chosen."""
    data, key = rows(60), jax.random.key(1)
    held = jnp.arange(60) % EVERY == 0
    other = data._replace(
        obs=jnp.where(held[:, None], 99.0, data.obs), reward=jnp.where(held, 1e6, data.reward)
    )
    one, other = (fitted_to(made(), x, key, lr=1e-2, **FIT) for x in (data, other))
    assert_close((one[0].inputs, one[0].targets), (other[0].inputs, other[0].targets), 0.0)
    assert float(one[1]) == float(other[1])
    assert not np.allclose(one[0].error, other[0].error)
    # Rows that are not there teach nothing either.
    data, far = rows(60, there=30), jnp.arange(60) >= 30
    other = data._replace(next_obs=jnp.where(far[:, None], 1e9, data.next_obs))
    assert_close(*(fitted_to(made(), x, key, lr=1e-2, **FIT) for x in (data, other)), 0.0)


def test_each_member_keeps_its_own_best_weights() -> None:
    """At a rate that is far too high, the member that has learnt nothing finds better weights, and the one that has
    learnt finds none: it keeps those that it had, to the bit.
    """
    data, good = rows(60), made()
    for i in range(60):
        good, _ = fitted_to(good, data, jax.random.key(i), lr=2e-2 * 0.95**i, **FIT)
    members = jax.tree.map(lambda old, new: jnp.stack([old[0], new[1]]), made().members, good.members)
    mixed = eqx.tree_at(lambda e: e.members, good, members)
    test, weight = pairs(mixed, data), (jnp.arange(60) % EVERY == 0).astype(jnp.float32)
    before = [float(ERROR(jax.tree.map(lambda x, i=i: x[i], members), test, weight)) for i in (0, 1)]
    assert before[1] < 0.2 * before[0]
    after, _ = fitted_to(mixed, data, jax.random.key(1), lr=0.3, **FIT)
    leaves = list(zip(jax.tree.leaves(members.mlp), jax.tree.leaves(after.members.mlp), strict=True))
    assert all(np.array_equal(x[1], y[1]) for x, y in leaves)
    assert after.error[1] == pytest.approx(before[1], rel=1e-4)
    assert after.error[0] <= before[0]
    broken = data._replace(reward=data.reward.at[1].set(jnp.nan))  # learning breaks: the weights stay
    kept, _ = fitted_to(mixed, broken, jax.random.key(1), lr=1e-2, **FIT)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(kept.members))
    gentle, _ = fitted_to(mixed, data, jax.random.key(1), lr=1e-2, **FIT)
    leaves = list(zip(jax.tree.leaves(members.mlp), jax.tree.leaves(gentle.members.mlp), strict=True))
    assert not all(np.array_equal(x[0], y[0]) for x, y in leaves)
    assert gentle.error[0] < before[0]


def test_rewards_a_thousand_times_larger_change_no_prediction_of_states() -> None:
    data, key = rows(60), jax.random.key(1)
    large = data._replace(reward=1000 * data.reward)
    one, other = (fitted_to(made(), x, key, lr=1e-2, **FIT)[0] for x in (data, large))
    said, then = (PREDICT(e, data.obs, data.action) for e in (one, other))
    np.testing.assert_allclose(said.next_obs, then.next_obs, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(1000 * said.reward, then.reward, rtol=1e-2, atol=1.0)


THREE = cache(lambda: made_of(world(3, **GIVEN)))


@pytest.mark.parametrize("value", late([0.0, 5.0, 1e4], 5.0))
def test_a_feature_that_is_constant_divides_by_nothing(value: float) -> None:
    """Nor does one that is constant but for rounding; and where it moves later, predictions stay finite and near."""
    data = rows(60, d=3)
    wobble = value * (1 + 1e-7 * jax.random.normal(jax.random.key(0), (60,)))
    data = data._replace(obs=data.obs.at[:, 2].set(wobble), next_obs=data.next_obs.at[:, 2].set(wobble))
    fitted, value_of = fitted_to(THREE(), data, jax.random.key(1), **FIT)
    assert np.isfinite(value_of)
    for scale in (fitted.inputs, fitted.targets):
        np.testing.assert_array_equal(scale.std[2], 1.0)
        assert np.all(np.asarray(scale.std[:2]) != 1.0)
    said = PREDICT(fitted, data.obs.at[:, 2].add(0.5), data.action).next_obs
    assert np.abs(said - data.obs.at[:, 2].add(0.5)).max() < 30
    tiny = data._replace(obs=data.obs.at[:, 2].set(1e-6 * data.obs[:, 0]))
    fitted, _ = fitted_to(THREE(), tiny, jax.random.key(1), **FIT)
    assert np.abs(fitted.features(tiny.obs.at[:, 2].add(1.0), tiny.action)).max() <= 10


def test_the_best_members_are_those_with_the_smallest_errors() -> None:
    four = made_of(LEARNT, 4)
    four = eqx.tree_at(lambda e: e.error, four, jnp.array([0.3, 0.1, 0.4, 0.2]))
    best = four.best(2)
    assert best.size == 2
    np.testing.assert_allclose(best.error, [0.1, 0.2])
    for new, old in zip(jax.tree.leaves(best.members), jax.tree.leaves(four.members), strict=True):
        np.testing.assert_array_equal(new, old[np.array([1, 3])])


# --- What is learnt, where it is known --------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_jacobians_of_a_linear_task_are_found() -> None:
    """LQ: each member's ∂(s' - s)/∂(s, a) is (A - I, B) within 0.005, from 250 transitions."""
    env, task = make("task:LQ", 10), LQ()
    _, r = jax.jit(lambda a, b: wander(env, (a, b), 25))(*jax.random.split(jax.random.key(0)))
    data = Rows(*(jnp.asarray(x).reshape(250, *x.shape[2:]) for x in (r.obs, 10 * r.action, r.step.reward,
                r.step.next_obs, r.step.terminated)), jnp.ones(250, bool))  # fmt: skip
    three = made_of(env, 3, (32,), "tanh")
    for i, lr in enumerate((1e-2, 3e-3, 1e-3, 2e-4)):
        how = {"looks": 10, "gradient_steps": 150, "batch_size": 64, "lr": lr}
        three, _ = fitted_to(three, data, jax.random.key(i), **how)

    def change(s: Array, u: Array) -> Array:
        return three.predict(s[None], u[None]).next_obs[:, 0] - s

    s, u = jnp.array([0.2, -0.3]), jnp.array([0.5])
    by_s, by_u = jax.jit(jax.jacobian(change, (0, 1)))(s, u)
    np.testing.assert_allclose(by_s, np.broadcast_to(np.array(task.A) - np.eye(2), by_s.shape), atol=0.005)
    np.testing.assert_allclose(by_u, np.broadcast_to(np.array(task.B), by_u.shape), atol=0.005)


@pytest.mark.slow
def test_a_gaussian_member_recovers_the_deviation_of_noise_that_depends_on_the_state() -> None:
    """s' - s ~ N(0, σ(s)²) with σ from 0.1 to 0.5: found within 10 %, on average over s."""
    rng = np.random.default_rng(0)
    m = 8000
    obs = rng.uniform(-1, 1, (m, 1))
    sigma = 0.3 + 0.2 * np.sin(2 * obs)
    next_obs = obs + sigma * rng.normal(size=(m, 1))
    arrays = [jnp.asarray(x, jnp.float32) for x in (obs, np.zeros((m, 1)), np.zeros(m), next_obs)]
    data = Rows(*arrays, jnp.zeros(m, bool), jnp.ones(m, bool))
    two = made_of(world(1, **GIVEN), 2, (16,), "tanh", gaussian=True)
    for i, lr in enumerate((1e-2, 1e-3)):
        how = {"looks": 4, "gradient_steps": 250, "batch_size": 256, "lr": lr}
        two, _ = fitted_to(two, data, jax.random.key(i), **how)
        # The mean is 0 everywhere, so the error on rows held out hardly chooses: the last look is as good as any.
    x = jnp.linspace(-0.9, 0.9, 19)[:, None]
    said = PREDICT(two, x, jnp.zeros((19, 1))).std[..., 0]
    ratio = np.asarray(said) / (0.3 + 0.2 * np.sin(2 * np.asarray(x[:, 0])))
    assert np.abs(np.log(ratio)).mean() < 0.1


@pytest.mark.slow
def test_ends_and_rewards_are_learnt_where_they_are_not_given() -> None:
    data, how = rows(1000), {"looks": 5, "gradient_steps": 100, "batch_size": 64, "lr": 5e-3}
    fitted, _ = fitted_to(made_of(LEARNT, 1, (32,)), data, jax.random.key(0), **how)
    said = PREDICT(fitted, data.obs, data.action)
    assert np.corrcoef(said.reward[0], data.reward)[0, 1] > 0.99
    assert np.mean((said.end[0] > 0.5) == data.terminated) > 0.95


def test_what_is_given_is_not_learnt_unless_it_shall_be() -> None:
    data = rows(60)
    said = PREDICT(made(True), data.obs, data.action)
    assert not np.any(said.reward)
    assert not np.any(said.end)
    unused = jax.eval_shape(lambda key: ensemble(GIVEN_ALL, key, 1, (6,), known=False), jax.random.key(0))
    assert unused.reward is None
    assert unused.end is None


def test_integers_are_actions_too_and_images_are_refused() -> None:
    env = IDLE("Idle", 1, Box.of(-1.0, 1.0, (2,)), Discrete(3))
    said = [PREDICT(made_of(env), jnp.zeros((1, 2)), jnp.array([a])).next_obs for a in range(3)]
    assert len({float(x[0, 0, 0]) for x in said}) == 3
    with pytest.raises(ConfigError, match="observations that are vectors"):
        ensemble(IDLE("Idle", 1, Box.of(0, 255, (8, 8, 3)), Discrete(3)), jax.random.key(0), 2, (4,))


# --- How wrong it is --------------------------------------------------------------------------------------------------


def test_errors_ahead_are_those_of_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    t, n, k = 8, 2, 3
    obs, next_obs = rng.normal(size=(2, t, n, 2)).astype(np.float32)
    action = rng.uniform(-1, 1, (t, n, 1)).astype(np.float32)
    done = rng.random((t, n)) < 0.1
    empty = jnp.zeros((t, n))
    step = Step(obs, next_obs, empty, jnp.asarray(done), empty > 0, empty, empty)  # pyright: ignore[reportArgumentType]
    found = jax.jit(errors, static_argnums=2)(
        made(True), Rollout(jnp.asarray(obs), jnp.asarray(action), (), step), k
    )
    for steps, value in ((1, found[0]), (k, found[1])):
        wrong, changes = [], []
        for i in range(t - steps + 1):
            for j in range(n):
                if done[i : i + steps - 1, j].any():
                    continue
                said = jnp.broadcast_to(obs[i, j], (2, 1, 2))
                for h in range(steps):
                    u = jnp.asarray(10 * action[i + h, j])[None]
                    both = [PREDICT(made(True), said[e], u).next_obs[e] for e in range(2)]
                    said = jnp.stack(both)
                wrong.append(np.square(np.asarray(said)[:, 0] - next_obs[i + steps - 1, j]).mean(0))
                changes.append(next_obs[i + steps - 1, j] - obs[i, j])
        expected = np.sqrt((np.mean(wrong, 0) / np.var(changes, 0)).mean())
        assert float(value) == pytest.approx(expected, rel=1e-3)
    assert np.isnan(errors(made(True), Rollout(jnp.asarray(obs), jnp.asarray(action), (), step), t + 1)[1])
