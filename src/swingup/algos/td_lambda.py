"""TD(λ) (Sutton 1988, doi:10.1007/BF00115009; Sutton & Barto 2018, section 12.2): what is a policy worth?

Prediction, not control: it evaluates the policy that takes all actions equally often. After each env step the TD
error goes to all states of the episode so far, as their traces e say (the backward view):

    δ = r + γ (1 - terminated) V(s') - V(s)
    e ← γ λ e,   e(s) ← e(s) + 1,   V ← V + α δ e,      e ← 0 where an episode begins

λ = 0 looks one env step ahead; λ = 1 learns the whole return, as Monte Carlo does. Over an episode with V held still
the updates sum up to those towards the λ-return (the forward view).

Differs from the paper in: V is a table, and changes within an episode; a time limit bootstraps from the true last
observation; several environments (`num_envs`) fill one table, one transition after the other, each with traces of
its own. Where a greedy action is asked for, as in evaluations, it is action 0: there is nothing to choose by.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.distributions import uniform
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Count, Fraction, NonNegative, Unit
from swingup.rollout import collect, episode_stats, keys, start
from swingup.spaces import Discrete
from swingup.tables import Sample, in_order, rate, sizes, visit
from swingup.types import Choice, Rollout, Seen, State


class Learner(NamedTuple):
    v: Array  # V(s): [S]
    visits: Array  # n(s), env steps begun in each state: [S]
    trace: Array  # e(s) of each environment: [N, S]
    following: Array  # the state in which each environment's episode goes on, -1 if it ended: [N]


@hyperparameters
class TDLambda(Algorithm):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 1  # T: env steps per environment between updates
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lam: Unit = 0.8  # λ: how far errors reach back, in [0, 1]
    lr: Fraction = 0.05  # α: learning rate, in (0, 1]
    lr_power: NonNegative = 0.0  # ω: above 0 the rate of a state visited n times is 1 / n^ω, and not lr
    initial: float = 0.0  # V(s) at the beginning

    def init(self, env: VecEnv, key: Array) -> State:
        """Make a table of one value, and environments at their beginnings."""
        k_env, key = jax.random.split(key)
        states, _ = sizes(env)
        v, trace = jnp.full(states, self.initial, jnp.float32), jnp.zeros((self.num_envs, states))
        following = jnp.full(self.num_envs, -1, jnp.int32)
        learner = Learner(v, jnp.zeros(states, jnp.int32), trace, following)
        return State(learner, start(env, k_env), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do T env steps in N environments, then an update for each of them."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose any action, for observations [N]; without noise action 0."""
        if noise is None:
            return Choice(jnp.zeros(jnp.shape(seen.obs), jnp.int32))
        return Choice(uniform(Discrete(noise.shape[-1]), noise))

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return V(s) of observations [N]: [N]."""
        return learner.v[obs]

    @jax.jit
    def update(
        self, learner: Learner, rollout: Rollout, key: Array | None = None
    ) -> tuple[Learner, dict[str, Array]]:
        """Learn from the transitions of a rollout [T, N], one after the other. Nothing is drawn."""

        def learn(carry, t):
            v, visits, trace, following = carry
            td = self.target(v, t) - v[t.obs]
            visits = visit(visits, (t.obs,))
            # If s is not the s' of this environment's last transition, an episode has begun between the two: the trace
            # starts anew. That also happens where a run on the host was resumed.
            e = jnp.where(following[t.env] == t.obs, self.gamma * self.lam * trace[t.env], 0.0)
            e = e.at[t.obs].add(1.0)
            following = following.at[t.env].set(jnp.where(t.terminated | t.truncated, -1, t.next_obs))
            v = v + rate(self.lr, self.lr_power, visits) * td * e
            return (v, visits, trace.at[t.env].set(e), following), (td, v[t.obs])

        carry, (td, value) = jax.lax.scan(learn, tuple(learner), in_order(rollout))
        return Learner(*carry), {"td/error": jnp.abs(td).mean(), "v/mean": value.mean()}

    def target(self, v: Array, t: Sample) -> Array:
        """Return r + γ V(s'), from which the TD error is counted."""
        return t.reward + self.gamma * jnp.where(t.terminated, 0.0, v[t.next_obs])
