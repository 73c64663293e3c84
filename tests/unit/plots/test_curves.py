"""Learning curves are tested: the CSV against slow loops, the files, and all that can be wrong in a run directory."""

import csv
import importlib
import json
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from swingup.errors import ConfigError, OutputError
from swingup.plots.curves import load_metrics, plot
from swingup.plots.style import compact
from swingup.statistics import bootstrap_ci, iqm

plot_module: Any = importlib.import_module("swingup.plots.curves")  # swingup.plot is the function
HEADER = "seed,iteration,env_steps,seconds,ep/return,loss/policy"
PPO = {"name": "ppo", "learning_rate": 3e-4, "clip": 0.2}


def write_run(
    path, rows, *, algo=None, env="CartPole-v1", env_steps=1000, seeds=(0,), header=HEADER, end="\n"
):
    path.mkdir(parents=True)
    config = {"algo": algo or PPO, "env": env, "env_steps": env_steps, "seeds": list(seeds)}
    (path / "config.json").write_text(json.dumps(config))
    (path / "metrics.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + end)
    return path


def synthetic(path, seeds=(0, 1, 2, 3), points=6, blank=0.3, **kwargs):
    """A run whose returns depend on seed and point alone; the first point of every seed is blank."""
    rows = []
    for i in range(points):
        for seed in seeds:
            rng = random.Random(1000 * seed + i)
            value = "" if i == 0 or rng.random() < blank else round(100 * i + rng.gauss(0, 30), 3)
            rows.append([seed, i, 100 * (i + 1), 0.5 * i, value, rng.random()])
    return write_run(path, rows, seeds=seeds, **kwargs)


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def texts(svg):
    return [element.text or "" for element in ElementTree.parse(svg).iter() if element.tag.endswith("}text")]


def slow_curve(run_dirs, metric="ep/return", smooth=1):
    """{env_steps: [value of each seed that has one]} by plain loops; equal log points only."""
    curve = {}
    for run in run_dirs:
        by_seed = {}
        for row in read_csv(run / "metrics.csv"):
            by_seed.setdefault(row["seed"], []).append((int(row["env_steps"]), row[metric]))
        for rows in by_seed.values():
            filled = []
            for steps, cell in rows:
                if cell == "" and not filled:
                    continue
                filled.append(float(cell) if cell else filled[-1])
                window = filled[-smooth:]
                curve.setdefault(steps, []).append(sum(window) / len(window))
    return dict(sorted(curve.items()))


@pytest.mark.parametrize("smooth", [1, 3])
@pytest.mark.parametrize(("name", "statistic"), [("mean", np.mean), ("iqm", iqm)])
def test_csv_is_a_slow_computation(tmp_path, name, statistic, smooth):
    runs = [synthetic(tmp_path / "a", seeds=range(5)), synthetic(tmp_path / "b", seeds=range(5, 9))]
    _, _, path = plot(runs, tmp_path / "curve", statistic=name, smooth=smooth)
    rows, slow = read_csv(path), slow_curve(runs, smooth=smooth)
    assert list(rows[0]) == ["run", "label", "env_steps", "value", "low", "high", "n_seeds"]
    assert [int(row["env_steps"]) for row in rows] == list(slow)
    for row, seeds in zip(rows, slow.values(), strict=True):
        assert (row["run"], row["label"], int(row["n_seeds"])) == ("a + b", "ppo", len(seeds))
        assert float(row["value"]) == pytest.approx(float(statistic(seeds)), rel=1e-10)
        want = bootstrap_ci(seeds, statistic, reps=20_000, seed=1)
        # 2000 resamples: 2.67 σ / √2000 = 6% of σ, and σ is a quarter of the width; five of these errors.
        assert (float(row["low"]), float(row["high"])) == pytest.approx(want, abs=0.08 * (want[1] - want[0]))
    assert [int(row["n_seeds"]) for row in rows][-1] == 9


def test_files_exist_are_small_and_deterministic(tmp_path):
    runs = [synthetic(tmp_path / f"r{i}", algo={**PPO, "clip": i / 10}, points=700) for i in range(6)]
    first, second = plot(runs, tmp_path / "one.png"), plot(runs, tmp_path / "two.png")
    assert [path.name for path in first] == ["one.png", "one.svg", "one.csv"]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert 0 < a.stat().st_size < 200_000
    with Image.open(first[0]) as image:
        assert image.format == "PNG"
        assert image.size == (960, 600)
        assert len(np.unique(np.asarray(image.convert("L")))) > 20  # something is drawn
    assert not list(tmp_path.glob(".tmp*"))


def test_another_process_draws_the_same_bytes(tmp_path):
    run = synthetic(tmp_path / "run")
    code = f"from swingup.plots.curves import plot; plot([{str(run)!r}], {str(tmp_path / 'theirs')!r})"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
    for path in plot([run], tmp_path / "ours"):
        assert path.read_bytes() == (tmp_path / f"theirs{path.suffix}").read_bytes()


def test_no_pyplot_no_jax(tmp_path):
    code = "import sys, swingup.plots.curves; sys.exit('matplotlib.pyplot' in sys.modules or 'jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_svg_says_what_is_drawn(tmp_path):
    runs = [
        synthetic(tmp_path / "a"),
        synthetic(tmp_path / "b", algo={**PPO, "clip": 0.1}),
        synthetic(tmp_path / "c", seeds=[4], algo={"name": "dqn", "eps": 0.1}),
    ]
    _, svg, _ = plot(runs, tmp_path / "curve", smooth=2)
    found = texts(svg)
    for text in [
        "environment steps per seed",
        "ep/return (mean of 2 log points)",
        "CartPole-v1",
        "mean over seeds; band: pointwise 95% bootstrap interval",
        "ppo, clip=0.2 (4 seeds)",
        "ppo, clip=0.1 (4 seeds)",
        "dqn (1 seed, no interval under 3)",
    ]:
        assert text in found
    _, svg, _ = plot(runs, tmp_path / "other", title="Ours & <theirs> $x_1$", x="seconds", statistic="iqm")
    assert {"Ours & <theirs> $x_1$", "wall-clock seconds", "ep/return"} <= set(texts(svg))
    assert "IQM over seeds; band: pointwise 95% bootstrap interval" in texts(svg)
    assert "dc:date" not in svg.read_text()


@pytest.mark.parametrize("n", [1, 2])
def test_no_interval_under_three_seeds(tmp_path, n):
    run = synthetic(tmp_path / "run", seeds=range(n))
    _, svg, table = plot([run], tmp_path / "curve")
    assert f"ppo ({n} seed{'s' * (n > 1)}, no interval under 3)" in texts(svg)
    assert "mean over seeds" in texts(svg)
    assert "FillBetween" not in svg.read_text()
    rows, slow = read_csv(table), slow_curve([run])
    assert all(row["low"] == row["high"] == "" for row in rows)
    assert [float(row["value"]) for row in rows] == pytest.approx([np.mean(v) for v in slow.values()])


def test_no_interval_where_fewer_than_three_seeds_have_a_value(tmp_path):
    rows = [[s, i, 10 * (i + 1), i, "" if i < s else s + i, 0] for i in range(4) for s in range(4)]
    _, svg, table = plot([write_run(tmp_path / "run", rows)], tmp_path / "curve")
    assert [row["n_seeds"] for row in read_csv(table)] == ["1", "2", "3", "4"]
    assert [row["low"] == row["high"] == "" for row in read_csv(table)] == [True, True, False, False]
    assert "FillBetween" in svg.read_text()


def test_torn_last_line(tmp_path):
    rows = [[0, 0, 100, 0.1, 5.0, 1.0], [0, 1, 200, 0.2, 6.0, 1.0]]
    run = write_run(tmp_path / "run", [*rows, [0, 2, 300, 0.3, 12, 1]], end="")  # 12 may be 123.4 cut short
    with pytest.warns(UserWarning, match="metrics.csv: left out the last line"):
        columns = load_metrics(run)
    np.testing.assert_array_equal(columns["ep/return"], [5.0, 6.0])
    with pytest.warns(UserWarning, match="last line"):
        _, _, table = plot([run], tmp_path / "curve")
    assert [row["env_steps"] for row in read_csv(table)] == ["100", "200"]


def test_every_cut_is_read_or_refused(tmp_path):
    run = synthetic(tmp_path / "run", points=2)
    whole = (run / "metrics.csv").read_bytes()
    full = load_metrics(run)["env_steps"]
    for cut in range(len(whole)):
        (run / "metrics.csv").write_bytes(whole[:cut])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if whole[:cut].count(b"\n") < 2:
                with pytest.raises(ConfigError, match=r"metrics\.csv"):
                    load_metrics(run)
                continue
            steps = load_metrics(run)["env_steps"]
        assert len(steps) == whole[:cut].count(b"\n") - 1
        np.testing.assert_array_equal(steps, full[: len(steps)])


def test_load_metrics(tmp_path):
    run = write_run(tmp_path / "run", [[7, 0, 100, 0.25, "", -1.5], [7, 1, 200, 0.5, "inf", "nan"]])
    columns = load_metrics(str(run))
    assert list(columns) == HEADER.split(",")
    assert all(column.dtype == np.float64 and column.shape == (2,) for column in columns.values())
    np.testing.assert_array_equal(columns["ep/return"], [np.nan, np.inf])
    np.testing.assert_array_equal(columns["loss/policy"], [-1.5, np.nan])
    (run / "metrics.csv").write_bytes((run / "metrics.csv").read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(load_metrics(run)["seconds"], [0.25, 0.5])


def test_blank_and_infinite_cells_keep_the_last_value(tmp_path):
    cells = ["", "nan", 1.0, "", "inf", 4.0, ""]
    rows = [[0, i, 10 * i, i, cell, 0] for i, cell in enumerate(cells)]
    _, _, table = plot([write_run(tmp_path / "run", rows)], tmp_path / "curve")
    points = [(int(row["env_steps"]), float(row["value"])) for row in read_csv(table)]
    assert points == [(20, 1.0), (30, 1.0), (40, 1.0), (50, 4.0), (60, 4.0)]


def test_different_log_points_are_interpolated_on_their_union(tmp_path):
    a = write_run(tmp_path / "a", [[0, 0, 0, 0, 0.0, 0], [0, 1, 20, 1, 20.0, 0]])
    b = write_run(tmp_path / "b", [[1, 0, 10, 0, 1.0, 0], [1, 1, 30, 1, 5.0, 0]])
    _, _, table = plot([a, b], tmp_path / "curve")
    points = [tuple(float(row[k]) for k in ("env_steps", "value", "n_seeds")) for row in read_csv(table)]
    assert points == [(0, 0.0, 1), (10, 5.5, 2), (20, 11.5, 2), (30, 5.0, 1)]  # nothing is extrapolated


def test_rows_out_of_order_and_repeated_after_a_resume(tmp_path):
    rows = [[0, 1, 20, 1, 2.0, 0], [0, 0, 10, 0, 1.0, 0], [0, 1, 20, 1, 7.0, 0]]
    _, _, table = plot([write_run(tmp_path / "run", rows)], tmp_path / "curve")
    assert [float(row["value"]) for row in read_csv(table)] == [1.0, 7.0]


def test_repeated_seeds_count_once(tmp_path):
    a, b = synthetic(tmp_path / "a", seeds=[0, 1, 2]), synthetic(tmp_path / "b", seeds=[2, 3])
    with pytest.warns(UserWarning, match="b: seed 2 given twice, counted once"):
        _, svg, table = plot([a, b], tmp_path / "curve")
    assert "ppo (4 seeds)" in texts(svg)
    alone = plot([a, synthetic(tmp_path / "c", seeds=[3])], tmp_path / "alone")[2]
    strip = [[row[k] for k in ("env_steps", "value", "low", "high", "n_seeds")] for row in read_csv(table)]
    assert strip == [
        [row[k] for k in ("env_steps", "value", "low", "high", "n_seeds")] for row in read_csv(alone)
    ]


def test_a_seed_without_values_is_named(tmp_path):
    rows = [[s, i, 10 * i, i, "" if s == 1 else i, 0] for i in range(3) for s in range(2)]
    with pytest.warns(UserWarning, match="seed 1 has no finite ep/return, left out"):
        _, svg, _ = plot([write_run(tmp_path / "run", rows)], tmp_path / "curve")
    assert "ppo (1 seed, no interval under 3)" in texts(svg)


def test_labels(tmp_path):
    a = synthetic(tmp_path / "a")
    b = synthetic(tmp_path / "b", algo={**PPO, "clip": 0.1, "hidden": [64, 64]})
    c = synthetic(tmp_path / "c", env="Pendulum-v1", algo={**PPO, "gamma": 0.9})
    d = synthetic(tmp_path / "d", env_steps=500)
    labels = {
        row["run"]: row["label"] for row in read_csv(plot([a, b, c, d], tmp_path / "curve", facet="")[2])
    }
    assert labels == {
        "a": "ppo, CartPole-v1, clip=0.2, env_steps=1000",
        "b": "ppo, CartPole-v1, clip=0.1, env_steps=1000, hidden=[64, 64]",
        "c": "ppo, Pendulum-v1",
        "d": "ppo, CartPole-v1, clip=0.2, env_steps=500",
    }
    assert {row["label"] for row in read_csv(plot([a, c], tmp_path / "two", facet="")[2])} == {
        "ppo, CartPole-v1",
        "ppo, Pendulum-v1",
    }


def test_many_curves_with_long_labels_still_fit(tmp_path):
    algos = [{**PPO, **{f"a_rather_long_setting_{k}": i + k for k in range(4)}} for i in range(15)]
    runs = [synthetic(tmp_path / f"r{i}", seeds=[i], algo=algo) for i, algo in enumerate(algos)]
    png, _, _ = plot(runs, tmp_path / "curve")
    with Image.open(png) as image:
        assert image.size[0] == 960
        assert image.size[1] > 600


def test_one_point_is_visible(tmp_path):
    run = write_run(tmp_path / "run", [[s, 0, 10, 0, s, 0] for s in range(3)])
    png, _, table = plot([run], tmp_path / "curve")
    assert len(read_csv(table)) == 1
    with Image.open(png) as image:
        blue = (np.asarray(image.convert("RGB")).astype(int) - [0, 0x72, 0xB2]).__abs__().sum(-1) < 40
    assert blue[100:400].sum() > 20


def test_long_runs_are_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(plot_module, "MAX_POINTS", 60)
    run = synthetic(tmp_path / "run", points=500, blank=0.0)
    slow, rows = slow_curve([run]), read_csv(plot([run], tmp_path / "curve")[2])
    assert len(rows) == 60
    assert (int(rows[0]["env_steps"]), int(rows[-1]["env_steps"])) == (min(slow), max(slow))
    for row in rows:
        assert float(row["value"]) == pytest.approx(np.mean(slow[int(row["env_steps"])]), rel=1e-10)


@pytest.mark.parametrize("given", ["c.png", "c.svg", "c.csv", "c.PDF", "c"])
def test_any_suffix_of_out(tmp_path, given):
    assert [p.name for p in plot([synthetic(tmp_path / "run")], tmp_path / given)] == [
        "c.png",
        "c.svg",
        "c.csv",
    ]


def test_out_with_a_dot_or_a_directory(tmp_path, monkeypatch):
    run = synthetic(tmp_path / "run")
    assert plot([run], tmp_path / "lr0.001")[0] == tmp_path / "lr0.001.png"
    assert plot([run], run)[1] == run / "curve.svg"
    monkeypatch.chdir(run)
    assert plot(["."], ".")[2] == Path("curve.csv")
    assert read_csv("curve.csv")[0]["run"] == "run"
    with pytest.raises(OutputError, match="missing"):
        plot([run], tmp_path / "missing" / "curve.png")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"metric": "ep/retrun"}, "run: unknown metric 'ep/retrun'; did you mean 'ep/return'"),
        ({"metric": "seconds"}, "unknown metric 'seconds'"),
        ({"statistic": "man"}, "unknown statistic 'man'; did you mean 'mean'"),
        ({"x": "env_step"}, "unknown x axis 'env_step'; did you mean 'env_steps'"),
        ({"smooth": 0}, "smooth=0"),
    ],
)
def test_wrong_arguments(tmp_path, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        plot([synthetic(tmp_path / "run")], tmp_path / "curve", **kwargs)
    assert not list(tmp_path.glob("curve*"))


def test_nothing_to_plot(tmp_path):
    with pytest.raises(ConfigError, match="at least one run"):
        plot([], tmp_path / "curve")
    with pytest.raises(ConfigError, match=r"nowhere.*config\.json"):
        plot([tmp_path / "nowhere"], tmp_path / "curve")
    run = write_run(tmp_path / "blank", [[0, 0, 10, 0, "", ""]])
    with (
        pytest.warns(UserWarning, match="seed 0 has no finite"),
        pytest.raises(ConfigError, match="blank: ep/return has no finite value yet"),
    ):
        plot([run], tmp_path / "curve")
    (run / "metrics.csv").unlink()
    with pytest.raises(ConfigError, match=r"blank/metrics\.csv"):
        plot([run], tmp_path / "curve")


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([[0, 0, 10, 0, 1.0]], HEADER, "line 2: expected 6 numbers"),
        ([[0, 0, 10, 0, 1.0, 2.0], [0, 1, 20, 0, "x", 2.0]], HEADER, "line 3: expected 6 numbers"),
        ([["", 0, 10, 0, 1.0, 2.0]], HEADER, "never blank"),
        ([[0, 0, "nan", 0, 1.0, 2.0]], HEADER, "never blank"),
        ([[0, 0, 1.0]], "seed,step,ep/return", "seed, iteration, env_steps, seconds"),
        ([], HEADER, "needs rows"),
        ([], "", "needs rows"),
    ],
)
def test_damaged_metrics(tmp_path, rows, header, message):
    run = write_run(tmp_path / "run", rows, header=header)
    with pytest.raises(ConfigError, match=message) as caught:
        load_metrics(run)
    assert str(run / "metrics.csv") in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"algo": "ppo"}', '{"algo": {}, "env": "x", "env_steps": 1}']
)
def test_damaged_config(tmp_path, text):
    run = synthetic(tmp_path / "run")
    (run / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        plot([run], tmp_path / "curve")


def test_compact_ticks():
    ticks = [0, 0.25, -200, 1000, 1500, 50_000, 1e6, 2.5e6, 3e9, 0.1 + 0.2]
    shown = ["0", "0.25", "−200", "1k", "1.5k", "50k", "1M", "2.5M", "3G", "0.3"]
    assert [compact(tick) for tick in ticks] == shown
