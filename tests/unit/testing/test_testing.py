"""The conformance kit is tested: sound environments pass, and every seeded fault is found under its own name."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from test_hindsight import Silent
from test_pure import Stay, by_clock
from toy_games import FAULTY, Ends

from swingup.envs import Vec, make
from swingup.errors import ConfigError
from swingup.protocols import VecEnv
from swingup.spaces import Box, Discrete
from swingup.testing import FAULTS, NOTES, CheckOptions, check_env, command
from swingup.types import Step, Transition


class Walk(gymnasium.Env):
    """A random walk that the action pushes: it terminates beyond 1 and is cut off after 20 env steps."""

    observation_space = gymnasium.spaces.Box(-5, 5, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = self.np_random.uniform(-0.1, 0.1), 0
        return self.observe(), {}

    def step(self, action):
        self.place += 0.2 * (action - 1) + 0.1 * self.np_random.normal()
        self.time += 1
        return self.observe(), float(self.place), bool(abs(self.place) > 1), self.time >= 20, {}

    def observe(self):
        return np.array([self.place, self.time / 10], np.float32)


# --- faults of a Gymnasium environment ---------------------------------------------------------------------


class ResetReturnsObs(Walk):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class ResetWithoutSeed(Walk):
    def reset(self):
        return super().reset()


class ResetRaises(Walk):
    def reset(self, *, seed=None, options=None):
        raise ValueError("no track")


class InfoIsNone(Walk):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], None


class FourValues(Walk):
    def step(self, action):
        obs, reward, terminated, _, info = super().step(action)
        return obs, reward, terminated, info


class RefusesAnAction(Walk):
    def step(self, action):
        if action == 2 and self.time > 3:
            raise RuntimeError("the arm is stuck")
        return super().step(action)


class WrongShape(Walk):
    def observe(self):
        return super().observe()[:1]


class WrongType(Walk):
    def observe(self):
        return super().observe().astype(np.float64)


class OutOfBounds(Walk):
    def observe(self):
        return super().observe() * [1, 3] + np.float32([0, 0.5]) if self.time > 15 else super().observe()


class OutOfBoundsFloat32(OutOfBounds):
    def observe(self):
        return super().observe().astype(np.float32)


class NotANumber(Walk):
    def observe(self):
        return super().observe() * np.float32(np.nan if self.time == 15 else 1)


class NoReward(Walk):
    def step(self, action):
        obs, _, *rest = super().step(action)
        return obs, None, *rest


class InfiniteReward(Walk):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, -np.inf if self.time == 12 else reward, *rest


class IntegerFlag(Walk):
    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, int(terminated), truncated, info


class GlobalGenerator(Walk):
    def step(self, action):
        self.place += GLOBAL.normal()
        return super().step(action)


GLOBAL = np.random.default_rng(0)


class IgnoresSeed(Walk):
    built = 0

    def __init__(self):
        type(self).built += 1
        self.number = self.built

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=None if seed is None else self.number)


class SeedsEachEpisode(Walk):
    def reset(self, *, seed=None, options=None):
        self.seed = self.seed if seed is None else seed
        return super().reset(seed=self.seed)


class ManyActions(Walk):
    action_space = gymnasium.spaces.MultiDiscrete([2, 3])


class Pushed(Walk):
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def step(self, action):
        return super().step(float(action[0]) + 1)


class WritesIntoAction(Pushed):
    def step(self, action):
        action *= 0.5
        return super().step(action)


class OneBuffer(Walk):
    def observe(self):
        self.buffer = getattr(self, "buffer", np.zeros(2, np.float32))
        self.buffer[:] = super().observe()
        return self.buffer


class NeverEnds(Walk):
    def step(self, action):
        obs, reward, *_ = super().step(action)
        self.place, self.time = self.place * 0.9, 1 + self.time % 10
        return obs, reward, False, False, {}


class LimitAsDeath(NeverEnds):
    def reset(self, *, seed=None, options=None):
        self.count = 0
        return super().reset(seed=seed)

    def step(self, action):
        self.count += 1
        return *super().step(action)[:2], self.count == 30, False, {}


class IgnoresActions(Walk):
    def step(self, action):
        return super().step(1)


class CannotBeCopied(Walk):
    def __deepcopy__(self, memo):
        raise TypeError("holds a handle")


class CountsBeyondInt32(Walk):
    observation_space = gymnasium.spaces.Box(0, 2**40, (1,), np.int64)

    def observe(self):
        return np.array([2**31 if self.time == 15 else self.time])


class LeavesTheTable(Walk):
    observation_space = gymnasium.spaces.Discrete(15)

    def observe(self):
        return self.time


class HugeReward(Walk):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, 1e39 if self.time == 12 else reward, *rest


class NoFlag(Walk):
    def step(self, action):
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, None if self.time == 12 else terminated, truncated, info


class OwnStatistics(gymnasium.Wrapper):
    def __init__(self, env):
        super().__init__(env)
        self.running = gymnasium.wrappers.utils.RunningMeanStd(shape=(2,))


class ArrayReward(Walk):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, np.array([reward]), *rest


THE_SAME = Walk()
GYMNASIUM = {
    "reset-returns": ResetReturnsObs,
    "reset-seed": ResetWithoutSeed,
    "reset-raises": ResetRaises,
    "info": InfoIsNone,
    "step-returns": FourValues,
    "step-raises": RefusesAnAction,
    "obs-shape": WrongShape,
    "obs-dtype": WrongType,
    "obs-bounds": OutOfBoundsFloat32,
    "obs-nonfinite": NotANumber,
    "reward-type": NoReward,
    "reward-nonfinite": InfiniteReward,
    "flag-type": IntegerFlag,
    "not-deterministic": GlobalGenerator,
    "key-ignored": IgnoresSeed,
    "episodes-equal": SeedsEachEpisode,
    "space-kind": ManyActions,
    "action-changed": WritesIntoAction,
    "constructor-shares": lambda: THE_SAME,
    "cannot-open": CannotBeCopied(),
    "obs-shared": OneBuffer,
    "never-ends": NeverEnds,
    "time-limit-as-death": LimitAsDeath,
    "actions-ignored": IgnoresActions,
    "obs-cast": CountsBeyondInt32,
    "reward-cast": HugeReward,
    "flag-cast": NoFlag,
    "running-statistics": lambda: gymnasium.wrappers.NormalizeReward(Walk()),
    "statistics-suspected": lambda: OwnStatistics(Walk()),
}


# --- faults of a vector environment ------------------------------------------------------------------------


class Altered(VecEnv):
    """A sound vector environment whose answers something spoils."""

    def __init__(self, spoil, first=lambda obs: obs):
        self._env, self._spoil, self._first = make(Walk, 4), spoil, first
        self.jittable, self.stateful = False, True
        self.name, self.num_envs, self.draw = "Altered", 4, self._env.draw
        self.observation_space, self.action_space = self._env.observation_space, self._env.action_space
        self.memory = {}

    def reset(self, key):
        self.memory.clear()
        return (), self._first(self._env.reset(key)[1])

    def step(self, state, action, noise):
        return (), self._spoil(self, self._env.step((), action)[1])


class Naive(VecEnv):
    """Auto-reset as it is often written: `mode` says how."""

    name, num_envs, jittable, stateful = "Naive", 4, False, True
    observation_space, action_space = make(Walk, 1).observation_space, make(Walk, 1).action_space

    def __init__(self, mode):
        self.mode, self.envs = mode, [Walk() for _ in range(4)]

    def reset(self, key):
        seeds = jax.random.randint(key, 4, 0, 2**30).tolist()
        self.over, self.total, self.length = np.zeros(4, bool), np.zeros(4), np.zeros(4, int)
        return (), np.stack([e.reset(seed=s)[0] for e, s in zip(self.envs, seeds, strict=True)])

    def draw(self, key, num_steps):
        return ()

    def step(self, state, action, noise):
        rows = []
        for i, env in enumerate(self.envs):
            if self.over[i] and self.mode == "dead-transition":
                rows.append((env.reset()[0], 0.0, False, False, {}))
            else:
                rows.append(env.step(action[i]))
        next_obs, reward, terminated, truncated = (np.array(x) for x in list(zip(*rows, strict=True))[:4])
        self.total, self.length = np.where(self.over, 0, self.total), np.where(self.over, 0, self.length)
        self.total, self.length = self.total + reward, self.length + 1
        truncated &= ~terminated
        self.over = terminated | truncated
        if self.mode == "final-obs-lost":
            for i in np.flatnonzero(self.over):
                next_obs[i] = self.envs[i].reset()[0]
        if self.mode == "no-reset":
            for i in np.flatnonzero(self.over):
                self.envs[i].time, self.envs[i].place = 1, 0.9
        numbers = reward, terminated, truncated, self.total, self.length
        return (), Step(
            next_obs.copy(), next_obs, *(n.astype(np.float32) if n.dtype == float else n for n in numbers)
        )


def same_arrays(env, step):
    for name, x in step._asdict().items():
        if x is not None:  # there are no masks
            np.copyto(env.memory.setdefault(name, x.copy()), x)
    return Step(**env.memory)


def first_row(x):
    return None if x is None else np.repeat(x[:1], 4, 0)  # there are no masks


def total_of_signs(env, step):
    env.memory["sum"] = env.memory.get("sum", 0) + np.sign(step.reward)
    out = step._replace(ep_return=env.memory["sum"])
    env.memory["sum"] = np.where(step.done, 0, env.memory["sum"])
    return out


def without(name):
    env = Altered(lambda env, step: step)
    delattr(env, name)
    return env


def with_(name, value):
    env = Altered(lambda env, step: step)
    setattr(env, name, value)
    return env


VECTOR = {
    "overwritten": Altered(same_arrays),
    "both-ends": Altered(lambda env, step: step._replace(truncated=step.done)),
    "obs-jumps": Altered(lambda env, s: s._replace(obs=np.where(s.done[:, None], s.obs, s.obs + 1))),
    "ep-length": Altered(lambda env, step: step._replace(ep_length=step.ep_length - 1)),
    "ep-return": Altered(total_of_signs),
    "rows-equal": Altered(lambda env, step: Step(*map(first_row, step)), lambda obs: first_row(obs)),
    "reward-shape": Altered(lambda env, step: step._replace(reward=step.reward[:, None])),
    "reward-dtype": Altered(lambda env, step: step._replace(reward=step.reward.astype(np.float64))),
    "flag-shape": Altered(lambda env, step: step._replace(terminated=step.terminated.any())),
    "num-envs": with_("num_envs", 5),
    "attribute-missing": without("jittable"),
    "no-reset": Naive("no-reset"),
    "dead-transition": Naive("dead-transition"),
    "final-obs-lost": Naive("final-obs-lost"),
}
MORE_VECTOR = [
    ("obs-dtype", Altered(lambda env, step: step._replace(obs=step.obs.astype(np.float64)))),
    ("obs-shape", Altered(lambda env, step: step._replace(next_obs=step.next_obs[:, :1]))),
    ("flag-type", Altered(lambda env, step: step._replace(truncated=step.truncated.astype(np.float32)))),
    ("step-returns", Altered(lambda env, step: tuple(step))),
    ("space-kind", with_("action_space", gymnasium.spaces.Discrete(3))),
    ("ep-return", Altered(lambda env, step: step._replace(ep_return=step.ep_return - step.reward))),
]


# --- faults of a pure environment --------------------------------------------------------------------------


class Pure:
    """The walk again, as an `Env`."""

    name = "Pure"
    observation_space, action_space = Box.of(-5, 5, (2,)), Discrete(3)

    def reset(self, key):
        state = jax.random.uniform(key, (), minval=-0.1, maxval=0.1), jnp.int32(0)
        return state, self.observe(state)

    def step(self, state, action, key):
        place, time = state[0] + 0.2 * (action - 1) + 0.1 * jax.random.normal(key), state[1] + 1
        return (place, time), Transition(self.observe((place, time)), place, jnp.abs(place) > 1, time >= 20)

    def observe(self, state):
        return jnp.stack([state[0], state[1] / 10])


class PythonIf(Pure):
    def step(self, state, action, key):
        return super().step(state, action if state[0] > 0 else 0, key)


class CountsInFloats(Pure):
    def step(self, state, action, key):
        (place, time), t = super().step(state, action, key)
        return (place, time * 1.0), t


class KeepsCount(Pure):
    def __init__(self):
        self.calls = 0

    def step(self, state, action, key):
        self.calls += 1
        return super().step((state[0] + self.calls, state[1]), action, key)


class PlainTuple(Pure):
    def step(self, state, action, key):
        state, t = super().step(state, action, key)
        return state, tuple(t)


class StateAlone(Pure):
    def reset(self, key):
        return super().reset(key)[0] + (0,)


class Nameless(Pure):
    @property
    def name(self):
        raise AttributeError("name")


PURE = {
    "does-not-trace": PythonIf(),
    "state-changes-type": CountsInFloats(),
    "impure": KeepsCount(),
    "limit-in-done": Stay(by_clock),
}
MORE_PURE = [
    ("cannot-open", lambda: 3),
    ("cannot-open", lambda: 1 / 0),
    ("step-returns", PlainTuple()),
    ("reset-returns", StateAlone()),
    ("attribute-missing", Nameless()),
    ("does-not-trace", Vec(PythonIf(), 3)),
]
MORE_GYMNASIUM = [
    ("goal-reward", Silent),
    ("obs-cast", LeavesTheTable),
    ("running-statistics", lambda: gymnasium.wrappers.NormalizeObservation(Walk())),
    ("constructor-shares", lambda: gymnasium.wrappers.TimeLimit(THE_SAME, 9)),
]
CASES = [
    *GYMNASIUM.items(),
    *VECTOR.items(),
    *PURE.items(),
    *FAULTY.items(),
    *MORE_VECTOR,
    *MORE_PURE,
    *MORE_GYMNASIUM,
]


@pytest.mark.parametrize("code, env", CASES, ids=[f"{code}-{i}" for i, (code, _) in enumerate(CASES)])
def test_a_fault_is_found_under_its_own_name(code, env):
    found = check_env(env, env_steps=300)
    assert {f.code for f in found} == {code}
    (finding,) = found[:1]
    assert finding.note == (code in NOTES)
    assert "{" not in finding.what + finding.cure
    assert finding.what in str(finding)


def test_every_fault_and_note_has_an_environment_that_shows_it():
    assert {code for code, _ in CASES} == {*FAULTS, *NOTES}
    assert len(FAULTS) >= 25
    messages = [what for _, what, _ in [*FAULTS.values(), *NOTES.values()]]
    assert len(set(messages)) == len(messages)


@pytest.mark.parametrize(
    "env",
    [
        "gymnasium:CartPole-v1",
        "gymnasium:Pendulum-v1",
        Walk,
        Walk(),
        lambda: Pushed(),
        ArrayReward,
        Pure(),
        Vec(Pure(), 3),
        Ends(),
        Altered(lambda env, step: step),
        *[SyncVectorEnv([Walk] * 2, autoreset_mode=mode) for mode in AutoresetMode],
    ],
)
def test_sound_environments_pass(env):
    assert check_env(env, env_steps=300) == []


@pytest.mark.parametrize("name", ["CartPole-v1", "probe:TimeLimit"])
def test_environments_on_the_device_pass(name):
    assert [f.code for f in check_env(name, env_steps=128) if not f.note] == []


def test_one_environment_alone_can_be_checked():
    assert check_env(Walk(), num_envs=1, env_steps=300) == []


def test_an_environment_registered_by_the_user_is_checked_by_its_id():
    gymnasium.register("FaultyWalk-v0", IntegerFlag)
    gymnasium.register("SoundWalk-v0", Walk)
    try:
        assert [f.code for f in check_env("FaultyWalk-v0", env_steps=300)] == ["flag-type"]
        assert check_env("gymnasium:SoundWalk-v0", env_steps=300) == []
    finally:
        del gymnasium.registry["FaultyWalk-v0"], gymnasium.registry["SoundWalk-v0"]


def test_the_command_prints_findings_and_says_so_with_its_exit_code(capsys):
    assert command(CheckOptions("gymnasium:CartPole-v1", 2, 100)) == 0
    assert "gymnasium:CartPole-v1: no faults in 100 env steps of 2" in capsys.readouterr().out
    assert command(CheckOptions("gymnasium:Blackjack-v1", 2, 100)) == 1
    out = capsys.readouterr().out
    assert "fault  cannot-open" in out
    assert "1 fault in" in out
    with pytest.raises(ConfigError, match="did you mean 'CartPole-v1'"):
        command(CheckOptions("CartPol-v1", 2, 100))
    with pytest.raises(ConfigError, match="--num-envs"):
        command(CheckOptions("CartPole-v1", 0, 100))
