"""Q-learning (Watkins 1989; Watkins & Dayan 1992, doi:10.1007/BF00992698; Sutton & Barto 2018, section 6.5).

Act ε-greedily, and after each env step move one entry of the table towards what was seen:

    Q(s, a) ← Q(s, a) + α [ y - Q(s, a) ],      y = r + γ (1 - terminated) max_a' Q(s', a')

The maximum is the greedy policy's, whichever policy acts: so Q approaches Q* if every pair is tried again and
again and α falls as it should, which 1/n^ω does for 1/2 < ω <= 1 (`lr_power`).

Differs from the paper in: a time limit bootstraps from the true last observation; α is constant by default; ε,
of which the paper says nothing, falls linearly; several environments (`num_envs`) fill one table, one transition
after the other, and with `num_steps` above 1 the policy that acts is that many env steps old.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Count, Fraction, NonNegative, Positive, Unit
from swingup.rollout import collect, episode_stats, keys, start
from swingup.schedules import epsilon, explore
from swingup.tables import Sample, in_order, largest, rate, sizes, visit
from swingup.types import Choice, Rollout, Seen, State


class Learner(NamedTuple):
    q: Array  # Q(s, a): [S, A]
    visits: Array  # n(s, a), updates of each entry: [S, A]
    env_steps: Counter  # done so far


@hyperparameters
class QLearning(Algorithm):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 1  # T: env steps per environment between updates
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
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
        learner = Learner(q, jnp.zeros(shape, jnp.int32), env_steps=counters.counter())
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
            q, visits = carry
            old = q[t.obs, t.action]
            td = self.target(q, t) - old
            visits = visit(visits, (t.obs, t.action))
            alpha = rate(self.lr, self.lr_power, visits[t.obs, t.action])
            return (q.at[t.obs, t.action].add(alpha * td), visits), (td, old)

        (q, visits), (td, old) = jax.lax.scan(learn, (learner.q, learner.visits), in_order(rollout))
        env_steps = counters.add(learner.env_steps, self.env_steps_per_iteration)
        metrics = {"td/error": jnp.abs(td).mean(), "q/mean": old.mean(), "q/max": largest(q)}
        return Learner(q, visits, env_steps), metrics | {"epsilon": epsilon(self, env_steps)}

    def target(self, q: Array, t: Sample) -> Array:
        """Return y, towards which Q(s, a) moves."""
        return t.reward + self.gamma * jnp.where(t.terminated, 0.0, q[t.next_obs].max(-1))

    def q_values(self, q: Array, obs: Any) -> Array:
        """Return Q(s, ·): [..., A]."""
        return q[obs]
