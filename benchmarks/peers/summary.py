"""Raw measurements become medians, ratios and verdicts.

A measurement ("row") is a dictionary with `kind` "rate" or "start", its round, the contestant's setting and
what its runner printed.
"""

from statistics import median
from typing import Any

Row = dict[str, Any]

# Our rate over another's that must be reached: (our seeds, the other, its seeds, the ratio; None: no verdict).
RATIO_BARS = {
    "cartpole": [
        (1, "rejax", 1, 1.25),
        (1, "sb3", 1, 30.0),
        (1, "sbx", 1, None),
        (8, "rejax", 8, 1.4),
    ],
    "halfcheetah": [(1, "sbx", 1, 1.3), (1, "sb3", 1, 1.7), (5, "swingup", 1, 1.3)],
}
SETTING = ("peer", "seeds", "threads", "suite")
# Seconds from process start to the first finished iteration that swingup may take.
START_BARS = {"cold": 9.0, "warm": 3.0}


def rates(rows: list[Row]) -> list[Row]:
    """One line per contestant and setting, over all rounds."""
    summary = []
    for setting, mine in _group(rows, "rate", SETTING):
        good = [row for row in mine if row["status"] == "ok"]
        line = {**setting, "rounds": len(good), "status": mine[-1]["status"]}
        if good:
            line["best"] = max(row["env_steps_per_second"] for row in good)
            line["median"] = median(row["median_env_steps_per_second"] for row in good)
            line["compile_seconds"] = median(row["compile_seconds"] for row in good)
            line["import_seconds"] = median(row["import_seconds"] for row in good)
            line["other_seconds"] = median(row.get("other_seconds", 0.0) for row in good)
            line["final_return"] = good[-1]["final_return"]
            line["split"] = good[-1].get("split") or {}
        summary.append(line)
    return summary


def starts(rows: list[Row]) -> list[Row]:
    """Median start of each contestant, cold and warm; only swingup's has a bar."""
    summary = []
    for setting, mine in _group(rows, "start", ("peer", "cache")):
        good = [row for row in mine if row["status"] == "ok"]
        line = {**setting, "rounds": len(good), "status": mine[-1]["status"]}
        if good:
            seconds = [row["start_to_finish_seconds"] for row in good]
            line |= {"median_seconds": median(seconds), "best_seconds": min(seconds)}
            compiling = [row["compile_seconds"] for row in good if row["compile_seconds"] is not None]
            line["compile_seconds"] = median(compiling) if compiling else None
        if good and line["peer"] == "swingup":
            bar = START_BARS[line["cache"]]
            line |= {"bar": bar, "passed": line["median_seconds"] <= bar}
        summary.append(line)
    return summary


def ratios(rows: list[Row], workload: str) -> list[Row]:
    """Our rate over each peer's, each at the setting at which it was fastest.

    `median_ratio` is the median over the rounds of the ratio inside one round, and decides the verdict:
    the two measurements of a round are minutes apart at most, those of two rounds are not.
    """
    summary, lines = [], rates(rows)
    for our_seeds, peer, seeds, bar in RATIO_BARS[workload]:
        ours, theirs = _fastest(lines, "swingup", our_seeds), _fastest(lines, peer, seeds)
        if ours is None or theirs is None:
            continue
        our_rounds, their_rounds = _by_round(rows, ours), _by_round(rows, theirs)
        pairs = [our_rounds[r] / their_rounds[r] for r in sorted(our_rounds.keys() & their_rounds.keys())]
        if not pairs:
            continue
        line: Row = {"peer": peer, "our_seeds": our_seeds, "seeds": seeds}
        line |= {
            "ours": _how(ours),
            "theirs": _how(theirs),
            "per_round": pairs,
            "median_ratio": median(pairs),
        }
        line |= {"best_ratio": ours["best"] / theirs["best"]}
        summary.append({**line, "bar": bar, "passed": None if bar is None else median(pairs) >= bar})
    return summary


def _group(rows: list[Row], kind: str, names: tuple[str, ...]) -> list[tuple[Row, list[Row]]]:
    """The rows of one kind by their values of `names`, in the order of first appearance."""
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        if row["kind"] == kind:
            groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return [(dict(zip(names, values, strict=True)), mine) for values, mine in groups.items()]


def _fastest(lines: list[Row], peer: str, seeds: int) -> Row | None:
    """The line of `peer` with the highest rate among its settings."""
    mine = [line for line in lines if (line["peer"], line["seeds"]) == (peer, seeds) and "best" in line]
    return max(mine, key=lambda line: line["best"], default=None)


def _how(line: Row) -> str:
    """Threads and kind of environments, in words."""
    return " ".join(filter(None, (line["threads"], line["suite"])))


def _by_round(rows: list[Row], line: Row) -> dict[int, float]:
    """Round -> best rate in that round of the setting that `line` summarises."""
    wanted = {"kind": "rate", "status": "ok"} | {name: line[name] for name in SETTING}
    return {row["round"]: row["env_steps_per_second"] for row in rows if wanted.items() <= row.items()}
