"""Some commands show what there is: `list`, `papers`, `check-env` and `lab`."""

import json
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import tyro

from swingup.algos import ALGOS
from swingup.cli.flags import Named, Words, parse


@dataclass(frozen=True)
class ListOptions:
    what: tyro.conf.Positional[Literal["algos", "envs", "presets"]]  # what to list
    json: bool = False  # print a JSON list of objects instead


def show(args: list[str]) -> None:
    """List what there is."""
    o = parse(ListOptions, "list", args)
    found = {"algos": algos, "envs": envs, "presets": presets}[o.what]()
    if o.json:
        print(json.dumps(found))
    elif o.what == "envs":
        print("\n".join(row["env"] for row in found))
    elif o.what == "algos":
        print(columns([[row["algo"], row["about"]] for row in found]))
    else:
        rows = [
            [
                row["algo"],
                row["env"] if row["kind"] == "environment" else f"any of {row['env']}",
                f"{row['env_steps']:>11,} env steps",
                "tuned" if row["tuned"] else "not tuned",
                row["result"],
            ]
            for row in found
        ]
        print(columns(rows))


def columns(rows: list[list[str]]) -> str:
    """Join rows of texts to lines whose columns never run together.

    >>> print(columns([["ppo", "one"], ["value_iteration", "two"]]))
    ppo              one
    value_iteration  two
    """
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{x:<{n}}" for x, n in zip(row, wide, strict=True)).rstrip() for row in rows)


def algos() -> list[dict[str, Any]]:
    """List every algorithm by name, with the first line of its file, which is read, not imported."""
    folder = files("swingup.algos")
    first = {name: (folder / f"{name}.py").read_text(encoding="utf-8").partition("\n")[0] for name in ALGOS}
    return [{"algo": name, "about": line.strip('"')} for name, line in first.items()]


def envs() -> list[dict[str, Any]]:
    """List every environment that has an id, by suite."""
    from swingup.envs import SUITES

    return [{"env": f"{suite}:{name}", "suite": suite} for suite, names in SUITES.items() for name in names]


def presets() -> list[dict[str, Any]]:
    """List every preset, those of kinds of environments last."""
    from swingup.presets import every

    pairs, kinds = every()

    return [
        {
            "algo": algo,
            "env": env,
            "kind": "environment" if ":" in env else "kind",
            "env_steps": p.env_steps,
            "tuned": p.tuned,
            "result": p.result,
        }
        for (algo, env), p in (pairs | kinds).items()
    ]


@dataclass(frozen=True)
class PapersOptions:
    words: Words = ()
    """papers with all of these words; without any: the whole list"""
    json: bool = False  # print a JSON list of objects instead


def papers(args: list[str]) -> None:
    """Search the papers to read."""
    from swingup.course.papers import search

    o = parse(
        PapersOptions, "papers", args, description="Search the papers to read; docs/papers.md shows them all."
    )
    found = search(o.words)
    if o.json:
        print(json.dumps([paper.as_json() for paper in found]))
        return
    for section in dict.fromkeys(paper.section for paper in found):
        print(section)
        for paper in (paper for paper in found if paper.section == section):
            print(f"  {paper.year}  {paper.author}: {paper.title}")
            if o.words:
                print(f"        {paper.says}\n        {paper.link}")
                print(f"        here: {', '.join(paper.here)}\n" if paper.here else "")
    if not o.words:
        print(f"\n{len(found)} papers; `swingup papers WORD` says why each one matters, and where it is")


def check(args: list[str]) -> int:
    """Check that an environment keeps to the conventions that the algorithms rely on."""
    from swingup.testing import CheckOptions, command

    return command(parse(CheckOptions, "check-env", args))


@dataclass(frozen=True)
class LabOptions:
    name: Named  # a demonstration; list shows them all
    out: Path = Path("runs/lab")  # where to write the figure (PNG, SVG) and the numbers (JSON)
    seed: int = 0  # decides everything that is random in it
    json: bool = False  # with list: print a JSON list of objects instead


def lab(args: list[str]) -> int:
    """Run a demonstration: 0 if the phenomenon appeared, 1 if not."""
    from swingup.lab import LABS, demonstrate

    o = parse(LabOptions, "lab", args, description="Demonstrate a result of theory.")
    if o.name == "list":
        rows = [{"lab": name, "about": about} for name, about in LABS.items()]
        print(json.dumps(rows) if o.json else columns([list(row.values()) for row in rows]))
        return 0
    report = demonstrate(o.name, o.seed)
    print(f"what to look at: {report.look}\n")
    for claim in report.claims:
        print(f"  {'yes' if claim.holds else 'NO '}  {claim.text}")
    print("\nwrote " + ", ".join(map(str, report.write(o.out, o.name, o.seed))))
    if report.failed:
        print(f"error: with seed {o.seed} the phenomenon did not appear:", file=sys.stderr)
        print("\n".join(f"  {text}" for text in report.failed), file=sys.stderr)
    return 1 if report.failed else 0
