"""Evaluating and resuming are tested: whose actions, whose random numbers, which episodes, and where the numbers stand.

What is evaluated is compared with a slow loop that plays one seed and one environment at a time. What is resumed is
watched by environments that write down how they were seeded.
"""

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import swingup
from conftest import same_bits, small
from swingup import runs
from swingup.cli import runs as commands
from swingup.distributions import noise
from swingup.envs import make
from swingup.runs import episodes, evaluation
from swingup.runs.experiment import Experiment
from swingup.runs.log import read_rows
from swingup.statistics import mean_ci
from swingup.training import clock, driver
from swingup.types import Transition

SEEDS = (3, 8, 5)
EPISODES = 12
ALGO = {"num_envs": 2, "num_steps": 4, "num_minibatches": 1, "epochs": 1, "hidden": (4,), "lr": 0.1}


class Told:
    """The reward tells the action and the environment's own draw: no two ways to play an episode look alike.

    A third of the env steps terminate the episode; the clock ends it after six.
    """

    name = "Told"
    observation_space, action_space = swingup.Box.of(-5.0, 5.0, (2,)), swingup.Discrete(3)

    def reset(self, key):
        return jnp.int32(0), jax.random.normal(key, (2,)).clip(-5, 5)

    def step(self, state, action, key):
        k_obs, k_reward, k_end = jax.random.split(key, 3)
        obs = jax.random.normal(k_obs, (2,)).clip(-5, 5)
        reward = action + 10 * jax.random.uniform(k_reward)
        over = jax.random.bernoulli(k_end, 1 / 3)
        return state + 1, Transition(obs, reward, over, ~over & (state + 1 >= 6))


def trained(env: Any, **how: Any) -> swingup.Run:
    given: dict[str, Any] = {"env_steps": 32, "seeds": SEEDS, "episodes": EPISODES} | how
    return swingup.train(swingup.PPO(**ALGO), env, **given)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> swingup.Run:
    return trained(Told(), out=tmp_path_factory.mktemp("runs") / "run")


def slow(run: swingup.Run, purpose: str, greedy: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths [S, episodes]: the first episode of each environment, with the seed's own policy and keys."""
    env = make(run.experiment.env, EPISODES)
    draw, step = jax.jit(lambda key: env.draw(key, 1)), jax.jit(env.step)
    returns, lengths = np.zeros((2, len(SEEDS), EPISODES))
    for i, seed in enumerate(SEEDS):
        learner = jax.tree.map(lambda x, i=i: x[i], run.state.learner)
        key = jax.random.fold_in(driver.root_key(seed, purpose), 0)  # of the first round
        k_reset, k_run = jax.random.split(key)
        env_state, obs = env.reset(k_reset)
        over, t = np.zeros(EPISODES, bool), 0
        while not over.all():
            k_act, k_env = jax.random.split(jax.random.fold_in(k_run, t))
            logits = learner.params.policy(obs).logits
            gumbel = noise(env.action_space, k_act, (EPISODES,))
            action = jnp.argmax(logits if greedy else logits + gumbel, -1)
            env_state, s = step(env_state, action, jax.tree.map(lambda x: x[0], draw(k_env)))
            returns[i] += np.where(over, 0, s.reward)
            lengths[i] += ~over
            over |= np.asarray(s.terminated | s.truncated)
            obs, t = s.obs, t + 1
    return returns, lengths


@pytest.mark.parametrize("greedy", [True, False])
def test_an_evaluation_is_that_of_a_slow_loop(run: swingup.Run, greedy: bool) -> None:
    """The best actions, or the policy's own draws; one episode of each environment, ended by either cause."""
    played = run.evaluate(EPISODES, greedy=greedy)
    returns, lengths = slow(run, "final evaluation" if greedy else "final evaluation, stochastic", greedy)
    np.testing.assert_array_equal(played.lengths, lengths)
    np.testing.assert_allclose(played.returns, returns, rtol=1e-5)
    assert not played.cut.any()
    assert set(lengths.ravel()) >= {1, 2, 6}


def test_what_is_stored_is_what_was_played(run: swingup.Run) -> None:
    """result.json: the mean over the episodes of each seed; the last hundred returns of training beside it."""
    returns, lengths = slow(run, "final evaluation", True)
    assert run.path is not None
    stored = json.loads((run.path / "result.json").read_text())
    np.testing.assert_allclose(stored["final_return"], returns.mean(1), rtol=1e-5)
    np.testing.assert_allclose(stored["evaluation"]["std"], returns.std(1), rtol=1e-4)
    np.testing.assert_allclose(stored["evaluation"]["length"], lengths.mean(1), rtol=1e-6)
    np.testing.assert_allclose(
        stored["evaluation"]["stochastic"]["return"],
        slow(run, "final evaluation, stochastic", False)[0].mean(1),
        rtol=1e-5,
    )
    np.testing.assert_allclose(stored["train_return"], run.metrics["ep/return_last100"][:, -1], rtol=1e-5)
    assert stored["evaluation"]["policy"] == "greedy"


def test_every_evaluation_has_random_numbers_of_its_own(run: swingup.Run) -> None:
    """Another purpose, another seed or another round: other episodes. The same purpose: the same."""
    with evaluation.evaluator(run.experiment) as judge:
        a, again, other = (judge.play(run.state, name, EPISODES).returns for name in ("x", "x", "y"))
    np.testing.assert_array_equal(a, again)
    assert not np.any(a == other)
    assert len(np.unique(a)) == a.size


def test_evaluations_in_training_stand_in_their_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every third iteration and after the last: of the state then, whatever else the chunk holds.

    The chunks are the iterations 1, 2 to 3, 4 to 6 and 7, however slow the machine is: no checkpoint cuts them.
    """
    monkeypatch.setattr(driver, "SLICE_SECONDS", 1e6)
    how: dict[str, Any] = {"log_interval": 1, "eval_interval": 3, "checkpoint_interval": 100}
    run = trained(Told(), env_steps=8 * 7, out=tmp_path / "run", **how)
    column = run.metrics["eval/return"]
    np.testing.assert_array_equal(np.isfinite(column), [[False, False, True, False, False, True, True]] * 3)
    for iteration in (3, 6, 7):
        before = trained(Told(), env_steps=8 * iteration)
        with evaluation.evaluator(before.experiment) as judge:
            played = judge.play(before.state, f"evaluation {iteration}", 20)
        np.testing.assert_allclose(column[:, iteration - 1], played.returns.mean(1), rtol=1e-5)
    written = read_rows(tmp_path / "run", 7)
    stored = np.array([row["eval/return"] for row in written]).reshape(7, 3).T
    np.testing.assert_array_equal(stored, column)


def test_the_command_tells_means_over_seeds(run: swingup.Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The interval is over the seeds' means: over episodes it would be far narrower, and a claim about one agent."""
    assert run.path is not None
    greedy = slow(run, "final evaluation", True)[0]
    drawn = slow(run, "final evaluation, stochastic", False)[0]
    for flags, wanted in (([], greedy), (["--policy", "stochastic"], drawn)):
        told = command_on(run, capsys, *flags)
        low, high = mean_ci(wanted.mean(1))
        assert f"mean over seeds {wanted.mean():.2f}, 95 % CI over seeds [{low:.2f}, {high:.2f}]" in told
        for seed, scores in zip(SEEDS, wanted, strict=True):
            assert f"seed {seed:>4}   mean {scores.mean():10.2f}   std {scores.std():8.2f}" in told
    with pytest.warns(evaluation.EvaluationWarning, match="cut after 2 env steps"):
        told = json.loads(command_on(run, capsys, "--limit", "2", "--json"))
    assert max(told["length"]) <= 2
    assert min(told["cut"]) > 0


def command_on(run: swingup.Run, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """What `swingup evaluate` prints of a run; its environment is ours, which a command cannot make."""
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "load", lambda path: run)
        commands.evaluate([str(run.path), "--episodes", str(EPISODES), *flags])
    return capsys.readouterr().out


# --- The host


class Seeded(gymnasium.Env):
    """It writes down the seed of every reset that has one, and never ends by itself before ten env steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    seeds: ClassVar[list[int]] = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            Seeded.seeds.append(seed)
        self.t = 0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        self.t += 1
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), 1.0, False, self.t >= 10, {}


def taken() -> list[int]:
    """The seeds since the last call."""
    found, Seeded.seeds = Seeded.seeds, []
    return found


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_a_resumed_run_has_fresh_environments_and_the_key_that_it_had(name: str, tmp_path: Path) -> None:
    """Its seeds are those of no other part of the run, nor of any evaluation; and resuming twice is the same."""
    algo, env = small(name, num_envs=2), make(Seeded, 4)
    taken()
    state = driver.begin(algo, env, [0, 1])
    parts = [taken()]
    key = np.array(jax.random.key_data(state.key))
    learner = jax.tree.map(np.array, hidden(state.learner))
    for done in (4, 4, 9):
        state = driver.restart(env, state, [0, 1], done)
        parts.append(taken())
        np.testing.assert_array_equal(jax.random.key_data(state.key), key)
        assert same_bits(hidden(state.learner), learner)
    assert parts[1] == parts[2]
    fresh = [*parts[0], *parts[1], *parts[3]]
    assert len(set(fresh)) == len(fresh) == 3 * 4


def hidden(learner: Any) -> Any:
    """A learner without its replay, whose running episodes a restart cuts."""
    return learner._replace(replay=None) if "replay" in learner._fields else learner


class Generous(Seeded):
    """Three a step."""

    def step(self, action):
        obs, reward, *ends = super().step(action)
        return obs, 3 * reward, *ends


def test_an_evaluation_counts_rewards_of_which_training_sees_the_sign_and_what_is_cut() -> None:
    """As of Atari's games; an episode that the limit stops is told."""
    algo = small("ppo")
    env = make(Generous, algo.num_envs)
    env.reward_sign = True  # type: ignore[attr-defined]
    learner, keys = driver.init(algo, env, [0]).learner, driver.root_keys([0], "evaluation")
    returns, lengths, _ = episodes.on_host(algo, env, learner, keys)
    np.testing.assert_array_equal(lengths, 10)
    np.testing.assert_array_equal(returns, 30)
    for limit in (9, 11):
        assert np.all(episodes.on_host(algo, env, learner, keys, limit=limit)[2] == (limit < 10))
    assert np.all(env.step((), np.zeros(algo.num_envs, np.int32), ())[1].reward == 1)


def test_no_two_environments_of_a_run_are_seeded_alike() -> None:
    """Training, evaluations in training, the final one in rounds of ten: for every seed."""
    taken()
    trained(Seeded, env_steps=8 * 4, eval_interval=2, episodes=20)
    seeds = taken()
    training, rounds = 3 * 2, 3 * 10
    assert len(seeds) == training + 2 * 2 * rounds + 2 * 2 * rounds
    assert len(set(seeds)) == len(seeds)


def test_intervals_stay_when_the_budget_grows(tmp_path: Path) -> None:
    """A longer run logs and saves at the same points; the rows of before stay."""
    algo = swingup.PPO(**ALGO)
    first = swingup.train(algo, "CartPole-v1", env_steps=8 * 200, out=tmp_path / "run", episodes=2)
    assert (first.experiment.log_every, first.experiment.checkpoint_every) == (2, 10)
    after = runs.resume(tmp_path / "run", env_steps=8 * 1000)
    assert (after.experiment.log_every, after.experiment.checkpoint_every) == (2, 10)
    assert [row["iteration"] for row in after.rows] == list(range(2, 1001, 2))
    np.testing.assert_array_equal(after.metrics["loss/value"][:, :100], first.metrics["loss/value"])
    whole = swingup.train(algo, "CartPole-v1", env_steps=8 * 1000, log_interval=2, episodes=2)
    assert same_bits(whole.state, after.state)


def test_a_resumed_run_stops_where_the_whole_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the multiples of each interval, wherever it begins: there it saves and is evaluated."""
    monkeypatch.setattr(driver, "SLICE_SECONDS", 1e6)
    algo, seen = small("ppo"), []
    env = make("CartPole-v1", algo.num_envs)
    state = driver.init(algo, env, [0])
    callbacks = [lambda p: seen.append(p.iteration)]
    driver.run(algo, env, state, 20, done=5, every=[4, 7], callbacks=callbacks)
    assert seen == [6, 7, 8, 12, 14, 16, 20]  # the first alone, to measure how fast they are


def test_seconds_and_env_steps_of_a_resumed_run_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are those of the whole run, the rate that of the resumed part; with a clock that ticks when it is read."""
    ticks = itertools.count(0.0)
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    algo = swingup.PPO(**ALGO)
    first = swingup.train(algo, "CartPole-v1", env_steps=8 * 20, out=tmp_path / "run", episodes=2)
    after = runs.resume(tmp_path / "run", env_steps=8 * 40)
    seconds = after.metrics["seconds"][0]
    assert np.all(np.diff(seconds) >= 0)
    assert after.result["run_seconds"] >= first.result["run_seconds"]
    np.testing.assert_array_equal(after.metrics["env_steps"][0], 8 * np.arange(1, 41))
    assert after.result["env_steps"] == 8 * 40
    part = after.result["run_seconds"] - first.result["run_seconds"]
    assert part > 0
    assert after.result["steps_per_second"] == round(8 * 20 / part, 1)


def test_the_experiment_says_where_it_is_evaluated() -> None:
    """As many environments as episodes on the device; ten at once on the host, and the rest in rounds."""
    device = Experiment(small("ppo"), "CartPole-v1", 1000, (0, 1), 25)
    host = Experiment(small("ppo"), "gymnasium:CartPole-v1", 1000, (0, 1), 25)
    assert evaluation.evaluation_size(device, 25) == 25
    assert evaluation.evaluation_size(host, 25) == 10
    assert evaluation.evaluation_size(host, 3) == 3
