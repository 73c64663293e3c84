"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971, algorithm 1).

Q-learning where the best action cannot be found by trying them all: a network μ learns it. Per gradient step, with a
batch of transitions from the replay memory,

    L(Q) = E[ (y - Q(s, a))² ] / 2,      y = r + γ (1 - terminated) Q⁻(s', μ⁻(s'))
    L(μ) = -E[ Q(s, μ(s)) ]

and the target networks Q⁻ and μ⁻ follow by Polyak's average. It explores by noise on μ's actions.

Differs from the paper in: a time limit bootstraps from the true last observation; Gaussian noise instead of an
Ornstein-Uhlenbeck process, which Fujimoto et al. (2018) found no worse; the action enters the critic's first layer, not
its second; widths 256 and 256, τ = 0.005, batches of 256 and two learning rates of 1e-3, instead of 400 and 300, 0.001,
64, and 1e-4 for the actor; no batch normalisation or weight decay; orthogonal weights; how many gradient steps follow
an env step is set by `replay_ratio`, whatever `num_envs` is; random actions before the first iteration. Actions are in
normalised units: [-1, 1] spans the environment's bounds.
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
from swingup.nets.layers import Activation
from swingup.nets.observations import Body, first_moments
from swingup.nets.value_networks import ActorNetwork, Critic
from swingup.normalise import Moments, Off
from swingup.optimisers import copied, descend, follow, fresh
from swingup.protocols import Replaying, VecEnv, hyperparameters
from swingup.ranges import Count, Fraction, NonNegative, Ratio, Unit, Whole, Widths
from swingup.replay import capacity, ring
from swingup.replay.ring import Batch, Ring
from swingup.rollout import begin, collect, episode_stats, keys
from swingup.schedules import decayed
from swingup.types import Choice, Rollout, Seen, State, without


class Networks(NamedTuple):
    actor: ActorNetwork  # μ
    critic: Critic  # Q


class Learner(NamedTuple):
    params: Networks
    target: Networks  # μ⁻ and Q⁻
    opt_state: tuple[optax.OptState, optax.OptState]
    replay: Ring
    env_steps: Counter  # done so far, the random ones included
    obs_moments: Moments | Off  # `Off` unless normalise_obs and observations are vectors


@hyperparameters
class DDPG(Replaying):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 1  # T: env steps per environment between updates
    replay_ratio: Ratio = 1.0  # gradient steps per env step; times N T it must be a whole number
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lr: NonNegative = 1e-3  # learning rate of Adam for the critic
    actor_lr: NonNegative = 1e-3  # and for the actor
    lr_decay: bool = False  # let the learning rates fall linearly to 0 at lr_horizon
    lr_horizon: NonNegative = 0.0  # env steps at which they are 0; a run that is longer decays to its own end
    batch_size: Count = 256  # transitions per gradient step
    replay_size: Count = 1_000_000  # transitions kept, over all environments
    warmup: Whole = 10_000  # env steps with random actions before the first update
    warmup_hold: Count = 1  # env steps for which each of these is held
    tau: Fraction = 0.005  # τ: how far the target networks follow per gradient step
    noise: NonNegative = 0.1  # σ: of the exploration noise, in units of half the action range
    hindsight: Whole = 0  # k: goals of hindsight for each that was meant, if observations have goals; 0: none
    normalise_obs: bool = False  # vectors of observations by running mean and variance, clipped to ±10
    hidden: Widths = (256, 256)  # widths of the hidden layers
    activation: Activation = "relu"  # of the hidden layers: tanh, relu, silu or gelu
    body: Body = "auto"  # what reads observations: cnn, mlp, or auto, which goes by their shape

    def __post_init__(self):
        capacity.check_settings(self)

    def init(self, env: VecEnv, key: Array) -> State:
        """Make networks, and a replay memory with the transitions of random actions."""
        k_net, k_env, k_run, key = jax.random.split(key, 4)
        params = self.networks(env, k_net)
        adam = self.optimizer(self.lr, counters.counter())
        opt_state = fresh(adam, params.actor), fresh(adam, params.critic)
        learned = params, copied(params), opt_state, ring.empty(env, self.replay_size)
        env_steps = counters.counter(self.warmup_env_steps)
        learner = Learner(*learned, env_steps, first_moments(self, env))
        return State(*begin(self, env, learner, (k_env, k_run)), key)

    def networks(self, env: VecEnv, key: Array) -> Networks:
        k_actor, k_critic = jax.random.split(key)
        spec = env.observation_space, env.action_space, self.hidden, self.activation
        return Networks(
            ActorNetwork(*spec, body=self.body, key=k_actor), Critic(*spec, body=self.body, key=k_critic)
        )

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do T env steps in N environments, then `replay_ratio` gradient steps for each of them."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Return μ(s) with exploration noise for observations [N, ...]; without noise μ(s) alone."""
        action = jnp.tanh(learner.params.actor(learner.obs_moments.normalise(seen.obs)))
        return Choice(action if noise is None else jnp.clip(action + self.noise * noise, -1, 1))

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return Q(s, μ(s)) of observations [N, ...]: [N]."""
        return learner.params.critic(learner.obs_moments.normalise(obs), self.act(learner, Seen(obs)).action)

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
        return self.learn(learner, key, lambda _, key: self.sample(learner, key))

    def learn(
        self, learner: Learner, key: Array, draw: Callable[[Networks, Array], Batch]
    ) -> tuple[Learner, dict[str, Array]]:
        """Take the gradient steps of an iteration, each on a batch that `draw` makes of μ⁻ and Q⁻, and a key.

        The critic learns from all of its rows, the policy from the first `batch_size`, which are real.
        """
        optimizer = partial(self.optimizer, env_steps=learner.env_steps)

        def gradient_step(carry, key):
            (actor, critic), target, (actor_state, critic_state) = carry
            batch = draw(target, key)
            grads, metrics = jax.grad(self.critic_loss, has_aux=True)(critic, target, batch)
            critic, critic_state = descend(optimizer(self.lr), critic, critic_state, grads)
            real = jax.tree.map(lambda x: x[: self.batch_size], batch)
            loss, grads = jax.value_and_grad(self.actor_loss)(actor, critic, real)
            actor, actor_state = descend(optimizer(self.actor_lr), actor, actor_state, grads)
            params = Networks(actor, critic)
            target = follow(target, params, self.tau)
            return (params, target, (actor_state, critic_state)), metrics | {"loss/policy": loss}

        carry = learner.params, learner.target, learner.opt_state
        steps = self.gradient_steps_per_iteration
        carry, metrics = jax.lax.scan(gradient_step, carry, jax.random.split(key, steps))
        env_steps = counters.add(learner.env_steps, self.env_steps_per_iteration)
        learner = Learner(*carry, learner.replay, env_steps, learner.obs_moments)
        return learner, jax.tree.map(jnp.mean, metrics)

    def critic_loss(self, critic: Critic, target: Networks, b: Batch) -> tuple[Array, dict[str, Array]]:
        """Return L(Q), to be minimised, over a batch. The target carries no gradient."""
        next_action = jnp.tanh(target.actor(b.next_obs))
        bootstrap = target.critic(b.next_obs, next_action)
        y = b.reward + b.discount * jnp.where(b.terminated, 0.0, bootstrap)
        q = critic(b.obs, b.action)
        loss = 0.5 * jnp.mean(b.weight * jnp.square(jax.lax.stop_gradient(y) - q))
        return loss, {"loss/q": loss, "q/mean": q.mean(), "q/max": jnp.abs(q).max()}

    def actor_loss(self, actor: ActorNetwork, critic: Critic, b: Batch) -> Array:
        """Return L(μ), to be minimised: the deterministic policy gradient (eq. 6). The critic stays as it is."""
        return -critic(b.obs, jnp.tanh(actor(b.obs))).mean()

    def sample(self, learner: Learner, key: Array) -> Batch:
        """Draw a batch, all transitions equally likely."""
        batch = ring.sample(learner.replay, key, self.batch_size, self.gamma, goals=self.hindsight)
        return ring.normalised(batch, learner.obs_moments)

    def optimizer(self, lr: Array | float, env_steps: Counter) -> optax.GradientTransformation:
        """Use Adam."""
        return optax.adam(decayed(self, lr, counters.real(env_steps)))
