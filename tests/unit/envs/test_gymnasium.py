"""Gymnasium behind our interface does what stepping it by hand does, in every autoreset mode; and some is refused."""

import subprocess
import sys
from itertools import pairwise

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from swingup.envs import SUITES, canonical, make
from swingup.envs.adapters.atari import EpisodicLife
from swingup.envs.adapters.gymnasium import _register_robotics, make_gymnasium, wrap
from swingup.envs.adapters.host import seeds_of
from swingup.errors import ConfigError, EnvironmentFault
from swingup.spaces import Box, Discrete, to_env

KEY = jax.random.key(3)


class Counting(gymnasium.Env):
    """Observes (episode, env step within it); episode e lasts 2 + e mod 3 env steps and pays the action.

    Episodes end, in turn, by the MDP, by the clock, and by both at once.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(5)

    def __init__(self):
        self.episode, self.time = -1, 0
        self.obs = np.zeros(2, np.float32)  # one buffer, written over at every step, as some environments do

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.time = self.episode + 1, 0
        return self._observe(), {}

    def step(self, action):
        assert self.time < 2 + self.episode % 3, "stepped after its end"
        self.time += 1
        over, how = self.time == 2 + self.episode % 3, self.episode // 3 % 3
        return self._observe(), float(action), over and how != 1, over and how != 0, {}

    def _observe(self):
        self.obs[:] = self.episode, self.time
        return self.obs


class Copying(Counting):
    """Without it `SyncVectorEnv` hands over, in SAME_STEP, what the reset has written over the last observation."""

    def _observe(self):
        return super()._observe().copy()


def counting(mode):
    """Three counting environments in one of the ways a user may bring them."""
    makers = [Counting] * 3
    if mode == "by constructor":
        return make(Counting, 3)
    if mode == "by object":
        return make(Counting(), 3)
    if mode == "uncopied":
        return wrap(SyncVectorEnv(makers, copy=False, autoreset_mode=AutoresetMode.SAME_STEP))
    if mode == "wrapped":
        env = SyncVectorEnv([Copying] * 3, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
        return wrap(gymnasium.wrappers.vector.RecordEpisodeStatistics(env))
    return wrap(SyncVectorEnv(makers, autoreset_mode=mode))


@pytest.mark.parametrize("mode", [*AutoresetMode, "by constructor", "by object", "uncopied", "wrapped"])
def test_no_dead_transition_in_any_autoreset_mode(mode):
    env = counting(mode)
    rows, action = [], np.array([1, 2, 4])
    _, before = env.reset(KEY)
    first = before[:, 0].copy()
    for _ in range(40):
        _, step = env.step((), action)
        rows.append((before, step))
        before = step.obs
    for row in range(3):
        episode, time, ends = first[row], 0, []
        for before, step in rows:  # kept until now: nothing may have been written over
            assert before[row].tolist() == [episode, time]
            time += 1
            length, how = 2 + episode % 3, episode // 3 % 3
            assert step.next_obs[row].tolist() == [episode, time]
            assert step.reward[row] == action[row]
            assert (step.ep_length[row], step.ep_return[row]) == (time, time * action[row])
            ended = time == length
            assert step.terminated[row] == (ended and how != 1)
            assert step.truncated[row] == (ended and how == 1)  # terminated wins where both hold
            if ended:
                ends.append(how)
                episode, time = episode + 1, 0
            assert step.obs[row].tolist() == [episode, time]
        assert set(ends) == {0, 1, 2}
    env.close()


def test_processes_give_the_same_stream_as_one_process():
    envs = [make_gymnasium("CartPole-v1", 2), make("gymnasium:CartPole-v1?vectorization=async", 2)]
    obs = [env.reset(KEY)[1] for env in envs]
    np.testing.assert_array_equal(*obs)
    for t in range(60):
        here, there = (env.step((), np.array([t % 2, 1]))[1] for env in envs)
        for name, x, y in zip(here._fields, here, there, strict=True):
            np.testing.assert_array_equal(x, y, err_msg=f"{name} at {t}")
    for env in envs:
        env.close()


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_it_is_gymnasium_stepped_by_hand(name):
    env, hand = make(f"gymnasium:{name}", 3), [gymnasium.make(name) for _ in range(3)]
    _, obs = env.reset(KEY)
    theirs = [e.reset(seed=s)[0] for e, s in zip(hand, seeds_of(KEY, 3), strict=True)]
    np.testing.assert_array_equal(obs, np.array(theirs, np.float32))
    hand[0].action_space.seed(0)
    total, ended = np.zeros(3), 0
    for _ in range(450):
        action = np.array([hand[0].action_space.sample() for _ in range(3)])
        _, step = env.step((), action)
        for i, e in enumerate(hand):
            o, reward, terminated, truncated, _ = e.step(action[i])
            np.testing.assert_array_equal(step.next_obs[i], o.astype(np.float32))
            assert (step.terminated[i], step.truncated[i]) == (terminated, truncated)
            assert step.reward[i] == np.float32(reward)
            total[i] += reward
            assert step.ep_return[i] == np.float32(total[i])
            if terminated or truncated:
                o, total[i], ended = e.reset()[0], 0, ended + 1
            np.testing.assert_array_equal(step.obs[i], o.astype(np.float32))
    assert ended >= 3
    assert step.obs.dtype == step.reward.dtype == step.ep_return.dtype == np.float32


def test_C2_a_time_limit_is_not_a_death():
    env = make("gymnasium:Pendulum-v1?max_episode_steps=7", 2)
    env.reset(KEY)
    ends = [env.step((), np.zeros((2, 1), np.float32))[1] for _ in range(21)]
    assert [t for t, s in enumerate(ends) if s.truncated.all()] == [6, 13, 20]
    assert not any(s.terminated.any() for s in ends)
    assert all((s.obs != s.next_obs).any() == s.done.any() for s in ends)


class Lives(gymnasium.Env):
    """A game of three lives, of which one is lost every other frame; it is over with the last, or after five frames."""

    observation_space, action_space = (
        gymnasium.spaces.Box(0, 9, (1,), np.float32),
        gymnasium.spaces.Discrete(2),
    )

    def __init__(self, frames: int):
        self.frames = frames

    def reset(self, *, seed=None, options=None):
        self.frame = 0
        return np.zeros(1, np.float32), {"lives": 3}

    def step(self, action):
        self.frame += 1
        lives, over = 3 - self.frame // 2, self.frame >= self.frames
        return np.full(1, self.frame, np.float32), 1.0, lives == 0, over, {"lives": lives}


def test_C2_a_lost_life_is_a_death_and_the_game_goes_on() -> None:
    """After it the next episode begins in the same game, one frame on; a time limit stays one."""
    env = EpisodicLife(Lives(frames=9))
    assert env.reset()[0] == 0
    ends = [env.step(0)[2:4] for _ in range(2)]
    assert ends == [(False, False), (True, False)]
    assert env.reset()[0] == 3
    assert env.step(0)[2:4] == (True, False)
    assert env.reset()[0] == 5
    assert env.step(0)[2:4] == (True, False)  # the last life: the game is over
    assert env.reset()[0] == 0
    short = EpisodicLife(Lives(frames=1))
    short.reset()
    assert short.step(0)[2:4] == (False, True)
    assert short.reset()[0] == 0


def test_C2_a_death_on_the_last_step_allowed_is_a_death():
    limit = 9
    env = make(f"gymnasium:CartPole-v1?max_episode_steps={limit}", 64)
    env.reset(KEY)
    for _ in range(limit):
        _, step = env.step((), np.ones(64, int))
        if step.ep_length[0] == limit:
            break
    # Pushed to one side a pole falls within 8 to 10 env steps: some fall on the very last.
    at_limit = step.ep_length == limit
    fallen = np.abs(step.next_obs[:, 2]) > 12 * np.pi / 180
    assert (at_limit & fallen).any()
    assert (at_limit & ~fallen).any()
    np.testing.assert_array_equal(step.terminated[at_limit], fallen[at_limit])
    np.testing.assert_array_equal(step.truncated[at_limit], ~fallen[at_limit])


class Echo(gymnasium.Env):
    """Observes the action it received."""

    action_space = gymnasium.spaces.Box(
        np.array([-1, 0, 10], np.float32), np.array([3, 0.5, 20], np.float32), dtype=np.float32
    )
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def reset(self, *, seed=None, options=None):
        return np.zeros(3), {}

    def step(self, action):
        assert action in self.action_space
        return action.astype(np.float64), 0.0, False, False, {}


@pytest.mark.parametrize("policy, received", [(-1, [-1, 0, 10]), (0, [1, 0.25, 15]), (7, [3, 0.5, 20])])
def test_C13_bounds_differ_per_dimension_and_need_not_be_symmetric(policy, received):
    env = make(Echo(), 1)
    assert env.action_space == Box.of([-1, 0, 10], [3, 0.5, 20], (3,))
    assert env.observation_space == Box.of(-np.inf, np.inf, (3,))  # float64 arrives as float32
    env.reset(KEY)
    _, step = env.step((), to_env(env.action_space, jax.numpy.full((1, 3), float(policy))))
    np.testing.assert_allclose(step.obs[0], received)


@pytest.mark.parametrize("num_envs", [1, 2, 7])
def test_C26_every_environment_steps_and_none_is_lost(num_envs):
    env = make(Counting, num_envs)
    env.reset(KEY)
    _, step = env.step((), np.arange(num_envs) % 5)
    assert step.reward.tolist() == [i % 5 for i in range(num_envs)]
    with pytest.raises(ConfigError, match="actions of shape"):
        env.step((), np.zeros(num_envs + 1, int))


def test_a_part_is_what_a_stand_alone_environment_is():
    whole, alone = make("gymnasium:CartPole-v1", 5), make("gymnasium:CartPole-v1", 2)
    whole.reset(jax.random.key(0))
    part = whole.part(3, 2)
    np.testing.assert_array_equal(part.reset(KEY)[1], alone.reset(KEY)[1])
    for t in range(60):
        _, one = whole.step((), np.full(5, t % 3 == 0))
        _, two = alone.step((), np.full(2, t % 3 == 0))
        for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
            np.testing.assert_array_equal(x[3:], y)
    lengths = one.ep_length.copy()
    part.step((), np.zeros(2, int))  # and nothing else moves
    assert whole.step((), np.zeros(5, int))[1].ep_length[:3].tolist() == [
        1 if d else n + 1 for n, d in zip(lengths[:3], one.done[:3], strict=True)
    ]
    with pytest.raises(ConfigError, match="no rows 4 to 5"):
        whole.part(4, 2)


def test_a_part_of_gymnasiums_vector_environment_is_seeded_alone():
    whole, alone = (
        wrap(SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 5)),
        make("gymnasium:CartPole-v1", 2),
    )
    _, before = whole.reset(jax.random.key(0))
    np.testing.assert_array_equal(whole.part(2, 2).reset(KEY)[1], alone.reset(KEY)[1])
    _, step = whole.step((), np.zeros(5, int))
    np.testing.assert_array_equal(step.obs[2:4], alone.step((), np.zeros(2, int))[1].obs)
    moved = np.abs(step.obs[:, 0] - before[:, 0]) < 0.01  # the others go on from where they were
    assert moved[[0, 1, 4]].all()
    with pytest.raises(ConfigError, match="steps all of its rows or none"):
        whole.part(2, 2).step((), np.zeros(2, int))


def test_seeds_are_children_of_the_key_not_neighbours():
    many = [seed for k in range(50) for seed in seeds_of(jax.random.key(k), 20)]
    assert len(set(many)) == len(many)
    assert seeds_of(KEY, 3) == seeds_of(KEY, 5)[:3]
    assert not any(b - a == 1 for a, b in pairwise(many))


def test_a_key_fixes_the_whole_stream_over_several_episodes():
    def play(key):
        env = make("gymnasium:CartPole-v1", 2)
        env.reset(jax.random.key(77))  # what was before does not matter
        return np.stack([env.reset(key)[1], *(env.step((), np.ones(2, int))[1].obs for _ in range(50))])

    np.testing.assert_array_equal(play(KEY), play(KEY))
    assert (play(KEY) != play(jax.random.key(4))).any(-1).all()


def test_environments_on_the_host_are_not_shared():
    assert make("gymnasium:CartPole-v1", 2) is not make("gymnasium:CartPole-v1", 2)


class Pixels(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (4, 5, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.full((4, 5, 3), 255, np.uint8), {}

    def step(self, action):
        return np.zeros((4, 5, 3), np.uint8), 0.0, False, False, {}


def test_images_keep_their_dtype_and_integers_are_int32():
    env = make(Pixels, 2)
    assert env.observation_space == Box.of(0, 255, (4, 5, 3), "uint8")
    assert env.reset(KEY)[1].dtype == np.uint8
    lake = make("gymnasium:FrozenLake-v1", 2)
    assert lake.observation_space == Discrete(16)
    assert lake.reset(KEY)[1].dtype == np.int32


def test_bare_names_of_gymnasium_are_found_after_those_on_the_device():
    assert canonical("CartPole-v1") == "gymnax:CartPole-v1"
    assert canonical("HalfCheetah-v5") == "gymnasium:HalfCheetah-v5"
    assert canonical("Taxi-v4?is_rainy=true") == "gymnasium:Taxi-v4?is_rainy=true"


def test_the_names_that_are_listed_exist_and_are_the_newest():
    _register_robotics()
    for name in SUITES["gymnasium"]:
        if not name.startswith("ALE/"):
            base, _, version = name.rpartition("-v")
            versions = [i.rpartition("-v")[2] for i in gymnasium.registry if i.rpartition("-v")[0] == base]
            assert version == max(versions, key=int)


@pytest.mark.parametrize(
    "name, says",
    [
        ("gymnasium:CartPol-v1", "did you mean 'CartPole-v1'"),
        ("HalfCheeta-v5", "did you mean 'HalfCheetah-v5'"),
        ("gymnasia:CartPole-v1", "did you mean 'gymnasium'"),
        ("gymnasium:CartPole-v1?vectorization=threads", "vectorization is 'sync' or 'async'"),
        ("gymnasium:CartPole-v1?sync", "'sync' is not an option"),
        ("gymnasium:CartPole-v1?wheels=3", "unexpected keyword argument 'wheels'"),
        ("gymnasium:no_such_module:Env-v0", "No module named 'no_such_module'"),
        ("gymnasium:Blackjack-v1", "observation spaces of kind Tuple are not supported"),
    ],
)
def test_what_cannot_be_opened_says_what_to_do(name, says):
    with pytest.raises(ConfigError, match=says.replace("(", "\\(")):
        make(name, 2)


@pytest.mark.parametrize(
    "space, says",
    [
        (gymnasium.spaces.MultiDiscrete([2, 3]), "action spaces of kind MultiDiscrete"),
        (gymnasium.spaces.MultiBinary(3), "action spaces of kind MultiBinary"),
        (
            gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(2)}),
            "action spaces of kind Dict are not supported",
        ),
        (gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)]), "kind Tuple.* in a gymnasium.ActionWrapper"),
        (gymnasium.spaces.Text(3), "action spaces of kind Text.* in a gymnasium.ActionWrapper"),
        (gymnasium.spaces.Box(-1, 1, (0,)), r"a Box of shape \(0,\) has no entries"),
        (gymnasium.spaces.Box(-(2**40), 2**40, (1,), np.int64), "more than 2\\^24 integers"),
        (gymnasium.spaces.Box(2**40, 2**40 + 1, (1,), np.int64), "nor beyond int32"),
    ],
)
def test_spaces_without_a_counterpart_are_named(space, says):
    env = Counting()
    env.action_space = space
    with pytest.raises(ConfigError, match=says):
        make(env, 1)


class Uncopied(Counting):
    def __deepcopy__(self, memo):
        raise TypeError("holds a handle")


class Unbatched(Counting):
    def reset(self, *, seed=None, options=None):
        return np.zeros(3), {}


class ByOthers(gymnasium.vector.VectorEnv):
    """A vector environment of another make: one number seeds it, and it has no counterpart of NEXT_STEP."""

    num_envs, metadata = 2, {"autoreset_mode": AutoresetMode.NEXT_STEP}
    single_observation_space, single_action_space = Counting.observation_space, Counting.action_space


@pytest.mark.parametrize(
    "bring, says",
    [
        (lambda: make(Uncopied(), 2), "pass a constructor instead"),
        (lambda: make(lambda: 3, 2), "must return a gymnasium.Env, not int"),
        (lambda: make(SyncVectorEnv([Counting] * 2), 3), "num_envs=2, the algorithm wants 3"),
        (lambda: make(ByOthers(), 2), "resets in mode NEXT_STEP.* open it with autoreset_mode="),
        (lambda: wrap(Counting(), 2, "async"), "needs a constructor"),
        (lambda: make(Counting, 0), "num_envs must be at least 1"),
    ],
)
def test_what_cannot_be_wrapped_says_what_to_do(bring, says):
    with pytest.raises(ConfigError, match=says):
        bring()


def test_an_observation_of_another_shape_is_a_fault_of_the_environment():
    with pytest.raises(EnvironmentFault, match=r"observations have the shapes \(3,\)"):
        make(Unbatched, 2).reset(KEY)


def test_processes_that_reset_on_the_next_step_are_refused():
    vector = AsyncVectorEnv([Counting], context="spawn")
    try:
        with pytest.raises(ConfigError, match="AsyncVectorEnv resets in mode NEXT_STEP"):
            wrap(vector)
    finally:
        vector.close()


def test_a_missing_extra_is_named(monkeypatch):
    def absent(*args, **kwargs):
        raise gymnasium.error.DependencyNotInstalled("MuJoCo is not installed")

    monkeypatch.setattr(gymnasium, "make", absent)
    with pytest.raises(ConfigError, match=r"pip install 'swingup\[mujoco\]'"):
        make("HalfCheetah-v5", 1)
    with pytest.raises(ConfigError, match=r"pip install 'swingup\[box2d\]'"):
        make("LunarLander-v3", 1)


def test_half_cheetah_steps_in_float32():
    pytest.importorskip("mujoco", reason="the extra `mujoco` is not installed")
    env = make("HalfCheetah-v5", 2)
    env.reset(KEY)
    _, step = env.step((), np.zeros((2, 6), np.float32))
    assert step.obs.shape == (2, 17)
    assert step.obs.dtype == np.float32
    assert not step.done.any()


def test_environments_on_the_device_import_no_other():
    code = (
        "import sys; from swingup.envs import make, canonical; make('probe:TimeLimit', 2); canonical('CartPole-v1'); "
        "bad = {'gymnasium', 'mujoco', 'envpool', 'ale_py'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
