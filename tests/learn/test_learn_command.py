"""`swingup learn` as a learner, and as a teacher, uses it."""

import csv
import json
import re
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from conftest import command
from swingup.cli.learn import saved
from swingup.learn import FILES, GROUPS, exercise
from swingup.learn.folder import Folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def solve(name: str) -> Path:
    """Write an exercise's solution to the learner's folder."""
    path = Path("swingup-learn") / f"{FILES[name]}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(exercise(name).solution)
    return path


def progress(name: str) -> dict:
    return json.loads(Path("swingup-learn/progress.json").read_text())["exercises"][name]


def test_the_ids_are_permanent() -> None:
    """Learners' folders refer to them: an id may be added, and none may ever change or go."""
    most = {"a": 5, "b": 5, "c": 9, "d": 9, "e": 3, "f": 6, "g": 3}
    assert {f"{group}{i}" for group, n in most.items() for i in range(1, n + 1)} <= set(FILES)
    assert len(set(FILES.values())) == len(FILES) == 40
    assert {name[0] for name in FILES} == set(GROUPS)
    assert sum(bool(exercise(name).hunt) for name in FILES) >= 8


def test_a_first_walk(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "learn")
    assert code == 0
    assert out.startswith("a1  the log-probability of a discrete action")
    path = Path("swingup-learn/a1_categorical.py")
    assert path.read_text() == exercise("a1").start

    code, out, _ = command(capsys, "learn", "check")
    assert (code, "open" in out.splitlines()[0]) == (1, True)

    code, out, _ = command(capsys, "learn", "hint")
    assert out.splitlines() == [f"think: {exercise('a1').hints[0]}"]
    code, out, _ = command(capsys, "learn", "hint")
    assert [line.split(":")[0] for line in out.splitlines()] == ["think", "look"]

    p = "p = np.exp(logits - logits.max(-1, keepdims=True))\n    p = p / p.sum(-1, keepdims=True)"
    wrong = f"{p}\n    return p[np.arange(len(action)), action]"
    path.write_text(exercise("a1").start.replace("raise NotImplementedError  # TODO", wrong))
    code, out, _ = command(capsys, "learn", "check", "a1")
    lines = out.splitlines()
    assert code == 1
    assert lines[0].endswith("not right yet")
    assert "This is a known mistake: this is the probability" in lines[1]
    assert "yours: 0.75   right: -0.2877" in lines[2]

    solve("a1")
    code, out, _ = command(capsys, "learn", "check", "a1")
    assert (code, "passed" in out.splitlines()[0]) == (0, True)
    assert (progress("a1")["passed"], progress("a1")["tries"], progress("a1")["hints"]) == (True, 2, 2)
    code, out, _ = command(capsys, "learn")
    assert out.startswith("a2")
    code, out, _ = command(capsys, "learn", "solution", "a1")
    assert "def log_prob" in out


def test_a_file_that_exists_is_never_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    path = solve("a2")
    path.write_text("# mine\n")
    command(capsys, "learn", "next", "a2")
    assert path.read_text() == "# mine\n"
    for text in ("# mine\n", "# mine, too\n"):
        path.write_text(text)
        command(capsys, "learn", "reset", "a2")
        assert path.read_text() == exercise("a2").start
    assert path.with_suffix(".py.bak").read_text() == "# mine\n"
    assert path.with_suffix(".py.bak1").read_text() == "# mine, too\n"


def test_a_solution_is_for_those_who_passed_or_give_up(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, "learn", "solution", "b1")
    assert (code, out) == (2, "")
    assert "--give-up" in err
    code, out, _ = command(capsys, "learn", "solution", "b1", "--give-up")
    assert code == 0
    assert progress("b1")["given_up"]
    solve("b1").write_text(out)
    code, _, _ = command(capsys, "learn", "check", "b1")
    assert code == 0
    _, out, _ = command(capsys, "learn", "list", "--json")
    assert next(row for row in json.loads(out) if row["id"] == "b1")["state"] == "done, solution seen"


def test_ids_of_another_version_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    Path("swingup-learn").mkdir()
    strange = {"passed": True, "tries": 3}
    Path("swingup-learn/progress.json").write_text(json.dumps({"version": 1, "exercises": {"z9": strange}}))
    command(capsys, "learn", "hint", "a1")
    assert progress("z9") == strange
    assert progress("a1")["hints"] == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 9, "exercises": {}}'])
def test_a_damaged_progress_is_an_error_and_is_left_alone(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    Path("swingup-learn").mkdir()
    Path("swingup-learn/progress.json").write_text(text)
    code, _, err = command(capsys, "learn", "hint")
    assert code == 1
    assert "progress.json" in err
    assert Path("swingup-learn/progress.json").read_text() == text


@pytest.mark.parametrize(
    "args, said",
    [
        (["check", "a9"], "unknown exercise 'a9'; did you mean"),
        (["check", "a1"], "there is no swingup-learn/a1_categorical.py: `swingup learn next a1` writes it"),
        (["check", "all"], "has no exercise yet"),
        (["reset"], "name the exercise"),
        (["train", "b1"], "these can be trained with: a3, c5"),
        (["hint", "--students", "."], "--students goes with check"),
        (["check", "all", "--students", "nowhere"], "nowhere is not a directory"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_what_cannot_be_done_is_one_message(
    capsys: pytest.CaptureFixture[str], args: list[str], said: str
) -> None:
    code, _, err = command(capsys, "learn", *args)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_check_all_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    solve("a5")
    command(capsys, "learn", "next", "c3")
    code, out, _ = command(capsys, "learn", "check", "all")
    assert code == 1
    assert [line.split()[:2] for line in out.splitlines()] == [["a5", "passed"], ["c3", "open"], ["1", "of"]]
    code, out, _ = command(capsys, "learn", "check", "all", "--json")
    rows = json.loads(out)
    assert [(row["id"], row["state"]) for row in rows] == [("a5", "passed"), ("c3", "open")]


def test_every_exercise_done(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Folder(Path("swingup-learn"))
    for name in FILES:
        folder.note(name, passed=True)
    _, out, _ = command(capsys, "learn")
    assert out.startswith("All 40 exercises are done")
    code, _, err = command(capsys, "learn", "hint")
    assert (code, "name the one" in err) == (2, True)


def test_watch_sees_what_is_saved() -> None:
    folder = Folder(Path("swingup-learn"))
    folder.write("a1")
    folder.write("a2")
    turn = count()

    def wait() -> None:
        i = next(turn)
        if i == 1:
            folder.place("a2").write_text("# changed\n")
        if i == 3:
            folder.write("b1")

    found = saved(folder, wait)
    assert [next(found), next(found)] == ["a2", "b1"]


def test_a_teacher_gets_a_csv(capsys: pytest.CaptureFixture[str]) -> None:
    for student, answer in (("ada", exercise("a5").solution), ("=cmd", "def to_env(:\n"), ("zoe", None)):
        folder = Path("class") / student / ("swingup-learn" if student == "ada" else "")
        folder.mkdir(parents=True)
        if answer:
            (folder / f"{FILES['a5']}.py").write_text(answer)
    (Path("class") / "notes.txt").write_text("no student")
    code, out, err = command(capsys, "learn", "check", "a5", "--students", "class", "--csv", "table.csv")
    assert code == 0
    assert "3 students" in out
    assert "ada: 1 of 1 passed" in err
    with open("table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["student"], row["state"]) for row in rows] == [
        ("'=cmd", "failed"),
        ("ada", "passed"),
        ("zoe", "missing"),
    ]
    assert rows[0]["line"] == "1"
    assert not list(Path("class").rglob("progress.json"))


def test_nothing_of_jax_is_imported() -> None:
    """A verdict comes at once because neither the command nor the check imports JAX."""
    code = """
import sys
from swingup.learn import FILES, exercise
from swingup.learn import child, grading, students
from swingup.learn.folder import Folder
from swingup.cli import learn
for name in FILES:
    exercise(name)
assert "jax" not in sys.modules and "scipy" not in sys.modules, sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def headings(page: str) -> set[str]:
    """Return the anchors of a page's headings, in the way that MyST makes them."""
    text = re.sub(r"^```.*?^```", "", (ROOT / "docs" / f"{page}.md").read_text(), flags=re.S | re.M)
    titles = re.findall(r"^#{1,3} (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", FILES)
def test_the_page_that_teaches_an_exercise_exists(name: str) -> None:
    page, _, anchor = exercise(name).page.partition("#")
    assert anchor in headings(page), sorted(headings(page))


PAGE = (ROOT / "docs" / "learn.md").read_text()


def test_the_page_lists_every_exercise() -> None:
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line[:1] == "|"
    ]
    rows = {row[0]: row for row in cells if len(row) == 5}
    for name in FILES:
        ex = exercise(name)
        page, _, anchor = ex.page.partition("#")
        what = "bug hunt" if ex.hunt else "ends in a training" if ex.trains else ""
        link = f"[{anchor.replace('-', ' ')}]({page}.md#{anchor})"
        assert rows[name][1:] == [ex.title, link, str(len(ex.wrong)), what], rows[name]
    total = sum(len(exercise(name).wrong) for name in FILES)
    assert f"one of the {total} that it knows" in " ".join(PAGE.split())
    assert "Ten exercises are files that are complete and wrong" in PAGE
    assert sum(bool(exercise(name).hunt) for name in FILES) == 10


def test_the_page_shows_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = re.findall(r"\$ swingup learn(?: check)?\n```\n\n```text\n(.*?)```", PAGE, re.S)
    _, out, _ = command(capsys, "learn")
    assert out == first
    wrong = "from swingup.learn.exercises.a1_categorical import EXERCISE\n"
    wrong += "log_prob = next(iter(EXERCISE.wrong.values()))\n"
    Path("swingup-learn/a1_categorical.py").write_text(wrong)
    _, out, _ = command(capsys, "learn", "check")
    assert out == second
