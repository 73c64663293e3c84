"""SARSA (Rummery & Niranjan 1994, "On-line Q-learning using connectionist systems"; Sutton & Barto 2018, section 6.4).

Act ε-greedily, and learn from (s, a, r, s', a') what the acting policy is worth, exploration included:

    Q(s, a) ← Q(s, a) + α [ y - Q(s, a) ],      y = r + γ (1 - terminated) Q(s', a')

where a' is the action that is taken in s', chosen by the Q before the update: so a transition waits until it is
known. With λ > 0 (`lam`) the error also reaches the pairs before, through traces e (section 12.7):

    e ← γ λ e,   e(s, a) ← e(s, a) + 1,   Q ← Q + α [ y - Q(s, a) ] e,      e ← 0 where an episode ends

Differs from the paper in: a table in place of a network; after a time limit there is no next action, and the
policy's expectation at the true last observation stands for it; α is constant by default; ε falls linearly;
several environments (`num_envs`) fill one table, one transition after the other, and with `num_steps` above 1 the
policy that acts is that many env steps old.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.distributions import epsilon_greedy
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Count, Fraction, NonNegative, Positive, Unit
from swingup.rollout import collect, episode_stats, keys, start
from swingup.schedules import epsilon, explore
from swingup.tables import Sample, in_order, largest, rate, sizes, visit
from swingup.types import Choice, Rollout, Seen, State


class Pending(NamedTuple):
    """The last transition of each environment is kept here, [N], while it waits for the next action."""

    obs: Array
    action: Array
    reward: Array
    next_obs: Array  # -1: none waits


class Learner(NamedTuple):
    q: Array  # Q(s, a): [S, A]
    visits: Array  # n(s, a), updates of each entry: [S, A]
    trace: Array  # e(s, a) of each environment: [N, S, A]
    pending: Pending
    env_steps: Counter  # done so far


@hyperparameters
class SARSA(Algorithm):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 1  # T: env steps per environment between updates
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lam: Unit = 0.0  # λ: how far errors reach back, in [0, 1]
    lr: Fraction = 0.1  # α: learning rate, in (0, 1]
    lr_power: NonNegative = 0.0  # ω: above 0 the rate of an entry's n-th update is 1 / n^ω, and not lr
    epsilon_start: Unit = 1.0  # ε: probability of a random action at the beginning
    epsilon_end: Unit = 0.05  # and at the end of its linear decay
    epsilon_decay: Positive = 10_000.0  # env steps that the decay takes
    initial: float = 0.0  # Q(s, a) at the beginning; a high one makes the greedy policy explore

    def init(self, env: VecEnv, key: Array) -> State:
        """Make a table of one value, and environments at their beginnings."""
        k_env, key = jax.random.split(key)
        shape = sizes(env)
        q = jnp.full(shape, self.initial, jnp.float32)
        trace = jnp.zeros((self.num_envs, *shape))
        number, none = partial(jnp.zeros, self.num_envs, jnp.int32), jnp.full(self.num_envs, -1, jnp.int32)
        pending = Pending(number(), number(), jnp.zeros(self.num_envs), next_obs=none)
        learner = Learner(q, jnp.zeros(shape, jnp.int32), trace, pending, env_steps=counters.counter())
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
        """Choose ε-greedy actions for observations [N]; without noise the greedy ones."""
        return Choice(explore(self, self.q_values(learner.q, seen.obs), learner.env_steps, noise))

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return max_a Q(s, a) of observations [N]: [N]."""
        return self.q_values(learner.q, obs).max(-1)

    @jax.jit
    def update(
        self, learner: Learner, rollout: Rollout, key: Array | None = None
    ) -> tuple[Learner, dict[str, Array]]:
        """Learn from the transitions of a rollout [T, N], one after the other. Nothing is drawn."""

        def learn(carry, t):
            q, visits, trace, pending = carry
            waiting, ends = jax.tree.map(lambda x: x[t.env], pending), t.terminated | t.truncated
            # This action is the one that the waiting transition lacked, if it begins where that one led. It does not
            # where an episode has begun: after the end of another, or when a run on the host was resumed.
            follows = waiting.next_obs == t.obs
            value = q[t.obs, t.action]
            tables = q, visits, jnp.where(follows, trace[t.env], 0.0)
            tables, td = self.backup(tables, waiting, waiting.reward + self.gamma * value, follows)
            target = self.target(tables[0], t, learner.env_steps)  # where an episode ends nothing follows
            (q, visits, trace_now), td_end = self.backup(tables, t, target, ends)
            now = Pending(t.obs, t.action, t.reward, jnp.where(ends, -1, t.next_obs))
            pending = jax.tree.map(lambda x, y: x.at[t.env].set(y), pending, now)
            carry = q, visits, trace.at[t.env].set(trace_now), pending
            return carry, (jnp.stack([td, td_end]), value, follows + 0.0 + ends)

        carry = learner.q, learner.visits, learner.trace, learner.pending
        carry, (td, values, learnt) = jax.lax.scan(learn, carry, in_order(rollout))
        env_steps, error = counters.add(learner.env_steps, self.env_steps_per_iteration), jnp.abs(td).sum()
        metrics = {
            "td/error": error / jnp.maximum(learnt.sum(), 1.0),
            "q/mean": values.mean(),
            "q/max": largest(carry[0]),
        }
        return Learner(*carry, env_steps), metrics | {"epsilon": epsilon(self, env_steps)}

    def backup(self, tables: tuple, t: Any, target: Array, now: Array) -> tuple[tuple, Array]:
        """Return Q, n and e after an update of Q(s, a) towards the target, and its TD error; as they were
        unless `now`.
        """
        q, visits, trace = tables
        td = jnp.where(now, target - q[t.obs, t.action], 0.0)
        visits = visit(visits, (t.obs, t.action), now)
        decayed = (self.gamma * self.lam * trace).at[t.obs, t.action].add(1.0)
        trace = jnp.where(now, decayed, trace)
        return (q + rate(self.lr, self.lr_power, visits) * td * trace, visits, trace), td

    def target(self, q: Array, t: Sample, env_steps: Counter) -> Array:
        """Return y where an episode ends: r, and at a time limit what the policy expects there."""
        policy = jnp.exp(epsilon_greedy(q[t.next_obs], epsilon(self, env_steps)).logits)
        return t.reward + self.gamma * jnp.where(t.terminated, 0.0, (policy * q[t.next_obs]).sum(-1))

    def q_values(self, q: Array, obs: Any) -> Array:
        """Return Q(s, ·): [..., A]."""
        return q[obs]
