"""The command `arena` lets trained agents, searches and referees meet."""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from swingup.cli.flags import File, Int, Name, Players, parse
from swingup.errors import ConfigError


@dataclass(frozen=True)
class ArenaOptions:
    players: Players
    """two or more: RUN, RUN@256 (simulations), RUN@network (without search), random, minimax:4, mcts:1000, solver"""
    openings: int = 50  # random openings of each match; both players play each from both seats
    random_moves: int = 2  # moves in an opening
    seed: int = 0  # of the openings, and of players that draw their moves
    agent: Int = None  # the training seed of the runs' agents; default: their first
    game: Name = None  # an id such as pgx:connect_four; default: that of the first run
    positions: bool = False  # the share of mistakes on solved positions, of each player, in place of matches
    json: bool = False  # print one JSON object instead
    out: File = None  # a JSON file for every game's moves


def arena(args: list[str]) -> None:
    """Let players meet, and rate them."""
    o = parse(ArenaOptions, "arena", args)
    if len(o.players) < (1 if o.positions else 2):
        raise ConfigError(
            "a match needs two players: run directories, or random, minimax:4, mcts:1000, solver"
        )
    twice = [spec for spec, count in Counter(o.players).items() if count > 1]
    if twice:
        raise ConfigError(
            f"{twice[0]} is named twice, and nobody meets itself: name another player, or the same run with other "
            "simulations (RUN@256) or without search (RUN@network)"
        )
    from swingup.training import machine

    machine.set_up()
    game = _game(o)
    from swingup.arena.players import player

    players = [player(spec, game, o.agent) for spec in o.players]
    if o.positions:
        _positions(o, game, players)
        return
    from swingup.arena import match

    results = []
    for a, b in combinations(players, 2):
        how: dict[str, Any] = {"random_moves": o.random_moves, "seed": o.seed}
        results.append(match.play(game, (a, b), o.openings, watch=_progress(o, a, b), **how))
    report = match.summary(game, [p.name for p in players], results)
    if o.out:
        from swingup import files

        games = [{"players": r.names, "moves": r.moves, "scores": r.scores.ravel().tolist()} for r in results]
        files.write_json(o.out, report | {"random_moves": o.random_moves, "seed": o.seed, "games": games})
    print(json.dumps(report) if o.json else match.told(report))


def _game(o: ArenaOptions) -> Any:
    """Open the game that is played, by its id or as the first run's."""
    from swingup.arena.players import game_played
    from swingup.envs import make
    from swingup.envs.games import game_of
    from swingup.runs import load

    if o.game:
        return game_of(make(o.game, 1))
    for spec in o.players:
        path = spec.partition("@")[0]
        if Path(path).is_dir():
            return game_played(load(path))
    raise ConfigError("no player is a run, so the game must be named: --game pgx:connect_four")


def _progress(o: ArenaOptions, a: Any, b: Any) -> Any:
    def watch(done: int, games: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == games else ""
            print(
                f"\r{a.name} against {b.name}: {done} of {games} games", end=end, file=sys.stderr, flush=True
            )

    return watch


def _positions(o: ArenaOptions, game: Any, players: list[Any]) -> None:
    from swingup.arena import exact

    found = {p.name: exact.mistakes(p, game, o.seed) for p in players}
    print(json.dumps(found) if o.json else exact.told(found))
