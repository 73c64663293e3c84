"""Targets that look ahead in a model are compared with slow loops, and with what they must be at their ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from swingup.envs.control import LQ
from swingup.expansion import candidates, extended, weighted

H, B, GAMMA = 4, 7, 0.9


@pytest.fixture(scope="module")
def path() -> tuple[np.ndarray, ...]:
    """Rewards, ends and what a critic says after each row: [H+1, B]."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(H + 1, B)), rng.random((H + 1, B)) < 0.2, rng.normal(size=(H + 1, B))


def target(path: tuple[np.ndarray, ...], row: int, b: int, last: int) -> float:
    """y of the pair in a row, by walking: to the row `last`, then the critic."""
    reward, ended, q = path
    total, weight = 0.0, 1.0
    for t in range(row, last + 1):
        total += weight * reward[t, b]
        if ended[t, b]:
            return total
        weight *= GAMMA
    return total + weight * q[last, b]


def test_every_row_of_a_path_has_the_target_of_a_slow_walk(path: tuple[np.ndarray, ...]) -> None:
    """An end zeroes what comes later, wherever it is; what was earned with it counts."""
    reward, ended, q = path
    total, over = extended(reward, ended, GAMMA)
    for row in range(H + 1):
        found = total[row] + GAMMA ** (H + 1 - row) * np.where(over[row], 0.0, q[H])
        np.testing.assert_allclose(found, [target(path, row, b, H) for b in range(B)], rtol=1e-5)
    assert over[0].any()
    assert not over[0].all()


def test_candidates_of_all_lengths_are_those_of_slow_walks(path: tuple[np.ndarray, ...]) -> None:
    reward, ended, q = path
    found = candidates(reward, ended * 1.0, q, GAMMA)
    for i in range(H + 1):
        np.testing.assert_allclose(found[i], [target(path, 0, b, i) for b in range(B)], rtol=1e-5)


def test_the_longest_candidate_is_the_target_of_mve_and_the_shortest_that_of_td(
    path: tuple[np.ndarray, ...],
) -> None:
    reward, ended, q = path
    found = candidates(reward, ended * 1.0, q, GAMMA)
    total, over = extended(reward, ended, GAMMA)
    np.testing.assert_allclose(
        found[H], total[0] + GAMMA ** (H + 1) * np.where(over[0], 0.0, q[H]), rtol=1e-5
    )
    np.testing.assert_allclose(found[0], reward[0] + GAMMA * np.where(ended[0], 0.0, q[0]), rtol=1e-6)


def test_a_probable_end_counts_what_follows_by_the_chance_that_it_does() -> None:
    """The mean over all patterns of ends."""
    rng = np.random.default_rng(1)
    reward, p, q = rng.normal(size=3), rng.random(3), rng.normal(size=3)
    mean = 0.0
    for pattern in range(8):
        ended = np.array([pattern >> t & 1 for t in range(3)], bool)
        chance = np.prod(np.where(ended, p, 1 - p))
        mean += chance * target((reward[:, None], ended[:, None], q[:, None]), 0, 0, 2)
    found = candidates(reward, p, q, GAMMA)
    assert float(found[2]) == pytest.approx(mean, rel=1e-4)


def test_weights_sum_to_1_and_are_those_of_the_inverse_variances() -> None:
    targets = np.random.default_rng(0).normal(size=(H + 1, 6, B)) * np.arange(1, H + 2)[:, None, None]
    y, weight = weighted(list(targets))
    np.testing.assert_allclose(sum(weight), 1.0, rtol=1e-6)
    precision = 1 / targets.var(1)
    np.testing.assert_allclose(weight, precision / precision.sum(0), rtol=1e-4)
    np.testing.assert_allclose(y, (np.asarray(weight) * np.mean(targets, 1)).sum(0), rtol=1e-4)


@pytest.mark.parametrize("sure", range(H + 1))
def test_a_length_about_which_all_judges_agree_wins(sure: int) -> None:
    targets = np.random.default_rng(1).normal(size=(H + 1, 6, B))
    targets[sure] = 3.0
    y, weight = weighted(list(targets))
    np.testing.assert_allclose(y, 3.0, atol=1e-4)
    assert weight[sure].min() > 0.9999


def test_where_all_judges_agree_about_all_lengths_the_weights_are_equal() -> None:
    np.testing.assert_allclose(weighted([np.ones((6, B))] * (H + 1))[1], 1 / (H + 1), rtol=1e-6)


def test_tables_and_networks_learn_by_the_same_functions(path: tuple[np.ndarray, ...]) -> None:
    """In a compiled program of float32 as in NumPy."""
    reward, ended, _ = path

    def all_of_it(reward: jax.Array, ended: jax.Array, q: jax.Array) -> list:
        total, over = extended(reward, ended, GAMMA)
        many = [jnp.stack([t, t + 1]) for t in candidates(reward, ended * 1.0, q, GAMMA)]
        return [*total, *over, *weighted(many)[1]]

    compiled = jax.jit(all_of_it)(*map(jnp.asarray, path))
    mine = [*extended(reward, ended, GAMMA)[0], *extended(reward, ended, GAMMA)[1]]
    for x, y in zip(compiled, mine, strict=False):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sum(compiled[2 * H + 2 :]), 1.0, rtol=1e-5)


def test_a_linear_policy_on_the_linear_task_has_the_target_of_powers_of_a_matrix() -> None:
    """u = -K x, so x_t = M^t x with M = A - B K, and r_t = -x_t'(Q + K'R K) x_t: against the task's own env steps."""
    env, gain, x = LQ(), np.array([[1.0, 1.5]]), np.array([0.7, -0.4])
    state, _ = env.reset(jax.random.key(0))
    state, reward = state._replace(x=jnp.array(x, jnp.float32)), []
    for _ in range(H + 1):
        state, t = env.step(state, jnp.asarray(-gain @ np.asarray(state.x)), jax.random.key(0))
        reward.append([float(t.reward)])
    found = extended(np.array(reward), np.zeros((H + 1, 1), bool), GAMMA)[0][0]
    closed = np.array(env.A) - np.array(env.B) @ gain
    cost = np.array(env.Q) + gain.T @ np.array(env.R) @ gain
    powers = [np.linalg.matrix_power(closed, t) @ x for t in range(H + 1)]
    np.testing.assert_allclose(
        found, [-float(sum(GAMMA**t * y @ cost @ y for t, y in enumerate(powers)))], rtol=1e-5
    )
