"""A run on the host begins with resets and a warm-up, and ends where an environment fails: what is handed over."""

import gc
import weakref
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conftest import arrays, late, same_bits, small
from swingup.distributions import noise, uniform
from swingup.envs import Hosted, make
from swingup.envs.adapters.gymnasium import wrap
from swingup.errors import EnvironmentFault, NonFiniteError
from swingup.protocols import env_steps
from swingup.replay import ring
from swingup.runs.log import CSVLog
from swingup.spaces import to_env
from swingup.training import driver, warmup
from swingup.training.clock import Clock
from swingup.training.driver import root_key, root_keys


class Walk(gymnasium.Env):
    """Observes its action, where it is in the episode, and which environment it is; counts what is done to all."""

    observation_space = gymnasium.spaces.Box(-100, 100, (3,), np.float32)
    action_space: Any = gymnasium.spaces.Box(-2, 2, (1,), np.float32)
    calls, fails_at, bad_at = 0, 10**9, 10**9

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        Walk.calls += 1
        self.t = 0
        return np.array([0, 0, self.np_random.integers(100)], np.float32), {}

    def step(self, action):
        Walk.calls += 1
        self.t += 1
        if Walk.calls > Walk.fails_at:
            raise EnvironmentFault("the simulator is gone")
        x = np.nan if Walk.calls > Walk.bad_at else float(np.ravel(action)[0])
        return np.array([x, self.t, 0], np.float32), x, self.t == 7, False, {}


class Switch(Walk):
    action_space = gymnasium.spaces.Discrete(3)


@pytest.fixture(autouse=True)
def _fresh():
    Walk.calls, Walk.fails_at, Walk.bad_at = 0, 10**9, 10**9


# ----------------------------------------------------------------------------------------------------- init and shapes


@pytest.mark.parametrize(
    "name",
    late(
        ["ppo", "vpg", "trpo", "a2c", "dqn", "c51", "qr_dqn", "ddpg", "td3", "sac", "sac_discrete"],
        *("ppo", "sac"),
    ),
)
def test_shapes_are_known_without_touching_the_environment(name: str) -> None:
    """The shapes of two seeds are those of a run that has begun: a saved run is read without an env step or reset."""
    algo = small(name)
    env = wrap(Walk if name in ("ddpg", "td3", "sac") else Switch, 2 * algo.num_envs)
    shapes = jax.eval_shape(lambda: driver.init(algo, env, [0, 1]))
    assert Walk.calls == 0
    state = driver.begin(algo, env, [0, 1]) if name in ("ppo", "dqn") else driver.init(algo, env, [0, 1])
    assert jax.tree.structure(shapes) == jax.tree.structure(state)
    for x, y in zip(jax.tree.leaves(shapes), jax.tree.leaves(state), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)


def test_no_cache_keeps_an_environment_alive() -> None:
    algo, env = small("dqn"), wrap(Switch, 2)
    state = driver.begin(algo, env, [0])
    driver.run(algo, env, state, 2)
    gone = weakref.ref(env)
    del env, state
    gc.collect()
    assert gone() is None


def test_a_pure_environment_begins_alike_on_device_and_host() -> None:
    """`Hosted` in one compiled call, with the bits of the device; no seed is initialised by itself."""
    algo, device = small("dqn"), make("CartPole-v1", 2)
    host = driver.init(algo, Hosted(device), [0, 1])  # type: ignore[arg-type]
    assert same_bits(host, driver.init(algo, device, [0, 1]))


def test_root_keys_are_those_of_each_seed() -> None:
    """The same bits as one by one, for seeds up to 2^32 - 1."""
    seeds = [0, 1, 7, 2**31 - 1, 2**31, 2**32 - 1]
    one_by_one = [root_key(seed, "train") for seed in seeds]
    assert same_bits(root_keys(seeds, "train"), jnp.stack(one_by_one))


# --------------------------------------------------------------------------------------------------------- the warm-up


@pytest.mark.parametrize("piece", late([1, 4, 5, 1024], 4, 1024))
@pytest.mark.parametrize("name", ["ddpg", "dqn"])
def test_the_warm_up_is_what_happened(name: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds of two environments, actions held for 3 env steps: against a list, whatever the pieces are."""
    monkeypatch.setattr(warmup, "PIECE", piece)
    options: dict[str, Any] = {"prioritised": True} if name == "dqn" else {}
    algo = small(name, num_envs=2, warmup=22, warmup_hold=3, replay_size=40, **options)
    clock, env = Clock(), wrap(Walk if name == "ddpg" else Switch, 4)
    state = driver.begin(algo, env, [3, 5], clock)
    assert Walk.calls == 4 * (1 + 11 + 1)  # first resets, env steps, and the reset after the 7th of these
    assert env_steps(algo, 0) == 22
    for s, seed in enumerate((3, 5)):
        memory = jax.tree.map(lambda x, s=s: x[s], state.learner.replay)
        assert int(memory.pushed) == 11
        batch = ring.take(memory, jnp.arange(22), 0.9)
        key = root_key(seed, "warm-up")
        draws = [noise(env.action_space, jax.random.fold_in(key, t // 3), (2,)) for t in range(11)]
        action = np.stack([uniform(env.action_space, x) for x in draws]).reshape(22, *env.action_space.shape)
        np.testing.assert_allclose(batch.action, action, atol=1e-6)
        sent = np.asarray(to_env(env.action_space, jnp.asarray(action))).reshape(22)
        np.testing.assert_allclose(batch.next_obs[:, 0], sent, atol=1e-6)  # the successor tells it
        np.testing.assert_array_equal(batch.next_obs[:, 1], [t % 7 + 1 for t in range(11) for _ in range(2)])
        np.testing.assert_array_equal(batch.obs[:, 1], [t % 7 for t in range(11) for _ in range(2)])
        np.testing.assert_array_equal(batch.terminated, [t == 6 for t in range(11) for _ in range(2)])
        assert int(state.actor.recent.count[s]) == 2
        if name == "dqn":
            leaves = np.asarray(state.learner.priorities.tree.levels[0])[s]
            np.testing.assert_array_equal(leaves[:22], np.ones(22))
            assert not leaves[22:].any()
    assert state.actor.obs.shape == (2, 2, 3)
    assert np.all(np.asarray(state.actor.obs)[..., 1] == 4)
    assert clock.run_seconds >= clock.warmup_seconds > 0
    assert clock.compile_seconds > 0


def test_seeds_warm_up_with_their_own_actions_and_streams() -> None:
    algo = small("ddpg", warmup=20)
    state = driver.begin(algo, wrap(Walk, 4), [0, 1])
    words = np.asarray(state.learner.replay.words)
    assert not np.array_equal(words[0], words[1])


def test_each_seed_begins_where_it_begins_alone() -> None:
    """Whatever other seeds stand beside it: the first observations are those of its own key."""
    algo = small("ppo", num_envs=2)
    both = driver.begin(algo, wrap(Switch, 4), [3, 5]).actor.obs
    for row, seed in enumerate((3, 5)):
        np.testing.assert_array_equal(both[row], driver.begin(algo, wrap(Switch, 2), [seed]).actor.obs[0])


def test_a_nan_in_the_warm_up_is_named() -> None:
    Walk.bad_at = 10
    with pytest.raises(NonFiniteError, match=r"an observation .* in the warm-up"):
        driver.begin(small("ddpg"), wrap(Walk, 2), [0])


def test_a_keyboard_interrupt_ends_the_warm_up_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self, action):
        raise KeyboardInterrupt

    monkeypatch.setattr(Walk, "step", stop)
    with pytest.raises(KeyboardInterrupt, match="nothing was learnt"):
        driver.begin(small("ddpg"), wrap(Walk, 2), [0])


# ------------------------------------------------------------------------------------- where an environment fails


def until_it_fails(name: str, seeds: list[int], calls: int) -> tuple[Any, CSVLog]:
    """Train where environments fail after `calls` calls once the run has begun; return the fault, and the log."""
    algo = small(name, num_envs=2)
    env, log = wrap(Walk if name == "sac" else Switch, 2 * len(seeds)), CSVLog(None, seeds, 1)
    state = driver.begin(algo, env, seeds)
    Walk.calls, Walk.fails_at = 0, calls
    with pytest.raises(EnvironmentFault, match="the simulator is gone") as caught:
        driver.run(algo, env, state, 50, callbacks=[log], chunk=4)
    return caught.value, log


@pytest.mark.parametrize("seeds", late([[0], [0, 1]], [0, 1]))
@pytest.mark.parametrize("name", late(["ppo", "sac", "dqn"], "dqn"))
def test_what_was_trained_is_handed_over(name: str, seeds: list[int]) -> None:
    """The state after the last complete update, to the bit that of a run which ended there; its rows are in the log."""
    algo = small(name, num_envs=2)
    fault, log = until_it_fails(name, seeds, int(6.5 * algo.env_steps_per_iteration * len(seeds) * 8 / 7))
    done = fault.progress.iteration
    assert done == 6
    Walk.fails_at = 10**9
    env = wrap(Walk if name == "sac" else Switch, 2 * len(seeds))
    other = CSVLog(None, seeds, 1)
    whole = driver.run(algo, env, driver.begin(algo, env, seeds), done, callbacks=[other], chunk=4)
    assert same_bits(fault.progress.state.learner, whole.learner)
    assert same_bits(fault.progress.state.actor.recent, whole.actor.recent)
    assert same_bits(fault.progress.state.key, whole.key)
    assert len(log.rows) == done * len(seeds)
    for mine, theirs in zip(log.rows, other.rows, strict=True):
        np.testing.assert_equal(mine | {"seconds": 0}, theirs | {"seconds": 0})
    assert all(np.isfinite(x).all() for x in arrays(fault.progress.state.learner) if x.dtype.kind == "f")


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_a_fault_in_the_first_iteration_hands_over_nothing(name: str) -> None:
    fault, log = until_it_fails(name, [0], 1)
    assert fault.progress is None
    assert log.rows == []


def test_a_fault_in_the_warm_up_hands_over_nothing() -> None:
    Walk.fails_at = 9
    with pytest.raises(EnvironmentFault, match="the simulator is gone") as caught:
        driver.begin(small("sac"), wrap(Walk, 2), [0])
    assert caught.value.progress is None
