"""Demonstrations on models have parts that equal slow oracles, and claims that fail where the cause is taken away."""

import numpy as np

from swingup.lab import value_expansion as chain

# --- value-expansion --------------------------------------------------------------------------------------------------


def test_exact_targets_are_the_values_of_the_chain() -> None:
    """With tables that are right, whatever is asked of an exact model; by a walk to the end."""
    walked = []
    for s in range(chain.STATES):
        costs = chain.STATES - 1 - s
        walked.append(chain.PRIZE - costs * chain.COST)
    np.testing.assert_allclose(chain.truth(), walked)
    tables = np.tile(chain.truth(), (chain.JUDGES, 1))
    for how in chain.LEARNERS.values():
        exact = how._replace(noise=0.0)
        np.testing.assert_allclose(chain.targets(tables, exact, np.random.default_rng(0)), tables, atol=1e-3)


def test_a_noisy_model_jumps_as_often_as_it_should() -> None:
    how = chain.Learner(1, False, 0.1)
    state, reward, ended = chain.paths(how, np.random.default_rng(0), (20, 20))
    jumps = (state[1] != np.minimum(np.arange(chain.STATES) + 2, chain.STATES))[..., :-1]
    share = 0.1 * (1 - 1 / chain.STATES)
    assert abs(jumps.mean() - share) < 5 * np.sqrt(share / jumps.size)
    assert np.all(state[1][..., -1] == chain.STATES)  # nothing comes back from the end
    np.testing.assert_array_equal(ended, state == chain.STATES)
    assert reward[0].sum() / 400 == chain.PRIZE - chain.COST * (chain.STATES - 1)


def test_without_noise_no_claim_about_it_holds() -> None:
    """MVE is then as right as STEVE, and TD is the last."""
    end = dict.fromkeys(chain.LEARNERS, 0.0) | {"TD, no model": 115.0}
    early = dict.fromkeys(chain.LEARNERS, 1.0) | {"TD, no model": 3000.0}
    assert [claim.holds for claim in chain.claims_of(early, end)] == [True, False, False]
    assert not chain.claims_of(dict.fromkeys(chain.LEARNERS, 5.0), end)[0].holds
