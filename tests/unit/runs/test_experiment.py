"""The Python interface is tested: runs, sweeps, a user's own environment, damaged files, faults of the environment."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import swingup
from conftest import same_bits, small
from swingup import Box, Discrete, Transition, runs
from swingup.runs import experiment, settings
from swingup.runs.experiment import Experiment
from swingup.runs.log import CSVLog, from_csv, summarise, to_csv


class Gym:
    """A user's environment in gymnax's form: reach 1 on a line; observations turn NaN at `nan_at` if set."""

    def __init__(self, nan_at: int = -1, reward_nan: bool = False):
        self.nan_at, self.reward_nan = nan_at, reward_nan

    @property
    def default_params(self) -> None:
        return None

    def observation_space(self, params: Any) -> Box:
        return Box.of(-2.0, 2.0, (2,))

    def action_space(self, params: Any) -> Box:
        return Box.of([-1.0, 0.0], [1.0, 5.0], (2,))

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, dict]:
        state = {"x": jax.random.uniform(key, minval=-1.0), "time": 0}
        return self.observe(state), state

    def step_env(self, key: jax.Array, state: dict, action: jax.Array, params: Any) -> tuple:
        state = {"x": jnp.clip(state["x"] + 0.1 * action[0], -2.0, 2.0), "time": state["time"] + 1}
        bad = self.reward_nan & (state["time"] == self.nan_at)
        reward = jnp.where(bad, jnp.nan, -jnp.abs(state["x"] - 1))
        return self.observe(state), state, reward, state["x"] > 1.5, {}

    def is_truncated(self, state: dict, params: Any) -> Any:
        return state["time"] >= 50

    def observe(self, state: dict) -> jax.Array:
        bad = (not self.reward_nan) & (state["time"] == self.nan_at)
        return jnp.where(bad, jnp.nan, jnp.array([state["x"], state["time"] / 50]))


def test_train_save_load(tmp_path: Path) -> None:
    """A run's results and policy survive a round trip; its curves have a row per seed."""
    run = swingup.train(small("ppo"), "CartPole-v1", env_steps=640, seeds=[5, 9])
    assert run.final_return.shape == (2,)
    assert run.metrics["ep/return"].shape == (2, 10)
    np.testing.assert_array_equal(run.metrics["seed"][:, 0], [5, 9])
    loaded = swingup.load(run.save(tmp_path / "run"))
    assert same_bits(loaded.state, run.state)
    assert loaded.result == run.result
    np.testing.assert_array_equal(loaded.metrics["loss/value"], run.metrics["loss/value"])
    obs = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    np.testing.assert_array_equal(run.policy(obs, seed=9), loaded.policy(obs, seed=9))
    assert run.policy(obs[0]) == run.policy(obs, seed=5)[0]


def test_own_environment(tmp_path: Path) -> None:
    """A class with reset_env and step_env trains, evaluates, saves; loading needs it again, and says so."""
    run = swingup.train(small("ppo"), Gym(), env_steps=256, seeds=2, out=tmp_path / "run")
    action = run.policy(np.zeros((7, 2), np.float32))
    assert action.shape == (7, 2)
    assert np.all((action >= [-1, 0]) & (action <= [1, 5]))
    with pytest.raises(swingup.ConfigError, match="environment is your own"):
        swingup.load(tmp_path / "run")
    loaded = swingup.load(tmp_path / "run", env=Gym())
    np.testing.assert_array_equal(loaded.policy(np.zeros(2)), run.policy(np.zeros(2)))
    assert runs.resume(tmp_path / "run", env=Gym(), env_steps=512).result["env_steps"] == 512


def test_host_environment() -> None:
    """`train` takes a VecEnv as it is, on the host too; evaluation plays in rounds of its size."""
    env = swingup.Hosted(swingup.make("CartPole-v1", 4))  # type: ignore[arg-type]
    host = swingup.train(small("ppo"), env, env_steps=128, seeds=2, episodes=6)
    device = swingup.train(small("ppo"), "CartPole-v1", env_steps=128, seeds=2, episodes=6)
    np.testing.assert_allclose(host.metrics["loss/value"], device.metrics["loss/value"], rtol=1e-4)
    assert host.final_return.shape == (2,)


@pytest.mark.parametrize("reward, what", [(False, "an observation"), (True, "a reward")])
def test_nan_from_the_environment_is_named(tmp_path: Path, reward: bool, what: str) -> None:
    """It says what and when, and keeps the last good checkpoint: 16 env steps an iteration, NaN at the 40th."""
    out = tmp_path / "run"
    env = Gym(40, reward_nan=reward)
    with pytest.raises(
        swingup.NonFiniteError, match=rf"{what} .* iteration 3, between env steps 128 and 192"
    ):
        swingup.train(small("ppo"), env, env_steps=1280, out=out, checkpoint_interval=1)
    loaded = swingup.load(out, env=env)
    assert all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(loaded.state.learner.params))
    assert {int(r["iteration"]) for r in loaded.rows} == {1, 2}


@pytest.mark.slow
def test_sweep_is_one_program_and_equals_single_runs() -> None:
    """One learning rate per seed, vmapped."""
    rates = np.array([1e-4, 3e-3])
    sweep = swingup.train(small("ppo", lr=rates), "CartPole-v1", env_steps=256, seeds=[1, 1 + 1])
    for i, lr in enumerate(rates):
        alone = swingup.train(small("ppo", lr=float(lr)), "CartPole-v1", env_steps=256, seeds=[1 + i])
        np.testing.assert_allclose(sweep.metrics["loss/value"][i], alone.metrics["loss/value"][0], rtol=1e-3)
    assert sweep.result["settings"]["lr"] == pytest.approx([1e-4, 3e-3])


def test_decay_reaches_zero_at_the_end_of_the_run() -> None:
    e = Experiment(small("ppo", lr_decay=True), "CartPole-v1", 1000, (0,))
    assert e.iterations == 16
    assert e.resolved().lr_horizon == 16 * 64
    later = Experiment(small("ppo", lr_decay=True, lr_horizon=5000.0), "CartPole-v1", 1000, (0,))
    assert later.resolved().lr_horizon == 5000.0
    sooner = Experiment(small("ppo", lr_decay=True, lr_horizon=5.0), "CartPole-v1", 1000, (0,))
    assert sooner.resolved().lr_horizon == 16 * 64  # no run goes on with a learning rate of zero


def test_preset_or_defaults() -> None:
    assert swingup.preset("ppo", "CartPole-v1") is not None
    assert swingup.preset("ppo", "gymnax:Catch-bsuite") is None
    with pytest.raises(swingup.ConfigError, match=r"unknown environment 'Kartpole.*CartPole-v1"):
        swingup.preset("ppo", "Kartpole-v1")


def test_a_name_trains_for_as_long_as_its_preset_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swingup.runs, "execute", lambda e, path, **_: e)
    meant: Any = {
        swingup.train("ppo", "CartPole-v1"): 100_000,
        swingup.train("ppo", "CartPole-v1", env_steps=999): 999,
        swingup.train("ppo", "gymnax:Catch-bsuite"): 500_000,
        swingup.train(swingup.PPO(), "CartPole-v1"): 500_000,
    }
    assert {e.env_steps for e in meant} == {100_000, 999, 500_000}
    assert all(e.env_steps == env_steps for e, env_steps in meant.items())


@pytest.mark.parametrize(
    "how, says",
    [
        ({"seeds": []}, "seeds must name at least one"),
        ({"seeds": [1, 1]}, "distinct"),
        ({"seeds": [2**32]}, "seeds must be at least 0 and at most 4294967295"),
        ({"env_steps": -5}, "env_steps must be at least 1"),
        ({"episodes": 0}, "episodes must be at least 1"),
        ({"env": object()}, "is not an environment"),
        ({"algo": small("ppo", lr=np.ones(3))}, "lr has 3 values for 1 seeds"),
        ({"algo": "pppo"}, "did you mean 'ppo'"),
    ],
)
def test_impossible_settings(how: dict[str, Any], says: str) -> None:
    given = {"algo": small("ppo"), "env": "CartPole-v1", "env_steps": 64} | how
    with pytest.raises(swingup.ConfigError, match=says):
        swingup.train(given.pop("algo"), given.pop("env"), **given)


def test_settings_round_trip_through_json() -> None:
    for algo in (
        small("ppo"),
        small("ppo", target_kl=0.02, lr=np.array([0.5, 0.25], np.float32), hidden=(3,)),
    ):
        text = json.dumps(settings.to_json(algo))
        again = settings.from_json(json.loads(text))
        for f in dataclasses.fields(algo):
            np.testing.assert_array_equal(getattr(again, f.name), getattr(algo, f.name))


@pytest.mark.parametrize(
    "damage",
    [
        {"format": 2},
        {"algo": None},
        {"algo": {"name": "ppo", "lrr": 1.0}},
        {"algo": {"name": "ppo", "lr": "fast"}},
        {"algo": {"name": "ppo", "num_envs": 4.0}},
        {"algo": {"name": "os"}},
        {"env": 3},
        {"env": "gymnax:Nothing"},
        {"seeds": "0"},
        {"seeds": [0.5]},
        {"seeds": []},
        {"env_steps": None},
        {"episodes": True},
        {"log_interval": "1"},
    ],
)
def test_damaged_config_is_refused(damage: dict[str, Any], tmp_path: Path) -> None:
    """Whatever stands in config.json, the answer is a ConfigError, never another exception."""
    good = Experiment(small("ppo"), "CartPole-v1", 640, (0,)).to_json()
    assert Experiment.from_json(json.loads(json.dumps(good))).to_json() == good
    (tmp_path / "config.json").write_text(json.dumps(good | damage))
    with pytest.raises(swingup.ConfigError):
        _ = experiment.read_config(tmp_path).iterations, experiment.read_config(tmp_path).env_name


def test_rows_survive_csv_and_a_torn_tail() -> None:
    """Floats come back exactly; a blank is NaN; a line cut anywhere is dropped."""
    rows = [
        {"seed": 0, "iteration": i, "env_steps": 7 * i, "seconds": 0.1, "a": 1 / (i + 3), "b": float("nan")}
        for i in range(3)
    ]
    text = to_csv(rows, header=True)
    np.testing.assert_equal(from_csv(text), rows)
    for cut in range(text.rstrip().rfind("\n") + 1, len(text)):
        np.testing.assert_equal(from_csv(text[:cut]), rows[:2])


def test_window_summary_weights_by_episodes() -> None:
    """C3: means over episodes are over episodes, not over iterations, and nothing ended is NaN, not a crash."""
    nan = np.nan
    metrics = {
        "ep/count": np.array([[1, 3, 0], [0, 0, 0]]),
        "ep/return": np.array([[10.0, 2.0, nan], [nan, nan, nan]]),
        "ep/return_last100": np.array([[1.0, 2.0, 3.0], [nan, nan, nan]]),
        "kl": np.array([[0.0, 0.5, 1.0], [1.0, 1.0, 1.0]]),
        "nonfinite/obs": np.zeros((2, 3)),
    }
    out = summarise(metrics)
    np.testing.assert_allclose(out["ep/return"], [4.0, nan])
    np.testing.assert_allclose(out["ep/count"], [4, 0])
    np.testing.assert_allclose(out["ep/return_last100"], [3.0, nan])
    np.testing.assert_allclose(out["kl"], [0.5, 1.0])
    assert "nonfinite/obs" not in out


def test_log_rows_do_not_depend_on_slices() -> None:
    """The driver may look in the middle of a window; the row is that of the window."""

    class Progress:
        algo, clock, iterations = small("dqn"), swingup.training.driver.Clock(), 4

        def __init__(self, iteration: int, values: list[float]):
            self.iteration = iteration
            self.metrics = {"ep/count": np.ones((1, len(values))), "kl": np.array([values])}

    found = []
    for slices in ([[1.0, 2.0, 3.0, 6.0]], [[1.0], [2.0, 3.0], [6.0]]):
        log, done = CSVLog(None, [0], 4), 0
        for part in slices:
            done += len(part)
            log(Progress(done, part))  # type: ignore[arg-type]
        found.append(log.rows)
    assert found[0] == found[1]
    assert found[0][0]["kl"] == 3.0
    assert found[0][0]["env_steps"] == 16 + 4 * 2 * 4  # the warm-up, then four iterations of N T


def test_public_names() -> None:
    """`swingup.__all__` is the whole public surface, every name resolves, and none is hidden by a module."""
    assert set(dir(swingup)) == set(swingup.__all__)
    for name in swingup.__all__:
        assert type(getattr(swingup, name)).__name__ != "module"
        assert not (Path(swingup.__file__).parent / f"{name}.py").exists()
    with pytest.raises(AttributeError):
        _ = swingup.nothing  # type: ignore[attr-defined]
    assert isinstance(Discrete(2).n, int)
    assert Transition._fields == ("obs", "reward", "terminated", "truncated")
