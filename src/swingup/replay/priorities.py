"""Prioritised sampling (Schaul, Quan, Antonoglou & Silver 2016, arXiv:1511.05952) needs a sum tree, wide and shallow.

Each node is the sum of its 32 children, so that 100,000 leaves lie under four levels: a batch goes down all of
them at once by four gathers, and a changed leaf is summed anew, never corrected by a difference, which would
drift. Nothing here loops over leaves or branches, so it is as fast under `vmap`. `Uniform` stands where there are no
priorities: it has the same methods, and draws all transitions alike.
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from swingup.protocols import VecEnv
from swingup.replay import ring
from swingup.replay.ring import Batch, Ring
from swingup.sharing import parted

WIDTH = 32


class SumTree(NamedTuple):
    levels: tuple[Array, ...]  # the leaves, their sums in groups of 32, ... up to at most 32 nodes

    @property
    def total(self) -> Array:
        return self.levels[-1].sum()


class Drawing(Protocol):
    """These settings say how a batch is drawn."""

    @property
    def batch_size(self) -> int: ...
    @property
    def gamma(self) -> float: ...
    @property
    def n_step(self) -> int: ...
    @property
    def hindsight(self) -> int: ...
    @property
    def beta(self) -> float: ...
    @property
    def prioritised(self) -> bool: ...
    @property
    def replay_size(self) -> int: ...


class Uniform(NamedTuple):
    """There are no priorities: all transitions are drawn alike."""

    def admit(self, *_: object) -> "Uniform":
        """Return the same: there are still none."""
        return self

    def learn(self, *_: object) -> "Uniform":
        """Return the same: there are still none."""
        return self

    def sample(self, replay: Ring, key: Array, algo: Drawing) -> Batch:
        """Draw a batch, all transitions equally likely; with goals of hindsight, if they are asked for."""
        return ring.sample(replay, key, algo.batch_size, algo.gamma, algo.n_step, algo.hindsight)


class Priorities(NamedTuple):
    tree: SumTree  # p^α of each place in the replay; 0 where nothing can be drawn
    highest: Array  # the largest p^α so far: what new transitions get

    def admit(self, replay: Ring, num_steps: int) -> "Priorities":
        """Give the highest priority to the newest `num_steps` rows of each environment, which were just written."""
        return enter(self, *ring.written(replay, num_steps))

    def learn(self, index: Array, error: Array, alpha: Array | float) -> "Priorities":
        """Set the priorities of the places `index` [B] by their errors in the gradient step that was just taken."""
        return update(self, index, error, alpha)

    def sample(self, replay: Ring, key: Array, algo: Drawing) -> Batch:
        """Draw a batch by priority; its importance weights are in the weights of the loss."""
        index = draw(self, key, algo.batch_size)
        b = parted(ring.take(replay, index, algo.gamma, algo.n_step))
        size = replay.size * replay.words.shape[1]
        return b._replace(weight=b.weight * weights(self, index, size, algo.beta))


def sum_tree(size: int) -> SumTree:
    """Make a tree of `size` zeros."""
    levels = []
    while True:
        size = -(-size // WIDTH) * WIDTH
        levels.append(jnp.zeros(size))
        if size <= WIDTH:
            return SumTree(tuple(levels))
        size //= WIDTH


def put(tree: SumTree, index: Array, value: Array) -> SumTree:
    """Set the leaves `index` [B] to `value` [B]. Where two indices are equal, so must their values be.

    >>> tree = put(sum_tree(100), jnp.array([3, 40]), jnp.array([1.0, 2.0]))
    >>> tree.total, tree.levels[1][:2]
    (Array(3., dtype=float32), Array([1., 2.], dtype=float32))
    """
    levels = [tree.levels[0].at[index].set(value)]
    for level in tree.levels[1:]:
        index = index // WIDTH
        sums = levels[-1].reshape(-1, WIDTH)[index].sum(-1)
        levels.append(level.at[index].set(sums))
    return SumTree(tuple(levels))


def find(tree: SumTree, mass: Array) -> Array:
    """The leaves in which `mass` [B] of [0, total) falls, when all are laid end to end. Never one that is 0.

    >>> tree = put(sum_tree(100), jnp.array([3, 40]), jnp.array([1.0, 2.0]))
    >>> find(tree, jnp.array([0.0, 0.9, 1.0, 2.9]))
    Array([ 3,  3, 40, 40], dtype=int32)
    """
    index = jnp.zeros(mass.shape, jnp.int32)
    for level in reversed(tree.levels):
        upto = jnp.cumsum(level.reshape(-1, WIDTH)[index], -1)
        # Sums of sums round: what is left of the mass must stay below the last node that is not empty.
        mass = jnp.minimum(mass, upto[:, -1] * (1 - 2**-23))
        child = jnp.sum(upto <= mass[:, None], -1)
        before = jnp.take_along_axis(upto, jnp.maximum(child - 1, 0)[:, None], 1)[:, 0]
        mass = jnp.where(child > 0, mass - before, mass)
        index = index * WIDTH + child.astype(jnp.int32)
    return index


def start(algo: Drawing, env: VecEnv) -> tuple[Ring, Priorities | Uniform]:
    """Return an empty replay, and the priorities of what will be in it."""
    replay = ring.empty(env, algo.replay_size)
    return replay, empty(replay.places) if algo.prioritised else Uniform()


def empty(places: int) -> Priorities:
    """Return the priorities of an empty replay of C N `places`."""
    return Priorities(sum_tree(places), jnp.float32(1.0))


def enter(p: Priorities, new: Array, empty: Array) -> Priorities:
    """New transitions at the places `new` get the highest priority; the places `empty` none. Both [B]."""
    tree = put(p.tree, empty, jnp.zeros(empty.shape))
    return Priorities(put(tree, new, jnp.broadcast_to(p.highest, new.shape)), p.highest)


def draw(p: Priorities, key: Array, count: int) -> Array:
    """`count` places with P(i) = p_i^α / Σ_k p_k^α (eq. 1): one from each of as many equal shares of the total."""
    u = jax.random.uniform(key, (count,))
    return find(p.tree, (jnp.arange(count) + u) / count * p.tree.total)


def weights(p: Priorities, index: Array, size: Array, beta: Array | float) -> Array:
    """Importance weights w_i = (size P(i))^-β, divided by their largest in the batch (section 3.4). [B]."""
    probability = p.tree.levels[0][index] / p.tree.total
    w = (size * probability) ** -beta
    return w / w.max()


def update(p: Priorities, index: Array, error: Array, alpha: Array | float) -> Priorities:
    """p_i = (|δ_i| + 1e-6)^α for the places `index` [B] that were just learnt from (section 3.3)."""
    value = (jnp.abs(error) + 1e-6) ** alpha
    return Priorities(put(p.tree, index, value), jnp.maximum(p.highest, value.max()))
