"""Spaces are tested: bounds of any kind, samples inside them, and the one place where actions are clipped.

Statistical tests reject at p < 1e-8, in fewer than 10 comparisons: false alarms below 1e-6.
"""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as stats
from hypothesis import given, settings

from swingup.spaces import Box, Discrete, to_env

fast = settings(max_examples=60, deadline=None)
SHAPE = (4,)


@st.composite
def bounds(draw, infinite=True):
    """Pairs low < high of float32, per entry; some infinite on one side or both."""
    largest = 2.0**100
    one = st.floats(-largest, largest, width=32, allow_subnormal=False)
    if infinite:
        one = one | st.just(np.inf) | st.just(-np.inf)
    pairs = [draw(st.lists(one, min_size=2, max_size=2, unique=True).map(sorted)) for _ in range(SHAPE[0])]
    low, high = np.array(pairs, np.float32).T
    return low, high


numbers = st.floats(-1e6, 1e6, width=32, allow_subnormal=False) | st.floats(
    -1, 1, width=32, allow_subnormal=False
)
actions = hnp.arrays(np.float32, SHAPE, elements=numbers)


@fast
@given(bounds(), st.integers(0, 2**31 - 1))
def test_samples_lie_within_the_bounds(pair, seed):
    space = Box.of(*pair, SHAPE)
    x = np.asarray(space.sample(jax.random.key(seed)))
    assert x.shape == SHAPE
    assert x.dtype == np.float32
    assert np.all(np.isfinite(x))
    assert np.all((pair[0] <= x) & (x <= pair[1]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_at_the_largest_float_give_finite_samples_and_actions(dtype):
    """high - low overflows there. gymnax writes ±3.4e38 for "no bound" (CartPole's velocities), others 1.8e308."""
    largest = float(np.finfo(dtype).max)
    space = Box.of(-largest, largest, SHAPE)
    assert np.all(np.isfinite(space.sample(jax.random.key(0))))
    assert np.all(np.isfinite(to_env(space, jnp.array([-2.0, -0.5, 0.0, 1.0]))))


def test_samples_are_uniform_where_bounded_and_normal_where_not():
    space = Box.of([-3.0, -np.inf, 0.0], [5.0, np.inf, 1.0], (3,))
    x = np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 20_000)), np.float64)
    for column, law in enumerate((stats.uniform(-3, 8), stats.norm(), stats.uniform(0, 1))):
        assert stats.kstest(x[:, column], law.cdf).pvalue > 1e-8
    assert stats.pearsonr(x[:, 0], x[:, 2]).pvalue > 1e-8


def test_integer_boxes_sample_integers_within_the_bounds():
    space = Box.of(0, 255, (2, 3), "uint8")
    x = np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 2000)))
    assert x.dtype == np.uint8
    assert x.shape == (2000, 2, 3)
    assert x.min() < 5
    assert x.max() > 249


def test_discrete_samples_every_integer_equally_often():
    x = np.asarray(jax.vmap(Discrete(7).sample)(jax.random.split(jax.random.key(0), 20_000)))
    assert Discrete(7).shape == x.shape[1:] == ()
    assert stats.chisquare(np.bincount(x, minlength=7)).pvalue > 1e-8


@fast
@given(bounds(), actions)
def test_to_env_never_leaves_the_bounds(pair, action):
    """For any action, and for infinite ones: every policy may be sent to every environment."""
    space = Box.of(*pair, SHAPE)
    for a in (action, np.full(SHAPE, np.inf, np.float32), np.full(SHAPE, -np.inf, np.float32)):
        x = np.asarray(to_env(space, jnp.asarray(a)))
        assert x.dtype == np.float32
        assert np.all((pair[0] <= x) & (x <= pair[1]))


@fast
@given(bounds(infinite=False), actions)
def test_to_env_is_affine_in_each_dimensions_own_bounds_C13(pair, action):
    """[-1, 1] spans low to high per dimension, symmetric or not; what is outside goes to the nearer bound."""
    low, high = (b.astype(np.float64) for b in pair)
    space = Box.of(*pair, SHAPE)
    expected = low + (np.clip(action, -1, 1).astype(np.float64) + 1) / 2 * (high - low)
    scale = np.maximum(np.abs(low), np.abs(high)) + 1e-30
    np.testing.assert_allclose(to_env(space, jnp.asarray(action)) / scale, expected / scale, atol=1e-6)
    for end, bound in ((-1.0, low), (1.0, high)):
        np.testing.assert_allclose(to_env(space, jnp.full(SHAPE, end)) / scale, bound / scale, atol=1e-6)


@fast
@given(bounds(), actions)
def test_to_env_passes_unbounded_dimensions_in_their_own_units(pair, action):
    """A dimension with one finite bound is only clipped to it, one with none is untouched."""
    x = np.asarray(to_env(Box.of(*pair, SHAPE), jnp.asarray(action)))
    free = ~(np.isfinite(pair[0]) & np.isfinite(pair[1]))
    np.testing.assert_array_equal(x[free], np.clip(action, *pair)[free])


def test_to_env_takes_leading_axes_and_leaves_integers_alone():
    space = Box.of([-2.0, 0.0], [2.0, 1.0], (2,))
    batch = jax.random.normal(jax.random.key(0), (5, 3, 2))
    together = to_env(space, batch)
    assert together.shape == (5, 3, 2)
    np.testing.assert_array_equal(together[4, 1], to_env(space, batch[4, 1]))
    integers = jnp.array([[0, 2], [1, 1]])
    np.testing.assert_array_equal(to_env(Discrete(3), integers), integers)


def test_bounds_of_one_dimension_do_not_stand_for_another_C13():
    """Pendulum's ±2 and an asymmetric [1, 4] in one space."""
    space = Box.of([-2.0, 1.0], [2.0, 4.0], (2,))
    np.testing.assert_allclose(to_env(space, jnp.array([0.25, 0.0])), [0.5, 2.5])
    np.testing.assert_allclose(to_env(space, jnp.array([-9.0, 9.0])), [-2.0, 4.0])


@fast
@given(bounds())
def test_equal_boxes_have_equal_hashes_and_keep_their_bounds(pair):
    """So that a space may be a static argument of compiled code, however it was written down."""
    a, b = Box.of(*pair, SHAPE), Box.of(list(map(float, pair[0])), tuple(map(float, pair[1])), list(SHAPE))
    assert a == b
    assert hash(a) == hash(b)
    np.testing.assert_array_equal(a.bounds, pair)
    assert a.bounds[0].dtype == np.float32
    other = pair[0].copy()
    other[-1] = np.nextafter(other[-1], -np.inf, dtype=np.float32) if np.isfinite(other[-1]) else -1e35
    assert a != Box.of(other, pair[1], SHAPE)


def test_a_float_bound_equals_the_array_that_repeats_it():
    assert Box.of(-1.0, 1.0, (2, 2)) == Box.of(-np.ones((2, 2)), np.ones((2, 2)), (2, 2))
    assert Box.of(-1.0, 1.0, (2,)) != Box.of(-1.0, 1.0, (3,))
    assert Box.of(0, 1, (2,), "uint8") != Box.of(0, 1, (2,), np.float32)
    assert Box.of(0, 1, (2,), jnp.float32) == Box.of(0, 1, (2,), "float32")
    assert Discrete(3) == Discrete(3) != Discrete(4)
    assert hash(Discrete(3)) == hash(Discrete(3))


def test_spaces_are_static_arguments_of_compiled_code():
    traced = []

    def f(space, x):
        traced.append(space)
        return to_env(space, x)

    compiled = jax.jit(f, static_argnums=0)
    for _ in range(2):
        compiled(Box.of(np.zeros(2), np.ones(2), (2,)), jnp.zeros(2))
    assert len(traced) == 1  # an equal space built anew does not compile again


@pytest.mark.parametrize(
    "low, high, shape",
    [
        (1.0, -1.0, (2,)),
        ([0.0, 2.0], [1.0, 1.0], (2,)),
        (np.nan, 1.0, (2,)),
        (0.0, [1.0, np.nan], (2,)),
        (np.inf, np.inf, (1,)),
        ([0.0, 0.0, 0.0], 1.0, (2,)),
    ],
)
def test_bad_bounds_are_refused(low, high, shape):
    with pytest.raises(ValueError):
        Box.of(low, high, shape)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "int64"])
@pytest.mark.parametrize("low, high", [(0, 1), (0, 4), (-2, 2), (3, 9), (0, 100)])
def test_every_integer_of_a_box_has_an_equal_share_of_the_policys_range(low, high, dtype):
    """On an even grid over [-1, 1] each value of the box is met as often; beyond it the bounds are."""
    if dtype.startswith("u") and low < 0:
        low, high = 0, high - low
    space, count = Box.of(low, high, (1,), dtype if dtype != "int64" else "int32"), high - low + 1
    grid = ((np.arange(200 * count) + 0.5) / (100 * count) - 1).astype(np.float32)
    got = np.asarray(to_env(space, jnp.asarray(grid)[:, None]))[:, 0]
    values, times = np.unique(got, return_counts=True)
    assert values.tolist() == list(range(low, high + 1))
    assert times.tolist() == [200] * count
    assert np.all(np.diff(got.astype(int)) >= 0)
    ends = np.asarray(to_env(space, jnp.array([[-np.inf], [-1.0], [1.0], [7.0]])))[:, 0]
    assert ends.tolist() == [low, low, high, high]


def test_samples_of_an_integer_box_are_equally_likely():
    space = Box.of([0, -2], [1, 2], (2,), "int32")
    x = np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 20_000)))
    for column, low, count in ((x[:, 0], 0, 2), (x[:, 1], -2, 5)):
        assert stats.chisquare(np.bincount(column - low, minlength=count)).pvalue > 1e-8


def test_far_and_infinite_bounds_of_integers_are_kept():
    """float32 has no 2^24 + 1: the bound is added in integers."""
    far = Box.of(2**24 + 1, 2**24 + 3, (1,), "int32")
    assert [int(to_env(far, jnp.array([a]))[0]) - 2**24 for a in (-1.0, 0.0, 1.0)] == [1, 2, 3]
    free = Box.of([-np.inf, -3], [np.inf, np.inf], (2,), "int32")
    assert to_env(free, jnp.array([-7.6, -7.6])).tolist() == [-8, -3]
    assert to_env(free, jnp.array([np.inf, 1e30]))[0] > 2**30
    switch = Box.of(0, 1, (1,), "bool")
    assert [bool(to_env(switch, jnp.array([a]))[0]) for a in (-0.01, 0.01)] == [False, True]


def test_equal_bounds_are_a_constant():
    space = Box.of([-1.0, 0.5], [1.0, 0.5], (2,))
    for action in (-1.0, 0.3, 9.0):
        assert to_env(space, jnp.full(2, action))[1] == np.float32(0.5)
    assert (
        np.asarray(jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 9)))[:, 1].tolist() == [0.5] * 9
    )
    whole = Box.of([0, 3], [1, 3], (2,), "int32")
    assert [to_env(whole, jnp.full(2, a)).tolist() for a in (-1.0, 1.0)] == [[0, 3], [1, 3]]


@pytest.mark.parametrize(
    "low, high, shape, says",
    [
        ([1, 0], [0, 1], (2,), "Box needs low <= high in every entry; got low"),
        (np.nan, 1, (2,), "Box needs low <= high"),
        (0, 1, (0,), r"shape \(0,\) has no entries"),
        (0, 1, (3, 0), "has no entries"),
    ],
)
def test_impossible_boxes_are_refused(low, high, shape, says):
    with pytest.raises(ValueError, match=says):
        Box.of(low, high, shape)
