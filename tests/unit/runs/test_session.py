"""A session is tested: what is checked before training, what is saved whatever happens, how it is evaluated."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

import swingup
from conftest import late, same_bits, small
from swingup import files, runs
from swingup.envs import make
from swingup.envs.games import Versus
from swingup.errors import ConfigError, OutputError
from swingup.runs import checkpoint, claims, evaluation, experiment, outline
from swingup.runs.evaluation import UNENDED, EvaluationWarning, evaluator, full_games
from swingup.runs.log import CSVLog
from swingup.training import driver
from swingup.training.callbacks import Checkpoint, StopOnSignal, Stopped

ALGO = {"num_envs": 2, "num_steps": 4, "num_minibatches": 1, "epochs": 1, "hidden": (4,)}
COUNT: dict[str, int] = {}


class Robot(gymnasium.Env):
    """Counts what is done to all of its kind; episodes of five env steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        self._count("made")

    def _count(self, what: str) -> None:
        COUNT[what] = COUNT.get(what, 0) + 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._count("reset")
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self._count("step")
        self.t += 1
        return np.zeros(1, np.float32), float(action), False, self.t >= 5, {}

    def close(self):
        self._count("closed")


class Line(gymnasium.Env):
    """The observation is how old the episode is; it ends after ten env steps. It writes down what happens to it."""

    observation_space = gymnasium.spaces.Box(0, 100, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self):
        self.t, self.log = 0, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self.log.append(0)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        self.log.append(self.t)
        return np.array([self.t], np.float32), 1.0, False, self.t >= 10, {}


class Long:
    """A device environment whose episodes last `n` env steps, with a reward of 1 in the last one."""

    name = "Long"
    observation_space = swingup.Box.of(0, 1, (1,))
    action_space = swingup.Discrete(2)

    def __init__(self, n: int):
        self.n = n

    def reset(self, key):
        return jnp.int32(0), jnp.zeros(1)

    def step(self, t, action, key):
        t = t + 1
        over = t >= self.n
        return t, swingup.Transition(jnp.ones(1) * t / self.n, over * 1.0, over, jnp.bool_(False))


def train(env: Any, **how: Any) -> swingup.Run:
    given: dict[str, Any] = {"env_steps": 32, "episodes": 2} | how
    return swingup.train(swingup.PPO(**ALGO), env, **given)


# --- what is done to environments


def test_every_environment_is_closed_and_loading_moves_none(tmp_path: Path) -> None:
    COUNT.clear()
    train(Robot, out=tmp_path / "run", eval_interval=2, episodes=3)
    assert COUNT["made"] == COUNT["closed"] > 0
    COUNT.clear()
    run = swingup.load(tmp_path / "run", env=Robot)
    run.policy(np.zeros(1))
    assert COUNT == {"made": 2, "closed": 2}  # one to learn shapes from, one for its spaces
    run.evaluate(2)
    assert COUNT["made"] == COUNT["closed"]
    COUNT.clear()
    runs.resume(tmp_path / "run", env=Robot, env_steps=40)
    assert COUNT["made"] == COUNT["closed"]


def test_environments_are_closed_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("stop")

    monkeypatch.setattr(CSVLog, "_append", broken)
    COUNT.clear()
    with pytest.raises(RuntimeError, match="stop"):
        train(Robot)
    assert COUNT["made"] == COUNT["closed"] > 0


@pytest.mark.parametrize("eval_interval", late([0, 1, 3], 1))
def test_an_evaluation_never_steps_the_environment_that_trains(eval_interval: int) -> None:
    """One object is passed: its own stream of episodes is 0, 1, ..., 10, 0, 1, ... whoever evaluates beside it."""
    env = Line()
    algo = swingup.PPO(num_envs=1, num_steps=7, num_minibatches=1, epochs=1, hidden=(4,))
    run = swingup.train(algo, env, env_steps=7 * 6, eval_interval=eval_interval, episodes=2)
    assert [x for x in env.log if x] == [i % 10 + 1 for i in range(42)]
    np.testing.assert_array_equal(run.final_return, [10.0])
    assert np.nanmax(run.metrics["ep/length"]) == 10


class Welded(Line):
    """It cannot be copied."""

    def __deepcopy__(self, memo):
        raise TypeError("welded to the floor")


def test_an_object_that_cannot_be_copied_is_refused_before_training_or_used_after_it() -> None:
    algo = swingup.PPO(num_envs=1, num_steps=7, num_minibatches=1, epochs=1, hidden=(4,))
    env = Welded()
    with pytest.raises(ConfigError, match="cannot be copied"):
        swingup.train(algo, env, env_steps=21, eval_interval=1)
    assert env.log == []
    run = swingup.train(algo, env, env_steps=21, episodes=2)  # the evaluation comes after the training
    np.testing.assert_array_equal(run.final_return, [10.0])


@pytest.mark.parametrize("num_envs", late([2, 3], 3))
def test_a_vector_environment_is_evaluated_in_rounds_of_its_size(num_envs: int, tmp_path: Path) -> None:
    env = gymnasium.vector.SyncVectorEnv([Line] * num_envs)
    algo = swingup.PPO(num_envs=num_envs, num_steps=4, num_minibatches=1, epochs=1, hidden=(4,))
    run = swingup.train(algo, env, env_steps=32, episodes=7, out=tmp_path / "run")
    assert run.result["evaluation"]["episodes"] == 7
    np.testing.assert_array_equal(run.final_return, [10.0])


# --- evaluation


def test_long_episodes_are_played_to_their_end() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", EvaluationWarning)
        run = swingup.train(
            swingup.PPO(**ALGO | {"num_steps": 12_500}), Long(12_000), env_steps=25_000, episodes=2
        )
    np.testing.assert_array_equal(run.final_return, [1.0])
    assert run.result["evaluation"]["length"] == [12_000.0]
    assert run.result["evaluation"]["limit"] is None


def test_a_limit_is_an_option_and_cut_episodes_are_counted(tmp_path: Path) -> None:
    with pytest.warns(EvaluationWarning, match="2 of 2 episodes .* were cut after 5 env steps"):
        run = train(Long(12), eval_limit=5, out=tmp_path / "run")
    assert run.result["evaluation"]["cut"] == [2]
    assert run.result["evaluation"]["limit"] == 5
    np.testing.assert_array_equal(run.final_return, [0.0])
    assert experiment.read_config(tmp_path / "run", Long(12)).eval_limit == 5
    assert run.evaluate(2, limit=20).returns.tolist() == [[1.0, 1.0]]


def test_an_episode_that_never_ends_is_cut_with_a_word() -> None:
    """None ended in training, so there is a limit; it is reported and warned about."""
    with pytest.warns(EvaluationWarning, match=f"were cut after {UNENDED:,} env steps"):
        run = train(Long(10**9))
    assert run.result["evaluation"]["cut"] == [2]
    assert run.result["evaluation"]["limit"] == UNENDED
    assert run.result["evaluation"]["length"] == [UNENDED]


def test_an_evaluation_that_goes_on_says_so_and_can_be_stopped() -> None:
    run = train(Long(12))

    class Enough(Exception):
        pass

    def pause():
        if seen:
            raise Enough

    with evaluator(run.experiment) as judge:
        judge._envs[judge.size] = make(Long(10**9), judge.size)  # what it was trained on did end
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with pytest.raises(Enough):
                judge.play(run.state, "test", judge.size, pause=pause)
    assert "go on after" in str(seen[0].message)


def test_greedy_and_stochastic_differ_where_the_policy_is_random() -> None:
    """An untrained policy on a reward for action 1: greedy gives 0 or 5, its own noise something between."""
    run = train(Robot, episodes=20)
    noisy = run.result["evaluation"]["stochastic"]
    assert run.final_return[0] in (0.0, 5.0)
    assert 0 < noisy["return"][0] < 5  # false with probability 2 ** -100
    again = run.evaluate(20, greedy=False)
    np.testing.assert_allclose(again.returns.mean(1), noisy["return"])
    np.testing.assert_array_equal(run.evaluate(20).returns.mean(1), run.final_return)


def test_games_for_two_are_judged_against_an_opponent_that_never_changes() -> None:
    """It sees a win and a loss one move ahead; where moves are many, it plays at random."""
    assert full_games("pgx:tic_tac_toe") == "pgx:tic_tac_toe?opponent=tactical"
    assert full_games("pgx:go_9x9?komi=5.5") == "pgx:go_9x9?komi=5.5&opponent=random"
    assert full_games("pgx:tic_tac_toe?opponent=random") == "pgx:tic_tac_toe?opponent=random"
    game = make("pgx:connect_four", 1).single
    assert full_games(game) == full_games(make(game, 3)) == Versus(game, "tactical")  # type: ignore[arg-type]
    assert make(full_games("pgx:connect_four"), 2).single == Versus(game, "tactical")  # type: ignore[arg-type]


def test_atari_is_judged_by_whole_games(monkeypatch: pytest.MonkeyPatch) -> None:
    lives = "gymnasium:ALE/Breakout-v5?episodic_life=true&repeat_action_probability=0.25"
    assert full_games(lives) == "gymnasium:ALE/Breakout-v5?repeat_action_probability=0.25"
    assert full_games("gymnasium:ALE/Breakout-v5?episodic_life=true") == "gymnasium:ALE/Breakout-v5"
    assert full_games("CartPole-v1") == "gymnax:CartPole-v1"
    opened = []

    @contextlib.contextmanager
    def opening(env: Any, *_: Any, **__: Any) -> Any:
        opened.append(env)
        yield None

    monkeypatch.setattr(evaluation, "opened", opening)
    with evaluator(experiment.Experiment(small("ppo"), lives, 1000, (0,))):
        assert opened == ["gymnasium:ALE/Breakout-v5?repeat_action_probability=0.25"]


# --- observations that a policy takes


def test_policy_takes_what_the_environment_gives() -> None:
    run = train(Robot)
    for obs in (np.zeros(1), [0.0], np.zeros(1, np.float64), np.float32([0]), jnp.zeros(1), [0]):
        assert run.policy(obs).shape == ()
    assert run.policy(np.zeros((3, 1))).shape == (3,)
    for wrong in (
        np.zeros(4),
        0.0,
        [[0.0, 1.0]],
        "left",
        None,
        {"observation": [0.0]},
        [[0.0], [0.0, 1.0]],
        [1j],
    ):
        with pytest.raises(ConfigError, match="observation"):
            run.policy(wrong)
    with pytest.raises(ConfigError, match="no seed 7 in this run; it has 0"):
        run.policy(np.zeros(1), seed=7)


def test_dictionaries_of_goals_become_the_vector_that_was_trained_on() -> None:
    space = swingup.Box.of(-1, 1, (5,), goal=2)
    obs = {"observation": [0.5], "achieved_goal": np.array([0.1, 0.2]), "desired_goal": np.array([0.3, 0.4])}
    batch, single = outline.as_batch(obs | {"time": 3}, space)
    assert single
    np.testing.assert_allclose(batch, [[0.1, 0.2, 0.3, 0.4, 0.5]], rtol=1e-6)
    many, single = outline.as_batch({name: np.stack([x] * 3) for name, x in obs.items()}, space)
    assert not single
    np.testing.assert_array_equal(many, np.repeat(batch, 3, 0))
    del obs["achieved_goal"]
    with pytest.raises(ConfigError, match="achieved_goal"):
        outline.as_batch(obs, space)


def test_policy_takes_whole_numbers_only_for_states() -> None:
    run = swingup.train(small("q_learning"), "tabular:Grid", env_steps=16, episodes=2)
    assert run.policy(3) == run.policy(np.int64(3)) == run.policy(3.0)
    assert run.policy([0, 1, 2]).shape == (3,)
    with pytest.raises(ConfigError, match="whole numbers"):
        run.policy(0.5)


# --- directories


def test_a_directory_has_one_writer(tmp_path: Path) -> None:
    with (
        claims.locked(tmp_path),
        pytest.raises(OutputError, match="is in use: another process"),
        claims.locked(tmp_path),
    ):
        pass
    with claims.locked(tmp_path):  # free again
        pass


def test_config_is_written_by_one_of_many(tmp_path: Path) -> None:
    claims.write_new(tmp_path / "config.json", b"first")
    with pytest.raises(FileExistsError):
        claims.write_new(tmp_path / "config.json", b"second")
    assert (tmp_path / "config.json").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["config.json"]


def test_without_links_a_new_file_is_still_exclusive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise PermissionError("this file system has no links")

    monkeypatch.setattr(os, "link", none)
    test_config_is_written_by_one_of_many(tmp_path)


TWO = """
import sys, swingup
algo = swingup.PPO(num_envs=2, num_steps=4, num_minibatches=1, epochs=1, hidden=(4,))
try:
    run = swingup.train(algo, "CartPole-v1", env_steps=64, episodes=2, seeds=[int(sys.argv[1])], out="run")
    print("trained", run.experiment.seeds)
except swingup.SwingupError as error:
    print("refused", error)
"""


@pytest.mark.slow
def test_of_two_processes_one_gets_the_directory(tmp_path: Path) -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", TWO, str(i)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    said = sorted(process.communicate()[0] for process in both)
    assert "is in use" in said[0] or "holds a run" in said[0]
    assert said[1].startswith("trained")
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]
    assert len({row.split(",")[0] for row in rows}) == 1
    seeds = json.loads((tmp_path / "run" / "config.json").read_text())["seeds"]
    assert f"({seeds[0]},)" in said[1]


def test_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    run = train("CartPole-v1", out="~/run", env_steps=400)
    run.save("~/copy")
    assert same_bits(swingup.load("~/copy").state, swingup.load("~/run").state)
    runs.resume("~/run", env_steps=408)
    from swingup.plots.curves import plot

    plot(["~/run"], "~/picture.png")
    assert sorted(os.listdir(tmp_path)) == ["home"]
    assert {"run", "copy", "picture.png"} <= set(os.listdir(tmp_path / "home"))
    with pytest.raises(OutputError, match="~nobody-by-this-name"):
        files.home("~nobody-by-this-name/x")


def test_another_environment_is_refused(tmp_path: Path) -> None:
    """A saved run refuses its own class of environment with another argument, another class, and an id."""
    train(Long(12), out=tmp_path / "own")
    swingup.load(tmp_path / "own", env=Long(12))
    for other in (Long(13), Line, "CartPole-v1"):
        with pytest.raises(ConfigError, match=r"was trained on custom:.*Long.*, and env is"):
            swingup.load(tmp_path / "own", env=other)
    with pytest.raises(ConfigError, match="was trained on"):
        runs.resume(tmp_path / "own", env=Long(13))


# --- the unfinished log window


def test_a_window_of_any_size_is_saved_and_goes_on(tmp_path: Path) -> None:
    """More numbers than 4 MB of JSON could hold; NaN and the dtypes come back to the bit."""
    window = {
        "ep/count": np.arange(40 * 20_000, dtype=np.int32).reshape(40, -1),
        "ep/return": np.where(np.arange(800_000).reshape(40, -1) % 3, np.float32(1 / 3), np.float32(np.nan)),
    }
    state = {"a": jnp.arange(3)}
    checkpoint.save(tmp_path, state, step=1, meta={}, extra=window)
    loaded, manifest = checkpoint.load(tmp_path, state)
    assert same_bits(loaded, state)
    assert manifest["extra"].keys() == window.keys()
    for name, x in window.items():
        assert manifest["extra"][name].dtype == x.dtype
        np.testing.assert_array_equal(manifest["extra"][name], x)


def test_a_run_resumed_off_its_log_points_writes_the_same_rows(tmp_path: Path) -> None:
    """Rows every 4 iterations, stopped after 26: the window of two goes through the file, and through a copy of it.

    One that is killed goes on from its last checkpoint, in which the log has its iterations too; the row that it had
    written since is written again.
    """
    how: dict[str, Any] = {"env_steps": 400, "log_interval": 4, "checkpoint_interval": 3, "seeds": 2}
    whole = train("CartPole-v1", out=tmp_path / "whole", **how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopOnSignal, "__call__", stop_after(26))
        with pytest.raises(Stopped):
            train("CartPole-v1", out=tmp_path / "stopped", **how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "__call__", killed_at(30))
        with pytest.raises(MemoryError):
            train("CartPole-v1", out=tmp_path / "killed", **how)
    e = experiment.read_config(tmp_path / "stopped")
    manifest = checkpoint.load(tmp_path / "stopped" / "checkpoints", outline.shapes(e))[1]
    assert manifest["extra"]["ep/count"].shape == (2, manifest["step"] % 4)
    loaded = swingup.load(tmp_path / "stopped")
    loaded.save(tmp_path / "copy")
    assert loaded.iteration == manifest["step"]
    assert loaded.seconds > 0
    names = "stopped", "copy", "killed"
    again, *others = (runs.resume(tmp_path / name) for name in names)
    assert same_bits(again.state, whole.state)
    every = whole, again, *others
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in run.rows] for run in every]
    for some in rows[1:]:
        np.testing.assert_equal(some, rows[0])
    digests = [checkpoint.digest(tmp_path / d / "checkpoints") for d in (*names, "whole")]
    assert len(set(digests)) == 1


def killed_at(iteration: int) -> Any:
    """What takes the place of a checkpoint: an end without a word, after the log has written its rows."""
    original = Checkpoint.__call__

    def call(self: Checkpoint, p: Any) -> None:
        if p.iteration >= iteration:
            raise MemoryError
        original(self, p)

    return call


def test_ctrl_c_saves_where_it_stops_and_a_run_its_end(tmp_path: Path) -> None:
    """Where no other checkpoint falls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "SLICE_SECONDS", 0)
        patch.setattr(StopOnSignal, "__call__", stop_after(26))
        with pytest.raises(Stopped) as stopped:
            train(
                "CartPole-v1", out=tmp_path / "run", env_steps=400, log_interval=4, checkpoint_interval=1000
            )
    assert swingup.load(tmp_path / "run").iteration == 26
    assert stopped.value.env_steps == 26 * 8
    runs.resume(tmp_path / "run")
    assert swingup.load(tmp_path / "run").iteration == 50


def stop_after(iteration: int) -> Any:
    """What `StopOnSignal` does when a signal comes at an iteration that is no log point."""
    original = StopOnSignal.__call__

    def call(self: StopOnSignal, p: Any) -> None:
        if p.iteration >= iteration and p.iteration % 4 and p.iteration < p.iterations:
            self.signum = signal.SIGINT
        original(self, p)

    return call
