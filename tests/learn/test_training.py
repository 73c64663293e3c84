"""An agent is trained with the learner's own text; what JAX cannot compile gets its sentence."""

from pathlib import Path

import pytest

from conftest import command
from swingup.learn import FILES, exercise
from swingup.learn.training import TRAININGS, loaded

C5 = """import numpy as np


def policy_loss(logp, logp_old, advantage, epsilon):
    total = 0.0
    for x, old, adv in zip(logp, logp_old, advantage):
        ratio = np.exp(x - old)
        total += min(ratio * adv, np.clip(ratio, 1 - epsilon, 1 + epsilon) * adv)
    return -total / len(logp)
"""


def test_those_that_say_so_can_be_trained() -> None:
    assert sorted(TRAININGS) == [name for name in FILES if exercise(name).trains]


def test_np_means_jax_in_a_training_alone(tmp_path: Path) -> None:
    path = tmp_path / "answer.py"
    path.write_text(exercise("c5").solution)
    assert loaded("c5", path).__globals__["np"].__name__ == "jax.numpy"
    assert exercise("c5").answer.__globals__["np"].__name__ == "numpy"


# c5 is PPO's own loss, as its check shows: what it learns in a minute and more, PPO's tests say too.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.everything] * (name == "c5")) for name in TRAININGS]
)
def test_the_right_answer_learns(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("swingup-learn") / f"{FILES[name]}.py"
    path.parent.mkdir()
    path.write_text(exercise(name).solution)
    code, out, err = command(capsys, "learn", "train", name)
    assert code == 0, out + err
    assert out.startswith(f"{name} is right. Now PPO on ")


@pytest.mark.slow
def test_a_loop_cannot_be_compiled_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("swingup-learn") / f"{FILES['c5']}.py"
    path.parent.mkdir()
    path.write_text(C5)
    code, out, err = command(capsys, "learn", "train", "c5")
    assert code == 1
    assert "c5 is right" in out
    assert err.startswith("error: your answer is right, but JAX cannot compile it: work on whole arrays")
