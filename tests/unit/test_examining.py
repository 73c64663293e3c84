"""Nothing asks an object what it is, or finds a field by its name, except where objects of strangers come in."""

import ast
from collections import Counter
from pathlib import Path

import swingup

ROOT = Path(swingup.__file__).parent
PROBES = {"hasattr", "getattr", "setattr", "delattr"}
FOREIGN = {  # folders whose modules examine what other people made
    "envs/adapters": "environments of other libraries and of users",
    "testing": "a user's environment, which may lack anything",
}
ALLOWED = {  # {(file, function): (how often, why)}
    ("__init__.py", "__getattr__"): (1, "a name of the package is imported on first use"),
    ("algos/__init__.py", "algorithm"): (1, "so is an algorithm, by its name"),
    ("cli/table.py", "run"): (1, "a command's function, by the name that stands in the table"),
    ("envs/pure.py", "optional"): (2, "a user's Env need not inherit from ours"),
    ("learn/training.py", "loaded"): (
        2,
        "a learner's file is made to compute with jax.numpy, and has one function",
    ),
    ("protocols.py", "hyperparameters"): (1, "what makes a class one of settings reads what the class has"),
    ("tracking/__init__.py", "_named"): (1, "a tracker's class, by the name that stands in the table"),
    ("ranges.py", "settle"): (2, "it is for every field of every class of settings"),
    ("ranges.py", "values"): (1, "so is this"),
}


def examined(path: Path) -> Counter:
    """Count {(file, function): how often it calls one of `PROBES` or a relative, or looks into `vars(...)[...]`}."""
    found, file = Counter(), str(path.relative_to(ROOT))

    def walk(node: ast.AST, function: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.FunctionDef) else function
            if isinstance(child, ast.Call):
                called = ast.unparse(child.func)
                found[file, inside] += called in PROBES or called.endswith(
                    ("__setattr__", "__getattribute__")
                )
            if isinstance(child, ast.Subscript) and isinstance(child.value, ast.Call):
                found[file, inside] += ast.unparse(child.value.func) == "vars"
            walk(child, inside)

    walk(ast.parse(path.read_text()), "")
    return +found


def test_only_what_strangers_made_is_examined() -> None:
    ours = [p for p in sorted(ROOT.rglob("*.py")) if not any(ROOT / f in p.parents for f in FOREIGN)]
    found = sum((examined(path) for path in ours), Counter())
    assert found == {place: count for place, (count, _) in ALLOWED.items()}, "protocols.py says what is there"
