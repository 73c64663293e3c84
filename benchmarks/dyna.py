"""Measure what a learnt model buys: MBMF, ME-TRPO, MBPO, MVE and STEVE, each beside the algorithm that it is made of.

    python benchmarks/dyna.py                                  all that is stored: see `ALL`
    python benchmarks/dyna.py --only mbpo sac-equal --seeds 2
    python benchmarks/dyna.py --env task:CartPoleSwingUp       one task
    python benchmarks/dyna.py --table                          only rewrite the table from the stored results

An arm `...-equal` is the algorithm without a model that takes as many gradient steps per real env step as the one with
a model: so what is left of a difference is the model's. `...-one` takes one. `trpo` has the settings with which ME-TRPO
practises, and 100 times its env steps. `mbmf-planner` is MBMF whose planner is never replaced by a policy, for ten
trials. The seeds of an arm are trained side by side in one program (`arms.py`). At each tenth of the env steps every
seed plays the same 20 starts greedily. Results go to `benchmarks/results/dyna.json` (every look of every seed, and the
episodes of every iteration), `.md` and `mbmf.png`. A second call trains only what is missing there.
"""

import os

os.environ.setdefault(
    "NPROC", "1"
)  # one thread for XLA, so that seconds of the processor are seconds of work

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import arms
from arms import EPISODES, Arm, Row
from swingup.algos.ddpg import DDPG
from swingup.algos.sac import SAC
from swingup.presets import preset
from swingup.ranges import values
from swingup.statistics import mean_ci

RESULTS = Path(__file__).parent / "results" / "dyna.json"
EPISODE = 200  # env steps of an episode of all tasks here
GOOD = {
    "gymnax:Pendulum-v1": -170,
    "task:CartPoleSwingUp": 170,
}  # returns; how soon a look finds them is told


def of(name: str, env: str) -> Any:
    """Return the settings of a preset."""
    known = preset(name, env)
    if known is None:
        raise SystemExit(f"there is no preset of {name} for {env}")
    return known


def with_model(name: str, env: str, **changes: Any) -> Arm:
    """Return a preset as an arm."""
    known = of(name, env)
    return Arm(replace(known.algo, **changes), env, known.env_steps)


def without_model(kind: Any, name: str, env: str, **changes: Any) -> Arm:
    """Return the algorithm that another is made of, with that one's settings."""
    theirs = of(name, env)
    shared = {key: value for key, value in values(theirs.algo).items() if key in values(kind())}
    return Arm(replace(kind(**shared), **changes), env, theirs.env_steps)


def practising(env: str) -> Arm:
    """Return TRPO as ME-TRPO practises with it, in the real environment, and with as many env steps in an update.

    An iteration has whole episodes of 200 env steps: the real ones begin together, so that with half of one it would
    learn from beginnings and from ends in turn.
    """
    known = of("me_trpo", env)
    rule = known.algo.trpo()
    rule = replace(rule, num_envs=rule.env_steps_per_iteration // EPISODE, num_steps=EPISODE)
    return Arm(rule, env, 100 * known.env_steps)


def planning(env: str) -> Arm:
    """Return MBMF that plans for ever, for ten iterations; its greedy episodes are planned too, so few are played."""
    algo = replace(of("mbmf", env).algo, trials=10_000)
    return Arm(algo, env, 10 * algo.env_steps_per_iteration, looks=2)


ARMS: dict[str, Callable[[str], Arm]] = {
    "mbmf": partial(with_model, "mbmf"),
    "mbmf-planner": planning,
    "me_trpo": partial(with_model, "me_trpo"),
    "me_trpo-1-member": partial(with_model, "me_trpo", members=1),
    "trpo": practising,
    "mbpo": partial(with_model, "mbpo"),
    "sac-equal": partial(without_model, SAC, "mbpo"),
    "sac-one": partial(without_model, SAC, "mbpo", replay_ratio=1.0),
    "mve": partial(with_model, "mve"),
    "mve-td-k": partial(with_model, "mve", td_k=True),
    "steve": partial(with_model, "steve"),
    "ddpg-equal": partial(without_model, DDPG, "mve"),
}

ALL = {  # which arms each task has, and how many seeds
    "gymnax:Pendulum-v1": (list(ARMS), 10),
    "task:CartPoleSwingUp": (["mve", "steve", "ddpg-equal"], 5),
    "task:CartPoleSwingUp?noise=0.1": (["me_trpo", "me_trpo-1-member"], 5),
}


def table(stored: Row) -> str:
    """Write the results as Markdown, one table for each environment."""
    lines = []
    for env, found in stored["envs"].items():
        good = GOOD[env.partition("?")[0]]
        lines += [
            f"## {env}",
            "",
            "| arm | seeds | half-way | at the end | 95 % CI | worst | env steps | "
            f"seeds that reached {good} | seconds per seed |",
            "|---" * 9 + "|",
        ]
        for arm in ARMS:
            rows = [row for row in found.get(arm, {"rows": []})["rows"] if row["whole"]]
            if not rows:
                continue
            looks = np.array([[x for _, x in row["looks"]] for row in rows])
            half, end = looks[:, (looks.shape[1] - 1) // 2], looks[:, -1]
            low, high = mean_ci(end)
            interval = f"[{low:.1f}, {high:.1f}]" if np.isfinite(low) else "–"
            seconds = np.mean([row["seconds"] for row in rows])
            means = f"{half.mean():.1f} | {end.mean():.1f} | {interval} | {end.min():.1f}"
            first = [min((at for at, x in row["looks"] if x >= good), default=None) for row in rows]
            first = [at for at in first if at is not None]
            reached = f"{len(first)}" + (f", median at {int(np.median(first)):,}" if first else "")
            lines.append(
                f"| {arm} | {len(end)} | {means} | {found[arm]['env_steps']:,} | {reached} | {seconds:.0f} |"
            )
        lines.append("")
    about = (
        f"Mean return of {EPISODES} fixed starts, played greedily; means over seeds. Env steps are real ones. "
        "Arms that end in `equal` take as many gradient steps per real env step as the algorithm with a model, "
        "`one` takes one. "
        "Intervals are percentile bootstraps over seeds. A seed reached a return if any look found it, and may have "
        "fallen back. Seconds are those of the processor for training, compiling "
        "included, shared by the seeds, which were trained side by side in one program."
    )
    where = f"Command: `python benchmarks/dyna.py`; {stored['cpu']}, one core, shared with other jobs; "
    return "\n".join(
        ["# Learning in imagination", "", about, "", *lines, where + stored["versions"] + ".", ""]
    )


def figure(stored: Row) -> None:
    """Draw MBMF over real env steps, beside its planner alone and beside TRPO: means over seeds with intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    found = stored["envs"].get("gymnax:Pendulum-v1", {})
    fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    drawn = (
        ("mbmf", "planner, lesson, then TRPO"),
        ("mbmf-planner", "the planner alone"),
        ("trpo", "TRPO alone"),
    )
    for colour, (arm, label) in enumerate(drawn):
        rows = [row for row in found.get(arm, {"rows": []})["rows"] if row["whole"]]
        if rows:
            at = [n for n, _ in rows[0]["looks"]]
            x = np.array([[score for _, score in row["looks"]] for row in rows])
            ax.plot(at, x.mean(0), "o-", markersize=3, label=label, color=f"C{colour}")
            ax.fill_between(
                at, *np.array([mean_ci(each) for each in x.T]).T, alpha=0.2, lw=0, color=f"C{colour}"
            )
    ax.set(xlabel="real env steps", ylabel="greedy return", title="Pendulum-v1, ten seeds, 95 % intervals")
    ax.legend(fontsize=8)
    fig.savefig(RESULTS.with_name("mbmf.png"), dpi=100)
    plt.close(fig)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(ARMS))
    parser.add_argument("--env", choices=list(ALL))
    arms.add_options(parser)
    parser.set_defaults(seeds=None)
    options = parser.parse_args()
    path, given = arms.place(RESULTS, options.quick), options.seeds
    for env in [] if options.table else [options.env] if options.env else list(ALL):
        names, seeds = ALL[env]
        options.seeds = given or seeds
        if options.only:
            names = options.only if options.env else [name for name in names if name in options.only]
        for name in names:
            before = arms.stored_in(path).get("envs", {}).get(env, {}).get(name, {})
            print(f"{name} in {env}", flush=True)
            arms.train(ARMS[name](env), before, options, partial(arms.keep, path, ("envs", env, name)))
            path.with_suffix(".md").write_text(table(arms.stored_in(path)))
    text = table(arms.stored_in(path))
    path.with_suffix(".md").write_text(text)
    if not options.quick:
        figure(arms.stored_in(path))
    print("\n" + text)


if __name__ == "__main__":
    main()
