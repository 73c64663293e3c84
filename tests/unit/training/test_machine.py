"""The command line sets some things before JAX starts, which are tested here."""

import pytest

from swingup.algos.c51 import C51
from swingup.algos.ppo import PPO
from swingup.algos.value_iteration import ValueIteration
from swingup.training import machine


@pytest.mark.parametrize(
    ("algo", "expected"),
    [
        (PPO(hidden=(64, 64)), "1"),
        (PPO(hidden=(64, 256)), None),
        (C51(hidden=(128,)), "1"),
        (C51(hidden=(128,), noisy=True), None),
        (ValueIteration(), "1"),
    ],
)
def test_one_thread_for_narrow_networks_without_noise(
    algo: object, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "devices", lambda seeds: min(seeds, 2))
    assert machine.threads(algo, 1) == expected
    assert machine.threads(algo, 2) == "1"  # cores have seeds of their own
