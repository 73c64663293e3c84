"""A demonstration hands back a figure, its numbers, and claims about them that hold or do not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axis import Axis
from matplotlib.figure import Figure

from swingup.files import make_directory, output_error, to_json, write_atomic
from swingup.plots.style import pictures
from swingup.runs.experiment import versions


class Claim(NamedTuple):
    """A claim is what the demonstration is there to show, as measured just now."""

    holds: bool
    text: str  # one sentence with the numbers in it


@dataclass(frozen=True)
class Report:
    """A report is the outcome of one demonstration with one seed."""

    look: str  # what to look at in the figure
    claims: tuple[Claim, ...]
    numbers: dict[str, Any]  # everything that the figure draws, or that a claim is made of; as JSON has it
    figure: Figure

    @property
    def failed(self) -> list[str]:
        """Return the claims that do not hold."""
        return [claim.text for claim in self.claims if not claim.holds]

    def write(self, out: Path, name: str, seed: int) -> list[Path]:
        """Write the figure to PNG and SVG, and the numbers with their claims, seed and versions to JSON."""
        claims = [{"holds": bool(claim.holds), "text": claim.text} for claim in self.claims]
        about = {"lab": name, "seed": seed, "claims": claims}
        data = to_json(about | {"numbers": self.numbers, "versions": versions()})
        try:
            make_directory(out)
        except OSError as error:
            raise output_error(out, error) from error
        contents = pictures(self.figure) | {".json": data}
        for suffix, content in contents.items():
            write_atomic(out / (name + suffix), content)
        return [out / (name + suffix) for suffix in contents]


def plain(*axes: Axis) -> None:
    """Write numbers beside a logarithmic axis in the form 1e+06; our style turns off the mathematics of matplotlib's
    own.
    """
    for axis in axes:
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
