"""The progress is shown in one row of a terminal, in one place of a notebook, and in lines elsewhere."""

import io
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import small
from swingup.training import callbacks, notebook
from swingup.training.callbacks import Console, with_bar
from swingup.training.clock import Clock
from swingup.training.driver import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress(iteration: int, iterations: int = 200) -> Progress:
    metrics = {"ep/count": np.ones((2, 1)), "ep/return_last100": np.full((2, 1), 41.5)}
    return Progress(small("ppo"), None, iteration, iterations, None, metrics, Clock())  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [20, 60, 80, 100, 120, 200])
def test_a_terminal_has_one_row_however_narrow(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    console = Console(out, 0.0)
    for i in (1, 100, 200):
        console.before = -1e9
        console(progress(i))
    *rows, end = out.getvalue().split("\r\x1b[2K")[1:]
    assert end.endswith("\n")
    assert len(rows) == 2
    for row in (*rows, end.rstrip("\n")):
        assert len(row) < columns
        assert "\n" not in row
    if columns >= 200:
        assert [re.match(r"\[(#*) *\] +(\d+) %", row).groups() for row in (*rows, end)] == [  # type: ignore[union-attr]
            ("", "0"),
            ("#" * 15, "50"),
            ("#" * 30, "100"),
        ]


def test_a_file_gets_plain_lines() -> None:
    out = io.StringIO()
    console = Console(out, 0.0)
    console(progress(100))
    console(progress(200))
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert not any("#" in line or "\x1b" in line for line in lines)
    assert "12,800 / 12,800 env steps" in lines[1]


def test_the_bar_grows_with_what_is_done() -> None:
    full = [with_bar("x", i / 50, 120).count("#") for i in range(51)]
    assert full == sorted(full)
    assert (full[0], full[-1]) == (0, 30)


class Display:
    """What IPython's `display` returns, and a stand-in of IPython in a notebook."""

    def __init__(self):
        self.shown: list[Any] = []

    def update(self, content: Any) -> None:
        self.shown.append(("update", content))


def test_a_notebook_has_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Display()

    def display(content: Any, display_id: bool = False) -> Display:
        handle.shown.append(("display", content, display_id))
        return handle

    ipython, shell = ModuleType("IPython"), type("ZMQInteractiveShell", (), {})()
    pictures = SimpleNamespace(display=display, HTML=lambda text: ("html", text))
    vars(ipython).update(get_ipython=lambda: shell, display=pictures)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(notebook, "EVERY_SECONDS", 0.0)
    bar = notebook.console()
    for i in (1, 100, 200):
        bar(progress(i))
    assert [x[0] for x in handle.shown] == ["display", "update", "update"]
    assert handle.shown[0][2] is True
    last = handle.shown[-1][1][1]
    assert '<progress value="1.0000" max="1"' in last
    assert "return 41.50 (mean of 2 seeds)" in last
    monkeypatch.setattr(notebook, "EVERY_SECONDS", 1e9)
    bar(progress(150))
    assert len(handle.shown) == 3  # not as often as chunks end
    bar(progress(200))
    assert len(handle.shown) == 4  # but the last one always


@pytest.mark.parametrize(
    "shell", [None, type("TerminalInteractiveShell", (), {})()], ids=["script", "ipython"]
)
def test_elsewhere_it_is_lines(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ipython = ModuleType("IPython")
    vars(ipython).update(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert isinstance(notebook.console(), Console)
    monkeypatch.delitem(sys.modules, "IPython")
    assert isinstance(notebook.console(), callbacks.Console)
