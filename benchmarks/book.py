"""Make the book of openings of connect four: `src/swingup/referees/connect_four_book.json`.

    pip install bitbully bitbully-databases      # the tool that solves; a dependency of nothing
    python benchmarks/book.py                    # half a minute

In each position the book has the column of the best score, the one nearest to the centre if there are several.
`swingup.referees.book` says which positions these are.
"""

import argparse
import base64
import json
import time
import zlib
from pathlib import Path

from positions import remaining
from swingup.files import write_atomic
from swingup.referees import book
from swingup.referees.connect_four import RULES, mates
from swingup.referees.rules import Position

OUT = Path(__file__).parents[1] / "src" / "swingup" / "referees" / "connect_four_book.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--last", type=int, default=11, help="the last ply of the book")
    args = parser.parse_args()
    from bitbully import BitBully, Board  # pyright: ignore[reportMissingImports]

    solver, begun = BitBully(opening_book="12-ply-dist"), time.time()

    def column(position: Position, ply: int) -> str:
        colours = position if ply % 2 == 0 else position[::-1]
        bits = [[7 * column + row for row in range(6)] for column in range(7)]
        cells = [
            [sum((i + 1) * (c >> bit & 1) for i, c in enumerate(colours)) for bit in line] for line in bits
        ]
        scores = solver.score_all_moves(Board(cells))
        best = max(scores.values())
        if mates(position) or remaining(ply, best) < 14:
            return book.SEARCH
        return str(min((c for c in scores if scores[c] == best), key=lambda c: (abs(c - 3), c)))

    levels: list[dict[Position, str]] = []
    for ply in range(args.last + 1):
        columns, before = (levels[ply - 2] if ply > 1 else {}), (levels[ply - 1] if ply else {})
        positions = book.next_level(RULES, ply, columns, before)
        levels.append({position: column(position, ply) for position in positions})
        print(f"ply {ply}: {len(positions)} positions, {time.time() - begun:.0f} s", flush=True)
    about = "columns by ply, zlib and base64; see swingup.referees.book and benchmarks/book.py"
    texts = [base64.b64encode(zlib.compress("".join(x.values()).encode(), 9)).decode() for x in levels]
    text = json.dumps({"about": about, "columns": texts}, indent=0) + "\n"
    write_atomic(OUT, text.encode())
    print(f"wrote {OUT.name}, {len(text) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
