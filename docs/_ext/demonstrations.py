"""The demonstrations of `swingup lab` are shown where the pages speak of them.

    ```{demonstration} gae
    ```

puts its figure there, with what to look at; a caption of one's own may stand between the fences. Wherever a page says
`swingup lab gae`, that is a link to the laboratory.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

from swingup.lab import LABS

STORED = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "labs.json"
COMMAND = "swingup lab "


@cache
def stored() -> dict[str, Any]:
    """Read the demonstrations whose results are stored: these are in the laboratory."""
    return json.loads(STORED.read_text())["labs"]


def link(name: str, docname: str, content: nodes.Node) -> addnodes.pending_xref:
    """Return a link to a demonstration's place in the laboratory."""
    target = {
        "refdomain": "std",
        "reftype": "ref",
        "reftarget": f"lab-{name}",
        "refexplicit": True,
        "refwarn": True,
    }
    return addnodes.pending_xref("", content, refdoc=docname, **target)


class Demonstration(SphinxDirective):
    """The figure of a demonstration, as it was stored with seed 0."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        labs = stored()
        if name not in labs:
            raise self.error(f"demonstration: {', '.join(labs)}, not {name}")
        self.env.note_dependency(str(STORED))
        look = labs[name]["look"]
        figure = nodes.figure(classes=["lab"])
        figure += nodes.image(uri=f"/_static/labs/{name}.png", alt=LABS[name])
        caption = nodes.caption()
        caption += link(name, self.env.docname, nodes.literal("", COMMAND + name))
        caption += nodes.Text(". ")
        if self.content:
            for paragraph in self.parse_content_to_nodes():
                caption += paragraph.children
        else:
            caption += nodes.Text(look[0].upper() + look[1:])
        figure += caption
        return [figure]


class Link(SphinxTransform):
    """Make a link of each command that runs a demonstration, but not in the laboratory itself or in a heading."""

    default_priority = 410

    def apply(self, **options: object) -> None:
        """Change the document."""
        if self.env.docname == "labs":
            return
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext().removeprefix(COMMAND)
            inside = isinstance(literal.parent, (nodes.reference, nodes.title, addnodes.pending_xref))
            if literal.astext().startswith(COMMAND) and name in stored() and not inside:
                literal.replace_self(link(name, self.env.docname, literal.deepcopy()))


def setup(app: Sphinx) -> dict:
    app.add_directive("demonstration", Demonstration)
    app.add_transform(Link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
