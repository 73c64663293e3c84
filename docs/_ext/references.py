"""An equation of another page is cited with that page's name: "Key concepts (3)", where Sphinx would print "(3)"."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.math import MathDomain


class Equations(MathDomain):
    """Sphinx's equations, whose references say on which page they are."""

    def resolve_xref(self, env, fromdocname, builder, typ, target, node, contnode):
        """Return the reference, with the title of the page before the number if it is not the reader's own."""
        found = super().resolve_xref(env, fromdocname, builder, typ, target, node, contnode)
        page, _ = self.equations.get(target, (fromdocname, 0))
        if found is None or page == fromdocname:
            return found
        found.insert(0, nodes.Text(f"{env.titles[page].astext()} "))
        return found


def setup(app: Sphinx) -> dict:
    app.add_domain(Equations, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
