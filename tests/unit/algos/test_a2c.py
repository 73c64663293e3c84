"""A2C's loss, update and optimiser are compared with NumPy in float64, with numbers by hand, and with its relatives."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_ppo import ACTIONS, ENV, OBS, double, flat, mlp, network, slow_loss
from test_vpg import a_rollout, batch_of, central_differences, slow_n_step, slow_policy_loss

from swingup.algos.a2c import A2C, Batch, Learner
from swingup.algos.ppo import PPO
from swingup.algos.vpg import VPG
from swingup.counters import counter
from swingup.distributions import noise
from swingup.errors import ConfigError
from swingup.normalise import Moments, Off, RewardScale, moments, reward_scale, statistics
from swingup.rollout import collect, start
from swingup.types import Seen

merge, merge_rewards = Moments.merge, RewardScale.merge

PLAIN = {"num_envs": 2, "num_steps": 6, "hidden": (4,)}


@pytest.fixture(scope="module", params=["discrete", "continuous"])
def frozen(request):
    net = network(request.param)
    return net, Batch(*batch_of(request.param, net))


def evaluate_loss(net, batch, **changes):
    return jax.jit(jax.value_and_grad(A2C(**PLAIN, **changes).loss, has_aux=True))(net, batch)


def flat_loss(net, b, algo):
    """The loss sample by sample: VPG's, a squared error and an entropy. `net` and `b` hold float64 arrays."""
    value = np.mean([(mlp(net.critic.layers, o)[0] - y) ** 2 for o, y in zip(b.obs, b.target, strict=True)])
    # PPO's reference gives the entropy; of the rest of it nothing is used.
    entropy = slow_loss(net, b, PPO(num_envs=2, num_steps=6, num_minibatches=1, hidden=(4,)))[1]["entropy"]
    policy = slow_policy_loss(net, b, algo.normalise_adv)
    loss = policy + algo.c_value * value - algo.c_entropy * entropy
    return loss, {"loss/policy": policy, "loss/value": value}


# --- The loss


@pytest.mark.parametrize("normalise_adv", [False, True])
def test_loss_metrics_and_gradient_match_a_slow_implementation(frozen, normalise_adv):
    """Value and metrics to 1e-4; the gradient to 2e-2 of central differences in float64, for every weight."""
    net, b = frozen
    changes = {"c_value": 0.7, "c_entropy": 0.3, "normalise_adv": normalise_adv}
    (loss, metrics), grad = evaluate_loss(net, b, **changes)
    algo, slow = A2C(**PLAIN, **changes), double(b)
    expected, expected_metrics = flat_loss(double(net), slow, algo)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    assert metrics.keys() == expected_metrics.keys()
    for name, x in expected_metrics.items():
        np.testing.assert_allclose(metrics[name], x, rtol=1e-4, atol=1e-6)
    numeric = central_differences(lambda net: flat_loss(net, slow, algo)[0], net)
    np.testing.assert_allclose(flat(grad), numeric, rtol=2e-2, atol=1e-4)


def test_the_policys_gradient_is_vpgs_and_the_whole_is_ppos_before_its_first_gradient_step(frozen):
    """The family: A2C adds V and the entropy to VPG's loss; at ratio 1 PPO's gradient is A2C's."""
    net, b = frozen
    _, policy_only = evaluate_loss(net, b, c_value=0.0, c_entropy=0.0)
    vpg = jax.jit(jax.grad(lambda net: VPG(num_envs=2, num_steps=6, normalise_adv=False).loss(net, b)[0]))
    np.testing.assert_allclose(flat(policy_only), flat(vpg(net)), rtol=1e-4, atol=1e-6)
    _, whole = evaluate_loss(net, b, normalise_adv=True)
    ppo = jax.jit(jax.grad(lambda net: PPO(num_envs=2, num_steps=6, num_minibatches=1).loss(net, b)[0]))
    np.testing.assert_allclose(flat(whole), flat(ppo(net)), rtol=1e-3, atol=1e-5)


def test_constant_advantages_move_no_policy_weight_when_normalised_C4(frozen):
    net, b = frozen
    for constant in (0.1, -1.7, 123.4):
        batch = b._replace(adv=np.full(12, constant, np.float32))
        _, grad = evaluate_loss(net, batch, c_value=0.0, c_entropy=0.0, normalise_adv=True)
        np.testing.assert_allclose(flat(grad), 0.0, atol=1e-3)


# --- Advantages


def learner_of(net, **changes):
    return Learner(net, (), counter(), Off(), Off())._replace(**changes)


@jax.jit
def advantages(algo, learner, rollout):
    return algo.advantages(learner, rollout)


def test_by_default_the_advantage_is_the_longest_that_the_rollout_has_C1_C2():
    """The rewards to its end, then V; less where the episode ends before. Targets are A + V (C9)."""
    net, rollout = network("discrete"), a_rollout()
    b = advantages(A2C(**PLAIN, gamma=0.9), learner_of(net), rollout)
    critic, step = double(net).critic.layers, rollout.step
    value, next_value = (mlp(critic, x.astype(np.float64))[..., 0] for x in (rollout.obs, step.next_obs))
    ends = step.terminated, step.terminated | step.truncated
    longest = slow_n_step(step.reward, value, next_value, *ends, 0.9, 3)
    np.testing.assert_allclose(b.adv, longest, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(b.target, longest + value, rtol=1e-4, atol=1e-5)
    short = advantages(A2C(**PLAIN, gamma=0.9, lam=0.0), learner_of(net), rollout)
    np.testing.assert_allclose(
        short.adv, slow_n_step(step.reward, value, next_value, *ends, 0.9, 1), rtol=1e-4, atol=1e-5
    )


# --- The update


@partial(jax.jit, static_argnums=0)
def play(normalised, learner, actor, key):
    algo = A2C(**PLAIN, normalise_obs=normalised, normalise_reward=normalised)
    return collect(ENV, partial(algo.act, learner), actor, key, algo.num_steps)


@pytest.fixture(scope="module", params=[False, True], ids=["raw", "normalised"])
def scene(request):
    """(changes, learner, rollout): after one earlier rollout, so that the normalisers have seen something."""
    changes = {"normalise_obs": request.param, "normalise_reward": request.param}
    algo, net = A2C(**PLAIN, **changes), network("continuous")
    learner = learner_of(net, opt_state=algo.optimizer(jnp.int32(0)).init(net))
    if request.param:
        learner = learner._replace(obs_moments=moments((OBS,)), reward_scale=reward_scale(2))
    actor, rollout = play(request.param, learner, start(ENV, jax.random.key(0)), jax.random.key(1))
    obs_moments, scale = statistics(learner, rollout, algo.gamma)
    learner = learner._replace(obs_moments=obs_moments, reward_scale=scale)
    _, rollout = play(request.param, learner, actor, jax.random.key(2))
    return changes, learner, rollout


def test_update_is_one_gradient_step_on_the_whole_rollout(scene):
    """It descends the loss that is tested above, by the optimiser that is tested below."""
    changes, learner, rollout = scene
    algo = A2C(**PLAIN, **changes, lr=0.05)
    after, metrics = algo.update(learner, rollout)
    data = advantages(algo, learner, rollout)
    (_, expected), grads = jax.jit(jax.value_and_grad(algo.loss, has_aux=True))(learner.params, data)
    updates, _ = algo.optimizer(jnp.int32(0)).update(grads, learner.opt_state)
    params = optax.apply_updates(learner.params, updates)
    np.testing.assert_allclose(flat(after.params), flat(params), rtol=1e-4, atol=1e-6)
    assert np.any(flat(after.params) != flat(learner.params))
    for name, x in expected.items():
        np.testing.assert_allclose(metrics[name], x, rtol=1e-4)
    assert int(after.iteration) == 1


def test_diagnostics_are_of_the_policy_after_the_step_C6_C7(scene):
    """Before it, KL would be 0 in every iteration and the entropy that of the old policy."""
    changes, learner, rollout = scene
    algo = A2C(**PLAIN, **changes, lr=1.0)
    after, metrics = algo.update(learner, rollout)
    some = jax.tree.map(lambda x: x[::4], advantages(algo, learner, rollout))
    old, new = (jax.jit(lambda net: net.policy(some.obs))(x.params) for x in (learner, after))
    moved = np.asarray(new.log_prob(some.action) - some.logp_old, np.float64)
    np.testing.assert_allclose(metrics["kl"], np.mean(np.expm1(moved) - moved), rtol=1e-2, atol=1e-6)
    assert metrics["kl"] > 1e-5
    np.testing.assert_allclose(metrics["entropy"], new.entropy().mean(), rtol=1e-5)
    assert abs(float(old.entropy().mean() - new.entropy().mean())) > 1e-4


def test_update_adds_each_sample_to_the_statistics_once(scene):
    changes, learner, rollout = scene
    after, _ = A2C(**PLAIN, **changes).update(learner, rollout)
    if not changes["normalise_obs"]:
        assert after.obs_moments == Off()
        assert after.reward_scale == Off()
        return
    for x, y in zip(after.obs_moments, merge(learner.obs_moments, rollout.obs), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)
    expected = merge_rewards(learner.reward_scale, rollout.step.reward, rollout.step.done, 0.99)
    for x, y in zip(jax.tree.leaves(after.reward_scale), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


# --- The optimiser


def steps_of(algo, *gradients):
    """What the optimiser subtracts for each of some gradients in turn."""
    optimizer = algo.optimizer(jnp.int32(0))
    state, found = optimizer.init(gradients[0]), []
    for g in gradients:
        updates, state = optimizer.update(g, state)
        found.append(-flat(updates))
    return found


def test_rmsprop_by_hand():
    """v <- 0.99 v + 0.01 g² from v = 1, and lr g / sqrt(v + 1e-5), as TensorFlow 1 did it: ε inside the root."""
    first, second = steps_of(A2C(lr=0.1, max_grad_norm=1e9), jnp.array([3.0, 0.0]), jnp.array([-1.0, 2.0]))
    np.testing.assert_allclose(first, [0.1 * 3 / np.sqrt(0.99 + 0.09 + 1e-5), 0.0], rtol=1e-5)
    v = 0.99 * np.array([1.08, 0.99]) + 0.01 * np.array([1.0, 4.0])
    np.testing.assert_allclose(second, 0.1 * np.array([-1.0, 2.0]) / np.sqrt(v + 1e-5), rtol=1e-5)


def test_epsilon_is_inside_the_root():
    """With a gradient of 1e-3 for ever, v is 1e-6: outside the root an ε of 1e-5 would hardly count."""
    g = jnp.array([1e-3])
    last = steps_of(A2C(lr=0.1, max_grad_norm=1e9), *[g] * 2000)[-1]
    np.testing.assert_allclose(last, 0.1 * 1e-3 / np.sqrt(1e-6 + 1e-5), rtol=1e-3)


def test_adam_is_the_other_rule():
    """Its first step is the learning rate, whatever the gradient's size; eps = 1e-5 outside the root."""
    (step,) = steps_of(A2C(optim="adam", lr=0.01), jnp.array([0.1, 1e-5]))
    np.testing.assert_allclose(step, [0.01, 0.005], rtol=1e-3)


def test_gradients_are_clipped_by_their_global_norm_first():
    g = jnp.array([3.0, -4.0])
    long, short = (steps_of(A2C(lr=0.1, max_grad_norm=0.5), f * g)[0] for f in (1.0, 0.01))
    clipped = np.array([0.3, -0.4])
    np.testing.assert_allclose(long, 0.1 * clipped / np.sqrt(0.99 + 0.01 * clipped**2 + 1e-5), rtol=1e-5)
    g = 0.01 * np.array([3.0, -4.0])
    np.testing.assert_allclose(short, 0.1 * g / np.sqrt(0.99 + 0.01 * g**2 + 1e-5), rtol=1e-5)


@pytest.mark.parametrize("optim", ["rmsprop", "adam"])
def test_learning_rate_falls_linearly_to_zero_at_its_horizon(optim):
    """In env steps; beyond the horizon it stays 0; without lr_decay it stays."""
    algo = A2C(num_envs=4, num_steps=25, optim=optim, lr_decay=True, lr_horizon=1000.0)
    g = jnp.array([0.1, -0.3])

    def step(algo, iteration):
        optimizer = algo.optimizer(jnp.int32(iteration))
        return -flat(optimizer.update(g, optimizer.init(g))[0])

    for iteration, left in ((1, 0.9), (5, 0.5), (10, 0.0), (1000, 0.0)):
        np.testing.assert_allclose(step(algo, iteration), left * step(algo, 0), rtol=1e-4, atol=1e-9)
    constant = A2C(num_envs=4, num_steps=25, optim=optim, lr_horizon=1000.0)
    np.testing.assert_allclose(step(constant, 9), step(algo, 0), rtol=1e-6)


# --- Acting and settings


def test_act_explores_or_not_and_reports_the_log_prob_C22(scene):
    changes, learner, rollout = scene
    algo, obs = A2C(**PLAIN, **changes), rollout.obs[0]
    pi = learner.params.policy(learner.obs_moments.normalise(obs))
    np.testing.assert_allclose(algo.act(learner, Seen(obs))[0], pi.mode(), rtol=1e-4, atol=1e-5)
    draws = noise(ACTIONS["continuous"], jax.random.key(0), (2,))
    action, logp, _ = algo.act(learner, Seen(obs), draws)
    np.testing.assert_allclose(action, pi.from_noise(draws), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logp, pi.log_prob(action), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"optim": "adma"}, {"num_steps": 0}, {"activation": "tan"}, {"hidden": ()}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        A2C(**(PLAIN | wrong))
