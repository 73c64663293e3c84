"""Trust Region Policy Optimisation (Schulman, Levine, Moritz, Jordan & Abbeel 2015, arXiv:1502.05477), and the
natural policy gradient (Kakade 2001), which is TRPO without the line search.

Run the policy for T env steps in N environments, estimate advantages by GAE, then solve

    maximise  L(θ) = E[ ratio A ]    subject to    E[ KL(π_old || π_θ) ] <= δ                  (eq. 14)

with ratio = π(a|s) / π_old(a|s), approximately: with L linear and KL quadratic about θ_old the solution is

    θ = θ_old + sqrt(2 δ / x'F x) x,    F x = ∇L,    F the Hessian of the mean KL     (appendix C)

x is found by conjugate gradient, which needs products F v only. The line search then shortens that step until L has
risen and the KL divergence is at most δ in truth; if no length will do, the policy stays. Without it (`line_search`)
this is the natural policy gradient. V is fitted apart, by minibatch Adam on (V(s) - target)², target = A + V_old(s).

Differs from the paper in: advantages by GAE (Schulman et al. 2016), standardised over the rollout; damping of F, which
the authors' code has too; a time limit bootstraps from the true last observation; for images policy and V share a
convolutional body, which the policy's step alone moves. The divergence is KL(old || new) everywhere.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from swingup import counters
from swingup.counters import Counter
from swingup.distributions import Distribution
from swingup.linalg import conjugate_gradient
from swingup.nets.actor_critic import MLP, ActorCritic
from swingup.nets.layers import Activation
from swingup.nets.observations import Body, first_statistics
from swingup.normalise import Moments, Off, RewardScale, statistics
from swingup.optimisers import descend, fresh
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Count, NonNegative, Positive, Unit, Widths, Within, check_divides
from swingup.returns import explained_variance, gae, standardise
from swingup.rollout import collect, episode_stats, keys, minibatches, start, successor_values
from swingup.types import Choice, Rollout, Seen, State


class Learner(NamedTuple):
    params: ActorCritic
    opt_state: optax.OptState  # of the critic; the policy has none
    iteration: Counter  # updates done so far
    obs_moments: Moments | Off  # `Off` unless normalise_obs and observations are vectors
    reward_scale: RewardScale | Off  # `Off` unless normalise_reward


class Batch(NamedTuple):
    obs: Any
    action: Array
    pi_old: Distribution
    adv: Array
    target: Array
    value_old: Array
    legal: Array | None = None  # None: all actions


@hyperparameters
class TRPO(Algorithm):
    num_envs: Count = 8  # N: environments run in parallel
    num_steps: Count = 128  # T: env steps per environment between updates
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lam: Unit = 0.95  # λ: of GAE, in [0, 1]; lower is less variance and more bias
    delta: Positive = 0.01  # δ: the largest mean KL(old||new) of an update, in nats; 0.001 to 0.05
    cg_iterations: Count = 10  # products with F that conjugate gradient may take
    cg_tolerance: NonNegative = 1e-3  # it stops where |F x - ∇L| is at most this times |∇L|
    damping: NonNegative = 0.1  # added to F's diagonal: a longer way along flat directions is not trusted
    line_search: bool = True  # shorten a step that fails; off is the natural policy gradient
    backtracks: Count = 10  # lengths that the line search tries
    shrink: Annotated[float, Within(0, 1, "()")] = 0.8  # each is this times the one before, in (0, 1)
    value_epochs: Count = 10  # passes over each rollout in the fit of V
    num_minibatches: Count = 8  # parts that a rollout is cut in for it; one gradient step each; divides N T
    lr: NonNegative = 1e-3  # learning rate of the value function's Adam; the policy has none
    normalise_obs: bool = False  # vectors of observations by running mean and variance, clipped to ±10
    normalise_reward: bool = False  # rewards by the running std of the discounted return, clipped to ±10
    hidden: Widths = (64, 64)  # widths of the hidden layers
    activation: Activation = "tanh"  # of the hidden layers: tanh, relu, silu or gelu
    log_std_init: float = 0.0  # continuous actions: initial log σ, in units of half the action range
    body: Body = "auto"  # what reads observations: cnn, mlp, or auto, which goes by their shape

    def __post_init__(self):
        check_divides("num_minibatches", self.num_minibatches, self.num_envs, self.num_steps)

    def init(self, env: VecEnv, key: Array) -> State:
        """Make networks, the critic's optimiser and environments at their beginnings."""
        k_net, k_env, key = jax.random.split(key, 3)
        spaces = env.observation_space, env.action_space
        how = self.hidden, self.activation, self.log_std_init
        params = ActorCritic(*spaces, *how, body=self.body, key=k_net)
        opt_state = fresh(self.optimizer(), params.critic)
        learner = Learner(params, opt_state, counters.counter(), *first_statistics(self, env))
        return State(learner, start(env, k_env), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do one iteration: run the policy T env steps in N environments, then optimise."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose actions for observations [N, ...], with π_old(·|s); without noise the policy's mode."""
        pi = learner.params.policy(learner.obs_moments.normalise(seen.obs), seen.legal)
        action = pi.mode() if noise is None else pi.from_noise(noise)
        # It has its full shape: a rollout's leading axes are [T, N] also for a log σ that all states share.
        return Choice(action, jax.tree.map(lambda x: jnp.broadcast_to(x, jax.tree.leaves(pi)[0].shape), pi))

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return V(s) of observations [N, ...]: [N]."""
        return learner.params.value(learner.obs_moments.normalise(obs))

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Take one step of the policy and `value_epochs` passes of minibatch gradient steps on V."""
        data = self.advantages(learner, rollout)
        params, metrics = self.improve(learner.params, data)
        pairs = params.encode(data.obs), data.target  # a shared body keeps still, or the policy would move
        every, look_up = minibatches(pairs, self.num_minibatches, jax.random.split(key, self.value_epochs))

        def gradient_step(carry, samples):
            critic, opt_state = carry
            loss, grads = jax.value_and_grad(self.value_loss)(critic, *look_up(samples))
            return descend(self.optimizer(), critic, opt_state, grads), loss

        carry = params.critic, learner.opt_state
        (critic, opt_state), losses = jax.lax.scan(gradient_step, carry, every)
        params = eqx.tree_at(lambda p: p.critic, params, critic)
        metrics |= {"loss/value": losses.mean()} | self.diagnostics(params, data)
        running = statistics(learner, rollout, self.gamma)
        return Learner(params, opt_state, counters.add(learner.iteration, 1), *running), metrics

    def improve(self, params: ActorCritic, b: Batch) -> tuple[ActorCritic, dict[str, Array]]:
        """Take one natural gradient step, as long as the trust region allows, and search along its line."""
        theta, join = split(params)
        before, g = jax.value_and_grad(lambda theta: self.loss(join(theta), b))(theta)
        product = fisher_product(lambda theta: divergence(join(theta), b), theta, self.damping)
        x = conjugate_gradient(product, -g, self.cg_iterations, self.cg_tolerance)
        fx = product(x)
        # The largest step whose KL divergence is δ by the quadratic model: ½ s² x'Fx = δ. No gradient, no step.
        step = jnp.sqrt(2 * self.delta / jnp.maximum(x @ fx, 1e-12)) * x
        metrics = {"cg/residual": jnp.linalg.norm(fx + g) / jnp.maximum(jnp.linalg.norm(g), 1e-12)}

        def attempt(best, length):
            new = theta + length * step
            better = (self.loss(join(new), b) < before) & (divergence(join(new), b) <= self.delta)
            return jnp.where((best == 0) & better, length, best), None

        length = jnp.float32(1)
        if self.line_search:
            lengths = self.shrink ** jnp.arange(self.backtracks, dtype=jnp.float32)
            length, _ = jax.lax.scan(attempt, jnp.float32(0), lengths)
        metrics |= {"line_search/length": length, "line_search/accepted": jnp.float32(length > 0)}
        return join(jnp.where(length > 0, theta + length * step, theta)), metrics

    def loss(self, params: ActorCritic, b: Batch) -> Array:
        """Return minus the surrogate L of equation 14, with standardised advantages."""
        logp, logp_old = params.policy(b.obs, b.legal).log_prob(b.action), b.pi_old.log_prob(b.action)
        return -(jnp.exp(logp - logp_old) * standardise(b.adv)).mean()

    def value_loss(self, critic: MLP, x: Array, target: Array) -> Array:
        """Return the mean squared error of V; `x` is what the critic reads: [B, ...]."""
        return jnp.square(critic(x)[..., 0] - target).mean()

    def advantages(self, learner: Learner, rollout: Rollout) -> Batch:
        """Compute advantages and value targets; a truncated episode bootstraps from its true last observation."""
        step, obs = rollout.step, learner.obs_moments.normalise(rollout.obs)
        reward = learner.reward_scale.scale(step.reward)
        value = learner.params.value(obs)
        next_value = successor_values(partial(self.value, learner), value, rollout)
        adv = gae(reward, value, next_value, step.terminated, step.done, self.gamma, self.lam)
        return Batch(obs, rollout.action, rollout.extras, adv, adv + value, value, rollout.legal)

    def diagnostics(self, params: ActorCritic, b: Batch) -> dict[str, Array]:
        """Measure what the update did, after it and on the whole rollout; the KL divergence is exact."""
        return {
            "loss/policy": self.loss(params, b),
            "entropy": params.policy(b.obs, b.legal).entropy().mean(),
            "kl": divergence(params, b),
            "explained_variance": explained_variance(b.value_old, b.target),
        }

    def optimizer(self) -> optax.GradientTransformation:
        """Use Adam, for V."""
        return optax.flatten(optax.adam(self.lr, eps=1e-5))  # one vector is faster than many


def divergence(params: ActorCritic, b: Batch) -> Array:
    """Return the mean of KL(π_old || π) over the rollout, exactly, in nats."""
    return b.pi_old.kl(params.policy(b.obs, b.legal)).mean()


def fisher_product(kl: Callable[[Array], Array], theta: Array, damping: float) -> Callable[[Array], Array]:
    """Return v -> (F + damping I) v, with F the Hessian of `kl` at θ [P]: the derivative of its gradient along v.

    At θ_old, where KL(π_old || π_θ) has its minimum, F is the Fisher information matrix.
    """
    along = jax.linearize(jax.grad(kl), theta)[1]  # forward over reverse; linearised once for all products
    return lambda v: along(v) + damping * v


def split(params: ActorCritic) -> tuple[Array, Callable[[Array], ActorCritic]]:
    """Return all parameters but the critic's as one vector θ [P], and what puts such a vector in their place."""
    theta, unravel = ravel_pytree(eqx.tree_at(lambda p: p.critic, params, None))

    def join(theta: Array) -> ActorCritic:
        return eqx.tree_at(lambda p: p.critic, unravel(theta), params.critic, is_leaf=lambda x: x is None)

    return theta, join
