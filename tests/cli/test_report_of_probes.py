"""After training on a probe the report shows what is right beside what was learnt: a return alone would hide it."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from conftest import command
from swingup.cli.report import probe
from swingup.envs import PROBES


def learnt(name: str, *values: float) -> Any:
    """A run whose every V is the learner's one number, and whose every action is 1."""
    algo = SimpleNamespace(gamma=0.8, value=lambda learner, obs: jnp.full(len(obs), learner))
    return SimpleNamespace(
        experiment=SimpleNamespace(algo=algo, seeds=tuple(range(len(values)))),
        state=SimpleNamespace(learner=jnp.array(values)),
        result={"env": f"probe:{name}"},
        policy=lambda obs, seed: np.int32(1),
    )


def told(run: Any) -> list[str]:
    out = io.StringIO()
    probe(run, out)
    return out.getvalue().splitlines()


def test_a_time_limit_that_is_taken_for_a_death_is_seen() -> None:
    head, ended, cut, where = told(learnt("TimeLimit", 1.0, 5.0))
    assert head.split() == ["what", "the", "probe", "asks", "right", "learnt,", "per", "seed"]
    assert ended.split() == ["V", "at", "1", "1.00", "1.00", "5.00"]
    assert cut.split() == ["V", "at", "-1", "5.00", "1.00", "5.00"]
    assert "the bootstrap's mask" in where


def test_the_best_action_stands_beside_the_value() -> None:
    lines = told(learnt("PickActionByObservation", 0.5))
    assert [line.split() for line in lines[1:-1]] == [
        ["V", "at", "-1", "1.00", "0.50"],
        ["best", "action", "at", "-1", "0", "1"],
        ["V", "at", "1", "1.00", "0.50"],
        ["best", "action", "at", "1", "1", "1"],
    ]


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_is_told_and_ten_seeds_are_enough(name: str) -> None:
    lines = told(learnt(name, *range(12)))
    assert len(lines) >= 3
    assert all(len(line.split("  ")) >= 10 for line in lines[1:-1])
    assert not any("11.00" in line for line in lines)


RUN = """
train ppo probe:ObservedReward --env-steps 40000 --seeds 2 --episodes 2
--num-steps 16 --num-minibatches 2 --epochs 2 --hidden 16 --lr 1e-2 --lr-decay
"""


@pytest.mark.slow
def test_a_run_reports_its_probe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half of the seeds have the values; another test counts how often right code has them."""
    code, out, _ = command(capsys, *RUN.split(), "--out", tmp_path / "run")
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.startswith("V at")]
    assert len(rows) == 2
    for row in rows:
        assert np.abs(np.array(row[4:], float) - float(row[3])).min() < 0.1
