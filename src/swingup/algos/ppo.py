"""Proximal Policy Optimisation (Schulman, Wolski, Dhariwal, Radford & Klimov 2017, arXiv:1707.06347).

Run the policy for T env steps in N environments, estimate advantages by GAE (eq. 11 and 12), then take
several epochs of minibatch gradient steps on

    L(θ) = E[ min(ratio A, clip(ratio, 1-ε, 1+ε) A) - c1 (V(s) - target)² + c2 entropy ]      (eq. 7 and 9)

with ratio = π(a|s) / π_old(a|s) and target = A + V_old(s). As in the paper's own code, the advantages are
normalised (here per minibatch), gradients are clipped by their global norm, weights start orthogonal.

Differs from the paper in: a time limit bootstraps from the true last observation instead of ending the sum
with zero; the squared error of V has no factor 1/2, so c1 = 0.5 here is 1 in code that has it; options that
the paper lacks and that are off by default: `clip_value`, `target_kl`, `normalise_obs`, `normalise_reward`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.nets.actor_critic import ActorCritic
from swingup.nets.layers import Activation
from swingup.nets.observations import Body, check_body, first_statistics
from swingup.nets.sequences import Reader
from swingup.normalise import Moments, Off, RewardScale, statistics
from swingup.optimisers import clipped_by_norm, descend, fresh
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Count, NonNegative, Positive, Unit, Widths, check_divides
from swingup.returns import explained_variance, gae, k3, standardise
from swingup.rollout import collect, episode_stats, keys, minibatches, start, successor_values
from swingup.schedules import decayed
from swingup.types import Choice, Rollout, Seen, State


class Learner(NamedTuple):
    params: ActorCritic
    opt_state: optax.OptState
    iteration: Counter  # updates done so far
    obs_moments: Moments | Off  # `Off` unless normalise_obs and observations are vectors
    reward_scale: RewardScale | Off  # `Off` unless normalise_reward


class Batch(NamedTuple):
    obs: Any
    action: Array
    logp_old: Array
    adv: Array
    target: Array
    value_old: Array
    legal: Array | None = None  # None: all actions


@hyperparameters
class PPO(Algorithm):
    num_envs: Count = 4  # N: environments run in parallel
    num_steps: Count = 128  # T: env steps per environment between updates
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lam: Unit = 0.95  # λ: of GAE, in [0, 1]; lower is less variance and more bias
    clip: Positive = 0.2  # ε: how far the probability ratio may move from 1; usually 0.1 to 0.3
    epochs: Count = 4  # K: passes over each rollout
    num_minibatches: Count = 4  # parts that a rollout is cut in; one gradient step each; divides N T
    lr: NonNegative = 2.5e-4  # learning rate of Adam
    lr_decay: bool = False  # let the learning rate fall linearly to 0 at lr_horizon
    lr_horizon: NonNegative = 0.0  # env steps at which it is 0; a run that is longer decays to its own end
    c_value: NonNegative = 0.5  # c1: weight of the value loss
    c_entropy: NonNegative = 0.01  # c2: weight of the entropy bonus; 0 to 0.02
    max_grad_norm: Positive = 0.5  # gradients longer than this (global norm) are shortened to it
    clip_value: bool = False  # keep V within ε of its old value too, as the paper's code did
    target_kl: Positive | None = None  # stop an update once KL(old||new) exceeds 1.5 times this; e.g. 0.01
    normalise_obs: bool = False  # vectors of observations by running mean and variance, clipped to ±10
    normalise_reward: bool = False  # rewards by the running std of the discounted return, clipped to ±10
    hidden: Widths = (64, 64)  # widths of the hidden layers
    activation: Activation = "tanh"  # of the hidden layers: tanh, relu, silu or gelu
    log_std_init: float = 0.0  # continuous actions: initial log σ, in units of half the action range
    body: Body = "auto"  # what reads observations: cnn, mlp, or auto, which goes by their shape
    memory: Reader = "none"  # what reads a window of observations [K, d]: none (flattened), lstm, attention

    def __post_init__(self):
        check_body(self.body, self.memory)
        check_divides("num_minibatches", self.num_minibatches, self.num_envs, self.num_steps)

    def init(self, env: VecEnv, key: Array) -> State:
        """Make networks, optimiser and environments at their beginnings."""
        k_net, k_env, key = jax.random.split(key, 3)
        spaces = env.observation_space, env.action_space
        how = self.hidden, self.activation, self.log_std_init
        params = ActorCritic(*spaces, *how, memory=self.memory, body=self.body, key=k_net)
        opt_state = fresh(self.optimizer(jnp.int32(0)), params)
        learner = Learner(params, opt_state, counters.counter(), *first_statistics(self, env))
        return State(learner, start(env, k_env), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do one iteration of Algorithm 1: run the policy T env steps in N environments, then optimise."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose actions for observations [N, ...], with π_old, which they come from; without noise its mode."""
        pi = learner.params.policy(learner.obs_moments.normalise(seen.obs), seen.legal)
        return Choice(pi.mode() if noise is None else pi.from_noise(noise), pi)

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return V(s) of observations [N, ...]: [N]."""
        return learner.params.value(learner.obs_moments.normalise(obs))

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Take K epochs of minibatch gradient steps on one rollout [T, N]."""
        data = self.advantages(learner, rollout)
        optimizer = self.optimizer(counters.real(learner.iteration))
        every, look_up = minibatches(data, self.num_minibatches, jax.random.split(key, self.epochs))

        def gradient_step(carry, samples):
            (params, opt_state), going = carry
            grads, metrics = jax.grad(self.loss, has_aux=True)(params, look_up(samples))
            new = descend(optimizer, params, opt_state, grads)
            if self.target_kl is not None:
                going &= metrics["kl"] <= 1.5 * self.target_kl
                new = jax.tree.map(partial(jnp.where, going), new, (params, opt_state))
            return (new, going), metrics

        carry = (learner.params, learner.opt_state), jnp.bool_(True)
        carry, metrics = jax.lax.scan(gradient_step, carry, every)
        (params, opt_state), _ = carry
        metrics = jax.tree.map(jnp.mean, metrics) | self.diagnostics(params, data)
        running = statistics(learner, rollout, self.gamma)
        return Learner(params, opt_state, counters.add(learner.iteration, 1), *running), metrics

    def loss(self, params: ActorCritic, b: Batch) -> tuple[Array, dict[str, Array]]:
        """Return equation 9 as it is minimised: -(L_clip - c1 L_value + c2 entropy), over a minibatch."""
        pi, value = params(b.obs, b.legal)
        adv = standardise(b.adv)  # over this minibatch
        ratio = jnp.exp(pi.log_prob(b.action) - b.logp_old)
        clipped = jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
        l_clip = jnp.minimum(ratio * adv, clipped * adv).mean()  # eq. 7
        l_value = jnp.square(value - b.target)
        if self.clip_value:
            near = b.value_old + jnp.clip(value - b.value_old, -self.clip, self.clip)
            l_value = jnp.maximum(l_value, jnp.square(near - b.target))
        l_value, entropy = l_value.mean(), pi.entropy().mean()
        loss = -(l_clip - self.c_value * l_value + self.c_entropy * entropy)
        return loss, {"loss/policy": -l_clip, "loss/value": l_value, "entropy": entropy, "kl": k3(ratio)}

    def advantages(self, learner: Learner, rollout: Rollout) -> Batch:
        """Compute advantages and value targets; a truncated episode bootstraps from its true last observation."""
        step, obs = rollout.step, learner.obs_moments.normalise(rollout.obs)
        reward = learner.reward_scale.scale(step.reward)
        value = learner.params.value(obs)
        next_value = successor_values(partial(self.value, learner), value, rollout)
        adv = gae(reward, value, next_value, step.terminated, step.done, self.gamma, self.lam)
        logp_old = jax.vmap(lambda pi_old, action: pi_old.log_prob(action))(rollout.extras, rollout.action)
        return Batch(obs, rollout.action, logp_old, adv, adv + value, value, rollout.legal)

    def diagnostics(self, params: ActorCritic, b: Batch) -> dict[str, Array]:
        """Measure how far the whole update moved the policy, after the last gradient step, and how well V predicted.

        For the first it looks at every fourth env step of the rollout: it takes one more pass through the network.
        """
        some = jax.tree.map(lambda x: x[::4], b)
        ratio = jnp.exp(params.policy(some.obs, some.legal).log_prob(some.action) - some.logp_old)
        return {
            "kl": k3(ratio),
            "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > self.clip),
            "explained_variance": explained_variance(b.value_old, b.target),
        }

    def optimizer(self, iteration: Array) -> optax.GradientTransformation:
        """Use Adam (eps 1e-5 as in the paper's code) on gradients clipped by their global norm."""
        lr = decayed(self, self.lr, iteration * self.env_steps_per_iteration)
        return clipped_by_norm(self.max_grad_norm, optax.adam(lr, eps=1e-5))
