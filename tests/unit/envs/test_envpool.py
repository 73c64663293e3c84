"""EnvPool behind our interface has no dead transition; its seeds, parts, Atari frames and rewards are right."""

import jax
import numpy as np
import pytest

from swingup.envs import SUITES, canonical, make
from swingup.envs.adapters.host import seeds_of
from swingup.errors import ConfigError
from swingup.spaces import Box, Discrete

envpool = pytest.importorskip("envpool", reason="the extra `envpool` is not installed")
KEY = jax.random.key(3)


def test_no_dead_transition():
    """CartPole's own dynamics say which successor belongs to which observation: after a reset, none would."""
    env, rng = make("envpool:CartPole-v1", 4), np.random.default_rng(0)
    _, obs = env.reset(KEY)
    length, ends = np.zeros(4, int), 0
    for _ in range(200):
        action = rng.integers(0, 2, 4)
        _, step = env.step((), action)
        length += 1
        # Positions move by the old speed times 0.02 s: true within an episode, false over a reset.
        np.testing.assert_allclose(
            step.next_obs[:, [0, 2]], obs[:, [0, 2]] + 0.02 * obs[:, [1, 3]], atol=1e-6
        )
        assert step.reward.tolist() == [1, 1, 1, 1]
        assert step.ep_length.tolist() == step.ep_return.tolist() == length.tolist()
        fallen = np.abs(step.next_obs[:, 2]) > 12 * np.pi / 180
        np.testing.assert_array_equal(step.terminated, fallen)
        assert (np.abs(step.obs[step.done]) <= 0.05).all()  # where episodes begin
        np.testing.assert_array_equal(step.obs[~step.done], step.next_obs[~step.done])
        length[step.done], ends = 0, ends + step.done.sum()
        obs = step.obs
    assert ends > 20


def test_C2_a_time_limit_is_not_a_death():
    env = make("envpool:Pendulum-v1?max_episode_steps=7", 2)
    env.reset(KEY)
    steps = [env.step((), np.zeros((2, 1), np.float32))[1] for _ in range(21)]
    assert [t for t, s in enumerate(steps) if s.truncated.all()] == [6, 13, 20]
    assert not any(s.terminated.any() for s in steps)


@pytest.mark.filterwarnings("ignore:.*precision lowered")  # Gymnasium's remark on EnvPool's own spaces
def test_it_is_envpool_stepped_by_hand():
    env, seeds = make("envpool:Pendulum-v1", 3), seeds_of(KEY, 3)
    hand = envpool.make("Pendulum-v1", "gymnasium", num_envs=3, seed=seeds)
    np.testing.assert_array_equal(env.reset(KEY)[1], hand.reset()[0])
    rng = np.random.default_rng(0)
    for _ in range(50):
        action = rng.uniform(-2, 2, (3, 1)).astype(np.float32)
        obs, reward, *_ = hand.step(action)
        _, step = env.step((), action)
        np.testing.assert_array_equal(step.obs, obs)
        np.testing.assert_array_equal(step.reward, reward)


def test_a_part_is_what_a_stand_alone_environment_is():
    whole, alone = make("envpool:CartPole-v1", 5), make("envpool:CartPole-v1", 2)
    whole.part(0, 3).reset(jax.random.key(0))
    with pytest.raises(ConfigError, match="rows 0 to 4 must be reset"):
        whole.step((), np.zeros(5, int))
    part = whole.part(3, 2)
    np.testing.assert_array_equal(part.reset(KEY)[1], alone.reset(KEY)[1])
    for t in range(60):
        action = (np.arange(5) // 2 + t) % 3 % 2  # the part's are not those of the first rows
        _, one = whole.step((), action)
        _, two = alone.step((), action[3:])
        for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
            np.testing.assert_array_equal(x[3:], y)
    _, one = part.step((), np.zeros(2, int))
    _, two = alone.step((), np.zeros(2, int))
    np.testing.assert_array_equal(one.obs, two.obs)


def test_a_key_fixes_the_stream_and_rows_differ():
    def play(key):
        env = make("envpool:CartPole-v1", 3)
        return np.stack([env.reset(key)[1], *(env.step((), np.ones(3, int))[1].obs for _ in range(30))])

    np.testing.assert_array_equal(play(KEY), play(KEY))
    assert (play(KEY) != play(jax.random.key(4))).any(-1).all()
    assert len(np.unique(play(KEY)[0], axis=0)) == 3


@pytest.mark.parametrize("name", ["envpool:Pong-v5", "gymnasium:ALE/Pong-v5"])
def test_atari_frames_are_height_width_channels_and_move_along_the_stack(name):
    if name.startswith("gymnasium"):
        pytest.importorskip("ale_py", reason="the extra `atari` is not installed")
        pytest.importorskip("cv2", reason="the extra `atari` is not installed")
    env = make(name, 2)
    assert env.observation_space == Box.of(0, 255, (84, 84, 4), "uint8")
    assert env.action_space == Discrete(6)
    _, obs = env.reset(KEY)
    assert obs.dtype == np.uint8
    for _ in range(30):
        _, step = env.step((), np.array([2, 3]))
        np.testing.assert_array_equal(step.next_obs[..., :3], obs[..., 1:])
        obs = step.obs
    assert (obs[..., 0] != obs[..., 3]).any()


@pytest.mark.filterwarnings("ignore:.*precision lowered")
def test_atari_images_are_upright():
    env, seeds = make("envpool:Breakout-v5", 2), seeds_of(KEY, 2)
    hand = envpool.make("Breakout-v5", "gymnasium", num_envs=2, seed=seeds)
    _, obs = env.reset(KEY)
    np.testing.assert_array_equal(obs, np.einsum("nchw->nhwc", hand.reset()[0]))
    assert (obs[:, 5:15].max((1, 2, 3)) > 0).all()  # the score is above


def test_atari_rewards_are_signs_and_returns_the_games_own():
    env, raw = make("envpool:SpaceInvaders-v5", 4), make("envpool:SpaceInvaders-v5?reward_clip=false", 4)
    rng = np.random.default_rng(0)
    env.reset(KEY)
    raw.reset(KEY)
    total = np.zeros(4)
    for _ in range(150):
        action = rng.integers(0, 6, 4)
        (_, step), (_, own) = env.step((), action), raw.step((), action)
        total += own.reward
        np.testing.assert_array_equal(step.reward, np.sign(own.reward))
        np.testing.assert_array_equal(step.ep_return, total)
        total[own.done] = 0
    assert total.max() > 5  # an alien pays 5 to 30


def test_the_names_that_are_listed_exist_and_bare_ones_are_found():
    assert set(SUITES["envpool"]) <= set(envpool.list_all_envs())
    assert canonical("Pong-v5") == "envpool:Pong-v5"


@pytest.mark.parametrize(
    "name, says",
    [
        ("envpool:CartPol-v1", "did you mean 'CartPole-v1'"),
        ("envpool:CartPole-v1?wheels=3", "unexpected keyword argument 'wheels'"),
        ("envpool:CartPole-v1?seed=3", "swingup sets seed itself"),
    ],
)
def test_what_cannot_be_opened_says_what_to_do(name, says):
    with pytest.raises(ConfigError, match=says):
        make(name, 2)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("swingup.envs.suites.find_spec", lambda name: None)
    assert canonical("envpool:CartPole-v1") == "envpool:CartPole-v1"
    with pytest.raises(ConfigError, match=r"pip install 'swingup\[envpool\]'"):
        make("envpool:CartPole-v1", 2)
