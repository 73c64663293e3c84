"""What crosses the boundary between an environment and the learner keeps its value, or is refused with a cure.

Every test steps an environment that answers one thing in another way than a sound one.
"""

import re
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from swingup.envs import make
from swingup.errors import ConfigError, EnvironmentFault, RunningStatisticsWarning
from swingup.spaces import Box, Discrete, to_env

KEY = jax.random.key(0)
BOX = spaces.Box(-10, 10, (2,), np.float32)


class Says(gymnasium.Env):
    """Answers what it is told to, from env step `late` on; before that, and otherwise, it is sound."""

    def __init__(self, space=BOX, obs=None, late=0, **answers):
        self.observation_space, self.action_space = space, answers.pop("action_space", spaces.Discrete(2))
        self.counted = isinstance(space, spaces.Discrete)
        self.obs, self.late, self.answers, self.time, self.received = obs, late, answers, 0, []

    def answer(self, name, sound):
        value = self.answers.get(name, sound) if self.time >= self.late else sound
        return value(self) if callable(value) else value

    def observe(self):
        if self.obs is not None and self.time >= self.late:
            return self.obs
        return self.observation_space.start if self.counted else self.observation_space.sample() * 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, action):
        self.time += 1
        self.received.append(np.array(action))
        flags = self.answer("terminated", False), self.answer("truncated", False)
        return self.observe(), self.answer("reward", 1.0), *flags, self.answer("info", {})


def played(env: Any, env_steps: int = 3, num_envs: int = 2) -> tuple[np.ndarray, Any]:
    """The first observations and the last `Step` of two such environments."""
    vec: Any = make(env, num_envs)
    _, first = vec.reset(KEY)
    step: Any = None
    for _ in range(env_steps):
        step = vec.step(
            (), np.asarray(to_env(vec.action_space, np.zeros((num_envs, *vec.action_space.shape), int)))
        )[1]
    return first, step


# --- observations ------------------------------------------------------------------------------------------

BYTES, SHORT, LONG = (
    spaces.Box(0, 255, (2,), np.uint8),
    spaces.Box(-9, 9, (2,), np.int8),
    spaces.Box(0, 2**40, (2,), np.int64),
)
KEPT = [
    (BYTES, np.array([1, 255], np.int64), np.uint8),  # integers of another width that fit
    (BYTES, np.array([3.0, 7.0]), np.uint8),  # whole floats
    (BYTES, np.array([True, False]), np.uint8),
    (SHORT, [-3, 3], np.int8),  # a list
    (LONG, np.array([2**31 - 1, 0]), np.int32),
    (BOX, np.array([0.1, 1e-300]), np.float32),  # rounding is allowed
    (BOX, np.array([np.inf, -np.inf]), np.float32),  # the driver stops on these
    (BOX, np.array([2**24 + 1, 0]), np.float32),
    (BOX, np.array([0.5, 1.5], np.float16), np.float32),
    (spaces.Discrete(3), np.int64(2), np.int32),
    (spaces.Discrete(3), 2.0, np.int32),
    (spaces.Discrete(2), True, np.int32),
    (spaces.MultiBinary(2), np.array([1, 0], np.int8), np.int8),
    (spaces.MultiBinary(2), np.array([True, False]), np.int8),
    (spaces.Box(-1, 1, (), np.float32), np.float32(0.5), np.float32),
    (spaces.Box(-1, 1, (2, 2), np.float64), np.eye(2), np.float32),
]
LOST = [
    (BYTES, np.array([0.9, 0.0], np.float32), "0.9", "dtype of what reset and step return"),
    (BYTES, np.array([-1, 0]), "-1", "declare observation_space"),
    (BYTES, np.array([256, 0]), "256", "entries of uint8"),
    (BYTES, np.array([np.nan, 0]), "nan", "entries of uint8"),
    (BYTES, np.array([np.inf, 0]), "inf", "entries of uint8"),
    (SHORT, np.array([200, 0], np.uint8), "200", "entries of int8"),
    (LONG, np.array([2**31, 0]), str(2**31), "entries of int32"),
    (BOX, np.array([1e300, 0.0]), r"1e\+300", "rescale or clip it"),
    (BOX, np.array([1j, 0]), "1j", "dtype complex128"),
    (BOX, np.array(["1", "2"]), "'1'", "dtype <U1"),
    (BOX, np.array([Decimal(1), None]), "Decimal", "dtype object"),
    (spaces.Discrete(3), 3, "3", "the integers 0 to 2"),
    (spaces.Discrete(3), -1, "-1", "the integers 0 to 2"),
    (spaces.Discrete(3), 1.5, "1.5", "the integers 0 to 2"),
    (spaces.Discrete(3), "2", "'2'", "the integers 0 to 2"),
    (spaces.Discrete(3, start=5), 2, "2", "the integers 5 to 7"),
    (spaces.MultiBinary(2), np.array([2, 300]), "300", "entries of int8"),
    (spaces.Box(0, 1, (2,), bool), np.array([2, 0]), "2", "entries of bool"),
]
SHAPES = [
    (BOX, np.zeros((2, 1)), r"\(2, 1\), the space says \(2,\)"),
    (BOX, np.zeros(1), r"\(1,\), the space says"),
    (BOX, 0.0, r"float, the space says"),
    (BOX, (np.zeros(2), {}), "tuple, the space says"),
    (BOX, {"a": np.zeros(2)}, "dict, the space says"),
    (spaces.Discrete(3), np.array([1]), r"\(1,\), the space says \(\)"),
    (spaces.Box(-1, 1, ()), np.zeros(1), r"\(1,\), the space says \(\)"),
]


@pytest.mark.parametrize("space, obs, dtype", KEPT, ids=str)
def test_observations_that_fit_arrive_with_their_values(space, obs, dtype):
    first, step = played(lambda: Says(space, obs))
    for got in (first, step.obs, step.next_obs):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, np.array([obs, obs]).astype(dtype))


@pytest.mark.parametrize("late", [0, 3])
@pytest.mark.parametrize("space, obs, value, cure", LOST, ids=str)
def test_observations_that_would_change_their_value_are_refused(space, obs, value, cure, late):
    with pytest.raises(EnvironmentFault, match=f"Says: an observation holds.*{value}.*{cure}") as caught:
        played(lambda: Says(space, obs, late), 4)
    assert caught.value.code == "obs-cast"


@pytest.mark.parametrize("space, obs, says", SHAPES, ids=str)
def test_observations_of_another_shape_are_refused(space, obs, says):
    with pytest.raises(
        EnvironmentFault, match=f"observations have the shapes.*{says}.*change observation_space"
    ):
        played(lambda: Says(space, obs))


def test_one_row_of_several_is_enough_to_be_refused():
    rows = iter([np.zeros(2), np.zeros(3)])
    with pytest.raises(EnvironmentFault, match=r"the shapes \(2,\), \(3,\)"):
        played(lambda: Says(BOX, next(rows)))
    rows = iter([np.zeros(2, np.uint8), np.array([0.5, 0])])
    with pytest.raises(EnvironmentFault, match=r"0\.5"):
        played(lambda: Says(BYTES, next(rows)))


def test_numbers_that_begin_elsewhere_are_shifted_both_ways():
    made = []

    def build():
        made.append(Says(spaces.Discrete(3, start=5), 7, action_space=spaces.Discrete(2, start=-1)))
        return made[-1]

    env: Any = make(build, 2)
    assert (env.observation_space, env.action_space) == (Discrete(3), Discrete(2))
    assert env.reset(KEY)[1].tolist() == [2, 2]
    assert env.step((), np.array([0, 1]))[1].obs.tolist() == [2, 2]
    assert [e.received[-1].tolist() for e in made] == [-1, 0]
    assert all(e.received[-1].dtype == np.int64 for e in made)
    vector = SyncVectorEnv([build] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    env = make(vector, 2)
    assert env.reset(KEY)[1].tolist() == [2, 2]
    env.step((), np.array([0, 1]))
    assert [e.received[-1].tolist() for e in made[-2:]] == [-1, 0]


# --- rewards and flags -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reward", [2, 2.0, np.float16(2), np.int64(2), np.array([2.0]), [2.0], np.array([[2]]), np.array(2)]
)
def test_rewards_may_be_any_number_and_arrays_of_size_one(reward):
    _, step = played(lambda: Says(reward=reward))
    assert step.reward.dtype == np.float32
    assert step.reward.tolist() == [2, 2]
    assert step.ep_return.tolist() == [6, 6]


@pytest.mark.parametrize(
    "reward, says",
    [
        (None, "a reward is None, not a number"),
        ("1.0", "a reward is '1.0', not a number"),
        (np.array([1.0, 2.0]), r"a reward is an array of shape \(2,\), not a number"),
        (np.zeros(0), r"shape \(0,\)"),
        (Decimal("NaN"), r"a reward is Decimal\('NaN'\)"),
        (1j, "a reward is 1j"),
        ({}, r"a reward is \{\}"),
        (1e39, r"a reward is 1e\+39, which float32 cannot hold: scale rewards down"),
        (-(10**60), r"a reward is .*, (which float32|not a number)"),
    ],
)
@pytest.mark.parametrize("late", [0, 3])
def test_rewards_that_are_no_float32_are_refused(reward, says, late):
    with pytest.raises(EnvironmentFault, match=says):
        played(lambda: Says(reward=reward, late=late), 4)


def test_infinite_rewards_are_left_to_the_driver_that_says_when_they_came():
    assert played(lambda: Says(reward=np.inf))[1].reward.tolist() == [np.inf] * 2
    assert np.isnan(played(lambda: Says(reward=float("nan")))[1].reward).all()


@pytest.mark.parametrize(
    "flag", [True, np.True_, 1, np.int8(1), np.array([True]), np.array(True), [1], np.uint8(1)]
)
@pytest.mark.parametrize("field", ["terminated", "truncated"])
def test_flags_may_be_bools_and_the_integers_0_and_1(flag, field):
    _, step = played(lambda: Says(**{field: flag}))
    assert getattr(step, field).dtype == bool
    assert getattr(step, field).tolist() == [True, True]
    assert step.ep_length.tolist() == [1, 1]


@pytest.mark.parametrize(
    "flag", [None, "False", 0.5, 1.0, np.nan, 2, -1, np.array([True, False]), [], Decimal(1)]
)
@pytest.mark.parametrize("field", ["terminated", "truncated"])
@pytest.mark.parametrize("late", [0, 3])
def test_flags_that_are_neither_are_refused(flag, field, late):
    with pytest.raises(EnvironmentFault, match=f"{field} is .*: return a bool") as caught:
        played(lambda: Says(**{field: flag}, late=late), 4)
    assert caught.value.code == "flag-cast"


# --- the form of the answers -------------------------------------------------------------------------------


class OldReset(Says):
    def reset(self, seed=None, options=None):
        return np.zeros(2, np.float32)


class NoSeed(Says):
    def reset(self):
        return np.zeros(2, np.float32), {}


class NoInfo(Says):
    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), None


class OldStep(Says):
    def step(self, action):
        return np.zeros(2, np.float32), 1.0, True, {}


class ObsAlone(Says):
    def step(self, action):
        return np.zeros(2)


class SixValues(Says):
    def step(self, action):
        return *super().step(action), 0


@pytest.mark.parametrize(
    "kind, says",
    [
        (OldReset, "reset returned a ndarray, not two: that is the API of gym before 0.26; return obs, info"),
        (
            NoSeed,
            "reset of NoSeed takes no argument `seed`: that is the API of gym before 0.26; write def reset",
        ),
        (NoInfo, "reset returned a NoneType as its second value, not a dict"),
        (
            OldStep,
            "step returned 4 values: that is the API of gym before 0.26, whose `done` does not tell a time limit",
        ),
        (ObsAlone, "; return obs, reward, terminated, truncated, info"),
        (SixValues, "values; return obs, reward, terminated, truncated, info"),
        (lambda: Says(info=None), "info is a NoneType: return a dict"),
    ],
)
def test_answers_of_another_form_are_named(kind, says):
    for wrap in (lambda: kind(), lambda: gymnasium.wrappers.TimeLimit(kind(), 9)):
        with pytest.raises(EnvironmentFault, match=re.escape(says)):
            played(wrap)


def breaks(call):
    class Broken(Says):
        def reset(self, **how):
            if call == "reset" and self.time:
                raise ConnectionError("port 2000 is gone")
            return super().reset(**how)

        def step(self, action):
            if call == "step" and self.time == 2:
                raise ConnectionError("port 2000 is gone")
            return super().step(action)

    def build():
        if call == "the constructor":
            raise ConnectionError("port 2000 is gone")
        return Broken(terminated=lambda env: env.time == 2)

    return build


@pytest.mark.parametrize(
    "call, where",
    [
        ("reset", "environment 0 of 2, after 2 of its env steps"),
        ("step", "environment 0 of 2, after 2 of its env steps"),
        ("the constructor", "for environment 0"),
    ],
)
def test_an_exception_of_theirs_is_shown_as_theirs(call, where):
    with pytest.raises(
        EnvironmentFault, match=f"{call} raised ConnectionError: port 2000 is gone.*{where}"
    ) as caught:
        played(breaks(call), 4)
    assert type(caught.value.__cause__) is ConnectionError
    assert caught.traceback[-1].name != "raised"
    names = [frame.f_code.co_name for frame, _ in walk(caught.value.__cause__.__traceback__)]
    assert names[-1] in ("reset", "step", "build")  # their own line comes last


def walk(traceback):
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def test_what_was_opened_before_a_constructor_raises_is_closed():
    made = []

    def build():
        if len(made) == 2:
            raise OSError("no more ports")
        made.append(SimpleNamespace(closed=0))
        env = Says()
        env.close = lambda it=made[-1]: setattr(it, "closed", it.closed + 1)
        return env

    with pytest.raises(EnvironmentFault, match="no more ports"):
        make(build, 3)
    assert [m.closed for m in made] == [1, 1]


class Vector(VectorEnv):
    """A vector environment of another make, in SAME_STEP, that answers one thing in another way."""

    num_envs, metadata = 2, {"autoreset_mode": AutoresetMode.SAME_STEP}
    single_observation_space, single_action_space = BOX, spaces.Discrete(2)

    def __init__(self, **answers):
        self.answers = answers

    def reset(self, *, seed=None, options=None):
        return np.zeros((2, 2), np.float32), {}

    def step(self, action):
        if "raises" in self.answers:
            raise self.answers["raises"]
        sound = {
            "obs": np.zeros((2, 2), np.float32),
            "reward": np.zeros(2),
            "terminated": np.array([True, False]),
            "truncated": np.zeros(2, bool),
            "info": {"final_obs": np.array([np.ones(2), None], object)},
        }
        return tuple((sound | self.answers).values())


def test_a_sound_vector_environment_of_another_make_plays():
    _, step = played(Vector())
    assert step.next_obs.tolist() == [[1, 1], [0, 0]]
    _, step = played(
        Vector(reward=np.ones((2, 1)), terminated=np.array([0, 1]), info={"final_obs": [None, np.ones(2)]})
    )
    assert step.reward.tolist() == [1, 1]
    assert step.terminated.tolist() == [False, True]


@pytest.mark.parametrize(
    "answers, says",
    [
        ({"info": {"final_obs": np.array([np.full(2, 1e300), None], object)}}, r"1e\+300"),
        ({"info": {"final_obs": [None, None]}}, "observations have the shapes"),
        ({"info": {"final_obs": [np.zeros(3), None]}}, r"the shapes \(3,\)"),
        ({"obs": np.full((2, 2), -1e300)}, r"-1e\+300"),
        ({"obs": np.zeros((3, 2))}, "3 observations for 2 environments"),
        ({"reward": np.zeros((2, 2))}, "a reward is"),
        ({"reward": np.array([1.0, 1e40])}, r"a reward is 1e\+40"),
        ({"terminated": np.array([0.5, 0])}, r"terminated is 0\.5"),
        ({"truncated": np.zeros(3, bool)}, "terminated, truncated are .*one bool for each"),
        ({"raises": ValueError("bad cable")}, "step raised ValueError: bad cable .after 0 env steps of each"),
    ],
)
def test_vector_environments_are_held_to_the_same(answers, says):
    with pytest.raises(EnvironmentFault, match=says):
        played(Vector(**answers))


# --- actions -----------------------------------------------------------------------------------------------


def test_a_float32_action_never_leaves_a_box_of_float64():
    """0.1 as float32 is more than 0.1, and -0.3 less than -0.3."""
    box = spaces.Box(np.array([-0.3, 0.1, 0.1]), np.array([0.1, 0.7, 0.1]), dtype=np.float64)
    for batch in (False, True):
        envs = [Says(action_space=box), Says(action_space=box)]
        build = iter(envs).__next__
        env: Any = make(SyncVectorEnv([build] * 2) if batch else build, 2)
        env.reset(KEY)
        for a in (-1.0, 1.0, 0.3, np.inf, -7.0):
            env.step((), np.asarray(to_env(env.action_space, np.full((2, 3), a, np.float32))))
            for e in envs:
                assert box.contains(e.received[-1]), e.received[-1]
        np.testing.assert_allclose(envs[0].received[0], [-0.3, 0.1, 0.1], rtol=1e-6)
        np.testing.assert_allclose(envs[0].received[1], [0.1, 0.7, 0.1], rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (2, 2), (1,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int8])
def test_actions_arrive_with_the_shape_and_dtype_of_their_space(shape, dtype):
    env = Says(action_space=spaces.Box(-2, 3, shape, dtype))
    vec: Any = make(env, 1)
    vec.reset(KEY)
    for a in (-1.0, 0.2, 1.0):
        vec.step((), np.asarray(to_env(vec.action_space, np.full((1, *shape), a, np.float32))))
        assert env.received[-1] in env.action_space
    assert (env.received[0] == -2).all()
    assert (env.received[2] == 3).all()


# --- goals -------------------------------------------------------------------------------------------------


def goals(**more):
    vector = spaces.Box(-1, 1, (2,), np.float32)
    parts = {
        "achieved_goal": vector,
        "desired_goal": vector,
        "observation": spaces.Box(-1, 1, (1,), np.float32),
    }
    return spaces.Dict(parts | more)


def test_more_keys_than_goals_are_named():
    more = goals(time=spaces.Box(0, 1, (1,)), map=spaces.Box(0, 1, (3,)))
    with pytest.raises(
        ConfigError, match=r"has the keys .*time.*; .* of exactly achieved_goal.* Put map, time into"
    ):
        make(lambda: Says(more), 1)
    with pytest.raises(ConfigError, match=r"has the keys a; .*FlattenObservation"):
        make(lambda: Says(spaces.Dict({"a": BOX})), 1)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"desired_goal": np.zeros(1), "observation": np.zeros(2)}, r"part desired_goal has shape \(1,\)"),
        ({"time": 0}, "an observation is .*time.*, the space says a dictionary"),
        ({"observation": None}, "part observation has shape"),
        ({"observation": np.array([1e300])}, r"1e\+300"),
    ],
)
def test_the_parts_of_a_goal_observation_are_checked_each(change, says):
    obs = {"achieved_goal": np.zeros(2), "desired_goal": np.ones(2), "observation": np.full(1, 0.5)}
    first, _ = played(lambda: Says(goals(), obs))
    assert first.tolist() == [[0, 0, 1, 1, 0.5]] * 2
    with pytest.raises(EnvironmentFault, match=says):
        played(lambda: Says(goals(), obs | change))


# --- spaces without a counterpart --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "space, says",
    [
        (spaces.MultiDiscrete([2, 3]), "MultiDiscrete.*FlattenObservation, which makes each part one-hot"),
        (spaces.Tuple([spaces.Discrete(2)]), "Tuple.*FlattenObservation"),
        (spaces.Text(3), "Text.*encode it as numbers"),
        (spaces.Sequence(spaces.Discrete(2)), "Sequence.*pad it"),
        (spaces.Box(-1, 1, (0,), np.float32), "has no entries; a constant one"),
        (spaces.Box(-1, 1, (2, 0), np.float32), "has no entries"),
    ],
    ids=str,
)
def test_observation_spaces_without_a_counterpart_have_a_cure(space, says):
    with pytest.raises(ConfigError, match=says):
        make(Says(space), 1)


class Padded(spaces.Box):
    """A subclass is what it inherits from."""


def test_a_subclass_of_a_space_is_that_space():
    assert make(Says(Padded(-1, 1, (2,), np.float32)), 1).observation_space == Box.of(-1, 1, (2,))


def test_equal_bounds_are_legal():
    env = make(Says(spaces.Box(np.array([0, 0.5], np.float32), np.array([1, 0.5], np.float32))), 1)
    assert env.observation_space == Box.of([0, 0.5], [1, 0.5], (2,))


# --- wrappers that keep statistics -------------------------------------------------------------------------

wrappers = gymnasium.wrappers


class Renormalised(wrappers.NormalizeReward):
    """A subclass by a user."""


class OwnStatistics(gymnasium.ObservationWrapper):
    def __init__(self, env):
        super().__init__(env)
        self.running = wrappers.utils.RunningMeanStd(shape=(2,))

    def observation(self, observation):
        return observation


def frozen(env):
    env = wrappers.NormalizeObservation(env)
    env.update_running_mean = False
    return env


@pytest.mark.parametrize(
    "wrap, ours",
    [
        (wrappers.NormalizeReward, "normalise_reward=True"),
        (wrappers.NormalizeObservation, "normalise_obs=True"),
        (Renormalised, "normalise_reward=True"),
        (lambda env: wrappers.TimeLimit(wrappers.NormalizeObservation(env), 9), "normalise_obs=True"),
        (lambda env: frozen(wrappers.NormalizeReward(env)), "normalise_reward=True"),
    ],
)
def test_wrappers_with_running_statistics_are_refused_wherever_they_are(wrap, ours):
    for source in (lambda: wrap(Says()), wrap(Says()), SyncVectorEnv([lambda: wrap(Says())])):
        with pytest.raises(ConfigError, match=f"keeps running statistics of its own.*{ours}"):
            make(source, 1)


def test_so_are_those_around_a_vector_environment():
    env = wrappers.vector.NormalizeReward(SyncVectorEnv([Says] * 2))
    with pytest.raises(ConfigError, match="the wrapper NormalizeReward keeps running statistics"):
        make(wrappers.vector.RecordEpisodeStatistics(env), 2)


def test_statistics_of_another_make_are_warned_about():
    with pytest.warns(RunningStatisticsWarning, match=r"OwnStatistics keeps running statistics \(running\)"):
        make(lambda: wrappers.TimeLimit(OwnStatistics(Says()), 9), 1)


@pytest.mark.parametrize(
    "wrap",
    [
        frozen,
        wrappers.RecordEpisodeStatistics,
        lambda env: wrappers.TransformReward(env, lambda r: 2 * r),
        lambda env: wrappers.TimeLimit(env, 5),
    ],
)
def test_wrappers_without_are_not(wrap):
    make(lambda: wrap(Says()), 1)
