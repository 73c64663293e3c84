"""Returns and advantages against loops in float64, at every pattern of episode ends, and their identities."""

import itertools
import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from swingup.returns import discounted, explained_variance, gae

T, N = 6, 3
fast = settings(max_examples=60, deadline=None)
jit_gae, jit_discounted = jax.jit(gae), jax.jit(discounted)


def numbers(*shape):
    return hnp.arrays(np.float32, shape, elements=st.floats(-100, 100, width=32))


flags = hnp.arrays(bool, (T, N))
cuts = st.sampled_from([2, 3, 4])  # few, because each part's length compiles anew
rate = st.floats(0, 1, width=32)


def slow_gae(reward, value, next_value, terminated, done, gamma, lam):
    """The definition, one number at a time: a sum over the rest of the episode of (γλ)^k δ_{t+k}."""
    reward, value, next_value = (np.asarray(x, np.float64) for x in (reward, value, next_value))
    steps, envs = reward.shape
    adv = np.zeros((steps, envs))
    for n in range(envs):
        for t in range(steps):
            weight = 1.0
            for k in range(t, steps):
                bootstrap = 0.0 if terminated[k, n] else next_value[k, n]
                adv[t, n] += weight * (reward[k, n] + gamma * bootstrap - value[k, n])
                if done[k, n]:
                    break
                weight *= gamma * lam
    return adv


def slow_discounted(reward, done, gamma, last):
    reward = np.asarray(reward, np.float64)
    steps, envs = reward.shape
    result = np.zeros((steps, envs))
    for n in range(envs):
        for t in range(steps):
            for k in range(t, steps):
                result[t, n] += gamma ** (k - t) * reward[k, n]
                if done[k, n]:
                    break
            else:
                result[t, n] += gamma ** (steps - t) * last[n]
    return result


@fast
@given(numbers(T, N), numbers(T, N), numbers(T, N), flags, flags, rate, rate)
def test_gae_matches_a_slow_loop(reward, value, next_value, terminated, truncated, gamma, lam):
    """Any rewards and values, terminations and truncations anywhere, M35."""
    done = terminated | truncated
    got = jit_gae(reward, value, next_value, terminated, done, gamma, lam)
    expected = slow_gae(reward, value, next_value, terminated, done, gamma, lam)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


@fast
@given(numbers(T, N), flags, rate, numbers(N))
def test_discounted_matches_a_slow_loop(reward, done, gamma, last):
    """Both rewards-to-go of M16."""
    got = jit_discounted(reward, done, gamma, last)
    np.testing.assert_allclose(got, slow_discounted(reward, done, gamma, last), rtol=1e-4, atol=1e-3)


def all_patterns():
    """Every way in which 4 env steps can go on, terminate or be truncated: 81 columns."""
    kinds = np.array(list(itertools.product(range(3), repeat=4))).T
    rng = np.random.default_rng(0)
    reward, value, next_value = rng.uniform(1, 2, size=(3, 4, 81)).astype(np.float32)
    return kinds, reward, value, next_value


def test_gae_at_every_pattern_of_episode_ends():
    kinds, reward, value, next_value = all_patterns()
    args = reward, value, next_value, kinds == 1, kinds > 0, 0.9, 0.8
    np.testing.assert_allclose(jit_gae(*args), slow_gae(*args), rtol=1e-5, atol=1e-5)
    last = next_value[-1]
    np.testing.assert_allclose(
        jit_discounted(reward, kinds > 0, 0.9, last),
        slow_discounted(reward, kinds > 0, 0.9, last),
        rtol=1e-5,
        atol=1e-5,
    )


# --- C1: what is bootstrapped where an episode ends


def wrong_bootstrap(which):
    """`gae` with the bootstrap masked by the wrong flag (the trace is still cut by `done`)."""

    def wrong(reward, value, next_value, terminated, done, gamma, lam):
        mask = {"done": done, "nothing": np.zeros_like(done)}[which]
        return slow_gae(reward, value, next_value, mask, done, gamma, lam)

    return wrong


def check_terminal_is_not_bootstrapped(estimator):
    """A one-step MDP whose successor is terminal: whatever V says of it, its value is 0."""
    one, yes = np.ones((1, 1), np.float32), np.ones((1, 1), bool)
    adv = estimator(one, 0.25 * one, 1000 * one, yes, yes, 0.9, 0.95)
    np.testing.assert_allclose(adv, [[1 - 0.25]], rtol=1e-6)


def check_time_limit_is_bootstrapped(estimator):
    """The same MDP cut by a time limit: the value of the true successor counts."""
    one, yes = np.ones((1, 1), np.float32), np.ones((1, 1), bool)
    adv = estimator(one, 0.25 * one, 10 * one, ~yes, yes, 0.9, 0.95)
    np.testing.assert_allclose(adv, [[1 + 0.9 * 10 - 0.25]], rtol=1e-6)


def check_end_of_the_data_is_bootstrapped(estimator):
    """A rollout that ends in the middle of an episode: likewise."""
    one, no = np.ones((1, 1), np.float32), np.zeros((1, 1), bool)
    np.testing.assert_allclose(estimator(one, one, 10 * one, no, no, 0.9, 0.95), [[9.0]], rtol=1e-6)


def test_terminal_value_is_not_bootstrapped_and_a_time_limits_is_C1():
    """And C2. The same checks refuse an estimator that masks by `done`, and one that does not mask."""
    for check in (
        check_terminal_is_not_bootstrapped,
        check_time_limit_is_bootstrapped,
        check_end_of_the_data_is_bootstrapped,
    ):
        check(gae)
    with pytest.raises(AssertionError):
        check_time_limit_is_bootstrapped(wrong_bootstrap("done"))
    with pytest.raises(AssertionError):
        check_terminal_is_not_bootstrapped(wrong_bootstrap("nothing"))


def test_all_patterns_distinguish_the_wrong_bootstraps_C1():
    """The exhaustive comparison above would fail for either mistake, in exactly the affected columns."""
    kinds, *data = all_patterns()
    args = *data, kinds == 1, kinds > 0, 0.9, 0.8
    right = np.asarray(jit_gae(*args))
    for which, kind in (("done", 2), ("nothing", 1)):
        differs = np.any(np.abs(wrong_bootstrap(which)(*args) - right) > 1e-3, axis=0)
        np.testing.assert_array_equal(differs, np.any(kinds == kind, axis=0))


def test_nothing_leaks_between_episodes():
    """Advantages before an end do not change with what comes after it; nor does a terminal's V, even NaN."""
    kinds, reward, value, next_value = all_patterns()
    args = kinds == 1, kinds > 0, 0.9, 0.8
    before = np.asarray(jit_gae(reward, value, next_value, *args))
    for t in range(3):
        changed = [x.copy() for x in (reward, value, next_value)]
        for x, shift in zip(changed, (7, -1, 3), strict=True):
            x[t + 1 :] += shift
        after = np.asarray(jit_gae(*changed, *args))
        ended = kinds[t] > 0
        np.testing.assert_array_equal(after[: t + 1, ended], before[: t + 1, ended])
        assert np.all(after[t, ~ended] != before[t, ~ended])
    poisoned = np.where(kinds == 1, np.nan, next_value)
    np.testing.assert_array_equal(jit_gae(reward, value, poisoned, *args), before)


# --- Identities


@fast
@given(numbers(T, N), numbers(T, N), numbers(T, N), flags, flags, rate)
def test_gae_with_lambda_0_is_the_td_error(reward, value, next_value, terminated, truncated, gamma):
    got = jit_gae(reward, value, next_value, terminated, terminated | truncated, gamma, 0.0)
    td = reward + gamma * np.where(terminated, 0, next_value.astype(np.float64)) - value
    np.testing.assert_allclose(got, td, rtol=1e-5, atol=1e-4)


@fast
@given(numbers(T, N), numbers(T, N), numbers(T, N), flags, flags, rate)
def test_gae_with_lambda_1_is_the_return_minus_the_value(
    reward, value, next_value, terminated, truncated, gamma
):
    """Where V(s'_t) is V(s_{t+1}) within episodes; a cut episode's return includes its bootstrap."""
    truncated &= ~terminated
    done = terminated | truncated
    next_value[:-1] = np.where(done[:-1], next_value[:-1], value[1:])
    advantage = jit_gae(reward, value, next_value, terminated, done, gamma, 1.0)
    paid = (reward + gamma * np.where(truncated, next_value, 0)).astype(np.float32)
    returns = jit_discounted(paid, done, gamma, next_value[-1])
    np.testing.assert_allclose(advantage, returns - value, rtol=1e-4, atol=2e-3)


@fast
@given(numbers(T, N), flags, rate, numbers(N), cuts)
def test_discounted_does_not_change_when_the_data_are_split(reward, done, gamma, last, cut):
    """The first part's `last` is the second part's first return."""
    whole = jit_discounted(reward, done, gamma, last)
    later = jit_discounted(reward[cut:], done[cut:], gamma, last)
    earlier = jit_discounted(reward[:cut], done[:cut], gamma, later[0])
    np.testing.assert_allclose(np.concatenate([earlier, later]), whole, rtol=1e-5, atol=1e-4)


@fast
@given(numbers(T, N), numbers(T, N), numbers(T, N), flags, flags, rate, rate, cuts)
def test_gae_does_not_change_when_split_between_episodes(
    reward, value, next_value, terminated, truncated, gamma, lam, cut
):
    truncated[cut - 1] = True  # every column's episode ends before the cut
    data = reward, value, next_value, terminated, terminated | truncated
    whole = jit_gae(*data, gamma, lam)
    parts = [jit_gae(*(x[part] for x in data), gamma, lam) for part in (slice(0, cut), slice(cut, T))]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-5, atol=1e-4)


def test_geometric_series_limit_M16():
    """Reward 1 for ever is worth 1 / (1 - γ), with or without a bootstrap at the end."""
    reward, none = jnp.ones((300, 1)), jnp.zeros((300, 1), bool)
    for last in (0.0, 10.0):
        got = discounted(reward, none, 0.9, jnp.array([last]))
        np.testing.assert_allclose(got[0], [10.0], rtol=1e-5)


def test_the_exact_value_has_no_advantage_M19():
    """With V exact in a deterministic chain, every advantage is 0, for any λ."""
    value = jnp.array([[0.9**3], [0.9**2], [0.9], [1.0]])
    reward = jnp.array([[0.0], [0.0], [0.0], [1.0]])
    next_value = jnp.concatenate([value[1:], jnp.full((1, 1), 123.0)])
    end = jnp.array([[False], [False], [False], [True]])
    for lam in (0.0, 0.5, 1.0):
        np.testing.assert_allclose(
            gae(reward, value, next_value, end, end, 0.9, lam), np.zeros((4, 1)), atol=1e-6
        )


def test_gamma_and_lambda_may_differ_between_seeds():
    """A batch of settings is a vmap: the rates may be traced."""
    kinds, *data = all_patterns()
    args = *data, kinds == 1, kinds > 0
    rates = jnp.array([0.0, 0.5, 1.0]), jnp.array([1.0, 0.3, 0.0])
    together = jax.jit(jax.vmap(lambda g, lam: gae(*args, g, lam)))(*rates)
    for i, (g, lam) in enumerate(zip(*rates, strict=True)):
        np.testing.assert_allclose(together[i], jit_gae(*args, g, lam), rtol=1e-6, atol=1e-6)


# --- Explained variance


def test_explained_variance_of_known_cases():
    y = jnp.array([1.0, 2.0, 4.0, -3.0])
    for prediction, expected in ((y, 1.0), (y + 5, 1.0), (0 * y, 0.0), (0.5 * y, 0.75), (-y, -3.0)):
        np.testing.assert_allclose(explained_variance(prediction, y), expected, atol=1e-6)


@fast
@given(numbers(8), numbers(8))
def test_explained_variance_matches_numpy_and_is_never_nan(prediction, target):
    got = float(explained_variance(prediction, target))
    assert math.isfinite(got)
    assert got <= 1.0
    variance = np.var(target.astype(np.float64))
    if variance > 1e-3:
        expected = 1 - np.var(target.astype(np.float64) - prediction) / variance
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [1, 5])
def test_explained_variance_of_a_constant_target_is_zero(size):
    """Such as a probe's first rollout: no division by zero, whether the prediction is right or not."""
    target = jnp.full(size, 3.0)
    for prediction in (target, target + jnp.arange(size)):
        assert float(explained_variance(prediction, target)) == 0.0
