"""Twin delayed DDPG, TD3 (Fujimoto, van Hoof & Meger 2018, arXiv:1802.09477, algorithm 1).

DDPG with three remedies for a critic that overestimates:

    L(Q_i) = E[ (y - Q_i(s, a))² ] / 2,      y = r + γ (1 - terminated) min_i Q_i⁻(s', ã)      (two critics)
    ã = clip(μ⁻(s') + clip(ε, -c, c), -1, 1),  ε ~ N(0, σ̃²)                                      (smoothing)
    L(μ) = -E[ Q_1(s, μ(s)) ],  and all target networks move, once per d critic steps           (delay)

The delay is counted in gradient steps of the critics. Differs from the paper in: a time limit bootstraps from the
true last observation; how many gradient steps follow an env step is set by `replay_ratio`, whatever `num_envs` is,
and those of an iteration must be a multiple of d, hence T = 2; widths 256 and 256 instead of 400 and 300. Actions,
and so σ, σ̃ and c, are in normalised units: [-1, 1] spans the environment's bounds.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup import replay
from swingup.critics import Actor, Critic, each, twins
from swingup.errors import ConfigError
from swingup.ranges import Count, Fraction, NonNegative, Ratio, Unit, Whole, Widths
from swingup.replay import Batch, Memory
from swingup.rollout import begin, collect, episode_stats
from swingup.types import Rollout, State, VecEnv, hyperparameters


class Networks(NamedTuple):
    actor: Actor  # μ
    critic: Critic  # Q_1 and Q_2, stacked


class Learner(NamedTuple):
    params: Networks
    target: Networks  # μ⁻ and Q⁻
    opt_state: tuple[optax.OptState, optax.OptState]
    replay: Memory


@hyperparameters
class TD3:
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 2  # T: env steps per environment between updates
    replay_ratio: Ratio = 1.0  # gradient steps per env step; times N T it must be a whole number
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lr: NonNegative = 3e-4  # learning rate of Adam for the critics
    actor_lr: NonNegative = 3e-4  # and for the actor
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
    hidden: Widths = (256, 256)  # widths of the hidden layers
    activation: str = "relu"  # of the hidden layers: tanh, relu, silu or gelu

    def __post_init__(self):
        replay.check(self)
        steps = round(self.replay_ratio * self.env_steps_per_iteration)
        if steps % self.delay:
            raise ConfigError(
                f"delay={self.delay} must divide the {steps} gradient steps of an iteration: set num_steps to "
                f"a multiple of it"
            )

    @property
    def env_steps_per_iteration(self) -> int:
        return self.num_envs * self.num_steps

    @property
    def warmup_env_steps(self) -> int:
        """Those that `init` takes: `warmup`, rounded up to whole rows of environments."""
        return max(1, -(-self.warmup // self.num_envs)) * self.num_envs

    def init(self, env: VecEnv, key: Array) -> State:
        """Networks, and a replay memory with the transitions of random actions."""
        k_net, k_env, k_run, key = jax.random.split(key, 4)
        params = self.networks(env, k_net)
        memory = replay.memory(env, self.replay_size)
        target = jax.tree.map(jnp.copy, params)
        learner = Learner(params, target, self.opt_state(params), memory)
        learner, actor = begin(self, env, learner, (k_env, k_run))
        return State(learner, actor, key)

    def networks(self, env: VecEnv, key: Array) -> Networks:
        k_actor, k_critic = jax.random.split(key)
        spec: Any = env.observation_space, env.action_space, self.hidden, self.activation
        return Networks(Actor(*spec, key=k_actor), twins(lambda k: Critic(*spec, key=k), k_critic))

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """T env steps in N environments, then `replay_ratio` gradient steps for each of them."""
        key, k_run, k_learn = jax.random.split(state.key, 3)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, obs: Any, noise: Array | None = None) -> tuple[Array, tuple]:
        """μ(s) with exploration noise for observations [N, ...]; without noise μ(s) alone."""
        action = jnp.tanh(learner.params.actor(obs))
        return action if noise is None else jnp.clip(action + self.noise * noise, -1, 1), ()

    def remember(self, learner: Learner, rollout: Rollout) -> Learner:
        """Keep a rollout [T, N] in the replay memory."""
        return learner._replace(replay=replay.add(learner.replay, rollout))

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Keep the rollout [T, N]; then gradient steps, each on a batch drawn anew."""
        learner = self.remember(learner, rollout)
        memory = learner.replay

        def critic_step(carry, key):
            critic, critic_state, target = carry
            k_batch, k_smooth = jax.random.split(key)
            batch = replay.sample(memory, k_batch, self.batch_size, self.gamma, goals=self.hindsight)
            grads, metrics = jax.grad(self.critic_loss, has_aux=True)(critic, target, batch, k_smooth)
            updates, critic_state = self.optimizer(self.lr).update(grads, critic_state)
            return (optax.apply_updates(critic, updates), critic_state, target), (batch, metrics)

        def gradient_steps(carry, keys):
            (actor, critic), target, (actor_state, critic_state) = carry
            critics = critic, critic_state, target
            (critic, critic_state, _), (batches, metrics) = jax.lax.scan(critic_step, critics, keys)
            batch = jax.tree.map(lambda x: x[-1], batches)
            loss, grads = jax.value_and_grad(self.actor_loss)(actor, critic, batch)
            updates, actor_state = self.optimizer(self.actor_lr).update(grads, actor_state)
            actor: Any = optax.apply_updates(actor, updates)
            params = Networks(actor, critic)
            target: Any = optax.incremental_update(params, target, self.tau)  # pyright: ignore[reportArgumentType]
            return (params, target, (actor_state, critic_state)), metrics | {"loss/policy": loss}

        carry = learner.params, learner.target, learner.opt_state
        steps = round(self.replay_ratio * self.env_steps_per_iteration)
        keys = jax.random.split(key, (steps // self.delay, self.delay))
        carry, metrics = jax.lax.scan(gradient_steps, carry, keys)
        return Learner(*carry, memory), jax.tree.map(jnp.mean, metrics)

    def critic_loss(
        self, critic: Critic, target: Networks, b: Batch, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        """L(Q_1) + L(Q_2), to be minimised, over a batch. The target carries no gradient."""
        next_action = jnp.tanh(target.actor(b.next_obs))
        epsilon = self.smoothing * jax.random.normal(key, next_action.shape)
        epsilon = jnp.clip(epsilon, -self.smoothing_clip, self.smoothing_clip)
        bootstrap = each(target.critic, b.next_obs, jnp.clip(next_action + epsilon, -1, 1)).min(0)
        y = b.reward + b.discount * jnp.where(b.terminated, 0.0, bootstrap)
        q = each(critic, b.obs, b.action)
        loss = 0.5 * jnp.mean(b.weight * jnp.square(jax.lax.stop_gradient(y) - q).sum(0))
        return loss, {"loss/q": loss, "q/mean": q.mean(), "q/max": jnp.abs(q).max()}

    def actor_loss(self, actor: Actor, critic: Critic, b: Batch) -> Array:
        """L(μ), to be minimised: through Q_1 alone. The critics stay as they are."""
        first = jax.tree.map(lambda x: x[0], critic)
        return -first(b.obs, jnp.tanh(actor(b.obs))).mean()

    def optimizer(self, lr: Any) -> optax.GradientTransformation:
        return optax.adam(lr)

    def opt_state(self, params: Any) -> tuple[optax.OptState, optax.OptState]:
        return self.optimizer(self.actor_lr).init(params.actor), self.optimizer(self.lr).init(params.critic)
