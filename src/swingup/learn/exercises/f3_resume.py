"""Exercise f3 is a bug hunt in saving and resuming a training."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""f3: a bug in resuming.

A stopped training should go on as if nobody had stopped it: n updates, a save, a load and n more updates must
end where 2n updates do, to the last bit. For that, everything that changes must be saved.

The training below minimises x² from noisy gradients by Adam. It saves, loads, and goes astray. Mend one place.
"""

import numpy as np


def resumed(x, n, seed):
    """Return x after n updates, a save, a load, and n more updates.

    x     float, the parameter at the beginning
    n     int
    seed  int
    """

    def update(s):
        noise = s["rng"].normal()
        s["seen"] += 1
        s["mean"] += (noise - s["mean"]) / s["seen"]  # a running statistic
        g = 2 * s["x"] + noise - s["mean"]
        s["m"], s["v"] = 0.9 * s["m"] + 0.1 * g, 0.99 * s["v"] + 0.01 * g**2
        s["count"] += 1
        m, v = s["m"] / (1 - 0.9 ** s["count"]), s["v"] / (1 - 0.99 ** s["count"])
        s["x"] -= 0.1 * m / (np.sqrt(v) + 1e-8)

    def begin():
        return {"x": x, "m": 0.0, "v": 0.0, "count": 0, "mean": 0.0, "seen": 0, "rng": np.random.default_rng(seed)}

    def save(s):
        return {"x": s["x"], "mean": s["mean"], "seen": s["seen"], "rng": s["rng"].bit_generator.state}

    def load(saved):
        s = begin() | saved
        s["rng"] = np.random.default_rng()
        s["rng"].bit_generator.state = saved["rng"]
        return s

    state = begin()
    for _ in range(n):
        update(state)
    state = load(save(state))
    for _ in range(n):
        update(state)
    return state["x"]
'''


def resumed(x, n, seed):
    """Return x after n updates, a save of all that changes, a load, and n more updates."""

    def update(s):
        noise = s["rng"].normal()
        s["seen"] += 1
        s["mean"] += (noise - s["mean"]) / s["seen"]  # a running statistic
        g = 2 * s["x"] + noise - s["mean"]
        s["m"], s["v"] = 0.9 * s["m"] + 0.1 * g, 0.99 * s["v"] + 0.01 * g**2
        s["count"] += 1
        m, v = s["m"] / (1 - 0.9 ** s["count"]), s["v"] / (1 - 0.99 ** s["count"])
        s["x"] -= 0.1 * m / (np.sqrt(v) + 1e-8)

    def begin():
        return {
            "x": x,
            "m": 0.0,
            "v": 0.0,
            "count": 0,
            "mean": 0.0,
            "seen": 0,
            "rng": np.random.default_rng(seed),
        }

    def save(s):
        return dict(s) | {"rng": s["rng"].bit_generator.state}

    def load(saved):
        s = begin() | saved
        s["rng"] = np.random.default_rng()
        s["rng"].bit_generator.state = saved["rng"]
        return s

    state = begin()
    for _ in range(n):
        update(state)
    state = load(save(state))
    for _ in range(n):
        update(state)
    return state["x"]


def cases() -> dict[str, Case]:
    """Return the cases: a short training, a long one, and another seed."""
    return {
        "shown": {"x": 1.0, "n": 5, "seed": 0},
        "a long training": {"x": -2.0, "n": 40, "seed": 1},
        "another seed": {"x": 3.0, "n": 12, "seed": 7},
    }


def _update(s):
    noise = s["rng"].normal()
    s["seen"] += 1
    s["mean"] += (noise - s["mean"]) / s["seen"]
    g = 2 * s["x"] + noise - s["mean"]
    s["m"], s["v"] = 0.9 * s["m"] + 0.1 * g, 0.99 * s["v"] + 0.01 * g**2
    s["count"] += 1
    m, v = s["m"] / (1 - 0.9 ** s["count"]), s["v"] / (1 - 0.99 ** s["count"])
    s["x"] -= 0.1 * m / (np.sqrt(v) + 1e-8)


def _begin(x, seed):
    return {
        "x": x,
        "m": 0.0,
        "v": 0.0,
        "count": 0,
        "mean": 0.0,
        "seen": 0,
        "rng": np.random.default_rng(seed),
    }


def _losing(*names, change=None, second=lambda n: n):
    """Train, stop, forget what has these names, and go on."""

    def answer(x, n, seed):
        s = _begin(x, seed)
        for _ in range(n):
            _update(s)
        s |= {name: _begin(x, seed)[name] for name in names}
        if change:
            change(s)
        for _ in range(second(n)):
            _update(s)
        return s["x"]

    return answer


def _halve(s):
    s["x"] = float(np.float16(s["x"]))


EXERCISE = Exercise(
    title="a bug in resuming",
    page="design#determinism",
    start=START,
    answer=resumed,
    cases=cases,
    wrong={
        "the optimiser begins anew: Adam's moments and its count must be saved too": _losing(
            "m", "v", "count"
        ),
        "Adam's count is lost, so its correction for the beginning is applied again": _losing("count"),
        "Adam's moments are lost, though its count is saved": _losing("m", "v"),
        "the generator is rewound, so the same noise comes a second time": _losing("rng"),
        "the running statistics are lost": _losing("mean", "seen"),
        "the parameter is saved in half precision": _losing(change=_halve),
        "after the load there is one update too few": _losing(second=lambda n: n - 1),
        "the parameter begins anew, as if nothing had been loaded": _losing("x"),
    },
    hints=(
        "Which entries of the state change in an update? Which of them are saved?",
        "The function `save`.",
        'save must also hold "m", "v" and "count".',
    ),
    hunt="Brax, issue 655: the optimiser's state was not in the checkpoint",
)
