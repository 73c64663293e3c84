"""The pages take from the source code what they would otherwise repeat.

    {settings} swingup.PPO          a table of a class's fields: name, type, default and the comment beside it
    {public-names}                  a table of everything in `swingup.__all__`, linked, with its first sentence
    {command} swingup train --help  what a command prints
    {test}`tests/unit/test_x.py::test_y`    the name of a test, which tests/docs/test_equations.py looks up
    {lines}`algos/ppo.py rollout.py`        how many files of the package these are, and how long

It also shows autodoc our docstrings as they are written: Markdown's backticks, and equations by indentation.
"""

import ast
import contextlib
import dataclasses
import importlib
import inspect
import io
import itertools
import os
import pkgutil
import re
import shlex
import sys
import textwrap
import tokenize
import typing
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

import swingup
from swingup import ranges


def find(path: str) -> Any:
    """The object of a dotted path: a module, or something in one."""
    parts = path.split(".")
    for i in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found = importlib.import_module(".".join(parts[:i]))
            for name in parts[i:]:
                found = getattr(found, name)
            return found
    raise ModuleNotFoundError(path)


def fields(cls: type) -> list[tuple[str, str, str, str]]:
    """(name, type, default, meaning) of the annotated fields in a class's source, in order.

    The meaning is the comment beside a field, or the docstring below it.
    """
    source = textwrap.dedent(inspect.getsource(cls))
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith(("# pyright", "# noqa", "# type:"))
    }
    body = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)).body
    below = {a: inspect.cleandoc(b.value.value) for a, b in itertools.pairwise(body) if is_docstring(b)}
    kinds = inspect.get_annotations(cls)  # as they stand: those of other libraries cannot all be resolved
    return [
        (
            ast.unparse(node.target),
            spelled(kinds[ast.unparse(node.target)], ast.unparse(node.annotation)),
            "" if node.value is None else ast.unparse(node.value),
            " ".join(comments[n] for n in range(node.lineno, (node.end_lineno or 0) + 1) if n in comments)
            or below.get(node, "").replace("\n", " "),
        )
        for node in body
        if isinstance(node, ast.AnnAssign)
    ]


def is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def spelled(kind: Any, annotation: str) -> str:
    """The type of a field as its table shows it: with the range that `swingup.ranges` puts beside it."""
    if kind == ranges.Widths:
        return "int, or several"
    one = typing.get_args(kind)[0] if ranges.is_optional(kind) else kind
    base, within = ranges.parts(one)
    if within == ranges.Within():
        return annotation
    return f"{base.__name__} in {within}" + (", or None" if ranges.is_optional(kind) else "")


class Settings(SphinxDirective):
    """The hyperparameters of an algorithm, from its dataclass."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        cls = find(self.arguments[0])
        self.env.note_dependency(inspect.getsourcefile(cls) or "")
        rows = ["| name | type | default | meaning |", "|---|---|---|---|"]
        for row in fields(cls):
            name, kind, default, meaning = (cell.replace("|", "\\|") for cell in row)
            rows.append(f"| `{name}` | `{kind}` | `{default}` | {meaning} |")
        return self.parse_text_to_nodes("\n".join(rows))


class PublicNames(SphinxDirective):
    """Everything that `import swingup` offers."""

    def run(self) -> list[nodes.Node]:
        rows = ["| name | what it is |", "|---|---|"]
        for name in swingup.__all__:
            found = getattr(swingup, name)
            home = f"{found.__module__}.{name}"
            doc = inspect.getdoc(found) or ""
            if doc.startswith(f"{name}("):
                doc = sys.modules[found.__module__].__doc__ or ""
            first = re.split(r"(?<=[^.]\.) (?=[A-Z])", " ".join(doc.split("\n\n")[0].split()))[0]
            rows.append(f"| {{py:obj}}`swingup.{name} <{home}>` | {first} |")
        return self.parse_text_to_nodes("\n".join(rows))


class Command(SphinxDirective):
    """The output of a `swingup` command, from running it."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(inspect.getsourcefile(find("swingup.cli")) or "")
        return [nodes.literal_block("", output(self.arguments[0]), language="text")]


def output(command: str) -> str:
    """What `swingup ...` prints, 80 columns wide and without colours."""
    from swingup.cli import main

    out, terminal = io.StringIO(), {"COLUMNS": "80", "LINES": "50", "NO_COLOR": "1", "TERM": "dumb"}
    with (
        mock.patch.dict(os.environ, terminal),
        contextlib.redirect_stdout(out),
        contextlib.suppress(SystemExit),
    ):
        main(shlex.split(command)[1:])
    return out.getvalue()


class TestName(SphinxRole):
    """A test, by its file and name; a browser may break it after each underscore."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.literal("", short(self.text).replace("_", "_\u200b"), classes=["test"])], []


def short(test: str) -> str:
    """Name a test without its folder, and without the numbers of our lists that end its name.

    >>> short("tests/unit/test_returns.py::test_lambda_0_is_the_td_error_C1_M35")
    'test_returns.py: lambda_0_is_the_td_error'
    """
    file, _, name = test.partition("::")
    name = re.sub(r"^test_|(_[CM]\d+)+$", "", name)
    return f"{file.rpartition('/')[2]}: {name}"


class Lines(SphinxRole):
    """Some files of the package, counted now."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.Text(counted(self.text))], []


def counted(files: str) -> str:
    """Count some files of the package, and their lines. Raises `FileNotFoundError` for one that is not there.

    >>> counted("__main__.py")
    '1 file, 6 lines'
    """
    paths = [Path(swingup.__path__[0]) / name for name in files.split()]
    lines = sum(path.read_text().count("\n") for path in paths)
    return f"{len(paths)} file{'s' * (len(paths) > 1)}, {lines:,} lines"


def to_rst(docstring: str) -> str:
    """A docstring of ours as reStructuredText.

    >>> print(to_rst("The ratio `r` of |a|:\\n\\n    r = a / b\\n\\n`b` > 0."))
    The ratio ``r`` of \\|a\\|:
    <BLANKLINE>
    ::
    <BLANKLINE>
        r = a / b
    <BLANKLINE>
    ``b`` > 0.
    """
    blocks = re.split(r"\n\s*\n", docstring.strip("\n"))
    out = []
    for block in blocks:
        lines = block.split("\n")
        if lines[0].lstrip().startswith(">>>"):
            out.append(block)
        elif all(line.startswith("    ") for line in lines):
            out.append("::\n\n" + block)
        elif in_columns(lines):
            out.append("::\n\n" + textwrap.indent(block, "    "))
        else:
            out.append(inline(block))
    return "\n\n".join(out)


def in_columns(lines: list[str]) -> bool:
    """Say whether lines stand in columns, which would run together in a paragraph.

    >>> in_columns(["b    blue", "red  red"]), in_columns(["One sentence.", "And another."])
    (True, False)
    """
    return len(lines) > 1 and 2 * sum(bool(re.search(r"\S {2,}\S", line)) for line in lines) >= len(lines)


def inline(text: str) -> str:
    """Backticks doubled; escaped are the signs that mean something in reStructuredText, but for *emphasis*."""
    out = ""
    for i, part in enumerate(re.split(r"`([^`]+)`", text)):
        if i % 2:
            joint = "" if not out or out[-1].isspace() or out[-1] in "([{-/:'\"" else "\\ "
            out += f"{joint}``{part}``"
        else:
            part = re.sub(r"\*(\w+(?: \w+)*)\*|([\\*|_])", lambda m: m[0] if m[1] else "\\" + m[0], part)
            out += ("\\ " if out and part[:1].isalnum() else "") + part
    return out


def dedented(doc: str) -> str:
    """A docstring without the indentation of its closing quotes, so that an indented block stays one.

    >>> dedented("One.\\n\\n            x = 1\\n        ")
    'One.\\n\\n    x = 1\\n'
    """
    first, *rest = doc.split("\n")
    base = rest[-1] if rest and not rest[-1].strip() else None
    if base is None:
        return inspect.cleandoc(doc)
    return "\n".join([first, *(line.removeprefix(base) for line in rest)])


def process_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Translate, and list the fields of settings and data with the comments that stand beside them."""
    text = to_rst(dedented(obj.__doc__)) if lines and isinstance(obj.__doc__, str) else ""
    if what == "class" and holds_fields(obj):
        if (obj.__doc__ or "").startswith(f"{obj.__name__}("):
            text = ""  # what dataclass and NamedTuple make up
        items = [f"* ``{n}``" + (f": {inline(c)}" if c else "") for n, _, _, c in fields(obj)]
        text = "\n\n".join(filter(None, [text, "\n".join(items)]))
    lines[:] = [*text.split("\n"), ""] if text else []


def process_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Without what no reader wants: how dataclasses mark a default, and of what NumPy makes an ArrayLike."""
    if is_protocol(obj) or (signature and "_ArgConfig" in signature):  # flags say to tyro how they are shown
        return "", None
    if signature:
        signature = signature.replace("<factory>", "...")
        signature = re.sub(
            r": (~?[\w.]*_Buffer) \|[^=)]*?\](?=, \w|\)| =|, \*)", ": ~numpy.typing.ArrayLike", signature
        )
    return signature, returns


def is_protocol(obj: Any) -> bool:
    return isinstance(obj, type) and getattr(obj, "_is_protocol", False)


def holds_fields(obj: Any) -> bool:
    return isinstance(obj, type) and (
        dataclasses.is_dataclass(obj) or hasattr(obj, "_fields") or is_protocol(obj)
    )


def skip_member(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Fields are listed by `process_docstring`, with their comments."""
    if what != "class" or callable(obj) or isinstance(obj, (property, cached_property, staticmethod)):
        return None
    return True if name in field_names() or type(obj).__name__ == "_tuplegetter" else None


@cache
def field_names() -> frozenset[str]:
    """The names of all fields in the library's classes."""
    names = [m.name for m in pkgutil.walk_packages(swingup.__path__, "swingup.")]
    modules = []
    for name in names:
        with contextlib.suppress(ImportError):  # of an extra that is not installed
            modules += [importlib.import_module(name)] if not name.endswith("__main__") else []
    classes = [obj for module in modules for obj in vars(module).values() if holds_fields(obj)]
    ours = [cls for cls in classes if cls.__module__.startswith("swingup.")]
    return frozenset(name for cls in ours for name in getattr(cls, "__annotations__", {}))


def setup(app: Sphinx) -> dict:
    app.add_directive("settings", Settings)
    app.add_directive("public-names", PublicNames)
    app.add_directive("command", Command)
    app.add_role("test", TestName())
    app.add_role("lines", Lines())
    app.connect("autodoc-process-docstring", process_docstring)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("autodoc-skip-member", skip_member)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
