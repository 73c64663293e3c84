"""Read and try Monte-Carlo tree search with PUCT: `search.puct` in plain Python, one position at a time.

A node is a dict. A model is a function that says what a move leads to, `model(state, move)`, and what a network thinks
of that: (state, reward of who moved, discount, {legal move: prior}, value for who moves next). The discount is -1 where
the opponent moves next, 1 where the same player does, and 0 at the end, where there are no moves.

>>> def model(stones, move):  # players take one or two stones in turn, and who takes the last one wins
...     left = stones - move
...     return left, float(left == 0), -1 if left else 0, {n: 1 / min(left, 2) for n in (1, 2) if n <= left}, 0.0
>>> root = plant(4, {1: 0.5, 2: 0.5}, 0.0)
>>> for _ in range(30):
...     _ = simulate(root, model)
>>> root["visits"]  # three stones are lost for who has to take
{1: 25, 2: 5}
"""

from collections.abc import Callable
from math import log, sqrt
from typing import Any

Node = dict[str, Any]
Model = Callable[[Any, int], tuple[Any, float, float, dict[int, float], float]]


def plant(
    state: Any, prior: dict[int, float], value: float, reward: float = 0.0, discount: float = 0.0
) -> Node:
    """Make a node that nothing was tried at yet. `reward` and `discount` are of the move that led to it."""
    fresh = {"visits": dict.fromkeys(prior, 0), "q": dict.fromkeys(prior, 0.0), "children": {}}
    return {"state": state, "prior": prior, "value": value, "reward": reward, "discount": discount, **fresh}


def score(node: Node, move: int, c_init: float = 1.25, c_base: float = 19652.0) -> float:
    """How much a simulation wants to go there: what the move has brought so far, and how little it was tried.

        (1 + Q) / 2 + c P √N / (1 + n),      c = log((1 + N + c_base) / c_base) + c_init

    n and N are the visits of the move and of the node; a move that was not tried counts as lost.
    """
    n, total = node["visits"][move], 1 + sum(node["visits"].values())
    c = log((1 + total + c_base) / c_base) + c_init
    q = node["q"][move] if n else -1.0
    return (1 + q) / 2 + c * node["prior"][move] * sqrt(total) / (1 + n)


def simulate(node: Node, model: Model) -> float:
    """Do one simulation, from `node` down to a new leaf and back. Returns G = r + d G', whose mean is Q."""
    if not node["visits"]:
        return node["value"]
    move = max(node["visits"], key=lambda move: score(node, move))
    if move in node["children"]:
        child = node["children"][move]
        later = simulate(child, model)
    else:
        state, reward, discount, prior, value = model(node["state"], move)
        child = node["children"][move] = plant(state, prior, value, reward, discount)
        later = value
    node["visits"][move] += 1
    result = child["reward"] + child["discount"] * later
    node["q"][move] += (result - node["q"][move]) / node["visits"][move]
    return result
