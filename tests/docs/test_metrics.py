"""The vocabulary of metrics is closed: what algorithms report is what docs/metrics.md explains."""

import re
from pathlib import Path

import jax
import pytest

import swingup
from conftest import small
from swingup.algos import ALGOS
from swingup.envs import make
from swingup.runs.log import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
CONTINUOUS = (
    "ddpg",
    "td3",
    "sac",
    "mpc",
    "pets",
    "mbmf",
    "mbpo",
    "mve",
    "steve",
)  # they need actions of a box
PROBE = "probe:PickAction"
EXPLAINED = set(re.findall(r"^### `([^`]+)`$", PAGE, re.M))


@pytest.fixture(scope="module")
def reported() -> dict[str, set[str]]:
    """{algorithm: its metrics}: of its `step`, and what a run with an evaluation adds to it."""
    found = {}
    for name in ALGOS:
        algo = small(name)
        task = (
            "probe:ContinuousTarget"
            if name in CONTINUOUS
            else "task:PushBox"
            if name == "i2a"
            else "pgx:tic_tac_toe"
            if algo.plays_games
            else PROBE
        )
        env = make(task if algo.hidden or name == "mpc" else "tabular:Chain", algo.num_envs)  # or a table
        found[name] = set(
            jax.eval_shape(lambda key, a=algo, e=env: a.step(e, a.init(e, key))[1], jax.random.key(0))
        )
    algo, name = small("ppo"), "ppo"
    run = swingup.train(algo, PROBE, env_steps=64, episodes=1, eval_interval=1)
    shown = set(run.metrics) - set(COLUMNS)
    hidden = {name for name in found[name] if name.startswith("nonfinite/")}
    assert found[name] - hidden <= shown
    return {name: (metrics - hidden) | (shown - found["ppo"]) for name, metrics in found.items()}


def test_every_reported_metric_is_explained(reported: dict[str, set[str]]) -> None:
    for name, metrics in reported.items():
        assert metrics <= EXPLAINED, (
            f"{name} reports {metrics - EXPLAINED}, which docs/metrics.md does not explain"
        )


def test_every_explained_metric_is_reported(reported: dict[str, set[str]]) -> None:
    assert set().union(*reported.values()) >= EXPLAINED


def test_each_entry_has_a_link_target_a_unit_or_range_and_what_is_healthy() -> None:
    entries = re.split(r"^\(metric-([\w-]+)\)=$", PAGE, flags=re.M)[1:]
    assert len(entries) == 2 * len(EXPLAINED)
    for label, text in zip(entries[::2], entries[1::2], strict=True):
        name = re.search(r"^### `([^`]+)`$", text, re.M)
        assert name
        assert label == re.sub(r"[/_]", "-", name[1])
        assert "*Unit*" in text
        assert "*Healthy*" in text


def test_first_columns_are_explained() -> None:
    for column in COLUMNS:
        assert f"| `{column}` |" in PAGE
