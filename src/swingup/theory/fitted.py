"""Bellman's equations have fewer weights than states here: fitted value iteration, semi-gradients, and where both lead.

A fit that is linear in its data is a matrix M [S, S]: the values (M y)(s) that it gives back for the targets y(s').
Terminal states have the value 0: give them features of 0, or no group. Weights w are flat, [P], and `q` is a function
of them: q(w) is [S, A].
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.envs.tabular import MDP
from swingup.errors import ConfigError
from swingup.theory.bellman import Iteration, evaluate_q, fixed_point, optimality_v
from swingup.theory.exact import optimal_value

# --- Fits, as matrices -------------------------------------------------------------------------------------


def least_squares(features: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Φ (Φ'DΦ)^-1 Φ'D, the linear function of the features [S, K] nearest to the targets, D = diag(weight): [S, S].

    It never lengthens the weighted 2-norm, and may lengthen the sup norm, the one in which T* contracts.

    >>> least_squares(np.array([[1.0], [2.0]])).round(3)
    array([[0.2, 0.4],
           [0.4, 0.8]])
    """
    root = np.sqrt(np.ones(len(features)) if weight is None else weight)
    return features @ np.linalg.pinv(features * root[:, None]) * root


def aggregation(groups: Any) -> np.ndarray:
    """Fit the mean of the targets within each group of states, `groups` [S]: [S, S]; a group below 0 gives the value 0.

    >>> aggregation([0, 0, 1, -1])
    array([[0.5, 0.5, 0. , 0. ],
           [0.5, 0.5, 0. , 0. ],
           [0. , 0. , 1. , 0. ],
           [0. , 0. , 0. , 0. ]])
    """
    groups = np.asarray(groups)
    same = (groups[:, None] == groups) & (groups[:, None] >= 0)
    return same / np.maximum(same.sum(1, keepdims=True), 1)


def interpolation(place: Any, knots: Any) -> np.ndarray:
    """Return targets of the states `knots`, and straight lines between them for states at other places [S]: [S, S].

    Places of the knots increase; a state beyond the first or the last knot takes its value.

    >>> interpolation([0.0, 1.0, 4.0], knots=[0, 2])
    array([[1.  , 0.  , 0.  ],
           [0.75, 0.  , 0.25],
           [0.  , 0.  , 1.  ]])
    """
    place, knots = np.asarray(place, np.float64), list(knots)
    if (np.diff(place[knots]) <= 0).any():
        raise ConfigError("the places of the knots must increase")
    fit = np.zeros((len(place), len(place)))
    for knot, unit in zip(knots, np.eye(len(knots)), strict=True):
        fit[:, knot] = np.interp(place, place[knots], unit)
    return fit


def expansion(fit: np.ndarray) -> float:
    """Return ‖M‖, the most by which a fit lengthens the sup norm: its largest row sum of moduli.

    At most 1 for an averager (Gordon 1995), whose every value is a mean of targets and constants.
    """
    return float(np.abs(fit).sum(1).max())


# --- Fitted value iteration --------------------------------------------------------------------------------


def fitted_value_iteration(mdp: MDP, fit: np.ndarray, v: np.ndarray, **options: Any) -> Iteration:
    """V_{k+1} = M T* V_k from V_0 = v; the options are those of `swingup.theory.bellman.fixed_point`.

    ‖M T* V - M T* U‖ <= ‖M‖ γ ‖V - U‖: a contraction where M is an averager, and perhaps none where it is not.
    """
    return fixed_point(lambda values: fit @ optimality_v(mdp, values), v, **options)


def averager_bound(mdp: MDP, fit: np.ndarray) -> float:
    """Return ‖M V* - V*‖ / (1 - γ): as far from V* (sup norm) as fitted value iteration can end with an averager.

    For its limit V is V = M T* V, so ‖V - V*‖ <= ‖M T* V - M T* V*‖ + ‖M V* - V*‖ <= γ ‖V - V*‖ + ‖M V* - V*‖.
    With ε the distance of V* to the nearest fixed point of M, ‖M V* - V*‖ <= 2ε: it is never above the
    2ε / (1 - γ) of Gordon 1995. Raises `ConfigError` if M is none.
    """
    if expansion(fit) > 1 + 1e-12 or mdp.gamma >= 1:
        raise ConfigError("the bound holds for fits of sup norm at most 1, and gamma below 1")
    best = optimal_value(mdp)
    return float(np.abs(fit @ best - best).max() / (1 - mdp.gamma))


# --- Fields of expected updates ----------------------------------------------------------------------------


def equally(mdp: MDP) -> np.ndarray:
    """Return how often each pair is trained on, if all that are not terminal are met equally often: [S, A]."""
    alive = np.repeat(~mdp.terminal[:, None], mdp.num_actions, 1)
    return alive / alive.sum()


def backup(mdp: MDP, q: Array) -> Array:
    """Return T* Q as the T^π Q of its own greedy policy, with the derivatives of that: [S, A].

    JAX's derivative of a maximum divides by the number of entries that compare equal to it. In a long program compiled
    without optimisation some of our derivatives were NaN by that way, and none are by this.
    """
    return evaluate_q(mdp, jax.nn.one_hot(q.argmax(-1), q.shape[-1], dtype=q.dtype), q)


def semi_gradient(
    mdp: MDP, q: Callable[[Array], Array], w: Array, weight: Any, target: Array | None = None
) -> Array:
    """Return the expected update of Q-learning with a function, over the pairs' `weight` d [S, A]: [P].

        g(w) = Σ_sa d(s, a) (E[r + γ max_a' Q_u(s', a')] - Q_w(s, a)) ∇Q_w(s, a)

    with u = w, or the weights of a `target` network. The gradient is that of Q_w(s, a) alone, as if the bootstrap
    target were data. With u fixed it is: then g is minus the gradient of half the squared error.
    """
    values, backward = jax.vjp(q, w)
    bootstrap = values if target is None else q(target)
    return backward(weight * (backup(mdp, bootstrap) - values))[0]


def residual_gradient(mdp: MDP, q: Callable[[Array], Array], w: Array, weight: Any) -> Array:
    """Return minus the whole gradient of ½ Σ_sa d(s, a) ((T* Q_w)(s, a) - Q_w(s, a))²: [P] (Baird 1995)."""

    def loss(w: Array) -> Array:
        values = q(w)
        return 0.5 * (weight * (backup(mdp, values) - values) ** 2).sum()

    return -jax.grad(loss)(w)


def jacobian_asymmetry(field: Callable[[Array], Array], w: Array) -> Array:
    """Return ‖J - J'‖ / 2‖J‖ (Frobenius) of the Jacobian J of a field at w: 0 for every gradient, 1 for a pure
    rotation.

    The Jacobian of a gradient is a Hessian, which is symmetric; so a field with asymmetry is the gradient of nothing.

    >>> turn = jnp.array([[0.0, -1.0], [1.0, 0.0]])
    >>> float(jacobian_asymmetry(lambda w: turn @ w, jnp.ones(2)))
    1.0
    """
    jacobian = jax.jacfwd(field)(w)
    return jnp.linalg.norm(jacobian - jacobian.T) / (2 * jnp.linalg.norm(jacobian))


def circle(centre: Array, plane: Array, radius: Any) -> Callable[[Array], Array]:
    """w(t) = centre + radius (cos t plane_1 + sin t plane_2): a closed loop, for `loop_work`."""
    return lambda t: centre + radius * (jnp.cos(t) * plane[0] + jnp.sin(t) * plane[1])


def loop_work(field: Callable[[Array], Array], loop: Callable[[Array], Array], points: int = 128) -> Array:
    """∮ g(w) · dw, the work of a field along a loop w(t), 0 <= t < 2π: 0 for every gradient.

    By the trapezoid rule, which on smooth loops errs less than any power of 1 / points.

    >>> turn = jnp.array([[0.0, -1.0], [1.0, 0.0]])
    >>> round(float(loop_work(lambda w: turn @ w, circle(jnp.ones(2), jnp.eye(2), 1.0))) / np.pi, 4)
    2.0
    """

    def power(t: Array) -> Array:
        point, velocity = jax.jvp(loop, (t,), (jnp.ones_like(t),))
        return field(point) @ velocity

    return 2 * np.pi * jax.vmap(power)(2 * np.pi * jnp.arange(points) / points).mean()
