"""A search space is what was meant, or a message that says what is wrong with it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import SMALL, small
from swingup.errors import ConfigError
from swingup.tuning.space import SCALES, USUAL, Range, parse, space, suggest


@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_usual_ranges_hold_for_every_algorithm(name: str) -> None:
    """Each is inside of what the hyperparameter may be, and its scale suits its ends."""
    algo = small(name)
    found = space(
        algo, {n: r for n, r in USUAL.items() if n in vars(algo) and n in ("lr", "gamma", "lam", "tau")}
    )
    assert found
    for one in found.values():
        assert one.scale in SCALES


def test_the_page_lists_them() -> None:
    page = (Path(__file__).parents[3] / "docs" / "tuning.md").read_text()
    rows = [f"| `{name}` | {one.low:g} | {one.high:g} | {one.scale} |" for name, one in USUAL.items()]
    assert "\n".join(rows) in page


def test_ranges_are_read() -> None:
    text = " lr=1e-5:1e-2 , gamma=0.9:0.999:one_minus,c-value=0.1:2:log,"
    assert parse(text) == {
        "lr": Range(1e-5, 1e-2, "log"),
        "gamma": Range(0.9, 0.999, "one_minus"),
        "c_value": Range(0.1, 2, "log"),
    }
    assert parse("") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "cannot read 'lr': write ranges as"),
        ("lr=1", "cannot read"),
        ("lr=1:2:3:4", "cannot read"),
        ("lr=a:b", "cannot read"),
        ("lr=1e-3:1e-2,lr=1e-4:1e-3", "lr has two ranges"),
        ("lr=nan:1", "must be numbers"),
        ("lr=1e-3:inf", "must be numbers"),
        ("lr=1e-2:1e-3", "from a lower to a higher"),
        ("lr=1e-3:1e-3", "from a lower to a higher"),
        ("lr=0:1e-3:log", "both ends must be above 0"),
        ("gamma=0.9:1", "both ends must be below 1"),
        ("gamma=0.9:1.5:linear", r"gamma must be in \[0, 1\]"),
        ("lr=1e-3:1e-2:cubic", "unknown scale 'cubic'"),
        ("lt=1e-3:1e-2", "unknown hyperparameter 'lt'; did you mean 'lr'"),
        ("num_steps=8:16", "num_steps is no float setting"),
        ("hidden=8:16", "hidden is no float setting"),
    ],
)
def test_what_cannot_be_searched_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(small("ppo"), parse(text))


def test_a_trial_says_1_minus_x_for_a_discount() -> None:
    asked: dict[str, Any] = {}

    def suggest_float(name: str, low: float, high: float, log: bool = False) -> float:
        asked[name] = (low, high, log)
        return low

    got = suggest(
        SimpleNamespace(suggest_float=suggest_float), {"gamma": USUAL["gamma"], "clip": USUAL["clip"]}
    )
    assert got == {"gamma": 0.999, "clip": 0.05}
    assert asked["clip"] == (0.05, 0.4, False)
    low, high, log = asked["1 - gamma"]
    assert (round(low, 12), round(high, 12), log) == (0.001, 0.1, True)
