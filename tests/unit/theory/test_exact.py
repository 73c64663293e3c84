"""Exact solutions on finite MDPs are tested: the lecture's definitions and claims, item by item, against loops.

Random MDPs come from hypothesis: a seed, sizes and a discount. Everything is NumPy in float64.
"""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.optimize import approx_fprime

from swingup.envs.tabular import MDP, PROCESSES, chain, mdp, random, two_state_loop
from swingup.errors import ConfigError
from swingup.theory import exact
from swingup.theory.bellman import evaluate_q, evaluate_v, fixed_point, lookahead, optimality_q, optimality_v

fast = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
discounts = st.floats(0, 0.99)


def process(seed: int, gamma: float = 0.9, ends: bool = True) -> MDP:
    """A random MDP with 5 states and 3 actions, the last state terminal if `ends`."""
    m = random(5, 3, 3, seed=seed, gamma=gamma)
    rng = np.random.default_rng(seed)
    reward = rng.normal(size=m.reward.shape)  # of s' too
    return mdp(m.transition, reward, m.start, [4] if ends else [], gamma)


def a_policy(m: MDP, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(m.num_actions), m.num_states)


def by_hand(m: MDP, policy: np.ndarray, sweeps: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """V and Q of a policy by loops over states, actions and successors, from the definition of T^π."""
    v = np.zeros(m.num_states)
    q = np.zeros((m.num_states, m.num_actions))
    for _ in range(sweeps):
        for s, a in np.ndindex(q.shape):
            q[s, a] = sum(
                m.transition[s, a, t] * (m.reward[s, a, t] + (0 if m.terminal[t] else m.gamma * v[t]))
                for t in range(m.num_states)
            )
        new = (policy * q).sum(1)
        if np.abs(new - v).max() < 1e-13:
            break
        v = new
    return v, q


# --- Definitions


@fast
@given(seeds, st.floats(0.1, 0.9))
def test_values_are_those_of_loops_M18(seed: int, gamma: float) -> None:
    m = process(seed, gamma)
    policy = a_policy(m, seed)
    v, q = by_hand(m, policy)
    np.testing.assert_allclose(exact.value(m, policy), v, atol=1e-9)
    np.testing.assert_allclose(exact.action_value(m, policy), q, atol=1e-9)


@fast
@given(seeds, discounts)
def test_identities_of_values_M18(seed: int, gamma: float) -> None:
    """V^π = E_a Q^π, V* = max_a Q*, V* is at least V^π, and 0 where the episode is over."""
    m = process(seed, gamma)
    policy = a_policy(m, seed)
    v, q = exact.value(m, policy), exact.action_value(m, policy)
    np.testing.assert_allclose(v, (policy * q).sum(1), atol=1e-9)
    v_star, q_star = exact.optimal_value(m), exact.optimal_action_value(m)
    np.testing.assert_allclose(v_star, q_star.max(1), atol=1e-9)
    assert (v_star >= v - 1e-9).all()
    assert v[4] == v_star[4] == 0


@fast
@given(seeds, discounts)
def test_advantage_has_mean_zero_M19(seed: int, gamma: float) -> None:
    m = process(seed, gamma)
    policy = a_policy(m, seed)
    np.testing.assert_allclose((policy * exact.advantage(m, policy)).sum(1), 0, atol=1e-9)


@fast
@given(seeds, discounts)
def test_bellman_equations_hold_M20(seed: int, gamma: float) -> None:
    """All four residuals are 0 at the exact solutions, and not 0 beside them."""
    m = process(seed, gamma)
    policy = a_policy(m, seed)
    at = exact.residuals(m, policy, exact.value(m, policy), exact.action_value(m, policy))
    np.testing.assert_allclose(at.v, 0, atol=1e-9)
    np.testing.assert_allclose(at.q, 0, atol=1e-9)
    best = exact.residuals(m, policy, exact.optimal_value(m), exact.optimal_action_value(m))
    np.testing.assert_allclose(best.v_optimal, 0, atol=1e-9)
    np.testing.assert_allclose(best.q_optimal, 0, atol=1e-9)
    # An error of 1 in one state shows as at least 1 - γ there.
    bump_v, bump_q = np.eye(5)[0], np.eye(15)[0].reshape(5, 3)
    beside = exact.residuals(
        m, policy, exact.value(m, policy) + bump_v, exact.action_value(m, policy) + bump_q
    )
    assert min(np.abs(beside.v).max(), np.abs(beside.q).max()) > 0.99 * (1 - gamma)
    off = exact.residuals(m, policy, exact.optimal_value(m) + bump_v, exact.optimal_action_value(m) + bump_q)
    assert min(np.abs(off.v_optimal).max(), np.abs(off.q_optimal).max()) > 0.99 * (1 - gamma)


@fast
@given(seeds, discounts)
def test_greedy_is_optimal_M21(seed: int, gamma: float) -> None:
    """The policy a* = argmax_a Q*(s, a) has the value V*."""
    m = process(seed, gamma)
    policy = exact.greedy(exact.optimal_action_value(m))
    np.testing.assert_allclose(exact.value(m, policy), exact.optimal_value(m), atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_brute_force_finds_the_planners_policy_M17(seed: int) -> None:
    """The best of all 3^4 deterministic policies, and no stochastic one, is better."""
    m = random(4, 3, 2, seed=seed, gamma=0.8)
    best = max(exact.deterministic_policies(m), key=lambda policy: exact.performance(m, policy))
    top = float(m.start @ exact.optimal_value(m))
    assert exact.performance(m, best) == pytest.approx(top, abs=1e-9)
    assert all(exact.performance(m, a_policy(m, i)) <= top + 1e-9 for i in range(50))


@fast
@given(seeds, discounts)
def test_occupancy_gives_the_return_M17(seed: int, gamma: float) -> None:
    """J = Σ d(s, a) r(s, a); d is Σ γ^t P(s_t, a_t), summed term by term."""
    m = process(seed, gamma)
    policy = a_policy(m, seed)
    d = exact.occupancy(m, policy)
    assert (d * m.expected_reward).sum() == pytest.approx(exact.performance(m, policy), abs=1e-9)
    at, total = m.start * ~m.terminal, np.zeros_like(d)
    for t in range(4000):
        total += gamma**t * at[:, None] * policy
        at = np.einsum("s,sa,sat->t", at, policy, m.transition) * ~m.terminal
    np.testing.assert_allclose(d, total, atol=1e-9)


def test_occupancy_sums_to_the_horizon() -> None:
    m = process(0, 0.8, ends=False)
    assert exact.occupancy(m, exact.uniform(m)).sum() == pytest.approx(1 / (1 - 0.8))


@pytest.mark.parametrize("seed", range(5))
def test_gradient_of_j_M28(seed: int) -> None:
    """The policy gradient theorem against differences of the exact J."""
    m = process(seed, 0.9)
    logits = np.random.default_rng(seed).normal(size=(5, 3))
    differences = approx_fprime(
        logits.ravel(), lambda x: exact.performance(m, exact.softmax(x.reshape(5, 3))), 1e-7
    )
    np.testing.assert_allclose(exact.performance_gradient(m, logits).ravel(), differences, atol=2e-6)


@pytest.mark.parametrize("seed", range(3))
def test_trajectories_sum_to_one_M14(seed: int) -> None:
    """P(τ) over all trajectories is 1, their mean discounted return that of a backward recursion over the horizon."""
    m = process(seed, 0.9)
    policy = a_policy(m, seed)
    found = list(exact.trajectories(m, policy, 4))
    assert sum(t.probability for t in found) == pytest.approx(1)
    assert len({(t.states, t.actions) for t in found}) == len(found)
    for t in found[:50]:  # the product, factor by factor
        p = m.start[t.states[0]]
        for s, a, following in zip(t.states, t.actions, t.states[1:], strict=False):
            p *= policy[s, a] * m.transition[s, a, following]
        assert t.probability == pytest.approx(p)
    v = np.zeros(5)
    for _ in range(4):
        v = evaluate_v(m, policy, v)
    mean = sum(t.probability * sum(0.9**i * r for i, r in enumerate(t.rewards)) for t in found)
    assert mean == pytest.approx(float(m.start @ v))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9])
def test_returns_and_rewards_to_go_M16(gamma: float) -> None:
    """Σ γ^t r_t of a loop that pays every second env step: the geometric series 1 / (1 - γ²)."""
    m = two_state_loop(gamma)
    always = np.array([[0.0, 1.0]] * 2)
    np.testing.assert_allclose(exact.value(m, always), [1 / (1 - gamma**2), gamma / (1 - gamma**2)])
    np.testing.assert_allclose(exact.optimal_value(chain(6, gamma=gamma))[:5], gamma ** np.arange(4, -1, -1))


# --- Operators


@fast
@given(seeds, discounts)
def test_nothing_comes_after_a_terminal_state_M20(seed: int, gamma: float) -> None:
    """Whatever V or Q say of a terminal state, no operator looks at it."""
    m = process(seed, gamma)
    rng = np.random.default_rng(seed)
    v, q = rng.normal(size=5), rng.normal(size=(5, 3))
    other_v, other_q = v + 7 * np.eye(5)[4], q + 7 * np.eye(5)[4][:, None]
    np.testing.assert_array_equal(lookahead(m, v), lookahead(m, other_v))
    np.testing.assert_array_equal(optimality_q(m, q), optimality_q(m, other_q))
    np.testing.assert_array_equal(
        evaluate_q(m, a_policy(m, seed), q), evaluate_q(m, a_policy(m, seed), other_q)
    )
    assert (lookahead(m, v)[4] == 0).all()


@fast
@given(seeds, discounts)
def test_optimality_operator_contracts_M47(seed: int, gamma: float) -> None:
    """‖T Q₁ - T Q₂‖ <= γ ‖Q₁ - Q₂‖ in the sup norm, for T* and T^π, of Q and of V; and both keep the order."""
    m = process(seed, gamma)
    rng = np.random.default_rng(seed)
    policy, (q1, q2) = a_policy(m, seed), rng.normal(0, 10, (2, 5, 3))
    v1, v2 = rng.normal(0, 10, (2, 5))
    apart, v_apart = np.abs(q1 - q2).max(), np.abs(v1 - v2).max()
    assert np.abs(optimality_q(m, q1) - optimality_q(m, q2)).max() <= gamma * apart + 1e-12
    assert np.abs(evaluate_q(m, policy, q1) - evaluate_q(m, policy, q2)).max() <= gamma * apart + 1e-12
    assert np.abs(optimality_v(m, v1) - optimality_v(m, v2)).max() <= gamma * v_apart + 1e-12
    assert np.abs(evaluate_v(m, policy, v1) - evaluate_v(m, policy, v2)).max() <= gamma * v_apart + 1e-12
    above = q1 + np.abs(q2)
    assert (optimality_q(m, above) >= optimality_q(m, q1) - 1e-12).all()


@pytest.mark.parametrize("gamma", [0.3, 0.9])
def test_the_modulus_is_attained_M47(gamma: float) -> None:
    """No smaller number than γ will do: two Q that differ by a constant, where nothing ends."""
    m = process(0, gamma, ends=False)
    q = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_allclose(optimality_q(m, q + 7) - optimality_q(m, q), gamma * 7)


@fast
@given(seeds, st.floats(0.01, 0.95), st.integers(1, 6))
def test_fixed_points_M48(seed: int, beta: float, size: int) -> None:
    """x -> A x + b with ‖A‖∞ = β: the limit solves it, neighbours come closer by β, and the error bound holds."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(size, size)), rng.normal(size=size)
    a *= beta / np.abs(a).sum(1).max()
    found = fixed_point(lambda x: a @ x + b, rng.normal(size=size))
    truth = np.linalg.solve(np.eye(size) - a, b)
    assert found.converged
    np.testing.assert_allclose(found.point, truth, atol=1e-9)
    assert found.modulus <= beta + 1e-5
    assert (found.steps <= beta ** np.arange(len(found.steps)) * found.steps[0] + 1e-12).all()
    errors = [np.abs(x - truth).max() for x in found.iterates[1:]]
    assert (np.array(errors) <= beta / (1 - beta) * found.steps + 1e-9).all()


@pytest.mark.parametrize("beta", [1.0, -1.0, 1.5])
def test_without_a_contraction_nothing_converges_M48(beta: float) -> None:
    found = fixed_point(lambda x: beta * x + 1, np.zeros(1), limit=500)
    assert not found.converged


@fast
@given(seeds, st.floats(0.1, 0.9))
def test_value_iteration_error_M49(seed: int, gamma: float) -> None:
    """‖V_k - V*‖ <= γ^k ‖V_0 - V*‖, for every k."""
    m = process(seed, gamma)
    v_star = exact.optimal_by_linear_program(m)
    v = np.random.default_rng(seed).normal(0, 5, 5)
    v[4] = 0  # terminal
    first = np.abs(v - v_star).max()
    for k in range(60):
        assert np.abs(v - v_star).max() <= gamma**k * first + 1e-7
        v = optimality_v(m, v)


@pytest.mark.parametrize("name", PROCESSES)
def test_three_solvers_agree_M49(name: str) -> None:
    """Value iteration, policy iteration and linear programming."""
    m = PROCESSES[name]()
    v = exact.optimal_value(m)
    np.testing.assert_allclose(exact.optimal_by_linear_program(m), v, atol=1e-7)
    np.testing.assert_allclose(exact.optimal_by_policies(m), v, atol=1e-9)
    np.testing.assert_allclose(optimality_q(m, lookahead(m, v)), lookahead(m, v), atol=1e-9)


@fast
@given(seeds)
def test_three_solvers_agree_on_random_processes_M49(seed: int) -> None:
    m = process(seed)
    np.testing.assert_allclose(exact.optimal_by_linear_program(m), exact.optimal_value(m), atol=1e-7)
    np.testing.assert_allclose(exact.optimal_by_policies(m), exact.optimal_value(m), atol=1e-9)


# --- The mean-squared Bellman error


@fast
@given(seeds)
def test_msbe_M22(seed: int) -> None:
    """At Q* it is the variance of the target: 0 without randomness in s', and else not."""
    m = process(seed)
    q = exact.optimal_action_value(m)
    weight = np.random.default_rng(seed).dirichlet(np.ones(15)).reshape(5, 3)
    target = m.reward + m.gamma * np.where(m.terminal, 0, q.max(1))
    mean = (m.transition * target).sum(-1)
    variance = (m.transition * (target - mean[..., None]) ** 2).sum(-1)
    assert exact.mean_squared_bellman_error(m, q, weight) == pytest.approx((weight * variance).sum())
    alive = variance[~m.terminal]
    assert exact.mean_squared_bellman_error(m, q) == pytest.approx(alive.mean())
    rng = np.random.default_rng(seed)
    sure = mdp(np.eye(5)[rng.integers(0, 5, (5, 3))], rng.normal(size=(5, 3)), m.start, [4], 0.9)
    q = exact.optimal_action_value(sure)
    assert exact.mean_squared_bellman_error(sure, q) == pytest.approx(0, abs=1e-18)
    # A value that is 1 too high is wrong by 1 - γ at least, where the action leads back to its own state.
    wrong = exact.mean_squared_bellman_error(sure, q + np.eye(15)[0].reshape(5, 3))
    assert wrong > 0.99 * (1 - sure.gamma) ** 2 / 12


@pytest.mark.parametrize("seed", range(3))
def test_msbe_is_the_mean_of_the_lectures_loss_M22(seed: int) -> None:
    """The loss over a batch of sampled transitions, within five standard errors: wrong once in two million."""
    m = process(seed)
    rng = np.random.default_rng(seed)
    q, n = rng.normal(size=(5, 3)), 20_000
    q[4] += 3  # what a table says of the terminal state counts for nothing
    s, a = rng.integers(0, 4, n), rng.integers(0, 3, n)
    following = np.array([rng.choice(5, p=m.transition[i, j]) for i, j in zip(s, a, strict=True)])
    y = m.reward[s, a, following] + m.gamma * np.where(m.terminal[following], 0, q[following].max(1))
    loss = (q[s, a] - y) ** 2
    deviation = abs(loss.mean() - exact.mean_squared_bellman_error(m, q))
    assert deviation < 5 * loss.std() / np.sqrt(n)


# --- Errors


def test_what_is_no_mdp_is_refused() -> None:
    good = np.full((2, 1, 2), 0.5)
    with pytest.raises(ConfigError, match="sum to 1; those of transition"):
        mdp(good * 2, np.zeros((2, 1)), [1, 0])
    with pytest.raises(ConfigError, match="those of start"):
        mdp(good, np.zeros((2, 1)), [1, 1])
    with pytest.raises(ConfigError, match=r"start \[S\]; got"):
        mdp(good, np.zeros((2, 1)), [1, 0, 0])
    with pytest.raises(ConfigError, match="gamma must lie in"):
        mdp(good, np.zeros((2, 1)), [1, 0], gamma=1.1)


def test_infinite_returns_are_refused() -> None:
    with pytest.raises(ConfigError, match="the return is infinite"):
        exact.value(two_state_loop(gamma=1.0), np.array([[0.0, 1.0]] * 2))


def test_policies_of_tables() -> None:
    q = np.array([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]])
    np.testing.assert_allclose(exact.epsilon_greedy(q, 0.3), [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]])
    np.testing.assert_allclose(exact.softmax(np.log([[1.0, 3.0]]) + 1e3), [[0.25, 0.75]])
    assert len(list(exact.deterministic_policies(two_state_loop()))) == 4
    pairs = itertools.product(range(2), repeat=2)
    expected = [np.eye(2)[list(p)] for p in pairs]
    np.testing.assert_array_equal(list(exact.deterministic_policies(two_state_loop())), expected)
