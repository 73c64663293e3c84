"""Policy iteration (Howard 1960, "Dynamic Programming and Markov Processes"; Sutton & Barto 2018, section 4.3).

Planning: P and R are known, nothing is learned from experience. An iteration finds out what the policy is worth,
and then improves it in all states at once:

    evaluate    Q ← Q^π,   where V^π = (I - γ P_π)⁻¹ r_π and Q^π(s, a) = r(s, a) + γ Σ_s' P(s'|s, a) V^π(s')
    improve     π(s) ← argmax_a Q(s, a)

By that no state's value falls, and there are finitely many policies: so it ends, at π*, mostly after a handful of
iterations. With `sweeps` = m > 0 the first line is Q ← (T^π)^m Q instead, modified policy iteration (Puterman & Shin
1978, doi:10.1287/mnsc.24.11.1127), where

    (T^π Q)(s, a) = r(s, a) + γ Σ_s' P(s'|s, a) Σ_a' π(a'|s') Q(s', a')

and with m = 1, from Q = 0, it is value iteration.

It begins with the policy that takes all actions equally often: so with γ = 1 the first evaluation is finite wherever
an end can be reached from every state. An iteration lets π play for T env steps in N environments first, which
changes nothing.

Differs from the book in: a state keeps its actions unless another is better by more than rounding; float32; it has
no test when to stop, because the driver counts env steps: see the metric `policy/changed`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup.distributions import Categorical
from swingup.envs.tabular import MDP
from swingup.linalg import solve
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Count, Unit, Whole
from swingup.rollout import collect, episode_stats, keys, start
from swingup.tables import largest, sizes
from swingup.theory.bellman import evaluate_q, lookahead, optimality_q, process
from swingup.types import Choice, Rollout, Seen, State

ROUNDING = 1e-5  # of Q, relative to its largest value


class Learner(NamedTuple):
    mdp: MDP  # what is known: P, R, μ, the terminal states and γ
    q: Array  # Q(s, a) of the last evaluation: [S, A]
    policy: Array  # π(a|s), greedy in it: [S, A]


@hyperparameters
class PolicyIteration(Algorithm):
    num_envs: Count = 1  # N: environments run in parallel, to show the policy
    num_steps: Count = 1  # T: env steps per environment between evaluations
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    sweeps: Whole = 0  # m: of T^π in an evaluation; 0 solves the linear equations
    initial: float = 0.0  # Q(s, a) before the first of these

    def init(self, env: VecEnv, key: Array) -> State:
        """Make the environment's own tables, the uniform policy, and environments at their beginnings."""
        k_env, key = jax.random.split(key)
        mdp = process(env, self.gamma)
        shape = sizes(env)
        policy = jnp.full(shape, 1 / shape[1], jnp.float32)
        learner = Learner(mdp, jnp.full(shape, self.initial, jnp.float32), policy)
        return State(learner, start(env, k_env), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do T env steps of π in N environments, then an evaluation and an improvement."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose actions of π for observations [N]; without noise the first of the likeliest."""
        pi = Categorical(jnp.log(learner.policy[seen.obs]))
        return Choice(pi.mode() if noise is None else pi.from_noise(noise))

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return max_a Q(s, a) of observations [N]: [N]."""
        return self.q_values(learner.q, obs).max(-1)

    @jax.jit
    def update(
        self, learner: Learner, rollout: Rollout | None = None, key: Array | None = None
    ) -> tuple[Learner, dict[str, Array]]:
        """Evaluate π, and improve it. The rollout is not read, and nothing is drawn."""
        q = self.evaluate(learner)
        policy = self.improve(q, learner.policy)
        metrics = {
            "bellman/residual": largest(optimality_q(learner.mdp, q) - q),
            "policy/changed": jnp.any(policy != learner.policy, -1).mean(),
            "q/mean": q.mean(),
            "q/max": largest(q),
        }
        return learner._replace(q=q, policy=policy), metrics

    def evaluate(self, learner: Learner) -> Array:
        """Return Q^π, or (T^π)^m Q: [S, A]."""
        mdp, q, policy = learner
        if self.sweeps:
            return jax.lax.fori_loop(0, self.sweeps, lambda _, q: evaluate_q(mdp, policy, q), q)
        going_on = jnp.einsum("sa,sat->st", policy, mdp.transition) * (1 - mdp.terminal)
        identity = jnp.eye(len(going_on))
        return lookahead(mdp, solve(identity - mdp.gamma * going_on, (policy * mdp.expected_reward).sum(-1)))

    def improve(self, q: Array, policy: Array) -> Array:
        """Return the greedy policy [S, A]; where no action is better than what π does now, π as it is."""
        best = jax.nn.one_hot(jnp.argmax(q, -1), q.shape[-1])
        better = q.max(-1) > (policy * q).sum(-1) + ROUNDING * largest(q)
        return jnp.where(better[:, None], best, policy)

    def q_values(self, q: Array, obs: Any) -> Array:
        """Return Q(s, ·): [..., A]."""
        return q[obs]
