"""The command `learn` leads through forty exercises and checks each."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from swingup.cli.flags import Exercise, File, parse
from swingup.errors import ConfigError, SwingupError, unknown
from swingup.learn import FILES, GROUPS, exercise
from swingup.learn.folder import NAME, Folder
from swingup.learn.grading import Verdict, grade
from swingup.learn.telling import read, told

What = Literal["next", "check", "hint", "solution", "list", "reset", "watch", "train"]


@dataclass(frozen=True)
class LearnOptions:
    what: tyro.conf.Positional[What] = "next"
    """next: the exercise to do; check: is it right?; hint; solution; list: all exercises;
    reset: begin a file anew, the old one is kept; watch: check whenever a file is saved;
    train: train an agent with your answer"""
    id: Exercise = ""
    """an exercise, such as a1; default: the first one that is open; check also takes all"""
    folder: File = None  # where your files are; default: swingup-learn in this directory
    trace: bool = False  # with check: the traceback too, and what your code printed
    json: bool = False  # with check and list: print JSON instead
    give_up: bool = False  # with solution: show it before you have passed, which is recorded
    students: File = None  # for teachers, with check: a directory that holds a folder for each student
    csv: Path = Path("students.csv")  # where the table of all students is written


def learn(args: list[str]) -> int:
    """Do what is asked for: 0 if it went well, 1 if an answer is not right yet."""
    o = parse(LearnOptions, "learn", args, description="Learn by doing: forty exercises, each checked.")
    if o.students is not None:
        return teacher(o)
    here = Path.cwd()
    folder = Folder(o.folder or (here if here.name == NAME else Path(NAME)))
    todo = {"next": next_, "check": check, "hint": hint, "solution": solution, "list": list_}
    return (todo | {"reset": reset, "watch": watch, "train": train})[o.what](o, folder)


def chosen(o: LearnOptions, folder: Folder) -> str:
    """Return the exercise that is meant. Raises `ConfigError`."""
    name = o.id or folder.current()
    if name is None:
        raise ConfigError(f"all {len(FILES)} exercises are done: name the one that you mean, such as a1")
    if name not in FILES:
        raise ConfigError(unknown("exercise", name, FILES))
    return name


def next_(o: LearnOptions, folder: Folder) -> int:
    """Say what to do next, and write its start file if there is none."""
    if not o.id and folder.current() is None:
        print(f"All {len(FILES)} exercises are done. `swingup learn list` shows them.")
        return 0
    name = chosen(o, folder)
    new, ex = folder.write(name), exercise(name)
    done = sum(folder.of(x)["passed"] for x in FILES)
    print(f"{name}  {ex.title}   ({GROUPS[name[0]]}; {done} of {len(FILES)} done)")
    print(f"  file:   {folder.place(name)}{'   (written now)' if new else ''}")
    print(
        f"  do:     {'find the bug and mend that one place' if ex.hunt else f'write the function {ex.name}'}"
    )
    print(f"  read:   {read(ex.page)}")
    print(f"  check:  swingup learn check {name}")
    print(f"  stuck:  swingup learn hint {name}")
    if ex.trains:
        print(f"  then:   swingup learn train {name}   ({ex.trains})")
    return 0


def check(o: LearnOptions, folder: Folder) -> int:
    """Check one answer, or all that are written."""
    if o.id != "all":
        name = chosen(o, folder)
        if not folder.place(name).exists():
            raise ConfigError(f"there is no {folder.place(name)}: `swingup learn next {name}` writes it")
        verdict = graded(name, folder)
        print(json.dumps(verdict.json()) if o.json else told(verdict, o.trace))
        if verdict.passed and not o.json:
            after(name, folder)
        return 0 if verdict.passed else 1
    written = [name for name in FILES if folder.place(name).exists()]
    if not written:
        raise ConfigError(f"{folder.path} has no exercise yet: `swingup learn` writes the first")
    verdicts = []
    for name in written:
        verdicts.append(graded(name, folder))
        if not o.json:
            f = verdicts[-1].finding
            print(
                f"{name}  {f.state:<6}  {exercise(name).title}{'' if f.state == 'passed' else ': ' + f.message}"
            )
    passed = sum(v.passed for v in verdicts)
    print(json.dumps([v.json() for v in verdicts]) if o.json else f"{passed} of {len(FILES)} passed.")
    return 0 if passed == len(verdicts) else 1


def graded(name: str, folder: Folder) -> Verdict:
    """Grade an answer and record the verdict."""
    verdict = grade(name, folder.place(name))
    folder.record(verdict)
    return verdict


def after(name: str, folder: Folder) -> None:
    """Say what one can do after a pass."""
    if exercise(name).hunt:
        print(f"  this bug was real: {exercise(name).hunt}")
    if exercise(name).trains:
        print(f"  train with it: swingup learn train {name}   ({exercise(name).trains})")
    print(f"  compare: swingup learn solution {name}")
    print("  go on: swingup learn" if folder.current() else f"  All {len(FILES)} exercises are done.")


def hint(o: LearnOptions, folder: Folder) -> int:
    """Give one hint more."""
    name = chosen(o, folder)
    for kind, text in zip(["think", "look", "formula"], folder.hint(name), strict=False):
        print(f"{kind}: {text}")
    return 0


def solution(o: LearnOptions, folder: Folder) -> int:
    """Show the right answer."""
    print(folder.solution(chosen(o, folder), o.give_up), end="")
    return 0


def list_(o: LearnOptions, folder: Folder) -> int:
    """List the exercises and how far the learner is."""
    rows = [
        {"id": x, "title": exercise(x).title, "state": folder.state(x), "hunt": bool(exercise(x).hunt)}
        for x in FILES
    ]
    if o.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        if row["id"].endswith("1"):
            print(f"{GROUPS[row['id'][0]]}")
        print(f"  {row['id']}  {row['state']:<8}  {row['title']}{'  (bug hunt)' if row['hunt'] else ''}")
    return 0


def reset(o: LearnOptions, folder: Folder) -> int:
    """Begin a file anew."""
    if not o.id:
        raise ConfigError(
            "name the exercise whose file you want to begin anew, such as `swingup learn reset a1`"
        )
    old = folder.reset(chosen(o, folder))
    print(f"wrote {folder.place(o.id)}" + (f"; your file is kept as {old}" if old else ""))
    return 0


def watch(o: LearnOptions, folder: Folder) -> int:
    """Check every file when it is saved, until Ctrl-C."""
    next_(o, folder)
    print("Watching; each file that you save is checked. Ctrl-C ends it.", flush=True)
    for name in saved(folder, lambda: time.sleep(0.5)):
        try:
            verdict = graded(name, folder)
        except SwingupError as error:  # a file that vanished, or is being written
            print(f"error: {error}", flush=True)
            continue
        print(f"\n{told(verdict, o.trace)}", flush=True)
        if verdict.passed:
            after(name, folder)
    return 0


def saved(folder: Folder, wait: Callable[[], object]) -> Iterator[str]:
    """Yield each exercise whose file has another time or size than before; watchers of the system miss some mounts."""

    def now() -> dict[str, tuple[int, int]]:
        found = {}
        for name in FILES:
            if (place := folder.place(name)).exists():
                info = place.stat()
                found[name] = info.st_mtime_ns, info.st_size
        return found

    before = now()
    while True:
        wait()
        after = now()
        yield from [name for name, what in after.items() if before.get(name) != what]
        before = after


def train(o: LearnOptions, folder: Folder) -> int:
    """Train an agent in which the learner's answer takes the library's place, once it is right."""
    name = chosen(o, folder)
    ex = exercise(name)
    if not ex.trains:
        names = ", ".join(x for x in FILES if exercise(x).trains)
        raise ConfigError(f"{name} ends with its check; these can be trained with: {names}")
    verdict = graded(name, folder)
    if not verdict.passed:
        print(told(verdict, o.trace))
        return 1
    print(f"{name} is right. Now {ex.trains}.", flush=True)
    from swingup.learn.training import TRAININGS

    return TRAININGS[name](folder.place(name))


def teacher(o: LearnOptions) -> int:
    """Check the folders of all students."""
    if o.what != "check" or o.id not in ("all", *FILES):
        raise ConfigError("--students goes with check: `swingup learn check all --students DIR --csv FILE`")
    from swingup.learn.students import check as check_students

    assert o.students
    names = list(FILES) if o.id == "all" else [o.id]

    def tell(student: str, passed: int) -> None:
        print(f"{student}: {passed} of {len(names)} passed", file=sys.stderr, flush=True)

    print(f"wrote {o.csv}: {check_students(o.students, o.csv, names, tell)} students")
    return 0
