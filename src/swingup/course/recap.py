"""Deep learning as far as reinforcement learning needs it, each pattern as one small function.

These are the formulas of the lecture's recap, in its order: a model and its loss, gradient descent, a regulariser,
normalisation, Adam, and gradients of expectations. (Function composition beyond two layers is in
`swingup.nets.sequences`, layer normalisation in `swingup.nets.layers`, running statistics in `swingup.normalise`.)
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp  # noqa: F401  for the examples below
from jax import Array

Loss = Callable[[Any], Array]  # parameters to a number


# --- A model, a loss and gradient descent


def tanh(a: Any) -> Any:
    """σ of each entry, in NumPy or in JAX, whichever `a` is of; so what is below serves proofs in float64 too."""
    return a.__array_namespace__().tanh(a)


class TwoLayers(NamedTuple):
    """θ = {W1, b1, W2, b2} of a network with `hidden` units in its one hidden layer."""

    w1: Any  # [hidden, inputs]
    b1: Any  # [hidden]
    w2: Any  # [outputs, hidden]
    b2: Any  # [outputs]


def two_layers(params: TwoLayers, x: Any) -> Any:
    """f(x) = W2 σ(W1 x + b1) + b2 with σ = tanh, for each row of x: [B, inputs] -> [B, outputs].

    >>> ones = TwoLayers(jnp.ones((2, 1)), jnp.zeros(2), jnp.ones((1, 2)), jnp.zeros(1))
    >>> round(float(two_layers(ones, jnp.ones((1, 1)))[0, 0]), 4)  # 2 tanh(1)
    1.5232
    """
    return tanh(x @ params.w1.T + params.b1) @ params.w2.T + params.b2


def mean_squared(params: TwoLayers, x: Any, y: Any) -> Any:
    """L(θ) = 1/B Σ |f(x) - y|² over the B rows of x [B, inputs] and y [B, outputs]."""
    return ((two_layers(params, x) - y) ** 2).sum(-1).mean()


def two_layers_gradient(params: TwoLayers, x: Any, y: Any) -> TwoLayers:
    """Return ∇L of `mean_squared`, worked out by hand: the chain rule from the loss back to the weights.

    e  = 2/B (f(x) - y)                 how the loss moves with the output             [B, outputs]
    dW2 = e' h,       db2 = Σ e         with h = σ(W1 x + b1)
    d  = (e W2) (1 - h²)                through tanh, whose derivative is 1 - tanh²    [B, hidden]
    dW1 = d' x,       db1 = Σ d
    """
    hidden = tanh(x @ params.w1.T + params.b1)
    error = 2 / len(x) * (hidden @ params.w2.T + params.b2 - y)
    inner = (error @ params.w2) * (1 - hidden**2)
    return TwoLayers(inner.T @ x, inner.sum(0), error.T @ hidden, error.sum(0))


def gradient_descent(loss: Loss, params: Any, lr: Any, updates: int) -> tuple[Any, Array]:
    """Repeat θ <- θ - α ∇L(θ) `updates` times; return θ and the losses before each update, [updates].

    On L = θ² each update multiplies θ by 1 - 2α:

    >>> theta, losses = gradient_descent(lambda x: x**2, jnp.array(1.0), 0.25, 2)
    >>> float(theta), losses.tolist()
    (0.25, [1.0, 0.25])
    """

    def update(params, _):
        value, grads = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - lr * g, params, grads), value

    return jax.lax.scan(update, params, length=updates)


# --- Regularisation


def squared_norm(params: Any) -> Any:
    """Ω(θ) = Σ θ², over all leaves.

    >>> float(squared_norm({"w": jnp.array([3.0, 4.0])}))
    25.0
    """
    return sum((p**2).sum() for p in jax.tree.leaves(params))


def penalised(loss: Loss, omega: Loss, lam: Any) -> Loss:
    """Return L + λ Ω as a loss, which prefers parameters with a small Ω.

    >>> float(penalised(lambda x: x - 1, squared_norm, 0.5)(jnp.array(2.0)))
    3.0
    """
    return lambda params: loss(params) + lam * omega(params)


# --- Adam


class AdamState(NamedTuple):
    """Running means of gradients and of their squares, and the number of updates so far."""

    m: Any  # as the parameters
    v: Any  # as the parameters
    t: Any


def adam_start(params: Any) -> AdamState:
    """m = v = 0, before the first update."""
    zeros = jax.tree.map(lambda p: 0 * p, params)
    return AdamState(zeros, zeros, 0)


def adam(
    params: Any,
    grads: Any,
    state: AdamState,
    lr: Any,
    *,
    beta1: Any = 0.9,
    beta2: Any = 0.999,
    epsilon: Any = 1e-8,
    correct: bool = True,
) -> tuple[Any, AdamState]:
    """Make one update of Adam (Kingma & Ba 2015, algorithm 1):

        m <- β1 m + (1 - β1) g,     v <- β2 v + (1 - β2) g²,     t <- t + 1
        m̂ = m / (1 - β1^t),         v̂ = v / (1 - β2^t)           the bias correction
        θ <- θ - α m̂ / (√v̂ + ε)

    With `correct=False` the second line is left out, as on the slide of the lecture. That is a slip: m and v start at 0
    and are too small at first, v more so, and the first update is (1 - β1) / √(1 - β2) = 3.2 times too long:

    >>> g, start = jnp.array(7.0), adam_start(jnp.array(0.0))
    >>> for correct in (True, False):
    ...     theta, _ = adam(jnp.array(0.0), g, start, 0.1, correct=correct)
    ...     print(round(float(theta), 4))
    -0.1
    -0.3162
    """
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, state.m, grads)
    v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g**2, state.v, grads)
    t = state.t + 1
    scale1, scale2 = (1 - beta1**t, 1 - beta2**t) if correct else (1.0, 1.0)

    def move(p, m, v):
        return p - lr * (m / scale1) / ((v / scale2) ** 0.5 + epsilon)

    return jax.tree.map(move, params, m, v), AdamState(m, v, t)


def too_long(t: Any, beta1: Any = 0.9, beta2: Any = 0.999) -> Any:
    """By what factor update t = 1, 2, ... is too long without the correction, if ε is 0; the gradients do not matter.

    (1 - β1^t) / √(1 - β2^t)

    >>> [round(too_long(t), 2) for t in (1, 12, 1000)]
    [3.16, 6.57, 1.26]
    """
    return (1 - beta1**t) / (1 - beta2**t) ** 0.5


# --- Gradients of expectations


def pathwise_gradient(f: Callable[[Array], Array], mean: Any, std: Any, z: Any) -> tuple[Array, Array]:
    """Estimate ∂/∂μ and ∂/∂σ of E[F(x)], x ~ N(μ, σ²), from each sample by differentiating F(μ + σ z), z ~ N(0, 1).

        dμ = F'(x),     dσ = F'(x) z        (the reparameterisation trick: Kingma & Welling 2014)

    μ and σ are [D], z [B, D], and F maps [D] to a number; returns two arrays [B, D]. F must be differentiable.
    """
    slope = jax.vmap(jax.grad(f))(mean + std * z)
    return slope, slope * z


def score_function_gradient(
    f: Callable[[Array], Array], mean: Any, std: Any, z: Any, baseline: Any = 0.0
) -> tuple[Array, Array]:
    """The same gradients from values of F alone, which may have jumps: (F(x) - baseline) ∇ log p(x), per sample.

        dμ = F(x) z / σ,     dσ = F(x) (z² - 1) / σ        with x = μ + σ z     (Williams 1992)

    No constant baseline changes the mean. It is the policy gradient's form: x is the action, F its return.
    """
    value = (jax.vmap(f)(mean + std * z) - baseline)[:, None]
    return value * z / std, value * (z**2 - 1) / std
