"""Seeds that two devices share learn what they learn on one, whatever the learner holds."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """
import jax
import numpy as np

jax.config.update("jax_num_cpu_devices", {devices})
jax.config.update("jax_disable_most_optimizations", True)

from conftest import arrays, small
from swingup.envs import make
from swingup.training import driver

algo = small({name!r})
env = make({env!r}, algo.num_envs * (2 if {env!r}.startswith("gymnasium") else 1))  # a host has them for all seeds
state = driver.run(algo, env, driver.begin(algo, env, [4, 5]), 2, every=[1])  # what a chunk returns, the next one takes
assert len(jax.tree.leaves(state.learner)[0].sharding.device_set) == {devices}
np.savez({out!r}, *arrays(state.learner))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "env"),
    [
        ("dqn", "CartPole-v1"),
        ("mbmf", "Pendulum-v1"),
        ("mbmf", "gymnasium:Pendulum-v1"),
    ],  # a replay; a model without variances, whose arrays are empty, also where the host steps
)
def test_two_devices_learn_what_one_learns(name: str, env: str, tmp_path: Path) -> None:
    """To rounding, which other shapes of products may change."""
    found = []
    for devices in (1, 2):
        out = tmp_path / f"{devices}.npz"
        text = PROGRAM.format(name=name, env=env, devices=devices, out=str(out))
        tests = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=tests, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found.append(np.load(out))
    assert len(found[0].files) == len(found[1].files) > 0
    for key in found[0].files:
        np.testing.assert_allclose(found[0][key], found[1][key], rtol=1e-4, atol=1e-4)
