"""Deep Q-learning has no loss that it minimises: its expected update is the gradient of nothing.

    g(w) = E[(r + γ max_a' Q_w(s', a') - Q_w(s, a)) ∇Q_w(s, a)]

Were g minus the gradient of some loss, its Jacobian would be minus a Hessian, hence symmetric, and its work along any
closed loop 0. It is not symmetric, and the work is not 0, because the target depends on w and the gradient ignores that
(Barnard 1993). The whole gradient of the squared Bellman residual has both properties, and so has g while the
target's weights stand still, as a target network's do between two of its renewals; with γ = 0, too.

In two dimensions one sees it. A ring of states, each leading to the next, with the features (cos, sin) of the place:
the values that g leads to are right, but the way there turns round and round, as no descent on a loss can.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.envs.tabular import MDP, random
from swingup.lab.tools import ring
from swingup.lab.tools.report import Claim, Report
from swingup.theory.fitted import circle, jacobian_asymmetry, loop_work, residual_gradient, semi_gradient

STATES, ACTIONS, INPUTS, HIDDEN, NETWORKS = 8, 3, 4, 6, 20
RATE, UPDATES = 0.1, 2000  # of the way on the ring
RADII = np.geomspace(1e-4, 0.1, 13)
FIELDS = ("semi-gradient", "fixed target", "residual gradient")
MARKS = dict(zip(FIELDS, "o+s", strict=True))
DRAWN = {"semi-gradient": "C0", "fixed target": "C2", "residual gradient": "C1"}


class Case(NamedTuple):
    """A case is a random MDP, a network's inputs for each state [S, D] and its weights [P]; with a leading axis,
    several.
    """

    process: MDP
    inputs: Any
    weights: Any


def network(inputs: Array, w: Array) -> Array:
    """Return Q [S, A] of two tanh layers and a linear one, all weights and biases in one flat w."""
    sizes, x, at = ((inputs.shape[1], HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, ACTIONS)), inputs, 0
    for i, (width, out) in enumerate(sizes):
        matrix, bias = jnp.split(w[at : at + (width + 1) * out].reshape(width + 1, out), [width])
        x, at = x @ matrix + bias, at + (width + 1) * out
        x = jnp.tanh(x) if i < 2 else x
    return x


def parameters() -> int:
    """Count the weights and biases that `network` has."""
    return (INPUTS + 1) * HIDDEN + (HIDDEN + 1) * HIDDEN + (HIDDEN + 1) * ACTIONS


def cases(seed: int, count: int = NETWORKS, gamma: float = 0.9) -> Case:
    """Make `count` random MDPs with random networks."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        process = random(STATES, ACTIONS, 3, int(rng.integers(2**31)), gamma)
        found.append(Case(process, rng.normal(size=(STATES, INPUTS)), rng.normal(size=parameters()) / 2))
    return jax.tree.map(lambda *x: np.stack(x), *found)


def fields(case: Case) -> dict[str, Any]:
    """Return the expected updates of three algorithms as functions of w. The fixed target is that of the case's
    weights.
    """
    weight = jnp.full((STATES, ACTIONS), 1 / (STATES * ACTIONS))

    def q(w: Array) -> Array:
        return network(case.inputs, w)

    return {
        "semi-gradient": lambda w: semi_gradient(case.process, q, w, weight),
        "fixed target": lambda w: semi_gradient(case.process, q, w, weight, case.weights),
        "residual gradient": lambda w: residual_gradient(case.process, q, w, weight),
    }


@jax.jit
def asymmetries(case: Case) -> dict[str, Array]:
    """Return the relative asymmetry of each field's Jacobian, at the weights."""
    return {name: jacobian_asymmetry(field, case.weights) for name, field in fields(case).items()}


def turning_plane(field: Any, w: Array) -> Array:
    """Return two orthonormal directions [2, P] in whose plane a field turns most, and how fast: the largest pair of J
    - J'.
    """
    jacobian = jax.jacfwd(field)(w)
    left, _, right = jnp.linalg.svd(jacobian - jacobian.T)
    plane = jnp.linalg.qr(jnp.stack([left[:, 0], right[0]], 1))[0]
    return plane.T


@jax.jit
def works(case: Case, radii: Array) -> tuple[dict[str, Array], Array]:
    """Return the work over the loop's length times the field at its centre, [R] per field; and whether max stays
    smooth: [R].

    Where the best action of a state changes on the loop, the residual gradient jumps, and a sum over points is no good
    quadrature. The 1024 points that are looked at include those of `loop_work`.
    """
    found, plane = {}, turning_plane(fields(case)["semi-gradient"], case.weights)

    def relative(field: Any, radius: Array) -> Array:
        size = 2 * jnp.pi * radius * jnp.linalg.norm(field(case.weights))
        return jnp.abs(loop_work(field, circle(case.weights, plane, radius))) / size

    for name, field in fields(case).items():
        found[name] = jax.vmap(lambda radius, f=field: relative(f, radius))(radii)

    def smooth(radius: Array) -> Array:
        points = jax.vmap(circle(case.weights, plane, radius))(2 * jnp.pi * jnp.arange(1024) / 1024)
        best = jax.vmap(lambda w: network(case.inputs, w).argmax(-1))(points)
        return (best == best[0]).all()

    return found, jax.vmap(smooth)(radii)


def by_differences(case: Case, name: str = "semi-gradient", size: float = 1e-6) -> float:
    """Measure the asymmetry again, from central differences of the field: no derivative of JAX's in the Jacobian."""
    field = jax.jit(jax.vmap(fields(case)[name]))
    sides = np.eye(len(case.weights)) * size
    columns = (field(case.weights + sides) - field(case.weights - sides)) / (2 * size)
    jacobian = np.asarray(columns).T
    return float(np.linalg.norm(jacobian - jacobian.T) / (2 * np.linalg.norm(jacobian)))


# --- The demonstration -------------------------------------------------------------------------------------


def run(seed: int = 0) -> Report:
    """The ring's two fields, and networks' asymmetries and works, in float64."""
    with jax.enable_x64(True):
        return demonstration(seed)


def demonstration(seed: int) -> Report:
    """What `run` does, in whichever precision JAX is set to."""
    figure = Figure(figsize=(14, 3.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, 4)
    plane, plane_claim = draw_ring(seed, panels[0], panels[1])
    several = cases(seed)
    found = {name: np.asarray(x) for name, x in jax.vmap(asymmetries)(several).items()}
    for name in FIELDS:
        panels[2].semilogy(
            np.maximum(np.sort(found[name]), 1e-18), MARKS[name], mfc="none", color=DRAWN[name], label=name
        )
    panels[2].set(xlabel="networks, in order", ylabel="‖J - J'‖ / 2‖J‖", title="Asymmetry", ylim=(1e-19, 1e6))
    one = jax.tree.map(lambda x: x[0], several)
    checked = by_differences(one)
    gap = abs(checked / found["semi-gradient"][0] - 1)
    least = found["semi-gradient"].min()
    most = np.stack([found[name] for name in FIELDS[1:]]).max()  # NaN if there is any
    work, work_claim = draw_work(several, panels[3])
    for axes in panels[2:]:
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend(loc="upper left")
    claims = (
        Claim(
            bool(least > 1e-3 and most < 1e-10),
            f"in {NETWORKS} random MDPs and networks the Jacobian of the semi-gradient has a relative asymmetry of "
            f"{least:.3f} to {found['semi-gradient'].max():.3f}; with a fixed target, and of the residual gradient, it "
            f"is at most {most:.0e}",
        ),
        Claim(
            bool(gap < 1e-4),
            f"finite differences give {checked:.6f} for the first network, apart by {gap:.0e}",
        ),
        work_claim,
        plane_claim,
    )
    look = (
        "left: the lines turn round the solution, where a descent, beside it, goes straight. Right: the semi-gradient "
        "does work round closed loops; the fields that are gradients do none but rounding."
    )
    asymmetry = {name: x.tolist() for name, x in found.items()}
    return Report(look, claims, {"ring": plane, "asymmetry": asymmetry, "work": work}, figure)


def draw_work(several: Case, axes: Axes) -> tuple[dict[str, Any], Claim]:
    """Relative work over the loop's radius, as far as max stays smooth."""
    found, smooth = jax.tree.map(np.asarray, jax.vmap(works, (0, None))(several, jnp.asarray(RADII)))
    for name in FIELDS:
        x = np.where(smooth, np.maximum(found[name], 1e-20), np.nan)
        axes.loglog(RADII, x.T, color=DRAWN[name], ls="-", lw=0.7, label=[name, *["_"] * (len(x) - 1)])
    axes.set(xlabel="radius of the loop", ylabel="|∮ g·dw| / length |g|", title="Work", ylim=(1e-21, 1e6))
    axes.xaxis.set_major_formatter("{x:g}")
    none = np.stack([found[name][smooth] for name in FIELDS[1:]]).max()  # NaN if there is any
    widest = [row[ok][-1] for row, ok in zip(found["semi-gradient"], smooth, strict=True) if ok.any()]
    enough = (
        len(widest) >= 0.75 * NETWORKS
    )  # rarely two actions are so nearly equal that none of the loops will do
    text = (
        f"round loops in the plane in which it turns most the semi-gradient does work, {min(widest):.1e} to "
        f"{max(widest):.1e} of length times |g| on each network's widest one; the other two at most {none:.0e}"
    )
    numbers = {"radius": RADII.tolist()} | {n: np.where(smooth, x, -1).tolist() for n, x in found.items()}
    return numbers, Claim(bool(enough and np.min(widest) > 1e-6 and none < 1e-12), text)


def draw_ring(seed: int, left: Axes, right: Axes) -> tuple[dict[str, Any], Claim]:
    """Draw both fields of the ring around the solution, and the ways of expected updates."""
    rng = np.random.default_rng(seed)
    solution, side = rng.uniform(-1, 1, 2), np.linspace(-2.2, 2.2, 23)
    process, features = ring.ring(solution)
    grid = np.stack(np.meshgrid(solution[0] + side, solution[1] + side), -1)
    start, numbers, found = solution + [2.0, 0.0], {"solution": solution.tolist()}, {}
    for axes, (name, field) in zip((left, right), ring.fields(process, features).items(), strict=True):

        @jax.jit
        def measure(grid: Array, field: Any = field) -> tuple[Array, Array, Array]:
            work = loop_work(field, circle(jnp.asarray(solution), jnp.eye(2), 1.0))
            return jax.vmap(jax.vmap(field))(grid), ring.path(field, start, RATE, UPDATES), work

        arrows, way, work = map(np.asarray, measure(jnp.asarray(grid)))
        u, v = np.moveaxis(arrows, -1, 0)
        axes.streamplot(grid[0, :, 0], grid[:, 0, 1], u, v, color="#C3CAD2", linewidth=0.7, density=0.8)
        axes.plot(*way.T, color=DRAWN[name])
        axes.plot(*solution, "k*", ms=8)
        axes.set(xlabel="w₁", ylabel="w₂", title=name.capitalize(), aspect="equal")
        near = np.linalg.norm(way - solution, axis=1) < 0.02  # a hundredth of the first distance
        found[name] = (abs(ring.turns(way[: 1 + int(np.argmax(near))], solution)), abs(float(work)))
        numbers[name] = {"path": way[::10].tolist(), "turns": found[name][0], "work": found[name][1]}
    (around, work), (straight, none) = found.values()
    exact = np.pi * ring.GAMMA * np.sin(2 * np.pi / ring.STATES)
    holds = around > 1.5 and straight < 1e-6 and abs(work / exact - 1) < 1e-9 and none < 1e-12
    text = (
        f"on the ring expected updates go round the solution {around:.2f} times before they are within a hundredth of "
        f"their first distance, and the work round a unit circle is {work:.4f} = πγ sin(2π/{ring.STATES}); the "
        f"residual gradient goes round {straight:.2f} times, its work is {none:.0e}"
    )
    return numbers, Claim(bool(holds), text)
