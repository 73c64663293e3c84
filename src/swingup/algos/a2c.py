"""Advantage Actor-Critic, synchronous (Mnih, Badia, Mirza, Graves, Lillicrap, Harley, Silver & Kavukcuoglu 2016,
arXiv:1602.01783, which is A3C; the synchronous form is that of Wu, Mansimov, Liao, Grosse & Ba 2017's code).

Run the policy for a few env steps T in N environments, then take one gradient step on all of it:

    L(θ) = E[ log π(a|s) A - c1 (V(s) - target)² + c2 entropy ]        (section 4 and its supplement, algorithm S3)

with target = A + V_old(s). A is the longest n-step advantage that the rollout has: from s_t the rewards to its end,
then V. That is GAE with λ = 1, the default.

Differs from the paper in: N environments that wait for each other instead of asynchronous threads; a time limit
bootstraps from the true last observation; RMSprop's running mean starts at 1 as in TensorFlow 1, with which the
published results were made; gradients are clipped by their global norm as in the authors' code; options that the
paper lacks: λ < 1, Adam, `normalise_adv`, `normalise_obs`, `normalise_reward`.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.nets.actor_critic import ActorCritic
from swingup.nets.layers import Activation
from swingup.nets.observations import Body, first_statistics
from swingup.normalise import Moments, Off, RewardScale, statistics
from swingup.optimisers import clipped_by_norm, descend, fresh
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Among, Count, NonNegative, Positive, Unit, Widths
from swingup.returns import explained_variance, gae, k3, standardise
from swingup.rollout import collect, episode_stats, keys, start, successor_values
from swingup.schedules import decayed
from swingup.types import Choice, Rollout, Seen, State

OPTIMS = ("rmsprop", "adam")
Optim = Annotated[str, Among(OPTIMS)]


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
class A2C(Algorithm):
    num_envs: Count = 8  # N: environments run in parallel
    num_steps: Count = 5  # T: env steps per environment between updates; t_max of the paper
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lam: Unit = 1.0  # λ: of GAE, in [0, 1]; 1 is the paper's n-step advantage
    optim: Optim = "rmsprop"  # the update rule: rmsprop (with TensorFlow's place for ε) or adam
    lr: NonNegative = 7e-4  # learning rate; usually 1e-4 to 3e-3
    lr_decay: bool = False  # let the learning rate fall linearly to 0 at lr_horizon
    lr_horizon: NonNegative = 0.0  # env steps at which it is 0; a run that is longer decays to its own end
    c_value: NonNegative = 0.5  # c1: weight of the value loss
    c_entropy: NonNegative = 0.01  # c2: weight of the entropy bonus; 0 to 0.02 (β in the paper)
    max_grad_norm: Positive = 0.5  # gradients longer than this (global norm) are shortened to it
    normalise_adv: bool = False  # advantages with mean 0 and deviation 1 within the rollout
    normalise_obs: bool = False  # vectors of observations by running mean and variance, clipped to ±10
    normalise_reward: bool = False  # rewards by the running std of the discounted return, clipped to ±10
    hidden: Widths = (64, 64)  # widths of the hidden layers
    activation: Activation = "tanh"  # of the hidden layers: tanh, relu, silu or gelu
    log_std_init: float = 0.0  # continuous actions: initial log σ, in units of half the action range
    body: Body = "auto"  # what reads observations: cnn, mlp, or auto, which goes by their shape

    def init(self, env: VecEnv, key: Array) -> State:
        """Make networks, optimiser and environments at their beginnings."""
        k_net, k_env, key = jax.random.split(key, 3)
        spaces = env.observation_space, env.action_space
        how = self.hidden, self.activation, self.log_std_init
        params = ActorCritic(*spaces, *how, body=self.body, key=k_net)
        opt_state = fresh(self.optimizer(jnp.int32(0)), params)
        learner = Learner(params, opt_state, counters.counter(), *first_statistics(self, env))
        return State(learner, start(env, k_env), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do one iteration: run the policy T env steps in N environments, then take one gradient step."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose actions for observations [N, ...], with log π_old(a|s) [N]; without noise the policy's mode."""
        pi = learner.params.policy(learner.obs_moments.normalise(seen.obs), seen.legal)
        action = pi.mode() if noise is None else pi.from_noise(noise)
        return Choice(action, pi.log_prob(action))

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return V(s) of observations [N, ...]: [N]."""
        return learner.params.value(learner.obs_moments.normalise(obs))

    @jax.jit
    def update(
        self, learner: Learner, rollout: Rollout, key: Array | None = None
    ) -> tuple[Learner, dict[str, Array]]:
        """Take one gradient step on one rollout [T, N]. Nothing is drawn."""
        data = self.advantages(learner, rollout)
        grads, metrics = jax.grad(self.loss, has_aux=True)(learner.params, data)
        optimizer = self.optimizer(counters.real(learner.iteration))
        params, opt_state = descend(optimizer, learner.params, learner.opt_state, grads)
        metrics |= self.diagnostics(params, data)
        running = statistics(learner, rollout, self.gamma)
        return Learner(params, opt_state, counters.add(learner.iteration, 1), *running), metrics

    def loss(self, params: ActorCritic, b: Batch) -> tuple[Array, dict[str, Array]]:
        """Return what is minimised, -(L_policy - c1 L_value + c2 entropy), over the whole rollout."""
        pi, value = params(b.obs, b.legal)
        adv = standardise(b.adv) if self.normalise_adv else b.adv
        l_policy = (pi.log_prob(b.action) * adv).mean()
        l_value = jnp.square(value - b.target).mean()
        entropy = pi.entropy().mean()
        loss = -(l_policy - self.c_value * l_value + self.c_entropy * entropy)
        return loss, {"loss/policy": -l_policy, "loss/value": l_value}

    def advantages(self, learner: Learner, rollout: Rollout) -> Batch:
        """Compute advantages and value targets; a truncated episode bootstraps from its true last observation."""
        step, obs = rollout.step, learner.obs_moments.normalise(rollout.obs)
        reward = learner.reward_scale.scale(step.reward)
        value = learner.params.value(obs)
        next_value = successor_values(partial(self.value, learner), value, rollout)
        adv = gae(reward, value, next_value, step.terminated, step.done, self.gamma, self.lam)
        return Batch(obs, rollout.action, rollout.extras, adv, adv + value, value, rollout.legal)

    def diagnostics(self, params: ActorCritic, b: Batch) -> dict[str, Array]:
        """Measure how far the update moved the policy, *after* it; before it the answer would be 0 every time.

        It looks at every fourth env step of the rollout, because it takes one more pass through the network.
        """
        some = jax.tree.map(lambda x: x[::4], b)
        pi = params.policy(some.obs, some.legal)
        return {
            "entropy": pi.entropy().mean(),
            "kl": k3(jnp.exp(pi.log_prob(some.action) - some.logp_old)),
            "explained_variance": explained_variance(b.value_old, b.target),
        }

    def optimizer(self, iteration: Array) -> optax.GradientTransformation:
        """Use RMSprop, g / sqrt(mean of g² + 1e-5), or Adam, on gradients clipped by their global norm."""
        lr = decayed(self, self.lr, iteration * self.env_steps_per_iteration)
        if self.optim == "adam":
            rule = optax.adam(lr, eps=1e-5)
        else:
            rule = optax.rmsprop(lr, decay=0.99, eps=1e-5, initial_scale=1.0, eps_in_sqrt=True)
        return clipped_by_norm(self.max_grad_norm, rule)
