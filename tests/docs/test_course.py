"""The pages of the course: their Python prints what they say it prints, each question has its answer.

And what they prove where no other test checks it. Each page's Python is one script, from top to bottom.
"""

import contextlib
import io
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from swingup.envs.tabular import mdp, random
from swingup.lab import LABS
from swingup.theory import bellman, exact

PAGES = sorted((Path(__file__).parents[2] / "docs" / "course").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_python_prints_what_the_page_says(page: Path, tmp_path: Path) -> None:
    blocks = BLOCK.findall(page.read_text())
    script = tmp_path / "page.py"
    script.write_text("\n\n".join(code for code, _ in blocks))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        runpy.run_path(str(script))
    assert out.getvalue() == "".join(printed for _, printed in blocks)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_question_has_its_answer(page: Path) -> None:
    """Each numbered list before a box called Answers is as long as the one in it."""
    before, *answers = re.split(r"^:::\{admonition\} Answers\n", page.read_text(), flags=re.M)
    for answer in answers:
        questions = re.findall(r"^(\d+)\. ", re.split(r"^##+ ", before, flags=re.M)[-1], re.M)
        answer, _, before = answer.partition("\n:::\n")
        assert questions
        assert (
            re.findall(r"^(\d+)\. ", answer, re.M) == questions == [str(i + 1) for i in range(len(questions))]
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_demonstrations_exist(page: Path) -> None:
    assert set(re.findall(r"swingup lab ([\w-]+)", page.read_text())) <= set(LABS)


def test_every_demonstration_of_theory_is_on_a_page() -> None:
    """But for `seeds`, which is about experiments."""
    text = "".join(page.read_text() for page in PAGES)
    assert set(LABS) - set(re.findall(r"swingup lab ([\w-]+)", text)) <= {"seeds"}


@pytest.mark.parametrize("seed", range(20))
def test_acting_better_once_is_better_for_good(seed: int) -> None:
    """The policy improvement theorem, for policies on the way from any one to its greedy one."""
    m, rng = random(states=5, seed=seed, gamma=0.9), np.random.default_rng(seed)
    policy = rng.dirichlet(np.ones(3), 5)
    v, q = exact.value(m, policy), exact.action_value(m, policy)
    for share in (0.1, 0.5, 1.0):
        better = (1 - share) * policy + share * exact.greedy(q)
        assert (bellman.evaluate_v(m, better, v) >= v - 1e-12).all()
        assert (exact.value(m, better) >= v - 1e-12).all()
    assert exact.performance(m, exact.greedy(q)) > exact.performance(m, policy)
    worse = exact.greedy(-q)
    assert (exact.value(m, worse) <= v + 1e-12).all()


@pytest.mark.parametrize("seed", range(20))
def test_acting_greedily_on_an_estimate_loses_little(seed: int) -> None:
    """V* - V^π <= 2 ε / (1 - γ) for π greedy in a Q that is ε from Q*; some of them lose something."""
    m, rng = random(states=5, seed=seed, gamma=0.9), np.random.default_rng(seed)
    best, lost = exact.optimal_action_value(m), []
    for size in (0.1, 1.0, 3.0):
        q = best + rng.uniform(-size, size, best.shape)
        loss = exact.optimal_value(m) - exact.value(m, exact.greedy(q))
        assert (loss <= 2 * np.abs(q - best).max() / (1 - m.gamma) + 1e-9).all()
        lost.append(loss.max())
    assert lost[-1] > 1e-3


def test_a_life_that_may_end_at_any_time_is_a_discount() -> None:
    """An MDP that dies with probability 1 - γ, undiscounted, has the values of the one discounted with γ."""
    m = random(states=4, seed=0, gamma=0.8)
    policy = exact.uniform(m)
    dying = np.zeros((5, 3, 5))
    dying[:4, :, :4], dying[:4, :, 4], dying[4, :, 4] = 0.8 * m.transition, 0.2, 1
    reward = np.vstack([m.expected_reward, np.zeros((1, 3))])
    mortal = mdp(dying, reward, np.append(m.start, 0), [4], 1.0)
    np.testing.assert_allclose(exact.value(mortal, exact.uniform(mortal))[:4], exact.value(m, policy))
