"""Measure how often the referees of connect four go wrong on the solved positions, and how fast our solver is.

    python benchmarks/referees.py                # about three minutes of CPU time
    python benchmarks/referees.py --number 20    # of the 300 positions of each class

A mistake is a move that worsens the exact outcome. Times are CPU time of one process. Results go to
`benchmarks/results/referees.json` and `.md`.
"""

import argparse
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from swingup.files import write_atomic
from swingup.referees import connect_four, referee, solved
from swingup.referees.rules import after

RESULTS = Path(__file__).parent / "results"
SPECS = "random", "mcts:100", "mcts:1000", "minimax:2", "minimax:4", "minimax:5"
SOLVED = {
    "end-easy": 1.0,
    "middle-easy": 1.0,
    "begin-easy": 0.1,
    "middle-medium": 0.1,
}  # share that ours solves


def measured(spec: str, number: int) -> dict[str, Any]:
    """Return the share of mistakes in each class, and milliseconds per move."""
    rng, player = np.random.default_rng(0), referee(spec, "connect_four")
    shares, moves, begun = {}, 0, time.process_time()
    for name, rows in solved.positions().items():
        wrong = [solved.is_mistake(row.scores, player.choose(row.moves, rng)) for row in rows[:number]]
        shares[name], moves = float(np.mean(wrong)), moves + len(wrong)
    return {"mistakes": shares, "ms": 1000 * (time.process_time() - begun) / moves}


def solving(name: str, number: int) -> dict[str, Any]:
    """Return milliseconds and nodes per outcome, and how many outcomes differ from the stored ones."""
    milliseconds, nodes, wrong = [], [], 0
    for moves, scores in solved.positions()[name][:number]:
        search, begun = connect_four.Search(), time.process_time()
        found = connect_four.outcome_of(search, after(connect_four.RULES, moves))
        milliseconds.append(1000 * (time.process_time() - begun))
        nodes.append(search.nodes)
        wrong += found != np.sign(max(s for s in scores if s is not None))
    mean, most = float(np.mean(milliseconds)), max(milliseconds)
    return {
        "ms": mean,
        "most": most,
        "nodes": float(np.mean(nodes)),
        "wrong": int(wrong),
        "positions": len(nodes),
    }


def table(stored: dict[str, Any]) -> str:
    names = list(solved.positions())
    number, players, solver = stored["number"], stored["players"], stored["solver"]
    text = f"Mistakes in per cent of {number} positions per class; "
    text += "the standard error of a mean is 0.6 points or so, of a class two.\n\n"
    text += f"| player | {' | '.join(names)} | mean | ms per move |\n|---|{'---|' * (len(names) + 2)}\n"
    for spec, row in players.items():
        shares = [100 * row["mistakes"][name] for name in names]
        cells = " | ".join(f"{x:.1f}" for x in [*shares, float(np.mean(shares))])
        text += f"| {spec} | {cells} | {row['ms']:.1f} |\n"
    text += "\nThe exact solver, win, draw or loss of a position:\n\n"
    text += "| class | positions | ms, mean | ms, most | nodes, mean | nodes/s | wrong |\n"
    text += f"|{7 * '---|'}\n"
    for name, row in solver.items():
        speed = 1000 * row["nodes"] / row["ms"]
        text += (
            f"| {name} | {row['positions']} | {row['ms']:.1f} | {row['most']:.0f} | {row['nodes']:,.0f} | "
        )
        text += f"{speed:,.0f} | {row['wrong']} |\n"
    return text + f"\nCommand: `python benchmarks/referees.py`; {stored['where']}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=300, help="positions per class")
    args = parser.parse_args()
    stored: dict[str, Any] = {"number": args.number, "players": {}, "solver": {}}
    for spec in SPECS:
        stored["players"][spec] = measured(spec, args.number)
        print(spec, stored["players"][spec], flush=True)
    for name, share in SOLVED.items():
        stored["solver"][name] = solving(name, max(1, round(share * args.number)))
        print(name, stored["solver"][name], flush=True)
    stored["where"] = (
        f"CPU, one core, shared with other jobs; swingup {version('swingup')}, Python {platform.python_version()}"
    )
    write_atomic(RESULTS / "referees.json", (json.dumps(stored, indent=1) + "\n").encode())
    write_atomic(RESULTS / "referees.md", table(stored).encode())


if __name__ == "__main__":
    main()
