"""What learns in a dream finds its mistakes: a certain dream promises what the world does not keep.

Source: Ha and Schmidhuber 2018 (arXiv:1809.01999, section 4.5). V and M of World Models learn from random drives of
`task:Track`; M says the rewards too. Then a linear controller is evolved by CMA-ES in M's dreams alone, at several
temperatures. At a low one M's draws are nearly certain, so the same mistake can be lived on again and again; at a high
one the dream is too uncertain for that. For each temperature two numbers are known: what the controller earns in new
dreams, and what it earns on real roads.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from swingup.dynamics.latent import MDNRNN, dream, nothing
from swingup.envs import make
from swingup.episodes import evaluate
from swingup.evolution import candidates, evolution, evolve
from swingup.lab.tools.driving import ALGO, NAME, SPACES, driven, taught
from swingup.lab.tools.report import Claim, Report
from swingup.nets import mixture
from swingup.nets.vae import VAE
from swingup.types import Choice, Seen

OF_VISION, OF_MODEL = 500, 600  # gradient steps of V and of M
TAUS = 0.1, 0.5, 1.0, 1.3  # temperatures
WORLDS = 4  # pairs of V and M, each of drives of its own
POPULATION, TRIES, GENERATIONS = 16, 8, 40  # of the evolution
HORIZON, ROADS = 200, 32  # env steps of a dream; real roads, and new dreams, in the end


class Found(NamedTuple):
    """This is what controllers promise and earn, [WORLDS, TAUS]."""

    dreamt: np.ndarray
    real: np.ndarray


def run(seed: int = 0) -> Report:
    """Learn worlds, evolve a controller in the dreams of each, and drive."""
    found = compared(jax.random.split(jax.random.key(seed), WORLDS))
    figure = Figure(figsize=(7.2, 3.6), dpi=150, layout="constrained")
    ax = figure.subplots()
    drawn = ("promised by new dreams", found.dreamt, "C1"), ("earned on real roads", found.real, "C0")
    for name, x, colour in drawn:
        ax.plot(TAUS, x.mean(0), "o-", label=name, color=colour)
        ax.plot(TAUS, x.T, ".", color=colour, alpha=0.5)
    ax.set(xlabel="temperature of the dreams", ylabel="return (a lap is worth 10)")
    ax.legend()
    look = (
        "the distance between the lines. In certain dreams, at the left, a controller is promised more than it gets on "
        f"real roads. Lines are means of {WORLDS} learnt worlds, points are these."
    )
    return Report(
        look,
        tuple(claims_of(found)),
        {"promised": found.dreamt.tolist(), "earned": found.real.tolist()},
        figure,
    )


def compared(keys: Array) -> Found:
    """Return what is promised and earned in worlds that are learnt from these keys."""
    rows = []
    for key in keys:
        k_drive, k_learn, k_evolve, k_test = jax.random.split(key, 4)
        drives = driven(k_drive)
        vision, model = taught(drives, k_learn, OF_VISION, OF_MODEL)
        first = vision.encode(vision.see(drives.obs[0])).mean
        weights, promise = evolved(model, first, jnp.array(TAUS), k_evolve)
        rows.append((np.asarray(promise), np.asarray(earned(vision, model, weights, k_test))))
    return Found(*(np.stack(x) for x in zip(*rows, strict=True)))


@jax.jit
def evolved(model: MDNRNN, first: Array, taus: Array, key: Array) -> tuple[Array, Array]:
    """Return the weights [τ, n] of controllers that are evolved in dreams, and what these earn in new ones, [τ]."""
    control = ALGO.controller(model.space)

    def score(weights: Array, tau: Array, key: Array, tries: int) -> Array:
        k_first, k_noise = jax.random.split(key)
        begin = jax.random.choice(k_first, first, (tries,))
        noise = mixture.draw(k_noise, (HORIZON, tries), ALGO.latents, ALGO.mixtures)

        def act(z: Array, hidden: Array) -> Array:
            return control(weights[:, None], jnp.concatenate([z, hidden], -1))

        begin = jnp.broadcast_to(begin, (len(weights), *begin.shape))
        return dream(model, act, begin, noise, tau).sum(0).mean(-1)

    def one(tau: Array) -> tuple[Array, Array]:
        def generation(now, key: Array):
            k_draw, k_dream = jax.random.split(key)
            epsilon = jax.random.normal(k_draw, (POPULATION, control.size))
            return evolve(now, epsilon, score(candidates(now, epsilon), tau, k_dream, TRIES)), None

        k_run, k_test = jax.random.split(key)
        begin = evolution(jnp.zeros(control.size), ALGO.sigma)
        last = jax.lax.scan(generation, begin, jax.random.split(k_run, GENERATIONS))[0]
        return last.mean, score(last.mean[None], tau, k_test, ROADS)[0]

    return jax.vmap(one)(taus)


@jax.jit
def earned(vision: VAE, model: MDNRNN, weights: Array, key: Array) -> Array:
    """Return what controllers with weights [τ, n] earn on real roads, which are the same for all, [τ]."""
    control, env = ALGO.controller(model.space), make(NAME, ROADS)

    def act(seen: Seen, _: Array, weights: Array) -> Choice:
        z, m = vision.encode(vision.see(seen.obs)).mean, seen.memory
        action = control(weights, jnp.concatenate([z, m.hidden], -1))
        hidden, cell = model.step(z, action, (m.hidden, m.cell))
        return Choice(action, memory=m._replace(hidden=hidden, cell=cell))

    def one(weights: Array) -> Array:
        memory = nothing(SPACES[1], ROADS, ALGO.latents, ALGO.model_width)
        return evaluate(env, partial(act, weights=weights), key, memory=memory)[0].mean()

    return jax.lax.map(one, weights)


def claims_of(found: Found) -> list[Claim]:
    """Claim what promises and returns [WORLDS, TAUS] show."""
    dreamt, real = found.dreamt.mean(0), found.real.mean(0)
    gap = dreamt - real
    return [
        Claim(
            bool(gap[0] > 3),
            f"at temperature {TAUS[0]} dreams promise {dreamt[0]:.1f} and real roads pay {real[0]:.1f}: what was "
            "learnt is a mistake of M's",
        ),
        Claim(
            bool(max(abs(gap[2]), abs(gap[3])) < gap[0]),
            f"at {TAUS[2]} dreams promise {dreamt[2]:.1f} and roads pay {real[2]:.1f}, at {TAUS[3]} {dreamt[3]:.1f} "
            f"and {real[3]:.1f}: the two are closer",
        ),
        Claim(
            bool(real[1:].max() > real[0] + 1),
            f"controllers of the best temperature, {TAUS[int(real.argmax())]}, earn {real.max():.1f} on real roads, "
            "without a single env step on them",
        ),
    ]
