"""gymnax behind our interface does what Gymnasium does, transition by transition, and so does everything on the list.

Both step from the same state with the same action; the state is taken from Gymnasium before each step, so
float32 against float64 cannot grow into different trajectories. Where a state is closer than 1e-5 to a
terminal border, rounding may decide: those few rows are left out, and counted.
"""

import subprocess
import sys
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as stats

from conftest import late
from swingup.envs import Vec, make
from swingup.envs.adapters.gymnax import GymnaxEnv, convert
from swingup.envs.names import GYMNAX
from swingup.errors import ConfigError
from swingup.spaces import Box, Discrete

CLASSIC = ("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0")
FIELDS = {
    "CartPole-v1": ("x", "x_dot", "theta", "theta_dot"),
    "Pendulum-v1": ("theta", "theta_dot"),
    "Acrobot-v1": ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
    "MountainCar-v0": ("position", "velocity"),
    "MountainCarContinuous-v0": ("position", "velocity"),
}
# Any state that play can reach and that is not terminal: for single steps from everywhere.
REGION = {
    "CartPole-v1": ((-2.4, -3.0, -0.209, -3.0), (2.4, 3.0, 0.209, 3.0)),
    "Pendulum-v1": ((-10.0, -8.0), (10.0, 8.0)),
    "Acrobot-v1": ((-3.14, -3.14, -6.0, -9.0), (3.14, 3.14, 6.0, 9.0)),
    "MountainCar-v0": ((-1.2, -0.07), (0.5, 0.07)),
    "MountainCarContinuous-v0": ((-1.2, -0.07), (0.45, 0.07)),
}
BORDER = {  # how far an observation after the step is from the border of the terminal set
    "CartPole-v1": lambda o: min(abs(abs(o[0]) - 2.4), abs(abs(o[2]) - 12 * np.pi / 180)),
    "Pendulum-v1": lambda o: np.inf,
    "Acrobot-v1": lambda o: abs(-o[0] - (o[0] * o[2] - o[1] * o[3]) - 1),
    "MountainCar-v0": lambda o: abs(o[0] - 0.5),
    "MountainCarContinuous-v0": lambda o: abs(o[0] - 0.45),
}


class Table:
    """Transitions of Gymnasium: states and elapsed env steps before, actions, and what came out."""

    def __init__(self):
        self.rows = []

    def add(self, env, time, action):
        """Step Gymnasium's environment (with its time limit) and write down what happened."""
        before = np.array(env.unwrapped.state, np.float64)
        obs, reward, terminated, truncated, _ = env.step(action)
        self.rows.append((before, time, action, obs, reward, terminated, truncated))
        return terminated or truncated

    def columns(self):
        return [np.array(column) for column in zip(*self.rows, strict=True)]


def gym_make(name):
    return gymnasium.make(name, disable_env_checker=True)


@pytest.fixture(scope="module", params=CLASSIC)
def sides(request):
    """(name, Gymnasium's columns, what the adapter says to the same) for whole episodes and single steps."""
    name, table = request.param, Table()
    env, rng = gym_make(name), np.random.default_rng(0)
    env.action_space.seed(0)
    for episode in range(15 if name == "CartPole-v1" else 2):
        env.reset(seed=episode)
        for time in range(1000):
            if table.add(env, time, env.action_space.sample()):
                break
    env = gym_make(name).unwrapped
    for state in rng.uniform(*REGION[name], size=(500, len(FIELDS[name]))):
        env.reset(seed=0)
        env.state = state
        table.add(env, 0, env.action_space.sample())
    columns = table.columns()
    return name, columns, ours(name, *columns[:3])


def ours(name, before, time, action):
    """The adapter's transitions from Gymnasium's states."""
    env = make(name, 1).env
    template = jax.eval_shape(env.reset, jax.random.key(0))[0]
    fields = {f: jnp.asarray(before[:, i], jnp.float32) for i, f in enumerate(FIELDS[name])}
    if name == "Pendulum-v1":
        fields["last_u"] = jnp.zeros(len(time))
    states = template.replace(**fields, time=jnp.asarray(time, template.time.dtype))
    keys = jax.random.split(jax.random.key(0), len(time))
    state, t = jax.jit(jax.vmap(env.step))(states, jnp.asarray(action), keys)
    return jax.tree.map(np.asarray, (state, t))


def test_observations_and_rewards_are_gymnasiums(sides):
    name, (_, _, _, obs, reward, *_), (_, t) = sides
    clear = np.array([BORDER[name](o) > 1e-5 for o in obs.astype(np.float64)])
    assert np.mean(clear) > 0.99
    assert t.obs.dtype == np.float32
    np.testing.assert_allclose(t.obs, obs, rtol=1e-4, atol=2e-4 if name == "Acrobot-v1" else 1e-5)
    np.testing.assert_allclose(t.reward[clear], reward[clear], rtol=1e-4, atol=1e-4)


def test_terminations_are_gymnasiums(sides):
    name, (*_, obs, _, terminated, _), (_, t) = sides
    clear = np.array([BORDER[name](o) > 1e-5 for o in obs.astype(np.float64)])
    np.testing.assert_array_equal(t.terminated[clear], terminated[clear])
    assert terminated.any() == (name != "Pendulum-v1")
    assert not terminated.all()


def test_truncations_are_gymnasiums_at_every_step_of_whole_episodes(sides):
    """C2: at the registry's `max_episode_steps`, not at a length of ours."""
    _, (*_, truncated), (_, t) = sides
    np.testing.assert_array_equal(t.truncated, truncated)


@pytest.mark.parametrize("name", CLASSIC)
def test_time_limits_are_those_of_gymnasiums_registry_C2(name):
    """The env step number `max_episode_steps` truncates, the one before does not."""
    limit = gymnasium.spec(name).max_episode_steps
    before = np.tile(0.25 * np.add(*REGION[name]), (4, 1))  # somewhere quiet
    time = np.array([0, limit - 2, limit - 1, limit])
    action = (
        np.zeros(4, np.int32) if "Pend" not in name and "Cont" not in name else np.zeros((4, 1), np.float32)
    )
    _, t = ours(name, before, time, action)
    assert not t.terminated.any()
    np.testing.assert_array_equal(t.truncated, [False, False, True, True])


def test_termination_at_the_time_limit_is_a_termination_C2():
    """A real death exactly at the last env step is not erased: Gymnasium says both, and `Step` termination."""
    limit, falling = 500, np.array([0.0, 0.0, 0.2, 3.0])
    gym = gym_make("CartPole-v1")
    gym.reset(seed=0)
    gym._elapsed_steps = limit - 1
    gym.unwrapped.state = falling
    _, _, terminated, truncated, _ = gym.step(1)
    assert terminated
    assert truncated
    _, t = ours("CartPole-v1", falling[None], np.array([limit - 1]), np.array([1]))
    assert t.terminated[0]
    assert t.truncated[0]
    env = make("CartPole-v1", 1)
    state, _ = env.reset(jax.random.key(0))
    fields = {f: jnp.array([x], jnp.float32) for f, x in zip(FIELDS["CartPole-v1"], falling, strict=True)}
    state = state._replace(env=state.env.replace(**fields, time=jnp.array([limit - 1])))
    noise = jax.tree.map(lambda x: x[0], env.draw(jax.random.key(1), 1))
    _, step = jax.jit(env.step)(state, jnp.array([1]), noise)
    assert bool(step.terminated[0])
    assert not bool(step.truncated[0])


def test_the_left_wall_of_mountain_car_stops_the_car():
    """gymnax 1.0.1 lets the continuous car keep its speed there; Gymnasium stops it, so the next step differs."""
    name, before = "MountainCarContinuous-v0", np.array([-1.19, -0.05])
    gym = gym_make(name).unwrapped
    gym.reset(seed=0)
    gym.state = before
    state = before[None]
    for _ in range(5):
        expected = gym.step(np.array([-1.0], np.float32))[0]
        after, t = ours(name, state, np.array([0]), np.array([[-1.0]], np.float32))
        np.testing.assert_allclose(t.obs[0], expected, atol=1e-6)
        state = np.stack([after.position, after.velocity], -1)
        np.testing.assert_allclose(state, t.obs)  # the state itself stopped, not only what is observed
    gym.state, state = before, before[None]
    np.testing.assert_allclose(gym.step(np.array([-1.0], np.float32))[0], [-1.2, 0.0], atol=1e-6)


@pytest.mark.parametrize("name", CLASSIC)
def test_first_observations_have_gymnasiums_distribution(name):
    """Two-sample Kolmogorov-Smirnov per entry, rejected at p < 1e-8: false alarms below 1e-6."""
    gym, env = gym_make(name), make(name, 1).env
    expected = np.stack([gym.reset(seed=i)[0] for i in range(1500)])
    got = np.asarray(jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 1500))[1])
    assert got.shape == expected.shape
    for i in range(got.shape[1]):
        assert stats.ks_2samp(got[:, i], expected[:, i]).pvalue > 1e-8


@pytest.mark.parametrize("name", CLASSIC)
def test_spaces_are_gymnasiums(name):
    ours, gym = make(name, 1), gym_make(name)
    assert ours.observation_space == convert(gym.observation_space, name)
    assert ours.action_space == convert(gym.action_space, name)


def test_convert_refuses_other_kinds_of_space():
    assert convert(gymnasium.spaces.Discrete(3), "a") == Discrete(3)
    assert convert(gymnasium.spaces.Box(0, 255, (2, 3), np.uint8), "a") == Box.of(0, 255, (2, 3), "uint8")
    for space in (
        gymnasium.spaces.MultiDiscrete([2, 3]),
        gymnasium.spaces.MultiBinary(3),
        gymnasium.spaces.Dict({"a": gymnasium.spaces.Discrete(2)}),
        gymnasium.spaces.Tuple((gymnasium.spaces.Discrete(2),)),
    ):
        with pytest.raises(ConfigError, match="not supported"):
            convert(space, "a")


MINATAR = "Asterix-MinAtar", "Freeway-MinAtar", "Seaquest-MinAtar", "SpaceInvaders-MinAtar"


@pytest.mark.parametrize("name", late(GYMNAX, *(name for name in GYMNAX if name not in MINATAR)))
def test_every_listed_environment_runs_compiled(name):
    """5 env steps in a compiled scan, with finite numbers; traced with auto-reset: dtypes and shapes are fixed."""
    env = make(name, 2)
    assert env.name == name

    def together(key):
        state, obs = env.reset(key)
        actions = jax.vmap(jax.vmap(env.action_space.sample))(jax.random.split(key, (5, 2)))
        return obs, jax.lax.scan(lambda s, x: env.step(s, *x), state, (actions, env.draw(key, 5)))[1]

    first, step = jax.eval_shape(together, jax.random.key(0))
    for obs in (step.obs, step.next_obs):
        assert obs.shape == (5, 2, *env.observation_space.shape)
        assert obs.dtype == first.dtype
    assert step.reward.dtype == jnp.float32
    assert step.terminated.dtype == step.truncated.dtype == jnp.bool_

    def alone(key):
        state, obs = env.env.reset(key)
        keys = jax.random.split(key, 5)
        return obs, jax.lax.scan(lambda s, k: env.env.step(s, env.action_space.sample(k), k), state, keys)[1]

    quick = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    first, step = jax.jit(alone, compiler_options=quick)(jax.random.key(0))
    assert first.dtype == step.obs.dtype
    assert all(np.all(np.isfinite(x)) for x in (first, step.obs, step.reward))


class Clock(NamedTuple):
    time: Any


class Own:
    """A user's environment in gymnax's form: no `is_truncated`, and resets that differ from steps in dtypes."""

    class Params:
        max_steps_in_episode = 3

    default_params = Params()

    def observation_space(self, params):
        return gymnasium.spaces.Box(0, 10, (1,))

    def action_space(self, params):
        return gymnasium.spaces.Discrete(2)

    def reset_env(self, key, params):
        return jnp.zeros(1, int), Clock(0)

    def step_env(self, key, state, action, params):
        state = Clock(state.time + 1.0)
        return jnp.full(1, state.time), state, 1, state.time >= 100, {}


def test_a_users_environment_needs_no_more_than_the_documented_methods():
    """Its time limit is `max_steps_in_episode`; resets get the dtypes of steps, rewards are float32."""
    env = make(Own(), 2)
    assert isinstance(env, Vec)
    assert isinstance(env.env, GymnaxEnv)
    assert env.name == "Own"

    def run(key):
        state, obs = env.reset(key)
        return obs, jax.lax.scan(lambda s, x: env.step(s, jnp.zeros(2, int), x), state, env.draw(key, 6))[1]

    obs, step = jax.jit(run)(jax.random.key(0))
    assert obs.dtype == step.obs.dtype == jnp.float32
    np.testing.assert_array_equal(step.truncated[:, 0], [False, False, True] * 2)
    np.testing.assert_array_equal(step.next_obs[:, 0, 0], [1, 2, 3] * 2)
    assert not np.any(step.terminated)
    assert step.reward.dtype == jnp.float32


def test_gymnax_is_imported_without_what_draws_its_pictures():
    """Its plotting libraries are left out until something of them is asked for, and are whole then."""
    code = """
import sys
from swingup.envs import make
make("CartPole-v1", 2)
assert not {"seaborn", "pandas", "scipy.stats", "matplotlib.pyplot"} & set(sys.modules), "imported"
from gymnax.environments.bsuite import catch
assert callable(catch.plt.figure)
import matplotlib.pyplot
assert catch.plt.figure is matplotlib.pyplot.figure
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
