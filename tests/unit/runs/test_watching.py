"""A run is watched by trackers and by callbacks of the user: none of them changes a bit that it does not mean to."""

import csv
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import swingup
from conftest import same_bits, small
from swingup import runs
from swingup.envs import make
from swingup.errors import ConfigError
from swingup.runs import checkpoint, session
from swingup.runs.log import CSVLog
from swingup.runs.logged import about, log_of
from swingup.tracking import feed
from swingup.tracking.feed import TrackerWarning
from swingup.tracking.tensorboard import OURS, TensorBoard
from swingup.training import driver
from swingup.training.clock import Clock
from swingup.training.own import Halt, Own

ALGO = small("ppo")  # 64 env steps per iteration
HOW: dict[str, Any] = {
    "env_steps": 12 * 64,
    "seeds": 2,
    "episodes": 2,
    "log_interval": 2,
    "checkpoint_interval": 4,
}
TIMES = ("steps_per_second", "compile_seconds", "run_seconds")


def train(path: Path | None, **how: Any) -> swingup.Run:
    return swingup.train(ALGO, "CartPole-v1", out=path, **HOW | how)


@pytest.fixture(scope="module", autouse=True)
def _no_curves() -> Iterator[None]:
    """Pictures of curves are not what is tested here, and each costs as much as a run."""
    patch = pytest.MonkeyPatch()
    patch.setattr(session, "draw_curve", lambda path: None)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def plain(_no_curves: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of twelve iterations that nobody watched."""
    path = tmp_path_factory.mktemp("runs") / "plain"
    train(path)
    return path


def content(path: Path) -> dict[str, Any]:
    """All that a run has written, without the seconds that it took."""
    with open(path / "metrics.csv", newline="") as file:
        rows = [{n: x for n, x in row.items() if n != "seconds"} for row in csv.DictReader(file)]
    result = json.loads((path / "result.json").read_text())
    names = {p.name for p in path.iterdir()}
    return {
        "digest": checkpoint.digest(path / "checkpoints"),
        "rows": rows,
        "result": {n: x for n, x in result.items() if n not in TIMES},
        "config": (path / "config.json").read_bytes(),
        "outcome": (path / "outcome.json").read_bytes(),
        "names": {n for n in names if "tfevents" not in n},
    }


# --- trackers


class Trouble:
    """A tracker that hangs, or raises, in its first point."""

    def __init__(self, name: str, wait: threading.Event | None):
        self.name, self.wait = name, wait

    def start(self, about: Any) -> None: ...
    def finish(self) -> None: ...
    def log(self, point: Any) -> None:
        if self.wait is None:
            raise ConnectionError("the server is gone")
        self.wait.wait()


def test_trackers_change_no_bit_of_a_run(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them hangs and one raises, and that of the files has every row."""
    monkeypatch.setattr(feed, "PATIENCE", 1.0)
    free = threading.Event()
    trouble = [Trouble("stuck", free), Trouble("raising", None)]
    with pytest.warns(TrackerWarning, match="stuck does not answer|raising has failed") as told:
        train(tmp_path / "r", track=["tensorboard", *trouble])
    free.set()
    assert len(told) == 2
    assert content(tmp_path / "r") == content(plain)
    (file,) = (tmp_path / "r").glob(OURS)
    live = file.read_bytes()
    replay = TensorBoard()
    replay.start(about(tmp_path / "r"))
    for point in log_of(tmp_path / "r"):
        replay.log(point)
    (again,) = (tmp_path / "r").glob(OURS)
    assert again != file
    assert len(again.read_bytes()) == len(live)
    assert live.count(b"charts/episodic_return") == again.read_bytes().count(b"charts/episodic_return") > 3


def test_a_resumed_run_has_one_file_with_everything(tmp_path: Path) -> None:
    train(tmp_path / "r", track="tensorboard", env_steps=6 * 64)
    runs.resume(tmp_path / "r", env_steps=12 * 64, track="tensorboard")
    (file,) = (tmp_path / "r").glob(OURS)
    assert file.read_bytes().count(b"\x0a\x0bglobal_step") == len(log_of(tmp_path / "r")) == 6


def test_nothing_is_trained_with_a_wrong_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'tensorboard'"):
        train(tmp_path / "r", track="tensorbord")
    assert not (tmp_path / "r").exists()
    with pytest.raises(ConfigError, match="pass out="):
        train(None, track="tensorboard")


# --- callbacks


def test_watching_changes_no_bit(plain: Path, tmp_path: Path) -> None:
    seen: list[Any] = []
    callbacks = [lambda p: seen.append(p.iteration), swingup.Every(3, lambda p: seen.append(p.metrics))]
    train(tmp_path / "r", callbacks=callbacks)
    assert content(tmp_path / "r") == content(plain)
    assert [x for x in seen if isinstance(x, int)][-1] == 12
    assert [m["kl"].shape for m in seen if isinstance(m, dict)] == [(2, 3)] * 4


def progress(iteration: int, size: int, iterations: int = 100) -> driver.Progress:
    numbers = np.arange(iteration - size, iteration, dtype=np.float32)
    metrics = {"ep/count": np.ones((2, size), np.float32), "x": np.stack([numbers, -numbers])}
    return driver.Progress(ALGO, None, iteration, iterations, None, metrics, Clock())  # type: ignore[arg-type]


def test_every_shows_all_iterations_whatever_the_chunks() -> None:
    for chunks in ([10, 10, 5], [1, 2, 7, 3, 3, 4, 5], [4, 6, 10, 2, 3]):
        seen: list[tuple[int, list[float]]] = []
        every = swingup.Every(10, lambda p: seen.append((p.iteration, p.metrics["x"][1].tolist())))  # noqa: B023
        done = 0
        for size in chunks:
            done += size
            every(progress(done, size, iterations=25))
        assert seen == [
            (10, [-float(i) for i in range(10)]),
            (20, [-float(i) for i in range(10, 20)]),
            (25, [-float(i) for i in range(20, 25)]),
        ]


def test_the_order_is_that_of_the_list_and_a_column_is_logged(tmp_path: Path) -> None:
    """Evaluations come first, then the user's, then the log."""
    order: list[Any] = []

    def first(p: driver.Progress) -> None:
        order.append(("first", p.iteration, "eval/return" in p.metrics, "own/double" in p.metrics))

    def double(p: driver.Progress) -> Any:
        order.append(("measure", p.iteration))
        return np.array([2.0, 4.0]) * p.iteration

    def last(p: driver.Progress) -> None:
        order.append(("last", p.iteration, "own/double" in p.metrics))

    callbacks = [
        swingup.Every(4, first),
        swingup.Measure("own/double", double, every=4),
        swingup.Every(4, last),
    ]
    run = train(tmp_path / "r", callbacks=callbacks, eval_interval=4)
    assert order[:3] == [("first", 4, True, False), ("measure", 4), ("last", 4, True)]
    assert len(order) == 9
    np.testing.assert_array_equal(run.metrics["own/double"][1], [np.nan, 16, np.nan, 32, np.nan, 48])
    loaded = swingup.load(tmp_path / "r")
    np.testing.assert_array_equal(loaded.metrics["own/double"][0], [np.nan, 8, np.nan, 16, np.nan, 24])
    longer = runs.resume(tmp_path / "r", env_steps=16 * 64)  # without the callback: blank from here on
    np.testing.assert_array_equal(longer.metrics["own/double"][0][-3:], [24, np.nan, np.nan])
    new = swingup.Measure("own/new", lambda p: 0.0, every=1)
    before = (tmp_path / "r" / "metrics.csv").read_bytes()
    with pytest.raises(ConfigError, match="no column own/new"):
        runs.resume(tmp_path / "r", env_steps=20 * 64, callbacks=[new])
    assert (tmp_path / "r" / "metrics.csv").read_bytes() == before


def test_a_measurement_has_a_name_and_a_shape_that_fit() -> None:
    for name in ("", "nonfinite/x", "a,b"):
        with pytest.raises(ConfigError, match="cannot be the name of a metric"):
            swingup.Measure(name, lambda p: 0.0, every=1)
    with pytest.raises(ConfigError, match="column x already"):
        swingup.Measure("x", lambda p: 0.0, every=1)(progress(1, 1))
    with pytest.raises(ConfigError, match=r"one per seed \[2\], not \(3,\)"):
        swingup.Measure("own/x", lambda p: np.zeros(3), every=1)(progress(1, 1))
    for wrong in (0, -1, True, 2.5):
        with pytest.raises(ConfigError, match="whole number from 1 on"):
            swingup.Every(wrong, print)  # type: ignore[arg-type]
    two = [swingup.Measure("own/x", lambda p: 0.0, every=1)] * 2
    with pytest.raises(ConfigError, match="same name"):
        Own(two)
    assert Own(print).callbacks == [print]
    with pytest.raises(ConfigError, match="must be a function of a Progress"):
        Own(["tensorboard"])  # type: ignore[list-item]


# --- ends


class Enough:
    """A callback that ends training after six iterations, by an exception of its own kind."""

    def __init__(self, error: Exception):
        self.error = error

    def __call__(self, p: driver.Progress) -> None:
        if p.iteration == 6:
            raise self.error


def test_an_early_stop_is_a_run_that_finished(plain: Path, tmp_path: Path) -> None:
    """It is saved and evaluated, and says why; resumed, it becomes the run that nobody stopped."""
    stop = swingup.Every(3, Enough(swingup.StopTraining("good enough")))
    run = train(tmp_path / "r", callbacks=[stop])
    assert run.outcome is not None
    assert (run.outcome.kind, run.outcome.reason) == ("finished", "good enough")
    assert run.outcome.env_steps == run.outcome.saved == run.result["env_steps"] == 6 * 64
    assert run.iteration == run.result["iterations"] == 6
    assert run.metrics["iteration"][0].tolist() == [2, 4, 6]
    assert checkpoint.digest(tmp_path / "r" / "checkpoints") != checkpoint.digest(plain / "checkpoints")
    runs.resume(tmp_path / "r")
    assert content(tmp_path / "r") == content(plain)


def test_without_a_directory_it_stops_too() -> None:
    run = train(None, callbacks=[swingup.Every(6, Enough(swingup.StopTraining()))])
    assert run.outcome is not None
    assert run.outcome.reason == "a callback stopped it"
    assert run.final_return.shape == (2,)


def test_a_mistake_in_a_callback_loses_nothing(plain: Path, tmp_path: Path) -> None:
    """It is raised as it is, once the chunk is logged and saved."""
    with pytest.raises(ZeroDivisionError, match="mine"):
        train(tmp_path / "r", callbacks=[swingup.Every(3, Enough(ZeroDivisionError("mine")))])
    assert swingup.load(tmp_path / "r").iteration == 6
    runs.resume(tmp_path / "r")
    assert content(tmp_path / "r") == content(plain)


def test_an_error_before_a_measurement_leaves_the_log_in_order() -> None:
    """Each row has the same columns, also that in which a callback raised before another could measure."""
    own = Own([Enough(ValueError("mine")), swingup.Measure("own/x", lambda p: 1.0, every=1)])
    log = CSVLog(None, [0, 1], 2)
    saved: list[int] = []
    halt = Halt(own, lambda p: saved.append(p.iteration))
    for p in (progress(2, 2), progress(4, 2), progress(6, 2)):
        own(p)
        log(p)
        if p.iteration < 6:
            halt(p)
    with pytest.raises(ValueError, match="mine"):
        halt(progress(6, 2))
    assert saved == [6]
    assert [row["own/x"] for row in log.rows[:4]] == [1.0] * 4
    assert all(np.isnan(row["own/x"]) for row in log.rows[4:])


# --- schedules


def halves(env_steps: int) -> float:
    return 1e-3 if env_steps < 4 * 64 else 5e-4


def test_a_schedule_is_training_in_pieces() -> None:
    """Eight iterations with a rate that halves after four equal four with the one and four with the other."""
    run = train(None, env_steps=8 * 64, callbacks=[swingup.Schedule("lr", halves, every=2)])
    env = make("CartPole-v1", ALGO.num_envs)
    state = driver.init(ALGO, env, [0, 1])
    state = driver.run(ALGO, env, state, 4)
    state = driver.run(type(ALGO)(**vars(ALGO) | {"lr": 5e-4}), env, state, 8, done=4)
    assert same_bits(run.state, state)


def test_a_schedule_is_exact_after_a_resume(tmp_path: Path) -> None:
    """The run is stopped in the middle of one of the schedule's intervals."""
    schedule = swingup.Schedule("lr", halves, every=4)
    whole = train(None, callbacks=[schedule])
    stop = swingup.Every(6, Enough(swingup.StopTraining()))
    train(tmp_path / "r", callbacks=[schedule, stop])
    again = runs.resume(tmp_path / "r", callbacks=[schedule])
    assert same_bits(whole.state, again.state)


@pytest.mark.slow
def test_a_schedule_may_differ_between_seeds() -> None:
    """An array stays one: the seeds of a sweep keep what they had."""
    algo = type(ALGO)(**vars(ALGO) | {"lr": np.array([1e-3, 1e-4])})
    schedule = swingup.Schedule("lr", lambda env_steps: np.array([1e-3, 1e-4]), every=2)
    how = {"env_steps": 4 * 64, "seeds": 2, "episodes": 2}
    one = swingup.train(algo, "CartPole-v1", **how, callbacks=[schedule])
    assert same_bits(one.state, swingup.train(algo, "CartPole-v1", **how).state)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lt", 1.0, "unknown hyperparameter 'lt'; did you mean 'lr'"),
        ("num_steps", 8, "num_steps"),
        ("lr", np.ones(2), "keeps its shape"),
        ("lr", -1.0, "lr"),
        ("target_kl", 0.1, "only a float setting can"),
    ],
)
def test_a_schedule_that_cannot_be(name: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        swingup.Schedule(name, lambda env_steps: value, every=1).settings(ALGO, 0)


def test_a_schedule_of_the_warm_up_counts_its_env_steps() -> None:
    asked: list[int] = []
    schedule = swingup.Schedule("lr", lambda steps: asked.append(steps) or 1e-3, every=5)
    dqn = small("dqn")
    for iteration in (0, 4, 5, 9, 10):
        schedule.settings(dqn, iteration)
    assert asked == [16, 16, 56, 56, 96]


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_on_the_host_it_is_the_same(algo: str) -> None:
    """Environments on the host have a loop of their own, which goes on with the changed settings: no update is lost."""
    setting = small(algo)
    own = Own(
        [
            swingup.Schedule(
                "lr", lambda steps: 0.0 if steps >= 3 * setting.env_steps_per_iteration else 1e-3, every=1
            )
        ]
    )
    finals = []
    for iterations in (4, 6):
        env = swingup.Hosted(make("CartPole-v1", setting.num_envs))
        state = driver.begin(setting, env, [0])
        state = driver.run(setting, env, state, iterations, every=[1], settings=own.settings)
        finals.append(jax.tree.leaves(state.learner.params))
    for a, b in zip(*finals, strict=True):
        np.testing.assert_array_equal(a, b)
