"""A study that is killed goes on as if it had not been; trials here are a formula, so that hundreds cost little."""

import json
import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import late, small
from swingup.errors import ConfigError
from swingup.tuning import journal
from swingup.tuning.blocks import Judge, Scores, Task
from swingup.tuning.journal import mend
from swingup.tuning.space import Range
from swingup.tuning.study import Plan, Trial, search

needs_optuna = pytest.mark.skipif(
    find_spec("optuna") is None, reason="Optuna is not installed: pip install 'swingup[tune]'"
)
SPACE = {"lr": Range(1e-4, 1e-2, "log"), "gamma": Range(0.9, 0.999, "one_minus"), "clip": Range(0.1, 0.4)}
TASK = Task(small("ppo"), "CartPole-v1", 640, (0, 1), 3)
PLAN = Plan(TASK, SPACE, trials=16, together=4, seed=3)


class Formula:
    """The score of a setting grows with every look, towards a number that is best at lr 1e-3; it counts its work."""

    def __init__(self, fail_at: int = -1):
        self.blocks, self.fail_at = 0, fail_at

    def __call__(self, task: Task, settings: Sequence[dict[str, float]], judge: Judge) -> list[Scores]:
        self.blocks += 1
        final = [100 - 1e6 * (s["lr"] - 1e-3) ** 2 - 10 * s["clip"] for s in settings]
        looks: list[list[float]] = [[] for _ in settings]
        going = [True] * len(settings)
        for look in range(1, task.looks + 1):
            if self.blocks == self.fail_at and look == 2:
                raise KeyboardInterrupt
            scores = [x * look / task.looks for x in final]
            for i, x in enumerate(scores):
                if going[i]:
                    looks[i].append(x)
            if look < task.looks:
                going = [a and b for a, b in zip(going, judge(look, scores), strict=True)]
        return [Scores(looks[i], not going[i], [looks[i][-1]] * 2) for i in range(len(settings))]


def quiet(text: str) -> None: ...


def facts(directory: Path) -> list[Any]:
    """What Optuna knows, after it is opened anew."""
    trials = journal.opened(directory, "swingup").get_trials(deepcopy=False)
    return [(t.number, t.state.name, t.value, t.params, t.intermediate_values) for t in trials]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trial], list[Any]]:
    """A study that nobody killed: its directory, its trials, and what Optuna knows."""
    path = tmp_path_factory.mktemp("study")
    trials = search(PLAN, path, quiet, Formula())
    return path, trials, facts(path)


@needs_optuna
def test_a_study_finds_what_is_good(whole: Any) -> None:
    """Each trial is there once, some are given up early, and the search ends better than it begins."""
    _, trials, known = whole
    assert [t.number for t in trials] == list(range(16)) == [k[0] for k in known]
    assert {k[1] for k in known} == {"COMPLETE", "PRUNED"}
    assert [k[1] == "PRUNED" for k in known] == [t.scores.pruned for t in trials]
    assert all(len(t.scores.looks) < 3 for t in trials if t.scores.pruned)
    finished = [t.score for t in trials if not t.scores.pruned]
    assert finished == [k[2] for k in known if k[1] == "COMPLETE"]
    assert len({tuple(t.settings.values()) for t in trials}) == 16
    assert max(t.score for t in trials[8:]) >= max(t.score for t in trials[:8]) - 5


@needs_optuna
def test_what_is_given_up_is_low_and_what_is_best_is_high(whole: Any) -> None:
    """A higher score is a better one to Optuna too."""
    path, trials, _ = whole
    study = journal.opened(path, "swingup")
    assert study.best_value == max(t.score for t in trials if not t.scores.pruned)
    last = {
        t.number: [x.scores.looks for x in trials[: t.number // 4 * 4] if not x.scores.pruned] for t in trials
    }
    for t in trials:
        if t.scores.pruned:
            look = len(t.scores.looks)
            assert t.score < np.median([looks[look - 1] for looks in last[t.number]])


@needs_optuna
@pytest.mark.parametrize("forgets", [False, True], ids=["block-kept", "block-lost"])
@pytest.mark.parametrize("cut", late([*range(1, 201)], 1, 2, 67, 133, 200))
def test_a_journal_cut_anywhere_resumes(whole: Any, tmp_path: Path, cut: int, forgets: bool) -> None:
    """Bar 8: the last 200 bytes are lost one by one, with and without what came of the last block."""
    path, trials, known = whole
    shutil.copytree(path, tmp_path / "copy")
    log = tmp_path / "copy" / journal.NAME
    os.truncate(log, log.stat().st_size - cut)
    if forgets:
        (tmp_path / "copy" / "blocks" / "003.json").unlink()
    trainer = Formula()
    assert search(PLAN, tmp_path / "copy", quiet, trainer) == trials
    assert facts(tmp_path / "copy") == known
    assert trainer.blocks == forgets


@needs_optuna
@pytest.mark.parametrize("block", [1, 3])
def test_a_kill_while_a_block_trains_loses_no_other(whole: Any, tmp_path: Path, block: int) -> None:
    """Bar 8: its trials are trained again with the same settings; none is lost or there twice."""
    _, trials, known = whole
    with pytest.raises(KeyboardInterrupt):
        search(PLAN, tmp_path, quiet, Formula(fail_at=block))
    trainer = Formula()
    assert search(PLAN, tmp_path, quiet, trainer) == trials
    assert trainer.blocks == 4 - (block - 1)
    assert facts(tmp_path) == known


@needs_optuna
def test_a_finished_study_trains_nothing_and_grows(whole: Any, tmp_path: Path) -> None:
    path, trials, _ = whole
    shutil.copytree(path, tmp_path / "copy")
    trainer = Formula()
    assert search(PLAN, tmp_path / "copy", quiet, trainer) == trials
    assert trainer.blocks == 0
    more = search(PLAN._replace(trials=17), tmp_path / "copy", quiet, trainer)
    assert (len(more), more[:16], trainer.blocks) == (20, trials, 1)


@needs_optuna
def test_files_of_another_study_are_refused(whole: Any, tmp_path: Path) -> None:
    path, _, _ = whole
    shutil.copytree(path, tmp_path / "copy")
    block = tmp_path / "copy" / "blocks" / "002.json"
    data = json.loads(block.read_text())
    data[0]["settings"]["lr"] *= 2
    block.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match="of other settings than the journal"):
        search(PLAN, tmp_path / "copy", quiet, Formula())
    block.write_text("[1, 2]")
    with pytest.raises(ConfigError, match="is damaged: remove it"):
        search(PLAN, tmp_path / "copy", quiet, Formula())


# --- the journal alone, which needs no Optuna


LINE = b'{"op_code":4,"worker_id":"x","study_id":0}\n'


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"", b""),
        (LINE * 3, LINE * 3),
        (LINE * 3 + LINE[:-1], LINE * 3),  # whole but for its newline: the next append would spoil it
        (LINE * 2 + LINE[:20], LINE * 2),
        (LINE[:5], b""),
        (LINE * 2 + b"\0" * 300, LINE * 2),  # what some file systems leave after a power cut
        (LINE * 2 + b"\0" * 30 + b"\n", LINE * 2),
        (LINE * 2 + b"{}\n", LINE * 2),
    ],
)
def test_a_torn_tail_is_cut(tmp_path: Path, data: bytes, kept: bytes) -> None:
    path = tmp_path / journal.NAME
    path.write_bytes(data)
    (tmp_path / f"{journal.NAME}.lock").symlink_to(path)
    assert mend(path) == len(data) - len(kept)
    assert path.read_bytes() == kept
    assert not (tmp_path / f"{journal.NAME}.lock").is_symlink()
    assert mend(path) == 0


def test_damage_in_the_middle_is_no_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / journal.NAME
    path.write_bytes(LINE + b"garbage\n" + LINE)
    with pytest.raises(ConfigError, match="damaged in line 2"):
        mend(path)
    assert path.read_bytes() == LINE + b"garbage\n" + LINE


def test_without_optuna_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'swingup\[tune\]'"):
        journal.optuna()
