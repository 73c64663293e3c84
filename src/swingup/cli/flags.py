"""Flags may write whole numbers as 1e6, and `~` in a path is the home directory."""

import dataclasses
import typing
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec

Options = TypeVar("Options")
RULES = ConstructorRegistry()

# What need not be given: the field's comment says what holds then, where tyro would add `{None}` and `(default: None)`.
Int = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
File = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
Name = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")]
Text = Annotated[str, tyro.conf.arg(help_behavior_hint="")]
Run = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
_Names = tuple[str, ...]
Runs = tyro.conf.Positional[Annotated[_Names, tyro.conf.arg(metavar="RUN...", help_behavior_hint="")]]
Players = tyro.conf.Positional[Annotated[_Names, tyro.conf.arg(metavar="PLAYER...", help_behavior_hint="")]]
Words = tyro.conf.Positional[Annotated[_Names, tyro.conf.arg(metavar="[WORD...]", help_behavior_hint="")]]
Named = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="NAME")]]
Exercise = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="[ID]", help_behavior_hint="")]]


def parse(kind: type[Options], command: str, args: list[str], **how: Any) -> Options:
    """Read options from flags; tyro exits with 2 and names the nearest flag if one is wrong."""
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
    """Return the whole number that a text spells. Raises `ValueError`.

    >>> whole("12"), whole("1e6"), whole("1_000")
    (12, 1000000, 1000)
    """
    try:
        return int(text)
    except ValueError:
        if not float(text).is_integer():
            raise ValueError(f"{text} is not a whole number") from None
        return int(float(text))


def flags_of(*kinds: type) -> dict[str, Any]:
    """Return {flag: type of its value} of the fields of dataclasses, without annotations."""
    found = {}
    for kind in kinds:
        hints = typing.get_type_hints(kind)
        found |= {f"--{f.name.replace('_', '-')}": hints[f.name] for f in dataclasses.fields(kind)}
    return found


def free(args: list[str], *kinds: type) -> tuple[list[str], list[str]]:
    """Split arguments into those that are no flag and no flag's value, and the others; the flags are the fields of
    dataclasses.

    A flag takes no value if it is a bool, all numbers that follow if it is a tuple, and one value else. An unknown
    flag is taken to have one.

    >>> @dataclasses.dataclass
    ... class Options:
    ...     seeds: int = 1
    ...     play: bool = False
    ...     hidden: tuple[int, ...] = (64,)
    >>> free(["--seeds", "10", "ppo", "--hidden", "16", "16", "CartPole-v1", "--play"], Options)
    (['ppo', 'CartPole-v1'], ['--seeds', '10', '--hidden', '16', '16', '--play'])
    """
    known, words, flags, rest = flags_of(*kinds), [], [], list(args)
    while rest:
        arg = rest.pop(0)
        if not arg.startswith("-"):
            words.append(arg)
            continue
        flags.append(arg)
        kind = known.get(arg.replace("_", "-"))
        if arg in ("-h", "--help") or "=" in arg or kind is bool or arg.startswith("--no-"):
            continue
        most = len(rest) if typing.get_origin(kind) is tuple else 1
        while most and rest and not rest[0].startswith("--") and (most == 1 or _is_number(rest[0])):
            flags.append(rest.pop(0))
            most -= 1
    return words, flags


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
