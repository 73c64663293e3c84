"""The Python on the pages works: it is run in order, one script per page, with its budgets of env steps made small."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def script(page: Path) -> str:
    """The Python blocks of a page, each run trained for a few iterations."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
    code = "\n".join(blocks)
    return re.sub(r"\benv_steps=[\d_]+", "env_steps=2_048", code)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "runs"),
    [
        ("docs/your_environment.md", 3),
        ("docs/games.md", 1),
        ("docs/callbacks.md", 5),
        ("docs/trackers.md", 1),
        ("docs/quickstart.md", 2),
        ("README.md", 1),
    ],
)
def test_the_page_runs(page: str, runs: int, tmp_path: Path) -> None:
    """In a process of its own, warnings as errors; compiled without optimisations, which saves half the time."""
    code = script(ROOT / page)
    assert code.count("swingup.train(") == runs
    (tmp_path / "page.py").write_text(code)
    env = os.environ | {"NPROC": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "error", "page.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert (tmp_path / "runs").is_dir(), "the page saves a run"
