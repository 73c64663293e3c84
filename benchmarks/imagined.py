"""Measure imagined env steps per second by size of the ensemble, and by who answers which row.

    python benchmarks/imagined.py            all ensembles, about two minutes of one core
    python benchmarks/imagined.py --table    only rewrite the table from the stored results

A row needs the answer of one member. `all` asks every member of every row and picks one at random, as MBPO's own code
does; `permuted` lets each of E members answer its own E-th of the rows, in an order drawn anew in each env step, as all
algorithms with a model do here; `fixed` keeps the order, as particles of PETS do. The three are timed in turn, and a
rate is the best of five turns. Results go to `benchmarks/results/imagined.json` and `.md`.
"""

import os

os.environ.setdefault("NPROC", "1")  # one thread for XLA, so that seconds of the processor are those of work

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import arms
from arms import Row
from swingup.dynamics.ensemble import Ensemble, ensemble
from swingup.dynamics.learned import Learned
from swingup.envs.imagined import Likeness
from swingup.envs.known import never
from swingup.spaces import Box

RESULTS = Path(__file__).parent / "results" / "imagined.json"
OBS, ACTION = 17, 6  # entries of an observation and of an action: HalfCheetah's
ROWS, HORIZON = 420, 20  # rows side by side, env steps of each in a turn; 420 is a multiple of 1, 5 and 7
TURNS, SECONDS = 5, 0.4
ENSEMBLES = (
    (1, (200, 200)),
    (5, (64, 64)),
    (5, (200, 200)),
    (7, (200, 200, 200, 200)),
    (5, (512, 512)),
)
Stepping = Callable[[Ensemble, jax.Array, jax.Array, Any], tuple[jax.Array, jax.Array]]


def cheetah() -> Any:
    """Return the likeness of an environment of HalfCheetah's size, whose reward is learnt and which never ends."""
    spaces = Box.of(-np.inf, np.inf, (OBS,)), Box.of(-1.0, 1.0, (ACTION,))
    return Likeness("HalfCheetah's size", *spaces, None, never)


def shared(shuffled: bool, made: Ensemble, obs: jax.Array, action: jax.Array, noise: Any) -> tuple:
    """Do an env step in which each member answers its part of the rows."""
    after, t = Learned(made, shuffled).step(obs, action, noise)
    return after, t.reward


def asked(made: Ensemble, obs: jax.Array, action: jax.Array, member: jax.Array) -> tuple:
    """Do an env step in which all members answer all rows, and each row takes the answer of one."""
    said, rows = made.predict(obs, action), jnp.arange(len(obs))
    return said.next_obs[member, rows], said.reward[member, rows]


def turn(step: Stepping, draw: Callable[[jax.Array], Any], made: Ensemble, key: jax.Array) -> jax.Array:
    """Imagine `HORIZON` env steps of all rows with any actions; return the rewards [H, B]."""
    k_obs, k_action, k_noise = jax.random.split(key, 3)
    action = jax.random.uniform(k_action, (HORIZON, ROWS, ACTION), minval=-1.0, maxval=1.0)

    def ahead(obs: jax.Array, now: Any) -> tuple:
        return step(made, obs, *now)

    return jax.lax.scan(ahead, jax.random.normal(k_obs, (ROWS, OBS)), (action, draw(k_noise)))[1]


def measure(members: int, hidden: tuple[int, ...]) -> Row:
    """Time an ensemble in the three ways."""
    made = jax.jit(lambda key: ensemble(cheetah(), key, members, hidden))(jax.random.key(0))
    shape, ways = (HORIZON, ROWS), {}
    for name, shuffled in (("permuted", True), ("fixed", False)):
        ways[name] = partial(shared, shuffled), partial(Learned(made, shuffled).draw, lead=shape)
    ways["all"] = asked, lambda key: jax.random.randint(key, shape, 0, members)
    calls = {name: partial(jax.jit(partial(turn, *way)), made) for name, way in ways.items()}
    for call in calls.values():
        jax.block_until_ready(call(jax.random.key(0)))
    rates: dict[str, list[int]] = {name: [] for name in calls}
    for i in range(TURNS):
        for name, call in calls.items():
            rates[name].append(round(rate(partial(call, jax.random.key(i)))))
    return {"members": members, "hidden": list(hidden), "rates": rates}


def rate(call: Callable[[], jax.Array]) -> float:
    """Return imagined env steps per second of the processor."""
    began, calls = time.process_time(), 0
    while (spent := time.process_time() - began) < SECONDS or not calls:
        jax.block_until_ready(call())
        calls += 1
    return calls * HORIZON * ROWS / spent


def table(stored: Row) -> str:
    """Write the results as Markdown."""
    lines = [
        "| ensemble | all members asked | permuted | fixed | permuted beside all |",
        "|---|---|---|---|---|",
    ]
    for r in stored["ensembles"]:
        size = f"{r['members']} x ({' x '.join(map(str, r['hidden']))})"
        best = {name: max(rates) for name, rates in r["rates"].items()}
        ratio = np.median(np.array(r["rates"]["permuted"]) / r["rates"]["all"])
        lines.append(
            f"| {size} | {best['all']:,} | {best['permuted']:,} | {best['fixed']:,} | {ratio:.1f}x |"
        )
    about = (
        f"Imagined env steps per second of one core, {ROWS} rows side by side, {OBS} entries of an observation and "
        f"{ACTION} of an action (HalfCheetah's), learnt reward: the best of {TURNS} turns. The ratio is the median of "
        "those inside a turn. The core was shared with other jobs, whose caches and clock it shares too."
    )
    where = f"Command: `python benchmarks/imagined.py`; {stored['cpu']}, one thread; {stored['versions']}."
    return "\n".join([about, "", *lines, "", where, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", action="store_true", help="run nothing")
    found = []
    for members, hidden in () if parser.parse_args().table else ENSEMBLES:
        found.append(measure(members, hidden))
        print(found[-1], flush=True)
        arms.keep(RESULTS, ["ensembles"], found)
    text = table(arms.stored_in(RESULTS))
    RESULTS.with_suffix(".md").write_text(text)
    print("\n" + text)


if __name__ == "__main__":
    main()
