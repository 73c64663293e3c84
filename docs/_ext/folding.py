"""What few readers look for is folded away: the tables that name code and tests, and the names of tests wrap.

The heading stays where it is, so that a page's contents list it.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

FOLDED = {  # {title of a section: what its fold says}
    "Equations, code and tests": "Which function computes each equation, and which tests check it",
}


class Fold(SphinxTransform):
    """Put the content of such a section into an HTML element that opens by a click."""

    default_priority = 400

    def apply(self, **options: object) -> None:
        """Change the document."""
        for section in list(self.document.findall(nodes.section)):
            title = next(iter(section.findall(nodes.title)), None)
            if title is not None and (says := FOLDED.get(title.astext())):
                opening = f'<details class="folded"><summary>{says}</summary>'
                section.insert(section.index(title) + 1, nodes.raw("", opening, format="html"))
                section.append(nodes.raw("", "</details>", format="html"))


def setup(app: Sphinx) -> dict:
    app.add_transform(Fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
