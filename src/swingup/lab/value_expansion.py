"""Model-based value expansion is ruined by a model that errs at times; STEVE knows when to look no further.

Source: Buckman et al. 2018 (arXiv:1807.01675, section 4.1), a chain without networks. An agent can only move right,
each env step costs 1, and the last one pays 100. Tables learn V by targets that look H env steps ahead in a model
before they ask the table. With H = 0 news travels by one state at a time; with an exact model by H + 1. A noisy model
says in one of ten env steps that the agent lands anywhere. Over five env steps four of ten targets are then nonsense,
and tables that believe them never come right. STEVE asks several models and several tables for all lengths up to H, and
weighs each by how well they agree: the noisy models disagree on long paths, so it trusts these only until short ones
are known.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from swingup.expansion import candidates, extended, weighted
from swingup.lab.tools.report import Claim, Report

STATES, COST, PRIZE = 50, 1.0, 100.0
HORIZON, JUDGES = 5, 3  # H; models, and tables
NOISE = 0.1  # share of a noisy model's env steps that lead anywhere
UPDATES, EARLY = 600, 100  # of each table; where exact models are compared
SHARE, LR, SPREAD = 0.5, 0.2, 100.0  # of states in an update; how far it goes; std of values at the beginning
SEEDS = 2


class Learner(NamedTuple):
    """This is one of the ways to learn the chain."""

    horizon: int  # H
    mixes: bool  # STEVE, or a single length
    noise: float


LEARNERS = {
    "TD, no model": Learner(0, False, 0.0),
    "MVE, exact model": Learner(HORIZON, False, 0.0),
    "MVE, noisy model": Learner(HORIZON, False, NOISE),
    "STEVE, exact model": Learner(HORIZON, True, 0.0),
    "STEVE, noisy model": Learner(HORIZON, True, NOISE),
}


def run(seed: int = 0) -> Report:
    """Learn the chain in five ways; draw the error of each over updates."""
    found = {
        name: np.mean([errors(how, np.random.default_rng([seed, i, k])) for k in range(SEEDS)], 0)
        for i, (name, how) in enumerate(LEARNERS.items())
    }
    figure = Figure(figsize=(6.4, 3.8), dpi=150, layout="constrained")
    axes = figure.subplots()
    for name, error in found.items():
        style = "--" if "exact" in name else "-"
        axes.plot(np.arange(1, UPDATES + 1), error, style, label=name)
    axes.set(xlabel="updates of each table", ylabel="mean squared error of V", title=f"mean of {SEEDS} seeds")
    axes.legend()
    look = (
        "with an exact model both expansions are done before plain TD has begun. With a noisy one MVE stays wrong for "
        "ever, while STEVE comes right, and sooner than TD."
    )
    end = {name: float(error[-50:].mean()) for name, error in found.items()}
    early = {name: float(error[EARLY - 1]) for name, error in found.items()}
    curves = {name: error[::10].tolist() for name, error in found.items()}
    return Report(look, tuple(claims_of(early, end)), {"early": early, "end": end, "error": curves}, figure)


def claims_of(early: dict[str, float], end: dict[str, float]) -> list[Claim]:
    """Claim what errors of V after `EARLY` updates and over the last 50 show."""
    td, exact = early["TD, no model"], max(early["MVE, exact model"], early["STEVE, exact model"])
    mve, steve = end["MVE, noisy model"], end["STEVE, noisy model"]
    return [
        Claim(
            exact < td / 3,
            f"after {EARLY} updates with an exact model MVE and STEVE have errors of at most {exact:.0f}, TD has "
            f"{td:.0f}",
        ),
        Claim(
            mve > 3 * end["TD, no model"],
            f"after {UPDATES} updates with a noisy model MVE has an error of {mve:.0f}, more than three times TD's "
            f"{end['TD, no model']:.0f}",
        ),
        Claim(
            steve < mve / 2,
            f"STEVE with the same noisy models has {steve:.1f}, less than half of that",
        ),
    ]


def truth() -> np.ndarray:
    """Return V of the chain's states, [STATES]."""
    return PRIZE - COST * np.arange(STATES - 1, -1, -1.0)


def errors(how: Learner, rng: np.random.Generator) -> np.ndarray:
    """Return the mean squared error of the tables' mean after each update, [UPDATES]."""
    tables, found = SPREAD * rng.normal(size=(JUDGES, STATES)), []
    for _ in range(UPDATES):
        y = targets(tables, how, rng)
        tables += LR * np.where(rng.random(tables.shape) < SHARE, y - tables, 0.0)
        found.append(np.square(tables.mean(0) - truth()).mean())
    return np.array(found)


def targets(tables: np.ndarray, how: Learner, rng: np.random.Generator) -> np.ndarray:
    """Return what each of L tables is told of each state, [L, S].

    Every table gets paths of its own. One path for each is a target of H + 1 env steps; STEVE asks all E models and all
    tables, and mixes all lengths.
    """
    lead = len(tables), JUDGES if how.mixes else 1
    state, reward, ended = paths(how, rng, lead)  # [H+1, L, E, S]
    values = np.concatenate([tables, np.zeros((len(tables), 1))], 1)  # behind the last state there is nothing
    if not how.mixes:
        total, over = extended(reward, ended, 1.0)
        asked = np.take_along_axis(values[:, None], state[-1], -1)
        return (total[0] + np.where(over[0], 0.0, asked))[:, 0]
    q = np.moveaxis(values[:, state], 0, 1)  # [H+1, L', L, E, S]: every table's word on every path
    found = candidates(reward[:, None], 1.0 * ended[:, None], q, 1.0)
    return weighted([np.moveaxis(t, 1, 2).reshape(-1, *tables.shape) for t in found])[0]


def paths(how: Learner, rng: np.random.Generator, lead: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Return successors, rewards and ends of a real env step from each state and of H imagined ones, [H+1, *lead, S].

    A noisy model sends a share of its env steps to any state.
    """
    worth = np.append(np.full(STATES, -COST), 0.0)
    worth[STATES - 1] = PRIZE
    state = np.broadcast_to(np.arange(STATES), (*lead, STATES))
    states, rewards = [], []
    for row in range(how.horizon + 1):
        rewards.append(worth[state])
        after = np.minimum(state + 1, STATES)
        if row and how.noise:
            jumps = (rng.random(state.shape) < how.noise) & (state < STATES)
            after = np.where(jumps, rng.integers(0, STATES, state.shape), after)
        states.append(after)
        state = after
    return np.array(states), np.array(rewards), np.array(states) == STATES
