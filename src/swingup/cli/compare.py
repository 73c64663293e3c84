"""The command `compare` says what the seeds of several settings show, and what they do not."""

import json
from dataclasses import dataclass

from swingup.cli.flags import File, Runs, Text, parse


@dataclass(frozen=True)
class CompareOptions:
    runs: Runs
    """run directories, or directories of runs; those that differ only in seeds are one setting; NAME=RUN names one"""
    metric: str = "final_return"
    """of the final evaluation; or a column of metrics.csv, whose last value counts"""
    against: Text = ""
    """compare all others with this label alone, which you chose before you saw scores; default: all pairs"""
    out: File = None
    """also draw curves, profiles and who wins how often: .png and .svg, and all scores as .csv"""
    json: bool = False  # print one JSON object instead


def compare(args: list[str]) -> None:
    """Print a table and what may be concluded from it."""
    o = parse(CompareOptions, "compare", args)
    from swingup import conclusions
    from swingup.conclusions import words

    found = conclusions.compare(o.runs, metric=o.metric, against=o.against)
    print(json.dumps(words.to_json(found)) if o.json else words.told(found))
    if o.out is not None:
        from swingup.conclusions.figure import figure

        written = figure(found, o.out)
        if not o.json:
            print("wrote " + ", ".join(map(str, written)))
