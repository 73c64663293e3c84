"""Run every demonstration of `swingup lab` with three root seeds: does the phenomenon appear, and how soon?

    python benchmarks/labs.py                  all of them, seeds 0, 1 and 2
    python benchmarks/labs.py --only cliff     some; the rest keeps its stored result
    python benchmarks/labs.py --pages          only rewrite the pages from the stored results

Each run is the command that a user would type, in a process of its own. Results go to `benchmarks/results/labs.json`
and `.md`; the figures of seed 0, with a palette of 64 colours, and the claims go to the page `docs/labs.md`, beside
what `labs.toml` says that they mean.
"""

import argparse
import html
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

from PIL import Image

from speed import commit, machine
from swingup.files import write_atomic
from swingup.lab import LABS

HERE = Path(__file__).parent
RESULTS, DOCS = HERE / "results", HERE.parent / "docs"
SEEDS = (0, 1, 2)
LIMIT = 30.0  # seconds on two cores

PAGE = """# Laboratory

The course makes claims. Here you can watch them: {number} demonstrations, each small enough to run in seconds. Every
one of them checks its own claim. It prints what to look at and what it found, and it exits with 1 if the phenomenon did
not appear.

```console
$ swingup lab list
$ swingup lab {first} --out figures --seed 7
```

The command writes a figure (PNG and SVG) and its numbers (JSON). The figures and the numbers on this page are those of
seed 0. `python benchmarks/labs.py` wrote them, and ran each demonstration with three seeds: see the
[table](#seeds-and-seconds) at the end.

<div class="gallery">
{gallery}
</div>

"""
THUMB = (
    '<figure><a href="#lab-{name}"><img loading="lazy" src="_static/labs/{name}.png" alt="{about}"></a>'
    '<figcaption><a href="#lab-{name}">{name}</a></figcaption></figure>'
)
LAB = """(lab-{name})=
## {name}

{story}

![{about}](_static/labs/{name}.png)

*What to look at.* {look}

:::{{admonition}} What `swingup lab {name}` checked
:collapsible: closed

{claims}
:::

"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(LABS), default=list(LABS))
    parser.add_argument("--pages", action="store_true")
    args = parser.parse_args()
    path = RESULTS / "labs.json"
    stored: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"labs": {}}
    if not args.pages:
        for name in args.only:
            runs, about = [], {}
            with tempfile.TemporaryDirectory() as cache:  # so the first seed has everything to compile
                for seed in SEEDS:
                    run, about_this = demonstrate(name, seed, cache)
                    about = about or about_this
                    runs.append(run)
                    shown = "ok" if run["ok"] else "DID NOT APPEAR"
                    print(f"{name:<22}{seed}   {run['seconds']:5.1f} s   {shown}", flush=True)
            stored["labs"][name] = about | {"runs": runs}
            stored |= {"machine": machine(), "commit": commit()}
            write_atomic(path, (json.dumps(stored, indent=1, ensure_ascii=False) + "\n").encode())
    table = write_table(stored)
    write_atomic(RESULTS / "labs.md", table.encode())
    write_atomic(DOCS / "labs.md", page(stored).encode())


def demonstrate(name: str, seed: int, cache: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Seconds of the whole command and whether it succeeded; what it claims, its figure kept if the seed is 0."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "swingup", "lab", name, "--seed", str(seed), "--out", out]
        start = time.perf_counter()
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
        )
        seconds = time.perf_counter() - start
        if done.returncode not in (0, 1):
            raise SystemExit(f"{name} failed: {done.stderr[-2000:]}")
        data = json.loads((Path(out) / f"{name}.json").read_text())
        if seed == SEEDS[0]:
            image = (
                Image.open(Path(out) / f"{name}.png").convert("RGB").quantize(64, dither=Image.Dither.NONE)
            )
            buffer = io.BytesIO()
            image.save(buffer, "PNG", optimize=True)
            (DOCS / "_static" / "labs").mkdir(exist_ok=True)
            write_atomic(DOCS / "_static" / "labs" / f"{name}.png", buffer.getvalue())
    look = done.stdout.partition("what to look at: ")[2].partition("\n")[0]
    return {"seed": seed, "seconds": round(seconds, 1), "ok": done.returncode == 0}, {
        "look": look,
        "claims": data["claims"],
    }


def write_table(stored: dict[str, Any]) -> str:
    """A row per demonstration."""
    lines = [
        "# Demonstrations: seeds and seconds",
        "",
        f"{stored['machine']['cpu']}, {stored['machine']['cores']} cores; commit {stored['commit']}. Seconds are "
        "those of the whole command, imports included, each time in a new process; seed 0 begins with an empty "
        f"cache of compiled programs. At most {LIMIT:.0f} are allowed. Command: `python benchmarks/labs.py`",
        "",
        "| demonstration | claims | " + " | ".join(f"seed {s}" for s in SEEDS) + " |",
        "|---|---:|" + "---:|" * len(SEEDS),
    ]
    for name in LABS:
        if name in stored["labs"]:
            lab = stored["labs"][name]
            cells = [f"{r['seconds']} s" + ("" if r["ok"] else ", did not appear") for r in lab["runs"]]
            lines.append(f"| {name} | {len(lab['claims'])} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page(stored: dict[str, Any]) -> str:
    """Return the gallery: what each demonstration means, its figure, and what it checked."""
    names = [name for name in LABS if name in stored["labs"]]
    stories = tomllib.loads((HERE / "labs.toml").read_text())
    gallery = "\n".join(THUMB.format(name=name, about=html.escape(LABS[name])) for name in names)
    parts = [PAGE.format(first="gridworld", number=len(names), gallery=gallery)]
    for name in names:
        lab = stored["labs"][name]
        claims = "\n".join(f"- {escape(c['text'])}" for c in lab["claims"])
        look, about = lab["look"], LABS[name]
        parts.append(
            LAB.format(
                name=name,
                about=escape(about[0].upper() + about[1:]),
                story=escape(stories[name].strip()),
                look=escape(look[0].upper() + look[1:]),
                claims=claims,
            )
        )
    rows = write_table(stored).partition("| demonstration")
    parts.append("## Seeds and seconds\n\n" + rows[0].partition("\n\n")[2] + rows[1] + rows[2])
    return "".join(parts)


def escape(text: str) -> str:
    """Plain text as Markdown: no emphasis, no links."""
    for mark in "\\*_[]<$":
        text = text.replace(mark, "\\" + mark)
    return text


if __name__ == "__main__":
    main()
