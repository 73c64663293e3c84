"""Demonstrations of policy gradients have parts that equal slow oracles, and claims that fail without the cause."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.algos.vpg import VPG, Batch
from swingup.distributions import Categorical
from swingup.envs.tabular import MDP, random
from swingup.lab import (
    baseline,
    discounted_objective,
    gae,
    gradient_forms,
    n_step,
    past_rewards,
    stale_data,
    value_regression,
)
from swingup.lab.tools import episodes as ep
from swingup.lab.tools import wrong_values
from swingup.returns import gae as library_gae
from swingup.theory.bellman import fixed_point
from swingup.theory.exact import softmax, trajectories, uniform


def panel() -> Axes:
    return Figure().subplots()


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def differences(f: Any, x: np.ndarray, width: float = 1e-5) -> np.ndarray:
    """The gradient of a scalar function by central differences."""
    found = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = width
        found[i] = (f(x + d) - f(x - d)) / (2 * width)
    return found


@pytest.fixture(scope="module")
def world() -> tuple[MDP, np.ndarray, ep.Episodes]:
    """The example with γ < 1, its logits, and all its episodes of three env steps."""
    mdp, logits = ep.example(gamma=0.8)
    return mdp, logits, ep.every(mdp, softmax(logits), 3)


# --- Episodes


def test_every_episode_is_listed_with_its_probability(world: Any) -> None:
    """The recursion of `exact.trajectories` finds the same ones."""
    mdp, logits, data = world
    found = {
        (tuple(s), tuple(a)): (p, tuple(r))
        for s, a, p, r in zip(data.state.T, data.action.T, data.probability, data.reward.T, strict=True)
    }
    oracle = list(trajectories(mdp, softmax(logits), 3))
    assert len(found) == len(oracle) == 3 * 6**3
    for t in oracle:
        p, r = found[t.states, t.actions]
        np.testing.assert_allclose([p, *r], [t.probability, *t.rewards], rtol=1e-12)


def test_dynamic_programming_agrees_with_the_list(world: Any) -> None:
    """J, the visits, and Q at the first env step, as sums over all episodes."""
    mdp, logits, data = world
    policy, p = softmax(logits), data.probability
    returns = 0.8 ** np.arange(3) @ data.reward
    np.testing.assert_allclose(p @ returns, ep.performance(mdp, policy, 3), rtol=1e-12)
    visits = [np.bincount(s, p, 3) for s in data.state[:-1]]
    np.testing.assert_allclose(ep.visits(mdp, policy, 3), visits, rtol=1e-12)
    q = ep.values(mdp, policy, 3)[1][0]
    for s, a in np.ndindex(q.shape):
        here = p * (data.state[0] == s) * (data.action[0] == a)
        np.testing.assert_allclose(here @ returns / here.sum(), q[s, a], rtol=1e-10)


def test_the_gradient_is_that_of_j_and_the_usual_one_only_without_discount(world: Any) -> None:
    """Central differences of the exact J."""
    for gamma in (0.8, 1.0):
        mdp, logits = world[0]._replace(gamma=gamma), world[1]
        slow = differences(lambda x, m=mdp: ep.performance(m, softmax(x), 4), logits)
        np.testing.assert_allclose(ep.performance_gradient(mdp, logits, 4), slow, atol=1e-8)
        off = np.abs(ep.usual_gradient(mdp, logits, 4) - slow).max()
        assert off < 1e-8 if gamma == 1 else off > 1e-2


class Table:
    """A policy as the loss of VPG asks for it, with states for observations."""

    def __init__(self, logits: Any):
        self.logits = logits

    def policy(self, obs: Any, legal: Any = None) -> Categorical:
        return Categorical(self.logits[obs])


jax.tree_util.register_pytree_node(Table, lambda t: ((t.logits,), None), lambda _, x: Table(*x))


def test_the_estimate_of_an_episode_is_the_gradient_of_the_loss_of_vpg(world: Any) -> None:
    """Autodiff of the library's loss, with the library's weights, for some of the episodes."""
    mdp, logits, data = world
    some = ep.Episodes(*(x[..., ::50] for x in data))
    weight = ep.weights(mdp, some, "reward_to_go")
    for i in range(weight.shape[1]):
        slow = [sum(0.8 ** (k - t) * some.reward[k, i] for k in range(t, 3)) for t in range(3)]
        np.testing.assert_allclose(weight[:, i], slow, rtol=1e-12)
    found = ep.gradients(softmax(logits), some, weight)
    algo = VPG(normalise_adv=False)
    with jax.enable_x64(True):

        def loss(params: Any, s: Any, a: Any, psi: Any) -> Any:
            nothing: Any = None
            batch = Batch(s[:, None], a[:, None], nothing, psi[:, None], nothing, nothing)
            return -3 * algo.loss(params, batch)[0]  # it is minus a mean over three env steps

        arguments = map(jnp.asarray, (some.state[:-1], some.action, weight))
        grads = jax.vmap(jax.grad(loss), (None, 1, 1, 1))(Table(jnp.asarray(logits)), *arguments).logits
    np.testing.assert_allclose(found, np.asarray(grads).reshape(len(found), -1), atol=1e-10)


def test_simulated_episodes_have_the_exact_frequencies(world: Any) -> None:
    """Visits of each state and action at the last env step, within 5.5 standard errors (below 1e-6 by chance)."""
    mdp, logits, data = world
    n = 40_000
    some = ep.simulate(mdp, softmax(logits), 3, n, rng())
    for s, a, end in itertools.product(range(3), range(2), range(3)):
        here = [(x.state[2] == s) & (x.action[2] == a) & (x.state[3] == end) for x in (data, some)]
        p = data.probability @ here[0]
        assert abs(here[1].mean() - p) < 5.5 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_array_equal(some.reward[0], mdp.reward[some.state[0], some.action[0], some.state[1]])


# --- Forms of the gradient, and what may be taken away


def test_forms_without_rewards_have_no_order_M30() -> None:
    mdp, logits = ep.example()
    _, (mean, order) = gradient_forms.moments_of_forms(mdp._replace(reward=0 * mdp.reward), logits, panel())
    assert mean.holds
    assert not order.holds


def test_a_wrong_q_has_another_mean_M28(monkeypatch: pytest.MonkeyPatch) -> None:
    mdp, logits = ep.example()
    exact, policy = ep.values, softmax(logits)
    monkeypatch.setattr(ep, "values", lambda m, _, t: exact(m, uniform(m), t))
    found = gradient_forms.forms(mdp, policy, ep.every(mdp, policy, 2))["Q"]
    data = ep.every(mdp, policy, 2)
    mean = ep.moments(ep.gradients(policy, data, found), data.probability).mean
    monkeypatch.undo()
    assert np.abs(mean - ep.performance_gradient(mdp, logits, 2).ravel()).max() > 0.01


def test_the_score_is_checked_against_dynamics_that_do_depend_on_the_policy_M25(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lab's check of "the dynamics drop out" is no tautology: it sees a P(τ) that has π in it once more."""
    mdp, logits = ep.example()
    assert gradient_forms.dynamics_drop_out(mdp, logits, rng())[1].holds
    honest = ep.path_probability
    monkeypatch.setattr(ep, "path_probability", lambda m, p, s, a: honest(m, p, s, a) * p[s[0], a[0]])
    assert not gradient_forms.dynamics_drop_out(mdp, logits, rng())[1].holds


def test_the_past_counts_where_the_data_are_another_policys_M27() -> None:
    """E[∇ log π] = 0 is the cause; with actions of another policy it is gone. And so with t and t' exchanged."""
    mdp, logits = ep.example()
    policy = softmax(logits)
    sizes = [
        np.linalg.norm(past_rewards.products(policy, ep.every(mdp, p, 3))[0], axis=-1)
        for p in (policy, uniform(mdp))
    ]
    far = np.where(np.tri(3, k=-1) > 0, 1.0, 9.0)
    assert [c.holds for c in past_rewards.claims(sizes[0], far)] == [True, True]
    assert [c.holds for c in past_rewards.claims(sizes[0].T, far.T)] == [False, False]
    assert not past_rewards.claims(sizes[1], far)[0].holds


def test_products_are_sums_over_the_list_M27(world: Any) -> None:
    _, logits, data = world
    policy = softmax(logits)
    found, deviation = past_rewards.products(policy, data)
    for t, k in itertools.product(range(3), repeat=2):
        x = ep.score(policy)[data.state[t], data.action[t]].reshape(-1, 6) * data.reward[k][:, None]
        mean = data.probability @ x
        np.testing.assert_allclose(found[t, k], mean, atol=1e-12)
        np.testing.assert_allclose(deviation[t, k] ** 2, data.probability @ (x - mean) ** 2, atol=1e-12)


def test_rewards_to_go_are_not_the_form_with_more_variance_M27(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both forms are VPG's; and the claim fails where the two are exchanged."""
    mdp, logits = ep.example()
    policy, honest = softmax(logits), past_rewards.squares
    data, truth = ep.every(mdp, policy, 3), ep.performance_gradient(mdp, logits, 3).ravel()
    for name, x in zip(("full_return", "reward_to_go"), honest(policy, data, truth), strict=True):
        slow = ep.moments(ep.gradients(policy, data, ep.weights(mdp, data, name)), data.probability)
        np.testing.assert_allclose(data.probability @ x, slow.total, rtol=1e-10)
    monkeypatch.setattr(past_rewards, "HORIZONS", (1, 2, 4))
    assert past_rewards.variances(rng(), panel())[1].holds
    monkeypatch.setattr(past_rewards, "squares", lambda *args: honest(*args)[::-1])
    assert not past_rewards.variances(rng(), panel())[1].holds


def test_the_best_baseline_is_that_of_least_squares_M29() -> None:
    """min_b E‖g - Σ_ts b_t(s) φ_ts‖², where φ_ts is the score at t if the state is s: all coefficients at once."""
    case = baseline.make_case(1)
    columns = []
    for t, s in itertools.product(range(ep.HORIZON), range(3)):
        here = np.zeros_like(case.to_go)
        here[t] = case.data.state[t] == s
        columns.append(ep.gradients(case.policy, case.data, here).ravel())
    root = np.sqrt(np.repeat(case.data.probability, 6))
    whole = ep.gradients(case.policy, case.data, case.to_go).ravel()
    slow = np.linalg.lstsq(np.stack(columns, -1) * root[:, None], whole * root, rcond=None)[0]
    np.testing.assert_allclose(baseline.best_baseline(case).ravel(), slow, rtol=1e-8)


def test_baselines_are_biased_where_the_data_are_another_policys_M29(monkeypatch: pytest.MonkeyPatch) -> None:
    case = baseline.make_case()
    other = ep.every(case.mdp, uniform(case.mdp), ep.HORIZON)
    monkeypatch.setattr(baseline, "make_case", lambda: case._replace(data=other))
    assert not baseline.random_baselines(rng(), panel())[1][0].holds


def test_a_baseline_of_the_state_takes_nothing_even_where_q_was_expected_M29(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = baseline.make_case()
    of_state = np.repeat(case.v[..., None], 2, -1)
    monkeypatch.setattr(baseline, "make_case", lambda: case._replace(q=of_state))
    _, (v, q) = baseline.of_the_action(rng(), panel())
    assert v.holds
    assert not q.holds


def test_importance_weights_are_products_of_ratios_M31(world: Any) -> None:
    """Both kinds, by loops; without discount, as the lab has it."""
    mdp, logits, _ = world
    mdp, new, old = mdp._replace(gamma=1.0), softmax(logits), uniform(mdp)
    data = ep.simulate(mdp, old, 3, 20, rng())
    found = stale_data.estimators(mdp, new, old, data)
    for i in range(20):
        ratio = [new[s, a] / old[s, a] for s, a in zip(data.state[:3, i], data.action[:, i], strict=True)]
        reward = data.reward[:, i]
        for t in range(3):
            whole = np.prod(ratio) * reward[t:].sum()
            each = sum(np.prod(ratio[: k + 1]) * reward[k] for k in range(t, 3))
            np.testing.assert_allclose([x[t, i] for x in found], [reward[t:].sum(), whole, each], rtol=1e-10)


def test_data_do_not_age_where_the_policy_stands_still_M31(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RATE", 0.0), ("AGES", 2), ("EPISODES", 500)):
        monkeypatch.setattr(stale_data, name, value)
    found = [claim.holds for claim in stale_data.claims(stale_data.study(rng()))]
    assert found == [False, False, True, False]


# --- Values


@pytest.mark.parametrize("lam", [0.0, 0.8, 1.0])
def test_repeated_regression_stands_still_at_the_fit_M32(lam: float) -> None:
    """With targets Â + V of the library's GAE: regress until nothing changes, from V = 0."""
    mdp, policy = value_regression.process()
    horizon, n = 5, 60
    data = ep.simulate(mdp, policy, horizon, n, rng())
    found = value_regression.fit(data.state[:, None], data.reward[:, None], 6, 0.9, lam)[0]
    t, done = np.arange(horizon)[:, None], np.zeros((horizon, n), bool)
    done[-1] = True

    def regress(v: np.ndarray) -> np.ndarray:
        now, after = v[t, data.state[:-1]], np.vstack([v, np.zeros(6)])[t + 1, data.state[1:]]
        target = now + ep.float64(library_gae, data.reward, now, after, done, done, 0.9, lam)
        return np.array(
            [
                [target[k, here].mean() if (here := data.state[k] == s).any() else 0.0 for s in range(6)]
                for k in range(horizon)
            ]
        )

    still = fixed_point(regress, np.zeros((horizon, 6)), limit=2 * horizon)
    np.testing.assert_allclose(found, still.point, atol=1e-10)


def test_rewards_to_go_are_not_ahead_M32(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names of λ = 0 and λ = 1 exchanged, both claims about them fail."""
    monkeypatch.setattr(value_regression, "LAMBDAS", {"first": 1.0, "middle": 0.8, "last": 0.0})
    monkeypatch.setattr(value_regression, "COUNTS", (10, 30, 100, 300))
    assert not value_regression.learning(rng(), panel())[1][-1].holds
    assert not value_regression.regressions(panel())[1].holds


def small_case(gamma: float) -> wrong_values.Case:
    """Two states, and a V that is wrong."""
    mdp = random(2, 2, 2, 3, gamma)
    policy = np.array([[0.7, 0.3], [0.4, 0.6]])
    return wrong_values.Case(mdp, policy, policy / 2, np.zeros((2, 2)), np.array([3.0, -1.0]))


def conditional(case: wrong_values.Case, x: np.ndarray, data: ep.Episodes) -> np.ndarray:
    """E[X|s_0, a_0] and E[X²|s_0, a_0] over all episodes: [2, S, A]."""
    found = np.zeros((2, *case.policy.shape))
    for s, a in np.ndindex(case.policy.shape):
        here = data.probability * (data.state[0] == s) * (data.action[0] == a)
        found[:, s, a] = here @ x / here.sum(), here @ x**2 / here.sum()
    return found


def test_moments_of_n_step_returns_are_sums_over_episodes_M34() -> None:
    case = small_case(0.8)
    data = ep.every(case.mdp, case.policy, 4)
    found = wrong_values.n_step_moments(case, 4)
    for n in range(1, 5):
        x = 0.8 ** np.arange(n) @ data.reward[:n] + 0.8**n * case.wrong[data.state[n]]
        np.testing.assert_allclose(found[n - 1], conditional(case, x, data), rtol=1e-10)


@pytest.mark.parametrize("lam", [0.0, 0.6, 1.0])
def test_moments_of_lambda_returns_are_sums_over_episodes_M35(lam: float) -> None:
    """With γ = 0.05 six env steps are endless, to 1e-7."""
    case = small_case(0.05)
    data = ep.every(case.mdp, case.policy, 6)
    x = case.wrong[data.state[-1]]
    for reward, following in zip(data.reward[::-1], data.state[:0:-1], strict=True):
        x = reward + 0.05 * ((1 - lam) * case.wrong[following] + lam * x)
    np.testing.assert_allclose(wrong_values.lambda_moments(case, lam), conditional(case, x, data), atol=1e-6)


def test_errors_of_the_gradient_are_those_of_the_list_M34() -> None:
    """Mean and variance of ∇ log π (X - V̂), over all episodes that begin in the stationary distribution."""
    case = small_case(0.8)
    start = wrong_values.stationary(np.einsum("sa,sat->st", case.policy, case.mdp.transition))
    case = case._replace(often=start[:, None] * case.policy, mdp=case.mdp._replace(start=start))
    data = ep.every(case.mdp, case.policy, 1)
    np.testing.assert_allclose(np.bincount(data.state[1], data.probability), start, rtol=1e-10)
    x = data.reward[0] + 0.8 * case.wrong[data.state[1]] - case.wrong[data.state[0]]
    q = np.array([[1.0, 2.0], [0.5, -1.0]])
    case = case._replace(q=q)
    exact = ep.moments(ep.gradients(case.policy, data, q[data.state[:1], data.action]), data.probability).mean
    found = ep.moments(ep.gradients(case.policy, data, x[None]), data.probability)
    errors = wrong_values.errors_of_gradient(case, wrong_values.n_step_moments(case, 1)[0])
    np.testing.assert_allclose(errors, [((found.mean - exact) ** 2).sum(), found.total], rtol=1e-10)


def test_with_the_right_v_there_is_no_trade_off_M34_M35() -> None:
    """Nothing to gain from a longer n or a larger λ: the shortest is the best."""
    case = wrong_values.make_case(wrong=False)
    moments = wrong_values.n_step_moments(case, n_step.LONGEST)
    best, claims = n_step.best_n(case, moments, panel())
    assert best["best_n"] == [1.0] * 4
    assert not any(claim.holds for claim in claims)
    moments = np.stack([wrong_values.lambda_moments(case, lam) for lam in gae.LAMBDAS])
    assert not gae.best_lambda(case, moments, panel())[1].holds
    assert max(wrong_values.errors_of_q(case, m).bias for m in moments) < 1e-12


def test_the_sums_telescope_only_if_the_values_are_those_of_the_next_state_M35(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """λ = 1 is the return less V for a V of the true successor; with any other the lab says no."""
    honest = gae.random_data
    assert all(claim.holds for claim in gae.identities(rng(), panel())[1])
    monkeypatch.setattr(gae, "random_data", lambda rng: (*honest(rng)[:2], honest(rng)[2], *honest(rng)[3:]))
    assert not all(claim.holds for claim in gae.identities(rng(), panel())[1])


# --- The discounted objective


def test_three_fields_in_closed_form_M33() -> None:
    """p (1 - p) times what left is worth more than right: in the first state, and in the second."""
    process, late = discounted_objective.two_alike(0.5), 3 * 0.5**discounted_objective.LATE
    for p in (0.1, 0.5, 0.7):
        theta = float(np.log(p / (1 - p)))
        found = [discounted_objective.field(name, process, theta) for name in discounted_objective.FIELDS]
        worth = [1 + 0.5 * (late - 1.5), 1 + (3 - 1.5), 1 + (late - 1.5)]
        np.testing.assert_allclose(found, p * (1 - p) * np.array(worth), rtol=1e-10)


def test_without_a_discount_nothing_turns_round_M33() -> None:
    process = discounted_objective.two_alike(1.0)
    assert not discounted_objective.directions(process, rng(), panel())[1][0].holds
    assert not discounted_objective.follow(process, panel())[1].holds


def test_asymmetry_tells_gradients_from_rotations_M33() -> None:
    a = np.array(
        [[1.0, 1.0], [-1.0, 1.0]]
    )  # a stretch, whose half is symmetric, and a rotation of the same size
    at = np.array([[0.3, -0.2]])
    np.testing.assert_allclose(discounted_objective.asymmetry(lambda x: a @ x.ravel(), at), 1.0, rtol=1e-8)
    assert discounted_objective.asymmetry(lambda x: (a + a.T) @ x.ravel(), at) < 1e-10
