"""ME-TRPO, MBPO, MVE and STEVE are compared with slow loops: what they imagine, when they stop, what they aim at."""

from functools import cache, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from conftest import same_bits, small
from swingup import counters
from swingup.algos import ddpg, mbpo, me_trpo, mve
from swingup.algos.me_trpo import METRPO, Practice, accepted
from swingup.algos.sac import SAC
from swingup.dynamics import dreams
from swingup.dynamics.ensemble import Raw
from swingup.envs import make
from swingup.errors import ConfigError
from swingup.nets.observations import first_moments
from swingup.optimisers import fresh
from swingup.protocols import VecEnv
from swingup.replay import capacity, ring
from swingup.replay.ring import Batch
from swingup.spaces import Box
from swingup.types import Choice, Rollout, Seen, State, Step, Transition

PENDULUM = "Pendulum-v1"


@cache
def begun(name: str, **how: Any) -> tuple[Any, VecEnv, State]:
    """An algorithm after its warm-up."""
    algo = small(name, **how)
    env = make(PENDULUM, algo.num_envs)
    return algo, env, jax.jit(lambda key: algo.init(env, key))(jax.random.key(0))


def act(seen: Seen, noise: Array | None = None) -> Choice:
    """A policy that pushes against the turning."""
    return Choice(jnp.tanh(-seen.obs[..., 2:]))


# --- What a policy earns in a model --------------------------------------------------------------------------------


def falling(obs: Array, action: Array, next_obs: Array) -> Array:
    """An end that some imagined states meet."""
    return next_obs[..., 2] < obs[..., 2]


@cache
def played() -> tuple[Any, Any, np.ndarray]:
    _, _, state = begun("mbpo")
    learner, first = state.learner, ring.take(state.learner.agent.replay, jnp.arange(3), 1.0).obs
    learner = learner._replace(ensemble=with_end(learner.ensemble, falling))
    found = jax.jit(lambda: dreams.earned(learner.ensemble, learner.like, act, first, 4, jax.random.key(0)))()
    return learner, first, np.asarray(found)


def test_what_a_policy_earns_in_each_member_is_that_of_a_slow_loop() -> None:
    learner, first, found = played()
    assert found.shape == (4, 3, 3)
    predict = jax.jit(lambda obs, action: learner.ensemble.predict(obs, action))
    for e in range(3):
        obs, alive = first, np.ones(3, bool)
        for t in range(4):
            said = predict(obs, 2.0 * act(Seen(obs)).action)  # the torque goes to 2
            np.testing.assert_allclose(found[t, e], np.where(alive, said.reward[e], 0), rtol=1e-3, atol=1e-3)
            obs, alive = said.next_obs[e], alive & ~np.asarray(said.end[e] > 0.5)
    assert np.any(found == 0)
    assert np.all(found[0] != 0)


def test_an_end_leaves_nothing_to_earn_and_a_time_limit_cuts_both_sides_of_the_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By hand: what is dreamt is 1 in each env step, what is real is 2."""
    monkeypatch.setattr(dreams, "earned", lambda *_: jnp.ones((4, 2, 3)))
    terminated = jnp.zeros((4, 3), bool).at[1, 0].set(True)
    truncated = jnp.zeros((4, 3), bool).at[1, 1].set(True)
    step = made(jnp.full((4, 3), 2.0), terminated, truncated)
    rollout: Any = Rollout(jnp.zeros((4, 3, 1)), None, None, step)
    gap: Any = partial(dreams.gap, None, None, None)
    # Rows: the real end stops 2 + 2 but not 4 dreamt; a time limit stops both after two; the third goes on.
    assert float(gap(rollout, jax.random.key(0))) == pytest.approx((4 + 2 + 4) / 3 - (4 + 4 + 8) / 3)


def made(reward: Array, terminated: Array, truncated: Array, obs: float = 0.0) -> Step:
    """What environments answered, with the same observation everywhere."""
    seen = jnp.full((*reward.shape, 3), obs)
    return Step(seen, seen, reward, terminated, truncated, reward, jnp.ones(reward.shape, jnp.int32))


# --- MBPO ----------------------------------------------------------------------------------------------------------


def test_branches_grow_with_the_real_env_steps() -> None:
    """k at the beginning, on the way, and at the end, as the paper's schedule has it; and what is imagined obeys."""
    algo, _, state = begun("mbpo", branch_end=3, branch_to=40.0, branch_from=20.0)
    learner = state.learner

    def dreamt(env_steps: int) -> tuple[int, np.ndarray]:
        count = learner.agent.env_steps._replace(low=jnp.int32(env_steps))
        length = algo.length(count)
        step = imagine(learner, length).step
        return int(length), np.asarray(step.ep_length)

    imagine = jax.jit(lambda learner, length: algo.imagine(learner, length, jax.random.key(3)))
    for env_steps, k in ((16, 1), (20, 1), (30, 2), (39, 2), (40, 3), (1000, 3)):
        length, lengths = dreamt(env_steps)
        assert length == k
        assert lengths.shape == (3, 4)  # the same shape whatever k is
        np.testing.assert_array_equal(lengths, (np.arange(3)[:, None] % k + 1) * np.ones((1, 4)))


def test_a_branch_that_is_cut_bootstraps_and_one_that_ends_does_not() -> None:
    """The borrowed SAC sees an end where the model says one, and none where a branch is over."""
    algo, _, state = begun("mbpo")
    learner = state.learner

    def far(obs: Array, action: Array, next_obs: Array) -> Array:
        return next_obs[..., 0] > 0

    model = eqx.tree_at(lambda e: e.error, learner.ensemble, jnp.arange(3.0))
    model = with_end(model, far)
    rollout = jax.jit(
        lambda: algo.imagine(learner._replace(ensemble=model), jnp.int32(1), jax.random.key(1))
    )()
    ended = np.asarray(rollout.step.next_obs[..., 0] > 0)
    np.testing.assert_array_equal(rollout.step.terminated, ended)
    np.testing.assert_array_equal(rollout.step.truncated, ~ended)
    held = jax.jit(ring.add)(learner.dreamt, rollout)
    batch, there = ring.everything(held)
    assert int(there.sum()) == rollout.step.reward.size
    np.testing.assert_array_equal(batch.terminated[there], ended.ravel())


def with_end(model: Any, end: Any) -> Any:
    """The same ensemble with another known end, which is a static field."""
    copy = object.__new__(type(model))
    for name, value in (vars(model) | {"end": end}).items():
        object.__setattr__(copy, name, value)
    return copy


def test_only_elites_imagine() -> None:
    """Two of three members, those with the smallest error on the rows held out, whatever their number."""
    algo, _, state = begun("mbpo")
    model = eqx.tree_at(lambda e: e.error, state.learner.ensemble, jnp.array([3.0, 1.0, 2.0]))
    best = model.best(algo.elites)
    np.testing.assert_array_equal(best.error, [1.0, 2.0])
    for x, y in zip(jax.tree.leaves(best.members), jax.tree.leaves(model.members), strict=True):
        np.testing.assert_array_equal(x, y[jnp.array([1, 2])])


def test_a_batch_has_its_share_of_real_transitions() -> None:
    """A quarter is from the one replay, the rest from the other; at 0 and at 1 all are from one."""
    _, _, state = begun("mbpo")
    real = state.learner.agent.replay
    marked = ring.everything(real)[0]
    no = jnp.zeros((4, 4), bool)
    step = made(jnp.full((4, 4), 7.0), no, no, 7.0)
    fill = Rollout(step.obs, jnp.zeros((4, 4, 1)), (), step)
    dreamt = jax.jit(ring.add)(state.learner.dreamt, fill)
    assert not np.any(np.asarray(marked.reward) == 7.0)
    for share, count in ((0.0, 0), (0.25, 2), (1.0, 8)):
        algo = small("mbpo", real_share=share)
        batch = algo.sample(real, dreamt, jax.random.key(0))
        assert batch.reward.shape == (8,)
        assert int((batch.reward != 7.0).sum()) == count


def fitted(learnt: Any, *_: Any, **__: Any) -> tuple[Any, Array]:
    """A fit by decree: it costs nothing to compile, and is known by its errors."""
    return eqx.tree_at(lambda e: e.error, learnt, jnp.arange(float(learnt.size))), jnp.float32(0)


def untold(*_: Any) -> dict[str, Array]:
    return {}


def test_what_is_imagined_outlives_the_next_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second replay keeps what earlier models said until newer rows take its place."""
    algo, env, state = begun("mbpo", imagined_size=24)
    monkeypatch.setattr(mbpo, "fit", fitted)
    monkeypatch.setattr(mbpo, "told", untold)
    monkeypatch.setattr(SAC, "learn", lambda self, agent, key, draw: (agent, {}))
    step = jax.jit(lambda s: algo.step(env, s)[0])
    per_iteration = algo.imagined_envs * algo.longest
    counts = []
    for _ in range(4):
        state = step(state)
        counts.append(int(ring.everything(state.learner.dreamt)[1].sum()))
    assert counts == [min((i + 1) * per_iteration, 24) for i in range(4)]
    assert int(state.learner.imagined) == 4 * per_iteration


def test_memory_is_reckoned_with_both_replays() -> None:
    algo, env, _ = begun("mbpo")
    more = small("mbpo", imagined_size=10_032)
    width = 4 * 4 * (3 + 3 + 1 + 1 + 1 + 1) // 4
    assert capacity.replay_bytes(more, env) - capacity.replay_bytes(algo, env) == 10_000 * width


@pytest.mark.parametrize(
    "name, how, says",
    [
        ("mbpo", {"elites": 4}, "elites=4 cannot be more than members=3"),
        ("mbpo", {"imagined_envs": 5}, "imagined_envs=5 must be a multiple of elites=2"),
        (
            "mbpo",
            {"imagined_size": 7},
            "imagined_size=7 must hold what one iteration imagines: 4 branches of 2",
        ),
        ("mbpo", {"replay_ratio": 0.2}, "it must be a whole number"),
        ("me_trpo", {"imagined_envs": 5}, "imagined_envs=5 must be a multiple of members=2"),
        ("me_trpo", {"updates": 1}, "updates=1 must be at least score_every=2"),
        ("me_trpo", {"num_minibatches": 3}, "num_minibatches=3 does not divide"),
        ("me_trpo", {"replay_size": 4}, "replay_size=4 must hold"),
        ("mve", {"members": 3}, "batch_size=8 must be a multiple of members=3"),
    ],
)
def test_what_is_refused(name: str, how: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        small(name, **how)


# --- ME-TRPO -------------------------------------------------------------------------------------------------------


def test_a_policy_is_accepted_unless_more_than_a_share_of_the_members_got_worse() -> None:
    """With five, one worse is accepted at 30 %, two are not; equal is not worse; a score that is no number is."""
    before = jnp.array([1.0, 2.0, 3.0, 4.0, 5.0])
    for scores, good in (
        (before + 1, True),
        (before, True),
        (before.at[4].add(-9.0), True),
        (before.at[3:].add(-9.0) + jnp.array([99.0, 99.0, 99.0, 0.0, 0.0]), False),
        (before.at[0].set(jnp.nan), True),
        (before.at[:2].set(jnp.nan), False),
        (before - 1, False),
    ):
        assert bool(accepted(scores, before, 0.3)) == good
    assert bool(accepted(before - 1, before, 1.0))


@pytest.mark.parametrize("rises", [0, 1])
def test_practice_ends_without_acceptance_and_restores_the_last_policy_accepted_to_the_bit(
    rises: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores by decree: better after the first two updates, or never; after that always worse."""
    algo, _, state = begun("me_trpo", updates=12)
    learner = state.learner

    def scores(self: METRPO, learner: Any, agent: Any, *_: Any) -> Array:
        done = agent.iteration.low // self.score_every
        return jnp.where(done <= rises, done, -done) * jnp.ones(2)

    monkeypatch.setattr(METRPO, "scores", scores)
    last = jax.jit(lambda: algo.practise(learner, jax.random.key(0)))()
    assert int(last.updates) == 2 * rises + 4  # two scores that are worse use up the patience of 4
    assert int(last.since) == 4
    assert int(last.accepted.iteration) == 2 * rises
    assert int(last.agent.iteration) == 2 * rises + 4
    if not rises:
        assert same_bits(last.accepted, learner.agent)
    other = jax.tree.leaves(last.agent.params)[0]
    assert not np.array_equal(other, jax.tree.leaves(last.accepted.params)[0])


def test_the_policy_that_was_accepted_goes_out_and_the_ensemble_that_was_fitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Practice by decree: one policy was refused last, another one accepted."""
    algo, env, state = begun("me_trpo")

    def practise(self: METRPO, learner: Any, key: Array) -> Practice:
        good = jax.tree.map(lambda x: x + jnp.ones_like(x), learner.agent)
        count = jnp.int32(6)
        return Practice(learner.agent, state.actor, good, jnp.arange(2.0), count, count, key, {})

    monkeypatch.setattr(METRPO, "practise", practise)
    monkeypatch.setattr(me_trpo, "fit", fitted)
    monkeypatch.setattr(me_trpo, "told", untold)
    after, metrics = jax.jit(lambda s: algo.step(env, s))(state)
    for x, y in zip(jax.tree.leaves(after.learner.agent), jax.tree.leaves(state.learner.agent), strict=True):
        np.testing.assert_array_equal(x, y + jnp.ones_like(y))
    np.testing.assert_array_equal(after.learner.ensemble.error, [0.0, 1.0])
    assert int(after.learner.imagined) == 6 * algo.imagined_envs * algo.horizon
    told = {name: float(metrics[f"imagined/{name}"]) for name in ("return", "updates", "refused")}
    assert told == {"return": 0.5, "updates": 6.0, "refused": 6.0}
    assert int(after.learner.replay.pushed) == int(state.learner.replay.pushed) + algo.num_steps


# --- MVE and STEVE -------------------------------------------------------------------------------------------------

GAMMA, SIZE = 0.9, 6
SPACE = Box.of(-2.0, 2.0, (1,))


def moved(obs: Array, action: Array) -> tuple[Array, Array, Array]:
    """A world whose successor, reward and end are functions; actions are in its units, up to 2."""
    after = 0.8 * obs + 0.3 * action
    return after, after.sum(-1) - action[..., 0] ** 2, after[..., 0] > 0.45


class Known(eqx.Module):
    """The exact model, as `Learned` of an ensemble that knows."""

    def draw(self, key: Array, lead: tuple[int, ...]) -> Any:
        return jnp.zeros(lead)

    def step(self, state: Array, action: Array, noise: Any) -> tuple[Array, Transition]:
        after, reward, end = moved(state, action)
        return after, Transition(after, reward, end, jnp.zeros_like(end))


class Fitted(eqx.Module):
    """An ensemble of two members, of which the second is wrong by `wrong` in every successor."""

    action_space: Any = eqx.field(static=True)
    wrong: float = 0.0

    def features(self, obs: Array, action: Array) -> Array:
        return jnp.concatenate([obs, action], -1)

    def raw(self, x: Array) -> Any:
        return Raw(x, x[..., :0], x[..., 0])

    def outcome(self, obs: Array, action: Array, target: Array, end: Array) -> tuple[Array, Array, Array]:
        after, reward, ended = moved(obs, action)
        off = self.wrong * jnp.arange(2.0).reshape(2, *[1] * (after.ndim - 1))
        return after + off, reward, ended * 0.5


def batch() -> Batch:
    """Real transitions, of which the first ends."""
    k = jax.random.split(jax.random.key(4), 2)
    obs = jax.random.uniform(k[0], (SIZE, 2))
    action = jax.random.uniform(k[1], (SIZE, 1), minval=-1.0)
    after, reward, _ = moved(obs, 2 * action)
    ended = jnp.arange(SIZE) == 0
    ones = jnp.ones(SIZE)
    return Batch(obs, action, reward, after, ended, GAMMA * ones, ones, jnp.arange(SIZE))


class Nets(eqx.Module):
    """Target networks that are formulas."""

    critics: int = eqx.field(static=True, default=0)

    def actor(self, obs: Array) -> Array:
        return 0.4 * obs[..., :1] - 0.3 * obs[..., 1:]

    def critic(self, obs: Array, action: Array) -> Array:
        q = obs.sum(-1) + 3 * action[..., 0]
        return jnp.stack([q, q + 0.7]) if self.critics else q


def walk(b: Batch, i: int, start: int, horizon: int) -> float:
    """The target of row i's pair after `start` env steps, by one env step after the other to the horizon."""
    nets = Nets()
    obs, reward, ended = np.asarray(b.next_obs[i]), float(b.reward[i]), bool(b.terminated[i])
    total, weight, t = 0.0, 1.0, 0
    while True:
        if t >= start:
            total += weight * reward
            weight *= GAMMA
        if ended and t >= start:
            return total
        action = np.tanh(np.asarray(nets.actor(obs)))
        if t == horizon:
            return total + weight * float(nets.critic(obs, action))
        obs, reward, ended = (np.asarray(x) for x in moved(obs, 2 * action))
        t += 1


@pytest.mark.parametrize("td_k", [False, True])
def test_an_exact_model_gives_mves_target_of_a_slow_walk(td_k: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three env steps ahead, for the real pair and with `td_k` for all of its path; an end zeroes what is later."""
    monkeypatch.setattr(mve, "Learned", lambda fitted: Known())
    algo, b, nets = small("mve", horizon=3, td_k=td_k, gamma=GAMMA, batch_size=SIZE), batch(), Nets()
    target: Any = nets
    fitted: Any = Fitted(SPACE)
    wide = jax.jit(lambda: algo.expand(fitted, target, b, jax.random.key(0)))()
    q = nets.critic(wide.next_obs, jnp.tanh(nets.actor(wide.next_obs)))
    y = wide.reward + wide.discount * jnp.where(wide.terminated, 0.0, q)
    rows = 4 if td_k else 1
    assert y.shape == (rows * SIZE,)
    for row in range(rows):
        for i in range(SIZE):
            at = row * SIZE + i
            if wide.weight[at]:
                assert float(y[at]) == pytest.approx(walk(b, i, row, 3), rel=1e-4)
    assert (
        np.asarray(wide.weight).reshape(rows, SIZE)[1:, 0].sum() == 0
    )  # behind the real end there is nothing
    assert np.all(wide.weight[:SIZE] == 1)
    assert bool(wide.terminated[1:SIZE].any())  # and some end on the way
    assert float(y[0]) == pytest.approx(float(b.reward[0]))


def test_mve_without_a_horizon_is_ddpg_to_the_bit() -> None:
    algo, b = small("mve", horizon=0), batch()
    none: Any = None
    assert algo.expand(none, none, b, jax.random.key(0)) is b


def test_the_policy_learns_at_the_first_rows_alone_which_are_real() -> None:
    """The critic stands still. Then pairs that `td_k` adds for it, some of them behind an end, move no weight of μ."""
    algo = small("mve", lr=0.0).ddpg()
    env = make(PENDULUM, 1)
    nets = jax.jit(lambda: algo.networks(env, jax.random.key(1)))()
    adam = algo.optimizer(0.0, counters.counter())
    states = fresh(adam, nets.actor), fresh(adam, nets.critic)
    agent = ddpg.Learner(nets, nets, states, ring.empty(env, 8), counters.counter(), first_moments(algo, env))
    keys = jax.random.split(jax.random.key(2))
    obs, ones = jax.random.normal(keys[0], (8, 3)), jnp.ones(8)
    real = Batch(obs, obs[:, :1], ones, obs, ones > 0, ones, ones, jnp.arange(8))
    more = jax.tree.map(lambda x: jnp.concatenate([x, x + x, x + x]), real)
    one, three = (
        jax.jit(lambda b=b: algo.learn(agent, keys[1], lambda *_: b)[0].params)() for b in (real, more)
    )
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(three), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
    assert not same_bits(one.actor, nets.actor)


def steve_by_hand(b: Batch, horizon: int, wrong: float) -> tuple[np.ndarray, np.ndarray]:
    """y and the weights of lengths, by loops over rows, lengths, members and critics."""
    nets, ys, ws = Nets(2), [], []
    for i in range(SIZE):
        targets = np.zeros((horizon + 1, 4))
        for e in range(2):
            obs, reward, alive = np.asarray(b.next_obs[i]), float(b.reward[i]), 1.0 - float(b.terminated[i])
            total, weight = reward, GAMMA * alive
            for h in range(horizon + 1):
                action = np.tanh(np.asarray(nets.actor(obs)))
                for c in range(2):
                    targets[h, 2 * e + c] = total + weight * float(nets.critic(obs, action)[c])
                after, reward, ended = (np.asarray(x) for x in moved(obs, 2 * action))
                total += weight * float(reward)
                weight *= GAMMA * (1 - 0.5 * float(ended))
                obs = after + wrong * e
        w = 1 / (targets.var(1) + 1e-8)
        ws.append(w / w.sum())
        ys.append((ws[-1] * targets.mean(1)).sum())
    return np.array(ys), np.array(ws).T


@pytest.mark.parametrize("wrong", [0.0, 0.5])
def test_steves_target_is_that_of_loops_over_lengths_models_and_critics(wrong: float) -> None:
    """Where models agree the longest targets weigh most, as γ shrinks the critics' difference; else they never do."""
    algo, b = small("steve", horizon=2, gamma=GAMMA, batch_size=SIZE), batch()
    fitted: Any = Fitted(SPACE, wrong)
    nets: Any = Nets(2)
    y, weight = jax.jit(lambda: algo.target(fitted, nets, b))()
    expected, weights = steve_by_hand(b, 2, wrong)
    np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(weight.sum(0), 1.0, rtol=1e-5)
    np.testing.assert_allclose(weight[:, 1:], weights[:, 1:], rtol=2e-2, atol=1e-4)
    longest = np.asarray(weight)[:, 1:].argmax(0)
    assert np.all(longest < 2 if wrong else longest == 2)
    assert float(y[0]) == pytest.approx(float(b.reward[0]), rel=1e-4)


def test_steve_without_a_horizon_has_ddpgs_target_averaged_over_critics() -> None:
    algo, b = small("steve", horizon=0, gamma=GAMMA, batch_size=SIZE), batch()
    fitted: Any = Fitted(SPACE)
    nets: Any = Nets(2)
    q = nets.critic(b.next_obs, jnp.tanh(nets.actor(b.next_obs))).mean(0)
    y, weight = algo.target(fitted, nets, b)
    np.testing.assert_allclose(y, b.reward + GAMMA * jnp.where(b.terminated, 0.0, q), rtol=1e-5)
    np.testing.assert_allclose(weight, 1.0)
