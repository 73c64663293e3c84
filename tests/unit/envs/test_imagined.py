"""A model makes environments: with the exact one and the same noise they are `Vec`; all are what `collect` expects."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from conftest import same_bits
from swingup.algos.trpo import TRPO
from swingup.distributions import noise, uniform
from swingup.dynamics.ensemble import ensemble
from swingup.dynamics.learned import Learned
from swingup.envs import Vec, make
from swingup.envs.imagined import Imagined
from swingup.envs.models import exact
from swingup.envs.pure import begin
from swingup.errors import ConfigError
from swingup.protocols import Env
from swingup.rollout import collect, start
from swingup.spaces import Box
from swingup.theory import exact as theory
from swingup.types import Choice, Seen, Transition


class Point(NamedTuple):
    x: Array
    time: Array


class Noisy(Env):
    """A noisy walk that ends beyond 1, and by time after 7 env steps."""

    name, observation_space, action_space = "Noisy", Box.of(-np.inf, np.inf, (2,)), Box.of(-1.0, 3.0, (2,))

    def reset(self, key: Array) -> tuple[Point, Array]:
        x = 0.1 * jax.random.normal(key, (2,))
        return Point(x, jnp.int32(0)), x

    def step(self, state: Point, action: Array, key: Array) -> tuple[Point, Transition]:
        x = state.x + 0.1 * (action - 1) + 0.2 * jax.random.normal(key, (2,))
        time = state.time + 1
        return Point(x, time), Transition(x, x.sum(), jnp.abs(x).max() > 1.0, time >= 7)


def act(seen: Seen, drawn: Array) -> Choice:
    return Choice(jnp.tanh(drawn - seen.obs))


def test_the_exact_model_imagines_what_happens_to_the_bit() -> None:
    """A hundred and twenty env steps of five rows: rewards, both kinds of ends, resets, statistics."""
    env = Vec(Noisy(), 5)
    dream = Imagined(exact(env), lambda key: begin(env.single, key), 5, like=env)  # pyright: ignore[reportArgumentType]

    def play(world: Any) -> Any:
        return collect(world, act, start(world, jax.random.key(0)), jax.random.key(1), 120)

    (actor, real), (dreamt, imagined) = (jax.jit(lambda w=w: play(w))() for w in (env, dream))
    assert same_bits(real, imagined)
    assert same_bits(actor, dreamt)
    assert np.any(real.step.terminated)  # ten, on average
    assert np.any(real.step.truncated)


def test_a_limit_cuts_episodes_and_no_end_becomes_one() -> None:
    env = Vec(Noisy(), 50)
    dream = Imagined(exact(env), lambda key: begin(env.single, key), 50, like=env, limit=4)  # pyright: ignore[reportArgumentType]
    play = jax.jit(lambda: collect(dream, act, start(dream, jax.random.key(0)), jax.random.key(1), 9))
    step = play()[1].step
    assert np.max(step.ep_length) == 4
    np.testing.assert_array_equal(step.truncated, (step.ep_length == 4) & ~np.asarray(step.terminated))
    whole = np.asarray(step.ep_length[:4] == np.arange(1, 5)[:, None]).all(0)  # no death before the limit
    assert whole.sum() > 5
    assert np.all(np.asarray(step.ep_length)[4, whole] == 1)


@cache
def model(env: Any, members: int = 3, gaussian: bool = False) -> Learned:
    return Learned(
        jax.jit(lambda key: ensemble(env, key, members, (8,), gaussian=gaussian))(jax.random.key(5))
    )


STEP = jax.jit(lambda learned, *args: learned.step(*args))
PREDICT = jax.jit(lambda made, *args: made.predict(*args))


def dreams(env: Any, learned: Learned, rows: int, limit: int) -> Imagined:
    def first(key: Array) -> tuple[Array, Array]:
        obs = jax.random.normal(key, env.observation_space.shape)
        return obs, obs

    return Imagined(learned, first, rows, like=env, limit=limit)


def test_a_learned_model_is_played_by_the_same_collect() -> None:
    env = make("task:CartPoleSwingUp", 1)
    dream = dreams(env, model(env), 6, limit=3)
    actor = start(dream, jax.random.key(0))

    def uniformly(seen: Seen, drawn: Array) -> Choice:
        return Choice(uniform(env.action_space, drawn))

    _, rollout = jax.jit(lambda a: collect(dream, uniformly, a, jax.random.key(1), 7))(actor)
    assert rollout.step.reward.shape == (7, 6)
    np.testing.assert_array_equal(
        np.asarray(rollout.step.truncated).all(1), [False, False, True] * 2 + [False]
    )
    np.testing.assert_array_equal(rollout.obs[1], rollout.step.next_obs[0])
    # What is given is not learnt: the reward is the task's function of what is imagined.
    reward = env.known_reward(rollout.obs, rollout.action, rollout.step.next_obs)
    np.testing.assert_allclose(rollout.step.reward, reward, rtol=1e-4, atol=1e-6)


def test_each_row_is_answered_by_one_member_and_all_answer_as_many() -> None:
    """Whoever answers says what it says alone; in each step it is drawn anew, or stays with its rows."""
    env = make("task:CartPoleSwingUp", 1)
    learned = model(env)
    obs, action = (
        jax.random.normal(jax.random.key(1), (12, 5)),
        jax.random.uniform(jax.random.key(2), (12, 1)),
    )
    said = np.asarray(PREDICT(learned.ensemble, obs, action).next_obs)  # [3, 12, 5]
    orders = learned.draw(jax.random.key(3), (4, 12))
    who = []
    for t in range(4):
        after, _ = STEP(learned, obs, action, jax.tree.map(lambda x, t=t: x[t], orders))
        near = np.abs(said - np.asarray(after)).max(-1) < 1e-5
        assert np.all(near.sum(0) == 1)
        who.append(near.argmax(0))
        assert np.all(near.sum(1) == 4)
    assert len({tuple(w) for w in who}) == 4
    fixed = Learned(learned.ensemble, shuffled=False)
    after, _ = STEP(fixed, obs, action, fixed.draw(jax.random.key(3), (12,)))
    np.testing.assert_allclose(after, said[np.arange(12) // 4, np.arange(12)], rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="3 models cannot share 10 rows"):
        learned.draw(jax.random.key(0), (10,))


def test_a_gaussian_member_answers_by_its_distribution() -> None:
    env = make("task:CartPoleSwingUp", 1)
    learned = model(env, members=1, gaussian=True)
    n = 4000
    obs, action = jnp.full((n, 5), 0.3), jnp.full((n, 1), 0.5)
    after, _ = STEP(learned, obs, action, learned.draw(jax.random.key(0), (n,)))
    said = PREDICT(learned.ensemble, obs[:1], action[:1])
    std = np.asarray(said.std[0, 0])
    np.testing.assert_allclose(after.mean(0), said.next_obs[0, 0], atol=5 * std.max() / np.sqrt(n))
    np.testing.assert_allclose(np.std(after, 0), std, rtol=5 / np.sqrt(2 * n))


def test_rows_of_a_dream_depend_on_themselves_alone() -> None:
    """Another action in one row changes no other row."""
    env = make("task:CartPoleSwingUp", 1)
    dream = dreams(env, model(env), 6, limit=9)
    state, _ = dream.reset(jax.random.key(0))
    drawn = jax.tree.map(lambda x: x[0], dream.draw(jax.random.key(1), 1))
    action = noise(env.action_space, jax.random.key(2), (6,))
    step = jax.jit(lambda a: dream.step(state, a, drawn)[1].next_obs)
    one, other = step(action), step(action.at[2].add(1.0))
    assert np.abs(one - other)[2].max() > 0
    np.testing.assert_array_equal(np.delete(one, 2, 0), np.delete(other, 2, 0))


class Chain(NamedTuple):
    """A model of three states, 0 -> 1 -> 2, where it ends. An env step pays ten times the state plus the action."""

    def draw(self, key: Array, lead: tuple[int, ...]) -> Array:
        return jnp.zeros(lead)

    def step(self, state: Array, action: Array, noise: Array) -> tuple[Array, Transition]:
        after, reward = state + 1, 10 * state[:, 0] + action[:, 0]
        return after, Transition(after, reward, after[:, 0] == 2, jnp.zeros(len(state), bool))


def test_a_dream_of_three_states_is_that_by_hand() -> None:
    """An action stands beside the state in which it was taken, and the end in the row that led to it."""
    like, zero = Vec(Noisy(), 1), jnp.zeros(1)
    model: Any = Chain()
    dream = Imagined(model, lambda key: (zero, zero), 1, like=like)

    def mine(seen: Seen, drawn: Array) -> Choice:
        return Choice(jnp.full((1, 2), 1.0) + seen.obs)  # in the policy's units: 1, then 2, clipped to 1

    rollout = collect(dream, mine, start(dream, jax.random.key(0)), jax.random.key(1), 4)[1]
    np.testing.assert_array_equal(rollout.obs[:, 0, 0], [0, 1, 0, 1])
    np.testing.assert_array_equal(rollout.action[:, 0, 0], [1, 2, 1, 2])
    np.testing.assert_array_equal(rollout.step.next_obs[:, 0, 0], [1, 2, 1, 2])
    np.testing.assert_array_equal(rollout.step.obs[:, 0, 0], [1, 0, 1, 0])
    np.testing.assert_array_equal(rollout.step.reward[:, 0], [3, 13, 3, 13])  # the action's bound is 3
    np.testing.assert_array_equal(rollout.step.terminated[:, 0], [False, True, False, True])
    np.testing.assert_array_equal(rollout.step.ep_length[:, 0], [1, 2, 1, 2])
    np.testing.assert_array_equal(rollout.step.ep_return[:, 0], [3, 16, 3, 16])


@pytest.mark.slow
def test_trpo_in_the_exact_model_raises_the_exact_performance() -> None:
    """J by the tables of the MDP, before practice in imagination and after: nothing real was played."""
    env = make("tabular:Grid", 32)
    dream = Imagined(exact(env), lambda key: begin(env.single, key), 32, like=env)  # pyright: ignore[reportArgumentType]
    algo = TRPO(num_envs=32, num_steps=16, gamma=float(env.mdp.gamma), delta=0.05, hidden=(16,))
    agent = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0)).learner

    def practise(agent: Any, key: Array) -> tuple[Any, None]:
        k_start, k_run, k_learn = jax.random.split(key, 3)
        actor = start(dream, k_start)
        _, rollout = collect(dream, partial(algo.act, agent), actor, k_run, algo.num_steps)
        return algo.update(agent, rollout, k_learn)[0], None

    def performance_of(agent: Any) -> float:
        logits = agent.params.policy(jnp.arange(env.mdp.num_states)).logits
        return theory.performance(env.mdp, np.asarray(jax.nn.softmax(logits), float))

    keys = jax.random.split(jax.random.key(1), 40)
    after = jax.jit(lambda agent: jax.lax.scan(practise, agent, keys)[0])(agent)
    best = float(env.mdp.start @ theory.optimal_value(env.mdp))
    assert performance_of(after) > (performance_of(agent) + best) / 2
