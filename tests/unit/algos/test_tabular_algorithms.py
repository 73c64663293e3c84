"""Algorithms with tables are compared with slow loops in NumPy at each update, and with the exact fixed points."""

import itertools
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import ImageColor

from swingup import (
    SARSA,
    DoubleQLearning,
    ExpectedSARSA,
    PolicyIteration,
    QLearning,
    TDLambda,
    ValueIteration,
)
from swingup.envs import Hosted, Vec, make
from swingup.envs.adapters.tabular import Tabular
from swingup.envs.tabular import PROCESSES, random
from swingup.errors import ConfigError
from swingup.linalg import solve
from swingup.play.gridworlds import scene_of
from swingup.play.scenes import ACCENT, INK, frame
from swingup.spaces import Box, Discrete
from swingup.theory import exact
from swingup.theory.bellman import evaluate_q, fixed_point, optimality_q
from swingup.types import Rollout, Seen, State, Step

S, A, T, N = 5, 3, 40, 2
CONTROL = QLearning, ExpectedSARSA, DoubleQLearning, SARSA


def rollouts(seed: int, count: int = 2) -> list[Rollout]:
    """Episodes in N environments that end in both ways, cut in `count` rollouts [T, N]."""
    rng = np.random.default_rng(seed)
    shape = count * T, N
    obs, end = np.empty(shape, np.int32), rng.random(shape)
    terminated, truncated = end < 0.1, (end >= 0.1) & (end < 0.2)
    next_obs, fresh = rng.integers(S, size=(2, *shape), dtype=np.int32)
    obs[0] = fresh[0]
    obs[1:] = np.where(terminated | truncated, fresh, next_obs)[:-1]
    zero = np.zeros(shape, np.float32)
    reward = rng.normal(size=shape).astype(np.float32)
    after = np.where(terminated | truncated, fresh, next_obs)
    step: Any = Step(after, next_obs, reward, terminated, truncated, zero, zero.astype(np.int32))
    action: Any = rng.integers(A, size=shape, dtype=np.int32)
    whole = Rollout(obs, action, (), step)
    return [jax.tree.map(lambda x, i=i: jnp.asarray(x[i * T : i * T + T]), whole) for i in range(count)]


def learner_of(algo: Any) -> Any:
    env: Any = Vec(Tabular(random(S, A)), algo.num_envs)
    return algo.init(env, jax.random.key(0)).learner


def moves(rollout: Rollout) -> Any:
    """(environment, s, a, r, s', terminated, truncated) in order of time."""
    x = rollout.step
    for t, n in itertools.product(range(T), range(N)):
        row = rollout.obs[t, n], rollout.action[t, n], x.reward[t, n], x.next_obs[t, n]
        yield (
            n,
            int(row[0]),
            int(row[1]),
            float(row[2]),
            int(row[3]),
            bool(x.terminated[t, n]),
            bool(x.truncated[t, n]),
        )


class Slow:
    """The updates as the papers have them, one entry at a time, in float64."""

    def __init__(self, algo: Any, q: np.ndarray):
        self.algo, self.q, self.n = algo, np.array(q, np.float64), np.zeros(q.shape)
        self.trace = np.zeros((N, *q.shape))
        self.waiting: dict[int, tuple] = {}  # SARSA's: environment -> (s, a, r)
        self.env_steps = 0

    def alpha(self, where: Any) -> float:
        return self.n[where] ** -self.algo.lr_power if self.algo.lr_power else self.algo.lr

    def policy(self, s: int) -> np.ndarray:
        a = self.algo
        epsilon = a.epsilon_start + min(1.0, self.env_steps / a.epsilon_decay) * (
            a.epsilon_end - a.epsilon_start
        )
        return exact.epsilon_greedy(self.q[s], epsilon)

    def move(self, where: tuple, target: float) -> None:
        self.n[where] += 1
        self.q[where] += self.alpha(where) * (target - self.q[where])

    def qlearning(self, n, s, a, r, s2, terminated, truncated, coin) -> None:
        self.move((s, a), r + self.algo.gamma * (0.0 if terminated else self.q[s2].max()))

    def expectedsarsa(self, n, s, a, r, s2, terminated, truncated, coin) -> None:
        self.move((s, a), r + self.algo.gamma * (0.0 if terminated else self.policy(s2) @ self.q[s2]))

    def doubleqlearning(self, n, s, a, r, s2, terminated, truncated, coin) -> None:
        judged = self.q[1 - coin, s2, np.argmax(self.q[coin, s2])]
        self.move((coin, s, a), r + self.algo.gamma * (0.0 if terminated else judged))

    def sarsa(self, n, s, a, r, s2, terminated, truncated, coin) -> None:
        if n in self.waiting:
            *before, reward = self.waiting.pop(n)
            self.traced(n, *before, reward + self.algo.gamma * self.q[s, a])
        if terminated or truncated:
            self.traced(n, s, a, r + self.algo.gamma * (0.0 if terminated else self.policy(s2) @ self.q[s2]))
            self.trace[n] = 0
        else:
            self.waiting[n] = s, a, r

    def traced(self, n: int, s: int, a: int, target: float) -> None:
        error = target - self.q[s, a]
        self.n[s, a] += 1
        self.trace[n] *= self.algo.gamma * self.algo.lam
        self.trace[n, s, a] += 1
        for where in np.argwhere(self.trace[n] > 0):
            self.q[tuple(where)] += self.alpha(tuple(where)) * error * self.trace[n][tuple(where)]

    def tdlambda(self, n, s, a, r, s2, terminated, truncated, coin) -> None:
        error = r + self.algo.gamma * (0.0 if terminated else self.q[s2]) - self.q[s]
        self.n[s] += 1
        self.trace[n] *= self.algo.gamma * self.algo.lam
        self.trace[n, s] += 1
        for i in np.flatnonzero(self.trace[n]):
            self.q[i] += self.alpha(i) * error * self.trace[n, i]
        if terminated or truncated:
            self.trace[n] = 0


@pytest.mark.parametrize("lr_power", [0.0, 0.7])
@pytest.mark.parametrize("kind", [*CONTROL, TDLambda], ids=lambda c: c.__name__)
def test_update_is_the_papers(kind: Any, lr_power: float) -> None:
    """Two rollouts of two environments in a row: what waits, traces and counts go on from one to the other."""
    lam = {"lam": 0.6} if kind in (SARSA, TDLambda) else {}
    decay = {} if kind is TDLambda else {"epsilon_start": 0.9, "epsilon_end": 0.1, "epsilon_decay": 200.0}
    algo = kind(num_envs=N, num_steps=T, gamma=0.8, lr=0.3, lr_power=lr_power, initial=0.5, **lam, **decay)
    learner = learner_of(algo)
    slow = Slow(algo, learner.v if kind is TDLambda else learner.q)
    for key, rollout in zip(jax.random.split(jax.random.key(1)), rollouts(3), strict=True):
        coins = np.asarray(jax.random.bernoulli(key, shape=(T * N,))).astype(int)
        for row, coin in zip(moves(rollout), coins, strict=True):
            getattr(slow, kind.__name__.lower())(*row, coin)
        slow.env_steps += T * N
        learner, metrics = algo.update(learner, rollout, key)
        np.testing.assert_allclose(learner[0], slow.q, rtol=2e-5, atol=2e-5)
        np.testing.assert_array_equal(learner.visits, slow.n)
    if kind is not TDLambda:
        np.testing.assert_allclose(metrics["q/max"], np.abs(slow.q).max(), rtol=1e-5)
        np.testing.assert_allclose(metrics["epsilon"], 0.9 - 0.8 * 160 / 200, rtol=1e-5)
        q = slow.q.mean(0) if kind is DoubleQLearning else slow.q  # both tables act
        np.testing.assert_allclose(algo.q_values(learner.q, jnp.arange(S)), q, rtol=2e-5, atol=2e-5)
        np.testing.assert_array_equal(algo.act(learner, Seen(jnp.arange(S))).action, q.argmax(-1))


# --- What they converge to ---------------------------------------------------------------------------------

RUNS, EPSILON = 16, 0.4


@partial(jax.jit, static_argnums=(1, 2))
def trained(algo: Any, env: Any, iterations: int) -> State:
    """RUNS runs side by side."""
    state = jax.vmap(partial(algo.init, env))(jax.random.split(jax.random.key(0), RUNS))
    step = jax.vmap(lambda state: algo.step(env, state)[0])
    return jax.lax.fori_loop(0, iterations, lambda _, state: step(state), state)


PROCESS = random(4, 2, 3, gamma=0.5)


def soft_optimum(epsilon: float) -> np.ndarray:
    """The Q that its own ε-greedy policy is worth."""
    return fixed_point(
        lambda q: evaluate_q(PROCESS, exact.epsilon_greedy(q, epsilon), q), np.zeros((4, 2))
    ).point


def samples(count: int) -> Rollout:
    """Pairs (s, a) drawn uniformly, with s' from P: [RUNS, count, 1]."""
    rng = np.random.default_rng(5)
    s, a = rng.integers(4, size=(RUNS, count, 1)), rng.integers(2, size=(RUNS, count, 1))
    following = (rng.random((RUNS, count, 1, 1)) > PROCESS.transition[s, a].cumsum(-1)).sum(-1)
    reward = PROCESS.reward[s, a, following]
    no = np.zeros(s.shape, bool)
    step: Any = Step(following, following, reward, no, no, reward, s)
    return jax.tree.map(jnp.asarray, Rollout(s, a, (), step))


def assert_near(q: Any, truth: np.ndarray) -> None:
    """The mean over runs is off by at most 5 of its standard errors, and 0.005 for what has not decayed yet.

    With 16 runs and 8 entries, Student's t beyond 5 has a probability of 0.0013 in all for another key, which is fixed.
    """
    q = np.asarray(q, np.float64)
    error, noise = q.mean(0) - truth, q.std(0, ddof=1) / np.sqrt(len(q))
    assert noise.max() < 0.02
    np.testing.assert_array_less(np.abs(error), 5 * noise + 0.005)


@pytest.mark.parametrize("kind", [QLearning, ExpectedSARSA, DoubleQLearning], ids=lambda c: c.__name__)
def test_off_policy_fixed_points(kind: Any) -> None:
    """Q* for Q-learning and its double; what the ε-greedy policy is worth for expected SARSA. They differ by 0.29."""
    algo = kind(num_steps=6000, lr_power=0.8, gamma=0.5, epsilon_start=EPSILON, epsilon_end=EPSILON)
    env: Any = Vec(Tabular(PROCESS), 1)
    learner = algo.init(env, jax.random.key(0)).learner
    keys = jax.random.split(jax.random.key(2), RUNS)
    learner, _ = jax.vmap(algo.update, in_axes=(None, 0, 0))(learner, samples(6000), keys)
    star, soft = exact.optimal_action_value(PROCESS), soft_optimum(EPSILON)
    assert np.abs(star - soft).max() > 0.25
    q = learner.q.mean(1) if kind is DoubleQLearning else learner.q
    assert_near(q, soft if kind is ExpectedSARSA else star)


def test_sarsas_fixed_point() -> None:
    """On-policy, so by acting: what the ε-greedy policy is worth."""
    algo = SARSA(num_envs=4, gamma=0.5, lr_power=0.8, epsilon_start=EPSILON, epsilon_end=EPSILON)
    env: Any = Vec(Tabular(PROCESS), 4)
    assert_near(trained(algo, env, 1500).learner.q, soft_optimum(EPSILON))


def test_td_lambda_finds_the_value_of_the_uniform_policy() -> None:
    """V of a random walk of five states, by way of `step`."""
    process = PROCESSES["Chain"](gamma=0.9)
    env: Any = Vec(Tabular(process, time_limit=0), 4)
    algo = TDLambda(num_envs=4, num_steps=1000, gamma=0.9, lam=0.5, lr_power=0.7)
    assert_near(trained(algo, env, 2).learner.v, exact.value(process, exact.uniform(process)))


# --- TD(λ), backward and forward ---------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [0.0, 0.7, 1.0])
def test_td_lambdas_updates_sum_up_to_the_forward_views(lam: float) -> None:
    """Offline equivalence (Sutton & Barto 2018, section 12.1): over one episode, with V held still.

    The derivative of V after the episode by α, at α = 0, is the sum of the updates under the first V.
    """
    rng, gamma, length = np.random.default_rng(7), 0.9, 20
    for ended in (True, False):
        states = rng.integers(S, size=length + 1).astype(np.int32)
        reward, v = rng.normal(size=length).astype(np.float32), rng.normal(size=S).astype(np.float32)
        last = np.arange(length) == length - 1
        step: Any = Step(states[1:], states[1:], reward, last & ended, last & (not ended), reward, states[1:])
        rollout = jax.tree.map(lambda x: jnp.asarray(x)[:, None], Rollout(states[:-1], states[1:], (), step))
        algo = TDLambda(num_steps=length, gamma=gamma, lam=lam)
        learner = learner_of(algo)._replace(v=jnp.asarray(v))

        def learnt(
            lr: Any, learner: Any = learner, rollout: Any = rollout, how: Any = (length, gamma, lam)
        ) -> Any:
            algo = TDLambda(num_steps=how[0], gamma=how[1], lam=how[2], lr=lr)
            return algo.update(learner, rollout)[0].v

        backward = jax.jvp(learnt, (jnp.float32(0.0),), (jnp.float32(1.0),))[1]
        forward, target = np.zeros(S), 0.0 if ended else float(v[states[-1]])
        for t in reversed(
            range(length)
        ):  # the λ-return: G = r + γ [(1 - λ) V(s') + λ G'], V = 0 where it ended
            value = 0.0 if last[t] and ended else float(v[states[t + 1]])
            target = reward[t] + gamma * ((1 - lam) * value + lam * target)
            forward[states[t]] += target - v[states[t]]
        np.testing.assert_allclose(backward, forward, rtol=1e-4, atol=1e-4)


# --- Ends of episodes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*CONTROL, TDLambda], ids=lambda c: c.__name__)
def test_truncation_does_not_stop_the_bootstrap(kind: Any) -> None:
    """One transition with reward 1 to a state worth 10: y is 1 where the MDP ended, 1 + γ 10 at a time limit."""
    algo = kind(gamma=0.5, lr=1.0, initial=10.0)
    learner, one = learner_of(algo), jnp.ones((1, 1), jnp.int32)
    for terminated, expected in ((True, 1.0), (False, 6.0)):
        ended = jnp.full((1, 1), terminated)
        step: Any = Step(0 * one, 0 * one, 1.0 * one, ended, ~ended, 1.0 * one, one)
        after = algo.update(learner, Rollout(one, one, (), step), jax.random.key(0))[0][0]
        changed = after[after != 10.0]
        np.testing.assert_allclose(changed, [expected])


def test_sarsa_forgets_what_waits_if_the_episode_was_lost() -> None:
    """As when a run on the host is resumed: the next observation is not the one that the transition led to."""
    algo = SARSA(gamma=0.5, lr=1.0)
    learner, one = learner_of(algo), jnp.ones((1, 1), jnp.int32)
    no = one > 1
    first = Rollout(one, one, (), Step(2 * one, 2 * one, 1.0 * one, no, no, 1.0 * one, one))
    learner, _ = algo.update(learner, first)
    assert not learner.q.any()
    for obs, expected in ((2, 1.0), (3, 0.0)):
        second = first._replace(obs=obs * one)
        assert algo.update(learner, second)[0].q[1, 1] == expected


# --- Planning ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "gamma"), [("Random", 0.9), ("Grid", 0.99), ("Cliff", 1.0)])
def test_value_iteration_applies_the_operator(name: str, gamma: float) -> None:
    """After k iterations Q is (T*)^k Q_0 in float64, `bellman/residual` is ‖T* Q - Q‖, and bounds how far Q* is.

    However many env steps the greedy policy takes meanwhile.
    """
    algo, env = ValueIteration(gamma=gamma, initial=0.5, num_steps=3), make(f"tabular:{name}", 1)
    process = PROCESSES[name]()._replace(gamma=gamma)
    learner = algo.init(env, jax.random.key(0)).learner
    q = np.full((process.num_states, process.num_actions), 0.5)
    for _ in range(12):
        learner, metrics = algo.update(learner)
        before, q = q, optimality_q(process, q)
        np.testing.assert_allclose(learner.q, q, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(metrics["bellman/residual"], np.abs(q - before).max(), rtol=1e-3, atol=1e-3)
    if gamma < 1:
        star = exact.optimal_action_value(process)
        distance = np.abs(np.asarray(learner.q) - star)[~process.terminal].max()
        assert distance <= gamma / (1 - gamma) * float(metrics["bellman/residual"]) + 1e-4


@pytest.mark.parametrize(
    ("name", "gamma"), [("Random", 0.9), ("Grid", 0.99), ("Cliff", 1.0), ("WindyGrid", 1.0)]
)
def test_policy_iteration_finds_the_optimum_in_few_iterations(name: str, gamma: float) -> None:
    """Howard's algorithm needs fewer than twelve here, then changes nothing; no policy is worse than the one before."""
    algo, env = PolicyIteration(gamma=gamma), make(f"tabular:{name}", 1)
    process = PROCESSES[name]()._replace(gamma=gamma)
    learner = algo.init(env, jax.random.key(0)).learner
    value = -np.inf
    for _ in range(12):
        before, (learner, metrics) = learner, algo.update(learner)
        changed = [bool(np.any(x != y)) for x, y in zip(before.policy, learner.policy, strict=True)]
        np.testing.assert_allclose(metrics["policy/changed"], np.mean(changed), atol=1e-6)
        now = np.asarray(learner.q).max(-1)
        assert np.all(now >= value - 1e-3 * np.abs(now).max())
        value = now
    assert metrics["policy/changed"] == 0
    star = np.where(process.terminal, 0.0, exact.optimal_value(process))
    np.testing.assert_allclose(np.where(process.terminal, 0.0, value), star, rtol=1e-4, atol=1e-3)
    assert metrics["bellman/residual"] < 1e-3


def test_modified_policy_iteration() -> None:
    """`sweeps` = 1 is value iteration; 3 are three applications of T^π, then the greedy policy."""
    env, process = make("tabular:Grid", 1), PROCESSES["Grid"]()
    one, three, value = PolicyIteration(sweeps=1), PolicyIteration(sweeps=3), ValueIteration()
    learners = [algo.init(env, jax.random.key(0)).learner for algo in (one, three, value)]
    q, policy = np.zeros((process.num_states, 4)), exact.uniform(process)
    for _ in range(5):
        learners = [algo.update(x)[0] for algo, x in zip((one, three, value), learners, strict=True)]
        np.testing.assert_allclose(learners[0].q, learners[2].q, atol=1e-4)
        for _ in range(3):
            q = evaluate_q(process, policy, q)
        policy = np.where(
            np.isclose(q.max(-1), (policy * q).sum(-1), atol=1e-6)[:, None], policy, exact.greedy(q)
        )
        np.testing.assert_allclose(learners[1].q, q, atol=1e-4)
        np.testing.assert_array_equal(learners[1].policy, policy)


def test_elimination_solves_what_an_evaluation_asks() -> None:
    """I - γ P_π of random and of undiscounted processes, for three right sides side by side."""
    for process in (random(30, 2, 4, gamma=0.99), PROCESSES["Cliff"](), PROCESSES["Grid"]()):
        policy = exact.uniform(process)
        matrix = np.eye(process.num_states) - process.gamma * exact.chain_of(process, policy)
        b = np.random.default_rng(0).normal(size=(3, process.num_states))
        found = jax.vmap(solve, in_axes=(None, 0))(
            jnp.asarray(matrix, jnp.float32), jnp.asarray(b, jnp.float32)
        )
        truth = np.linalg.solve(matrix, b.T).T
        np.testing.assert_allclose(found, truth, atol=1e-3 * np.abs(truth).max())


def test_planners_read_the_tables_behind_a_host() -> None:
    algo, env = ValueIteration(), make("tabular:Chain", 1)
    for x, y in zip(*(algo.init(e, jax.random.key(0)).learner.mdp for e in (env, Hosted(env))), strict=True):
        np.testing.assert_array_equal(x, y)


# --- Errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["CartPole-v1", "tabular:Grid?observe=coordinates", "tabular:Chain?mix=true"]
)
@pytest.mark.parametrize(
    "kind", [*CONTROL, TDLambda, ValueIteration, PolicyIteration], ids=lambda c: c.__name__
)
def test_tables_need_numbers(kind: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=r"Discrete.*such as dqn, or an environment such as tabular:Cliff"):
        kind().init(make(name, 1), jax.random.key(0))


@pytest.mark.parametrize("kind", [ValueIteration, PolicyIteration])
def test_planners_need_tables(kind: Any) -> None:
    with pytest.raises(ConfigError, match="does not tell its probabilities"):
        kind().init(make("gymnasium:CliffWalking-v1", 1), jax.random.key(0))


@pytest.mark.parametrize(
    "kind", [*CONTROL, TDLambda, ValueIteration, PolicyIteration], ids=lambda c: c.__name__
)
def test_impossible_settings(kind: Any) -> None:
    for wrong in ({"num_envs": 0}, {"num_steps": 0}, *([{"sweeps": -1}] if kind is PolicyIteration else [])):
        with pytest.raises(ConfigError, match="at least"):
            kind(**wrong)


# --- On the cliff ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sarsa_and_q_learning_differ_on_the_cliff() -> None:
    """Sutton & Barto 2018, example 6.6: Q-learning learns the short way, SARSA loses less while it learns.

    16 runs of each with ε = 0.1. All Q-learners value the start as V* = -13, all SARSAs as less. The mean returns of
    the last 100 episodes of training differ by more than 5 standard errors; measured are 11.
    """
    env, scores = make("tabular:Cliff", 1), {}
    for kind in (QLearning, SARSA):
        algo = kind(gamma=1.0, lr=0.25, epsilon_start=0.1, epsilon_end=0.1)
        state = trained(algo, env, 8_000)
        scores[kind] = (
            np.asarray(state.actor.recent.returns.mean(1)),
            np.asarray(state.learner.q)[:, 36].max(-1),
        )
    (q_train, q_value), (s_train, s_value) = scores[QLearning], scores[SARSA]
    np.testing.assert_allclose(q_value, -13.0, atol=0.01)
    assert np.all(s_value < -14.0)
    error = np.sqrt((q_train.var(ddof=1) + s_train.var(ddof=1)) / RUNS)
    assert s_train.mean() - q_train.mean() > 5 * error


# --- Pictures ----------------------------------------------------------------------------------------------


def test_tables_are_drawn_with_agent_and_actions() -> None:
    """The agent is where its state is; a cell's arrow points where the action leads, or its number is written."""
    env: Any = make("tabular:Cliff", 1)
    pictures = {}
    for action, state in itertools.product((1, 3), (0, 11)):
        scene = scene_of(
            env.env, env.observation_space, lambda states, action=action: np.full(len(states), action)
        )
        where = SimpleNamespace(state=state)
        pictures[action, state] = np.asarray(frame("Cliff", where, np.array(state), "", scene), int)
    agent = np.array(ImageColor.getrgb(ACCENT))
    for (_, state), picture in pictures.items():
        columns = np.argwhere(np.abs(picture - agent).max(-1) < 24)[:, 1]
        assert np.abs(columns - (14 + 452 * (state + 0.5) / 12)).max() < 20  # of 480 pixels
    for action, side in ((1, -1), (3, 1)):  # an arrow is widest at its tail
        ink = np.abs(pictures[action, 0] - np.array(ImageColor.getrgb(INK))).max(-1) < 24
        height = ink[100:137, 203:240].sum(0)  # the sixth cell of the first row, whose middle is 221
        assert np.sign(height.argmax() + 203 - 221) == side
    chain: Any = make("tabular:Chain", 1)
    assert scene_of(chain.env, chain.observation_space, lambda states: np.zeros(len(states), int))
    many = Tabular(random(30))
    assert scene_of(many, many.observation_space, lambda states: states), "cells in rows"
    assert scene_of(None, Discrete(2000), lambda states: states) is None
    assert scene_of(None, Box.of(-1, 1, (2,)), lambda states: states) is None
