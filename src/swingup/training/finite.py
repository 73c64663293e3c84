"""A NaN or an infinity has a cause: what became not finite first is named."""

import numpy as np

from swingup.errors import NonFinite, NonFiniteError
from swingup.protocols import Algorithm, env_steps

CAUSES = {
    "nonfinite/obs": "an observation",
    "nonfinite/reward": "a reward",
    "nonfinite/learner": "the parameters or the optimiser's state",
}


def faults(metrics: dict[str, np.ndarray], algo: Algorithm, done: int) -> list[NonFiniteError]:
    """Return an error for each row with a NaN or infinity in `metrics` [S, n], the earliest first.

    It names what became so first, in which row, and when; `done` iterations came before those of the metrics.
    """
    names = [*CAUSES, *(name for name in metrics if name.startswith(("loss/", "cg/")))]
    bad = np.stack(
        [metrics[n] > 0 if n in CAUSES else ~np.isfinite(metrics[n]) for n in names]
    )  # [names, S, n]
    found = []
    for row in np.flatnonzero(bad.any((0, 2))):
        when = int(np.argmax(bad[:, row].any(0)))
        what = int(np.argmax(bad[:, row, when]))  # causes first, consequences later
        found.append((when, what, int(row)))
    return [_error(names[what], row, done + when + 1, algo) for when, what, row in sorted(found)]


def _error(what: str, row: int, iteration: int, algo: Algorithm) -> NonFiniteError:
    upto = env_steps(algo, iteration)
    return NonFiniteError(
        f"NaN or infinity in {CAUSES.get(what, what)} (row {row} of the seeds) in iteration {iteration}, "
        f"between env steps {upto - algo.env_steps_per_iteration} and {upto}. "
        + (
            "The environment returned it: check its dynamics."
            if what in ("nonfinite/obs", "nonfinite/reward")
            else "Training diverged: try a smaller --lr, or --normalise-obs and --normalise-reward."
        ),
        NonFinite(what, row, upto),
    )


def stop(error: NonFiniteError) -> None:
    """Raise the error: what is not finite in one row ends the run of all."""
    raise error
