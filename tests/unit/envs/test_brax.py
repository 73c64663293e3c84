"""Brax environments give the true successor at episode ends, which Brax's own wrappers hide; starts; options."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("brax")

from conftest import same_bits, small
from swingup.envs import Vec, canonical, make
from swingup.envs.adapters.brax import BraxEnv, get_environment, make_brax, quietly
from swingup.errors import ConfigError
from swingup.runs import checkpoint
from swingup.testing import check_env
from swingup.training import driver

LIMIT = 5


@pytest.fixture(scope="module")
def raw() -> Any:
    return quietly(get_environment, "inverted_pendulum", backend="spring")


@pytest.fixture(scope="module")
def vec(raw: Any) -> Vec:
    return Vec(BraxEnv("inverted_pendulum", raw, episode_length=LIMIT), 3)


def run(vec: Vec, steps: int, push: float = 0.0) -> tuple[Any, Any]:
    """First observations, and the answers [T, N] to a constant push."""
    state, obs = vec.reset(jax.random.key(0))
    action = jnp.full((vec.num_envs, 1), push)

    @jax.jit
    def go(state, noise):
        return jax.lax.scan(lambda s, x: vec.step(s, action, x), state, noise)[1]

    return obs, go(state, vec.draw(jax.random.key(1), steps))


@pytest.mark.slow
def test_time_limit_keeps_the_true_successor(vec: Vec, raw: Any) -> None:
    """C2: at the limit the episode is truncated, not terminated, and s' is what the physics says.

    Brax's own training wrapper gives the next episode's first observation in its place.
    """
    from brax.envs.wrappers import training  # pyright: ignore[reportMissingImports]

    _, step = run(vec, LIMIT + 1)
    np.testing.assert_array_equal(step.truncated[:, 0], [False] * (LIMIT - 1) + [True, False])
    assert not step.terminated.any()
    keys = jax.random.split(jax.random.key(0), 3)
    state = quietly(jax.jit(jax.vmap(raw.reset)), keys)
    theirs = training.wrap(raw, episode_length=LIMIT)
    hidden = quietly(theirs.reset, jax.random.key_data(keys))
    ours, wrapped = jax.jit(jax.vmap(raw.step)), jax.jit(theirs.step)
    for _ in range(LIMIT):
        state = quietly(ours, state, jnp.zeros((3, 1)))
        hidden = quietly(wrapped, hidden, jnp.zeros((3, 1)))
    np.testing.assert_allclose(step.next_obs[LIMIT - 1], state.obs, atol=1e-5)
    assert np.all(np.abs(hidden.obs - state.obs).max(-1) > 1e-4), "what this test is about"
    assert np.all(np.abs(step.obs[LIMIT - 1] - step.next_obs[LIMIT - 1]).max(-1) > 1e-4)


@pytest.mark.slow
def test_every_episode_has_a_start_of_its_own(vec: Vec) -> None:
    """Brax's wrapper returns a row to the state that it first started from."""
    first, step = run(vec, LIMIT)
    starts = np.concatenate([first, step.obs[-1]])
    assert len(np.unique(starts, axis=0)) == len(starts)


@pytest.mark.slow
def test_a_fall_terminates(raw: Any) -> None:
    vec = Vec(BraxEnv("inverted_pendulum", raw), 3)
    _, step = run(vec, 100, push=1.0)
    assert np.all(step.terminated.any(0))
    assert not step.truncated.any()
    ended = np.flatnonzero(np.asarray(step.terminated[:, 0]))[0]
    assert step.ep_length[ended, 0] == ended + 1
    assert np.abs(step.next_obs[ended, 0, 1]) > 0.2, "the pole's angle at its fall"


@pytest.fixture(scope="module")
def simple() -> Vec:
    """Brax's own environment for tests."""
    return Vec(BraxEnv("fast", quietly(get_environment, "fast"), episode_length=LIMIT), 3)


def test_a_time_limit_is_no_death(simple: Vec) -> None:
    """C2, on the environment that compiles fast: every fifth env step truncates, and none terminates."""
    state, _ = simple.reset(jax.random.key(0))
    step = jax.jit(simple.step)
    noise = simple.draw(jax.random.key(1), 2 * LIMIT)
    for t in range(1, 2 * LIMIT + 1):
        state, answer = step(state, jnp.zeros((3, 1)), jax.tree.map(lambda x, t=t: x[t - 1], noise))
        assert np.all(np.asarray(answer.truncated) == (t % LIMIT == 0))
        assert not np.any(answer.terminated)


def test_it_conforms(simple: Vec) -> None:
    assert [found.code for found in check_env(simple) if not found.note] == []


@pytest.mark.slow
def test_training_is_compiled_and_a_checkpoint_holds_the_physics(simple: Vec, tmp_path: Any) -> None:
    vec = simple
    algo = small("ppo", num_envs=3, num_steps=8)
    state = driver.run(algo, vec, driver.init(algo, vec, [0]), 2)
    checkpoint.save(tmp_path, state, step=2, meta={})
    loaded, _ = checkpoint.load(tmp_path, jax.eval_shape(lambda: driver.init(algo, vec, [0])))
    assert same_bits(loaded, state)


def test_ids_and_options() -> None:
    assert canonical("ant") == "brax:ant"
    assert canonical("brax:ant?backend=mjx") == "brax:ant?backend=mjx"
    assert make("brax:inverted_pendulum?episode_length=7", 2).env.episode_length == 7  # pyright: ignore
    with pytest.raises(ConfigError, match="did you mean 'spring'"):
        make_brax("ant", backend="sprig")
    with pytest.raises(ConfigError, match="cannot be made"):
        make_brax("ant", colour="red")
    with pytest.raises(ConfigError, match="did you mean"):
        canonical("brax:antt")
