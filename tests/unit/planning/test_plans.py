"""Planners find the best of what they try, stay in bounds, never choose what is no number, and stop at ends."""

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from swingup.envs import Vec
from swingup.envs.control import LQ
from swingup.envs.models import exact
from swingup.planning.plans import cem, shifted, shooting
from swingup.planning.worth import gap, returns
from swingup.protocols import Env
from swingup.spaces import Box, to_env
from swingup.types import Seen, Transition

# --- Which plan is chosen ---------------------------------------------------------------------------------------------


Tried = list[np.ndarray]


def watched(worth: Callable[[Array], Any]) -> tuple[Callable[[Array, Array], Array], Tried]:
    """A score, and the plans that it is asked for, batch by batch."""
    seen: Tried = []

    def score(tried: Array, _: Array) -> Array:
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), tried)
        return jnp.asarray(worth(tried), jnp.float32)

    return score, seen


@pytest.mark.parametrize("place", [0, 3, 9])
def test_the_best_is_found_wherever_it_stands(place: int) -> None:
    """One of ten plans is worth more; it is first, in the middle or last."""
    score, seen = watched(lambda tried: jnp.where(jnp.arange(10) == place, -1.0, -5.0))
    plan = shooting(score, jax.random.key(0), 10, (4, 2))
    np.testing.assert_array_equal(plan.actions, seen[0][place])
    assert float(plan.value) == -1
    how = {"candidates": 10, "iterations": 2, "elites": 1, "momentum": 0.0}
    plan = cem(score, jax.random.key(0), jnp.zeros((4, 2)), **how)
    np.testing.assert_allclose(plan.actions, seen[2][place], atol=1e-6)
    np.testing.assert_array_equal(plan.best, seen[1][place])  # the first of equals


def test_the_best_plan_is_that_of_all_iterations_not_of_the_last() -> None:
    """Later plans are worth less here: a plan's worth falls with the deviation that is left."""
    score, seen = watched(lambda tried: tried[1:].std() + 0.01 * tried[:, 0, 0])
    plan = cem(score, jax.random.key(1), jnp.zeros((1, 1)), candidates=50, iterations=4, elites=5)
    assert seen[3][1:].std() < 0.5 * seen[0][1:].std()
    np.testing.assert_array_equal(plan.best[0, 0], seen[0].max())
    assert float(plan.value) == pytest.approx(seen[0][1:].std() + 0.01 * seen[0].max(), rel=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_nan_is_never_an_elite(sign: float) -> None:
    """Whatever the signs of worths: some public planners read NaN as a number that is above any loss."""

    def score(tried: Array, _: Array) -> Array:
        x = tried[:, 0, 0]
        return jnp.where(x > 0, jnp.nan, -100.0 + sign * x)

    plan = cem(score, jax.random.key(0), jnp.zeros((1, 1)), candidates=64, iterations=5, elites=8)
    assert plan.best[0, 0] <= 0
    assert plan.actions[0, 0] <= 0
    assert np.isfinite(plan.value)
    assert shooting(score, jax.random.key(0), 64, (1, 1)).actions[0, 0] <= 0


def test_where_nothing_is_a_number_the_mean_stays() -> None:
    mean = jnp.full((3, 1), 0.25)
    plan = cem(
        lambda t, _: jnp.full(len(t), jnp.nan), jax.random.key(0), mean, candidates=8, iterations=3, elites=2
    )
    np.testing.assert_array_equal(plan.actions, mean)
    np.testing.assert_array_equal(plan.best, mean)


def test_fewer_numbers_than_elites_make_no_elite_of_the_rest() -> None:
    """Two of ten plans have a worth, and five are wanted: the mean of the two."""
    score, seen = watched(lambda tried: jnp.where(jnp.arange(10) < 2, 1.0, jnp.nan))
    how = {"candidates": 10, "iterations": 1, "elites": 5, "momentum": 0.0}
    plan = cem(score, jax.random.key(0), jnp.zeros((1, 1)), **how)
    np.testing.assert_allclose(plan.actions, seen[0][:2].mean(0), rtol=1e-6)


def test_an_iteration_of_cem_is_that_of_a_slow_loop() -> None:
    worth = np.random.default_rng(0).normal(size=20).astype(np.float32)
    score, seen = watched(lambda tried: worth)
    mean = jnp.full((2, 1), 0.1)
    plan = cem(score, jax.random.key(3), mean, candidates=20, iterations=1, elites=4, momentum=0.3, sigma=0.4)
    tried = np.asarray(seen[0])
    best = sorted(range(20), key=lambda i: -worth[i])[:4]
    np.testing.assert_allclose(plan.actions, 0.3 * 0.1 + 0.7 * tried[best].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(plan.best, tried[best[0]])
    np.testing.assert_allclose(tried[0], 0.1, rtol=1e-6)  # the mean itself is tried
    assert tried[1:].std() == pytest.approx(0.4, rel=0.5)


def test_plans_stay_in_bounds_and_reach_them() -> None:
    """Bounds that are not symmetric too: the environment gets what lies in them."""
    space = Box.of([-1.0, 2.0], [3.0, 2.5], (2,))
    for want in (0, 1):
        score, seen = watched(lambda tried, want=want: (2 * want - 1) * to_env(space, tried).sum((1, 2)))
        how = {"candidates": 128, "iterations": 12, "elites": 16, "sigma": 1.0}
        plan = cem(score, jax.random.key(0), jnp.zeros((3, 2)), **how)
        shooting(score, jax.random.key(0), 64, (3, 2))
        assert len(seen) == 13
        assert all(np.abs(tried).max() <= 1 for tried in seen)
        sent = to_env(space, plan.actions)
        assert np.all((sent >= space.bounds[0]) & (sent <= space.bounds[1]))
        np.testing.assert_allclose(sent, np.broadcast_to(space.bounds[want], sent.shape), atol=0.05)
    score, seen = watched(lambda tried: tried.sum((1, 2)))
    cem(score, jax.random.key(0), jnp.full((3, 2), 9.0), candidates=4, iterations=1, elites=2)
    assert np.abs(seen).max() <= 1


def test_a_shifted_plan_goes_on_where_the_last_one_went() -> None:
    plan = jnp.arange(6.0).reshape(1, 3, 2)
    np.testing.assert_array_equal(shifted(plan), [[[2, 3], [4, 5], [0, 0]]])


# --- What plans are worth ---------------------------------------------------------------------------------------------


class Place(NamedTuple):
    x: Array


class Cliff(Env):
    """Walk by a whole step to the right or left; beyond 1.5 there is a cliff. Each env step pays `pay`, the fall -1."""

    name, observation_space, action_space = "Cliff", Box.of(-np.inf, np.inf, (1,)), Box.of(-1.0, 1.0, (1,))

    def __init__(self, pay: float):
        self.pay = pay

    def reset(self, key: Array) -> tuple[Place, Array]:
        return Place(jnp.zeros(1)), jnp.zeros(1)

    def step(self, state: Place, action: Array, key: Array) -> tuple[Place, Transition]:
        x = state.x + jnp.where(action > 0, 1.0, -1.0)
        fell = x[0] > 1.5
        reward = jnp.where(fell, -1.0, self.pay) + jnp.where(
            state.x[0] > 1.5, 1000.0, 0.0
        )  # never after a fall
        return Place(x), Transition(x, reward, fell, jnp.bool_(False))


def earned(pay: float, moves: tuple[float, ...], gamma: float) -> float:
    x, total = 0.0, 0.0
    for t, move in enumerate(moves):
        x += move
        total += gamma**t * (-1.0 if x > 1.5 else pay)
        if x > 1.5:
            break
    return total


@pytest.mark.parametrize("pay", [1.0, -1.0])
def test_sums_stop_at_ends_and_the_planner_decides_as_if_they_do(pay: float) -> None:
    """All plans of five moves, in a slow loop. Where each env step costs, a fall is soon the best; else never."""
    model, gamma = exact(Vec(Cliff(pay), 1)), 0.9
    moves = list(product((-1.0, 1.0), repeat=5))
    state = model.start(Seen(None, world=Place(jnp.zeros((1, 1)))))
    noise = model.draw(jax.random.key(0), (5, 32))
    space = model.env.action_space
    found = returns(model, space, state, jnp.asarray(moves)[..., None], noise, gamma)
    want = [earned(pay, m, gamma) for m in moves]
    np.testing.assert_allclose(found, want, rtol=1e-5)
    best = moves[int(np.argmax(want))]
    assert (best[:2] == (1.0, 1.0)) == (pay < 0)
    noise = model.draw(jax.random.key(1), (5, 256))

    def score(tried: Array, _: Array) -> Array:
        return returns(model, space, state, tried, noise, gamma)

    plan = cem(score, jax.random.key(2), jnp.zeros((5, 1)), candidates=256, iterations=4, elites=16)
    assert float(plan.value) == pytest.approx(max(want), rel=1e-5)


class Coin(Env):
    """The reward is 1 or 0 by chance."""

    name, observation_space, action_space = "Coin", Box.of(-1, 1, (1,)), Box.of(-1.0, 1.0, (1,))

    def reset(self, key: Array) -> tuple[Array, Array]:
        return jnp.zeros(1), jnp.zeros(1)

    def step(self, state: Array, action: Array, key: Array) -> tuple[Array, Transition]:
        return state, Transition(state, jax.random.bernoulli(key), jnp.bool_(False), jnp.bool_(False))


def test_particles_are_averaged_and_have_noise_of_their_own() -> None:
    model = exact(Vec(Coin(), 1))
    state, noise = jnp.zeros((400, 1)), model.draw(jax.random.key(0), (1, 400 * 2))
    worth = returns(model, model.env.action_space, state, jnp.zeros((2, 1, 1)), noise)
    np.testing.assert_allclose(worth, 0.5, atol=5 * 0.5 / 20)
    assert worth[0] != worth[1]


def riccati(task: Any, horizon: int) -> np.ndarray:
    """P with x·P x the least cost of H env steps."""
    a, b, q, r = (np.array(m) for m in (task.A, task.B, task.Q, task.R))
    p = np.zeros((2, 2))
    for _ in range(horizon):
        k = np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)
        p = q + a.T @ p @ (a - b @ k)
    return p


def test_cem_reaches_the_best_of_the_linear_quadratic_task() -> None:
    """1,000 plans, 20 iterations: within 0.5 % of what Riccati's equation says, in each of eight states."""
    task, horizon = LQ(), 15
    model, x = exact(Vec(task, 1)), jax.random.uniform(jax.random.key(0), (8, 2), minval=-1.0, maxval=1.0)

    @jax.jit
    @jax.vmap
    def cost(x: Array, key: Array) -> tuple[Array, Array]:
        state = jax.tree.map(lambda y: y[None], task.reset(key)[0]._replace(x=x))
        noise = model.draw(key, (horizon, 1000))

        def score(tried: Array, _: Array) -> Array:
            return returns(model, task.action_space, state, tried, noise)

        plan = cem(score, key, jnp.zeros((horizon, 1)), candidates=1000, iterations=20, elites=50)
        one = jax.tree.map(lambda n: n[:, :1], noise)
        return -returns(model, task.action_space, state, plan.actions[None], one)[0], plan.actions

    found, actions = cost(x, jax.random.split(jax.random.key(1), 8))
    x = np.asarray(x, np.float64)
    best = np.einsum("bi,ij,bj->b", x, riccati(task, horizon), x)
    assert np.all(found >= best * (1 - 1e-4))
    assert np.all(found <= 1.005 * best)
    assert np.abs(actions).max() < 1


# --- By how much plans promised more ----------------------------------------------------------------------------------


def test_the_gap_is_that_of_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    t, n, horizon, gamma = 30, 3, 4, 0.9
    reward, value = rng.normal(size=(2, t, n)).astype(np.float32)
    ended = rng.random((t, n)) < 0.15
    terminated = ended & (rng.random((t, n)) < 0.5)
    found = []
    for i, j in product(range(t), range(n)):
        total, whole = 0.0, True
        for h in range(horizon):
            if i + h >= t:
                whole = False
                break
            total += gamma**h * reward[i + h, j]
            if terminated[i + h, j]:
                break
            if ended[i + h, j] and h < horizon - 1:
                whole = False
                break
        if whole:
            found.append(value[i, j] - total)
    arrays = [jnp.asarray(x) for x in (value, reward, terminated, ended)]
    assert float(gap(*arrays, horizon, gamma)) == pytest.approx(np.mean(found), rel=1e-4)
    assert np.isnan(gap(*arrays, t + 1, gamma)) or terminated.any()
    nowhere = jnp.zeros((3, 1), bool)
    assert np.isnan(gap(jnp.ones((3, 1)), jnp.ones((3, 1)), nowhere, nowhere, 4, 1.0))
