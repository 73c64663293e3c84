"""Search is compared with mctx, with the lesson in plain Python, and with numbers worked out by hand.

The games are random tables in float64. So no two moves score alike to rounding, and equal trees mean equal in every
node. mctx adds noise of 1e-7 to PUCT's scores, which changes a tree here in fewer than one of a hundred reseedings.
"""

import re
import warnings
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

with warnings.catch_warnings():  # its own dependencies' deprecations
    warnings.simplefilter("ignore")
    import mctx

from swingup.errors import ConfigError
from swingup.planning import lesson, search
from swingup.planning.search import ILLEGAL, Expansion, Found, Root, gumbel, halving, puct
from swingup.planning.tree import Tree

KINDS = "alone", "two players", "moves twice", "ends", "dear"
ROWS, STATES, MOVES, SIMULATIONS = 40, 9, 5, 40


class Game(NamedTuple):
    """Tables [rows, states, moves] of what a move does, and [rows, states] of what a network says."""

    after: Any
    reward: Any
    discount: Any
    logits: Any
    value: Any
    legal: Any


def kind(row: int) -> str:
    return KINDS[row % len(KINDS)]


def random_game(rng: np.random.Generator) -> Game:
    """Rows of each kind, with masks in all of them. Only in a `dear` game are returns below -1."""
    moves = ROWS, STATES, MOVES
    is_kind = {name: np.arange(ROWS)[:, None, None] % len(KINDS) == i for i, name in enumerate(KINDS)}
    legal = rng.random(moves) < 0.7
    legal |= np.arange(MOVES) == rng.integers(MOVES, size=(ROWS, STATES, 1))
    ends = is_kind["ends"] & (rng.random(moves) < 0.4)
    discount = np.where(is_kind["alone"] | is_kind["dear"], 0.9, -1.0)
    discount = np.where(is_kind["moves twice"] & (rng.random(moves) < 0.5), 1.0, discount) * ~ends
    reward = np.where(ends, rng.integers(-1, 2, moves), is_kind["alone"] * rng.uniform(-0.1, 0.1, moves))
    return Game(
        rng.integers(STATES, size=moves),
        reward - is_kind["dear"] * rng.uniform(1, 3, moves),
        discount,
        np.where(legal, rng.normal(size=moves), ILLEGAL),
        rng.uniform(-1, 1, (ROWS, STATES)),
        legal,
    )


def expanding(game: Game) -> Any:
    def expand(state: Any, action: Any) -> Any:
        row, s = state
        after = row, game.after[row, s, action]
        return after, Expansion(
            game.reward[row, s, action], game.discount[row, s, action], game.logits[after], game.value[after]
        )

    return expand


def beginning(game: Game, rows: Any = None) -> Root:
    """The first states. What the network thinks of their illegal moves, `legal` has to hide from the search."""
    row = jnp.arange(ROWS) if rows is None else jnp.asarray(rows)
    state = row, jnp.zeros_like(row)
    legal = game.legal[state]
    return Root(state, jnp.where(legal, game.logits[state], 50.0), game.value[state], legal)


def growing(method: Any, expand: Any, simulations: int = SIMULATIONS, *more: Any, **options: Any) -> Any:
    """`method`, compiled, as a function of root and noise: what it finds, and the trees that it builds for that."""

    def run(root: Root, noise: Any) -> tuple[Found, Tree]:
        build, trees = search.search, []

        def keep(*args: Any) -> Tree:
            trees.append(build(*args))
            return trees[-1]

        search.search = keep
        try:
            return method(root, expand, simulations, noise, *more, **options), trees[-1]
        finally:
            search.search = build

    compiled = jax.jit(run)
    return lambda root, noise: jax.device_get(compiled(root, noise))


@pytest.fixture(scope="module")
def game() -> Any:
    with jax.enable_x64(True):
        yield jax.tree.map(jnp.asarray, random_game(np.random.default_rng(0)))


@pytest.fixture(scope="module")
def noise(game: Game) -> Any:
    """Also what would make illegal moves the best ones."""
    g = np.random.default_rng(1).gumbel(size=(ROWS, MOVES))
    return np.where(game.legal[:, 0], g, 50.0)


@pytest.fixture(scope="module")
def methods(game: Game) -> Any:
    return {method: growing(method, expanding(game)) for method in (puct, gumbel)}


@pytest.fixture(scope="module")
def trees(game: Game, noise: Any, methods: Any) -> Any:
    """What each method does with noise and without, by (method, noisy)."""
    root = beginning(game)
    return {
        (m, noisy): methods[m](root, noise if noisy else None) for m in methods for noisy in (False, True)
    }


def recurrent(game: Game) -> Any:
    def step(params: Any, key: Any, action: Any, state: Any) -> Any:
        after, new = expanding(game)(state, action)
        outcome = mctx.RecurrentFnOutput(
            reward=new.reward, discount=new.discount, prior_logits=new.logits, value=new.value
        )
        return outcome, after

    return step


def of_mctx(game: Game, policy: Any, **options: Any) -> Any:
    root = beginning(game)
    given = mctx.RootFnOutput(prior_logits=root.logits, value=root.value, embedding=root.state)
    run = partial(policy, recurrent_fn=recurrent(game), num_simulations=SIMULATIONS, **options)
    return jax.device_get(jax.jit(run)((), jax.random.key(0), given, invalid_actions=~root.legal))


def check_equal_trees(ours: Tree, theirs: Any, rows: Any) -> None:
    visited = theirs.children_visits > 0
    q = np.where(visited, theirs.children_rewards + theirs.children_discounts * theirs.children_values, 0)
    np.testing.assert_array_equal(ours.edges.visits[rows], theirs.children_visits[rows])
    np.testing.assert_array_equal(ours.child[rows], np.maximum(theirs.children_index, 0)[rows])
    np.testing.assert_array_equal(ours.parent[rows, 1:], theirs.parents[rows, 1:])
    np.testing.assert_array_equal(ours.action[rows, 1:], theirs.action_from_parent[rows, 1:])
    np.testing.assert_allclose(ours.edges.q[rows], q[rows], atol=1e-12)
    assert ours.parent[rows].max() > MOVES  # they are deep


@pytest.mark.parametrize("considered, rescale", [(16, False), (3, True)])
def test_gumbel_is_mctx(game: Game, methods: Any, considered: int, rescale: bool) -> None:
    q = partial(mctx.qtransform_completed_by_mix_value, rescale_values=rescale)
    theirs = of_mctx(game, mctx.gumbel_muzero_policy, max_num_considered_actions=considered, qtransform=q)
    g = theirs.search_tree.extra_data.root_gumbel
    run = methods[gumbel]  # with the defaults, which are these
    if rescale:
        run = growing(gumbel, expanding(game), SIMULATIONS, considered, rescale=True)
    ours, tree = run(beginning(game), g)
    check_equal_trees(tree, theirs.search_tree, slice(None))
    np.testing.assert_array_equal(ours.action, theirs.action)
    np.testing.assert_allclose(ours.policy, theirs.action_weights, atol=1e-12)
    np.testing.assert_allclose(ours.value, theirs.search_tree.node_values[:, 0], atol=1e-12)


def test_puct_is_mctx(game: Game, trees: Any) -> None:
    """But not where returns are below -1: there mctx walks illegal moves, which count as lost, inside the tree."""
    q = partial(mctx.qtransform_by_min_max, min_value=-1, max_value=1)
    theirs = of_mctx(game, mctx.muzero_policy, dirichlet_fraction=0.0, qtransform=q)
    ours, tree = trees[puct, False]
    rows = [row for row in range(ROWS) if kind(row) != "dear"]
    check_equal_trees(tree, theirs.search_tree, rows)
    np.testing.assert_array_equal(ours.policy[rows], theirs.action_weights[rows])
    np.testing.assert_allclose(ours.value[rows], theirs.search_tree.node_values[rows, 0], atol=1e-12)


def model(game: Game, row: int) -> lesson.Model:
    """The row's game for the lesson, where an ended game has no moves."""

    def step(s: int, move: int) -> Any:
        after, discount = int(game.after[row, s, move]), float(game.discount[row, s, move])
        prior = softmax(game.logits[row, after], game.legal[row, after]) if discount else {}
        return after, float(game.reward[row, s, move]), discount, prior, float(game.value[row, after])

    return step


def softmax(logits: Any, legal: Any) -> dict[int, float]:
    weight = np.exp(np.asarray(logits)) * np.asarray(legal)
    return {int(a): float(weight[a] / weight.sum()) for a in np.flatnonzero(legal)}


def check_equal_nodes(node: lesson.Node, tree: Tree, row: int, index: int) -> None:
    for move in node["visits"]:
        assert tree.edges.visits[row, index, move] == node["visits"][move]
        assert tree.edges.q[row, index, move] == pytest.approx(node["q"][move], abs=1e-12)
    for move, child in node["children"].items():
        check_equal_nodes(child, tree, row, tree.child[row, index, move])


@pytest.mark.parametrize("noisy", [False, True])
def test_puct_is_the_lesson(game: Game, noise: Any, trees: Any, noisy: bool) -> None:
    """Node by node. Noise is in the priors of the root, and there alone; the lesson stops where games end."""
    found, tree = trees[puct, noisy]
    tables = jax.device_get(game)
    for row in range(ROWS):
        prior = softmax(tables.logits[row, 0], tables.legal[row, 0])
        if noisy:
            eta = softmax(noise[row], tables.legal[row, 0])
            prior = {a: 0.75 * p + 0.25 * eta[a] for a, p in prior.items()}
        root = lesson.plant(0, prior, float(tables.value[row, 0]))
        returns = [lesson.simulate(root, model(tables, row)) for _ in range(SIMULATIONS)]
        check_equal_nodes(root, tree, row, 0)
        mean = (tables.value[row, 0] + sum(returns)) / (1 + SIMULATIONS)
        assert found.value[row] == pytest.approx(mean, abs=1e-12)
        assert found.action[row] == max(root["visits"], key=root["visits"].get)
        assert found.policy[row].sum() == pytest.approx(1)


@pytest.mark.parametrize("method", [puct, gumbel])
def test_illegal_moves_are_never_walked(game: Game, trees: Any, method: Any) -> None:
    """Nowhere in the trees, whatever the network and the noise think of them at the root."""
    found, tree = trees[method, True]
    legal = np.asarray(game.legal)[tree.state]
    assert tree.edges.visits[~legal].sum() == 0
    assert tree.edges.visits[legal].sum() > ROWS * SIMULATIONS
    assert (found.policy[~legal[:, 0]] == 0).all()
    assert legal[np.arange(ROWS), 0, found.action].all()
    np.testing.assert_allclose(found.policy.sum(-1), 1)


def test_a_full_column_inside_the_tree_is_not_walked() -> None:
    """Where every legal move loses. The illegal one counts as lost too, and would be as good."""
    legal = jnp.array([[True, True], [False, True], [False, True], [False, True]])

    def expand(state: Any, action: Any) -> Any:
        after = jnp.minimum(state + 1, 3)
        lost = jnp.where(after == 3, -1.0, 0.0)
        logits = jnp.where(legal[after], jnp.array([0.0, -80.0]), ILLEGAL)
        return after, Expansion(lost, jnp.where(after == 3, 0.0, 1.0), logits, jnp.full(1, -1.0))

    root = Root(jnp.zeros(1, int), jnp.zeros((1, 2)), jnp.zeros(1), legal[:1])
    for method in puct, gumbel:
        _, tree = growing(method, expand, 12)(root, None)
        assert tree.edges.visits[0, 1:, 0].sum() == 0


# A game by hand, for two moves. At the root move 0 leads to s1, where the opponent moves, and move 1 to a draw. At s1
# move 0 wins for the opponent, and move 1 leads to s2, where the first player moves. What the network says of ended
# games is far off. Score of a move: (1 + Q) / 2 + c P √N / (1 + n), with c = 1.2501 to 1.2504.
#
#   simulation   N   scores at the root   at s1             walks     G     Q(0)       Q(1)
#   1            1   0.750, 0.500                           0         -0.5  -0.5
#   2            2   0.780, 0.707         0.563, 0.688      0, 1      +0.8  +0.15
#   3            3   1.008, 0.866         0.796, 0.586      0, 0      -1.0  -0.7 / 3
#   4            4   0.758, 1.000                           1          0.0             0
#   5            5   0.803, 1.059                           1          0.0             0
#   6            6   0.843, 0.908                           1          0.0             0
HAND = [
    # visits, Q and value at the root after k simulations; the root's own value is 0.1
    ([1, 0], [-0.5, 0], -0.4 / 2),
    ([2, 0], [0.15, 0], 0.4 / 3),
    ([3, 0], [-0.7 / 3, 0], -0.6 / 4),
    ([3, 1], [-0.7 / 3, 0], -0.6 / 5),
    ([3, 2], [-0.7 / 3, 0], -0.6 / 6),
    ([3, 3], [-0.7 / 3, 0], -0.6 / 7),
]
HAND_GAME = Game(
    after=np.array([[[1, 3], [3, 2], [3, 3], [3, 3]]]),
    reward=np.array([[[0, 0], [1, 0], [0, 0], [0, 0]]], float),
    discount=np.array([[[-1, 0], [0, -1], [0, 0], [0, 0]]], float),
    logits=np.log([[[0.6, 0.4], [0.45, 0.55], [0.5, 0.5], [0.5, 0.5]]]),
    value=np.array([[0.1, 0.5, 0.8, 0.9]]),
    legal=np.ones((1, 4, 2), bool),
)


@pytest.mark.parametrize("simulations", [2, 6])
def test_a_tree_by_hand(simulations: int) -> None:
    visits, q, value = HAND[simulations - 1]
    tables = jax.tree.map(jnp.asarray, HAND_GAME)
    found, _ = growing(puct, expanding(tables), simulations)(beginning(tables, [0]), None)
    assert found.visits.tolist() == [visits]
    np.testing.assert_allclose(found.q, [q], atol=1e-6)
    np.testing.assert_allclose(found.value, [value], atol=1e-6)
    np.testing.assert_allclose(found.policy, [np.array(visits) / simulations], atol=1e-6)


def test_a_tree_by_hand_in_the_lesson() -> None:
    root = lesson.plant(0, {0: 0.6, 1: 0.4}, 0.1)
    for visits, q, _ in HAND:
        lesson.simulate(root, model(HAND_GAME, 0))
        assert root["visits"] == dict(enumerate(visits))
        assert list(root["q"].values()) == pytest.approx(q)


def test_the_scores_of_the_tree_by_hand() -> None:
    """Those of the lesson, before the third simulation."""
    root = lesson.plant(0, {0: 0.6, 1: 0.4}, 0.1)
    for _ in range(2):
        lesson.simulate(root, model(HAND_GAME, 0))
    assert [lesson.score(root, move) for move in (0, 1)] == pytest.approx([1.008, 0.866], abs=1e-3)
    s1 = root["children"][0]
    assert [lesson.score(s1, move) for move in (0, 1)] == pytest.approx([0.796, 0.586], abs=1e-3)


@pytest.mark.parametrize("method", [puct, gumbel])
def test_whose_win_it_is(method: Any) -> None:
    """The only move leads to where who moves wins at once: the opponent (a loss in one), or the same player again."""
    discount = jnp.array([-1.0, 1.0])

    def expand(state: Any, action: Any) -> Any:
        won, zero = state == 1, jnp.zeros(2)
        return state + 1, Expansion(won * 1.0, jnp.where(won, 0.0, discount), zero[:, None], zero + 0.25)

    root = Root(jnp.zeros(2, int), jnp.zeros((2, 1)), jnp.zeros(2), jnp.ones((2, 1), bool))
    found, _ = growing(method, expand, 8)(root, None)
    np.testing.assert_allclose(found.q[:, 0], (0.25 + 7 * 1.0) / 8 * discount, rtol=1e-6)


def test_noise_adds_up_to_its_fraction_and_is_at_the_root_only(game: Game, noise: Any, trees: Any) -> None:
    (_, noisy), (_, quiet) = trees[puct, True], trees[puct, False]
    legal = np.asarray(game.legal)[:, 0]
    prior, without = (np.where(legal, np.exp(t.edges.logits[:, 0]), 0) for t in (noisy, quiet))
    share = prior - 0.75 * without
    np.testing.assert_allclose(without.sum(-1), 1)
    np.testing.assert_allclose(share.sum(-1), 0.25)
    eta = legal * np.exp(noise)
    np.testing.assert_allclose(share, 0.25 * eta / eta.sum(-1, keepdims=True), atol=1e-12)
    np.testing.assert_array_equal(noisy.edges.logits[:, 1:], np.asarray(game.logits)[noisy.state][:, 1:])


def test_logarithms_of_gammas_make_dirichlet_noise() -> None:
    """Mean 1 / k and variance (k - 1) / k² (1 + k α): here with α = 0.1, of k = 3 legal moves; 6 standard errors."""
    n, alpha, k = 20_000, 0.1, 3
    eta = np.exp(np.asarray(jax.nn.log_softmax(jax.random.loggamma(jax.random.key(0), alpha, (n, k)))))
    variance = (k - 1) / (k**2 * (1 + k * alpha))
    assert np.abs(eta.mean(0) - 1 / k).max() < 6 * np.sqrt(variance / n)
    fourth = ((eta - 1 / k) ** 4).mean()
    assert np.abs(((eta - 1 / k) ** 2).mean(0) - variance).max() < 6 * np.sqrt((fourth - variance**2) / n)


@pytest.mark.parametrize("method", [puct, gumbel])
def test_without_noise_a_search_repeats_itself(game: Game, methods: Any, trees: Any, method: Any) -> None:
    again = methods[method](beginning(game), None)
    jax.tree.map(np.testing.assert_array_equal, trees[method, False], again)


def test_no_noise_is_gumbel_noise_of_zero(game: Game, methods: Any, trees: Any) -> None:
    found, _ = methods[gumbel](beginning(game), np.zeros((ROWS, MOVES)))
    jax.tree.map(np.testing.assert_array_equal, trees[gumbel, False][0], found)
    assert (trees[gumbel, True][0].visits != found.visits).any()


@pytest.mark.parametrize("method", [puct, gumbel])
def test_rows_are_independent(game: Game, noise: Any, methods: Any, trees: Any, method: Any) -> None:
    alone, _ = methods[method](beginning(game, [7]), noise[7:8])
    for a, b in zip(alone, trees[method, True][0], strict=True):
        np.testing.assert_allclose(a, b[7:8], atol=1e-12)


def test_vmapped_over_parameters_is_one_search_each(game: Game, noise: Any) -> None:
    def run(scale: Any, root: Root, noise: Any) -> Found:
        return gumbel(root, expanding(game._replace(value=game.value * scale)), SIMULATIONS, noise)

    root, scales = beginning(game), jnp.array([-1.0, 0.3, 1.0])
    many = jax.jit(jax.vmap(run, in_axes=(0, None, None)))(scales, root, noise)
    one = jax.jit(run)
    assert (many.visits[0] != many.visits[2]).any()
    for i, scale in enumerate(scales):
        for a, b in zip(many, one(scale, root, noise), strict=True):
            np.testing.assert_allclose(a[i], b, atol=1e-12)


def test_a_vmapped_search_copies_no_tree(game: Game) -> None:
    """A `while_loop` with a vmapped condition chooses between old and new carry at each level: whole trees of them."""
    root = beginning(game)

    def run(value: Any) -> Found:
        return gumbel(root, expanding(game._replace(value=value)), SIMULATIONS, None)

    program = jax.jit(jax.vmap(run)).lower(jnp.stack([game.value] * 2)).as_text()
    shapes = re.findall(r"stablehlo\.select .*tensor<([\dx]+)x\w+>", program)
    largest = max(np.prod([int(n) for n in shape.split("x")]) for shape in shapes)
    assert 2 * ROWS * MOVES <= largest < 2 * ROWS * SIMULATIONS


def test_sequential_halving() -> None:
    """Two rounds for four moves: 16 // (2 * 4) visits to each of four, then 16 // (2 * 2) to each of two."""
    assert halving(4, 16)[4].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert halving(4, 16)[3].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert halving(4, 16)[1].tolist() == list(range(16))
    assert halving(4, 3)[4].tolist() == [0, 0, 0]  # not even all of them
    assert halving(1, 3).shape == (2, 3)


@pytest.mark.parametrize("method", [puct, gumbel])
def test_a_search_of_nothing_is_refused(game: Game, method: Any) -> None:
    with pytest.raises(ConfigError, match="at least 1 simulation, not 0"):
        method(beginning(game), expanding(game), 0)
