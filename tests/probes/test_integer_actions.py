"""Integer boxes have actions that can all be reached, so that what pays is found even where it is a bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import swingup
from swingup.envs import make
from swingup.replay.ring import add, empty, take
from swingup.rollout import RECENT, collect
from swingup.spaces import Box
from swingup.types import Actor, Choice, Recent, Transition


class OnlyOnePays:
    """Ten env steps; reward 1 for `goal` of the integers `low` .. `high`, and nothing to see."""

    name, observation_space = "OnlyOnePays", Box.of(-1, 1, (1,))

    def __init__(self, low: int, high: int, goal: int):
        self.action_space, self.goal = Box.of(low, high, (1,), "int32"), goal

    def reset(self, key):
        return jnp.int32(0), jnp.zeros(1)

    def step(self, time, action, key):
        paid = (action[0] == self.goal).astype(jnp.float32)
        return time + 1, Transition(jnp.zeros(1), paid, jnp.bool_(False), time + 1 >= 10)


ALGORITHMS = {
    "sac": swingup.SAC(
        warmup=500,
        num_steps=25,
        hidden=(32,),
        batch_size=64,
        gamma=0.9,
        tau=0.02,
        **dict.fromkeys(("lr", "actor_lr", "alpha_lr"), 3e-3),
    ),
    "ppo": swingup.PPO(num_envs=8, num_steps=32, hidden=(32,), gamma=0.9, lr=3e-3),
}


def test_a_replay_keeps_the_action_that_the_policy_drew():
    """In its own units, a float: as the space's integer every action of [-1, 1] would become 0."""
    env = make(OnlyOnePays(0, 4, 4), 1)
    drawn = jnp.linspace(-1, 1, 7)[:, None, None]

    def act(seen, noise):
        return Choice(noise)

    state, obs = env.reset(jax.random.key(0))
    actor = Actor(state, obs, Recent(jnp.zeros(RECENT), jnp.int32(0)))
    _, rollout = collect(env, act, actor, jax.random.key(1), 7)
    memory = add(empty(env, 7), rollout._replace(action=drawn))
    batch = take(memory, jnp.arange(7), 0.9)
    np.testing.assert_array_equal(batch.action, drawn[:, 0])


@pytest.mark.slow
@pytest.mark.parametrize("low, high, goal", [(0, 1, 1), (0, 1, 0), (-2, 2, 2)])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_one_that_pays_is_found_by_ten_seeds_of_ten(name, low, high, goal):
    env_steps = 2500 if name == "sac" else 15_000
    run = swingup.train(
        ALGORITHMS[name], OnlyOnePays(low, high, goal), env_steps=env_steps, seeds=10, episodes=2
    )
    np.testing.assert_array_equal(run.final_return, 10)
