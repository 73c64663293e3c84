"""How strong does AlphaZero become on two cores? Trained from the shell, judged by exact solutions and by referees.

    python benchmarks/alphazero.py tic_tac_toe              five seeds: every line of play, every open position
    python benchmarks/alphazero.py quick                    connect four, five minutes on one core
    python benchmarks/alphazero.py long --seed 0            connect four, an hour and a half on one core
    python benchmarks/alphazero.py speed                    positions a second with learning, on one core
    python benchmarks/alphazero.py pages                    only write the page and the figure from what is stored

A run is trained in stages, each of which resumes the one before to the same bits, so that its mistakes can be counted
on the way. Mistakes are moves that make the exact value worse, on the positions of `swingup.referees`. In a match both
players play random openings of two moves from both seats. Results go to benchmarks/results/alphazero-*.json; a stage
that is there is not measured again.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from speed import machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
LONG = ["--window", "524288"]  # and longer than the preset
PLANS: dict[str, dict[str, Any]] = {
    "quick": {"env_steps": 1_228_800, "stages": 1, "flags": []},
    "long": {"env_steps": 12_288_000, "stages": 6, "flags": LONG},
}
OPENINGS, FEWER = (
    100,
    25,
)  # of matches against minimax:4; and of those against mcts:1000, which takes long to move
SPEEDS: list[list[str]] = [["--hidden", w, w, "--num-envs", "128"] for w in ("128", "256")]
REPEATS = 3
MODES = {"16": "search, 16 simulations", "64": "64", "256": "256", "network": "network alone"}


def shell(core: int, *args: str) -> tuple[float, str]:
    """Run a command of swingup's on one core; its CPU time in seconds, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    pinned = ["taskset", "-c", str(core)] if sys.platform == "linux" else []
    command = [*pinned, sys.executable, "-m", "swingup", *args]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"NPROC": "1"})
    if done.returncode:
        raise SystemExit(f"swingup {' '.join(args)}\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def store(name: str, data: Any) -> None:
    """Write a result."""
    (RESULTS / f"alphazero-{name}.json").write_text(json.dumps(data, indent=1) + "\n")


def known(name: str) -> Any:
    """Return a stored result, or an empty one."""
    path = RESULTS / f"alphazero-{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def tic_tac_toe(runs: Path) -> None:
    """Train five seeds side by side, and look at every line and every position."""
    from swingup.arena import exact
    from swingup.arena.players import Agent, game_played
    from swingup.runs import load

    out, command = runs / "tic_tac_toe", ["train", "alphazero", "pgx:tic_tac_toe", "--seeds", "5"]
    began = time.perf_counter()
    whole = [sys.executable, "-m", "swingup", *command, "--out", str(out)]
    done = subprocess.run(whole, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    run, rows = load(out), []
    game = game_played(run)
    for seed in run.experiment.seeds:
        for mode in ("", "64", "network"):
            agent = Agent("run", run, seed, mode)
            found = exact.mistakes(agent, game)
            row = {"seed": seed, "player": mode or "16", "mistakes": found["mistakes"]}
            rows.append(row | {"positions": found["positions"]} | exact.lost_lines(agent, game))
            print(rows[-1], flush=True)
    about = {"command": f"swingup {' '.join(command)}", "machine": machine(), "seconds": round(seconds, 1)}
    env_steps = json.loads((out / "result.json").read_text())["env_steps"]
    store("tic_tac_toe", about | {"env_steps": env_steps, "rows": rows})


def connect_four(plan_name: str, runs: Path, seed: int, core: int) -> None:
    """Train in stages, and judge each."""
    plan, name = PLANS[plan_name], f"{plan_name}-{seed}"
    out = runs / name
    stored: dict[str, Any] = known(name) or {"machine": machine(), "stages": []}
    for i in range(len(stored["stages"]) + 1, plan["stages"] + 1):
        env_steps = plan["env_steps"] * i // plan["stages"]
        if i == 1:
            horizon = ["--lr-horizon", str(float(plan["env_steps"]))]
            first = ["train", "alphazero", "pgx:connect_four", "--seed", str(seed), *horizon, *plan["flags"]]
            stored["command"] = f"swingup {' '.join(first)} --env-steps {plan['env_steps']}"
            cpu, _ = shell(core, *first, "--env-steps", str(env_steps), "--out", str(out), "--episodes", "20")
        else:
            cpu, _ = shell(core, "resume", str(out), "--env-steps", str(env_steps))
        about = {"env_steps": env_steps, "cpu_seconds": round(cpu, 1)}
        row = about | judged(out, core, last=i == plan["stages"])
        stored["stages"].append(row)
        store(name, stored)
        print(json.dumps(row), flush=True)


def speed(runs: Path, core: int) -> None:
    """Train for half a minute with networks of two sizes, three times each: env steps a second, learning included."""
    rows = []
    for flags in SPEEDS * REPEATS:
        out = runs / f"speed-{len(rows)}"
        options = ["--env-steps", "262144", *flags]
        shell(core, "train", "alphazero", "pgx:connect_four", *options, "--episodes", "2", "--out", str(out))
        result = json.loads((out / "result.json").read_text())
        rows.append({"flags": " ".join(flags), "env_steps_per_second": result["steps_per_second"]})
        print(json.dumps(rows[-1]), flush=True)
    store("speed", {"machine": machine(), "rows": rows})


def of_speed(data: dict[str, Any]) -> list[str]:
    """Tell how fast self-play and learning are."""
    rates: dict[str, list[float]] = {}
    for row in data["rows"]:
        rates.setdefault(row["flags"], []).append(row["env_steps_per_second"])
    lines = [
        f"`python benchmarks/alphazero.py speed` on one core of {data['machine']['cpu']}: moves of self-play a second, "
        "each with a search of 16 simulations, with learning from each position four times and all else that a run "
        "does, without compilation.",
        "",
        "| `swingup train alphazero pgx:connect_four` | env steps/s, each time | median |",
        "|---|---|---|",
    ]
    for flags, found in rates.items():
        cells = ", ".join(f"{x:,.0f}" for x in found)
        lines.append(f"| `{flags}` | {cells} | {statistics.median(found):,.0f} |")
    return [*lines, ""]


def judged(out: Path, core: int, last: bool) -> dict[str, Any]:
    """Count the mistakes of a run as it stands, and let it play."""
    result, run = json.loads((out / "result.json").read_text()), str(out)
    row: dict[str, Any] = {
        "seconds": result["run_seconds"],  # of all stages until now by the clock, without compilation
        "compile_seconds": result["compile_seconds"],
        "env_steps_per_second": result["steps_per_second"],
    }
    players = [run, f"{run}@64", f"{run}@256", f"{run}@network"]
    found = json.loads(shell(core, "arena", *players, "--positions", "--json")[1])
    row["mistakes"] = {player.rpartition("@")[2] if "@" in player else "16": x for player, x in found.items()}
    openings = OPENINGS if last else FEWER
    matches = [(f"{run}@256", "minimax:4", openings), (f"{run}@network", "minimax:4", openings)]
    if last:
        matches += [(run, f"{run}@network", OPENINGS), (f"{run}@256", "mcts:1000", FEWER)]
    row["matches"] = []
    for a, b, openings in matches:
        report = json.loads(shell(core, "arena", a, b, "--openings", str(openings), "--json")[1])
        match = report["matches"][0] | {"elo": report["elo"][a] - report["elo"][b]}
        match["players"] = [x.replace(run, "run") for x in match["players"]]
        row["matches"].append(match)
    return row


def share(x: dict[str, Any]) -> str:
    """Tell a share of mistakes with its interval."""
    low, high = x["interval"]
    return f"{x['share']:.1%} [{low:.1%}, {high:.1%}]"


def of_tic_tac_toe(data: dict[str, Any]) -> list[str]:
    """Tell the result of five seeds."""
    rows = data["rows"]
    lines = [
        f"`python benchmarks/alphazero.py tic_tac_toe` on {data['machine']['cpu']}, two cores: the command below "
        f"took {data['seconds']:.0f} s with everything, for {data['env_steps']:,} env steps in each of five seeds. "
        "Each agent plays against all lines of play from both seats, and is asked for a move in all 4,520 positions in "
        "which the game goes on.",
        "",
        "| player | lines lost, per seed | wrong moves of 4,520, per seed |",
        "|---|---|---|",
    ]
    for mode, label in (("16", "search, 16 simulations"), ("64", "search, 64"), ("network", "network alone")):
        some = [r for r in rows if r["player"] == mode]
        cells = (", ".join(str(r[key]) for r in some) for key in ("lost", "mistakes"))
        lines.append("| " + " | ".join([label, *cells]) + " |")
    return [*lines, "", f"- `{data['command']}`", ""]


def of_connect_four(name: str, data: dict[str, Any]) -> list[str]:
    """Tell the stages of one run."""
    stages = data["stages"]
    seconds = stages[-1]["seconds"] + sum(x["compile_seconds"] for x in stages)
    cpu = [x["cpu_seconds"] for x in stages if x["cpu_seconds"] is not None]
    told = f"; {sum(cpu):,.0f} s of CPU time, everything included" if len(cpu) == len(stages) else ""
    whole = PLANS[name.partition("`")[2].partition("`")[0]]["stages"]
    lines = [
        f"Connect four, {name}, on one core of {data['machine']['cpu']}: {len(stages)} of {whole} stages, "
        f"{seconds:,.0f} s by the clock, beside other work{told}. Mistakes are shares of the 1,800 stored positions, "
        "with 95 % intervals (Wilson).",
        "",
        "| env steps | clock [s] | 16 simulations | 64 | 256 | network alone | 16 against network, ratio | "
        "64 against network | 256 against minimax:4 | Elo |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for i, x in enumerate(stages):
        spent = x["seconds"] + sum(y["compile_seconds"] for y in stages[: i + 1])
        m, match = x["mistakes"], x["matches"][0]
        cells = [f"{x['env_steps']:,}", f"{spent:,.0f}", *(share(m[k]) for k in MODES)]
        cells += [f"{m[planner]['share'] / m['network']['share']:.2f}" for planner in ("16", "64")]
        low, high = match["interval"]
        cells += [f"{match['score']:.1%} [{low:.1%}, {high:.1%}]", f"{match['elo']:+.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "By class, after the last stage:", ""]
    kinds = list(stages[-1]["mistakes"]["256"]["by_class"])
    lines += ["| player | " + " | ".join(kinds) + " |", "|---" * (1 + len(kinds)) + "|"]
    for mode, label in MODES.items():
        classes = stages[-1]["mistakes"][mode]["by_class"]
        shares = [f"{c['mistakes'] / c['positions']:.1%}" for c in classes.values()]
        lines.append("| " + " | ".join([label, *shares]) + " |")
    lines += ["", "| match after the last stage | won | drawn | lost | score |", "|---|---|---|---|---|"]
    for m in stages[-1]["matches"]:
        low, high = m["interval"]
        later = f", at {m['env_steps']:,} env steps" if "env_steps" in m else ""
        cells = [" against ".join(m["players"]) + later, *(str(m[k]) for k in ("won", "drawn", "lost"))]
        lines.append("| " + " | ".join([*cells, f"{m['score']:.1%} [{low:.1%}, {high:.1%}]"]) + " |")
    return [*lines, "", f"- `{data['command']}`", ""]


def pages() -> None:
    """Write the page of results, and the figure."""
    lines: list[str] = []
    if data := known("tic_tac_toe"):
        lines += of_tic_tac_toe(data)
    runs = {
        path.stem.removeprefix("alphazero-"): path for path in sorted(RESULTS.glob("alphazero-*-[0-9]*.json"))
    }
    stored = {name: json.loads(path.read_text()) for name, path in runs.items()}
    if data := known("speed"):
        lines += of_speed(data)
    if stored:
        figure(stored)
        lines += ["![Mistakes and Elo over env steps](alphazero.png)", ""]
    for name, data in sorted(stored.items(), reverse=True):
        lines += of_connect_four(f"`{name.rpartition('-')[0]}`, seed {name.rpartition('-')[2]}", data)
    (RESULTS / "alphazero.md").write_text("\n".join(lines))


def figure(stored: dict[str, Any]) -> None:
    """Draw mistakes of planner and apprentice, and Elo, over env steps."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9, 3.4), dpi=110, layout="constrained")
    left, right = picture.subplots(1, 2)
    for i, (name, data) in enumerate(stored.items()):
        at = [x["env_steps"] for x in data["stages"]]
        for mode, style in (("16", "-"), ("256", ":"), ("network", "--")):
            wrong = [100 * x["mistakes"][mode]["share"] for x in data["stages"]]
            left.plot(at, wrong, style, color=f"C{i}", marker=".", label=f"{name}: {MODES[mode]}")
        for k, style in ((0, ":"), (1, "--")):
            who = "256 simulations" if k == 0 else "network alone"
            ratings = [x["matches"][k]["elo"] for x in data["stages"]]
            right.plot(at, ratings, style, color=f"C{i}", marker=".", label=f"{name}: {who}")
    left.set(xlabel="env steps (moves of self-play)", ylabel="mistakes, % of 1,800 positions", xscale="log")
    right.set(xlabel="env steps (moves of self-play)", ylabel="Elo; minimax:4 has 0", xscale="log")
    for axes in (left, right):
        axes.legend(fontsize=6)
        axes.grid(alpha=0.3)
    picture.savefig(RESULTS / "alphazero.png")


def main() -> None:
    """Train and judge what is asked for."""
    how = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=how)
    options.add_argument("what", choices=["tic_tac_toe", *PLANS, "speed", "pages"])
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--core", type=int, default=0, help="the core on which it runs")
    options.add_argument("--runs", type=Path, default=ROOT / "runs" / "alphazero", help="where runs are kept")
    o = options.parse_args()
    if o.what == "tic_tac_toe":
        tic_tac_toe(o.runs)
    elif o.what == "speed":
        speed(o.runs, o.core)
    elif o.what in PLANS:
        connect_four(o.what, o.runs, o.seed, o.core)
    pages()


if __name__ == "__main__":
    main()
