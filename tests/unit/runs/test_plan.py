"""A grid is planned before anything is compiled: its settings, their names, their blocks."""

import json
import math
from typing import Any

import jax
import numpy as np
import pytest

from conftest import small
from swingup.errors import ConfigError
from swingup.runs import plan as planning
from swingup.runs import session
from swingup.runs.block import Block, structure
from swingup.runs.experiment import Experiment
from swingup.runs.grid import Grid
from swingup.runs.plan import Plan

GRID = "tabular:Grid"


def grid(seeds: int = 2, **vary: list) -> Grid:
    return Grid(small("q_learning"), GRID, vary, env_steps=64, seeds=seeds)


def test_settings_are_the_product_and_the_last_varies_fastest() -> None:
    made = grid(lr=[0.1, 0.2], gamma=[0.9, 0.99, 1.0])
    pairs = [(e.algo.lr, e.algo.gamma) for e in made.experiments]
    assert pairs == [(lr, gamma) for lr in (0.1, 0.2) for gamma in (0.9, 0.99, 1.0)]
    assert made.names[4] == "004_lr-0.2_gamma-0.99"
    assert all(e.seeds == (0, 1) and e.algo.num_envs == 2 for e in made.experiments)


def test_every_option_of_a_grid_reaches_each_of_its_runs() -> None:
    how: dict[str, Any] = {
        "env_steps": 640,
        "seeds": (4, 9),
        "episodes": 3,
        "log_interval": 2,
        "checkpoint_interval": 6,
        "eval_interval": 7,
        "eval_limit": 11,
        "command": "swingup grid",
    }
    made = Grid(small("q_learning"), GRID, {"lr": [0.1, 0.2]}, **how)
    assert [{name: vars(e)[name] for name in how} for e in made.experiments] == [how, how]


def test_a_name_is_one_that_every_file_system_takes() -> None:
    made = Grid("ppo", "CartPole-v1", {"hidden": [(16,) * 60, (64, 64)], "lr": [1e-30, 1e10]})
    assert made.names[3] == "003_hidden-64-64_lr-1e10"
    assert all(
        len(name) <= 100 and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        for name in made.names
    )
    assert len(set(made.names)) == 4


@pytest.mark.parametrize(
    ("vary", "says"),
    [
        ({}, "a grid needs a hyperparameter"),
        ({"lrr": [1.0]}, "did you mean 'lr'"),
        ({"lr": 0.1}, "must be a list of values"),
        ({"lr": []}, "must be a list of values"),
        ({"lr": [0.1, 0.10]}, "lr has the value 0.1 twice"),
        ({"lr": [0.1, 2.0]}, "lr=2 is out of range"),
        ({"num_envs": [1, 0]}, "num_envs must be at least 1"),
    ],
    ids=["nothing", "unknown", "number", "empty", "twice", "range", "whole"],
)
def test_what_is_no_grid_is_refused(vary: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Grid(small("q_learning"), GRID, vary)


def test_two_equal_widths_are_no_network_of_two_layers() -> None:
    with pytest.raises(ConfigError, match="one network of two layers is 64,64"):
        Grid("ppo", "CartPole-v1", {"hidden": [(64,), (64,)]})


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 10, 40])
@pytest.mark.parametrize("devices", [1, 2, 3, 8])
@pytest.mark.parametrize("settings", [1, 5, 16])
def test_every_setting_is_in_one_block_and_all_have_one_shape(
    seeds: int, devices: int, settings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "row_bytes", lambda e: 1)  # it would trace `init` for each of these
    made = grid(seeds, lr=[(i + 1) / 100 for i in range(settings)])
    found = made.plan(devices)
    assert [i for part in found.parts for i in part.runs] == list(range(settings))
    (rows,) = {part.rows for part in found.parts}
    sizes = [len(part.runs) for part in found.parts]
    assert max(sizes) - min(sizes) <= 1
    most = max(sizes) * seeds
    assert rows == math.ceil(most / min(devices, most)) * min(devices, most)
    assert most <= max(seeds, planning.PER_DEVICE * devices)
    assert found.programs == 1
    for part in found.parts:
        block = part.block(made.experiments)
        assert len(block.seeds) == rows
        assert np.shape(block.resolved().lr) == ((rows,) if settings > 1 else ())


def test_what_is_static_has_programs_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "row_bytes", lambda e: 1)
    made = grid(lr=[0.1, 0.2, 0.3], num_steps=[2, 4])
    found = made.plan(1)
    assert (found.programs, len(found.parts)) == (2, 2)
    for part in found.parts:
        assert {structure(made.experiments[i]) for i in part.runs} == {
            structure(made.experiments[part.runs[0]])
        }
    assert Plan.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_memory_limits_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    made = grid(2, lr=[0.1, 0.2, 0.3, 0.4])
    one = planning.row_bytes(made.experiments[0])
    assert one > 0
    monkeypatch.setattr(planning, "free_bytes", lambda: 5 * one)
    assert [part.runs for part in made.plan(8).parts] == [(0, 1), (2, 3)]


def test_on_the_host_each_setting_has_a_block() -> None:
    made = Grid(small("q_learning"), "gymnasium:FrozenLake-v1", {"lr": [0.1, 0.2]}, env_steps=64, seeds=3)
    assert [(part.runs, part.rows) for part in made.plan(2).parts] == [((0,), 3), ((1,), 3)]


@pytest.mark.parametrize(
    "data",
    [{}, [], {"devices": 1, "programs": 1, "blocks": [{"runs": [0], "rows": "2", "varied": []}]}],
    ids=["empty", "list", "text"],
)
def test_a_damaged_plan_is_refused(data: object) -> None:
    with pytest.raises(ConfigError, match="damaged"):
        Plan.from_json(data)


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_a_block_has_a_value_per_row_of_what_differs() -> None:
    """And a scalar of what does not, so that a single run is the program that it was."""
    a, b = (
        Experiment(small("q_learning", lr=lr), GRID, 64, seeds) for lr, seeds in ((0.1, (3, 1)), (0.2, (0,)))
    )
    block = Block((a, b), rows=4)
    assert block.seeds == (3, 1, 0, 3)
    np.testing.assert_array_equal(block.resolved().lr, np.float32([0.1, 0.1, 0.2, 0.1]))
    assert block.resolved().gamma == a.algo.gamma
    assert Block((a,)).resolved() is a.algo
    alone = Block((a,), varied=("lr",)).resolved()
    assert jax.tree.structure(alone) == jax.tree.structure(block.resolved())
    assert [np.ndim(x) for x in jax.tree.leaves(alone)] == [
        np.ndim(x) for x in jax.tree.leaves(block.resolved())
    ]


@pytest.mark.parametrize("rows", [0, 4])
def test_the_console_sees_no_copies(rows: int) -> None:
    """It says how many seeds there are, their mean and their env steps a second: of those that are asked for."""
    e, seen = Experiment(small("q_learning"), GRID, 64, (0, 1, 2)), []
    session.execute(Block((e,), rows=rows), [None], None, console=seen.append)
    assert seen
    assert {len(x) for p in seen for x in p.metrics.values()} == {3}


def test_a_block_keeps_what_differs_between_the_seeds_of_one_run() -> None:
    a, b = (Experiment(small("q_learning", lr=lr), GRID, 64, (0, 1)) for lr in ([0.1, 0.3], 0.2))
    np.testing.assert_array_equal(Block((a, b)).resolved().lr, np.float32([0.1, 0.3, 0.2, 0.2]))


def test_experiments_of_two_structures_are_no_block() -> None:
    a, b = (Experiment(small("q_learning", num_steps=n), GRID, 64, (0,)) for n in (2, 4))
    with pytest.raises(ConfigError, match="differ in seeds and in traced floats alone"):
        Block((a, b))
