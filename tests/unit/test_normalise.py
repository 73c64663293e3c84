"""Running statistics equal NumPy's over all the data at once, and reward scaling equals a loop's."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from swingup.normalise import COUNT_LIMIT, Moments, RewardScale, moments, reward_scale

merge, merge_rewards, normalise, scale_rewards = (
    Moments.merge,
    RewardScale.merge,
    Moments.normalise,
    RewardScale.scale,
)

fast = settings(max_examples=40, deadline=None)
jit_merge, jit_merge_rewards = jax.jit(merge), jax.jit(merge_rewards)
T, N = 6, 3


@fast
@given(
    st.lists(st.sampled_from([1, 2, 7]), min_size=1, max_size=12),
    st.floats(-1000, 1000),
    st.floats(0.1, 100),
    st.integers(0, 2**32 - 1),
)
def test_merge_equals_numpy_over_all_data_however_they_are_split(sizes, mean, std, seed):
    data = (mean + std * np.random.default_rng(seed).normal(size=(sum(sizes), 3))).astype(np.float32)
    m, start = moments((3,)), 0
    for size in sizes:
        m, start = jit_merge(m, data[start : start + size]), start + size
    exact = data.astype(np.float64)
    scale = np.abs(data).max() + 1e-6  # float32 holds 7 digits of the largest number
    assert int(m.count) == len(data)
    np.testing.assert_allclose(m.mean, exact.mean(0), atol=1e-5 * scale)
    np.testing.assert_allclose(
        m.var, exact.var(0), rtol=1e-3, atol=1e-5 * scale * np.sqrt(exact.var(0).max())
    )


def test_merge_takes_any_leading_axes():
    """A rollout [T, N, *shape] counts as T N samples, for scalars, vectors and images."""
    rng = np.random.default_rng(0)
    for shape in ((), (3,), (2, 2, 1)):
        data = rng.normal(3, 2, size=(5, 4, *shape)).astype(np.float32)
        m = merge(merge(moments(shape), data[:2]), data[2:])
        assert int(m.count) == 20
        np.testing.assert_allclose(m.mean, data.mean((0, 1)), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(m.var, data.var((0, 1)), rtol=1e-4, atol=1e-5)


def test_the_first_batch_replaces_the_prior():
    """The mean 0 and variance 1 of no samples yet do not count as a sample."""
    m = merge(moments(()), jnp.array([100.0, 102.0]))
    assert (int(m.count), float(m.mean), float(m.var)) == (2, 101.0, 1.0)


def test_count_goes_on_beyond_the_integers_of_float32():
    """2^24 + 1 is not a float32: a float count would stop there, an integer one does not."""
    m = Moments(jnp.int32(2**24), jnp.float32(0.0), jnp.float32(1.0))
    for i in range(3):
        assert int(m.count) == 2**24 + i
        m = merge(m, jnp.zeros(1))


def test_count_saturates_rather_than_overflows():
    """From then on the mean is an exponential one: later samples keep counting, with a fixed weight."""
    m = Moments(jnp.int32(COUNT_LIMIT - 5), jnp.float32(1.0), jnp.float32(1.0))
    for _ in range(3):
        m = jit_merge(m, jnp.ones(10))
        assert int(m.count) == COUNT_LIMIT
    n = 2**20
    weight = n / (COUNT_LIMIT + n)
    for _ in range(2):
        before, m = m, jit_merge(m, jnp.full(n, 3.0))
        assert int(m.count) == COUNT_LIMIT
        np.testing.assert_allclose(m.mean - before.mean, weight * (3 - before.mean), rtol=1e-3)
        assert 0.99 < float(m.var) < 1.01


def test_normalise_is_the_formula_and_clips():
    m = Moments(jnp.int32(10), jnp.array([1.0, -2.0]), jnp.array([4.0, 0.25]))
    x = jnp.array([[2.0, -2.0], [1000.0, -1000.0], [1.0, -1.5]])
    np.testing.assert_allclose(normalise(m, x), [[0.5, 0.0], [10.0, -10.0], [0.0, 1.0]], atol=1e-6)
    np.testing.assert_allclose(normalise(m, x, limit=0.75)[:2], [[0.5, 0.0], [0.75, -0.75]], atol=1e-6)


def test_normalise_without_samples_changes_nothing():
    x = jnp.array([0.0, 1.0, -3.0])
    np.testing.assert_allclose(normalise(moments((3,)), x), x, rtol=1e-6)


def test_normalise_of_a_constant_entry_is_zero_not_nan():
    """Such as an unused sensor: its variance is 0."""
    m = merge(moments((2,)), jnp.array([[5.0, 0.0], [5.0, 1.0]]))
    np.testing.assert_allclose(normalise(m, jnp.array([5.0, 0.5])), [0.0, 0.0], atol=1e-6)
    assert np.all(np.isfinite(normalise(m, jnp.array([6.0, 0.5]))))


def test_normalised_data_have_mean_0_and_variance_1_M8():
    data = np.random.default_rng(0).gamma(2, 3, size=(500, 4)).astype(np.float32)
    x = np.asarray(normalise(merge(moments((4,)), data), data))
    np.testing.assert_allclose(x.mean(0), np.zeros(4), atol=1e-4)
    np.testing.assert_allclose(x.std(0), np.ones(4), atol=1e-3)


# --- Rewards

rewards = hnp.arrays(np.float32, (3, T, N), elements=st.floats(-10, 10, width=32))


@fast
@given(rewards, hnp.arrays(bool, (3, T, N)), st.floats(0, 1, width=32))
def test_reward_scale_matches_a_slow_loop_over_three_rollouts(reward, done, gamma):
    """The discounted return so far restarts after each end, and goes on from one rollout to the next."""
    scale, running, seen = reward_scale(N), np.zeros(N), []
    for part in range(3):
        scale = jit_merge_rewards(scale, reward[part], done[part], gamma)
        for t in range(T):
            for n in range(N):
                running[n] = reward[part, t, n] + gamma * running[n]
                seen.append(running[n])
                running[n] = 0.0 if done[part, t, n] else running[n]
        np.testing.assert_allclose(scale.running, running, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(scale.moments.mean, np.mean(seen), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(scale.moments.var, np.var(seen), rtol=1e-3, atol=1e-3)
        expected = np.clip(reward[part] / np.sqrt(np.var(seen) + 1e-8), -10, 10)
        if np.var(seen) > 1e-2:
            np.testing.assert_allclose(scale_rewards(scale, reward[part]), expected, rtol=1e-2, atol=1e-3)


def test_scaled_rewards_keep_their_sign_and_are_clipped():
    """No mean is subtracted: a positive reward stays one."""
    reward = jnp.array([[1.0], [2.0], [3.0], [2.0]])
    scale = merge_rewards(reward_scale(1), reward, jnp.zeros((4, 1), bool), 0.0)
    np.testing.assert_allclose(scale_rewards(scale, reward), reward / np.std([1, 2, 3, 2]), rtol=1e-5)
    np.testing.assert_array_equal(scale_rewards(scale, jnp.array([1e6, -1e6])), [10.0, -10.0])
    np.testing.assert_array_equal(scale_rewards(scale, jnp.array([1e6, -1e6]), limit=5.0), [5.0, -5.0])


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_the_unit_of_the_reward_does_not_matter(factor):
    """The reward-scale probe in small: x1000 gives the same scaled rewards."""
    rng = np.random.default_rng(0)
    reward, done = jnp.asarray(rng.normal(size=(T, N)), jnp.float32), jnp.asarray(rng.random((T, N)) < 0.3)
    a = scale_rewards(jit_merge_rewards(reward_scale(N), reward, done, 0.9), reward)
    b = scale_rewards(jit_merge_rewards(reward_scale(N), factor * reward, done, 0.9), factor * reward)
    np.testing.assert_allclose(a, b, rtol=1e-2)


def test_rewards_are_left_alone_before_the_first_rollout():
    reward = jnp.array([[0.5], [-2.0]])
    np.testing.assert_allclose(scale_rewards(reward_scale(1), reward), reward, rtol=1e-6)


def test_constant_rewards_give_no_nan():
    scale = merge_rewards(reward_scale(1), jnp.zeros((4, 1)), jnp.ones((4, 1), bool), 0.99)
    assert np.all(np.isfinite(scale_rewards(scale, jnp.array([0.0, 1.0]))))
