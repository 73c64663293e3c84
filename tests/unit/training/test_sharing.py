"""Devices that share the environments of one seed learn what one device learns, in one process or in two."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conftest import small
from swingup import sharing
from swingup.algos import ALGOS
from swingup.envs import Hosted, make
from swingup.errors import ConfigError
from swingup.training import parallel

TESTS = Path(__file__).parents[2]

ONE_PROCESS = """
import jax

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_disable_most_optimizations", True)

from conftest import arrays, same_bits, small
from swingup.envs import make
from swingup.training import driver, parallel
import numpy as np

algo, env = small({name!r}), make({env!r}, small({name!r}).num_envs)

def trained(seeds, devices):
    state = driver.begin(algo, env, seeds, devices=devices)
    return driver.run(algo, env, state, 4, every=[1], devices=devices)  # what a chunk returns, the next one takes

def held(state):
    first = lambda tree: jax.tree.leaves(tree)[0]
    return [first(x).sharding.shard_shape(first(x).shape)[:2] for x in (state.actor.obs, state.learner)]

one, two = trained([4], 1), trained([4], 2)
(alone, _), (shared, learner) = held(one), held(two)
assert shared == (1, algo.num_envs // 2) and alone == (1, algo.num_envs), (shared, alone)
assert learner == jax.tree.leaves(two.learner)[0].shape[:2]  # every device has all of what learns
assert same_bits(parallel.alone(two.learner), two.learner)
assert {{len(x.sharding.device_set) for x in jax.tree.leaves(parallel.alone(two.learner))}} == {{1}}
np.savez({out!r} + "1", *arrays((one.learner, one.actor)))
np.savez({out!r} + "2", *arrays((two.learner, two.actor)))
"""

BOTH = """
assert same_bits(trained([4], 2), two)  # what is repeated is the same
asked, usual = trained([4, 5], 2), trained([4, 5], None)
assert held(asked)[0] == (1, algo.num_envs) == held(usual)[0]  # a seed each
assert same_bits(asked.learner, usual.learner) and same_bits(asked.actor, usual.actor)
"""


def ran(text: str, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-c", text, *arguments]
    return subprocess.Popen(command, cwd=TESTS, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=1200)
    assert process.returncode == 0, errors[-3000:]


def assert_rounded(path: str, count: int) -> None:
    """Say that what several devices have learnt is that of one, but for rounding, and that something was learnt."""
    one, other = (np.load(f"{path}{i}.npz") for i in (1, count))
    assert len(one.files) == len(other.files) > 0
    for name in one.files:
        x, y = one[name], other[name]
        if (
            x.dtype == np.uint32
        ):  # the replay's words hold floats: those of one device, and of several, as floats
            x, y = (np.where(np.isfinite(f := z.view(np.float32)), f, 0) for z in (x, y))
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4, err_msg=name)


WALKED = {
    ("ppo", "CartPole-v1"): BOTH,
    ("dqn", "CartPole-v1"): BOTH,
    ("alphazero", "pgx:tic_tac_toe"): "",  # environments that an algorithm plans in, and a window of games
}
OTHERS = {
    "CartPole-v1": ("vpg", "a2c", "trpo", "c51", "qr_dqn", "sac_discrete", "world_models"),
    "Pendulum-v1": ("ddpg", "td3", "sac", "mpc"),
    "tabular:Grid": (
        *("q_learning", "sarsa", "expected_sarsa", "double_q_learning", "td_lambda"),
        *("value_iteration", "policy_iteration"),
    ),
    "task:CartPoleSwingUp": ("pets", "mbmf", "me_trpo", "mbpo", "mve", "steve"),
    "task:PushBox": ("i2a",),
}


def walks() -> list[Any]:
    """Every algorithm: a few of all kinds, and with `--everything` the others."""
    few = [(*pair, more) for pair, more in WALKED.items()]
    rest = [(name, env, "") for env, names in OTHERS.items() for name in names]
    assert {walk[0] for walk in few + rest} == set(ALGOS)
    return few + [pytest.param(*walk, marks=pytest.mark.everything) for walk in rest]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "env", "more"), walks())
def test_devices_that_share_environments_learn_what_one_learns(
    name: str, env: str, more: str, tmp_path: Path
) -> None:
    """To rounding: sums over environments are added up in another order. Seeds that are shared have the same bits."""
    out = str(tmp_path / "learnt")
    ended(ran(ONE_PROCESS.format(name=name, env=env, out=out) + more))
    assert_rounded(out, 2)


TWO_PROCESSES = """
import sys

import jax

address, count, number, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
jax.config.update("jax_num_cpu_devices", 1)
jax.config.update("jax_disable_most_optimizations", True)
if count > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, count, number, heartbeat_timeout_seconds=3600)
assert len(jax.devices()) == count and len(jax.local_devices()) == 1

import numpy as np

from conftest import arrays, small
from swingup.envs import make
from swingup.training import driver, parallel

algo = small("ppo")
env, log = make("CartPole-v1", algo.num_envs), []
state = driver.begin(algo, env, [4], devices=count)
state = driver.run(algo, env, state, 4, callbacks=[log.append], devices=count)
assert len(state.actor.obs.sharding.device_set) == count
assert [p.iteration for p in log][-1] == 4 and np.isfinite(log[-1].metrics["loss/value"]).all()
if number == count - 1:  # what is not the first's own
    np.savez(out + str(count), *arrays(parallel.alone(state.learner)))
"""


@pytest.mark.slow
def test_two_processes_share_the_environments_of_one_seed(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    out = str(tmp_path / "learnt")
    ended(ran(TWO_PROCESSES, address, "1", "0", out))
    both = [ran(TWO_PROCESSES, address, "2", str(i), out) for i in range(2)]
    for process in both:
        ended(process)
    assert_rounded(out, 2)


class Two:
    """Two devices that share environments, as far as `shared` looks at them."""

    axis_names, size = (sharing.ENVS,), 2


def test_what_cannot_be_shared_is_refused_with_what_can(monkeypatch: pytest.MonkeyPatch) -> None:
    ppo, env = small("ppo"), make("CartPole-v1", 4)
    count = len(jax.devices())
    for asked in (0, count + 1):
        with pytest.raises(ConfigError, match=f"devices={asked} must be from 1 to {count}"):
            parallel.shared(ppo, env, 1, asked)
    monkeypatch.setattr(parallel, "mesh_of", lambda seeds, asked: Two())
    assert parallel.shared(ppo, env, 1, 2) is not None
    with pytest.raises(ConfigError, match="live on the host, where devices share seeds only"):
        parallel.shared(ppo, Hosted(env), 1, 2)  # pyright: ignore[reportArgumentType]
    odd = small("ppo", num_envs=5, num_steps=16)
    with pytest.raises(ConfigError, match=r"nor is num_envs=5\. Take devices=1, or num_envs=6"):
        parallel.shared(odd, make("CartPole-v1", 5), 3, 2)


def test_hints_do_nothing_where_no_environments_are_shared() -> None:
    """The program is the one without them."""

    def hinted(x: Any) -> Any:
        return sharing.parted(sharing.whole(x) * 2, 1)

    x = jnp.ones((2, 4))
    assert str(jax.make_jaxpr(hinted)(x)) == str(jax.make_jaxpr(lambda x: x * 2)(x))


def test_a_copy_of_the_replay_for_each_device_must_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    from swingup.replay import capacity

    dqn, env = small("dqn"), make("CartPole-v1", 2)
    one = capacity.replay_bytes(dqn, env)
    monkeypatch.setattr(capacity, "free_bytes", lambda: 3 * one)
    capacity.check_room(dqn, env, 1, copies=2)
    with pytest.raises(ConfigError, match="a copy for each of 4 devices"):
        capacity.check_room(dqn, env, 1, copies=4)
