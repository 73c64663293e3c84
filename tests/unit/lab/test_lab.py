"""Demonstrations are tested by their parts: Baird's map against loops, bootstrap targets against NumPy, claims that
fail, the command.
"""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from conftest import SMALL
from swingup import cli, lab
from swingup.algos.dqn import DQN
from swingup.errors import ConfigError
from swingup.files import to_json
from swingup.lab import deadly_triad
from swingup.lab.tools import baird
from swingup.lab.tools.report import Claim, Report
from swingup.lab.tools.soft_divergence import TARGETS, Bootstrap, largest_q, settings
from swingup.replay.ring import Batch
from swingup.training import driver

TRIAD = baird.LEGS["all three"]
B, A = 16, 3


def one_by_one(leg: baird.Leg, w: np.ndarray) -> np.ndarray:
    """An expected update, summed over states, the behaviour's two actions and where they lead."""
    change = np.zeros_like(w)
    for s in range(7):
        if not leg.off_policy and s != 6:
            continue
        visited = 1 / 7 if leg.off_policy else 1.0
        solid, dashed = (1 / 7, 6 / 7) if leg.off_policy else (1.0, 0.0)
        outcomes = [(solid, 1 / solid, 6)] + [(dashed / 6, 0.0, i) for i in range(6)]
        for probability, ratio, following in outcomes:
            v = leg.features[s] @ w
            if leg.bootstrap:
                delta = ratio * (baird.GAMMA * (leg.features[following] @ w) - v)
            else:
                delta = 0.0 - v  # the return of zeros
            change += visited * probability * delta * leg.features[s]
    return w + baird.ALPHA * change


@pytest.mark.parametrize("leg", baird.LEGS.values(), ids=list(baird.LEGS))
def test_bairds_expected_update_is_the_sum_over_what_can_happen(leg: baird.Leg) -> None:
    w, found = leg.start, []
    for _ in range(200):
        found.append(float(baird.error(leg, w)))
        w = one_by_one(leg, w)
    np.testing.assert_allclose(baird.errors(leg, np.arange(200)), found, rtol=1e-9)
    np.testing.assert_allclose(found[0], np.sqrt(leg.visits @ (leg.features @ leg.start) ** 2))


def test_only_all_three_legs_together_have_an_eigenvalue_beyond_one() -> None:
    radii = {name: baird.radius(baird.expected(leg)) for name, leg in baird.LEGS.items()}
    assert radii.pop("all three") > 1.002
    assert max(radii.values()) < 1 + 1e-9
    assert baird.radius(baird.expected(TRIAD, alpha=1e-6)) > 1, "no rate is small enough"


def test_long_returns_cure_baird() -> None:
    """γ¹² is too much bootstrapping and γ¹³ is not."""
    assert baird.radius(baird.expected(TRIAD, baird.GAMMA**12)) > 1 + 1e-6
    assert baird.radius(baird.expected(TRIAD, baird.GAMMA**13)) < 1 + 1e-9


@pytest.mark.parametrize("leg", baird.LEGS.values(), ids=list(baird.LEGS))
def test_samples_agree_with_the_expectation(leg: baird.Leg) -> None:
    w = baird.sampled(leg, updates=60, runs=4000)
    assert w.shape == (4000, 61, leg.features.shape[1])
    truth = np.linalg.matrix_power(baird.expected(leg), 60) @ leg.start
    deviation = np.abs(w[:, -1].mean(0) - truth)
    assert (deviation < 5 * w[:, -1].std(0) / np.sqrt(4000) + 1e-9).all()


def test_bairds_part_of_the_demonstration() -> None:
    left, middle = Figure().subplots(1, 2)
    numbers, claims = deadly_triad.counterexample(0, left, middle)
    assert all(claim.holds for claim in claims), claims
    assert numbers["returns"]["cured_from"] == 13


class Linear(eqx.Module):
    """All of a network that a loss needs."""

    weight: jax.Array

    def __call__(self, obs: jax.Array) -> jax.Array:
        return obs @ self.weight


def networks() -> tuple[Any, Any, Batch]:
    """An online network, a different target network, and a batch with some terminal transitions."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(2, 4, A)).astype(np.float32)
    obs, next_obs = rng.normal(size=(2, B, 4)).astype(np.float32)
    reward = rng.uniform(-1, 1, B).astype(np.float32)
    fields: Any = (obs, rng.integers(0, A, B), reward, next_obs, np.arange(B) % 4 == 0)
    ones = jnp.ones(B)
    params, target = (Linear(jnp.asarray(w)) for w in weights)
    return params, target, Batch(*map(jnp.asarray, fields), 0.9 * ones, ones, jnp.arange(B))


@pytest.mark.parametrize("name", TARGETS)
def test_each_bootstrap_target_is_its_definition(name: str) -> None:
    """A loop over the batch: one network chooses the next action, one judges it."""
    chooses, judges = TARGETS[name]
    algo = Bootstrap(**SMALL["dqn"], online_chooses=chooses, online_judges=judges)
    params, target, b = networks()
    q, online, frozen = (
        np.asarray(f(x)) for f, x in ((params, b.obs), (params, b.next_obs), (target, b.next_obs))
    )
    errors = []
    for i in range(B):
        best = int(np.argmax((online if chooses else frozen)[i]))
        value = (online if judges else frozen)[i, best]
        errors.append(b.reward[i] + (0 if b.terminated[i] else 0.9 * value) - q[i, int(b.action[i])])
    _, (td, metrics) = algo.loss(params, target, b)
    np.testing.assert_allclose(td, errors, rtol=1e-4, atol=1e-5)
    largest = (
        jnp.abs(b.reward).max() * (1 - algo.gamma) / (1 - 0.9)
    )  # a discount of 0.9 stands for ten rewards
    np.testing.assert_allclose(metrics["reward/max"], largest, rtol=1e-4)


def test_bootstrap_targets_are_dqns_where_dqn_has_them() -> None:
    """To the last bit, gradients included; and the four are four."""
    plain = DQN(**SMALL["dqn"])
    params, target, b = networks()
    double = DQN(**SMALL["dqn"], double=True)
    theirs = {
        "online max": plain.loss(params, params, b)[1][0],
        "target network": plain.loss(params, target, b)[1][0],
        "double": double.loss(params, target, b)[1][0],
    }
    ours = {n: Bootstrap(**SMALL["dqn"], online_chooses=c, online_judges=j) for n, (c, j) in TARGETS.items()}
    found = {name: np.asarray(algo.loss(params, target, b)[1][0]) for name, algo in ours.items()}
    for name, td in theirs.items():
        np.testing.assert_array_equal(found[name], td)
    assert len({x.tobytes() for x in found.values()}) == 4
    gradient, expected = (
        jax.grad(f.loss, has_aux=True)(params, target, b)[0] for f in (ours["double"], double)
    )
    for x, y in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(x, y)


def test_every_target_meets_the_same_rates_and_seeds() -> None:
    algo, rows = settings([3, 4], [0.1, 0.2], 100)
    assert rows == [3, 4, 3, 4] * 4
    np.testing.assert_allclose(algo.lr, np.float32([0.1, 0.1, 0.2, 0.2] * 4))
    assert [tuple(x) for x in np.stack([algo.online_chooses, algo.online_judges], 1)[::4]] == list(
        TARGETS.values()
    )


@pytest.mark.parametrize("reward", [1.0, 1.5])
def test_the_largest_q_of_every_batch(reward: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all chunks of the driver; and refused where a reward makes the bound none."""

    def run(*args: Any, callbacks: Any) -> None:
        for q in ([[1.0, 5.0], [2.0, 1.0]], [[3.0, 9.0], [7.0, 0.0]]):
            metrics = {"q/max": np.array(q), "reward/max": np.full((2, 2), reward)}
            callbacks[0](SimpleNamespace(metrics=metrics))

    monkeypatch.setattr(driver, "begin", lambda *args: None)
    monkeypatch.setattr(driver, "run", run)
    algo, _ = settings([0], [1e-3], 4)
    if reward > 1:
        with pytest.raises(ConfigError, match=r"rewards of up to 1\.5"):
            largest_q("probe:ObservedReward", algo, [0, 0], 4)
    else:
        found = largest_q("probe:ObservedReward", algo, [0, 0], 4)
        np.testing.assert_array_equal(found, [[1, 5, 3, 9], [2, 1, 7, 0]])


def report(*holds: bool) -> Report:
    figure = Figure()
    figure.subplots().plot([1, 2])
    return Report("a line", tuple(Claim(x, f"claim {i}") for i, x in enumerate(holds)), {"x": [1.0]}, figure)


def command(*args: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["lab", *args])
    return int(exit_.value.code or 0)


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make `run` the demonstration `staged-play`."""

    def stage(run: Any) -> None:
        module: Any = ModuleType("swingup.lab.staged_play")
        module.run = run
        monkeypatch.setitem(sys.modules, "swingup.lab.staged_play", module)
        monkeypatch.setitem(lab.LABS, "staged-play", "a play")

    return stage


def test_the_command_writes_figure_and_numbers(staged: Any, tmp_path: Path, capsys: Any) -> None:
    seeds = []
    staged(lambda seed: seeds.append(seed) or report(True, True))
    assert command("staged-play", "--out", str(tmp_path / "new" / "out"), "--seed", "7") == 0
    assert seeds == [7]
    out = capsys.readouterr().out
    assert "what to look at: a line" in out
    assert "yes  claim 1" in out
    folder = tmp_path / "new" / "out"
    assert {p.name for p in folder.iterdir()} == {f"staged-play.{x}" for x in ("png", "svg", "json")}
    found = json.loads((folder / "staged-play.json").read_text())
    assert found["seed"] == 7
    assert found["numbers"] == {"x": [1.0]}
    assert found["claims"][0] == {"holds": True, "text": "claim 0"}


def test_a_phenomenon_that_does_not_appear_is_an_error(staged: Any, tmp_path: Path, capsys: Any) -> None:
    staged(lambda seed: report(True, False))
    assert command("staged-play", "--out", str(tmp_path)) == 1
    out, err = capsys.readouterr()
    assert "NO   claim 1" in out
    assert "did not appear" in err
    assert "claim 1" in err
    assert "claim 0" not in err
    assert (tmp_path / "staged-play.json").exists(), "what was measured is kept"


def test_demonstrations_are_listed_and_named(capsys: Any) -> None:
    assert command("list") == 0
    listed = [line.split("  ", 1) for line in capsys.readouterr().out.splitlines()]
    assert {name: about.strip() for name, about in listed} == lab.LABS
    assert command("deadly-trial") == 2
    assert "did you mean 'deadly-triad'" in capsys.readouterr().err


# Those that train networks or hundreds of tables take half a minute each, so that one root seed must do here.
TRAINED = (
    *("cliff", "maximisation-bias", "td-lambda", "exploration", "replay", "target-network", "deadly-triad"),
    *("seeds", "memory", "normalisation", "expert-iteration", "compounding-error"),
    *("model-exploitation", "reward-head", "dreams", "temperature"),
)
LATE = (
    *TRAINED,
    "no-loss",
    "reparameterisation",
    "gradient-forms",
)  # three root seeds, but not among the fast tests
# Half a minute and more: their parts have tests of their own; `benchmarks/labs.py` stores what three seeds show.
LONGEST = (
    "compounding-error",
    "dreams",
    "temperature",
    "reward-head",
    "model-exploitation",
    "replay",
    "expert-iteration",
    "deadly-triad",
)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        pytest.param(
            name,
            seed,
            marks=[
                *([pytest.mark.slow] if seed or name in LATE else []),
                *([pytest.mark.everything] if name in LONGEST else []),
            ],
        )
        for name in lab.LABS
        for seed in ((0,) if name in TRAINED else (0, 1, 2))
    ],
)
def test_every_phenomenon_appears(name: str, seed: int) -> None:
    """With any root seed; and everything it has to say can be written as JSON."""
    report = lab.demonstrate(name, seed)
    assert not report.failed
    claims = [{"holds": bool(claim.holds), "text": claim.text} for claim in report.claims]
    assert to_json(report.numbers | {"claims": claims, "look": report.look})
