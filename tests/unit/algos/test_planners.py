"""MPC and PETS are compared with slow loops: what they plan, what they carry on, what they learn from."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from conftest import assert_close, small
from swingup.algos.mpc import MPC
from swingup.algos.pets import PETS
from swingup.counters import counter
from swingup.dynamics.fit import fit
from swingup.envs import make
from swingup.episodes import evaluate
from swingup.errors import ConfigError
from swingup.planning import plans
from swingup.presets import defaults
from swingup.replay import ring
from swingup.rollout import collect
from swingup.spaces import to_env
from swingup.training import driver
from swingup.types import Choice, Seen, State

TASK = "task:CartPoleSwingUp"


@cache
def begun(name: str) -> tuple[Any, Any, State]:
    algo = small(name)
    env = make(TASK, algo.num_envs)
    state = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0))
    return algo, env, state


def seen_in(env: Any, state: State) -> Seen:
    return Seen(state.actor.obs, None, env.world(state.actor.env_state), state.actor.memory)


def test_a_plan_goes_on_within_an_episode_and_no_further() -> None:
    """What is carried is the rest of the last plan; where an episode ends, nothing."""
    algo, env, state = begun("mpc")
    choice = algo.act(state.learner, seen_in(env, state))
    memory = np.asarray(choice.memory.plan)
    np.testing.assert_array_equal(choice.memory.age, 1)
    assert memory.shape == (env.num_envs, algo.horizon, 1)
    np.testing.assert_array_equal(memory[:, -1], 0)
    search = jax.jit(jax.vmap(partial(algo.plan, state.learner.model)))
    found = search(
        seen_in(env, state).world, state.actor.memory.plan, plans.fixed_keys(state.actor.memory.age)
    )
    np.testing.assert_allclose(memory[:, :-1], found.actions[:, 1:], atol=1e-5)
    np.testing.assert_allclose(choice.action, found.actions[:, 0], atol=1e-5)
    seen = seen_in(env, state)._replace(memory=choice.memory)
    then = search(seen.world, choice.memory.plan, plans.fixed_keys(choice.memory.age))
    np.testing.assert_allclose(algo.act(state.learner, seen).action, then.actions[:, 0], atol=1e-5)
    # The next search begins there: with a tiny deviation it finds no more than that.
    narrow = jax.jit(jax.vmap(partial(small("mpc", sigma=1e-6).plan, state.learner.model)))
    again = narrow(seen_in(env, state).world, choice.memory.plan, plans.fixed_keys(choice.memory.age))
    np.testing.assert_allclose(again.actions, memory, atol=1e-4)

    def act(seen: Seen, noise: Any) -> Any:
        return algo.act(state.learner, seen, noise)._replace(extras=seen.memory.plan)

    actor = state.actor._replace(env_state=late(state.actor.env_state))
    _, rollout = jax.jit(lambda a: collect(env, act, a, jax.random.key(1), 4, draw=algo.draw))(actor)
    empty = np.asarray(jnp.abs(rollout.extras).max((2, 3)) == 0)
    np.testing.assert_array_equal(empty[1:], np.asarray(rollout.step.done)[:-1])
    assert np.asarray(rollout.step.done).any()


def late(env_state: Any) -> Any:
    """Environments of which one has two env steps left."""
    world = env_state.env
    return env_state._replace(env=world._replace(time=world.time.at[0].set(198)))


def test_plans_of_an_environment_depend_on_it_alone() -> None:
    algo, env, state = begun("mpc")
    seen = seen_in(env, state)
    other = seen._replace(world=jax.tree.map(lambda x: x.at[0].add(1), seen.world))
    one, two = (algo.act(state.learner, s).action for s in (seen, other))
    np.testing.assert_array_equal(one[1:], two[1:])
    assert np.abs(one[0] - two[0]).max() > 0


def test_a_plan_is_worth_what_the_members_say_on_average() -> None:
    """Each member follows the plan on its own, in a slow loop; rewards are the task's function of what they say."""
    algo, env, state = begun("pets")
    learnt = state.learner.ensemble
    obs, last = state.actor.obs[0], state.actor.memory.plan[0]
    found = jax.jit(partial(algo.plan, learnt))(obs, last, jax.random.key(3))
    predict, worth = jax.jit(lambda s, a: learnt.predict(s, a).next_obs), []
    for member in range(learnt.size):
        s, total = obs, 0.0
        for h in range(algo.horizon):
            a = to_env(env.action_space, found.best[h])
            after = predict(s[None], a[None])[member, 0]
            total += float(env.known_reward(s, a, after)) * float(algo.gamma) ** h
            s = after
        worth.append(total)
    assert float(found.value) == pytest.approx(np.mean(worth), rel=1e-3, abs=1e-4)


def test_the_first_trial_of_pets_is_random_and_no_other() -> None:
    algo, env, state = begun("pets")
    keys = jax.random.split(jax.random.key(5), 2)
    drawn = [algo.draw(env.action_space, k, (env.num_envs,)) for k in keys]
    seen = seen_in(env, state)
    for noise in drawn:
        np.testing.assert_array_equal(algo.act(state.learner, seen, noise).action, noise.any)
    greedy = algo.act(state.learner, seen).action
    assert np.abs(greedy - drawn[0].any).max() > 1e-3
    later = state.learner._replace(iteration=counter(1))
    after = algo.act(later, seen, drawn[0])
    assert np.abs(after.action - drawn[0].any).max() > 1e-3


def test_an_update_of_pets_fits_all_that_was_seen() -> None:
    """Two updates: the second fits to both rollouts, and goes on from the weights of the first."""
    algo, env, state = begun("pets")

    @jax.jit
    def run(learner: Any, actor: Any, key: Array) -> Any:
        return collect(env, partial(algo.act, learner), actor, key, algo.num_steps, draw=algo.draw)

    how: Any = {x: getattr(algo, x) for x in ("looks", "gradient_steps", "batch_size")}
    refit = jax.jit(
        lambda e, r, k: fit(e, r, k, lr=algo.lr, decay=algo.decay, max_grad_norm=algo.max_grad_norm, **how)
    )
    learner, actor, rollouts = state.learner, state.actor, []
    for i in range(2):
        actor, rollout = run(learner, actor, jax.random.key(i))
        rollouts.append(rollout)
        before, key = learner.ensemble, jax.random.key(10 + i)
        learner, metrics = algo.update(learner, rollout, key)
        rows, count = algo.rows(learner.ensemble, learner.replay), (i + 1) * algo.env_steps_per_iteration
        both = jax.tree.map(lambda *x: np.concatenate(x).reshape(-1, *x[0].shape[2:]), *rollouts)
        assert int(rows.there.sum()) == count
        np.testing.assert_array_equal(rows.obs[:count], both.obs)
        np.testing.assert_array_equal(rows.next_obs[:count], both.step.next_obs)
        np.testing.assert_array_equal(rows.action[:count], to_env(env.action_space, both.action))
        np.testing.assert_array_equal(rows.terminated[:count], both.step.terminated)
        np.testing.assert_array_equal(rows.reward[:count], both.step.reward)
        assert_close(refit(before, rows, key)[0], learner.ensemble, 1e-4)
        assert (float(metrics["model/given_reward"]), float(metrics["model/given_end"])) == (1, 1)
    assert int(learner.iteration) == 2


def test_the_model_learns_actions_in_the_environments_units() -> None:
    """Pendulum's torques are in [-2, 2], the policy's actions in [-1, 1]; the swing-up's bounds would not tell."""
    algo = small("pets")
    env = make("Pendulum-v1", algo.num_envs)
    state = algo.init(env, jax.random.key(0))

    def any_action(seen: Seen, noise: Any) -> Choice:
        return Choice(noise.any, noise.any[:, 0], seen.memory)

    how = {"draw": algo.draw}
    _, rollout = collect(env, any_action, state.actor, jax.random.key(1), algo.num_steps, **how)
    rows = algo.rows(state.learner.ensemble, ring.add(state.learner.replay, rollout))
    torques = 2 * np.asarray(rollout.action).reshape(-1, 1)
    assert np.abs(torques).max() > 1
    np.testing.assert_allclose(rows.action[: len(torques)], torques, rtol=1e-6)


def test_settings_that_contradict_each_other_are_refused() -> None:
    discrete = make("CartPole-v1", 2)
    with pytest.raises(ConfigError, match="elites=11 cannot be more than candidates=10"):
        MPC(candidates=10, elites=11)
    with pytest.raises(ConfigError, match="particles=4 must be a multiple of members=5"):
        PETS(particles=4)
    with pytest.raises(ConfigError, match="replay_size=100 must hold the 200 env steps"):
        PETS(replay_size=100)
    with pytest.raises(ConfigError, match="actions that are a vector"):
        jax.eval_shape(partial(small("mpc").init, discrete), jax.random.key(0))
    assert (
        plans.imagined(MPC(candidates=10, elites=11, planner="shooting", horizon=3, particles=2, num_steps=5))
        == 300
    )
    assert (
        plans.imagined(MPC(candidates=10, elites=5, search_iterations=4, horizon=3, particles=2, num_steps=1))
        == 240
    )


# --- They play --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_mpc_swings_the_pole_up() -> None:
    """Ten starts: at least 175 of 200 in each."""
    algo = defaults("mpc", TASK).algo
    env, one = make(TASK, 10), make(TASK, 1)
    learner = algo.init(one, jax.random.key(0)).learner

    @jax.jit
    def play(key: Array) -> Array:
        act = lambda seen, noise: algo.act(learner, seen)  # noqa: E731
        memory = algo.start_memory(env.action_space, 10)
        return evaluate(env, act, key, memory=memory, draw=algo.draw)[0]

    assert np.min(play(driver.root_key(0, "test"))) >= 175
