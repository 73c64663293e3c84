"""The report is written in Markdown, which is also what the terminal shows."""

from typing import Any

Row = dict[str, Any]

NOTES = """\
How to read this:

- Env steps per second count all seeds together and exclude compilation. "Best" is the fastest repetition of
  all rounds, "median" the median over rounds. "Threads" is `NPROC` for the JAX programs and
  `torch.set_num_threads` for SB3; "default" sets neither. "Environments" says who steps them where there is a
  choice: for swingup `gymnasium` (one after the other in this process) or `envpool` (its threads), for SB3 and
  SBX their DummyVecEnv, or `subprocess` for their SubprocVecEnv.
- swingup is timed through `swingup.train`; "other s" is what that call spends outside its own
  `compile_seconds` and `run_seconds`: logging, and compiling and playing a final evaluation episode.
- Rejax runs as one program compiled ahead of time, its evaluation callback replaced by an empty one, so that
  no evaluation is timed. SB3 and SBX run `learn` after a warm-up (SBX: two iterations, counted as
  compilation).
- The peers differ in detail: Rejax clips each gradient element instead of the global norm, and clips the
  value loss; SBX clips the gradients of actor and critic separately; only SB3 and swingup start from
  orthogonal weights.
- A ratio is ours over the peer's, each at its fastest thread setting: the median over rounds of the ratio
  inside a round decides; "of bests" is the ratio of the two best repetitions.
- "Env / act / update s" is where swingup's run spends its time on the host.
- "Start" runs from process start to the end of the first iteration (one seed, default
  threads): for swingup the command `swingup train` until metrics.csv has a row, for the peers the shortest
  script. "Cold" has an empty JAX compilation cache, "warm" the one that the cold start has filled; SB3 has
  none.
- "Return" is a check that training works, not a score: the mean of the last 100 training episodes, and for
  Rejax, which keeps none, of 128 episodes played after training.
"""


def progress(row: Row) -> str:
    """One line for one measurement, printed as soon as it is there."""
    if row["kind"] == "rate":
        what = f"{row['peer']}, {row['seeds']} seed(s), threads {row['threads']} {row['suite']}".rstrip()
    else:
        what = f"{row['peer']}, {row['cache']} start"
    if row["status"] == "failed":
        return f"round {row['round'] + 1}: {what}: failed: {row['error']}"
    if row["status"] == "hang":
        cpu = row["cpu_seconds"]
        return f"round {row['round'] + 1}: {what}: hang, killed after {row['timeout']:.0f} s ({cpu:.0f} s of CPU)"
    if row["kind"] == "start":
        return f"round {row['round'] + 1}: {what}: {row['start_to_finish_seconds']:.1f} s"
    return f"round {row['round'] + 1}: {what}: {row['env_steps_per_second']:,.0f} env steps/s"


def markdown(report: Row) -> str:
    """The whole report."""
    machine, quick = report["machine"], " (quick: decides nothing)" if report["quick"] else ""
    load = " / ".join(map(str, machine["load_average"]))
    return "\n".join(
        [
            f"# {report['benchmark']}: speed{quick}",
            "",
            f"{report['date']}, commit {report['commit']}, {machine['cpu']}, {machine['cores']} cores, "
            f"{report['rounds']} round(s), load average at the start {load}.",
            "",
            "{num_envs} environments x {num_steps} env steps an iteration, {epochs} epochs x {minibatches} "
            "minibatches, two 64x64 tanh networks.".format(**report["workload"]),
            "",
            "## Env steps per second",
            "",
            _table(
                [
                    "contestant",
                    "seeds",
                    "threads",
                    "environments",
                    "best",
                    "median",
                    "compile s",
                    "import s",
                    "other s",
                ]
                + ["env / act / update s", "return", "status"],
                [_rate(line) for line in report["rates"]],
            ),
            "## swingup / peer",
            "",
            _table(
                [
                    "peer",
                    "seeds (ours / peer's)",
                    "settings (ours / peer's)",
                    "median of rounds",
                    "of bests",
                    "bar",
                    "verdict",
                ],
                [_ratio(line) for line in report["ratios"]],
            ),
            *_starts(report["starts"]),
            NOTES,
            "## Versions",
            "",
            *[f"- {peer}: {_versions(of)}" for peer, of in report["versions"].items()],
            "",
        ]
    )


def _starts(lines: list[Row]) -> list[str]:
    """The table of starts, where they were measured."""
    if not lines:
        return []
    head = ["contestant", "cache", "median s", "best s", "compile s", "bar", "verdict"]
    return ["## Start to first update", "", _table(head, [_start(line) for line in lines])]


def _rate(line: Row) -> list[str]:
    status = "" if line["status"] == "ok" else line["status"]
    cells = [line["peer"], str(line["seeds"]), line["threads"], line["suite"] or "–"]
    if "best" not in line:
        return [*cells, *["–"] * 7, status]
    cells += [f"{line['best']:,.0f}", f"{line['median']:,.0f}"]
    cells += [f"{line[name]:.1f}" for name in ("compile_seconds", "import_seconds", "other_seconds")]
    split = " / ".join(f"{x:.1f}" for x in line["split"].values()) or "–"
    return [*cells, split, _number(line["final_return"], ".0f"), status]


def _ratio(line: Row) -> list[str]:
    seeds = f"{line['our_seeds']} / {line['seeds']}"
    cells = [line["peer"], seeds, f"{line['ours']} / {line['theirs']}"]
    cells += [f"{line['median_ratio']:.2f}", f"{line['best_ratio']:.2f}"]
    return [*cells, "–" if line["bar"] is None else f">= {line['bar']:g}", _verdict(line["passed"])]


def _start(line: Row) -> list[str]:
    cells = [line["peer"], line["cache"]]
    names = ("median_seconds", "best_seconds", "compile_seconds")
    cells += [_number(line.get(name), ".1f") for name in names]
    bar = f"<= {line['bar']:g}" if "bar" in line else "–"
    return [*cells, bar, _verdict(line.get("passed")) if line["status"] == "ok" else line["status"]]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _verdict(passed: bool | None) -> str:
    return {True: "pass", False: "FAIL", None: "–"}[passed]


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _table(head: list[str], body: list[list[str]]) -> str:
    """A Markdown table whose columns are padded so that it reads well in a terminal too."""
    rows = [head, *body] if body else [head, ["–"] * len(head)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    rows.insert(1, ["-" * width for width in widths])
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines) + "\n"
