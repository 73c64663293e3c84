"""Counters are compared with Python's integers at the limits of 32 bits: each starts just below and runs across."""

import dataclasses
import math
from collections import deque
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import test_hindsight
import test_ring

from conftest import late, same_bits, small
from swingup.algos import ALGOS
from swingup.counters import Counter, add, around, counter, cycle, real
from swingup.envs import make
from swingup.replay import priorities, ring
from swingup.replay.packing import pack, unpack
from swingup.rollout import RECENT, record
from swingup.tables import rate, visit
from swingup.types import Recent, Rollout, Step

WALLS = (2**24, 2**30, 2**31, 2**32, 2**40)  # where float32 and int32 have theirs, and far beyond


@pytest.mark.parametrize("wall", WALLS)
def test_a_counter_counts_as_python_does(wall: int) -> None:
    """In any strides; and as float32 it is within half a unit in the last place."""
    further, exact = jax.jit(add), wall - 3
    count = counter(exact)
    for stride in (1, 1, 1, 1, 7, 2**20 + 1, 2**30 - 1, 2**30):
        count, exact = further(count, stride), exact + stride
        assert int(count) == exact
        assert float(real(count)) == pytest.approx(exact, rel=2**-23)
    many = jax.vmap(lambda n: add(counter(wall - 3), n))(jnp.arange(9))
    assert [int(Counter(*words)) for words in zip(*many, strict=True)] == [wall - 3 + n for n in range(9)]


@pytest.mark.parametrize("size", [1, 7, 100, 2**20 + 3])
def test_places_in_a_ring_and_distances_go_on_for_ever(size: int) -> None:
    """2^30 and what lies around it, walked across in strides: places, fullness, differences."""
    number, exact = jnp.int32(2**30 - 5), 2**30 - 5
    for stride in (1, 3, 1, 1, size, 1, size, 2):
        number, exact = around(number + stride, size), exact + stride
        assert int(number) % size == exact % size
        assert int(number) >= size
    period = cycle(size)
    before, start = jnp.int32(period - 5), period - 5
    for distance in range(12):
        after = (before + distance) % period
        assert int(after) % size == (start + distance) % size
        assert int((after - before) % period) == distance


def test_counters_change_no_bit_of_a_number_that_int32_holds() -> None:
    """The float of a counter is that of the integer, and a ring's number is itself."""
    for number in (0, 1, 4095, 2**24 - 1, 2**24 + 1, 2**30 - 1):
        assert float(real(counter(number))) == float(jnp.float32(jnp.int32(number)))
        assert int(around(jnp.int32(number), 7)) == number


# ------------------------------------------------------------------------------------------------------------ replay


def moved(memory: Any, below: int) -> Any:
    """The same replay as if it had been written to for long: its counters `below` their limits."""
    rows = memory.words.shape[0]
    row = unpack(memory.words, memory.layout)
    here = int(memory.pushed)
    memory = dataclasses.replace(memory, pushed=jnp.int32(here + (2**30 - below - here) // rows * rows))
    if memory.lasts is not None:
        keep = len(memory.lasts)
        shift = cycle(keep) - keep
        row = row._replace(last=(row.last + shift) % cycle(keep))
        memory = dataclasses.replace(memory, ended=(memory.ended + shift) % cycle(keep))
    if memory.episodes is not None:
        shift = (cycle(rows) - below) // rows * rows
        row = row._replace(episode=(row.episode + shift) % cycle(rows))
        count = (memory.episodes.count + shift) % cycle(rows)
        memory = dataclasses.replace(memory, episodes=memory.episodes._replace(count=count))
    return dataclasses.replace(memory, words=pack(row, memory.layout, 2))


@pytest.mark.parametrize("kind", ["vector", "image", "stack"])
@pytest.mark.parametrize("n_step", [1, 3])
def test_a_replay_goes_on_where_its_counters_end(kind: str, n_step: int) -> None:
    """What is drawn is what happened, before the limits, on them and after; also where the episodes are interrupted."""
    world = test_ring.World(2, kind, 7, ends=0.9)
    memory = ring.empty(world.env, 22)
    if memory.lasts is not None:
        memory = dataclasses.replace(memory, lasts=jnp.zeros((40, *memory.lasts.shape[1:]), jnp.uint8))
    for _ in range(5):
        memory = test_ring.add(memory, world.play(4))
    memory = moved(memory, 25)
    for i in range(22):
        memory = test_ring.add(memory, world.play(4))
        if i % 4 == 1:
            world.restart()
            memory = jax.jit(ring.interrupt)(memory)
        if i % 2:
            test_ring.check(world, memory, n_step)
    assert int(memory.pushed) < 100  # it has gone around
    assert kind == "vector" or int(memory.ended) < 100


def test_a_lost_last_frame_is_known_as_lost_across_the_limit() -> None:
    """Seven time limits with room for four: the three oldest have no weight, whatever their numbers are."""
    world = test_ring.World(1, "image", 3, ends=0.0)
    memory = ring.empty(world.env, 30)
    memory = dataclasses.replace(memory, lasts=jnp.zeros((4, *memory.lasts.shape[1:]), jnp.uint8))  # type: ignore[union-attr]
    memory = dataclasses.replace(memory, ended=jnp.int32(cycle(4) - 4))
    for _ in range(7):
        rollout = world.play(2)
        truncated = rollout.step.truncated.copy()
        truncated[-1] = True
        memory = test_ring.add(memory, rollout._replace(step=rollout.step._replace(truncated=truncated)))
    batch = test_ring.take(memory, jnp.arange(14), 0.9)
    np.testing.assert_array_equal(batch.weight[1::2], [0, 0, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(batch.weight[::2], np.ones(7))


def test_priorities_follow_the_head_across_the_limit() -> None:
    """New transitions get the highest, what lies at the head none, the others keep theirs."""
    world = test_ring.World(2, "stack", 0)
    memory = ring.empty(world.env, 20)
    rows = memory.words.shape[0]
    p = priorities.empty(memory.places)
    for i in range(12):
        memory = test_ring.add(memory if i != 5 else moved(memory, 10), world.play(3))
        p = p.admit(memory, 3)
    leaves = np.asarray(p.tree.levels[0])[: rows * 2]
    total = len(world.history[0])
    drawable = [(q % rows) * 2 + i for q in range(total - int(memory.size), total) for i in range(2)]
    assert (leaves[drawable] > 0).all()
    assert (np.delete(leaves, drawable) == 0).all()


def test_hindsight_knows_the_rest_of_an_episode_across_the_limit() -> None:
    """Rows and episodes, each of whose numbers goes around."""
    world, memory = test_hindsight.filled(11, [4] * 9)
    memory, rows = moved(memory, 18), memory.words.shape[0]
    for i in range(20):
        memory = test_hindsight.add(memory, world.play(4))
        if i % 5 == 3:
            memory = test_hindsight.interrupt(memory)
            world.restart()
        total = len(world.history[0])
        stored = [(j, start) for j in range(2) for start in range(total - rows, total)]
        index = np.array([start % rows * 2 + j for j, start in stored])
        wanted = [len(world.future(j, start)) - 1 for j, start in stored]
        assert test_hindsight.remaining(memory, index).tolist() == wanted
    assert int(memory.episodes.count.max()) < 200  # it has gone around


def test_recent_returns_go_on_across_the_limit() -> None:
    """Against a deque, which knows no numbers."""
    rng, expected = np.random.default_rng(0), deque(range(RECENT), maxlen=RECENT)
    count = 2**30 - 30
    recent = Recent(jnp.roll(jnp.arange(100.0), count % RECENT), jnp.int32(count))
    for _ in range(12):
        done, ep_return = rng.random((5, 3)) < 0.5, rng.random((5, 3)).astype(np.float32)
        none = np.zeros((5, 3), bool)
        fields: Any = (), (), ep_return, done, none, ep_return, np.ones((5, 3), np.int32)
        recent = record(recent, Rollout((), jnp.zeros(()), (), Step(*fields)))
        expected.extend(ep_return[done].tolist())
        assert sorted(recent.returns.tolist()) == sorted(expected)
        count += int(done.sum())
        assert int(recent.count) % RECENT == count % RECENT
        assert int(recent.count) >= RECENT


# -------------------------------------------------------------------------------------------- schedules and optimisers


@pytest.mark.parametrize(
    "name",
    late(
        ["dqn", "c51", "qr_dqn", "q_learning", "sarsa", "expected_sarsa", "double_q_learning"],
        *("dqn", "q_learning"),
    ),
)
def test_epsilon_and_the_learning_rate_fall_beyond_2_to_the_31(name: str) -> None:
    """One iteration near the middle of schedules of 2^33 env steps, and 2^30 iterations later: ε by its formula."""
    table = name not in ("dqn", "c51", "qr_dqn")
    long: dict[str, Any] = {"epsilon_start": 1.0, "epsilon_end": 0.0, "epsilon_decay": float(2**33)}
    algo = small(name, **long, **({} if table else {"lr_decay": True, "lr_horizon": float(2**33)}))
    env = make("tabular:Grid" if table else "CartPole-v1", algo.num_envs)
    state = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0))
    step = jax.jit(lambda state: algo.step(env, state))
    for env_steps in (2**31 - 4, 2**32 - 4, 3 * 2**31 - 1, 2**33, 2**36):
        learner = state.learner._replace(env_steps=counter(env_steps))
        after, metrics = step(state._replace(learner=learner))
        env_steps += algo.env_steps_per_iteration
        assert int(after.learner.env_steps) == env_steps
        assert float(metrics["epsilon"]) == pytest.approx(max(0.0, 1 - env_steps / 2**33), abs=1e-6)
        if not table:
            share = max(0.0, 1 - (env_steps - algo.env_steps_per_iteration) / 2**33)
            optimizers = algo.optimizer(real(learner.env_steps)), small(name, lr=algo.lr * share).optimizer(0)
            got, wanted = (o.update(after.learner.params, after.learner.opt_state)[0] for o in optimizers)
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-9), got, wanted)


@pytest.mark.parametrize("name", ["ppo", "a2c"])
def test_the_learning_rate_falls_for_more_iterations_than_int32_counts(name: str) -> None:
    algo = small(name, lr=1.0, lr_decay=True, lr_horizon=float(2**40), max_grad_norm=1e9)
    horizon = 2**40 // algo.env_steps_per_iteration
    net = {"w": jnp.ones(3)}
    for iteration in (0, 2**31 + 5, horizon // 2, horizon - 1, 2 * horizon):
        optimizer = algo.optimizer(real(counter(iteration)))
        plain = small(name, lr=1.0, max_grad_norm=1e9).optimizer(0)
        got, base = (o.update(net, o.init(net))[0]["w"] for o in (optimizer, plain))
        share = max(0.0, 1 - iteration * algo.env_steps_per_iteration / 2**40)
        np.testing.assert_allclose(got, share * base, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("period", [1, 3, 500])
def test_the_target_network_is_renewed_on_time_for_ever(period: int) -> None:
    """Around 2^30 gradient steps: at multiples of the period and at no other time."""
    algo = small("dqn", target_period=period, num_steps=4, num_envs=1, replay_ratio=1.0)
    env = make("CartPole-v1", 1)
    state = jax.jit(lambda key: algo.init(env, key))(jax.random.key(0))
    exact = 2**30 - 6 if period < 500 else 2**30 // period * period + period - 6
    step = jax.jit(lambda state: algo.step(env, state))
    state = state._replace(learner=state.learner._replace(gradient_steps=around(jnp.int32(exact), period)))
    for _ in range(3):
        before = state.learner.target
        state = step(state)[0]
        renewed = any((exact + i) % period == 0 for i in range(1, 5))
        assert same_bits(before, state.learner.target) != renewed
        exact += 4
        assert int(state.learner.gradient_steps) % period == exact % period


def test_adams_own_count_stops_where_it_has_no_more_say() -> None:
    """Optax's count of gradient steps saturates at 2^31 - 1; bias corrections are 1 long before, for any β."""
    adam = optax.adam(1e-3)
    net: Any = {"w": jnp.ones(3)}
    state: Any = adam.init(net)
    state = (state[0]._replace(count=jnp.int32(2**31 - 2), mu=net, nu=net), *state[1:])
    for _ in range(3):
        updates: Any
        updates, state = adam.update(net, state)
        np.testing.assert_allclose(updates["w"], -1e-3, rtol=1e-5)
    assert int(state[0].count) == 2**31 - 1
    assert 1 - (1 - 2.0**-24) ** (2**31 - 1) == 1.0 - math.exp(-128) == 1.0


def test_visits_of_a_table_stop_and_never_turn_negative() -> None:
    """The rate of one pair after 2^31 visits is what it was: below what a float32 of its value can resolve."""
    visits = jnp.zeros((2, 2), jnp.int32).at[1, 0].set(2**31 - 3)
    for wanted in (2**31 - 2, 2**31 - 1, 2**31 - 1):
        visits = jax.jit(visit)(visits, (jnp.int32(1), jnp.int32(0)))
        assert int(visits[1, 0]) == wanted
        assert float(rate(0.1, 1.0, visits[1, 0])) == pytest.approx(2.0**-31)
    assert visits.sum() == visits[1, 0]
    assert int(visit(visits, (0, 0), jnp.bool_(False))[0, 0]) == 0


def test_every_counter_of_a_learner_is_of_a_kind_that_lasts() -> None:
    """No int32 leaf of any learner grows but those whose limits are tested above."""
    known = {"phase"}  # of TD3, modulo its delay
    known |= {"high", "low", "pushed", "ended", "count", "ends", "gradient_steps", "visits"}
    for name in ALGOS:
        table = (
            name in ("q_learning", "sarsa", "expected_sarsa", "double_q_learning", "td_lambda")
            or "iteration" in name
        )
        continuous = name in ("ddpg", "td3", "sac", "mpc", "pets", "mbmf", "mbpo", "mve", "steve")
        algo = small(name)
        other = "task:PushBox" if name == "i2a" else "CartPole-v1"
        other = "pgx:tic_tac_toe" if algo.plays_games else "Pendulum-v1" if continuous else other
        env = make("tabular:Grid" if table else other, algo.num_envs)
        learner = jax.eval_shape(
            lambda key, algo=algo, env=env: algo.init(env, key), jax.random.key(0)
        ).learner
        for path, x in jax.tree_util.tree_leaves_with_path(learner):
            if jnp.issubdtype(x.dtype, jnp.integer) and x.dtype != jnp.uint32:
                leaf = str(path[-1]).strip(".[]'")
                tables = {"obs", "action", "next_obs"} | ({"following"} if name == "td_lambda" else set())
                tables |= {"player"} if algo.plays_games else set()  # who moved, in a window of positions
                assert leaf in known | tables, f"{name}: {jax.tree_util.keystr(path)}"
