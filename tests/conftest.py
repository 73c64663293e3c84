"""All tests share a watchdog, the small settings of each algorithm, and comparisons of trees."""

import faulthandler
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("NPROC", "1")  # one thread for each of the workers; before JAX starts

import jax
import numpy as np
import pytest

from swingup import cli
from swingup.algos import algorithm
from swingup.protocols import VecEnv

# Settings with which one iteration takes milliseconds; every algorithm in the registry needs an entry.
SMALL: dict[str, dict[str, Any]] = {
    "vpg": {"num_envs": 4, "num_steps": 16, "value_epochs": 2, "lr": 1e-3, "hidden": (16, 16)},
    "alphazero": {
        "num_envs": 4,
        "num_steps": 8,
        "simulations": 4,
        "opening": 2,
        "window": 128,
        "draws": 1,
        "batch_size": 16,
        "lr": 1e-3,
        "hidden": (16, 16),
    },
    "a2c": {"num_envs": 4, "num_steps": 5, "lr": 1e-3, "hidden": (16, 16)},
    "trpo": {
        "num_envs": 4,
        "num_steps": 16,
        "cg_iterations": 3,
        "backtracks": 3,
        "value_epochs": 2,
        "num_minibatches": 2,
        "lr": 1e-3,
        "hidden": (16, 16),
    },
    "ppo": {
        "num_envs": 4,
        "num_steps": 16,
        "num_minibatches": 2,
        "epochs": 2,
        "lr": 1e-3,
        "hidden": (16, 16),
    },
    "dqn": {
        "num_envs": 2,
        "num_steps": 4,
        "replay_ratio": 0.25,
        "lr": 1e-3,
        "batch_size": 8,
        "replay_size": 64,
        "warmup": 16,
        "target_period": 3,
        "hidden": (16, 16),
    },
    "c51": {
        "num_envs": 2,
        "num_steps": 4,
        "replay_ratio": 0.25,
        "lr": 1e-3,
        "batch_size": 8,
        "replay_size": 64,
        "warmup": 16,
        "target_period": 3,
        "atoms": 11,
        "hidden": (16, 16),
    },
    "qr_dqn": {
        "num_envs": 2,
        "num_steps": 4,
        "replay_ratio": 0.25,
        "lr": 1e-3,
        "batch_size": 8,
        "replay_size": 64,
        "warmup": 16,
        "target_period": 3,
        "quantiles": 5,
        "hidden": (16, 16),
    },
    "ddpg": {
        "num_envs": 2,
        "num_steps": 4,
        "replay_ratio": 0.25,
        "lr": 1e-3,
        "batch_size": 8,
        "replay_size": 64,
        "warmup": 16,
        "hidden": (16, 16),
    },
    "td3": {
        "num_envs": 2,
        "num_steps": 4,
        "replay_ratio": 0.5,
        "lr": 1e-3,
        "batch_size": 8,
        "replay_size": 64,
        "warmup": 16,
        "hidden": (16, 16),
    },
    "sac": {
        "num_envs": 2,
        "num_steps": 4,
        "replay_ratio": 0.25,
        "lr": 1e-3,
        "batch_size": 8,
        "replay_size": 64,
        "warmup": 16,
        "hidden": (16, 16),
    },
    "sac_discrete": {
        "num_envs": 2,
        "num_steps": 4,
        "replay_ratio": 0.25,
        "lr": 1e-3,
        "batch_size": 8,
        "replay_size": 64,
        "warmup": 16,
        "hidden": (16, 16),
    },
    "mbmf": {
        "num_envs": 2,
        "num_steps": 4,
        "trials": 2,
        "rounds": 1,
        "horizon": 3,
        "candidates": 8,
        "search_iterations": 2,
        "elites": 2,
        "looks": 2,
        "model_steps": 2,
        "model_hidden": (8,),
        "replay_size": 64,
        "imitation_steps": 2,
        "batch_size": 8,
        "num_minibatches": 2,
        "lr": 1e-3,
        "hidden": (16, 16),
    },
    "me_trpo": {
        "num_envs": 2,
        "num_steps": 4,
        "members": 2,
        "looks": 2,
        "model_steps": 2,
        "model_batch": 8,
        "model_hidden": (8,),
        "replay_size": 64,
        "warmup": 16,
        "imagined_envs": 4,
        "horizon": 4,
        "updates": 4,
        "score_every": 2,
        "patience": 4,
        "score_starts": 3,
        "value_epochs": 1,
        "num_minibatches": 2,
        "lr": 1e-3,
        "hidden": (16, 16),
    },
    "mbpo": {
        "num_envs": 2,
        "num_steps": 4,
        "replay_ratio": 0.25,
        "members": 3,
        "elites": 2,
        "looks": 2,
        "model_steps": 2,
        "model_batch": 8,
        "model_hidden": (8,),
        "imagined_envs": 4,
        "imagined_size": 32,
        "branch_end": 2,
        "branch_to": 100.0,
        "real_share": 0.25,
        "lr": 1e-3,
        "batch_size": 8,
        "replay_size": 64,
        "warmup": 16,
        "hidden": (16, 16),
    },
    "mve": {
        "num_envs": 2,
        "num_steps": 4,
        "replay_ratio": 0.25,
        "horizon": 2,
        "looks": 2,
        "model_steps": 2,
        "model_batch": 8,
        "model_hidden": (8,),
        "lr": 1e-3,
        "batch_size": 8,
        "replay_size": 64,
        "warmup": 16,
        "hidden": (16, 16),
    },
    "steve": {
        "num_envs": 2,
        "num_steps": 4,
        "replay_ratio": 0.25,
        "horizon": 2,
        "members": 2,
        "critics": 2,
        "looks": 2,
        "model_steps": 2,
        "model_batch": 8,
        "model_hidden": (8,),
        "lr": 1e-3,
        "batch_size": 8,
        "replay_size": 64,
        "warmup": 16,
        "hidden": (16, 16),
    },
    "i2a": {
        "num_envs": 2,
        "num_steps": 4,
        "depth": 2,
        "model_filters": 3,
        "code": 3,
        "lr": 1e-3,
        "hidden": (4,),
    },
    "world_models": {
        "num_envs": 4,
        "num_steps": 4,
        "population": 4,
        "latents": 3,
        "vision_width": 8,
        "vision_iterations": 1,
        "vision_steps": 2,
        "batch_size": 8,
        "model_width": 5,
        "mixtures": 2,
        "model_iterations": 1,
        "model_steps": 2,
        "model_batch": 4,
        "length": 2,
        "lr": 1e-3,
        "replay_size": 64,
        "tries": 2,
        "horizon": 3,
    },
    "q_learning": {"num_envs": 2, "num_steps": 4},
    "sarsa": {"num_envs": 2, "num_steps": 4, "lam": 0.5},
    "expected_sarsa": {"num_envs": 2, "num_steps": 4},
    "double_q_learning": {"num_envs": 2, "num_steps": 4},
    "td_lambda": {"num_envs": 2, "num_steps": 4},
    "value_iteration": {"num_envs": 2, "num_steps": 4},
    "policy_iteration": {"num_envs": 2, "num_steps": 4},
    "mpc": {
        "num_envs": 2,
        "num_steps": 4,
        "horizon": 3,
        "candidates": 8,
        "search_iterations": 2,
        "elites": 2,
    },
    "pets": {
        "num_envs": 2,
        "num_steps": 4,
        "horizon": 3,
        "candidates": 8,
        "search_iterations": 2,
        "elites": 2,
        "particles": 2,
        "members": 2,
        "looks": 2,
        "gradient_steps": 2,
        "batch_size": 8,
        "lr": 1e-3,
        "replay_size": 64,
        "hidden": (8,),
    },
}
# pytest-timeout interrupts a slow test; this ends the process with all stacks if even that cannot (a deadlock in C++).
faulthandler.dump_traceback_later(3600, exit=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reseed", type=int, default=0, help="other random numbers in every test: 0 for its own"
    )
    parser.addoption(
        "--everything",
        action="store_true",
        help="with the slow tests: every algorithm with every kind of environment, and what `everything` marks",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, unless everything is asked for, the slow tests of what others prove in another way."""
    if not config.getoption("--everything"):
        left = [item for item in items if item.get_closest_marker("everything")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("everything")]


def pytest_configure(config: pytest.Config) -> None:
    """With `--reseed K` every key and generator is another: right code must pass with any."""
    k = config.getoption("--reseed")
    if not k:
        return
    key, generator = jax.random.key, np.random.default_rng

    def other_key(seed: Any, **how: Any) -> jax.Array:
        return jax.random.fold_in(key(seed, **how), k)

    def other_generator(seed: Any = None) -> np.random.Generator:
        return generator([seed, k] if isinstance(seed, int) else seed)

    jax.random.key, np.random.default_rng = other_key, other_generator


@dataclass
class Idle(VecEnv):
    """What `init` and a replay read of environments that nobody steps."""

    name: str
    num_envs: int
    observation_space: Any
    action_space: Any
    goal_reward: Any = None
    stacked: bool = False
    stateful: bool = True
    jittable: bool = False


def small(name: str, **changes: Any) -> Any:
    """An algorithm with small settings."""
    return algorithm(name)(**(SMALL[name] | changes))


def late(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Parameters of which the slow tests have all, and the fast ones those of `quick`: one of each kind.

    A tuple is the values of several parameters.
    """

    def slow(x: Any) -> Any:
        return pytest.param(*(x if isinstance(x, tuple) else (x,)), marks=pytest.mark.slow)

    return [x if x in quick else slow(x) for x in values]


def arrays(tree: Any) -> list[np.ndarray]:
    """The leaves of a tree on the host, PRNG keys as their data."""

    def host(x):
        return np.asarray(
            jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        )

    return [host(x) for x in jax.tree.leaves(tree)]


def same_bits(a: Any, b: Any) -> bool:
    """Both trees have equal structure, and all their leaves equal bytes."""
    if jax.tree.structure(a) != jax.tree.structure(b):
        return False
    pairs = zip(arrays(a), arrays(b), strict=True)
    return all(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in pairs)


SEEDS = range(8)  # of a test of learning


def half_of(x: Any) -> np.ndarray:
    """What half of the seeds, the first axis, do not exceed: the fourth smallest of eight.

    A test of learning trains eight seeds side by side, and half of them must keep its bound. If one seed misses it with
    probability p, right code fails with a probability of at most 56 p⁵; `benchmarks/false_alarms.py` measures p.
    """
    x = np.sort(np.asarray(x, np.float64), 0)
    return x[(len(x) - 1) // 2]


def assert_close(a: Any, b: Any, tolerance: float) -> None:
    """All leaves agree to an absolute and relative tolerance."""
    for x, y in zip(arrays(a), arrays(b), strict=True):
        np.testing.assert_allclose(x.astype(np.float64), y.astype(np.float64), rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Programs compiled by tests, and by the commands they start, are kept together for the session."""
    base = tmp_path_factory.getbasetemp()  # each worker of pytest-xdist has its own, in one of the session
    cache = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "jax-cache")
    cache = os.environ.get("SWINGUP_TEST_CACHE", cache)  # .ci/run: one for both suites
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


OPTIMISED = (
    "every_bit[ppo-",
    "nothing[ppo-",
    "exact[ppo-",
    "test_kill",
    "test_conjugate_gradient",
    "regulator",
    "bandit",
    "one_hot_states",
    "probes_are_solved",
    "find_the_exact_answer",
)


@pytest.fixture(autouse=True)
def _compiler(request: pytest.FixtureRequest) -> None:
    """Where bits or a compiler's fault matter, programs as users run them; elsewhere without optimisations,
    which takes half the time."""
    plain = not any(name in request.node.nodeid for name in OPTIMISED)
    jax.config.update("jax_disable_most_optimizations", plain)


@pytest.fixture(scope="module", autouse=True)
def _programs() -> Iterator[None]:
    """A module's programs are freed after it, because a process may map a limited number of pieces of memory."""
    yield
    jax.clear_caches()


def command(capsys: pytest.CaptureFixture[str], *args: Any) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command, run in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        cli.main([str(a) for a in args])
    out, err = capsys.readouterr()
    return int(exit_.value.code or 0), out, err


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A `chromium.Browser` for the tests of the docs, beside which it lives; without one they skip and say so."""
    import chromium

    with chromium.opened(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


class Compiled(logging.Handler):
    """What JAX compiles while its log is listened to."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("Compiling "):
            self.names.append(text.split()[1])

    def count(self, name: str) -> int:
        return sum(f"({name})" in one for one in self.names)
