"""Bellman operators act on the values of finite MDPs, and are iterated to a fixed point.

They are written with what NumPy and JAX arrays share, so that they serve proofs in float64 and compiled programs
alike. V is [S], Q is [S, A], a policy π(a|s) is [S, A].
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.envs.tabular import MDP
from swingup.errors import ConfigError
from swingup.protocols import VecEnv
from swingup.tables import sizes


def process(env: VecEnv, gamma: Array | float) -> MDP:
    """Return the environment's own P, R and μ as JAX arrays, with this γ. Raises `ConfigError` where it has none to
    show.
    """
    sizes(env)
    found = env.mdp
    if found is None:
        raise ConfigError(
            f"{env.name} does not tell its probabilities and rewards, from which plans are made. Use an environment "
            "such as tabular:Cliff, or an algorithm that learns from experience, such as q_learning"
        )
    p, r, mu = (jnp.asarray(x, jnp.float32) for x in (found.transition, found.reward, found.start))
    return MDP(p, r, mu, jnp.asarray(found.terminal), jnp.asarray(gamma, jnp.float32))


def lookahead(mdp: MDP, v: Any) -> Any:
    """Return r(s, a) + γ Σ_s' P(s'|s, a) V(s'), where terminal states count 0: [S, A]."""
    return mdp.expected_reward + mdp.gamma * mdp.transition @ (v * (1 - mdp.terminal))


def evaluate_v(mdp: MDP, policy: Any, v: Any) -> Any:
    """(T^π V)(s) = E_a[r(s, a) + γ E_s'[V(s')]]: [S]."""
    return (policy * lookahead(mdp, v)).sum(-1)


def evaluate_q(mdp: MDP, policy: Any, q: Any) -> Any:
    """(T^π Q)(s, a) = E_s'[r + γ E_a'[Q(s', a')]]: [S, A]."""
    return lookahead(mdp, (policy * q).sum(-1))


def optimality_v(mdp: MDP, v: Any) -> Any:
    """(T* V)(s) = max_a E_s'[r + γ V(s')]: [S]."""
    return lookahead(mdp, v).max(-1)


def optimality_q(mdp: MDP, q: Any) -> Any:
    """(T* Q)(s, a) = E_s'[r + γ max_a' Q(s', a')]: [S, A]."""
    return lookahead(mdp, q.max(-1))


class Iteration(NamedTuple):
    """An iteration records what repeated application of a map did."""

    point: np.ndarray  # the last iterate
    iterates: list[np.ndarray]  # all of them, the first included
    steps: np.ndarray  # sup norm of each difference of neighbours
    converged: bool

    @property
    def modulus(self) -> float:
        """Return the largest ratio of two neighbouring differences: at most β for a contraction with modulus β."""
        before, after = self.steps[:-1], self.steps[1:]
        large = before > 1e-9 * max(1.0, float(np.abs(self.point).max()))  # below it is rounding
        return float((after[large] / before[large]).max()) if large.any() else 0.0


def fixed_point(
    f: Callable[[Any], Any], x: Any, *, tolerance: float = 1e-12, limit: int = 100_000, huge: float = 1e12
) -> Iteration:
    """Repeat x_{i+1} = f(x_i), until neighbours differ by at most `tolerance` (sup norm), or grow beyond `huge`.

    For a contraction with modulus β the limit is the only fixed point, ‖x_{i+1} - x_i‖ <= β^i ‖x_1 - x_0‖, and the
    last iterate is at most β / (1 - β) times the last difference away from it (Banach 1922).

    >>> half = fixed_point(lambda x: x / 2 + 1, np.array([0.0]))
    >>> round(float(half.point[0]), 6), half.modulus, half.converged
    (2.0, 0.5, True)
    >>> fixed_point(lambda x: 2 * x + 1, np.array([0.0])).converged
    False
    """
    iterates, steps = [np.asarray(x, np.float64)], []
    while len(steps) < limit and (not steps or tolerance < steps[-1] < huge):
        iterates.append(np.asarray(f(iterates[-1]), np.float64))
        steps.append(float(np.abs(iterates[-1] - iterates[-2]).max()))
    return Iteration(iterates[-1], iterates, np.array(steps), bool(steps and steps[-1] <= tolerance))
