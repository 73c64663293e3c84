"""The pages of the course are run: their Python prints what they say it prints, each question has its answer.

And what they prove where no other test checks it. Each page's Python is one script, from top to bottom.
"""

import contextlib
import io
import re
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
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
    assert set(re.findall(r"swingup lab ([\w-]+)", page.read_text())) <= {*LABS, "list"}


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


@pytest.mark.parametrize("seed", range(10))
def test_soft_policy_iteration_improves_everywhere(seed: int) -> None:
    """Soft values solve Bellman's equation; the Boltzmann policy of a soft Q is better in each state."""
    m, rng, alpha = random(states=5, seed=seed, gamma=0.9), np.random.default_rng(seed), 0.3

    def soft(policy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Solve V = Σ_a π (r - α log π + γ P V); return V and Q = r + γ P V."""
        reward = (policy * (m.expected_reward - alpha * np.log(policy))).sum(1)
        along = np.einsum("sa,sat->st", policy, m.transition)
        v = np.linalg.solve(np.eye(5) - m.gamma * along, reward)
        return v, m.expected_reward + m.gamma * m.transition @ v

    policy = rng.dirichlet(np.ones(3), 5)
    v, q = soft(policy)
    np.testing.assert_allclose(v, (policy * (q - alpha * np.log(policy))).sum(1))
    for _ in range(30):
        boltzmann = exact.softmax(q / alpha)
        new_v, new_q = soft(boltzmann)
        assert (new_v >= v - 1e-12).all()
        v, q = new_v, new_q
    largest = alpha * np.log(np.exp(q / alpha).sum(1))  # of Q and entropy together, over all policies
    np.testing.assert_allclose(v, largest)


@pytest.mark.parametrize("seed", range(10))
def test_the_difference_of_two_performances_is_a_sum_of_advantages(seed: int) -> None:
    """It is exact with the new policy's states; with the old one's and ratios of actions, to first order."""
    m, rng = random(states=5, seed=seed, gamma=0.9), np.random.default_rng(seed)
    old, other = rng.dirichlet(np.ones(3), (2, 5))
    errors = []
    for share in (1.0, 0.1, 0.01):
        new = (1 - share) * old + share * other
        gain = exact.performance(m, new) - exact.performance(m, old)
        visits, stale = exact.occupancy(m, new), exact.occupancy(m, old)  # Σ_t γ^t P(s_t, a_t)
        np.testing.assert_allclose((visits * exact.advantage(m, old)).sum(), gain, atol=1e-12)
        surrogate = (stale / old * new * exact.advantage(m, old)).sum()
        errors.append(abs(surrogate - gain))
    assert errors[1] < errors[0] / 20
    assert errors[2] < errors[1] / 50


def test_the_deterministic_policy_gradient_is_the_gradient() -> None:
    """Σ γ^t ∇μ(s_t) ∇_a Q(s_t, μ(s_t)) is dJ/dθ, for a policy tanh(θ s) in dynamics that are not linear."""
    gamma, horizon = 0.9, 200

    def step(s: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.sin(s) + 0.5 * a, -(s**2) - 0.1 * a**2

    def value(theta: jax.Array, s: jax.Array) -> jax.Array:
        def one(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            s, weight = carry
            following, reward = step(s, jnp.tanh(theta * s))
            return (following, gamma * weight), weight * reward

        return jax.lax.scan(one, (s, jnp.float32(1.0)), None, horizon)[1].sum()

    def q(theta: jax.Array, s: jax.Array, a: jax.Array) -> jax.Array:
        following, reward = step(s, a)
        return reward + gamma * value(theta, following)

    theta, s, total = jnp.float32(-0.4), jnp.float32(1.5), 0.0
    slope, climb = jax.jit(jax.grad(lambda t, s: jnp.tanh(t * s))), jax.jit(jax.grad(q, argnums=2))
    for t in range(60):
        a = jnp.tanh(theta * s)
        total += gamma**t * float(slope(theta, s) * climb(theta, s, a))
        s, _ = step(s, a)
    np.testing.assert_allclose(total, float(jax.grad(value)(theta, jnp.float32(1.5))), rtol=1e-3)
