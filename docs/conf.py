"""How the documentation is built: `make docs`. No network is needed, neither to build nor to read it."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "src")]
os.environ.setdefault(
    "JAX_PLATFORMS", "cpu"
)  # documenting must not take a GPU

import swingup  # noqa: E402

project = "swingup"
author = "the swingup developers"
copyright = author  # Sphinx wants this name
release = version = swingup.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "results",
    "house_style",
    "mathml",
    "taxonomy",
    "papers",
    "taught",
    "references",
    "folding",
    "narrow",
    "diffs",
    "drawings",
    "demonstrations",
    "interactive",
    "front",
]
exclude_patterns = ["_build", "_ext"]
root_doc = "index"

html_theme = "furo"
html_title = f"swingup {release}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["swingup.css"]
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
math_number_all = False  # only equations with a label get a number, and every one of those is in a table

autodoc_member_order = "bysource"
autodoc_mock_imports = [
    "envpool",
    "ale_py",
    "brax",
]  # extras that the documentation does not need
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False
maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

# Other projects' names cannot be resolved without a network. Our own always must.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(concurrent|contextlib|jax|jaxlib|jaxtyping|numpy|optax|equinox|matplotlib|PIL|pathlib|random|collections|typing|threading|types|gymnasium)\..*",
    ),
]
nitpick_ignore = [
    ("py:class", "swingup.protocols.Cls"),  # type variables
    ("py:class", "swingup.episodes.Carry"),
    ("py:class", "swingup.nets.value_networks.Network"),
    ("py:class", "swingup.types.Fields"),
    ("py:class", "swingup.optimisers.Params"),
    ("py:class", "swingup.planning.imitation.Params"),
    ("py:class", "swingup.schedules.T"),
    ("py:class", "swingup.training.parallel.Tree"),
    ("py:class", "swingup.sharing.Tree"),
    ("py:class", "swingup.cli.flags.Options"),
    ("py:class", "swingup.lab.tools.learning.A"),
    ("py:class", "ArrayTree"),  # of optax
    ("py:class", "Positional"),  # of tyro
    ("py:class", "inf"),  # the end of a range in an annotation
]
