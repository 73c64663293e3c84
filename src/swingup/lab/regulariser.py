"""A regulariser makes the loss L + λΩ, here with Ω = ‖w‖², on linear regression with few and noisy data.

Here everything is known in closed form. The weights are w(λ) = (X'X/n + λI)⁻¹ X'y/n; with inputs x ~ N(0, I) the
error on new data is ‖w - w*‖² + noise². A larger λ makes ‖w‖ smaller and the error on the training data larger,
always. The error on new data falls first, because the weights follow the noise less, and then rises, because they
forget the truth.

For plain gradient descent the penalty's gradient 2λw is the same as letting the weights decay by the factor 1 - 2αλ
before each update. For Adam it is not, since Adam divides the penalty's gradient too (Loshchilov & Hutter 2019).
"""

import numpy as np
from matplotlib.figure import Figure

from swingup.course.recap import adam, adam_start, penalised, squared_norm
from swingup.lab.tools.report import Claim, Report

SAMPLES, FEATURES, NOISE, SETS = 30, 20, 1.0, 300
LAMBDAS = np.logspace(-3, 2, 26)
UPDATES, LR, LAM = 200, 0.05, 0.1  # of the comparison with weight decay
ERRORS = 5.0  # standard errors; by accident beyond it once in 1.7 million times


def data(rng: np.random.Generator, sets: int = SETS, noise: float = NOISE) -> tuple[np.ndarray, ...]:
    """Draw X [sets, n, d], the true weights [sets, d] of length about 1, and y [sets, n]."""
    x = rng.normal(size=(sets, SAMPLES, FEATURES))
    truth = rng.normal(size=(sets, FEATURES)) / np.sqrt(FEATURES)
    y = (x @ truth[..., None])[..., 0] + noise * rng.normal(size=(sets, SAMPLES))
    return x, truth, y


def ridge(x: np.ndarray, y: np.ndarray, lambdas: np.ndarray) -> np.ndarray:
    """Return argmin of 1/n ‖X w - y‖² + λ ‖w‖² for each λ: [lambdas, sets, d]."""
    n, d = x.shape[-2:]
    gram = np.swapaxes(x, -1, -2) @ x / n
    moment = np.swapaxes(x, -1, -2) @ y[..., None] / n
    return np.linalg.solve(gram + lambdas[:, None, None, None] * np.eye(d), moment)[..., 0]


def paths(x: np.ndarray, y: np.ndarray, optimiser: str, decay: bool, lam: float = LAM) -> np.ndarray:
    """Return the weights over updates of gradient descent or Adam, with the penalty in the loss or as decay:
    [updates, d].
    """
    w, state, out = np.zeros(x.shape[1]), adam_start(np.zeros(x.shape[1])), []
    for _ in range(UPDATES):
        gradient = 2 / len(x) * x.T @ (x @ w - y) + (0.0 if decay else 2 * lam * w)
        start = (1 - 2 * LR * lam) * w if decay else w
        if optimiser == "adam":
            w, state = adam(start, gradient, state, LR)
        else:
            w = start - LR * gradient
        out.append(w)
    return np.array(out)


def judge(norm: np.ndarray, train: np.ndarray, test: np.ndarray) -> list[Claim]:
    """Claim from norms and errors [lambdas, sets] what falls, what rises, and where the least error on new data is."""
    best = int(test.mean(1).argmin())
    gains = [test[end] - test[best] for end in (0, -1)]
    far = [g.mean() / max(g.std(ddof=1) / np.sqrt(g.size), 1e-300) for g in gains]
    return [
        Claim(
            bool((np.diff(norm, axis=0) < 0).all() and (np.diff(train, axis=0) > 0).all()),
            f"in each of {norm.shape[1]} data sets ‖w‖ falls and the training error rises with each larger λ; mean ‖w‖ "
            f"from {norm[0].mean():.2f} to {norm[-1].mean():.2f}",
        ),
        Claim(
            bool(min(far) > ERRORS),
            f"the error on new data is least at λ = {LAMBDAS[best]:.2g}: {test[best].mean():.2f}, against "
            f"{test[0].mean():.2f} at the smallest and {test[-1].mean():.2f} at the largest λ ({far[0]:.0f} and "
            f"{far[1]:.0f} standard errors more)",
        ),
    ]


def compare(x: np.ndarray, y: np.ndarray) -> tuple[dict[str, np.ndarray], list[Claim]]:
    """Measure how far apart penalty and decay are, over updates, for gradient descent and for Adam."""
    apart = {}
    for optimiser in ("gradient descent", "adam"):
        penalty, decay = (paths(x, y, optimiser, how) for how in (False, True))
        apart[optimiser] = np.linalg.norm(penalty - decay, axis=1) / np.linalg.norm(penalty, axis=1)
    least = penalised(lambda w: ((x @ w - y) ** 2).mean(), squared_norm, LAM)
    reached = least(paths(x, y, "gradient descent", False)[-1]) / least(
        ridge(x[None], y[None], np.array([LAM]))[0, 0]
    )
    return apart, [
        Claim(
            bool(apart["gradient descent"].max() < 1e-12 and reached < 1.01),
            f"gradient descent: the penalty is weight decay, to {apart['gradient descent'].max():.1g} in {UPDATES} "
            f"updates; it comes to within {reached - 1:.1g} of the least L + λΩ",
        ),
        Claim(
            bool(apart["adam"][-1] > 0.01),
            f"Adam: it is not; after {UPDATES} updates the weights differ by {apart['adam'][-1]:.0%}",
        ),
    ]


def run(seed: int = 0) -> Report:
    """Compute norm and errors over λ, and penalty against decay over updates."""
    x, truth, y = data(np.random.default_rng(seed))
    w = ridge(x, y, LAMBDAS)
    norm = np.linalg.norm(w, axis=-1)
    train = ((np.einsum("snd,lsd->lsn", x, w) - y) ** 2).mean(-1)
    test = ((w - truth) ** 2).sum(-1) + NOISE**2
    apart, claims = compare(x[0], y[0])
    figure = Figure(figsize=(12, 3.6), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.semilogx(LAMBDAS, norm.mean(1), marker=".")
    left.set(xlabel="λ", ylabel="‖w‖", title="Smaller weights", ylim=(0, None))
    for i, (name, error) in enumerate((("new data", test), ("training data", train))):
        spread = ERRORS * error.std(1, ddof=1) / np.sqrt(SETS)
        middle.semilogx(LAMBDAS, error.mean(1), color=f"C{i}", marker=".", label=name)
        middle.fill_between(
            LAMBDAS, error.mean(1) - spread, error.mean(1) + spread, color=f"C{i}", alpha=0.2, lw=0
        )
    middle.axhline(NOISE**2, color="black", lw=0.8, label="noise²")
    middle.set(
        xlabel="λ", ylabel="mean squared error", title=f"Less overfitting: {SETS} data sets", ylim=(0, None)
    )
    middle.legend()
    for name, distance in apart.items():
        right.semilogy(np.arange(1, UPDATES + 1), np.maximum(distance, 1e-17), label=name)
    right.set(xlabel="updates", ylabel="relative distance of w", title="Penalty in the loss, or weight decay")
    right.legend(loc="center right")
    for axis in (left.xaxis, middle.xaxis, right.yaxis):
        axis.set_major_formatter("{x:g}")
    numbers = {
        "lambda": LAMBDAS.tolist(),
        "norm": norm.mean(1).tolist(),
        "training_error": train.mean(1).tolist(),
        "test_error": test.mean(1).tolist(),
        "penalty_and_decay_apart": {name: d.tolist() for name, d in apart.items()},
    }
    look = "middle: the error on the training data only rises with λ; that on new data is least somewhere inside."
    return Report(look, (*judge(norm, train, test), *claims), numbers, figure)
