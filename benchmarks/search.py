"""Measure for how many positions a second a tree search finds a move, beside DeepMind's mctx: connect four, one core.

A batch of 64 positions after random moves, a network of two layers of 128 units with random weights, the rules of pgx:
all searches get the same. Seconds are those of the processor, so that what else runs on the machine matters little.
Run: python benchmarks/search.py, which writes benchmarks/results/search.md.
"""

import os

os.environ["NPROC"] = "1"  # one thread for XLA; before JAX starts

import argparse
import platform
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mctx
import pgx

from swingup.planning.search import ILLEGAL, Expansion, Root, gumbel, puct

RESULTS = Path(__file__).parent / "results" / "search.md"
BATCH, WIDTH, SIMULATIONS, SECONDS, BEST_OF = 64, 128, (16, 32, 64, 256), 2.0, 3
GAME = pgx.make("connect_four")
MCTX: Any = mctx  # no type checker sees the keywords of its dataclasses
PACKAGES = "jax", "jaxlib", "mctx", "pgx", "numpy"


def network(key: jax.Array) -> list[jax.Array]:
    sizes = [84, WIDTH, WIDTH, GAME.num_actions + 1]
    keys = jax.random.split(key, 3)
    return [jax.random.normal(k, (m, n)) / m**0.5 for k, m, n in zip(keys, sizes, sizes[1:], strict=False)]


def look(weights: list[jax.Array], state: Any) -> tuple[jax.Array, jax.Array]:
    """Logits [B, A], of which illegal moves have `ILLEGAL`, and values [B]."""
    x = jax.vmap(GAME.observe)(state).reshape(len(state.terminated), -1).astype(jnp.float32)
    for w in weights[:-1]:
        x = jax.nn.relu(x @ w)
    out = x @ weights[-1]
    return jnp.where(state.legal_action_mask, out[:, :-1], ILLEGAL), jnp.tanh(out[:, -1])


def strip(state: Any) -> Any:
    """A state without what can be seen in it, which would be kept in every node."""
    return state.replace(observation=jnp.zeros((len(state.terminated), 0)))


def expand(weights: list[jax.Array], state: Any, action: jax.Array) -> tuple[Any, Expansion]:
    after = jax.vmap(GAME.step)(state, action)
    reward = jnp.take_along_axis(after.rewards, state.current_player[:, None], -1)[:, 0]
    logits, value = look(weights, after)
    return strip(after), Expansion(reward, jnp.where(after.terminated, 0.0, -1.0), logits, value)


def positions(key: jax.Array) -> Any:
    """After eight random moves. The few games that have ended are searched like all others."""

    def move(state: Any, key: jax.Array) -> tuple[Any, None]:
        action = jax.random.categorical(key, jnp.where(state.legal_action_mask, 0.0, ILLEGAL))
        return jax.vmap(GAME.step)(state, action), None

    start = jax.vmap(GAME.init)(jax.random.split(key, BATCH))
    return strip(jax.lax.scan(move, start, jax.random.split(key, 8))[0])


def ours(method: Callable[..., Any], simulations: int, weights: Any, state: Any, key: jax.Array) -> Any:
    logits, value = look(weights, state)
    draw = jax.random.gumbel if method is gumbel else partial(jax.random.loggamma, a=1.0)
    root = Root(state, logits, value, state.legal_action_mask)
    found = method(root, partial(expand, weights), simulations, draw(key, shape=logits.shape))
    return found.action, found.policy


def seeds(method: Callable[..., Any], simulations: int, weights: Any, state: Any, key: jax.Array) -> Any:
    """The same with an axis of one seed, as in training."""
    first = jax.tree.map(lambda x: x[None], (weights, state, key))
    return jax.vmap(partial(ours, method, simulations))(*first)


def theirs(policy: Callable[..., Any], simulations: int, weights: Any, state: Any, key: jax.Array) -> Any:
    def recurrent(weights: Any, key: jax.Array, action: jax.Array, state: Any) -> Any:
        after, new = expand(weights, state, action)
        known = {"reward": new.reward, "discount": new.discount, "value": new.value}
        return MCTX.RecurrentFnOutput(prior_logits=new.logits, **known), after

    logits, value = look(weights, state)
    root = MCTX.RootFnOutput(prior_logits=logits, value=value, embedding=state)
    found = policy(
        weights, key, root, recurrent, num_simulations=simulations, invalid_actions=~state.legal_action_mask
    )
    return found.action, found.action_weights


SEARCHES = {
    "`gumbel`": partial(ours, gumbel),
    "`gumbel` in a `vmap` over one seed": partial(seeds, gumbel),
    "mctx's `gumbel_muzero_policy`": partial(
        theirs,
        partial(
            mctx.gumbel_muzero_policy,
            qtransform=partial(mctx.qtransform_completed_by_mix_value, rescale_values=False),
        ),
    ),
    "`puct`": partial(ours, puct),
    "mctx's `muzero_policy`": partial(
        theirs,
        partial(
            mctx.muzero_policy, qtransform=partial(mctx.qtransform_by_min_max, min_value=-1, max_value=1)
        ),
    ),
}


def speed(run: Callable[..., Any]) -> tuple[float, float]:
    """Positions in a second of the processor, the best of some trials; and seconds of compiling."""
    key = jax.random.key(0)
    weights, state = network(key), jax.jit(positions)(key)
    began = time.process_time()
    search = jax.jit(run).lower(weights, state, key).compile()
    compiling = time.process_time() - began
    jax.block_until_ready(search(weights, state, key))
    best = 0.0
    for _ in range(BEST_OF):
        began, count = time.process_time(), 0
        while time.process_time() - began < SECONDS / BEST_OF:
            jax.block_until_ready(search(weights, state, key))
            count += BATCH
        best = max(best, count / (time.process_time() - began))
    return best, compiling


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, nargs="*", default=SIMULATIONS)
    parser.add_argument("--only", default="")
    o = parser.parse_args()
    rows = []
    for name, search in SEARCHES.items():
        if o.only not in name:
            continue
        found = [speed(partial(search, n)) for n in o.simulations]
        rows.append([name, *(f"{per_second:,.0f}" for per_second, _ in found), f"{found[0][1]:.1f}"])
        print(*rows[-1], sep="   ", flush=True)
    if o.only or tuple(o.simulations) != SIMULATIONS:
        return
    columns = ["search", *(f"{n} simulations" for n in SIMULATIONS), "compiling [s]"]
    lines = [
        "# Positions searched in a second",
        "",
        "`python benchmarks/search.py`. Connect four by pgx, a batch of 64 positions, a network of two layers of 128",
        "units, one thread; positions per second of processor time, the best of three trials.",
        "",
        *("| " + " | ".join(row) + " |" for row in [columns, ["---"] * len(columns), *rows]),
        "",
        f"One of {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; python {platform.python_version()}, "
        + ", ".join(f"{p} {version(p)}" for p in PACKAGES)
        + ".",
        "",
    ]
    RESULTS.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
