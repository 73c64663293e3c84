"""Values are expanded by a model: some rewards are imagined before the critic is asked, for one length or for several.

A path begins with a real transition, row 0, and goes on for H imagined env steps with the target policy; rows are
[H+1, ...]. An end within it leaves nothing to come. Only what NumPy and JAX arrays share is used, so that tables learn
by the same functions as networks.
"""

from typing import Any

SURE = 1e-8  # added to a variance before it is divided by


def extended(reward: Any, ended: Any, gamma: Any) -> tuple[list, list]:
    """Return what a path earns from each of its rows on, and whether it ends there or later: H+1 arrays [...] each.

        R_t = r_t + γ (1 - ended_t) R_{t+1},      R_{H+1} = 0;      over_t = ended_t or over_{t+1}

    So y_t = R_t + γ^{H+1-t} (1 - over_t) Q⁻(s_{H+1}, μ⁻(s_{H+1})) is the target of model-based value expansion for
    (s_t, a_t) (Feinberg et al. 2018, eq. 1 and section 4).

        reward    [H+1, ...]
        ended     [H+1, ...] bool
        gamma     γ

    >>> import numpy as np
    >>> total, over = extended(np.array([1.0, 2.0, 4.0]), np.array([False, True, False]), 0.5)
    >>> [float(x) for x in total], [bool(x) for x in over]
    ([2.0, 2.0, 4.0], [True, True, False])
    """
    totals, overs = [], []
    total, over = 0.0 * reward[-1], ended[-1] & ~ended[-1]
    for r, end in zip(reward[::-1], ended[::-1], strict=True):
        total, over = r + gamma * (1 - end) * total, end | over
        totals.append(total)
        overs.append(over)
    return totals[::-1], overs[::-1]


def candidates(reward: Any, end: Any, bootstrap: Any, gamma: Any) -> list:
    """Return the targets of all lengths for (s_0, a_0), H+1 arrays [...]: the i-th asks the critic after i imagined
    env steps.

        T_i = Σ_{t<=i} γ^t alive_t r_t + γ^{i+1} alive_{i+1} Q⁻_i,      alive_0 = 1,  alive_{t+1} = alive_t (1 - end_t)

        reward       [H+1, ...]
        end          [H+1, ...] probabilities
        bootstrap    [H+1, ...] Q⁻_i: what the critic says of the state after row i
        gamma        γ

    (Buckman et al. 2018, section 3.1.)

    >>> import numpy as np
    >>> [float(x) for x in candidates(np.ones(2), np.array([0.0, 0.5]), np.array([8.0, 8.0]), 0.5)]
    [5.0, 2.5]
    """
    found, total, weight = [], 0.0, 1.0  # weight: γ^t alive_t
    for r, p, q in zip(reward, end, bootstrap, strict=True):
        total, weight = total + weight * r, weight * gamma * (1 - p)
        found.append(total + weight * q)
    return found


def weighted(targets: list) -> tuple[Any, list]:
    """Return the mean of targets of H+1 lengths, each by M judges [M, ...], and the lengths' weights, H+1 arrays [...].

        w_i = 1 / (Var_m T_i + 1e-8),  divided by their sum;      y = Σ_i w_i mean_m T_i

    A length about which the judges agree counts most (Buckman et al. 2018, eq. 9).

    >>> import numpy as np
    >>> y, w = weighted([np.array([1.0, 3.0]), np.array([5.0, 5.0])])
    >>> round(float(y), 3), [round(float(x), 3) for x in w]
    (5.0, [0.0, 1.0])
    """
    precision = [1 / (t.var(0) + SURE) for t in targets]
    weight = [p / sum(precision) for p in precision]
    return sum(w * t.mean(0) for w, t in zip(weight, targets, strict=True)), weight
