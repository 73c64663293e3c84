"""A model that is nearly right for one env step is wrong after many: its errors feed on themselves.

Source: Venkatraman, Hebert & Bagnell 2015 (AAAI) and Asadi, Misra & Littman 2018 (arXiv:1804.07193, theorem 1). A model
that goes on from its own predictions makes an error in each env step and carries the old ones along. In a linear system
x' = A x with the model Â both are known exactly: after k env steps the error is (Â^k - A^k) x. Where A shrinks, old
errors are forgotten and the error fades; where A keeps lengths it grows in proportion to k; where A stretches, it grows
like k |A|^k. Networks that learn a cart-pole show the same, and more data lower the curve without bending it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from swingup.dynamics.ensemble import Ensemble
from swingup.dynamics.learned import Learned
from swingup.lab.tools.report import Claim, Report, plain
from swingup.lab.tools.swing_up import ENV, learnt, pushed, rows_of
from swingup.spaces import to_env
from swingup.types import Rollout

STEPS = 40  # k at most
RATES = {"shrinks by 10 %": 0.9, "keeps lengths": 1.0, "stretches by 10 %": 1.1}
WRONG = 0.01  # of the linear model's rate, in proportion
DATA = (100, 400, 3200)  # random env steps that the networks learn from
TESTS = 1600  # others, on which they are judged


def run(seed: int = 0) -> Report:
    """Let models go on from their own predictions; draw their errors over the number of env steps."""
    k_test, k_push, k_fit = jax.random.split(jax.random.key(seed), 3)
    ahead = np.arange(1, STEPS + 1)
    linear = {name: rolled(rate, rate * (1 + WRONG), STEPS) for name, rate in RATES.items()}
    test = pushed(
        k_test, TESTS, TESTS // ENV.LIMIT
    )  # an episode in each environment: no window crosses an end
    data = rows_of(pushed(k_push, max(DATA), max(DATA) // ENV.LIMIT))
    judged = jax.jit(
        lambda rows: errors(learnt(rows, k_fit, members=1), test)
    )  # of one shape, so compiled once
    nets = {}
    for n in DATA:
        first = data._replace(there=jnp.arange(max(DATA)) < n)
        nets[n] = np.asarray(judged(first), float)
    figure = Figure(figsize=(8.4, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, error in linear.items():
        left.plot(ahead, error, label=name)
        left.plot(ahead[::3], exact(RATES[name], RATES[name] * (1 + WRONG), STEPS)[::3], "k.", markersize=3)
    left.set(yscale="log", xlabel="env steps ahead, k", ylabel="error", title="a linear system; dots: exact")
    for n, error in nets.items():
        right.plot(ahead, error, label=f"{n:,} env steps of data")
    right.axhline(1, color="0.6", linestyle=":")
    right.set(
        yscale="log", xlabel="env steps ahead, k", ylabel="share of what there is to say", title="networks"
    )
    plain(left.yaxis, right.yaxis)
    left.legend()
    right.legend()
    look = (
        "on the left the same model error of 1 % fades, grows in proportion, or explodes, by what the system does to "
        "lengths. On the right more data lower the curves; all of them rise. At 1 (dotted) a model says no more than "
        "the mean change does."
    )
    numbers = {"linear": {name: x.tolist() for name, x in linear.items()}}
    numbers |= {"networks": {str(n): x.tolist() for n, x in nets.items()}}
    return Report(look, tuple(claims_of(linear, nets)), numbers, figure)


def rolled(rate: float, model: float, steps: int) -> np.ndarray:
    """Return |x̂_k - x_k| for k = 1 .. steps, by going on from a model's own predictions, from x = 1."""
    true, said, found = 1.0, 1.0, []
    for _ in range(steps):
        true, said = rate * true, model * said
        found.append(abs(said - true))
    return np.array(found)


def exact(rate: float, model: float, steps: int) -> np.ndarray:
    """Return the same in closed form: |â^k - a^k|."""
    k = np.arange(1, steps + 1)
    return np.abs(model**k - rate**k)


def errors(made: Ensemble, rollout: Rollout) -> Array:
    """Return the errors of a model 1 .. `STEPS` env steps ahead on a rollout [T, N], as shares of what there is to say.

    Each is the root of the mean over entries of E[(ŝ - s)²] / Var[s - s_before], over all windows of `STEPS` env steps.
    """
    model, count = Learned(made, shuffled=False), len(rollout.obs) - STEPS + 1
    action = to_env(ENV.action_space, rollout.action)

    def ahead(obs: Array, k: Array) -> tuple[Array, Array]:
        now, came = (jax.lax.dynamic_slice_in_dim(x, k, count) for x in (action, rollout.step.next_obs))
        said = model.step(obs, now.reshape(len(obs), -1), model.draw(jax.random.key(0), (len(obs),)))[0]
        wrong = jnp.square(said - came.reshape(said.shape)).mean(0)
        change = came.reshape(said.shape) - first
        return said, jnp.sqrt((wrong / change.var(0)).mean())

    first = rollout.obs[:count].reshape(-1, rollout.obs.shape[-1])
    return jax.lax.scan(ahead, first, jnp.arange(STEPS))[1]


def claims_of(linear: dict[str, np.ndarray], nets: dict[int, np.ndarray]) -> list[Claim]:
    """Claim what errors by env steps ahead show."""
    fades, keeps, grows = linear.values()
    few, many = nets[DATA[0]], nets[DATA[-1]]
    apart = max(
        np.abs(linear[name] / exact(a, a * (1 + WRONG), STEPS) - 1).max() for name, a in RATES.items()
    )
    return [
        Claim(
            apart < 1e-9 and fades[-1] < fades.max() / 2,
            f"in a system that shrinks an error of 1 % is at most {fades.max():.3f} and fades to {fades[-1]:.3f}, as "
            "the closed form says",
        ),
        Claim(
            30 * keeps[0] < keeps[-1] < 60 * keeps[0] and grows[-1] > 1000 * grows[0],
            f"after {STEPS} env steps it has grown {keeps[-1] / keeps[0]:.0f} times where lengths are kept, and "
            f"{grows[-1] / grows[0]:.0f} times where they are stretched",
        ),
        Claim(
            all(error[-1] > 3 * error[0] for error in nets.values()),
            f"networks are {few[0]:.2f} and {many[0]:.3f} wrong after one env step, {few[-1]:.2f} and {many[-1]:.2f} "
            f"after {STEPS}",
        ),
        Claim(
            bool(np.all(many < few)),
            f"{DATA[-1]:,} env steps of data are better than {DATA[0]} for each number of env steps ahead",
        ),
    ]
