"""The library has a shape: who may import whom, what algorithm files may do, and how long things are."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import swingup

ROOT = Path(swingup.__file__).parent
DESIGN = ROOT.parents[1] / "docs" / "design.md"
DOOR = "", "__init__", "__main__"
FILES = sorted(ROOT.rglob("*.py"))
# What is made of another algorithm, as its paper makes it: it builds that one from its own flat settings.
COMPOSED = {"mbmf": "trpo", "me_trpo": "trpo", "mbpo": "sac", "mve": "ddpg", "steve": "ddpg", "i2a": "a2c"}
FORBIDDEN = {"print", "open", "logging", "pmap", "debug", "time", "pickle", "eval", "exec"}


@cache
def floors() -> list[set[str]]:
    """Rooms by floor, the lowest first: as docs/design.md draws them, in the block that begins with `floors`."""
    drawing = re.search(r"```text\nfloors\n(.*?)```", DESIGN.read_text(), re.DOTALL)
    assert drawing
    return [set(line.partition("  ")[0].split()) for line in reversed(drawing[1].strip().splitlines())]


def room(module: str) -> str:
    """The folder that a module lies in; `top` for the files beside the folders, `swingup` for the front door."""
    first = module.removeprefix("swingup").removeprefix(".").split(".")[0]
    return first if (ROOT / first).is_dir() and first else "top" if first not in DOOR else "swingup"


def floor(module: str) -> int:
    return next(i for i, rooms in enumerate(floors()) if room(module) in rooms)


def imports(path: Path) -> list[str]:
    """Modules of swingup that a file imports, at its top or inside a function."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("swingup."):
            found.append(node.module or "")
        elif isinstance(node, ast.ImportFrom) and node.module == "swingup":
            places = (a.name for a in node.names)
            found += [f"swingup.{x}" for x in places if (ROOT / f"{x}.py").exists() or (ROOT / x).is_dir()]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path: Path) -> None:
    """A module imports from its own room and from floors below; an algorithm imports no other algorithm."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name in imports(path):
        lower = floor(name) < floor(module) or room(name) == room(module)
        assert lower, f"{module} imports {name}, which is not on a floor below it"
        if module.startswith("algos.") and module != "algos.__init__":
            allowed = name == f"swingup.algos.{COMPOSED.get(module.removeprefix('algos.'))}"
            assert allowed or not name.startswith("swingup.algos"), f"{module} imports the algorithm {name}"


@pytest.mark.parametrize("name, part", COMPOSED.items())
def test_an_algorithm_that_is_made_of_another_holds_that_one(name: str, part: str) -> None:
    """The list has no entry that is not needed, and no component is made of others itself."""
    assert f"swingup.algos.{part}" in imports(ROOT / "algos" / f"{name}.py")
    assert part not in COMPOSED


def test_every_room_stands_on_one_floor() -> None:
    rooms = {p.name for p in ROOT.iterdir() if p.is_dir() and p.name != "__pycache__"}
    drawn = [name for names in floors() for name in names]
    assert sorted(drawn) == sorted(rooms | {"top", "swingup"})


@pytest.mark.parametrize("path", sorted((ROOT / "algos").glob("*.py")), ids=lambda p: p.name)
def test_algorithms_only_compute(path: Path) -> None:
    """No printing, logging, files, clocks or debugging hooks in an algorithm."""
    for node in ast.walk(ast.parse(path.read_text())):
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        assert name not in FORBIDDEN, f"{path.name}:{getattr(node, 'lineno', 0)} uses {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_in_a_load_path_runs_code(path: Path) -> None:
    """No pickle, eval, exec, or their relatives, anywhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {a.name.split(".")[0] for a in node.names} | {
                (getattr(node, "module", "") or "").split(".")[0]
            }
            assert not names & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml"}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec", "compile", "__import__")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_size(path: Path) -> None:
    """Files of at most 250 lines; functions of at most 52, with at most 7 parameters."""
    text = path.read_text()
    limit = 250
    assert text.count("\n") <= limit, f"{path.name} has {text.count(chr(10))} lines; split or simplify it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 52, f"{path.name}: {node.name} has {length} lines"
            positional = [a for a in node.args.args if a.arg != "self"]
            assert len(positional) <= 7, (
                f"{path.name}: {node.name} has {len(positional)} positional parameters"
            )
