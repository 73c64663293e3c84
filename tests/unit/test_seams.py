"""What no algorithm of today uses, and search, planners and recurrent policies will: memory, legal moves, worlds.

An algorithm that counts the env steps of each episode in its memory acts by that count, which its environments do not
show. So wherever memory is lost, kept too long or given to another environment, it takes the wrong action.
"""

from functools import partial
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from swingup.distributions import noise
from swingup.envs import Hosted, Vec, make
from swingup.envs.models import exact
from swingup.episodes import evaluate
from swingup.errors import ConfigError
from swingup.protocols import Algorithm, Env, VecEnv, hyperparameters
from swingup.rollout import collect, episode_stats, keys, start
from swingup.runs import episodes
from swingup.spaces import Box, Discrete
from swingup.training import driver
from swingup.types import Choice, Rollout, Seen, State, Transition


class Clock(NamedTuple):
    time: Array
    length: Array


class Blind(Env):
    """It shows nothing, pays for the action that its hidden clock asks for, and forbids another; 3 to 6 env steps."""

    name, observation_space, action_space = "Blind", Box.of(0.0, 1.0, (1,)), Discrete(3)

    def reset(self, key: Array) -> tuple[Clock, Array]:
        return Clock(jnp.int32(0), jax.random.randint(key, (), 3, 7)), jnp.zeros(1)

    def step(self, state: Clock, action: Array, key: Array) -> tuple[Clock, Transition]:
        time = state.time + 1
        ends = time >= state.length
        paid = (action == state.time % 3).astype(jnp.float32)
        # Deaths where the length is even, and time limits.
        return Clock(time, state.length), Transition(
            jnp.zeros(1), paid, ends & (state.length % 2 == 0), ends & (state.length % 2 == 1)
        )

    def legal(self, state: Clock) -> Array:  # pyright: ignore[reportIncompatibleVariableOverride]
        return jnp.arange(3) != (state.time + 1) % 3


class BlindOnHost(gymnasium.Env):
    """The same behind Gymnasium's calls, of five env steps."""

    observation_space, action_space = (
        gymnasium.spaces.Box(0, 1, (1,), np.float32),
        gymnasium.spaces.Discrete(3),
    )

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple:
        paid = float(action == self.time % 3)
        self.time += 1
        return np.zeros(1, np.float32), paid, False, self.time >= 5, {}


@hyperparameters
class Counting(Algorithm):
    """It acts by how many env steps its memory has counted, and learns nothing."""

    num_envs: int = 4
    num_steps: int = 5

    def init(self, env: VecEnv, key: Array) -> State:
        k_env, key = jax.random.split(key)
        return State(
            {"w": jnp.zeros(2)}, start(env, k_env, self.start_memory(env.action_space, env.num_envs)), key
        )

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps, draw=self.draw)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    def act(self, learner: Any, seen: Seen, noise: Any = None) -> Choice:
        count = seen.memory
        return Choice(count % 3, {"count": count}, count + 1)

    def update(self, learner: Any, rollout: Rollout, key: Array) -> tuple[Any, dict[str, Array]]:
        wrong = rollout.extras["count"] != rollout.step.ep_length - 1
        return learner, {
            "wrong": wrong.sum(),
            "legal": jnp.mean(rollout.legal) if rollout.legal is not None else 1,
        }

    def start_memory(self, space: Any, num_envs: int) -> Array:
        return jnp.zeros(num_envs, jnp.int32)

    def draw(self, space: Any, key: Array, shape: tuple[int, ...]) -> Array:
        return jax.random.split(key, shape)  # a planner's: keys


def environments() -> dict[str, VecEnv]:
    """One of each loop: those on the device, in a Python loop, and with a state of their own."""
    device = Vec(Blind(), 4)
    return {"device": device, "hosted": Hosted(device), "host": make(BlindOnHost, 8)}


@pytest.mark.parametrize("kind", ["device", "hosted", "host"])
def test_memory_is_carried_within_an_episode_and_no_further(kind: str) -> None:
    """Over rollouts and chunks of them, for every seed: the count is that of the episode's env steps."""
    algo, env, wrong = Counting(), environments()[kind], []
    state = driver.begin(algo, env, [0, 1])
    driver.run(algo, env, state, 4, callbacks=[lambda p: wrong.append(p.metrics["wrong"])])
    assert sum(x.size for x in wrong) == 8
    assert not np.concatenate(wrong, 1).any()


def test_the_memory_of_a_resumed_run_on_the_host_begins_anew() -> None:
    """So do its environments."""
    algo, env, wrong = Counting(), environments()["host"], []
    state = driver.run(algo, env, driver.begin(algo, env, [0, 1]), 2)
    state = jax.tree.map(lambda x: x + 1 if x.dtype == jnp.int32 else x, state)  # a memory that would show
    again = driver.restart(env, state, [0, 1], 2)
    assert not np.any(again.actor.memory)
    driver.run(algo, env, again, 4, done=2, callbacks=[lambda p: wrong.append(p.metrics["wrong"])])
    assert not np.concatenate(wrong, 1).any()


@pytest.mark.parametrize("kind", ["device", "hosted", "host"])
def test_an_evaluation_gives_a_policy_its_memory(kind: str) -> None:
    """Every env step of each of the episodes is paid, but for an agent that remembers nothing."""
    algo, env = Counting(), environments()[kind]
    learner = driver.init(algo, env, [0, 1]).learner
    judge = episodes.on_device if env.jittable else episodes.on_host
    for greedy in (True, False):
        returns, lengths, cut = judge(algo, env, learner, driver.root_keys([0, 1], "x"), greedy=greedy)
        np.testing.assert_array_equal(returns, lengths)
        assert lengths.min() >= 3
        assert not np.any(cut)


def test_one_evaluation_is_that_of_all_seeds() -> None:
    algo, env, key = Counting(), Vec(Blind(), 4), driver.root_key(0, "x")
    act = partial(algo.act, {})
    returns, lengths, _ = evaluate(
        env, act, key, memory=algo.start_memory(env.action_space, 4), draw=algo.draw
    )
    np.testing.assert_array_equal(returns, lengths)
    zeros = jnp.zeros(4, jnp.int32)
    forgetful = evaluate(env, lambda seen, _: act(seen._replace(memory=zeros))._replace(memory=()), key)[0]
    np.testing.assert_array_equal(forgetful, 1 + (lengths > 3))


def test_legal_moves_and_worlds_are_those_of_what_is_acted_on() -> None:
    """In every row the mask of its own env step, also where an episode has just begun; and the clock itself."""
    env = Vec(Blind(), 4)

    def act(seen: Seen, _: Any) -> Choice:
        return Choice(seen.world.time % 3, seen.world)  # pyright: ignore[reportOptionalMemberAccess]

    _, rollout = collect(env, act, start(env, jax.random.key(0)), jax.random.key(1), 30)
    time = np.asarray(rollout.step.ep_length) - 1
    np.testing.assert_array_equal(rollout.extras.time, time)
    np.testing.assert_array_equal(rollout.legal, np.arange(3) != (time[..., None] + 1) % 3)
    np.testing.assert_array_equal(rollout.step.reward, 1)
    plain = make("CartPole-v1", 2)
    assert plain.legal(plain.reset(jax.random.key(0))[0]) is None
    assert environments()["host"].world(()) is None


def test_by_default_a_policy_draws_what_its_actions_need() -> None:
    class Usual(Counting):
        draw = Algorithm.draw
        start_memory = Algorithm.start_memory

    for space in (Discrete(3), Box.of(-1.0, 1.0, (2,))):
        ours, usual = (f(space, jax.random.key(0), (5, 4)) for f in (Usual().draw, noise))
        np.testing.assert_array_equal(ours, usual)
    assert Usual().start_memory(Discrete(2), 3) == ()
    with pytest.raises(TypeError, match="learns no values"):
        Usual().value({}, jnp.zeros((1, 1)))


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "tabular:FrozenLake"])
def test_the_exact_model_is_the_environment(name: str) -> None:
    """From the states of a rollout, with the rollout's actions: the same successors, rewards and deaths."""
    env = make(name, 6)
    model = exact(env)
    advance, step, one = jax.jit(model.step), jax.jit(env.step), jax.jit(env.single.step)  # pyright: ignore
    state, _ = env.reset(jax.random.key(0))
    for t in range(20):
        drawn = noise(env.action_space, jax.random.key(t), (6,))
        action = jnp.argmax(drawn, -1) if isinstance(env.action_space, Discrete) else jnp.tanh(drawn)
        key = jax.random.key(100 + t)
        seen = Seen(None, world=env.world(state))
        sent = (
            action
            if isinstance(env.action_space, Discrete)
            else action * np.asarray(env.action_space.bounds[1])
        )
        drawn_for_it = model.draw(key, (6,))
        world, said = advance(model.start(seen), sent, drawn_for_it)
        after = [
            one(jax.tree.map(lambda x, i=i: x[i], env.world(state)), sent[i], k)
            for i, k in enumerate(drawn_for_it)
        ]
        for i, (state_i, transition) in enumerate(after):
            jax.tree.map(lambda x, y, i=i: np.testing.assert_allclose(x[i], y, atol=1e-5), world, state_i)
            jax.tree.map(lambda x, y, i=i: np.testing.assert_allclose(x[i], y, atol=1e-5), said, transition)
        state, _ = step(state, sent, jax.tree.map(lambda x: x[0], env.draw(key, 1)))


def test_what_lives_on_the_host_has_no_exact_model() -> None:
    with pytest.raises(ConfigError, match="lives on the host"):
        exact(make(BlindOnHost, 2))
    with pytest.raises(ConfigError, match="no plan starts from an observation"):
        exact(environments()["device"]).start(Seen(jnp.zeros((1, 1))))
