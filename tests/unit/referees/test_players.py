"""Players without learning see what they must, and their specs are read or refused."""

import random

import numpy as np
import pytest

from swingup.errors import ConfigError
from swingup.referees import GAMES, UCT, Minimax, referee
from swingup.referees.connect_four import RULES
from swingup.referees.minimax import WIN, heuristic, negamax
from swingup.referees.rules import Position, Rules, after
from swingup.referees.tic_tac_toe import RULES as SMALL
from swingup.referees.uct import grow, simulate, ucb

MATE = (0, 1, 0, 1, 0, 1)  # column 0 wins
BLOCK = (0, 6, 0, 6, 0)  # column 0 must be blocked
DOUBLE = (3, 3, 2, 2)  # columns 1 and 4 win in two moves


def plain(rules: Rules, position: Position, depth: int) -> int:
    """Minimax without pruning."""
    if rules.won(position):
        return -WIN - depth
    if not rules.legal(position):
        return 0
    if depth == 0:
        return heuristic(rules, position)
    return max(-plain(rules, rules.play(position, a), depth - 1) for a in rules.legal(position))


@pytest.mark.parametrize("game", list(GAMES))
@pytest.mark.parametrize("spec", ["random", "minimax:2", "mcts:20", "solver"])
def test_every_referee_plays_legal_games_to_the_end(game: str, spec: str) -> None:
    rules, _ = GAMES[game]
    rng, player = np.random.default_rng(0), referee(spec, game)
    assert player.name == spec
    moves, least = (), 26 if (game, spec) == ("connect_four", "solver") else 0  # where solving is fast
    while not rules.won(position := after(rules, moves, over=True)) and rules.legal(position):
        action = player.choose(moves, rng) if len(moves) >= least else int(rng.choice(rules.legal(position)))
        assert action in rules.legal(position)
        moves += (action,)


@pytest.mark.parametrize("spec", ["minimax:2", "minimax:4", "mcts:300", "solver"])
def test_mates_in_one_and_forced_blocks_are_seen(spec: str) -> None:
    player, rng = referee(spec, "pgx:connect_four"), np.random.default_rng(1)
    assert player.choose(MATE, rng) == player.choose(BLOCK, rng) == 0
    assert referee(spec, "tic_tac_toe").choose([0, 4, 1], rng) == 2
    assert referee(spec, "tic_tac_toe").choose([0, 3, 1, 4], rng) == 2


@pytest.mark.parametrize("spec", ["minimax:3", "mcts:1000"])
def test_a_double_threat_is_seen(spec: str) -> None:
    player, rng = referee(spec, "connect_four"), np.random.default_rng(2)
    assert {player.choose(DOUBLE, rng) for _ in range(5)} <= {1, 4}


def test_the_heuristic_counts_open_lines() -> None:
    corner = after(SMALL, [0])
    assert heuristic(SMALL, corner) == -3  # three lines run through a corner, for who has just moved
    both = after(SMALL, [0, 4, 1])  # X on two cells of the row above, O in the centre
    assert heuristic(SMALL, both) == 2 - 10 - 1  # O: a row and a diagonal; X: a row with two, a column
    centre = after(RULES, [3])
    assert heuristic(RULES, centre) == -7  # lines through the lowest square of the column in the centre


@pytest.mark.parametrize(("rules", "plies"), [(SMALL, 3), (RULES, 14)])
def test_pruning_changes_no_value(rules: Rules, plies: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        moves = ()
        while len(moves) < plies and not rules.won(after(rules, moves, over=True)):
            moves += (int(rng.choice(rules.legal(after(rules, moves)))),)
        position = after(rules, moves, over=True)
        assert negamax(rules, position, 3, -2 * WIN, 2 * WIN) == plain(rules, position, 3)


def test_minimax_chooses_among_all_of_the_best_moves_and_no_other() -> None:
    rng = np.random.default_rng(4)
    moves = [3, 3, 3, 3]
    position = after(RULES, moves)
    values = {a: -plain(RULES, RULES.play(position, a), 2) for a in RULES.legal(position)}
    best = {a for a, v in values.items() if v == max(values.values())}
    assert len(best) > 1
    assert {Minimax(RULES, 3).choose(moves, rng) for _ in range(60)} == best


def test_sooner_wins_are_better() -> None:
    position = after(RULES, MATE)
    assert negamax(RULES, position, 4, -2 * WIN, 2 * WIN) == WIN + 3  # three plies were left


def test_statistics_of_the_tree_are_sums_over_simulations() -> None:
    """Visits of a node are one and those of its children; results are counted with the right sign."""
    dice = random.Random(0)
    root = grow(SMALL, after(SMALL, [0, 4, 1]), dice)  # O must block at 2
    for _ in range(2000):
        simulate(SMALL, root, 1.0, dice)
    nodes = [root]
    while nodes:
        node = nodes.pop()
        below = list(node.children.values())
        own = 0 if node is root else 1
        if below:
            assert node.visits == own + sum(child.visits for child in below)
        if SMALL.won(node.position):
            assert node.total == node.visits  # for who moved into it
        nodes += below
    assert max(root.children, key=lambda a: root.children[a].visits) == 2
    assert root.visits == 2000


def test_the_bound_is_ucb1() -> None:
    dice = random.Random(0)
    parent, child = grow(SMALL, (0, 0), dice), grow(SMALL, (0, 1), dice)
    parent.visits, child.visits, child.total = 100, 4, 2
    assert ucb(parent, child, 2.0) == pytest.approx(0.5 + 2 * np.sqrt(np.log(100) / 4))


def test_the_same_generator_gives_the_same_moves() -> None:
    player = UCT(RULES, 50)
    chosen = [[player.choose([], np.random.default_rng(seed)) for seed in range(8)] for _ in range(2)]
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) > 1


@pytest.mark.parametrize(
    ("spec", "game", "message"),
    [
        ("minmax:4", "connect_four", "unknown referee 'minmax'; did you mean 'minimax'"),
        ("minimax", "connect_four", "needs a number of plies, 1 to 42; for example minimax:4"),
        ("minimax:0", "connect_four", "needs a number of plies"),
        ("mcts:1e3", "connect_four", "needs a number of simulations, 1 to 1,000,000; for example mcts:1000"),
        ("mcts:-5", "tic_tac_toe", "needs a number of simulations"),
        ("random:3", "tic_tac_toe", "'random' takes no number"),
        ("solver", "pgx:othello", r"no referee knows the rules .* \(known: connect_four, tic_tac_toe\)"),
        ("solver", "conect_four", "did you mean 'connect_four'"),
    ],
)
def test_bad_specs_get_one_clear_message(spec: str, game: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        referee(spec, game)
