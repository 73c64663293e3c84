"""The map of algorithms is drawn from `swingup.course.taxonomy`.

    {taxonomy} tree     families and algorithms as an inline SVG; each links to its page, or to its row in the table
    {taxonomy} loop     a table of what each runs, evaluates and improves
    {taxonomy} facts    a table of model, control, data, paper, and what the library calls it

Without a word it makes all three. The SVG takes its colours from the theme (`_static/swingup.css`), so it is
readable in light and in dark, and needs nothing from a network.
"""

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import swingup.course.taxonomy
from swingup.course.taxonomy import TAXONOMY, Entry

COLUMNS = (4, 128, 256, 424)  # left edges of root, families and their parts, in pixels
WIDTHS = (104, 108, 148, 116)
LEAF, LEAF_WIDTH, WIDTH = 560, 150, 716
ROW, BOX, GAP = 27, 21, 9  # from leaf to leaf; height of a box; more space between families
TABLE, PAPERS = "course/kinds", "#model-control-data-paper"  # where those that have no page here have a row
LOOP = "| algorithm | run | evaluate | improve |"
FACTS = "| algorithm | model | controls by | data | paper | here |"


class Node(NamedTuple):
    """A box of the tree, with the boxes to its right."""

    text: str
    depth: int
    y: float  # of its middle
    children: tuple  # of Node and Leaf


class Leaf(NamedTuple):
    entry: Entry
    y: float


def arrange(entries: Sequence[Entry], text: str = "RL algorithms", depth: int = 0, top: float = 4) -> Node:
    """The tree of some entries, from `top` downwards; leaves keep the order of the registry."""
    children, heights, y = [], [], top
    for name in dict.fromkeys(e.family[depth] for e in entries):
        inside = [e for e in entries if e.family[depth] == name]
        if len(inside[0].family) > depth + 1:
            child = arrange(inside, name, depth + 1, y)
        else:
            leaves = tuple(Leaf(e, y + ROW * (i + 0.5)) for i, e in enumerate(inside))
            child = Node(name, depth + 1, (leaves[0].y + leaves[-1].y) / 2, leaves)
        children.append(child)
        heights.append(child.y)
        y += ROW * len(inside) + GAP * families(inside, depth + 1)
    return Node(text, depth, (heights[0] + heights[-1]) / 2, tuple(children))


def families(entries: Sequence[Entry], depth: int) -> int:
    """How many groups of leaves these are."""
    return len({e.family[depth:] for e in entries})


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        if isinstance(child, Node):
            yield from walk(child)


def draw(entries: Sequence[Entry], address: Callable[[str], str]) -> str:
    """The tree as SVG. `address` makes a link of a page's name."""
    tree = arrange(entries)
    leaves = [leaf for node in walk(tree) for leaf in node.children if isinstance(leaf, Leaf)]
    height = round(max(leaf.y for leaf in leaves) + ROW)
    parts = [
        f'<svg class="taxonomy" viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg" '
        'role="group" aria-label="A tree of reinforcement learning algorithms; the tables below say the same">'
    ]
    for node in walk(tree):
        for child in node.children:
            parts.append(connector(node, child))
    parts += [box(COLUMNS[n.depth], WIDTHS[n.depth], n.y, n.text, "family") for n in walk(tree)]
    for leaf in leaves:
        text, page = leaf.entry.title, leaf.entry.where
        kind, hint = ("here", "") if page else ("elsewhere", f"{text}: not in this library; its paper")
        to = address(page) if page else address(TABLE) + PAPERS
        parts.append(f'<a href="{escape(to)}">{box(LEAF, LEAF_WIDTH, leaf.y, text, kind, hint)}</a>')
    return "\n".join([*parts, "</svg>"])


def connector(node: Node, child: Node | Leaf) -> str:
    """Right, down or up, right."""
    start = COLUMNS[node.depth] + WIDTHS[node.depth]
    end = COLUMNS[child.depth] if isinstance(child, Node) else LEAF
    bend = end - 10
    return f'<path d="M{start} {node.y:g}H{bend}V{child.y:g}H{end}"/>'


def box(x: float, width: float, y: float, text: str, kind: str, hint: str = "") -> str:
    tip = f"<title>{escape(hint)}</title>" if hint else ""
    return (
        f'<g class="{kind}">{tip}<rect x="{x}" y="{y - BOX / 2:g}" width="{width}" height="{BOX}" rx="4"/>'
        f'<text x="{x + width / 2:g}" y="{y + 4.5:g}">{escape(text)}</text></g>'
    )


def title(entry: Entry) -> str:
    """Its name, linked to its page if there is one."""
    return f"{{doc}}`{entry.title} </{entry.where}>`" if entry.where else entry.title


def loop(entry: Entry) -> str:
    """An entry as a row of the first table."""
    return f"| {title(entry)} | {entry.run} | {entry.evaluate} | {entry.improve} |"


def facts(entry: Entry) -> str:
    """An entry as a row of the second table."""
    here = f"`{entry.algo}`" if entry.algo else "an option" if entry.where else "not implemented"
    paper = f"[{entry.paper}](<{entry.link}>)" if entry.link else f"{entry.paper} ({entry.source})"
    return f"| {title(entry)} | {entry.model} | {entry.control} | {entry.data} | {paper} | {here} |"


def table(header: str, row: Callable[[Entry], str]) -> str:
    """A table of the whole registry, in Markdown."""
    return "\n".join([header, "|---" * (header.count("|") - 1) + "|", *map(row, TAXONOMY)])


class Taxonomy(SphinxDirective):
    """The tree, one of the tables, or all."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(inspect.getsourcefile(swingup.course.taxonomy) or "")
        parts = {
            "tree": lambda: [
                nodes.raw("", f'<div class="taxonomy">{draw(TAXONOMY, self.address)}</div>', format="html")
            ],
            "loop": lambda: self.parse_text_to_nodes(table(LOOP, loop)),
            "facts": lambda: self.parse_text_to_nodes(table(FACTS, facts)),
        }
        wanted = self.arguments or list(parts)
        if wanted[0] not in parts:
            raise self.error(f"taxonomy: {', '.join(parts)}, not {wanted[0]}")
        pages = sorted({e.where for e in TAXONOMY if e.where})
        if missing := [page for page in pages if not Path(self.env.srcdir, f"{page}.md").exists()]:
            raise self.error(f"taxonomy: no such page: {', '.join(missing)}")
        return [node for name in wanted for node in parts[name]()]

    def address(self, page: str) -> str:
        """Return the address of a page, as seen from this one."""
        return os.path.relpath(f"{page}.html", os.path.dirname(self.env.docname) or ".").replace(os.sep, "/")


def setup(app: Sphinx) -> dict:
    app.add_directive("taxonomy", Taxonomy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
