"""Stacks of frames stored as single frames come back bit for bit."""

from typing import Any

import jax
import numpy as np
import pytest

from conftest import late, small
from swingup.envs import make
from swingup.envs.adapters.host import Answer, HostVec, Pool
from swingup.replay.frames import pack, stacks, successors
from swingup.spaces import Box, Discrete
from swingup.training import driver


def check(obs, next_obs, done):
    """All observations and successors of [T, N, H, W, K] are restored from frames that take a K-th of the memory."""
    t, n, *_, k = obs.shape
    packed = pack(obs, done)
    assert packed.frames.dtype == obs.dtype
    assert packed.frames.shape == (t + k - 1, *obs.shape[1:-1])
    time, row = (x.ravel() for x in np.indices((t, n)))
    np.testing.assert_array_equal(jax.jit(stacks)(packed, time, row), obs.reshape(t * n, *obs.shape[2:]))
    newest = next_obs[..., -1].reshape(t * n, *obs.shape[2:-1])
    np.testing.assert_array_equal(
        jax.jit(successors)(packed, time, row, newest), next_obs.reshape(t * n, *obs.shape[2:])
    )


@pytest.mark.parametrize("k", [1, 2, 4])
def test_stacks_of_any_depth_over_many_short_episodes(k):
    rng, steps, n = np.random.default_rng(k), 60, 3
    obs, next_obs, done = [], [], rng.random((steps, n)) < 0.3
    stack = rng.integers(0, 255, (n, 2, 3, k), np.uint8)  # in the middle of an episode
    for t in range(steps):
        obs.append(stack)
        after = np.concatenate([stack[..., 1:], rng.integers(0, 255, (n, 2, 3, 1), np.uint8)], -1)
        next_obs.append(after)
        fresh = np.repeat(rng.integers(0, 255, (n, 2, 3, 1), np.uint8), k, -1)
        stack = np.where(done[t][:, None, None, None], fresh, after)
    assert done.sum() > 30
    check(np.stack(obs), np.stack(next_obs), done)


@pytest.mark.parametrize("name", ["envpool:Breakout-v5", "gymnasium:ALE/Breakout-v5"])
@pytest.mark.parametrize("option", ["", "?episodic_life=true"])
def test_frames_of_atari_over_episode_ends(name, option):
    pytest.importorskip(
        "envpool" if name.startswith("envpool") else "ale_py", reason="the extra is not installed"
    )
    env, rng = make(name + option, 2), np.random.default_rng(0)
    _, before = env.reset(jax.random.key(0))
    obs, steps = [], []
    for _ in range(40 if option else 200):
        _, step = env.step((), rng.integers(0, 4, 2))
        obs.append(before)
        steps.append(step)
        before = step.obs
    done = np.stack([s.done for s in steps])
    assert done.any()
    assert env.stacked  # type: ignore[attr-defined]
    check(np.stack(obs), np.stack([s.next_obs for s in steps]), done)


class Screens(Pool):
    """A pool of 10x10 screens that change at random; episodes of `5 + row` env steps."""

    name, num_envs = "screens", 2
    observation_space, action_space = Box.of(0, 255, (10, 10, 4), "uint8"), Discrete(3)

    def reset(self, start: int, seeds: list[int]) -> np.ndarray:
        self.rng, self.age = np.random.default_rng(seeds), np.zeros(2, int)
        self.obs = np.zeros((2, 10, 10, 4), np.uint8)
        return self.restart(np.arange(2))

    def frames(self, n: int) -> np.ndarray:
        return self.rng.integers(0, 255, (n, 10, 10, 1), np.uint8)

    def restart(self, rows: np.ndarray) -> np.ndarray:
        self.age[rows], self.obs[rows] = 0, np.repeat(self.frames(len(rows)), 4, -1)
        return self.obs[rows].copy()

    def step(self, start: int, action: np.ndarray) -> Answer:
        self.age += 1
        self.obs = np.concatenate([self.obs[..., 1:], self.frames(2)], -1)
        ended = self.age == 5 + np.arange(2)
        return Answer(self.obs.copy(), action - 1.0, ended & (self.age == 5), ended & (self.age > 5))

    def close(self) -> None: ...


@pytest.mark.parametrize("name", late(["ppo", "dqn"], "dqn"))
def test_training_on_frames_kept_once_is_training_on_stacks(name: str) -> None:
    """Over terminations, time limits and the edges of rollouts and of pieces of the warm-up.

    They are two programs, and a compiler may round them differently in the last bit; a wrong frame moves weights by a
    hundredth.
    """
    more: dict[str, Any] = {"replay_size": 80, "warmup": 22} if name == "dqn" else {}
    algo, ends = small(name, num_envs=2, num_steps=8, hidden=(16,), **more), []
    for stacked in (False, True):
        env: Any = HostVec(Screens())
        env.stacked = stacked
        ends.append(driver.run(algo, env, driver.begin(algo, env, [0]), 3))
    for learnt in ("params", "opt_state"):  # a replay's own layout differs
        for one, other in zip(*(jax.tree.leaves(getattr(end.learner, learnt)) for end in ends), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * max(1e-3, np.abs(one).max()))
