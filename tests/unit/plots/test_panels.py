"""A figure may have several panels; names are given by hand, and a directory of runs stands for all of them."""

import json

import pytest
from PIL import Image
from test_curves import PPO, read_csv, synthetic, texts, write_run

from swingup.errors import ConfigError
from swingup.plots import style
from swingup.plots.curves import plot


@pytest.fixture
def undrawn(monkeypatch):
    """Only the table is looked at: no pixel is drawn, which takes most of the time."""
    monkeypatch.setattr(style, "pictures", lambda figure: {".png": b"", ".svg": b""})


def labels(path):
    return {(row.get("facet", ""), row["label"]) for row in read_csv(path)}


def test_environments_have_panels_of_their_own_and_labels_keep_their_colour(tmp_path):
    runs = [
        synthetic(tmp_path / f"{env}-{name}", env=env, algo={"name": name})
        for env, names in {"A-v0": ["ppo", "dqn"], "B-v0": ["dqn", "sac"]}.items()
        for name in names
    ]
    png, svg, table = plot(runs, tmp_path / "curve")
    assert labels(table) == {("A-v0", "ppo"), ("A-v0", "dqn"), ("B-v0", "dqn"), ("B-v0", "sac")}
    assert {"A-v0", "B-v0", "ppo (4 seeds)", "dqn (4 seeds)", "sac (4 seeds)"} <= set(texts(svg))
    assert texts(svg).count("dqn (4 seeds)") == 1
    with Image.open(png) as image:
        assert image.size == (1020, 540)
    alone = read_csv(plot([runs[1]], tmp_path / "alone")[2])
    both = [row for row in read_csv(table) if (row["facet"], row["label"]) == ("A-v0", "dqn")]
    assert [row["value"] for row in alone] == [row["value"] for row in both]


def test_a_hyperparameter_as_facet(tmp_path):
    runs = [
        synthetic(tmp_path / f"{lr}-{clip}", algo={"name": "ppo", "lr": lr, "clip": clip})
        for lr in (0.1, 0.2)
        for clip in (1, 2)
    ]
    _, svg, table = plot(runs, tmp_path / "curve", facet="lr")
    assert labels(table) == {(f"lr={lr}", f"ppo, clip={clip}") for lr in (0.1, 0.2) for clip in (1, 2)}
    assert "CartPole-v1" in texts(svg)
    with pytest.raises(ConfigError, match="unknown facet 'lrr'; did you mean 'lr'"):
        plot(runs, tmp_path / "curve", facet="lrr")


def test_several_metrics(tmp_path):
    run = synthetic(tmp_path / "run")
    _, svg, table = plot([run], tmp_path / "curve", metric="ep/return,loss/policy", x="iteration")
    assert {"ep/return", "loss/policy", "iterations"} <= set(texts(svg))
    rows = read_csv(table)
    assert list(rows[0])[:5] == ["run", "label", "metric", "facet", "iteration"]
    alone = read_csv(plot([run], tmp_path / "one", metric="loss/policy", x="iteration")[2])
    both = [r for r in rows if r["metric"] == "loss/policy"]
    assert [(r["iteration"], r["value"], r["low"]) for r in both] == [
        (r["iteration"], r["value"], r["low"]) for r in alone
    ]
    with pytest.raises(ConfigError, match="unknown metric 'kl'"):
        plot([run], tmp_path / "two", metric=["ep/return", "kl"])


def test_a_directory_of_runs_stands_for_them(tmp_path, undrawn):
    for clip in (0.1, 0.2):
        synthetic(tmp_path / "grid" / f"clip-{clip}", algo={**PPO, "clip": clip})
    (tmp_path / "grid" / "grid.json").write_text("{}")
    assert labels(plot([tmp_path / "grid"], tmp_path / "c")[2]) == {
        ("", "ppo, clip=0.1"),
        ("", "ppo, clip=0.2"),
    }
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ConfigError, match=r"empty is not a run directory: it has no config\.json, nor holds runs"
    ):
        plot([tmp_path / "empty"], tmp_path / "c")


def test_names_by_hand_keep_equal_settings_apart(tmp_path, undrawn):
    a, b = synthetic(tmp_path / "a", seeds=[0, 1, 2]), synthetic(tmp_path / "b", seeds=[0, 1, 2])
    c = synthetic(tmp_path / "c", seeds=[3, 4])
    table = plot([f"old={a}", f"old={c}", f"new={b}"], tmp_path / "curve")[2]
    assert {(row["label"], row["run"]) for row in read_csv(table)} == {("old", "a + c"), ("new", "b")}
    odd = synthetic(tmp_path / "lr=3")
    assert labels(plot([odd], tmp_path / "curve")[2]) == {("", "ppo")}
    other = synthetic(tmp_path / "d", algo={**PPO, "clip": 9})
    with pytest.raises(ConfigError, match=r"old has two settings in CartPole-v1.*differ in clip"):
        plot([f"old={a}", f"old={other}"], tmp_path / "curve")


def test_diverged_seeds_are_told(tmp_path):
    rows = [[s, i, 10 * i, i, "" if s == 1 and i > 1 else i, 0] for i in range(4) for s in range(3)]
    run = write_run(tmp_path / "run", rows, seeds=range(3))
    ended = {"kind": "finished", "seed": None, "diverged": [1]}
    (run / "outcome.json").write_text(json.dumps(ended))
    _, svg, table = plot([run], tmp_path / "curve")
    assert "ppo (3 seeds, 1 diverged)" in texts(svg)
    assert read_csv(table)[-1]["value"] == f"{(3 + 1 + 3) / 3:.12g}"
    (run / "outcome.json").write_text(json.dumps({"kind": "diverged", "seed": 2}))
    assert "ppo (3 seeds, 1 diverged)" in texts(plot([run], tmp_path / "curve")[1])
    (run / "outcome.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"outcome\.json is damaged"):
        plot([run], tmp_path / "curve")


def test_panels_of_unequal_sizes_say_so(tmp_path):
    runs = [
        synthetic(tmp_path / "a", env="A", seeds=range(5)),
        synthetic(tmp_path / "b", env="B", seeds=range(2)),
    ]
    assert "ppo (2–5 seeds, no interval under 3)" in texts(plot(runs, tmp_path / "curve")[1])
