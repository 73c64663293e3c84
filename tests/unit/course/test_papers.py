"""The list of papers is well formed, names only what exists, misses no paper of our algorithms, and can be searched."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import command
from swingup.algos import ALGOS, algorithm
from swingup.course.papers import Paper, folded, papers, search, sections
from swingup.course.taxonomy import TAXONOMY
from swingup.envs import PROBES, SUITES
from swingup.errors import ConfigError
from swingup.lab import LABS
from swingup.learn import FILES

ROOT = Path(__file__).parents[3]
ID = r"arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,}/\S+|OpenReview:\w+|PMLR:v\d+/\w+|https?://\S+"
CITED = re.compile(r"arXiv:\d{4}\.\d{4,5}|doi:10\.[^\s;,]+[^\s;,.)]")


def exists(name: str, find: Callable[[str], Any]) -> bool:
    """Whether swingup has what a paper's list names."""
    kind, _, rest = name.partition(":")
    if kind == "option":
        algo, _, option = rest.partition(".")
        return algo in ALGOS and option in {f.name for f in dataclasses.fields(algorithm(algo))}
    if kind == "page":
        return (ROOT / "docs" / f"{rest}.md").exists()
    if kind == "code":
        return find(f"swingup.{rest}") is not None
    return rest in {"algo": ALGOS, "lab": LABS, "probe": PROBES, "suite": SUITES, "exercise": FILES}[kind]


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    import house_style

    return house_style.find


def test_every_name_exists(find: Callable[[str], Any]) -> None:
    for paper in papers():
        for name in paper.here:
            assert exists(name, find), f"{paper.title}: {name} does not exist"


def test_a_name_that_does_not_exist_is_seen(find: Callable[[str], Any]) -> None:
    for name in (
        "algo:poo",
        "lab:none",
        "page:nowhere",
        "option:dqn.doubl",
        "probe:None",
        "suite:gym",
        "exercise:z9",
    ):
        assert not exists(name, find)
    with pytest.raises(AttributeError):
        exists("code:returns.gea", find)


def test_every_field_is_filled() -> None:
    ids = [i for p in papers() for i in (p.id, *p.also)]
    assert len(set(ids)) == len(ids)
    titles = [folded(p.title) for p in papers()]
    assert len(set(titles)) == len(titles)
    for p in papers():
        assert all(re.fullmatch(ID, i) for i in (p.id, *p.also)), p.id
        assert 1950 <= p.year <= 2026, p.title
        assert re.fullmatch(r"[^a-z].{20,130}\.", p.says), p.says
        assert p.title.strip() == p.title
        assert p.author
        if p.id.startswith("arXiv:"):
            assert p.year == 2000 + int(p.id[6:8]), p.title
    assert sum(p.spinning_up for p in papers()) == 105
    assert f"[{len(papers())} papers]" in (ROOT / "README.md").read_text()


def test_sections_are_in_order_of_years() -> None:
    assert len(sections()) == len(set(sections()))
    for name in sections():
        years = [p.year for p in papers() if p.section == name]
        assert years == sorted(years), name


def test_no_paper_that_our_algorithms_cite_is_missing() -> None:
    """By number, in the files of algorithms and searches; and every source of the map of algorithms."""
    listed = {folded(i) for p in papers() for i in (p.id, *p.also)}
    for room in ("algos", "planning"):
        for path in sorted((ROOT / "src" / "swingup" / room).glob("*.py")):
            for cited in CITED.findall(path.read_text()):
                assert folded(cited) in listed, f"{path.name} cites {cited}: add it to papers.toml"
    for entry in TAXONOMY:
        if entry.link:
            assert folded(entry.source) in listed, f"the map names {entry.source}: add it to papers.toml"


def test_algorithms_of_the_map_are_named_by_their_paper() -> None:
    here = {folded(i): p.here for p in papers() for i in (p.id, *p.also)}
    for entry in TAXONOMY:
        if entry.link and entry.algo:
            assert f"algo:{entry.algo}" in here[folded(entry.source)]


def titles(*words: str) -> list[str]:
    return [p.title for p in search(words)]


def test_search_looks_everywhere_and_wants_every_word() -> None:
    assert search([]) == list(papers())
    assert titles("Proximal", "schulman") == ["Proximal Policy Optimization Algorithms"]
    assert titles("GARCIA") == titles("garcía") != []
    assert titles("1707.06347") == ["Proximal Policy Optimization Algorithms"]
    assert {p.section for p in search(["offline", "rl"])} >= {"Offline RL"}
    assert all("lab:seeds" in p.here for p in search(["lab:seeds"]))
    assert set(titles("hafner", "2023")) < set(titles("hafner"))


def test_what_is_not_found_gets_the_nearest_words() -> None:
    with pytest.raises(ConfigError, match="no paper has 'curiousity'; nearest: curiosity"):
        search(["curiousity"])
    with pytest.raises(
        ConfigError, match=r"all of these words; papers that have one: 'hafner' \d+, 'kronecker' \d+"
    ):
        search(["hafner", "kronecker"])
    with pytest.raises(ConfigError, match="nor a word like it"):
        search(["qqqqqqqq"])


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "papers", "rainbow", "hessel")
    assert code == 0
    assert "2017  Hessel: Rainbow: Combining" in out
    assert "https://arxiv.org/abs/1710.02298" in out
    assert "here: algo:c51" in out
    code, out, _ = command(capsys, "papers")
    assert code == 0
    assert out.count("\n  ") == len(papers())
    code, out, _ = command(capsys, "papers", "rainbow", "--json")
    found = json.loads(out)
    assert [p["link"] for p in found] == [p.link for p in search(["rainbow"])]
    assert set(found[0]) == {*Paper._fields, "link"}
    code, out, err = command(capsys, "papers", "rianbow", "--json")
    assert (code, out) == (2, "")
    assert "nearest: rainbow" in err


def test_the_page_has_every_paper_and_links_what_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    import papers as extension

    page = extension.page()
    assert page.count("\n- [") == len(papers())
    assert page.count("★") == 105
    for name in sections():
        assert f"\n## {name}\n" in "\n" + page
    assert extension.have("algo:ppo") == "{doc}`ppo </algorithms/ppo>`"
    assert (
        extension.have("code:replay.priorities") == "{py:mod}`replay.priorities <swingup.replay.priorities>`"
    )
    assert extension.have("code:returns.gae") == "{py:obj}`returns.gae <swingup.returns.gae>`"
