"""Measure what imagination buys I2A: all of its arms, over env steps and over seconds.

    python benchmarks/imagination.py                        all arms on task:PushBox, 5 seeds each
    python benchmarks/imagination.py --only learned copy --env-steps 100_000
    python benchmarks/imagination.py --only --longer 2_100_000      the arm without a model, for more env steps
    python benchmarks/imagination.py --table                only rewrite table and figure from the stored results

The seeds of an arm are trained side by side, in one program. At each of ten looks every seed plays the same 200 levels
greedily. Seconds are those of the processor while it trains, without compiling and without looks; the program of an
arm is compiled before the first is counted. Arms have equally many weights, and the same settings but for `arm`.
Results go to `benchmarks/results/imagination.json` (every look of every seed), `.md` and `.png`.
"""

import os

os.environ.setdefault("NPROC", "1")  # one thread for XLA: seconds of the processor are seconds of work

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
from swingup.algos.i2a import ARMS, I2A
from swingup.envs import make
from swingup.episodes import evaluate
from swingup.nets.imagination import weights
from swingup.presets import preset
from swingup.statistics import mean_ci
from swingup.training import driver

RESULTS = Path(__file__).parent / "results" / "imagination.json"
EPISODES, LOOKS, ENV = 200, 10, "task:PushBox"
SOLVED = 3.0  # a level that is solved pays more than this, and one that is not pays less
KEPT = (
    *("model/bits_wrong", "model/bits_changed", "model/reward_error"),
    *("entropy", "loss/distil", "ep/return"),
)
Row = dict[str, Any]


def settings(arm: str, depth: int | None) -> I2A:
    """Return the preset's settings with another arm."""
    known = preset("i2a", ENV)
    assert known
    return replace(known.algo, arm=arm, depth=depth or known.algo.depth)


def train(algo: I2A, seeds: int, env_steps: int) -> Row:
    """Train all seeds side by side, and look ten times."""
    world, many = make(ENV, algo.num_envs), make(ENV, EPISODES)
    every = max(1, env_steps // LOOKS // algo.env_steps_per_iteration)
    roots = jnp.stack([driver.root_key(seed, "train") for seed in range(seeds)])
    state = jax.jit(jax.vmap(lambda key: algo.init(world, key)))(roots)

    def several(state: Any) -> Any:
        state, metrics = jax.lax.scan(lambda state, _: algo.step(world, state), state, None, every)
        return state, {name: jnp.nanmean(x) for name, x in metrics.items() if name in KEPT}

    def judge(learner: Any) -> Any:
        key = driver.root_key(0, "fixed starts")
        returns = evaluate(many, lambda seen, _: algo.act(learner, seen), key)[0]
        return returns.mean(), (returns > SOLVED).mean()

    step = jax.jit(jax.vmap(several)).lower(state).compile()
    look = jax.jit(jax.vmap(judge)).lower(state.learner).compile()
    out: Row = {"env_steps": [], "seconds": [], "returns": [], "solved": [], "told": []}
    seconds = 0.0
    for i in range(LOOKS + 1):
        if i:
            began = time.process_time()
            state, told = jax.block_until_ready(step(state))
            seconds += time.process_time() - began
            out["told"].append({name: np.round(np.float64(x), 5).tolist() for name, x in told.items()})
        returns, solved = look(state.learner)
        out["env_steps"].append(i * every * algo.env_steps_per_iteration)
        out["seconds"].append(round(seconds, 1))
        out["returns"].append(np.round(np.float64(returns), 3).tolist())
        out["solved"].append(np.round(np.float64(solved), 3).tolist())
        print(
            algo.arm,
            out["env_steps"][-1],
            out["seconds"][-1],
            out["returns"][-1],
            out["solved"][-1],
            flush=True,
        )
    return out | {"weights": weights(jax.tree.map(lambda x: x[0], state.learner.params))}


def at(times: list[float], rows: np.ndarray, limit: float) -> np.ndarray:
    """Return each seed's result at a time, on the straight line between the looks around it; the last look's after it.

    >>> at([0.0, 2.0], np.array([[0.0], [4.0]]), 1.0).tolist()
    [2.0]
    """
    return np.array([np.interp(limit, times, rows[:, seed]) for seed in range(rows.shape[1])])


def interval(x: np.ndarray) -> str:
    """Write a mean over seeds with its interval."""
    low, high = mean_ci(x)
    return f"{x.mean():.2f} [{low:.2f}, {high:.2f}]"


def row(arm: str, r: Row, fastest: float) -> str:
    """Write an arm's line of the table."""
    returns, solved, told = np.array(r["returns"]), np.array(r["solved"]), r["told"][-1]
    drawn = np.array([told["ep/return"] for told in r["told"]])
    share = [np.mean(told[name]) if name in told else None for name in KEPT[:2]]
    speed = returns.shape[1] * r["env_steps"][-1] / max(r["seconds"][-1], 1e-9)
    cells = (
        arm,
        interval(drawn[-1]),
        interval(at(r["seconds"][1:], drawn, fastest)),
        interval(returns[-1]),
        interval(solved[-1]),
        f"{r['seconds'][-1]:.0f}",
        f"{speed:,.0f}",
        *("–" if x is None else f"{x:.4f}" for x in share),
        f"{r['weights']:,}",
    )
    return f"| {' | '.join(cells)} |"


def table(stored: Row) -> str:
    """Write the results as Markdown."""
    arms = {arm: stored["arms"][arm] for arm in ARMS if arm in stored["arms"]}
    fastest = min(r["seconds"][-1] for r in arms.values())
    lines = [
        "| arm | return in the last tenth of training | return at the fastest arm's end, in seconds | "
        "greedy return at the end | levels solved greedily | seconds, all seeds | env steps per second | bits wrong | "
        "bits changed | weights |",
        "|---" * 10 + "|",
        *(row(arm, r, fastest) for arm, r in arms.items()),
    ]
    if "longer" in stored:
        at_end = stored["longer"]["env_steps"][-1]
        lines.append(row(f"model-free, {at_end:,} env steps", stored["longer"], fastest))
    one = next(iter(arms.values()))
    about = (
        f"`{ENV}`, {len(one['returns'][0])} seeds side by side, {one['env_steps'][-1]:,} env steps each; depth "
        f"{stored['depth']}. In training the policy's draws act; greedily its modes play {EPISODES} fixed levels, "
        "which is hard on a policy that has not decided yet. Means over seeds, and percentile-bootstrap 95 % intervals "
        "over seeds, which are too narrow for so few. Seconds are the processor's while training, without compiling. "
        "Weights are the agent's, without the model's."
    )
    lines += [
        "",
        "## Differences between arms",
        "",
        "| a - b | return in the last tenth of training | what that says |",
        "|---|---|---|",
    ]
    for a, b in (
        ("learned", "model-free"),
        ("learned", "copy"),
        ("exact", "copy"),
        ("corrupted", "model-free"),
        ("corrupted", "copy"),
        ("lookahead", "model-free"),
    ):
        if a in arms and b in arms:
            # The lookahead is in greedy actions alone: in training both arms are one.
            greedy = a == "lookahead"
            x, y = (
                np.array(r["returns"][-1] if greedy else r["told"][-1]["ep/return"])
                for r in (arms[a], arms[b])
            )
            low, high = mean_ci(x - y)
            verdict = "above" if low > 0 else "below" if high < 0 else "no difference seen"
            lines.append(f"| {a} - {b}{', greedily' if greedy else ''} | {interval(x - y)} | {verdict} |")
    where = (
        f"Command: `python benchmarks/imagination.py{stored['options']}`; {stored['cpu']}, one core, shared with other "
        f"jobs; {stored['versions']}."
    )
    shown = "![Return over env steps and over seconds](imagination.png)"
    return "\n".join(["# What imagination buys", "", about, "", shown, "", *lines, "", where, ""])


def figure(stored: Row) -> None:
    """Draw mean and range of the seeds, over env steps and over seconds."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
    for arm in ARMS:
        if arm not in stored["arms"]:
            continue
        r = stored["arms"][arm]
        drawn = np.array([told["ep/return"] for told in r["told"]])
        for axis, x in zip(axes, (r["env_steps"], r["seconds"]), strict=True):
            (line,) = axis.plot(x[1:], drawn.mean(1), label=arm)
            axis.fill_between(x[1:], drawn.min(1), drawn.max(1), alpha=0.12, color=line.get_color())
    if r := stored.get("longer"):
        drawn = np.array([told["ep/return"] for told in r["told"]]).mean(1)
        label = f"model-free, {r['env_steps'][-1]:,} env steps"
        axes[1].plot(r["seconds"][1:], drawn, "--", label=label, color=f"C{ARMS.index('model-free')}")
        axes[1].legend(fontsize=8)
    axes[0].set(xlabel="env steps per seed", ylabel="return in training", title="the same env steps")
    axes[1].set(xlabel="seconds of the processor, all seeds", title="the same seconds")
    axes[0].legend(fontsize=8)
    fig.savefig(RESULTS.with_suffix(".png"), dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--env-steps", type=int, default=1_000_000)
    parser.add_argument(
        "--depth", type=int, default=None, help="of imagined rollouts; the preset's by default"
    )
    parser.add_argument(
        "--longer", type=int, help="env steps of the arm without a model once more, for its seconds"
    )
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    stored: Row = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"arms": {}}
    if not options.table:
        lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
        names = (x.partition(":")[2].strip() for x in lines if x.startswith("model name"))
        stored["cpu"] = next(names, "unknown CPU")
        packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "optax", "numpy"))
        stored["versions"] = f"swingup {swingup.__version__}, {packages}, Python {platform.python_version()}"
        stored["depth"] = settings("learned", options.depth).depth
        depth = f" --depth {options.depth}" if options.depth else ""
        longer = f" --longer {options.longer}" if options.longer else ""
        stored["options"] = f" --env-steps {options.env_steps}{depth}{longer}"
    for arm in [] if options.table else options.only:
        stored["arms"][arm] = train(settings(arm, options.depth), options.seeds, options.env_steps)
        RESULTS.write_text(json.dumps(stored) + "\n")
    if options.longer and not options.table:
        stored["longer"] = train(settings("model-free", options.depth), options.seeds, options.longer)
        RESULTS.write_text(json.dumps(stored) + "\n")
    RESULTS.with_suffix(".md").write_text(table(stored))
    figure(stored)


if __name__ == "__main__":
    main()
