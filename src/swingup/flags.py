"""Flags of the command line: whole numbers may be written as 1e6, and `~` in a path is the home directory."""

from pathlib import Path
from typing import Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec

Options = TypeVar("Options")
RULES = ConstructorRegistry()


def parse(kind: type[Options], command: str, args: list[str], **how: Any) -> Options:
    """Options from flags; tyro exits with 2 and names the nearest flag if one is wrong."""
    with RULES:
        return tyro.cli(kind, args=args, prog=f"swingup {command}", **how)


@RULES.primitive_rule
def _whole_numbers(info: Any) -> PrimitiveConstructorSpec | None:
    if info.type is not int:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda args: whole(args[0]),
        is_instance=lambda x: isinstance(x, int),
        str_from_instance=lambda x: [str(x)],
    )


@RULES.primitive_rule
def _paths(info: Any) -> PrimitiveConstructorSpec | None:
    if info.type is not Path:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda args: Path(args[0]).expanduser(),
        is_instance=lambda x: isinstance(x, Path),
        str_from_instance=lambda x: [str(x)],
    )


def whole(text: str) -> int:
    """The whole number that a text spells. Raises `ValueError`.

    >>> whole("12"), whole("1e6"), whole("1_000")
    (12, 1000000, 1000)
    """
    try:
        return int(text)
    except ValueError:
        if not float(text).is_integer():
            raise ValueError(f"{text} is not a whole number") from None
        return int(float(text))
