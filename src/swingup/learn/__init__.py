"""Forty exercises stand here in learning order, each with a check that knows which mistake was made.

Importing this room, or any exercise, imports NumPy and no JAX, so that a verdict comes at once.
"""

from importlib import import_module
from pathlib import Path

from swingup.errors import ConfigError, unknown
from swingup.learn.form import Exercise

# An id is permanent: a learner's folder and progress refer to it. The order of names is the order of learning.
FILES = {
    path.stem.partition("_")[0]: path.stem for path in sorted(Path(__file__).parent.glob("exercises/??_*.py"))
}
GROUPS = {
    "a": "Policies",
    "b": "Tables",
    "c": "Policy gradients",
    "d": "Deep Q-learning",
    "e": "Continuous control",
    "f": "Experiments",
    "g": "Beyond",
}


def exercise(name: str) -> Exercise:
    """Load an exercise by its id, such as `a1`. Raises `ConfigError`."""
    if name not in FILES:
        raise ConfigError(unknown("exercise", name, FILES))
    return import_module(f"swingup.learn.exercises.{FILES[name]}").EXERCISE
