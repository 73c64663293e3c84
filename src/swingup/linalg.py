"""Systems of linear equations are solved by products alone or by elimination, which vectorise over seeds."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def conjugate_gradient(
    product: Callable[[Array], Array], b: Array, iterations: int, tolerance: float
) -> Array:
    """x with A x = b, for a symmetric positive definite A known by `product`: v -> A v; x and b are [P].

    From x = 0, r = p = b (Hestenes & Stiefel 1952):

        α = r'r / p'Ap,  x <- x + α p,  r' <- r - α Ap,  p <- r' + (r''r' / r'r) p

    until |r| <= `tolerance` |b|; then x stays. A scan of fixed length, so that it vectorises, and in which nothing
    is divided by zero. Not `jax.scipy.sparse.linalg.cg`: for eight seeds side by side, inside the driver's
    loop, that returned infinities on CPU (JAX 0.10.2), where the same product was right outside of it.

    >>> a = jnp.array([[2.0, 1.0], [1.0, 3.0]])
    >>> conjugate_gradient(lambda v: a @ v, jnp.array([4.0, 7.0]), iterations=2, tolerance=1e-6).round(3)
    Array([1., 2.], dtype=float32)
    """
    enough = tolerance**2 * (b @ b)

    def body(carry, _):
        x, r, p, rr = carry
        ap = product(p)
        going = rr > enough
        alpha = jnp.where(going, rr / jnp.where(going, p @ ap, 1.0), 0.0)
        x, r = x + alpha * p, r - alpha * ap
        new = r @ r
        return (x, r, r + new / jnp.where(going, rr, 1.0) * p, new), None

    return jax.lax.scan(body, (jnp.zeros_like(b), b, b, b @ b), length=iterations)[0][0]


def solve(a: Array, b: Array) -> Array:
    """x with A x = b, by Gauss-Jordan elimination without pivots; A is [S, S], x and b are [S].

    For the matrices I - γ P, which need no pivots: each row is dominated by its diagonal. Not `jnp.linalg.solve`,
    which becomes a batched call of LAPACK when seeds are vmapped: see `swingup.nets.layers.orthogonal`.

    >>> solve(jnp.array([[2.0, -1.0], [-1.0, 3.0]]), jnp.array([0.0, 5.0]))
    Array([1., 2.], dtype=float32)
    """

    def eliminate(i, m):
        row = m[i] / m[i, i]
        return (m - m[:, i, None] * row).at[i].set(row)

    return jax.lax.fori_loop(0, len(b), eliminate, jnp.concatenate([a, b[:, None]], 1))[:, -1]
