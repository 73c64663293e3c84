"""Known rewards and ends are those of the environments, over thousands of env steps that are played."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from conftest import late
from swingup.dynamics.ensemble import ensemble
from swingup.envs import make
from swingup.envs.adapters.gymnasium import wrap
from swingup.envs.control import LQ, CartPoleSwingUp
from swingup.envs.known import KNOWN, WITH_PLACE, known
from swingup.errors import ConfigError, EnvironmentFault
from swingup.rollout import wander
from swingup.testing import check_env

PLACE = "exclude_current_positions_from_observation=false"
# Where pushes are random, an episode of Hopper or InvertedPendulum takes 20 env steps: so there are hundreds of ends.
NAMES = (
    *("task:CartPoleSwingUp", "task:CartPoleSwingUp?noise=0.1", "task:LQ", "task:LQ?noise=0.1"),
    *KNOWN,
    *(f"{name}?{PLACE}" for name in WITH_PLACE),
)
QUICK = ("task:CartPoleSwingUp?noise=0.1", "task:LQ", "gymnax:Pendulum-v1", "gymnasium:InvertedPendulum-v5")
QUICK += ("gymnasium:Hopper-v5", f"gymnasium:HalfCheetah-v5?{PLACE}")


def played(name: str, env_steps: int) -> tuple[Any, Any, np.ndarray]:
    """Environments, and random play in them, 10 side by side; actions in the environment's units."""
    env = make(name, 10)
    low, high = env.action_space.bounds
    rng = np.random.default_rng(0)
    if env.stateful:
        state, obs = env.reset(jax.random.key(0))
        record = []
        for _ in range(env_steps // 10):
            action = rng.uniform(low, high, (10, *env.action_space.shape)).astype(np.float32)
            before = np.array(obs)
            state, step = env.step(state, action, ())
            record.append((before, action, jax.tree.map(np.array, step)))
            obs = step.obs
        obs, action, step = jax.tree.map(lambda *x: np.stack(x), *record)
        env.close()
        return env, (obs, step), action
    _, rollout = jax.jit(lambda a, b: wander(env, (a, b), env_steps // 10))(
        *jax.random.split(jax.random.key(0))
    )
    middle, half = (high + low) / 2, (high - low) / 2
    return env, (rollout.obs, rollout.step), middle + half * np.asarray(rollout.action)


@pytest.mark.parametrize("name", late(NAMES, *QUICK))
def test_known_rewards_and_ends_are_the_environments(name: str) -> None:
    if name.startswith("envpool:"):
        pytest.importorskip("envpool")
    slow = name.startswith("brax:")
    env, (obs, step), action = played(name, 3_000 if slow else 10_000)
    said = env.known_reward is not None, env.known_end is not None
    assert any(said)
    if env.known_reward is not None:
        reward = env.known_reward(obs, action, step.next_obs)
        # Robots' observations are float32 of positions that are float64: a difference of two loses digits.
        np.testing.assert_allclose(reward, step.reward, rtol=1e-3, atol=2e-3 if PLACE in name else 1e-4)
    end = env.known_end(obs, action, step.next_obs)
    assert end.dtype == bool
    # A threshold may lie between a number and its rounding: at most one of ten thousand.
    assert np.mean(np.asarray(end) != step.terminated) <= 1e-4
    if "Hopper" in name or "hopper" in name or "nverted" in name:
        assert np.sum(step.terminated) > (10 if slow else 100)


def test_options_that_change_a_reward_leave_nothing_known() -> None:
    assert known("gymnasium:Hopper-v5", {"ctrl_cost_weight": 1.0}) == (None, None)
    assert known("gymnasium:Hopper-v5", {"vectorization": "async"}) == KNOWN["gymnasium:Hopper-v5"]
    assert known("gymnasium:Ant-v5", {"exclude_current_positions_from_observation": False}) == (None, None)
    assert make("gymnax:CartPole-v1", 1).known_reward is None


@pytest.mark.parametrize(
    "name",
    late(
        ["task:CartPoleSwingUp", "task:CartPoleSwingUp?noise=0.2", "task:LQ?length=20"], "task:LQ?length=20"
    ),
)
def test_check_env_finds_nothing(name: str) -> None:
    assert [f for f in check_env(name, env_steps=250) if not f.note] == []


@pytest.mark.parametrize("option", ["noise=-1", "noise=true", "noise=big", "length=0", "length=2.5"])
def test_impossible_options_are_refused(option: str) -> None:
    name = option.partition("=")[0]
    with pytest.raises(ConfigError, match=f"{name} must be"):
        make(f"task:LQ?{option}", 1)


# --- The tasks' own dynamics ------------------------------------------------------------------------------------------


def energy(task: CartPoleSwingUp, x: np.ndarray) -> np.ndarray:
    """Return the energies of cart and uniform rod, [...]: the rod's middle moves with the cart and about the hinge."""
    _, v, angle, turning = np.moveaxis(x, -1, 0)
    m, half = task.POLE, task.LENGTH / 2
    vx, vy = v + half * turning * np.cos(angle), -half * turning * np.sin(angle)
    rod = 0.5 * m * (vx**2 + vy**2) + 0.5 * m * (2 * half) ** 2 / 12 * turning**2
    return 0.5 * task.CART * v**2 + rod + m * task.GRAVITY * half * np.cos(angle)


def test_without_friction_and_pushes_energy_and_momentum_are_kept() -> None:
    """So the equations of motion are those of a cart and a rod, whatever the state."""
    task = CartPoleSwingUp()
    task.FRICTION = 0.0
    x = np.random.default_rng(0).normal(size=(50, 4)) * [1, 2, 3, 4]
    state = jax.vmap(lambda x: task.reset(jax.random.key(0))[0]._replace(x=x))(jnp.asarray(x, jnp.float32))
    after = state
    for _ in range(4):
        after = jax.vmap(lambda s: task.step(s, jnp.zeros(1), jax.random.key(0))[0])(after)
    np.testing.assert_allclose(energy(task, np.asarray(after.x)), energy(task, x), rtol=2e-3, atol=2e-3)

    def momentum(x: np.ndarray) -> np.ndarray:
        return (task.CART + task.POLE) * x[:, 1] + task.POLE * task.LENGTH / 2 * x[:, 3] * np.cos(x[:, 2])

    np.testing.assert_allclose(momentum(np.asarray(after.x)), momentum(x), rtol=1e-3, atol=2e-3)


def test_a_push_moves_the_cart_and_a_pole_held_upright_earns_one() -> None:
    task = CartPoleSwingUp()
    state = task.reset(jax.random.key(0))[0]._replace(x=jnp.zeros(4))
    after, t = task.step(state, jnp.zeros(1), jax.random.key(0))
    np.testing.assert_allclose(after.x, 0, atol=1e-6)
    assert float(t.reward) == pytest.approx(1)
    pushed, t = task.step(state, jnp.ones(1), jax.random.key(0))
    assert pushed.x[1] > 0 > pushed.x[3]  # the cart goes right, and the pole falls behind
    assert float(t.reward) < 0.99
    beyond, _ = task.step(state, jnp.full(1, 7.0), jax.random.key(0))
    np.testing.assert_array_equal(beyond.x, pushed.x)


def test_noise_has_its_deviation_and_is_none_by_default() -> None:
    keys = jax.random.split(jax.random.key(1), 4000)
    for task, index, sigma in ((CartPoleSwingUp(0.3), [1, 3], 0.3), (LQ(0.2), [0, 1], 0.2)):
        state, _ = task.reset(jax.random.key(0))
        x = jax.vmap(lambda k, t=task, s=state: t.step(s, jnp.zeros(1), k)[0].x)(keys)
        # The standard error of a deviation of n normal numbers is σ / sqrt(2 n): five of these.
        np.testing.assert_allclose(x.std(0)[np.array(index)], sigma, rtol=5 / np.sqrt(8000))
    still = LQ()
    state, _ = still.reset(jax.random.key(0))
    x = jax.vmap(lambda k: still.step(state, jnp.ones(1), k)[0].x)(keys[:9])
    np.testing.assert_array_equal(x, x[:1].repeat(9, 0))


def test_lq_is_the_linear_task() -> None:
    task = LQ(length=3)
    state, x = task.reset(jax.random.key(2))
    u = np.array([1.5], np.float32)
    after, t = task.step(state, jnp.asarray(u), jax.random.key(0))
    np.testing.assert_allclose(after.x, [x[0] + 0.1 * x[1] + 0.0075, x[1] + 0.15], rtol=1e-5)
    assert float(t.reward) == pytest.approx(-(float(x @ x) + 0.1 * 2.25), rel=1e-5)
    assert not t.terminated
    assert not t.truncated
    for _ in range(2):
        after, t = task.step(after, jnp.asarray(u), jax.random.key(0))
    assert t.truncated


def test_a_class_of_gymnasiums_gives_its_own_reward_and_end_unless_a_wrapper_may_change_them() -> None:
    class Given(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-9.0, 9.0, (2,))
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

        def reset(self, **how: Any) -> Any:
            self.at = np.zeros(2, np.float32)
            return self.at, {}

        def step(self, action: Any) -> Any:
            before, self.at = self.at, self.at + np.float32([action[0], 1.0])
            return self.at, float(self.known_reward(before, action, self.at)), bool(self.at[1] > 5), False, {}

        @staticmethod
        def known_reward(obs: Any, action: Any, next_obs: Any) -> Any:
            return next_obs[..., 0] - obs[..., 0] - action[..., 0] ** 2

        @staticmethod
        def known_end(obs: Any, action: Any, next_obs: Any) -> Any:
            return next_obs[..., 1] > 5

    wrappers = gymnasium.wrappers
    for build in (Given, lambda: wrappers.TimeLimit(Given(), 4)):
        env = wrap(build, 2)
        _, obs = env.reset(jax.random.key(0))
        for i in range(8):
            action = np.full((2, 1), 0.1 * i, np.float32)
            before = np.array(obs)
            _, step = env.step((), action)
            said = env.known_reward(before, action, step.next_obs)  # pyright: ignore[reportOptionalCall]
            np.testing.assert_allclose(said, step.reward, atol=1e-6)
            ends = env.known_end(before, action, step.next_obs)  # pyright: ignore[reportOptionalCall]
            np.testing.assert_array_equal(ends, step.terminated)
            obs = step.obs
        env.close()
    for build in (
        lambda: wrappers.TransformReward(Given(), lambda r: 2 * r),
        lambda: wrappers.RescaleAction(Given(), np.float32(-3.0), np.float32(3.0)),
    ):
        env = wrap(build, 1)
        assert (env.known_reward, env.known_end) == (None, None)
        env.close()


@pytest.mark.parametrize("name", ["known_reward", "known_end"])
@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda obs, action, next_obs: np.asarray(obs)[..., 0], "raised TracerArrayConversionError"),
        (lambda obs, action, next_obs: obs[0], r"returned .* wanted is an array \(2, 3\)"),
    ],
)
def test_what_is_given_and_cannot_be_used_by_compiled_code_is_named(
    name: str, function: Any, says: str
) -> None:
    env = make("gymnasium:Pendulum-v1", 1)
    setattr(env, name, function)
    with pytest.raises(EnvironmentFault, match=f"{name} {says}"):
        ensemble(env, jax.random.key(0), 2, (4,))
    ensemble(env, jax.random.key(0), 2, (4,), known=False)  # which does not ask
    env.close()
