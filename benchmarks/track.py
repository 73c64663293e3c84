"""Measure learning to drive `task:Track` from pixels, and from features beside it; and how fast frames are drawn.

    python benchmarks/track.py                          all arms, and the speed
    python benchmarks/track.py --only ppo-pixels --env-steps 50000 --seeds 3
    python benchmarks/track.py --only speed
    python benchmarks/track.py --table                  only write the table and the figure anew

Arms: PPO and DQN from two stacked frames, PPO from one frame, PPO and DQN from features; and two that learn nothing,
random actions and a driver by hand, who steers to where the road's middle is 12 m ahead. All seeds of an arm train
side by side, in one vmap. Results go to `benchmarks/results/track.json` (every seed, every evaluation) and `.md`, the
figure to `docs/_static/track.png`.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure

import swingup
from scores import cpu_model
from swingup.envs import make
from swingup.episodes import evaluate
from swingup.plots.style import STYLE, pictures
from swingup.presets import preset
from swingup.statistics import mean_ci
from swingup.types import Choice, Seen

RESULTS = Path(__file__).parent / "results" / "track.json"
FIGURE = Path(__file__).parents[1] / "docs" / "_static" / "track.png"
EPISODES = 20
FEATURES = "task:Track?obs=features"


class Arm(NamedTuple):
    algo: str
    env: str
    about: str


ARMS = {
    "ppo-pixels": Arm("ppo", "task:Track?frames=2", "PPO, two frames"),
    "ppo-one-frame": Arm("ppo", "task:Track", "PPO, one frame"),
    "dqn-pixels": Arm("dqn", "task:Track?frames=2", "DQN, two frames"),
    "ppo-features": Arm("ppo", FEATURES, "PPO, features"),
    "dqn-features": Arm("dqn", FEATURES, "DQN, features"),
}


def by_hand(seen: Seen, noise: Any) -> Choice:
    """Steer to the road's middle 12 m ahead, and hold the speed at which the way there can be driven."""
    speed, front, left = seen.obs[:, 0] * 20, seen.obs[:, 8] * 24, seen.obs[:, 9] * 24
    bend = jnp.abs(left) / (front**2 + left**2)  # half the curvature of the circle that leads there
    wanted = jnp.clip(jnp.sqrt(8 / (2 * bend + 1e-3)), 4.0, 14.0)
    steer = jnp.where(left > 0, 1, 2)
    pedal = jnp.where(speed < wanted, 3, 4)
    return Choice(jnp.where(jnp.abs(left) > 0.08 * front, steer, pedal))


def at_random(seen: Seen, noise: Any) -> Choice:
    return Choice(jnp.argmax(noise, -1))


def unlearnt(act: Callable) -> list[float]:
    """Returns of 200 episodes."""
    env = make(FEATURES, 200)
    return np.asarray(jax.jit(lambda key: evaluate(env, act, key)[0])(jax.random.key(0))).tolist()


def measure(name: str, env_steps: int | None, seeds: int) -> dict[str, Any]:
    arm = ARMS[name]
    known = preset(arm.algo, arm.env)
    assert known is not None
    algo, budget = known.algo, env_steps or known.env_steps
    if arm.algo == "dqn":  # exploration falls over a quarter of the run
        algo = replace(algo, epsilon_decay=budget / 4)
    began, spent = time.perf_counter(), time.process_time()
    run = swingup.train(algo, arm.env, env_steps=budget, seeds=range(seeds), episodes=EPISODES)
    curve, at = run.metrics["ep/return_last100"], run.metrics["env_steps"][0]
    return {
        "algorithm": arm.algo,
        "env": arm.env,
        "env_steps": run.result["env_steps"],
        "final_return": np.asarray(run.final_return, float).round(3).tolist(),
        "command": f"python benchmarks/track.py --only {name} --env-steps {budget} --seeds {seeds}",
        "curve_env_steps": at.astype(int).tolist(),
        "curve_return": [[None if np.isnan(x) else round(float(x), 3) for x in row] for row in curve],
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - spent, 1),
    }


def speed(rounds: int = 20) -> dict[str, Any]:
    """Env steps per second with random actions, whole: 64 environments, 64 env steps per call, resets included."""
    n, steps, rates = 64, 64, {}
    for name in ("task:Track", "task:Track?frames=2", FEATURES):
        env = make(name, n)

        @jax.jit
        def go(state: Any, key: jax.Array, env: Any = env) -> Any:
            k_draw, k_act, key = jax.random.split(key, 3)
            actions = jax.random.randint(k_act, (steps, n), 0, env.action_space.n)

            def body(state: Any, x: Any) -> Any:
                state, step = env.step(state, *x)
                return state, (step.reward, step.next_obs)

            state, (reward, obs) = jax.lax.scan(body, state, (actions, env.draw(k_draw, steps)))
            return state, key, reward, obs

        state, key = jax.jit(env.reset)(jax.random.key(0))[0], jax.random.key(1)
        walls, cpus = [], []
        for _ in range(rounds + 1):
            began, spent = time.perf_counter(), time.process_time()
            state, key, *_ = jax.block_until_ready(go(state, key))
            walls.append(time.perf_counter() - began)
            cpus.append(time.process_time() - spent)
        rates[name] = {
            "best_per_second": round(n * steps / min(walls[1:])),
            "median_per_second": round(n * steps / float(np.median(walls[1:]))),
            "per_cpu_second": round(n * steps * rounds / sum(cpus[1:])),
        }
        print(name, rates[name], flush=True)
    return rates


def table(stored: dict[str, Any]) -> str:
    """As Markdown: all arms, then the speed."""
    rows = [
        "| arm | env steps per seed | seeds | mean return | 95 % CI | per seed | CPU-seconds |",
        "|---" * 7 + "|",
    ]
    for name, about in (("random", "random actions"), ("by hand", "a driver by hand")):
        if name in stored["unlearnt"]:
            x = np.array(stored["unlearnt"][name])
            half = 1.96 * x.std(ddof=1) / len(x) ** 0.5
            rows.append(
                f"| {about} | – | – | {x.mean():.2f} | [{x.mean() - half:.2f}, {x.mean() + half:.2f}] | "
                f"{len(x)} episodes | – |"
            )
    for name, r in stored["arms"].items():
        x = np.array(r["final_return"])
        low, high = mean_ci(x)
        interval = f"[{low:.2f}, {high:.2f}]" if np.isfinite(low) else "–"
        each = ", ".join(f"{v:.2f}" for v in x)
        rows.append(
            f"| {ARMS[name].about} | {r['env_steps']:,} | {len(x)} | {x.mean():.2f} | {interval} | {each} | "
            f"{r['cpu_seconds']:,.0f} |"
        )
    about = (
        f"Greedy return, mean over {EPISODES} fresh episodes per seed, then over seeds; the interval is a percentile "
        "bootstrap over seeds, or the normal one over episodes of what does not learn. The return is 10 per lap, less "
        "0.1 per env step on the grass. The settings are the presets', but for the decay of DQN's ε, a quarter of the "
        "budget. Command: `python benchmarks/track.py`."
    )
    fast = [
        "| environments | env steps/s, best call | median call | env steps per CPU-second |",
        "|---" * 4 + "|",
    ]
    for name, r in stored.get("speed", {}).items():
        rates = " | ".join(f"{r[k]:,}" for k in ("best_per_second", "median_per_second", "per_cpu_second"))
        fast.append(f"| `{name}` | {rates} |")
    told = (
        "64 environments with random actions, 64 env steps per call, resets included; the median tells how busy the "
        "machine was with other jobs; "
        f"`python benchmarks/track.py --only speed` on {stored.get('cpu', '')}, {stored.get('cores', '')} cores."
    )
    return "\n".join([*rows, "", about, "", *fast, "", told, ""])


def draw(stored: dict[str, Any]) -> bytes:
    """Draw returns in training, of the last 100 episodes, over env steps: each seed thin, the mean thick."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.6), dpi=150, layout="constrained")
        axes: Any = figure.subplots()
        for i, (name, r) in enumerate(stored["arms"].items()):
            curve = np.array(r["curve_return"], float)
            for row in curve:
                axes.plot(r["curve_env_steps"], row, color=f"C{i}", ls="-", lw=0.5, alpha=0.5)
            axes.plot(
                r["curve_env_steps"], curve.mean(0), color=f"C{i}", ls="-", lw=1.8, label=ARMS[name].about
            )
        for name, style in (("random", ":"), ("by hand", "--")):
            level = float(np.mean(stored["unlearnt"][name]))
            axes.axhline(level, color="black", ls=style, lw=0.9, label=name)
        axes.set(xlabel="env steps per seed", ylabel="return of the last 100 episodes")
        axes.legend(fontsize=7)
        return pictures(figure)[".png"]


def main() -> None:
    how = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=how)
    parser.add_argument(
        "--only", nargs="*", default=["speed", "unlearnt", *ARMS], choices=["speed", "unlearnt", *ARMS]
    )
    parser.add_argument("--env-steps", type=int, help="per seed; default: as the preset says")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    stored: dict[str, Any] = (
        json.loads(RESULTS.read_text()) if RESULTS.exists() else {"unlearnt": {}, "arms": {}}
    )
    for name in [] if options.table else options.only:
        stored |= {"cpu": cpu_model(), "cores": os.cpu_count()}
        stored["versions"] = (
            f"swingup {swingup.__version__}, jax {version('jax')}, Python {platform.python_version()}"
        )
        if name == "speed":
            stored["speed"] = speed()
        elif name == "unlearnt":
            stored["unlearnt"] = {"random": unlearnt(at_random), "by hand": unlearnt(by_hand)}
        else:
            stored["arms"][name] = measure(name, options.env_steps, options.seeds)
            stored["arms"] = {n: stored["arms"][n] for n in ARMS if n in stored["arms"]}
            print(name, stored["arms"][name]["final_return"], stored["arms"][name]["cpu_seconds"], flush=True)
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    RESULTS.with_suffix(".md").write_text(table(stored))
    if stored["arms"] and stored["unlearnt"]:
        FIGURE.write_bytes(draw(stored))
    print(table(stored))


if __name__ == "__main__":
    main()
