"""The policy gradient is tested on an MDP so small that every trajectory can be listed: exact means, exact variances.

Three states, two actions, four env steps: 3 * (2 * 3)^3 * 2 trajectories. What the library's estimators have for a
mean is a sum over all of them, weighted by their probabilities, and is compared with the gradient of the exact J. The
estimators are the library's own: `returns`, `VPG.weigh` and the gradient of `VPG.loss`. Names cite the lecture's
claims, M25 to M35.
"""

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from swingup.algos.vpg import VPG, WEIGHTS, Batch
from swingup.distributions import Categorical
from swingup.returns import discounted, full_return, gae, n_step_advantage, reward_to_go, td_error

S, A, T = 3, 2, 4
fast = settings(max_examples=10, deadline=None)  # each is traced anew


@pytest.fixture(autouse=True)
def _float64():
    """Everything here is exact; only rounding is between the two sides."""
    with jax.enable_x64(True):
        yield


class Table:
    """Parameters as the loss sees them: logits [T, S, A], one row for every state at every time.

    A `policy` of observations (t, s), so that V and Q may depend on the time that is left.
    """

    def __init__(self, logits):
        self.logits = logits

    def policy(self, obs, legal=None):
        return Categorical(self.logits[obs[..., 0], obs[..., 1]])


jax.tree_util.register_pytree_node(Table, lambda t: ((t.logits,), None), lambda _, x: Table(*x))


@dataclass
class World:
    """The MDP, and all its trajectories as one rollout with an environment for each: [T, N]."""

    start: np.ndarray  # [S]
    move: np.ndarray  # [S, A, S]
    reward: np.ndarray  # [S, A]
    state: np.ndarray  # [T, N]
    action: np.ndarray  # [T, N]
    next_state: np.ndarray  # [T, N]; in the last row any one, because the episode is over

    @property
    def n(self):
        return self.state.shape[1]

    @property
    def obs(self):
        """(t, s): [T, N, 2]."""
        return np.stack([np.broadcast_to(np.arange(T)[:, None], self.state.shape), self.state], -1)

    @property
    def rewards(self):
        return self.reward[self.state, self.action]

    @property
    def done(self):
        return np.broadcast_to((np.arange(T) == T - 1)[:, None], self.state.shape)

    def probability(self, logits):
        """P(τ | π) [N]: where it starts, each action, each move but the last."""
        pi = jax.nn.softmax(logits)
        t = jnp.arange(T)[:, None]
        moves = self.move[self.state, self.action, self.next_state][:-1]
        actions = pi[t, self.state, self.action]
        return self.start[self.state[0]] * jnp.prod(actions, 0) * np.prod(moves, 0)

    def exact_j(self, logits, gamma=1.0):
        """J = E[Σ γ^t r_t], by dynamic programming: no trajectory and no estimator in it."""
        return jnp.dot(self.start, self.exact_v(logits, gamma)[0])

    def exact_v(self, logits, gamma=1.0):
        """V_t(s) [T + 1, S]; zero at the end."""
        return self.exact(logits, gamma)[0]

    def exact_q(self, logits, gamma=1.0):
        """Q_t(s, a) [T, S, A]."""
        return self.exact(logits, gamma)[1]

    def exact(self, logits, gamma):
        pi, value, q_values = jax.nn.softmax(logits), jnp.zeros(S), []
        values = [value]
        for t in reversed(range(T)):
            q = self.reward + gamma * self.move @ value
            value = jnp.sum(pi[t] * q, -1)
            values, q_values = [value, *values], [q, *q_values]
        return jnp.stack(values), jnp.stack(q_values)


def world(seed):
    rng = np.random.default_rng(seed)
    pairs = list(itertools.product(range(A), range(S)))
    paths = [
        (s, *path, a) for s in range(S) for path in itertools.product(pairs, repeat=T - 1) for a in range(A)
    ]
    state = np.array([[p[0], *(x[1] for x in p[1:T])] for p in paths]).T
    action = np.array([[*(x[0] for x in p[1:T]), p[T]] for p in paths]).T
    next_state = np.concatenate([state[1:], state[:1]])
    move = rng.dirichlet(np.ones(S), (S, A))
    return World(rng.dirichlet(np.ones(S)), move, rng.normal(1, 2, (S, A)), state, action, next_state)


def logits_of(seed):
    return np.random.default_rng(100 + seed).normal(0, 0.7, (T, S, A))


SEEDS = range(3)
WORLDS = [world(seed) for seed in SEEDS]


def scores(w, logits, weight):
    """Σ_t ∇ log π(a_t|s_t) Ψ_t of every trajectory [N, T S A], as the gradient of `VPG.loss` of that trajectory."""
    algo = VPG(normalise_adv=False)

    def one(obs, action, weight):
        batch: Any = Batch(obs[:, None], action[:, None], None, weight[:, None], None, None)
        grad = jax.grad(lambda p: algo.loss(p, batch)[0])(Table(jnp.asarray(logits)))
        return -T * grad.logits.ravel()  # the loss is a mean over T, and minus

    return jax.jit(jax.vmap(one, in_axes=1))(w.obs, w.action, jnp.asarray(weight))


def mean_of(w, logits, weight, behaviour=None):
    """The exact mean of the estimate, over trajectories of `behaviour` (by default the policy itself)."""
    p = w.probability(logits if behaviour is None else behaviour)
    return np.asarray(p @ scores(w, logits, weight))


def variance_of(w, logits, weight):
    """The exact variance of the estimate from one trajectory, summed over the parameters."""
    p, g = w.probability(logits), scores(w, logits, weight)
    return float(p @ jnp.sum(jnp.square(g - p @ g), -1))


def gradient_of_j(w, logits, gamma=1.0):
    return np.asarray(jax.jit(jax.grad(partial(w.exact_j, gamma=gamma)))(jnp.asarray(logits))).ravel()


def values_of(w, logits, gamma=1.0, error=0.0):
    """V(s_t) and V(s_{t+1}) [T, N] along all trajectories, exact but for `error` [T + 1, S] added to V."""
    table = np.asarray(w.exact_v(logits, gamma)) + error
    t = np.arange(T)[:, None]
    return table[t, w.state], table[t + 1, w.next_state]


def weights_of(w, logits, weight, gamma=1.0, error=0.0, **how):
    """Ψ [T, N] of all trajectories by `VPG.weigh`."""
    algo = VPG(weight=weight, gamma=gamma, **how)
    arguments = w.rewards, *values_of(w, logits, gamma, error), w.done, w.done
    return np.asarray(algo.weigh(*map(jnp.asarray, arguments)))


# --- The list itself


@pytest.mark.parametrize("w", WORLDS)
def test_the_list_is_complete_and_its_mean_return_is_j(w):
    """Probabilities add up to 1, and the mean return is that of dynamic programming, with or without discount."""
    logits = logits_of(0)
    assert w.n == S * (A * S) ** (T - 1) * A
    p = w.probability(logits)
    np.testing.assert_allclose(p.sum(), 1.0, atol=1e-12)
    for gamma in (1.0, 0.7):
        returns = gamma ** np.arange(T) @ w.rewards
        np.testing.assert_allclose(p @ returns, w.exact_j(jnp.asarray(logits), gamma), atol=1e-12)


@pytest.mark.parametrize("w", WORLDS)
def test_the_dynamics_drop_out_of_the_log_probability_M25(w):
    """∇ log P(τ) is Σ ∇ log π: the autodiff of the whole probability, dynamics and all, against the loss's."""
    logits = jnp.asarray(logits_of(1))
    whole = jax.jit(jax.jacrev(lambda x: jnp.log(w.probability(x))))(logits).reshape(w.n, -1)
    np.testing.assert_allclose(whole, scores(w, logits, np.ones((T, w.n))), atol=1e-10)
    p = w.probability(logits)
    np.testing.assert_allclose(p @ whole, 0.0, atol=1e-12)  # the lemma: a score's mean is zero


# --- The mean of every form


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_every_weight_has_the_gradient_of_j_for_its_mean_M26_M27_M28_M30(weight, seed):
    """With the true V where V is used; undiscounted."""
    w, logits = WORLDS[seed], logits_of(seed)
    for how in ({"n": 1}, {"n": 3}) if weight == "n_step" else ({"lam": 0.3}, {"lam": 1.0}):
        got = mean_of(w, logits, weights_of(w, logits, weight, **how))
        np.testing.assert_allclose(got, gradient_of_j(w, logits), atol=1e-6)
    assert np.abs(gradient_of_j(w, logits)).max() > 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_exact_q_and_exact_advantage_give_the_gradient_M28_M30(seed):
    """Q of the state and action, in place of any return; and Q - V."""
    w, logits = WORLDS[seed], logits_of(seed)
    t = np.arange(T)[:, None]
    q = np.asarray(w.exact_q(logits))[t, w.state, w.action]
    v, _ = values_of(w, logits)
    np.testing.assert_allclose(mean_of(w, logits, q), gradient_of_j(w, logits), atol=1e-6)
    np.testing.assert_allclose(mean_of(w, logits, q - v), gradient_of_j(w, logits), atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_past_rewards_contribute_nothing_to_the_mean_M27(seed):
    """E[∇ log π(a_t|s_t) r_k] is 0 for each k < t, and not for k >= t."""
    w, logits = WORLDS[seed], logits_of(seed)
    for t, k in itertools.product(range(T), repeat=2):
        weight = np.zeros((T, w.n))
        weight[t] = w.rewards[k]
        size = np.abs(mean_of(w, logits, weight)).max()
        assert size < 1e-10 if k < t else size > 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_full_return_is_the_past_plus_the_reward_to_go_M27(seed):
    w = WORLDS[seed]
    zeros = np.zeros((T, w.n))
    ends = map(jnp.asarray, (w.rewards, zeros, w.done, w.done))
    whole = np.asarray(full_return(*ends, 1.0))
    past = np.cumsum(w.rewards, 0) - w.rewards
    np.testing.assert_allclose(whole - past, weights_of(w, logits_of(0), "reward_to_go"), atol=1e-12)


@fast
@given(hnp.arrays(np.float64, (T, S), elements=st.floats(-100, 100)), st.sampled_from(SEEDS))
def test_any_baseline_of_the_state_leaves_the_mean_M29(baseline, seed):
    with jax.enable_x64(True):
        w, logits = WORLDS[seed], logits_of(seed)
        weight = weights_of(w, logits, "reward_to_go") - baseline[np.arange(T)[:, None], w.state]
        np.testing.assert_allclose(mean_of(w, logits, weight), gradient_of_j(w, logits), atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_baseline_of_the_action_does_not_M29(seed):
    """The negative of the claim: what depends on the action takes some of the gradient with it."""
    w, logits = WORLDS[seed], logits_of(seed)
    for action_dependent in (w.action.astype(np.float64), w.rewards):
        got = mean_of(w, logits, weights_of(w, logits, "reward_to_go") - action_dependent)
        assert np.abs(got - gradient_of_j(w, logits)).max() > 0.05


# --- The variance


@pytest.mark.parametrize("seed", SEEDS)
def test_variance_falls_from_form_to_form_M30(seed):
    """Full return > reward-to-go > minus the baseline V > true advantage; exactly, by the list."""
    w, logits = WORLDS[seed], logits_of(seed)
    t = np.arange(T)[:, None]
    v, _ = values_of(w, logits)
    advantage = np.asarray(w.exact_q(logits))[t, w.state, w.action] - v
    forms = [weights_of(w, logits, x) for x in ("full_return", "reward_to_go", "reward_to_go_baseline")]
    found = [variance_of(w, logits, x) for x in (*forms, advantage)]
    assert found[0] > found[1] > found[2] > found[3] > 0


# --- On-policy data


@pytest.mark.parametrize("seed", SEEDS)
def test_data_of_another_policy_are_biased_and_importance_weights_repair_them_M31(seed):
    """Trajectories of an older policy, taken for the present one's; then with P(τ|π) / P(τ|old)."""
    w, logits = WORLDS[seed], logits_of(seed)
    old = logits + np.random.default_rng(7).normal(0, 1, logits.shape)
    weight = weights_of(w, logits, "reward_to_go")
    exact = gradient_of_j(w, logits)
    assert np.abs(mean_of(w, logits, weight, behaviour=old) - exact).max() > 0.05
    t = np.arange(T)[:, None]
    pi, pi_old = (np.asarray(jax.nn.softmax(x))[t, w.state, w.action] for x in (logits, old))
    repaired = mean_of(w, logits, weight * np.prod(pi / pi_old, 0), behaviour=old)
    np.testing.assert_allclose(repaired, exact, atol=1e-6)


# --- Discounting


@pytest.mark.parametrize("seed", SEEDS)
def test_the_usual_estimate_lacks_a_factor_of_the_discounted_gradient_C12_M33(seed):
    """With γ < 1 the reward-to-go form needs γ^t to have the gradient of the discounted J for its mean.

    Nobody puts it in, nor do we: late env steps would count for almost nothing. The full return needs none.
    """
    w, logits, gamma = WORLDS[seed], logits_of(seed), 0.7
    exact = gradient_of_j(w, logits, gamma)
    factor = gamma ** np.arange(T)[:, None]
    usual = weights_of(w, logits, "reward_to_go", gamma)
    np.testing.assert_allclose(mean_of(w, logits, factor * usual), exact, atol=1e-6)
    assert np.abs(mean_of(w, logits, usual) - exact).max() > 0.01
    whole = weights_of(w, logits, "full_return", gamma)
    np.testing.assert_allclose(mean_of(w, logits, whole), exact, atol=1e-6)


# --- Advantage estimates


@pytest.mark.parametrize("gamma", [1.0, 0.8])
def test_regression_on_rewards_to_go_has_v_for_its_minimum_M32(gamma):
    """The mean of G_t given (t, s), which is what least squares finds, is V_t(s)."""
    w, logits = WORLDS[0], logits_of(0)
    p, to_go = np.asarray(w.probability(logits)), weights_of(w, logits, "reward_to_go", gamma)
    exact = np.asarray(w.exact_v(logits, gamma))
    for t, s in itertools.product(range(T), range(S)):
        here = p * (w.state[t] == s)
        np.testing.assert_allclose(here @ to_go[t] / here.sum(), exact[t, s], atol=1e-10)


kinds = hnp.arrays(np.int8, (6, 3), elements=st.integers(0, 2))
numbers = hnp.arrays(np.float64, (6, 3), elements=st.floats(-10, 10))
rate = st.floats(0, 1)


@fast
@given(numbers, numbers, numbers, kinds, rate, rate)
def test_gae_is_the_sum_of_td_errors_and_the_average_of_n_step_advantages_M35(r, v, v_next, kind, gamma, lam):
    """Both sides of the slide's equation, the proof left to the reader, wherever episodes end.

    The average is (1-λ) Σ_n λ^{n-1} A⁽ⁿ⁾. From n = 6 on all A⁽ⁿ⁾ are the same, because the data end: these have λ^5.
    """
    with jax.enable_x64(True):
        r, v, v_next = map(jnp.asarray, (r, v, v_next))
        terminated, done = jnp.asarray(kind == 1), jnp.asarray(kind > 0)
        got = gae(r, v, v_next, terminated, done, gamma, lam)
        td = td_error(r, v, v_next, terminated, gamma)
        np.testing.assert_allclose(got, discounted(td, done, gamma * lam, jnp.zeros(3)), atol=1e-6)
        steps = [n_step_advantage(r, v, v_next, terminated, done, gamma, n) for n in range(1, 7)]
        average = (1 - lam) * sum(lam ** (n - 1) * steps[n - 1] for n in range(1, 6)) + lam**5 * steps[5]
        np.testing.assert_allclose(got, average, atol=1e-6)


@fast
@given(numbers, numbers, numbers, kinds, rate)
def test_the_limits_of_lambda_and_of_n_M35(r, v, v_next, kind, gamma):
    """λ = 0 and n = 1 are the TD error; λ = 1 and a large n the reward-to-go minus V."""
    with jax.enable_x64(True):
        r, v, v_next = map(jnp.asarray, (r, v, v_next))
        ends = jnp.asarray(kind == 1), jnp.asarray(kind > 0)
        td = td_error(r, v, v_next, ends[0], gamma)
        np.testing.assert_allclose(gae(r, v, v_next, *ends, gamma, 0.0), td, atol=1e-6)
        np.testing.assert_allclose(n_step_advantage(r, v, v_next, *ends, gamma, 1), td, atol=1e-6)
        # Within the data V(s_{t+1}) is the next row's V, as in a rollout: only then do the sums telescope.
        inside = jnp.concatenate([v[1:], v_next[-1:]])
        v_next = jnp.where(ends[1], v_next, inside)
        whole = reward_to_go(r, v_next, *ends, gamma) - v
        np.testing.assert_allclose(gae(r, v, v_next, *ends, gamma, 1.0), whole, atol=1e-6)
        for n in (6, 7, 100):
            np.testing.assert_allclose(n_step_advantage(r, v, v_next, *ends, gamma, n), whole, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_bias_falls_and_variance_rises_with_n_under_a_wrong_v_M34(seed):
    """The table of the slide, exactly: errors of A⁽ⁿ⁾ at the first env step, over all trajectories.

    V is 4 too high wherever the episode still goes on, and γ = 0.8: so an error n env steps away counts for γⁿ of
    itself, and none is left at the end.
    """
    w, logits, gamma = WORLDS[seed], logits_of(seed), 0.8
    p, t = np.asarray(w.probability(logits)), np.arange(T)[:, None]
    error = np.array([0.0, 4.0, 4.0, 4.0, 0.0])[:, None]
    exact = (np.asarray(w.exact_q(logits, gamma))[t, w.state, w.action] - values_of(w, logits, gamma)[0])[0]
    bias, variance = [], []
    for n in range(1, T + 1):
        got = weights_of(w, logits, "n_step", gamma, error, n=n)[0]
        mean = p @ (got - exact)
        bias.append(abs(mean))
        variance.append(p @ (got - exact - mean) ** 2)
    np.testing.assert_allclose(bias, [4 * gamma, 4 * gamma**2, 4 * gamma**3, 0.0], atol=1e-9)
    assert all(x < y for x, y in itertools.pairwise(variance))
