"""Some answers are tried in a real training, where the learner's text takes the place of the library's.

A NumPy function cannot be compiled. But NumPy and `jax.numpy` share most of their functions, so the learner's file is
loaded once more, and its name `np` is then made to mean `jax.numpy`. The start files say what that asks for: whole
arrays, no loops, no `if` on numbers.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from swingup import counters
from swingup.algos.ppo import PPO, Batch, Learner
from swingup.distributions import Distribution, Normal
from swingup.envs import make
from swingup.errors import SwingupError
from swingup.learn import exercise
from swingup.nets.actor_critic import MLP
from swingup.normalise import Off
from swingup.optimisers import fresh
from swingup.presets import preset
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.returns import k3, standardise
from swingup.rollout import start
from swingup.training import driver, machine
from swingup.types import State

SEEDS = 10


def loaded(name: str, path: Path) -> Callable[..., Any]:
    """Load the learner's function such that `np` means `jax.numpy` in it."""
    spec = importlib.util.spec_from_file_location("answer", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["np"] = jnp
    return vars(module)[exercise(name).name]


@contextmanager
def traced() -> Iterator[None]:
    """Say in one sentence what the learner's text has that JAX cannot compile. Raises `SwingupError`."""
    try:
        yield
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError, AttributeError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise SwingupError(
            "your answer is right, but JAX cannot compile it: work on whole arrays, without loops, without `if` on "
            f"numbers, and without assignments to parts of an array ({type(error).__name__}: {first})"
        ) from error


def trained(algo: Algorithm, env: VecEnv, env_steps: int) -> tuple[State, dict[str, np.ndarray]]:
    """Train all seeds side by side; their last state, and their metrics {name: [S, iterations]}."""
    parts: list[dict[str, np.ndarray]] = []
    iterations = -(-env_steps // algo.env_steps_per_iteration)
    seeds = list(range(SEEDS))

    def keep(progress: driver.Progress) -> None:
        parts.append(progress.metrics)

    with traced():
        state = driver.run(algo, env, driver.begin(algo, env, seeds), iterations, callbacks=[keep])
    return state, {name: np.concatenate([part[name] for part in parts], 1) for name in parts[0]}


def ppo_with_loss(path: Path) -> int:
    """Train PPO on CartPole with the learner's loss: 0 if half of the seeds balance the pole."""
    policy_loss = loaded("c5", path)

    @hyperparameters
    class Mine(PPO):  # an algorithm is copied, not inherited from; but here only one line is to be another
        def loss(self, params: Any, b: Batch) -> tuple[Array, dict[str, Array]]:
            """Return the learner's loss of the policy, with the library's of the value."""
            pi, value = params(b.obs, b.legal)
            logp = pi.log_prob(b.action)
            mine = policy_loss(logp, b.logp_old, standardise(b.adv), self.clip)
            l_value, entropy = jnp.square(value - b.target).mean(), pi.entropy().mean()
            loss = mine + self.c_value * l_value - self.c_entropy * entropy
            kl = k3(jnp.exp(logp - b.logp_old))
            return loss, {"loss/policy": mine, "loss/value": l_value, "entropy": entropy, "kl": kl}

    p = preset("ppo", "CartPole-v1")
    assert p
    algo = Mine(**vars(p.algo))
    machine.set_up(algo, SEEDS)
    begun = time.perf_counter()
    _, metrics = trained(algo, make("CartPole-v1", algo.num_envs), p.env_steps)
    last = np.sort(metrics["ep/return_last100"][:, -1])
    print(f"{SEEDS} seeds, {p.env_steps:,} env steps each, in {time.perf_counter() - begun:.0f} s.")
    print(f"mean return of the last 100 episodes, by seed: {' '.join(f'{x:.0f}' for x in last)}")
    good = float(np.median(last)) >= 195
    said = "your agents balance the pole." if good else "your agents did not learn."
    print(f"median {np.median(last):.0f}, of 500: {said}")
    return 0 if good else 1


class Network(eqx.Module):
    """The learner's policy stands beside a value function of the library's."""

    weights: dict[str, Array]
    critic: MLP
    answer: Callable[..., Any] = eqx.field(static=True)

    def policy(self, obs: Array, legal: Array | None = None) -> Distribution:
        """Return π(·|s) of observations [..., O]; the learner's function sees a batch [B, O]."""
        mean, std = self.answer(self.weights, obs.reshape(-1, obs.shape[-1]))
        shape = (*obs.shape[:-1], mean.shape[-1])
        return Normal(mean.reshape(shape), jnp.log(std).reshape(shape))

    def value(self, obs: Array) -> Array:
        """Return V(s): [...]."""
        return self.critic(obs)[..., 0]

    def __call__(self, obs: Array, legal: Array | None = None) -> tuple[Distribution, Array]:
        return self.policy(obs, legal), self.value(obs)


def ppo_with_network(path: Path) -> int:
    """Train PPO on probe:ContinuousTarget with the learner's network: 0 if half of the seeds find the best action."""
    answer, hidden = loaded("a3", path), 16

    @hyperparameters
    class Mine(PPO):  # as above
        def init(self, env: VecEnv, key: Array) -> State:
            """Make the learner's network, and all else as PPO does."""
            k_net, k_critic, k_env, key = jax.random.split(key, 4)
            obs, dims = env.observation_space.shape[0], env.action_space.shape[0]
            weights = {
                "W1": jax.random.normal(k_net, (obs, hidden)),
                "b1": jnp.zeros(hidden),
                "W2": jnp.zeros((hidden, dims)),
                "b2": jnp.zeros(dims),
                "log_std": jnp.zeros(dims),
            }
            params: Any = Network(weights, MLP((obs, hidden, 1), "tanh", 1.0, key=k_critic), answer)
            learner = Learner(
                params, fresh(self.optimizer(jnp.int32(0)), params), counters.counter(), Off(), Off()
            )
            return State(learner, start(env, k_env), key)

    algo = Mine(num_envs=16, num_steps=16, lr=3e-3, epochs=4, c_entropy=0.0)
    machine.set_up(algo, SEEDS)
    env = make("probe:ContinuousTarget", algo.num_envs)
    state, _ = trained(algo, env, 30_000)
    means = jax.vmap(lambda net: net.policy(jnp.zeros((1, 1))).mode()[0, 0])(state.learner.params)
    played = np.sort(2.5 + 1.5 * np.clip(np.asarray(means), -1, 1))
    print(f"the action that each seed's agent plays: {' '.join(f'{x:.2f}' for x in played)}")
    good = abs(float(np.median(played)) - 2.0) < 0.1
    print(
        "the best action is 2: " + ("your network learnt it." if good else "your network did not learn it.")
    )
    return 0 if good else 1


TRAININGS = {"a3": ppo_with_network, "c5": ppo_with_loss}
