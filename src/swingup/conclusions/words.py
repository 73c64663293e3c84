"""A comparison is told in a table and in sentences that claim no more than the seeds show."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from swingup import statistics
from swingup.conclusions import Comparison, Pair, Row, coverage
from swingup.conclusions.scores import FINAL, Scores, repeat

FEW = 10  # comparisons of an environment up to which there is a sentence for each
MANY = 3  # settings of one algorithm from which the best is a selection


def told(comparison: Comparison) -> str:
    """Return all that a person reads: for each environment its table and what may be said of it."""
    score = (
        "the return of the final evaluation"
        if comparison.metric == FINAL
        else f"the last {comparison.metric}"
    )
    lines = [f"One score per seed: {score}."]
    for env in dict.fromkeys(row.scores.env for row in comparison.rows):
        rows = [row for row in comparison.rows if row.scores.env == env]
        pairs = [pair for pair in comparison.pairs if pair.first.env == env]
        lines += ["", env, *table(rows), "", *sentences(rows, pairs, comparison.family)]
    if comparison.overall:
        env = comparison.overall[0].first.env
        lines += ["", f"over {env}", *(sentence(pair, comparison.family) for pair in comparison.overall)]
    lines += ["", *notes(comparison)]
    return "\n".join(lines)


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of one environment's table, the highest first."""
    head = ["", "seeds", "IQM", "95 % interval", "worst seed", "diverged"]
    cells = [head]
    for row in rows:
        one = row.scores
        at = int(np.argmin(one.scores))
        worst = "diverged" if np.isneginf(one.scores[at]) else f"{one.scores[at]:.5g}"
        interval = f"[{row.low:.5g}, {row.high:.5g}]" if math.isfinite(row.low) else "none"
        middle = f"{row.iqm:.5g}" if math.isfinite(row.iqm) else "diverged"
        cells.append(
            [
                one.label,
                str(len(one.seeds)),
                middle,
                interval,
                f"{worst} (seed {one.seeds[at]})",
                str(one.diverged),
            ]
        )
    wide = [max(len(row[k]) for row in cells) for k in range(len(head))]
    return [
        "  ".join(
            c.rjust(n) if k else c.ljust(n) for k, (c, n) in enumerate(zip(row, wide, strict=True))
        ).rstrip()
        for row in cells
    ]


def sentences(rows: Sequence[Row], pairs: Sequence[Pair], comparisons: int) -> list[str]:
    """Return what may be said of one environment: of each pair, or of those with the highest if there are many."""
    best = rows[0].scores
    shown = [pair for pair in pairs if len(pairs) <= FEW or best in (pair.first, pair.second)]
    said = [sentence(pair, comparisons) for pair in shown]
    if len(shown) < len(pairs):
        said.append(f"The other {len(pairs) - len(shown)} comparisons are in the output of --json.")
    equals = [row for row in rows if row.scores.setting.algo == best.setting.algo and not best.setting.name]
    if len(equals) >= MANY:
        again = repeat(best, len(best.seeds))
        how = f": {again}" if again else f" {max(best.seeds) + 1} and further."
        said.append(
            f"{best.label} is the highest of {len(equals)} on the seeds that chose it, which is optimistic. Confirm it "
            f"with {len(best.seeds)} fresh seeds{how}"
        )
    return said


def sentence(pair: Pair, comparisons: int = 1) -> str:
    """Return what one pair allows to say; `comparisons` is how many Holm's correction is over."""
    a, b = pair.first, pair.second
    n, m = len(a.seeds), len(b.seeds)
    each = f"{n} seeds each" if n == m else f"{n} against {m} seeds"
    holm = f", Holm over {comparisons}" if comparisons > 1 else ""
    if not pair.possible:
        need = needed(comparisons)
        among = f" among {comparisons} comparisons" if comparisons > 1 else ""
        return (
            f"Nothing can be concluded about {a.label} and {b.label}: {each} cannot give a p below "
            f"{shown_p(pair.least)}{among}, whatever the scores. {need} seeds each can."
        )
    if not pair.apart:
        return (
            f"These seeds do not tell {a.label} and {b.label} apart (p = {shown_p(pair.p)}, {each}{holm}); that does "
            "not show them equal."
        )
    return f"{a.label} is higher than {b.label}: it wins {_pairs(pair)}, p = {shown_p(pair.p)}, {each}{holm}."


def _pairs(pair: Pair) -> str:
    if pair.wins == 1:
        return "every pair of seeds"
    interval = f" [{100 * pair.low:.0f}, {100 * pair.high:.0f}]" if math.isfinite(pair.low) else ""
    return f"{100 * pair.wins:.0f} % of pairs{interval}"


def needed(comparisons: int) -> int:
    """Return how many seeds each of two sides needs before any p can stay below 5 % among that many comparisons.

    >>> needed(1), needed(10)
    (4, 6)
    """
    n = 1
    while statistics.smallest_p(n, n) * comparisons > statistics.LEVEL:
        n += 1
    return n


def notes(comparison: Comparison) -> list[str]:
    """Return what holds for the whole table: coverage, divergence, unequal budgets, too few seeds for an interval."""
    rows, said = comparison.rows, []
    sizes = sorted({len(row.scores.seeds) for row in rows if len(row.scores.seeds) >= statistics.MIN_RUNS})
    if sizes:
        covers = ", ".join(f"{n} seeds about {coverage(n)} %" for n in sizes)
        said.append(f"Intervals are bootstraps that claim 95 % and hold the truth less often, with {covers}.")
    for row in rows:
        one = row.scores
        if len(one.seeds) < statistics.MIN_RUNS:
            more = max(5, needed(comparison.family)) - len(one.seeds)
            again = repeat(one, more)
            how = f"add seeds with: {again}" if again else f"train {more} more seeds."
            said.append(f"{one.label} in {one.env}: {_seeds(len(one.seeds))}, so no interval; {how}")
    lost = [one for one in (row.scores for row in rows) if one.diverged]
    if lost:
        which = ", ".join(
            f"{one.diverged} of {_seeds(len(one.seeds))} of {one.label} in {one.env}" for one in lost
        )
        said.append(f"A seed that diverged counts as the worst, and takes the interval away: {which}.")
    for env in dict.fromkeys(row.scores.env for row in rows):
        budgets = {
            row.scores.label: row.scores.setting.values["env_steps"] for row in rows if row.scores.env == env
        }
        if len(set(budgets.values())) > 1:
            which = ", ".join(f"{label} {steps:,}" for label, steps in budgets.items())
            said.append(f"Budgets differ in {env}, in env steps per seed: {which}.")
    return said


def _seeds(n: int) -> str:
    return f"{n} seed" + "s" * (n != 1)


def shown_p(p: float) -> str:
    """Return a p-value with two digits.

    >>> shown_p(0.0412), shown_p(0.00001)
    ('0.041', '1e-05')
    """
    return f"{p:.2g}"


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything as JSON has it; None in the place of a number that is not finite."""
    rows = [
        {
            **_head(row.scores),
            "seeds": list(row.scores.seeds),
            "scores": _numbers(row.scores.scores),
            **dict(zip(("iqm", "low", "high"), _numbers(row[1:]), strict=True)),
            "diverged": row.scores.diverged,
            "runs": [str(run) for run in row.scores.setting.runs],
        }
        for row in comparison.rows
    ]
    names = "wins", "low", "high", "p", "least_p"
    pairs = [
        {"env": p.first.env, "first": p.first.label, "second": p.second.label}
        | dict(zip(names, _numbers(p[2:]), strict=True))
        | {"apart": p.apart, "sentence": sentence(p, comparison.family)}
        for p in [*comparison.pairs, *comparison.overall]
    ]
    return {
        "metric": comparison.metric,
        "rows": rows,
        "pairs": pairs,
        "notes": notes(comparison),
    }


def _head(one: Scores) -> dict[str, str]:
    return {"env": one.env, "label": one.label}


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [float(x) if math.isfinite(x) else None for x in values]
