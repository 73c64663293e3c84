"""MBMF is compared with slow loops, and with TRPO: who acts in which iteration, what is written down, what learns."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conftest import same_bits, small
from swingup import counters, distributions
from swingup.algos.mbmf import MBMF
from swingup.algos.trpo import TRPO
from swingup.envs import make
from swingup.errors import ConfigError
from swingup.protocols import VecEnv
from swingup.ranges import values
from swingup.rollout import collect
from swingup.types import Choice, Rollout, Seen, State

TRIALS, ROUNDS = 2, 1  # of the small settings: a random trial, one with the planner, a round, and then TRPO


@cache
def begun() -> tuple[MBMF, VecEnv, State]:
    algo: Any = small("mbmf")
    assert (algo.trials, algo.rounds) == (TRIALS, ROUNDS)
    env = make("Pendulum-v1", algo.num_envs)
    return algo, env, jax.jit(lambda key: algo.init(env, key))(jax.random.key(0))


def at(learner: Any, iteration: int) -> Any:
    return learner._replace(iteration=counters.counter(iteration))


@cache
def choices() -> tuple[Any, list[Choice]]:
    """What is chosen in iterations 0 to 3, with the same draws and the same last plan."""
    algo, env, state = begun()
    noise = algo.draw(env.action_space, jax.random.key(1), (2,))
    seen = Seen(state.actor.obs, memory=algo.start_memory(env.action_space, 2))
    return noise, [algo.act(at(state.learner, n), seen, noise) for n in range(4)]


def test_planner_and_policy_act_in_their_iterations() -> None:
    _, env, state = begun()
    noise, (random, trial, round_, later) = choices()
    pi = state.learner.agent.params.policy(state.actor.obs)
    np.testing.assert_allclose(random.action, distributions.uniform(env.action_space, noise.policy))
    np.testing.assert_array_equal(trial.action, trial.extras.label)
    np.testing.assert_allclose(round_.action, pi.mode(), rtol=1e-5)
    np.testing.assert_allclose(later.action, pi.from_noise(noise.policy), rtol=1e-5)
    for choice in (random, round_):  # the planner is asked, though others act
        np.testing.assert_array_equal(choice.extras.label, trial.extras.label)
    assert np.any(np.asarray(trial.extras.label) != 0)
    assert not np.any(later.extras.label)  # nobody asks it
    assert not np.any(later.extras.promised)


def test_without_noise_choices_are_greedy() -> None:
    """And the same in each call: a plan whose draws are fixed, or the policy's mode."""
    algo, env, state = begun()
    seen = Seen(state.actor.obs, memory=algo.start_memory(env.action_space, 2))
    trial, later = (algo.act(at(state.learner, n), seen) for n in (0, 3))
    np.testing.assert_array_equal(trial.action, trial.extras.label)
    np.testing.assert_allclose(later.action, later.extras.pi.mode())
    np.testing.assert_array_equal(trial.action, algo.act(at(state.learner, 0), seen).action)


def test_the_planner_takes_the_first_action_of_the_best_of_its_plans_by_a_slow_loop() -> None:
    algo, _, state = begun()
    noise, (_, trial, *_) = choices()
    made = state.learner.ensemble
    predict = jax.jit(lambda obs, action: made.predict(obs, action))
    for row in range(2):
        drawn = jax.random.split(noise.search[row])[0]
        plans = jax.random.uniform(drawn, (algo.candidates, algo.horizon, 1), minval=-1.0, maxval=1.0)
        obs, total = jnp.tile(state.actor.obs[row], (algo.candidates, 1)), np.zeros(algo.candidates)
        for h in range(algo.horizon):
            said = predict(obs, 2.0 * plans[:, h])  # the torque goes to 2
            obs, total = said.next_obs[0], total + np.asarray(said.reward[0])
        np.testing.assert_allclose(trial.action[row], plans[total.argmax(), 0], rtol=1e-6)
        np.testing.assert_allclose(trial.extras.promised[row], total.max(), rtol=1e-4)


def test_the_loss_of_a_lesson_is_that_of_a_slow_loop() -> None:
    algo, _, state = begun()
    params, obs = state.learner.agent.params, state.actor.obs
    action = jnp.array([[0.5], [-1.0]])
    mode = np.asarray(params.policy(obs).mode(), float)
    slow = np.mean(
        [
            0.5 * sum((float(a) - m) ** 2 for a, m in zip(x, y, strict=True))
            for x, y in zip(action, mode, strict=True)
        ]
    )
    assert float(algo.imitation_loss(params, obs, action)) == pytest.approx(slow, rel=1e-5)


def test_a_first_trial_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="trials=1 must be at least 2"):
        MBMF(trials=1)
    with pytest.raises(ConfigError, match="elites=9 cannot be more than candidates=8"):
        MBMF(planner="cem", candidates=8, elites=9)
    with pytest.raises(ConfigError, match="replay_size=10 must hold the 800 env steps"):
        MBMF(replay_size=10)


def test_trpo_is_handed_the_settings_that_have_its_names() -> None:
    """All of them, and no other: each has a value here that is not the default."""
    own = {
        "num_envs": 6,
        "num_steps": 10,
        "gamma": 0.5,
        "lam": 0.4,
        "delta": 0.3,
        "num_minibatches": 3,
        "lr": 0.2,
    }
    own |= {"hidden": (5,), "activation": "relu", "log_std_init": -0.7}
    theirs, here = values(MBMF(**own).trpo()), values(MBMF())
    assert set(own) == set(theirs) & set(here)
    assert theirs == values(TRPO()) | own


# --- What learns when: one compiled update, walked through its kinds of iterations -----------------------------------


class Walked(NamedTuple):
    before: Any  # learners
    rollout: Rollout
    after: Any
    metrics: dict[str, Any]


@cache
def walked() -> list[Walked]:
    """Iterations 0 to 3: a random trial, one with the planner, a round, and TRPO."""
    algo, env, state = begun()
    learner, actor, found = state.learner, state.actor, []
    play = jax.jit(
        lambda learner, actor, key: collect(
            env, partial(algo.act, learner), actor, key, algo.num_steps, draw=algo.draw, unroll=1
        )
    )
    for n in range(4):
        actor, rollout = play(learner, actor, jax.random.key(n))
        after, metrics = algo.update(learner, rollout, jax.random.key(10 + n))
        found.append(Walked(learner, rollout, after, metrics))
        learner = after
    return found


def policy(learner: Any) -> Any:
    return learner.agent.params.actor


def test_each_iteration_teaches_what_it_is_for() -> None:
    model, lesson, critic, means, deviation = [], [], [], [], []
    for x in walked():
        model.append(not same_bits(x.before.ensemble.members, x.after.ensemble.members))
        lesson.append(float(x.metrics["loss/imitation"]) > 0)
        critic.append(not same_bits(x.before.agent.params.critic, x.after.agent.params.critic))
        means.append(not same_bits(policy(x.before), policy(x.after)))
        deviation.append(not same_bits(x.before.agent.params.log_std, x.after.agent.params.log_std))
        assert all(np.isfinite(v) for name, v in x.metrics.items() if name.startswith(("loss/", "cg/")))
    assert model == [True, True, False, False]
    assert lesson == [False, True, True, False]
    assert critic == [False, False, True, True]
    assert means == [False, True, True, True]
    assert deviation == [False, False, False, True]
    assert same_bits(walked()[1].after.replay, walked()[3].after.replay)
    assert [int(x.after.iteration) for x in walked()] == [1, 2, 3, 4]


def test_trpo_moves_nothing_in_trials_the_value_function_in_rounds_and_then_all() -> None:
    algo, _, _ = begun()
    x, improve = walked()[3], jax.jit(algo.improve)
    for now, moved in enumerate([(False, False), (False, False), (False, True), (True, True)]):
        after, _ = improve(x.before.agent, x.rollout, jnp.int32(now), jax.random.key(5))
        policies, critics = (
            not same_bits(getattr(after.params, part), getattr(x.before.agent.params, part))
            for part in ("actor", "critic")
        )
        assert (policies, critics) == moved, now


def test_a_round_writes_down_what_the_planner_said_of_the_states_that_the_policy_saw() -> None:
    _, trial, round_, later = walked()
    pages = round_.after.examples
    for page, x in enumerate((trial, round_)):
        np.testing.assert_array_equal(pages.obs[page], x.rollout.obs.reshape(8, -1))
        np.testing.assert_array_equal(pages.action[page], x.rollout.extras.label.reshape(8, -1))
    assert np.any(np.asarray(round_.rollout.action) != np.asarray(round_.rollout.extras.label))
    assert same_bits(pages, later.after.examples)


@pytest.mark.slow
def test_after_the_rounds_an_update_is_one_of_trpo() -> None:
    algo, _, _ = begun()
    x = walked()[3]
    k_learn = jax.random.split(jax.random.key(13), 3)[2]
    own = x.rollout._replace(extras=x.rollout.extras.pi)
    agent, metrics = algo.trpo().update(x.before.agent, own, k_learn)
    for one, other in zip(jax.tree.leaves(agent), jax.tree.leaves(x.after.agent), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)
    for name, value in metrics.items():
        np.testing.assert_allclose(x.metrics[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
