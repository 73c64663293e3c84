"""Forbidden actions are never taken, and nothing is learnt from what they seem to be worth."""

from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import swingup
from conftest import late, same_bits, small
from swingup import runs
from swingup.algos import sac_discrete
from swingup.distributions import Categorical, epsilon_greedy, masked, uniform
from swingup.envs import Vec, make
from swingup.errors import EnvironmentFault
from swingup.nets.actor_critic import ActorCritic
from swingup.nets.value_networks import QNetwork
from swingup.protocols import Env, env_steps
from swingup.replay import ring
from swingup.replay.ring import Batch
from swingup.rollout import collect, start, wander
from swingup.runs import episodes
from swingup.spaces import Discrete
from swingup.training import driver
from swingup.types import Choice, Seen, Transition

ALGOS = ["vpg", "a2c", "ppo", "trpo", "dqn", "c51", "qr_dqn", "sac_discrete"]
SIGMAS = 5  # right code fails once in two million comparisons
# Each of four rooms has other doors that are open; behind a shut one waits a loss that no episode makes good.
OPEN = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 1, 0]], bool)
LOSS = -1000.0


class Rooms(NamedTuple):
    room: Any
    time: Any


class Doors(Env):
    """Walk through four rooms by the doors that are open; the third door out of room 2 ends it, or the clock does."""

    name, observation_space, action_space = "Doors", Discrete(4), Discrete(3)

    def reset(self, key: Any) -> tuple[Rooms, Any]:
        room = jax.random.randint(key, (), 0, 4)
        return Rooms(room, jnp.int32(0)), room

    def step(self, state: Rooms, action: Any, key: Any) -> tuple[Rooms, Transition]:
        room, time = (state.room + action + 1) % 4, state.time + 1
        reward = jnp.where(jnp.asarray(OPEN)[state.room, action], action + 0.0, LOSS)
        ended = (state.room == 2) & (action == 2)
        return Rooms(room, time), Transition(room, reward, ended, time >= 5)

    def legal(self, state: Rooms) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        return jnp.asarray(OPEN)[state.room]


class DoorsOnHost(gymnasium.Env):
    """The same behind Gymnasium's calls, where a shut door is an error."""

    observation_space, action_space = gymnasium.spaces.Discrete(4), gymnasium.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        super().reset(seed=seed)
        self.room, self.time = int(self.np_random.integers(4)), 0
        return self.room, self.info()

    def step(self, action: Any) -> tuple:
        if not OPEN[self.room, action]:
            raise ValueError(f"door {action} of room {self.room} is shut")
        ended = self.room == 2 and action == 2
        self.room, self.time = (self.room + int(action) + 1) % 4, self.time + 1
        return self.room, float(action), ended, self.time >= 5, self.info()

    def info(self) -> dict:
        return {"action_mask": OPEN[self.room].astype(np.int8)}


# --- leaf functions ------------------------------------------------------------------------------------------


def random_masks(rng: np.random.Generator, rows: int, actions: int) -> np.ndarray:
    legal = rng.random((rows, actions)) < 0.5
    legal[np.arange(rows), rng.integers(0, actions, rows)] = True
    return legal


def test_a_masked_policy_is_the_policy_among_the_legal_actions() -> None:
    """Probabilities, entropy, samples and gradients, against NumPy in float64 over the legal entries alone."""
    rng = np.random.default_rng(0)
    logits, legal = rng.normal(size=(50, 6)), random_masks(rng, 50, 6)
    pi: Any = Categorical(masked(jnp.float32(logits), legal))
    entropy, sampled, mode = jax.device_get((pi.entropy(), pi.sample(jax.random.key(0)), pi.mode()))
    every = np.asarray(jax.vmap(lambda a: pi.log_prob(jnp.full(50, a)))(jnp.arange(6)))
    for i in range(50):
        open_ = np.flatnonzero(legal[i])
        p = np.exp(logits[i, open_]) / np.exp(logits[i, open_]).sum()
        np.testing.assert_allclose(every[open_, i], np.log(p), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(entropy[i], -np.sum(p * np.log(p)), rtol=1e-5, atol=1e-6)
        assert mode[i] == open_[np.argmax(p)]
        assert legal[i, sampled[i]]
    grads = jax.grad(lambda x: Categorical(masked(x, legal)).entropy().sum())(jnp.float32(logits))
    assert np.isfinite(grads).all()
    assert not np.asarray(grads)[~legal].any()
    assert masked(pi.logits, None) is pi.logits


def test_exploration_is_among_the_legal_actions() -> None:
    """ε-greedy has the probabilities 1 - ε + ε/n and ε/n of n legal ones; random actions are equally likely."""
    rng = np.random.default_rng(1)
    value, legal = rng.normal(size=(20, 5)), random_masks(rng, 20, 5)
    p = np.exp(np.asarray(epsilon_greedy(jnp.float32(value), 0.3, jnp.asarray(legal)).logits))
    for i in range(20):
        expected = 0.3 * legal[i] / legal[i].sum()
        expected[np.argmax(np.where(legal[i], value[i], -np.inf))] += 0.7
        np.testing.assert_allclose(p[i], expected, atol=1e-6)
    noise = jax.random.gumbel(jax.random.key(0), (4000, 4))
    count = np.bincount(uniform(Discrete(4), noise, jnp.array([True, False, True, True])), minlength=4)
    assert count[1] == 0
    assert np.all(np.abs(count[[0, 2, 3]] / 4000 - 1 / 3) < SIGMAS * np.sqrt(2 / 9 / 4000))


def test_the_replay_keeps_the_masks_of_both_ends() -> None:
    """They are those of s, and of the true successor: also at a time limit, where the next row is another episode's."""
    env = Vec(Doors(), 3)
    rollout = jax.jit(lambda keys: wander(env, keys, 40)[1])(tuple(jax.random.split(jax.random.key(0))))
    assert rollout.step.truncated.any()
    np.testing.assert_array_equal(rollout.legal, OPEN[rollout.obs])
    np.testing.assert_array_equal(rollout.step.next_legal, OPEN[rollout.step.next_obs])
    assert np.take_along_axis(np.asarray(rollout.legal), np.asarray(rollout.action)[..., None], -1).all()
    kept = jax.jit(ring.add)(ring.empty(env, 120), rollout)
    rollout = jax.device_get(rollout)
    for n_step in (1, 3):
        b = jax.device_get(jax.jit(ring.take, static_argnums=3)(kept, jnp.arange(60), 0.9, n_step))
        np.testing.assert_array_equal(b.legal, OPEN[b.obs])
        np.testing.assert_array_equal(b.next_legal, OPEN[b.next_obs])
    cart = make("CartPole-v1", 3)
    plain = jax.eval_shape(lambda: ring.take(ring.empty(cart, 120), jnp.arange(3), 0.9))
    assert plain.legal is plain.next_legal is None


# --- losses, against slow loops ------------------------------------------------------------------------------

B, A = 24, 3


@pytest.fixture(scope="module")
def batch() -> Batch:
    rng = np.random.default_rng(2)
    obs, following = rng.integers(0, 4, (2, B))
    legal = random_masks(rng, B, A)
    action = np.array([rng.choice(np.flatnonzero(row)) for row in legal])
    fields = action, rng.normal(size=B).astype(np.float32), following, rng.random(B) < 0.3
    rest = np.full(B, 0.9, np.float32), np.ones(B, np.float32), np.arange(B), legal, random_masks(rng, B, A)
    return Batch(*map(jnp.asarray, (obs, *fields, *rest)))


def networks(seed: int, **options: Any) -> tuple[QNetwork, QNetwork]:
    spaces = Discrete(4), Discrete(A)
    return tuple(
        QNetwork(*spaces, (8,), "tanh", key=k, **options) for k in jax.random.split(jax.random.key(seed))
    )  # pyright: ignore


@pytest.mark.parametrize("double", [False, True])
def test_dqn_bootstraps_from_legal_actions_alone(batch: Batch, double: bool) -> None:
    params, target = networks(0)
    _, (td, _) = jax.jit(small("dqn", double=double, gamma=0.9).loss)(params, target, batch)
    look = params(batch.obs), target(batch.next_obs), (params if double else target)(batch.next_obs)
    (q, judge, chooses), batch = jax.device_get((look, batch))
    for i in range(B):
        best = max(np.flatnonzero(batch.next_legal[i]), key=lambda a, i=i: chooses[i, a])  # pyright: ignore
        y = batch.reward[i] + (0 if batch.terminated[i] else 0.9 * judge[i, best])
        np.testing.assert_allclose(td[i], y - q[i, batch.action[i]], atol=1e-5)


@pytest.mark.parametrize("name", ["c51", "qr_dqn"])
def test_distributions_bootstrap_from_legal_actions_alone(name: str, batch: Batch) -> None:
    """The loss is that of a batch in which the one legal action with the highest mean is the only one that is left."""
    algo = small(name, gamma=0.9)
    params, target = networks(1, atoms=getattr(algo, "atoms" if name == "c51" else "quantiles"))
    means = np.where(batch.next_legal, algo.q_values(target, batch.next_obs), -np.inf)
    alone = batch._replace(next_legal=jax.nn.one_hot(means.argmax(-1), A) > 0)
    free = batch._replace(next_legal=None)
    loss, same, other = (jax.jit(algo.loss)(params, target, b)[0] for b in (batch, alone, free))
    np.testing.assert_allclose(loss, same, rtol=1e-6)
    assert abs(loss - other) > 1e-4


def test_soft_values_are_expectations_over_legal_actions(batch: Batch) -> None:
    """So it is in the critics' target, the policy's loss and the entropy that is aimed at; finite gradients."""
    algo, alpha = small("sac_discrete", gamma=0.9), 0.3
    actor, critic = networks(2)
    twins = jax.tree.map(lambda x: jnp.stack([x, x * 0.9]), critic)
    loss, _ = jax.jit(algo.critic_loss)(twins, twins, actor, alpha, batch)
    q_now, q_next = (
        np.asarray(sac_discrete.every(twins, x), np.float64) for x in (batch.obs, batch.next_obs)
    )
    squares, policy, entropies, b = [], [], [], jax.device_get(batch)
    table = np.asarray(actor(jnp.arange(4)), np.float64)

    def soft(obs: Any, legal: Any) -> tuple[np.ndarray, np.ndarray]:
        open_ = np.flatnonzero(legal)
        logits = table[obs][open_]
        return open_, logits - np.log(np.exp(logits).sum())

    for i in range(B):
        open_, logp = soft(b.next_obs[i], b.next_legal[i])
        value = np.sum(np.exp(logp) * (q_next[:, i, open_].min(0) - alpha * logp))
        y = b.reward[i] + (0 if b.terminated[i] else 0.9 * value)
        squares.append(0.5 * np.sum((y - q_now[:, i, b.action[i]]) ** 2))
        open_, logp = soft(b.obs[i], b.legal[i])
        policy.append(np.sum(np.exp(logp) * (alpha * logp - q_now[:, i, open_].min(0))))
        entropies.append(-np.sum(np.exp(logp) * logp))
    np.testing.assert_allclose(loss, np.mean(squares), rtol=1e-4)
    (found, entropy), grads = jax.jit(jax.value_and_grad(algo.actor_loss, has_aux=True))(
        actor, twins, alpha, batch
    )
    np.testing.assert_allclose(found, np.mean(policy), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(entropy, np.mean(entropies), rtol=1e-4)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))
    aimed = algo.target_entropy * np.log(np.asarray(batch.legal).sum(-1)).mean()
    grad = jax.grad(algo.alpha_loss)(jnp.float32(0), entropy, sac_discrete.choices(batch, A))
    np.testing.assert_allclose(grad, entropy - aimed, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", late(["vpg", "a2c", "ppo", "trpo"], "ppo", "trpo"))
def test_the_loss_has_the_masks_of_the_rollout(name: str) -> None:
    """Before anything is learnt the policy of the loss is the one that acted: its ratio is 1, and no step would differ
    if the logits of forbidden actions did.
    """
    algo, env = small(name), Vec(Doors(), 4)
    net = ActorCritic(env.observation_space, env.action_space, (8,), "tanh", key=jax.random.key(0))
    state = jax.tree.map(lambda x: x[0], driver.init(algo, env, [0]))

    def act(seen: Any, noise: Any) -> Choice:
        return algo.act(state.learner, seen, noise)

    @jax.jit
    def data_of(key: Any) -> Any:
        _, rollout = collect(env, act, start(env, key), jax.random.fold_in(key, 1), 20)
        data = algo.advantages(state.learner, rollout)
        logp = state.learner.params.policy(data.obs, data.legal).log_prob(data.action)
        return data, logp, algo.diagnostics(state.learner.params, data)

    data, logp, told = data_of(jax.random.key(0))
    old = data.pi_old.log_prob(data.action) if name == "trpo" else data.logp_old
    np.testing.assert_allclose(logp, old, atol=1e-5)
    assert told["kl"] < 1e-6

    def loss(bias: Any) -> Any:
        moved = eqx.tree_at(lambda n: n.actor.layers[-1].bias, net, net.actor.layers[-1].bias + bias)
        out = algo.loss(
            moved, data._replace(legal=jnp.broadcast_to(jnp.array([True, False, True]), data.legal.shape))
        )
        return out[0] if isinstance(out, tuple) else out

    grad = jax.jit(jax.grad(loss))(jnp.zeros(A))
    assert grad[1] == 0
    assert grad[0] != 0


# --- whole runs ----------------------------------------------------------------------------------------------


def remembered(replay: Any) -> Batch:
    """Return all transitions that the first seed can draw; the places at the ring's head are none."""
    kept = jax.tree.map(lambda x: x[0], replay)
    rows, n, _ = kept.words.shape
    slots = (int(kept.pushed) - int(kept.size) + np.arange(int(kept.size))) % rows
    places = (slots[:, None] * n + np.arange(n)).ravel()
    return jax.device_get(jax.jit(ring.take)(kept, jnp.asarray(places), 0.9))


@pytest.mark.parametrize("name", late(ALGOS, "ppo", "dqn"))
def test_no_forbidden_action_is_taken_on_the_device(name: str) -> None:
    """Not in the warm-up, not while learning, not in evaluations with noise or without."""
    algo = small(name)
    env = Vec(Doors(), algo.num_envs)
    state = driver.run(algo, env, driver.begin(algo, env, [0, 1]), 4)
    assert state.actor.recent.count.min() > 0
    assert np.asarray(state.actor.recent.returns).min() >= 0
    for greedy in (True, False):
        keys = driver.root_keys([0, 1], "x")
        returns, _, _ = episodes.on_device(algo, env, state.learner, keys, greedy=greedy)
        assert returns.min() >= 0
    if algo.replay_size:
        b = remembered(state.learner.replay)
        assert np.take_along_axis(OPEN[b.obs], np.asarray(b.action)[:, None], 1).all()


def positions(game: str, num_envs: int, num_steps: int) -> Seen:
    """What a player sees in all positions of random games, one behind the other."""
    env: Any = make(game, num_envs)
    k_start, k_noise, k_env = jax.random.split(jax.random.key(0), 3)

    def move(actor: Any, x: Any) -> Any:
        noise, env_noise = x
        state, obs = actor
        legal = env.legal(state)
        after, step = env.step(state, uniform(env.action_space, noise, legal), env_noise)
        return (after, step.obs), Seen(obs, legal, env.world(state))

    noise = jax.random.gumbel(k_noise, (num_steps, num_envs, env.action_space.n))
    xs = noise, env.draw(k_env, num_steps)
    seen = jax.jit(lambda: jax.lax.scan(move, env.reset(k_start), xs)[1])()
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), seen)


@pytest.mark.slow
@pytest.mark.parametrize("game", ["pgx:tic_tac_toe", "pgx:connect_four"])
def test_no_algorithm_moves_illegally_in_ten_thousand_random_positions(game: str) -> None:
    """Every algorithm, with noise and without, by networks that know nothing: each move would be as likely."""
    pytest.importorskip("pgx")
    seen = positions(game, 100, 100)
    legal = np.asarray(seen.legal)
    assert len(legal) == 10_000
    assert not legal.all(-1).all()
    for name in [*ALGOS, "alphazero"]:
        algo = small(name)
        env: Any = make(game, algo.num_envs)
        learner = jax.jit(lambda key, algo=algo, env=env: algo.init(env, key).learner)(jax.random.key(1))
        at = seen._replace(memory=algo.start_memory(env.action_space, len(legal)))
        drawn = algo.draw(env.action_space, jax.random.key(2), (len(legal),))
        for noise in (None, drawn):
            action = np.asarray(algo.act(learner, at, noise).action)
            assert legal[np.arange(len(legal)), action].all(), (name, noise is None)


@pytest.mark.parametrize("name", late(["ppo", "a2c", "dqn", "sac_discrete"], "ppo", "dqn"))
def test_no_forbidden_action_is_taken_on_the_host(name: str) -> None:
    """Gymnasium's `info["action_mask"]` is read after resets and steps; it raises at a forbidden action."""
    algo = small(name)
    env: Any = make(DoorsOnHost, 2 * algo.num_envs)
    state = driver.run(algo, env, driver.begin(algo, env, [0, 1]), 4)
    assert state.actor.recent.count.min() > 0
    keys = driver.root_keys([0, 1], "x")
    episodes.on_host(algo, env, state.learner, keys, greedy=True)
    if algo.replay_size:
        b = remembered(state.learner.replay)
        np.testing.assert_array_equal(b.legal, OPEN[b.obs])
        np.testing.assert_array_equal(b.next_legal, OPEN[b.next_obs])


def test_masks_of_the_host_change_with_resets() -> None:
    env: Any = make(DoorsOnHost, 3)
    assert not env.masked  # a reset tells it, and none is made to ask
    _, obs = env.reset(jax.random.key(0))
    assert env.masked
    rng, ended = np.random.default_rng(0), 0
    for _ in range(30):
        np.testing.assert_array_equal(env.legal(()), OPEN[obs])
        action = [rng.choice(np.flatnonzero(row)) for row in env.legal(())]
        _, step = env.step((), action)
        np.testing.assert_array_equal(step.next_legal, OPEN[step.next_obs])
        obs, ended = step.obs, ended + step.done.sum()
    assert ended > 5
    plain = make("gymnasium:CartPole-v1", 1)
    assert not plain.masked
    assert plain.legal(()) is None


def test_where_nothing_is_said_all_is_allowed() -> None:
    """Not what was allowed before: an environment may tell of masks only where something is forbidden."""

    class Sometimes(DoorsOnHost):
        def info(self) -> dict:
            return {} if self.room == 3 else super().info()

        def step(self, action: Any) -> tuple:
            return super().step(1 if self.room == 3 else action)

    env: Any = make(Sometimes, 4)
    _, obs = env.reset(jax.random.key(0))
    told, rng = np.concatenate([OPEN[:3], np.ones((1, 3), bool)]), np.random.default_rng(0)
    met = set()
    for _ in range(30):
        met |= set(np.asarray(obs).tolist())
        np.testing.assert_array_equal(env.legal(()), told[obs])
        _, step = env.step((), [rng.choice(np.flatnonzero(row)) for row in env.legal(())])
        obs = step.obs
    assert met == {0, 1, 2, 3}


@pytest.mark.parametrize("name", late(["dqn", "sac_discrete", "ppo"], "dqn"))
def test_a_saved_run_with_masks_goes_on_and_is_read_without_a_reset(name: str, tmp_path: Path) -> None:
    """The checkpoint says that its replay keeps masks, because no environment is asked when it is loaded."""
    resets = []

    class Counted(DoorsOnHost):
        def reset(self, **how: Any) -> tuple:
            resets.append(how)
            return super().reset(**how)

    algo = small(name)
    how: dict[str, Any] = {"episodes": 2, "eval_limit": 20}
    run = swingup.train(algo, Counted, env_steps=env_steps(algo, 4), seeds=2, out=tmp_path / "run", **how)
    resets.clear()
    loaded = swingup.load(tmp_path / "run", env=Counted)
    assert not resets
    assert same_bits(loaded.state.learner, run.state.learner)
    longer = runs.resume(tmp_path / "run", env_steps=env_steps(algo, 8), env=Counted)
    assert resets
    if algo.replay_size:
        for row in range(2):
            b = remembered(jax.tree.map(lambda x, row=row: x[row:], longer.state.learner.replay))
            np.testing.assert_array_equal(b.legal, OPEN[b.obs])
            np.testing.assert_array_equal(b.next_legal, OPEN[b.next_obs])
    assert longer.metrics["env_steps"].max() == env_steps(algo, 8)


def test_what_is_no_mask_is_refused() -> None:
    class Wrong(DoorsOnHost):
        def info(self) -> dict:
            return {"action_mask": np.ones(4)}

    with pytest.raises(EnvironmentFault, match=r"info\['action_mask'\] has shape \(4,\)"):
        make(Wrong, 1).reset(jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "a2c", "dqn", "sac_discrete"])
def test_a_game_against_an_opponent_is_played_by_its_rules(name: str) -> None:
    """Where an illegal move loses at once; no game of tic-tac-toe is shorter than three of our moves but by one."""
    algo = small(name)
    env = make("pgx:tic_tac_toe?opponent=random", algo.num_envs)
    state = driver.run(algo, env, driver.begin(algo, env, [0]), 20)
    for greedy in (True, False):
        _, lengths, _ = episodes.on_device(
            algo, env, state.learner, driver.root_keys([0], "x"), greedy=greedy
        )
        assert lengths.min() >= 2
    if algo.replay_size:
        b = remembered(state.learner.replay)
        empty = ~np.asarray(b.obs).any(-1).reshape(len(b.action), 9)
        assert empty[np.arange(len(b.action)), b.action].all()


def exact(masks: np.ndarray, gamma: float) -> np.ndarray:
    """Return Q [4, 3] of the doors by value iteration, with the maximum over the doors that `masks` opens."""
    q = np.zeros((4, 3))
    for _ in range(500):
        for room in range(4):
            for action in range(3):
                there = (room + action + 1) % 4
                ended = room == 2 and action == 2
                reward = action if OPEN[room, action] else 3.0
                q[room, action] = reward + (0 if ended else gamma * q[there][masks[there]].max())
    return q


class Tempting(Doors):
    """What is forbidden would pay best, and is never seen: whoever bootstraps from it errs."""

    name = "Tempting"

    def step(self, state: Rooms, action: Any, key: Any) -> tuple[Rooms, Transition]:
        state, t = super().step(state, action, key)
        return state, t._replace(reward=jnp.where(t.reward == LOSS, 3.0, t.reward))


@pytest.mark.slow
def test_dqn_finds_the_exact_values_of_an_mdp_with_masks() -> None:
    """They are far from those without masks; half of eight seeds are within 0.1 everywhere a door is open."""
    gamma = 0.8
    q, free = exact(OPEN, gamma), exact(np.ones_like(OPEN), gamma)
    assert np.abs(q - free)[OPEN].max() > 1
    options = {"gamma": gamma, "lr": 3e-3, "replay_size": 4000, "batch_size": 64, "target_period": 20}
    algo = small("dqn", **options, warmup=4000, epsilon_end=1.0, hidden=(32,), replay_ratio=1.0)
    env = Vec(Tempting(), algo.num_envs)
    state = driver.run(algo, env, driver.begin(algo, env, range(8)), 400)
    found = jax.vmap(lambda params: params(jnp.arange(4)))(state.learner.params)
    errors = np.abs(np.asarray(found) - q)[:, OPEN].max(-1)
    assert np.median(errors) < 0.1
