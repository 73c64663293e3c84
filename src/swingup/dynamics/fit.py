"""An ensemble is fitted to transitions, each member to its own draw of them, and judged on rows that none learns from.

The loss of a deterministic member is the mean squared error of standardised targets; that of a Gaussian one is

    L = mean[ (y - μ)² / σ² + log σ² ] + 0.01 Σ (high - low)       (Chua et al. 2018, section 4, appendix A.1)

plus, where ends are learnt, the cross-entropy of the end. Every fifth row by its number is held out, for ever: rows
drawn anew for each fit would leak, since members keep what they have learnt. Each member restores the weights with
which it erred least on the rows held out, whichever look that was (Janner et al. 2019).
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from swingup.dynamics.ensemble import Ensemble, Member, flat, scale_of
from swingup.optimisers import clipped_by_norm, descend, fresh
from swingup.ranges import Among

EVERY = 5  # one row in five is held out: those whose numbers are multiples of it
BOUNDS = 0.01  # the weight of high - low
RESAMPLES = ("bootstrap", "permuted")
Resample = Annotated[str, Among(RESAMPLES)]


class Rows(NamedTuple):
    """These are M transitions to learn from, some of which may not be there yet."""

    obs: Array  # [M, D]
    action: Array  # [M, ...] in the environment's units
    reward: Array  # [M]
    next_obs: Array  # [M, D] the true successors
    terminated: Array  # [M]
    there: Array  # [M] bool


class Pairs(NamedTuple):
    """These are inputs and targets, standardised."""

    x: Array  # [..., i]
    y: Array  # [..., n]
    end: Array  # [...] 0 or 1


def loss(member: Member, b: Pairs, learns_end: bool, decay: Array | float = 0.0) -> Array:
    """Return the loss of one member on a batch [B], to be minimised, with `decay` times the squares of its weights."""
    raw = member(b.x)
    squares = jnp.square(b.y - raw.mean)
    if raw.log_var.shape[-1]:
        bounds = BOUNDS * (member.high - member.low).sum()
        total = jnp.mean(squares * jnp.exp(-raw.log_var) + raw.log_var) + bounds
    else:
        total = jnp.mean(squares)
    if learns_end:
        total += optax.sigmoid_binary_cross_entropy(raw.end, b.end).mean()
    return total + decay * sum(jnp.square(layer.weight).sum() for layer in member.mlp.layers)


def error(member: Member, b: Pairs, weight: Array) -> Array:
    """Return the mean squared error of the means over rows [M] of weight 0 or 1: what elites are chosen by."""
    squares = jnp.square(b.y - member(b.x).mean).mean(-1)
    return jnp.where(weight > 0, squares, 0).sum() / jnp.maximum(weight.sum(), 1)


def fit(
    ensemble: Ensemble,
    rows: Rows,
    key: Array,
    *,
    looks: int,
    gradient_steps: int,
    batch_size: int,
    lr: Array | float = 1e-3,
    decay: Array | float = 0.0,
    max_grad_norm: Array | float = 10.0,
    resample: str = "bootstrap",
) -> tuple[Ensemble, Array]:
    """Go on fitting an ensemble: return it with what each member has learnt, and the loss of the last look, [].

        rows              M transitions; every fifth of them is never learnt from
        key               what the draws come from
        looks             how often the rows held out are looked at, each time after `gradient_steps`
        batch_size        rows of each member in a gradient step
        lr, decay         learning rate of Adam, which begins anew; weight of the squares of the weights
        max_grad_norm     a member's longer gradient is shortened to it
        resample          "bootstrap": each member learns from its own draw with replacement, as many rows as there are;
                          "permuted": from all rows, in its own order

    The scales are those of the rows that are learnt from.
    """
    held, learnt = halves(len(rows.reward))
    ensemble = rescaled(ensemble, rows, learnt)
    train, test = (jax.tree.map(lambda x, i=i: x[i], pairs(ensemble, rows)) for i in (learnt, held))
    draw = partial(drawn, there=rows.there[learnt], resample=resample)
    order, count = jax.vmap(draw)(jax.random.split(key, ensemble.size))
    judge = jax.vmap(partial(error, b=test, weight=rows.there[held].astype(jnp.float32)))
    rule = clipped_by_norm(max_grad_norm, optax.adam(lr))
    slope = jax.value_and_grad(partial(loss, learns_end=ensemble.end is None, decay=decay))
    step = jax.vmap(partial(descent, train, slope, rule, batch_size), (None, 0, 0, 0, 0))

    def gradient_step(carry: Any, i: Array) -> Any:
        members, opt_state, value = step(i, *carry, order, count)
        return (members, opt_state), value.mean()

    def look(carry: Any, i: Array) -> Any:
        learning, best, least = carry
        turns = i * gradient_steps + jnp.arange(gradient_steps)
        learning, value = jax.lax.scan(gradient_step, learning, turns)
        now = judge(learning[0])
        best = jax.tree.map(partial(jax.vmap(jnp.where), now < least), learning[0], best)
        return (learning, best, jnp.fmin(now, least)), value.mean()

    begun = ensemble.members, jax.vmap(partial(fresh, rule))(ensemble.members)
    first = begun, ensemble.members, judge(ensemble.members)
    (_, best, least), value = jax.lax.scan(look, first, jnp.arange(looks))
    return eqx.tree_at(lambda e: (e.members, e.error), ensemble, (best, least)), value[-1]


def descent(
    train: Pairs, slope: Any, rule: optax.GradientTransformation, batch_size: int, i: Array, *state: Any
) -> tuple[Member, optax.OptState, Array]:
    """Take the i-th gradient step of one member; its state are weights, optimiser, and what `drawn` returned."""
    member, opt_state, order, count = state
    at = order[(i * batch_size + jnp.arange(batch_size)) % count]
    value, grads = slope(member, jax.tree.map(lambda x: x[at], train))
    return *descend(rule, member, opt_state, grads), value


def halves(m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which of M rows are held out, and which are learnt from."""
    number = np.arange(m)
    return number[number % EVERY == 0], number[number % EVERY != 0]


def drawn(key: Array, there: Array, resample: str) -> tuple[Array, Array]:
    """Return an order [m] in which a member learns from the rows that are there, and how many these are, at least 1."""
    k_order, k_again = jax.random.split(key)
    order = jnp.argsort(
        jnp.where(there, jax.random.uniform(k_order, there.shape), 2.0)
    )  # those that are there first
    count = jnp.maximum(there.sum(), 1)
    if resample == "bootstrap":
        order = order[jax.random.randint(k_again, there.shape, 0, count)]
    return order, count


def rescaled(ensemble: Ensemble, rows: Rows, learnt: np.ndarray) -> Ensemble:
    """Return the ensemble with the scales of the rows that it learns from, `learnt`."""
    weight = rows.there[learnt].astype(jnp.float32)
    x, y = raw_pairs(ensemble, rows)
    scales = scale_of(x[learnt], weight), scale_of(y[learnt], weight)
    return eqx.tree_at(lambda e: (e.inputs, e.targets), ensemble, scales)


def raw_pairs(ensemble: Ensemble, rows: Rows) -> tuple[Array, Array]:
    """Return inputs [M, i] and targets [M, n] in their own units."""
    y = rows.next_obs - rows.obs
    y = jnp.concatenate([y, rows.reward[:, None]], -1) if ensemble.reward is None else y
    return jnp.concatenate([rows.obs, flat(ensemble.action_space, rows.action)], -1), y


def pairs(ensemble: Ensemble, rows: Rows) -> Pairs:
    """Return what the members see and what they should say, standardised."""
    x = ensemble.features(rows.obs, rows.action)
    return Pairs(x, ensemble.targets.to(raw_pairs(ensemble, rows)[1]), rows.terminated.astype(jnp.float32))
