"""Finite MDPs are environments: Gymnasium's tables, frequencies of what is drawn, options, names."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from swingup.envs import Vec, canonical, make
from swingup.envs.adapters.tabular import Tabular
from swingup.envs.names import TABULAR
from swingup.envs.tabular import LAYOUTS, MDP, MOVES, PROCESSES, cells, gridworld, random, windy_grid
from swingup.errors import ConfigError
from swingup.spaces import Box, Discrete
from swingup.theory import exact


def theirs(name: str, order: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Gymnasium's P and P R, with its actions in our order; terminal rows left as they are."""
    table: Any = gymnasium.make(name).unwrapped
    states, actions = len(table.P), len(table.P[0])
    p, pr = np.zeros((2, states, actions, states))
    for s in range(states):
        for a in range(actions):
            for chance, following, reward, _ in table.P[s][order[a]]:
                p[s, a, following] += chance
                pr[s, a, following] += chance * reward
    return p, pr


@pytest.mark.parametrize(
    ("ours", "name", "order"),
    [("Cliff", "CliffWalking-v1", (0, 1, 2, 3)), ("FrozenLake", "FrozenLake-v1", (3, 2, 1, 0))],
)
def test_gridworlds_are_gymnasiums(ours: str, name: str, order: tuple[int, ...]) -> None:
    """The same transitions and rewards wherever one can be; Gymnasium's cliff cells are never entered."""
    m = PROCESSES[ours]()
    p, pr = theirs(name, order)
    flat = "".join(LAYOUTS[ours])
    here = [s for s, cell in enumerate(flat) if cell not in "CHG"]
    np.testing.assert_allclose(m.transition[here], p[here], atol=1e-12)
    np.testing.assert_allclose((m.transition * m.reward)[here], pr[here], atol=1e-12)


def test_known_optima() -> None:
    """13 env steps along the cliff and 15 in the wind (Sutton & Barto); the lake's is that of its literature."""
    best = {n: float(PROCESSES[n]().start @ exact.optimal_value(PROCESSES[n]())) for n in PROCESSES}
    assert best["Cliff"] == pytest.approx(-13)
    assert best["WindyGrid"] == pytest.approx(-15)
    assert best["FrozenLake"] == pytest.approx(0.542, abs=1e-3)
    assert best["Chain"] == pytest.approx(0.9**3)
    assert best["TwoStateLoop"] == pytest.approx(1 / (1 - 0.81))
    assert best["Bias"] == pytest.approx(0.0)
    assert exact.optimal_action_value(PROCESSES["Bias"]())[1] == pytest.approx(np.full(10, -0.1))


def test_wind_carries_upwards() -> None:
    m, where = windy_grid(), cells(LAYOUTS["WindyGrid"])
    for s, (i, j) in enumerate(where):
        if m.terminal[s]:
            continue
        for a, (di, dj) in enumerate(MOVES):
            wind = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)[j]
            row, column = min(max(i + di, 0), 6), min(max(j + dj, 0), 9)
            aim = max(row - wind, 0), column
            assert m.transition[s, a, where.index(aim)] == 1


@pytest.mark.parametrize("name", TABULAR)
def test_every_environment_draws_as_its_tables_say(name: str) -> None:
    """Chi-square of 20,000 env steps from random states: wrong once in 10^5 for each name."""
    env = Tabular(PROCESSES[name](), name)
    m, n = env.mdp, 20_000
    rng = np.random.default_rng(0)
    alive = np.flatnonzero(~m.terminal)
    s, a = rng.choice(alive, n), rng.integers(0, m.num_actions, n)
    state, _ = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), n))
    starts = np.bincount(state.state, minlength=m.num_states)
    _fits(starts[None], m.start[None])
    state = state._replace(state=jnp.asarray(s, jnp.int32))
    after, t = jax.vmap(env.step)(state, jnp.asarray(a), jax.random.split(jax.random.key(1), n))
    following = np.asarray(after.state)
    counts = np.zeros(m.transition.shape)
    np.add.at(counts, (s, a, following), 1)
    _fits(counts.reshape(-1, m.num_states), m.transition.reshape(-1, m.num_states))
    np.testing.assert_allclose(t.reward, m.reward[s, a, following], rtol=1e-6)
    np.testing.assert_array_equal(t.terminated, m.terminal[following])
    assert not t.truncated.any()


def _fits(counts: np.ndarray, p: np.ndarray) -> None:
    assert counts[p == 0].sum() == 0, "something impossible was drawn"
    expected = p * counts.sum(1, keepdims=True)
    free = int((p > 0).sum() - (counts.sum(1) > 0).sum())
    statistic = ((counts - expected)[p > 0] ** 2 / np.maximum(expected[p > 0], 1e-9)).sum()
    assert free == 0 or stats.chi2.sf(statistic, free) > 1e-5


def test_time_limits_are_truncations() -> None:
    """At the limit the episode is truncated, unless it terminates in that very env step."""
    loop = Vec(Tabular(PROCESSES["TwoStateLoop"](), time_limit=3), 1)
    state, _ = loop.reset(jax.random.key(0))
    ends = []
    for i in range(6):
        noise = jax.tree.map(lambda x: x[0], loop.draw(jax.random.key(i), 1))
        state, step = loop.step(state, jnp.array([1]), noise)
        ends.append((bool(step.terminated[0]), bool(step.truncated[0]), int(step.next_obs[0])))
    assert ends == [(False, False, 1), (False, False, 0), (False, True, 1)] * 2
    chain = Tabular(PROCESSES["Chain"](states=3), time_limit=2)
    state, _ = chain.reset(jax.random.key(0))
    for i in range(2):
        state, t = chain.step(state, jnp.int32(1), jax.random.key(i))
    assert (bool(t.terminated), bool(t.truncated)) == (True, False)  # pyright: ignore[reportPossiblyUnboundVariable]


def test_mixed_actions_are_probabilities() -> None:
    """a in [-1, 1] takes the second action with probability (1 + a) / 2; five standard errors of 4,000 draws."""
    env: Any = make("tabular:TwoStateLoop?mix=true", 1).env  # type: ignore[attr-defined]
    assert env.action_space == Box.of(-1.0, 1.0, (1,))
    state, _ = env.reset(jax.random.key(0))
    for a in (-1.0, 0.5, 1.0):
        keys = jax.random.split(jax.random.key(1), 4000)
        after, _ = jax.vmap(lambda k, a=a: env.step(state, jnp.array([a]), k))(keys)
        p = (1 + a) / 2
        assert abs(np.mean(after.state) - p) <= 5 * np.sqrt(p * (1 - p) / 4000)


def test_observations_are_numbers_or_coordinates() -> None:
    env: Any = make("tabular:Cliff", 1)
    assert env.observation_space == Discrete(48)
    env = make("tabular:Cliff?observe=coordinates", 1)
    assert env.observation_space == Box.of(-1.0, 1.0, (2,))
    np.testing.assert_allclose(env.reset(jax.random.key(0))[1], [[1.0, -1.0]])
    assert make("tabular:Chain?observe=coordinates", 1).observation_space.shape == (1,)


def test_options_go_to_the_process_and_wrong_ones_are_refused() -> None:
    env: Any = make("tabular:Random?states=9&actions=2&seed=3", 2)
    truth: MDP = random(9, 2, seed=3)
    np.testing.assert_array_equal(env.env.mdp.transition, truth.transition)
    assert env.name == "Random?states=9&actions=2&seed=3"
    for wrong, message in (
        ("tabular:Chain?length=4", "unexpected keyword argument 'length'"),
        ("tabular:Random?branching=50", "branching must lie between 1 and states = 6"),
        ("tabular:Chain?time_limit=-1", "time_limit must be a whole number"),
        ("tabular:Chain?observe=pixels", "unknown observation 'pixels'"),
        ("tabular:Cliff?mix=true", "needs two actions"),
        ("tabular:Clif", "did you mean 'Cliff'"),
    ):
        with pytest.raises(ConfigError, match=message):
            make(wrong, 1)


def test_names_are_listed() -> None:
    assert tuple(PROCESSES) == TABULAR
    assert canonical("WindyGrid") == "tabular:WindyGrid"
    assert canonical("tabular:Cliff") == "tabular:Cliff"


def test_walls_and_slips() -> None:
    """A move into a wall stays; with slips, half of them go to either side."""
    m = gridworld(("S#", ".G"), slip=0.2, gamma=0.9)
    np.testing.assert_allclose(m.transition[0, 1], [0.9, 0.1, 0.0])  # right: the wall; up: the border; down
    np.testing.assert_allclose(m.transition[0, 2], [0.2, 0.8, 0.0])  # down; both sides are closed
