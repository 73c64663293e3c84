"""The arena and the game in the terminal as a user meets them: outputs, files and messages."""

import io
import json
from pathlib import Path
from typing import Any

import jax
import pytest

from conftest import command, same_bits, small
from swingup.arena.players import game_played, player
from swingup.envs import make
from swingup.runs import load
from swingup.runs.experiment import Experiment, write_config
from swingup.runs.record import save_state
from swingup.training import driver

FOUR = ["--game", "pgx:connect_four", "--openings", "3"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learnt nothing: what is saved where it begins."""
    out, algo = tmp_path_factory.mktemp("runs") / "run", small("alphazero", simulations=2)
    experiment = Experiment(algo, "pgx:tic_tac_toe", 1000, (3, 7))
    out.mkdir()
    write_config(experiment, out, new=True)
    state = driver.init(algo, make("pgx:tic_tac_toe", algo.num_envs), [3, 7])
    save_state(experiment, out, state, 1, 0.0, {})
    return out


def test_referees_meet_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "match.json"
    code, out, _ = command(capsys, "arena", "random", "minimax:2", *FOUR, "--json", "--out", file)
    assert code == 0
    said = json.loads(out)
    (match,) = said["matches"]
    assert match["players"] == ["random", "minimax:2"]
    assert match["games"] == 6 == match["won"] + match["drawn"] + match["lost"]
    stored = json.loads(file.read_text())
    assert stored["matches"] == said["matches"]
    (games,) = stored["games"]
    assert sum(games["scores"]) == match["score"] * 6
    assert len(games["moves"]) == 6
    for k in range(3):  # both seats of each opening
        assert games["moves"][k][:2] == games["moves"][3 + k][:2]
    code, again, _ = command(capsys, "arena", "random", "minimax:2", *FOUR, "--json")
    assert json.loads(again)["matches"] == said["matches"]
    code, out, _ = command(capsys, "arena", "random", "minimax:2", *FOUR)
    assert "random" in out
    assert "minimax:2" in out


def test_a_run_meets_its_own_network_and_its_mistakes_are_counted(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = command(capsys, "arena", run, f"{run}@network", "--openings", 2, "--json")
    assert code == 0, err
    assert json.loads(out)["matches"][0]["players"] == [str(run), f"{run}@network"]
    code, out, err = command(capsys, "arena", f"{run}@network", "--positions", "--json")
    assert code == 0, err
    assert json.loads(out)[f"{run}@network"]["positions"] == 4520


def test_a_word_names_the_seed_and_the_search(run: Path) -> None:
    """What plays is the network of that seed's row, and searches as far as is said."""
    saved = load(run)
    game = game_played(saved)
    for seed, row in ((None, 0), (3, 0), (7, 1)):
        agent: Any = player(str(run), game, seed)
        row_of = jax.tree.map(lambda x, row=row: x[row], agent.algo.acting(saved.state.learner))
        assert same_bits(agent.learner, row_of)
    both = [player(str(run), game, seed) for seed in (3, 7)]
    assert not same_bits(*[agent.learner for agent in both])  # type: ignore[attr-defined]
    words = {str(run): 2, f"{run}@5": 5, f"{run}@network": 2}
    agents: list[Any] = [player(word, game) for word in words]
    assert [agent.algo.simulations for agent in agents] == list(words.values())


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["random", *FOUR], "a match needs two players"),
        (["random", "random", *FOUR], "random is named twice"),
        (["random", "minmax:4", *FOUR], "did you mean 'minimax'"),
        (["random", "minimax:2"], "no player is a run, so the game must be named: --game pgx:connect_four"),
        (["RUN", "random", *FOUR], "was trained on tic_tac_toe, and the match is played on connect_four"),
        (["RUN@0", "random"], "behind @ stands network, or a number of simulations from 1 on"),
        (["RUN", "random", "--agent", "9"], "has no seed 9; it has 3, 7"),
        (["RUN", "random", "--openings", "0"], "a match needs at least 1 opening"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_the_arena_refuses(
    args: list[str], says: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = command(capsys, "arena", *(a.replace("RUN", str(run)) for a in args))
    assert code == 2
    assert says in " ".join(err.split())
    assert "Traceback" not in err


def test_a_person_plays_against_a_run(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("b2\nhint\n"))
    code, out, err = command(capsys, "play", run, "--simulations", 1)
    assert code == 0, err
    assert "You are x and begin" in out
    assert "agent: " in out
    code, _, err = command(capsys, "play", run, "--simulations", 0)
    assert code == 2
    assert "a number of simulations from 1 on" in err
