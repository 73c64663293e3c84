"""Some pages of the docs are built alone, for tests that look at few of them: a whole build takes minutes."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def html(out: Path, *patterns: str) -> Path:
    """Return the folder of the pages as HTML; links to the other pages lead nowhere."""
    some = f"include_patterns={','.join(patterns)}"
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-D", some, "-d", out / "trees"]
    done = subprocess.run([*command, DOCS, out / "html"], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html"
