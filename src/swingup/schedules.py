"""Some hyperparameters are functions of how many env steps have been done, and some work belongs to a part of a run."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import jaxpr_as_fun

from swingup import counters
from swingup.counters import Counter
from swingup.distributions import epsilon_greedy, masked
from swingup.protocols import Algorithm

T = TypeVar("T")


class Exploring(Protocol):
    """These settings have an ε that falls."""

    @property
    def epsilon_start(self) -> float: ...
    @property
    def epsilon_end(self) -> float: ...
    @property
    def epsilon_decay(self) -> float: ...


def epsilon(algo: Exploring, env_steps: Counter) -> Array:
    """Return ε: it falls linearly from `epsilon_start` at env step 0 to `epsilon_end` at `epsilon_decay`, and stays
    there.

    >>> from swingup.algos.dqn import DQN
    >>> algo = DQN(epsilon_start=1.0, epsilon_end=0.1, epsilon_decay=100.0)
    >>> [round(float(epsilon(algo, counters.counter(n))), 3) for n in (0, 50, 100, 1000)]
    [1.0, 0.55, 0.1, 0.1]
    """
    done = jnp.clip(counters.real(env_steps) / algo.epsilon_decay, 0.0, 1.0)
    return algo.epsilon_start + done * (algo.epsilon_end - algo.epsilon_start)


def explore(
    algo: Exploring, q: Array, env_steps: Counter, noise: Array | None, legal: Array | None = None
) -> Array:
    """Return ε-greedy actions [N] for Q(s, ·) [N, A], with the ε of that env step; without noise the greedy ones.

    With `legal` [N, A] they are among the actions that are allowed.
    """
    if noise is None:
        return jnp.argmax(masked(q, legal), -1)
    return epsilon_greedy(q, epsilon(algo, env_steps), legal).from_noise(noise)


def decayed(algo: Algorithm, lr: Array | float, env_steps: Array) -> Array | float:
    """Return a learning rate: `lr`, or with `lr_decay` what is left of it on its linear way to 0 at `lr_horizon` env
    steps.

    >>> from swingup.algos.dqn import DQN
    >>> [float(decayed(DQN(lr_decay=True, lr_horizon=80.0), 0.5, jnp.float32(n))) for n in (0, 20, 80, 90)]
    [0.5, 0.375, 0.0, 0.0]
    """
    return lr * jnp.maximum(0.0, 1 - env_steps / algo.lr_horizon) if algo.lr_decay else lr


def only(when: Array, work: Callable[[T], T], before: T) -> T:
    """Return `work(before)` where `when` [] is true, else `before`: a loop of at most one turn.

    `lax.cond` does the same for one seed. Over seeds it becomes a choice between two results that are both computed; a
    loop goes on while any seed needs it, so work that no seed has to do costs nothing.

    >>> int(only(jnp.bool_(True), lambda x: x + 1, jnp.int32(1))), int(only(jnp.bool_(False), lambda x: x + 1, 1))
    (2, 1)
    """
    traced, shapes = jax.make_jaxpr(work, return_shape=True)(before)

    def turn(carry: tuple[Array, T]) -> tuple[Array, T]:
        # XLA does what is the same in each turn before the loop, though there may be no turn. So what the work reads
        # from outside has to look as if it depended on the turn.
        _, outside, inside = jax.lax.optimization_barrier((carry[0], traced.consts, carry[1]))
        done = jaxpr_as_fun(traced.replace(consts=outside))(*jax.tree.leaves(inside))
        return jnp.bool_(False), jax.tree.unflatten(jax.tree.structure(shapes), done)

    return jax.lax.while_loop(lambda carry: carry[0], turn, (jnp.asarray(when), before))[1]
