"""Who may use an environment, who closes it, and what it is called: one state, one user, one name."""

import functools
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnax.environments.classic_control.cartpole import CartPole

from swingup.envs import Hosted, Vec, identity, make, opened
from swingup.envs.adapters.gymnax import GymnaxEnv
from swingup.errors import ConfigError
from swingup.spaces import Box, Discrete
from swingup.types import Transition

KEY = jax.random.key(0)


class Line(gymnasium.Env):
    """Observes how many env steps old the episode is, and counts what is done to it."""

    observation_space = gymnasium.spaces.Box(0, 100, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    made: ClassVar[list] = []

    def __init__(self, length=10):
        self.length, self.time, self.closed, self.moved = length, 0, 0, 0
        self.made.append(self)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.moved = 0, self.moved + 1
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.time, self.moved = self.time + 1, self.moved + 1
        return np.array([self.time], np.float32), 1.0, False, self.time >= self.length, {}

    def close(self):
        self.closed += 1

    def __deepcopy__(self, memo):
        return type(self)(self.length)


@pytest.fixture
def made():
    Line.made.clear()
    return Line.made


def advance(env, env_steps):
    for _ in range(env_steps):
        _, step = env.step((), np.zeros(env.num_envs, int))
    return step


def vector(count=2):
    return SyncVectorEnv([Line] * count, autoreset_mode=AutoresetMode.DISABLED)


BROUGHT = {
    "constructor": lambda: Line,
    "object": Line,
    "wrapped object": lambda: gymnasium.wrappers.TimeLimit(Line(), 50),
    "vector environment": vector,
    "VecEnv from a constructor": lambda: make(Line, 2),
    "VecEnv from an object": lambda: make(Line(), 2),
    "VecEnv from a vector environment": lambda: make(vector(), 2),
    "wrapped vector environment": lambda: gymnasium.wrappers.vector.RecordEpisodeStatistics(vector()),
    "id": lambda: "gymnasium:CartPole-v1",
    "VecEnv from an id": lambda: make("gymnasium:CartPole-v1", 2),
}


@pytest.mark.parametrize("how", BROUGHT)
def test_a_fresh_environment_plays_beside_the_first_and_moves_nothing_of_it(how):
    """An evaluation in the middle of an episode: the training's stream is what it would have been."""
    streams = []
    for beside in (False, True):
        source = BROUGHT[how]()
        other = make(source, 2, fresh=True) if beside else None  # before the first is used
        first = make(source, 2)
        first.reset(KEY)
        stream = [advance(first, 3).next_obs]
        if other is not None:
            other.reset(jax.random.key(1))
            advance(other, 5)
            other.close()
        stream.append(advance(first, 4).next_obs)
        streams.append(np.stack(stream))
    np.testing.assert_array_equal(*streams)


@pytest.mark.parametrize("how", [h for h in BROUGHT if "id" not in h])
def test_what_was_opened_is_closed_once_and_what_was_passed_stays_open(how, made):
    source = BROUGHT[how]()
    theirs = list(made)
    envs = [make(source, 2, fresh=True), *([] if how.startswith("VecEnv") else [make(source, 2)])]
    for env in envs:
        env.reset(KEY)
        env.part(0, 1)
        env.close()
        env.close()
    assert [e.closed for e in made] == [0 if any(e is t for t in theirs) else 1 for e in made]
    assert len(made) - len(theirs) >= 2


def test_a_context_closes_after_an_error_and_leaves_a_vec_env_that_was_passed(made):
    with pytest.raises(KeyError), opened(Line, 3):
        raise KeyError
    assert [e.closed for e in made] == [1, 1, 1]
    mine = make(Line, 2)
    with opened(mine, 2) as env:
        assert env is mine
    assert not made[-1].closed
    with opened("CartPole-v1", 2) as env:
        assert env is make("CartPole-v1", 2)


def test_pure_environments_are_shared_and_change_their_size():
    env = make("CartPole-v1", 2)
    assert make(env, 2, fresh=True) is env
    assert make(env, 5, fresh=True).num_envs == 5
    assert make(Hosted(env), 3, fresh=True).num_envs == 3
    assert [e.stateful for e in (env, Hosted(env), make(Line, 1))] == [False, False, True]
    with pytest.raises(ConfigError, match="num_envs=2, the algorithm wants 3"):
        make(env, 3)


def test_a_fresh_one_has_what_was_set_after_it_was_made():
    """The spec alone would give an ordinary CartPole."""
    env = gymnasium.make("CartPole-v1")
    env.unwrapped.gravity = 25.0  # pyright: ignore[reportAttributeAccessIssue]
    falls = []
    for e in (make(env, 1, fresh=True), make(env, 1), make("gymnasium:CartPole-v1", 1)):
        e.reset(KEY)
        falls.append(advance(e, 5).next_obs)
    np.testing.assert_array_equal(falls[0], falls[1])
    assert (falls[0] != falls[2]).any()


class Uncopied(Line):
    def __deepcopy__(self, memo):
        raise TypeError("holds a handle")


SHARED = Line()


@pytest.mark.parametrize(
    "bring, says",
    [
        (lambda: make(Uncopied(), 1, fresh=True), "Uncopied cannot be copied.*pass a constructor"),
        (lambda: make(lambda: SHARED, 2), "same environment twice"),
        (lambda: make(lambda: gymnasium.wrappers.TimeLimit(SHARED, 5), 2), "same environment twice"),
        (
            lambda: make(gymnasium.wrappers.vector.ClipReward(vector(), -1, 1), 3, fresh=True),
            "pass the constructor",
        ),
        (lambda: make(make(Line, 2), 3), "num_envs=2, the algorithm wants 3"),
    ],
)
def test_what_cannot_have_a_second_one_says_what_to_do(bring, says):
    with pytest.raises(ConfigError, match=says):
        bring()


def test_a_constructor_that_returns_what_is_in_use_is_refused_until_it_is_closed():
    mine = Line()
    first = make(lambda: mine, 1)
    with pytest.raises(ConfigError, match="in use"):
        make(lambda: mine, 1, fresh=True)
    first.close()
    make(lambda: mine, 1).close()


# --- identity ----------------------------------------------------------------------------------------------


class Params(NamedTuple):
    goal: float = 0.5


class OnDevice:
    name = "OnDevice"
    observation_space, action_space = Box.of(-1, 1, (1,)), Discrete(2)

    def __init__(self, length=10, table=None, params=(0.5,)):
        self.length, self.table, self.params = length, table, params

    def reset(self, key):
        return jnp.int32(0), jnp.zeros(1)

    def step(self, state, action, key):
        return state + 1, Transition(jnp.zeros(1), jnp.float32(1), jnp.bool_(False), state >= self.length)


@dataclass
class Factory:
    length: int

    def __call__(self):
        return Line(self.length)

    def build(self):
        return Line(self.length)


def plain():
    return Line()


def with_length(n):
    return lambda: Line(n)


HERE = __name__
TOLD_APART = [
    (Line, functools.partial(Line, length=9)),
    (functools.partial(Line, length=8), functools.partial(Line, length=9)),
    (lambda: Line(8), lambda: Line(9)),
    (with_length(8), with_length(9)),
    (lambda n=8: Line(n), lambda n=9: Line(n)),
    (Factory(8), Factory(9)),
    (Factory(8).build, Factory(9).build),
    (OnDevice(8), OnDevice(9)),
    (OnDevice(table=np.zeros(500)), OnDevice(table=np.eye(20).ravel())),
    (OnDevice(params=Params(0.1)), OnDevice(params=Params(0.2))),
    (gymnasium.make("Pendulum-v1", g=9.0), gymnasium.make("Pendulum-v1", g=10.0)),
    (gymnasium.make("Pendulum-v1"), gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), -1, 1)),
    (gymnasium.wrappers.TimeLimit(Line(), 8), gymnasium.wrappers.TimeLimit(Line(), 9)),
    (make(lambda: Line(8), 2), make(lambda: Line(9), 2)),
    (SyncVectorEnv([with_length(8)]), SyncVectorEnv([with_length(9)])),
    (GymnaxEnv(CartPole()), GymnaxEnv(CartPole(), CartPole().default_params.replace(gravity=1.6))),
    ("gymnasium:Pendulum-v1", "gymnasium:Pendulum-v1?g=9"),
    (make("gymnasium:Pendulum-v1", 1), make("gymnasium:Pendulum-v1?g=9", 1)),
]


@pytest.mark.parametrize("pair", TOLD_APART, ids=range(len(TOLD_APART)))
def test_environments_that_differ_have_names_that_differ(pair):
    assert identity(pair[0]) != identity(pair[1])


@pytest.mark.parametrize(
    "env, name",
    [
        (Line, f"custom:{HERE}.Line"),
        (Line(), f"custom:{HERE}.Line"),
        (plain, f"custom:{HERE}.plain"),
        (functools.partial(Line, length=8), f"custom:{HERE}.Line(length=8)"),
        (functools.partial(Line, 8, render_mode="rgb_array"), f"custom:{HERE}.Line(8)"),
        (Factory(8), f"custom:{HERE}.Factory(length=8)"),
        (gymnasium.wrappers.TimeLimit(Line(), 8), f"custom:{HERE}.Line|TimeLimit(max_episode_steps=8)"),
        (make(Line, 3), f"custom:{HERE}.Line"),
        (Vec(OnDevice(8), 3), identity(OnDevice(8))),
        (make("CartPole-v1", 3), "gymnax:CartPole-v1"),
        (GymnaxEnv(CartPole()), identity(CartPole())),
        (make("gymnasium:Pendulum-v1?g=9", 3), "gymnasium:Pendulum-v1?g=9"),
        ("Ant-v5?a=b:c&d=1", "gymnasium:Ant-v5?a=b:c&d=1"),
    ],
)
def test_the_name_is_module_name_and_arguments(env, name):
    assert identity(env) == name


def test_a_name_does_not_change_while_the_environment_plays():
    source = gymnasium.wrappers.TimeLimit(Line(), 8)
    before = identity(source)
    env = make(source, 1)
    env.reset(KEY)
    advance(env, 11)
    assert identity(source) == identity(env) == before


def test_a_lambda_has_one_name_in_every_process_and_file(tmp_path):
    script = "{blank}import sys\nfrom swingup.envs import identity\nprint(identity(lambda n=8: n in {{1, 2, 'a'}}))\n"
    names = []
    for i in range(2):
        path = tmp_path / f"script_{i}.py"
        path.write_text(script.format(blank="\n" * i))
        names.append(subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True))
    assert names[0].stdout == names[1].stdout
    assert names[0].stdout.startswith("custom:__main__.<lambda>#")
