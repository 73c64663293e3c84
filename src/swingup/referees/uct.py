"""UCT is Monte Carlo tree search whose moves are chosen by bounds of bandits (Kocsis and Szepesvári, 2006).

A simulation has four parts: go down the tree by UCB1, add one position to it, play on at random to the end, and
count the result in every position that was passed.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from swingup.referees.rules import Position, Rules, after


@dataclass(slots=True)
class Node:
    """A node is a position of the tree; `total` sums the results for who moved into it."""

    position: Position
    untried: list[int]  # in random order; none where the game is over
    children: dict[int, "Node"] = field(default_factory=dict)
    visits: int = 0
    total: int = 0


def grow(rules: Rules, position: Position, dice: random.Random) -> Node:
    """Make a new node."""
    untried = [] if rules.won(position) else rules.legal(position)
    dice.shuffle(untried)
    return Node(position, untried)


def ucb(parent: Node, child: Node, c: float) -> float:
    """UCB1 = Q + c √(ln N / n), with Q in [-1, 1] for who chooses."""
    return child.total / child.visits + c * math.sqrt(math.log(parent.visits) / child.visits)


def rollout(rules: Rules, position: Position, dice: random.Random) -> int:
    """Play at random to the end, and return the result for who has moved into `position`: 1, 0 or -1."""
    sign = 1
    while not rules.won(position):
        actions = rules.legal(position)
        if not actions:
            return 0
        position, sign = rules.play(position, dice.choice(actions)), -sign
    return sign


def simulate(rules: Rules, root: Node, c: float, dice: random.Random) -> None:
    """Run one simulation."""
    path = [root]
    while not path[-1].untried and path[-1].children:
        node = path[-1]
        path.append(max(node.children.values(), key=lambda child: ucb(node, child, c)))
    leaf = path[-1]
    if leaf.untried:
        action = leaf.untried.pop()
        leaf.children[action] = grow(rules, rules.play(leaf.position, action), dice)
        path.append(leaf.children[action])
    result = rollout(rules, path[-1].position, dice)
    for node in reversed(path):
        node.visits += 1
        node.total += result
        result = -result


@dataclass(frozen=True)
class UCT:
    """UCT takes the move that most simulations went through, from a new tree each time, and breaks ties at random."""

    rules: Rules
    simulations: int  # N; rollouts per move, >= 1
    c: float = 1.0  # c; weight of exploration, for results in [-1, 1]

    @property
    def name(self) -> str:
        return f"mcts:{self.simulations}"

    def choose(self, moves: Sequence[int], rng: np.random.Generator) -> int:
        dice = random.Random(int(rng.integers(2**63)))  # ten times faster for single numbers
        root = grow(self.rules, after(self.rules, moves), dice)
        for _ in range(self.simulations):
            simulate(self.rules, root, self.c, dice)
        most = max(child.visits for child in root.children.values())
        return dice.choice([action for action, child in root.children.items() if child.visits == most])
