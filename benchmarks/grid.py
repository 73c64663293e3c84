"""Measure a grid of 160 runs: PPO on CartPole, 4 learning rates x 4 clips x 10 seeds, 100,000 env steps each.

All is counted: imports, compiling, final evaluations, table and figure, of one command with an empty cache of compiled
programs. `--kills N` kills the same grid with SIGKILL at random moments, again and again until it ends, and then a
fresh one, N times in all, and compares digests and rows of metrics with those of a grid that nobody stopped. `--rows`
trains the same settings with other numbers of rows per device. `--sb3` trains one of the 160 runs with
Stable-Baselines3, with the same hyperparameters, and then two in two processes at once, to compare env steps per
second; it lives in a virtual environment of its own, which is made when it is missing. Run
`python benchmarks/grid.py [--quick] [--kills 20] [--rows 1 5 40 160] [--sb3]`; what it measures is put in
benchmarks/results/grid.json, and benchmarks/results/grid.md is written from that.
"""

import argparse
import csv
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from peers import launch
from speed import machine
from swingup.runs import checkpoint, sweep
from swingup.runs.evaluation import EVALUATED
from swingup.runs.experiment import EPISODES

RESULTS = Path(__file__).parent / "results"
FULL = {
    "env_steps": 100_000,
    "seeds": 10,
    "lr": ["1e-3", "5e-4", "2.5e-4", "1e-4"],
    "clip": ["0.1", "0.2", "0.3", "0.4"],
}
LONGEST = 40.0  # seconds between two kills
TIMES = ("seconds",)  # columns of metrics that differ between two runs
QUICK = {"env_steps": 5_000, "seeds": 2, "lr": ["1e-3", "2.5e-4"], "clip": ["0.1", "0.2"]}


def command(size: dict[str, Any], out: Path) -> list[str]:
    """Return the command that trains the grid."""
    words = [
        "grid",
        "ppo",
        "CartPole-v1",
        "--lr",
        *size["lr"],
        "--clip",
        *size["clip"],
        "--seeds",
        str(size["seeds"]),
    ]
    return [*words, "--env-steps", str(size["env_steps"]), "--out", str(out)]


def started(words: list[str], cache: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a command; compiled programs are kept in `cache`, and what JAX compiles is told in the log."""
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_LOG_COMPILES": "1"}
    with open(log, "ab") as out:
        return subprocess.Popen([sys.executable, "-m", "swingup", *words], stdout=out, stderr=out, env=env)


def timed(words: list[str], cache: Path, log: Path) -> dict[str, Any]:
    """Run a command to its end: seconds of the wall and of the CPU, and how many training programs it compiled."""
    before, began = os.times(), time.perf_counter()
    code = started(words, cache, log).wait()
    wall, after = time.perf_counter() - began, os.times()
    if code:
        raise SystemExit(log.read_text()[-3000:])
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    programs = sum("Compiling jit(_device_chunk)" in line for line in log.read_text().splitlines())
    return {"wall_seconds": round(wall, 1), "cpu_seconds": round(cpu, 1), "training_programs": programs}


def digests(path: Path) -> list[str]:
    """Return the digest of each setting's checkpoint."""
    return [checkpoint.digest(run / "checkpoints") for run in sweep.read(path).paths]


def whole(size: dict[str, Any], base: Path) -> dict[str, Any]:
    """Train the grid with an empty cache, then give the same command again: it has nothing to do."""
    out = base / "whole"
    found = timed(command(size, out), base / "cache", base / "whole.log")
    again = timed(command(size, out), base / "cache", base / "again.log")
    runs = len(size["lr"]) * len(size["clip"]) * size["seeds"]
    steps = runs * size["env_steps"]
    speed = round(steps / found["wall_seconds"])
    return {
        "runs": runs,
        "env_steps": steps,
        **found,
        "env_steps_per_second": speed,
        "repeat_seconds": again["wall_seconds"],
    }


def rows(path: Path) -> list[list[dict[str, str]]]:
    """Return the rows of each setting's metrics, without the columns that tell of time."""
    found = []
    for run in sweep.read(path).paths:
        with (run / "metrics.csv").open() as file:
            found.append([{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)])
    return found


def killed(size: dict[str, Any], base: Path, kills: int) -> dict[str, Any]:
    """Kill grids at random moments until they end: are digests and rows those of the grid that nobody stopped?

    A grid that ended is followed by a fresh one, until as many kills are done. Up to `LONGEST` seconds lie between
    two, so a grid is killed many times: while it imports, compiles, trains, evaluates, writes or draws.
    """
    moments, grids, same, equal = [], 0, 0, 0
    wanted, lines = digests(base / "whole"), rows(base / "whole")
    while len(moments) < kills:
        out, ended = base / f"killed-{grids}", False
        while not ended and len(moments) < kills:
            process = started(command(size, out), base / "cache", base / "killed.log")
            moments.append(round(random.uniform(1.0, LONGEST), 1))
            try:
                process.wait(moments[-1])
                moments.pop()  # it was faster
                ended = True
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
        timed(command(size, out), base / "cache", base / "killed.log")
        same += sum(a == b for a, b in zip(digests(out), wanted, strict=True))
        equal += sum(a == b for a, b in zip(rows(out), lines, strict=True))
        grids += 1
        shutil.rmtree(out)
    return {
        "kills": len(moments),
        "after_seconds": moments,
        "grids": grids,
        "settings": grids * len(wanted),
        "with_the_same_digest": same,
        "with_the_same_rows": equal,
    }


def with_rows(size: dict[str, Any], base: Path, rows: int) -> dict[str, Any]:
    """Train a quarter of the grid's env steps with at most this number of rows per device, with an empty cache."""
    out, size = base / f"rows-{rows}", size | {"env_steps": size["env_steps"] // 4}
    code = f"import swingup.runs.plan as p; p.PER_DEVICE = {rows}; "
    code += f"from swingup.cli import main; main({command(size, out)!r})"
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(base / f"cache-{rows}")}
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=env, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    blocks = [part.rows for part in sweep.read(out).plan.parts]
    return {
        "rows": blocks[0],
        "blocks": len(blocks),
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
    }


def sb3(size: dict[str, Any], processes: int) -> dict[str, Any]:
    """Train runs with Stable-Baselines3, each in a process of its own and all at once, as the grid's first setting.

    Then each does what a run of the grid does too: it saves what was learnt, and plays the final evaluation's episodes.
    """
    from swingup.presets import defaults

    a = defaults("ppo", "CartPole-v1").algo
    n = a.num_envs * a.num_steps // a.num_minibatches
    how = f"learning_rate={size['lr'][0]}, clip_range={size['clip'][0]}, n_steps={a.num_steps}, batch_size={n}, "
    how += f"n_epochs={a.epochs}, gamma={a.gamma}, gae_lambda={a.lam}, ent_coef={a.c_entropy}, "
    how += f"vf_coef={a.c_value}, max_grad_norm={a.max_grad_norm}"
    code = "import io, time, torch; torch.set_num_threads(1); from stable_baselines3 import PPO; "
    code += "from stable_baselines3.common.env_util import make_vec_env; "
    code += "from stable_baselines3.common.evaluation import evaluate_policy as play; "
    code += f"env = make_vec_env('CartPole-v1', {a.num_envs}); "
    code += f"agent = PPO('MlpPolicy', env, {how}, policy_kwargs=dict(net_arch={list(a.hidden)})); "
    code += f"agent.learn({size['env_steps']}); print(time.time()); agent.save(io.BytesIO()); "
    code += f"play(agent, make_vec_env('CartPole-v1', {EPISODES}), {EPISODES}); "
    code += f"play(agent, make_vec_env('CartPole-v1', {EVALUATED}), {EVALUATED}, deterministic=False)"
    python, began, at = launch.python_of("sb3"), time.perf_counter(), time.time()
    running = [subprocess.Popen([python, "-c", code], stdout=subprocess.PIPE) for _ in range(processes)]
    told = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("Stable-Baselines3 failed")
    whole, steps = time.perf_counter() - began, processes * size["env_steps"]
    wall = max(float(text.split()[0]) for text in told) - at
    return {
        "runs": processes,
        "env_steps": steps,
        "wall_seconds": round(wall, 1),
        "env_steps_per_second": round(steps / wall),
        "wall_seconds_with_the_evaluation": round(whole, 1),
    }


def floor(size: dict[str, Any]) -> dict[str, Any]:
    """Return how long the products and the tanh of the gradient steps alone would take, at the rates of NumPy's.

    A gradient step multiplies forwards, and backwards twice: for the weights and for what they were given. Each core
    works on arrays of the size of a minibatch and a hidden layer, in a process of its own and all at once.
    """
    from swingup.presets import defaults

    a, (n, m) = defaults("ppo", "CartPole-v1").algo, (4, 2)  # observations and actions of CartPole
    widths, steps = [n, *a.hidden], len(size["lr"]) * len(size["clip"]) * size["seeds"] * size["env_steps"]
    body = sum(x * y for x, y in itertools.pairwise(widths))
    flops = 3 * 2 * a.epochs * (2 * body + widths[-1] * (m + 1))  # of both networks, for each env step
    tanh = 2 * a.epochs * sum(a.hidden)
    shape, times = (a.num_envs * a.num_steps // a.num_minibatches, a.hidden[0]), 50_000
    code = f"import numpy as np, time; x, w = np.full({shape}, 0.5, 'f'), np.ones({tuple(a.hidden)}, 'f'); y = x @ w\n"
    for work in "np.dot(x, w, out=y)", "np.tanh(x, out=y)":
        code += f"began = time.time(); [{work} for _ in range({times})]; print(time.time() - began)\n"
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    cores = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env)
        for _ in range(os.cpu_count() or 1)
    ]
    found = [[float(x) for x in core.communicate()[0].split()] for core in cores]
    products = sum(2 * shape[0] * a.hidden[0] * a.hidden[1] * times / seconds for seconds, _ in found)
    curves = sum(shape[0] * shape[1] * times / seconds for _, seconds in found)
    return {
        "kFLOP_of_an_env_step": round(flops / 1e3),
        "GFLOP_per_second_of_all_cores": round(products / 1e9),
        "seconds_of_products": round(steps * flops / products, 1),
        "tanh_of_an_env_step": tanh,
        "million_tanh_per_second_of_all_cores": round(curves / 1e6),
        "seconds_of_tanh": round(steps * tanh / curves, 1),
    }


def table(data: dict[str, Any]) -> str:
    """Write what is stored as a page."""
    about = (
        "PPO on CartPole-v1: 4 learning rates, 4 clips, 10 seeds, 100,000 env steps each, trained by `swingup grid`. "
        "All is counted: imports, compiling, final evaluations, table and figure, of one command with an empty cache "
        "of compiled programs. Repeat seconds are those of the same command when nothing is missing. Killed: SIGKILL "
        "at random moments, again and again until the grid ends, and then digests and rows of metrics beside those of "
        "the grid that nobody stopped. Stable-Baselines3 trains one of these runs with the same hyperparameters, on "
        "one thread, imports included, and then saves it and plays the episodes of its final evaluation, as the grid "
        "does. Command: `python benchmarks/grid.py --sb3 --kills 20 --rows 5 10 20 40 80 --floor`."
    )
    lines = ["# A grid of 160 runs", "", about, ""]
    lines += ["| what | measured |", "|---|---|"]
    for name, found in data.items():
        if name != "rows":
            text = "; ".join(
                f"{k.replace('_', ' ')} {v:,}" if isinstance(v, int) else f"{k.replace('_', ' ')} {v}"
                for k, v in found.items()
                if k != "after_seconds"
            )
            lines.append(f"| {name} | {text} |")
    if rows := data.get("rows"):
        lines += ["", "The same settings and seeds for a quarter of the env steps, in blocks of other sizes:"]
        lines += ["", "| rows of a block | blocks | wall seconds | CPU seconds |", "|---|---|---|---|"]
        lines += [f"| {r['rows']} | {r['blocks']} | {r['wall_seconds']} | {r['cpu_seconds']} |" for r in rows]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, store, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a grid of 8 short runs, which is not stored")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--rows", type=int, nargs="*", default=[])
    parser.add_argument("--sb3", action="store_true")
    parser.add_argument("--floor", action="store_true", help="how long products and tanh alone would take")
    parser.add_argument("--table", action="store_true", help="run nothing")
    args = parser.parse_args()
    size, base = (QUICK if args.quick else FULL), Path(tempfile.mkdtemp(prefix="grid-"))
    stored = RESULTS / "grid.json"
    data = json.loads(stored.read_text()) if stored.exists() and not args.quick else {}
    if args.table:
        (RESULTS / "grid.md").write_text(table(data))
        return
    load = " ".join(f"{x:.1f}" for x in os.getloadavg())
    if args.kills or args.sb3 or not args.floor:
        found = whole(size, base)
        if args.sb3 or "the grid" not in data:  # kills alone need no quiet machine, and change no seconds
            data["machine"] = {"cores": os.cpu_count(), "processor": machine()["cpu"], "load before": load}
            data["the grid"] = found
    if args.kills:
        data["killed"] = killed(size, base, args.kills)
    if args.rows:
        data["rows"] = [with_rows(size, base, rows) for rows in args.rows]
    for name, processes in (
        {"Stable-Baselines3": 1, "Stable-Baselines3, two processes": 2}.items() if args.sb3 else ()
    ):
        data[name] = sb3(size, processes)
        one, both = data[name]["wall_seconds"], data[name]["wall_seconds_with_the_evaluation"]
        ratio = data["the grid"]["env_steps_per_second"] / data[name]["env_steps"]
        data[name]["the_grid_is_faster_by"] = round(one * ratio, 1)
        data[name]["and_by_with_the_evaluation"] = round(both * ratio, 1)
    if args.floor:
        data["products and tanh alone"] = floor(size)
    print(json.dumps(data, indent=1))
    if not args.quick:
        stored.write_text(json.dumps(data, indent=1) + "\n")
        (RESULTS / "grid.md").write_text(table(data))
    shutil.rmtree(base)


if __name__ == "__main__":
    main()
