"""A run shows itself in a notebook: what was trained, the final evaluation, the curve, and an animation if it has one.

Everything is in the page itself, so that a notebook which is sent to somebody else still shows it.
"""

from __future__ import annotations

import base64
import tempfile
import warnings
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from swingup import files, statistics
from swingup.algos import name_of
from swingup.errors import ConfigError
from swingup.runs import settings
from swingup.runs.log import to_csv

if TYPE_CHECKING:
    from swingup.runs import Run

LARGEST = 4 * 2**20  # bytes of an animation that goes into the page
SEEDS = 20  # that are listed one by one


def html(run: Run) -> str:
    """Return the run as HTML, pictures included."""
    e = run.experiment
    title = f"<b>{escape(name_of(e.algo))}</b> on <b>{escape(e.env_name)}</b>"
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in facts(run).items()
    )
    pictures = "".join(
        f'<div style="flex:none">{part}</div>' for part in (_curve(run), _animation(run)) if part
    )
    return (
        f'<div>{title}<table>{rows}</table><div style="display:flex;flex-wrap:wrap;align-items:center;gap:1em">'
        f"{pictures}</div></div>"
    )


def facts(run: Run) -> dict[str, str]:
    """Return the rows of its table: {what: what is said of it}."""
    e = run.experiment
    changed = ", ".join(f"{name}={value}" for name, value in settings.changed(e.algo).items())
    found = {
        "env steps per seed": f"{e.env_steps:,}",
        "seeds": ", ".join(map(str, e.seeds[:SEEDS])) + ", ..." * (len(e.seeds) > SEEDS),
        "settings": changed or "the algorithm's defaults",
    }
    if run.result:
        scores = np.array([np.nan if x is None else x for x in run.result["final_return"]], float)
        low, high = statistics.mean_ci(scores)
        interval = f", 95 % CI over seeds [{low:.1f}, {high:.1f}]" if np.isfinite(low) else ""
        each = ", ".join("diverged" if np.isnan(x) else f"{x:.1f}" for x in scores[:SEEDS])
        whole = scores[np.isfinite(scores)]
        mean = f"{whole.mean():.1f}{interval}" if whole.size == scores.size else "none: a seed diverged"
        found |= {"mean final return": mean, "final return per seed": each + ", ..." * (len(scores) > SEEDS)}
        found["evaluated by"] = f"{run.result['evaluation']['episodes']} greedy episodes of each seed"
    if run.outcome and run.outcome.kind != "finished":
        found["ended"] = f"{run.outcome.kind}: {run.outcome.reason}"
    if run.path:
        found["directory"] = str(run.path)
    return found


def _curve(run: Run) -> str:
    """Return the learning curve as a picture; a sentence if there is none yet."""
    from swingup.plots.curves import plot

    if not run.rows:
        return ""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are those of `plot`, which told them when the run was written
        path = Path(folder)
        files.write_json(path / "config.json", run.experiment.to_json())
        files.write_atomic(path / "metrics.csv", to_csv(run.rows, header=True).encode())
        try:
            return _image(plot([path], path / "curve.png")[0].read_bytes(), "png", "learning curve", 560)
        except ConfigError:
            return "no learning curve: no episode has ended yet"


def _animation(run: Run) -> str:
    """Return agent.gif of the run's directory as a picture, which `--play` draws."""
    gif = run.path / "agent.gif" if run.path else None
    if gif is None or not gif.exists() or gif.stat().st_size > LARGEST:
        return ""
    return _image(
        files.read_bytes(gif, limit=LARGEST, error=ConfigError), "gif", "an episode of the agent", 280
    )


def _image(data: bytes, kind: str, about: str, width: int) -> str:
    text = base64.b64encode(data).decode()
    return f'<img alt="{about}" style="max-width:{width}px" src="data:image/{kind};base64,{text}">'
