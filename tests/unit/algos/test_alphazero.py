"""AlphaZero is compared with plain loops, and with the rules of its games."""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import swingup
from conftest import small
from swingup.algos.alphazero import AlphaZero, Learner, Noise, Opening, successors
from swingup.envs import make
from swingup.envs.games import Versus, game_of
from swingup.errors import ConfigError
from swingup.replay import window
from swingup.replay.window import Position, Sample
from swingup.rollout import collect
from swingup.types import Rollout, Seen, State

ENV = make("pgx:tic_tac_toe", 4)
GAME = game_of(ENV)
LEGAL = jax.jit(jax.vmap(GAME.legal))
BEGIN = jax.jit(jax.vmap(GAME.reset))
ONE = jax.jit(lambda state, move: GAME.step(state, move, jax.random.key(0)))
STEP = jax.jit(jax.vmap(lambda state, move: GAME.step(state, move, jax.random.key(0))))


def algo(**changes: Any) -> AlphaZero:
    return small("alphazero", **changes)


def begun(a: AlphaZero, seed: int = 0) -> State:
    return a.init(ENV, jax.random.key(seed))


def positions(games: int, moves: int, seed: int) -> tuple[Any, Any]:
    """States and observations of games after random moves, of which none has ended."""
    rng = np.random.default_rng(seed)
    while True:
        state, obs = BEGIN(jax.random.split(jax.random.key(0), games))
        ended = np.zeros(games, bool)
        for _ in range(moves):
            legal = np.asarray(LEGAL(state))
            move = np.array([rng.choice(np.flatnonzero(x)) for x in legal])
            state, t = STEP(state, jnp.asarray(move))
            obs, ended = t.obs, ended | np.asarray(t.terminated)
        if not ended.any():
            return state, obs


def seen_at(state: Any, obs: Any) -> Seen:
    zeros = jnp.zeros(len(obs), jnp.int32)
    return Seen(obs, LEGAL(state), state, Opening(zeros, zeros))


@pytest.mark.parametrize("mix", [0.0, 0.3])
def test_the_loss_is_the_lectures(mix: float) -> None:
    a, rng = algo(mix=mix, c=0.01), np.random.default_rng(0)
    params: Any = begun(a).learner.params
    state, obs = positions(6, 2, 1)
    legal = np.asarray(LEGAL(state))
    policy = rng.random((6, 9)).astype(np.float32) * legal
    policy /= policy.sum(1, keepdims=True)
    z, value = rng.integers(-1, 2, 6).astype(np.float32), rng.uniform(-1, 1, 6).astype(np.float32)
    known = np.array([1, 1, 0, 1, 0, 1], bool)
    loss, metrics = a.loss(params, Sample(obs, *map(jnp.asarray, (legal, policy, value, z, known))))
    logits, v = (np.asarray(x, np.float64) for x in params(obs, jnp.asarray(legal)))
    by_hand, n = 0.0, known.sum()
    for b in range(6):
        p = np.exp(logits[b][legal[b]] - logits[b][legal[b]].max())
        by_hand -= (policy[b][legal[b]] * np.log(p / p.sum())).sum() / 6
        if known[b]:
            by_hand += ((1 - mix) * z[b] + mix * value[b] - v[b]) ** 2 / n
    by_hand += 0.01 * sum((np.asarray(x, np.float64) ** 2).sum() for x in jax.tree.leaves(params))
    np.testing.assert_allclose(loss, by_hand, rtol=1e-5)
    np.testing.assert_allclose(metrics["kl"], metrics["loss/policy"] - metrics["entropy"], rtol=1e-5)


def test_the_model_of_the_search_is_the_rules_and_the_network() -> None:
    params: Any = begun(algo()).learner.params
    for moves in (0, 3, 6):
        state, _obs = positions(32, moves, moves)
        legal = np.asarray(LEGAL(state))
        move = jnp.argmax(jnp.asarray(legal) * jax.random.uniform(jax.random.key(1), legal.shape), -1)
        after, e = jax.jit(successors)(params, state, move)
        logits, value = params(STEP(state, move)[1].obs, LEGAL(after))
        for b in range(32):
            one = jax.tree.map(lambda x, b=b: x[b], state)
            then, t = ONE(one, move[b])
            assert e.reward[b] == t.reward
            assert e.discount[b] == (0 if t.terminated else -1)
            if not t.terminated:
                np.testing.assert_allclose(e.value[b], value[b], atol=1e-5)
                np.testing.assert_allclose(e.logits[b], logits[b], rtol=1e-5, atol=1e-5)
            same = jax.tree.map(lambda x, y, b=b: bool(jnp.all(x[b] == y)), after, then)
            assert all(jax.tree.leaves(same))


def played(a: AlphaZero, seed: int = 0, rollouts: int = 1) -> tuple[State, list[Rollout]]:
    state, out = begun(a, seed), []
    actor = state.actor
    run = jax.jit(partial(collect, ENV, partial(a.act, state.learner), num_steps=a.num_steps, draw=a.draw))
    for i in range(rollouts):
        actor, rollout = run(actor, jax.random.fold_in(jax.random.key(seed), i))
        out.append(rollout)
    return state._replace(actor=actor), out


def test_openings_are_random_of_random_length_and_games_begin_anew() -> None:
    a = algo(num_steps=64, opening=3, window=256)
    _, rollouts = played(a, rollouts=12)
    guided = np.concatenate([r.extras.guided for r in rollouts])
    done = np.concatenate([r.step.done for r in rollouts])
    lengths = []
    for n in range(4):
        start = 0
        for end in np.flatnonzero(done[:, n]):
            game = guided[start : end + 1, n]
            random = int((~game).sum())
            assert not game[:random].any()
            assert game[random:].all()
            lengths.append(random)
            start = end + 1
    counts = np.bincount(lengths, minlength=4)
    assert len(counts) == 4
    assert len(lengths) > 200
    chi2 = ((counts - len(lengths) / 4) ** 2 / (len(lengths) / 4)).sum()
    assert chi2 < 27  # 3 degrees of freedom: right code exceeds it less than once in 100,000 times


def test_moves_are_legal_and_the_greedy_ones_are_always_the_same() -> None:
    for name in ("gumbel", "puct"):
        a = algo(search=name)
        learner = begun(a).learner
        state, obs = positions(16, 4, 2)
        seen = seen_at(state, obs)
        one, two = a.act(learner, seen), a.act(learner, seen)
        np.testing.assert_array_equal(one.action, two.action)
        np.testing.assert_array_equal(one.extras.policy, two.extras.policy)
        legal = np.asarray(seen.legal)
        for i in range(20):
            choice = a.act(learner, seen, a.draw(ENV.action_space, jax.random.key(i), (16,)))
            assert legal[np.arange(16), np.asarray(choice.action)].all()
            assert not np.asarray(choice.extras.policy)[~legal].any()
            np.testing.assert_allclose(choice.extras.policy.sum(-1), 1, atol=1e-5)


def test_with_puct_the_moves_of_an_opening_are_drawn_by_visits_and_then_the_most_visited_is_played() -> None:
    a = algo(search="puct", simulations=8, opening=0, temperature_moves=2, epsilon=0.0)
    learner = begun(a).learner
    state, obs = positions(1, 0, 0)
    many = jax.tree.map(lambda x: jnp.repeat(x, 4000, 0), (state, obs))
    legal = LEGAL(many[0])
    for moves, drawn in ((0, True), (1, True), (2, False)):
        memory = Opening(jnp.full(4000, moves), jnp.zeros(4000, jnp.int32))
        noise = a.draw(ENV.action_space, jax.random.key(3), (4000,))
        choice = a.act(learner, Seen(many[1], legal, many[0], memory), noise)
        policy = np.asarray(choice.extras.policy[0], np.float64)
        counts = np.bincount(np.asarray(choice.action), minlength=9)
        if drawn:
            there = policy > 0
            chi2 = ((counts[there] - 4000 * policy[there]) ** 2 / (4000 * policy[there])).sum()
            assert chi2 < 45
            assert not counts[~there].any()
        else:
            assert counts[np.argmax(policy)] == 4000


def slow_update(
    a: AlphaZero, learner: Learner, rollout: Rollout, key: Any, z: np.ndarray, known: np.ndarray
) -> Any:
    """Parameters after an update, step by step, from the results of all positions of the window [C, N]."""
    plan, step = rollout.extras, rollout.step
    ring = window.add(
        learner.window,
        Position(rollout.obs, rollout.legal, *plan, step.reward, step.terminated, step.truncated),  # pyright: ignore
    )
    params, opt_state = learner.params, learner.opt_state
    adam = optax.flatten(optax.adam(a.lr))
    keys = jax.random.split(key, a.draws * a.num_envs * a.num_steps // a.batch_size)
    for k in keys:
        k_draw, k_turn = jax.random.split(k)
        k_row, k_game = jax.random.split(k_draw)
        t = jax.random.randint(k_row, (a.batch_size,), 0, min(int(ring.pushed), len(z)))
        n = jax.random.randint(k_game, (a.batch_size,), 0, a.num_envs)
        r: Any = jax.tree.map(lambda x, t=t, n=n: np.asarray(x)[t, n], ring.rows)
        which = np.asarray(jax.random.randint(k_turn, (a.batch_size,), 0, 1 + len(GAME.symmetries)))
        obs, legal, policy = np.array(r.obs), np.array(r.legal), np.array(r.policy)
        for b, i in enumerate(which):
            if i:
                cells, moves = GAME.symmetries[i - 1]
                obs[b] = obs[b].ravel()[cells].reshape(obs[b].shape)
                legal[b], policy[b] = legal[b][moves], policy[b][moves]
        there = known[t, n] & r.guided
        target = (1 - a.mix) * z[t, n] + a.mix * r.value

        def loss(params: Any, obs=obs, legal=legal, policy=policy, there=there, target=target) -> Any:
            logits, v = params(jnp.asarray(obs), jnp.asarray(legal))
            cross = -(jnp.where(legal, policy * jax.nn.log_softmax(logits), 0)).sum(-1).mean()
            error = (there * (target - v) ** 2).sum() / max(there.sum(), 1)
            return cross + error + a.c * sum((x**2).sum() for x in jax.tree.leaves(params))

        updates, opt_state = adam.update(jax.grad(loss)(params), opt_state)
        params = optax.apply_updates(params, updates)
    return params


def test_updates_are_those_of_a_slow_loop_over_whole_games() -> None:
    a = algo(num_steps=6, window=4 * 16, batch_size=16, draws=2, opening=2)
    state, rollouts = played(a, seed=4, rollouts=4)
    learner, history = state.learner, []
    for i, rollout in enumerate(rollouts):
        history.append(rollout)
        player, reward, end = (
            np.concatenate([np.asarray(f(r)) for r in history])
            for f in (lambda r: r.extras.player, lambda r: r.step.reward, lambda r: r.step.terminated)
        )
        z, known = np.zeros((16, 4), np.float32), np.zeros((16, 4), bool)
        for t, n in np.ndindex(*player.shape):
            if t < len(player) - 16:
                continue
            ends = np.flatnonzero(end[t:, n])
            if len(ends):
                last = t + ends[0]
                sign = 1 if player[last, n] == player[t, n] else -1
                z[t % 16, n], known[t % 16, n] = sign * reward[last, n], True
        key = jax.random.key(100 + i)
        expected = slow_update(a, learner, rollout, key, z, known)
        learner, _ = a.update(learner, rollout, key)
        for x, y in zip(jax.tree.leaves(learner.params), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(x, y, atol=2e-5)


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown search 'gumbl'; did you mean 'gumbel'"):
        AlphaZero(search="gumbl")
    with pytest.raises(ConfigError, match="batch_size=500 does not divide"):
        AlphaZero(batch_size=500)
    with pytest.raises(ConfigError, match="window=100 must hold the 2048 positions"):
        AlphaZero(window=100)
    with pytest.raises(ConfigError, match="is no game of two players"):
        AlphaZero().init(make("CartPole-v1", 64), jax.random.key(0))


@pytest.mark.parametrize(
    "env",
    ["CartPole-v1", "pgx:tic_tac_toe?opponent=random", Versus(GAME)],
    ids=["CartPole", "played against", "Versus"],
)
def test_what_is_no_game_for_two_is_refused_before_there_is_a_directory(env: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no game in which AlphaZero moves for both players"):
        swingup.train(algo(), env, env_steps=1000, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_acting_reads_the_network_alone() -> None:
    a = algo()
    learner = begun(a).learner
    state, obs = positions(4, 1, 3)
    noise = a.draw(ENV.action_space, jax.random.key(0), (4,))
    assert isinstance(noise, Noise)
    whole, part = (a.act(x, seen_at(state, obs), noise) for x in (learner, a.acting(learner)))
    np.testing.assert_array_equal(whole.action, part.action)
