"""Adam loses its bias correction here, as on the lecture's slide, and its first updates grow too long.

m and v start at 0, so at update t they hold only the shares 1 - β1^t and 1 - β2^t of what they will. Without the
correction update t is longer by (1 - β1^t) / √(1 - β2^t), whatever the gradients are (but for ε): 3.2 times at
first, 6.6 times at the twelfth update, and still 1.26 times at the thousandth (Kingma & Ba 2015, section 3). Where it
hurts is a start that is good already, as after pretraining: there it throws the weights out.
"""

import numpy as np
import optax
from matplotlib.figure import Figure

from swingup.course.recap import AdamState, adam, adam_start, too_long
from swingup.lab.tools.report import Claim, Report

LR, UPDATES, RUNS, SIZE = 0.01, 100, 200, 10
SECOND = (0.99, 0.999, 0.9999)  # β2
LONG = np.unique(np.logspace(0, 5, 200).astype(int))  # updates at which the factor is drawn


def moves(gradients: np.ndarray, correct: bool, beta2: float = 0.999, epsilon: float = 1e-8) -> np.ndarray:
    """Return the updates that Adam makes of given gradients [T, ...], in units of the learning rate: [T, ...]."""
    theta, out = np.zeros(gradients.shape[1:]), []
    state = adam_start(theta)
    for gradient in gradients:
        after, state = adam(theta, gradient, state, LR, beta2=beta2, epsilon=epsilon, correct=correct)
        out.append((after - theta) / LR)
        theta = after
    return np.array(out)


def away(noise: np.ndarray, correct: bool) -> np.ndarray:
    """Return the distance from the least point of ½‖θ‖² when started there, with noisy gradients [T, runs, D]: [T,
    runs].
    """
    theta, out = np.zeros(noise.shape[1:]), []
    state = adam_start(theta)
    for shock in noise:
        theta, state = adam(theta, theta + shock, state, LR, correct=correct)
        out.append(np.linalg.norm(theta, axis=-1))
    return np.array(out)


def library(gradients: np.ndarray) -> tuple[float, float]:
    """Return the largest difference to optax, in units of the learning rate, with the correction and without.

    optax has no switch for it; the second takes m and v from its state. Differences are of float32: of 1 - 0.999^t,
    which optax computes in it, 1e-4 is left to rounding at first.
    """
    optimiser = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)
    theta = np.float32(gradients[0] * 0)
    theirs, ours = optimiser.init(theta), {flag: AdamState(theta, theta, 0) for flag in (True, False)}
    largest = {True: 0.0, False: 0.0}
    for gradient in gradients.astype(np.float32):
        step, theirs = optimiser.update(gradient, theirs)
        bare = theirs.mu / (np.sqrt(theirs.nu) + 1e-8)  # pyright: ignore
        for flag, expected in ((True, step), (False, bare)):
            after, ours[flag] = adam(theta, gradient, ours[flag], 1.0, correct=flag)
            largest[flag] = max(largest[flag], float(np.abs(after + np.asarray(expected)).max()))
    return largest[True], largest[False]


def judge(noise: np.ndarray, compared: bool = False) -> tuple[np.ndarray, Claim]:
    """Claim how far the weights are thrown: [2, T, runs], without and with the correction (or twice with it).

    The largest mean distance must be over twice as large, by more than 5 standard errors.
    """
    distances = np.stack([away(noise, compared), away(noise, True)])
    without, with_ = (x[x.mean(1).argmax()] for x in distances)
    gap = without - 2 * with_
    text = (
        f"started at the best point, the weights are thrown {without.mean() / LR:.1f} learning rates away without the "
        f"correction and {with_.mean() / LR:.1f} with it ({RUNS} runs)"
    )
    return distances, Claim(bool(gap.mean() > 5 * gap.std(ddof=1) / np.sqrt(gap.size)), text)


def draw(t: np.ndarray, constant: dict[bool, np.ndarray], distances: np.ndarray) -> Figure:
    """Draw lengths of updates, factors, and distances, each over updates."""
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for flag, name in ((False, "without correction"), (True, "with correction")):
        left.plot(t, constant[flag], label=name)
    left.set(xlabel="updates", ylabel="length of the update / α", title="Constant gradient", ylim=(0, None))
    left.legend()
    for beta2 in SECOND:
        middle.loglog(LONG, too_long(LONG, beta2=beta2), label=f"β2 = {beta2}")
    middle.set(xlabel="updates", ylabel="too long by the factor", title="Any gradients, β1 = 0.9")
    middle.xaxis.set_major_formatter("{x:g}")
    middle.yaxis.set_major_formatter("{x:g}")
    middle.legend()
    for name, x in zip(("without correction", "with correction"), distances / LR, strict=True):
        right.plot(t, x.mean(1), label=name)
    right.set(
        xlabel="updates",
        ylabel="distance from the best point / α",
        title="Noise at a good start",
        ylim=(0, None),
    )
    right.legend()
    return figure


def run(seed: int = 0) -> Report:
    """Measure the lengths of the first updates, the factor for three β2, and the way from a good start."""
    rng = np.random.default_rng(seed)
    t = np.arange(1, UPDATES + 1)
    constant = {flag: np.abs(moves(np.full((UPDATES, 1), -3.0), flag))[:, 0] for flag in (True, False)}
    gradients = rng.normal(1.0, 2.0, size=(UPDATES, SIZE))
    ratio = moves(gradients, False, epsilon=0) / moves(gradients, True, epsilon=0)
    off = float(np.abs(ratio / too_long(t)[:, None] - 1).max())
    corrected, bare = library(gradients[:50])
    distances, thrown = judge(rng.normal(size=(UPDATES, RUNS, SIZE)))
    peak = int(constant[False].argmax())
    claims = (
        Claim(
            max(corrected, bare) < 1e-4,
            f"optax makes the same updates, to {max(corrected, bare):.1g} α, both ways",
        ),
        Claim(
            bool(abs(constant[False][0] - 10**0.5) < 1e-6 and constant[False][peak] > 6.5),
            f"constant gradient: the first update is {constant[False][0]:.2f} α, and "
            f"update {peak + 1} {constant[False][peak]:.2f} α long; corrected, all {constant[True].max():.2f} α",
        ),
        Claim(off < 1e-6, f"with random gradients the factor is the same formula, to {off:.1g}"),
        thrown,
    )
    numbers = {
        "updates": t.tolist(),
        "lengths": {"with": constant[True].tolist(), "without": constant[False].tolist()},
        "factor": {str(b): too_long(LONG, beta2=b).tolist() for b in SECOND},
        "factor_at": LONG.tolist(),
        "distance": {"without": distances[0].mean(1).tolist(), "with": distances[1].mean(1).tolist()},
    }
    look = "left: without the correction the first dozens of updates are several times too long."
    return Report(look, claims, numbers, draw(t, constant, distances))
