"""Demonstrations on returns, values and Bellman's equations have parts that equal slow oracles, and claims that fail.

Each has a test in which the cause is taken away and the phenomenon with it. The mathematics they share is in
`swingup.theory.fitted`. Sampled tests allow five standard errors: one false alarm in a million.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from swingup.envs.tabular import LAYOUTS, MDP, cells, chain, cliff, grid, gridworld, random
from swingup.errors import ConfigError
from swingup.lab import bellman_error, contraction, discount, energy, fitted_iteration, no_loss, solvers
from swingup.lab import gridworld as gridworld_lab
from swingup.lab import performance as performance_lab
from swingup.lab.tools import ring
from swingup.theory import fitted
from swingup.theory.bellman import lookahead, optimality_q
from swingup.theory.exact import (
    action_value,
    greedy,
    mean_squared_bellman_error,
    optimal_action_value,
    optimal_by_linear_program,
    optimal_value,
    performance,
    residuals,
    softmax,
    trajectories,
    uniform,
)


@pytest.fixture
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


# --- discount (M16) ----------------------------------------------------------------------------------------


def test_the_best_first_action_flips_at_the_threshold() -> None:
    """Values of both ways by walking them, env step by env step."""
    choice = discount.Choice(near=0.3, far=1.0, env_steps_near=2, env_steps_far=5)
    for gamma in (0.2, 0.6, choice.threshold - 1e-3, choice.threshold + 1e-3, 0.95):
        process, worth = choice.process(gamma), []
        for action in (0, 1):
            s, total, t = 2, 0.0, 0
            while not process.terminal[s]:
                following = int(process.transition[s, action].argmax())
                total += gamma**t * process.reward[s, action, following]
                s, t = following, t + 1
            worth.append(total)
        assert (worth[1] > worth[0]) == (gamma > choice.threshold) == (choice.preference(gamma) > 0)
    assert discount.measured_threshold(choice) == pytest.approx((0.3 / 1.0) ** (1 / 3), abs=1e-10)


def test_without_a_larger_far_reward_nothing_flips() -> None:
    choice = discount.Choice(near=1.0, far=0.9, env_steps_near=2, env_steps_far=5)
    with pytest.raises(ValueError, match="different signs"):
        discount.measured_threshold(choice)


def test_share_of_the_return_within_the_horizon() -> None:
    share = discount.share_within(0.9, np.arange(1, 50))
    np.testing.assert_allclose(share, [sum(0.9**t for t in range(k)) * 0.1 for k in range(1, 50)])
    assert discount.share_within(1 - 1e-6, np.array(10**6)) == pytest.approx(1 - np.exp(-1), abs=1e-6)


# --- gridworld (M49, M21) ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Grid", "Cliff", "FrozenLake"])
def test_distances_are_those_of_the_moves(name: str) -> None:
    """By powers of the matrix of possible moves, with certain moves and without what ends or punishes them."""
    layout = LAYOUTS[name]
    process, where = gridworld(layout), cells(layout)
    kinds = np.array([layout[i][j] for i, j in where])
    moves = process.transition.max(1) > 0
    moves &= ~np.isin(kinds, ["H", "C"])[:, None]  # nobody starts there
    moves &= (process.reward > -1).all(1)  # nor falls
    distance, reach = np.full(len(kinds), gridworld_lab.FAR), kinds == "G"
    for k in range(len(kinds)):
        distance[reach & (distance == gridworld_lab.FAR)] = k
        reach = reach | (moves @ reach > 0)
    np.testing.assert_array_equal(gridworld_lab.distances(layout), distance)


def test_values_spread_by_a_cell_per_sweep_only_where_moves_are_certain() -> None:
    away = gridworld_lab.distances(LAYOUTS["Cliff"])
    walk = gridworld_lab.sweeps(cliff())
    certain = gridworld_lab.spread(walk.iterates, walk.point, away)
    assert certain.right == certain.within
    walk = gridworld_lab.sweeps(grid())
    slips = gridworld_lab.spread(walk.iterates, walk.point, gridworld_lab.distances(LAYOUTS["Grid"]))
    assert slips.right != slips.within


# --- contraction (M46, M47, M48) ---------------------------------------------------------------------------


def slow_optimality(process: MDP, q: np.ndarray) -> np.ndarray:
    """T*Q by loops."""
    found = np.zeros_like(q)
    for s, a, t in np.ndindex(*process.transition.shape):
        after = 0.0 if process.terminal[t] else max(q[t])
        found[s, a] += process.transition[s, a, t] * (process.reward[s, a, t] + process.gamma * after)
    return found


def test_ratios_against_loops_and_without_discount() -> None:
    rng = np.random.default_rng(0)
    process = random(5, 3, 3, gamma=0.7)
    q, other = rng.normal(size=(2, 5, 3))
    after = np.abs(slow_optimality(process, q) - slow_optimality(process, other)).max()
    assert contraction.ratio(process, q, other) == pytest.approx(after / np.abs(q - other).max())
    assert contraction.ratio(process, q, q + 3) == pytest.approx(0.7)
    assert contraction.ratio(process._replace(gamma=1.0), q, q + 3) == pytest.approx(1.0), "nothing contracts"
    assert (contraction.ratios(rng, process, 100) < 1 + 1e-9).all()


def test_errors_of_value_iteration_against_loops() -> None:
    process = random(5, 3, 3, gamma=0.7)
    q, best = np.zeros((5, 3)), optimal_by_linear_program(process)
    found = contraction.errors(process, q, 8)
    for k in range(9):
        assert found[k] == pytest.approx(np.abs(q - lookahead(process, best)).max(), rel=1e-6)
        assert found[k] <= 0.7**k * found[0] + 1e-9
        q = slow_optimality(process, q)


# --- solvers (M49) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_improvements_and_sweeps_against_loops(gamma: float) -> None:
    process = random(12, 4, 4, gamma=gamma)
    policy, better = uniform(process), 0
    while True:
        following = greedy(action_value(process, policy))
        if np.allclose(action_value(process, following), action_value(process, policy), rtol=0, atol=1e-9):
            break
        policy, better = following, better + 1
    found = solvers.policy_iteration(process)
    assert solvers.improvements(found) == better
    v, sweeps = np.zeros(12), 0
    while True:
        new = slow_optimality(process, np.repeat(v[:, None], 4, 1)).max(1)
        v, change, sweeps = new, np.abs(new - v).max(), sweeps + 1
        if change <= 1e-4:
            break
    swept = solvers.value_iteration(process, 1e-4)
    assert len(swept.steps) == sweeps <= solvers.predicted(swept, gamma, 1e-4) + 1
    assert np.abs(swept.point - found.point).max() > 1e-8, "the answers differ where it stops too soon"
    np.testing.assert_allclose(found.point, optimal_by_linear_program(process), atol=1e-8)


# --- bellman-error (M22) -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "process", [random(5, 2, 3), grid(), bellman_error.rooms()], ids=["random", "grid", "rooms"]
)
def test_the_error_is_the_squared_residual_plus_the_variance(process: MDP) -> None:
    """At any Q, the variance by loops."""
    q = np.random.default_rng(0).normal(size=(process.num_states, process.num_actions))
    weight, variance = fitted.equally(process), 0.0
    for s, a in np.ndindex(*q.shape):
        p = process.transition[s, a]
        y = [
            process.reward[s, a, t] + process.gamma * (~process.terminal[t] * max(q[t]))
            for t in range(len(p))
        ]
        variance += weight[s, a] * (p @ np.square(y) - (p @ y) ** 2)
    assert bellman_error.target_variance(process, q) == pytest.approx(variance)
    residual = (weight * residuals(process, uniform(process), q.max(1), q).q_optimal ** 2).sum()
    assert mean_squared_bellman_error(process, q) == pytest.approx(residual + variance)


def test_the_minimiser_is_one_and_is_the_solution_without_chance() -> None:
    process = bellman_error.rooms()
    best = optimal_action_value(process)
    found, at = bellman_error.minimise(process, best), np.eye(best.size).reshape(-1, *best.shape)
    for x in at[:-2]:  # all but those of the terminal state
        up, down = (mean_squared_bellman_error(process, found + h * x) for h in (1e-4, -1e-4))
        assert abs(up - down) / 2e-4 < 1e-9
    assert found[bellman_error.GOOD, 0] == pytest.approx(5 / 6)
    certain = random(6, 3, 1)
    best = optimal_action_value(certain)
    np.testing.assert_allclose(bellman_error.minimise(certain, best), best, atol=1e-9)
    np.testing.assert_allclose(bellman_error.minimise(certain, 0 * best), best, atol=1e-6)


def test_two_next_states_leave_the_residual_alone() -> None:
    """Means of both kinds of sample at a random Q, within five standard errors of what they are for."""
    process = random(5, 2, 3)
    q = np.random.default_rng(1).normal(size=(5, 2))
    once, twice = bellman_error.double_sampled(process, q, 50_000, seed=0)
    whole = mean_squared_bellman_error(process, q)
    for x, truth in ((once, whole), (twice, whole - bellman_error.target_variance(process, q))):
        assert abs(x.mean() - truth) < 5 * x.std() / np.sqrt(len(x))


# --- performance (M14, M17) --------------------------------------------------------------------------------


def test_an_ending_process_has_the_value_of_backward_induction() -> None:
    short = random(3, 2, 2)
    process = performance_lab.ending(short, 4)
    policy = softmax(np.random.default_rng(0).normal(size=(process.num_states, 2)))
    v = np.zeros(3)
    for t in range(3, -1, -1):
        now = policy[3 * t : 3 * t + 3]
        v = (now * (short.expected_reward + short.gamma * short.transition @ v)).sum(1)
    exact = float(short.start @ v)
    assert performance(process, policy) == pytest.approx(exact, abs=1e-12)
    found, probability, returns = performance_lab.enumerated(process, policy)
    assert probability @ returns == pytest.approx(exact, abs=1e-12)
    by_hand = [sum(short.gamma**t * r for t, r in enumerate(x.rewards)) for x in found]
    np.testing.assert_allclose(returns, by_hand)


def test_frequencies_reveal_another_policy() -> None:
    """The simulator's trajectories pass the test against their own policy (false alarm 1e-6), and fail another's."""
    process = performance_lab.ending(random(3, 2, 2), 4)
    first, second = softmax(np.random.default_rng(0).normal(size=(2, process.num_states, 2)))
    sample = performance_lab.simulate(process, first, 5000, seed=1)
    own, other = (list(trajectories(process, policy, 4)) for policy in (first, second))
    count = performance_lab.frequencies(own, sample)
    assert count.sum() == 5000
    assert count[-1] == 0
    assert performance_lab.chi_square(count[:-1], np.array([t.probability for t in own])) > 1e-6
    assert performance_lab.chi_square(count[:-1], np.array([t.probability for t in other])) < 1e-20
    assert abs(sample.returns.mean() - performance(process, second)) > 5 * sample.returns.std() / np.sqrt(
        5000
    )


def test_chi_square_is_scipys_where_nothing_is_rare() -> None:
    count, probability = np.array([20, 35, 45]), np.array([0.25, 0.35, 0.4])
    expected = chisquare(count, probability * 100).pvalue
    assert performance_lab.chi_square(count, probability) == pytest.approx(expected)
    rare = performance_lab.chi_square(np.array([20, 35, 40, 5]), np.array([0.25, 0.35, 0.34, 0.06]))
    assert rare == pytest.approx(chisquare([20, 35, 40, 5], [25, 35, 34, 6]).pvalue)


def test_brute_force_finds_the_planners_policy() -> None:
    process = random(3, 3, 2, seed=5)
    worth, best = performance_lab.brute_force(process)
    assert len(worth) == 27
    np.testing.assert_array_equal(best, greedy(optimal_action_value(process)))
    assert worth.max() == pytest.approx(process.start @ optimal_by_linear_program(process))


# --- energy (M15) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.2, 0.7, 3.0])
def test_the_runners_best_effort_is_the_closed_form(alpha: float) -> None:
    """The effort that is best if kept for ever, on a fine grid; and V* of the tables by linear programming."""
    efforts = np.linspace(0, 1, 100_001)
    worth = [float(energy.steady_value(a, alpha)[0]) for a in (energy.best_effort(alpha),)]
    slope = 1 / (1 - energy.GAMMA * (1 - energy.FRICTION))
    all_worth = (slope * energy.GAMMA * energy.FRICTION * efforts - alpha * efforts**2) / (1 - energy.GAMMA)
    assert worth[0] == pytest.approx(all_worth.max(), abs=1e-8)
    best = optimal_by_linear_program(energy.runner(alpha))
    closed = energy.steady_value(energy.best_effort_on_grid(alpha), alpha)
    np.testing.assert_allclose(best, closed, atol=1e-7)


def test_a_shared_speed_keeps_its_mean() -> None:
    mean = energy.runner(0.0).transition @ energy.SPEEDS
    following = 0.8 * energy.SPEEDS[:, None] + 0.2 * energy.EFFORTS
    np.testing.assert_allclose(mean, following, atol=1e-12)


def test_a_rising_energy_would_be_noticed() -> None:
    uses = energy.random_uses(0)
    assert energy.falls(uses)
    assert not energy.falls(uses[::-1])


# --- fitted-iteration (M50) --------------------------------------------------------------------------------


def test_fits_are_what_they_are_called() -> None:
    rng = np.random.default_rng(0)
    features, weight, y = rng.normal(size=(9, 3)), rng.uniform(0.1, 1, 9), rng.normal(size=9)
    root = np.sqrt(weight)
    w = np.linalg.lstsq(features * root[:, None], y * root, rcond=None)[0]
    np.testing.assert_allclose(fitted.least_squares(features, weight) @ y, features @ w, atol=1e-12)
    place, knots = np.sort(rng.uniform(size=9)), [1, 4, 7]
    np.testing.assert_allclose(
        fitted.interpolation(place, knots) @ y, np.interp(place, place[knots], y[knots])
    )
    groups = np.array([0, 1, 0, 2, 2, 1, -1, 0, 2])
    means = [y[groups == g].mean() if g >= 0 else 0.0 for g in groups]
    np.testing.assert_allclose(fitted.aggregation(groups) @ y, means, atol=1e-12)
    for fit in (fitted.interpolation(place, knots), fitted.aggregation(groups)):
        assert fitted.expansion(fit) <= 1 + 1e-12
    with pytest.raises(ConfigError, match="must increase"):
        fitted.interpolation(place, knots[::-1])


def test_fitted_value_iteration_is_backup_then_fit() -> None:
    process = random(9, 2, 3)
    features = np.random.default_rng(0).normal(size=(9, 3))
    v, fit = np.ones(9), fitted.least_squares(features)
    found = fitted.fitted_value_iteration(process, fit, v, limit=5)
    for k in range(5):
        target = slow_optimality(process, np.repeat(v[:, None], 2, 1)).max(1)
        v = features @ np.linalg.lstsq(features, target, rcond=None)[0]
        np.testing.assert_allclose(found.iterates[k + 1], v, atol=1e-10)


@pytest.mark.parametrize(
    ("gamma", "ending", "diverges"), [(0.95, 0.0, True), (0.8, 0.0, False), (0.95, 0.5, False)]
)
def test_two_states_diverge_only_beyond_their_threshold(gamma: float, ending: float, diverges: bool) -> None:
    process, fit = fitted_iteration.two_states(gamma, ending), fitted_iteration.FITS["least squares"]
    found = fitted.fitted_value_iteration(process, fit, fitted_iteration.FEATURES[:, 0])
    w, by_hand = 1.0, []
    for _ in range(5):  # argmin_w of (w - γ 2w_k)² + (2w - (1 - ε) γ 2w_k)²
        w = (gamma * 2 * w + 2 * (1 - ending) * gamma * 2 * w) / 5
        by_hand.append(w)
    np.testing.assert_allclose([x[0] for x in found.iterates[1:6]], by_hand)
    assert found.converged != diverges
    assert (fitted_iteration.radius(process, fit, uniform(process)) > 1) == diverges
    assert fitted_iteration.growth(found) == pytest.approx(gamma * (6 - 4 * ending) / 5, abs=1e-6)


def test_an_averager_ends_within_the_bound_and_no_other_has_one() -> None:
    process = random(12, 3, 3, seed=2)
    groups = np.arange(12) // 3
    fit, best = fitted.aggregation(groups), optimal_value(process)
    for start in np.random.default_rng(0).normal(size=(3, 12)):
        found = fitted.fitted_value_iteration(process, fit, start)
        assert found.converged
        assert found.modulus < process.gamma + 1e-6
        assert np.abs(found.point - best).max() <= fitted.averager_bound(process, fit)
    assert fitted.averager_bound(process, fit) <= fitted_iteration.gordon_bound(process, groups) + 1e-12
    assert fitted.averager_bound(process, np.eye(12)) == 0
    with pytest.raises(ConfigError, match="sup norm at most 1"):
        fitted.averager_bound(process, fitted_iteration.least_squares(np.arange(12.0)[:, None]))


# --- no-loss (M51) -----------------------------------------------------------------------------------------


def small_case() -> tuple[MDP, np.ndarray, np.ndarray, np.ndarray]:
    """An MDP with an end, features [S, A, P] that a tanh makes curved, weights of pairs, and w."""
    rng = np.random.default_rng(0)
    return (
        chain(4, slip=0.2),
        rng.normal(size=(4, 2, 5)),
        rng.dirichlet(np.ones(8)).reshape(4, 2),
        rng.normal(size=5),
    )


def test_semi_gradient_against_loops_and_differences(float64: None) -> None:
    """All transitions one by one; the gradients of Q by central differences."""
    process, features, weight, w = small_case()

    def q(w: np.ndarray) -> np.ndarray:
        return np.tanh(features @ w)

    for target in (None, w[::-1]):
        expected, bootstrap = np.zeros(5), q(w if target is None else target)
        slopes = [(q(w + h) - q(w - h)) / 2e-5 for h in 1e-5 * np.eye(5)]
        for s, a, t in np.ndindex(*process.transition.shape):
            y = process.reward[s, a, t] + process.gamma * (0 if process.terminal[t] else max(bootstrap[t]))
            chance = weight[s, a] * process.transition[s, a, t]
            expected += chance * (y - q(w)[s, a]) * np.array([slope[s, a] for slope in slopes])

        def field(x: jax.Array, u: np.ndarray | None = target) -> jax.Array:
            fixed = None if u is None else jnp.asarray(u)
            return fitted.semi_gradient(process, lambda x: jnp.tanh(features @ x), x, weight, fixed)

        found = jax.jit(field)(w)
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_backup_is_bellmans() -> None:
    """Where states are terminal, too, and where actions are equally good."""
    process, _, _, _ = small_case()
    for q in (np.random.default_rng(0).normal(size=(4, 2)), np.ones((4, 2))):
        np.testing.assert_allclose(
            fitted.backup(process, jnp.asarray(q)), optimality_q(process, q), atol=1e-6
        )


def test_residual_gradient_against_differences(float64: None) -> None:
    process, features, weight, w = small_case()

    def loss(w: np.ndarray) -> float:
        q = np.tanh(features @ w)
        return 0.5 * float((weight * (optimality_q(process, q) - q) ** 2).sum())

    slopes = [(loss(w + h) - loss(w - h)) / 2e-5 for h in 1e-5 * np.eye(5)]
    found = jax.jit(lambda x: fitted.residual_gradient(process, lambda x: jnp.tanh(features @ x), x, weight))(
        w
    )
    np.testing.assert_allclose(found, -np.array(slopes), atol=1e-9)


def test_asymmetry_and_work_of_linear_fields(float64: None) -> None:
    """By Stokes' theorem the work round a circle is π r² (J_21 - J_12)."""
    matrix = np.random.default_rng(0).normal(size=(3, 3))
    plane, centre = jnp.eye(3)[:2], jnp.array([0.3, -1.0, 2.0])

    @jax.jit
    def measure(j: jax.Array) -> tuple[jax.Array, jax.Array]:
        work = fitted.loop_work(lambda w: j @ w, fitted.circle(centre, plane, 0.5))
        return fitted.jacobian_asymmetry(lambda w: j @ w, centre), work

    for j in (matrix, matrix + matrix.T):
        asymmetry, work = measure(jnp.asarray(j))
        assert float(asymmetry) == pytest.approx(np.linalg.norm(j - j.T) / (2 * np.linalg.norm(j)), abs=1e-15)
        assert float(work) == pytest.approx(np.pi * 0.25 * (j[1, 0] - j[0, 1]), abs=1e-13)


def test_without_discount_or_with_a_fixed_target_it_is_a_gradient(float64: None) -> None:
    """What is left without bootstrapping is regression: the symptom is gone, and differences say so too."""
    one = jax.tree.map(lambda x: x[0], no_loss.cases(0, 1))
    found = {name: float(x) for name, x in no_loss.asymmetries(one).items()}
    assert found["semi-gradient"] > 1e-2
    assert no_loss.by_differences(one) == pytest.approx(found["semi-gradient"], rel=1e-5)
    assert found["fixed target"] < 1e-12
    assert found["residual gradient"] < 1e-12
    blind = one._replace(process=one.process._replace(gamma=np.array(0.0)))
    assert float(no_loss.asymmetries(blind)["semi-gradient"]) < 1e-12


def test_the_network_is_two_layers_of_tanh(float64: None) -> None:
    one = jax.tree.map(lambda x: x[0], no_loss.cases(0, 1))
    x, at = one.inputs, 0
    for i, (width, out) in enumerate(((4, 6), (6, 6), (6, 3))):
        weights = one.weights[at : at + width * out].reshape(width, out)
        x = x @ weights + one.weights[at + width * out : at + (width + 1) * out]
        x, at = np.tanh(x) if i < 2 else x, at + (width + 1) * out
    assert at == no_loss.parameters() == len(one.weights)
    np.testing.assert_allclose(
        no_loss.network(jnp.asarray(one.inputs), jnp.asarray(one.weights)), x, atol=1e-12
    )


def test_the_rings_field_is_a_turn_and_a_pull(float64: None) -> None:
    """½ (γ R - I)(w - w*), whose path turns; the residual gradient's is straight."""
    solution, w = np.array([0.4, -0.2]), jnp.array([1.0, 1.5])
    process, features = ring.ring(solution)
    found = ring.fields(process, features)
    np.testing.assert_allclose(features @ solution, optimal_value(process), atol=1e-9)
    angle = -2 * np.pi / ring.STATES
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = 0.5 * (ring.GAMMA * turn - np.eye(2)) @ (np.asarray(w) - solution)
    np.testing.assert_allclose(jax.jit(found["semi-gradient"])(w), expected, atol=1e-12)
    straight, way = np.asarray(jax.jit(found["residual gradient"])(w)), np.asarray(w) - solution
    assert abs(straight[0] * way[1] - straight[1] * way[0]) < 1e-12
    angle = np.linspace(0, 5 * np.pi, 200)
    spiral = np.exp(-0.1 * angle)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    assert ring.turns(spiral + [3.0, 0.0], np.array([3.0, 0.0])) == pytest.approx(2.5)
