"""An episode is played in front of a camera: every moment of it, or as many as there is room for."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from swingup.envs.adapters.host import seeds_of
from swingup.episodes import env_step_keys
from swingup.play.scenes import captioned
from swingup.play.stage import Stage
from swingup.protocols import Algorithm, Env
from swingup.spaces import to_env
from swingup.training import parallel
from swingup.training.rows import Rows, rows
from swingup.types import Seen

FRAMES = 512  # at most: a longer episode is shown in larger strides


class Cast(NamedTuple):
    """The cast says who plays, and which row of what is played is looked at."""

    algo: Algorithm
    learner: Any  # [S, ...]
    keys: jax.Array  # [S]
    num_envs: int  # N, of each seed
    row: tuple[int, int]  # of S and N
    greedy: bool = True


class Moment(NamedTuple):
    """A moment is a row of the environments after `time` env steps of its episode."""

    time: int
    state: Any  # of one environment; None where only the environments know it
    obs: np.ndarray
    ep_return: float
    done: bool


class Film:
    """A film holds the frames of an episode of any length: when they are too many, every other one goes."""

    def __init__(self):
        self.frames: list[Image.Image] = []
        self.stride = 1

    def wants(self, time: int) -> bool:
        return time % self.stride == 0

    def add(self, image: Image.Image) -> None:
        if len(self.frames) == FRAMES:
            self.frames, self.stride = self.frames[::2], 2 * self.stride
        if self.frames and image.size != self.frames[0].size:
            image = image.resize(self.frames[0].size)
        self.frames.append(image)


def shoot(stage: Stage, cast: Cast, title: str, limit: int, picture: Any) -> tuple[Film, Moment]:
    """Play an episode and draw it."""
    film, moment = Film(), None
    for moment in moments(stage, cast, limit, film.wants):
        time, state, obs, total, done = moment
        cut = "" if done or time < limit else "   cut"
        caption = f"{title}   env step {time}   return {total:.1f}{cut}"
        film.add(captioned(picture(state, obs), caption) if picture else stage.paint(state, obs, caption))
    assert moment is not None
    return film, moment


def moments(stage: Stage, cast: Cast, limit: int, wants: Callable[[int], bool]) -> Iterator[Moment]:
    """Yield the moments of an episode that are wanted, by their time, and in any case the last one.

    Keys are used as in `episodes.evaluate`, so that with an evaluation's keys its episodes come again.
    """
    s, r = (0, 0) if stage.alone else cast.row
    if stage.watched is not None:
        stage.watched.row = r
    rows, space = rows_of(stage, cast), stage.env.action_space
    k_reset, k_run = jnp.moveaxis(jax.vmap(jax.random.split)(cast.keys), 1, 0)
    state, obs = rows.reset(k_reset)
    memory = cast.algo.start_memory(space, cast.num_envs)
    memory = jax.tree.map(lambda x: np.broadcast_to(x, (len(cast.keys), *x.shape)), memory)
    yield Moment(0, row_state(stage, state, (s, r)), np.asarray(obs[s, r]), 0.0, False)
    for t in range(limit):
        k_act, k_env = _keys(k_run, t)
        seen = Seen(obs, rows.legal(state), rows.world(state))
        seen = _whole(stage, cast, seen)._replace(memory=memory)
        action, memory = _act(cast.algo, cast.learner, seen, k_act, space=space, greedy=cast.greedy)
        action = np.asarray(action)
        action = action[cast.row][None, None] if stage.alone else action
        drawn = jax.tree.map(lambda x: x[0], rows.draw(k_env, 1))
        if stage.watched is not None:
            stage.watched.due = wants(t + 1) or t + 1 == limit
        before, (state, step) = state, rows.step(state, action, drawn)
        obs, done = step.obs, bool(step.done[s, r])
        if wants(t + 1) or done or t + 1 == limit:
            there = _end(stage, before, action, drawn, (s, r)) if done else row_state(stage, state, (s, r))
            yield Moment(t + 1, there, np.asarray(step.next_obs[s, r]), float(step.ep_return[s, r]), done)
        if done:
            return


@jax.jit
def _keys(keys: jax.Array, time: int) -> jax.Array:
    """Return the keys of the policy and of the environments, [2, S]: those that `episodes.evaluate` uses."""
    return jax.vmap(lambda key: jnp.stack(env_step_keys(key, time)), out_axes=1)(keys)


def rows_of(stage: Stage, cast: Cast) -> Rows:
    """Return the environments of all seeds, [S, N]; of a stage that stands for them all, the one that is looked at."""
    env: Any = stage.env
    if stage.alone:

        def seeded(keys: jax.Array) -> tuple[tuple, np.ndarray]:
            s, r = cast.row
            return (), env.pool.reset(0, [seeds_of(keys[s], cast.num_envs)[r]])[None]

        return rows(env, 1, 1)._replace(reset=seeded)
    if not env.jittable:
        return rows(env, len(cast.keys), cast.num_envs)
    compiled = partial(_reset, env), partial(_draw, env), partial(_step, env)
    return Rows(*compiled, jax.vmap(env.legal), env.world)


@partial(jax.jit, static_argnums=0)
def _reset(env: Any, keys: jax.Array) -> Any:
    return jax.vmap(env.reset)(keys)


@partial(jax.jit, static_argnums=(0, 2))
def _draw(env: Any, keys: jax.Array, num_steps: int) -> Any:
    return jax.vmap(lambda key: env.draw(key, num_steps), out_axes=1)(keys)


@partial(jax.jit, static_argnums=0)
def _step(env: Any, state: Any, action: Any, drawn: Any) -> Any:
    return jax.vmap(env.step)(state, action, drawn)


def _whole(stage: Stage, cast: Cast, seen: Seen) -> Seen:
    """Return what is to be acted on, [S, N, ...]: as much as in the evaluation, so that it is rounded as there."""
    shape = len(cast.keys), cast.num_envs
    if not stage.alone:
        return seen
    return jax.tree.map(lambda x: np.broadcast_to(x[0, 0], shape + x.shape[2:]), seen)


def row_state(stage: Stage, state: Any, row: tuple[int, int]) -> Any:
    """Return the state of one environment, where it is known what it is."""
    return jax.tree.map(lambda x: x[row], stage.env.world(state))


def _end(stage: Stage, before: Any, action: np.ndarray, drawn: Any, row: tuple[int, int]) -> Any:
    """Return the state in which an episode ended, whose place the next episode's has taken."""
    state = row_state(stage, before, row)
    if state is None:
        return None
    key = drawn[0][row]
    single = cast(Env, stage.env.single)  # it is pure, for its state can be read
    return jax.jit(single.step)(state, action[row], key)[0]


@partial(jax.jit, static_argnames=("space", "greedy"))
def _act(
    algo: Any, learner: Any, seen: Seen, keys: jax.Array, *, space: Any, greedy: bool
) -> tuple[jax.Array, Any]:
    """Return actions [S, N, ...] in the environment's units, and what the policy carries on."""

    def one(algo: Any, learner: Any, seen: Seen, key: jax.Array) -> tuple[jax.Array, Any]:
        drawn = None if greedy else algo.draw(space, key, (len(jax.tree.leaves(seen.obs)[0]),))
        choice = algo.act(learner, seen, drawn)
        return to_env(space, choice.action), choice.memory

    return jax.vmap(one, in_axes=(parallel.axes(algo), 0, 0, 0))(algo, learner, seen, keys)
