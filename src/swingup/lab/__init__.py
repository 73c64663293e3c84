"""Demonstrations of what theory says, small enough to watch: `swingup lab list`, `swingup lab NAME`.

Each is a module here with a function `run(seed)` that returns a `Report`: a figure, its numbers, and claims. A
demonstration checks its own symptom: if the phenomenon does not appear, the command says so and exits with 1.
"""

import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from swingup.errors import ConfigError, unknown

if TYPE_CHECKING:
    from swingup.lab.report import Report

LABS = {  # {name: what it shows}; the module has the name with underscores
    "deadly-triad": "Baird's counterexample with and without each leg, and DQN's bootstrap targets beyond 1/(1-γ)",
}


def demonstrate(name: str, seed: int = 0) -> "Report":
    """Run one demonstration. Raises `ConfigError` for an unknown name."""
    if name not in LABS:
        raise ConfigError(unknown("demonstration", name, LABS))
    import matplotlib

    from swingup.curves import STYLE

    with matplotlib.rc_context(STYLE):
        return import_module(f"swingup.lab.{name.replace('-', '_')}").run(seed)


@dataclass(frozen=True)
class LabOptions:
    name: tyro.conf.Positional[str]  # a demonstration; list shows them all
    out: Path = Path("runs/lab")  # where to write the figure (PNG, SVG) and the numbers (JSON)
    seed: int = 0  # decides everything that is random in it


def command(args: list[str]) -> int:
    """Run a demonstration: 0 if the phenomenon appeared, 1 if not."""
    from swingup.cli import parse

    options = parse(LabOptions, "lab", args, description="Demonstrate a result of theory.")
    if options.name == "list":
        for name, about in LABS.items():
            print(f"{name:<20}{about}")
        return 0
    report = demonstrate(options.name, options.seed)
    print(f"what to look at: {report.look}\n")
    for claim in report.claims:
        print(f"  {'yes' if claim.holds else 'NO '}  {claim.text}")
    print("\nwrote " + ", ".join(map(str, report.write(options.out, options.name, options.seed))))
    if report.failed:
        print(f"error: with seed {options.seed} the phenomenon did not appear:", file=sys.stderr)
        print("\n".join(f"  {text}" for text in report.failed), file=sys.stderr)
    return 1 if report.failed else 0


__all__ = ["LABS", "demonstrate"]
