"""Every kind of environment is drawn as it was trained, by itself or by what the agent sees, and closed afterwards."""

import importlib.util
from dataclasses import replace
from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from PIL import Image

from conftest import late
from swingup.envs import Hosted, make, opened
from swingup.errors import ConfigError, EnvironmentFault
from swingup.play import filming, opengl, playback, stage
from swingup.play.playback import animate, check
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.runs import Run
from swingup.runs.experiment import Experiment
from swingup.spaces import Box, Discrete
from swingup.types import Actor, Choice, Recent, State, Transition


@hyperparameters
class Simple(Algorithm):
    """Acts by what it sees, without learning anything: no environment need be trained on to be looked at."""

    lr: float = 0.0
    num_envs: int = 2
    actions: int = 0  # discrete ones
    shape: tuple = ()  # or of the continuous one

    num_steps: int = 1

    def act(self, learner, seen, noise=None):
        total = jnp.sum(seen.obs.reshape(seen.obs.shape[0], -1) * 7.0, -1) + learner[0]
        if self.actions:
            greedy = jnp.abs(total).astype(jnp.int32) % self.actions
            return Choice(greedy if noise is None else noise.argmax(-1))
        return Choice(jnp.sin(total).reshape(-1, *[1] * len(self.shape)) * jnp.ones(self.shape))


def run_of(env: Any, space: Any = None, seeds: tuple = (0,), episodes: int = 5) -> Run:
    """A run whose agents differ from seed to seed."""
    if space is None:
        with opened(env, 1, fresh=True) as one:
            space = one.action_space
    algo = Simple(actions=space.n) if isinstance(space, Discrete) else Simple(shape=space.shape)
    learner = jnp.arange(len(seeds), dtype=jnp.float32)[:, None]
    recent = Recent(jnp.zeros((len(seeds), 100)), jnp.ones(len(seeds), jnp.int32))  # an episode has ended
    state: Any = State(learner, Actor((), (), recent), None)  # pyright: ignore[reportArgumentType]
    return Run(Experiment(algo, env, 10, seeds, episodes), state, [])


def shown(path) -> list[np.ndarray]:
    """The pictures below the caption of a GIF whose frames all differ, but for the last that is held."""
    with Image.open(path) as gif:
        frames = []
        for i in range(gif.n_frames):  # pyright: ignore[reportAttributeAccessIssue]
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB"))[32:])
    return frames


class Cells(gymnasium.Env):
    """`length` cells in a row, one an env step; draws which one as a shade of grey. Counts what is open."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012
    action_space = spaces.Discrete(2)
    made, closed, stepped = 0, 0, 0

    def __init__(self, length: int = 3, render_mode: str | None = None):
        self.length, self.render_mode = length, render_mode
        self.observation_space = spaces.Discrete(length + 1)
        type(self).made += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return 0, {}

    def step(self, action):
        self.t += 1
        type(self).stepped += 1
        return self.t, 1.0, self.t >= self.length, False, {}

    def render(self) -> Any:
        return np.full((32, 32, 3), 25 * self.t, np.uint8) if self.render_mode == "rgb_array" else None

    def close(self):
        type(self).closed += 1


class Bare(Cells):
    """The same without a renderer, and without an argument for one."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, length: int = 3):
        super().__init__(length)

    def render(self):
        raise NotImplementedError


class Broken(Cells):
    def render(self):
        raise ValueError("no crayons")


class Pixels(Bare):
    def __init__(self, shape: tuple = (40, 40, 3)):
        super().__init__(4)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)

    def reset(self, *, seed=None, options=None):
        return np.zeros(self.observation_space.shape, np.uint8), super().reset()[1]  # pyright: ignore

    def step(self, action):
        t, *rest = super().step(action)
        return np.full(self.observation_space.shape, 50 * t, np.uint8), *rest  # pyright: ignore


@pytest.fixture(autouse=True)
def _count():
    for kind in (Cells, Bare, Broken, Pixels):
        kind.made = kind.closed = kind.stepped = 0
    gymnasium.register("swingup-test/Cells-v0", Cells)
    yield
    del gymnasium.registry["swingup-test/Cells-v0"]


GREYS = [25 * t for t in range(9)]


@pytest.mark.parametrize("more", ["", "&vectorization=async"])
def test_options_behind_an_id_reach_the_picture_and_the_end_is_seen(tmp_path, more):
    about = animate(
        run_of("gymnasium:swingup-test/Cells-v0?length=8" + more, Discrete(2)), tmp_path / "a.gif"
    )
    assert about == "seed 0, 8 env steps, return 8.0"
    assert [int(f[0, 0, 0]) for f in shown(tmp_path / "a.gif")] == pytest.approx(GREYS, abs=2)
    assert Cells.made == Cells.closed == 1


def renamed():
    return Cells(8)


@pytest.mark.parametrize(
    "source",
    [
        partial(Cells, 8),
        partial(Cells, length=8, render_mode=None),
        renamed,
        lambda: gymnasium.wrappers.TimeLimit(Cells(12), 8),
        lambda render_mode="human": Cells(8, render_mode),
    ],
    ids=["class", "keyword", "function", "wrapped", "human"],
)
def test_a_constructor_gives_an_environment_that_draws_itself(tmp_path, source):
    about = animate(run_of(source, Discrete(2)), tmp_path / "a.gif")
    assert about == "seed 0, 8 env steps, return 8.0"
    assert [int(f[0, 0, 0]) for f in shown(tmp_path / "a.gif")] == pytest.approx(GREYS, abs=2)
    assert Cells.made == Cells.closed == 1


@pytest.mark.parametrize("kind", ["environment", "vector", "wrapped vector"])
def test_an_object_that_was_passed_is_not_touched(tmp_path, kind):
    mine: Any = Cells(8) if kind == "environment" else SyncVectorEnv([partial(Cells, 8)] * 2)
    source = make(mine, 2) if kind == "wrapped vector" else mine
    Cells.made = 0
    assert animate(run_of(source, Discrete(2)), tmp_path / "a.gif").startswith(
        "seed 0, 8 env steps, return 8.0"
    )
    assert len(shown(tmp_path / "a.gif")) == 9
    inner = mine.envs if kind != "environment" else [mine]
    assert not any(hasattr(env.unwrapped, "t") for env in inner)
    assert Cells.stepped == 8
    assert Cells.closed == 1


class Rows(VectorEnv):
    """A vector environment of another make, which resets in the same step."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    num_envs, single_action_space = 3, spaces.Discrete(2)
    single_observation_space = spaces.Box(0, 9, (2,), np.float32)
    render_mode: Any = None

    def __init__(self):
        self.t = np.zeros(3)

    def reset(self, *, seed=None, options=None):
        self.t[:] = 0
        return np.zeros((3, 2), np.float32), {}

    def step(self, actions):
        self.t += 1
        done, obs = self.t >= 5, np.repeat(self.t[:, None], 2, 1).astype(np.float32)
        final = obs.copy()
        self.t[done] = obs[done] = 0
        return obs, np.ones(3), done, np.zeros(3, bool), {"final_obs": list(final)}

    def render(self):
        return tuple(np.full((8, 8, 3), 40 * t, np.uint8) for t in self.t) if self.render_mode else None


@pytest.mark.parametrize("mode", [None, "rgb_array"])
def test_a_vector_environment_of_another_make(tmp_path, mode):
    source = Rows()
    source.render_mode = mode
    about = animate(run_of(source, Discrete(2)), tmp_path / "a.gif")
    assert about.startswith("seed 0, 5 env steps, return 5.0")
    assert source.t.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "source",
    [
        Bare,
        lambda: Bare(3),
        Pixels,
        partial(Pixels, (3, 40, 40)),
        partial(Pixels, (2, 40, 40, 3)),
    ],
)
def test_what_has_no_renderer_is_drawn_as_it_is_observed(tmp_path, source):
    about = animate(run_of(source, Discrete(2)), tmp_path / "a.gif")
    assert about.endswith("; its observation is drawn")
    frames = shown(tmp_path / "a.gif")
    assert len(frames) == (5 if Pixels.made else 4)
    assert all((a != b).any() for a, b in zip(frames[1:], frames[:-1], strict=True))
    assert Bare.made + Pixels.made == Bare.closed + Pixels.closed == 1


def test_a_renderer_that_fails_is_told_as_theirs_and_nothing_stays_open(tmp_path):
    run = run_of(Broken, Discrete(2))
    for call in (partial(animate, run), partial(check, run.experiment)):
        Broken.made = Broken.closed = 0
        with pytest.raises(EnvironmentFault, match=r"its render\(\) raised ValueError: no crayons") as caught:
            call(tmp_path / "a.gif")
        assert isinstance(caught.value.__cause__, ValueError)
        assert Broken.made == Broken.closed == 1
    assert not list(tmp_path.iterdir())


class Counter:
    """An environment of our own form: counts to 6."""

    name = "CartPole-v1"  # it is none: four numbers, but no cart
    observation_space, action_space = Box.of(-9, 9, (4,)), Discrete(2)

    def reset(self, key):
        return jnp.int32(0), jnp.zeros(4)

    def step(self, state, action, key):
        state = state + 1
        return state, Transition(
            jnp.full(4, state, jnp.float32), jnp.float32(1), state == 6, jnp.bool_(False)
        )


class Pure(VecEnv):
    """A `VecEnv` of a user's own, with a state of its own kind."""

    name, num_envs, jittable, stateful = "Pure", 3, True, False
    observation_space, action_space = Box.of(-9, 9, (2,)), Discrete(2)

    def __init__(self):
        self.inner = make(Counter(), 3)

    def reset(self, key):
        state, obs = self.inner.reset(key)
        return {"mine": state}, obs[:, :2]

    def draw(self, key, num_steps):
        return self.inner.draw(key, num_steps)

    def step(self, state, action, noise):
        state, step = self.inner.step(state["mine"], action, noise)
        return {"mine": state}, step._replace(obs=step.obs[:, :2], next_obs=step.next_obs[:, :2])


def test_the_seed_that_is_named_plays() -> None:
    """By its number, not by its place; without a name the best one of the final evaluation, and the first of a run
    that has none."""
    run = run_of("CartPole-v1", seeds=(3, 8, 5))
    for seed, row in ((3, 0), (8, 1), (5, 2), (None, 0)):
        cast, about, _ = playback._fresh(run, seed, 0, True)
        np.testing.assert_array_equal(cast.learner, run.state.learner[row : row + 1])
        assert about == f"seed {(3, 8, 5)[row]}"
    run.result["final_return"] = [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(playback._fresh(run, None, 0, True)[0].learner, run.state.learner[2:])


@pytest.mark.parametrize("form", ["Env", "Vec", "Hosted", "Pure"])
def test_environments_on_the_device(tmp_path, form):
    source: Any = Counter() if form == "Env" else Pure() if form == "Pure" else make(Counter(), 3)
    source = Hosted(source) if form == "Hosted" else source
    seen = []

    def picture(state, obs):
        seen.append((state, obs[0]))
        return np.full((4, 4), 9 * obs[0], np.uint8)

    run = run_of(source, Discrete(2))
    assert animate(run, tmp_path / "a.gif", picture=picture) == "seed 0, 6 env steps, return 6.0"
    assert [float(x) for _, x in seen] == list(range(7))  # the last one too, which the next episode follows
    assert [s if form == "Pure" else int(s) for s, _ in seen] == (
        [None] * 7 if form == "Pure" else list(range(7))
    )
    assert animate(run, tmp_path / "b.gif") == "seed 0, 6 env steps, return 6.0"


DRAWN = {  # by package that is needed, if any
    "jax": (
        *("CartPole-v1", "Breakout-MinAtar", "FourRooms-misc", "probe:DelayedReward", "task:BitFlip?bits=3"),
        *("task:Recall", "tabular:Cliff", "tabular:Random?states=40", "gymnasium:CartPole-v1"),
    ),
    "pygame": ("FrozenLake-v1", "Taxi-v4", "CliffWalking-v1"),
    "Box2D": ("LunarLander-v3",),
    "ale_py": ("ALE/Breakout-v5",),
    "envpool": ("envpool:Pong-v5", "envpool:CartPole-v1", "envpool:FrozenLake-v1?size=8"),
}


@pytest.mark.filterwarnings(
    "ignore:.*(Swig|swig)"
)  # importing Box2D warns, and ends the process if that is an error
@pytest.mark.parametrize(
    "name", [name for package, names in DRAWN.items() if importlib.util.find_spec(package) for name in names]
)
def test_environments_by_id(tmp_path, name):
    about = animate(run_of(name), tmp_path / "a.gif", limit=4)
    assert ("its observation is drawn" in about) == (name == "envpool:FrozenLake-v1?size=8")
    frames = shown(tmp_path / "a.gif")
    assert 1 <= len(frames) <= 5
    assert all(f.std() > 1 for f in frames)


def test_classic_control_of_gymnasium_needs_no_pygame(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "find_spec", lambda name: None)
    animate(run_of("gymnasium:CartPole-v1"), tmp_path / "a.gif", limit=4)
    animate(run_of("gymnax:CartPole-v1"), tmp_path / "b.gif", limit=4)
    assert shown(tmp_path / "a.gif")[0].shape == shown(tmp_path / "b.gif")[0].shape == (288, 480, 3)
    assert abs(shown(tmp_path / "a.gif")[0].astype(int) - shown(tmp_path / "b.gif")[0]).mean() < 10


def test_robots_are_drawn_without_a_display_or_it_is_said_what_to_install(tmp_path):
    pytest.importorskip("mujoco", reason="the extra `mujoco` is not installed")
    run = run_of("gymnasium:Hopper-v5?reset_noise_scale=0.01")
    if any(map(opengl.works, opengl.LIBRARIES)):
        assert animate(run, tmp_path / "a.gif", limit=2).startswith("seed 0, 2 env steps")
        assert all(f.std() > 20 for f in shown(tmp_path / "a.gif"))
    else:
        with pytest.raises(ConfigError, match="no OpenGL library works without a display here"):
            animate(run, tmp_path / "a.gif", limit=2)


@pytest.mark.skipif(
    importlib.util.find_spec("envpool") is None, reason="the extra `envpool` is not installed"
)
def test_a_robot_of_envpool_is_drawn_in_gymnasium_and_an_episode_of_its_own_by_what_is_observed(
    tmp_path, monkeypatch
):
    run = run_of("envpool:HalfCheetah-v5?max_episode_steps=9")
    about = animate(run, tmp_path / "a.gif", which="best")
    assert about.endswith("; its observation is drawn")
    monkeypatch.setattr(opengl, "choose", lambda: None)
    monkeypatch.setattr("gymnasium.envs.mujoco.MujocoEnv.render", lambda self: np.zeros((9, 9, 3), np.uint8))
    about = animate(run, tmp_path / "a.gif")
    assert "9 env steps" in about  # the option is the twin's too
    assert about.endswith(
        "; drawn in Gymnasium's HalfCheetah-v5?max_episode_steps=9, as EnvPool has no picture of it"
    )


# ---------------------------------------------------------------------------------- episodes of the evaluation


class Walk(Bare):
    """A walk whose length and reward come from the environment's generator, so that no two episodes are alike."""

    def __init__(self, length: int = 0):
        super().__init__(40)
        self.observation_space = spaces.Box(-9, 9, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.normal(size=2).astype(np.float32)
        return self.x.copy(), {}

    def step(self, action):
        self.x = (self.x + 0.3 * self.np_random.normal(size=2) + 0.1 * action).clip(-9, 9).astype(np.float32)
        return self.x.copy(), float(self.x[0]), bool(abs(self.x[1]) > 2), False, {}


AGAIN = {
    "CartPole-v1": (7, "worst", "median", "best"),
    "Pendulum-v1": (2, "best"),
    "gymnasium:CartPole-v1": (13, "median"),  # two rounds of ten environments each
    "envpool:CartPole-v1": (12, "worst"),
}


@pytest.mark.parametrize("name", late([*AGAIN, Walk], "CartPole-v1", "gymnasium:CartPole-v1"), ids=str)
def test_best_median_and_worst_are_the_evaluations_own(tmp_path, name):
    if name == "envpool:CartPole-v1" and importlib.util.find_spec("envpool") is None:
        return
    episodes, *whiches = AGAIN.get(name, (13, "worst", "median", "best"))
    run = run_of(name, seeds=(3, 5), episodes=episodes)
    returns = run.evaluate(episodes).returns
    for which in whiches:
        seed = 5 if which == "best" else None
        ordered = np.sort(returns.ravel() if seed is None else returns[1])
        value = {"worst": ordered[0], "median": ordered[(len(ordered) - 1) // 2], "best": ordered[-1]}[which]
        about = animate(run, tmp_path / "a.gif", seed, which=which)  # pyright: ignore[reportArgumentType]
        assert f"{which} of {len(ordered)} episodes" in about
        assert f"return {value:.1f}" in about
        assert "rounding" not in about
        assert seed is None or about.startswith("seed 5")


@pytest.mark.filterwarnings("ignore:.*were cut")
def test_an_episode_that_the_evaluation_cut_is_cut_there(tmp_path):
    run = run_of(Walk, Discrete(2), episodes=3)
    run.experiment = replace(run.experiment, eval_limit=2)
    value = np.sort(run.evaluate().returns.ravel())[0]
    about = animate(run, tmp_path / "a.gif", which="worst")
    assert about.startswith(
        f"seed 0, worst of 3 episodes, 2 env steps, return {value:.1f}, cut after 2 env steps"
    )


def test_a_stochastic_episode_is_another_one(tmp_path):
    run = run_of("CartPole-v1")
    greedy, drawn = (animate(run, tmp_path / "a.gif", stochastic=s) for s in (False, True))
    assert greedy != drawn
    with pytest.raises(ConfigError, match="leave out --which, or --stochastic"):
        animate(run, tmp_path / "a.gif", which="best", stochastic=True)


# ------------------------------------------------------------------------------------------------- long episodes


class Endless(Cells):
    def step(self, action):
        self.t = (self.t + 1) % 4
        return self.t, 1.0, False, False, {}


def test_an_endless_episode_is_cut_and_its_frames_are_few(tmp_path, monkeypatch):
    monkeypatch.setattr(filming, "FRAMES", 8)
    films = []
    monkeypatch.setattr(playback, "write_animation", lambda out, frames, fps: films.append(frames))
    about = animate(run_of(Endless, Discrete(2)), tmp_path / "a.gif", limit=101)
    assert about == "seed 0, 101 env steps, return 101.0, cut after 101 env steps (--limit)"
    assert len(films[0]) <= 8 + 4 + 4  # and the last one held for a second
    assert Endless.made == Endless.closed == 1


@pytest.mark.parametrize("length", [1, 7, 8, 9, 100])
def test_a_film_keeps_equal_strides_and_the_last_frame(monkeypatch, length):
    monkeypatch.setattr(filming, "FRAMES", 8)
    film = filming.Film()
    for time in range(length):
        if film.wants(time) or time == length - 1:
            film.add(Image.new("L", (1, 1), time))
    times = [f.getpixel((0, 0)) for f in film.frames]
    assert len(times) <= 9
    assert times[-1] == length - 1
    assert set(np.diff(times[:-1])) <= {film.stride}


# ------------------------------------------------------------------------------------------------ before training


def test_what_would_fail_after_training_is_told_before(tmp_path, monkeypatch):
    e = run_of("CartPole-v1", Discrete(2)).experiment
    check(e, tmp_path / "a.gif")
    with pytest.raises(ConfigError, match=r"must end in \.gif or \.mp4"):
        check(e, tmp_path / "a.webm")
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigError, match=r"pip install 'swingup\[video\]'"):
        check(e, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_checking_steps_nothing_and_closes_what_it_opens(tmp_path):
    check(run_of(Cells, Discrete(2)).experiment, tmp_path / "a.gif")
    assert (Cells.made, Cells.closed, Cells.stepped) == (1, 1, 0)


@pytest.mark.skipif(importlib.util.find_spec("mujoco") is None, reason="the extra `mujoco` is not installed")
@pytest.mark.parametrize("family", [*opengl.INSTALL, "plan9"])
def test_a_machine_without_opengl_is_told_what_to_install(tmp_path, monkeypatch, family):
    monkeypatch.setattr(opengl, "works", lambda library: False)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(opengl.platform, "system", lambda: "Linux")
    monkeypatch.setattr(opengl.platform, "freedesktop_os_release", lambda: {"ID": "x", "ID_LIKE": family})
    e = run_of("gymnasium:Hopper-v5", Box.of(-1, 1, (3,))).experiment
    with pytest.raises(ConfigError) as caught:
        check(e, tmp_path / "a.gif")
    said = str(caught.value)
    assert all((line in said) == (family in (name, "plan9")) for name, line in opengl.INSTALL.items())
    assert "\n" not in said
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(ConfigError, match="MUJOCO_GL is 'glfw', which does not work here; unset it"):
        check(e, tmp_path / "a.gif")


@pytest.mark.parametrize("works, chosen", [(("egl", "osmesa"), "egl"), (("osmesa",), "osmesa")])
def test_the_library_is_chosen_by_what_works(monkeypatch, works, chosen):
    monkeypatch.setattr(opengl, "works", lambda library: library in works)
    monkeypatch.setattr(opengl.platform, "system", lambda: "Linux")
    monkeypatch.setenv("MUJOCO_GL", "")
    opengl.choose()
    assert opengl.os.environ["MUJOCO_GL"] == chosen


def test_unknown_seeds_and_limits(tmp_path):
    run = run_of("CartPole-v1", Discrete(2))
    with pytest.raises(ConfigError, match="this run has no seed 4; it has 0"):
        animate(run, tmp_path / "a.gif", seed=4)
    with pytest.raises(ConfigError, match="limit must be at least 1"):
        animate(run, tmp_path / "a.gif", limit=0)


def test_a_name_with_a_space_and_folders_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    animate(run_of("CartPole-v1", Discrete(2)), "~/my films/of today/a b.gif", limit=2)
    assert (tmp_path / "my films" / "of today" / "a b.gif").exists()


def test_jax_is_left_as_it_was():
    assert jax.config.jax_enable_x64 is False
