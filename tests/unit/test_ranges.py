"""Settings as people write them: made plain, or refused before anything is trained."""

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import swingup
from conftest import SMALL, small
from swingup import ranges, runs
from swingup.algos import ALGOS, algorithm
from swingup.runs import experiment, settings
from swingup.runs.experiment import Experiment
from swingup.training.parallel import axes

FIELDS = [(name, field, kind) for name in ALGOS for field, kind in ranges.kinds(algorithm(name)).items()]
FLOATS = [(name, f, k) for name, f, k in FIELDS if ranges.parts(k)[0] is float]
COUNTS = [(name, f, k) for name, f, k in FIELDS if ranges.parts(k)[0] is int]


def rate(name: str) -> str:
    """Return a float that an algorithm has and that may be 0.9: games and evolution have no discount."""
    return next(x for x in ("gamma", "mix", "temperature") if x in ranges.kinds(algorithm(name)))


def identity(value: Any) -> str:
    return value if isinstance(value, str) else ""


def outside(within: ranges.Within) -> list[float]:
    """Numbers just beyond each end of an interval, and the ends that do not belong to it."""
    out = [np.nan, np.inf, -np.inf]
    if within.low > -np.inf:
        out += [within.low - 1e-3, *([within.low] if within.ends[0] == "(" else [])]
    if within.high < np.inf:
        out += [within.high + 1e-3, *([within.high] if within.ends[1] == ")" else [])]
    return out


@pytest.mark.parametrize("name, field, kind", FLOATS, ids=identity)
def test_floats_out_of_range_are_refused_with_the_range(name: str, field: str, kind: Any) -> None:
    """Every float of every algorithm is tried beyond its ends, as NaN, infinite, and as one bad entry among seeds."""
    within = ranges.parts(kind)[1]
    for value in outside(within):
        with pytest.raises(swingup.ConfigError, match=rf"{field}=\S+ is out of range") as found:
            small(name, **{field: value})
        assert str(within) in str(found.value)
    if ranges.is_traced(kind):
        good = float(np.asarray(getattr(small(name), field)))
        bad = outside(within)[-1]
        with pytest.raises(swingup.ConfigError, match=rf"{field}\[1\]=\S+ is out of range"):
            small(name, **{field: [good, bad]})


@pytest.mark.parametrize("name, field, kind", COUNTS, ids=identity)
def test_counts_out_of_range_are_refused(name: str, field: str, kind: Any) -> None:
    for value in (ranges.parts(kind)[1].low - 1, -5):
        with pytest.raises(swingup.ConfigError, match=f"{field} must be at least"):
            small(name, **{field: value})
    for value in (True, 2.5, "4", None, [4], np.nan, np.inf, 4j, lambda: 4):
        with pytest.raises(swingup.ConfigError, match=f"{field} must be a whole number"):
            small(name, **{field: value})


def test_ranges_that_a_mathematician_would_expect() -> None:
    """The table itself, of the names that several algorithms share: 0 and 1 belong to it or not."""
    found = {f: str(ranges.parts(k)[1]) for _, f, k in FLOATS}
    expected = {
        "gamma": "[0, 1]",
        "lam": "[0, 1]",
        "tau": "(0, 1]",
        "clip": "(0, ∞)",
        "epsilon_end": "[0, 1]",
        "actor_lr": "[0, ∞)",
        "shrink": "(0, 1)",
        "kappa": "[0, ∞)",
    }
    assert {f: found[f] for f in expected} == expected


@pytest.mark.parametrize(
    "name, how, says",
    [
        ("c51", {"v_min": 10.0, "v_max": 10.0}, r"v_min=10.0 must be below v_max=10.0"),
        ("c51", {"v_min": [0.0, 20.0], "v_max": 10.0}, "must be below v_max"),
        ("sac", {"alpha": 0.0}, "alpha=0 is no temperature to learn from"),
        ("sac", {"alpha": [0.5, 0.0]}, "alpha=0 is no temperature to learn from"),
        ("sac_discrete", {"alpha": 0}, "alpha=0 is no temperature to learn from"),
        ("ppo", {"target_kl": 0}, r"target_kl=0 .* \(0, ∞\)"),
        ("ppo", {"target_kl": [0.1, 0.2]}, "target_kl must be a number, not"),
        ("dqn", {"replay_ratio": [0.25, 0.5]}, "replay_ratio must be a number, not"),
        ("ppo", {"lr": "3e-4"}, "write 0.0003 without quotes"),
        ("ppo", {"lr": lambda x: x}, "lr must be a number"),
        ("ppo", {"lr": []}, "lr must be a number"),
        ("ppo", {"lr": [[1e-3], [1e-3]]}, "lr must be a number"),
        ("ppo", {"lr": [True, False]}, "lr must be a number"),
        ("ppo", {"lr": True}, "lr must be a number"),
        ("ppo", {"lr_decay": 2}, "lr_decay must be True or False"),
        ("ppo", {"lr_decay": "no"}, "lr_decay must be True or False"),
        ("ppo", {"hidden": []}, "hidden must name at least one"),
        ("ppo", {"hidden": "64"}, "hidden must be a whole number"),
        ("ppo", {"hidden": (64, 0)}, "hidden must be at least 1"),
        ("ppo", {"hidden": (64, 1.5)}, "hidden must be a whole number"),
        ("ppo", {"activation": 3}, "activation must be text"),
        ("td3", {"delay": 0}, "delay must be at least 1"),
    ],
    ids=identity,
)
def test_impossible_values_are_refused(name: str, how: dict[str, Any], says: str) -> None:
    with pytest.raises(swingup.ConfigError, match=says):
        small(name, **how)


@pytest.mark.parametrize(
    "how, plain",
    [
        ({"num_envs": np.int64(4)}, 4),
        ({"num_steps": 16.0}, 16),
        ({"num_steps": np.array(16)}, 16),
        ({"num_steps": jnp.int32(16)}, 16),
        ({"hidden": [16, 16]}, (16, 16)),
        ({"hidden": 16}, (16,)),
        ({"hidden": np.array([16, 16])}, (16, 16)),
        ({"hidden": (16.0, np.int8(16))}, (16, 16)),
        ({"lr": 1}, 1.0),
        ({"lr": np.float64(0.5)}, 0.5),
        ({"lr": jnp.float32(0.5)}, 0.5),
        ({"lr": np.array(0.5)}, 0.5),
        ({"lr_decay": 1}, True),
        ({"lr_decay": np.bool_(True)}, True),
        ({"target_kl": 1}, 1.0),
        ({"activation": np.str_("relu")}, "relu"),
    ],
    ids=str,
)
def test_numbers_as_people_write_them(how: dict[str, Any], plain: Any) -> None:
    """The very types that JSON gives back, so that what can be trained can be loaded."""
    algo = small("ppo", **how)
    value = getattr(algo, next(iter(how)))
    assert type(value) is type(plain)
    assert value == plain
    assert settings.from_json(json.loads(json.dumps(settings.to_json(algo)))) == algo


def test_one_number_per_seed() -> None:
    for given in ([0.5, 0.25], (0.5, 0.25), np.array([0.5, 0.25]), jnp.array([0.5, 0.25])):
        lr = small("ppo", lr=given).lr
        assert isinstance(lr, np.ndarray)
        assert lr.dtype == np.float32
        assert lr.tolist() == [0.5, 0.25]


@pytest.mark.parametrize("name", ALGOS)
def test_settings_of_every_algorithm_survive_json(name: str) -> None:
    for algo in (algorithm(name)(), small(name), small(name, **{rate(name): [0.9, 0.99]})):
        again = settings.from_json(json.loads(json.dumps(settings.to_json(algo))))
        for f in dataclasses.fields(algo):
            old, new = getattr(algo, f.name), getattr(again, f.name)
            assert type(old) is type(new), f.name
            np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", ALGOS)
def test_jax_rebuilds_settings_without_checks(name: str) -> None:
    """JAX puts axes, placeholders and tracers in the place of floats; and a traced float may be replaced."""
    field = rate(name)
    algo = small(name, **{field: [0.5, 0.75]})
    leaves, tree = jax.tree.flatten(algo)
    hollow = jax.tree.unflatten(tree, [object()] * len(leaves))
    assert jax.tree.structure(hollow) == tree
    found = jax.vmap(lambda a: getattr(a, field) * 2, in_axes=(axes(algo),))(algo)
    np.testing.assert_array_equal(found, [1.0, 1.5])
    replaced = jax.jit(lambda a, x: getattr(dataclasses.replace(a, **{field: x}), field) + 1)(
        small(name), 7.0
    )
    assert replaced == 8.0  # 7 is out of range, but what is traced has no value to check


@pytest.mark.parametrize(
    "how, env_steps, seeds, episodes",
    [
        ({"env_steps": 1e3}, 1000, (0,), 2),
        ({"env_steps": np.int64(1000)}, 1000, (0,), 2),
        ({"env_steps": np.float32(1000)}, 1000, (0,), 2),
        ({"seeds": np.int64(2)}, 64, (0, 1), 2),
        ({"seeds": 2.0}, 64, (0, 1), 2),
        ({"seeds": np.arange(2)}, 64, (0, 1), 2),
        ({"seeds": range(3, 5)}, 64, (3, 4), 2),
        ({"seeds": [np.int32(7), 8.0]}, 64, (7, 8), 2),
        ({"seeds": {5}}, 64, (5,), 2),
        ({"episodes": 3.0}, 64, (0,), 3),
    ],
    ids=str,
)
def test_what_train_takes(
    how: dict[str, Any],
    env_steps: int,
    seeds: tuple[int, ...],
    episodes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run is defined in plain Python values, and its file gives them back."""
    found: list[Experiment] = []
    monkeypatch.setattr(runs, "execute", lambda e, *_, **__: found.append(e))
    swingup.train(small("ppo"), "CartPole-v1", **({"env_steps": 64, "episodes": 2} | how))
    e = found[0]
    assert (e.env_steps, e.seeds, e.episodes) == (env_steps, seeds, episodes)
    assert Experiment.from_json(json.loads(json.dumps(e.to_json()))) == dataclasses.replace(e, env=e.env_name)


@pytest.mark.parametrize(
    "how, says",
    [
        ({"env_steps": 10.5}, "env_steps must be a whole number"),
        ({"env_steps": "1000"}, "env_steps must be a whole number, not '1000'; write 1000 without quotes"),
        ({"env_steps": True}, "env_steps must be a whole number"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"seeds": "3"}, "seeds must be a whole number"),
        ({"seeds": [0.5]}, "seeds must be a whole number"),
        ({"seeds": [-1]}, "seeds must be at least 0"),
        ({"seeds": None}, "seeds must be a whole number"),
        ({"episodes": 0.5}, "episodes must be a whole number"),
        ({"log_interval": -1}, "log_interval must be at least 0"),
        ({"eval_interval": "often"}, "eval_interval must be a whole number"),
        ({"total_timesteps": 1000}, "it is called env_steps here"),
        ({"eval_freq": 5}, "it is called eval_interval here"),
        ({"env_step": 5}, "did you mean 'env_steps'"),
        ({"lr": 1e-3}, r"lr is a hyperparameter: swingup.train\(swingup.PPO\(lr=...\)"),
    ],
    ids=str,
)
def test_what_train_refuses(how: dict[str, Any], says: str, tmp_path: Path) -> None:
    """Before training, and before there is a directory."""
    with pytest.raises(swingup.ConfigError, match=says):
        swingup.train(small("ppo"), "CartPole-v1", **({"env_steps": 64, "out": tmp_path / "x"} | how))
    assert not (tmp_path / "x").exists()


def test_every_option_of_train_is_known_to_its_errors() -> None:
    options = [
        p.name for p in inspect.signature(swingup.train).parameters.values() if p.kind == p.KEYWORD_ONLY
    ]
    assert sorted(options) == sorted(experiment.OPTIONS)
    assert set(experiment.ELSEWHERE.values()) <= set(options)


def test_every_algorithm_declares_its_ranges() -> None:
    """No count without a least, and every float that is a rate, a share or a size with its range."""
    free = {"v_min", "v_max", "log_std_init", "initial", "target_entropy"}  # any finite number makes sense
    for name, field, kind in FLOATS + COUNTS:
        within = ranges.parts(kind)[1]
        assert field in free or within != ranges.Within(), f"{name}.{field}"
    assert set(SMALL) == set(ALGOS)
