"""Episodes of a trained agent, as pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from swingup import driver
from swingup.envs import make, on_host
from swingup.envs.vec import Vec
from swingup.errors import ConfigError
from swingup.experiment import Run

FRAMES = 500  # at most: a longer episode is shown in larger strides
FPS = {"CartPole-v1": 50, "Pendulum-v1": 20, "Acrobot-v1": 15, "MinAtar": 12}


def episode(run: Run, seed: int, number: int = 0, limit: int = 10_000) -> Iterator[tuple[Any, Any, float]]:
    """(state, observation, return so far) of one greedy episode, the last state included."""
    env = make(run.experiment.env, 1)
    if not isinstance(env, Vec):
        raise ConfigError("this run's environment is stepped on the host: its pictures are its own")
    key = jax.random.fold_in(driver.root_key(seed, "play"), number)
    state, obs = jax.jit(env.env.reset)(key)
    step = jax.jit(env.env.step)
    total = 0.0
    yield state, obs, total
    for t in range(limit):
        state, answer = step(state, run.policy(obs, seed), jax.random.fold_in(key, t + 1))
        total += float(answer.reward)
        yield state, answer.obs, total
        obs = answer.obs
        if answer.terminated or answer.truncated:
            return


def host_episode(run: Run, seed: int, number: int = 0, limit: int = 10_000) -> Iterator[tuple[Any, float]]:
    """(picture, return so far) before each env step of one greedy episode; Gymnasium draws it."""
    import gymnasium

    from swingup.envs.adapters.gymnasium import wrap

    source, name = run.experiment.env, run.experiment.env_name.partition(":")[2].partition("?")[0]
    env: Any = None
    try:
        env = gymnasium.make(name, render_mode="rgb_array") if isinstance(source, str) else source()
        host = wrap(env, 1)
        _, obs = host.reset(jax.random.fold_in(driver.root_key(seed, "play"), number))
        total = 0.0
        for _ in range(limit):
            picture = env.render()
            if not isinstance(picture, np.ndarray):
                raise ConfigError("the environment draws nothing: construct it with render_mode='rgb_array'")
            yield picture, total
            _, step = host.step((), run.policy(obs, seed))
            obs, total = step.obs, float(step.ep_return[0])
            if step.done[0]:
                return
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise ConfigError(f"{name} cannot be drawn: {error}") from error
    finally:
        if env is not None:
            env.close()


def animate(run: Run, out: Path, seed: int | None = None, number: int = 0) -> str:
    """Draw one episode to a GIF or MP4; returns a sentence about it. Default seed: the best one."""
    from swingup import render
    from swingup.render_tables import scene_of

    seeds = run.experiment.seeds
    if seed is None:
        seed = seeds[int(np.argmax(run.final_return))] if run.result else seeds[0]
    if seed not in seeds:
        raise ConfigError(f"this run has no seed {seed}; it has {', '.join(map(str, seeds))}")
    name = run.experiment.env_name.partition(":")[2]
    if on_host(run.experiment.env):
        return _animate_host(run, out, seed, number)
    moments = list(episode(run, seed, number))
    env: Any = make(run.experiment.env, 1)
    scene = scene_of(env.env, lambda states: run.policy(states, seed))
    stride = -(-len(moments) // FRAMES)
    kept = [(t, m) for t, m in enumerate(moments) if t % stride == 0 or t == len(moments) - 1]
    frames = [
        render.frame(name, state, np.asarray(obs), f"seed {seed}   env step {t}   return {total:.1f}", scene)
        for t, (state, obs, total) in kept
    ]
    fps = 4 if scene else next((rate for part, rate in FPS.items() if part in name), 30)
    render.write_animation(out, frames, fps=fps)
    return f"seed {seed}, {len(moments) - 1} env steps, return {moments[-1][2]:.1f}"


def _animate_host(run: Run, out: Path, seed: int, number: int) -> str:
    from PIL import Image

    from swingup import render

    moments = list(host_episode(run, seed, number))
    stride = -(-len(moments) // FRAMES)
    render.write_animation(out, [Image.fromarray(picture) for picture, _ in moments[::stride]], fps=30)
    return f"seed {seed}, {len(moments)} env steps, return {moments[-1][1]:.1f} before the last env step"
