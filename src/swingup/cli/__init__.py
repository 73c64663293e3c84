"""The command line starts here. JAX is imported by the commands that compute, so that help and errors come at once."""

import os
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

import swingup
from swingup.cli.table import COMMANDS, help_text
from swingup.errors import ConfigError, EnvironmentFault, SwingupError, unknown
from swingup.tracking import THREAD


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command `swingup`. It exits with 0; 1 after an error; 2 for wrong usage; 130 or 143 after a signal."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    try:
        leave(dispatch([a for a in args if a != "--debug"]))
    except KeyboardInterrupt:
        leave(130)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        leave(tell(error))


def leave(code: int) -> None:
    """Leave the process: at once if a tracker hangs, whose package may wait for its server at the exit."""
    if any(thread.name.startswith(THREAD) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def dispatch(args: list[str]) -> int:
    """Run the command that the first argument names with the rest; the exit code."""
    if not args or args[0] in ("-h", "--help", "help"):
        print(help_text(), end="")
        return 0
    if args[0] == "--version":
        print(swingup.__version__)
        return 0
    if args[0] not in COMMANDS:
        raise ConfigError(unknown("command", args[0], COMMANDS))
    return COMMANDS[args[0]].run(args[1:]) or 0


def tell(error: Exception) -> int:
    """Print an error as one message, and a fault of the user's environment with its traceback; return the exit code."""
    if isinstance(error, EnvironmentFault) and error.__cause__ is not None:
        print(theirs(error.__cause__), file=sys.stderr, end="")
    known = isinstance(error, SwingupError)
    print(f"error: {error if known else f'{type(error).__name__}: {error}'}", file=sys.stderr)
    if not known:
        print("This is a fault of swingup's; --debug shows where it happened.", file=sys.stderr)
    return 2 if isinstance(error, ConfigError) else 1


def theirs(cause: BaseException) -> str:
    """Return the traceback of an exception in a user's environment, from where their code begins."""
    frames, package = traceback.extract_tb(cause.__traceback__), Path(swingup.__file__).parent
    own = [i for i, frame in enumerate(frames) if not Path(frame.filename).is_relative_to(package)]
    shown = frames[own[0] :] if own else frames
    lines = ["In the environment:\n", *traceback.format_list(shown), *traceback.format_exception_only(cause)]
    return "".join(lines)
