"""A run in a notebook has its table, its curve and its animation, all of them in the page."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import swingup
from swingup.runs import Run
from swingup.runs.experiment import Experiment
from swingup.runs.notebook import facts
from swingup.runs.outcome import Outcome


def run(scores: list[Any], **kwargs: Any) -> Run:
    """A run without a network: what is shown reads none."""
    e = Experiment(swingup.PPO(lr=0.5), "CartPole-v1", 10_000, tuple(range(len(scores))))
    rows = [
        {"seed": s, "iteration": i, "env_steps": 100 * i, "seconds": i, "ep/return": 10.0 * i + s}
        for i in range(1, 4)
        for s in range(len(scores))
    ]
    result = {"final_return": scores, "evaluation": {"episodes": 7}}
    state: Any = None
    return Run(e, state, **{"rows": rows, "result": result} | kwargs)


def pictures(html: str) -> list[Image.Image]:
    codes = [part.partition('"')[0] for part in html.split(";base64,")[1:]]
    return [Image.open(io.BytesIO(base64.b64decode(code))) for code in codes]


def test_table_and_curve() -> None:
    html = run([480.0, 490.0, 500.0])._repr_html_()
    for text in ("<b>ppo</b>", "gymnax:CartPole-v1", "lr=0.5", "490.0, 95 % CI over seeds [480.0, 500.0]"):
        assert text in html
    (curve,) = pictures(html)
    assert (curve.format, curve.size) == ("PNG", (960, 600))
    assert len(np.unique(np.asarray(curve.convert("L")))) > 20
    assert "http" not in html


def test_animation_of_its_directory(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in (0, 255)]
    frames[0].save(tmp_path / "agent.gif", save_all=True, append_images=frames[1:])
    html = run([1.0], path=tmp_path, rows=[])._repr_html_()
    (shown,) = pictures(html)
    assert (shown.format, shown.size) == ("GIF", (8, 8))


@pytest.mark.parametrize("scores", [[1.0, None], [float("nan"), 1.0]], ids=["none", "nan"])
def test_a_seed_that_diverged(scores: list[Any]) -> None:
    shown = facts(run(scores))
    assert shown["mean final return"] == "none: a seed diverged"
    assert "diverged" in shown["final return per seed"]


def test_an_unfinished_run_and_what_must_not_be_taken_for_html() -> None:
    ended = Outcome("failed", 5, None, "<script>alert(1)</script>", code="x")
    html = run([1.0], result={}, rows=[], outcome=ended)._repr_html_()
    assert "final return" not in html
    assert "<script>" not in html
    assert "failed: &lt;script&gt;" in html
    no_episode = [{"seed": 0, "iteration": 1, "env_steps": 100, "seconds": 1, "ep/return": float("nan")}]
    assert "no episode has ended yet" in run([1.0], rows=no_episode)._repr_html_()


def test_many_seeds_are_not_all_listed() -> None:
    shown = facts(run([1.0] * 30))
    assert shown["seeds"].endswith("19, ...")
    assert shown["final return per seed"].count("1.0") == 20
