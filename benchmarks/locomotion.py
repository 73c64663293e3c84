"""Train with learned models on two of MuJoCo's robots, as far as one core comes: ME-TRPO, and MBPO beside SAC.

    python benchmarks/locomotion.py                          all arms, an hour of one core each at most
    python benchmarks/locomotion.py --only me_trpo --minutes 60
    python benchmarks/locomotion.py --table                  only rewrite page and figure from the stored results

`me_trpo` runs HalfCheetah for the reward of a published comparison (Wang et al. 2019, arXiv:1907.02057, "MBBL"): the
velocity before the env step minus 0.1 |a|², which is a function of what is observed. It stops after `--minutes` of the
processor. `mbpo` hops, and beside it SAC hops with as many gradient steps per real env step, and with one. Results go
to `benchmarks/results/locomotion.json` at each look, `.md` and `.png`. An arm that is stored whole is not run again
unless it is named by `--only`.
"""

import os

os.environ.setdefault("NPROC", "1")  # one thread for XLA: seconds of the processor are seconds of work

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import jax.numpy as jnp
import numpy as np
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv

import arms
import swingup
from arms import Row
from swingup import MBPO, METRPO, SAC
from swingup.protocols import env_steps
from swingup.ranges import values

RESULTS = Path(__file__).parent / "results" / "locomotion.json"
CHEETAH, HOPPER = "gymnasium:MBBL/HalfCheetah-v0", "gymnasium:Hopper-v5"
VELOCITY, COST, EPISODES = 8, 0.1, 10
KEPT = ("ep/return", "eval/return", "model/error_1", "model/gap", "model/imagined", "imagined/return")


class Cheetah(HalfCheetahEnv):
    """This is Gymnasium's HalfCheetah with MBBL's reward, which it also gives as a function."""

    def reset(self, **how: Any) -> Any:
        self.before, info = super().reset(**how)
        return self.before, info

    def step(self, action: Any) -> Any:
        reward = self.before[VELOCITY] - COST * np.square(action).sum()
        self.before, _, terminated, truncated, info = super().step(action)
        return self.before, float(reward), terminated, truncated, info

    @staticmethod
    def known_reward(obs: Any, action: Any, next_obs: Any) -> Any:
        return obs[..., VELOCITY] - COST * jnp.square(action).sum(-1)

    @staticmethod
    def known_end(obs: Any, action: Any, next_obs: Any) -> Any:
        return jnp.zeros(jnp.shape(obs)[:-1], bool)


gymnasium.register("MBBL/HalfCheetah-v0", Cheetah, max_episode_steps=1000)


class Task(NamedTuple):
    """These settings are trained in an environment, for env steps at most; `every` is the iterations between looks."""

    algo: Any
    env: str
    env_steps: int
    every: int


PRACTICE = METRPO(
    num_steps=3_000, model_hidden=(200, 200), model_steps=200, replay_size=200_000, warmup=3_000, imagined_envs=500,
    horizon=20, updates=40, score_every=5, patience=20, log_std_init=-1.0,
)  # fmt: skip
BRANCHES = MBPO(
    num_steps=125,
    looks=5,
    model_steps=50,
    imagined_envs=50_000,
    imagined_size=400_000,
    warmup=1_000,
    alpha_lr=3e-4,
)
SAME: dict[str, Any] = {key: value for key, value in values(BRANCHES).items() if key in values(SAC())}
TASKS = {
    "me_trpo": Task(PRACTICE, CHEETAH, 200_000, 1),
    "mbpo": Task(BRANCHES, HOPPER, 6_000, 4),
    "sac-equal": Task(SAC(**SAME), HOPPER, 6_000, 4),
    "sac-one": Task(replace(SAC(**SAME), replay_ratio=1.0), HOPPER, 6_000, 4),
}


def train(name: str, seed: int, minutes: float) -> None:
    """Train one seed of an arm, and keep what each look finds."""
    task, began = TASKS[name], time.process_time()
    found: Row = {"env": task.env, "settings": values(task.algo), "looks": [], "whole": False}

    def look(p: swingup.Progress) -> None:
        seconds = time.process_time() - began
        row: Row = {"env_steps": env_steps(task.algo, p.iteration), "seconds": round(seconds)}
        for key in KEPT:
            if key in p.metrics:
                x = p.metrics[key][0]
                row[key] = arms.number(np.nanmean(x)) if np.isfinite(x).any() else None
        found["looks"].append(row)
        arms.keep(RESULTS, ["arms", name, str(seed)], found)
        print(name, seed, row, flush=True)
        if seconds > 60 * minutes:
            raise swingup.StopTraining(f"{minutes:g} minutes of the processor are over")

    run = swingup.train(
        task.algo,
        task.env,
        env_steps=task.env_steps,
        seeds=[seed],
        episodes=EPISODES,
        eval_interval=task.every,
        callbacks=[swingup.Every(task.every, look)],
    )
    found |= {
        "whole": True,
        "env_steps": found["looks"][-1]["env_steps"],
        "returns": np.round(run.evaluate(EPISODES).returns[0], 1).tolist(),
    }
    arms.keep(RESULTS, ["arms", name, str(seed)], found)


def table(stored: Row) -> str:
    """Write the results as Markdown."""
    lines = [
        "| arm | environment | seed | env steps | greedy return at the end | best look | last episodes in training | "
        "CPU minutes |",
        "|---" * 8 + "|",
    ]
    for name in TASKS:
        for seed, found in stored["arms"].get(name, {}).items():
            looks = found["looks"]
            last = [row["ep/return"] for row in looks[-3:] if row["ep/return"] is not None]
            evaluated = [row["eval/return"] for row in looks]
            end = (
                f"{np.mean(found['returns']):,.0f}"
                if found["whole"]
                else f"{evaluated[-1]:,.0f}, stopped there"
            )
            cells = (
                name,
                f"`{found['env'].partition(':')[2]}`",
                seed,
                f"{looks[-1]['env_steps']:,}",
                end,
                f"{max(evaluated):,.0f} at {looks[int(np.argmax(evaluated))]['env_steps']:,}",
                f"{np.mean(last):,.0f}" if last else "–",
                f"{looks[-1]['seconds'] / 60:.0f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    about = (
        f"Greedy returns are means of {EPISODES} episodes of at most 1,000 env steps; those in training are means of "
        "the last three looks, with the policy's noise. Env steps are real ones, CPU minutes those of one core, "
        "compiling and evaluations included. One seed says little. HalfCheetah has MBBL's reward, which is given "
        "to the model; Hopper's reward is learnt, and its end given."
    )
    where = f"Command: `python benchmarks/locomotion.py`; {stored['cpu']}, one core, shared with other jobs; "
    versions = stored["versions"] + f", Gymnasium {gymnasium.__version__}."
    shown = "![Return over real env steps](locomotion.png)"
    return "\n".join(
        ["# Robots, and models that are learnt", "", about, "", shown, "", *lines, "", where + versions, ""]
    )


def figure(stored: Row) -> None:
    """Draw greedy returns over real env steps."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    there = [env for env in (CHEETAH, HOPPER) if any(TASKS[name].env == env for name in stored["arms"])]
    fig, axes = plt.subplots(
        1, len(there), figsize=(5 * len(there), 3.6), layout="constrained", squeeze=False
    )
    panel = dict(zip(there, axes[0], strict=True))
    for name in stored["arms"]:
        axis = panel[TASKS[name].env]
        for seed, found in stored["arms"].get(name, {}).items():
            rows = [row for row in found["looks"] if row["eval/return"] is not None]
            axis.plot(
                [r["env_steps"] for r in rows],
                [r["eval/return"] for r in rows],
                label=f"{name}, seed {seed}",
                color=f"C{list(TASKS).index(name)}",
            )
    for env, axis in panel.items():
        axis.set(xlabel="real env steps", ylabel="greedy return", title=env.partition(":")[2])
        if env == CHEETAH:
            axis.axhline(2284, color="grey", linestyle=":", label="published, at 200,000")
        axis.legend(fontsize=8)
    fig.savefig(RESULTS.with_suffix(".png"), dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--minutes", type=float, default=60, help="of the processor, for each seed of an arm")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    for name in [] if options.table else options.only or list(TASKS):
        for seed in options.seeds:
            known = arms.stored_in(RESULTS).get("arms", {}).get(name, {}).get(str(seed), {})
            if options.only or not known.get("whole"):
                train(name, seed, options.minutes)
    stored = arms.stored_in(RESULTS)
    RESULTS.with_suffix(".md").write_text(table(stored))
    figure(stored)


if __name__ == "__main__":
    main()
