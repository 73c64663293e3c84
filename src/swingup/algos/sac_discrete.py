"""Soft actor-critic for discrete actions (Christodoulou 2019, arXiv:1910.07207, algorithm 1).

SAC where actions can be counted: the critics judge all of them at once, so expectations over π are sums, not samples:

    L(Q_i) = E[ (y - Q_i(s, a))² ] / 2,      y = r + γ (1 - terminated) V⁻(s')
    V⁻(s') = Σ_a' π(a' | s') (min_i Q_i⁻(s', a') - α log π(a' | s'))
    L(π) = E[ Σ_a π(a | s) (α log π(a | s) - min_i Q_i(s, a)) ]
    L(α) = log α (H(π) - H̄)                  H̄ the entropy that is aimed at

The rest is `sac.py`. Differs from the paper in what that differs in.
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
from swingup.distributions import Categorical, masked
from swingup.nets.layers import Activation
from swingup.nets.observations import Body, first_moments
from swingup.nets.value_networks import QNetwork, smaller, twins
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
    actor: QNetwork  # π: the logits
    critic: QNetwork  # Q_1 and Q_2, stacked
    log_alpha: Array


class OptStates(NamedTuple):
    actor: optax.OptState
    critic: optax.OptState
    log_alpha: optax.OptState


class Learner(NamedTuple):
    params: Networks
    target: QNetwork  # Q_1⁻ and Q_2⁻
    opt_state: OptStates
    replay: Ring
    env_steps: Counter  # done so far, the random ones included
    obs_moments: Moments | Off  # `Off` unless normalise_obs and observations are vectors


@hyperparameters
class SACDiscrete(Replaying):
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
    target_entropy: Unit = 0.98  # H̄, as a share of log |A|, the largest there is; in [0, 1]
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
        actor = QNetwork(*spec, body=self.body, key=k_actor)
        critics = twins(lambda k: QNetwork(*spec, body=self.body, key=k), k_critic)
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
        """Choose actions of π for observations [N, ...]; without noise the most likely."""
        pi = Categorical(masked(learner.params.actor(learner.obs_moments.normalise(seen.obs)), seen.legal))
        return Choice(pi.mode() if noise is None else pi.from_noise(noise))

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return min_i Q_i(s, a) of observations [N, ...] and the greedy actions there: [N]."""
        q = smaller(every(learner.params.critic, learner.obs_moments.normalise(obs)))
        return jnp.take_along_axis(q, self.act(learner, Seen(obs)).action[:, None], -1)[:, 0]

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
            batch = draw(key)
            alpha = jnp.exp(log_alpha)  # read once
            grads, metrics = jax.grad(self.critic_loss, has_aux=True)(critic, target, actor, alpha, batch)
            critic, critic_state = descend(optimizer(self.lr), critic, states.critic, grads)
            (loss, entropy), grads = jax.value_and_grad(self.actor_loss, has_aux=True)(
                actor, critic, alpha, batch
            )
            actor, actor_state = descend(optimizer(self.actor_lr), actor, states.actor, grads)
            grads = jax.grad(self.alpha_loss)(log_alpha, entropy, choices(batch, actor.shape[0]))
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
        self, critic: QNetwork, target: QNetwork, actor: QNetwork, alpha: Array, b: Batch
    ) -> tuple[Array, dict[str, Array]]:
        """Return L(Q_1) + L(Q_2), which is minimised, over a batch. The target carries no gradient."""
        logp = jax.nn.log_softmax(masked(actor(b.next_obs), b.next_legal))
        soft = smaller(every(target, b.next_obs)) - alpha * logp
        y = b.reward + b.discount * jnp.where(b.terminated, 0.0, jnp.sum(jnp.exp(logp) * soft, -1))
        q = jnp.take_along_axis(every(critic, b.obs), b.action[None, :, None], -1)[..., 0]
        loss = 0.5 * jnp.mean(b.weight * jnp.square(jax.lax.stop_gradient(y) - q).sum(0))
        return loss, {"loss/q": loss, "q/mean": q.mean(), "q/max": jnp.abs(q).max()}

    def actor_loss(self, actor: QNetwork, critic: QNetwork, alpha: Array, b: Batch) -> tuple[Array, Array]:
        """Return L(π), which is minimised, and the entropy. The critics stay as they are."""
        logp = jax.nn.log_softmax(masked(actor(b.obs), b.legal))
        entropy = -jnp.sum(jnp.exp(logp) * logp, -1)
        q = jax.lax.stop_gradient(smaller(every(critic, b.obs)))
        return jnp.mean(jnp.sum(jnp.exp(logp) * (alpha * logp - q), -1)), entropy.mean()

    def alpha_loss(self, log_alpha: Array, entropy: Array, actions: Array | int) -> Array:
        """Return L(α), which is minimised: α falls while entropy exceeds its aim for that many legal actions."""
        return log_alpha * jax.lax.stop_gradient(entropy - self.target_entropy * jnp.log(actions).mean())

    def sample(self, learner: Learner, key: Array) -> Batch:
        """Draw a batch, all transitions equally likely."""
        batch = ring.sample(learner.replay, key, self.batch_size, self.gamma, goals=self.hindsight)
        return ring.normalised(batch, learner.obs_moments)

    def optimizer(self, lr: Array | float, env_steps: Counter) -> optax.GradientTransformation:
        """Use Adam."""
        return optax.adam(decayed(self, lr, counters.real(env_steps)))


def choices(b: Batch, actions: int) -> Array | int:
    """Return how many actions are legal, [B]; all of them where none is ever forbidden."""
    return actions if b.legal is None else b.legal.sum(-1)


def every(critics: QNetwork, obs: Any) -> Array:
    """Return what each critic says of all actions: [2, B, A]."""
    return jax.vmap(lambda critic: critic(obs))(critics)
