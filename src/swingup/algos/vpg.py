"""Vanilla Policy Gradient (Sutton, McAllester, Singh & Mansour 2000; Williams 1992 without the critic).

Run the policy for T env steps in N environments, then take one gradient step up the estimate

    ∇J(θ) = E[ Σ_t ∇ log π(a_t|s_t) Ψ_t ]                              (Algorithm 1 of Spinning Up's lecture)

and fit V by several gradient steps on (V(s_t) - G_t)², with the discounted reward-to-go G_t. `weight` picks Ψ_t.
All choices but those with V in them have the same mean; they differ in variance:

    full_return            R(τ), the return of the whole episode: also of what came before a_t
    reward_to_go           G_t, the return from t on
    reward_to_go_baseline  G_t - V(s_t)
    q                      r_t + γ V(s'_t), an estimate of Q(s_t, a_t); no second network is learned for it
    n_step                 n rewards, then V, minus V(s_t)
    gae                    the exponential average of those (Schulman et al. 2016, eq. 16)

Where the data end before the episode does, and at a time limit, V(s') stands for the rest in every one of them.

Differs from the papers in: the factor γ^t that the discounted objective has is left out, as everybody does;
episodes go on from rollout to rollout, so R(τ) is the return of the part that lies in this one; weights are
standardised over the rollout unless `normalise_adv` is off. For images policy and V share a convolutional body,
which the policy's gradient alone moves.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.nets.actor_critic import MLP, ActorCritic
from swingup.nets.layers import Activation
from swingup.nets.observations import Body, first_statistics
from swingup.normalise import Moments, Off, RewardScale, statistics
from swingup.optimisers import descend, fresh
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Among, Count, NonNegative, Unit, Widths
from swingup.returns import (
    explained_variance,
    full_return,
    gae,
    k3,
    n_step_advantage,
    reward_to_go,
    standardise,
    td_error,
)
from swingup.rollout import collect, episode_stats, keys, start, successor_values
from swingup.types import Choice, Rollout, Seen, State

WEIGHTS = ("full_return", "reward_to_go", "reward_to_go_baseline", "q", "n_step", "gae")
Weight = Annotated[str, Among(WEIGHTS)]


class Learner(NamedTuple):
    params: ActorCritic
    opt_state: optax.OptState
    value_opt_state: optax.OptState
    iteration: Counter  # updates done so far
    obs_moments: Moments | Off  # `Off` unless normalise_obs and observations are vectors
    reward_scale: RewardScale | Off  # `Off` unless normalise_reward


class Batch(NamedTuple):
    obs: Any
    action: Array
    logp_old: Array
    adv: Array  # Ψ, whichever it is
    target: Array
    value_old: Array
    legal: Array | None = None  # None: all actions


@hyperparameters
class VPG(Algorithm):
    num_envs: Count = 16  # N: environments run in parallel
    num_steps: Count = 64  # T: env steps per environment between updates
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    weight: Weight = "gae"  # Ψ: full_return, reward_to_go, reward_to_go_baseline, q, n_step or gae
    n: Count = 5  # rewards before V, with weight n_step; fewer is less variance and more bias
    lam: Unit = 0.95  # λ: of GAE, in [0, 1]; lower is less variance and more bias
    lr: NonNegative = 3e-3  # learning rate of the policy's Adam; one gradient step per rollout
    value_lr: NonNegative = 1e-3  # learning rate of the value function's Adam
    value_epochs: Count = 20  # gradient steps on V per rollout, each on all of it
    normalise_adv: bool = True  # weights Ψ with mean 0 and deviation 1 within the rollout
    normalise_obs: bool = False  # vectors of observations by running mean and variance, clipped to ±10
    normalise_reward: bool = False  # rewards by the running std of the discounted return, clipped to ±10
    hidden: Widths = (64, 64)  # widths of the hidden layers
    activation: Activation = "tanh"  # of the hidden layers: tanh, relu, silu or gelu
    log_std_init: float = 0.0  # continuous actions: initial log σ, in units of half the action range
    body: Body = "auto"  # what reads observations: cnn, mlp, or auto, which goes by their shape

    def init(self, env: VecEnv, key: Array) -> State:
        """Make networks, optimisers and environments at their beginnings."""
        k_net, k_env, key = jax.random.split(key, 3)
        spaces = env.observation_space, env.action_space
        how = self.hidden, self.activation, self.log_std_init
        params = ActorCritic(*spaces, *how, body=self.body, key=k_net)
        opt_states = (
            fresh(self.optimizer(self.lr), params),
            fresh(self.optimizer(self.value_lr), params.critic),
        )
        learner = Learner(params, *opt_states, counters.counter(), *first_statistics(self, env))
        return State(learner, start(env, k_env), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do one iteration of Algorithm 1: run the policy T env steps in N environments, then improve it."""
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
        """Take one gradient step on the policy and `value_epochs` on V, from one rollout [T, N]. Nothing is drawn."""
        data = self.advantages(learner, rollout)
        grads, metrics = jax.grad(self.loss, has_aux=True)(learner.params, data)
        # The critic's gradient is zero here, and what Adam makes of zeros is zero.
        params, opt_state = descend(self.optimizer(self.lr), learner.params, learner.opt_state, grads)
        x = params.encode(data.obs)  # a shared body keeps still while V is fitted, or the policy would move

        def gradient_step(carry, _):
            critic, opt_state = carry
            loss, grads = jax.value_and_grad(self.value_loss)(critic, x, data.target)
            return descend(self.optimizer(self.value_lr), critic, opt_state, grads), loss

        carry = params.critic, learner.value_opt_state
        (critic, value_opt_state), losses = jax.lax.scan(gradient_step, carry, length=self.value_epochs)
        params = eqx.tree_at(lambda p: p.critic, params, critic)
        metrics |= {"loss/value": losses.mean()} | self.diagnostics(params, data)
        running = statistics(learner, rollout, self.gamma)
        learned = params, opt_state, value_opt_state, counters.add(learner.iteration, 1)
        return Learner(*learned, *running), metrics

    def loss(self, params: ActorCritic, b: Batch) -> tuple[Array, dict[str, Array]]:
        """Return -mean(log π(a|s) Ψ): not an error, but its gradient is minus the policy gradient."""
        adv = standardise(b.adv) if self.normalise_adv else b.adv
        l_policy = (params.policy(b.obs, b.legal).log_prob(b.action) * adv).mean()
        return -l_policy, {"loss/policy": -l_policy}

    def value_loss(self, critic: MLP, x: Array, target: Array) -> Array:
        """Return the mean squared error of V; `x` is what the critic reads: [T, N, ...]."""
        return jnp.square(critic(x)[..., 0] - target).mean()

    def advantages(self, learner: Learner, rollout: Rollout) -> Batch:
        """Compute weights Ψ and value targets; a truncated episode goes on with V of its true last observation."""
        step, obs = rollout.step, learner.obs_moments.normalise(rollout.obs)
        reward = learner.reward_scale.scale(step.reward)
        value = learner.params.value(obs)
        next_value = successor_values(partial(self.value, learner), value, rollout)
        target = reward_to_go(reward, next_value, step.terminated, step.done, self.gamma)
        adv = self.weigh(reward, value, next_value, step.terminated, step.done)
        return Batch(obs, rollout.action, rollout.extras, adv, target, value, rollout.legal)

    def weigh(self, reward: Array, value: Array, next_value: Array, terminated: Array, done: Array) -> Array:
        """Return Ψ [T, N], by which each ∇ log π(a|s) is multiplied."""
        match self.weight:
            case "full_return":
                return full_return(reward, next_value, terminated, done, self.gamma)
            case "reward_to_go":
                return reward_to_go(reward, next_value, terminated, done, self.gamma)
            case "reward_to_go_baseline":
                return reward_to_go(reward, next_value, terminated, done, self.gamma) - value
            case "q":
                return td_error(reward, value, next_value, terminated, self.gamma) + value
            case "n_step":
                return n_step_advantage(reward, value, next_value, terminated, done, self.gamma, self.n)
            case _:
                return gae(reward, value, next_value, terminated, done, self.gamma, self.lam)

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

    def optimizer(self, lr: float) -> optax.GradientTransformation:
        """Use Adam."""
        return optax.flatten(optax.adam(lr, eps=1e-5))  # one vector is faster than many
