"""PPO's loss and update against NumPy in float64, finite differences, and what must hold of them.

The reference below is written from the paper's equations, one sample at a time, on its own networks.
"""

from functools import cache, partial

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special as special
import scipy.stats as stats
from hypothesis import given, settings
from jax.flatten_util import ravel_pytree

from swingup.algos.ppo import PPO, Batch, Learner
from swingup.counters import counter, real
from swingup.distributions import Categorical, noise
from swingup.envs import Vec
from swingup.nets.actor_critic import ActorCritic
from swingup.normalise import Moments, Off, RewardScale, moments, reward_scale, statistics
from swingup.returns import k3
from swingup.rollout import collect, minibatches, start
from swingup.spaces import Box, Discrete
from swingup.types import Rollout, Seen, Step, Transition

merge, merge_rewards, normalise = Moments.merge, RewardScale.merge, Moments.normalise

B, OBS = 12, 3
OBSERVATIONS = Box.of(-1.0, 1.0, (OBS,))
ACTIONS = {"discrete": Discrete(3), "continuous": Box.of(-1.0, 1.0, (2,))}
PLAIN = {"num_envs": 2, "num_steps": 6, "num_minibatches": 2, "epochs": 2, "hidden": (4,)}


def network(kind):
    """An actor-critic with random weights of ordinary size, so that nothing is near zero by construction."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(
        lambda key: ActorCritic(OBSERVATIONS, ACTIONS[kind], (4,), "tanh", key=key), jax.random.key(0)
    )
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape) / 2, jnp.float32), shapes)


def batch_of(kind, net):
    """A frozen batch whose probability ratios are on both sides of the clip, with either sign of advantage."""
    rng = np.random.default_rng(2)
    obs = rng.normal(size=(B, OBS)).astype(np.float32)
    if kind == "discrete":
        action = rng.integers(0, 3, B)
    else:
        action = rng.normal(size=(B, 2)).astype(np.float32)
    logp = np.asarray(log_prob(net, obs, action))
    logp_old = (logp + np.linspace(-0.5, 0.5, B)).astype(np.float32)
    adv = (1 + rng.uniform(0.5, 3, B) * (-1.0) ** np.arange(B)).astype(np.float32)
    value = np.asarray(net.value(jnp.asarray(obs)))
    value_old = (value + rng.normal(0, 0.5, B)).astype(np.float32)
    return Batch(obs, action, logp_old, adv, (adv + value_old).astype(np.float32), value_old)


def mlp(layers, x):
    for layer in layers[:-1]:
        x = np.tanh(x @ layer.weight + layer.bias)
    return x @ layers[-1].weight + layers[-1].bias


def slow_loss(net, b, algo):
    """Equation 9 sample by sample. `net` and `b` hold float64 arrays."""
    adv = (b.adv - b.adv.mean()) / (b.adv.std() + 1e-8)
    surrogates, squares, entropies, kls = [], [], [], []
    for i in range(len(adv)):
        output = mlp(net.actor.layers, b.obs[i])
        if net.log_std is None:
            logp = special.log_softmax(output)[b.action[i]]
            entropy = stats.entropy(special.softmax(output))
        else:
            pi = stats.norm(output, np.exp(net.log_std))
            logp, entropy = pi.logpdf(b.action[i]).sum(), pi.entropy().sum()
        ratio = np.exp(logp - b.logp_old[i])
        clipped = min(max(ratio, 1 - algo.clip), 1 + algo.clip)
        surrogates.append(min(ratio * adv[i], clipped * adv[i]))
        value = mlp(net.critic.layers, b.obs[i])[0]
        square = (value - b.target[i]) ** 2
        if algo.clip_value:
            near = b.value_old[i] + min(max(value - b.value_old[i], -algo.clip), algo.clip)
            square = max(square, (near - b.target[i]) ** 2)
        squares.append(square)
        entropies.append(entropy)
        kls.append(ratio - 1 - np.log(ratio))
    policy, value, entropy = -np.mean(surrogates), np.mean(squares), np.mean(entropies)
    loss = policy + algo.c_value * value - algo.c_entropy * entropy
    return loss, {"loss/policy": policy, "loss/value": value, "entropy": entropy, "kl": np.mean(kls)}


def double(tree):
    return jax.tree.map(
        lambda x: np.asarray(x, np.float64 if np.issubdtype(x.dtype, np.floating) else None), tree
    )


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0], np.float64)


@pytest.fixture(scope="module", params=["discrete", "continuous"])
def frozen(request):
    net = network(request.param)
    return net, batch_of(request.param, net)


@partial(jax.jit, static_argnums=3)
def loss_and_gradient(net, batch, weights, clip_value):
    algo = PPO(**PLAIN, clip_value=clip_value, c_value=weights[0], c_entropy=weights[1])
    return jax.value_and_grad(algo.loss, has_aux=True)(net, batch)


@jax.jit
def log_prob(net, obs, action):
    return net.policy(obs).log_prob(action)


@jax.jit
def advantages(algo, learner, rollout):
    return algo.advantages(learner, rollout)


def evaluate_loss(net, batch, clip_value=False, c_value=0.5, c_entropy=0.01):
    return loss_and_gradient(net, batch, (c_value, c_entropy), clip_value)


# --- The loss


@pytest.mark.parametrize("clip_value", [False, True])
def test_loss_metrics_and_gradient_match_a_slow_implementation(frozen, clip_value):
    """Value and metrics to 1e-4; the gradient to 2e-2 of central differences in float64, for every weight."""
    net, batch = frozen
    algo = PPO(**PLAIN, clip_value=clip_value, c_value=0.7, c_entropy=0.3)
    (loss, metrics), grad = evaluate_loss(net, batch, clip_value, 0.7, 0.3)
    expected, expected_metrics = slow_loss(double(net), double(batch), algo)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    assert metrics.keys() == expected_metrics.keys()
    for name, x in expected_metrics.items():
        np.testing.assert_allclose(metrics[name], x, rtol=1e-4, atol=1e-6)
    weights, b = flat(net), double(batch)
    numeric = np.zeros(len(weights))

    def at(w):
        leaves, start = [], 0
        for leaf in jax.tree.leaves(net):
            leaves.append(w[start : start + leaf.size].reshape(leaf.shape))
            start += leaf.size
        return slow_loss(jax.tree.unflatten(jax.tree.structure(net), leaves), b, algo)[0]

    for i in range(len(weights)):
        up, down = weights.copy(), weights.copy()
        up[i] += 1e-5
        down[i] -= 1e-5
        numeric[i] = (at(up) - at(down)) / 2e-5
    np.testing.assert_allclose(flat(grad), numeric, rtol=2e-2, atol=1e-4)


def test_both_sides_of_every_clip_are_in_the_batch(frozen):
    """So that the comparison above sees each branch of the minimum, the clip and the value clip."""
    net, b = frozen
    ratio = np.exp(np.linspace(0.5, -0.5, B))
    adv = b.adv - b.adv.mean()
    cases = {(s, r) for s, r in zip(np.sign(adv), np.digitize(ratio, [0.8, 1.2]), strict=True)}
    assert cases == {(s, r) for s in (-1, 1) for r in (0, 1, 2)}
    moved = np.abs(np.asarray(net.value(b.obs)) - b.value_old)
    assert np.any(moved > 0.2)
    assert np.any(moved < 0.2)


def test_at_ratio_1_the_gradient_is_the_policy_gradient(frozen):
    """∇ = -mean(A ∇ log π), with A normalised and V and the entropy left out."""
    net, b = frozen
    logp = log_prob(net, b.obs, b.action)
    (_, metrics), grad = evaluate_loss(net, b._replace(logp_old=logp), c_value=0.0, c_entropy=0.0)
    adv = (b.adv - b.adv.mean()) / b.adv.std()
    plain = jax.jit(jax.grad(lambda net: -jnp.mean(adv * log_prob(net, b.obs, b.action))))(net)
    np.testing.assert_allclose(flat(grad), flat(plain), rtol=1e-3, atol=1e-6)
    assert np.abs(flat(plain)).max() > 0.01
    np.testing.assert_allclose(metrics["kl"], 0.0, atol=1e-7)


def shifted(net, b, log_ratio):
    """The batch with the given log-ratio of each sample."""
    return b._replace(logp_old=np.asarray(log_prob(net, b.obs, b.action)) - log_ratio)


def test_the_clip_stops_the_gradient_where_the_policy_has_gone_far_enough_M37(frozen):
    """A > 0 with a ratio above 1 + ε, and A < 0 with one below 1 - ε, give a gradient of exactly zero."""
    net, b = frozen
    good = b.adv > b.adv.mean()
    gone = shifted(net, b, np.where(good, 0.5, -0.5).astype(np.float32))
    (_, metrics), grad = evaluate_loss(net, gone, c_value=0.0, c_entropy=0.0)
    assert not np.any(flat(grad))
    assert metrics["kl"] > 0.05


def test_the_clip_lets_the_policy_come_back_M37(frozen):
    """With the ratios on the wrong sides the gradient is that of the unclipped surrogate."""
    net, b = frozen
    good = b.adv > b.adv.mean()
    wrong = shifted(net, b, np.where(good, -0.5, 0.5).astype(np.float32))
    _, grad = evaluate_loss(net, wrong, c_value=0.0, c_entropy=0.0)
    adv = (b.adv - b.adv.mean()) / b.adv.std()

    def unclipped(net):
        return -jnp.mean(adv * jnp.exp(log_prob(net, b.obs, b.action) - wrong.logp_old))

    np.testing.assert_allclose(flat(grad), flat(jax.jit(jax.grad(unclipped))(net)), rtol=1e-3, atol=1e-6)
    assert np.any(flat(grad))


def test_constant_advantages_and_a_batch_of_one_give_no_nan_C4(frozen):
    """Their deviation is 0: the policy term vanishes, in value and gradient, and nothing is NaN."""
    net, b = frozen
    constant = b._replace(adv=np.full(B, 3.0, np.float32))
    single = jax.tree.map(lambda x: x[:1], b)
    for batch in (constant, single):
        (loss, metrics), grad = evaluate_loss(net, batch, c_value=0.0, c_entropy=0.0)
        assert np.isfinite(loss)
        np.testing.assert_allclose(metrics["loss/policy"], 0.0, atol=1e-6)
        np.testing.assert_allclose(flat(grad), 0.0, atol=1e-6)


def test_constant_advantages_move_no_policy_weight_whatever_the_constant_C4(frozen):
    """A mean that is rounded leaves the same tiny number everywhere; divided by itself it would be 1."""
    net, b = frozen
    for constant in (0.1, -1.7, 123.4, 1e-3):
        batch = b._replace(adv=np.full(B, constant, np.float32))
        _, grad = evaluate_loss(net, batch, c_value=0.0, c_entropy=0.0)
        np.testing.assert_allclose(flat(grad), 0.0, atol=1e-3)


def test_advantages_are_normalised_within_the_minibatch(frozen):
    """Their unit and offset do not matter."""
    net, b = frozen
    (loss, _), grad = evaluate_loss(net, b)
    (same, _), same_grad = evaluate_loss(net, b._replace(adv=100 * b.adv - 7))
    np.testing.assert_allclose(loss, same, rtol=1e-4)
    np.testing.assert_allclose(flat(grad), flat(same_grad), rtol=1e-2, atol=1e-5)


def test_old_numbers_carry_no_gradient(frozen):
    """The loss moves the parameters only: value gradients do not reach the policy, nor the other way round."""
    net, b = frozen
    _, policy_only = evaluate_loss(net, b, c_value=0.0)
    _, value_only = evaluate_loss(net, b._replace(adv=np.ones(B, np.float32)), c_entropy=0.0)
    assert not np.any(flat(policy_only.critic))
    np.testing.assert_allclose(flat(value_only.actor), 0.0, atol=1e-6)
    assert np.any(flat(value_only.critic))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-15, 15, width=32), min_size=4, max_size=4))
def test_k3_is_never_negative_C6(log_ratio):
    """Unlike mean(logp_old - logp), sample by sample; and 0 at ratio 1."""
    log_ratio = np.asarray(log_ratio, np.float32)
    got = float(k3(jnp.exp(log_ratio)))
    assert got >= -1e-6
    exact = np.expm1(log_ratio.astype(np.float64)) - log_ratio
    np.testing.assert_allclose(got, exact.mean(), rtol=1e-4, atol=1e-6)
    assert float(k3(jnp.ones(4))) == 0.0


def test_k3_estimates_the_kl_divergence():
    """Over samples of the old policy its mean is KL(old || new), within 6 standard errors."""
    rng, n = np.random.default_rng(0), 100_000
    old, new = stats.norm(0.0, 1.0), stats.norm(0.3, 1.2)
    x = old.rvs(n, random_state=rng)
    log_ratio = new.logpdf(x) - old.logpdf(x)
    terms = np.expm1(log_ratio) - log_ratio
    kl = np.log(1.2) + (1 + 0.09) / (2 * 1.44) - 0.5
    got = float(k3(jnp.asarray(np.exp(log_ratio), jnp.float32)))
    assert abs(got - kl) < 6 * terms.std() / np.sqrt(n)


# --- Advantages and targets


def rollout_with_ends():
    """T = 3 in N = 3 environments: one goes on, one terminates, one is truncated, each at t = 1."""
    rng = np.random.default_rng(3)
    first, next_obs, reset_obs = rng.normal(size=(3, 3, 3, OBS)).astype(np.float32)
    terminated, truncated = np.zeros((2, 3, 3), bool)
    terminated[1, 1] = truncated[1, 2] = True
    done = terminated | truncated
    after = np.where(done[..., None], reset_obs, next_obs)
    obs = np.concatenate([first[:1], after[:-1]])  # each row goes on where the one before it stopped
    reward = rng.normal(size=(3, 3)).astype(np.float32)
    step = Step(after, next_obs, reward, terminated, truncated, reward, np.ones((3, 3), np.int32))
    pi_old = Categorical(rng.normal(size=(3, 3, 3)).astype(np.float32))
    return Rollout(obs, rng.integers(0, 3, (3, 3)), pi_old, step)


def learner_of(net, **changes):
    return Learner(net, (), counter(), Off(), Off())._replace(**changes)


def slow_advantages(net, rollout, gamma, lam, see=lambda x: x, scale=1.0, successor="next_obs"):
    net, step = double(net), rollout.step
    value = mlp(net.critic.layers, see(rollout.obs.astype(np.float64)))[..., 0]
    next_value = mlp(net.critic.layers, see(getattr(step, successor).astype(np.float64)))[..., 0]
    adv, later = np.zeros_like(value), np.zeros(3)
    for t in reversed(range(3)):
        live, going = 1.0 - step.terminated[t], 1.0 - (step.terminated[t] | step.truncated[t])
        delta = step.reward[t] / scale + gamma * live * next_value[t] - value[t]
        adv[t] = later = delta + gamma * lam * going * later
    return adv, value


def test_advantages_bootstrap_from_the_true_successor_C1_C2():
    """Not from the reset observation, not at a true terminal; targets are A + V (C9) with V of the rollout."""
    net, rollout = network("discrete"), rollout_with_ends()
    algo = PPO(**PLAIN, gamma=0.9, lam=0.8)
    b = advantages(algo, learner_of(net), rollout)
    adv, value = slow_advantages(net, rollout, 0.9, 0.8)
    np.testing.assert_allclose(b.adv, adv, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(b.value_old, value, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(b.target, adv + value, rtol=1e-4, atol=1e-5)
    for x, y in ((b.obs, rollout.obs), (b.action, rollout.action)):
        np.testing.assert_array_equal(x, y)
    logp = np.take_along_axis(special.log_softmax(rollout.extras.logits, -1), rollout.action[..., None], -1)
    np.testing.assert_allclose(b.logp_old, logp[..., 0], rtol=1e-4)
    leaky, _ = slow_advantages(net, rollout, 0.9, 0.8, successor="obs")
    differs = np.abs(leaky - adv) > 1e-3
    np.testing.assert_array_equal(differs.any(0), [False, False, True])  # only the truncated one would


def test_advantages_use_one_normaliser_for_all_observations_and_for_rewards():
    """The statistics of the learner, not of this rollout; `next_obs` by the same as `obs`."""
    net, rollout = network("discrete"), rollout_with_ends()
    m = Moments(jnp.int32(50), jnp.array([0.5, -1.0, 0.0]), jnp.array([4.0, 0.25, 1.0]))
    scale = RewardScale(Moments(jnp.int32(50), jnp.float32(3.0), jnp.float32(6.25)), jnp.zeros(3))
    algo = PPO(**PLAIN, gamma=0.9, lam=0.8, normalise_obs=True, normalise_reward=True)
    b = advantages(algo, learner_of(net, obs_moments=m, reward_scale=scale), rollout)

    def see(x):
        return (x - np.asarray(m.mean)) / np.sqrt(np.asarray(m.var))

    adv, value = slow_advantages(net, rollout, 0.9, 0.8, see, 2.5)
    np.testing.assert_allclose(b.adv, adv, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(b.target, adv + value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(b.obs, see(rollout.obs), rtol=1e-4, atol=1e-5)


# --- The update


class Drift:
    """A random walk that action and chance move; reward for being near 1; ends by chance, in either way."""

    name = "Drift"
    observation_space = OBSERVATIONS
    action_space = ACTIONS["continuous"]

    def reset(self, key):
        x = jax.random.normal(key, (OBS,))
        return x, 5 * x + 2

    def step(self, x, action, key):
        k_move, k_end = jax.random.split(key)
        x = 0.9 * x + 0.1 * action.sum() + 0.3 * jax.random.normal(k_move, (OBS,))
        end = jax.random.uniform(k_end)
        return x, Transition(5 * x + 2, -jnp.abs(x[0] - 1), end < 0.1, end > 0.9)


ENV = Vec(Drift(), 2)


@partial(jax.jit, static_argnums=0)
def play(normalised, learner, actor, key):
    """A rollout with the learner, as `PPO.step` makes it."""
    algo = PPO(**PLAIN, normalise_obs=normalised, normalise_reward=normalised)
    return collect(ENV, partial(algo.act, learner), actor, key, algo.num_steps)


@cache
def scene_of(normalised):
    """(settings, learner, rollout): after one earlier rollout, so that the normalisers have seen something."""
    changes = {"normalise_obs": normalised, "normalise_reward": normalised}
    algo, net = PPO(**PLAIN, **changes), network("continuous")
    learner = learner_of(net, opt_state=algo.optimizer(jnp.int32(0)).init(net))
    if normalised:
        learner = learner._replace(obs_moments=moments((OBS,)), reward_scale=reward_scale(2))
    actor, rollout = play(normalised, learner, start(ENV, jax.random.key(0)), jax.random.key(1))
    obs_moments, scale = statistics(learner, rollout, algo.gamma)
    learner = learner._replace(obs_moments=obs_moments, reward_scale=scale)
    _, rollout = play(normalised, learner, actor, jax.random.key(2))
    return changes, learner, rollout


@pytest.fixture(params=[False, True], ids=["raw", "normalised"])
def scene(request):
    return scene_of(request.param)


def log_ratio(algo, learner, rollout, params):
    b = advantages(algo, learner, rollout)
    return np.asarray(log_prob(params, b.obs, b.action) - b.logp_old, np.float64)


def test_before_the_first_gradient_step_the_ratio_is_1_and_the_kl_0(scene):
    """The policy in the loss is the one that acted: same parameters, same normaliser, unclipped actions.

    With the statistics of this rollout merged too early, it would not be.
    """
    changes, learner, rollout = scene
    algo = PPO(**PLAIN, **changes)
    np.testing.assert_allclose(log_ratio(algo, learner, rollout, learner.params), 0.0, atol=1e-5)
    first = jax.tree.map(lambda x: x.reshape(B, *x.shape[2:]), advantages(algo, learner, rollout))
    (_, metrics), _ = evaluate_loss(learner.params, first)
    np.testing.assert_allclose(metrics["kl"], 0.0, atol=1e-7)
    assert np.abs(np.asarray(rollout.action)).max() > 1  # some were clipped on their way to the environment
    if changes["normalise_obs"]:
        stale = learner._replace(obs_moments=merge(learner.obs_moments, rollout.obs))
        assert np.abs(log_ratio(algo, stale, rollout, learner.params)).max() > 1e-3


def test_update_reports_the_kl_of_the_returned_policy_C6_C7(scene):
    """And the clip fraction: after the last gradient step, on every fourth env step, not 0."""
    changes, learner, rollout = scene
    algo = PPO(**PLAIN, **changes, lr=0.03)
    after, metrics = algo.update(learner, rollout, jax.random.key(0))
    moved = log_ratio(algo, learner, rollout, after.params)[::4]
    np.testing.assert_allclose(metrics["kl"], np.mean(np.expm1(moved) - moved), rtol=1e-2, atol=1e-6)
    assert metrics["kl"] > 1e-4
    np.testing.assert_allclose(metrics["clip_fraction"], np.mean(np.abs(np.expm1(moved)) > 0.2), atol=1e-6)
    assert int(after.iteration) == 1
    assert int(optax.tree_utils.tree_get(after.opt_state, "count")) == 4  # 2 epochs of 2 minibatches


def test_update_adds_each_sample_to_the_statistics_once(scene):
    """However many epochs read it; they are for the next rollout."""
    changes, learner, rollout = scene
    after, _ = PPO(**PLAIN, **changes, lr=0.03).update(learner, rollout, jax.random.key(0))
    if not changes["normalise_obs"]:
        assert after.obs_moments == Off()
        assert after.reward_scale == Off()
        return
    for x, y in zip(after.obs_moments, merge(learner.obs_moments, rollout.obs), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)
    assert int(after.obs_moments.count) == 2 * 12
    step = rollout.step
    expected = merge_rewards(learner.reward_scale, step.reward, step.done, 0.99)
    for x, y in zip(jax.tree.leaves(after.reward_scale), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_target_kl_stops_after_the_gradient_step_that_went_too_far():
    """With a huge learning rate only the first of 4 gradient steps is taken, and its size is Adam's first."""
    _, learner, rollout = scene_of(False)
    after, metrics = PPO(**PLAIN, lr=0.5, target_kl=0.01).update(learner, rollout, jax.random.key(0))
    free, _ = PPO(**PLAIN, lr=0.5).update(learner, rollout, jax.random.key(0))
    assert int(optax.tree_utils.tree_get(after.opt_state, "count")) == 1
    assert int(optax.tree_utils.tree_get(free.opt_state, "count")) == 4
    moved = np.abs(flat(after.params) - flat(learner.params))
    assert moved.max() > 0.4
    assert np.all(moved <= 0.5 * (1 + 1e-4))
    assert metrics["kl"] > 0.015
    assert np.abs(flat(free.params) - flat(after.params)).max() > 0.1


def slow_update(algo, learner, rollout, key, latch=True):
    """The update as a Python loop: parameters and gradient steps; what stops it stops all of the rest."""
    data, optimizer = advantages(algo, learner, rollout), algo.optimizer(real(learner.iteration))
    params, opt_state, steps, stopped = learner.params, learner.opt_state, 0, False
    for k in jax.random.split(key, algo.epochs):
        samples, look_up = minibatches(data, algo.num_minibatches, k[None])
        for i in range(algo.num_minibatches):
            part = look_up(samples[i])
            (_, metrics), grads = evaluate_loss(params, part)
            stopped = (stopped and latch) or metrics["kl"] > 1.5 * algo.target_kl
            if not stopped:
                updates, opt_state = optimizer.update(grads, opt_state)
                params, steps = optax.apply_updates(params, updates), steps + 1
    return flat(params), steps


def test_update_is_the_loop_of_the_paper_and_a_stop_is_final():
    """Epochs of minibatches in a new order each; once stopped, a later minibatch of small KL starts nothing.

    A loop that only skips the minibatches of large KL would take more steps, for some of these orders.
    """
    _, learner, rollout = scene_of(False)
    algo = PPO(**(PLAIN | {"num_minibatches": 6, "epochs": 3}), lr=0.05, target_kl=0.01)
    more = 0
    for key in jax.random.split(jax.random.key(0), 6):
        after, _ = algo.update(learner, rollout, key)
        params, steps = slow_update(algo, learner, rollout, key)
        assert int(optax.tree_utils.tree_get(after.opt_state, "count")) == steps
        np.testing.assert_allclose(flat(after.params), params, rtol=1e-4, atol=1e-5)
        more += slow_update(algo, learner, rollout, key, latch=False)[1] - steps
    assert more > 0


def test_target_kl_that_is_not_reached_changes_nothing():
    _, learner, rollout = scene_of(False)
    bounded, _ = PPO(**PLAIN, lr=1e-3, target_kl=100.0).update(learner, rollout, jax.random.key(0))
    free, _ = PPO(**PLAIN, lr=1e-3).update(learner, rollout, jax.random.key(0))
    np.testing.assert_allclose(flat(bounded.params), flat(free.params), rtol=1e-5, atol=1e-7)


# --- The optimiser


def first_step(algo, iteration, grads):
    """What the optimiser subtracts, and its state, for the first gradients of an update."""
    optimizer = algo.optimizer(real(counter(iteration)))
    updates, state = optimizer.update(grads, optimizer.init(grads))
    return -flat(updates), state


GRADS = {"a": jnp.array([3.0, -4.0]), "b": jnp.array([[0.012]])}


def test_learning_rate_falls_linearly_to_zero_at_its_horizon():
    """In env steps; beyond the horizon it stays 0; without lr_decay it stays."""
    algo = PPO(num_envs=4, num_steps=25, lr=0.01, lr_decay=True, lr_horizon=1000.0)
    start, _ = first_step(algo, 0, GRADS)
    np.testing.assert_allclose(np.abs(start), 0.01, rtol=1e-2)
    for iteration, left in ((1, 0.9), (5, 0.5), (9, 0.1), (10, 0.0), (11, 0.0), (1000, 0.0)):
        step, _ = first_step(algo, iteration, GRADS)
        np.testing.assert_allclose(step, left * start, rtol=1e-4, atol=1e-9)
    constant = PPO(num_envs=4, num_steps=25, lr=0.01, lr_horizon=1000.0)
    np.testing.assert_allclose(first_step(constant, 9, GRADS)[0], start, rtol=1e-6)


def test_learning_rate_falls_beyond_2_to_the_31_env_steps():
    """A long run on an accelerator: iteration x env steps does not fit in int32."""
    algo = PPO(num_envs=4096, num_steps=1024, lr=0.01, lr_decay=True, lr_horizon=4e9)
    start, _ = first_step(algo, 0, GRADS)
    step, _ = first_step(algo, 600, GRADS)
    np.testing.assert_allclose(step, (1 - 600 * 4096 * 1024 / 4e9) * start, rtol=1e-3)


def test_gradients_are_clipped_by_their_global_norm_not_by_element():
    """Adam's first moment is 0.1 x the clipped gradient: same direction, length at most max_grad_norm."""
    algo, g = PPO(max_grad_norm=0.5), flat(GRADS)
    for factor in (1.0, 1e-3):  # longer and shorter than 0.5
        _, state = first_step(algo, 0, jax.tree.map(lambda x, f=factor: f * x, GRADS))
        clipped = 10 * flat(optax.tree_utils.tree_get(state, "mu"))
        shrink = min(1.0, 0.5 / np.linalg.norm(factor * g))
        np.testing.assert_allclose(clipped, shrink * factor * g, rtol=1e-4)


def test_adam_has_the_epsilon_of_the_papers_code():
    """eps = 1e-5: a gradient of that size moves half as far as a large one."""
    step, _ = first_step(PPO(lr=0.01), 0, {"a": jnp.array([0.1, 1e-5])})
    np.testing.assert_allclose(step, [0.01, 0.005], rtol=1e-3)


# --- Acting


def test_act_explores_or_not_and_reports_its_distribution_C22(scene):
    """Greedy actions are the mode, at normalised observations; sampled ones come with their own log π."""
    changes, learner, rollout = scene
    algo, obs = PPO(**PLAIN, **changes), rollout.obs[0]
    pi = learner.params.policy(normalise(learner.obs_moments, obs) if changes["normalise_obs"] else obs)
    greedy, _, _ = algo.act(learner, Seen(obs))
    np.testing.assert_allclose(greedy, pi.mode(), rtol=1e-4, atol=1e-5)
    lead = jax.tree.leaves(obs)[0].shape[:1]
    first, second = (noise(ACTIONS["continuous"], jax.random.key(k), lead) for k in (0, 1))
    a, pi_old, _ = algo.act(learner, Seen(obs), first)
    b, _, _ = algo.act(learner, Seen(obs), second)
    assert np.all(a != b)
    np.testing.assert_allclose(pi_old.log_prob(a), pi.log_prob(a), rtol=1e-4, atol=1e-5)
