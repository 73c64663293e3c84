"""Measure what each part of World Models is worth on the track, and what dreams at a temperature are.

    python benchmarks/world_models.py                         all arms and temperatures, 5 seeds side by side
    python benchmarks/world_models.py --only v-m v frames     some of them
    python benchmarks/world_models.py --speed                 seconds of a generation of 32 x 8 episodes
    python benchmarks/world_models.py --table                 only rewrite the table from the stored results

V and M are trained once per seed, on random actions; all arms of a seed share them and have the same number of
generations, candidates and episodes. `dream-T` is the full agent whose candidates are scored in dreams at temperature T
alone; in each generation the mean of its weights also plays in truth, which it never learns from. At the end each agent
plays 50 fixed roads greedily, and dreams at its own temperature. Results are stored after each arm, seed by seed, in
`benchmarks/results/world-models.json`; what is stored is not run again unless it is named by `--only`.
"""

import os

os.environ.setdefault(
    "NPROC", "1"
)  # one thread for XLA, so that seconds of the processor are seconds of work

import argparse
import json
import platform
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import swingup
from swingup.algos.world_models import ARMS, WorldModels
from swingup.envs import make
from swingup.episodes import evaluate
from swingup.evolution import evolution
from swingup.statistics import mean_ci
from swingup.training import driver
from swingup.types import State

RESULTS = Path(__file__).parent / "results" / "world-models.json"
ENV, EPISODES = "task:Track?actions=continuous", 50
TAUS = 0.1, 0.5, 1.0, 1.15, 1.3
RUNS = [*ARMS, *(f"dream-{tau}" for tau in TAUS)]
TOLD = "vision/error", "vision/kl", "model/loss", "model/reward_error", "imagined/return"
Row = dict[str, Any]


def settings(run: str, small: Row) -> WorldModels:
    """Return the settings of an arm, or of the full agent in dreams."""
    if run.startswith("dream-"):
        return WorldModels(dreams=True, temperature=float(run.removeprefix("dream-")), **small)
    return WorldModels(arm=run, **small)


def taught(small: Row, seeds: int) -> tuple[State, Any]:
    """Let V and M learn from random actions: the state of all seeds before the first generation, and the first M."""
    algo = settings("v-m", small)
    env = make(ENV, algo.num_envs)
    state = driver.begin(algo, env, range(seeds))
    untrained = jax.tree.map(jnp.copy, state.learner.model)

    def look(p: driver.Progress) -> None:
        known = {k: np.round(v[:, -1], 2).tolist() for k, v in p.metrics.items() if k in TOLD}
        print(f"iteration {p.iteration} of {algo.learning}: {known}", flush=True)

    return driver.run(algo, env, state, algo.learning, every=[1], callbacks=[look]), untrained


def begun(algo: WorldModels, base: State, untrained: Any, seeds: int) -> State:
    """Return the state before an arm's first generation: the V and M of `taught`, and a C that knows nothing."""
    size = algo.controller(make(ENV, 1).action_space).size
    keys = driver.root_keys(range(seeds), "generations")
    epsilon = jax.vmap(lambda key: jax.random.normal(key, (algo.population, size)))(keys)
    guess = evolution(jnp.zeros(size), algo.sigma)
    learner = base.learner._replace(
        evolution=jax.tree.map(lambda x: jnp.broadcast_to(x, (seeds, *x.shape)), guess),
        epsilon=epsilon,
        iteration=jax.tree.map(lambda x: jnp.full_like(x, 0), base.learner.iteration)._replace(
            low=jnp.full(seeds, algo.learning, jnp.int32)
        ),
        model=base.learner.model if algo.arm == "v-m" else untrained,
    )
    return jax.tree.map(jnp.copy, State(learner, base.actor, keys))


def train(run: str, base: tuple[State, Any], small: Row, seeds: int, generations: int) -> Row:
    """Evolve C of one arm for all seeds, from their V and M; then play and dream."""
    began, algo = time.process_time(), settings(run, small)
    env, many = make(ENV, algo.num_envs), make(ENV, EPISODES)
    state = begun(algo, *base, seeds)
    curves: dict[str, list] = {"evolution/score": [], "ep/return_last100": []}

    def look(p: driver.Progress) -> None:
        for name, curve in curves.items():
            curve.append(np.round(p.metrics[name][:, -1], 3).tolist())
        print(
            f"{run}: generation {p.iteration} of {generations}: {curves['evolution/score'][-1]}", flush=True
        )

    state = driver.run(algo, env, state, generations, every=[1], callbacks=[look])

    @jax.jit
    def judge(learner: Any) -> jax.Array:
        def one(learner: Any) -> jax.Array:
            memory = algo.start_memory(many.action_space, EPISODES)
            key = driver.root_key(0, "fixed starts")
            return evaluate(many, lambda seen, _: algo.act(learner, seen), key, memory=memory)[0].mean()

        return jax.vmap(one)(learner)

    @jax.jit
    def dreamt(learner: Any) -> jax.Array:
        longer, key = replace(algo, tries=EPISODES), jax.random.key(1)
        return jax.vmap(lambda one: longer.dream(one, one.evolution.mean[None], key)[0])(learner)

    real = np.asarray(judge(state.learner), float)
    dream = np.asarray(dreamt(state.learner), float) if algo.arm == "v-m" else np.full(seeds, np.nan)
    seconds = (time.process_time() - began) / seeds
    rows = [
        {
            "seed": seed,
            "real": round(float(real[seed]), 3),
            "dream": None if np.isnan(dream[seed]) else round(float(dream[seed]), 3),
            "curves": {name: [row[seed] for row in curve] for name, curve in curves.items()},
            "seconds": round(seconds, 1),
        }
        for seed in range(seeds)
    ]
    return {"generations": generations, "settings": small, "rows": rows}


def speed() -> Row:
    """Measure a generation of 32 candidates x 8 episodes of 200 env steps, V and M included: the best of three."""
    algo = WorldModels(arm="v-m", vision_iterations=0, model_iterations=0)
    env = make(ENV, algo.num_envs)
    state = driver.begin(algo, env, [0])
    step = driver.program(algo, env, state, driver.CHUNK)
    found = []
    for _ in range(3):
        began, wall = time.process_time(), time.monotonic()
        state, _ = jax.block_until_ready(step(algo, state, jnp.int32(1)))
        found.append((time.process_time() - began, time.monotonic() - wall))
    best = min(found)
    return {"cpu_seconds": round(best[0], 2), "seconds": round(min(x[1] for x in found), 2)}


def table(stored: Row) -> str:
    """Write the results as Markdown."""
    lines = [
        "# World Models on the track",
        "",
        "| agent | seeds | generations | real return | 95 % CI | worst seed | dream return | CPU seconds per seed |",
        "|---" * 8 + "|",
    ]
    for run in (r for r in RUNS if r in stored["runs"]):
        rows, found = stored["runs"][run]["rows"], stored["runs"][run]
        real = np.array([row["real"] for row in rows])
        dream = [row["dream"] for row in rows if row["dream"] is not None]
        low, high = mean_ci(real)
        interval = f"[{low:.2f}, {high:.2f}]" if np.isfinite(low) else "–"
        cells = [
            run,
            str(len(rows)),
            str(found["generations"]),
            f"{real.mean():.2f}",
            interval,
            f"{real.min():.2f}",
        ]
        cells += [
            f"{np.mean(dream):.2f}" if dream else "–",
            f"{np.mean([row['seconds'] for row in rows]):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    small = next(iter(stored["runs"].values()))["settings"] if stored["runs"] else {}
    about = (
        f"`{ENV}`, a lap is worth 10. Real returns are means of {EPISODES} fixed roads, played greedily with the "
        f"mean of C's weights; dream returns are what these weights earn in {EPISODES} dreams of M, `dream-T` at its "
        "temperature T, the others at 1. Intervals are percentile bootstraps over seeds. Settings beside the defaults: "
        f"{', '.join(f'`{k}={v}`' for k, v in small.items())}. CPU seconds include compiling."
    )
    lines += ["", about]
    if "speed" in stored:
        s = stored["speed"]
        lines += [
            "",
            f"A generation of 32 candidates x 8 episodes, 51,200 env steps with frames, V, M and C: {s['cpu_seconds']} "
            f"CPU seconds, {s['seconds']} s on the clock of a machine shared with other jobs.",
        ]
    where = f"Command: `python benchmarks/world_models.py`; {stored['cpu']}, one core; {stored['versions']}."
    shown = "![Real returns and promises of all arms](world-models.png)"
    return "\n".join([*lines[:2], shown, "", *lines[2:], "", where, ""])


def figure(stored: Row) -> None:
    """Draw the real return of each arm, its seeds and its interval, and beside it what dreams promise."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    runs = [run for run in RUNS if run in stored["runs"]]
    fig, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
    for at, run in enumerate(runs):
        rows = stored["runs"][run]["rows"]
        real, dreamt = np.array([row["real"] for row in rows]), [row["dream"] for row in rows]
        low, high = mean_ci(real)
        ax.plot([at] * len(real), real, ".", color="C0", alpha=0.5)
        ax.errorbar(
            at, real.mean(), [[real.mean() - low], [high - real.mean()]], fmt="o", color="C0", capsize=4
        )
        if None not in dreamt:
            ax.plot(at + 0.25, np.mean(dreamt), "D", color="C1")
    ax.plot([], [], "o", color="C0", label="real return: mean, interval and seeds")
    ax.plot([], [], "D", color="C1", label="what dreams promise")
    ax.axhline(0, color="0.7", lw=0.8)
    ax.set_xticks(range(len(runs)), runs, rotation=30, ha="right")
    ax.set(ylabel="return (a lap is worth 10)", title="World Models and its controls on the track")
    ax.legend()
    fig.savefig(RESULTS.with_suffix(".png"), dpi=100)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=RUNS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--generations", type=int, default=40)
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--episodes", type=int, default=4, help="of each candidate, in truth and in dreams")
    parser.add_argument(
        "--gradient-steps", type=int, default=250, help="of V and of M, in each of four iterations"
    )
    parser.add_argument("--speed", action="store_true", help="measure a generation alone")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    stored: Row = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}}
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    stored["cpu"] = next(
        (x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "unknown CPU"
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "optax", "numpy"))
    stored["versions"] = f"swingup {swingup.__version__}, {packages}, Python {platform.python_version()}"
    small = {
        "num_envs": options.population * options.episodes,
        "population": options.population,
        "tries": options.episodes,
        "vision_steps": options.gradient_steps,
        "model_steps": options.gradient_steps,
        "replay_size": 8 * 200 * options.population * options.episodes,
    }
    if options.speed:
        stored["speed"] = speed()
    elif not options.table:
        runs = options.only or [run for run in RUNS if run not in stored["runs"]]
        base = taught(small, options.seeds)
        for run in runs:
            stored["runs"][run] = train(run, base, small, options.seeds, options.generations)
            RESULTS.write_text(json.dumps(stored) + "\n")
            RESULTS.with_suffix(".md").write_text(table(stored))
    RESULTS.write_text(json.dumps(stored) + "\n")
    RESULTS.with_suffix(".md").write_text(table(stored))
    figure(stored)


if __name__ == "__main__":
    main()
