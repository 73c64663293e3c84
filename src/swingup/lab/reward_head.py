"""A learnt reward cannot know of what the data have not shown: the planner then has nothing to climb.

Source: the question of what a model is given and what it learns (Chua et al. 2018, arXiv:1805.12114, give the reward).
A pole that hangs from a cart is to be swung up, and only near the top there is reward. Networks learn dynamics and
reward together, from as many env steps of two kinds: random pushes from hanging, which hardly ever meet it, and
random pushes at poles of any angle and speed. Then the same network is planned in twice: with the reward that it has
learnt, and with the task's own, which is a known function of what it predicts. So one
and the same dynamics swing the pole up or leave it hanging, by the reward alone.
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swingup.dynamics.ensemble import Ensemble
from swingup.dynamics.fit import Rows
from swingup.dynamics.learned import Learned
from swingup.envs.control import Moving
from swingup.envs.models import Exact
from swingup.lab.tools.report import Claim, Report
from swingup.lab.tools.swing_up import ENV, learnt, pushed, rows_of
from swingup.planning import plans, worth

DATA, GRADIENT_STEPS, MODELS = 1600, 600, 4  # env steps of each kind; of a network; networks of each kind
ENV_STEPS = 80  # of an episode that is planned
HORIZON, CANDIDATES, ITERATIONS, ELITES = 25, 64, 4, 8  # of the search in each env step
SPEEDS = 2.0, 5.0  # standard deviations of the cart's (m/s) and the pole's (1/s), for poles of any angle
PUSHED, ANYWHERE = "random pushes from hanging", "poles of any angle"
LEARNT, GIVEN = "learnt reward", "given reward"
ANGLES = np.linspace(-np.pi, np.pi, 121)


class Found(NamedTuple):
    """This is what M networks of one kind of data lead to."""

    angle: np.ndarray  # [M, DATA] of the pole in the data, from upright
    paid: np.ndarray  # [M, DATA] the rewards of the data
    head: np.ndarray  # [M, angles] what the learnt reward says, with the cart in the middle and all at rest
    earned: dict[str, np.ndarray]  # [M, ENV_STEPS] rewards of the planner, by the reward that it is given


def run(seed: int = 0) -> Report:
    """Learn from two kinds of data, and plan with the learnt reward and with the given one."""
    found = compared(jax.random.split(jax.random.key(seed), MODELS))
    figure = Figure(figsize=(9.6, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    for colour, (kind, x) in zip(("C1", "C0"), found.items(), strict=True):
        left.plot(ANGLES, x.head.T, "-", color=colour, lw=0.9, label=[kind, *[None] * (len(x.head) - 1)])
        for name, reward in x.earned.items():
            total = reward.cumsum(1).mean(0)
            right.plot(total, "--" if name == LEARNT else "-", color=colour, label=f"{name}, {kind}")
    draw_truth(left, found[PUSHED])
    right.set(xlabel="env steps", ylabel="reward so far", title=f"planning, mean of {MODELS} networks")
    right.legend()
    look = (
        "left, random pushes (grey) hardly ever met the peak of the reward, since the cart was elsewhere or the pole "
        "down, so the reward learnt from them is low where the peak stands. Right, a planner with that reward "
        "(dashed, orange) earns next to nothing, and with the given one in the same network the pole goes up. From "
        "poles of any angle the learnt reward does too."
    )
    numbers = {
        kind: {
            "largest": float(x.paid.max()),
            "head": x.head.tolist(),
            "return": {name: r.sum(1).tolist() for name, r in x.earned.items()},
        }
        for kind, x in found.items()
    }
    return Report(look, tuple(claims_of(found)), numbers, figure)


def draw_truth(axes: Axes, data: Found) -> None:
    """Draw the true reward of poles at rest in the middle, and what the first network's data were paid."""
    axes.plot(ANGLES, truth(), "k--", lw=1, label="true reward")
    axes.plot(data.angle[0], data.paid[0], ".", color="0.7", markersize=2, zorder=0, label=f"data, {PUSHED}")
    axes.set(xlabel="angle of the pole from upright, cart in the middle", ylabel="reward", ylim=(-0.1, 1.7))
    axes.legend(loc="upper left")


def poles() -> Array:
    """Return observations of poles at rest at `ANGLES`, the cart in the middle, [angles, 5]."""
    zero = jnp.zeros(len(ANGLES))
    return jax.vmap(ENV.observe)(
        Moving(jnp.stack([zero, zero, jnp.asarray(ANGLES, jnp.float32), zero], -1), zero)
    )


def truth() -> np.ndarray:
    """Return the true reward of these, [angles], for landing there without a push."""
    obs = poles()
    return np.asarray(ENV.known_reward(obs, jnp.zeros((len(obs), 1)), obs))


def compared(keys: Array) -> dict[str, Found]:
    """Learn from both kinds of data and plan with both rewards, once for each of M keys."""
    gather = {PUSHED: from_hanging, ANYWHERE: from_anywhere}
    rows = {kind: jax.jit(jax.vmap(f))(keys) for kind, f in gather.items()}
    both = jax.tree.map(lambda *x: jnp.concatenate(x), *rows.values())  # [2 M, DATA, ...]: compiled once
    head, earned = jax.jit(jax.vmap(one))(both, jnp.concatenate([keys, keys]))
    angle = np.asarray(jnp.arctan2(both.next_obs[..., 3], both.next_obs[..., 2]), float)
    others = [angle, np.asarray(both.reward, float), np.asarray(head, float)]
    found, m = {}, len(keys)
    for i, kind in enumerate(gather):
        mine = slice(i * m, (i + 1) * m)
        by = {name: np.asarray(x[mine], float) for name, x in earned.items()}
        found[kind] = Found(others[0][mine], others[1][mine], others[2][mine], by)
    return found


def one(rows: Rows, key: Array) -> tuple[Array, dict[str, Array]]:
    """Return what one network says of poles at `ANGLES`, and what planning in it earns by either reward."""
    k_fit, k_start, k_plan = jax.random.split(key, 3)
    made = learnt(rows, k_fit, 1, GRADIENT_STEPS, reward=True)
    obs = poles()
    head = made.predict(obs, jnp.zeros((len(obs), 1))).reward[0]
    start = ENV.reset(k_start)[0]
    given = replace(made, reward=ENV.known_reward)  # the same networks, but for what is paid
    earned = {name: episode(e, start, k_plan) for name, e in {LEARNT: made, GIVEN: given}.items()}
    return head, earned


def from_hanging(key: Array) -> Rows:
    """Return transitions of random pushes in episodes that begin with a hanging pole."""
    return rows_of(pushed(key, DATA, DATA // ENV.LIMIT))


def from_anywhere(key: Array) -> Rows:
    """Return transitions of one random push each, from states with poles of any angle."""
    k_place, k_angle, k_push = jax.random.split(key, 3)
    place, velocity, turning = jax.random.normal(k_place, (3, DATA)) * jnp.array([1.0, *SPEEDS])[:, None]
    angle = jax.random.uniform(k_angle, (DATA,), minval=-jnp.pi, maxval=jnp.pi)
    state = Moving(jnp.stack([place, velocity, angle, turning], -1), jnp.zeros(DATA, jnp.int32))
    action, model = jax.random.uniform(k_push, (DATA, 1), minval=-1.0, maxval=1.0), Exact(ENV)
    after = model.step(state, action, model.draw(key, (DATA,)))[1]
    obs = jax.vmap(ENV.observe)(state)
    return Rows(obs, action, after.reward, after.obs, after.terminated, jnp.ones(DATA, bool))


def episode(made: Ensemble, start: Moving, key: Array) -> Array:
    """Return the true rewards [ENV_STEPS] of planning anew in each env step, in an ensemble of one network."""
    model, exact = Learned(made, shuffled=False), Exact(ENV)

    def env_step(carry: tuple[Moving, Array], key: Array) -> tuple[tuple[Moving, Array], Array]:
        state, last = carry
        obs = ENV.observe(state)[None]

        def score(tried: Array, key: Array) -> Array:
            noise = model.draw(key, (HORIZON, len(tried)))
            return worth.returns(model, ENV.action_space, obs, tried, noise)

        how = {"candidates": CANDIDATES, "iterations": ITERATIONS, "elites": ELITES}
        plan = plans.cem(score, key, last, **how).actions
        whole = jax.tree.map(lambda x: x[None], state)
        after, t = exact.step(whole, plan[:1], exact.draw(key, (1,)))
        return (jax.tree.map(lambda x: x[0], after), plans.shifted(plan)), t.reward[0]

    begin = start, jnp.zeros((HORIZON, 1))
    return jax.lax.scan(env_step, begin, jax.random.split(key, ENV_STEPS))[1]


def claims_of(found: dict[str, Found]) -> list[Claim]:
    """Claim what heads and returns show, as means over networks."""
    top = {kind: float(x.head[:, len(ANGLES) // 2].mean()) for kind, x in found.items()}
    total = {
        kind: {name: float(r.sum(1).mean()) for name, r in x.earned.items()} for kind, x in found.items()
    }
    pushed, anywhere = total[PUSHED], total[ANYWHERE]
    return [
        Claim(
            top[PUSHED] < 0.3 < 0.5 < top[ANYWHERE],
            f"of an upright pole, which is worth 1, the reward learnt from random pushes says {top[PUSHED]:.2f}, that "
            f"learnt from poles of any angle {top[ANYWHERE]:.2f}",
        ),
        Claim(
            pushed[LEARNT] < pushed[GIVEN] / 2,
            f"in {ENV_STEPS} env steps a planner in networks of random pushes earns {pushed[LEARNT]:.1f} by the learnt "
            f"reward, {pushed[GIVEN]:.1f} by the given one",
        ),
        Claim(
            anywhere[LEARNT] > anywhere[GIVEN] / 2,
            f"in networks of poles of any angle it earns {anywhere[LEARNT]:.1f} and {anywhere[GIVEN]:.1f}",
        ),
    ]
