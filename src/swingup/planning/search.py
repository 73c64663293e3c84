"""A tree search takes the advice of a network: by AlphaZero's PUCT, or by Gumbel AlphaZero's sequential halving.

`puct` is Silver et al. 2018, "A general reinforcement learning algorithm that masters chess, shogi, and Go through
self-play" (Science 362), with the constants of its pseudocode. `gumbel` is Danihelka et al. 2022, "Policy improvement
by planning with Gumbel" (ICLR). They choose the moves in trees that `swingup.planning.tree` grows; `Root`, `Expansion`
and `Expand` are explained there. Both are pure functions of arrays: equal noise builds equal trees.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup.planning.tree import ILLEGAL, Edges, Expand, Expansion, Root, search

__all__ = ["ILLEGAL", "Expand", "Expansion", "Found", "Root", "completed", "gumbel", "halving", "puct"]


class Found(NamedTuple):
    """This is what a search found, at its root."""

    action: Array  # [B] the move to play
    policy: Array  # [B, A] what the network should have said; 0 for illegal moves
    value: Array  # [B] (v + Σ_a N(a) Q(a)) / (1 + Σ_a N(a))
    visits: Array  # [B, A] N(a), whose sum is the number of simulations
    q: Array  # [B, A] Q(a), for who moves at the root; 0 where N(a) is 0


def puct(
    root: Root,
    expand: Expand,
    simulations: int,
    noise: Array | None = None,
    fraction: Array | float = 0.25,
    c_init: Array | float = 1.25,
    c_base: Array | float = 19652.0,
) -> Found:
    """Search as AlphaZero does (Silver et al. 2018). It walks the move with the highest sum of value and exploration,

        (1 + Q(s, a)) / 2 + c(s) P(a|s) √N(s) / (1 + N(s, a)),      c(s) = log((1 + N(s) + c_base) / c_base) + c_init

    where N(s) = 1 + Σ_a N(s, a), and a move that was not walked counts as lost, Q = -1. Values in [-1, 1] become
    chances of winning, for which the pseudocode's constants are made. The policy is the shares of visits. `action` is
    the most visited move, the first one of equals; to play at a temperature τ, draw from policy^(1/τ).

    `noise` [B, A] makes the search explore: logarithms of Gamma(α, 1), `jax.random.loggamma(key, alpha, (B, A))`.
    Their softmax η over the legal moves is Dirichlet(α), and at the root, only there, P is (1 - ε) P + ε η with
    ε = `fraction`. With None there is no noise.

    >>> def expand(state, action):  # the first move loses at once, the second one wins
    ...     return state, Expansion(2.0 * action - 1.0, jnp.zeros(1), jnp.zeros((1, 2)), jnp.zeros(1))
    >>> root = Root(jnp.zeros(1), jnp.zeros((1, 2)), jnp.zeros(1), jnp.ones((1, 2), bool))
    >>> found = puct(root, expand, 8)
    >>> found.visits, found.q
    (Array([[1, 7]], dtype=int32), Array([[-1.,  1.]], dtype=float32))
    """

    def score(edges: Edges) -> Array:
        total = 1 + edges.visits.sum(-1, keepdims=True)
        c = jnp.log((1 + total + c_base) / c_base) + c_init
        q = jnp.where(edges.visits > 0, edges.q, -1)
        return (1 + q) / 2 + c * jax.nn.softmax(edges.logits) * jnp.sqrt(total) / (1 + edges.visits)

    prior = jax.nn.softmax(jnp.where(root.legal, root.logits, ILLEGAL))
    if noise is not None:
        prior = (1 - fraction) * prior + fraction * jax.nn.softmax(jnp.where(root.legal, noise, ILLEGAL))
    root = root._replace(logits=jnp.log(jnp.maximum(prior, jnp.finfo(prior.dtype).tiny)))
    edges = at_root(search(root, expand, simulations, score, score).edges)
    return found(edges, jnp.argmax(edges.visits, -1), edges.visits / edges.visits.sum(-1, keepdims=True))


def gumbel(
    root: Root,
    expand: Expand,
    simulations: int,
    noise: Array | None = None,
    considered: int = 16,
    offset: Array | float = 50.0,
    scale: Array | float = 0.1,
    *,
    rescale: bool = False,
) -> Found:
    """Search as Gumbel AlphaZero does (Danihelka et al. 2022), which improves on the prior P even with few simulations.

    At the root it takes up the `considered` moves with the highest g(a) + log P(a), walks each of them, and keeps the
    half with the highest g(a) + log P(a) + σ(Q(a)), again and again, see `halving`. The best of the most visited moves
    is `action`. Inside the tree nothing is random: it walks the move with the highest π'(a) - N(a) / (1 + Σ_b N(b)), so
    that visits come to be distributed as π' is (section 5). There and, as `policy`, at the root

        π' = softmax(log P + σ(Q)),      σ(Q(a)) = (offset + max_b N(b)) scale Q(a)

    is the improved policy, where Q is `completed` for moves that were not walked. `noise` [B, A] is g, standard Gumbel;
    with None it is 0, and the search is greedy. Values in [-1, 1] need no `rescale`, which stretches the Q of each
    node to [0, 1]: it is for rewards of unknown size.

    >>> def expand(state, action):  # the first move loses at once, the second one wins
    ...     return state, Expansion(2.0 * action - 1.0, jnp.zeros(1), jnp.zeros((1, 2)), jnp.zeros(1))
    >>> root = Root(jnp.zeros(1), jnp.zeros((1, 2)), jnp.zeros(1), jnp.ones((1, 2), bool))
    >>> found = gumbel(root, expand, 8)
    >>> found.action, found.visits
    (Array([1], dtype=int32), Array([[4, 4]], dtype=int32))
    """
    g = jnp.zeros_like(root.logits) if noise is None else noise
    most = min(considered, root.logits.shape[-1])
    schedule, moves = jnp.asarray(halving(most, simulations)), jnp.minimum(most, root.legal.sum(-1))

    def improved(edges: Edges) -> Array:
        stretch = (offset + edges.visits.max(-1, keepdims=True)) * scale
        return edges.logits + stretch * completed(edges, rescale)

    def among(edges: Edges, visits: Array) -> Array:
        return jnp.where(edges.visits == visits[:, None], g + improved(edges), -jnp.inf)

    def halve(edges: Edges) -> Array:
        return among(edges, schedule[moves, edges.visits.sum(-1)])

    def inside(edges: Edges) -> Array:
        return jax.nn.softmax(improved(edges)) - edges.visits / (1 + edges.visits.sum(-1, keepdims=True))

    edges = at_root(search(root, expand, simulations, halve, inside).edges)
    return found(edges, jnp.argmax(among(edges, edges.visits.max(-1)), -1), jax.nn.softmax(improved(edges)))


def completed(edges: Edges, rescale: bool) -> Array:
    """Return Q [B, A]; a move that was not walked has the mixed value (Danihelka et al. 2022, section 4, appendix D)

        (v + Σ_b N(b) · Σ_a P(a) Q(a) / Σ_a P(a)) / (1 + Σ_b N(b)),      the sums over a go over walked moves

    >>> edges = Edges(jnp.zeros((1, 4)), jnp.array([[1, 2, 0, 0]]), jnp.array([[1.0, 0.0, 0, 0]]), jnp.array([-0.5]))
    >>> completed(edges, rescale=False)
    Array([[1.  , 0.  , 0.25, 0.25]], dtype=float32)
    """
    walked, total = edges.visits > 0, edges.visits.sum(-1)
    prior = jax.nn.softmax(edges.logits)
    prior = jnp.where(walked, jnp.maximum(prior, jnp.finfo(prior.dtype).tiny), 0)
    mean = (prior * edges.q).sum(-1) / jnp.where(total > 0, prior.sum(-1), 1)
    q = jnp.where(walked, edges.q, ((edges.value + total * mean) / (1 + total))[:, None])
    low, high = q.min(-1, keepdims=True), q.max(-1, keepdims=True)
    return (q - low) / jnp.maximum(high - low, 1e-8) if rescale else q


def halving(most: int, simulations: int) -> np.ndarray:
    """Write sequential halving (Karnin et al. 2013) into a table [most + 1, simulations] of visits.

    Row m is for m moves. Simulation i walks a move that has so far the visits that stand in column i. With n
    simulations, each round gives max(1, ⌊n / (⌈log₂ m⌉ k)⌋) visits to each of the k moves that are left: m, m/2, m/4
    and so on, and at last 2.

    >>> halving(4, 12)[4]
    array([0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4])
    """
    table = [list(range(simulations))] * 2  # for one move; and for none, which no position has
    for moves in range(2, most + 1):
        row, left, visits = [], moves, 0
        while len(row) < simulations:
            each = max(1, simulations // (math.ceil(math.log2(moves)) * left))
            row += [visits + i for i in range(each) for _ in range(left)]
            left, visits = max(2, left // 2), visits + each
        table.append(row[:simulations])
    return np.array(table[: most + 1])


def at_root(edges: Edges) -> Edges:
    """The moves of node 0, [B, A], of those of all nodes [B, n, A]."""
    return jax.tree.map(lambda x: x[:, 0], edges)


def found(edges: Edges, action: Array, policy: Array) -> Found:
    """Return the answer of a search whose root has these moves."""
    value = (edges.value + (edges.visits * edges.q).sum(-1)) / (1 + edges.visits.sum(-1))
    return Found(action.astype(jnp.int32), policy, value, edges.visits, edges.q)
