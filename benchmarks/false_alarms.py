"""Measure how often right code would fail the tests of learning: each is repeated with many seeds that it does not use.

    python benchmarks/false_alarms.py [--seeds 40] [--only NAME ...]

A test of learning trains eight seeds side by side and fails where more than half of them miss a bound
(`half_of` in tests/conftest.py). This measures how many of S seeds miss any bound of a test. What we then know of the
probability p that a seed misses is a Beta distribution, with parameters misses + 1/2 and S - misses + 1/2 (Jeffreys),
and the test's risk is the mean over it of Σ_k≥5 C(8, k) p^k (1 - p)^(8 - k), the probability that five or more of
eight seeds miss. That any bound is missed is more likely than that one is, so it is too high rather than too low. The
sum over all tests is what a whole run of them risks. Results go to benchmarks/results/false-alarms.md.
"""

import argparse
import faulthandler
import json
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from swingup.training import machine

ROOT = Path(__file__).resolve().parent
FOLDERS = "tests", "tests/probes", "tests/unit/algos", "tests/unit/replay"
sys.path[:0] = [str(ROOT.parent / folder) for folder in FOLDERS]
NAMES = "actor_critics", "exact_answers", "hindsight", "probes", "q_learning"
actor_critics, exact_answers, hindsight, probes, q_learning = (
    import_module(f"test_{name}") for name in NAMES
)

faulthandler.cancel_dump_traceback_later()  # the watchdog of tests/conftest.py
FIRST = 1000  # the tests use seeds 0 to 7
Misses = dict[str, np.ndarray]  # bound: [S], above 1 where a seed misses it


def of_probes(name: str, kind: str, seeds: Any) -> Misses:
    return probes.missed(name, kind, seeds)[2]


def of_exact_answers(name: str, seeds: Any) -> Misses:
    performance, *values = exact_answers.missed(name, seeds).T
    found = {f"value {i}": x / exact_answers.VALUES for i, x in enumerate(values)}
    return found | {"performance": performance / exact_answers.PERFORMANCE}


def of_one(measure: Callable[..., np.ndarray], *args: Any, bound: float, seeds: Any) -> Misses:
    found = measure(*args, seeds) / bound
    return {f"bound {i}": x for i, x in enumerate(found.reshape(len(found), -1).T)}


def parameters(test: Any) -> list[tuple]:
    """The cases of a parametrised test."""
    mark = next(m for m in test.pytestmark if m.name == "parametrize")
    return [getattr(case, "values", case if isinstance(case, tuple) else (case,)) for case in mark.args[1]]


def tests() -> dict[str, Callable[..., Misses]]:
    found: dict[str, Callable[..., Misses]] = {}
    for name, kind in parameters(probes.test_probes_are_solved):
        found[f"probes[{name}-{kind}]"] = partial(of_probes, name, kind)
    for (name,) in parameters(exact_answers.test_deep_algorithms_find_the_exact_answer):
        found[f"exact answers[{name}]"] = partial(of_exact_answers, name)
    for case in parameters(actor_critics.test_a_linear_regulator_reaches_riccatis_gain):
        found[f"regulator[{case[0]}]"] = partial(of_one, actor_critics.off_riccati, *case, bound=0.1)
    found["bandit[sac]"] = partial(of_one, actor_critics.off_boltzmann, bound=0.03)
    found["bandit[sac_discrete]"] = partial(of_one, actor_critics.off_softmax, bound=0.01)
    for i, case in enumerate(parameters(q_learning.test_one_hot_states_reach_the_optimal_values)):
        found[f"one-hot states[{case[0]}-{i}]"] = partial(of_one, q_learning.distances, *case, bound=1e-2)
    for k, bound in ((4, -8.0), (0, 10.0)):
        found[f"bit flip[{k}]"] = partial(of_hindsight, k, bound)
    return found


def of_hindsight(k: int, bound: float, seeds: Any) -> Misses:
    """A return above -8 with goals of hindsight, below -10 without."""
    returns = hindsight.flipped(k, seeds)
    return {"return": returns / bound if k else np.where(returns < -bound, 0.5, 2.0)}


def risk(misses: int, seeds: int) -> float:
    """Return the probability that five or more of eight seeds miss, where `misses` of `seeds` did."""
    return float(stats.betabinom.sf(4, 8, misses + 0.5, seeds - misses + 0.5))


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| test | bounds | seeds | seeds that miss any | the worst bound | its median / bound | risk |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['test']} | {r['bounds']} | {r['seeds']} | {r['misses']} | {r['worst']} | {r['median']:.2f} "
            f"| {r['risk']:.1e} |"
        )
    total = sum(r["risk"] for r in rows)
    return "\n".join([*lines, "", f"Sum over all tests: {total:.1e}.", ""])


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--seeds", type=int, default=40)
    options.add_argument("--only", nargs="*", default=[])
    options.add_argument("--out", type=Path, default=ROOT / "results" / "false-alarms.json")
    o = options.parse_args()
    machine.set_up(seeds=o.seeds)
    stored = json.loads(o.out.read_text()) if o.out.exists() else {}
    for name, measure in tests().items():
        if (o.only and name not in o.only) or (not o.only and name in stored):
            continue
        found = measure(seeds=range(FIRST, FIRST + o.seeds))
        rows = np.stack(list(found.values()))  # [bounds, S]
        misses = int((~(rows <= 1)).any(0).sum())
        worst = int(np.argmax(np.median(rows, 1)))
        stored[name] = {
            "test": name,
            "bounds": len(found),
            "seeds": o.seeds,
            "misses": misses,
            "worst": list(found)[worst].partition(": look")[0],
            "median": float(np.median(rows[worst])),
            "highest": float(np.sort(rows.max(0))[-2]),
            "risk": risk(misses, o.seeds),
        }
        print(stored[name], flush=True)
        o.out.write_text(json.dumps(stored, indent=1) + "\n")
    head = "# How often right code fails the tests of learning\n\n"
    head += "`python benchmarks/false_alarms.py`; its first lines say what is measured.\n\n"
    for row in stored.values():
        row["risk"] = risk(row["misses"], row["seeds"])
    o.out.with_suffix(".md").write_text(head + table(list(stored.values())))


if __name__ == "__main__":
    main()
