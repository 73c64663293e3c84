"""The table of the theory's items, M5 to M51, says what is claimed, where it is, what tests it, what was found just
now.

`SWINGUP_WRITE=1 python -m pytest -n 0 tests/course/test_theory.py` writes the table into docs/course/items.md;
otherwise a test fails where the page says something else than what is measured. Rounding, which differs
between machines, does not show: of an error the table gives the bound that it keeps.
"""

import ast
import importlib
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import test_policy_gradient as pg
from scipy import stats

from conftest import late, small
from swingup.algos.dqn import DQN
from swingup.counters import counter
from swingup.course import recap
from swingup.distributions import Categorical, Normal, epsilon_greedy
from swingup.envs import make
from swingup.envs.tabular import MDP, PROCESSES, mdp, random
from swingup.errors import ConfigError
from swingup.lab import energy as runner
from swingup.lab import no_loss
from swingup.lab.tools import baird
from swingup.nets.layers import layer_norm
from swingup.nets.sequences import LSTM, Attention
from swingup.replay import ring
from swingup.returns import discounted, gae, td_error
from swingup.rollout import collect, start
from swingup.schedules import epsilon
from swingup.theory import exact
from swingup.theory.bellman import fixed_point, optimality_q, optimality_v
from swingup.theory.fitted import aggregation, fitted_value_iteration, least_squares
from swingup.training import driver
from swingup.types import Choice

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "course" / "items.md"


class Item(NamedTuple):
    about: str
    code: str  # dotted paths of the functions, separated by blanks
    test: str  # file::function, separated by blanks
    measure: Callable[[], str]


ITEMS: dict[str, Item] = {}


def item(number: int, about: str, code: str, test: str) -> Callable[[Callable[[], str]], Callable[[], str]]:
    def register(measure: Callable[[], str]) -> Callable[[], str]:
        ITEMS[f"M{number}"] = Item(about, code, test, measure)
        return measure

    return register


def below(x: Any, bound: float = 1e-9) -> str:
    """The bound, which the errors must keep: 1e-9 in float64."""
    assert np.max(np.abs(np.asarray(x))) < bound
    return f"{bound:.0e}".replace("e-0", "e-")


def single(x: Any) -> str:
    """The bound for float32."""
    return below(x, 1e-5)


def processes(count: int = 20) -> list[MDP]:
    """Random ones with an end; γ from 0 to 0.95."""
    found = []
    for seed in range(count):
        m, rng = random(5, 3, seed=seed), np.random.default_rng(seed)
        found.append(mdp(m.transition, rng.normal(size=(5, 3, 5)), m.start, [4], 0.95 * seed / (count - 1)))
    return found


def policies(m: MDP) -> np.ndarray:
    return np.random.default_rng(m.num_states).dirichlet(np.ones(m.num_actions), m.num_states)


# --- Deep learning ------------------------------------------------------------------------------------------


@item(
    5,
    "model, loss, gradient descent",
    "course.recap.two_layers course.recap.two_layers_gradient course.recap.gradient_descent",
    "test_recap.py::test_two_layers_gradient_matches_autodiff_and_finite_differences_M5",
)
def _() -> str:
    rng = np.random.default_rng(0)
    sizes = (8, 1), (8,), (1, 8), (1,)
    params = recap.TwoLayers(*(jnp.asarray(rng.normal(size=s)) for s in sizes))
    x = jnp.linspace(-2, 2, 64)[:, None]
    y = jnp.sin(2 * x)
    auto = jax.grad(recap.mean_squared)(params, x, y)
    ours = recap.two_layers_gradient(params, x, y)
    error = max(float(jnp.abs(a - b).max()) for a, b in zip(auto, ours, strict=True))
    _, losses = recap.gradient_descent(lambda p: recap.mean_squared(p, x, y), params, 0.05, 3000)
    return (
        f"gradient by hand and by JAX differ by less than {single(error)}; loss {losses[0]:.1f} to "
        f"{losses[-1]:.2f}"
    )


@item(
    6,
    "depth as composition: MLP, LSTM, attention",
    "nets.actor_critic.MLP nets.sequences.LSTM nets.sequences.Attention",
    "test_recap.py::test_ppo_trains_saves_and_resumes_with_each_memory_M6",
)
def _() -> str:
    window = jax.random.normal(jax.random.key(0), (8, 3))
    bodies = LSTM(8, 3, 16, key=jax.random.key(1)), Attention(8, 3, 16, key=jax.random.key(2))
    reach = [jnp.abs(jax.grad(lambda x: body(x).sum())(window)[0]).max() > 0 for body in bodies]  # noqa: B023
    return (
        f"the first of 8 observations has a gradient in the output of {sum(map(int, reach))} of 2; in an "
        "MLP's of the present, none"
    )


@item(
    7,
    "regulariser L + λΩ",
    "course.recap.penalised course.recap.squared_norm",
    "test_recap.py::test_the_penalty_adds_its_own_gradient_M7",
)
def _() -> str:
    rng = np.random.default_rng(0)
    x, y, w = rng.normal(size=(20, 10)), rng.normal(size=20), rng.normal(size=10)

    def loss(w):
        return jnp.mean((x @ w - y) ** 2)

    gradient = jax.grad(recap.penalised(loss, recap.squared_norm, 0.3))(w)
    error = np.abs(gradient - (jax.grad(loss)(w) + 0.6 * w)).max()
    norms = [
        np.linalg.norm(np.linalg.solve(x.T @ x / 20 + lam * np.eye(10), x.T @ y / 20)) for lam in (0, 0.1, 1)
    ]
    return (
        f"gradient adds 2λθ within {single(error)}; ‖θ‖ of the minimum {norms[0]:.2f}, {norms[1]:.2f}, "
        f"{norms[2]:.2f} at λ = 0, 0.1, 1"
    )


@item(
    8,
    "normalisation g/σ (a - μ) + b",
    "nets.layers.layer_norm normalise.Moments.normalise",
    "test_recap.py::test_layer_norm_is_equinoxs_M8 "
    "test_normalise.py::test_normalised_data_have_mean_0_and_variance_1_M8",
)
def _() -> str:
    import equinox as eqx

    a = 5 + 3 * jax.random.normal(jax.random.key(0), (16, 32))
    theirs = jax.vmap(eqx.nn.LayerNorm(32))(a)
    return f"Equinox's LayerNorm within {single(layer_norm(a) - theirs)}"


@item(9, "Adam", "course.recap.adam", "test_recap.py::test_adam_is_optaxs_with_the_correction_and_without_M9")
def _() -> str:
    rng, optimizer = np.random.default_rng(0), optax.adam(0.1)
    params = theirs = jnp.ones(3)
    state, their_state = recap.adam_start(params), optimizer.init(params)
    for _ in range(20):
        grads = jnp.asarray(rng.normal(size=3))
        params, state = recap.adam(params, grads, state, 0.1)
        updates, their_state = optimizer.update(grads, their_state)
        theirs: Any = optax.apply_updates(theirs, updates)
    first = recap.too_long(1)
    return (
        f"Optax's within {single(params - theirs)} after 20 updates; as on the slide the first is "
        f"{first:.2f} times as long"
    )


@item(
    10,
    "reparameterisation",
    "course.recap.pathwise_gradient course.recap.score_function_gradient",
    "test_distributions.py::test_pathwise_and_score_function_gradients_agree_M10",
)
def _() -> str:
    x, weight = np.polynomial.hermite_e.hermegauss(20)  # integrates polynomials exactly
    weight = weight / weight.sum()
    found = [
        f(lambda x: (x**2).sum(), np.ones(1), np.ones(1), jnp.asarray(x)[:, None])[0][:, 0]
        for f in (recap.pathwise_gradient, recap.score_function_gradient)
    ]
    means = [weight @ np.asarray(g) for g in found]
    variances = [weight @ (np.asarray(g) - m) ** 2 for g, m in zip(found, means, strict=True)]
    return (
        f"E[x²] at μ = σ = 1: means {means[0]:.3f} and {means[1]:.3f}, exact 2; variances "
        f"{variances[0]:.1f} and {variances[1]:.1f}"
    )


# --- The problem --------------------------------------------------------------------------------------------


@item(
    11,
    "interaction loop, ends of episodes",
    "rollout.collect",
    "test_tabular.py::test_time_limits_are_truncations",
)
def _() -> str:
    env = make("tabular:TwoStateLoop?time_limit=4", 1)
    actor = start(env, jax.random.key(0))
    _, rollout = collect(env, lambda *_: Choice(jnp.ones(1, jnp.int32)), actor, jax.random.key(1), 8)
    reward, ends = rollout.step.reward[:, 0].astype(int).tolist(), rollout.step.truncated[:, 0]
    return (
        f"always going: rewards {reward}, return {rollout.step.ep_return[3, 0]:.0f} by hand 2, truncated "
        f"at env steps {(np.flatnonzero(ends) + 1).tolist()}"
    )


@item(
    12,
    "states, observations, spaces",
    "spaces.Discrete spaces.Box envs.make",
    "test_q_learning.py::test_actions_that_are_not_discrete_are_refused "
    "test_actor_critics.py::test_actions_that_are_no_bounded_vector_are_refused",
)
def _() -> str:
    four = {
        "discrete, full": "tabular:Grid",
        "discrete actions, partial": "FourRooms-misc",
        "continuous, full": "Pendulum-v1",
        "continuous observation, partial": "task:Recall",
    }
    for name in four.values():
        make(name, 1)
    refused = 0
    for name, env in (("dqn", "Pendulum-v1"), ("sac", "CartPole-v1"), ("q_learning", "CartPole-v1")):
        try:
            driver.init(small(name), make(env, small(name).num_envs), [0])
        except ConfigError:
            refused += 1
    return f"{len(four)} kinds open; {refused} of 3 wrong pairs of algorithm and space are refused"


@item(
    13,
    "policies, random and deterministic",
    "distributions.Categorical distributions.Normal",
    "test_distributions.py::test_categorical_samples_have_the_softmax_frequencies_M13",
)
def _() -> str:
    logits, mean, log_std = jnp.array([0.5, -1.0, 2.0]), jnp.array([0.3, -2.0]), jnp.array([0.1, -0.7])
    error = Categorical(logits).log_prob(jnp.arange(3)) - np.log(
        exact.softmax(np.asarray(logits, np.float64))
    )
    x = jnp.array([1.0, -1.0])
    normal = Normal(mean, log_std).log_prob(x) - stats.norm.logpdf(x, mean, np.exp(log_std)).sum()
    return f"log-probabilities: softmax within {single(error)}, SciPy's Gaussian within {single(normal)}"


@item(14, "trajectories", "theory.exact.trajectories", "test_exact.py::test_trajectories_sum_to_one_M14")
def _() -> str:
    found = [list(exact.trajectories(m, policies(m), 3)) for m in processes(5)]
    error = [sum(t.probability for t in each) - 1 for each in found]
    return f"{sum(map(len, found)):,} trajectories of 5 MDPs: probabilities add up to 1 within {below(error)}"


@item(
    15,
    "reward v - α‖a‖²",
    "swingup.lab.energy.run",
    "test_labs_values.py::test_the_runners_best_effort_is_the_closed_form",
)
def _() -> str:
    speed, energy = np.meshgrid(runner.SPEEDS, runner.EFFORTS**2, indexing="ij")
    used = []
    for alpha in (0.0, 1.0, 10.0):
        m = runner.runner(alpha)
        used.append(runner.use(m, runner.best_policy(m), speed, energy))
    shown = [", ".join(f"{x:.2f}" for x in each) for each in zip(*used, strict=True)]
    return f"the best policy's mean speed {shown[0]}, energy {shown[1]} at α = 0, 1, 10"


@item(
    16,
    "returns and rewards-to-go",
    "returns.discounted returns.full_return returns.reward_to_go",
    "test_exact.py::test_returns_and_rewards_to_go_M16 test_returns.py::test_discounted_matches_a_slow_loop",
)
def _() -> str:
    rng, worst = np.random.default_rng(0), 0.0
    for gamma in (0.0, 0.5, 0.99, 1.0):
        r = rng.normal(size=(30, 4)).astype(np.float32)
        got = discounted(jnp.asarray(r), jnp.zeros((30, 4), bool), gamma, jnp.zeros(4))
        loops = [sum(gamma ** (k - t) * r[k].astype(np.float64) for k in range(t, 30)) for t in range(30)]
        worst = max(worst, np.abs(got - np.array(loops)).max())
    return f"against double loops within {single(worst)} (float32)"


@item(
    17,
    "J(π), π*",
    "theory.exact.performance theory.exact.occupancy theory.exact.deterministic_policies",
    "test_exact.py::test_brute_force_finds_the_planners_policy_M17 "
    "test_exact.py::test_occupancy_gives_the_return_M17",
)
def _() -> str:
    worst = [
        max(exact.performance(m, x) for x in exact.deterministic_policies(m))
        - m.start @ exact.optimal_value(m)
        for m in (random(4, 3, 2, seed=i, gamma=0.8) for i in range(5))
    ]
    j = [
        (exact.occupancy(m, policies(m)) * m.expected_reward).sum() - exact.performance(m, policies(m))
        for m in processes()
    ]
    return (
        f"the best of 81 policies is the planner's within {below(worst)} on 5 MDPs; J = Σ d r within "
        f"{below(j)}"
    )


@item(
    18,
    "V, Q, V*, Q* and V = E Q",
    "theory.exact.value theory.exact.action_value theory.exact.optimal_value theory.exact.optimal_action_value",
    "test_exact.py::test_identities_of_values_M18 test_exact.py::test_values_are_those_of_loops_M18",
)
def _() -> str:
    errors = [
        np.abs(exact.value(m, pi) - (pi * exact.action_value(m, pi)).sum(1)).max()
        + np.abs(exact.optimal_value(m) - exact.optimal_action_value(m).max(1)).max()
        for m, pi in ((m, policies(m)) for m in processes())
    ]
    return f"identities within {below(errors)} on 20 MDPs"


@item(19, "A = Q - V", "theory.exact.advantage", "test_exact.py::test_advantage_has_mean_zero_M19")
def _() -> str:
    means = [(policies(m) * exact.advantage(m, policies(m))).sum(1) for m in processes()]
    return f"mean under π within {below(np.concatenate(means))} of 0 in 100 states"


@item(
    20,
    "four Bellman equations",
    "theory.exact.residuals theory.bellman.evaluate_v theory.bellman.evaluate_q theory.bellman.optimality_v "
    "theory.bellman.optimality_q",
    "test_exact.py::test_bellman_equations_hold_M20",
)
def _() -> str:
    worst = 0.0
    for m in processes():
        pi = policies(m)
        at = exact.residuals(m, pi, exact.value(m, pi), exact.action_value(m, pi))
        best = exact.residuals(m, pi, exact.optimal_value(m), exact.optimal_action_value(m))
        worst = max(worst, *(np.abs(x).max() for x in (at.v, at.q, best.v_optimal, best.q_optimal)))
    return f"residuals below {below(worst)} on 20 MDPs"


@item(21, "a* = argmax Q*", "theory.exact.greedy", "test_exact.py::test_greedy_is_optimal_M21")
def _() -> str:
    errors = [
        exact.value(m, exact.greedy(exact.optimal_action_value(m))) - exact.optimal_value(m)
        for m in processes()
    ]
    return f"the greedy policy's V is V* within {below(np.concatenate(errors))} on 20 MDPs"


@item(
    22,
    "mean-squared Bellman error",
    "theory.exact.mean_squared_bellman_error swingup.lab.bellman_error.run",
    "test_exact.py::test_msbe_M22 test_exact.py::test_msbe_is_the_mean_of_the_lectures_loss_M22",
)
def _() -> str:
    cliff, lake = PROCESSES["Cliff"](), PROCESSES["FrozenLake"]()
    at = [exact.mean_squared_bellman_error(m, exact.optimal_action_value(m)) for m in (cliff, lake)]
    return (
        f"at Q*: {at[0]:.4f} on the cliff, which is deterministic, {at[1]:.4f} on the frozen lake, which "
        "is not"
    )


# --- Policy optimisation ------------------------------------------------------------------------------------


@cache
def forms() -> dict[str, tuple[np.ndarray, float]]:
    """Mean and variance of the estimate from one trajectory, for each form; all exact."""
    w, logits = pg.WORLDS[0], pg.logits_of(0)
    t = np.arange(pg.T)[:, None]
    q = np.asarray(w.exact_q(logits))[t, w.state, w.action]
    weights = {
        name: pg.weights_of(w, logits, name)
        for name in ("full_return", "reward_to_go", "reward_to_go_baseline")
    }
    weights |= {"q": q, "advantage": q - pg.values_of(w, logits)[0]}
    return {name: (pg.mean_of(w, logits, x), pg.variance_of(w, logits, x)) for name, x in weights.items()}


def gradient_error(name: str) -> str:
    w, logits = pg.WORLDS[0], pg.logits_of(0)
    return below(forms()[name][0] - pg.gradient_of_j(w, logits))


GRADIENT = "test_policy_gradient.py::"
ALL_FORMS = GRADIENT + "test_every_weight_has_the_gradient_of_j_for_its_mean_M26_M27_M28_M30"


@item(
    25,
    "log-derivative trick; no dynamics in ∇ log P(τ)",
    "algos.vpg.VPG.loss",
    GRADIENT + "test_the_dynamics_drop_out_of_the_log_probability_M25",
)
def _() -> str:
    w, logits = pg.WORLDS[0], jnp.asarray(pg.logits_of(0))
    whole = jax.jit(jax.jacrev(lambda x: jnp.log(w.probability(x))))(logits).reshape(w.n, -1)
    return (
        f"∇ log P(τ) = Σ ∇ log π within {below(whole - pg.scores(w, logits, np.ones((pg.T, w.n))))}, all "
        f"{w.n:,} trajectories"
    )


@item(26, "estimate with the full return", "returns.full_return algos.vpg.VPG.weigh", ALL_FORMS)
def _() -> str:
    return f"mean = ∇J within {gradient_error('full_return')}; variance {forms()['full_return'][1]:.0f}"


@item(
    27,
    "past rewards have mean 0",
    "returns.reward_to_go",
    GRADIENT + "test_past_rewards_contribute_nothing_to_the_mean_M27",
)
def _() -> str:
    w, logits, found = pg.WORLDS[0], pg.logits_of(0), []
    for t, k in ((1, 0), (2, 0), (2, 1), (3, 2)):
        weight = np.zeros((pg.T, w.n))
        weight[t] = w.rewards[k]
        found.append(np.abs(pg.mean_of(w, logits, weight)).max())
    return (
        f"E[∇ log π(a_t) r_k] within {below(found)} of 0 for k < t; variance "
        f"{forms()['reward_to_go'][1]:.0f} without them"
    )


@item(
    28,
    "form with Q",
    "theory.exact.performance_gradient algos.vpg.VPG.weigh",
    GRADIENT + "test_exact_q_and_exact_advantage_give_the_gradient_M28_M30 "
    "test_exact.py::test_gradient_of_j_M28",
)
def _() -> str:
    return f"mean = ∇J within {gradient_error('q')}; variance {forms()['q'][1]:.0f}"


@item(
    29,
    "baselines",
    "algos.vpg.VPG.weigh",
    GRADIENT
    + "test_any_baseline_of_the_state_leaves_the_mean_M29 "
    + GRADIENT
    + "test_a_baseline_of_the_action_does_not_M29",
)
def _() -> str:
    w, logits = pg.WORLDS[0], pg.logits_of(0)
    truth = pg.gradient_of_j(w, logits)
    to_go, b = pg.weights_of(w, logits, "reward_to_go"), np.random.default_rng(0).normal(0, 5, (pg.T, pg.S))
    of_state = pg.mean_of(w, logits, to_go - b[np.arange(pg.T)[:, None], w.state]) - truth
    of_action = pg.mean_of(w, logits, to_go - w.action) - truth
    return (
        f"a random b(s) moves the mean by less than {below(of_state)}; one of the action by "
        f"{np.abs(of_action).max():.2f}"
    )


@item(
    30,
    "form with the advantage",
    "algos.vpg.VPG.weigh",
    GRADIENT + "test_variance_falls_from_form_to_form_M30",
)
def _() -> str:
    order = ("full_return", "reward_to_go", "reward_to_go_baseline", "advantage")
    variances = [forms()[name][1] for name in order]
    assert variances == sorted(variances, reverse=True)
    return "variances " + " > ".join(f"{x:.1f}" for x in variances) + ": full, to go, minus V, advantage"


STALE = "test_data_of_another_policy_are_biased_and_importance_weights_repair_them_M31"


@item(31, "data must be the policy's own", "swingup.lab.stale_data.run", GRADIENT + STALE)
def _() -> str:
    w, logits = pg.WORLDS[0], pg.logits_of(0)
    old = logits + np.random.default_rng(7).normal(0, 1, logits.shape)
    weight, truth = pg.weights_of(w, logits, "reward_to_go"), pg.gradient_of_j(w, logits)
    t = np.arange(pg.T)[:, None]
    new_p, old_p = (np.asarray(jax.nn.softmax(x))[t, w.state, w.action] for x in (logits, old))
    stale = np.abs(pg.mean_of(w, logits, weight, behaviour=old) - truth).max()
    repaired = pg.mean_of(w, logits, weight * np.prod(new_p / old_p, 0), behaviour=old) - truth
    return f"bias {stale:.2f} with another policy's; within {below(repaired)} after importance weights"


@item(
    32,
    "V by regression on rewards-to-go",
    "algos.vpg.VPG.value_loss",
    GRADIENT + "test_regression_on_rewards_to_go_has_v_for_its_minimum_M32",
)
def _() -> str:
    w, logits = pg.WORLDS[0], pg.logits_of(0)
    p, to_go = np.asarray(w.probability(logits)), pg.weights_of(w, logits, "reward_to_go", 0.8)
    truth, worst = np.asarray(w.exact_v(logits, 0.8)), 0.0
    for t, s in np.ndindex(pg.T, pg.S):
        here = p * (w.state[t] == s)
        worst = max(worst, abs(here @ to_go[t] / here.sum() - truth[t, s]))
    return f"the minimum is V within {below(worst)}"


@item(
    33,
    "γ in V, none in the gradient",
    "swingup.lab.discounted_objective.run",
    GRADIENT + "test_the_usual_estimate_lacks_a_factor_of_the_discounted_gradient_C12_M33",
)
def _() -> str:
    w, logits, gamma = pg.WORLDS[0], pg.logits_of(0), 0.7
    truth, usual = pg.gradient_of_j(w, logits, gamma), pg.weights_of(w, logits, "reward_to_go", gamma)
    factor = gamma ** np.arange(pg.T)[:, None]
    off = np.abs(pg.mean_of(w, logits, usual) - truth).max()
    return (
        f"usual estimate off by {off:.2f}; with γ^t within "
        f"{below(pg.mean_of(w, logits, factor * usual) - truth)}"
    )


@item(
    34,
    "n-step advantages",
    "returns.n_step_advantage swingup.lab.n_step.run",
    GRADIENT + "test_bias_falls_and_variance_rises_with_n_under_a_wrong_v_M34",
)
def _() -> str:
    w, logits, gamma = pg.WORLDS[0], pg.logits_of(0), 0.8
    p, t = np.asarray(w.probability(logits)), np.arange(pg.T)[:, None]
    error = np.array([0.0, 4.0, 4.0, 4.0, 0.0])[:, None]
    truth = (np.asarray(w.exact_q(logits, gamma))[t, w.state, w.action] - pg.values_of(w, logits, gamma)[0])[
        0
    ]
    off = [pg.weights_of(w, logits, "n_step", gamma, error, n=n)[0] - truth for n in (1, 2, 3, 4)]
    bias, variance = [abs(p @ x) for x in off], [p @ (x - p @ x) ** 2 for x in off]
    shown = [", ".join(f"{x:.1f}" for x in row) for row in (bias, variance)]
    return f"V wrong by 4: bias {shown[0]}, variance {shown[1]} for n = 1 to 4"


@item(
    35,
    "GAE",
    "returns.gae",
    GRADIENT + "test_gae_is_the_sum_of_td_errors_and_the_average_of_n_step_advantages_M35",
)
def _() -> str:
    rng = np.random.default_rng(0)
    r, v, v_next = jnp.asarray(rng.normal(size=(3, 12, 5)))
    kind = rng.integers(0, 4, (12, 5))
    ends, done = jnp.asarray(kind == 1), jnp.asarray((kind == 1) | (kind == 2))
    td = td_error(r, v, v_next, ends, 0.9)
    whole = gae(r, v, v_next, ends, done, 0.9, 0.7) - discounted(td, done, 0.63, jnp.zeros(5))
    return (
        f"sum of TD errors within {below(whole)}; λ = 0 within "
        f"{below(gae(r, v, v_next, ends, done, 0.9, 0.0) - td)}"
    )


# --- Q-learning ---------------------------------------------------------------------------------------------


@item(
    39, "targets without gradient", "algos.dqn.DQN.loss", "test_q_learning.py::test_targets_carry_no_gradient"
)
def _() -> str:
    class Row(NamedTuple):
        obs: Any
        action: Any
        reward: Any
        discount: Any
        next_obs: Any
        terminated: Any
        weight: Any
        next_legal: Any = None

    algo, w = DQN(), jnp.array([1.0, 2.0])
    b: Any = Row(
        jnp.eye(2)[:1],
        jnp.array([0]),
        jnp.ones(1),
        jnp.full(1, 0.9),
        jnp.eye(2)[1:],
        jnp.zeros(1, bool),
        jnp.ones(1),
    )

    def net(w):
        return lambda x: jnp.stack([x @ w, x @ w], -1)

    of_target = jax.grad(lambda w: algo.loss(net(jnp.zeros(2)), net(w), b)[0])(w)  # pyright: ignore
    both = jax.grad(lambda w: algo.loss(net(w), net(w), b)[0])(w)  # pyright: ignore
    return (
        f"gradient of the target network {np.abs(of_target).max():.0f}; with one network "
        f"{np.asarray(both).tolist()}: only Q(s, a) moves"
    )


@item(
    40,
    "ε-greedy, decayed",
    "schedules.epsilon distributions.epsilon_greedy",
    "test_q_learning.py::test_epsilon_decays_in_env_steps_exactly "
    "test_q_learning.py::test_epsilon_greedy_has_its_probabilities",
)
def _() -> str:
    algo = DQN(epsilon_start=1.0, epsilon_end=0.1, epsilon_decay=100.0)
    values = [f"{float(epsilon(algo, counter(n))):.2f}" for n in (0, 50, 100, 200)]
    p = jnp.exp(epsilon_greedy(jnp.array([0.0, 1.0, 0.0]), 0.3).log_prob(jnp.arange(3)))
    return (
        f"ε {', '.join(values)} at 0, 50, 100, 200 of 100 env steps; ε = 0.3 takes actions with "
        f"{', '.join(f'{x:.1f}' for x in p)}"
    )


@item(
    41,
    "experience replay",
    "replay.ring.sample swingup.lab.replay.run",
    "test_ring.py::test_draws_are_uniform_over_what_is_there "
    "test_ring.py::test_what_is_drawn_is_what_happened",
)
def _() -> str:
    env = make("tabular:Chain", 2)
    memory = ring.empty(env, 40)
    actor = start(env, jax.random.key(0))
    for i in range(5):
        actor, rollout = collect(env, lambda *_: Choice(jnp.ones(2, jnp.int32)), actor, jax.random.key(i), 10)
        memory = ring.add(memory, rollout)
    drawn = np.asarray(ring.draw(memory, jax.random.key(9), 20_000))
    age = (int(memory.pushed) - 1 - drawn // 2) % memory.words.shape[0]
    counts = np.unique(drawn, return_counts=True)[1]
    assert stats.chisquare(counts).pvalue > 1e-4
    return (
        f"after 100 env steps a memory of 40 gives {len(counts)} transitions, the oldest {age.max() + 1} "
        "rows of 2 back, uniformly"
    )


@item(
    42,
    "target network",
    "algos.dqn.DQN.update swingup.lab.target_network.run",
    "test_q_learning.py::test_target_network_is_renewed_on_time",
)
def _() -> str:
    algo = small("dqn", replay_ratio=0.125, num_envs=1, num_steps=8)  # a gradient step in each iteration
    env = make("tabular:Chain", 1)
    state = jax.tree.map(lambda x: x[0], driver.init(algo, env, [0]))
    equal = []
    for i in range(1, 10):
        state, _ = algo.step(env, state)
        pairs = zip(jax.tree.leaves(state.learner.params), jax.tree.leaves(state.learner.target), strict=True)
        if all(bool(jnp.all(a == b)) for a, b in pairs):
            equal.append(i)
    return f"period {algo.target_period}: equal after gradient steps {equal} of 9"


@item(
    43,
    "discrete actions only, one output each",
    "nets.value_networks.QNetwork",
    "test_q_learning.py::test_actions_that_are_not_discrete_are_refused",
)
def _() -> str:
    algo, env = small("dqn"), make("tabular:Grid", 2)
    q = algo.network(env, jax.random.key(0))(jnp.arange(11))
    try:
        algo.network(make("Pendulum-v1", 2), jax.random.key(0))
        refusal = "accepted"
    except ConfigError as error:
        refusal = str(error).rpartition("use ")[2]
    return f"11 states give {list(q.shape)}; a box is refused: use {refusal}"


@item(
    44,
    "DQN",
    "algos.dqn.DQN",
    "test_q_learning.py::test_dqns_loss_is_the_papers "
    "test_q_learning.py::test_one_hot_states_reach_the_optimal_values",
)
def _() -> str:
    import json

    scores = json.loads((ROOT / "benchmarks/results/scores/dqn-CartPole-v1.json").read_text())
    final = scores["final_return"]
    best = sum(x == 500 for x in final)
    return (
        f"CartPole-v1: {best} of {len(final)} seeds at 500, mean {np.mean(final):.1f}, "
        f"{scores['env_steps']:,} env steps (stored)"
    )


@item(
    45,
    "divergence: the deadly triad",
    "swingup.lab.deadly_triad.run swingup.lab.tools.baird.radius",
    "test_lab.py::test_only_all_three_legs_together_have_an_eigenvalue_beyond_one",
)
def _() -> str:
    radii = {name: baird.radius(baird.expected(leg)) for name, leg in baird.LEGS.items()}
    first = radii.pop("all three")
    assert max(radii.values()) < 1 + 1e-9
    return f"Baird's spectral radius {first:.4f} with all three legs, not above 1 without any one of them"


@item(
    46,
    "Q* is the fixed point of T*",
    "theory.bellman.optimality_q",
    "test_exact.py::test_bellman_equations_hold_M20",
)
def _() -> str:
    errors = [
        np.abs(optimality_q(m, q) - q).max() for m in processes() for q in [exact.optimal_action_value(m)]
    ]
    return f"‖T* Q* - Q*‖ below {below(errors)} on 20 MDPs"


@item(
    47,
    "T* is a γ-contraction",
    "theory.bellman.optimality_q swingup.lab.contraction.run",
    "test_exact.py::test_optimality_operator_contracts_M47 test_exact.py::test_the_modulus_is_attained_M47",
)
def _() -> str:
    rng, worst = np.random.default_rng(0), 0.0
    for m in processes():
        for _ in range(50):
            a, b = rng.normal(size=(2, 5, 3))
            ratio = np.abs(optimality_q(m, a) - optimality_q(m, b)).max() / np.abs(a - b).max()
            worst = max(worst, ratio / max(m.gamma, 1e-9) if m.gamma else 0.0)
    assert worst <= 1 + 1e-12
    return f"largest ratio {worst:.2f} γ in 1,000 pairs"


@item(
    48,
    "contraction maps",
    "theory.bellman.fixed_point",
    "test_exact.py::test_fixed_points_M48 test_exact.py::test_without_a_contraction_nothing_converges_M48",
)
def _() -> str:
    good = fixed_point(lambda x: 0.5 * np.cos(x), np.zeros(1))
    bad = fixed_point(lambda x: 1.5 * x + 1, np.zeros(1))
    return (
        f"½ cos x: {good.point[0]:.4f} in {len(good.steps)} applications, ratio at most "
        f"{good.modulus:.2f}; 1.5 x + 1 converges: {bad.converged}"
    )


@item(
    49,
    "value iteration",
    "algos.value_iteration.ValueIteration theory.exact.optimal_value theory.exact.optimal_by_policies "
    "theory.exact.optimal_by_linear_program swingup.lab.gridworld.run",
    "test_exact.py::test_value_iteration_error_M49 test_exact.py::test_three_solvers_agree_M49",
)
def _() -> str:
    m = PROCESSES["FrozenLake"](gamma=0.9)
    best, v, worst = exact.optimal_by_linear_program(m), np.zeros(16), 0.0
    for k in range(1, 60):
        v = optimality_v(m, v)
        worst = max(worst, np.abs(v - best).max() / (0.9**k * np.abs(best).max()))
    solvers = [
        f(m) for f in (exact.optimal_value, exact.optimal_by_policies, exact.optimal_by_linear_program)
    ]
    return (
        f"error at most {worst:.2f} γ^k of the first; three solvers within {below(np.ptp(solvers, 0), 1e-7)}"
    )


@item(
    50,
    "why approximation breaks it",
    "theory.fitted.fitted_value_iteration swingup.lab.fitted_iteration.run",
    "test_labs_values.py::test_two_states_diverge_only_beyond_their_threshold "
    "test_labs_values.py::test_an_averager_ends_within_the_bound_and_no_other_has_one",
)
def _() -> str:
    p = np.zeros((2, 1, 2))
    p[:, 0, 1] = 1.0  # values w and 2w: Tsitsiklis & Van Roy 1996
    m = mdp(p, np.zeros((2, 1)), [1, 0], gamma=0.95)
    start = np.array([1.0, 2.0])
    bad = fitted_value_iteration(m, least_squares(np.array([[1.0], [2.0]])), start, limit=200)
    good = fitted_value_iteration(m, aggregation([0, 0]), start, limit=2000)
    growth = bad.iterates[50][0] / bad.iterates[49][0]
    return (
        f"least squares grows by {growth:.2f} per iteration (6γ/5 = {6 * 0.95 / 5:.2f}); an averager "
        f"converges: {good.converged}"
    )


@item(
    51,
    "no loss is minimised",
    "theory.fitted.semi_gradient theory.fitted.jacobian_asymmetry theory.fitted.loop_work swingup.lab.no_loss.run",
    "test_labs_values.py::test_semi_gradient_against_loops_and_differences "
    "test_labs_values.py::test_without_discount_or_with_a_fixed_target_it_is_a_gradient",
)
def _() -> str:
    found = no_loss.asymmetries(jax.tree.map(lambda x: x[0], no_loss.cases(0, 1)))
    semi, fixed, residual = (float(found[name]) for name in no_loss.FIELDS)
    return (
        f"asymmetry of the Jacobian {semi:.2f}; with a fixed target and of the residual gradient, which have a loss, "
        f"below {below([fixed, residual])}"
    )


# --- The table ----------------------------------------------------------------------------------------------


def resolve(path: str) -> Any:
    """The object of a dotted path below `swingup`."""
    parts = (path if path.startswith("swingup.") else f"swingup.{path}").split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for name in parts[i:]:
            found = getattr(found, name)
        return found
    raise ModuleNotFoundError(path)


def role(path: str) -> str:
    full = path if path.startswith("swingup.") else f"swingup.{path}"
    kind = (
        "class" if isinstance(resolve(path), type) else "meth" if full.split(".")[-2][0].isupper() else "func"
    )
    short = ".".join(full.split(".")[-2:]) if kind == "meth" or full.endswith(".run") else full.split(".")[-1]
    return f"{{py:{kind}}}`{short} <{full}>`"


def row(name: str, result: str) -> str:
    it = ITEMS[name]
    code = ", ".join(map(role, it.code.split()))
    tests = " ".join(f"{{test}}`{place(test)}`" for test in it.test.split())
    return f"| {name} | {it.about} | {code} | {tests} | {result} |"


def place(test: str) -> str:
    """The path of a test that is given by the name of its file: names of files occur once."""
    file, _, function = test.partition("::")
    (path,) = (ROOT / "tests").rglob(file)
    return f"{path.relative_to(ROOT)}::{function}"


def stored() -> dict[str, str]:
    return {m[1]: m[0] for m in re.finditer(r"^\| (M\d+) \|.*$", PAGE.read_text(), re.M)}


def test_no_item_is_without_a_row() -> None:
    numbers = [*range(5, 23), *range(25, 36), *range(39, 52)]
    assert list(ITEMS) == [f"M{n}" for n in numbers]
    if not os.environ.get("SWINGUP_WRITE"):
        assert list(stored()) == list(ITEMS)


@pytest.mark.parametrize("name", ITEMS)
def test_code_and_tests_of_the_table_exist(name: str) -> None:
    for path in ITEMS[name].code.split():
        assert callable(resolve(path)), path
    for test in ITEMS[name].test.split():
        file, _, function = place(test).partition("::")
        tree = ast.parse((ROOT / file).read_text())
        assert function in {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}, test


EXACT = *range(25, 36), 10, 51  # in float64


@pytest.mark.parametrize("name", late(ITEMS, *(name for name in ITEMS if name not in ("M6", "M42"))))
def test_the_table_says_what_is_measured(name: str) -> None:
    with jax.enable_x64(int(name[1:]) in EXACT):
        found = row(name, ITEMS[name].measure())
    if os.environ.get("SWINGUP_WRITE"):
        text = PAGE.read_text()
        rows = stored() | {name: found}
        lines = [rows[n] for n in ITEMS if n in rows]
        start, end = text.index("|---|---|---|---|---|\n") + 22, text.index("\n<!-- end -->")
        PAGE.write_text(text[:start] + "\n".join(lines) + text[end:])
    assert stored()[name] == found
