"""The car of `task:Track` is driven at random, and World Models' V and M learn from what was seen."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup.algos.world_models import WorldModels
from swingup.dynamics.latent import MDNRNN, loss
from swingup.envs import make
from swingup.nets.vae import VAE
from swingup.optimisers import fresh, gradient_steps
from swingup.replay.sequences import Stretch

NAME = "task:Track?actions=continuous"
CARS, ENV_STEPS, HOLD = 64, 200, 4  # side by side; of each; for which a random action is held
ALGO = WorldModels(num_envs=CARS, tries=8)  # whose sizes and losses are used
SPACES = make(NAME, 1).observation_space, make(NAME, 1).action_space


class Driven(NamedTuple):
    """These are drives [T, N], with the reward and the end of each env step."""

    obs: Array  # [T, N, 32, 32, 1]
    action: Array  # [T, N, 2]
    reward: Array
    terminated: Array
    done: Array


@partial(jax.jit, static_argnames=("cars", "env_steps"))
def driven(key: Array, cars: int = CARS, env_steps: int = ENV_STEPS) -> Driven:
    """Return random drives [T, N]: each action is drawn uniformly, and held for a few env steps."""
    k_start, k_action, k_noise = jax.random.split(key, 3)
    env = make(NAME, cars)
    drawn = jax.random.uniform(k_action, (-(-env_steps // HOLD), cars, 2), minval=-1.0, maxval=1.0)
    actions = jnp.repeat(drawn, HOLD, 0)[:env_steps]

    def body(at: tuple, now: tuple) -> tuple[tuple, Driven]:
        state, obs = at
        state, step = env.step(state, *now)
        return (state, step.obs), Driven(obs, now[0], step.reward, step.terminated, step.done)

    return jax.lax.scan(body, env.reset(k_start), (actions, env.draw(k_noise, env_steps)))[1]


@partial(jax.jit, static_argnames=("of_vision", "of_model"))
def taught(drives: Driven, key: Array, of_vision: int, of_model: int) -> tuple[VAE, MDNRNN]:
    """Train V on the frames of drives [T, N], and then M on stretches of them, by this many gradient steps of each."""
    k_vision, k_model, k_see, k_foresee = jax.random.split(key, 4)
    vision = VAE(SPACES[0], ALGO.latents, ALGO.vision_width, key=k_vision)
    model = MDNRNN(SPACES[1], ALGO.latents, ALGO.mixtures, ALGO.model_width, key=k_model)
    time, cars = drives.reward.shape

    def frames(key: Array) -> tuple[Array, Array]:
        k_time, k_car, k_noise = jax.random.split(key, 3)
        at = jax.random.randint(k_time, (ALGO.batch_size,), 0, time)
        car = jax.random.randint(k_car, (ALGO.batch_size,), 0, cars)
        return vision.see(drives.obs[at, car]), jax.random.normal(k_noise, (ALGO.batch_size, ALGO.latents))

    rule = ALGO.optimizer()
    vision = gradient_steps(rule, ALGO.vision_loss, frames, begun(rule, vision), of_vision, k_see)[0]
    q = vision.encode(vision.see(drives.obs))

    def stretches(key: Array) -> tuple[Array, Stretch]:
        k_time, k_car, k_noise = jax.random.split(key, 3)
        first = jax.random.randint(k_time, (ALGO.model_batch, 1), 0, time - ALGO.length)
        at = first + jnp.arange(ALGO.length + 1), jax.random.randint(k_car, (ALGO.model_batch, 1), 0, cars)
        of = jax.tree.map(lambda x: x[at], drives)
        place = at[0] * cars + at[1]
        z = jax.tree.map(lambda x: x[at], q)
        z = z.from_noise(jax.random.normal(k_noise, z.mean.shape))
        return z, Stretch(place, of.action, of.reward, of.terminated, of.done)

    model = gradient_steps(rule, loss, stretches, begun(rule, model), of_model, k_foresee)[0]
    return vision, model


def begun(rule: optax.GradientTransformation, net: VAE | MDNRNN) -> tuple:
    """Return a network with the first state of its optimiser."""
    return net, fresh(rule, net)
