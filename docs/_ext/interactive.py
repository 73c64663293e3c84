"""Each page of `interactive/` has three scripts: what all pages share, the library's numbers, and its own."""

from docutils import nodes
from sphinx.application import Sphinx

FOLDER = "interactive/"


def add_scripts(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Load them in their order, all of them classic scripts: so the pages work from a folder, without a server."""
    if page.startswith(FOLDER):
        name = page.removeprefix(FOLDER)
        app.add_css_file("interactive/interactive.css")
        for place, script in enumerate(("common", f"golden/{name}", name)):
            app.add_js_file(f"interactive/{script}.js", loading_method="defer", priority=900 + place)


def setup(app: Sphinx) -> dict:
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
