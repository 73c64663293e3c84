"""Minimax looks a fixed number of plies ahead, with alpha-beta pruning, and judges what it sees there by its lines."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from swingup.referees.rules import Position, Rules, after

WEIGHTS = 0, 1, 10, 100, 0  # of a line by its stones, if they have one colour
WIN = 1_000_000


def heuristic(rules: Rules, position: Position) -> int:
    """Say what a position seems to be worth to who moves next.

        h(s) = Σ_lines w(mine on it, if none of theirs is) - w(theirs on it, if none of mine is)

    with w(n) = 10ⁿ⁻¹ and w(0) = 0. There are 69 lines in connect four and 8 in tic-tac-toe.
    """
    mine, theirs = position
    total = 0
    for line in rules.lines:
        if not line & theirs:
            total += WEIGHTS[(line & mine).bit_count()]
        elif not line & mine:
            total -= WEIGHTS[(line & theirs).bit_count()]
    return total


def negamax(rules: Rules, position: Position, depth: int, alpha: int, beta: int) -> int:
    """Return the value of a position for who moves next if it lies in (alpha, beta), otherwise a bound on it.

    A win counts `WIN` plus the plies that were left to look at, so that the sooner one is the better; a draw counts 0.
    """
    if rules.won(position):
        return -WIN - depth
    actions = rules.legal(position)
    if not actions or depth == 0:
        return heuristic(rules, position) if actions else 0
    best = -2 * WIN
    for action in sorted(actions, key=lambda a: abs(2 * a - actions[0] - actions[-1])):  # from the centre
        child = rules.play(position, action)
        best = max(best, -negamax(rules, child, depth - 1, -beta, -max(alpha, best)))
        if best >= beta:
            break
    return best


@dataclass(frozen=True)
class Minimax:
    """Minimax takes the move that looks best `depth` plies ahead, and one of several at random."""

    rules: Rules
    depth: int  # D; plies, >= 1

    @property
    def name(self) -> str:
        return f"minimax:{self.depth}"

    def choose(self, moves: Sequence[int], rng: np.random.Generator) -> int:
        position = after(self.rules, moves)
        best, ties = -2 * WIN, []
        for action in self.rules.legal(position):
            child = self.rules.play(position, action)
            value = -negamax(self.rules, child, self.depth - 1, -2 * WIN, 1 - best)  # exact from best on
            if value > best:
                best, ties = value, []
            if value == best:
                ties.append(action)
        return int(rng.choice(ties))
