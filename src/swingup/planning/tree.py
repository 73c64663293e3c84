"""The trees of a Monte-Carlo search are arrays: B positions are searched at once, and all trees grow node by node.

A simulation has three parts. `select` walks down to a move that has no node yet, `grow` asks the model and the network
for that node, and `backup` carries its value up to the root. An edge (s, a) holds a count N and a mean Q. With r, the
reward of who moves at s, the return of one simulation is, from its leaf upwards,

    G(leaf) = v(leaf),      G(s) = r(s, a) + d(s, a) G(s'),      Q(s, a) = mean of the G(s) that went through a

The discount d says whose turn it is: -1 where the opponent moves next, +1 where the same player moves again, 0 at an
end, and γ for one player alone. Nothing else knows about players. A simulation may walk through an ended node, and what
it finds behind the end counts nothing, because d is 0 there.

How moves are chosen on the way, and what is made of the counts, is in `swingup.planning.search`. The same search in 40
lines of plain Python is in `swingup.planning.lesson`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import custom_vmap

from swingup.errors import ConfigError

ILLEGAL = -1e9  # the logit of a move that is not allowed: finite, because differences of infinities are NaN


class Expansion(NamedTuple):
    """An expansion is what a model and a network say of B successors."""

    reward: Array  # [B] of the player who has just moved
    discount: (
        Array  # [B] 0 at an end, -1 where the other player moves next, +1 where the same one does; times γ
    )
    logits: Array  # [B, A] of the prior over the successor's moves; `ILLEGAL` where one is not allowed
    value: Array  # [B] of the successor, for who moves there


Expand = Callable[[Any, Array], tuple[Any, Expansion]]  # states [B, ...] and moves [B] to successors [B, ...]


class Root(NamedTuple):
    """These are the B positions to search from."""

    state: Any  # [B, ...]
    logits: Array  # [B, A]
    value: Array  # [B] for who moves
    legal: Array  # [B, A] bool


class Edges(NamedTuple):
    """The moves of one node in each row, and the network's value of that node."""

    logits: Array  # [B, A]
    visits: Array  # [B, A] N(s, a)
    q: Array  # [B, A] Q(s, a); 0 where N(s, a) is 0
    value: Array  # [B] v(s)


class Tree(NamedTuple):
    """B trees of n = simulations + 1 nodes. Node 0 is the root, node i is what simulation i added."""

    state: Any  # [B, n, ...]
    edges: Edges  # [B, n, A], and [B, n]
    child: Array  # [B, n, A] the node behind a move; 0, which is nobody's child, where there is none yet
    parent: Array  # [B, n] where a node is reached from,
    action: Array  # [B, n] by which move,
    reward: Array  # [B, n] for which reward,
    discount: Array  # [B, n] and with which discount


Score = Callable[[Edges], Array]  # of the moves [B, A] at one node in each row: the highest one is walked


def search(root: Root, expand: Expand, simulations: int, at_root: Score, inside: Score) -> Tree:
    """Run `simulations` and return the trees. `at_root` and `inside` score the moves at the root and below it."""
    if simulations < 1:
        raise ConfigError(f"a search needs at least 1 simulation, not {simulations}")

    def simulate(i: Array, tree: Tree) -> Tree:
        parent, action = select(tree, at_root, inside)
        tree = grow(tree, parent, action, expand, i + 1)
        return backup(tree, i + 1)

    return jax.lax.fori_loop(0, simulations, simulate, plant(root, simulations + 1))


def plant(root: Root, nodes: int) -> Tree:
    """Make trees with room for `nodes`, of which only the root is there. Its illegal moves are masked here."""

    def room(x: Array) -> Array:
        return jnp.zeros((len(x), nodes, *x.shape[1:]), x.dtype).at[:, 0].set(x)

    logits, zero, index = root.logits, jnp.zeros_like(root.value), jnp.zeros(root.value.shape, jnp.int32)
    counts, q = jnp.zeros(logits.shape, jnp.int32), jnp.zeros_like(logits, root.value.dtype)
    edges = Edges(jnp.where(root.legal, logits, ILLEGAL), counts, q, root.value)
    return jax.tree.map(room, Tree(root.state, edges, counts, index, index, zero, zero))


def select(tree: Tree, at_root: Score, inside: Score) -> tuple[Array, Array]:
    """Walk down from the root to the first move that has no node yet: (parent [B], action [B]).

    Rows that have arrived wait for the deepest one. A move whose logit is `ILLEGAL` is never walked.
    """
    rows = jnp.arange(len(tree.parent))

    def best(score: Score, node: Array) -> Array:
        edges = jax.tree.map(lambda x: x[rows, node], tree.edges)
        legal = edges.logits > ILLEGAL / 2
        return jnp.argmax(jnp.where(legal, score(edges), -jnp.inf), -1).astype(jnp.int32)

    def down(walk: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        parent, action, child = walk
        parent = jnp.where(child > 0, child, parent)
        action = jnp.where(child > 0, best(inside, parent), action)
        return parent, action, jnp.where(child > 0, tree.child[rows, parent, action], 0)

    start = jnp.zeros_like(tree.parent[:, 0])
    action = best(at_root, start)
    walk = start, action, tree.child[rows, start, action]
    return jax.lax.while_loop(lambda walk: jnp.any(walk[2] > 0), down, walk)[:2]


def grow(tree: Tree, parent: Array, action: Array, expand: Expand, node: Array) -> Tree:
    """Put the successor of `parent` [B] by `action` [B] into slot `node`, which is one number for all rows."""
    rows = jnp.arange(len(parent))
    state, new = expand(jax.tree.map(lambda x: x[rows, parent], tree.state), action)

    def put(x: Array, value: Array) -> Array:
        return x.at[:, node].set(value.astype(x.dtype))

    edges = tree.edges
    return Tree(
        jax.tree.map(put, tree.state, state),
        edges._replace(logits=put(edges.logits, new.logits), value=put(edges.value, new.value)),
        tree.child.at[rows, parent, action].set(node),
        put(tree.parent, parent),
        put(tree.action, action),
        put(tree.reward, new.reward),
        put(tree.discount, new.discount),
    )


def backup(tree: Tree, node: Array) -> Tree:
    """Carry the value of slot `node` up to the root, and count the moves on its way.

    G = r(s, a) + d(s, a) G(s'),      N(s, a) <- N(s, a) + 1,      Q(s, a) <- Q(s, a) + (G - Q(s, a)) / N(s, a)
    """
    edges = tree.edges
    path = tree.parent, tree.action, tree.reward, tree.discount
    leaf = jnp.full(len(tree.parent), node, jnp.int32)
    visits, q = climb(edges.visits, edges.q, path, leaf, edges.value[:, node])
    return tree._replace(edges=edges._replace(visits=visits, q=q))


@custom_vmap
def climb(visits: Array, q: Array, path: tuple[Array, ...], node: Array, value: Array) -> tuple[Array, Array]:
    """Run the loop of `backup`: all rows go up by one level at a time, and write only the edges that they pass.

    `visits` and `q` are [B, n, A], the four arrays of `path` [B, n], `node` and `value` [B]. Under `vmap`, for instance
    over seeds, a `while_loop` copies all that it carries at each level, which here is the trees. So a batch of batches
    becomes one longer batch, below.
    """
    rows, outside = jnp.arange(len(node)), visits.shape[1]  # what is written outside is dropped

    def up(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        visits, q, node, value = carry
        parent, action, reward, discount = (x[rows, node] for x in path)
        value = reward + discount * value
        count, mean = visits[rows, parent, action] + 1, q[rows, parent, action]
        place = rows, jnp.where(node > 0, parent, outside), action
        visits = visits.at[place].set(count, mode="drop", unique_indices=True)
        q = q.at[place].set(mean + (value - mean) / count, mode="drop", unique_indices=True)
        return visits, q, jnp.where(node > 0, parent, 0), value

    return jax.lax.while_loop(lambda carry: jnp.any(carry[2] > 0), up, (visits, q, node, value))[:2]


@climb.def_vmap
def _(size: int, batched: Any, *args: Any) -> tuple[tuple[Array, Array], tuple[bool, bool]]:
    def flat(x: Array, has_axis: bool) -> Array:
        x = x if has_axis else jnp.broadcast_to(x, (size, *x.shape))
        return x.reshape(-1, *x.shape[2:])

    visits, q = climb(*jax.tree.map(flat, args, tuple(batched)))
    return (visits.reshape(size, -1, *visits.shape[1:]), q.reshape(size, -1, *q.shape[1:])), (True, True)
