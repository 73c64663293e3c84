"""Plans of continuous actions are found by trying many: random shooting, and the cross-entropy method (CEM).

A plan is [H, A], actions of H env steps ahead in the policy's units, in which [-1, 1] spans each bound. Both planners
plan for one state, from which `score` says what plans are worth; `jax.vmap` plans for several. A plan is only ever as
good as its score: `swingup.planning.worth` scores by a `Model`.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from swingup.errors import ConfigError
from swingup.nets.value_networks import dimensions
from swingup.ranges import Among
from swingup.spaces import Space

Score = Callable[[Array, Array], Array]  # plans [C, H, A] and a key: what each is worth, [C]; more is better
Planner = Annotated[str, Among(("cem", "shooting"))]


class Plan(NamedTuple):
    """This is what a planner found."""

    actions: Array  # [H, A] in [-1, 1]: what to do
    value: Array  # [] what it is said to be worth
    best: Array  # [H, A] the best plan that was tried; of random shooting, the same


def shooting(score: Score, key: Array, candidates: int, shape: tuple[int, int]) -> Plan:
    """Return the best of C plans [H, A] that are drawn uniformly (Nagabandi et al. 2018, section IV.C).

        score         what plans are worth; one whose worth is NaN is never the best
        key           what the draws come from
        candidates    C
        shape         (H, A)

    >>> plan = shooting(lambda plans, _: -((plans - 0.5) ** 2).sum((1, 2)), jax.random.key(0), 1000, (1, 1))
    >>> bool(jnp.abs(plan.actions - 0.5).max() < 0.01)
    True
    """
    k_draw, k_score = jax.random.split(key)
    plans = jax.random.uniform(k_draw, (candidates, *shape), minval=-1.0, maxval=1.0)
    value = finite(score(plans, k_score))
    best = jnp.argmax(value)
    return Plan(plans[best], value[best], plans[best])


def cem(
    score: Score,
    key: Array,
    mean: Array,
    *,
    candidates: int,
    iterations: int,
    elites: int,
    momentum: Array | float = 0.1,
    sigma: Array | float = 0.5,
) -> Plan:
    """Search by the cross-entropy method (Rubinstein 1999; as in PETS, Chua et al. 2018).

    Draw C plans from a Gaussian, and move it to the K best of them, the elites; again and again:

        plan ~ clip(N(μ, σ²), -1, 1),      μ <- α μ + (1 - α) mean(elites),      σ <- α σ + (1 - α) std(elites)

        score         what plans are worth; one whose worth is NaN or -∞ is never an elite
        key           what the draws come from
        mean          μ at the beginning, [H, A]: zeros, or the last plan, shifted
        candidates    C; one of them is μ itself, so that a good plan is not lost to bad luck
        elites        K
        momentum      α
        sigma         σ at the beginning

    Returns the last μ, with the worth of the best plan that was tried, and that plan. No plan leaves [-1, 1]. If no
    worth is a number, μ and σ stay what they are.

    >>> def score(plans, key):
    ...     return -((plans - 0.5) ** 2).sum((1, 2))
    >>> plan = cem(score, jax.random.key(0), jnp.zeros((2, 1)), candidates=64, iterations=5, elites=8)
    >>> plan.actions.round(1).tolist()
    [[0.5], [0.5]]
    """

    def further(at, key):
        return improved(score, at, key, candidates, elites, momentum), None

    found = jax.lax.scan(further, begun(mean, sigma), jax.random.split(key, iterations))[0]
    return Plan(found.mean, found.value, found.best)


class Found(NamedTuple):
    """This is what a search by `cem` has found so far."""

    mean: Array  # [H, A] μ
    std: Array  # [H, A] σ
    best: Array  # [H, A] the best plan that was tried
    value: Array  # [] what that one is said to be worth


def begun(mean: Array, sigma: Array | float) -> Found:
    """Return where a search begins, before anything was tried."""
    mean = jnp.clip(mean, -1, 1)
    return Found(mean, jnp.full_like(mean, sigma), mean, jnp.float32(-jnp.inf))


def improved(
    score: Score, at: Found, key: Array, candidates: int, elites: int, momentum: Array | float
) -> Found:
    """Return what was found after one more iteration of `cem`."""
    mean, std, best, value = at
    k_draw, k_score = jax.random.split(key)
    drawn = mean + std * jax.random.normal(k_draw, (candidates, *mean.shape))
    tried = jnp.clip(drawn.at[0].set(mean), -1, 1)
    top, index = jax.lax.top_k(finite(score(tried, k_score)), elites)
    chosen, some = tried[index], top[0] > -jnp.inf
    centre, spread = moments(chosen, jnp.isfinite(top))
    best, value = jnp.where(top[0] > value, chosen[0], best), jnp.maximum(top[0], value)
    mean = jnp.where(some, momentum * mean + (1 - momentum) * centre, mean)
    std = jnp.where(some, momentum * std + (1 - momentum) * spread, std)
    return Found(mean, std, best, value)


def moments(chosen: Array, counts: Array) -> tuple[Array, Array]:
    """Return mean and deviation [H, A] of the plans [K, H, A] that count [K]."""
    share = (counts / jnp.maximum(counts.sum(), 1))[:, None, None]
    mean = (share * chosen).sum(0)
    return mean, jnp.sqrt((share * jnp.square(chosen - mean)).sum(0))


def shifted(plan: Array) -> Array:
    """Return the rest of a plan [..., H, A] after its first action, and a zero action behind it: where to begin next.

    >>> shifted(jnp.array([[1.0], [2.0]])).tolist()
    [[2.0], [0.0]]
    """
    return jnp.concatenate([plan[..., 1:, :], jnp.zeros_like(plan[..., :1, :])], -2)


class Carried(NamedTuple):
    """This is what a planner carries from one env step to the next: zeros where an episode begins."""

    plan: Array  # [N, H, A] where the next search begins
    age: Array  # [N] int32: env steps since the episode began


def nothing(space: Space, num_envs: int, horizon: int) -> Carried:
    """Return plans of zeros. Raises `ConfigError` for actions that are no vectors with finite bounds."""
    return Carried(jnp.zeros((num_envs, horizon, dimensions(space))), jnp.zeros(num_envs, jnp.int32))


def carry_on(found: Plan, before: Carried) -> Carried:
    """Return what to carry on after plans [N, H, A] were found."""
    return Carried(shifted(found.actions), before.age + 1)


def fixed_keys(age: Array) -> Array:
    """Return the keys [N] of a greedy planner: the same in each run, and others in each env step.

    With one and the same key the plans tried would differ from the last ones in the same ways in every env step, so
    that what they leave out is never tried.
    """
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(0)))(age)


class Searching(Protocol):
    """These settings say how plans are searched for."""

    @property
    def planner(self) -> str: ...
    @property
    def horizon(self) -> int: ...
    @property
    def candidates(self) -> int: ...
    @property
    def search_iterations(self) -> int: ...
    @property
    def elites(self) -> int: ...
    @property
    def momentum(self) -> float: ...
    @property
    def sigma(self) -> float: ...
    @property
    def particles(self) -> int: ...
    @property
    def env_steps_per_iteration(self) -> int: ...


def search(algo: Searching, score: Score, key: Array, last: Array) -> Plan:
    """Search as the settings say; `last` [H, A] is where `cem` begins."""
    if algo.planner == "shooting":
        return shooting(score, key, algo.candidates, (last.shape[0], last.shape[1]))
    how = {"candidates": algo.candidates, "iterations": algo.search_iterations, "elites": algo.elites}
    return cem(score, key, last, momentum=algo.momentum, sigma=algo.sigma, **how)


def imagined(algo: Searching) -> int:
    """Return how many env steps of the model the searches of an iteration take."""
    iterations = algo.search_iterations if algo.planner == "cem" else 1
    return algo.env_steps_per_iteration * iterations * algo.candidates * algo.particles * algo.horizon


def check_search(algo: Searching) -> None:
    """Raise `ConfigError` where more plans shall be elites than there are."""
    if algo.planner == "cem" and algo.elites > algo.candidates:
        raise ConfigError(f"elites={algo.elites} cannot be more than candidates={algo.candidates}")


def finite(value: Array) -> Array:
    """Return -∞ in the place of NaN, so that it is never chosen."""
    return jnp.where(jnp.isnan(value), -jnp.inf, value)
