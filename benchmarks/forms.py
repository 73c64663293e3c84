"""Train VPG with each weight of its policy gradient, and draw all learning curves in one figure.

    python benchmarks/forms.py                 10 seeds each on CartPole-v1, about half a minute on two cores

Settings are those of the preset, changed in `weight` alone. Writes `benchmarks/results/forms.png` with the .csv
behind it, and `forms.json` with the results per seed.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

from scores import cpu_model
from swingup import train
from swingup.algos.vpg import WEIGHTS
from swingup.plots.curves import plot
from swingup.presets import preset
from swingup.runs.experiment import versions
from swingup.statistics import mean_ci
from swingup.training import machine

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--env-steps", type=int, default=100_000, help="per seed")
    options = parser.parse_args()
    known = preset("vpg", "CartPole-v1")
    assert known
    machine.set_up(known.algo, options.seeds)
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        runs = [Path(scratch) / weight for weight in WEIGHTS]
        for weight, out in zip(WEIGHTS, runs, strict=True):
            algo = dataclasses.replace(known.algo, weight=weight)
            run = train(algo, "CartPole-v1", env_steps=options.env_steps, seeds=options.seeds, out=out)
            low, high = mean_ci(run.final_return)
            found[weight] = run.result | {"command": "python benchmarks/forms.py", "cpu": cpu_model()}
            print(f"{weight:22s} {run.final_return.mean():6.1f} [{low:.1f}, {high:.1f}]", flush=True)
        _, vector, _ = plot(runs, RESULTS / "forms.png", metric="ep/return_last100", title="CartPole-v1")
        vector.unlink()
    about = {"versions": versions(), "forms": found}
    (RESULTS / "forms.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
