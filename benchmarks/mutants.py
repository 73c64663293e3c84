"""Put mistakes into the code on purpose, one at a time: does the fast suite see each?

    python benchmarks/mutants.py                 all of benchmarks/mutants.toml, two at once
    python benchmarks/mutants.py --only td3      those whose name or file contains the text
    python benchmarks/mutants.py --check         run no test: does each apply to the code, and does it still import?
    python benchmarks/mutants.py --page          run nothing, write the table of what is stored
    python benchmarks/mutants.py --luck          the tests that killed, on right code, with four other seeds each
    python benchmarks/mutants.py --at 6746be1 --zoo 3d1f3ca --some 80
                                                 80 of another commit's mutants, on the code and with the tests of a
                                                 third, from before this zoo: what did its fast suite see?

Each mutant replaces one piece of text, which must occur once, in a scratch copy of the package. Then its tests run
until one fails. A mutant that no test kills is a mistake that could be made tomorrow without anybody's noticing.
Results go to benchmarks/results/mutants.json and .md; mutants that were killed there and are unchanged are not run
again, unless `--again`.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ZOO = Path(__file__).with_suffix(".toml")
RESULTS = ROOT / "benchmarks" / "results"
SECONDS = 900  # for the tests of one mutant
RESEEDINGS = range(1, 5)
FASTER = "--xla_cpu_use_fusion_emitters=false"  # what `make test` sets

Mutant = dict[str, Any]  # name, file, old, new, tests, perhaps look: see the first lines of mutants.toml


def zoo(commit: str | None = None) -> list[Mutant]:
    """All mutants, of today or of a commit."""
    if commit is None:
        return tomllib.loads(ZOO.read_text())["mutant"]
    show = ["git", "show", f"{commit}:benchmarks/{ZOO.name}"]
    text = subprocess.run(show, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tomllib.loads(text)["mutant"]


def earlier(mutants: list[Mutant], root: Path, some: int) -> list[Mutant]:
    """Return `some` of the mutants that apply to older code, evenly spread; they know which tests there to ask."""
    fit = [
        m
        for m in mutants
        if (f := root / "src/swingup" / m["file"]).exists() and f.read_text().count(m["old"]) == 1
    ]
    picked = [fit[i * len(fit) // some] for i in range(min(some, len(fit)))]
    return [m | {"named": naming(m, root)} for m in picked]


def keep_programs(conftest: Path) -> None:
    """Let older tests keep compiled programs from one mutant to the next, as today's do: it is faster, no more."""
    old = 'str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "jax-cache")'
    text = conftest.read_text()
    conftest.write_text(text.replace(old, f'os.environ.get("SWINGUP_TEST_CACHE") or {old}'))


def naming(m: Mutant, root: Path) -> list[str]:
    """Return the files of older tests that name the module with the mistake."""
    word = re.compile(rf"\b{m['file'].rpartition('/')[2].removesuffix('.py')}\b")
    files = [f for f in sorted((root / "tests").rglob("test_*.py")) if "docs" not in f.parts]
    return [str(f.relative_to(root)) for f in files if word.search(f.read_text())]


def identity(m: Mutant) -> str:
    mistake = {name: m[name] for name in ("name", "file", "old", "new")}
    return hashlib.sha256(json.dumps(mistake, sort_keys=True).encode()).hexdigest()[:12]


def applied(m: Mutant, root: Path, scratch: Path) -> Path:
    """A copy of the package with the mistake in it: the folder for PYTHONPATH."""
    shutil.copytree(root / "src", scratch / "src", ignore=shutil.ignore_patterns("__pycache__"))
    target = scratch / "src" / "swingup" / m["file"]
    text = target.read_text() if target.exists() else ""
    if (count := text.count(m["old"])) != 1:
        raise ValueError(f"its text occurs {count} times in {m['file']}, not once")
    if m["old"] == m["new"]:
        raise ValueError("it changes nothing")
    target.write_text(text.replace(m["old"], m["new"]))
    return scratch / "src"


def environment(package: Path | None, cache: Path) -> dict[str, str]:
    flags = os.environ.get("XLA_FLAGS", "")
    changes = {"XLA_FLAGS": f"{FASTER} {flags}", "SWINGUP_TEST_CACHE": str(cache), "NPROC": "1"}
    path = {"PYTHONPATH": str(package)} if package else {}
    return os.environ | changes | path


def pytest(tests: list[str], root: Path, env: dict[str, str], *options: str) -> tuple[list[str], str, int]:
    """The tests that failed, what was printed, and pytest's exit code."""
    there = [t for t in tests if (root / t.partition("::")[0]).exists()]
    if not there:
        return [], "none of its tests exists", 5
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-m", "not slow", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory() as base:
        where = ["--basetemp", f"{base}/pytest"]
        done = subprocess.run(
            [*command, *where, *options, *there], cwd=root, env=env, capture_output=True, text=True
        )
    failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return failed, done.stdout + done.stderr, done.returncode


def passes(m: Mutant, root: Path) -> list[tuple[list[str], tuple[str, ...]]]:
    """What to run until one fails, with pytest's -k: what `look` says, of an algorithm what bears its name; then all.

    Older tests: those that bear the module's name, wherever they stand, then the files that the mutant lists.
    """
    folder, _, name = m["file"].removesuffix(".py").rpartition("/")
    if "named" in m:
        listed = [t for t in m["tests"] if (root / t.partition("::")[0]).exists()]
        return [(m["named"], ("-k", name)), *([(listed, ())] if listed else [])]
    first = m.get("look", name if folder == "algos" else None)
    return [(m["tests"], ("-k", first)), (m["tests"], ())] if first else [(m["tests"], ())]


def kill(m: Mutant, root: Path, cache: Path) -> dict[str, Any]:
    """Run its tests until one fails."""
    began = time.monotonic()
    found = {"name": m["name"], "file": m["file"], "identity": identity(m)}
    with tempfile.TemporaryDirectory() as scratch:
        try:
            package = applied(m, root, Path(scratch))
        except ValueError as error:
            return found | {"killed_by": None, "seconds": 0.0, "note": str(error)}
        env = environment(package, cache)
        failed, text, code = [], "", 0
        for tests, narrower in passes(m, root):
            options = "-x", "--timeout", str(SECONDS), *narrower
            failed, text, code = pytest(tests, root, env, *options)
            if code == 1:
                break
    seconds = round(time.monotonic() - began, 1)
    # 1: tests failed. Else nothing was shown: 2 and more are errors of pytest's use, or no test at all.
    killer = failed[0] if code == 1 and failed else None
    note = "" if code in (0, 1) else text.strip().splitlines()[-1][:200]
    return found | {"killed_by": killer, "seconds": seconds, "note": note}


def killed_before(m: Mutant, results: dict[str, Any]) -> bool:
    """What survived is always tried again: a test may have come that sees it."""
    known = results.get(m["name"], {})
    return known.get("identity") == identity(m) and known["killed_by"] is not None


def in_the_past(m: Mutant, results: dict[str, Any]) -> bool:
    """Whether older tests were asked, whatever they said: none will come that sees it."""
    return results.get(m["name"], {}).get("identity") == identity(m)


def check(m: Mutant) -> str:
    """Why this is no mutant; an empty text if it is one."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            package = applied(m, ROOT, Path(scratch))
        except ValueError as error:
            return str(error)
        missing = [t for t in m["tests"] if not (ROOT / t.partition("::")[0]).exists()]
        if missing:
            return f"no such tests: {missing}"
        module = "swingup." + m["file"].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            env=environment(package, Path(scratch) / "cache"),
            capture_output=True,
            text=True,
        )
        return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def luck(stored: dict[str, Any], cache: Path, save: Callable[[], None], again: bool) -> None:
    """Run the tests that killed on right code with other seeds; `stored["luck"]` is {reseeding: those that failed}.

    Where a reseeding is stored, only those that failed then, and those that have killed since, run again.
    """
    killers = sorted({r["killed_by"] for r in stored["results"].values() if r["killed_by"]})
    if again or "luck" not in stored:
        stored["killers"], stored["luck"] = [], {}
    new = set(killers) - set(stored["killers"])
    for k in map(str, RESEEDINGS):
        tests = sorted((set(stored["luck"].get(k, killers)) | new) & set(killers))
        if tests:
            options = "--reseed", k, "--hypothesis-seed", k
            failed, text, code = pytest(tests, ROOT, environment(None, cache), *options)
            print(f"reseeding {k}: {text.strip().splitlines()[-1]}", *failed, sep="\n  ", flush=True)
            if code > 1:
                raise SystemExit(text)
            stored["luck"][k] = failed
            save()
    stored["killers"] = killers


def fortune(stored: dict[str, Any]) -> list[str]:
    """Tell how the tests that killed fare on right code with other seeds."""
    if not (done := stored.get("luck")):
        return []
    few = "; ".join(f"reseeding {k}: {', '.join(tests)}" for k, tests in done.items() if tests) or "none"
    return [
        "",
        f"`python benchmarks/mutants.py --luck`: {len(stored['killers'])} tests killed. On right code each ran with "
        f"{len(done)} other seeds of everything that is random in it. Those that failed: {few}.",
    ]


def table(results: list[dict[str, Any]], command: str, by: str, told: list[str], unrun: int) -> str:
    killed = sum(r["killed_by"] is not None for r in results)
    lines = [
        "# Mistakes put into the code, and the tests that saw them",
        "",
        f"`{command}`: {killed} of {len(results)} killed by {by} ({killed / len(results):.0%}).",
    ]
    if unrun:
        lines.append(f"{unrun} more have not been run since they were written or changed.")
    lines += told
    lines += ["", "| mistake | file | killed by | seconds |", "|---|---|---|---|"]
    for r in results:
        killer = f"`{r['killed_by']}`" if r["killed_by"] else f"**nothing** {r['note']}".strip()
        lines.append(f"| {r['name']} | {r['file']} | {killer} | {r['seconds']:.0f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--luck", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--at", metavar="COMMIT")
    parser.add_argument("--zoo", metavar="COMMIT", help="the mutants of another commit, not today's")
    parser.add_argument("--some", type=int, default=10**6, help="with --at: how many of them, evenly spread")
    o = parser.parse_args()
    every = zoo(o.zoo)
    mutants = [m for m in every if not o.only or any(x in m["name"] + m["file"] for x in o.only)]
    if o.check:
        wrong = {m["name"]: why for m in mutants if (why := check(m))}
        names = [m["name"] for m in zoo()]
        wrong |= {name: "its name occurs twice" for name in names if names.count(name) > 1}
        print("\n".join(f"{name}: {why}" for name, why in wrong.items()) or f"{len(mutants)} mutants")
        raise SystemExit(bool(wrong))
    out = RESULTS / f"mutants{'-' + o.at if o.at else ''}.json"
    stored = json.loads(out.read_text()) if out.exists() else {"results": {}}

    def save() -> None:
        out.write_text(json.dumps(stored, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as temporary:
        root, cache = ROOT, Path(temporary) / "cache"
        if o.at:
            root = Path(temporary) / "at"
            root.mkdir()
            archive = subprocess.run(
                ["git", "archive", o.at], cwd=ROOT, check=True, capture_output=True
            ).stdout
            subprocess.run(["tar", "-x", "-C", str(root)], input=archive, check=True)
            keep_programs(root / "tests" / "conftest.py")
            every = mutants = earlier(mutants, root, o.some)
        if o.luck:
            luck(stored, cache, save, o.again)
        else:
            again = o.again and not o.page
            done = in_the_past if o.at else killed_before
            todo = [m for m in mutants if again or not (o.page or done(m, stored["results"]))]
            with ThreadPoolExecutor(o.jobs) as pool:
                for r in pool.map(lambda m: kill(m, root, cache), todo):
                    print(
                        f"{r['seconds']:6.0f} s  {r['name']}: {r['killed_by'] or 'SURVIVES ' + r['note']}",
                        flush=True,
                    )
                    stored["results"][r["name"]] = r
                    save()
    all_ = stored["results"]
    known = [all_[m["name"]] for m in every if all_.get(m["name"], {}).get("identity") == identity(m)]
    stored["results"] = {r["name"]: r for r in known}
    save()
    past = f"python benchmarks/mutants.py --at {o.at} --zoo {o.zoo} --some {o.some}"
    command = past if o.at else "make mutants"
    tests = "those of the fast tests of then that bear the module's name or that the mutant lists"
    out.with_suffix(".md").write_text(
        table(known, command, tests if o.at else "the fast suite", fortune(stored), len(every) - len(known))
    )
    survivors = [r["name"] for r in known if not r["killed_by"]]
    print(
        f"{len(known) - len(survivors)} of {len(known)} killed"
        + "".join(f"\nsurvives: {x}" for x in survivors)
    )
    raise SystemExit(bool(survivors))


if __name__ == "__main__":
    main()
