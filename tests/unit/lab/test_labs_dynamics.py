"""Demonstrations on learnt dynamics have parts that equal slow oracles, and claims that fail without their cause."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.dynamics.ensemble import ensemble
from swingup.dynamics.errors import error
from swingup.envs import make
from swingup.envs.control import Moving
from swingup.lab import compounding_error as compounding
from swingup.lab import model_exploitation as exploitation
from swingup.lab import reward_head as head
from swingup.lab.tools import swing_up
from swingup.planning import plans
from swingup.types import Rollout, Step

# --- What they share --------------------------------------------------------------------------------------------------


def test_rows_are_whole_transitions_environment_by_environment() -> None:
    rollout = swing_up.pushed(jax.random.key(0), 6, num_envs=2)
    rows = swing_up.rows_of(rollout)
    for i, (t, n) in enumerate((t, n) for n in range(2) for t in range(3)):
        np.testing.assert_array_equal(rows.obs[i], rollout.obs[t, n])
        np.testing.assert_array_equal(rows.next_obs[i], rollout.step.next_obs[t, n])
        np.testing.assert_array_equal(rows.action[i], rollout.action[t, n])
        np.testing.assert_array_equal(rows.reward[i], rollout.step.reward[t, n])


# --- compounding-error ------------------------------------------------------------------------------------------------


def test_linear_errors_are_the_closed_form() -> None:
    for rate in (0.5, 1.0, 1.2):
        found, exact = (f(rate, 1.03 * rate, 12) for f in (compounding.rolled, compounding.exact))
        np.testing.assert_allclose(found, exact, rtol=1e-10)
        assert found[0] == pytest.approx(0.03 * rate)
        assert exact[11] == pytest.approx(abs((1.03 * rate) ** 12 - rate**12))


def test_errors_many_env_steps_ahead_are_those_that_algorithms_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the leaf that PETS' metric is made of, written for another purpose."""
    monkeypatch.setattr(compounding, "STEPS", 3)
    rng = np.random.default_rng(1)
    seen, action = rng.normal(size=(7, 2, 5)).astype("f"), rng.uniform(-1, 1, (6, 2, 1)).astype("f")
    none, obs = jnp.zeros((6, 2), bool), jnp.array(seen)
    step = Step(
        obs[1:], obs[1:], jnp.zeros((6, 2)), none, none, jnp.zeros((6, 2)), jnp.ones((6, 2), jnp.int32)
    )
    made = ensemble(make(swing_up.NAME, 1), jax.random.key(2), 1, (4,))
    rollout = Rollout(obs[:-1], jnp.array(action), None, step)
    found = compounding.errors(made, rollout)
    assert found.shape == (3,)
    np.testing.assert_allclose(found[-1], error(made, rollout, rollout.action, none, 3), rtol=1e-4)


def test_errors_that_do_not_compound_fulfil_no_claim() -> None:
    flat = dict.fromkeys(compounding.RATES, np.full(compounding.STEPS, 0.01))
    nets = dict.fromkeys(compounding.DATA, np.full(compounding.STEPS, 0.5))
    assert not any(claim.holds for claim in compounding.claims_of(flat, nets))


# --- model-exploitation -----------------------------------------------------------------------------------------------


def test_the_course_of_a_search_ends_where_cem_does() -> None:
    """And each of its plans is the best so far, by both scores."""

    def score(tried: jax.Array, key: jax.Array) -> jax.Array:
        return -jnp.square(tried - 0.4).sum((1, 2))

    key, n = jax.random.key(3), exploitation.ITERATIONS
    found = exploitation.course(score, lambda tried, key: 2 * score(tried, key), key)
    how = {"candidates": exploitation.CANDIDATES, "elites": exploitation.ELITES, "iterations": n}
    plan = plans.cem(score, key, jnp.zeros((exploitation.HORIZON, 1)), **how)
    assert found.shape == (n, 2)
    assert found[-1, 0] == plan.value
    np.testing.assert_allclose(found[:, 1], 2 * found[:, 0], rtol=1e-5)
    assert jnp.all(jnp.diff(found[:, 0]) >= 0)


def test_plans_earn_what_the_environment_pays_and_promise_what_members_say_on_average() -> None:
    """By walks of one env step after the other."""
    state, obs = swing_up.ENV.reset(jax.random.key(0))
    tried = jax.random.uniform(jax.random.key(1), (2, 3, 1), minval=-1, maxval=1)
    made = ensemble(make(swing_up.NAME, 1), jax.random.key(2), 2, (4,))
    earns, promises = (
        f(tried, jax.random.key(3)) for f in (exploitation.earned(state), exploitation.promised(made, obs))
    )
    for plan, earned, promise in zip(tried, earns, promises, strict=True):
        at, real, said = state, 0.0, []
        for action in plan:
            at, t = swing_up.ENV.step(at, action, jax.random.key(4))
            real += t.reward
        for member in range(2):
            seen, total = obs[None], 0.0
            for action in plan:
                p = made.predict(seen, action[None])
                seen, total = p.next_obs[member], total + p.reward[member, 0]
            said.append(total)
        np.testing.assert_allclose(earned, real, rtol=1e-4)
        np.testing.assert_allclose(promise, np.mean(said), rtol=1e-4)


def test_promises_that_are_kept_exploit_nothing() -> None:
    rising = np.tile(np.linspace(5.0, 9.0, exploitation.ITERATIONS), (2, 3, 1))
    names = exploitation.ALONE, exploitation.MEAN, exploitation.EXACT
    assert not any(claim.holds for claim in exploitation.claims_of(dict.fromkeys(names, rising)))


# --- reward-head ------------------------------------------------------------------------------------------------------


def test_poles_of_any_angle_are_transitions_of_the_environment() -> None:
    rows, env = head.from_anywhere(jax.random.key(0)), swing_up.ENV
    for i in range(4):
        place, velocity, cos, sin, turning = rows.obs[i]
        state = Moving(jnp.stack([place, velocity, jnp.arctan2(sin, cos), turning]), jnp.int32(0))
        t = env.step(state, rows.action[i], jax.random.key(1))[1]
        np.testing.assert_allclose(rows.next_obs[i], t.obs, atol=1e-5)
        np.testing.assert_allclose(rows.reward[i], t.reward, atol=1e-5)
    up = np.asarray(rows.obs[:, 2] > 0)
    assert abs(up.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(up))


def test_the_true_reward_over_angles_has_its_peak_at_the_top() -> None:
    found = head.truth()
    assert found.argmax() == len(head.ANGLES) // 2
    np.testing.assert_allclose(found, np.exp(-2 * (1 - np.cos(head.ANGLES))), atol=1e-5)


def test_a_head_that_is_learnt_or_given_does_not_matter_where_both_are_right() -> None:
    """The same curves and returns for both kinds of data: only that the learnt reward leads anywhere still holds."""
    same = head.Found(
        np.zeros((2, 9)),
        np.zeros((2, 9)),
        np.tile(head.truth(), (2, 1)),
        dict.fromkeys((head.LEARNT, head.GIVEN), np.ones((2, 5))),
    )
    held = [claim.holds for claim in head.claims_of({head.PUSHED: same, head.ANYWHERE: same})]
    assert held == [False, False, True]


def test_what_is_learnt_is_the_reward_and_nothing_else() -> None:
    rows = swing_up.rows_of(swing_up.pushed(jax.random.key(0), 8))
    made = swing_up.learnt(rows, jax.random.key(1), 1, 10, reward=True)
    assert made.reward is None
    assert made.end is not None
