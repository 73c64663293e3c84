"""VPG's weights, loss and update against loops in float64, finite differences, and what must hold of them."""

from functools import partial

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from test_ppo import (
    ACTIONS,
    ENV,
    OBS,
    double,
    flat,
    mlp,
    network,
    rollout_with_ends,
)
from test_returns import all_patterns

from swingup.algos.ppo import PPO
from swingup.algos.vpg import VPG, WEIGHTS, Batch, Learner
from swingup.counters import counter
from swingup.distributions import noise
from swingup.errors import ConfigError
from swingup.nets.actor_critic import ActorCritic
from swingup.normalise import Moments, Off, RewardScale, moments, reward_scale, statistics
from swingup.returns import full_return, n_step_advantage, reward_to_go, standardise
from swingup.rollout import collect, start
from swingup.spaces import Box, Discrete
from swingup.types import Rollout, Seen, Step

merge, merge_rewards = Moments.merge, RewardScale.merge

PLAIN = {"num_envs": 2, "num_steps": 6, "value_epochs": 3, "hidden": (4,)}
fast = settings(max_examples=60, deadline=None)


# --- Returns


def slow_reward_to_go(reward, next_value, terminated, done, gamma):
    """A sum over the rest of the episode, and V(s') where it is truncated or the data end."""
    reward, next_value = np.asarray(reward, np.float64), np.asarray(next_value, np.float64)
    steps, envs = reward.shape
    result = np.zeros((steps, envs))
    for n in range(envs):
        for t in range(steps):
            for k in range(t, steps):
                result[t, n] += gamma ** (k - t) * reward[k, n]
                if done[k, n] or k == steps - 1:
                    if not terminated[k, n]:
                        result[t, n] += gamma ** (k - t + 1) * next_value[k, n]
                    break
    return result


def slow_full_return(reward, next_value, terminated, done, gamma):
    """The reward-to-go of the episode's first env step in the data, at all of its env steps."""
    to_go = slow_reward_to_go(reward, next_value, terminated, done, gamma)
    result = np.zeros_like(to_go)
    for n in range(to_go.shape[1]):
        first = 0
        for t in range(len(to_go)):
            result[t, n] = to_go[first, n]
            if done[t, n]:
                first = t + 1
    return result


def slow_n_step(reward, value, next_value, terminated, done, gamma, n):
    """n rewards, or as many as there are, then V of the last one's successor, minus V(s)."""
    reward, value, next_value = (np.asarray(x, np.float64) for x in (reward, value, next_value))
    steps, envs = reward.shape
    result = -value
    for e in range(envs):
        for t in range(steps):
            for k in range(t, min(t + n, steps)):
                result[t, e] += gamma ** (k - t) * reward[k, e]
                if done[k, e] or k in (t + n - 1, steps - 1):
                    if not terminated[k, e]:
                        result[t, e] += gamma ** (k - t + 1) * next_value[k, e]
                    break
    return result


def joined(value, next_value, done):
    """V(s') as it is in a rollout: the next row's V where the episode goes on."""
    return np.where(done, next_value, np.concatenate([value[1:], next_value[-1:]]))


def check_returns(reward, value, next_value, terminated, done, gamma):
    ends = np.asarray(terminated), np.asarray(done)
    for fast_one, slow_one in ((reward_to_go, slow_reward_to_go), (full_return, slow_full_return)):
        got = jax.jit(fast_one)(reward, next_value, *ends, gamma)
        np.testing.assert_allclose(got, slow_one(reward, next_value, *ends, gamma), rtol=1e-4, atol=1e-3)
    next_value = joined(value, next_value, done)
    for n in (1, 2, 3, 10):
        got = jax.jit(n_step_advantage, static_argnums=6)(reward, value, next_value, *ends, gamma, n)
        expected = slow_n_step(reward, value, next_value, *ends, gamma, n)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


@fast
@given(hnp.arrays(np.int8, (6, 3), elements=st.integers(0, 2)), st.floats(0, 1, width=32), st.integers(0, 99))
def test_returns_match_slow_loops(kind, gamma, seed):
    reward, value, next_value = np.random.default_rng(seed).normal(0, 10, (3, 6, 3)).astype(np.float32)
    check_returns(reward, value, next_value, kind == 1, kind > 0, np.float32(gamma))


def test_returns_at_every_pattern_of_episode_ends_C1():
    """All 81 ways in which 4 env steps can go on, terminate or be truncated."""
    kinds, reward, value, next_value = all_patterns()
    check_returns(reward, value, next_value, kinds == 1, kinds > 0, np.float32(0.9))


# --- The weights


def learner_of(net, **changes):
    return Learner(net, (), (), counter(), Off(), Off())._replace(**changes)


@jax.jit
def advantages(algo, learner, rollout):
    return algo.advantages(learner, rollout)


def slow_weights(algo, net, rollout, see=lambda x: x, scale=1.0):
    """{weight: Ψ}, by loops; and V(s) [T, N]."""
    net, step = double(net), rollout.step
    value, next_value = (
        mlp(net.critic.layers, see(np.asarray(x, np.float64)))[..., 0] for x in (rollout.obs, step.next_obs)
    )
    done = step.terminated | step.truncated
    ends, reward = (step.terminated, done, algo.gamma), step.reward / scale
    to_go = slow_reward_to_go(reward, next_value, *ends)
    td = slow_n_step(reward, value, next_value, *ends, 1)
    adv, later = np.zeros_like(td), np.zeros(td.shape[1])
    for t in reversed(range(len(td))):
        adv[t] = later = td[t] + algo.gamma * algo.lam * ~done[t] * later
    return {
        "full_return": slow_full_return(reward, next_value, *ends),
        "reward_to_go": to_go,
        "reward_to_go_baseline": to_go - value,
        "q": td + value,
        "n_step": slow_n_step(reward, value, next_value, *ends, algo.n),
        "gae": adv,
    }, value


def a_rollout():
    """One environment goes on, one terminates, one is truncated; V(s') is V of the next row where it goes on."""
    rollout = rollout_with_ends()
    done = rollout.step.terminated | rollout.step.truncated
    obs = rollout.obs.copy()
    obs[1:] = rollout.step.obs[:-1]
    next_obs = np.where(done[..., None], rollout.step.next_obs, rollout.step.obs)
    return rollout._replace(obs=obs, step=rollout.step._replace(next_obs=next_obs))


@pytest.mark.parametrize("weight", WEIGHTS)
def test_weights_match_slow_loops_and_targets_are_rewards_to_go_C1_C2_C9(weight):
    """A true terminal is worth 0; a time limit, or the rollout's end, V of the true last observation."""
    net, rollout = network("discrete"), a_rollout()
    algo = VPG(**PLAIN, weight=weight, gamma=0.9, lam=0.8, n=2)
    b = advantages(algo, learner_of(net), rollout)
    expected, value = slow_weights(algo, net, rollout)
    np.testing.assert_allclose(b.adv, expected[weight], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(b.target, expected["reward_to_go"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(b.value_old, value, rtol=1e-4, atol=1e-5)
    others = [x for name, x in expected.items() if name != weight]
    assert all(np.abs(x - expected[weight]).max() > 0.01 for x in others)  # so the comparison can tell


def test_weights_use_one_normaliser_for_all_observations_and_for_rewards():
    net, rollout = network("discrete"), a_rollout()
    m = Moments(jnp.int32(50), jnp.array([0.5, -1.0, 0.0]), jnp.array([4.0, 0.25, 1.0]))
    scale = RewardScale(Moments(jnp.int32(50), jnp.float32(3.0), jnp.float32(6.25)), jnp.zeros(3))
    algo = VPG(**PLAIN, gamma=0.9, lam=0.8, normalise_obs=True, normalise_reward=True)
    b = advantages(algo, learner_of(net, obs_moments=m, reward_scale=scale), rollout)
    expected, _ = slow_weights(
        algo, net, rollout, lambda x: (x - np.asarray(m.mean)) / np.sqrt(np.asarray(m.var)), 2.5
    )
    np.testing.assert_allclose(b.adv, expected["gae"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(b.target, expected["reward_to_go"], rtol=1e-4, atol=1e-4)


# --- The loss


def batch_of(kind, net):
    """12 samples with weights of either sign."""
    rng = np.random.default_rng(2)
    obs = rng.normal(size=(12, OBS)).astype(np.float32)
    action = rng.integers(0, 3, 12) if kind == "discrete" else rng.normal(size=(12, 2)).astype(np.float32)
    logp = np.asarray(jax.jit(lambda net: net.policy(obs).log_prob(action))(net))
    adv = (1 + rng.uniform(0.5, 3, 12) * (-1.0) ** np.arange(12)).astype(np.float32)
    target, value = rng.normal(size=(2, 12)).astype(np.float32)
    return Batch(obs, action, logp, adv, target, value)


def evaluate_loss(net, batch, **changes):
    algo = VPG(**PLAIN, **changes)
    return jax.jit(jax.value_and_grad(algo.loss, has_aux=True))(net, batch)


@pytest.fixture(scope="module", params=["discrete", "continuous"])
def frozen(request):
    net = network(request.param)
    return net, batch_of(request.param, net)


def central_differences(f, net, h=1e-5):
    """The gradient of f(net) for every weight of `net`, in float64."""
    leaves, tree = jax.tree.flatten(double(net))
    numeric = []
    for i, leaf in enumerate(leaves):
        for j in np.ndindex(leaf.shape):
            ends = []
            for sign in (1, -1):
                moved = leaf.copy()
                moved[j] += sign * h
                ends.append(f(jax.tree.unflatten(tree, [*leaves[:i], moved, *leaves[i + 1 :]])))
            numeric.append((ends[0] - ends[1]) / (2 * h))
    return np.array(numeric)


def slow_policy_loss(net, b, normalise_adv):
    """-mean(log π Ψ), sample by sample. `net` and `b` hold float64 arrays."""
    adv = (b.adv - b.adv.mean()) / (b.adv.std() + 1e-8) if normalise_adv else b.adv
    total = 0.0
    for i in range(len(adv)):
        output = mlp(net.actor.layers, b.obs[i])
        if net.log_std is None:
            logp = output[b.action[i]] - np.log(np.sum(np.exp(output)))
        else:
            z = (b.action[i] - output) / np.exp(net.log_std)
            logp = np.sum(-0.5 * z**2 - net.log_std - 0.5 * np.log(2 * np.pi))
        total += logp * adv[i]
    return -total / len(adv)


@pytest.mark.parametrize("normalise_adv", [False, True])
def test_loss_and_gradient_match_a_slow_implementation_M26(frozen, normalise_adv):
    """The value to 1e-4; the gradient to 2e-2 of central differences in float64, for every weight."""
    net, b = frozen
    (loss, metrics), grad = evaluate_loss(net, b, normalise_adv=normalise_adv)
    slow = double(b)
    np.testing.assert_allclose(loss, slow_policy_loss(double(net), slow, normalise_adv), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(metrics["loss/policy"], loss, rtol=1e-6)
    numeric = central_differences(lambda net: slow_policy_loss(net, slow, normalise_adv), net)
    np.testing.assert_allclose(flat(grad), numeric, rtol=2e-2, atol=1e-4)
    assert not np.any(flat(grad.critic))


def test_the_gradient_is_that_of_ppo_before_its_first_gradient_step(frozen):
    """At ratio 1, with V and the entropy left out: the family's common root."""
    net, b = frozen
    _, grad = evaluate_loss(net, b)
    ppo = PPO(num_envs=2, num_steps=6, num_minibatches=1, hidden=(4,), c_value=0.0, c_entropy=0.0)
    _, same = jax.jit(jax.value_and_grad(ppo.loss, has_aux=True))(net, b)
    np.testing.assert_allclose(flat(grad), flat(same), rtol=1e-3, atol=1e-6)


def test_constant_weights_and_a_batch_of_one_give_no_nan_C4(frozen):
    """Standardised they are 0, and so is the gradient, whatever rounding left of the mean."""
    net, b = frozen
    batches = [b._replace(adv=np.full(12, c, np.float32)) for c in (3.0, 0.1, -1.7, 123.4)]
    for batch in (*batches, jax.tree.map(lambda x: x[:1], b)):
        (loss, _), grad = evaluate_loss(net, batch)
        assert np.isfinite(loss)
        np.testing.assert_allclose(flat(grad), 0.0, atol=1e-3)


@fast
@given(hnp.arrays(np.float32, 7, elements=st.floats(-100, 100, width=32)))
def test_standardised_weights_have_mean_0_and_deviation_1_or_are_0(x):
    got = np.asarray(jax.jit(standardise)(x), np.float64)
    np.testing.assert_allclose(got.mean(), 0.0, atol=1e-3)
    if x.std() > 1e-2:
        np.testing.assert_allclose(got.std(), 1.0, rtol=1e-3)
        np.testing.assert_allclose(got, (x - x.mean()) / x.std(), rtol=1e-2, atol=1e-2)


# --- The update


@partial(jax.jit, static_argnums=0)
def play(normalised, learner, actor, key):
    """A rollout with the learner, as `VPG.step` makes it."""
    algo = VPG(**PLAIN, normalise_obs=normalised, normalise_reward=normalised)
    return collect(ENV, partial(algo.act, learner), actor, key, algo.num_steps)


@pytest.fixture(scope="module", params=[False, True], ids=["raw", "normalised"])
def scene(request):
    """(changes, learner, rollout): after one earlier rollout, so that the normalisers have seen something."""
    changes = {"normalise_obs": request.param, "normalise_reward": request.param}
    algo, net = VPG(**PLAIN, **changes), network("continuous")
    opt_states = algo.optimizer(1.0).init(net), algo.optimizer(1.0).init(net.critic)
    learner = learner_of(net, opt_state=opt_states[0], value_opt_state=opt_states[1])
    if request.param:
        learner = learner._replace(obs_moments=moments((OBS,)), reward_scale=reward_scale(2))
    actor, rollout = play(request.param, learner, start(ENV, jax.random.key(0)), jax.random.key(1))
    obs_moments, scale = statistics(learner, rollout, algo.gamma)
    learner = learner._replace(obs_moments=obs_moments, reward_scale=scale)
    _, rollout = play(request.param, learner, actor, jax.random.key(2))
    return changes, learner, rollout


def test_diagnostics_are_of_the_policy_after_the_step_C6_C7(scene):
    """Before it, KL would be 0 in every iteration and the entropy that of the old policy."""
    changes, learner, rollout = scene
    algo = VPG(**PLAIN, **changes, lr=0.05)
    after, metrics = algo.update(learner, rollout)
    some = jax.tree.map(lambda x: x[::4], advantages(algo, learner, rollout))
    old, new = (jax.jit(lambda net: net.policy(some.obs))(x.params) for x in (learner, after))
    moved = np.asarray(new.log_prob(some.action) - some.logp_old, np.float64)
    np.testing.assert_allclose(metrics["kl"], np.mean(np.expm1(moved) - moved), rtol=1e-2, atol=1e-6)
    assert metrics["kl"] > 1e-4
    np.testing.assert_allclose(metrics["entropy"], new.entropy().mean(), rtol=1e-5)
    assert abs(float(old.entropy().mean() - new.entropy().mean())) > 1e-3
    assert int(after.iteration) == 1


def test_update_is_one_step_of_the_policy_and_the_fit_of_v_M36(scene):
    """Algorithm 1 as a Python loop: an Adam step on the policy, then `value_epochs` on V, with their own rates."""
    changes, learner, rollout = scene
    algo = VPG(**PLAIN, **changes, lr=0.02, value_lr=0.07)
    after, metrics = algo.update(learner, rollout)
    data = advantages(algo, learner, rollout)
    grads = jax.jit(jax.grad(lambda net: algo.loss(net, data)[0]))(learner.params)
    adam = optax.adam(0.02, eps=1e-5)
    updates, _ = adam.update(grads, adam.init(grads))
    params, losses = optax.apply_updates(learner.params, updates), []
    adam = optax.adam(0.07, eps=1e-5)
    critic, opt_state = params.critic, adam.init(params.critic)
    fit = jax.jit(jax.value_and_grad(lambda v: jnp.square(v(data.obs)[..., 0] - data.target).mean()))
    for _ in range(algo.value_epochs):
        loss, grads = fit(critic)
        updates, opt_state = adam.update(grads, opt_state)
        critic, losses = optax.apply_updates(critic, updates), [*losses, loss]
    np.testing.assert_allclose(flat(after.params.actor), flat(params.actor), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.params.log_std, params.log_std, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(flat(after.params.critic), flat(critic), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(metrics["loss/value"], np.mean(losses), rtol=1e-3)
    assert losses[-1] < losses[0]
    assert np.abs(flat(after.params.actor) - flat(learner.params.actor)).max() > 0.01


def test_before_the_update_the_ratio_is_1(scene):
    """The policy in the loss is the one that acted: same parameters, same normaliser, unclipped actions."""
    changes, learner, rollout = scene
    b = advantages(VPG(**PLAIN, **changes), learner, rollout)
    logp = jax.jit(lambda net: net.policy(b.obs).log_prob(b.action))(learner.params)
    np.testing.assert_allclose(logp, b.logp_old, atol=1e-5)
    assert np.abs(np.asarray(rollout.action)).max() > 1  # some were clipped on their way to the environment


def test_update_adds_each_sample_to_the_statistics_once(scene):
    changes, learner, rollout = scene
    after, _ = VPG(**PLAIN, **changes).update(learner, rollout)
    if not changes["normalise_obs"]:
        assert after.obs_moments == Off()
        assert after.reward_scale == Off()
        return
    for x, y in zip(after.obs_moments, merge(learner.obs_moments, rollout.obs), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)
    expected = merge_rewards(learner.reward_scale, rollout.step.reward, rollout.step.done, 0.99)
    for x, y in zip(jax.tree.leaves(after.reward_scale), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_shared_body_is_moved_by_the_policys_step_alone():
    """With images: however long V is fitted, the body and the policy are the same afterwards."""
    space, rng = Box.of(0.0, 1.0, (4, 4, 1)), np.random.default_rng(4)
    make_net = jax.jit(lambda key: ActorCritic(space, Discrete(2), (4,), "relu", key=key))
    net, obs = make_net(jax.random.key(0)), rng.uniform(size=(3, 2, 4, 4, 1)).astype(np.float32)
    no, reward = np.zeros((3, 2), bool), rng.normal(size=(3, 2)).astype(np.float32)
    step = Step(obs, obs, reward, no, no, reward, np.ones((3, 2), np.int32))
    rollout = Rollout(obs, rng.integers(0, 2, (3, 2)), np.full((3, 2), -0.7, np.float32), step)
    rollout, found = jax.tree.map(jnp.asarray, rollout), []
    for value_epochs in (1, 3):
        algo = VPG(**(PLAIN | {"num_steps": 3, "value_epochs": value_epochs}), lr=0.01)
        opt_states = algo.optimizer(1.0).init(net), algo.optimizer(1.0).init(net.critic)
        learner = learner_of(net, opt_state=opt_states[0], value_opt_state=opt_states[1])
        with jax.disable_jit():  # two programs, which the compiler may round differently
            found.append(algo.update(learner, rollout)[0].params)
    short, long = found
    for part in ("body", "actor"):
        np.testing.assert_array_equal(flat(getattr(short, part)), flat(getattr(long, part)))
        assert np.any(flat(getattr(net, part)) != flat(getattr(short, part)))
    assert np.any(flat(short.critic) != flat(long.critic))


# --- Acting and settings


def test_act_explores_or_not_and_reports_the_log_prob_C22(scene):
    changes, learner, rollout = scene
    algo, obs = VPG(**PLAIN, **changes), rollout.obs[0]
    pi = learner.params.policy(learner.obs_moments.normalise(obs))
    np.testing.assert_allclose(algo.act(learner, Seen(obs))[0], pi.mode(), rtol=1e-4, atol=1e-5)
    draws = noise(ACTIONS["continuous"], jax.random.key(0), (2,))
    action, logp, _ = algo.act(learner, Seen(obs), draws)
    np.testing.assert_allclose(action, pi.from_noise(draws), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logp, pi.log_prob(action), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"weight": "gea"}, {"n": 0}, {"value_epochs": 0}, {"activation": "tan"}, {"hidden": ()}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        VPG(**(PLAIN | wrong))


def test_a_mistyped_weight_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'gae'"):
        VPG(weight="gea")
