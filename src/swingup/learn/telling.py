"""A verdict is told in an order: what it is, which mistake, two numbers, the learner's line, and then the rest."""

from swingup.learn import exercise
from swingup.learn.grading import Verdict


def read(page: str) -> str:
    """Write where a page is, and the heading on it."""
    name, _, heading = page.partition("#")
    return f"docs/{name}.md, {heading.replace('-', ' ')!r}"


def told(v: Verdict, trace: bool) -> str:
    """Write a verdict: what it is, which mistake, the two numbers, the learner's line; the rest if asked for."""
    f, words = v.finding, {"passed": "passed", "failed": "not right yet", "open": "open"}
    lines = [f"{v.id}  {exercise(v.id).title}: {words[f.state]}", f"  {f.message}"]
    if f.yours:
        where = f" at {f.where}" if f.where else ""
        lines.append(f"  yours: {f.yours}   right: {f.right}   (case {f.case!r}{where})")
    if f.line:
        lines.append(f"  your line {f.line}: {v.code}")
    if f.state == "failed":
        lines.append(f"  read: {read(v.page)}")
    rest = [f.trace.rstrip(), v.output.rstrip()]
    if trace:
        lines += [text for text in rest if text]
    elif any(rest):
        lines.append("  --trace shows the traceback and what your code printed")
    return "\n".join(lines)
