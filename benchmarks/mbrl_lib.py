"""Measure PETS beside mbrl-lib's PETS: Pendulum, the reward learnt, equal real env steps, equal plans, seconds.

    python benchmarks/mbrl_lib.py                 three seeds of each
    python benchmarks/mbrl_lib.py --seeds 5       a second call measures only what is missing
    python benchmarks/mbrl_lib.py --table         only write the page from what is stored

Both plan with the mean of the elites from the same number of candidates, iterations and particles. Each learns with
the model of its own examples: ours five deterministic networks of two layers of 64 units, fitted after each trial of
200 env steps; mbrl-lib's five Gaussian ones of four layers of 200, fitted every 50.
Ours acts in gymnax's pendulum and mbrl-lib in Gymnasium's, which are equal.

Each seed is a process on one thread; the seconds are those of the processor, imports and compiling included. mbrl-lib
lives in a virtual environment of its own, which is made when it is missing.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from peers import launch
from speed import commit, machine
from swingup.presets import preset
from swingup.ranges import values
from swingup.statistics import mean_ci

OUT = Path(__file__).resolve().parent / "results" / "mbrl-lib.json"
OURS, AGAIN = "swingup", "swingup, compiled before"
ENV, ENV_STEPS, TRIAL = "Pendulum-v1", 1_200, 200
# The model of mbrl-lib's examples, and how often that of the cart-pole is fitted.
THEIRS = {
    "hidden": [200, 200, 200, 200], "members": 5, "deterministic": False, "lr": 7.5e-4, "decay": 3e-5,
    "batch_size": 256, "epochs": 25, "refit": 50,
}  # fmt: skip
# mbrl-lib 0.2.0 asks for a Hydra that Python 3.11 refuses; the next one serves it as well.
AFTER = "hydra-core==1.3.2", "omegaconf==2.3.0"


def settings(seed: int) -> dict[str, Any]:
    """Return what mbrl-lib is told: to plan as our preset does, in a model of its own kind."""
    known = preset("pets", f"gymnax:{ENV}")
    assert known is not None
    same = "search_iterations", "elites", "candidates", "momentum", "horizon", "particles"
    ours = values(known.algo)
    told = {name: ours[name] for name in same} | {
        "env": ENV,
        "seed": seed,
        "trial": TRIAL,
        "env_steps": ENV_STEPS,
    }
    return told | THEIRS


def processor() -> float:
    """Return the processor seconds of all finished children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def theirs(seed: int) -> dict[str, Any]:
    """Train mbrl-lib's."""
    return launch.measure("mbrl_lib", [json.dumps(settings(seed))], timeout=3600)


PROGRAM = """
import json
from swingup.presets import preset
known = preset("pets", {env!r})
from swingup.training import machine
machine.set_up(known.algo, 1)
import numpy as np
from swingup.envs import make
from swingup.protocols import env_steps
from swingup.training import driver
algo, world, trials = known.algo, make({env!r}, known.algo.num_envs), []
def keep(p):
    trials.append([env_steps(algo, p.iteration), float(np.nanmean(p.metrics["ep/return"][0]))])
iterations = ({env_steps} - env_steps(algo, 0)) // algo.env_steps_per_iteration
driver.run(algo, world, driver.begin(algo, world, [{seed}]), iterations, every=[1], callbacks=[keep])
print(json.dumps(trials))
"""


def ours(seed: int, cache: str | None = None) -> dict[str, Any]:
    """Train ours with its preset, by the loop that its command has; compiled programs are kept in `cache`, if any.

    The command would go on to play fresh episodes and to draw, which mbrl-lib does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        env = launch.environment("swingup", cache or f"{folder}/cache") | {"NPROC": "1"}
        env |= {"PYTHONPATH": str(launch.REPO / "src")}
        text = PROGRAM.format(env=f"gymnax:{ENV}", env_steps=ENV_STEPS, seed=seed)
        done = subprocess.run([sys.executable, "-c", text], env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return {"status": "ok", "trials": json.loads(done.stdout)}


def load() -> float:
    """Return the load average of the last minute."""
    return round(os.getloadavg()[0], 1)


def page(stored: dict[str, Any]) -> str:
    """Write the table."""
    on, rows = stored["machine"], []
    means, loads = {}, []
    for who in (OURS, AGAIN, "mbrl-lib"):
        found = stored["seeds"].get(who, {})
        good = [x for x in found.values() if x["status"] == "ok"]
        if not good:
            continue
        last = np.array([np.mean([r for at, r in x["trials"] if at > ENV_STEPS // 2]) for x in good])
        final = np.array([x["trials"][-1][1] for x in good])
        seconds = np.array([x["processor_seconds"] for x in good])
        means[who] = seconds.mean()
        loads += [x["load"] for x in good if "load" in x]
        low, high = mean_ci(last)
        interval = f"[{low:.0f}, {high:.0f}]" if np.isfinite(low) else "–"
        rows.append(
            f"| {who} | {len(good)} | {last.mean():.1f} {interval} | {last.min():.1f} | {final.mean():.1f} | "
            f"{seconds.mean():.0f} |"
        )
    ratio = (
        {who: f"{means['mbrl-lib'] / seconds:.1f}" for who, seconds in means.items()}
        if "mbrl-lib" in means
        else {}
    )
    about = (
        f"`python benchmarks/mbrl_lib.py`, commit {stored['commit']}, {stored['date'][:10]}, {on['cpu']}, one thread "
        f"each, load average {on['load_average'][0]:g} at the beginning. {ENV}, {ENV_STEPS:,} "
        f"real env steps, the first {TRIAL} of them "
        "random; the reward is learnt; plans have the settings of our preset, each model those of its own library. A "
        "return is that of a trial in training, in which both act by their plans. Neither plays fresh episodes in the "
        "end. mbrl-lib 0.2.0 with Hydra 1.3.2."
    )
    trials = f"mean of the trials after {ENV_STEPS // 2} env steps, 95 % CI"
    head = f"| | seeds | {trials} | worst seed | last trial | CPU s a seed |"
    end = (
        f"Processor time of mbrl-lib beside ours: {ratio.get(OURS, '–')} times where everything is compiled anew, "
        f"{ratio.get(AGAIN, '–')} times where an earlier run has left its programs, as it does by default. "
        "Seconds depend on what else the machine does; load averages behind the last runs: "
        f"{', '.join(map(str, loads))}."
    )
    lines = [
        "# PETS beside mbrl-lib's",
        "",
        about,
        "",
        head,
        "|---|---:|---|---:|---:|---:|",
        *rows,
        "",
        end,
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true")
    o = parser.parse_args()
    stored: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {"seeds": {}}
    cache = tempfile.TemporaryDirectory()

    def again(seed: int) -> dict[str, Any]:
        return ours(seed, cache.name)

    stored |= (
        {"commit": commit(), "date": datetime.now(UTC).isoformat(), "machine": machine()}
        if not o.table
        else {}
    )
    if not o.table:  # before any seconds are counted
        python = launch.python_of("mbrl_lib")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *AFTER], check=True, capture_output=True)
    for seed in [] if o.table else range(o.seeds):
        for who, train in ((OURS, ours), (AGAIN, again), ("mbrl-lib", theirs)):
            if str(seed) in stored["seeds"].setdefault(who, {}):
                continue
            if who == AGAIN and not any(Path(cache.name).iterdir()):
                ours(seed, cache.name)  # it compiles what is needed
            before = processor()
            found = train(seed)
            stored["seeds"][who][str(seed)] = found | {
                "processor_seconds": round(processor() - before, 1),
                "load": load(),
            }
            print(who, seed, stored["seeds"][who][str(seed)], flush=True)
            OUT.write_text(json.dumps(stored, indent=1) + "\n")
    OUT.with_suffix(".md").write_text(page(stored))
    print(page(stored))


if __name__ == "__main__":
    main()
