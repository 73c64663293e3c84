"""What units the inputs come in should not matter, and to a plain network it does.

A network with one hidden layer is trained on the same data in other units, such as millimetres instead of metres. With
large numbers tanh is saturated from the start; with small ones the weights have too far to go. Layer normalisation of
what goes into tanh, (g / σ) (a - μ) + b, removes a unit that all inputs share (Ba, Kiros & Hinton 2016), but not that
of one input, which still drowns the others. Running statistics of each input (`swingup.normalise`) remove both. The
price of layer normalisation here: what comes before it, W x, cannot tell x from 2x, so its best loss is higher.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from swingup.course.recap import adam, adam_start
from swingup.lab.tools.report import Claim, Report
from swingup.nets.layers import layer_norm
from swingup.normalise import Moments, moments

SAMPLES, INPUTS, HIDDEN, LR, UPDATES, RUNS = 128, 3, 32, 0.01, 200, 6
UNITS = np.logspace(-2, 2, 9)
WAYS = ("raw", "layer norm", "running statistics")
FLAT, STEEP = 1.2, 1.5  # worst over best loss, over all units: below the one is flat, above the other is not


def running(x: jax.Array, parts: int = 8) -> Moments:
    """Statistics of the observations [B, inputs], as they would be merged in the course of training."""
    m = moments(x.shape[1:])
    for batch in jnp.split(x, parts):
        m = m.merge(batch)
    return m


@partial(jax.jit, static_argnames="way")
@partial(jax.vmap, in_axes=(0, None, None))  # seeds
@partial(jax.vmap, in_axes=(None, 0, None))  # units
def final_loss(key: jax.Array, unit: jax.Array, way: str) -> jax.Array:
    """Return the loss after training on inputs times `unit` [inputs], relative to the variance of the target: [seeds,
    units].
    """
    k_x, k_w, k_v = jax.random.split(key, 3)
    x = jax.random.normal(k_x, (SAMPLES, INPUTS))
    y = jnp.sin(2 * x[:, 0]) + x[:, 1] * jnp.cos(x[:, 2])
    x = x * unit
    if way == "running statistics":
        x = running(x).normalise(x)
    weights = {
        "w": jax.random.normal(k_w, (INPUTS, HIDDEN)) / INPUTS**0.5,
        "gain": jnp.ones(HIDDEN),
        "bias": jnp.zeros(HIDDEN),
        "v": jax.random.normal(k_v, (HIDDEN,)) / HIDDEN**0.5,
    }

    def loss(p):
        a = x @ p["w"]
        # ε is far below the variance of `a` in the smallest units.
        a = layer_norm(a, p["gain"], p["bias"], epsilon=1e-10) if way == "layer norm" else a + p["bias"]
        return jnp.square(jnp.tanh(a) @ p["v"] - y).mean() / y.var()

    def update(carry, _):
        return adam(carry[0], jax.grad(loss)(carry[0]), carry[1], LR), None

    (weights, _), _ = jax.lax.scan(update, (weights, adam_start(weights)), length=UPDATES)
    return loss(weights)


def measure(seed: int, ways: tuple[str, ...] = WAYS) -> dict[str, dict[str, np.ndarray]]:
    """Measure the final losses [runs, units] of each way, where the unit is that of all inputs, and where of the
    first alone.
    """
    keys, ones = jax.random.split(jax.random.key(seed), RUNS), np.ones((len(UNITS), INPUTS))
    every, first = ones * UNITS[:, None], np.where(np.arange(INPUTS) == 0, UNITS[:, None], 1.0)
    both = jnp.asarray(np.concatenate([every, first]), jnp.float32)
    found = {way: np.asarray(final_loss(keys, both, way)) for way in ways}
    halves = {way: np.split(losses, 2, 1) for way, losses in found.items()}
    return {
        name: {way: halves[way][i] for way in ways}
        for i, name in enumerate(("of all inputs", "of the first input"))
    }


def spread(losses: np.ndarray) -> float:
    """Return the mean loss in the worst unit over that in the best."""
    return float(losses.mean(0).max() / losses.mean(0).min())


def judge(found: dict[str, dict[str, np.ndarray]]) -> list[Claim]:
    """Claim who is insensitive to which unit."""
    flat = {"of all inputs": WAYS[1:], "of the first input": WAYS[2:]}
    claims = []
    for name, losses in found.items():
        spreads = {way: spread(x) for way, x in losses.items()}
        holds = all(s < FLAT if way in flat[name] else s > STEEP for way, s in spreads.items())
        numbers = ", ".join(f"{way} {s:.3g}" for way, s in spreads.items())
        claims.append(
            Claim(holds, f"unit {name}, {UNITS[0]:g} to {UNITS[-1]:g}: worst loss over best: {numbers}")
        )
    return claims


def formulas(seed: int) -> Claim:
    """Layer normalisation is equinox's, running statistics are those of all data at once."""
    rng = np.random.default_rng(seed)
    a, gain, bias = (jnp.asarray(rng.normal(size=n), jnp.float32) for n in ((64, 10), 10, 10))
    module = eqx.tree_at(lambda m: (m.weight, m.bias), eqx.nn.LayerNorm(10), (gain, bias))
    apart = float(jnp.abs(layer_norm(a, gain, bias) - jax.vmap(module)(a)).max())
    x = jnp.asarray(rng.normal(3, 5, size=(SAMPLES, INPUTS)), jnp.float32)
    m = running(x)
    off = float(jnp.abs(jnp.concatenate([m.mean - x.mean(0), m.var / x.var(0) - 1])).max())
    text = f"layer norm equals equinox's to {apart:.1g}, running statistics those of all data at once to {off:.1g}"
    return Claim(apart < 1e-4 and off < 1e-4, text)


def run(seed: int = 0) -> Report:
    """Draw final losses over units."""
    found = measure(seed)
    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, losses) in zip(panels, found.items(), strict=True):
        for i, (way, x) in enumerate(losses.items()):
            axes.loglog(UNITS, x.mean(0), marker=".", color=f"C{i}", label=way)
            axes.fill_between(UNITS, x.min(0), x.max(0), color=f"C{i}", alpha=0.15, lw=0)
        axes.set(xlabel=f"unit {name}", title=f"Other units {name}")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
    panels[0].set_ylabel(f"loss after {UPDATES} updates / variance")
    panels[1].legend()
    numbers = {name: {way: x.tolist() for way, x in losses.items()} for name, losses in found.items()}
    look = "some curves are flat: layer norm's against a unit of all inputs, running statistics' against every unit."
    return Report(look, (formulas(seed), *judge(found)), numbers | {"units": UNITS.tolist()}, figure)
