"""Twin delayed DDPG, TD3 (Fujimoto, van Hoof & Meger 2018, arXiv:1802.09477, algorithm 1).

DDPG with three remedies for a critic that overestimates:

    L(Q_i) = E[ (y - Q_i(s, a))² ] / 2,      y = r + γ (1 - terminated) min_i Q_i⁻(s', ã)      (two critics)
    ã = clip(μ⁻(s') + clip(ε, -c, c), -1, 1),  ε ~ N(0, σ̃²)                                      (smoothing)
    L(μ) = -E[ Q_1(s, μ(s)) ],  and all target networks move, once per d critic steps           (delay)

The delay is counted in gradient steps of the critics, on across iterations. With `num_steps` 1 there is one env step
and one gradient step per iteration, as in the paper; the default of 2 is faster, because an iteration whose gradient
steps are a multiple of d computes the actor's gradient only where it is used.

Differs from the paper in: a time limit bootstraps from the true last observation; how many gradient steps follow an env
step is set by `replay_ratio`, whatever `num_envs` is; widths 256 and 256, batches of 256 and Adam with 3e-4, as in the
authors' later code, instead of 400 and 300, 100 and 1e-3; 10,000 random env steps on every task, before the first
iteration, where the paper has 1,000 on some. Actions, and so σ, σ̃ and c, are in normalised units: [-1, 1] spans the
environment's bounds.
"""

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
from swingup.nets.value_networks import ActorNetwork, Critic, each, smaller, twins
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
    critic: Critic  # Q_1 and Q_2, stacked


class Learner(NamedTuple):
    params: Networks
    target: Networks  # μ⁻ and Q⁻
    opt_state: tuple[optax.OptState, optax.OptState]
    replay: Ring
    env_steps: Counter  # done so far, the random ones included
    phase: Array  # gradient steps of the critics since the actor's last one
    obs_moments: Moments | Off  # `Off` unless normalise_obs and observations are vectors


@hyperparameters
class TD3(Replaying):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 2  # T: env steps per environment between updates
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
    tau: Fraction = 0.005  # τ: how far the target networks follow per step of the actor
    noise: NonNegative = 0.1  # σ: of the exploration noise, in units of half the action range
    delay: Count = 2  # d: gradient steps of the critics for each of the actor and the target networks
    smoothing: NonNegative = 0.2  # σ̃: of the noise on the target's action, in units of half the action range
    smoothing_clip: NonNegative = 0.5  # c: and where it is clipped
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
        learner = Learner(*learned, env_steps, jnp.int32(0), first_moments(self, env))
        return State(*begin(self, env, learner, (k_env, k_run)), key)

    def networks(self, env: VecEnv, key: Array) -> Networks:
        k_actor, k_critic = jax.random.split(key)
        spec = env.observation_space, env.action_space, self.hidden, self.activation
        actor = ActorNetwork(*spec, body=self.body, key=k_actor)
        return Networks(actor, twins(lambda k: Critic(*spec, body=self.body, key=k), k_critic))

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
        """Return min_i Q_i(s, a) of observations [N, ...] and the greedy actions there: [N]."""
        greedy = self.act(learner, Seen(obs)).action
        return smaller(each(learner.params.critic, learner.obs_moments.normalise(obs), greedy))

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
        steps = self.gradient_steps_per_iteration
        learn = self.one_by_one if steps % self.delay else self.in_blocks
        (params, target, opt_state), metrics = learn(learner, key)
        env_steps = counters.add(learner.env_steps, self.env_steps_per_iteration)
        phase, learned = (learner.phase + steps) % self.delay, (params, target, opt_state, learner.replay)
        return Learner(*learned, env_steps, phase, learner.obs_moments), jax.tree.map(jnp.mean, metrics)

    def in_blocks(self, learner: Learner, key: Array) -> tuple[tuple, dict[str, Array]]:
        """Take gradient steps that the delay divides: d of the critics, then one of the actor, and again."""

        def block(carry, keys):
            carry, (batches, metrics) = jax.lax.scan(partial(self.critic_step, learner), carry, keys)
            carry, loss = self.actor_step(learner, carry, jax.tree.map(lambda x: x[-1], batches))
            return carry, metrics | loss

        carry = learner.params, learner.target, learner.opt_state
        blocks = self.gradient_steps_per_iteration // self.delay, self.delay
        return jax.lax.scan(block, carry, jax.random.split(key, blocks))

    def one_by_one(self, learner: Learner, key: Array) -> tuple[tuple, dict[str, Array]]:
        """Take any number of gradient steps: on the critics, and on the actor if it is due."""

        def gradient_step(carry, now):
            key, due = now
            carry, (batch, metrics) = self.critic_step(learner, carry, key)
            moved, loss = self.actor_step(learner, carry, batch)
            # Not a `cond`: with seeds side by side it takes both branches, and copies what it chooses from.
            return jax.tree.map(partial(jnp.where, due), moved, carry), metrics | loss

        carry, steps = (learner.params, learner.target, learner.opt_state), self.gradient_steps_per_iteration
        due = (learner.phase + jnp.arange(1, steps + 1)) % self.delay == 0
        return jax.lax.scan(gradient_step, carry, (jax.random.split(key, steps), due))

    def critic_step(self, learner: Learner, carry: tuple, key: Array) -> tuple[tuple, tuple[Batch, dict]]:
        """Take one gradient step on L(Q_1) + L(Q_2), on a batch drawn anew, which is returned too."""
        (actor, critic), target, (actor_state, critic_state) = carry
        k_batch, k_smooth = jax.random.split(key)
        batch = self.sample(learner, k_batch)
        grads, metrics = jax.grad(self.critic_loss, has_aux=True)(critic, target, batch, k_smooth)
        critic, critic_state = descend(
            self.optimizer(self.lr, learner.env_steps), critic, critic_state, grads
        )
        return (Networks(actor, critic), target, (actor_state, critic_state)), (batch, metrics)

    def actor_step(self, learner: Learner, carry: tuple, batch: Batch) -> tuple[tuple, dict[str, Array]]:
        """Take one gradient step on L(μ); the target networks follow."""
        (actor, critic), target, (actor_state, critic_state) = carry
        loss, grads = jax.value_and_grad(self.actor_loss)(actor, critic, batch)
        actor, actor_state = descend(
            self.optimizer(self.actor_lr, learner.env_steps), actor, actor_state, grads
        )
        params = Networks(actor, critic)
        target = follow(target, params, self.tau)
        return (params, target, (actor_state, critic_state)), {"loss/policy": loss}

    def critic_loss(
        self, critic: Critic, target: Networks, b: Batch, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Return L(Q_1) + L(Q_2), to be minimised, over a batch. The target carries no gradient."""
        next_action = jnp.tanh(target.actor(b.next_obs))
        epsilon = self.smoothing * jax.random.normal(key, next_action.shape)
        epsilon = jnp.clip(epsilon, -self.smoothing_clip, self.smoothing_clip)
        bootstrap = smaller(each(target.critic, b.next_obs, jnp.clip(next_action + epsilon, -1, 1)))
        y = b.reward + b.discount * jnp.where(b.terminated, 0.0, bootstrap)
        q = each(critic, b.obs, b.action)
        loss = 0.5 * jnp.mean(b.weight * jnp.square(jax.lax.stop_gradient(y) - q).sum(0))
        return loss, {"loss/q": loss, "q/mean": q.mean(), "q/max": jnp.abs(q).max()}

    def actor_loss(self, actor: ActorNetwork, critic: Critic, b: Batch) -> Array:
        """Return L(μ), to be minimised: through Q_1 alone. The critics stay as they are."""
        first = jax.tree.map(lambda x: x[0], critic)
        return -first(b.obs, jnp.tanh(actor(b.obs))).mean()

    def sample(self, learner: Learner, key: Array) -> Batch:
        """Draw a batch, all transitions equally likely."""
        batch = ring.sample(learner.replay, key, self.batch_size, self.gamma, goals=self.hindsight)
        return ring.normalised(batch, learner.obs_moments)

    def optimizer(self, lr: Array | float, env_steps: Counter) -> optax.GradientTransformation:
        """Use Adam."""
        return optax.adam(decayed(self, lr, counters.real(env_steps)))
