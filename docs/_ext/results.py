"""Measured results and files of the repository, in the pages that show them, whether or not they exist yet.

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
PAGES = {  # name: (source, levels to lower its headings, what stands there without it)
    "scores": ("benchmarks/results/scores.md", 3, "*No scores are stored in this checkout yet.*"),
    "speed": ("benchmarks/results/speed.md", 3, "*No speeds are stored in this checkout yet.*"),
    "speed-halfcheetah": (
        "benchmarks/results/speed-halfcheetah.md",
        3,
        "*No speeds on the host are stored in this checkout yet.*",
    ),
    "frames": ("benchmarks/results/frames.md", 3, "*No speeds of frames are stored in this checkout yet.*"),
    "ablation": ("benchmarks/results/ablation.md", 1, "*No ablation is stored in this checkout yet.*"),
    "goals": (
        "benchmarks/results/goals.md",
        1,
        "*No shares of reached goals are stored in this checkout yet.*",
    ),
    "deadly-triad": (
        "benchmarks/results/deadly-triad.md",
        1,
        "*No shares of soft divergence are stored in this checkout yet.*",
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
    """The table of scores without the rows and commands of other algorithms."""
    other = re.compile(
        rf"\| (?!{algo} |algorithm ).*\| (yes|\*\*no\*\*|–) \|.*|- `swingup train (?!{algo} ).*"
    )
    return "\n".join(line for line in text.splitlines() if not other.fullmatch(line))


def generate(app: Sphinx) -> None:
    GENERATED.mkdir(parents=True, exist_ok=True)
    for name, (source, lower, otherwise) in PAGES.items():
        path = ROOT / source
        text = adapt(path.read_text(), lower, path.parent) if path.exists() else otherwise + "\n"
        pages = {name: text}
        if name == "scores":
            pages |= {f"scores-{algo}": of(text, algo) for algo in ALGOS}
        for page, content in pages.items():
            target = GENERATED / f"{page}.md"
            if not target.exists() or target.read_text() != content:
                target.write_text(content)


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
