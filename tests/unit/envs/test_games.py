"""Games for two keep their rules: against counts that are known, plain Python, and exact probabilities."""

import subprocess
import sys
from collections import defaultdict
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_games import CELLS, Ends

import swingup
from conftest import late
from swingup import presets
from swingup.envs import Vec, canonical, identity, is_game, make, suites
from swingup.envs.adapters.pgx import PgxGame
from swingup.envs.games import Game, Versus, uniform
from swingup.errors import ConfigError
from swingup.testing import check_env
from swingup.training import driver

SIGMAS = 5  # right code fails once in two million comparisons
SIZE = 2048  # successors that are computed at once


def game(name: str) -> PgxGame:
    return make(f"pgx:{name}", 1).single  # pyright: ignore[reportReturnType]


class Ply(dict):
    """The open positions after some moves: {position: (state, lines of play, probability in random play)}."""

    def __init__(self) -> None:
        self.results: dict[float, list[float]] = defaultdict(lambda: [0, 0.0])
        self.positions: set[bytes] = set()


def plies(rules: Game, depth: int) -> list[Ply]:
    """Enumerate a game breadth first: its positions, and how lines of play end, as who moved last is paid."""
    key = jax.random.key(0)

    @jax.jit
    def look(states: Any, actions: Any) -> Any:
        states, t = jax.vmap(rules.step, (0, 0, None))(states, actions, key)
        return states, t.obs, t.reward, t.terminated, jax.vmap(rules.legal)(states)

    state, obs = jax.jit(rules.reset)(key)
    first = Ply()
    first[np.asarray(obs).tobytes()] = [
        jax.tree.map(np.asarray, state),
        1,
        1.0,
        np.asarray(rules.legal(state)),
    ]
    first.positions = set(first)
    out = [first]
    for _ in range(depth):
        pairs = [(entry, a) for entry in out[-1].values() for a in np.flatnonzero(entry[3])]
        out.append(Ply())
        for begin in range(0, len(pairs), SIZE):
            some = pairs[begin : begin + SIZE]
            padded = some + some[:1] * (SIZE - len(some))
            states = jax.tree.map(lambda *x: np.stack(x), *[entry[0] for entry, _ in padded])
            after, obs, reward, ended, legal = jax.device_get(
                look(states, np.array([a for _, a in padded], np.int32))
            )
            for i, (entry, _) in enumerate(some):
                _, lines, chance, moves = entry
                chance = chance / moves.sum()
                position = obs[i].tobytes()
                out[-1].positions.add(position)
                if ended[i]:
                    result = out[-1].results[float(reward[i])]
                    result[0], result[1] = result[0] + lines, result[1] + chance
                else:
                    assert reward[i] == 0
                    state = jax.tree.map(lambda x, i=i: x[i], after)
                    known = out[-1].setdefault(position, [state, 0, 0.0, legal[i]])
                    known[1], known[2] = known[1] + lines, known[2] + chance
    return out


@cache
def tic_tac_toe() -> list[Ply]:
    return plies(game("tic_tac_toe"), 9)


def results(found: list[Ply], which: int) -> tuple[float, float, float]:
    """Lines of play (0) or probabilities in random play (1): the first player wins, the second does, a draw."""
    first = sum(ply.results[1.0][which] for ply in found[1::2])
    second = sum(ply.results[1.0][which] for ply in found[2::2])
    return first, second, sum(ply.results[0.0][which] for ply in found)


def test_tic_tac_toe_has_its_positions_and_games() -> None:
    found = tic_tac_toe()
    assert [len(ply.positions) for ply in found] == [1, 9, 72, 252, 756, 1260, 1520, 1140, 390, 78]
    assert results(found, 0) == (131_184, 77_904, 46_080)
    assert all(set(ply.results) <= {0.0, 1.0} for ply in found)


def test_connect_four_has_its_first_positions() -> None:
    """OEIS A212693."""
    found = plies(game("connect_four"), 4)
    assert [len(ply.positions) for ply in found] == [1, 7, 49, 238, 1120]


# --- random games, and their mirror images -----------------------------------------------------------------


def random_games(rules: Game, moves: Any, choice: Any) -> Any:
    """Play one game, whose actions are renumbered by the permutation `moves`, by the numbers `choice` [T] in [0, 1).

    A choice takes one of the legal moves in the order of the game as it is: so one choice plays a game and its images.
    """
    key, back = jax.random.key(0), jnp.argsort(moves)

    def body(state: Any, u: Any) -> Any:
        legal = rules.legal(state)[back]
        count = jnp.cumsum(legal)
        action = back[jnp.argmax(count > jnp.floor(u * count[-1]))]
        after, t = rules.step(state, action, key)
        told = {"obs": t.obs, "legal": rules.legal(after), "player": rules.player(after), "action": action}
        return after, told | {"reward": t.reward, "terminated": t.terminated}

    state, obs = rules.reset(key)
    return obs, rules.player(state), jax.lax.scan(body, state, choice)[1]


def played(rules: Game, num_moves: int, games: int, seed: int) -> Any:
    """Told of the game as it is and of each of its images, [1 + symmetries, games, T, ...]."""
    same = np.arange(rules.observation_space.shape[0]), np.arange(rules.action_space.n)  # pyright: ignore
    moves = np.stack([same[1], *(m for _, m in rules.symmetries)])
    choice = np.random.default_rng(seed).random((games, num_moves)).astype(np.float32)
    choice[::2, 1] = 0.9999  # the last of the moves: in Hex to swap, in Go to pass
    both = jax.vmap(jax.vmap(lambda m, u: random_games(rules, m, u), (None, 0)), (0, None))
    return jax.device_get(jax.jit(both)(moves, choice))


@pytest.mark.parametrize(
    "name, num_moves, count",
    late(
        [
            ("tic_tac_toe", 10, 7),
            ("connect_four", 43, 1),
            ("othello", 40, 3),
            ("hex", 40, 1),
            ("go_5x5", 52, 7),
        ],
        *(("tic_tac_toe", 10, 7), ("connect_four", 43, 1), ("othello", 40, 3), ("hex", 40, 1)),
    ),
)
def test_the_image_of_a_game_is_the_game_of_the_images(name: str, num_moves: int, count: int) -> None:
    """Step and mirror commute: observations, legal moves, players, rewards and ends; after the end nothing changes."""
    rules = game(name)
    assert len({m.tobytes() for _, m in rules.symmetries}) == len(rules.symmetries) == count
    obs, player, told = played(rules, num_moves, 6, 0)
    assert not player.any()
    for i, (cells, moves) in enumerate(rules.symmetries, start=1):
        np.testing.assert_array_equal(np.sort(cells), np.arange(cells.size))
        np.testing.assert_array_equal(obs[i].reshape(6, -1), obs[0].reshape(6, -1)[:, cells])
        there = told["obs"][i].reshape(6, num_moves, -1)
        np.testing.assert_array_equal(there, told["obs"][0].reshape(6, num_moves, -1)[..., cells])
        np.testing.assert_array_equal(told["legal"][i], told["legal"][0][..., moves])
        np.testing.assert_array_equal(moves[told["action"][i]], told["action"][0])
        for what in ("player", "reward", "terminated"):
            np.testing.assert_array_equal(told[what][i], told[what][0])
    before = np.concatenate([np.zeros_like(told["terminated"][0][:, :1]), told["terminated"][0][:, :-1]], 1)
    assert not told["reward"][0][before].any()
    late = np.argwhere(before)
    for g, t in late[:50]:
        np.testing.assert_array_equal(told["obs"][0][g, t], told["obs"][0][g, t - 1])
        assert told["player"][0][g, t] == told["player"][0][g, t - 1]
    assert told["legal"][0].any(-1).all()


def line(cells: dict[tuple[int, int], int], row: int, column: int) -> bool:
    """Say whether four stones of one colour are in a line through a cell."""
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        count = 1
        for sign in (-1, 1):
            at = row + sign * down, column + sign * right
            while cells.get(at) == cells[row, column]:
                count, at = count + 1, (at[0] + sign * down, at[1] + sign * right)
        if count >= 4:
            return True
    return False


def test_connect_four_is_the_game_in_plain_python() -> None:
    """Legal moves, the ends and the rewards of 300 random games; the mover is paid, and a draw pays nobody."""
    rules = game("connect_four")
    choice = np.random.default_rng(1).random((300, 43)).astype(np.float32)
    same = np.arange(7)
    _, _, told = jax.device_get(jax.jit(jax.vmap(lambda u: random_games(rules, same, u)))(choice))
    seen = set()
    for g in range(300):
        cells: dict[tuple[int, int], int] = {}
        for t in range(42):
            column = int(told["action"][g, t])
            row = sum(c == column for _, c in cells)
            assert row < 6
            cells[row, column] = t % 2
            won, full = line(cells, row, column), len(cells) == 42
            assert told["reward"][g, t] == won
            assert told["terminated"][g, t] == (won or full)
            if won or full:
                seen.add((won, t % 2))
                break
            assert told["player"][g, t] == (t + 1) % 2
            free = [sum(c == column for _, c in cells) < 6 for column in range(7)]
            np.testing.assert_array_equal(told["legal"][g, t], free)
            mine = {(5 - r, c) for (r, c), who in cells.items() if who == (t + 1) % 2}
            assert {tuple(x) for x in np.argwhere(told["obs"][g, t, ..., 0])} == mine
    assert {(True, 0), (True, 1)} <= seen


# --- against an opponent -------------------------------------------------------------------------------------


def against_random(rules: Game, games: int, num_moves: int) -> tuple[np.ndarray, np.ndarray]:
    """Play both sides at random: our seats and our returns, [games]; at each of our turns it is our turn."""
    env = Versus(rules)

    def one(key: Any) -> Any:
        k_reset, k_run = jax.random.split(key)
        state, _ = env.reset(k_reset)

        def body(carry: Any, key: Any) -> Any:
            state, over, total, ours = carry
            ours &= over | (rules.player(state.game) == state.seat)
            k_act, k_step = jax.random.split(key)
            action = jax.random.categorical(k_act, jnp.where(env.legal(state), 0.0, -jnp.inf))
            after, t = env.step(state, action, k_step)
            total = total + jnp.where(over, 0, t.reward)
            state = jax.tree.map(lambda x, y: jnp.where(over, x, y), state, after)
            return (state, over | t.terminated, total, ours), None

        first = state, jnp.bool_(False), jnp.float32(0), jnp.bool_(True)
        (_, over, total, ours), _ = jax.lax.scan(body, first, jax.random.split(k_run, num_moves))
        return state.seat, total, over & ours

    seat, total, right = jax.device_get(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(3), games)))
    assert right.all()
    return seat, total


def held(share: float, probability: float, count: int) -> bool:
    return abs(share - probability) < SIGMAS * np.sqrt(probability * (1 - probability) / count)


def test_random_play_against_random_wins_with_its_exact_probability() -> None:
    """From both seats; the probabilities are those of the enumeration: 0.585, 0.288, 0.127."""
    first, second, draw = results(tic_tac_toe(), 1)
    np.testing.assert_allclose((first, second, draw), (0.5849, 0.2881, 0.1270), atol=1e-4)
    seat, total = against_random(game("tic_tac_toe"), 4000, 5)
    assert held(float((seat == 0).mean()), 0.5, 4000)
    for who, wins, loses in ((0, first, second), (1, second, first)):
        mine = total[seat == who]
        assert held(float((mine == 1).mean()), wins, len(mine))
        assert held(float((mine == -1).mean()), loses, len(mine))
        assert held(float((mine == 0).mean()), draw, len(mine))


def ends_at_random(owner: tuple[int, ...], mover: int) -> np.ndarray:
    """Return the exact probabilities that who began wins, loses, draws, by recursion over the rules in plain Python."""
    free = [i for i, x in enumerate(owner) if x < 0]
    if not free:
        lead = owner.count(0) - owner.count(1)
        return np.array([lead > 0, lead < 0, lead == 0], float)
    out = np.zeros(3)
    for cell in free:
        again = cell in (0, CELLS - 1)
        after = (*owner[:cell], mover, *owner[cell + 1 :])
        out += ends_at_random(after, mover if again else 1 - mover) / len(free)
    return out


def test_a_player_who_moves_twice_is_waited_for() -> None:
    """Our double moves and the opponent's, also the one with which it begins: against an exact recursion."""
    win, lose, draw = ends_at_random((-1,) * CELLS, 0)
    seat, total = against_random(Ends(), 4000, CELLS)
    for who, expected in ((0, (win, lose, draw)), (1, (lose, win, draw))):
        mine = total[seat == who]
        for value, p in zip((1, -1, 0), expected, strict=True):
            assert held(float((mine == value).mean()), p, len(mine))


def test_the_random_opponent_takes_each_legal_move_as_often() -> None:
    class Few(Ends):
        def legal(self, state: Any) -> Any:
            return jnp.array([True, False, True, True])

    drawn = jax.vmap(lambda key: uniform(Few(), None, key))(jax.random.split(jax.random.key(0), 3000))
    count = np.bincount(drawn, minlength=CELLS)
    assert count[1] == 0
    assert all(held(count[i] / 3000, 1 / 3, 3000) for i in (0, 2, 3))


# --- as environments -----------------------------------------------------------------------------------------


def test_a_users_game_goes_the_same_way() -> None:
    """Its name, players, legal moves and states, in a batch; two of one name are one."""
    env = make(Ends(), 3)
    assert isinstance(env, Vec)
    assert (env.players, env.name) == (2, "Ends")
    state, obs = env.reset(jax.random.key(0))
    assert obs.shape == (3, CELLS, 2)
    np.testing.assert_array_equal(env.legal(state), np.ones((3, CELLS)))
    np.testing.assert_array_equal(env.world(state).mover, np.zeros(3))
    assert env.single.board(jax.tree.map(lambda x: x[0], env.world(state))) == ". . . ."  # pyright: ignore
    assert Ends() == Ends() != Ends("Other")
    assert hash(Ends()) == hash(Ends())
    assert Versus(Ends()) == Versus(Ends()) != Versus(Ends("Other"))
    assert identity(Ends()) == "custom:toy_games.Ends(name='Ends')"
    assert identity(Versus(Ends())) == identity(Versus(Ends())) != identity(Versus(Ends("Other")))
    assert [is_game(x) for x in (Ends(), Versus(Ends()), env, make(Versus(Ends()), 2))] == [
        True,
        False,
        True,
        False,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pgx:tic_tac_toe?opponent=random", "pgx:connect_four"])
def test_ids_pass_the_checks(name: str) -> None:
    assert check_env(name, 3, 128) == []


def test_a_state_holds_neither_observation_nor_rewards() -> None:
    """What a search copies: in Connect Four 285 bytes, as Pgx keeps it, less 84 of the observation."""
    rules = game("connect_four")
    state = jax.eval_shape(lambda key: rules.reset(key)[0], jax.random.key(0))
    assert state.rules.observation is None
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    raw = jax.eval_shape(rules.env.init, jax.random.key(0))
    assert size == sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(raw)) - 84 + 4  # and who began


@pytest.mark.parametrize("name", ["othello", "hex", "go_5x5", "go_9x9", "go_19x19"])
def test_games_can_be_looped(name: str) -> None:
    """The types of states and answers are the same before and after a step."""
    rules = game(name)
    state, obs = jax.eval_shape(rules.reset, jax.random.key(0))
    after, t = jax.eval_shape(rules.step, state, jnp.int32(0), jax.random.key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), after
    )
    assert t.obs.shape == obs.shape == rules.observation_space.shape
    assert jax.eval_shape(rules.legal, state).shape == (rules.action_space.n,)  # pyright: ignore


def test_boards_are_drawn_with_the_beginners_stones_as_x() -> None:
    rules = game("tic_tac_toe")
    step, (state, _) = jax.jit(rules.step), rules.reset(jax.random.key(0))
    for move in (4, 0, 8):
        assert rules.board(state).count("x") - rules.board(state).count("o") in (0, 1)
        state, _ = step(state, jnp.int32(move), jax.random.key(0))
    assert rules.board(state) == "o . .\n. x .\n. . x"


def test_options_of_go_belong_to_its_name() -> None:
    rules = game("go_5x5?komi=0.5")
    assert rules.name == "go_5x5?komi=0.5"
    assert rules != game("go_5x5")
    assert rules.env._game.komi == 0.5
    assert len(rules.symmetries) == 7
    assert make("pgx:go_5x5?komi=0.5&opponent=random", 1).name == "go_5x5?komi=0.5?opponent=random"


# --- errors --------------------------------------------------------------------------------------------------


def test_names_and_options_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match="did you mean 'connect_four'"):
        canonical("pgx:conect_four")
    with pytest.raises(ConfigError, match="did you mean 'random'"):
        make("pgx:tic_tac_toe?opponent=randm", 1)
    with pytest.raises(ConfigError, match="no option komi"):
        make("pgx:tic_tac_toe?komi=1", 1)


def test_without_pgx_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'swingup\[games\]'"):
        make("pgx:gardner_chess", 1)


def test_an_algorithm_that_plays_alone_refuses_a_game() -> None:
    """Wherever it is given one: by name, with settings, as an object, and in the driver."""
    cure = r"is a game for two, and PPO plays alone: .*'pgx:tic_tac_toe\?opponent=random'"
    for algo in ("ppo", swingup.PPO()):
        with pytest.raises(ConfigError, match=cure):
            swingup.train(algo, "tic_tac_toe", env_steps=10_000)
    with pytest.raises(ConfigError, match=cure):
        presets.defaults("ppo", "pgx:tic_tac_toe")
    with pytest.raises(ConfigError, match=r"komi=1&opponent=random'"):
        presets.defaults("dqn", "pgx:go_5x5?komi=1")
    with pytest.raises(ConfigError, match=cure):
        driver.init(swingup.PPO(), make("pgx:tic_tac_toe", swingup.PPO().num_envs), [0])
    with pytest.raises(ConfigError, match=r"Ends is a game for two, .*swingup.envs.games.Versus\(game\)"):
        swingup.train(swingup.PPO(), Ends(), env_steps=10_000)


def test_nothing_of_pgx_is_imported_before_a_game_is_opened() -> None:
    """Not by the package, not for the list of ids, nor to refuse a wrong one."""
    code = (
        "import sys, swingup.envs, swingup.cli.look_up as look\n"
        "assert {'env': 'pgx:hex', 'suite': 'pgx'} in look.envs()\n"
        "assert swingup.envs.canonical('hex') == 'pgx:hex' and swingup.envs.is_game('hex')\n"
        "assert 'pgx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=200)
