"""Demonstrations on learnt dynamics have parts that equal slow oracles, and claims that fail without their cause."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.dynamics.ensemble import ensemble
from swingup.dynamics.errors import error
from swingup.envs import make
from swingup.lab import compounding_error as compounding
from swingup.lab.tools import swing_up
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
