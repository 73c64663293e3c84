"""Formulas become MathML, which browsers draw themselves, and KaTeX draws them better where scripts may run.

Docutils translates the LaTeX. A formula that it does not understand is a warning, and so stops a strict build. The
LaTeX stands beside the MathML, in `data-tex`: `_static/formulas.js` has KaTeX draw that, and leaves the MathML to
screen readers. Without scripts the MathML stays. Both are part of the pages; nothing comes from a network.
"""

import xml.etree.ElementTree as ET
from html import escape

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

logger = logging.getLogger(__name__)
ACCENTS = frozenset("ˆ~ˉ˙→⃗_¯")
APPLY = "\u2061"  # the invisible sign between a function's name and its argument
OPENING = frozenset("([{")


def mend(mathml: str) -> str:
    r"""Put an index beside its letter, not below it, where docutils took the accent for a limit; set functions apart.

    >>> mend("<math><munderover><mi>A</mi><mi>t</mi><mo>ˆ</mo></munderover></math>")
    '<math><msub><mover accent="true"><mi>A</mi><mo>ˆ</mo></mover><mi>t</mi></msub></math>'
    >>> mend("<math><mi>log</mi><mo>&ApplyFunction;</mo><mi>π</mi></math>")
    '<math><mi>log</mi><mo>\u2061</mo><mspace width="0.17em" /><mi>π</mi></math>'
    """
    plain = mathml.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
    root = ET.fromstring(plain.replace("&ApplyFunction;", APPLY))
    for parent in list(root.iter()):
        for node in list(parent):
            place = list(parent).index(node)
            if node.tag == "munderover" and (node[2].text or "").strip() in ACCENTS:
                base, index, accent = node
                over, sub = ET.Element("mover", accent="true"), ET.Element("msub")
                base.tail = accent.tail = over.tail = index.tail = None
                over.extend([base, accent])
                sub.extend([over, index])
                sub.tail, parent[place] = node.tail, sub
            elif node.text == APPLY and place + 1 < len(parent) and not opens(parent[place + 1]):
                parent.insert(place + 1, ET.Element("mspace", width="0.17em"))
    return ET.tostring(root, encoding="unicode")


def opens(node: ET.Element) -> bool:
    """Say whether a node begins with a bracket."""
    first = next(iter(node), node) if node.tag == "mrow" else node
    return (first.text or "").strip() in OPENING


def translate(node: nodes.Element, as_block: bool) -> str:
    try:
        return mend(tex2mathml(node.astext(), as_block=as_block))
    except MathError as error:
        logger.warning("formula not understood: %s", error, location=node, type="mathml")
        return nodes.literal("", node.astext()).astext()


def visit_inline(self, node: nodes.math) -> None:
    tex = escape(" ".join(node.astext().split()))
    formula = translate(node, as_block=False)
    self.body.append(f'<span class="math notranslate nohighlight" data-tex="{tex}">{formula}</span>')
    raise nodes.SkipNode


def visit_block(self, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    tex = escape(" ".join(node.astext().split()))
    formula = translate(node, as_block=True)
    self.body.append(f'<div class="formula" data-tex="{tex}">{formula}</div></div>\n')
    raise nodes.SkipNode


def add_scripts(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Load KaTeX on pages that have formulas."""
    if doctree is not None and any(doctree.findall(lambda n: isinstance(n, (nodes.math, nodes.math_block)))):
        app.add_css_file("katex/katex.css")
        app.add_js_file("katex/katex.min.js", loading_method="defer")
        app.add_js_file("formulas.js", loading_method="defer")


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
