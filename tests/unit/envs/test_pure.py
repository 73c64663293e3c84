"""JAX traces environments on the device before anything is trained, and finds there what has a wrong form."""

import dataclasses
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import pytest

from swingup import PPO
from swingup.envs import Hosted, Vec, make
from swingup.envs.pure import dtype_of
from swingup.errors import EnvironmentFault
from swingup.spaces import Box, Discrete
from swingup.training import driver
from swingup.types import Transition

KEY = jax.random.key(0)


class Params(NamedTuple):
    max_steps_in_episode: int = 10


class State(NamedTuple):
    x: Any
    time: Any


class Own:
    """An `Env` that answers what it is told to, and is sound otherwise."""

    name, action_space = "Own", Discrete(2)

    def __init__(self, space=Box.of(-1, 1, (2,)), **answers):  # noqa: B008
        self.observation_space, self.answers = space, answers

    def answer(self, name, sound):
        value = self.answers.get(name, sound)
        return value() if callable(value) else value

    def obs(self):
        return self.answer("obs", jnp.zeros(self.observation_space.shape, dtype_of(self.observation_space)))

    def reset(self, key):
        return self.answer("reset", lambda: (State(jnp.zeros(2), jnp.int32(0)), self.obs()))

    def step(self, state, action, key):
        after = State(self.answer("x", state.x), state.time + 1)
        flags = self.answer("terminated", jnp.bool_(False)), self.answer("truncated", after.time >= 10)
        t = Transition(self.answer("next_obs", self.obs), self.answer("reward", jnp.float32(1)), *flags)
        return self.answer("step", lambda: (after, t))


class InGymnax(Own):
    """The same in gymnax's form."""

    name, default_params = "InGymnax", Params()
    reset = step = None

    def __init__(self, *args, **answers):
        self.inner = Own(*args, **answers)

    def observation_space(self, params):
        return self.inner.observation_space

    def action_space(self, params):
        return Discrete(2)

    def reset_env(self, key, params):
        state, obs = self.inner.reset(key)
        return obs, state

    def step_env(self, key, state, action, params):
        after, t = self.inner.step(state, action, key)
        return t.obs, after, t.reward, t.terminated, {}


def played(env, num_envs=3):
    """Shapes of the first observations and of one `Step`, traced; nothing is computed."""
    vec = make(env, num_envs)

    def play(key):
        state, obs = vec.reset(key)
        return obs, jax.lax.scan(
            lambda s, x: vec.step(s, jnp.zeros(num_envs, int), x), state, vec.draw(key, 4)
        )[1]

    return jax.eval_shape(play, KEY)


def begun(env):
    """What happens to it before it is trained: `init`, then the first `step`."""
    vec: Any = make(env, 3)
    driver.begin(PPO(num_envs=3), vec, [0])
    state, _ = vec.reset(KEY)
    return vec.step(state, jnp.zeros(3, int), jax.tree.map(lambda x: x[0], vec.draw(KEY, 1)))


FORMS = pytest.mark.parametrize("form", [Own, InGymnax])


@FORMS
@pytest.mark.parametrize("num_envs", [1, 4])
@pytest.mark.parametrize(
    "reward", [lambda: -jnp.ones(1), lambda: jnp.ones((1, 1)), 1, 2.0, True, lambda: jnp.int8(1)]
)
def test_a_reward_may_be_an_array_of_size_one(form, reward, num_envs):
    _, step = played(form(reward=reward), num_envs)
    assert step.reward.shape == step.ep_return.shape == (4, num_envs)
    assert step.reward.dtype == jnp.float32


@FORMS
def test_flags_may_be_arrays_of_size_one(form):
    _, step = played(form(terminated=lambda: jnp.zeros((1,), bool)))
    assert step.terminated.shape == (4, 3)
    assert played(form(terminated=False))[1].terminated.dtype == bool


@FORMS
@pytest.mark.parametrize(
    "space, obs, dtype",
    [
        (Box.of(-1, 1, (2,)), lambda: jnp.zeros(2, int), jnp.float32),
        (Box.of(-1, 1, (2,)), lambda: jnp.zeros(2, jnp.bfloat16), jnp.float32),
        (Box.of(0, 255, (2,), "uint8"), lambda: jnp.zeros(2, bool), jnp.uint8),
        (Box.of(0, 9, (2,), "int64"), lambda: jnp.zeros(2, jnp.int16), jnp.int32),
        (Box.of(-1, 1, ()), 0.5, jnp.float32),
        (Discrete(4), lambda: jnp.uint8(1), jnp.int32),
    ],
)
def test_observations_get_the_dtype_of_their_space_where_nothing_is_lost(form, space, obs, dtype):
    first, step = played(form(space, obs=obs))
    assert first.dtype == step.obs.dtype == step.next_obs.dtype == dtype


WRONG = [
    (
        Box.of(0, 255, (2,), "uint8"),
        {"obs": lambda: jnp.ones(2)},
        "obs-dtype",
        "dtype float32, the space says uint8",
    ),
    (
        Box.of(0, 255, (2,), "uint8"),
        {"obs": lambda: jnp.ones(2, int)},
        "obs-dtype",
        "dtype int32, the space says uint8",
    ),
    (Discrete(3), {"obs": 1.0}, "obs-dtype", "dtype float32, the space says int32"),
    (Box.of(-1, 1, (2,)), {"obs": lambda: jnp.zeros(2, complex)}, "obs-dtype", "dtype complex64"),
    (
        Box.of(-1, 1, (2,)),
        {"obs": lambda: jnp.zeros((2, 1))},
        "obs-shape",
        r"shape \(2, 1\), the space says \(2,\)",
    ),
    (Box.of(-1, 1, (2,)), {"next_obs": lambda: jnp.zeros(3)}, "obs-shape", r"shape \(3,\)"),
    (Box.of(-1, 1, (2,)), {"obs": dict}, "obs-shape", "a dict, not an array"),
    (Box.of(-1, 1, (2,)), {"reward": lambda: jnp.ones(2)}, "reward-shape", r"a reward has shape \(2,\)"),
    (Box.of(-1, 1, (2,)), {"reward": 1j}, "reward-shape", "dtype complex64"),
    (
        Box.of(-1, 1, (2,)),
        {"terminated": lambda: jnp.float32(0)},
        "flag-type",
        "terminated has dtype float32",
    ),
    (Box.of(-1, 1, (2,)), {"terminated": 1}, "flag-type", "terminated has dtype int32"),
    (
        Box.of(-1, 1, (2,)),
        {"terminated": lambda: jnp.zeros(2, bool)},
        "flag-shape",
        r"terminated has shape \(2,\)",
    ),
    (
        Box.of(-1, 1, (2,)),
        {"x": lambda: jnp.zeros(3)},
        "state-changes-type",
        r"float32\[2\] after reset and float32\[3\]",
    ),
    (Box.of(-1, 1, (2,)), {"reset": lambda: (1, 2, 3)}, "", "returned 3 values|too many values"),
    (
        Box.of(-1, 1, (2,)),
        {"next_obs": lambda: jnp.zeros(2) @ jnp.zeros(3)},
        "does-not-trace",
        "raised TypeError",
    ),
]


@FORMS
@pytest.mark.parametrize("space, answers, code, says", WRONG, ids=range(len(WRONG)))
def test_what_would_change_or_break_is_named_before_training(form, space, answers, code, says):
    with pytest.raises(EnvironmentFault, match=f"{form.__name__}: .*{says}") as caught:
        begun(form(space, **answers))
    assert not code or caught.value.code == code


@pytest.mark.parametrize(
    "answer, says", [(lambda: None, "a NoneType"), (lambda: (1, 2), "a int as its second value")]
)
def test_a_step_that_returns_something_else_is_named(answer, says):
    with pytest.raises(EnvironmentFault, match=f"Own: step returned {says}"):
        played(Own(step=answer))


def test_old_answers_in_gymnaxs_form_are_counted():
    class Six(InGymnax):
        def step_env(self, key, state, action, params):
            return *super().step_env(key, state, action, params), {}

    with pytest.raises(
        EnvironmentFault, match="step_env returned 6 values; wanted are obs, state, reward, terminated"
    ):
        make(Six(), 1)


def test_an_exception_of_theirs_keeps_their_traceback():
    class Branches(Own):
        def step(self, state, action, key):
            if state.time > 3:  # what JAX cannot trace
                return super().step(state, action, key)
            return super().step(state, 0, key)

    for env in (Branches(), Vec(Branches(), 3), Hosted(Vec(Branches(), 3))):
        with pytest.raises(EnvironmentFault, match=r"Own: step raised TracerBoolConversionError") as caught:
            begun(env)
        assert isinstance(caught.value.__cause__, jax.errors.TracerBoolConversionError)


def test_numbers_that_begin_elsewhere_are_shifted_both_ways():
    class Shifted(InGymnax):
        def observation_space(self, params):
            return gymnasium.spaces.Discrete(3, start=5)

        def action_space(self, params):
            return gymnasium.spaces.Discrete(2, start=10)

        def reset_env(self, key, params):
            return jnp.int32(5), State(jnp.int32(0), jnp.int32(0))

        def step_env(self, key, state, action, params):
            return action - 4, State(action, state.time + 1), jnp.float32(action), jnp.bool_(False), {}

    vec: Any = make(Shifted(), 2)
    assert (vec.observation_space, vec.action_space) == (Discrete(3), Discrete(2))
    state, obs = vec.reset(KEY)
    assert obs.tolist() == [0, 0]
    _, step = vec.step(state, jnp.array([0, 1]), jax.tree.map(lambda x: x[0], vec.draw(KEY, 1)))
    assert step.next_obs.tolist() == [1, 2]
    assert step.reward.tolist() == [10, 11]


# --- a time limit that hides in `done` ---------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: Any
    time: Any

    def replace(self, **fields):
        return dataclasses.replace(self, **fields)


jax.tree_util.register_dataclass(Frozen, ["x", "time"], [])


class Stay(InGymnax):
    """Reward 1 for ever. `done` is what `ends(state, params)` says."""

    def __init__(self, ends, state=State):
        self.ends, self.state = ends, state

    def observation_space(self, params):
        return Box.of(-1, 1, (1,))

    def reset_env(self, key, params):
        return jnp.zeros(1), self.state(jax.random.uniform(key), jnp.int32(0))

    def step_env(self, key, state, action, params):
        after = self.state(state.x, state.time + 1)
        return jnp.zeros(1), after, jnp.float32(1), self.ends(after, params), {}


def by_clock(state, params):
    return state.time >= params.max_steps_in_episode


def by_both(state, params):
    return (state.x > 0.7) | by_clock(state, params)


class Declared(Stay):
    def __init__(self, ends, answer):
        super().__init__(ends)
        self.answer = answer

    def is_truncated(self, state, params):
        return jnp.bool_(False) if self.answer == "never" else by_clock(state, params)


@pytest.mark.parametrize(
    "env",
    [
        Stay(by_clock),
        Stay(by_both),
        Stay(by_clock, Frozen),
        Stay(lambda s, p: s.time == p.max_steps_in_episode + 1),
        Declared(by_both, "clock"),  # as a subclass of gymnax's own Environment inherits it
    ],
)
def test_a_time_limit_inside_done_is_recognised(env):
    with pytest.raises(
        EnvironmentFault, match=r"contains the time limit of 10 env steps.*is_truncated"
    ) as caught:
        make(env, 2)
    assert caught.value.code == "limit-in-done"


@pytest.mark.parametrize(
    "env",
    [
        Stay(lambda s, p: jnp.bool_(False)),
        Stay(lambda s, p: s.x > 0.7),
        Stay(lambda s, p: jnp.bool_(True)),
        Stay(lambda s, p: s.x < 0.2, Frozen),
        Declared(by_clock, "never"),  # the clock is part of the task
        Declared(lambda s, p: s.x > 0.7, "clock"),
    ],
)
def test_no_other_is_taken_for_it(env):
    make(env, 2)


def test_gymnaxs_own_environments_are_in_the_new_form():
    import gymnax

    from swingup.envs.adapters.gymnax import GymnaxEnv, limit_in_done

    for name in ("CartPole-v1", "Pendulum-v1", "Catch-bsuite"):
        assert not limit_in_done(GymnaxEnv(*gymnax.make(name), name=name))


def test_what_a_reset_says_is_cast_to_what_a_step_says_only_where_nothing_is_lost():
    class Halves(InGymnax):
        def reset_env(self, key, params):
            return jnp.full(2, 0.5), State(jnp.full(2, 0.5), jnp.int32(0))

    first, _ = played(Halves(obs=lambda: jnp.zeros(2, int)))
    assert first.dtype == jnp.float32
    assert make(Halves(obs=lambda: jnp.zeros(2, int)), 1).reset(KEY)[1].tolist() == [[0.5, 0.5]]
    with pytest.raises(
        EnvironmentFault, match=r"the state has float32\[2\] after reset and int32\[2\] after step"
    ):
        played(Halves(x=lambda: jnp.zeros(2, int)))
