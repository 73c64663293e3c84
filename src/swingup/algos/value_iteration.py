"""Value iteration (Bellman 1957, "Dynamic Programming"; Sutton & Barto 2018, section 4.4).

Planning: P and R are known, nothing is learned from experience. One sweep replaces every entry of the table by

    Q_{k+1}(s, a) = (T* Q_k)(s, a) = r(s, a) + γ Σ_s' P(s'|s, a) max_a' Q_k(s', a')

where terminal states count 0. T* brings any two tables closer by the factor γ in the sup norm, so ‖Q_k - Q*‖ falls at
least as γ^k, and is at most γ / (1 - γ) times the last residual ‖T* Q - Q‖.

An iteration lets the greedy policy play for T env steps in N environments, which shows how good it is by now and
changes nothing; then comes one sweep.

Differs from the book in: Q in place of V, so that the greedy policy needs no further look ahead; float32; it has no
test when to stop, because the driver counts env steps: see the metric `bellman/residual`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.envs.tabular import MDP
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Count, Unit
from swingup.rollout import collect, episode_stats, keys, start
from swingup.tables import largest, sizes
from swingup.theory.bellman import optimality_q, process
from swingup.types import Choice, Rollout, Seen, State


class Learner(NamedTuple):
    mdp: MDP  # what is known: P, R, μ, the terminal states and γ
    q: Array  # Q_k(s, a): [S, A]


@hyperparameters
class ValueIteration(Algorithm):
    num_envs: Count = 1  # N: environments run in parallel, to show the policy
    num_steps: Count = 1  # T: env steps per environment between sweeps
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    initial: float = 0.0  # Q_0(s, a)

    def init(self, env: VecEnv, key: Array) -> State:
        """Make the environment's own tables, Q_0, and environments at their beginnings."""
        k_env, key = jax.random.split(key)
        mdp = process(env, self.gamma)
        learner = Learner(mdp, jnp.full(sizes(env), self.initial, jnp.float32))
        return State(learner, start(env, k_env), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do T env steps of the greedy policy in N environments, then one sweep."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose greedy actions for observations [N], with noise or without."""
        return Choice(jnp.argmax(self.q_values(learner.q, seen.obs), -1))

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return max_a Q(s, a) of observations [N]: [N]."""
        return self.q_values(learner.q, obs).max(-1)

    @jax.jit
    def update(
        self, learner: Learner, rollout: Rollout | None = None, key: Array | None = None
    ) -> tuple[Learner, dict[str, Array]]:
        """Sweep once over all states and actions. The rollout is not read, and nothing is drawn."""
        q = self.target(learner)
        metrics = {"bellman/residual": largest(q - learner.q), "q/mean": q.mean(), "q/max": largest(q)}
        return learner._replace(q=q), metrics

    def target(self, learner: Learner) -> Array:
        """Return T* Q: [S, A]."""
        return optimality_q(learner.mdp, learner.q)

    def q_values(self, q: Array, obs: Any) -> Array:
        """Return Q(s, ·): [..., A]."""
        return q[obs]
