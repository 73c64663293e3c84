"""An algorithm's name stands for settings in an environment, and is called tuned only with reason."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import swingup
from swingup.algos import ALGOS, algorithm
from swingup.cli import report
from swingup.envs import canonical, make
from swingup.envs.names import DEVICE
from swingup.errors import ConfigError
from swingup.presets import CONTINUOUS, FAMILIES, defaults, every, preset, tables
from swingup.presets.kinds import kind
from swingup.runs import settings
from swingup.runs.experiment import Experiment
from swingup.training import driver

PRESETS, KINDS = every()
RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
ON_DEVICE = [pair for pair in PRESETS if pair[1].partition(":")[0] in DEVICE and "brax" not in pair[1]]


def test_every_algorithm_is_in_one_family() -> None:
    assert sorted(name for names in FAMILIES.values() for name in names) == sorted(ALGOS)
    for family, names in FAMILIES.items():
        assert {algo for table in tables(family) for algo, _ in table} <= set(names)


def test_one_preset_imports_one_family() -> None:
    code = (
        "import sys; from swingup import presets; presets.preset('ppo', 'CartPole-v1')\n"
        "print([name for name in sys.modules if name.startswith('swingup.algos.')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "swingup.algos.ppo" in out
    assert not any(f"algos.{name}'" in out for name in ("dqn", "sac", "q_learning"))


def stored(algo: str, env: str) -> Path:
    """Where `benchmarks/scores.py` keeps the result of a pair."""
    suite, _, name = env.partition(":")
    stem = f"{algo}-{name}" if suite == "gymnax" else f"{algo}-{suite}-{name}"
    return RESULTS / "scores" / f"{stem}.json"


@pytest.mark.parametrize("algo, env", PRESETS)
def test_a_preset_is_an_experiment(algo: str, env: str) -> None:
    """Settings of that algorithm, a budget beyond the warm-up, an id written in full."""
    known = PRESETS[algo, env]
    assert type(known.algo) is algorithm(algo)
    assert Experiment(known.algo, env, known.env_steps, (0,)).iterations > 0
    if env.partition(":")[0] in DEVICE:
        assert canonical(env) == env
        assert preset(algo, env) == known == defaults(algo, env)


@pytest.mark.parametrize("algo, env", [p for p in ON_DEVICE if "tabular" not in p[1]])
def test_a_preset_fits_its_environment(algo: str, env: str) -> None:
    """The state of a run can be made from it: spaces, networks and replay go together."""
    known = PRESETS[algo, env].algo
    opened = make(env, known.num_envs)
    shapes = jax.eval_shape(lambda: driver.init(known, opened, (0, 1)))
    assert all(x.shape[0] == 2 for x in jax.tree.leaves(shapes.learner))


@pytest.mark.parametrize(
    "name, is_kind",
    [
        ("envpool:Pong-v5", "atari"),
        ("envpool:MontezumaRevenge-v5", "atari"),
        ("gymnasium:ALE/Pong-v5", "atari"),
        ("gymnasium:ALE/Zaxxon-v5", "atari"),
        ("gymnasium:Pong-v5", ""),  # no such thing
        ("envpool:Humanoid-v5", "mujoco"),
        ("gymnasium:Humanoid-v5", "mujoco"),
        ("gymnasium:Ant-v4", "mujoco"),
        ("gymnasium:FetchSlide-v4", "fetch"),
        ("envpool:FetchPickAndPlace-v4", "fetch"),
        ("envpool:FetchPushDense-v4", ""),
        ("gymnasium:AntMaze_UMaze-v5", ""),
        ("gymnasium:CartPole-v1", ""),
        ("brax:ant", ""),
        ("gymnax:Breakout-MinAtar", ""),
    ],
)
def test_kind(name: str, is_kind: str) -> None:
    assert kind(name) == is_kind


def test_settings_by_kind() -> None:
    """Any game and any robot has settings, with options behind the name too; the pair's own come first."""
    for algo in ("ppo", "dqn", "c51", "qr_dqn"):
        for name in ("ALE/Seaquest-v5", "gymnasium:ALE/Qbert-v5?episodic_life=true"):
            assert defaults(algo, name) == KINDS[algo, "atari"]
    for algo in ("ppo", "trpo", "a2c", "vpg", "sac", "td3", "ddpg"):
        assert defaults(algo, "gymnasium:Humanoid-v5") == KINDS[algo, "mujoco"]
    twin, own = defaults("ppo", "gymnasium:HalfCheetah-v5"), PRESETS["ppo", "envpool:HalfCheetah-v5"]
    assert twin.algo == own.algo
    assert twin.tuned
    assert "EnvPool" in twin.about
    for (algo, where), known in KINDS.items():
        assert type(known.algo) is algorithm(algo)
        assert where in ("atari", "mujoco", "fetch")
        assert "not measured" in known.result
        assert not known.tuned
        assert Experiment(known.algo, "CartPole-v1", known.env_steps, (0,)).iterations > 0


def test_options_behind_a_name_are_not_what_was_tuned() -> None:
    known, other = defaults("dqn", "task:BitFlip"), defaults("dqn", "task:BitFlip?bits=8")
    assert other.algo == known.algo
    assert (known.tuned, other.tuned) == (True, False)
    assert "not tuned" in other.about


@pytest.mark.parametrize("algo", [name for name in ALGOS if not algorithm(name).plays_games])
def test_defaults_by_actions(algo: str) -> None:
    """Where there is no preset: the algorithm's own, but for what is said to depend on the actions."""
    own = algorithm(algo)()
    assert defaults(algo, "gymnax:Catch-bsuite").algo == own
    for continuous in ("gymnax:PointRobot-misc", make("PointRobot-misc", own.num_envs)):
        known = defaults(algo, continuous)
        changed = settings.changed(known.algo)
        assert changed == CONTINUOUS.get(algo, {})
        assert ("continuous" in known.about) == bool(changed)
        assert not known.tuned
    for name in CONTINUOUS.get(algo, {}):
        assert name in vars(own)


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match="CartPole-v1"):
        defaults("ppo", "Kartpole-v1")
    with pytest.raises(ConfigError, match="ppo"):
        defaults("poo", "CartPole-v1")


@pytest.mark.parametrize("algo, env", PRESETS)
def test_tuned_is_said_of_what_was_measured_alone(algo: str, env: str) -> None:
    """In the header of `swingup train` and in `Preset.about`."""
    known = PRESETS[algo, env]
    header = io.StringIO()
    report.header(Experiment(known.algo, env, known.env_steps, (0,)), Path("runs/x"), known, header)
    said = [line for line in header.getvalue().splitlines() if "tuned" in line]
    assert said == [f"settings    {known.about}"]
    assert ("not tuned" in said[0]) == (not known.tuned)
    assert known.result in said[0]
    if "not measured" in known.result:
        assert not known.tuned


def test_changed_settings_are_not_called_tuned() -> None:
    known = defaults("ppo", "CartPole-v1")
    header, other = io.StringIO(), swingup.PPO(lr=1.0)
    report.header(Experiment(other, "CartPole-v1", 1000, (0,)), Path("runs/x"), known, header)
    assert "settings    changed from the preset of this pair, tuned" in header.getvalue()


@pytest.mark.parametrize("algo, env", [pair for pair, p in PRESETS.items() if p.tuned])
def test_results_are_those_that_are_stored(algo: str, env: str) -> None:
    """The result is that of exactly these settings and this budget; what a setting's default was then, it still is."""
    known, path = PRESETS[algo, env], stored(algo, env)
    if "success" in known.result:  # goals have a file of their own
        rows: Any = json.loads((RESULTS / "goals.json").read_text())["tasks"].values()
        row = next(r for r in rows if (r["algorithm"], r["env"], r["hindsight"] > 0) == (algo, env, True))
        success = np.array(row["success"])
        assert known.result == (
            f"success {success.mean():.2f}, worst {success.min():.2f} of {len(success)} seeds"
        )
        return
    r = json.loads(path.read_text())
    now = settings.to_json(known.algo)
    for s in (r["settings"], now):  # a horizon within the run is its end
        s |= {"lr_horizon": max(s.get("lr_horizon", 0.0), float(known.env_steps))}
    assert r["settings"].items() <= now.items()
    assert known.env_steps <= r["env_steps"] <= known.env_steps * 1.05
    x = np.array(r["final_return"])
    words = known.result.replace(",", "").split()
    if "one seed" in known.result:
        said = [float(words[0]), float(words[0]), 1]
    else:
        said = [float(words[words.index(w) + 1]) for w in ("mean", "worst", "of")]
    assert said[2] == len(x)
    digits = words[1 if "mean" in words else 0].partition(".")[2]
    np.testing.assert_allclose(said[:2], [x.mean(), x.min()], atol=0.51 * 10.0 ** -len(digits))
