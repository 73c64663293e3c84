"""A difference between two files begins with their names, and not with where they lie on the machine that builds."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

import swingup

PACKAGE = f"{swingup.__path__[0]}/"


class Name(SphinxTransform):
    """Name the files of each difference as from the package."""

    default_priority = 420

    def apply(self, **options: object) -> None:
        """Change the document."""
        for block in self.document.findall(nodes.literal_block):
            if block.get("language") == "udiff":
                text = block.astext().replace(PACKAGE, "")
                block.rawsource, block.children = text, []
                block += nodes.Text(text)


def setup(app: Sphinx) -> dict:
    app.add_transform(Name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
