"""Where a NaN or an infinity came from: what became not finite first is the cause, and it is named."""

import numpy as np

from swingup.errors import NonFiniteError
from swingup.protocols import Algorithm, env_steps

CAUSES = {
    "nonfinite/obs": "an observation",
    "nonfinite/reward": "a reward",
    "nonfinite/learner": "the parameters or the optimiser's state",
}


def check_finite(metrics: dict[str, np.ndarray], algo: Algorithm, done: int) -> None:
    """Raise `NonFiniteError` naming what became NaN or infinite first, in which seed, and when."""
    names = [*CAUSES, *(name for name in metrics if name.startswith(("loss/", "cg/")))]
    bad = {name: ~np.isfinite(metrics[name]) if name not in CAUSES else metrics[name] > 0 for name in names}
    if not any(x.any() for x in bad.values()):
        return
    when = min(int(np.argmax(x.any(0))) for x in bad.values() if x.any())
    what = next(name for name in names if bad[name][:, when].any())  # causes first, consequences later
    row = int(np.argmax(bad[what][:, when]))
    iteration = done + when + 1
    upto = env_steps(algo, iteration)
    raise NonFiniteError(
        f"NaN or infinity in {CAUSES.get(what, what)} (row {row} of the seeds) in iteration {iteration}, "
        f"between env steps {upto - algo.env_steps_per_iteration} and {upto}. "
        + (
            "The environment returned it: check its dynamics."
            if what in ("nonfinite/obs", "nonfinite/reward")
            else "Training diverged: try a smaller --lr, or --normalise-obs and --normalise-reward."
        )
    )
