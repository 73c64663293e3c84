"""TRPO's divergence, Fisher products, conjugate gradient and line search are held against NumPy or a definition."""

import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats as stats
from scipy.special import log_softmax, softmax
from test_ppo import ACTIONS, ENV, OBS, double, flat, mlp, network
from test_vpg import a_rollout, central_differences, slow_weights

from conftest import late
from swingup.algos.ppo import PPO
from swingup.algos.trpo import TRPO, Batch, Learner, divergence, fisher_product, split
from swingup.counters import counter
from swingup.distributions import Categorical, Normal, noise
from swingup.envs import make
from swingup.errors import ConfigError
from swingup.linalg import conjugate_gradient
from swingup.nets.actor_critic import ActorCritic
from swingup.normalise import Moments, Off, RewardScale, moments, reward_scale, statistics
from swingup.rollout import collect, minibatches, start
from swingup.spaces import Box, Discrete
from swingup.training import driver
from swingup.types import Seen

merge, merge_rewards = Moments.merge, RewardScale.merge

PLAIN = {"num_envs": 2, "num_steps": 6, "value_epochs": 2, "num_minibatches": 3, "hidden": (4,)}
KINDS = ["discrete", "continuous"]


def batch_of(kind, net, seed=2, size=12):
    """Samples of the network's own policy, with advantages of either sign."""
    rng = np.random.default_rng(seed)
    obs = jnp.asarray(rng.normal(size=(size, OBS)), flat_type(net))
    pi = jax.jit(lambda net: net.policy(obs))(net)
    pi = jax.tree.map(lambda x: jnp.broadcast_to(x, jax.tree.leaves(pi)[0].shape), pi)
    action = pi.from_noise(noise(ACTIONS[kind], jax.random.key(seed), (size,)))
    adv, target, value = jnp.asarray(rng.normal(size=(3, size)), obs.dtype)
    return Batch(obs, action, pi, adv, target, value)


def flat_type(net):
    return jax.tree.leaves(net)[0].dtype


def moved(net, seed, size):
    """The network with every parameter moved at random."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + jnp.asarray(rng.normal(size=x.shape) * size, x.dtype), net)


def in_double(kind):
    """(network, batch) in float64; to be used under `jax.enable_x64`."""
    net = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), network(kind))
    return net, batch_of(kind, net)


@jax.jit
def improve(algo, net, batch):
    return algo.improve(net, batch)


# --- The divergence


def slow_kl(net, old, b):
    """mean KL(old || new) in float64, by scipy or the sum of its definition."""
    output = mlp(net.actor.layers, b.obs)
    if net.log_std is None:
        return np.mean(
            np.sum(softmax(old.logits, -1) * (log_softmax(old.logits, -1) - log_softmax(output, -1)), -1)
        )
    grid = np.linspace(-30, 30, 20_001)
    total = 0.0
    for i, j in np.ndindex(output.shape):  # by quadrature: no formula in common with the library's
        p = stats.norm(old.mean[i, j], np.exp(old.log_std[i, j]))
        q = stats.norm(output[i, j], np.exp(net.log_std[j]))
        total += np.sum(p.pdf(grid) * (p.logpdf(grid) - q.logpdf(grid))) * (grid[1] - grid[0])
    return total / len(output)


@pytest.mark.parametrize("kind", KINDS)
def test_the_divergence_is_kl_of_old_to_new_for_every_distribution_C10(kind):
    """Spinning Up had KL(new || old) for Gaussians and KL(old || new) for categories."""
    net = network(kind)
    b = batch_of(kind, net)
    assert float(jax.jit(divergence)(net, b)) == pytest.approx(0.0, abs=1e-6)
    new = moved(net, 3, 1.0)
    got = float(jax.jit(divergence)(new, b))
    np.testing.assert_allclose(got, slow_kl(double(new), double(b.pi_old), double(b)), rtol=1e-3)
    pi_new = jax.jit(lambda net: net.policy(b.obs))(new)
    other_way = float(pi_new.kl(b.pi_old).mean())
    assert abs(got - other_way) > 0.02 * got  # so the comparison can tell


# --- Fisher products and conjugate gradient


@pytest.mark.parametrize("kind", late(KINDS, "discrete"))
def test_fisher_products_are_finite_differences_of_the_divergences_gradient_M37(kind):
    """(F + damping) v against (∇KL(θ + h v) - ∇KL(θ - h v)) / 2h, in float64, for several v."""
    with jax.enable_x64(True):
        net, b = in_double(kind)
        theta, join = split(net)
        grad = jax.jit(jax.grad(lambda theta: divergence(join(theta), b)))
        product = jax.jit(fisher_product(lambda theta: divergence(join(theta), b), theta, 0.1))
        for seed in range(3):
            v = jnp.asarray(np.random.default_rng(seed).normal(size=theta.shape))
            numeric = (grad(theta + 1e-5 * v) - grad(theta - 1e-5 * v)) / 2e-5 + 0.1 * v
            np.testing.assert_allclose(product(v), numeric, rtol=1e-5, atol=1e-7)


def explicit_fisher(kind, net, b):
    """F [P, P] as its definition has it: the mean over observations and actions of score times score'."""
    theta, join = split(net)
    if kind == "discrete":
        scores = jax.jit(jax.jacrev(lambda theta: jax.nn.log_softmax(join(theta).policy(b.obs).logits)))(
            theta
        )
        return jnp.mean(
            jnp.einsum("na,nap,naq->npq", jnp.exp(jax.nn.log_softmax(b.pi_old.logits)), scores, scores), 0
        )
    # For Gaussians: J' diag(1 / σ²) J of the means, and 2 for each log σ.
    jacobian = jax.jit(jax.jacrev(lambda theta: join(theta).policy(b.obs).mean))(theta)
    weights = jnp.exp(-2 * b.pi_old.log_std)
    log_std = jax.jit(jax.jacrev(lambda theta: join(theta).log_std))(theta)
    return jnp.mean(jnp.einsum("nd,ndp,ndq->npq", weights, jacobian, jacobian), 0) + 2 * log_std.T @ log_std


@pytest.mark.parametrize("kind", KINDS)
def test_the_hessian_of_the_divergence_is_the_fisher_matrix(kind):
    """Column by column, against the mean of score times score', which needs no KL."""
    with jax.enable_x64(True):
        net, b = in_double(kind)
        theta, join = split(net)
        product = fisher_product(lambda theta: divergence(join(theta), b), theta, 0.0)
        columns = jax.jit(jax.vmap(product))(jnp.eye(len(theta)))
        np.testing.assert_allclose(columns, explicit_fisher(kind, net, b), atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_conjugate_gradient_solves_for_the_direction_M37(kind):
    """F x = g against numpy.linalg.solve; and it stops by its tolerance before its last iteration."""
    with jax.enable_x64(True):
        net, b = in_double(kind)
        theta, join = split(net)
        matrix = np.asarray(explicit_fisher(kind, net, b)) + 0.1 * np.eye(len(theta))
        product = fisher_product(lambda theta: divergence(join(theta), b), theta, 0.1)
        g = np.random.default_rng(0).normal(size=theta.shape)
        x = jax.jit(lambda g: conjugate_gradient(product, g, 200, 1e-10))(jnp.asarray(g))
        np.testing.assert_allclose(x, np.linalg.solve(matrix, g), rtol=1e-6, atol=1e-8)
        rough = jax.jit(lambda g: conjugate_gradient(product, g, 200, 0.1))(jnp.asarray(g))
        residual = np.linalg.norm(matrix @ rough - g) / np.linalg.norm(g)
        assert 1e-6 < residual <= 0.1


@pytest.mark.slow
def test_conjugate_gradient_is_right_for_eight_seeds_within_the_drivers_loop():
    """Where `jax.scipy.sparse.linalg.cg` was not: floats as arguments, a vmap of 8, a loop around it."""
    algo = TRPO(num_envs=8, num_steps=16, num_minibatches=1, value_epochs=1)
    env = make("CartPole-v1", 8)
    found = []
    state = driver.init(algo, env, range(8))
    driver.run(algo, env, state, 2, callbacks=[lambda p: found.append(p.metrics)])
    for metrics in found:
        assert np.all(metrics["cg/residual"] < 2e-3)
        assert np.all(metrics["line_search/accepted"] == 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_natural_gradient_step_is_that_of_the_explicit_matrix(kind):
    """θ_new - θ_old = sqrt(2 δ / x'Fx) x with x = F⁻¹ g: the whole of appendix C, by dense linear algebra."""
    with jax.enable_x64(True):
        net, b = in_double(kind)
        algo = TRPO(**PLAIN, delta=0.02, line_search=False, cg_iterations=200, cg_tolerance=1e-12)
        new, metrics = improve(algo, net, b)
        theta, join = split(net)
        g = -np.asarray(jax.jit(jax.grad(lambda theta: algo.loss(join(theta), b)))(theta))
        matrix = np.asarray(explicit_fisher(kind, net, b)) + algo.damping * np.eye(len(theta))
        x = np.linalg.solve(matrix, g)
        expected = np.sqrt(2 * 0.02 / (x @ matrix @ x)) * x
        np.testing.assert_allclose(split(new)[0] - theta, expected, rtol=1e-5, atol=1e-8)
        assert metrics["cg/residual"] < 1e-8
        np.testing.assert_array_equal(flat(new.critic), flat(net.critic))


@pytest.mark.parametrize("kind", KINDS)
def test_the_quadratic_model_meets_delta_where_steps_are_small(kind):
    """A step for δ = 1e-8 has the divergence ½ d'F d of the model, and with hardly any damping that is δ."""
    with jax.enable_x64(True):
        net, b = in_double(kind)
        for damping, share in ((1e-5, 0.9), (0.1, 0.1)):
            algo = TRPO(**PLAIN, delta=1e-8, line_search=False, damping=damping, cg_iterations=500)
            new, _ = improve(algo, net, b)
            d, matrix = split(new)[0] - split(net)[0], explicit_fisher(kind, net, b)
            got = float(divergence(new, b))
            np.testing.assert_allclose(got, 0.5 * d @ matrix @ d, rtol=0.05)
            assert share * 1e-8 < got < 1.05e-8


# --- The line search


def slow_search(algo, net, b):
    """(length, new θ): the first length on the list that improves L and keeps KL within δ; else 0 and the old θ."""
    theta, join = split(net)
    full, _ = improve(TRPO(**(PLAIN | {"delta": algo.delta, "line_search": False})), net, b)
    step, loss, kl = split(full)[0] - theta, jax.jit(algo.loss), jax.jit(divergence)
    for j in range(algo.backtracks):
        length = algo.shrink**j
        new = join(theta + length * step)
        if loss(new, b) < loss(net, b) and kl(new, b) <= algo.delta:
            return length, flat(new)
    return 0.0, flat(net)


@pytest.mark.parametrize("kind", late(KINDS, "discrete"))
@pytest.mark.parametrize("delta", [0.01, 0.3, 3.0, 30.0])
def test_the_accepted_step_improves_and_keeps_the_bound_M37(kind, delta):
    """Over several batches: and it is the first on the list that does, as a Python loop finds it.

    In float64, because ten iterations of conjugate gradient make 1e-2 of what two programs round differently.
    """
    algo = TRPO(**PLAIN, delta=delta, backtracks=8, shrink=0.6)
    lengths = []
    with jax.enable_x64(True):
        net, _ = in_double(kind)
        for seed in range(40):
            b = batch_of(kind, net, seed)
            new, metrics = improve(algo, net, b)
            length, expected = slow_search(algo, net, b)
            np.testing.assert_allclose(metrics["line_search/length"], length, rtol=1e-5)
            np.testing.assert_allclose(flat(new), expected, rtol=1e-5, atol=1e-7)
            assert bool(metrics["line_search/accepted"]) == (length > 0)
            if length > 0:
                assert float(divergence(new, b)) <= delta * (1 + 1e-6)
                assert algo.loss(new, b) < algo.loss(net, b)
            lengths.append(length)
            if seed >= 3 and (delta < 30 or min(lengths) < 1):
                break
    assert delta > 0.01 or all(x > 0 for x in lengths)  # small regions: the quadratic model holds
    assert delta < 30 or any(x < 1 for x in lengths)  # large ones: it does not, and the search has work to do


@cache
def hard_case(reason):
    """Settings, and in float64 a network and a batch, for which the full step is refused for that reason alone."""
    cases = itertools.product(KINDS, (0.1, 1e-3), (0.3, 3.0, 30.0, 100.0), range(4))
    for kind, damping, delta, seed in cases:
        how, (net, _) = PLAIN | {"damping": damping, "delta": delta}, in_double(kind)
        b, algo = batch_of(kind, net, seed), TRPO(**how, line_search=False)
        full, _ = improve(algo, net, b)
        too_far = float(divergence(full, b)) > 1.05 * delta
        worse = float(algo.loss(full, b)) > float(algo.loss(net, b)) + 0.01
        if (too_far, worse) == (reason == "divergence", reason == "loss"):
            return how, net, b
    raise AssertionError("no such step found")


@pytest.mark.parametrize("reason", ["divergence", "loss"])
def test_the_line_search_restores_the_policy_on_failure_M37(reason):
    """Bit for bit, and says so; without it the step is taken all the same."""
    with jax.enable_x64(True):
        how, net, b = hard_case(reason)
        new, metrics = improve(TRPO(**how, backtracks=1), net, b)
        assert float(metrics["line_search/accepted"]) == float(metrics["line_search/length"]) == 0.0
        np.testing.assert_array_equal(flat(new), flat(net))
        natural, metrics = improve(TRPO(**how, line_search=False), net, b)
        assert float(metrics["line_search/length"]) == 1.0
        assert np.abs(flat(natural) - flat(net)).max() > 0.1


def test_a_step_that_is_not_a_number_is_refused_too():
    net = network("discrete")
    b = batch_of("discrete", net)
    new, metrics = improve(TRPO(**PLAIN), net, b._replace(adv=b.adv.at[0].set(jnp.nan)))
    assert float(metrics["line_search/accepted"]) == 0.0
    np.testing.assert_array_equal(flat(new), flat(net))


def test_the_line_search_vmaps():
    """Settings side by side, one whose search fails and others whose succeed, are as each alone."""
    with jax.enable_x64(True):
        how, net, b = hard_case("loss")
        deltas = jnp.array([1e-3, how["delta"], 0.01])
        how = {name: x for name, x in how.items() if name != "delta"}

        @jax.jit
        @partial(jax.vmap, in_axes=(0, None, None))
        def together(delta, net, b):
            return TRPO(**how, delta=delta, backtracks=1).improve(net, b)

        new, metrics = together(deltas, net, b)
        np.testing.assert_array_equal(metrics["line_search/accepted"], [1.0, 0.0, 1.0])
        for i, d in enumerate(deltas):
            alone, _ = improve(TRPO(**how, delta=d, backtracks=1), net, b)
            one = jax.tree.map(lambda x, i=i: x[i], new)
            np.testing.assert_allclose(flat(one), flat(alone), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("line_search", [False, True])
def test_advantages_without_variance_leave_the_policy_C4(line_search):
    """No gradient, no step: and no division of 0 by 0."""
    net = network("continuous")
    b = batch_of("continuous", net)
    for constant in (0.0, 3.0, 0.1):
        algo = TRPO(**PLAIN, line_search=line_search)
        new, metrics = improve(algo, net, b._replace(adv=jnp.full(12, constant)))
        np.testing.assert_array_equal(flat(new), flat(net))
        assert all(np.isfinite(x) for x in metrics.values())


# --- The loss


def slow_loss(net, b):
    """Minus the mean of ratio times standardised advantage, sample by sample, in float64."""
    adv = (b.adv - b.adv.mean()) / (b.adv.std() + 1e-8)
    total = 0.0
    for i in range(len(adv)):
        output = mlp(net.actor.layers, b.obs[i])
        if net.log_std is None:
            logp = log_softmax(output)[b.action[i]]
            logp_old = log_softmax(b.pi_old.logits[i])[b.action[i]]
        else:
            logp = stats.norm(output, np.exp(net.log_std)).logpdf(b.action[i]).sum()
            logp_old = stats.norm(b.pi_old.mean[i], np.exp(b.pi_old.log_std[i])).logpdf(b.action[i]).sum()
        total += np.exp(logp - logp_old) * adv[i]
    return -total / len(adv)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradient_match_a_slow_implementation(kind):
    """Away from the old policy, so that the ratio shows; the gradient by central differences."""
    old = network(kind)
    b, net = batch_of(kind, old), moved(old, 5, 0.2)
    loss, grad = jax.jit(jax.value_and_grad(TRPO(**PLAIN).loss))(net, b)
    slow = double(b)
    np.testing.assert_allclose(loss, slow_loss(double(net), slow), rtol=1e-4)
    numeric = central_differences(lambda net: slow_loss(net, slow), net)
    np.testing.assert_allclose(flat(grad), numeric, rtol=2e-2, atol=1e-4)
    assert not np.any(flat(grad.critic))


# --- Acting, advantages, the update


def learner_of(algo, net, **changes):
    return Learner(net, algo.optimizer().init(net.critic), counter(), Off(), Off())._replace(**changes)


@jax.jit
def advantages(algo, learner, rollout):
    return algo.advantages(learner, rollout)


@partial(jax.jit, static_argnums=0)
def play(normalised, learner, actor, key):
    algo = TRPO(**PLAIN, normalise_obs=normalised, normalise_reward=normalised)
    return collect(ENV, partial(algo.act, learner), actor, key, algo.num_steps)


@pytest.fixture(scope="module", params=[False, True], ids=["raw", "normalised"])
def scene(request):
    """(changes, learner, rollout): after one earlier rollout, so that the normalisers have seen something."""
    changes = {"normalise_obs": request.param, "normalise_reward": request.param}
    algo, net = TRPO(**PLAIN, **changes), network("continuous")
    learner = learner_of(algo, net)
    if request.param:
        learner = learner._replace(obs_moments=moments((OBS,)), reward_scale=reward_scale(2))
    actor, rollout = play(request.param, learner, start(ENV, jax.random.key(0)), jax.random.key(1))
    obs_moments, scale = statistics(learner, rollout, algo.gamma)
    learner = learner._replace(obs_moments=obs_moments, reward_scale=scale)
    _, rollout = play(request.param, learner, actor, jax.random.key(2))
    return changes, learner, rollout


def test_the_rollout_remembers_the_old_distribution_itself(scene):
    """With leading axes [T, N] in every leaf; its divergence from the policy before the update is 0."""
    changes, learner, rollout = scene
    assert isinstance(rollout.extras, Normal)
    assert rollout.extras.mean.shape == rollout.extras.log_std.shape == (6, 2, 2)
    b = advantages(TRPO(**PLAIN, **changes), learner, rollout)
    np.testing.assert_allclose(jax.jit(divergence)(learner.params, b), 0.0, atol=1e-6)


def test_update_reports_the_exact_divergence_of_the_returned_policy_C6_C7(scene):
    """Measured after the step, and within δ."""
    changes, learner, rollout = scene
    algo = TRPO(**PLAIN, **changes, delta=0.03)
    after, metrics = algo.update(learner, rollout, jax.random.key(0))
    b = advantages(algo, learner, rollout)
    flat_batch = double(jax.tree.map(lambda x: x.reshape(12, *x.shape[2:]), b))
    np.testing.assert_allclose(
        metrics["kl"], slow_kl(double(after.params), flat_batch.pi_old, flat_batch), rtol=1e-2
    )
    assert 1e-4 < metrics["kl"] <= 0.03 * (1 + 1e-4)
    assert metrics["loss/policy"] < 0
    entropy = jax.jit(lambda net: net.policy(b.obs).entropy().mean())(after.params)
    np.testing.assert_allclose(metrics["entropy"], entropy, rtol=1e-5)
    assert int(after.iteration) == 1


def test_the_fit_of_v_is_minibatch_adam_and_moves_the_critic_only(scene):
    """As a Python loop does it, on the policy's minibatches of this key."""
    changes, learner, rollout = scene
    algo = TRPO(**PLAIN, **changes, lr=0.05)
    after, metrics = algo.update(learner, rollout, jax.random.key(0))
    data, adam = advantages(algo, learner, rollout), optax.adam(0.05, eps=1e-5)
    critic, losses = learner.params.critic, []
    opt_state = adam.init(critic)
    fit = jax.jit(jax.value_and_grad(lambda v, x, y: jnp.square(v(x)[..., 0] - y).mean()))
    for key in jax.random.split(jax.random.key(0), algo.value_epochs):
        samples, look_up = minibatches((data.obs, data.target), algo.num_minibatches, key[None])
        for i in range(algo.num_minibatches):
            loss, grads = fit(critic, *look_up(samples[i]))
            updates, opt_state = adam.update(grads, opt_state)
            critic, losses = optax.apply_updates(critic, updates), [*losses, loss]
    np.testing.assert_allclose(flat(after.params.critic), flat(critic), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(metrics["loss/value"], np.mean(losses), rtol=1e-3)
    step, _ = improve(algo, learner.params, data)
    np.testing.assert_allclose(flat(after.params.actor), flat(step.actor), rtol=1e-3, atol=1e-4)


def test_advantages_are_gae_and_targets_lambda_returns_C1_C2_C9():
    net, rollout = network("discrete"), a_rollout()
    pi_old = Categorical(jnp.zeros((3, 3, 3)))
    algo = TRPO(**PLAIN, gamma=0.9, lam=0.8)
    b = advantages(algo, learner_of(algo, net), rollout._replace(extras=pi_old))
    reference = PPO(num_envs=2, num_steps=6, num_minibatches=1, gamma=0.9, lam=0.8)
    adv, value = slow_gae(reference, net, rollout)
    np.testing.assert_allclose(b.adv, adv, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(b.target, adv + value, rtol=1e-4, atol=1e-5)


def slow_gae(algo, net, rollout):
    """(A, V) by the loops of VPG's tests."""
    from swingup.algos.vpg import VPG

    weights, value = slow_weights(VPG(gamma=algo.gamma, lam=algo.lam), net, rollout)
    return weights["gae"], value


def test_update_adds_each_sample_to_the_statistics_once(scene):
    changes, learner, rollout = scene
    after, _ = TRPO(**PLAIN, **changes).update(learner, rollout, jax.random.key(0))
    if not changes["normalise_obs"]:
        assert after.obs_moments == Off()
        assert after.reward_scale == Off()
        return
    for x, y in zip(after.obs_moments, merge(learner.obs_moments, rollout.obs), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)
    expected = merge_rewards(learner.reward_scale, rollout.step.reward, rollout.step.done, 0.99)
    for x, y in zip(jax.tree.leaves(after.reward_scale), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_act_explores_or_not_C22(scene):
    changes, learner, rollout = scene
    algo, obs = TRPO(**PLAIN, **changes), rollout.obs[0]
    pi = learner.params.policy(learner.obs_moments.normalise(obs))
    np.testing.assert_allclose(algo.act(learner, Seen(obs))[0], pi.mode(), rtol=1e-4, atol=1e-5)
    draws = noise(ACTIONS["continuous"], jax.random.key(0), (2,))
    action, pi_old, _ = algo.act(learner, Seen(obs), draws)
    np.testing.assert_allclose(action, pi.from_noise(draws), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pi_old.mean, pi.mean, rtol=1e-4, atol=1e-5)


def test_the_vector_of_parameters_has_all_but_the_critics():
    """For images it has the shared body, so that the policy's step is what moves it."""
    space = Box.of(0.0, 1.0, (4, 4, 1))
    image = jax.jit(lambda key: ActorCritic(space, Discrete(2), (4,), "relu", key=key))(jax.random.key(0))
    for net in (network("discrete"), network("continuous"), image):
        theta, join = split(net)
        parts = net.body, net.actor, net.log_std
        assert theta.size == sum(x.size for x in jax.tree.leaves(parts))
        new = join(theta + 1)
        for name in ("body", "actor", "log_std"):
            np.testing.assert_allclose(flat(getattr(new, name)), flat(getattr(net, name)) + 1, rtol=1e-6)
        np.testing.assert_array_equal(flat(new.critic), flat(net.critic))


@pytest.mark.parametrize(
    "wrong",
    [{"num_minibatches": 5}, {"backtracks": 0}, {"cg_iterations": 0}, {"activation": "tan"}, {"hidden": ()}],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        TRPO(**(PLAIN | wrong))
