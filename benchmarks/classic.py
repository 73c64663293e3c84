"""Draw the learning curves of all deep algorithms on CartPole, Acrobot and Pendulum, from the stored runs.

    python benchmarks/classic.py

The runs are those of `benchmarks/scores.py`: a preset each, ten seeds or more, whose commands, curves and scores are in
benchmarks/results/scores/. Budgets are the presets' own, so the horizontal axes are logarithmic. A pair without a
preset has no curve, and the caption lists it. Results go to benchmarks/results/classic.png, .csv and .md.
"""

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from swingup.files import write_json
from swingup.plots.curves import Curve, curve, draw, legend
from swingup.plots.settings import settings
from swingup.plots.style import STYLE, compact, lines, pictures
from swingup.statistics import iqm

RESULTS = Path(__file__).resolve().parent / "results"
ENVS = {"CartPole-v1": "discrete", "Acrobot-v1": "discrete", "Pendulum-v1": "continuous"}
ALGOS = {  # algorithm: the actions that it chooses
    **dict.fromkeys(("vpg", "a2c", "trpo", "ppo"), "both"),
    **dict.fromkeys(("dqn", "c51", "qr_dqn", "sac_discrete"), "discrete"),
    **dict.fromkeys(("ddpg", "td3", "sac"), "continuous"),
}
METRIC, POINTS = "ep/return_last100", 120  # points of each curve


def stored(algo: str, env: str, folder: Path) -> Curve | None:
    """Return the curve of a stored run; None if there is none."""
    source = RESULTS / "scores" / f"{algo}-{env}.json"
    if not source.exists():
        return None
    result: dict[str, Any] = json.loads(source.read_text())
    run = folder / source.stem
    run.mkdir()
    config = {"algo": result["settings"], "env": result["env"], "env_steps": result["env_steps"]}
    write_json(run / "config.json", config)
    (run / "metrics.csv").write_bytes(source.with_suffix(".csv").read_bytes())
    return curve(settings([run])[0], algo, METRIC, "env_steps", statistic=iqm, most=POINTS)


def figure(found: dict[str, list[Curve]]) -> Figure:
    looks = lines(list(ALGOS))
    named = legend([c for part in found.values() for c in part])
    drawn = Figure(figsize=(10.2, 4.0), dpi=150, layout="constrained")
    for axes, (env, curves) in zip(drawn.subplots(1, len(found)), found.items(), strict=True):
        draw(axes, curves, looks)
        axes.set(title=env, xlabel="environment steps per seed", xscale="log")
        axes.xaxis.set_major_formatter(compact)
    drawn.axes[0].set_ylabel("return of the last 100 episodes")
    handles = [Line2D([], [], lw=1.6, label=named[name], **looks[name]) for name in ALGOS if name in named]
    about = "IQM over seeds; band: pointwise 95% bootstrap interval"
    drawn.legend(handles=handles, loc="outside lower center", title=about, ncols=6)
    return drawn


def table(found: dict[str, list[Curve]]) -> str:
    """Return the drawn numbers as CSV."""
    out = io.StringIO()
    out.write("env,algorithm,env_steps,value,low,high\n")
    for env, curves in found.items():
        for c in curves:
            for x, *numbers in zip(c.x, *c.stats, strict=True):
                cells = ",".join(f"{v:.6g}" if v == v else "" for v in numbers)
                out.write(f"{env},{c.label},{x:.0f},{cells}\n")
    return out.getvalue()


def caption(found: dict[str, list[Curve]]) -> str:
    """Return the page: the figure, and what it does not show."""
    count = len({c.label for curves in found.values() for c in curves})
    seeds = sorted({len(c.seeds) for curves in found.values() for c in curves})
    missing = []
    for env, kind in ENVS.items():
        there = [c.label for c in found[env]]
        without = [algo for algo, actions in ALGOS.items() if actions in (kind, "both") and algo not in there]
        missing += [f"{', '.join(without)} on {env}"] * bool(without)
    none = f" There is no preset, and so no curve, of {' and of '.join(missing)}." if missing else ""
    return (
        "# The classic tasks\n\n"
        f"`python benchmarks/classic.py` draws {count} algorithms from the stored runs of `benchmarks/scores.py`, "
        f"{seeds[0]} to {seeds[-1]} seeds each, with their presets and the presets' budgets. The axes of env steps are "
        f"logarithmic, and budgets differ: curves that end at different places are no ranking.{none}\n\n"
        "![Learning curves on CartPole, Acrobot and Pendulum, with intervals over seeds](classic.png)\n"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, matplotlib.rc_context(STYLE):
        curves = {env: [stored(algo, env, Path(folder)) for algo in ALGOS] for env in ENVS}
        found = {env: [c for c in part if c is not None] for env, part in curves.items()}
        (RESULTS / "classic.png").write_bytes(pictures(figure(found))[".png"])
    (RESULTS / "classic.csv").write_text(table(found))
    (RESULTS / "classic.md").write_text(caption(found))


if __name__ == "__main__":
    main()
