"""A job runs in a process of its own: `python -m swingup.cli.job FILE`, which `swingup grid --processes` starts."""

import os
import sys
import threading
import warnings
from pathlib import Path

from swingup.cli import tell


def main(path: str, tethered: bool = False) -> int:
    """Run the job in a file; return the exit code: 0; 1 where a run failed; 130 or 143 after a signal.

    A tethered process ends when the one that started it does, whose end of the pipe at our standard input closes then.
    """
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    if tethered:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from swingup.runs import jobs

        ended = [one.outcome for one in jobs.run(Path(path).read_text())]
    except Exception as error:
        return tell(error)
    for outcome in ended:
        if outcome.kind == "failed":
            print(f"error: {outcome.reason}", file=sys.stderr)
        if outcome.kind == "stopped":
            return 128 + (outcome.signum or 0)
    return 1 if any(outcome.kind == "failed" for outcome in ended) else 0


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--tethered" in sys.argv))
