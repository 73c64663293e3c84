"""What trackers are sent is a plain mean over the rows of metrics.csv, and other people's names for some."""

import math

from swingup.tracking.points import ALIASES, HEAD, aliased, points

NAN = math.nan


def row(seed: int, iteration: int, **values: float) -> dict[str, float]:
    head = {"seed": seed, "iteration": iteration, "env_steps": 10 * iteration, "seconds": iteration / 4}
    return head | {name.replace("__", "/"): x for name, x in values.items()}


def test_a_point_is_the_mean_over_seeds_that_have_a_value() -> None:
    rows = [
        row(3, 5, ep__return=1.0, kl=0.5, eval__return=NAN, loss=math.inf),
        row(4, 5, ep__return=NAN, kl=1.5, eval__return=NAN, loss=2.0),
        row(9, 5, ep__return=5.0, kl=4.0, eval__return=NAN, loss=4.0),
        row(3, 7, ep__return=NAN, kl=0.0, eval__return=8.0, loss=1.0),
        row(4, 7, ep__return=NAN, kl=0.0, eval__return=10.0, loss=1.0),
        row(9, 7, ep__return=NAN, kl=0.0, eval__return=NAN, loss=1.0),
    ]
    first, second = points(rows)
    assert first[:3] == (50, 5, 1.25)
    assert first.values == {
        "env_steps": 50,
        "seconds": 1.25,
        "ep/return": 3.0,
        "kl": 2.0,
        "loss": 3.0,
        "ep/return/seed_3": 1.0,
        "ep/return/seed_9": 5.0,
        "charts/episodic_return": 3.0,
        "global_step": 50,
    }
    assert second.values["eval/mean_reward"] == 9.0
    assert "ep/return" not in second.values


def test_one_seed_is_sent_once() -> None:
    (point,) = points([row(0, 1, ep__return=2.0, ep__return_last100=3.0, ep__length=4.0)])
    assert set(point.values) == {
        *("env_steps", "seconds", "ep/return", "ep/return_last100", "ep/length"),
        *(name for name in ALIASES if name != "eval/mean_reward"),
    }
    assert point.values["rollout/ep_rew_mean"] == 3.0
    assert points([]) == []


def test_aliases_are_of_columns_that_there_are() -> None:
    """Each of our names is explained on the page of metrics, or stands before the metrics."""
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    assert all(f"### `{ours}`" in page or ours in HEAD for ours in ALIASES.values())


def test_openrlbenchmark_finds_a_run_by_these() -> None:
    config = aliased({"env": "gymnax:CartPole-v1", "seeds": [0]}, "ppo")
    assert config == {
        "env": "gymnax:CartPole-v1",
        "seeds": [0],
        "env_id": "CartPole-v1",
        "exp_name": "ppo",
    }
