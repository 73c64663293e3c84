"""A study asks for a block of settings, has it trained, writes down what came of it, and tells Optuna; again and again.

    DIR/tune.json       what is tuned, and how
    DIR/blocks/003.json what came of the trials of one block: written at once and before Optuna learns of it
    DIR/journal.log     Optuna's, from which it knows the trials; mended if it is torn
    DIR/final/          runs of the best settings and of the preset on fresh seeds

Killed at any moment and run again, a study does what is missing. A trial's settings depend on the trials before it
and on the study's seed alone, so it goes on as it would have.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from swingup import files
from swingup.errors import ConfigError
from swingup.tuning import journal
from swingup.tuning.blocks import Judge, Scores, Task, train
from swingup.tuning.space import Range, suggest

STUDY = "swingup"
STARTUP = 8  # trials that are drawn at random, and before which none is pruned
Trainer = Callable[[Task, Sequence[dict[str, float]], Judge], list[Scores]]
Say = Callable[[str], None]


class Plan(NamedTuple):
    """A study is determined by its task, its space, and these."""

    task: Task
    space: dict[str, Range]
    trials: int  # at least; blocks are whole
    together: int  # trials in a block
    seed: int  # of the search


class Trial(NamedTuple):
    """This came of a trial."""

    number: int
    settings: dict[str, float]
    scores: Scores

    @property
    def score(self) -> float:
        """Return the last score of the trial."""
        return self.scores.looks[-1]


def search(plan: Plan, directory: Path, say: Say = print, trainer: Trainer = train) -> list[Trial]:
    """Train what is missing of a study, in its directory, which the caller has locked; return all trials."""
    study, found = journal.opened(directory, STUDY), []
    (directory / "blocks").mkdir(exist_ok=True)
    blocks = -(-plan.trials // plan.together)
    for block in range(blocks):
        numbers = range(block * plan.together, (block + 1) * plan.together)
        asked = [_ask(study, plan, number) for number in numbers]
        settings = [suggest(one, plan.space) for one in asked]
        path = directory / "blocks" / f"{block:03d}.json"
        scores = _read(path, settings) if path.exists() else None
        if scores is None:
            say(f"block {block + 1} of {blocks}: trials {numbers[0]} to {numbers[-1]} ...")
            scores = trainer(plan.task, settings, _judge(study, plan, asked))
            pairs = zip(settings, scores, strict=True)
            files.write_json(path, [{"settings": s, **x._asdict()} for s, x in pairs])
        for one, each in zip(asked, scores, strict=True):
            _tell(study, one, each)
        found += [Trial(n, s, x) for n, s, x in zip(numbers, settings, scores, strict=True)]
        best = max(found, key=lambda t: (not t.scores.pruned, t.score))
        say(f"  the best of {len(found)}: trial {best.number}, {best.score:.1f}   {shown(best.settings)}")
    return found


def _ask(study: Any, plan: Plan, number: int) -> Any:
    """Return the trial of a number: a new one, or one that is there, as if it had just been asked for."""
    optuna = journal.optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of options that may change in later versions
        study.sampler = optuna.samplers.TPESampler(
            seed=(plan.seed * 100_003 + number) % 2**32, n_startup_trials=STARTUP, constant_liar=True
        )
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
    there = study.get_trials(deepcopy=False)
    if number < len(there):
        return optuna.trial.Trial(study, there[number]._trial_id)
    return study.ask()


def _judge(study: Any, plan: Plan, asked: Sequence[Any]) -> Judge:
    """Return what prunes a trial whose score is below the median of the finished trials at the same look."""

    def judge(look: int, scores: list[float]) -> list[bool]:
        for one, score in zip(asked, scores, strict=True):
            _report(one, look, score)
        return [not one.should_prune() for one in asked]

    return judge


def _report(one: Any, look: int, score: float) -> None:
    """Report a score, unless the journal has it from a session that was killed."""
    there = one.study.get_trials(deepcopy=False)[one.number]
    if look not in there.intermediate_values and not there.state.is_finished():
        one.report(score, look)


def _tell(study: Any, one: Any, scores: Scores) -> None:
    """Tell what came of a trial, unless the journal has it."""
    if study.get_trials(deepcopy=False)[one.number].state.is_finished():
        return
    for look, score in enumerate(scores.looks, start=1):
        _report(one, look, score)
    states = journal.optuna().trial.TrialState
    if scores.pruned:
        study.tell(one.number, state=states.PRUNED)
    else:
        study.tell(one.number, scores.looks[-1])


def _read(path: Path, settings: Sequence[dict[str, float]]) -> list[Scores]:
    """Return what came of a block. Raises `ConfigError` if the file is damaged or of other settings."""
    data = files.read_json(path, error=ConfigError)
    try:
        theirs = [one.pop("settings") for one in data]
        scores = [Scores(**one) for one in data]
    except (AttributeError, KeyError, TypeError):
        raise ConfigError(f"{path} is damaged: remove it, and its trials are trained again") from None
    if theirs != list(settings):
        raise ConfigError(f"{path} is of other settings than the journal: tune into another directory")
    return scores


def shown(settings: dict[str, float]) -> str:
    """Write settings as flags.

    >>> shown({"lr": 0.001, "c_entropy": 0.01})
    '--lr 0.001 --c-entropy 0.01'
    """
    return " ".join(f"--{name.replace('_', '-')} {value:.6g}" for name, value in settings.items())
