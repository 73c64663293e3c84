"""Measure the speed of off-policy training beside Rejax, SBX and Stable-Baselines3, on the same small workloads.

    python benchmarks/off_policy.py                       # 2 rounds, about 11 minutes on two quiet cores
    python benchmarks/off_policy.py --only sac-halfcheetah td3-halfcheetah   # the rest keeps its stored numbers
    python benchmarks/off_policy.py --quick               # tiny budgets: proves that it works, decides nothing

Each measurement is a fresh process in the contestant's own virtual environment, which is made when it is missing. A
round visits all contestants in turn, since a machine's clock drifts; a ratio is the median over the rounds of the ratio
inside one round, to each peer at the setting at which it was fastest. Results go to `results/off-policy.json` and, as
tables, `.md`; with `--quick` to `.bench/`.
"""

import argparse
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from peers import launch
from peers.off_policy import WORKLOADS
from speed import commit, machine

Stored = dict[str, Any]


class Contestant(NamedTuple):
    """One program under one setting, and the env steps of one repetition: about 3 seconds of training."""

    peer: str
    setting: (
        str  # threads, "default" sets none; "update-only": gradient steps with no environment beside them
    )
    env_steps: int


class Bar(NamedTuple):
    """A rate over another's that must be reached; the other is the fastest of those whose name begins so."""

    what: str
    workload: str
    other: tuple[str, str]  # workload, name
    least: float


US = "swingup default"
# In the order in which a round visits them. For swingup "default" is its own rule (src/swingup/training/machine.py).
CONTESTANTS = {
    "dqn-cartpole": (
        Contestant("swingup", "default", 40_000),
        Contestant("rejax", "default", 4_000),
        Contestant("rejax", "1", 4_000),
        Contestant("sb3", "default", 3_000),
        Contestant("sb3", "1", 3_000),
    ),
    "dqn-cartpole-10": (Contestant("swingup", "default", 300_000), Contestant("sb3", "1", 10_000)),
    "sac-pendulum": (
        Contestant("swingup", "default", 600),
        Contestant("rejax", "default", 600),
        Contestant("rejax", "1", 400),
    ),
    "sac-halfcheetah": (
        Contestant("swingup", "default", 640),
        Contestant("swingup", "update-only", 640),
        Contestant("sbx", "default", 640),
        Contestant("sbx", "1", 416),
        Contestant("sb3", "default", 416),
        Contestant("sb3", "1", 320),
    ),
    "sac-halfcheetah-1": (
        Contestant("swingup", "default", 640),
        Contestant("sbx", "default", 640),
        Contestant("sbx", "1", 416),
        Contestant("sb3", "1", 320),
    ),
    "td3-halfcheetah": (
        Contestant("swingup", "default", 1_000),
        Contestant("sbx", "default", 600),
        Contestant("sbx", "1", 400),
    ),
}
BARS = (
    Bar("DQN CartPole, a gradient step per env step, beside Rejax", "dqn-cartpole", ("dqn-cartpole", "rejax"), 10.0),
    Bar("the same beside SB3", "dqn-cartpole", ("dqn-cartpole", "sb3"), 12.0),
    Bar("a gradient step per 10 env steps, beside one per env step", "dqn-cartpole-10", ("dqn-cartpole", US), 5.0),
    Bar("SAC HalfCheetah beside SBX, 16 and 16", "sac-halfcheetah", ("sac-halfcheetah", "sbx"), 1.3),
    Bar("the same beside SBX with one and one, its default", "sac-halfcheetah", ("sac-halfcheetah-1", "sbx"), 1.3),
    Bar("SAC HalfCheetah beside SB3", "sac-halfcheetah", ("sac-halfcheetah", "sb3"), 2.0),
    Bar("SAC HalfCheetah beside updates alone", "sac-halfcheetah", ("sac-halfcheetah", "swingup update-only"), 0.8),
    Bar("TD3 HalfCheetah beside SBX", "td3-halfcheetah", ("td3-halfcheetah", "sbx"), 1.3),
    Bar("SAC Pendulum, compiled loop, beside Rejax", "sac-pendulum", ("sac-pendulum", "rejax"), 1.2),
)  # fmt: skip


def name_of(contestant: Contestant) -> str:
    return f"{contestant.peer} {contestant.setting}"


def measure(contestant: Contestant, workload: str, args: argparse.Namespace, cache: str) -> dict[str, Any]:
    """One process: its rates, or what went wrong."""
    env_steps = contestant.env_steps
    if args.quick:
        env_steps = max(160, env_steps // 20 // 160 * 160)  # a multiple of all that are gathered
    options = [contestant.peer, workload, "--env-steps", str(env_steps)]
    options += ["--repetitions", str(args.repetitions)]
    if contestant.setting == "update-only":
        options += ["--update-only"]
    else:
        options += ["--threads", contestant.setting]
    cache = str(
        Path(cache) / name_of(contestant).replace(" ", "-")
    )  # programs depend on the number of threads
    return launch.measure(
        contestant.peer, options, timeout=args.timeout, cache=cache, module="peers.off_policy"
    )


def rate(found: dict[str, Any] | None) -> float | None:
    """Env steps per second, the best of the repetitions; None where there are none."""
    return found["env_steps_per_second"] if found and found["status"] == "ok" else None


def rates(rounds: list[dict[str, Any]], name: str) -> list[float | None]:
    """A contestant's rate in each round."""
    return [rate(r.get(name)) for r in rounds]


def pairs(ours: list[float | None], theirs: list[float | None]) -> list[float]:
    """The ratio inside each round that has both."""
    return [a / b for a, b in zip(ours, theirs, strict=False) if a and b]


def judge(workloads: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Every bar: the other's fastest setting, the ratio inside each round, their median, and whether it is met."""
    lines = []
    for bar in BARS:
        workload, prefix = bar.other
        ours, others = rates(workloads.get(bar.workload, []), US), workloads.get(workload, [])
        names = [n for n in (others[0] if others else {}) if n.startswith(prefix)]
        best = {n: max((x for x in rates(others, n) if x), default=0.0) for n in names}
        other = max(best, key=lambda n: best[n], default=prefix)
        found = pairs(ours, rates(others, other))
        ratio = statistics.median(found) if found else None
        line = {"what": bar.what, "workload": bar.workload, "other": other, "per_round": found}
        lines.append(
            line | {"ratio": ratio, "bar": bar.least, "met": None if ratio is None else ratio >= bar.least}
        )
    return lines


def tables(stored: Stored) -> str:
    """The bars, then all rates, as Markdown."""
    verdict = {True: "met", False: "NOT MET", None: "not measured"}
    out = ["| bar | beside | at least | measured | in each round | |", "|---|---|---:|---:|---|---|"]
    for line in stored["bars"]:
        ratio = "–" if line["ratio"] is None else f"{line['ratio']:.2f}"
        each = ", ".join(f"{x:.2f}" for x in line["per_round"])
        out.append(
            f"| {line['what']} | {line['other']} | {line['bar']:g} | {ratio} | {each} | {verdict[line['met']]} |"
        )
    out += ["", "| workload | contestant | threads | env steps/s | gradient steps/s | swingup / it |"]
    out += ["|---|---|---|---:|---:|---:|"]
    for workload, rounds in stored["workloads"].items():
        for name in rounds[0]:
            (peer, _, setting), all_ = name.partition(" "), rates(rounds, name)
            if not (good := [x for x in all_ if x]):
                found = rounds[-1][name]
                why = found.get("error", f"no answer within {found.get('timeout')} s")
                out.append(f"| {workload} | {peer} | {setting} | {why} | – | – |")
                continue
            found, middle = pairs(rates(rounds, US), all_), statistics.median(good)
            ratio = f"{statistics.median(found):.2f}" if found and name != US else ""
            gradients = middle / WORKLOADS[workload].every
            out.append(f"| {workload} | {peer} | {setting} | {middle:,.0f} | {gradients:,.0f} | {ratio} |")
    on = stored["machine"]
    about = (
        f"{on['cpu']}, {on['cores']} cores; {stored['rounds']} rounds, the median of each round's best of "
        f"{stored['repetitions']} repetitions; {stored['date'][:10]}, commit {stored['commit']}, load average "
        f"{on['load_average'][0]:g} at the beginning. One environment and one gradient step per env step "
        "(`-10`: per ten); DQN: batches of 128, 64x64; SAC and TD3: batches of 256, 256x256; TD3, of swingup and of "
        "SBX, takes two env steps, then two gradient steps; `sac-halfcheetah` takes 16, then 16, and "
        "`sac-halfcheetah-1` one, then one. `update-only` are gradient steps with no environment "
        "beside them."
    )
    title = "# Off-policy training: speed" + (" (quick: decides nothing)" if stored["quick"] else "")
    versions = "; ".join(
        f"{peer}: " + ", ".join(f"{name} {v}" for name, v in found.items())
        for peer, found in stored["versions"].items()
    )
    end = [f"Versions: {versions}.", "", "Command: `python benchmarks/off_policy.py`", ""]
    return "\n".join([title, "", about, "", *out, "", *end])


def main() -> None:
    """Measure round by round, store after each, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=2, help="trainings timed in one process")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds after which a process is hung")
    parser.add_argument("--quick", action="store_true", help="one round of tiny trainings")
    args = parser.parse_args()
    folder = launch.HOME if args.quick else Path(__file__).resolve().parent / "results"
    args.rounds = 1 if args.quick else args.rounds
    path = folder / "off-policy.json"
    for peer in {c.peer for workload in args.only for c in CONTESTANTS[workload]}:
        launch.python_of(peer)
    stored: Stored = json.loads(path.read_text()) if path.exists() else {"workloads": {}, "versions": {}}
    stored |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit()}
    stored |= {"quick": args.quick, "rounds": args.rounds, "repetitions": args.repetitions}
    stored |= {"machine": machine()}
    fresh: dict[str, list[dict[str, Any]]] = {workload: [] for workload in args.only}
    with tempfile.TemporaryDirectory() as cache:  # for all rounds: compilation is not what is timed
        for number in range(args.rounds):
            for workload in args.only:
                fresh[workload].append({})
                for contestant in CONTESTANTS[workload]:
                    began = time.perf_counter()
                    found = measure(contestant, workload, args, cache)
                    seconds = time.perf_counter() - began
                    if versions := found.pop("versions", None):
                        stored["versions"][contestant.peer] = versions
                    fresh[workload][-1][name_of(contestant)] = found
                    shown = f"{x:,.0f} env steps/s" if (x := rate(found)) else found
                    print(
                        f"round {number + 1} {workload} {name_of(contestant)}: {shown} ({seconds:.0f} s)",
                        flush=True,
                    )
            measured = stored["workloads"] | fresh
            stored["workloads"] = {w: measured[w] for w in WORKLOADS if w in measured}
            stored["bars"] = judge(stored["workloads"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(stored, indent=1) + "\n")
            path.with_suffix(".md").write_text(tables(stored))
    print("\n" + tables(stored))


if __name__ == "__main__":
    main()
