"""Measure what hindsight does for goals, on BitFlip of 15 bits, and on Gymnasium-Robotics' FetchReach and FetchPush.

    python benchmarks/goals.py                  all of them
    python benchmarks/goals.py --only bitflip bitflip-without --seeds 10

The score is the share of fresh greedy episodes whose last env step reached the goal, per seed. Results go to
`benchmarks/results/goals.json` (per seed) and `.md`.
"""

import argparse
import json
import os
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import swingup
from swingup.envs import make
from swingup.presets import preset
from swingup.statistics import mean_ci
from swingup.training import driver, machine

RESULTS = Path(__file__).parent / "results"
EPISODES = 100


class Task(NamedTuple):
    algo: str
    env: str
    changes: dict[str, Any]  # of the preset
    seeds: int
    about: str


TASKS = {
    "bitflip": Task("dqn", "task:BitFlip", {}, 10, "with hindsight"),
    "bitflip-without": Task("dqn", "task:BitFlip", {"hindsight": 0}, 10, "without"),
    "reach": Task("sac", "envpool:FetchReach-v4", {}, 3, "with hindsight"),
    "push": Task("sac", "envpool:FetchPush-v4", {}, 1, "with hindsight"),
}


def success(run: Any, seed: int) -> float:
    """The share of episodes whose last reward is the one that only a reached goal has: 0."""
    env: Any = make(run.experiment.env, EPISODES)
    key = jax.random.fold_in(driver.root_key(seed, "success"), 0)
    state, obs = env.reset(key)
    step_of = jax.jit(env.step) if env.jittable else env.step
    reached, running, t = np.zeros(EPISODES, bool), np.ones(EPISODES, bool), 0
    while running.any():
        action = np.asarray(run.policy(np.asarray(obs), seed))
        noise = jax.tree.map(lambda x: x[0], env.draw(jax.random.fold_in(key, t + 1), 1))
        state, step = step_of(state, action, noise)
        ended = running & np.asarray(step.done)
        reached[ended] = np.asarray(step.reward)[ended] == 0
        running, obs, t = running & ~np.asarray(step.done), step.obs, t + 1
    getattr(env, "close", lambda: None)()
    return float(reached.mean())


def measure(task: Task, seeds: int) -> dict[str, Any]:
    known = preset(task.algo, task.env)
    assert known is not None
    algo = replace(known.algo, **task.changes)
    run = swingup.train(algo, task.env, env_steps=known.env_steps, seeds=range(seeds), episodes=EPISODES)
    return {
        "algorithm": task.algo,
        "env": task.env,
        "about": task.about,
        "hindsight": algo.hindsight,
        "env_steps": run.result["env_steps"],
        "success": [success(run, seed) for seed in range(seeds)],
        "final_return": np.asarray(run.final_return, float).round(2).tolist(),
        "env_steps_per_second": run.result["steps_per_second"],
    }


def table(stored: dict[str, Any]) -> str:
    rows = [
        "| task | algorithm | hindsight | env steps per seed | seeds | success | 95 % CI | worst seed | return |"
    ]
    rows.append("|---" * 9 + "|")
    for r in stored["tasks"].values():
        x = np.array(r["success"])
        low, high = mean_ci(x)
        interval = f"[{low:.2f}, {high:.2f}]" if np.isfinite(low) else "–"
        rows.append(
            f"| {r['env']} | {r['algorithm']} | {r['hindsight'] or 'none'} | {r['env_steps']:,} | {len(x)} | "
            f"{x.mean():.2f} | {interval} | {x.min():.2f} | {np.mean(r['final_return']):.2f} |"
        )
    about = (
        f"Success: the share of {EPISODES} fresh greedy episodes per seed whose last env step reached the goal; mean "
        "over seeds, percentile-bootstrap 95 % interval. The settings are the presets'; `hindsight` is k. BitFlip "
        "has 15 bits. FetchReach-v4 and FetchPush-v4 are EnvPool's of Gymnasium-Robotics' tasks, sparse."
    )
    where = f"Command: `python benchmarks/goals.py`; {stored['cpu']}, {stored['cores']} cores, shared with other jobs; "
    return "\n".join([about, "", *rows, "", where + stored["versions"] + ".", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", type=int, help="default: as many as the task says")
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    path = RESULTS / "goals.json"
    stored: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"tasks": {}}
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "unknown CPU")
    packages = ", ".join(f"{name} {version(name)}" for name in ("jax", "envpool", "numpy"))
    stored |= {"cpu": model, "cores": os.cpu_count()}
    stored["versions"] = f"swingup {swingup.__version__}, {packages}, Python {platform.python_version()}"
    for name in [] if options.table else options.only:
        task = TASKS[name]
        known = preset(task.algo, task.env)
        assert known is not None
        machine.set_up(known.algo)
        stored["tasks"][name] = measure(task, options.seeds or task.seeds)
        stored["tasks"] = {n: stored["tasks"][n] for n in TASKS if n in stored["tasks"]}
        path.write_text(json.dumps(stored, indent=1) + "\n")
        path.with_suffix(".md").write_text(table(stored))
        print(name, stored["tasks"][name], flush=True)
    print("\n" + table(stored))


if __name__ == "__main__":
    main()
