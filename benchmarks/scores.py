"""Train every preset with the seeds of one command each, and store the results per seed.

    python benchmarks/scores.py                       all presets, 10 seeds each
    python benchmarks/scores.py --only Acrobot-v1     some of them
    python benchmarks/scores.py --table               only rewrite the table from the stored results
    python benchmarks/scores.py --random envpool:Pong-v5   the mean return of random actions, 100 episodes

Each run is the command that a user would type, and that the stored result names. Results go to
`benchmarks/results/scores/`: result.json and curve.png per preset, metrics.csv with every seed's curve; and the
table to `benchmarks/results/scores.md`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from swingup.presets import every
from swingup.presets.policy_gradient import UNMEASURED
from swingup.statistics import iqm, mean_ci

RESULTS = Path(__file__).parent / "results"
PRESETS = every()[0]

# What we hold ourselves to (mean over seeds, or every seed; None: reported only), and the best published result.
Bar = tuple[str, float | None, str]
LAKE = "0.740, exact, of the policy that is optimal for γ 0.99"
BARS: dict[tuple[str, str], Bar] = {
    ("ppo", "gymnax:CartPole-v1"): ("every", 500, "500 at 100k (RL Zoo)"),
    ("ppo", "gymnax:Acrobot-v1"): ("mean", -80, "-73.5 at 1M (RL Zoo)"),
    ("ppo", "gymnax:MountainCar-v0"): ("mean", -120, "-110.4 at 1M (RL Zoo)"),
    ("ppo", "gymnax:MountainCarContinuous-v0"): (
        "mean",
        90,
        "88.3 at 20k (RL Zoo, PPO); 94.7 at 50k (SAC)",
    ),
    ("ppo", "gymnax:Pendulum-v1"): ("mean", -180, "-172.2 at 100k (RL Zoo)"),
    ("ppo", "gymnax:Breakout-MinAtar"): ("mean", 25, "38 to 44 at 10M (PureJaxRL, from its figure)"),
    ("a2c", "gymnax:CartPole-v1"): ("every", 500, "500 at 500k (RL Zoo)"),
    ("trpo", "gymnax:CartPole-v1"): ("every", 500, "500 at 100k (RL Zoo)"),
    ("vpg", "gymnax:CartPole-v1"): ("mean", 475, ""),
    ("ppo", "envpool:HalfCheetah-v5"): ("mean", 4000, "5784 at 1M on v3 (Tianshou)"),
    ("ppo", "envpool:Hopper-v5"): ("mean", 2000, "2609 at 1M on v3 (Tianshou)"),
    ("ppo", "envpool:Walker2d-v5"): ("mean", 2500, "3589 at 1M on v3 (Tianshou)"),
    ("ppo", "envpool:InvertedPendulum-v5"): ("mean", 1000, "1000 (Tianshou)"),
    ("ppo", "envpool:LunarLander-v3"): ("mean", 200, "242 at 1M on v2 (RL Zoo)"),
    ("ppo", "envpool:LunarLanderContinuous-v3"): ("mean", 230, "270.9 at 1M on v2 (RL Zoo)"),
    # A bar of our own: random actions lose with -20.4 (measured: `scores.py --random envpool:Pong-v5`).
    ("ppo", "envpool:Pong-v5"): ("mean", 0, "20.6 at 10M (RL Zoo)"),
    ("ppo", "envpool:Ant-v5"): ("mean", None, "3258 at 1M on v3 (Tianshou)"),
    ("ppo", "envpool:Swimmer-v5"): ("mean", None, "66.7 at 1M on v3 with γ 0.99 (Tianshou)"),
    ("ppo", "envpool:Reacher-v5"): ("mean", None, "-4.1 at 1M on v2 (Tianshou)"),
    ("a2c", "envpool:HalfCheetah-v5"): ("mean", None, "1830 at 1M on v3 (Tianshou)"),
    ("vpg", "envpool:HalfCheetah-v5"): ("mean", None, "-49 at 1M, 632 at 3M on v3 (Spinning Up)"),
    ("vpg", "envpool:InvertedPendulum-v5"): ("mean", None, "999 at 3M on v2 (Tianshou, REINFORCE)"),
    ("trpo", "envpool:HalfCheetah-v5"): ("mean", 2000, "4471 at 1M on v3 (Tianshou)"),
    ("trpo", "envpool:Hopper-v5"): ("mean", 1800, "2046 at 1M on v3 (Tianshou)"),
    ("dqn", "gymnax:CartPole-v1"): ("mean", 475, "500 at 50k (RL Zoo)"),
    ("c51", "gymnax:CartPole-v1"): ("mean", 475, ""),
    ("qr_dqn", "gymnax:CartPole-v1"): ("mean", 475, "500 at 50k (RL Zoo)"),
    ("dqn", "gymnax:Acrobot-v1"): ("mean", -85, "-76.6 at 100k (RL Zoo)"),
    ("qr_dqn", "gymnax:Acrobot-v1"): ("mean", -80, "-69.1 at 100k (RL Zoo)"),
    ("dqn", "gymnax:MountainCar-v0"): ("mean", -120, "-100.8 at 120k (RL Zoo)"),
    ("dqn", "envpool:LunarLander-v3"): ("mean", 180, "265.9 at 300k (SLM-Lab, double and prioritised)"),
    ("dqn", "gymnax:Breakout-MinAtar"): ("mean", 10, ""),
    ("c51", "gymnax:Breakout-MinAtar"): ("mean", None, ""),
    ("ddpg", "gymnax:Pendulum-v1"): ("mean", -175, "-152.1 at 20k (RL Zoo)"),
    ("td3", "gymnax:Pendulum-v1"): ("mean", -165, "-151.9 at 20k (RL Zoo)"),
    ("sac", "gymnax:Pendulum-v1"): ("mean", -165, "-157.0 at 20k (RL Zoo)"),
    ("sac", "gymnax:MountainCarContinuous-v0"): ("mean", 90, "94.7 at 50k (RL Zoo)"),
    ("sac", "envpool:HalfCheetah-v5"): ("mean", 4000, "12139 at 1M on v3 (Tianshou)"),
    ("td3", "envpool:HalfCheetah-v5"): ("mean", 2500, "10201 at 1M on v3 (Tianshou)"),
    # The mean return of all episodes: their length less the env steps before the goal is reached.
    ("sac", "envpool:FetchReach-v4"): ("mean", None, ""),
    # Tables: what is optimal is known. Learners that are to find the optimum must; SARSA's aim is another.
    ("q_learning", "tabular:Cliff"): ("every", -13, "-13, exact"),
    ("q_learning", "tabular:WindyGrid"): ("every", -15, "-15, exact"),
    ("q_learning", "tabular:FrozenLake"): ("mean", 0.7, LAKE),
    ("q_learning", "tabular:Chain"): ("every", 1, "1, exact"),
    ("sarsa", "tabular:Cliff"): ("mean", -17, "-13, exact"),
    ("sarsa", "tabular:WindyGrid"): ("mean", -17, "-15, exact"),
    ("sarsa", "tabular:FrozenLake"): ("mean", 0.7, LAKE),
    ("expected_sarsa", "tabular:Cliff"): ("mean", -17, "-13, exact"),
    ("expected_sarsa", "tabular:FrozenLake"): ("mean", 0.7, LAKE),
    ("double_q_learning", "tabular:Cliff"): ("mean", -17, "-13, exact"),
    ("double_q_learning", "tabular:FrozenLake"): ("mean", 0.7, LAKE),
    ("value_iteration", "tabular:Cliff"): ("every", -13, "-13, exact"),
    ("value_iteration", "tabular:WindyGrid"): ("every", -15, "-15, exact"),
    ("value_iteration", "tabular:FrozenLake"): ("mean", 0.7, LAKE),
    ("policy_iteration", "tabular:Cliff"): ("every", -13, "-13, exact"),
    ("policy_iteration", "tabular:WindyGrid"): ("every", -15, "-15, exact"),
    ("policy_iteration", "tabular:FrozenLake"): ("mean", 0.7, LAKE),
}
NO_BAR: Bar = ("mean", None, "")


def named(algo: str, env: str) -> str:
    """The stem of a pair's files."""
    suite, _, name = env.partition(":")
    return f"{algo}-{name}" if suite == "gymnax" else f"{algo}-{suite}-{name}"


def run(algo: str, env: str, seeds: int, first: int) -> None:
    """One command; its outcome is kept, its run directory is not."""
    suite, _, bare = env.partition(":")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / named(algo, env)
        command = ["swingup", "train", algo, bare if suite == "gymnax" else env]
        command += ["--seeds", str(seeds), "--seed", str(first)]
        full = [sys.executable, "-m", "swingup", *command[1:], "--out", str(out)]
        subprocess.run(full, check=True, env=os.environ)
        keep(algo, env, out, " ".join(command))


def keep(algo: str, env: str, out: Path, command: str) -> None:
    """Store what a run directory says: per-seed results, every seed's curve, the picture."""
    result = json.loads((out / "result.json").read_text())
    result["command"] = command
    result["cpu"] = {"cores": os.cpu_count(), "model": cpu_model()}
    target = RESULTS / "scores"
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{named(algo, env)}.json").write_text(json.dumps(result, indent=1) + "\n")
    shutil.copy(out / "metrics.csv", target / f"{named(algo, env)}.csv")
    shutil.copy(out / "curve.png", target / f"{named(algo, env)}.png")


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def table() -> str:
    """The stored results as Markdown."""
    columns = "algorithm|env|env steps per seed|seeds|mean|95 % CI|IQM|worst seed|in training|bar|met|published best"
    rows, commands = ["| " + columns.replace("|", " | ") + " |", "|---" * 12 + "|"], []
    for algo, env in PRESETS:
        path = RESULTS / "scores" / f"{named(algo, env)}.json"
        if not path.exists():
            continue
        r = json.loads(path.read_text())
        rows.append("| " + " | ".join(map(str, cells(algo, env, r))) + " |")
        versions = ", ".join(f"{k} {v}" for k, v in r["versions"].items())
        commands.append(
            f"- `{r['command']}`: {r['steps_per_second']:,.0f} env steps/s over all seeds; {versions}"
        )
    about = (
        "Presets. The score of a seed is the mean return of the greedy policy over 100 fresh episodes (or as many"
        " as the row says) after the last update; the table gives the mean over seeds, a percentile-bootstrap"
        " 95 % interval of it, the interquartile mean and the worst seed; beside them the mean return of the last"
        " 100 episodes in training, with exploration. Breakout-MinAtar has two first states and no chance after"
        " them, so a greedy score there is the mean of two episodes, and one loop without a brick can halve it:"
        " the column beside it is the better measure. Environments without a suite's name are"
        " gymnax 1.0.1; its MinAtar has the minimal action set and no sticky actions. Published numbers are single"
        " runs of tuned settings (RL Zoo, on Gymnasium's versions of the classic tasks), running means in training"
        " over four seeds (SLM-Lab), means of ten seeds"
        " (Tianshou, on MuJoCo v3), or read from figures (PureJaxRL)."
    )
    where = "Commands, speeds (two cores, shared with other jobs) and versions:"
    return "\n".join([about, "", *rows, "", where, "", *commands, ""])


def cells(algo: str, env: str, r: dict[str, Any]) -> list[Any]:
    """One row of the table."""
    x = np.array(r["final_return"])
    low, high = mean_ci(x)
    interval = f"[{low:.2f}, {high:.2f}]" if np.isfinite(low) else "– (under 3 seeds)"
    kind, bar, published = BARS.get((algo, env), NO_BAR)
    shown, met = "–", "–"
    if bar is not None:
        shown = f"{kind} seed {bar:g}" if kind == "every" else f"mean {bar:g}"
        met = "yes" if (x.min() if kind == "every" else x.mean()) >= bar else "**no**"
    episodes = r["evaluation"]["episodes"]
    seeds = len(x) if episodes == 100 else f"{len(x)} ({episodes} episodes each)"
    start = [algo, env.removeprefix("gymnax:"), f"{r['env_steps']:,}", seeds, f"{x.mean():.2f}", interval]
    ended = [value for value in r["train_return"] if value is not None]  # a seed may have ended no episode
    training = f"{np.mean(ended):.2f}" if ended else "–"
    return [*start, f"{iqm(x):.2f}", f"{x.min():.2f}", training, shown, met, published or "–"]


def random_return(name: str, episodes: int = 100, at_once: int = 10) -> float:
    """The mean return of uniformly random actions."""
    import jax

    from swingup.distributions import uniform
    from swingup.envs import make
    from swingup.episodes import evaluate
    from swingup.types import Choice

    env, returns = make(name, at_once), []
    for i in range(episodes // at_once):
        key = jax.random.fold_in(jax.random.key(0), i)
        returns += np.asarray(
            evaluate(env, lambda _, noise: Choice(uniform(env.action_space, noise)), key)[0]
        ).tolist()
    return float(np.mean(returns))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", help="names of environments")
    parser.add_argument("--algo", help="of this algorithm only")
    parser.add_argument(
        "--keep", type=Path, help="train nothing: store this run directory, with --algo and --only"
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--random", metavar="ENV", help="train nothing: play random actions there")
    options = parser.parse_args()
    if options.random:
        print(f"random actions on {options.random}: {random_return(options.random):.2f} (100 episodes)")
        return
    for algo, env in [] if options.table else PRESETS:
        if PRESETS[algo, env].result == UNMEASURED and not options.only:
            continue
        wanted = not options.only or env in options.only or env.partition(":")[2] in options.only
        if not wanted or options.algo not in (None, algo):
            continue
        if options.keep:
            keep(algo, env, options.keep, json.loads((options.keep / "result.json").read_text())["command"])
        else:
            run(algo, env, options.seeds, options.seed)
    (RESULTS / "scores.md").write_text(table())
    print(table())


if __name__ == "__main__":
    main()
