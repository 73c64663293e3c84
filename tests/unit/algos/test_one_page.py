"""The page that holds all of PPO is compared with the library's."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swingup import PPO, make
from swingup.training import driver

PAGE = Path(__file__).parents[3] / "examples" / "ppo_on_one_page.py"


def page() -> Any:
    spec = importlib.util.spec_from_file_location(PAGE.stem, PAGE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_a_page() -> None:
    assert PAGE.read_text().count("\n") <= 120


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_its_numbers_are_those_of_the_library(seed: int) -> None:
    """Weights and biases after five iterations, to rounding: a step of Adam alone is 2.5e-4, and there are 80."""
    told: list[str] = []
    mine = page().train(seed, 5, told.append)
    algo, env = PPO(), make("CartPole-v1", 4)
    found: list[float] = []
    callbacks = [lambda p: found.extend(p.metrics["ep/return"][0])]
    state = driver.run(algo, env, driver.init(algo, env, [seed]), 5, callbacks=callbacks)
    net = state.learner.params
    for layers, mlp in ((mine["actor"], net.actor), (mine["critic"], net.critic)):
        for (weight, bias), layer in zip(layers, mlp.layers, strict=True):
            np.testing.assert_allclose(weight, layer.weight[0], atol=1e-5)
            np.testing.assert_allclose(bias, layer.bias[0], atol=1e-5)
    assert told == [f"{512 * i:>7,} env steps   return {x:6.1f}" for i, x in enumerate(found, 1)]
