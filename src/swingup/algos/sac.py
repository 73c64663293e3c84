"""Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905, algorithm 1).

Maximise reward and entropy together: α is what a nat of entropy is worth. With a batch of transitions from the
replay memory and a' ~ π(· | s'),

    L(Q_i) = E[ (y - Q_i(s, a))² ] / 2,      y = r + γ (1 - terminated) (min_i Q_i⁻(s', a') - α log π(a' | s'))
    L(π) = E[ α log π(a | s) - min_i Q_i(s, a) ],      a ~ π(· | s), reparameterised
    L(α) = -log α E[ log π(a | s) + H̄ ]                H̄ the entropy that is aimed at

π is a Gaussian squashed by tanh, with the exact log-determinant; its log σ is clipped to [-20, 2].

Differs from the paper in: a time limit bootstraps from the true last observation; L(α) takes log α as the factor
instead of α, as the paper's own code does; how many gradient steps follow an env step is set by `replay_ratio`,
whatever `num_envs` is; the random actions are taken before the first iteration. Actions, and so
log π and H̄, are in normalised units: [-1, 1] spans the environment's bounds.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.distributions import TanhNormal
from swingup.nets.layers import Activation
from swingup.nets.observations import Body, first_moments
from swingup.nets.value_networks import ActorNetwork, Critic, each, smaller, twins
from swingup.normalise import Moments, Off
from swingup.optimisers import copied, descend, follow, fresh
from swingup.protocols import Replaying, VecEnv, hyperparameters
from swingup.ranges import Count, Fraction, NonNegative, Ratio, Unit, Whole, Widths, refuse
from swingup.replay import capacity, ring
from swingup.replay.ring import Batch, Ring
from swingup.rollout import begin, collect, episode_stats, keys
from swingup.schedules import decayed
from swingup.types import Choice, Rollout, Seen, State, without


class Networks(NamedTuple):
    actor: ActorNetwork  # π: the means, then the log σ, of a Gaussian before tanh
    critic: Critic  # Q_1 and Q_2, stacked
    log_alpha: Array


class OptStates(NamedTuple):
    actor: optax.OptState
    critic: optax.OptState
    log_alpha: optax.OptState


class Learner(NamedTuple):
    params: Networks
    target: Critic  # Q_1⁻ and Q_2⁻
    opt_state: OptStates
    replay: Ring
    env_steps: Counter  # done so far, the random ones included
    obs_moments: Moments | Off  # `Off` unless normalise_obs and observations are vectors


@hyperparameters
class SAC(Replaying):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 1  # T: env steps per environment between updates
    replay_ratio: Ratio = 1.0  # gradient steps per env step; times N T it must be a whole number
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lr: NonNegative = 3e-4  # learning rate of Adam for the critics
    actor_lr: NonNegative = 3e-4  # and for the actor
    lr_decay: bool = False  # let the learning rates fall linearly to 0 at lr_horizon
    lr_horizon: NonNegative = 0.0  # env steps at which they are 0; a run that is longer decays to its own end
    batch_size: Count = 256  # transitions per gradient step
    replay_size: Count = 1_000_000  # transitions kept, over all environments
    warmup: Whole = 10_000  # env steps with random actions before the first update
    warmup_hold: Count = 1  # env steps for which each of these is held
    tau: Fraction = 0.005  # τ: how far the target networks follow per gradient step
    alpha: NonNegative = 1.0  # α: temperature at the beginning, or for good if it is not learnt
    alpha_lr: NonNegative = 3e-4  # learning rate of Adam for log α; 0 keeps it fixed
    target_entropy: float = -1.0  # H̄, per dimension of the action, in nats
    hindsight: Whole = 0  # k: goals of hindsight for each that was meant, if observations have goals; 0: none
    normalise_obs: bool = False  # vectors of observations by running mean and variance, clipped to ±10
    hidden: Widths = (256, 256)  # widths of the hidden layers
    activation: Activation = "relu"  # of the hidden layers: tanh, relu, silu or gelu
    body: Body = "auto"  # what reads observations: cnn, mlp, or auto, which goes by their shape

    def __post_init__(self):
        learnt = "alpha=0 is no temperature to learn from: start above 0, or keep it fixed with alpha_lr=0"
        refuse((self.alpha == 0) & (self.alpha_lr > 0), learnt)
        capacity.check_settings(self)

    def init(self, env: VecEnv, key: Array) -> State:
        """Make networks, and a replay memory with the transitions of random actions."""
        k_net, k_env, k_run, key = jax.random.split(key, 4)
        params = self.networks(env, k_net)
        adam = self.optimizer(self.lr, counters.counter())
        opt_state = OptStates(*(fresh(adam, x) for x in params))
        learned = params, copied(params.critic), opt_state, ring.empty(env, self.replay_size)
        env_steps = counters.counter(self.warmup_env_steps)
        learner = Learner(*learned, env_steps, first_moments(self, env))
        return State(*begin(self, env, learner, (k_env, k_run)), key)

    def networks(self, env: VecEnv, key: Array) -> Networks:
        k_actor, k_critic = jax.random.split(key)
        spec = env.observation_space, env.action_space, self.hidden, self.activation
        actor = ActorNetwork(*spec, outputs=2, body=self.body, key=k_actor)
        critics = twins(lambda k: Critic(*spec, body=self.body, key=k), k_critic)
        log_alpha = jnp.log(jnp.maximum(jnp.float32(self.alpha), 1e-30))  # finite for α = 0 too
        return Networks(actor, critics, log_alpha)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do T env steps in N environments, then `replay_ratio` gradient steps for each of them."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose actions of π for observations [N, ...]; without noise tanh of its mean."""
        pi = self.policy(learner.params.actor, learner.obs_moments.normalise(seen.obs))
        return Choice(pi.mode() if noise is None else pi.from_noise(noise))

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return min_i Q_i(s, a) of observations [N, ...] and the greedy actions there: [N]."""
        greedy = self.act(learner, Seen(obs)).action
        return smaller(each(learner.params.critic, learner.obs_moments.normalise(obs), greedy))

    def policy(self, actor: ActorNetwork, obs: Any) -> TanhNormal:
        """Return π(· | s)."""
        mean, log_std = jnp.split(actor(obs), 2, -1)
        return TanhNormal(mean, jnp.clip(log_std, -20.0, 2.0))

    def acting(self, learner: Learner) -> Learner:
        """Return all that `act` reads, without the replay and what learns."""
        return without(learner, "target", "opt_state", "replay")

    def remember(self, learner: Learner, rollout: Rollout) -> Learner:
        """Keep a rollout [T, N] in the replay memory, and its observations in the running statistics."""
        statistics = learner.obs_moments.merge(rollout.obs)
        return learner._replace(replay=ring.add(learner.replay, rollout), obs_moments=statistics)

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Keep the rollout [T, N]; then gradient steps, each on a batch drawn anew."""
        learner = self.remember(learner, rollout)
        return self.learn(learner, key, partial(self.sample, learner))

    def learn(
        self, learner: Learner, key: Array, draw: Callable[[Array], Batch]
    ) -> tuple[Learner, dict[str, Array]]:
        """Take the gradient steps of an iteration, each on a batch that `draw` makes of a key."""
        optimizer = partial(self.optimizer, env_steps=learner.env_steps)

        def gradient_step(carry, key):
            (actor, critic, log_alpha), target, states = carry
            k_batch, k_next, k_now = jax.random.split(key, 3)
            batch = draw(k_batch)
            alpha = jnp.exp(log_alpha)  # read once
            grads, metrics = jax.grad(self.critic_loss, has_aux=True)(
                critic, target, actor, alpha, batch, k_next
            )
            critic, critic_state = descend(optimizer(self.lr), critic, states.critic, grads)
            (loss, entropy), grads = jax.value_and_grad(self.actor_loss, has_aux=True)(
                actor, critic, alpha, batch, k_now
            )
            actor, actor_state = descend(optimizer(self.actor_lr), actor, states.actor, grads)
            grads = jax.grad(self.alpha_loss)(log_alpha, entropy, batch.action.shape[-1])
            log_alpha, alpha_state = descend(optimizer(self.alpha_lr), log_alpha, states.log_alpha, grads)
            params = Networks(actor, critic, log_alpha)
            target = follow(target, critic, self.tau)
            metrics |= {"loss/policy": loss, "entropy": entropy, "alpha": alpha}
            return (params, target, OptStates(actor_state, critic_state, alpha_state)), metrics

        carry = learner.params, learner.target, learner.opt_state
        steps = self.gradient_steps_per_iteration
        carry, metrics = jax.lax.scan(gradient_step, carry, jax.random.split(key, steps))
        env_steps = counters.add(learner.env_steps, self.env_steps_per_iteration)
        learner = Learner(*carry, learner.replay, env_steps, learner.obs_moments)
        return learner, jax.tree.map(jnp.mean, metrics)

    def critic_loss(
        self, critic: Critic, target: Critic, actor: ActorNetwork, alpha: Array, b: Batch, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Return L(Q_1) + L(Q_2), to be minimised, over a batch. The target carries no gradient."""
        next_action, logp = self.policy(actor, b.next_obs).sample_and_log_prob(key)
        bootstrap = smaller(each(target, b.next_obs, next_action)) - alpha * logp
        y = b.reward + b.discount * jnp.where(b.terminated, 0.0, bootstrap)
        q = each(critic, b.obs, b.action)
        loss = 0.5 * jnp.mean(b.weight * jnp.square(jax.lax.stop_gradient(y) - q).sum(0))
        return loss, {"loss/q": loss, "q/mean": q.mean(), "q/max": jnp.abs(q).max()}

    def actor_loss(
        self, actor: ActorNetwork, critic: Critic, alpha: Array, b: Batch, key: Array
    ) -> tuple[Array, Array]:
        """Return L(π), to be minimised, and an estimate of the entropy. The critics stay as they are."""
        action, logp = self.policy(actor, b.obs).sample_and_log_prob(key)
        return jnp.mean(alpha * logp - smaller(each(critic, b.obs, action))), -logp.mean()

    def alpha_loss(self, log_alpha: Array, entropy: Array, dimensions: int) -> Array:
        """Return L(α), to be minimised: α falls while there is more entropy than is aimed at."""
        return log_alpha * jax.lax.stop_gradient(entropy - self.target_entropy * dimensions)

    def sample(self, learner: Learner, key: Array) -> Batch:
        """Draw a batch, all transitions equally likely."""
        batch = ring.sample(learner.replay, key, self.batch_size, self.gamma, goals=self.hindsight)
        return ring.normalised(batch, learner.obs_moments)

    def optimizer(self, lr: Array | float, env_steps: Counter) -> optax.GradientTransformation:
        """Use Adam."""
        return optax.adam(decayed(self, lr, counters.real(env_steps)))
