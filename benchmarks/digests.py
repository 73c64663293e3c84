"""Do short runs of every kind, and digest each: what a change of the house's structure must leave as it is.

    python benchmarks/digests.py                 run them all and compare with the stored digests
    python benchmarks/digests.py --store         run them all and store their digests
    python benchmarks/digests.py --only sac      those whose name contains the text

Each is a command that a user could type, in a process of its own, and its digest is that of `swingup digest`. Bits
depend on the processor and on the version of JAX, so stored digests are compared on the machine that made them.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

STORED = Path(__file__).resolve().parent / "results" / "digests.json"
RUNS = {
    "ppo": "ppo CartPole-v1 --env-steps 20000 --seeds 2",
    "ppo, normalised": "ppo Pendulum-v1 --env-steps 20000 --normalise-obs --normalise-reward --lr-decay",
    "ppo, images": "ppo Breakout-MinAtar --env-steps 10000",
    "ppo, a window": "ppo task:Recall?window=8 --env-steps 5000 --memory lstm",
    "ppo on the host": "ppo gymnasium:CartPole-v1 --env-steps 5000 --seeds 2",
    "a2c": "a2c Pendulum-v1 --env-steps 10000 --seeds 2",
    "vpg": "vpg CartPole-v1 --env-steps 20000",
    "trpo": "trpo Pendulum-v1 --env-steps 20000",
    "dqn, prioritised": "dqn CartPole-v1 --env-steps 5000 --prioritised --n-step 3 --double --dueling",
    "dqn, hindsight": "dqn task:BitFlip --env-steps 5000 --hindsight 4 --n-step 1 --no-prioritised",
    "dqn on the host": "dqn gymnasium:CartPole-v1 --env-steps 3000 --seeds 2",
    "c51, images": "c51 Breakout-MinAtar --env-steps 6000 --warmup 1000 --replay-size 20000",
    "qr_dqn": "qr_dqn CartPole-v1 --env-steps 5000 --noisy",
    "ddpg": "ddpg Pendulum-v1 --env-steps 4000",
    "td3": "td3 Pendulum-v1 --env-steps 4000 --seeds 2",
    "td3 on the host": "td3 gymnasium:Pendulum-v1 --env-steps 2000 --warmup 500",
    "sac": "sac Pendulum-v1 --env-steps 4000 --seeds 2",
    "sac_discrete": "sac_discrete CartPole-v1 --env-steps 4000",
    "q_learning": "q_learning FrozenLake-v1 --env-steps 5000 --seeds 2",
    "sarsa": "sarsa FrozenLake-v1 --env-steps 5000",
    "expected_sarsa": "expected_sarsa FrozenLake-v1 --env-steps 5000",
    "double_q_learning": "double_q_learning FrozenLake-v1 --env-steps 5000",
    "td_lambda": "td_lambda FrozenLake-v1 --env-steps 5000",
    "value_iteration": "value_iteration tabular:Cliff --env-steps 200",
    "policy_iteration": "policy_iteration tabular:Cliff --env-steps 200",
}


def swingup(*args: str) -> str:
    done = subprocess.run([sys.executable, "-m", "swingup", *args], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"swingup {shlex.join(args)}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def digest(command: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/run"
        swingup("train", *command.split(), "--episodes", "1", "--eval-limit", "10", "--out", out)
        return swingup("digest", out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--only", default="")
    o = parser.parse_args()
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    differing = []
    for name, command in RUNS.items():
        if o.only not in name:
            continue
        found = digest(command)
        known = stored.get(name, {}).get("digest")
        same = "stored" if o.store else "new" if known is None else "equal" if known == found else "DIFFERS"
        print(f"{name:<20}{found[:16]}   {same}", flush=True)
        differing += [name] if same == "DIFFERS" else []
        if o.store:
            stored[name] = {"command": f"swingup train {command}", "digest": found}
            STORED.write_text(json.dumps(stored, indent=1) + "\n")
    raise SystemExit(f"{len(differing)} differ: {', '.join(differing)}" if differing else 0)


if __name__ == "__main__":
    main()
