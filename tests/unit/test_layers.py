"""The shape of the library: who may import whom, what algorithm files may do, and how long things are."""

import ast
from pathlib import Path

import pytest

import swingup

ROOT = Path(swingup.__file__).parent
LAYERS = [
    {
        "errors",
        "ranges",
        "types",
        "counters",
        "spaces",
        "frames",
        "linalg",
        "layers",
        "noisy",
        "sequences",
        "vision",
        "observations",
        "recap",
        "nn",
        "critics",
        "words",
        "distributions",
        "returns",
        "normalise",
        "files",
        "claims",
        "statistics",
    },
    {"rollout", "envs", "replay", "priorities", "hindsight", "bellman", "exact", "tables", "fitted"},
    {"algos"},
    {
        "driver",
        "budget",
        "hosts",
        "episodes",
        "parallel",
        "clock",
        "warmup",
        "rows",
        "finite",
        "checkpoint",
        "callbacks",
        "settings",
        "taxonomy",
        "machine",
        "render",
        "render_tables",
        "animation",
        "opengl",
        "render_brax",
        "stage",
        "watched",
        "filming",
        "curves",
        "config",
        "flags",
        "testing",
    },
    {
        "experiment",
        "evaluation",
        "outline",
        "session",
        "presets",
        "presets_kinds",
        "presets_policy",
        "presets_replay",
        "presets_tabular",
        "playback",
        "play",
        "lab",
        "cli",
        "commands",
        "__main__",
        "__init__",
    },
]
FILES = sorted(ROOT.rglob("*.py"))
FORBIDDEN = {"print", "open", "logging", "pmap", "debug", "time", "pickle", "eval", "exec"}


def layer(module: str) -> int:
    top = module.removeprefix("swingup.").split(".")[0]
    return next(i for i, names in enumerate(LAYERS) if top in names)


def imports(path: Path) -> list[str]:
    """Modules of swingup that a file imports, at its top or inside a function."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("swingup."):
            found.append(node.module or "")
        elif isinstance(node, ast.ImportFrom) and node.module == "swingup":
            found += [f"swingup.{a.name}" for a in node.names if (ROOT / f"{a.name}.py").exists()]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path: Path) -> None:
    """A module imports from its own layer or those below; an algorithm imports no other algorithm."""
    if path == ROOT / "__init__.py":
        return
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name in imports(path):
        assert layer(name) <= layer(module), f"{module} imports {name}, which is above it"
        if module.startswith("algos.") and module != "algos.__init__":
            assert not name.startswith("swingup.algos"), f"{module} imports the algorithm {name}"


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
    """Files of at most 250 lines (experiment 320, cli 410); functions of at most 52, with at most 7 parameters."""
    text = path.read_text()
    limit = 410 if path.stem == "cli" else 320 if path.stem == "experiment" else 250
    assert text.count("\n") <= limit, f"{path.name} has {text.count(chr(10))} lines; split or simplify it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 52, f"{path.name}: {node.name} has {length} lines"
            positional = [a for a in node.args.args if a.arg != "self"]
            assert len(positional) <= 7, (
                f"{path.name}: {node.name} has {len(positional)} positional parameters"
            )
