"""Tests follow a rollout: collecting, cutting in minibatches, the ring of recent returns, and evaluation.

Statistical tests compare with 6 standard errors, in at most 100 places: false alarms below 1e-6.
"""

import math
from collections import deque
from functools import partial

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as stats
from hypothesis import given, settings

from swingup.distributions import Normal
from swingup.envs import Hosted, Vec
from swingup.episodes import evaluate, host_while
from swingup.rollout import (
    RECENT,
    collect,
    episode_stats,
    host_scan,
    minibatches,
    nonfinite,
    permutation,
    record,
    start,
    successor_values,
    wander,
)
from swingup.spaces import Box, Discrete
from swingup.types import Actor, Choice, Recent, Rollout, Step, Transition

fast = settings(max_examples=30, deadline=None)


class Marathon:
    """Reward 1 per env step; the episode lasts as many as were drawn at its start, one of `lengths`."""

    name = "Marathon"
    observation_space = Box.of(0.0, 100.0, (2,))
    action_space = Discrete(3)

    def __init__(self, *lengths):
        self.lengths = jnp.asarray(lengths, jnp.int32)

    def reset(self, key):
        state = jnp.int32(0), jax.random.choice(key, self.lengths)
        return state, jnp.stack(state).astype(jnp.float32)

    def step(self, state, action, key):
        state = state[0] + 1, state[1]
        over = state[0] >= state[1]
        obs = jnp.stack(state).astype(jnp.float32)
        return state, Transition(obs, jnp.float32(1.0), over, jnp.bool_(False))


def idle(seen, noise):
    return Choice(jnp.zeros(seen.obs.shape[0], jnp.int32))


def rollout_of(done, ep_return):
    """A rollout [T, N] of which only the episodes' ends matter: deaths, and in every other environment time limits."""
    limit = done & (np.arange(done.shape[1]) % 2 == 1)
    ends = done & ~limit, limit
    step = Step(ep_return, ep_return, ep_return, *ends, ep_return, np.ones(done.shape, np.int32))
    return Rollout(ep_return, np.zeros_like(done), (), step)


# --- Minibatches


def cut(data, count, key):
    """The minibatches of one epoch, [count, T N / count, ...]."""
    samples, look_up = minibatches(jax.tree.map(jnp.asarray, data), count, key[None])
    return jax.vmap(look_up)(samples)


def test_each_epoch_has_an_order_of_its_own_and_its_minibatches_follow_each_other():
    data, keys = jnp.arange(24).reshape(6, 4), jax.random.split(jax.random.key(0), 5)
    samples, look_up = minibatches(data, 3, keys)
    assert samples.shape == (15, 8)
    every = np.asarray(jax.vmap(look_up)(samples)).reshape(5, 3, 8)
    for epoch, key in zip(every, keys, strict=True):
        np.testing.assert_array_equal(epoch, cut(data, 3, key))
    assert len({epoch.tobytes() for epoch in every}) == 5


@fast
@given(st.integers(0, 2**31 - 1), st.sampled_from([1, 3, 8, 24]))
def test_minibatches_hold_each_sample_once_and_keep_rows_paired(seed, count):
    number = np.arange(24).reshape(6, 4)
    data = {"number": number, "double": 2.0 * number, "row": np.stack([number, -number], -1)}
    parts = jax.tree.map(np.asarray, cut(data, count, jax.random.key(seed)))
    assert parts["number"].shape == (count, 24 // count)
    assert parts["row"].shape == (count, 24 // count, 2)
    np.testing.assert_array_equal(np.sort(parts["number"].ravel()), np.arange(24))
    np.testing.assert_array_equal(parts["double"], 2.0 * parts["number"])
    np.testing.assert_array_equal(parts["row"], np.stack([parts["number"], -parts["number"]], -1))


def test_minibatches_are_shuffled_over_time_and_environments():
    """Each sample comes first equally often, and is put in each of 3 parts equally often."""
    every = jax.jit(jax.vmap(lambda key: cut(jnp.arange(12).reshape(4, 3), 3, key)))
    parts = np.asarray(every(jax.random.split(jax.random.key(0), 6000)))
    assert stats.chisquare(np.bincount(parts[:, 0, 0], minlength=12)).pvalue > 1e-8
    part_of_5 = np.argwhere(parts == 5)[:, 1]
    assert stats.chisquare(np.bincount(part_of_5, minlength=3)).pvalue > 1e-8


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 1000, 2**16 - 1, 2**16, 2**16 + 1])
def test_permutation_holds_every_index_once(n):
    """Also where the index fills half of the sorted words, and above that."""
    order = np.asarray(permutation(jax.random.key(0), n))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_all_permutations_are_equally_likely():
    keys = jax.random.split(jax.random.key(0), 48_000)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: permutation(key, 4)))(keys))
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-8


# --- The ring of recent returns


def contents(recent):
    """The ring as a list, oldest first."""
    count = int(recent.count)
    return [float(recent.returns[i % RECENT]) for i in range(max(0, count - RECENT), count)]


@fast
@given(st.lists(hnp.arrays(bool, (5, 3)), min_size=1, max_size=30), st.integers(0, 1000))
def test_recent_returns_match_a_deque(dones, offset):
    """Rollout after rollout, in order of time, and from any filling of the ring."""
    recent, expected, number = Recent(jnp.zeros(RECENT), jnp.int32(0)), deque(maxlen=RECENT), offset
    for done in dones:
        ep_return = np.arange(number, number + 15, dtype=np.float32).reshape(5, 3)
        number += 15
        recent = record(recent, rollout_of(done, ep_return))
        expected.extend(ep_return[done].tolist())
    assert contents(recent) == list(expected)


@fast
@given(hnp.arrays(bool, (80, 4), elements=st.sampled_from([True, True, True, False])), st.integers(0, 250))
def test_recent_returns_match_a_deque_when_one_rollout_ends_more_than_100_episodes(done, before):
    ep_return = np.arange(1000, 1320, dtype=np.float32).reshape(80, 4)
    expected = deque(range(before), maxlen=RECENT)
    ring = np.zeros(RECENT, np.float32)
    for i in range(before):
        ring[i % RECENT] = i
    recent = record(Recent(jnp.asarray(ring), jnp.int32(before)), rollout_of(done, ep_return))
    expected.extend(ep_return[done].tolist())
    assert contents(recent) == list(expected)
    assert int(recent.count) == before + done.sum()


def test_every_episode_ending_at_once_fills_the_ring_with_the_last_100():
    done, ep_return = np.ones((80, 4), bool), np.arange(320, dtype=np.float32).reshape(80, 4)
    recent = record(Recent(jnp.zeros(RECENT), jnp.int32(7)), rollout_of(done, ep_return))
    assert sorted(recent.returns.tolist()) == list(range(220, 320))
    assert int(recent.count) == 327


# --- Episode statistics


@jax.jit
def three_steps(actor, key):
    """A rollout of 3 env steps of episodes of 7, and its metrics."""
    actor, rollout = collect(Vec(Marathon(7), 2), idle, actor, key, 3)
    return actor, episode_stats(actor, rollout)


def test_metrics_tolerate_that_no_episode_ended_C3():
    """NaN, not a crash and not a 0 that looks like a return; the count says why."""
    _, metrics = three_steps(start(Vec(Marathon(7), 2), jax.random.key(0)), jax.random.key(1))
    assert metrics["ep/count"] == 0
    for name in ("ep/return", "ep/length", "ep/return_last100"):
        assert math.isnan(metrics[name])
    assert metrics["nonfinite/obs"] == metrics["nonfinite/reward"] == 0


def test_episodes_are_carried_over_rollouts_C3():
    """Episodes of 7 env steps in rollouts of 3 are counted whole: nothing resets at a rollout's end."""
    actor = start(Vec(Marathon(7), 2), jax.random.key(0))
    for i in range(1, 15):
        actor, metrics = three_steps(actor, jax.random.key(i))
        ended = (3 * i) // 7 - (3 * (i - 1)) // 7  # of each environment, in this rollout
        assert metrics["ep/count"] == 2 * ended
        if ended:
            assert metrics["ep/return"] == metrics["ep/length"] == 7
        else:
            assert math.isnan(metrics["ep/return"])
        if i > 2:
            assert metrics["ep/return_last100"] == 7


def test_episode_stats_of_known_ends():
    """Means over the ended episodes only; the last-100 mean over all that the ring holds."""
    done = np.array([[True, False], [False, True]])
    ep_return = np.array([[4.0, 100.0], [100.0, 8.0]], np.float32)
    rollout = rollout_of(done, ep_return)
    recent = record(Recent(jnp.zeros(RECENT).at[0].set(3.0), jnp.int32(1)), rollout)
    metrics = episode_stats(Actor((), (), recent), rollout)
    assert (int(metrics["ep/count"]), float(metrics["ep/return"])) == (2, 6.0)
    assert float(metrics["ep/return_last100"]) == 5.0


def test_nonfinite_counts_bad_floats_only():
    tree = {
        "a": jnp.array([1.0, jnp.nan, jnp.inf]),
        "b": jnp.arange(3),
        "c": (jnp.array(-jnp.inf), jnp.zeros(0)),
    }
    assert int(nonfinite(tree)) == 3
    assert int(nonfinite({"keys": jax.random.key(0), "none": None})) == 0


# --- Collecting


def dice(seen, noise):
    return Choice(jnp.argmax(noise, -1), {"logp": -seen.obs[:, 0]})


def test_collect_keeps_rows_together_and_goes_on_where_it_stopped():
    """obs[t+1] is what step t gave to act on, extras belong to their obs; two rollouts are one run."""
    env = Vec(Marathon(2, 5), 3)
    first = start(env, jax.random.key(0))
    advance = jax.jit(lambda actor, key: collect(env, dice, actor, key, 8))
    actor, rollout = advance(first, jax.random.key(1))
    np.testing.assert_array_equal(rollout.obs[0], first.obs)
    np.testing.assert_array_equal(rollout.obs[1:], rollout.step.obs[:-1])
    np.testing.assert_array_equal(rollout.extras["logp"], -rollout.obs[..., 0])
    np.testing.assert_array_equal(actor.obs, rollout.step.obs[-1])
    assert rollout.action.shape == (8, 3)
    again, later = advance(actor, jax.random.key(2))
    np.testing.assert_array_equal(later.obs[0], actor.obs)
    ended = int(rollout.step.done.sum() + later.step.done.sum())
    assert int(again.recent.count) == ended
    assert not np.array_equal(rollout.action, later.action)


def test_collect_on_the_host_equals_collect_on_the_device():
    """The same loop by `lax.scan` and by `host_scan`: every number of the rollout and of the actor."""
    env = Vec(Marathon(2, 5), 3)
    results = []
    for e in (env, Hosted(env)):
        results.append(collect(e, jax.jit(dice), start(e, jax.random.key(0)), jax.random.key(1), 8))
    a, b = (jax.tree.leaves(x) for x in results)
    assert jax.tree.structure(results[0]) == jax.tree.structure(results[1])
    for x, y in zip(a, b, strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("hold", [1, 3])
def test_random_actions_are_held_and_uniform(hold):
    """Each action stays for `hold` env steps, the last one for what is left; all are equally frequent."""
    t, n = 100, 50
    keys = jax.random.split(jax.random.key(hold))
    actor, rollout = wander(Vec(Marathon(7), n), tuple(keys), t, hold)
    action = np.asarray(rollout.action)
    assert action.shape == (t, n)
    groups = [action[i : i + hold] for i in range(0, t, hold)]
    assert all((g == g[0]).all() for g in groups)
    drawn = np.array([g[0] for g in groups])
    changes = (drawn[1:] != drawn[:-1]).mean()
    assert abs(changes - 2 / 3) < 6 * np.sqrt(2 / 9 / drawn[1:].size)
    counts = np.bincount(drawn.ravel(), minlength=3)
    assert np.all(np.abs(counts - drawn.size / 3) < 6 * np.sqrt(drawn.size * 2 / 9))
    assert int(actor.recent.count) == t // 7 * n


def test_host_scan_and_host_while_are_scan_and_while_loop():
    def body(carry, x):
        return carry + x["a"], {"sum": carry + x["a"], "double": 2 * x["b"]}

    xs = {"a": jnp.arange(4), "b": jnp.arange(8.0).reshape(4, 2)}
    expected, got = jax.lax.scan(body, 10, xs), host_scan(body, 10, xs)
    for x, y in zip(jax.tree.leaves(expected), jax.tree.leaves(got), strict=True):
        np.testing.assert_array_equal(x, y)
    assert host_while(lambda c: c < 50, lambda c: 2 * c, 3) == 96


class Echo:
    """Observes the action that it received: what `to_env` let through."""

    name = "Echo"
    observation_space = Box.of(-3.0, 3.0, (2,))
    action_space = Box.of([-3.0, 1.0], [3.0, 2.0], (2,))

    def reset(self, key):
        return jnp.int32(0), jnp.zeros(2)

    def step(self, state, action, key):
        no = jnp.bool_(False)
        return state, Transition(action, action.sum(), no, no)


def test_the_environment_gets_clipped_actions_and_the_rollout_keeps_the_unclipped_C11():
    """With σ = 3 most actions are outside; log-probabilities are those of what was drawn."""
    env = Vec(Echo(), 4)
    pi = Normal(jnp.zeros((4, 2)), jnp.full(2, np.log(3.0)))

    def act(seen, noise):
        action = pi.from_noise(noise)
        return Choice(action, pi.log_prob(action))

    _, rollout = collect(env, act, start(env, jax.random.key(0)), jax.random.key(1), 50)
    action, received = np.asarray(rollout.action), np.asarray(rollout.step.next_obs)
    assert np.mean(np.abs(action) > 1) > 0.5
    assert np.abs(action).max() > 3
    expected = np.clip(action, -1, 1) * [3.0, 0.5] + [0.0, 1.5]
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
    logp = stats.norm(0, 3).logpdf(action).sum(-1)
    np.testing.assert_allclose(rollout.extras, logp, rtol=1e-4)


# --- Values of successors


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([1, 4]),
    st.sampled_from([0.0, 0.2, 0.9]),
)  # few sizes: each is compiled
@settings(deadline=None, max_examples=40)
def test_successor_values_are_those_of_the_true_successors(seed, t, n, rate):
    """Against V of every `next_obs`, with ends of both kinds at random places; two rollouts under `vmap`."""
    rng = np.random.default_rng(seed)
    next_obs, fresh = rng.normal(size=(2, 2, t, n, 3)).astype(np.float32)
    terminated, truncated = rng.random((2, 2, t, n)) < rate
    truncated &= ~terminated
    done = terminated | truncated
    after = np.where(done[..., None], fresh, next_obs)
    obs = np.concatenate([rng.normal(size=(2, 1, n, 3)).astype(np.float32), after[:, :-1]], 1)
    zero = np.zeros((2, t, n), np.float32)
    step = Step(after, next_obs, zero, terminated, truncated, zero, zero)

    def value_of(x):
        return jnp.sin(x @ jnp.array([1.0, -2.0, 0.5]))

    got = jax.vmap(partial(successor_values, value_of))(value_of(obs), Rollout(obs, zero, (), step))
    np.testing.assert_allclose(
        np.where(terminated, 0, got), np.where(terminated, 0, value_of(next_obs)), atol=1e-5
    )


# --- Evaluation


@partial(jax.jit, static_argnums=(1, 2))
def judge(key, n, limit=100):
    return evaluate(Vec(Marathon(1, 9), n), idle, key, limit)


def test_evaluation_plays_one_episode_in_each_environment():
    """Half of the episodes last 1 env step, half 9. Of "the first to end" nearly all would be short."""
    n = 2000
    returns, lengths, _ = judge(jax.random.key(0), n)
    np.testing.assert_array_equal(returns, lengths)
    assert returns.shape == (n,)
    assert set(np.asarray(returns).tolist()) == {1, 9}
    assert abs(np.mean(returns) - 5) < 6 * 4 / np.sqrt(n)


def test_evaluation_counts_first_episodes_only():
    """Every later episode lasts 2 env steps here, and none of these shows."""
    env, later = Vec(Marathon(1, 9), 50), Vec(Marathon(2), 50)
    env.draw = later.draw
    returns, lengths, _ = jax.jit(lambda key: evaluate(env, idle, key, 20))(jax.random.key(0))
    np.testing.assert_array_equal(returns, lengths)
    assert set(np.asarray(returns).tolist()) == {1, 9}


def test_evaluation_cuts_at_the_limit():
    """An episode longer than the limit counts with its return so far, and is known to be cut."""
    returns, lengths, cut = judge(jax.random.key(0), 2000, 4)
    np.testing.assert_array_equal(cut, np.asarray(lengths) == 4)
    assert set(np.asarray(lengths).tolist()) == {1, 4}
    np.testing.assert_array_equal(returns, lengths)


def test_evaluation_on_the_host_equals_that_on_the_device():
    env = Vec(Marathon(1, 2, 3), 3)
    device = evaluate(env, dice, jax.random.key(0), 10)
    host = evaluate(Hosted(env), jax.jit(dice), jax.random.key(0), 10)
    for x, y in zip(device, host, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("seed", range(3))
def test_evaluation_is_a_function_of_its_key(seed):
    a, b, other = (judge(jax.random.key(s), 2000)[0] for s in (seed, seed, seed + 1))
    np.testing.assert_array_equal(a, b)
    assert np.any(a != other)
