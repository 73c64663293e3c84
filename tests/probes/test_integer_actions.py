"""Integer boxes: each allowed action can be reached, so that what pays is found even where it is a bound."""

import jax.numpy as jnp
import numpy as np
import pytest

import swingup
from swingup.spaces import Box
from swingup.types import Transition


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


@pytest.mark.slow
@pytest.mark.parametrize("low, high, goal", [(0, 1, 1), (0, 1, 0), (-2, 2, 2)])
def test_the_one_that_pays_is_found_by_ten_seeds_of_ten(low, high, goal):
    algo = swingup.PPO(num_envs=8, num_steps=32, hidden=(32,), gamma=0.9, lr=3e-3)
    run = swingup.train(algo, OnlyOnePays(low, high, goal), env_steps=15_000, seeds=10, episodes=2)
    np.testing.assert_array_equal(run.final_return, 10)
