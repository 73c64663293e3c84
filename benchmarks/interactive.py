"""Write the numbers that the kernels of the interactive pages must reproduce: fifty cases of each, by this library.

    python benchmarks/interactive.py                all ten pages
    python benchmarks/interactive.py --only gae     some

A case is what a kernel gets, and what the library says to it; the first is what the page shows first, the second what
it shows when it is broken. They go to `docs/_static/interactive/golden/`, as scripts, which a page may load without
a request. Tests hold the kernels to them (`tests/docs/test_interactive.py`).
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate, stats

from swingup import returns
from swingup.algos.q_learning import Learner, QLearning
from swingup.algos.sarsa import SARSA
from swingup.distributions import Categorical
from swingup.envs import make
from swingup.envs.tabular import cliff, gridworld, mdp
from swingup.files import write_atomic
from swingup.lab.discount import Choice
from swingup.lab.tools import baird
from swingup.theory import exact
from swingup.theory.bellman import optimality_v
from swingup.types import Rollout, Step

GOLDEN = Path(__file__).resolve().parents[1] / "docs" / "_static" / "interactive" / "golden"
CASES = 50
Case = dict[str, Any]


# --- Random numbers, the same as in common.js -------------------------------------------------------------------


def mix(x: Any) -> np.ndarray:
    """Hash 32 bits."""
    x = np.asarray(x, np.uint64)
    x = (x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D) & np.uint64(0xFFFFFFFF)
    x = (x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B) & np.uint64(0xFFFFFFFF)
    return x ^ (x >> np.uint64(16))


def uniform(seed: Any, i: Any) -> np.ndarray:
    """Draw number i of a seed, in [0, 1); both may be arrays."""
    return mix((mix(seed) + np.asarray(i, np.uint64)) & np.uint64(0xFFFFFFFF)) / 2**32


def normal(seed: int, i: np.ndarray) -> np.ndarray:
    """Draw standard normal numbers (Box & Muller 1958)."""
    return np.sqrt(-2 * np.log(1 - uniform(seed, 2 * i))) * np.cos(2 * np.pi * uniform(seed, 2 * i + 1))


# --- What the library says ----------------------------------------------------------------------------------------


def bandit(epsilons: list[float], gap: float, pulls: int, seed: int, swap: bool) -> Case:
    """Follow a hundred ε-greedy learners per ε, all at once; they use the same random numbers."""
    runs, rows = np.arange(100), []
    for epsilon in epsilons:
        tried, paid, wrong, looks = np.zeros((100, 2)), np.zeros((100, 2)), 0, [0.0]
        for t in range(pulls):
            explore, which, luck = (uniform(seed * 1000 + runs, 3 * t + i) for i in range(3))
            means = paid / np.maximum(tried, 1)
            random = (explore < epsilon) | (means[:, 0] == means[:, 1])
            arm = np.where(random, which >= 0.5, means[:, 1] > means[:, 0]).astype(int)
            arm = np.full(100, t) if t < 2 else arm
            better = 0 if swap and t >= pulls / 2 else 1
            tried[runs, arm] += 1
            paid[runs, arm] += luck < np.where(arm == better, 0.5 + gap / 2, 0.5 - gap / 2)
            wrong += int((arm != better).sum())
            if (t + 1) % (pulls // 10) == 0:
                looks.append(gap * wrong / 100)
        rows.append(looks)
    return {"regret": rows}


MAPS = (
    (".......", ".......", "S.....G", ".......", "......."),
    ("...#...", "...#...", "S..#..G", "...#...", "......."),
    (".#.....", ".#.#.#.", "S..#.#G", ".###.#.", ".....#."),
)


def grid(map: int, gamma: float, slip: float, sweeps: int, cost: float) -> Case:
    """Apply T* some times to V = 0, and compare with V*."""
    process = gridworld(MAPS[map], gamma=gamma, slip=slip, cost=cost)
    v = np.zeros(process.num_states)
    for _ in range(sweeps):
        v = optimality_v(process, v)
    return {"v": v.tolist(), "off": float(np.abs(v - exact.optimal_value(process)).max())}


def discount(gamma: float, reward: float, far: int, delay: int, hyperbolic: bool) -> Case:
    """Evaluate the policies that always go left, and always right, in the laboratory's corridor."""
    choice = Choice(near=reward, far=1.0, env_steps_near=2, env_steps_far=far)

    def worth(later: int) -> list[float]:
        if hyperbolic:
            k = (1 - gamma) / gamma
            return [reward / (1 + k * (1 + later)), 1 / (1 + k * (far - 1 + later))]
        moved = choice._replace(env_steps_near=2 + later, env_steps_far=far + later)
        process = moved.process(gamma)
        always = [np.tile(np.eye(2)[a], (process.num_states, 1)) for a in (0, 1)]
        return [exact.performance(process, policy) for policy in always]

    near, away = worth(delay)
    return {"near": near, "far": away, "threshold": choice.threshold, "before": [*map(worth, range(21))]}


def walk(
    sarsa: bool, epsilon: float, alpha: float, envSteps: int, seed: int, forget: bool
) -> tuple[np.ndarray, list[tuple]]:
    """Learn on the cliff by a plain loop: Q [S, A], and the transitions with one more than there were updates."""
    process = cliff()
    going, paid = process.transition.argmax(-1), process.expected_reward
    q, log = np.zeros((process.num_states, 4)), []
    start, goal = int(process.start.argmax()), int(process.terminal.argmax())
    draws = uniform(seed, np.arange(2 * envSteps + 4)).tolist()

    def act(s: int, t: int) -> int:
        return int(4 * draws[2 * t + 1]) if draws[2 * t] < epsilon else int(q[s].argmax())

    s, a = start, act(start, 0)
    for t in range(envSteps):
        to, reward = int(going[s, a]), float(paid[s, a])
        ends = to == goal
        following = start if ends else to
        following_action = act(following, t + 1)
        after = q[following, following_action] if sarsa else q[following].max()
        q[s, a] += alpha * (reward + (0.0 if ends and not forget else after) - q[s, a])
        log.append((s, a, reward, following if forget else to, ends))
        s, a = following, following_action if sarsa else act(following, t + 1)
    return q, [*log, (s, a, 0.0, s, False)]


def replayed(log: list[tuple], sarsa: bool, alpha: float, forget: bool) -> np.ndarray:
    """Give the library's Q-learning or SARSA the same transitions, in float64: Q [S, A]."""
    obs, action, reward, following, ends = (np.array(x)[:, None] for x in zip(*log, strict=True))
    none = np.zeros_like(ends)
    with jax.enable_x64(True):
        algo: Any = (SARSA if sarsa else QLearning)(lr=alpha, gamma=1.0)
        learner = algo.init(make("tabular:Cliff", 1), jax.random.key(0)).learner
        learner = jax.tree.map(lambda x: x.astype(float) if x.dtype == jnp.float32 else x, learner)
        obs, action, following = (jnp.asarray(x, jnp.int32) for x in (obs, action, following))
        ended = none if forget else ends
        step = Step(*map(jnp.asarray, (following, following, reward, ended, none, reward, none.astype(int))))
        rollout = Rollout(obs, action, None, step)
        if not sarsa:  # its last transition has been learnt too; SARSA's still waits for its next action
            rollout = jax.tree.map(lambda x: x[:-1], rollout)
        learnt: Learner = algo.update(learner, rollout)[0]
        return np.asarray(learnt.q)


def on_the_cliff(**inputs: Any) -> Case:
    """Learn twice, by a loop and by the library; then follow the greedy policy."""
    q, log = walk(**inputs)
    library = replayed(log, inputs["sarsa"], inputs["alpha"], inputs["forget"])
    assert np.abs(library - q).max() < 1e-9, "the loop is not the library's algorithm"
    returns, total = [], 0.0
    for t, (_, _, reward, _, ends) in enumerate(log[:-1]):
        total += reward
        if ends:
            returns += [total] if 2 * t >= inputs["envSteps"] else []
            total = 0.0
    going, path = cliff().transition.argmax(-1), [36]
    while len(path) < 40 and path[-1] != 47:
        path.append(int(going[path[-1], q[path[-1]].argmax()]))
    mean = float(np.mean(returns)) if returns else None
    return {"v": library.max(1).tolist(), "path": path, "mean": mean}


def reinforce(p: float, offset: float, batch: int, baseline: int) -> Case:
    """List both actions, and all counts of the better one in a batch."""
    rewards, policy = np.array([10.0, 11.0]) + offset, np.array([1 - p, p])
    process = mdp([[[0, 1], [0, 1]], [[0, 1], [0, 1]]], [rewards, [0, 0]], [1, 0], [1], gamma=1.0)
    logits = np.log(np.stack([policy, policy]))
    truth = float(exact.performance_gradient(process, logits)[0, 1])
    v = float(policy @ rewards)
    b = (np.zeros(2), np.full(2, v), rewards)[baseline]
    sample = (np.eye(2)[:, 1] - p) * (rewards - b)
    mean = float(policy @ sample)
    k = np.arange(batch + 1)
    values, chances = ((batch - k) * sample[0] + k * sample[1]) / batch, stats.binom.pmf(k, batch, p)
    return {
        "truth": truth,
        "mean": mean,
        "deviation": math.sqrt(float(policy @ (sample - mean) ** 2)),
        "values": values.tolist(),
        "chances": chances.tolist(),
        "wrong": float(chances[values <= 1e-12].sum()),
    }


def gae(**inputs: Any) -> Case:
    """Ask `swingup.returns.gae`, in float64."""
    names = "reward", "value", "next", "terminated", "done"
    with jax.enable_x64(True):
        columns = [jnp.asarray(inputs[name])[:, None] for name in names]
        found = returns.gae(*columns, inputs["gamma"], inputs["lambda"])  # pyright: ignore[reportCallIssue]
        return {"advantage": np.asarray(found)[:, 0].tolist()}


def clip(ratio: float, advantage: float, clip: float, minimum: bool) -> Case:
    """Differentiate the objective of `PPO.loss` by JAX."""

    def objective(rho: Any, adv: Any) -> Any:
        clipped = jnp.clip(rho, 1 - clip, 1 + clip) * adv
        return jnp.minimum(rho * adv, clipped) if minimum else clipped

    with jax.enable_x64(True):
        slope = jax.grad(objective)
        places = [
            (1 + side * 1.5 * clip, float(sign)) for sign in (1, -1) for side in (-1, 0, 1)
        ]  # as in the kernel
        return {
            "objective": float(objective(ratio, advantage)),
            "slope": float(slope(ratio, advantage)),
            "cells": [float(slope(rho, adv)) for rho, adv in places],
            "curve": [float(objective(i / 20, advantage)) for i in range(41)],
        }


def triad(share: float, gamma: float, period: int, blind: bool) -> Case:
    """Iterate Baird's expected updates with a target network; without one, and with all or no data off-policy,
    it is the laboratory's matrix.
    """
    x = baird.FEATURES
    visits = share / 7 + (1 - share) * np.eye(7)[baird.SOLID]
    visits = np.where(np.arange(7) < 6, 1 / 6, 0.0) if blind else visits
    own = np.eye(8) - baird.ALPHA * x.T @ (visits[:, None] * x)
    target = baird.ALPHA * gamma * x.T @ (visits[:, None] * x[[baird.SOLID] * 7])
    if share in (0.0, 1.0) and not blind:
        leg = baird.LEGS["all three" if share else "on-policy"]
        assert np.allclose(own + target, baird.expected(leg, gamma), atol=1e-14)
    once = np.block([[own, target], [np.zeros((8, 8)), np.eye(8)]])  # of (w, u)
    whole = np.linalg.matrix_power(once, period)
    growth = baird.radius(whole[:8, :8] + whole[:8, 8:]) ** (1 / period)
    errors, w, u = [], baird.START, baird.START
    for k in range(2001):
        u = w if k % period == 0 else u
        if k % 100 == 0:
            errors.append(float(np.log10(np.sqrt(visits @ (x @ w) ** 2))))
        w = own @ w + target @ u
    return {"radius": growth, "errors": errors}


def temperature(alpha: float, q: list[float], upside: bool) -> Case:
    """Ask `Categorical` and `exact.softmax`."""
    logits = np.array(q) * alpha if upside else np.array(q) / alpha
    p = exact.softmax(logits)
    with jax.enable_x64(True):
        entropy = float(Categorical(jnp.asarray(logits)).entropy())
    mean = float(p @ np.array(q))
    return {"p": p.tolist(), "entropy": entropy, "mean": mean, "soft": mean + alpha * entropy}


def seeds(n: int, gap: float, spread: float, experiment: int, tries: int) -> Case:
    """Integrate by SciPy: the best of `tries` means of the worse one against one mean of the better one."""

    def loses(count: int) -> float:
        d = gap * math.sqrt(count) / spread
        if tries == 1:
            return float(stats.norm.sf(d / math.sqrt(2)))
        kept = integrate.quad(
            lambda z: stats.norm.pdf(z) * stats.norm.cdf(z + d) ** tries, -9, 9, epsabs=1e-13
        )
        return 1 - float(kept[0])

    i = np.arange(n)
    return {
        "wrong": loses(n),
        "curve": [loses(count) for count in (2, 3, 5, 10, 20, 30, 50, 100)],
        "apart": float(2 * stats.norm.cdf(-20 * math.sqrt(n / 2) / spread)),
        "worse": (100 + spread * normal(experiment, i)).tolist(),
        "better": (100 + gap + spread * normal(experiment + 1000, i)).tolist(),
    }


# --- What is asked --------------------------------------------------------------------------------------------------


def rollout(gamma: float, lam: float, error: float, terminates: bool) -> Case:
    """Make the rollout of the page of GAE."""
    t, end = np.arange(12), np.arange(12) == 5
    critic = 1 / (1 - gamma) + np.where(np.arange(13) % 2, error, -error)
    return {
        "reward": np.where(end, 1.0, 1 + 2 * (uniform(3, t) - 0.5)).tolist(),
        "value": critic[:-1].tolist(),
        "next": critic[1:].tolist(),
        "terminated": (end & terminates).tolist(),
        "done": end.tolist(),
        "gamma": gamma,
        "lambda": lam,
    }


def random_rollout(r: np.random.Generator) -> Case:
    """Draw any rollout, with episodes that end for both reasons."""
    kind = r.choice(3, 12, p=[0.7, 0.15, 0.15])
    return {
        **{name: r.normal(size=12).tolist() for name in ("reward", "value", "next")},
        "terminated": (kind == 1).tolist(),
        "done": (kind > 0).tolist(),
        "gamma": r.uniform(0.5, 1),
        "lambda": r.uniform(0, 1),
    }


def one_of(r: np.random.Generator, *values: Any) -> Any:
    """Choose one of some values."""
    return values[int(r.integers(len(values)))]


BANDIT = {"epsilons": [0, 0.1, 0.5, 1, 0.02], "gap": 0.2, "pulls": 500, "seed": 1}
GRID = {"map": 1, "gamma": 0.9, "slip": 0, "sweeps": 3}
DISCOUNT = {"gamma": 0.7, "reward": 0.5, "far": 7, "delay": 0}
CLIFF = {"sarsa": True, "epsilon": 0.1, "alpha": 0.2, "envSteps": 10000, "seed": 1}
REINFORCE = {"p": 0.5, "offset": 100, "batch": 10}
CLIP = {"ratio": 1.4, "advantage": 1, "clip": 0.2}
TRIAD = {"share": 1, "gamma": 0.99, "period": 1}
TEMPERATURE = {"alpha": 0.3, "q": [1, 2, 3]}
SEEDS = {"n": 3, "gap": 20, "spread": 40, "experiment": 1}
Draw = Callable[[np.random.Generator], Case]

# {page: (what the library says, what the page asks first, what it asks when broken, any other question)}
PAGES: dict[str, tuple[Callable[..., Case], Case, Case, Draw]] = {
    "bandit": (
        bandit,
        BANDIT | {"swap": False},
        BANDIT | {"swap": True},
        lambda r: {
            "epsilons": [0, r.uniform()],
            "gap": r.uniform(0.05, 0.6),
            "pulls": one_of(r, 20, 50, 100),
            "seed": int(r.integers(1, 1000)),
            "swap": one_of(r, False, True),
        },
    ),
    "gridworld": (
        grid,
        GRID | {"cost": 0},
        GRID | {"cost": -0.1},
        lambda r: {
            "map": int(r.integers(3)),
            "gamma": r.uniform(0.3, 0.95),
            "slip": r.uniform(0, 0.6),
            "sweeps": int(r.integers(30)),
            "cost": one_of(r, 0, -0.1, r.uniform(-0.2, 0.2)),
        },
    ),
    "discount": (
        discount,
        DISCOUNT | {"hyperbolic": False},
        DISCOUNT | {"hyperbolic": True},
        lambda r: {
            "gamma": r.uniform(0.5, 0.99),
            "reward": r.uniform(0.1, 0.9),
            "far": int(r.integers(3, 21)),
            "delay": int(r.integers(21)),
            "hyperbolic": one_of(r, False, False, True),
        },
    ),
    "cliff": (
        on_the_cliff,
        CLIFF | {"forget": False},
        CLIFF | {"forget": True},
        lambda r: {
            "sarsa": one_of(r, False, True),
            "epsilon": r.uniform(0.01, 0.5),
            "alpha": r.uniform(0.05, 1),
            "envSteps": 2000,
            "seed": int(r.integers(1, 1000)),
            "forget": one_of(r, False, False, True),
        },
    ),
    "reinforce": (
        reinforce,
        REINFORCE | {"baseline": 0},
        REINFORCE | {"baseline": 2},
        lambda r: {
            "p": r.uniform(0.1, 0.9),
            "offset": r.uniform(-20, 200),
            "batch": int(r.integers(1, 30)),
            "baseline": int(r.integers(3)),
        },
    ),
    "gae": (gae, rollout(0.9, 0.95, 0.0, False), rollout(0.9, 0.95, 0.0, True), random_rollout),
    "clip": (
        clip,
        CLIP | {"minimum": True},
        CLIP | {"minimum": False},
        lambda r: {
            "ratio": r.uniform(0, 2),
            "advantage": r.normal(),
            "clip": r.uniform(0.05, 0.5),
            "minimum": one_of(r, True, False),
        },
    ),
    "triad": (
        triad,
        TRIAD | {"blind": False},
        TRIAD | {"blind": True},
        lambda r: {
            "share": one_of(r, 0.0, 1.0, r.uniform()),
            "gamma": r.uniform(0.5, 0.99),
            "period": one_of(r, 1, 1, 2, 10, 100),
            "blind": one_of(r, False, False, True),
        },
    ),
    "temperature": (
        temperature,
        TEMPERATURE | {"upside": False},
        TEMPERATURE | {"upside": True},
        lambda r: {
            "alpha": float(np.exp(r.uniform(-5, 5))),
            "q": r.uniform(-2, 5, 3).tolist(),
            "upside": one_of(r, False, True),
        },
    ),
    "seeds": (
        seeds,
        SEEDS | {"tries": 1},
        SEEDS | {"tries": 10},
        lambda r: {
            "n": int(r.integers(2, 12)),
            "gap": r.uniform(0, 50),
            "spread": r.uniform(5, 80),
            "experiment": int(r.integers(1, 1000)),
            "tries": one_of(r, 1, 1, 10),
        },
    ),
}


def questions(name: str) -> list[Case]:
    """Return what is asked in the fifty cases of a page: always the same."""
    _, first, broken, other = PAGES[name]
    rng = np.random.default_rng(2026)
    return [first, broken, *(other(rng) for _ in range(CASES - 2))]


def answered(name: str, which: Iterator[int] | range = range(CASES)) -> list[Case]:
    """Return some of a page's cases, with what the library says now."""
    asked = questions(name)
    return [{"inputs": asked[i], "outputs": PAGES[name][0](**asked[i])} for i in which]


def script(name: str) -> str:
    """Return the script of a page's cases."""
    rows = ",\n".join(json.dumps(case, separators=(",", ":")) for case in answered(name))
    head = f"// Written by benchmarks/interactive.py: what the library says in {CASES} cases."
    return f"{head}\nconst GOLDEN = [\n{rows},\n];\n"


def stored(name: str) -> list[Case]:
    """Read a page's cases."""
    text = (GOLDEN / f"{name}.js").read_text()
    return json.loads(text[text.index("[") :].removesuffix(",\n];\n") + "]")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PAGES, default=list(PAGES))
    for name in parser.parse_args().only:
        GOLDEN.mkdir(parents=True, exist_ok=True)
        write_atomic(GOLDEN / f"{name}.js", script(name).encode())
        print(f"{name}: {(GOLDEN / f'{name}.js').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
