"""Deep Q-learning (Mnih et al. 2015, doi:10.1038/nature14236, algorithm 1; the lecture's Algorithm 2).

Act ε-greedily, keep the last transitions in a replay memory, and per gradient step draw a batch from it to reduce

    L(θ) = E[ huber(y - Q_θ(s, a)) ],      y = r + γ (1 - terminated) max_a' Q_θ⁻(s', a')

where θ⁻, the target network, is a copy of θ that is renewed once per `target_period` gradient steps. Options, each
off by default: `double` (van Hasselt et al. 2016: θ chooses a', θ⁻ judges it), `dueling` (Wang et al. 2016), `n_step`
(n rewards, then the bootstrap), `prioritised` (Schaul et al. 2016), `noisy` (Fortunato et al. 2018).

Differs from the paper in: a time limit bootstraps from the true last observation; Adam instead of RMSprop;
gradients are clipped by their global norm, and the Huber loss does what the paper's clipping of the error
does; how many gradient steps follow an env step is set by `replay_ratio` (0.25 in the paper), whatever
`num_envs` is; the random actions are taken before the first iteration.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.distributions import masked
from swingup.nets.layers import Activation
from swingup.nets.noisy import perturb, with_noise
from swingup.nets.observations import Body
from swingup.nets.value_networks import QNetwork
from swingup.optimisers import clipped_by_norm, copied, descend, follow, fresh
from swingup.protocols import Replaying, VecEnv, hyperparameters
from swingup.ranges import Count, Fraction, NonNegative, Positive, Ratio, Unit, Whole, Widths
from swingup.replay import capacity, priorities, ring
from swingup.replay.priorities import Priorities, Uniform
from swingup.replay.ring import Batch, Ring
from swingup.returns import huber
from swingup.rollout import begin, collect, episode_stats, keys
from swingup.schedules import decayed, epsilon, explore
from swingup.types import Choice, Rollout, Seen, State, without


class Learner(NamedTuple):
    params: QNetwork  # θ
    target: QNetwork  # θ⁻
    opt_state: optax.OptState
    replay: Ring
    priorities: Priorities | Uniform  # `Uniform` unless prioritised
    env_steps: Counter  # done so far, the random ones included
    gradient_steps: Array  # done so far, in whole target periods from 2^30 on
    noise_key: Array | None  # of the noise in the weights that act; None unless noisy


@hyperparameters
class DQN(Replaying):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 4  # T: env steps per environment between updates
    replay_ratio: Ratio = 0.25  # gradient steps per env step; times N T it must be a whole number
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lr: NonNegative = 2.5e-4  # learning rate of Adam
    lr_decay: bool = False  # let the learning rate fall linearly to 0 at lr_horizon
    lr_horizon: NonNegative = 0.0  # env steps at which it is 0; a run that is longer decays to its own end
    batch_size: Count = 32  # transitions per gradient step
    replay_size: Count = 100_000  # transitions kept, over all environments
    warmup: Whole = 1_000  # env steps with random actions before the first update
    warmup_hold: Count = 1  # env steps for which each of these is held
    epsilon_start: Unit = 1.0  # ε: probability of a random action at the beginning
    epsilon_end: Unit = 0.05  # and at the end of its linear decay
    epsilon_decay: Positive = 10_000.0  # env steps that the decay takes
    target_period: Count = 500  # gradient steps between renewals of the target network
    tau: Fraction = 1.0  # τ: how far a renewal moves it towards θ; 1 copies, 0.005 with period 1 is Polyak's
    double: bool = False  # the online network chooses the action that the target network judges
    dueling: bool = False  # Q = V + A - mean(A)
    noisy: bool = False  # noise in the weights, whose size is learnt, explores beside ε
    n_step: Count = 1  # n: rewards before the bootstrap
    prioritised: bool = False  # draw transitions in proportion to |TD error|^alpha
    alpha: NonNegative = 0.6  # α: of the priorities; 0 is uniform
    beta: Unit = 0.5  # β: of the importance weights; 1 corrects the bias in full
    hindsight: Whole = 0  # k: goals of hindsight for each that was meant, if observations have goals; 0: none
    max_grad_norm: Positive = 10.0  # gradients longer than this (global norm) are shortened to it
    adam_eps: Positive = 1e-8  # ε of Adam; 1.5e-4 for Atari
    hidden: Widths = (64, 64)  # widths of the hidden layers
    activation: Activation = "relu"  # of the hidden layers: tanh, relu, silu or gelu
    body: Body = "auto"  # what reads observations: cnn, mlp, or auto, which goes by their shape

    def __post_init__(self):
        capacity.check_settings(self)

    def init(self, env: VecEnv, key: Array) -> State:
        """Make networks, and a replay memory with the transitions of random actions."""
        k_net, k_env, k_run, key = jax.random.split(key, 4)
        key, noise_key = jax.random.split(key) if self.noisy else (key, None)
        params = self.network(env, k_net)
        learned = params, copied(params), fresh(self.optimizer(jnp.int32(0)), params)
        counts = counters.counter(self.warmup_env_steps), jnp.int32(0)
        learner = Learner(*learned, *priorities.start(self, env), *counts, noise_key)
        return State(*begin(self, env, learner, (k_env, k_run)), key)

    def network(self, env: VecEnv, key: Array) -> QNetwork:
        spaces = env.observation_space, env.action_space
        options = {"dueling": self.dueling, "noisy": self.noisy, "body": self.body}
        return QNetwork(*spaces, self.hidden, self.activation, **options, key=key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do T env steps in N environments, then `replay_ratio` gradient steps for each of them."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose ε-greedy actions for observations [N, ...]; without noise the greedy ones."""
        params = with_noise(learner.params, learner.noise_key, noise)
        return Choice(explore(self, self.q_values(params, seen.obs), learner.env_steps, noise, seen.legal))

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return max_a Q(s, a) of observations [N, ...]: [N]."""
        return self.q_values(learner.params, obs).max(-1)

    def acting(self, learner: Learner) -> Learner:
        """Return all that `act` reads, without the replay and what learns."""
        return without(learner, "target", "opt_state", "replay", "priorities")

    def remember(self, learner: Learner, rollout: Rollout) -> Learner:
        """Keep a rollout [T, N] in the replay memory, where new transitions have the highest priority."""
        replay = ring.add(learner.replay, rollout)
        weighting = learner.priorities.admit(replay, len(rollout.step.reward))
        return learner._replace(replay=replay, priorities=weighting)

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Keep the rollout [T, N]; then gradient steps, each on a batch drawn anew."""
        key, noise_key = jax.random.split(key) if self.noisy else (key, None)
        learner = self.remember(learner, rollout)
        replay, optimizer = learner.replay, self.optimizer(counters.real(learner.env_steps))

        def gradient_step(carry, key):
            params, target, opt_state, weighting, count = carry
            k_batch, k_noise = jax.random.split(key) if self.noisy else (key, None)
            batch = weighting.sample(replay, k_batch, self)
            grads, (td, metrics) = jax.grad(self.loss, has_aux=True)(params, target, batch, k_noise)
            params, opt_state = descend(optimizer, params, opt_state, grads)
            weighting = weighting.learn(batch.index, td, self.alpha)
            count = counters.around(count + 1, self.target_period)
            target = follow(target, params, jnp.where(count % self.target_period == 0, self.tau, 0.0))
            return (params, target, opt_state, weighting, count), metrics

        carry = learner.params, learner.target, learner.opt_state, learner.priorities, learner.gradient_steps
        steps = self.gradient_steps_per_iteration
        carry, metrics = jax.lax.scan(gradient_step, carry, jax.random.split(key, steps))
        params, target, opt_state, weighting, count = carry
        env_steps = counters.add(learner.env_steps, self.env_steps_per_iteration)
        learner = Learner(params, target, opt_state, replay, weighting, env_steps, count, noise_key)
        return learner, jax.tree.map(jnp.mean, metrics) | {"epsilon": epsilon(self, env_steps)}

    def loss(
        self, params: QNetwork, target: QNetwork, b: Batch, key: Array | None = None
    ) -> tuple[Array, tuple[Array, dict]]:
        """Return L(θ), to be minimised, over a batch. The target carries no gradient; `key` draws noisy weights."""
        params, target = perturb((params, target), key)
        q = jnp.take_along_axis(params(b.obs), b.action[:, None], -1)[:, 0]
        next_q = target(b.next_obs)
        chosen = jnp.argmax(masked(params(b.next_obs) if self.double else next_q, b.next_legal), -1)
        bootstrap = jnp.take_along_axis(next_q, chosen[:, None], -1)[:, 0]
        y = b.reward + b.discount * jnp.where(b.terminated, 0.0, bootstrap)
        td = jax.lax.stop_gradient(y) - q
        loss = jnp.mean(b.weight * huber(td))
        return loss, (td, {"loss/q": loss, "q/mean": q.mean(), "q/max": jnp.abs(q).max()})

    def q_values(self, params: QNetwork, obs: Any) -> Array:
        """Return Q(s, ·): [..., A]."""
        return params(obs)

    def optimizer(self, env_steps: Array) -> optax.GradientTransformation:
        """Use Adam on gradients clipped by their global norm."""
        lr = decayed(self, self.lr, env_steps)
        return clipped_by_norm(self.max_grad_norm, optax.adam(lr, eps=self.adam_eps))
