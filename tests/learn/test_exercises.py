"""Every exercise is sound: its answer passes, and each wrong answer is told from all others by its outputs."""

from itertools import combinations

import pytest

from swingup.learn import FILES, exercise
from swingup.learn.judge import Judge, same

IDS = list(FILES)


@pytest.fixture(scope="module")
def judges() -> dict[str, Judge]:
    """Return a judge for each exercise."""
    return {name: Judge(exercise(name)) for name in IDS}


@pytest.mark.parametrize("name", IDS)
def test_the_answer_passes(judges: dict[str, Judge], name: str) -> None:
    judge = judges[name]
    found = judge(judge.exercise.answer)
    assert found.state == "passed", found
    assert not any(x.changed or x.odd or x.raised for x in judge.right)


@pytest.mark.parametrize("name", IDS)
def test_every_mistake_is_known_by_its_own_name(judges: dict[str, Judge], name: str) -> None:
    judge = judges[name]
    assert len(judge.exercise.wrong) >= 5
    for phrase, answer in judge.exercise.wrong.items():
        found = judge(answer)
        assert (found.state, found.mistake) == ("failed", phrase), found


@pytest.mark.parametrize("name", IDS)
def test_mistakes_differ_from_each_other(judges: dict[str, Judge], name: str) -> None:
    """No two wrong answers have the same outputs on all cases: otherwise one of them had no name of its own."""
    for (a, x), (b, y) in combinations(judges[name].wrong.items(), 2):
        assert not all(map(same, x, y)), f"{a!r} and {b!r} have equal outputs"


def test_phrases_are_unique_and_are_fragments() -> None:
    """A phrase is named once in its exercise by construction; it ends without a full stop, and says something."""
    for name in IDS:
        for phrase in exercise(name).wrong:
            assert len(phrase) > 15, (name, phrase)
            assert not phrase.endswith("."), (name, phrase)
            assert "\n" not in phrase
