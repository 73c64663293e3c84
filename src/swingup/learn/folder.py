"""A learner's folder holds a file per exercise and `progress.json`; nothing that a learner wrote is overwritten."""

from pathlib import Path
from typing import Any

from swingup import files
from swingup.errors import ConfigError, SwingupError
from swingup.learn import FILES, exercise
from swingup.learn.grading import Verdict

NAME = "swingup-learn"
VERSION = 1  # of the form of progress.json
NEW = {"passed": False, "given_up": False, "tries": 0, "hints": 0, "sha256": ""}


class Folder:
    """This is a learner's folder, with what is known of each exercise."""

    def __init__(self, path: Path):
        self.path, self.file = path, path / "progress.json"
        self.all: dict[str, Any] = {"version": VERSION, "exercises": {}}
        if self.file.exists():
            self.all = files.read_json(self.file, error=SwingupError)
            known = isinstance(self.all, dict) and isinstance(self.all.get("exercises"), dict)
            if not known or self.all.get("version") != VERSION:
                raise SwingupError(
                    f"{self.file} is no progress of version {VERSION}: move it away to begin anew"
                )

    def of(self, name: str) -> dict[str, Any]:
        """Return what is known of an exercise."""
        return NEW | self.all["exercises"].get(name, {})

    def note(self, name: str, **changes: Any) -> None:
        """Record something about an exercise. Ids that this version does not know are kept."""
        self.all["exercises"][name] = self.of(name) | changes
        self.make()
        files.write_json(self.file, self.all)

    def make(self) -> None:
        """Make the folder, if there is none yet. Raises `OutputError`."""
        try:
            files.make_directory(self.path)
        except OSError as error:
            raise files.output_error(self.path, error) from error

    def place(self, name: str) -> Path:
        """Return where the file of an exercise is."""
        exercise(name)
        return self.path / f"{FILES[name]}.py"

    def write(self, name: str) -> bool:
        """Write an exercise's start file, unless there is a file; say whether it was written."""
        place = self.place(name)
        if place.exists() or place.is_symlink():
            return False
        self.make()
        files.write_atomic(place, exercise(name).start.encode())
        return True

    def reset(self, name: str) -> Path | None:
        """Write the start file anew; the old file is kept under the name that is returned."""
        place, old = self.place(name), None
        if place.exists():
            old = next(p for i in range(10**6) if not (p := place.with_suffix(f".py.bak{i or ''}")).exists())
            try:
                files.FS.rename(place, old)
            except OSError as error:
                raise files.output_error(old, error) from error
        self.write(name)
        return old

    def record(self, verdict: Verdict) -> None:
        """Record a verdict: a try, unless nothing was written, and the hash of a file that passed."""
        known = self.of(verdict.id)
        if verdict.passed:
            known |= {"passed": True, "sha256": verdict.sha256}
        self.note(verdict.id, **known | {"tries": known["tries"] + (verdict.finding.state != "open")})

    def state(self, name: str) -> str:
        """Return done, open or given up; or done after the solution was shown."""
        known = self.of(name)
        if known["passed"]:
            return "done, solution seen" if known["given_up"] else "done"
        return "given up" if known["given_up"] else "open"

    def current(self) -> str | None:
        """Return the first exercise that is neither done nor given up; None after the last one."""
        return next((name for name in FILES if self.state(name) == "open"), None)

    def hint(self, name: str) -> list[str]:
        """Return one hint more than the last time; after the third, all of them."""
        shown = min(self.of(name)["hints"] + 1, 3)
        self.note(name, hints=shown)
        return list(exercise(name).hints[:shown])

    def solution(self, name: str, give_up: bool) -> str:
        """Return the solution, after a pass or to those who give up, which is recorded. Raises `ConfigError`."""
        known = self.of(name)
        if not known["passed"] and not known["given_up"]:
            if not give_up:
                text = f"{name} is open: after a pass you see the solution. --give-up shows it now, and is recorded"
                raise ConfigError(text)
            self.note(name, given_up=True)
        return exercise(name).solution
