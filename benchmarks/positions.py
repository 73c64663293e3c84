"""Choose positions of connect four in Pons's six classes and solve them: `src/swingup/referees/connect_four.json`.

    pip install bitbully bitbully-databases      # the tool that solves; a dependency of nothing
    python benchmarks/positions.py               # minutes

Positions come about by random play, from a seed. None is over or can be won at once, and none is another one's mirror
image. Classes are those of blog.gamesolver.org/solving-connect-four/02-test-protocol: by the plies played, and by those
that remain if both play perfectly. `bitbully` solves them; `tests/unit/referees` solves a part again with our solver.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from swingup.files import write_atomic
from swingup.referees.connect_four import RULES, legal, mates, play, won
from swingup.referees.rules import after

Solved = tuple[str, list[int | None]]
OUT = Path(__file__).parents[1] / "src" / "swingup" / "referees" / "connect_four.json"
CLASSES = {  # plies played, and plies that remain
    "end-easy": (range(29, 42), range(1, 14)),
    "middle-easy": (range(15, 29), range(1, 14)),
    "middle-medium": (range(15, 29), range(14, 28)),
    "begin-easy": (range(15), range(1, 14)),
    "begin-medium": (range(15), range(14, 28)),
    "begin-hard": (range(15), range(28, 43)),
}


def random_moves(plies: int, rng: np.random.Generator) -> tuple[int, ...] | None:
    """Play some plies at random; None if the game is over by then, or can be won at once."""
    moves, position = (), (0, 0)
    for _ in range(plies):
        moves = (*moves, int(rng.choice(legal(position))))
        position = play(position, moves[-1])
        if won(position) or not legal(position):
            return None
    return None if mates(position) else moves


def remaining(plies: int, score: int) -> int:
    """Return how many plies remain until the end, if both play perfectly.

    >>> remaining(4, 18), remaining(0, 1), remaining(30, 0)
    (3, 41, 12)
    """
    first_wins = (plies % 2 == 0) == (score > 0)
    last = 2 * (22 - abs(score)) - first_wins if score else 42  # the ply that ends the game
    return last - plies


def chosen(number: int, seed: int) -> dict[str, list[Solved]]:
    """Return that number of positions of each class, with the scores of all columns."""
    from bitbully import BitBully, Board  # pyright: ignore[reportMissingImports]

    solver, rng, begun = BitBully(opening_book="12-ply-dist"), np.random.default_rng(seed), time.time()
    found: dict[str, list[Solved]] = {name: [] for name in CLASSES}
    seen = set()
    for name, (plies, left) in CLASSES.items():
        while len(found[name]) < number:
            moves = random_moves(int(rng.integers(plies.start, plies.stop)), rng)
            if moves is None or after(RULES, moves) in seen:
                continue
            board = Board(list(moves))
            if remaining(len(moves), solver.mtdf(board)) in left:
                scores = solver.score_all_moves(board)
                found[name].append(("".join(map(str, moves)), [scores.get(column) for column in range(7)]))
                seen |= {after(RULES, moves), after(RULES, [6 - column for column in moves])}
        print(f"{name}: {time.time() - begun:.0f} s", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=300, help="positions per class")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    about = (
        "moves (columns from 0), and the score of each column for who moves next; see benchmarks/positions.py"
    )
    head = f'{{"about": {json.dumps(about)}, "seed": {args.seed},\n"classes": {{'
    classes = [
        f"{json.dumps(name)}: [\n"
        + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        + "\n]"
        for name, rows in chosen(args.number, args.seed).items()
    ]
    text = head + "\n" + ",\n".join(classes) + "}}\n"
    write_atomic(OUT, text.encode())
    print(f"wrote {OUT.name}, {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
