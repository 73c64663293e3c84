"""On a phone, columns of words keep a width that can be read, and wide pictures scroll in their own box.

A browser gives a column of a table the width of its longest word when space is short, and a figure of three panels the
height of a thumb. The style sheet knows neither, so words and wide pictures are marked here.
"""

from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

WORDS = 40  # letters in the longest cell of a column that is read, not looked up
WIDE = 1.5  # width over height of a picture with several panels


def columns(table: nodes.table) -> list[list[nodes.entry]]:
    """Return the cells of each column, without the heads."""
    rows = [row.children for body in table.findall(nodes.tbody) for row in body.children]
    return [list(cells) for cells in zip(*rows, strict=False)]


class Narrow(SphinxTransform):
    """Mark columns of words, and make a figure that may scroll of each wide picture that stands alone."""

    default_priority = 420

    def apply(self, **options: object) -> None:
        """Change the document."""
        for table in self.document.findall(nodes.table):
            for cells in columns(table):
                if max((len(cell.astext()) for cell in cells), default=0) > WORDS:
                    for cell in cells:
                        cell["classes"].append("words")
        for image in list(self.document.findall(nodes.image)):
            alone = len(image.parent.children) == 1 and isinstance(image.parent, nodes.paragraph)
            if not self.is_wide(image):
                continue
            if isinstance(image.parent, nodes.figure):
                image.parent["classes"].append("drawing")
            elif alone and not isinstance(image.parent.parent, nodes.container):
                image.parent.replace_self(nodes.figure("", image.deepcopy(), classes=["lab", "drawing"]))

    def is_wide(self, image: nodes.image) -> bool:
        """Say whether a stored picture is much wider than it is high."""
        path = Path(self.env.relfn2path(image["uri"])[1])
        if path.suffix != ".png" or not path.exists():
            return False
        with Image.open(path) as picture:
            return picture.width > WIDE * picture.height


def setup(app: Sphinx) -> dict:
    app.add_transform(Narrow)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
