"""The checks of a `VecEnv` come all from outside: play it, and compare what it said with what it should say."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from swingup.protocols import VecEnv
from swingup.spaces import Box, Discrete
from swingup.testing.faults import Finding, finding
from swingup.testing.play import Record, actions, extremes, play

SHORT = 64  # env steps of the comparisons between streams


def check_vec(env: VecEnv, env_steps: int, seed: int) -> list[Finding]:
    """List everything wrong with `num_envs` environments in `env_steps` env steps of each."""
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    for role, space in spaces.items():
        if not isinstance(space, Box | Discrete):
            return [finding("space-kind", role=role, kind=type(space).__name__, why="")]
    key = jax.random.key(seed)
    action = actions(env.action_space, env_steps, env.num_envs, seed)
    record = play(env, key, action)
    if isinstance(record, Finding):
        return [record]
    found = [*check_values(env, record), *check_statistics(env, record), *check_goals(env, record)]
    streams = list(check_streams(env, key, action))
    if any(f.code in ("reset-raises", "step-raises") for f in streams):
        return found + streams
    # Where two plays of one key differ, the first observations of other plays say nothing either.
    return found + list(check_convention(record, firsts(env, key))) + streams


def _when(bad: np.ndarray | jax.Array) -> int:
    """Find the first env step [T, ...] in which something is wrong."""
    return int(np.argmax(bad.reshape(len(bad), -1).any(1)))


def check_values(env: VecEnv, record: Record) -> Iterator[Finding]:
    """Check that values are finite, within bounds, and not written over."""
    step, space = record.step, env.observation_space
    obs = np.stack([record.obs, step.next_obs, step.obs], 1).astype(np.float64)  # [T, 3, N, ...]
    low, high = (0, space.n - 1) if isinstance(space, Discrete) else space.bounds
    finite = np.isfinite(obs)
    if not finite.all():
        yield finding("obs-nonfinite", time=_when(~finite))
    slack = 1e-5 * (1 + np.abs(np.where(finite, obs, 0)))
    outside = finite & ((obs < low - slack) | (obs > high + slack))
    if outside.any():
        yield finding("obs-bounds", low=obs[finite].min(), high=obs[finite].max(), time=_when(outside))
    if not np.isfinite(step.reward).all():
        yield finding("reward-nonfinite", time=_when(~np.isfinite(step.reward)))
    for name in record.overwritten:
        yield finding("overwritten", name=name)


def check_statistics(env: VecEnv, record: Record) -> Iterator[Finding]:
    """Check ends, lengths and returns, by counting and adding up."""
    step = record.step
    both = step.terminated & step.truncated
    if both.any():
        yield finding("both-ends", time=_when(both))
    done, length, total = step.terminated | step.truncated, 0, 0.0
    lengths, totals = [], []
    for ended, reward in zip(done, step.reward.astype(np.float64), strict=True):
        length, total = length + 1, total + reward
        lengths.append(length + 0 * ended)
        totals.append(total)
        length, total = np.where(ended, 0, length), np.where(ended, 0, total)
    for code, got, want in (
        ("ep-length", step.ep_length, np.array(lengths)),
        ("ep-return", step.ep_return, np.array(totals)),
    ):
        wrong = ~np.isclose(got, want, rtol=1e-3, atol=1e-3, equal_nan=True)
        if wrong.any() and not (code == "ep-return" and env.reward_sign):
            at = tuple(np.argwhere(wrong)[0])
            yield finding(code, got=got[at].item(), want=want[at].item(), time=int(at[0]))
    ends = np.array(lengths)[done]
    if not ends.size:
        yield finding("never-ends", env_steps=len(done))
    elif ends.size >= 3 and (ends == ends[0]).all() and ends[0] >= 20 and not step.truncated.any():
        yield finding("time-limit-as-death", count=ends.size, length=ends[0])


def check_goals(env: VecEnv, record: Record) -> Iterator[Finding]:
    """Hindsight puts other goals in the place of the desired one: for that one, the reward must be the step's own."""
    size, reward_of = env.observation_space.goal, env.goal_reward
    if not size or reward_of is None:
        return
    goals = record.step.next_obs
    got = np.asarray(reward_of(goals[..., :size], goals[..., size : 2 * size])[0])
    wrong = ~np.isclose(got, record.step.reward, rtol=1e-3, atol=1e-3)
    if wrong.mean() > 0.01:  # a distance may fall on the other side of a threshold when it is rounded
        at = tuple(np.argwhere(wrong)[0])
        yield finding("goal-reward", got=got[at].item(), want=record.step.reward[at].item(), time=int(at[0]))


def firsts(env: VecEnv, key: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return between what and what first observations lie, from 8 resets: widened by half of that on both sides."""
    obs = [np.array(env.reset(jax.random.fold_in(key, i))[1], np.float64) for i in range(8)]
    low, high = np.concatenate(obs).min(0), np.concatenate(obs).max(0)
    return low - 0.5 * (high - low) - 1e-6, high + 0.5 * (high - low) + 1e-6


def check_convention(record: Record, first: tuple[np.ndarray, np.ndarray]) -> Iterator[Finding]:
    """Check that `obs` is where the next action is taken and `next_obs` where the last one led: they differ after an
    end only.
    """
    step = record.step
    done = step.terminated | step.truncated
    axes = tuple(range(2, step.obs.ndim))
    # Nearly is enough: a compiled program may compute one thing twice and round it differently.
    same = np.all(np.isclose(step.obs, step.next_obs, rtol=1e-5, atol=1e-5), axes)

    def begins(obs: np.ndarray) -> np.ndarray:
        return np.all((first[0] <= obs) & (obs <= first[1]), axes)

    # An observation that is not a number equals none, and has been reported.
    numbers = np.all(np.isfinite(step.obs) & np.isfinite(step.next_obs), axes)
    jumps = ~done & ~same & numbers
    if jumps.any():
        yield finding("obs-jumps", time=_when(jumps))
    if not (~done & ~begins(step.next_obs)).any():
        return  # observations do not tell the beginning of an episode from the rest
    stuck = done & same & ~begins(step.next_obs)
    lost = done & same & begins(step.next_obs)
    if stuck[:-1].any():
        late = begins(step.next_obs[1:]) & stuck[:-1]
        code = "dead-transition" if late.sum() > 0.5 * stuck[:-1].sum() else "no-reset"
        yield finding(code, time=_when(stuck))
    elif lost.sum() > 0.5 * done.sum():
        yield finding("final-obs-lost", time=_when(lost))


def check_streams(env: VecEnv, key: jax.Array, action: np.ndarray) -> Iterator[Finding]:
    """Check that the same key gives the same stream, and another key, row or episode another one."""
    short, other = action[:SHORT], jax.random.fold_in(key, 1)
    equal = np.broadcast_to(short[:, :1], short.shape)  # every row gets the actions of the first
    low, high = (np.broadcast_to(x, short.shape).astype(short.dtype) for x in extremes(env.action_space))
    plays = []
    for k, a in ((key, short), (key, short), (key, equal), (other, equal), (key, low), (key, high)):
        record = play(env, k, a)
        if isinstance(record, Finding):
            yield record
            return
        plays.append(record)
    one, again, same, elsewhere, smallest, largest = plays
    changed = different(one, again)
    if changed.any():
        yield finding("not-deterministic", time=_when(changed))
        return
    if not different(smallest, largest).any():
        yield finding("actions-ignored")
    keys_matter = different(same, elsewhere).any()
    rows = np.any([different_rows(same, i).any() for i in range(1, env.num_envs)])
    if rows and not keys_matter:
        yield finding("key-ignored")
    elif keys_matter and not rows and env.num_envs > 1:
        yield finding("rows-equal")
    done = one.step.terminated | one.step.truncated
    if not (one.obs[0] != elsewhere.obs[0]).any():
        return
    several = np.flatnonzero(done.sum(0) > 1)
    repeated = [(one.step.obs[done[:, i], i] == one.obs[0, i]).all() for i in several]
    if len(repeated) > 1 and all(repeated):
        yield finding("episodes-equal")


def different(a: Record, b: Record) -> np.ndarray:
    """Return where observations, rewards or ends of two plays differ: [T, N, ...]."""

    def unequal(x: Any, y: Any) -> np.ndarray:
        return ((x != y) & ~((x != x) & (y != y))).reshape(*x.shape[:2], -1).any(-1)

    s, t = a.step, b.step
    out = unequal(a.obs, b.obs) | unequal(s.next_obs, t.next_obs) | unequal(s.reward, t.reward)
    return out | unequal(s.terminated, t.terminated) | unequal(s.truncated, t.truncated)


def different_rows(a: Record, i: int) -> np.ndarray:
    """Say where the i-th environment's stream differs from the first's, [T, 1]."""
    first, ith = (Record(a.obs[:, [k]], jax.tree.map(lambda x, k=k: x[:, [k]], a.step), ()) for k in (0, i))
    return different(first, ith)
