"""Measure why the TD-k trick can leave MVE's policy with one action for ever, with an exact model and NumPy alone.

    python benchmarks/td_k.py              all rules, 5 seeds: seconds
    python benchmarks/td_k.py --seeds 2

The critic starts near 0 and its values lie far below, so a target is nearer 0 the fewer rewards it holds. With TD-k the
pair (s_t, a_t) of a path holds H + 1 - t of them, and of all pairs only the first has an action that is not the
policy's own. So the critic takes the difference for one between actions. Here the first gradient steps of MVE are taken
on 400 random env steps of Pendulum. The rules differ in which pairs are fitted and in how many rewards their targets
hold. What is measured is how far the policy's actions differ between states, and by how much the critic thinks them
better than random ones. Results go to `benchmarks/results/td-k.json` and `.md`.
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from swingup.files import write_atomic

RESULTS = Path(__file__).parent / "results" / "td-k.json"
H, GAMMA, TAU, LR = 3, 0.98, 0.005, 1e-3  # of the preset of MVE on Pendulum
DATA, BATCH, GRADIENT_STEPS, WIDTH = 400, 128, 240, 64
Array = np.ndarray
Weights = list[Array]


class Rule(NamedTuple):
    """This is which pairs of a path the critic is fitted at, and how many rewards their targets hold."""

    pairs: int
    rewards: tuple[int, ...]  # of each pair
    raised: float = 0.0  # what is added to every reward


RULES = {
    "DDPG": Rule(1, (1,)),
    "MVE, the real pair alone": Rule(1, (4,)),
    "MVE with TD-k": Rule(4, (4, 3, 2, 1)),
    "MVE with TD-k, rewards raised by 20": Rule(4, (4, 3, 2, 1), 20.0),
    "the same pairs, 4 rewards each": Rule(4, (4, 4, 4, 4)),
    "the same pairs, 1 reward each": Rule(4, (1, 1, 1, 1)),
}


def env_step(obs: Array, action: Array) -> tuple[Array, Array]:
    """Return the successors and rewards of Pendulum, for observations [B, 3] and actions [B, 1] in [-1, 1]."""
    angle, speed, torque = np.arctan2(obs[:, 1], obs[:, 0]), obs[:, 2], 2 * action[:, 0]
    reward = -(angle**2 + 0.1 * speed**2 + 0.001 * torque**2)
    speed = np.clip(speed + (15 * np.sin(angle) + 3 * torque) * 0.05, -8, 8)
    angle = angle + 0.05 * speed
    return np.stack([np.cos(angle), np.sin(angle), speed], 1), reward


def network(rng: np.random.Generator, inputs: int, last: float) -> Weights:
    """Make orthogonal weights of two hidden layers, the last layer `last` times as long."""
    weights = []
    for i, o, size in ((inputs, WIDTH, 2**0.5), (WIDTH, WIDTH, 2**0.5), (WIDTH, 1, last)):
        q = np.linalg.qr(rng.normal(size=(max(i, o), min(i, o))))[0]
        weights += [size * (q if i >= o else q.T), np.zeros(o)]
    return weights


def forward(w: Weights, x: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """Return the output [B, 1] of a network of rectified units, and what `backward` needs."""
    one = np.maximum(x @ w[0] + w[1], 0)
    two = np.maximum(one @ w[2] + w[3], 0)
    return two @ w[4] + w[5], (x, one, two)


def backward(w: Weights, seen: tuple[Array, Array, Array], slope: Array) -> tuple[Weights, Array]:
    """Return the gradients of the weights and of the inputs, from that of the output [B, 1]."""
    x, one, two = seen
    second = (slope @ w[4].T) * (two > 0)
    first = (second @ w[2].T) * (one > 0)
    grads = [x.T @ first, first.sum(0), one.T @ second, second.sum(0), two.T @ slope, slope.sum(0)]
    return grads, first @ w[0].T


class Adam:
    """This is Adam, which changes weights in place."""

    def __init__(self, w: Weights):
        self.mean, self.square, self.count = [0 * x for x in w], [0 * x for x in w], 0

    def descend(self, w: Weights, grads: Weights) -> None:
        self.count += 1
        for x, m, v, g in zip(w, self.mean, self.square, grads, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            x -= LR * m / (1 - 0.9**self.count) / (np.sqrt(v / (1 - 0.999**self.count)) + 1e-8)


def policy(w: Weights, obs: Array) -> Array:
    return np.tanh(forward(w, obs)[0])


def worth(critic: Weights, obs: Array, action: Array) -> Array:
    return forward(critic, np.concatenate([obs, action], 1))[0][:, 0]


def target(rule: Rule, actor: Weights, critic: Weights, path: list, t: int) -> Array:
    """Return the target of the t-th pair of a path, whose model goes on if the pair's rewards reach beyond its end."""
    _, _, reward, obs = path[t]
    total, factor = reward + rule.raised, GAMMA
    for k in range(t + 1, t + rule.rewards[t]):
        if k < len(path):
            _, _, reward, obs = path[k]
        else:
            obs, reward = env_step(obs, policy(actor, obs))
        total, factor = total + factor * (reward + rule.raised), factor * GAMMA
    return total + factor * worth(critic, obs, policy(actor, obs))


def measure(rule: Rule, seed: int) -> dict[str, float]:
    """Take the gradient steps of one seed, and say what the policy does in the states that were met."""
    rng = np.random.default_rng(seed)
    angle, speed = rng.uniform(-np.pi, np.pi, 2), rng.uniform(-1, 1, 2)  # two episodes side by side
    now, data = np.stack([np.cos(angle), np.sin(angle), speed], 1), []
    for _ in range(DATA // 2):
        action = rng.uniform(-1, 1, (2, 1))
        after, reward = env_step(now, action)
        data.append((now, action, reward, after))
        now = after
    real = [np.concatenate(x) for x in zip(*data, strict=True)]
    actor, critic = network(rng, 3, 0.01), network(rng, 4, 1.0)
    slow = [x.copy() for x in actor], [x.copy() for x in critic]
    adams = Adam(actor), Adam(critic)
    for _ in range(GRADIENT_STEPS):
        at = rng.integers(0, DATA, BATCH)
        path = [tuple(x[at] for x in real)]
        for _ in range(rule.pairs - 1 or (H if rule.rewards[0] > 1 else 0)):
            obs = path[-1][3]
            action = policy(slow[0], obs)
            after, reward = env_step(obs, action)
            path.append((obs, action, reward, after))
        y = np.concatenate([target(rule, *slow, path, t) for t in range(rule.pairs)])[:, None]
        x = np.concatenate([np.concatenate(pair[:2], 1) for pair in path[: rule.pairs]])
        q, seen = forward(critic, x)
        adams[1].descend(critic, backward(critic, seen, (q - y) / len(y))[0])
        raw, seen = forward(actor, path[0][0])
        action = np.tanh(raw)
        inner = forward(critic, np.concatenate([path[0][0], action], 1))[1]
        slope = backward(critic, inner, np.full((BATCH, 1), -1 / BATCH))[1][:, 3:]
        adams[0].descend(actor, backward(actor, seen, slope * (1 - action**2))[0])
        for old, new in zip(slow, (actor, critic), strict=True):
            for a, b in zip(old, new, strict=True):
                a += TAU * (b - a)
    return told(actor, critic, real[0], rng)


def told(actor: Weights, critic: Weights, obs: Array, rng: np.random.Generator) -> dict[str, float]:
    """Return what is measured."""
    own, other = policy(actor, obs), rng.uniform(-1, 1, (len(obs), 1))
    better = worth(critic, obs, own) - worth(critic, obs, other)
    return {
        "spread": round(float(own.std()), 3),  # of the actions, over states
        "mean": round(float(abs(own.mean())), 3),
        "better": round(float(better.mean()), 3),  # than random actions, by the critic
        "value": round(float(worth(critic, obs, own).mean()), 1),
    }


def table(stored: dict) -> str:
    """Write the results as Markdown."""
    lines = [
        "# One action for ever",
        "",
        f"Pendulum, {DATA} random env steps, {GRADIENT_STEPS} gradient steps of MVE with an exact model and H = {H}; "
        f"{stored['seeds']} seeds. Spread: standard deviation of the policy's actions over the states that were met, "
        "in units of half the action range. Better: by how much the critic thinks these actions better than random "
        "ones. "
        "Command: `python benchmarks/td_k.py`",
        "",
        "| what the critic is fitted to | mean spread | smallest | mean of abs(mean action) | better | value |",
        "|---" * 6 + "|",
    ]
    for name, rows in stored["rules"].items():
        spread, mean, better, value = (np.array([row[key] for row in rows]) for key in rows[0])
        cells = f"{spread.mean():.2f} | {spread.min():.2f} | {mean.mean():.2f}"
        lines.append(f"| {name} | {cells} | {better.mean():.1f} | {value.mean():.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    rules: dict[str, list] = {}
    for name, rule in RULES.items():
        rules[name] = [measure(rule, seed) for seed in range(options.seeds)]
        print(name, rules[name], flush=True)
    stored = {"seeds": options.seeds, "numpy": np.__version__, "rules": rules}
    write_atomic(RESULTS, (json.dumps(stored, indent=1) + "\n").encode())
    RESULTS.with_suffix(".md").write_text(table(stored))


if __name__ == "__main__":
    main()
