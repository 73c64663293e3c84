"""A match is two players, openings that both play from both seats, and what came of it.

Deterministic players repeat themselves: a thousand games of two of them may be two games. So games begin with random
moves, drawn from a seed; each opening is played twice, with seats exchanged; and what is reported counts the games that
differ. A player who is lucky with an opening is unlucky with it once.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from swingup.arena.players import Player, Positions
from swingup.envs.games import Game, first, moved
from swingup.errors import ConfigError
from swingup.statistics import mean_ci, wilson

LONGEST = 1000  # moves after which a game counts as drawn


class Result(NamedTuple):
    """A match has `2 n` games; games i and n + i have the same opening."""

    names: tuple[str, str]
    scores: np.ndarray  # [2, n] of the first player: 1, 0.5 or 0; row 0 where it had the first seat
    moves: list[tuple[int, ...]]  # of all games: those of row 0, then those of row 1

    @property
    def distinct(self) -> int:
        """Count the games that differ."""
        return len(set(self.moves))

    @property
    def counts(self) -> tuple[int, int, int]:
        """Count the games that the first player won, drew and lost."""
        return int((self.scores == 1).sum()), int((self.scores == 0.5).sum()), int((self.scores == 0).sum())


def play(
    game: Game,
    players: tuple[Player, Player],
    openings: int,
    *,
    random_moves: int = 2,
    seed: int = 0,
    watch: Callable[[int, int], None] = lambda done, games: None,
) -> Result:
    """Each of `openings` random openings of `random_moves` moves, from both seats. Equal seeds give equal openings.

    `watch` is called after each round of moves with how many games have ended, and how many there are. Raises
    `ConfigError` for numbers that make no match.
    """
    if openings < 1 or random_moves < 0:
        raise ConfigError("a match needs at least 1 opening, and 0 or more random moves")
    games, root = 2 * openings, np.random.SeedSequence(seed)
    rngs = [np.random.default_rng(s) for s in root.spawn(openings)]
    theirs = [np.random.default_rng(s) for s in np.random.SeedSequence([seed, 1]).spawn(games)]
    start, look, step = _compiled(game)
    state, obs = start(games)
    moves: list[list[int]] = [[] for _ in range(games)]
    result, running = np.full(games, 0.5), np.ones(games, bool)  # of the first seat
    for played in range(LONGEST):
        legal, mover = jax.device_get(look(state))
        here = jax.device_get((state, obs))  # on the host, rows of any number are no compilation
        action = np.zeros(games, np.int32)
        early = running if played < random_moves else np.zeros_like(running)
        for k in np.flatnonzero(early[:openings]):  # the two games of an opening are one game so far
            action[[k, k + openings]] = rngs[k].choice(np.flatnonzero(legal[k]))
        for i, player in enumerate(players):
            seat = np.where(np.arange(games) < openings, i, 1 - i)  # this player's in each game
            rows = np.flatnonzero(running & ~early & (seat == mover))
            if len(rows):
                action[rows] = player.choose(_rows(here, legal, moves, rows), [theirs[k] for k in rows])
        illegal = [k for k in np.flatnonzero(running) if not legal[k, action[k]]]
        if illegal:
            raise ConfigError(f"an illegal move, {action[illegal[0]]}, after {tuple(moves[illegal[0]])}")
        state, obs, reward, ended = step(state, jnp.asarray(action))
        reward, ended = jax.device_get((reward, ended))
        for k in np.flatnonzero(running):
            moves[k].append(int(action[k]))
        beginners = np.where(mover == 0, reward, -reward)
        result = np.where(running & ended, (1 + np.sign(beginners)) / 2, result)
        running &= ~ended
        watch(int((~running).sum()), games)
        if not running.any():
            break
    scores = np.stack([result[:openings], 1 - result[openings:]])
    return Result((players[0].name, players[1].name), scores, [tuple(m) for m in moves])


def _rows(here: Any, legal: np.ndarray, moves: list[list[int]], rows: np.ndarray) -> Positions:
    state, obs = jax.tree.map(lambda x: x[rows], here)
    return Positions(state, obs, legal[rows], [tuple(moves[k]) for k in rows])


@cache
def _compiled(game: Game) -> tuple[Callable, Callable, Callable]:
    """Return what starts `games` games, what looks at games, and what moves in each; compiled once for a game."""

    @partial(jax.jit, static_argnums=0)
    def start(games: int) -> tuple[Any, Any]:
        return jax.vmap(lambda _: first(game))(jnp.arange(games))

    @jax.jit
    def look(state: Any) -> tuple[Any, Any]:
        return jax.vmap(game.legal)(state), jax.vmap(game.player)(state)

    @jax.jit
    def step(state: Any, action: Any) -> tuple:
        after, t = jax.vmap(partial(moved, game))(state, action)
        return after, t.obs, t.reward, t.terminated | t.truncated

    return start, look, step


def score_interval(result: Result) -> tuple[float, float, float]:
    """Return the first player's score per game, with a 95 % interval over openings: pairs of games are independent.

    It is Student's t over the means of pairs. Where all pairs agree there is no spread to go by: then it is Wilson's
    with one trial for each pair.
    """
    pairs = result.scores.mean(0)
    mean = float(pairs.mean())
    low, high = (
        mean_ci(pairs) if len(pairs) >= 3 and np.ptp(pairs) > 0 else wilson(mean * len(pairs), len(pairs))
    )
    return mean, max(0.0, low), min(1.0, high)


def elo(names: Sequence[str], wins: np.ndarray, anchor: int = 0) -> np.ndarray:
    """Find the ratings [P] under which all scores are most likely; the anchor's is 0 (Elo 1978; Hunter 2004).

    `wins[i, j]` is what i scored against j, a draw counts half. The probability that i beats j is
    1 / (1 + 10^((R_j - R_i) / 400)). One more game, drawn, against everybody met keeps ratings finite. The recursion is
    Hunter's, with γ = 10^(R / 400):

        γ_i <- Σ_j w_ij / Σ_j (n_ij / (γ_i + γ_j))

    >>> elo(["a", "b"], np.array([[0, 25.0], [75, 0]])).round(0)
    array([  0., 189.])
    """
    n = wins + wins.T
    met = n > 0
    w = wins + 0.5 * met
    n = n + met
    gamma = np.ones(len(names))
    for _ in range(10_000):
        new = w.sum(1) / (n / (gamma[:, None] + gamma[None])).sum(1)
        new /= new[anchor]
        if np.allclose(new, gamma, rtol=1e-10, atol=0):
            break
        gamma = new
    return 400 * np.log10(gamma)


def summary(game: Game, names: Sequence[str], results: Sequence[Result]) -> dict[str, Any]:
    """Put all matches in plain values: counts, scores with intervals, and ratings if the first player's is 0."""
    wins, matches = np.zeros((len(names), len(names))), []
    for r in results:
        i, j = map(names.index, r.names)
        wins[i, j], wins[j, i] = r.scores.sum(), r.scores.size - r.scores.sum()
        mean, low, high = score_interval(r)
        n = r.scores.size
        matches.append(
            {
                "players": list(r.names),
                "games": n,
                "distinct": r.distinct,
                **dict(zip(("won", "drawn", "lost"), r.counts, strict=True)),
                "won_interval": list(wilson(r.counts[0], n)),
                "score": mean,
                "interval": [low, high],
                "as_first": float(r.scores[0].mean()),
                "as_second": float(r.scores[1].mean()),
            }
        )
    anchor = min((names.index(x) for x in ("random",) if x in names), default=0)
    ratings = dict(zip(names, elo(names, wins, anchor).round(1).tolist(), strict=True))
    return {"game": game.name, "matches": matches, "elo": ratings, "anchor": names[anchor]}


def told(report: dict[str, Any]) -> str:
    """Tell a summary as text."""
    lines = [f"game        {report['game']}"]
    for m in report["matches"]:
        a, b = m["players"]
        low, high = m["interval"]
        lines += [
            "",
            f"{a} against {b}",
            f"  {m['won']} won, {m['drawn']} drawn, {m['lost']} lost of {m['games']} games, {m['distinct']} distinct",
            f"  score {m['score']:.3f}, 95 % CI over openings [{low:.3f}, {high:.3f}]; "
            f"with the first move {m['as_first']:.3f}, with the second {m['as_second']:.3f}",
        ]
    wide = max(map(len, report["elo"]))
    lines += ["", f"Elo, if that of {report['anchor']} is 0"]
    lines += [
        f"  {name:<{wide}}  {x:+7.0f}" for name, x in sorted(report["elo"].items(), key=lambda x: -x[1])
    ]
    return "\n".join(lines)
