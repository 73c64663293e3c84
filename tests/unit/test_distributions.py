"""Distributions equal SciPy's in float64, numerical integration, finite differences and sampling frequencies.

Statistical tests reject at p < 1e-8 or beyond 6 standard errors, and each makes at most 20 such comparisons:
the false-alarm rate of a test is below 1e-6 whatever the seed.
"""

import itertools

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special as special
import scipy.stats as stats
from hypothesis import given, settings

from swingup.distributions import Categorical, MultiBinary, Normal, TanhNormal
from swingup.spaces import Box, to_env

fast = settings(max_examples=40, deadline=None)
NEVER = 1e-8  # a p-value that a right implementation does not reach


@jax.jit
def measure(p, q, action):
    """What a pair of distributions says, compiled once per family and shape."""
    return {
        "log_prob": p.log_prob(action),
        "entropy": p.entropy(),
        "kl": p.kl(q),
        "d_log_prob": jax.grad(lambda p: p.log_prob(action).sum())(p),
        "d_entropy": jax.grad(lambda p: p.entropy().sum())(p),
        "d_kl": jax.grad(lambda p: p.kl(q).sum())(p),
        "d_kl_other": jax.grad(lambda q: p.kl(q).sum())(q),
    }


def arrays(low, high, shape=(4, 3)):
    return hnp.arrays(np.float32, shape, elements=st.floats(low, high, width=32))


def numeric_gradient(f, x, eps=1e-6):
    """Central differences of a float64 function at every entry of `x`."""
    grad = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        up, down = x.astype(np.float64), x.astype(np.float64)
        up[i] += eps
        down[i] -= eps
        grad[i] = (f(up) - f(down)) / (2 * eps)
    return grad


# --- Categorical


ACTIONS = hnp.arrays(np.int32, 4, elements=st.integers(0, 2))


@fast
@given(arrays(-20, 20), arrays(-20, 20), ACTIONS)
def test_categorical_log_prob_entropy_and_kl_match_scipy(logits, other, action):
    x, y = logits.astype(np.float64), other.astype(np.float64)
    got = measure(Categorical(logits), Categorical(other), action)
    np.testing.assert_allclose(got["log_prob"], special.log_softmax(x, -1)[range(4), action], 1e-5, 1e-5)
    np.testing.assert_allclose(got["entropy"], stats.entropy(special.softmax(x, -1), axis=-1), 1e-5, 1e-5)
    kl = special.rel_entr(special.softmax(x, -1), special.softmax(y, -1)).sum(-1)
    np.testing.assert_allclose(got["kl"], kl, 1e-4, 1e-5)


@fast
@given(arrays(-5, 5), arrays(-100, 100, (4, 1)), ACTIONS)
def test_categorical_depends_only_on_differences_of_logits(logits, shift, action):
    here, there = (measure(Categorical(x), Categorical(logits), action) for x in (logits, logits + shift))
    for name in ("log_prob", "entropy", "kl"):
        np.testing.assert_allclose(here[name], there[name], atol=1e-4)


def test_masked_actions_leave_no_trace():
    """A logit of -1e9 removes an action: from samples, entropy, KL and every gradient, with no NaN."""
    kept = np.array([[0.3, -1.2], [2.0, 0.1], [0.0, 0.0], [-5.0, 5.0]], np.float32)
    other = np.array([[-0.4, 0.2], [1.0, 1.5], [0.0, 9.0], [-5.0, 5.0]], np.float32)

    def masked(x):
        return Categorical(np.insert(x, 1, np.float32(-1e9), axis=-1))

    action = np.array([0, 1, 0, 1])
    wide = measure(masked(kept), masked(other), 2 * action)
    narrow = measure(Categorical(kept), Categorical(other), action)
    for name in ("log_prob", "entropy", "kl"):
        np.testing.assert_allclose(wide[name], narrow[name], rtol=1e-5, atol=1e-6)
    for name in ("d_log_prob", "d_entropy", "d_kl", "d_kl_other"):
        np.testing.assert_allclose(wide[name].logits[:, [0, 2]], narrow[name].logits, rtol=1e-4, atol=1e-5)
        assert np.all(np.asarray(wide[name].logits)[:, 1] == 0)
    forbidden = measure(masked(kept), masked(other), np.ones(4, int))
    assert np.all(np.exp(forbidden["log_prob"]) == 0)
    many = Categorical(jnp.asarray(np.repeat(masked(kept).logits[:, None], 5000, 1)))
    assert not np.any(np.asarray(many.sample(jax.random.key(0))) == 1)


def test_categorical_samples_have_the_softmax_frequencies_M13():
    logits = np.array([[0.0, 1.0, -2.0, 0.5], [3.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], np.float32)
    n = 50_000
    samples = np.asarray(Categorical(jnp.broadcast_to(logits, (n, 3, 4))).sample(jax.random.key(0)))
    for row in range(3):
        counts = np.bincount(samples[:, row], minlength=4)
        expected = n * special.softmax(logits[row].astype(np.float64))
        assert stats.chisquare(counts, expected).pvalue > NEVER
    # Rows of a batch are drawn independently: the joint counts of two rows factorise.
    joint = np.histogram2d(samples[:, 0], samples[:, 2], bins=(4, 4))[0]
    assert stats.chi2_contingency(joint).pvalue > NEVER


def test_categorical_mode_is_the_most_likely_action():
    logits = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    np.testing.assert_array_equal(Categorical(jnp.asarray(logits)).mode(), logits.argmax(-1))


@settings(max_examples=15, deadline=None)
@given(arrays(-3, 3), arrays(-3, 3), ACTIONS)
def test_categorical_gradients_match_finite_differences(logits, other, action):
    """The gradients of log_prob, entropy and KL equal central differences of the float64 formulas."""

    def log_prob(x):
        return special.log_softmax(x, -1)[range(4), action].sum()

    def entropy(x):
        return special.entr(special.softmax(x, -1)).sum()

    def kl(x, y):
        return special.rel_entr(special.softmax(x, -1), special.softmax(y, -1)).sum()

    x, y = logits.astype(np.float64), other.astype(np.float64)
    got = measure(Categorical(logits), Categorical(other), action)
    references = {
        "d_log_prob": numeric_gradient(log_prob, x),
        "d_entropy": numeric_gradient(entropy, x),
        "d_kl": numeric_gradient(lambda x: kl(x, y), x),
        "d_kl_other": numeric_gradient(lambda y: kl(x, y), y),
    }
    for name, expected in references.items():
        np.testing.assert_allclose(got[name].logits, expected, rtol=1e-3, atol=1e-4)


def test_score_function_has_mean_zero_M27():
    """E_a[∇ log π(a)] = 0, by enumeration of the actions."""
    logits = jnp.array([0.5, -1.0, 2.0])
    grads = jax.vmap(jax.grad(lambda x, a: Categorical(x).log_prob(a)), (None, 0))(logits, jnp.arange(3))
    np.testing.assert_allclose(jax.nn.softmax(logits) @ grads, np.zeros(3), atol=1e-6)


# --- Normal


@fast
@given(arrays(-5, 5), arrays(-3, 2), arrays(-10, 10))
def test_normal_log_prob_and_entropy_match_scipy(mean, log_std, action):
    reference = stats.norm(mean.astype(np.float64), np.exp(log_std.astype(np.float64)))
    got = measure(Normal(mean, log_std), Normal(mean, log_std), action)
    np.testing.assert_allclose(got["log_prob"], reference.logpdf(action).sum(-1), 1e-4, 1e-4)
    np.testing.assert_allclose(got["entropy"], reference.entropy().sum(-1), 1e-5, 1e-5)


def test_normal_with_one_log_std_for_all_states_equals_the_broadcast_one():
    rng = np.random.default_rng(0)
    mean, other, action = rng.normal(size=(3, 4, 3)).astype(np.float32)
    log_std = np.array([-1.0, 0.0, 0.5], np.float32)
    wide = np.broadcast_to(log_std, (4, 3))
    shared = measure(Normal(mean, log_std), Normal(other, log_std), action)
    full = measure(Normal(mean, wide), Normal(other, wide), action)
    for name in ("log_prob", "entropy", "kl"):
        assert shared[name].shape == (4,)
        np.testing.assert_allclose(shared[name], full[name], rtol=1e-6)
    assert Normal(jnp.asarray(mean), jnp.asarray(log_std)).sample(jax.random.key(0)).shape == (4, 3)


@settings(max_examples=15, deadline=None)
@given(arrays(-2, 2), arrays(-1, 1), arrays(-2, 2), arrays(-1, 1))
def test_normal_kl_matches_numerical_integration(m1, s1, m2, s2):
    """KL(self || other), in that direction, and summed over dimensions."""
    x = np.linspace(-30, 30, 6001)[:, None, None]
    p, q = (stats.norm(m.astype(np.float64), np.exp(s.astype(np.float64))) for m, s in ((m1, s1), (m2, s2)))
    expected = np.trapezoid(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), x, axis=0).sum(-1)
    got = measure(Normal(m1, s1), Normal(m2, s2), m1)["kl"]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", [Categorical, Normal])
def test_kl_of_a_distribution_with_itself_is_zero_and_flat(family):
    """The value is 0 and so is the gradient: it is the minimum."""
    rng, count = np.random.default_rng(0), 1 if family is Categorical else 2
    x = rng.normal(size=(count, 4, 3)).astype(np.float32)
    action = np.zeros(4, np.int32) if family is Categorical else x[0]
    same = measure(family(*x), family(*x), action)
    np.testing.assert_allclose(same["kl"], np.zeros(4), atol=1e-6)
    for leaf in jax.tree.leaves((same["d_kl"], same["d_kl_other"])):
        np.testing.assert_allclose(leaf, np.zeros((4, 3)), atol=1e-5)
    assert np.all(measure(family(*x), family(*x[..., ::-1]), action)["kl"] > 0)


@settings(max_examples=15, deadline=None)
@given(arrays(-2, 2), arrays(-1, 1), arrays(-3, 3))
def test_normal_log_prob_gradients_match_finite_differences(mean, log_std, action):
    m, s = mean.astype(np.float64), log_std.astype(np.float64)
    got = measure(Normal(mean, log_std), Normal(mean, log_std), action)
    numeric_mean = numeric_gradient(lambda m: stats.norm(m, np.exp(s)).logpdf(action).sum(), m)
    numeric_log_std = numeric_gradient(lambda s: stats.norm(m, np.exp(s)).logpdf(action).sum(), s)
    np.testing.assert_allclose(got["d_log_prob"].mean, numeric_mean, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(got["d_log_prob"].log_std, numeric_log_std, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(got["d_entropy"].log_std, np.ones((4, 3)), rtol=1e-6)


def test_normal_samples_are_gaussian_and_independent():
    mean, log_std, n = np.array([1.0, -2.0, 0.0]), np.array([0.0, -1.0, 1.0]), 50_000
    pi = Normal(jnp.broadcast_to(jnp.asarray(mean, jnp.float32), (n, 3)), jnp.asarray(log_std, jnp.float32))
    z = (np.asarray(pi.sample(jax.random.key(0)), np.float64) - mean) / np.exp(log_std)
    for d in range(3):
        assert stats.kstest(z[:, d], "norm").pvalue > NEVER
        assert abs(np.mean(z[:-1, d] * z[1:, d])) < 6 / np.sqrt(n)  # rows of the batch
        assert abs(np.mean(z[:, d] * z[:, d - 1])) < 6 / np.sqrt(n)  # dimensions


def test_log_prob_of_an_action_outside_the_bounds_is_the_unclipped_one_C11():
    """The environment gets the clipped action; the log-probability stays that of the one drawn."""
    space = Box.of([-2.0, 0.0], [2.0, 1.0], (2,))
    pi, action = Normal(jnp.array([0.9, -0.9]), jnp.array([0.0, 0.5])), jnp.array([3.0, -2.5])
    received = to_env(space, action)
    np.testing.assert_array_equal(received, [2.0, 0.0])
    expected = stats.norm([0.9, -0.9], np.exp([0.0, 0.5])).logpdf([3.0, -2.5]).sum()
    np.testing.assert_allclose(pi.log_prob(action), expected, rtol=1e-5)
    assert abs(float(pi.log_prob(jnp.clip(action, -1, 1))) - expected) > 1


# --- TanhNormal


def tanh_log_density(a, mean, log_std):
    """Change of variables in float64, by the textbook formula."""
    return (stats.norm(mean, np.exp(log_std)).logpdf(np.arctanh(a)) - np.log(1 - a**2)).sum(-1)


@jax.jit
def tanh_measure(mean, log_std, action):
    log_prob = TanhNormal(mean, log_std).log_prob(action)
    grads = jax.grad(lambda m, s: TanhNormal(m, s).log_prob(action).sum(), (0, 1))(mean, log_std)
    return log_prob, grads


@jax.jit
def tanh_draw(mean, log_std, key):
    """A sample, its log-probability, and the gradient of that through the sample."""
    action, log_prob = TanhNormal(mean, log_std).sample_and_log_prob(key)
    grad = jax.grad(lambda m: TanhNormal(m, log_std).sample_and_log_prob(key)[1].sum())(mean)
    return action, log_prob, grad


@fast
@given(arrays(-2, 2), arrays(-2, 1), arrays(np.float32(-0.999), np.float32(0.999)))
def test_tanh_normal_log_prob_is_the_change_of_variables(mean, log_std, action):
    got = tanh_measure(mean, log_std, action)[0]
    expected = tanh_log_density(*(x.astype(np.float64) for x in (action, mean, log_std)))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


def test_tanh_normal_density_integrates_to_one():
    """Over the square, so that a sum over dimensions that is missing or double shows."""
    grid = np.linspace(-1, 1, 1002)[1:-1].astype(np.float32)
    a = jnp.stack(jnp.meshgrid(grid, grid), -1)
    log_p = TanhNormal(jnp.array([0.3, -0.2]), jnp.array([-0.7, -1.0])).log_prob(a)
    total = np.exp(np.asarray(log_p, np.float64)).sum() * (grid[1] - grid[0]) ** 2
    np.testing.assert_allclose(total, 1, atol=1e-3)


def test_tanh_normal_sample_comes_with_its_own_log_prob():
    mean, log_std = np.linspace(-1, 1, 100, dtype=np.float32).reshape(50, 2), -np.ones(2, np.float32)
    action, log_prob, _ = tanh_draw(mean, log_std, jax.random.key(0))
    sample = TanhNormal(jnp.asarray(mean), jnp.asarray(log_std)).sample(jax.random.key(0))
    np.testing.assert_allclose(action, sample, rtol=1e-5, atol=1e-6)
    assert np.all(np.abs(action) < 1)
    expected = tanh_log_density(np.asarray(action, np.float64), mean.astype(np.float64), -np.ones(2))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mean", [-30.0, -10.0, 10.0, 30.0])
def test_tanh_normal_log_prob_is_exact_where_tanh_saturates(mean):
    """There 1 - tanh(u)² is 0 in float32; log(1 - tanh(u)²) = -2 log cosh(u) is not -inf."""
    pi = Normal(np.full((50, 1), mean, np.float32), np.zeros(1, np.float32))
    _, log_prob, grad = tanh_draw(pi.mean, pi.log_std, jax.random.key(0))
    u = np.asarray(pi.sample(jax.random.key(0)), np.float64)  # the same noise
    log_cosh = np.logaddexp(u, -u) - np.log(2)
    expected = (stats.norm(mean, 1).logpdf(u) + 2 * log_cosh).sum(-1)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(grad, 2 * np.tanh(u), rtol=1e-4, atol=1e-4)  # of the log-det
    border = tanh_measure(pi.mean, pi.log_std, np.full((50, 1), np.sign(mean), np.float32))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(border))


def test_tanh_normal_samples_follow_its_distribution_function():
    n, mean, log_std = 50_000, 0.4, -0.3
    a = TanhNormal(jnp.full((n, 1), mean), jnp.full(1, log_std)).sample(jax.random.key(0))
    u = np.arctanh(np.clip(np.asarray(a, np.float64)[:, 0], -1 + 1e-7, 1 - 1e-7))
    assert stats.kstest(u, stats.norm(mean, np.exp(log_std)).cdf).pvalue > NEVER


@settings(max_examples=10, deadline=None)
@given(arrays(-1, 1), arrays(-1, 1), arrays(-0.875, 0.875))
def test_tanh_normal_log_prob_gradients_match_finite_differences(mean, log_std, action):
    a, m, s = (x.astype(np.float64) for x in (action, mean, log_std))
    d_mean, d_log_std = tanh_measure(mean, log_std, action)[1]
    numeric_mean = numeric_gradient(lambda x: tanh_log_density(a, x, s).sum(), mean)
    numeric_log_std = numeric_gradient(lambda x: tanh_log_density(a, m, x).sum(), log_std)
    np.testing.assert_allclose(d_mean, numeric_mean, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(d_log_std, numeric_log_std, rtol=2e-3, atol=2e-3)


@jax.jit
def two_gradients(mean, key):
    """Per sample: d/dμ of f(tanh u), by reparameterisation and by the score function."""

    def f(a):
        return (a**2 + a).sum()

    def pi(m):
        return TanhNormal(m, jnp.zeros(1))

    a = pi(mean).sample(key)
    score = jax.grad(lambda m: pi(m).log_prob(a).sum())(mean) * (a**2 + a)
    return jax.grad(lambda m: f(pi(m).sample(key)))(mean), score


def test_pathwise_and_score_function_gradients_agree_M10():
    """Their means agree within 6 standard errors; the pathwise one varies less."""
    n = 50_000
    path, score = two_gradients(np.full((n, 1), 0.5, np.float32), jax.random.key(0))
    difference = np.asarray(path - score, np.float64)
    assert abs(difference.mean()) < 6 * difference.std() / np.sqrt(n)
    assert np.std(path) < np.std(score)


def test_tanh_normal_mode_and_missing_entropy():
    pi = TanhNormal(jnp.array([0.0, 1.0]), jnp.zeros(2))
    np.testing.assert_allclose(pi.mode(), np.tanh([0.0, 1.0]), rtol=1e-6)
    with pytest.raises(NotImplementedError, match="log_prob"):
        pi.entropy()


# --- MultiBinary


@jax.jit
def coins(logits, action):
    """log_prob, its gradient, the entropy and its gradient."""
    log_prob, entropy = MultiBinary(logits).log_prob(action), MultiBinary(logits).entropy()
    d_log_prob = jax.grad(lambda x: MultiBinary(x).log_prob(action).sum())(logits)
    return log_prob, d_log_prob, entropy, jax.grad(lambda x: MultiBinary(x).entropy().sum())(logits)


@fast
@given(arrays(-10, 10, (8, 3)), hnp.arrays(np.int32, (8, 3), elements=st.integers(0, 1)))
def test_multi_binary_matches_scipy(logits, action):
    x = logits.astype(np.float64)
    coin = stats.bernoulli(special.expit(x))
    log_prob, d_log_prob, entropy, d_entropy = coins(logits, action)
    np.testing.assert_allclose(log_prob, coin.logpmf(action).sum(-1), 1e-4, 1e-4)
    np.testing.assert_allclose(entropy, coin.entropy().sum(-1), 1e-4, 1e-4)
    np.testing.assert_allclose(d_log_prob, action - special.expit(x), 1e-4, 1e-5)
    slope = -x * special.expit(x) * special.expit(-x)  # d H / d logit
    np.testing.assert_allclose(d_entropy, slope, 1e-4, 1e-5)


def test_multi_binary_probabilities_sum_to_one_and_mode_is_the_largest():
    logits = np.array([0.3, -1.5, 4.0], np.float32)
    actions = np.array(list(itertools.product((0, 1), repeat=3)))
    log_probs = np.asarray(coins(np.tile(logits, (8, 1)), actions)[0])
    np.testing.assert_allclose(np.exp(log_probs).sum(), 1, rtol=1e-5)
    np.testing.assert_array_equal(MultiBinary(jnp.asarray(logits)).mode(), actions[log_probs.argmax()])


def test_multi_binary_samples_have_the_sigmoid_frequencies():
    n, logits = 50_000, np.array([0.0, -2.0, 1.0], np.float32)
    p = special.expit(logits.astype(np.float64))
    a = np.asarray(MultiBinary(np.tile(logits, (n, 1))).sample(jax.random.key(0)))
    assert np.all(np.abs(a.mean(0) - p) < 6 * np.sqrt(p * (1 - p) / n))
    assert np.all(np.abs(np.corrcoef(a.T)[np.triu_indices(3, 1)]) < 6 / np.sqrt(n))


def test_tanh_normal_kl_matches_integration_over_its_actions():
    """The integral of p log(p / q) over (-1, 1), of densities that SciPy gives, changed by hand from u to tanh(u)."""
    a = np.tanh(np.linspace(-9, 9, 200_001))
    u = np.arctanh(a)
    (m, s), (n, t) = (0.4, 0.7), (-0.3, 1.1)
    log_p, log_q = (stats.norm.logpdf(u, *x) - np.log(1 - a**2) for x in ((m, s), (n, t)))
    expected = np.trapezoid(np.exp(log_p) * (log_p - log_q), a)
    p, q = (TanhNormal(jnp.array([x]), jnp.log(jnp.array([y]))) for x, y in ((m, s), (n, t)))
    np.testing.assert_allclose(p.kl(q), expected, rtol=1e-4)


def test_multi_binary_is_finite_at_extreme_logits():
    logits = np.tile(np.array([200.0, -200.0, 0.5], np.float32), (8, 1))
    values = coins(logits, np.tile([1, 0, 1], (8, 1)))
    np.testing.assert_allclose(values[0], np.full(8, special.log_expit(0.5)), rtol=1e-5)
    assert all(np.all(np.isfinite(x)) for x in values)


@fast
@given(arrays(-8, 8), arrays(-8, 8))
def test_multi_binary_kl_matches_scipy(logits, other):
    """Two outcomes of each coin, in float64; the coins' divergences add up."""
    x, y = np.float64(logits), np.float64(other)
    kl = sum(special.rel_entr(special.expit(s * x), special.expit(s * y)).sum(-1) for s in (1, -1))
    np.testing.assert_allclose(MultiBinary(logits).kl(MultiBinary(other)), kl, 1e-4, 1e-5)


# --- All


@pytest.mark.parametrize(
    "pi",
    [
        Categorical(jnp.zeros((2, 5, 3))),
        Normal(jnp.zeros((2, 5, 3)), jnp.zeros(3)),
        TanhNormal(jnp.zeros((2, 5, 3)), jnp.zeros(3)),
        MultiBinary(jnp.zeros((2, 5, 3))),
    ],
    ids=lambda pi: type(pi).__name__,
)
def test_distributions_are_pytrees_with_any_leading_axes(pi):
    """log_prob has the leading axes' shape, and a distribution may cross jit."""
    action, log_prob = jax.jit(lambda pi, key: (pi.sample(key), pi.log_prob(pi.mode())))(
        pi, jax.random.key(0)
    )
    assert action.shape[:2] == (2, 5)
    assert action.shape == pi.mode().shape
    assert log_prob.shape == pi.log_prob(action).shape == (2, 5)
