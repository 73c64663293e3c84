"""The list of papers is written from `swingup.course.papers` into `docs/_build/generated/papers.md` before reading."""

from pathlib import Path

from sphinx.application import Sphinx

import swingup
from swingup.course.papers import Paper, papers, sections

TARGET = Path(__file__).resolve().parents[1] / "_build" / "generated" / "papers.md"


def have(name: str) -> str:
    """What swingup has of a paper, as a link where there is a place to link to."""
    kind, _, rest = name.partition(":")
    if kind == "algo":
        return f"{{doc}}`{rest} </algorithms/{rest}>`"
    if kind == "option":
        algo, _, option = rest.partition(".")
        return f"{{doc}}`{algo}'s {option} </algorithms/{algo}>`"
    if kind == "lab":
        return f"[lab {rest}](/labs.md#{rest})"
    if kind == "exercise":
        return f"[exercise {rest}](/learn.md)"
    if kind == "page":
        return f"{{doc}}`/{rest}`"
    if kind == "probe":
        return f"[probe {rest}](/your_environment.md#check-the-learner-with-probes)"
    if kind == "code":
        role = "mod" if is_module(rest) else "obj"
        return f"{{py:{role}}}`{rest} <swingup.{rest}>`"
    return f"{kind} `{rest}`"


def is_module(name: str) -> bool:
    """Whether a dotted name of the package is a file or a folder."""
    path = Path(swingup.__path__[0], *name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def item(paper: Paper) -> str:
    """A paper as an item of a list."""
    star = " ★" if paper.spinning_up else ""
    here = f" *Here:* {', '.join(map(have, paper.here))}." if paper.here else ""
    return f"- [{paper.title}](<{paper.link}>), {paper.author} {paper.year}{star}. {paper.says}{here}"


def page() -> str:
    """All sections, the oldest paper of each first."""
    parts = []
    for name in sections():
        parts += [f"## {name}", "", *(item(p) for p in papers() if p.section == name), ""]
    return "\n".join(parts)


def generate(app: Sphinx) -> None:
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    text = page()
    if not TARGET.exists() or TARGET.read_text() != text:
        TARGET.write_text(text)


def setup(app: Sphinx) -> dict:
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
