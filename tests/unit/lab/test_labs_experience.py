"""Demonstrations of learning from experience have parts that equal oracles, and claims that fail without the cause."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conftest import SMALL, arrays
from swingup.algos.dqn import DQN
from swingup.algos.q_learning import QLearning
from swingup.envs import Vec, make
from swingup.envs.adapters.tabular import Tabular
from swingup.envs.tabular import bias, cliff
from swingup.lab import cliff as cliff_lab
from swingup.lab import exploration, maximisation_bias, replay, seeds, target_network, td_lambda
from swingup.lab.tools import learning
from swingup.lab.tools.report import Claim
from swingup.replay.ring import add, empty, take
from swingup.theory import exact
from swingup.training import driver, machine
from swingup.types import Rollout, Step


@pytest.fixture(autouse=True)
def _one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests compute in the process as it is."""
    monkeypatch.setattr(machine, "set_up", lambda *args: None)


def holds(claims: list[Claim]) -> list[bool]:
    assert all(type(claim.holds) is bool for claim in claims), "JSON has no NumPy truth"
    return [claim.holds for claim in claims]


# --- Looking at what is learnt -----------------------------------------------------------------------------


def test_each_look_is_what_had_been_learnt_by_then() -> None:
    """At iterations 3, 6 and 9, for each seed; and the metrics of all iterations are kept."""
    algo, env = QLearning(epsilon_decay=5.0), make("tabular:Random", 1)
    found = learning.learn(algo, env, [3, 5], 9, 3, lambda learner: learner.q)
    assert found.seen.shape == (2, 3, 6, 3)
    assert found.metrics["td/error"].shape == (2, 9)
    for i, iterations in enumerate((3, 6, 9)):
        state = driver.run(algo, env, driver.init(algo, env, [3, 5]), iterations)
        np.testing.assert_array_equal(found.seen[:, i], state.learner.q)


def test_no_two_root_seeds_share_a_seed() -> None:
    seeds_ = [s for root in range(20) for s in learning.seeds_of(root, 7)]
    assert len(set(seeds_)) == 140


def test_the_performance_of_a_greedy_policy_is_exact() -> None:
    """-13 on the cliff with the true Q; -∞ for a loop from the start; a loop elsewhere does not matter."""
    mdp = cliff()
    q = exact.optimal_action_value(mdp)
    assert learning.greedy_performance(mdp, q) == pytest.approx(-13)
    far = q.copy()
    far[0] = [1e3, 0, 0, 0]  # in the corner, up into the wall for ever: the best path never comes there
    assert learning.greedy_performance(mdp, far) == pytest.approx(-13)
    stuck = q.copy()
    stuck[mdp.start.argmax()] = [0, 0, 1e3, 0]  # at the start, down into the wall
    assert learning.greedy_performance(mdp, stuck) == -np.inf


# --- Cliff -------------------------------------------------------------------------------------------------


def test_the_best_policy_with_exploration_is_the_best_of_all_that_explore() -> None:
    """Against value iteration with a loop over states and actions; it keeps away from the edge and earns more."""
    mdp, epsilon = cliff(), 0.1
    v = np.zeros(mdp.num_states)
    for _ in range(200):
        backup = np.zeros((mdp.num_states, 4))
        for s in range(mdp.num_states):
            for a in range(4):
                chance = np.full(4, epsilon / 4)
                chance[a] += 1 - epsilon
                outcome = mdp.reward[s] + np.where(mdp.terminal, 0.0, v)
                backup[s, a] = chance @ (mdp.transition[s] * outcome).sum(-1)
        v = backup.max(1)
    found = exact.performance(mdp, cliff_lab.softly_best(mdp, epsilon))
    assert found == pytest.approx(mdp.start @ v, abs=1e-6)
    shortest = exact.epsilon_greedy(exact.optimal_action_value(mdp), epsilon)
    assert found > exact.performance(mdp, shortest) + 10


def test_a_path_goes_on_until_it_ends_or_repeats() -> None:
    mdp = cliff()
    q = exact.optimal_action_value(mdp)
    walked = cliff_lab.path(mdp, q)
    assert len(walked) == 14
    assert walked[0] == mdp.start.argmax()
    assert mdp.terminal[walked[-1]]
    q[mdp.start.argmax()] = [0, 0, 1e3, 0]
    assert cliff_lab.path(mdp, q) == [mdp.start.argmax()] * 2


def test_the_cliffs_claims_need_two_different_learners() -> None:
    rng = np.random.default_rng(0)
    safe, short = rng.normal(-23, 1, 50), rng.normal(-49, 3, 50)
    final = {"SARSA": np.full(50, -17.0), "Q-learning": np.full(50, -13.0)}
    assert holds(cliff_lab.claims_of({"SARSA": safe, "Q-learning": short}, final)) == [True, True]
    same = {name: np.full(50, -13.0) for name in final}
    other = rng.normal(-49, 3, 50)
    assert holds(cliff_lab.claims_of({"SARSA": other, "Q-learning": short}, same)) == [False, False]


@pytest.mark.slow
def test_without_exploration_sarsa_is_as_bold_as_q_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause is removed: with ε = 0 both learn the same policy's value, and the symptom is gone."""
    monkeypatch.setattr(cliff_lab, "EPSILON", 0.0)
    found = {name: cliff_lab.learnt(kind, 0) for name, kind in cliff_lab.LEARNERS.items()}
    late = {name: returns[:, cliff_lab.POINTS // 2 :].mean(1) for name, (returns, _) in found.items()}
    final = {
        name: np.array([learning.greedy_performance(cliff(), q) for q in qs])
        for name, (_, qs) in found.items()
    }
    assert holds(cliff_lab.claims_of(late, final)) == [False, False]


# --- Maximisation bias -------------------------------------------------------------------------------------


def test_belief_is_each_tables_judgement_of_the_others_choice() -> None:
    q = np.random.default_rng(0).normal(size=(4, 5, 2, 3))
    found = maximisation_bias.belief(q)
    for i, j in np.ndindex(4, 5):
        one, two = q[i, j]
        assert found[i, j] == pytest.approx((two[one.argmax()] + one[two.argmax()]) / 2)


def by_hand(episodes: int, runs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Q-learning on the MDP of `bias()` in NumPy: share of wrong first actions, and max Q in the second state."""
    rng = np.random.default_rng(seed)
    first, second = np.zeros((runs, 10)), np.zeros((runs, 10))
    rows, wrong, belief = np.arange(runs), [], []

    def act(q: np.ndarray) -> np.ndarray:
        return np.where(rng.random(runs) < 0.1, rng.integers(10, size=runs), q.argmax(1))

    for _ in range(episodes):
        a, b = act(first), act(second)
        went = a > 0
        target = np.where(went, second.max(1), 0.0)
        first[rows, a] += 0.1 * (target - first[rows, a])
        reward = np.where(rng.random(runs) < 0.45, 1.0, -1.0)
        second[rows, b] += 0.1 * went * (reward - second[rows, b])
        wrong.append(went.mean())
        belief.append(second.max(1).mean())
    return np.array(wrong), np.array(belief)


@pytest.mark.slow
def test_wrong_actions_are_as_frequent_as_by_hand() -> None:
    """400 seeds of ours against 20,000 by hand, over all episodes: 5 standard errors, so one in a million fails."""
    wrong, _ = maximisation_bias.learnt(QLearning, bias(), 7)
    truth, _ = by_hand(maximisation_bias.EPISODES, 20_000, 0)
    mine = learning.mean_of(wrong.mean(1))
    assert abs(mine.value - truth.mean()) < 5 * mine.error
    apart = np.abs(wrong.mean(0) - truth) / np.sqrt(truth * (1 - truth) / len(wrong))
    assert apart.max() < 5.5


@pytest.mark.slow
def test_without_noise_there_is_no_bias() -> None:
    """The cause is removed: every action of the second state pays -0.1 at once, and the claims fail."""
    mdp = bias()
    still = mdp._replace(reward=np.broadcast_to(mdp.expected_reward[..., None], mdp.reward.shape))
    found = {
        name: maximisation_bias.learnt(kind, still, 0) for name, kind in maximisation_bias.LEARNERS.items()
    }
    assert holds(maximisation_bias.claims_of(found, 0.09, -0.1)) == [False, False]


# --- TD(λ) -------------------------------------------------------------------------------------------------


def test_the_walk_has_the_values_of_the_book() -> None:
    mdp = td_lambda.walk()
    v = exact.value(mdp, exact.uniform(mdp))
    np.testing.assert_allclose(v[1:-1], np.arange(-9, 10) / 10, atol=1e-12)


def td_by_hand(lam: float, lr: float, runs: int, seed: int) -> np.ndarray:
    """TD(λ) on the walk in NumPy: RMS error, averaged over looks, of each run."""
    rng, rows, found = np.random.default_rng(seed), np.arange(runs), []
    v, e, s = np.zeros((runs, 21)), np.zeros((runs, 21)), np.full(runs, 10)
    for t in range(1, td_lambda.ENV_STEPS + 1):
        to = s + 2 * rng.integers(0, 2, runs) - 1
        reward = (to == 20) * 1.0 - (to == 0)
        e *= lam
        e[rows, s] += 1
        v += lr * (reward + v[rows, to] - v[rows, s])[:, None] * e
        end = (to == 0) | (to == 20)
        e[end], s = 0, np.where(end, 10, to)
        if t % td_lambda.EVERY == 0:
            found.append(np.sqrt(((v[:, 1:-1] - np.arange(-9, 10) / 10) ** 2).mean(1)))
    return np.mean(found, 0)


@pytest.mark.slow
def test_errors_are_those_of_a_walk_by_hand() -> None:
    """Three settings with 40 seeds each, against 1,000 runs in NumPy: 5 standard errors, one in 10,000 fails."""
    settings = [(0.0, 0.64), (0.8, 0.32), (1.0, 0.02)]
    found = td_lambda.errors(settings, 0, 40)
    for (lam, lr), error in zip(settings, found, strict=True):
        assert abs(learning.apart(error, td_by_hand(lam, lr, 1000, 0))) < 5


def test_no_end_of_the_grid_hides_a_better_learning_rate() -> None:
    """The rates just beyond the grid are worse: α = 1 for λ = 0, and α = 0.01 for λ = 1."""
    for lam, inside, outside in ((0.0, 0.64, 1.0), (1.0, 0.02, 0.01)):
        gap = learning.apart(td_by_hand(lam, outside, 4000, 1), td_by_hand(lam, inside, 4000, 2))
        assert gap > 3, (lam, gap)


def test_the_claims_of_td_lambda_need_a_valley() -> None:
    settings, rng = td_lambda.usable(), np.random.default_rng(0)
    lam = np.array([x for x, _ in settings])[:, None]
    valley = 0.3 + (lam - 0.6) ** 2 + 0.01 * rng.normal(size=(len(settings), 40))
    assert holds(td_lambda.claims_of(settings, valley)) == [True, True]
    flat = 0.3 + 0.01 * rng.normal(size=(len(settings), 40))
    assert holds(td_lambda.claims_of(settings, flat)) == [False, False]
    slope = flat + lam
    assert holds(td_lambda.claims_of(settings, slope))[0] is False


# --- Exploration -------------------------------------------------------------------------------------------


def test_the_chain_rewards_patience() -> None:
    """The best policy goes right everywhere and earns over three times as much as the one that stays left."""
    mdp = exploration.river()
    best = exact.greedy(exact.optimal_action_value(mdp))
    assert (best[:-1, 1] == 1).all()
    left = np.eye(2)[np.zeros(mdp.num_states, int)]
    assert exact.performance(mdp, best) > 3 * exact.performance(mdp, left) > 0


def test_a_wrong_epsilon_is_found_out() -> None:
    """True counts pass, with a false-alarm rate of 1e-5; counts of an ε that is wrong by 0.02 do not."""
    epsilon = np.linspace(1, 0.05, 40)

    def counts(e: np.ndarray) -> np.ndarray:
        other = np.random.default_rng(0).binomial(exploration.DRAWS, e / 2)
        return np.stack([other, exploration.DRAWS - other], 1)

    assert exploration.fit(counts(epsilon), epsilon) > exploration.FALSE_ALARM
    assert exploration.fit(counts(epsilon + 0.02), epsilon) < exploration.FALSE_ALARM
    assert holds(exploration.matching(0.0, exploration.fit(counts(epsilon + 0.02), epsilon))) == [True, False]
    assert holds(exploration.matching(0.01, 0.5)) == [False, True]


def test_actions_are_as_random_as_the_schedule_says() -> None:
    """Drawn by the algorithm; a schedule that ends elsewhere is refused. One in 100,000 fails."""
    at = np.array([1, 2500, 5000, 9000])
    algo = exploration.algorithm([(1.0, 0.05)], 1)
    counts = exploration.actions(algo, at, 3)
    assert exploration.fit(counts, exploration.expected_epsilon((1.0, 0.05), at)) > 1e-5
    assert exploration.fit(counts, exploration.expected_epsilon((1.0, 0.1), at)) < 1e-5


def test_the_claim_of_exploration_needs_a_difference() -> None:
    shares = {"ε = 0": 0.0, "ε = 0.1": 0.0, "ε = 0.5": 0.5, exploration.DECAYED: 1.0}
    assert holds(exploration.finding(shares)) == [True]
    for name, x in (("ε = 0", 0.9), ("ε = 0.1", 0.9), (exploration.DECAYED, 0.1)):
        assert holds(exploration.finding(shares | {name: x})) == [False]


@pytest.mark.slow
def test_on_a_short_chain_exploration_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause is removed: with two cells and many slips the goal is found by accident."""
    monkeypatch.setattr(exploration, "STATES", 2)
    monkeypatch.setattr(exploration, "SLIP", 0.4)
    share, _ = exploration.found_by(list(exploration.SCHEDULES.values()), 0)
    assert holds(exploration.finding(dict(zip(exploration.SCHEDULES, share[:, -1], strict=True)))) == [False]


# --- Replay ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [5, 30])
def test_a_window_holds_the_newest_transitions_and_no_others(written: int) -> None:
    """A ring has 12 rows, filled in part or written over; its rewards are numbers in order of time."""
    env, zero, no = Vec(Tabular(cliff()), 1), jnp.zeros((1, 1), jnp.int32), jnp.zeros((1, 1), bool)
    ring = empty(env, 12)
    for i in range(written):
        step = Step(zero, zero, jnp.full((1, 1), float(i)), no, no, zero + 0.0, zero)
        ring = add(ring, Rollout(zero, zero, (), step))
    for window in (1.0, 4.0, 1e9):
        index = replay.newest(ring, jax.random.key(1), 400, window)
        found = set(np.asarray(take(ring, index, 0.9).reward).tolist())
        assert found == set(map(float, range(written)[-int(min(window, 12)) :])), (
            "each is missed once in 1e14"
        )


def test_the_claims_of_replay_need_a_difference() -> None:
    rng = np.random.default_rng(0)
    error, found = rng.normal([[0.35], [0.7]], 0.1, (2, 40)), rng.normal([[0.3], [0.1]], 0.1, (2, 40))
    assert holds(replay.claims_of(error, found)) == [True, True]
    same = rng.normal(0.35, 0.1, (2, 40))
    assert holds(replay.claims_of(same, same)) == [False, False]
    assert holds(replay.claims_of(error[::-1], found[::-1])) == [False, False]


@pytest.mark.slow
def test_two_replays_of_all_transitions_do_not_differ() -> None:
    """The cause is removed: the second kind, of other seeds, draws from 5,000 transitions instead of 32."""
    error, _ = replay.judged([1e9], 0)
    other, _ = replay.judged([5e3], 1)
    half = error.shape[-1] // 2
    late = np.concatenate([error, other])[..., half:].mean(-1)
    assert holds(replay.claims_of(late, -late)) == [False, False]


# --- Target network ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_period_that_is_a_float_renews_as_dqns_does() -> None:
    """With periods 1 and 3 and two τ, in one program against one for each."""
    kinds = [(1, 1.0), (3, 1.0), (1, 0.1)]
    env = Vec(Tabular(cliff()), 2)
    settings: Any = {x: SMALL["dqn"][x] for x in SMALL["dqn"] if x != "target_period"}
    period, tau = np.array(kinds, np.float32).T
    together = target_network.AnyTarget(**settings, target_period=period, tau=tau)
    state = driver.run(together, env, driver.init(together, env, [4, 4, 4]), 7)
    for i, (period, tau) in enumerate(kinds):
        alone = DQN(**settings, target_period=period, tau=tau)
        expected = driver.run(alone, env, driver.init(alone, env, [4]), 7).learner
        for name in ("params", "target"):
            for x, y in zip(
                arrays(getattr(state.learner, name)), arrays(getattr(expected, name)), strict=True
            ):
                np.testing.assert_allclose(x[i], y[0], rtol=1e-5, atol=1e-6)


def test_the_claims_of_target_networks_need_a_difference() -> None:
    rng = np.random.default_rng(0)
    wild, tame = rng.uniform(50, 100, 10), rng.uniform(0.9, 1.2, 10)
    names = list(target_network.TARGETS)
    assert holds(target_network.claims_of(dict(zip(names, (wild, tame, tame), strict=True)))) == [True, True]
    assert holds(target_network.claims_of(dict.fromkeys(names, tame))) == [False, True]
    assert holds(target_network.claims_of(dict.fromkeys(names, wild))) == [True, False]


@pytest.mark.slow
def test_a_period_cures_what_no_target_network_breaks() -> None:
    """The cause is removed: a copy that stands still for 100 gradient steps in the first kind's place, other seeds."""
    cured = target_network.distances([target_network.TARGETS["renewed every 100"]] * 3, 5).max(-1)
    assert holds(target_network.claims_of(dict(zip(target_network.TARGETS, cured, strict=True)))) == [
        False,
        True,
    ]


# --- Seeds -------------------------------------------------------------------------------------------------


def test_welchs_test_is_scipys() -> None:
    from scipy.stats import ttest_ind

    a, b = np.random.default_rng(0).normal([[[0.0]], [[0.7]]], [[[1.0]], [[2.0]]], (2, 500, 7))
    result: Any = ttest_ind(a, b, axis=1, equal_var=False)
    theirs = result.pvalue < 0.05
    np.testing.assert_array_equal(seeds.welch(a, b), theirs)
    assert 0 < theirs.mean() < 1
    same = np.ones((2, 3))
    np.testing.assert_array_equal(seeds.welch(same, same), False)


def test_comparisons_are_as_frequent_as_all_that_are_possible() -> None:
    """Pools of three results: all 9 x 9 experiments of two. 5 standard errors, one in 500,000 fails."""
    pool, better = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.6, 1.0])
    pairs = np.stack(np.meshgrid(pool, pool), -1).reshape(-1, 2)
    fifth, bars = [], []
    for a in pairs:
        for b in pairs:
            gap = abs(a.mean() - b.mean())
            fifth.append(gap > 0.1)
            bars.append(gap > (a.std(ddof=1) + b.std(ddof=1)) / np.sqrt(2))
    wrong = [a.mean() > b.mean() + 1e-12 for a in pairs for b in pairs + (better - pool)[0]]
    found = seeds.compare(pool, better, 2, np.random.default_rng(0))
    for truth, share in ((fifth, found.fifth), (bars, found.bars), (wrong, found.wrong)):
        p = np.mean(truth)
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / seeds.COMPARISONS)


def test_intervals_of_three_cover_what_they_must() -> None:
    """The bootstrap's interval of three is [min, max], so its coverage is known; 5 standard errors."""
    pool = np.random.default_rng(0).gamma(2.0, size=200)
    p, found = seeds.three_cover(pool), seeds.coverage(pool, 3, np.random.default_rng(1))
    assert abs(found.bootstrap_mean - p) < 5 * np.sqrt(p * (1 - p) / seeds.INTERVALS)


def test_where_seeds_do_not_matter_nobody_is_fooled() -> None:
    """The cause is removed: results that differ by a thousandth, and another algorithm that is clearly better."""
    rng = np.random.default_rng(0)
    pool = 1 + 1e-3 * rng.normal(size=200)
    found = {n: seeds.compare(pool, 1.2 * pool, n, rng) for n in seeds.SIZES}
    good = seeds.Coverage(0.95, 0.95, 0.95)
    claims = seeds.claims_of(found, dict.fromkeys(seeds.SIZES, good), 0.75, 0.2)
    assert [holds(claims)[i] for i in (0, 2, 3)] == [False, False, False]
