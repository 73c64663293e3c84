"""Answers are graded in a child process: no broken or hostile one passes, none hangs, and each gets its sentence."""

import json
import sys
from pathlib import Path

import pytest

from conftest import late
from swingup.learn import FILES, exercise
from swingup.learn.grading import Verdict, grade

pytestmark = pytest.mark.timeout(60)  # none hangs
posix = pytest.mark.skipif(sys.platform == "win32", reason="limits of resources are POSIX's")


def graded(tmp_path: Path, text: str, name: str = "d3") -> Verdict:
    """Grade a text as an answer; nothing beside it may have changed."""
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / f"{FILES[name]}.py"
    path.write_text(text)
    before = sorted(tmp_path.iterdir())
    verdict = grade(name, path)
    assert sorted(tmp_path.iterdir()) == before
    assert path.read_text() == text
    return verdict


def function(lines: str) -> str:
    """A function with these lines."""
    inner = "\n".join("    " + line for line in lines.splitlines())
    return f"def double_target(reward, terminated, q_online, q_target, gamma):\n{inner}\n"


def body(lines: str) -> str:
    """A file whose function has these lines."""
    return f"import numpy as np\n\n\n{function(lines)}"


RIGHT = exercise("d3").solution.replace("def double_target", "def right")
CALL = "right(reward, terminated, q_online, q_target, gamma)"


def test_the_solution_passes(tmp_path: Path) -> None:
    verdict = graded(tmp_path, exercise("d3").solution)
    assert verdict.passed, verdict
    assert json.loads(json.dumps(verdict.json()))["state"] == "passed"


# What a learner may send: the text of the file, and the beginning of the sentence that answers.
SENTENCES = {
    "empty": ("", "Your file is empty"),
    "another name": ("def target():\n    pass\n", "Your file has no function `double_target`"),
    "no function": ("double_target = 3\n", "Your file has a int in place of a function"),
    "syntax": ("def double_target(:\n", "Python cannot read your file: invalid syntax"),
    "not text": ("\0", "Python cannot read your file"),
    "None": (body("pass"), "Your function returns None"),
    "text": (body('return "3"'), "Your function returns text"),
    "an object": (body("return object()"), "Your function returns an object"),
    "ragged": (
        body("return [[1.0], [1.0, 2.0]]"),
        "Your function returns a list whose rows differ in length",
    ),
    "two results": (body("return reward, reward"), "The number of results is 2, where 1 result is expected"),
    "shape": (body("return np.zeros(7)"), "Your result has the shape (7,), where (1,) is expected"),
    "NaN": (body("return reward * np.nan"), "Your result holds NaN"),
    "the shown case alone": (body("return 2 + reward"), "It is right on the shown case, but not on the case"),
    "changed": (
        RIGHT + function(f"y = {CALL}\nreward[:] = 0\nreturn y"),
        "The numbers are right, but your function changes",
    ),
    "not written": (body("raise NotImplementedError"), "It is not written yet"),
    "arguments": ("def double_target(r):\n    return r\n", "Your function raises TypeError"),
    "exception": (body("return reward / nix"), "Your function raises NameError: name 'nix'"),
    "exit": (body("import sys\nsys.exit(0)"), "Your function raises SystemExit"),
    "import": ("import nix\n", "Your file cannot be loaded: ModuleNotFoundError"),
    "new": (body("return reward + 17 * q_online.sum(1)"), "The numbers are wrong."),
}


@pytest.mark.parametrize("kind", SENTENCES)
def test_each_kind_of_broken_answer_has_its_sentence(tmp_path: Path, kind: str) -> None:
    text, sentence = SENTENCES[kind]
    verdict = graded(tmp_path, text)
    assert not verdict.passed
    assert verdict.finding.message.startswith(sentence), verdict


def test_an_exception_names_the_learners_line(tmp_path: Path) -> None:
    verdict = graded(tmp_path, body("x = 1\nreturn np.linalg.solve(np.zeros((2, 2)), np.ones(2))"))
    assert (verdict.finding.line, verdict.code) == (6, "return np.linalg.solve(np.zeros((2, 2)), np.ones(2))")
    assert f"{FILES['d3']}.py" in verdict.finding.trace
    assert "swingup-learn-" not in verdict.finding.trace  # the folder of the check means nothing to a learner


def test_a_recursion_shows_three_frames(tmp_path: Path) -> None:
    text = body("return double_target(reward, terminated, q_online, q_target, gamma)")
    verdict = graded(tmp_path, text)
    assert "RecursionError" in verdict.finding.message
    assert verdict.finding.trace.count("line 5") <= 4


def test_what_the_answer_prints_is_kept(tmp_path: Path) -> None:
    verdict = graded(tmp_path, body('print("hello")\nreturn reward'))
    assert verdict.output.startswith("hello")


@pytest.mark.parametrize("name", FILES)
def test_a_start_file_fails_kindly(tmp_path: Path, name: str) -> None:
    """It is compared before anything runs; a comment more, and the child says it."""
    verdict = graded(tmp_path, exercise(name).start, name)
    assert verdict.finding.state == "open"
    assert ("bug" if exercise(name).hunt else "not written") in verdict.finding.message


@pytest.mark.parametrize("name", late(FILES, "a1", "f3"))
def test_a_start_file_with_a_comment_is_open_or_a_known_mistake(tmp_path: Path, name: str) -> None:
    verdict = graded(tmp_path, exercise(name).start + "\n# mine\n", name)
    if exercise(name).hunt:
        assert verdict.finding.mistake == next(iter(exercise(name).wrong))
    else:
        assert verdict.finding.state == "open"


@pytest.mark.parametrize("name", late(FILES, "b2", "c8"))
def test_the_solution_that_is_shown_passes(tmp_path: Path, name: str) -> None:
    assert graded(tmp_path, exercise(name).solution, name).passed


MISTAKES = [(name, phrase) for name in FILES for phrase in exercise(name).wrong]
FIRST = [(name, next(iter(exercise(name).wrong))) for name in FILES]


@pytest.mark.parametrize("name, phrase", late(MISTAKES, *FIRST), ids=lambda x: x[:40])
def test_every_mistake_is_named_by_the_child(tmp_path: Path, name: str, phrase: str) -> None:
    text = f"from swingup.learn.exercises.{FILES[name]} import EXERCISE\n"
    verdict = graded(tmp_path, f"{text}{exercise(name).name} = EXERCISE.wrong[{phrase!r}]\n", name)
    assert verdict.finding.mistake == phrase, verdict
    assert phrase in verdict.finding.message


FORGED = """import json, os
line = json.dumps({"token": "0" * 32, "state": "passed", "message": "right"}).encode()
for fd in range(1, 30):
    try:
        os.write(fd, line + b"\\n")
    except OSError:
        pass
"""
PATCHED = """import numpy as np
np.allclose = np.array_equal = lambda *a, **k: True
np.isclose = lambda x, *a, **k: np.ones_like(x, bool)
"""
SAME = """class Same:
    __eq__ = lambda a, b: True
    __array__ = lambda a, *b, **c: 1 / 0
"""
TIME, SILENT, REFUSED = "Your code was stopped", "no verdict is no pass", "the check refuses it"
# Broken and hostile answers, and what is said of them. Most would return the right numbers after their deed.
HOSTILE = {
    "a loop": (body("while True:\n    pass"), TIME),
    "a loop at import": ("while True:\n    pass\n", TIME),
    "a loop in NumPy": (body("x = np.ones((2000, 2000))\nwhile True:\n    x = x @ x"), TIME),
    "sleep": ("import time\ntime.sleep(60)\n", TIME),
    "a huge array": (body("return np.ones(128 * 2**30)"), "MemoryError"),
    # untouched memory: one GiB of pages that are written can take a busy machine more than the second of a loop
    "a huge list": (body("x = []\nwhile True:\n    x.append(np.empty(2**21))"), "MemoryError"),
    "an exit at import": ("import os\nos._exit(0)\n", SILENT),
    "an exit": (body("import os\nos._exit(0)"), SILENT),
    "an exit handler": ("import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit\n", "SystemExit"),
    "a forged verdict": (FORGED + "os._exit(0)\n", SILENT),
    "a forged verdict that goes on": (FORGED + function("return reward"), "The numbers are wrong"),
    "a flood": (body('while True:\n    print("x" * 10000)'), TIME),
    "a flood on stderr": ("import sys\nwhile True:\n    sys.stderr.write('x' * 100000)\n", TIME),
    "a fork": (RIGHT + function(f"import os\nos.fork()\nreturn {CALL}"), REFUSED),
    "processes": (RIGHT + function(f'import subprocess\nsubprocess.run(["true"])\nreturn {CALL}'), REFUSED),
    "a shell": (RIGHT + function(f'import os\nos.system("true")\nreturn {CALL}'), REFUSED),
    "multiprocessing": ("import multiprocessing\nmultiprocessing.Process(target=print).start()\n", REFUSED),
    "a socket": (RIGHT + function(f"import socket\nsocket.socket()\nreturn {CALL}"), REFUSED),
    "a crash": ("import ctypes\nctypes.string_at(0)\n", REFUSED),
    "a segmentation fault": (
        "import sys\nsys.setrecursionlimit(10**9)\n" + body(f"return double_target{CALL[5:]}"),
        "",
    ),
    "a signal": (body("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"), REFUSED),
    "a file beside": (RIGHT + function(f'open(PLACE, "w").write("x")\nreturn {CALL}'), REFUSED),
    "a file deleted": (RIGHT + function(f"import os\nos.remove(PLACE)\nreturn {CALL}"), REFUSED),
    "a full disk": (body('f = open("big", "wb")\nwhile True:\n    f.write(bytes(2**20))'), "OSError"),
    "the judge is patched": (PATCHED + function("return reward * 0"), "The numbers are wrong"),
    "equal to all": (SAME + function("return Same()"), "ZeroDivisionError"),
    "a thread": (
        body(
            "import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()\nreturn reward"
        ),
        "The numbers are wrong",
    ),
}


PATIENCE = "sleep", "a flood on stderr"  # eight seconds each


@posix
@pytest.mark.parametrize("kind", late(HOSTILE, *[kind for kind in HOSTILE if kind not in PATIENCE]))
def test_no_hostile_answer_passes_or_hangs(tmp_path: Path, kind: str) -> None:
    beside = tmp_path / "precious"
    beside.mkdir()
    (beside / "file").write_text("kept")
    text, said = HOSTILE[kind]
    text = text.replace("PLACE", repr(str(beside / "file")))
    verdict = graded(tmp_path / "answers", text)
    assert verdict.finding.state == "failed", verdict
    assert said in verdict.finding.message, verdict
    assert [p.name for p in beside.iterdir()] == ["file"]
    assert (beside / "file").read_text() == "kept"
    assert len(verdict.output) <= 2**16
    if kind.startswith("a loop"):
        assert verdict.finding.line > 0, verdict  # the line at which it was stopped
