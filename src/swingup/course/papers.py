"""The papers to read, by section, are data in `papers.toml`; `swingup papers` searches them, docs/papers.md shows them.

What swingup has of a paper is a list of names, each with its kind before a colon: `algo:ppo`, `option:dqn.double`
(a hyperparameter), `lab:seeds`, `probe:TimeLimit`, `suite:brax`, `exercise:c3`, `page:hindsight` (of the
documentation), `code:returns.gae` (in the package). A test looks up every one. An algorithm whose paper the map
names (`swingup.course.taxonomy`) is added by itself.
"""

import difflib
import tomllib
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from swingup.course.taxonomy import TAXONOMY
from swingup.errors import ConfigError

ADDRESSES = {  # {kind of number: where it leads}
    "arXiv": "https://arxiv.org/abs/{}",
    "doi": "https://doi.org/{}",
    "OpenReview": "https://openreview.net/forum?id={}",
    "PMLR": "https://proceedings.mlr.press/{}.html",
}


class Paper(NamedTuple):
    """This is a paper, a book or a report; the sentence is ours."""

    section: str  # what it is about
    id: str  # arXiv:..., doi:..., OpenReview:..., PMLR:..., or an address if it has no lasting number
    title: str
    author: str  # the first one
    year: int  # of the first public version
    says: str  # one sentence: why it matters
    here: tuple[str, ...]  # what of swingup has it, see the head of this file
    also: tuple[str, ...]  # other numbers of the same work
    spinning_up: bool  # whether Spinning Up lists it

    @property
    def link(self) -> str:
        """Return its address."""
        kind, _, number = self.id.partition(":")
        return ADDRESSES[kind].format(number) if kind in ADDRESSES else self.id

    def as_json(self) -> dict[str, Any]:
        """Return all fields, and its address as `link`."""
        return self._asdict() | {"link": self.link}


@cache
def papers() -> tuple[Paper, ...]:
    """Read all papers, section by section, the oldest of each first."""
    data = tomllib.loads(files("swingup.course").joinpath("papers.toml").read_text("utf-8"))
    return tuple(
        _paper(section["name"], entry) for section in data["sections"] for entry in section["papers"]
    )


def _paper(section: str, entry: dict[str, Any]) -> Paper:
    filled = {"here": [], "also": [], "spinning_up": False} | entry
    numbers = {filled["id"], *filled["also"]}
    mapped = [e for e in TAXONOMY if e.source in numbers and e.where]
    ours = [f"algo:{e.algo}" if e.algo else f"page:{e.page}" for e in mapped]
    here = tuple(dict.fromkeys([*ours, *filled.pop("here")]))
    return Paper(section=section, here=here, also=tuple(filled.pop("also")), **filled)


def sections() -> list[str]:
    """Return the names of the sections, in order."""
    return list(dict.fromkeys(paper.section for paper in papers()))


def search(words: Sequence[str]) -> list[Paper]:
    """Return the papers that hold every one of some words, in any case and without accents, in their order.

    A word may stand in the title, the author, the year, the sentence, the section, the number or what swingup has.
    Raises `ConfigError`, with the nearest words, if no paper has them.

    >>> [paper.author for paper in search(["trust", "kronecker"])]
    ['Wu']
    """
    wanted = [folded(word) for word in words]
    texts = {paper: text_of(paper) for paper in papers()}
    found = [paper for paper, text in texts.items() if all(word in text for word in wanted)]
    if found:
        return found
    missing = [word for word in wanted if not any(word in text for text in texts.values())]
    if not missing:
        each = ", ".join(f"{word!r} {sum(word in text for text in texts.values())}" for word in wanted)
        raise ConfigError(f"no paper has all of these words; papers that have one: {each}")
    known = sorted({word.strip(".,:;()?") for text in texts.values() for word in text.split()})
    near = [f"{word!r}{nearest(word, known)}" for word in missing]
    raise ConfigError(f"no paper has {'; nor '.join(near)} (`swingup papers` lists all {len(texts)})")


def nearest(word: str, known: Sequence[str]) -> str:
    """Name up to three known words that are spelled like this one, to be put behind it.

    >>> nearest("curiousity", ["curiosity", "seed"])
    '; nearest: curiosity'
    >>> nearest("xyzzy", ["curiosity", "seed"])
    ', nor a word like it'
    """
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    return f"; nearest: {', '.join(near)}" if near else ", nor a word like it"


def text_of(paper: Paper) -> str:
    """Return all that is searched of a paper, folded."""
    fields = (paper.title, paper.author, str(paper.year), paper.says, paper.section)
    return folded(" ".join([*fields, paper.id, *paper.also, *paper.here]))


def folded(text: str) -> str:
    """Return a text in lower case, without accents.

    >>> folded("Szepesvári")
    'szepesvari'
    """
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
