"""A learned world is dreamt in beside the real one: for a while the dream is what happens, then it is one of its own.

Source: Ha and Schmidhuber 2018 (arXiv:1809.01999, sections 2 and 4). V and M of World Models learn from random drives
of `task:Track`. On roads that are new, M watches the first env steps; then it gets the car's actions alone, and its own
draws are what it sees next. V's decoder draws these dreams, and each frame is compared with what the car really saw.
Three yardsticks stand beside: a frame that stays as it was when the eyes were closed; a dream of the same car with the
actions of another; and what V makes of the real frame, which is the best that a dream can look like.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.dynamics.latent import MDNRNN, Recall
from swingup.lab.tools.driving import ALGO, Driven, driven, taught
from swingup.lab.tools.report import Claim, Report
from swingup.nets import mixture
from swingup.nets.mixture import Noise
from swingup.nets.vae import VAE
from swingup.statistics import mean_ci

OF_VISION, OF_MODEL = 800, 1000  # gradient steps of V and of M
CARS, WATCHED, DREAMT = 192, 20, 40  # new drives; env steps that M watches, and that it dreams then
TEMPERATURE = 0.01
SHOWN = 0, 2, 5, 10, 20, 39  # env steps of the dream in the picture
DREAM, OTHER, STAYS, BEST = "the dream", "with another's actions", "a frame that stays", "V's own picture"
WORLDS = DREAM, OTHER, STAYS, BEST


def run(seed: int = 0) -> Report:
    """Learn, watch, dream; draw both worlds, and how far they are apart."""
    keys = jax.random.split(jax.random.key(seed), 4)
    vision, model = taught(driven(keys[0]), keys[1], OF_VISION, OF_MODEL)
    drives = driven(keys[2], CARS, WATCHED + DREAMT)
    pictures = {name: np.asarray(x) for name, x in seen(vision, model, drives, keys[3]).items()}
    real = np.asarray(drives.obs[WATCHED:], float) / 255
    whole = ~np.asarray(drives.done).any(0)  # of which nothing was cut off
    apart = {name: np.square(x - real).sum((2, 3, 4))[:, whole] for name, x in pictures.items()}
    spread = np.square(real - real.mean((0, 1))).sum((2, 3, 4))[:, whole]
    figure = Figure(figsize=(9.6, 3.8), dpi=150, layout="constrained")
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=(3, 2)))
    car = int(np.flatnonzero(whole)[0])
    show(left.subplots(3, len(SHOWN)), [real[:, car], pictures[BEST][:, car], pictures[DREAM][:, car]])
    draw(right.subplots(), apart)
    look = (
        "left, at first the dream (bottom) bends as the real road does (top; in the middle what V makes of it); later "
        f"it is a road of its own. Right, a dream at temperature {TEMPERATURE} stays nearer to what happens than one "
        "with the actions of another car. A car that is driven at random hardly moves, so a frame that stays is a good "
        f"guess for a second. Bands are 95% intervals over {whole.sum()} drives."
    )
    numbers = {name: x.mean(1).tolist() for name, x in apart.items()}
    return Report(look, tuple(claims_of(apart, spread)), numbers, figure)


@jax.jit
def seen(vision: VAE, model: MDNRNN, drives: Driven, key: Array) -> dict[str, Array]:
    """Return frames [DREAMT, N, 32, 32, 1] of the dream and of its yardsticks, with brightness from 0 to 1."""
    z = vision.encode(vision.see(drives.obs)).mean
    noise = mixture.draw(key, (DREAMT, z.shape[1]), z.shape[-1], ALGO.mixtures)

    def watch(recall: Recall, now: tuple[Array, Array]) -> tuple[Recall, None]:
        return model.step(now[0], now[1], recall), None

    def dream(recall: Recall, now: tuple[Noise, Array]) -> tuple[Recall, Array]:
        drawn, action = now
        z = model.say(recall[0]).latents.from_noise(drawn, TEMPERATURE)
        return model.step(z, action, recall), z

    first = model.start(z.shape[1])
    recall = jax.lax.scan(watch, first, (z[:WATCHED], drives.action[:WATCHED]))[0]
    actions = drives.action[WATCHED:]
    own, other = (jax.lax.scan(dream, recall, (noise, a))[1] for a in (actions, jnp.roll(actions, 1, 1)))
    stays = jnp.broadcast_to(z[WATCHED - 1], own.shape)
    return {name: vision.decode(x) for name, x in zip(WORLDS, (own, other, stays, z[WATCHED:]), strict=True)}


def show(axes: np.ndarray, rows: list[np.ndarray]) -> None:
    """Draw frames of three worlds, one below the other."""
    for line, frames, name in zip(axes, rows, ("real", "V's picture", "dreamt"), strict=True):
        for ax, at in zip(line, SHOWN, strict=True):
            ax.imshow(frames[at, ..., 0], cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    for ax, at in zip(axes[0], SHOWN, strict=True):
        ax.set_title(f"{at + 1}", fontsize=8)


def draw(ax: Axes, apart: dict[str, np.ndarray]) -> None:
    """Draw how far each world [DREAMT, N] is from the real one, mean and interval."""
    at = np.arange(1, DREAMT + 1)
    for name, colour in zip(WORLDS, ("C0", "C1", "0.6", "0.2"), strict=True):
        x = apart[name]
        ax.plot(at, x.mean(1), "-" if name in (DREAM, OTHER) else "--", label=name, color=colour)
        if name in (DREAM, OTHER):
            bounds = np.array([mean_ci(each) for each in x])
            ax.fill_between(at, *bounds.T, alpha=0.2, lw=0, color=colour)
    ax.set(xlabel="env steps since the eyes were closed", ylabel="squared error of a frame", ylim=(0, None))
    ax.legend()


def claims_of(apart: dict[str, np.ndarray], spread: np.ndarray) -> list[Claim]:
    """Claim what errors [DREAMT, N] of the dream and its yardsticks show, beside the spread of real frames."""
    dream, other, _, best = (apart[name] for name in WORLDS)
    early, late = slice(0, 10), slice(DREAMT // 2, None)
    return [
        Claim(
            bool(best.mean() < 0.5 * spread.mean()),
            f"V's 16 numbers keep most of a frame: squared error {best.mean():.1f}, where frames differ from their "
            f"mean by {spread.mean():.1f}",
        ),
        Claim(
            bool(mean_ci((other - dream)[late].mean(0))[0] > 0),
            f"in the second half the dream is {dream[late].mean():.1f} away from what happens, and with the actions of "
            f"another car {other[late].mean():.1f}: M knows what actions do",
        ),
        Claim(
            bool(mean_ci(dream[late].mean(0) - dream[early].mean(0))[0] > 0),
            f"errors compound: in the first ten env steps the dream is {dream[early].mean():.1f} away",
        ),
    ]
