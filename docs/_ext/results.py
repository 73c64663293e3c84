"""Measured results and files of the repository are put in the pages that show them, whether or not they exist yet.

Before reading, this writes one Markdown file per entry of `PAGES` to `docs/_build/generated/`: the content of
the source file, its headings lowered and its pictures found, or else a sentence that says what
is missing. The pages include those files.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

from swingup.algos import ALGOS

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "docs" / "_build" / "generated"
ALGORITHM = frozenset(["algorithm"])  # on its own page each row has the same
VERDICTS = frozenset(
    ["bar", "met", "verdict", "at least"]
)  # columns for us, in the files of the measurements
FOLDS = {  # {how a paragraph or a heading begins: the title of its fold}
    "Presets. The score of a seed": "How this was measured",
    "How to read this:": "How to read this",
    "Commands, speeds": "Commands, speeds and versions",
    "Versions: ": "Versions and command",
    "#### Versions": "Versions",
    "##### Versions": "Versions",
}
PAGES = {  # name: (source, levels to lower its headings, what stands there without it)
    "scores": ("benchmarks/results/scores.md", 3, "*No scores are stored in this checkout yet.*"),
    "speed": ("benchmarks/results/speed.md", 3, "*No speeds are stored in this checkout yet.*"),
    "speed-halfcheetah": (
        "benchmarks/results/speed-halfcheetah.md",
        3,
        "*No speeds on the host are stored in this checkout yet.*",
    ),
    "off-policy": (
        "benchmarks/results/off-policy.md",
        3,
        "*No off-policy speeds are stored in this checkout yet.*",
    ),
    "trackers": ("benchmarks/results/trackers.md", 2, "*No costs are stored in this checkout yet.*"),
    "warmup": ("benchmarks/results/warmup.md", 3, "*No warm-ups are stored in this checkout yet.*"),
    "frames": ("benchmarks/results/frames.md", 3, "*No speeds of frames are stored in this checkout yet.*"),
    "ablation": ("benchmarks/results/ablation.md", 1, "*No ablation is stored in this checkout yet.*"),
    "models": (
        "benchmarks/results/models.md",
        3,
        "*No returns of planners are stored in this checkout yet.*",
    ),
    "dyna": (
        "benchmarks/results/dyna.md",
        2,
        "*No returns with and without a model are stored in this checkout yet.*",
    ),
    "locomotion": (
        "benchmarks/results/locomotion.md",
        2,
        "*No returns of robots with models are stored in this checkout yet.*",
    ),
    "grid": ("benchmarks/results/grid.md", 2, "*No grid is stored in this checkout yet.*"),
    "cluster": ("benchmarks/results/cluster.md", 2, "*No killed cluster is stored in this checkout yet.*"),
    "tuning": ("benchmarks/results/tuning.md", 2, "*No killed study is stored in this checkout yet.*"),
    "devices": (
        "benchmarks/results/devices.md",
        2,
        "*No speeds of devices are stored in this checkout yet.*",
    ),
    "mbrl-lib": (
        "benchmarks/results/mbrl-lib.md",
        2,
        "*No comparison with mbrl-lib is stored in this checkout yet.*",
    ),
    "td-k": (
        "benchmarks/results/td-k.md",
        1,
        "*No policies with one action are stored in this checkout yet.*",
    ),
    "imagined": (
        "benchmarks/results/imagined.md",
        3,
        "*No speeds of imagination are stored in this checkout yet.*",
    ),
    "imagination": (
        "benchmarks/results/imagination.md",
        2,
        "*No returns of the arms are stored in this checkout yet.*",
    ),
    "track": (
        "benchmarks/results/track.md",
        3,
        "*No returns on the track are stored in this checkout yet.*",
    ),
    "evolution": (
        "benchmarks/results/evolution.md",
        2,
        "*No generations are stored in this checkout yet.*",
    ),
    "world-models": (
        "benchmarks/results/world-models.md",
        2,
        "*No returns of World Models are stored in this checkout yet.*",
    ),
    "goals": (
        "benchmarks/results/goals.md",
        1,
        "*No shares of reached goals are stored in this checkout yet.*",
    ),
    "classic": ("benchmarks/results/classic.md", 1, "*No curves are drawn in this checkout yet.*"),
    "conclusions": (
        "benchmarks/results/conclusions.md",
        2,
        "*No shares of wrong conclusions are stored in this checkout yet.*",
    ),
    "deadly-triad": (
        "benchmarks/results/deadly-triad.md",
        1,
        "*No shares of soft divergence are stored in this checkout yet.*",
    ),
    "alphazero": (
        "benchmarks/results/alphazero.md",
        3,
        "*No matches and mistakes are stored in this checkout yet.*",
    ),
    "contributing": (
        "CONTRIBUTING.md",
        0,
        "# Contributing\n\n*`CONTRIBUTING.md` is not in this checkout yet.*",
    ),
}


def adapt(text: str, lower: int, folder: Path) -> str:
    """Headings `lower` levels deeper, and relative pictures and links as seen from the generated file."""
    home = os.path.relpath(folder, GENERATED)

    def link(match: re.Match) -> str:
        picture, label, target = match.groups()
        if re.match(r"[a-z]+:|#|/", target):
            return match[0]
        return f"![{label}]({home}/{target})" if picture else f"`{label.strip('`')}`"

    lines, fenced = [], False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        if not fenced:
            line = re.sub(r"^(#+ )", "#" * lower + r"\1", line)
            line = re.sub(r"(!?)\[([^]]*)\]\(([^)\s]+)\)", link, line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def of(text: str, algo: str) -> str:
    """Return the table of scores without the rows and commands of other algorithms."""
    other = re.compile(
        rf"\| (?!{algo} |algorithm ).*\| (yes|\*\*no\*\*|–) \|.*|- `swingup train (?!{algo} ).*"
    )
    return "\n".join(line for line in text.splitlines() if not other.fullmatch(line))


def cells(line: str) -> list[str]:
    """Return the cells of a row of a table; a bar behind a backslash is text."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def plain(text: str, also: frozenset[str] = frozenset()) -> str:
    """Leave out the columns that say whether a bar of ours was met, for a reader wants the numbers; and others.

    >>> print(plain("| env | mean | bar | met |\\n|---|---|---|---|\\n| A | 1 | mean 2 | no |"))
    | env | mean |
    |---|---|
    | A | 1 |
    """
    out, keep = [], None
    for line in text.splitlines():
        if not line.startswith("|"):
            keep = None
            out.append(line)
            continue
        row = cells(line)
        if keep is None:
            row = ["comparison" if i == 0 and cell == "bar" else cell for i, cell in enumerate(row)]
            keep = [
                i for i, cell in enumerate(row) if cell not in VERDICTS | also and (cell or i < len(row) - 1)
            ]
        kept = [row[i] for i in keep if i < len(row)]
        out.append(
            "|" + "|".join(kept) + "|" if re.fullmatch(r"[|:\s-]+", line) else f"| {' | '.join(kept)} |"
        )
    return "\n".join(out) + ("\n" if text.endswith("\n") else "")


def folded(text: str) -> str:
    """Fold away how something was measured: what begins with one of the phrases of `FOLDS`, up to a heading."""
    lines, out, inside = text.splitlines(), [], False
    for line in lines:
        opening = next((title for phrase, title in FOLDS.items() if line.startswith(phrase)), None)
        if inside and (opening or line.startswith(("#", "|", "!"))):
            out += ["::::", ""]
            inside = False
        if opening:
            out += [f"::::{{admonition}} {opening}", ":collapsible: closed", ""]
            inside = True
            if line.startswith("#"):
                continue
        out.append(line)
    return "\n".join([*out, *(["::::"] if inside else [])]) + "\n"


def wide(text: str) -> str:
    """Show tables in small letters: they have many columns."""
    return f":::::{{container}} wide\n\n{text}\n:::::\n"


def in_words(text: str) -> str:
    """Say in two sentences how the scores of a table stand beside the published ones, intervals taken into account.

    >>> row = "| dqn | {} | 50,000 | 10 | 5 | [4.00, 6.00] | 5 | 4 | 5 | – | – | {} at 50k (RL Zoo) |"
    >>> in_words(row.format("A", 3) + "\\n" + row.format("B", 5)).split(".")[0]  # doctest: +ELLIPSIS
    '2 of these tasks ...: it lies above the published number in 1, holds it in 1 and lies below it in 0'
    """
    above = within = below = few = 0
    for row in (cells(line) for line in text.splitlines() if line.startswith("| ")):
        published = re.match(r"-?\d+(?:\.\d+)?", row[-1])
        if len(row) != 12 or published is None or row[-1].endswith("exact") or ", exact" in row[-1]:
            continue
        interval = re.fullmatch(r"\[(-?[\d.]+), (-?[\d.]+)\]", row[5])
        few += interval is None
        if interval:
            low, high = map(float, interval.groups())
            above, below = above + (low > float(published[0])), below + (high < float(published[0]))
            within += low <= float(published[0]) <= high
    if not above + within + below:
        return ""
    rest = f" {few} more have fewer than three seeds, and no interval." if few else ""
    return (
        f"{above + within + below} of these tasks have a published number and an interval of ours: it lies above the "
        f"published number in {above}, holds it in {within} and lies below it in {below}.{rest} Budgets, versions of "
        "environments and protocols differ, as the cells say, so read that as an orientation and not as a contest."
    )


def curves(algo: str) -> str:
    """Show the stored learning curves of an algorithm's presets side by side."""
    found = sorted((ROOT / "benchmarks" / "results" / "scores").glob(f"{algo}-*.png"))
    home = os.path.relpath(ROOT / "benchmarks" / "results" / "scores", GENERATED)
    shown = [
        f"![The return of {algo} in training, {p.stem.removeprefix(algo + '-')}]({home}/{p.name})"
        for p in found
    ]
    return "\n".join(["::::{container} curves", *shown, "::::", "", ""]) if shown else ""


def generate(app: Sphinx) -> None:
    GENERATED.mkdir(parents=True, exist_ok=True)
    for name, (source, lower, otherwise) in PAGES.items():
        path = ROOT / source
        text = adapt(path.read_text(), lower, path.parent) if path.exists() else otherwise + "\n"
        pages = {name: folded(plain(text))}
        if name == "scores":
            rows = {algo: of(text, algo) for algo in ALGOS}
            pages = {name: in_words(text) + "\n\n" + wide(folded(plain(text)))}
            pages |= {
                f"scores-{algo}": f"{curves(algo)}{in_words(own)}\n\n{wide(folded(plain(own, ALGORITHM)))}"
                for algo, own in rows.items()
            }
        for page, content in pages.items():
            target = GENERATED / f"{page}.md"
            if not target.exists() or target.read_text() != content:
                target.write_text(content)


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
