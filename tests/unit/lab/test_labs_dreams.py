"""Demonstrations of dreams have parts that equal slow oracles, and claims that fail without their cause."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.algos.world_models import Learner
from swingup.counters import counter
from swingup.dynamics.latent import MDNRNN, dream
from swingup.envs import make
from swingup.episodes import evaluate
from swingup.evolution import candidates, evolution, evolve
from swingup.lab import dreams, temperature
from swingup.lab.tools import driving
from swingup.nets import mixture
from swingup.nets.vae import VAE


def nets() -> tuple[VAE, MDNRNN]:
    """V and M with their first weights."""
    algo, (seen, done) = driving.ALGO, driving.SPACES
    keys = jax.random.split(jax.random.key(8))
    vision = VAE(seen, algo.latents, algo.vision_width, key=keys[0])
    return vision, MDNRNN(done, algo.latents, algo.mixtures, algo.model_width, key=keys[1])


def test_random_drives_hold_their_actions_and_are_the_environments() -> None:
    drives = driving.driven(jax.random.key(0), cars=2, env_steps=10)
    action = np.asarray(drives.action)
    for first in range(0, 10, driving.HOLD):
        assert (action[first : first + driving.HOLD] == action[first]).all()
    assert (action[0] != action[driving.HOLD]).any()
    env = make(driving.NAME, 2)
    state, obs = env.reset(jax.random.split(jax.random.key(0), 3)[0])
    for t in range(10):
        np.testing.assert_array_equal(drives.obs[t], obs)
        noise = jax.tree.map(
            lambda x: x[0], env.draw(jax.random.key(1), 1)
        )  # the track has none but for new roads
        state, step = env.step(state, drives.action[t], noise)
        obs = step.obs
        np.testing.assert_allclose(drives.reward[t], step.reward, atol=1e-5)


# --- dreams -----------------------------------------------------------------------------------------------------------


def test_a_dream_beside_reality_is_that_of_a_slow_loop() -> None:
    vision, model = nets()
    drives = driving.driven(jax.random.key(0), cars=2, env_steps=dreams.WATCHED + dreams.DREAMT)
    key = jax.random.key(3)
    found = dreams.seen(vision, model, drives, key)
    z = vision.encode(vision.see(drives.obs)).mean
    noise = mixture.draw(key, (dreams.DREAMT, 2), z.shape[-1], driving.ALGO.mixtures)
    for name, actions in ((dreams.DREAM, drives.action), (dreams.OTHER, drives.action[:, ::-1])):
        recall = model.start(2)
        for t in range(dreams.WATCHED):
            recall = model.step(z[t], drives.action[t], recall)
        for t in range(dreams.DREAMT):
            drawn = jax.tree.map(lambda x, t=t: x[t], noise)
            latents = model.say(recall[0]).latents.from_noise(drawn, dreams.TEMPERATURE)
            np.testing.assert_allclose(found[name][t], vision.decode(latents), atol=1e-3)
            recall = model.step(latents, actions[dreams.WATCHED + t], recall)
    np.testing.assert_allclose(found[dreams.BEST], vision.decode(z[dreams.WATCHED :]), atol=1e-4)
    np.testing.assert_allclose(found[dreams.STAYS][-1], vision.decode(z[dreams.WATCHED - 1]), atol=1e-4)


def test_a_dream_that_is_no_better_than_a_frame_that_stays_fulfils_no_claim() -> None:
    same = dict.fromkeys(dreams.WORLDS, np.random.default_rng(0).uniform(9, 11, (dreams.DREAMT, 8)))
    assert not any(claim.holds for claim in dreams.claims_of(same, np.full((dreams.DREAMT, 8), 10.0)))


# --- temperature ------------------------------------------------------------------------------------------------------


def test_controllers_are_evolved_in_dreams_of_their_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a loop over temperatures and generations, with the leaves that World Models has."""
    monkeypatch.setattr(temperature, "GENERATIONS", 2)
    monkeypatch.setattr(temperature, "HORIZON", 5)
    model, algo = nets()[1], driving.ALGO
    first, key = jax.random.normal(jax.random.key(0), (6, algo.latents)), jax.random.key(1)
    taus = jnp.array([0.1, 1.3])
    weights, promise = temperature.evolved.__wrapped__(model, first, taus, key)  # pyright: ignore[reportFunctionMemberAccess]
    control = algo.controller(model.space)

    def score(weights: jax.Array, tau: float, key: jax.Array, tries: int) -> jax.Array:
        k_first, k_noise = jax.random.split(key)
        begin = jax.random.choice(k_first, first, (tries,))
        noise = mixture.draw(k_noise, (5, tries), algo.latents, algo.mixtures)
        each = []
        for one in weights:

            def act(z: jax.Array, hidden: jax.Array, one: jax.Array = one) -> jax.Array:
                return control(one, jnp.concatenate([z, hidden], -1))

            each.append(dream(model, act, begin, noise, tau).sum(0).mean())
        return jnp.stack(each)

    for i, tau in enumerate((0.1, 1.3)):
        k_run, k_test = jax.random.split(key)
        now = evolution(jnp.zeros(control.size), algo.sigma)
        for k in jax.random.split(k_run, 2):
            k_draw, k_dream = jax.random.split(k)
            epsilon = jax.random.normal(k_draw, (temperature.POPULATION, control.size))
            now = evolve(now, epsilon, score(candidates(now, epsilon), tau, k_dream, temperature.TRIES))
        np.testing.assert_allclose(weights[i], now.mean, rtol=1e-3, atol=1e-4)
        last = score(now.mean[None], tau, k_test, temperature.ROADS)[0]
        np.testing.assert_allclose(promise[i], last, rtol=1e-3, atol=1e-4)


def test_what_is_earned_on_roads_is_what_the_agent_earns() -> None:
    """By the algorithm itself, whose greedy actions are those of the mean of C's weights."""
    vision, model = nets()
    algo, env = driving.ALGO, make(driving.NAME, temperature.ROADS)
    weights = 0.3 * jax.random.normal(jax.random.key(4), (4, algo.controller(model.space).size))
    found = temperature.earned(vision, model, weights, jax.random.key(5))
    nothing = (None,) * 4
    for one, earned in zip(weights, found, strict=True):
        learner = Learner(vision, model, evolution(one, 0.1), *nothing, counter(), counter())  # pyright: ignore[reportArgumentType]
        act = partial(lambda learner, seen, _: algo.act(learner, seen), learner)
        memory = algo.start_memory(env.action_space, temperature.ROADS)
        np.testing.assert_allclose(
            earned, evaluate(env, act, jax.random.key(5), memory=memory)[0].mean(), rtol=1e-3, atol=1e-3
        )


def test_dreams_that_keep_their_promises_fulfil_no_claim() -> None:
    same = np.tile(np.linspace(4.0, 1.0, len(temperature.TAUS)), (temperature.WORLDS, 1))
    assert not any(claim.holds for claim in temperature.claims_of(temperature.Found(same, same)))
