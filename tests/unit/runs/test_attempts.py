"""Each attempt at a job works apart, the newest publishes, and what it publishes has the bits of a job left alone."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import swingup
from swingup import files
from swingup.errors import ConfigError, OutputError
from swingup.runs import attempts, checkpoint, jobs, sweep
from swingup.runs.attempts import Order, Superseded
from swingup.runs.grid import Grid
from swingup.runs.sweep import Sweep
from swingup.training import machine

NAMES = ["000_lr-0.1", "001_lr-0.2"]


@pytest.fixture(autouse=True)
def _as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job sets threads and devices, which this process has already."""
    monkeypatch.setattr(machine, "set_up", lambda *_, **__: None)


def opened(path: Path) -> tuple[Sweep, Order]:
    """Open a grid of one block, and order its job."""
    grid = Grid(
        "q_learning",
        "tabular:Grid",
        {"lr": [0.1, 0.2]},
        env_steps=64,
        seeds=2,
        episodes=2,
        checkpoint_interval=1,
    )
    made = sweep.opened(grid, path, devices=1)
    return made, Order(
        jobs.text(devices=1, **made.job(0)), str(path / "attempts" / "000"), attempts.mark(path)
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the digests of the same grid, trained without attempts."""
    made, _ = opened(tmp_path_factory.mktemp("alone"))
    assert sweep.finish(made) == 0
    return digests(made.path)


def digests(path: Path) -> list[str]:
    return [checkpoint.digest(path / name / "checkpoints") for name in NAMES]


def rows(path: Path) -> list[list[tuple[float, float]]]:
    """Return seed and iteration of each row, of each run."""
    return [[(row["iteration"], row["seed"]) for row in swingup.load(path / name).rows] for name in NAMES]


def test_every_process_gets_a_number_of_its_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(lambda _: attempts.claim(tmp_path / "000").name, range(32)))
    assert sorted(names) == [f"{n:03d}" for n in range(1, 33)]


def test_an_attempt_publishes_what_a_job_alone_makes(tmp_path: Path, alone: list[str]) -> None:
    made, order = opened(tmp_path)
    assert attempts.work(order) == ({}, [])
    assert digests(tmp_path) == alone
    assert not made.missing
    before = sorted(tmp_path.rglob("*"))
    assert attempts.work(order) == ({}, []), "what is done is not done again"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_second_attempt_goes_on_from_the_firsts_checkpoint(
    tmp_path: Path, alone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with the same bits and rows, and has trained only what was not saved."""
    _, order = opened(tmp_path)
    from swingup.training.callbacks import Checkpoint

    original, saved = Checkpoint.__call__, []

    def stop_in_the_middle(self: Any, p: Any) -> None:
        original(self, p)
        saved.append(p.iteration)
        if len(saved) == 2:
            raise MemoryError("the node is gone")

    monkeypatch.setattr(Checkpoint, "__call__", stop_in_the_middle)
    with pytest.raises(MemoryError):
        attempts.work(order)
    assert not any((tmp_path / name).exists() for name in NAMES), "nothing is seen until it is whole"
    trained: list[int] = []

    def watch(self: Any, p: Any) -> None:
        trained.append(p.iteration)
        original(self, p)

    monkeypatch.setattr(Checkpoint, "__call__", watch)
    assert attempts.work(order) == ({}, [])
    assert min(trained) > saved[-1]
    assert digests(tmp_path) == alone
    assert all(one == sorted(set(one)) and one for one in rows(tmp_path))


def test_what_thaws_publishes_nothing(tmp_path: Path, alone: list[str]) -> None:
    """The first attempt sleeps before it publishes, the second takes over; whichever is first to end."""
    _, order = opened(tmp_path)
    frozen = attempts.claim(Path(order.folder))
    jobs.run(attempts.moved(order.job, frozen), signals=False)
    newer = attempts.claim(Path(order.folder))
    with pytest.raises(Superseded):
        attempts.publish(order.job, frozen)
    assert not any((tmp_path / name).exists() for name in NAMES)
    attempts.inherit(order.job, newer.parent, newer)
    jobs.run(attempts.moved(order.job, newer), signals=False)
    attempts.publish(order.job, newer)
    assert digests(tmp_path) == alone
    with pytest.raises(Superseded):
        attempts.publish(order.job, frozen)
    assert digests(tmp_path) == alone


def test_without_shared_storage_the_files_come_back(tmp_path: Path, alone: list[str]) -> None:
    made, order = opened(tmp_path)
    answer = attempts.work(order._replace(mark="of another storage"))
    assert not any((tmp_path / name).exists() for name in NAMES)
    attempts.bring(answer.files, made.paths)
    assert digests(tmp_path) == alone
    assert not made.missing


def test_the_newest_attempt_that_saved_is_gone_on_from(tmp_path: Path) -> None:
    _, order = opened(tmp_path)
    folder = Path(order.folder)
    for text in ("oldest", "newest", ""):  # the last one was killed before it saved
        mine = attempts.claim(folder)
        if text:
            (mine / "block" / "checkpoints").mkdir(parents=True)
            (mine / "block" / "checkpoints" / "who").write_text(text)
    mine = attempts.claim(folder)
    attempts.inherit(order.job, folder, mine)
    assert (mine / "block" / "checkpoints" / "who").read_text() == "newest"


def test_a_run_that_came_in_part_has_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full after any number of files: the run is missing, and is trained again."""
    names = "config.json", "metrics.csv", "outcome.json", "result.json", "checkpoints/8/tensors.safetensors"
    found, original = {str(tmp_path / "run" / name): b"{}" for name in names}, files.write_atomic
    for room in range(len(names)):
        written: list[Any] = []

        def write(path: Path, data: bytes, room: int = room, written: list[Any] = written) -> None:
            if len(written) == room:
                raise OutputError("no space left")
            written.append(path)
            original(path, data)

        monkeypatch.setattr(files, "write_atomic", write)
        with pytest.raises(OutputError):
            attempts.bring(found, [tmp_path / "run"])
        assert not jobs.done(tmp_path / "run")
    monkeypatch.setattr(files, "write_atomic", original)
    attempts.bring(found, [tmp_path / "run"])
    assert jobs.done(tmp_path / "run")


@pytest.mark.parametrize("name", ["/etc/motd", "{run}/../../motd", "{run}"])
def test_files_for_another_place_are_refused(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match="none of its runs"):
        attempts.bring({name.format(run=run): b""}, [run])
    assert not run.exists()


def test_what_another_engine_began_is_taken_over(tmp_path: Path, alone: list[str]) -> None:
    """The runs' own places hold checkpoints of a session that was stopped: a single run, so that these are in it."""
    grid = Grid(
        "q_learning", "tabular:Grid", {"lr": [0.1, 0.2], "num_steps": [8]}, env_steps=64, seeds=2, episodes=2
    )
    made = sweep.opened(grid, tmp_path, devices=1)
    job = jobs.text(devices=1, **made.job(0))
    assert json.loads(job)["runs"][0]["path"].startswith(str(tmp_path))
    order = Order(job, str(tmp_path / "attempts" / "000"), attempts.mark(tmp_path))
    made.paths[0].mkdir()
    (made.paths[0] / "notes.txt").write_text("mine")
    attempts.work(order)
    assert not made.missing
    assert (
        tmp_path / "attempts" / "000" / "001" / f"replaced-{made.names[0]}" / "notes.txt"
    ).read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{}", '{"runs": [{}]}', "[]"])
def test_what_is_no_job_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="no job of swingup's"):
        attempts.places(text, tmp_path)
