"""Probabilistic ensembles with trajectory sampling, PETS (Chua, Calandra, McAllister & Levine 2018, arXiv:1805.12114,
algorithm 1).

Learn the dynamics from all transitions so far, as an ensemble of E networks, and plan in it. After each trial of T env
steps the ensemble is fitted a little more. In each env step the cross-entropy method searches for the plan that earns
most, on average over P particles, and its first action is taken,

    a_t = first of  argmax over a_0 ... a_{H-1} of  1/P Σ_p Σ_{h<H} γ^h alive_h^p r_h^p

where particle p follows one member of the ensemble through the whole plan (TS∞). Members agree where there are data.
Elsewhere they differ, and a plan that only one of them likes is worth little. The first trial is random.

Differs from the paper in: members are deterministic by default and learn by squared error, which was steadier with few
data; `gaussian=True` is the paper's. Targets are standardised. Every fifth transition is held out, and members restore
their best weights. A fit has a fixed number of gradient steps, not of passes. One weight decay is for all layers, and
is 0 by default. A search has a fixed number of iterations. A reward that the environment does not give is learnt.
Actions are in normalised units: [-1, 1] spans the environment's bounds.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.dynamics.ensemble import Ensemble, ensemble
from swingup.dynamics.errors import errors
from swingup.dynamics.fit import Resample, Rows, fit
from swingup.dynamics.learned import Learned
from swingup.errors import ConfigError
from swingup.nets.layers import Activation
from swingup.planning import plans, worth
from swingup.planning.plans import Carried, Plan, Planner
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Count, NonNegative, Positive, Unit, Widths
from swingup.replay import ring
from swingup.replay.ring import Ring
from swingup.rollout import collect, episode_stats, keys, start
from swingup.spaces import Space, to_env
from swingup.types import Choice, Rollout, Seen, State, without


class Learner(NamedTuple):
    ensemble: Ensemble
    replay: Ring  # all transitions so far
    iteration: Counter  # trials done so far, and fits


class Noise(NamedTuple):
    """Noise holds all that is random in acting, drawn before the env steps."""

    search: Array  # [N] keys
    any: Array  # [N, A] random actions, of the first trial


@hyperparameters
class PETS(Algorithm):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 200  # T: env steps per environment in a trial, after which the ensemble is fitted
    gamma: Unit = 1.0  # γ: discount per env step of a plan, in [0, 1]
    planner: Planner = "cem"  # cem, or shooting: the best of random plans
    horizon: Count = 25  # H: env steps that a plan looks ahead
    candidates: Count = 100  # C: plans that are tried, by cem in each of its iterations
    search_iterations: Count = 4  # of cem, in each env step
    elites: Count = 10  # K: the best plans, to which cem moves
    momentum: Unit = 0.1  # α: what cem keeps of its mean and deviation
    sigma: Positive = 0.5  # σ: deviation of cem at the beginning, in units of half the action range
    particles: Count = 5  # P: how often each plan is tried, by members in turn; a multiple of members
    members: Count = 5  # E: networks of the ensemble
    known: bool = True  # reward and ends are the environment's own functions; if not, they are learned
    gaussian: bool = False  # members say variances too, and learn by likelihood
    resample: Resample = "bootstrap"  # rows of each member: bootstrap, or permuted (all, in its own order)
    looks: Count = 10  # looks at the rows held out, in a fit; each member keeps its best weights
    gradient_steps: Count = 50  # before each look
    batch_size: Count = 256  # transitions of each member in a gradient step
    lr: NonNegative = 1e-3  # learning rate of Adam
    decay: NonNegative = 0.0  # weight of the squares of the networks' weights
    max_grad_norm: Positive = 10.0  # a member's longer gradient is shortened to it
    replay_size: Count = 20_000  # transitions kept, over all environments
    hidden: Widths = (64, 64)  # widths of the hidden layers
    activation: Activation = "silu"  # of the hidden layers: tanh, relu, silu or gelu

    up_to_date = True

    def __post_init__(self):
        plans.check_search(self)
        if self.particles % self.members:
            raise ConfigError(
                f"particles={self.particles} must be a multiple of members={self.members}: each follows one of them"
            )
        if self.replay_size < self.env_steps_per_iteration:
            raise ConfigError(
                f"replay_size={self.replay_size} must hold the {self.env_steps_per_iteration} env steps of a trial"
            )

    def init(self, env: VecEnv, key: Array) -> State:
        """Make an ensemble that has learnt nothing, an empty replay, and environments at their beginnings."""
        k_net, k_env, key = jax.random.split(key, 3)
        memory = self.start_memory(env.action_space, self.num_envs)
        how = {"gaussian": self.gaussian, "known": self.known}
        made = ensemble(env, k_net, self.members, self.hidden, self.activation, **how)
        learner = Learner(made, ring.empty(env, self.replay_size), counters.counter())
        return State(learner, start(env, k_env, memory), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do one iteration: a trial of T env steps in N environments, then a fit of the ensemble."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps, draw=self.draw, unroll=1)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Noise | None = None) -> Choice:
        """Plan in N environments and choose first actions, or any in the first trial; without noise draws are fixed."""
        drawn = plans.fixed_keys(seen.memory.age) if noise is None else noise.search
        found = jax.vmap(partial(self.plan, learner.ensemble))(seen.obs, seen.memory.plan, drawn)
        action = found.actions[:, 0]
        if noise is not None:
            action = jnp.where(counters.real(learner.iteration) == 0, noise.any, action)
        return Choice(action, found.value, plans.carry_on(found, seen.memory))

    def plan(self, learnt: Ensemble, obs: Array, last: Array, key: Array) -> Plan:
        """Plan from one observation; `last` is the plan of the env step before, shifted: [H, A]."""
        model = Learned(learnt, shuffled=False)
        starts = jnp.broadcast_to(obs, (self.particles, *obs.shape))

        def score(tried: Array, key: Array) -> Array:
            noise = model.draw(key, (self.horizon, self.particles * self.candidates))
            return worth.returns(model, learnt.action_space, starts, tried, noise, self.gamma)

        return plans.search(self, score, key, last)

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Add the rollout [T, N] to the replay, and fit the ensemble to all of it."""
        ahead = errors(learner.ensemble, rollout, min(self.horizon, self.num_steps))  # not learnt from yet
        replay, step, promised = ring.add(learner.replay, rollout), rollout.step, rollout.extras
        fitted, loss = fit(
            learner.ensemble,
            self.rows(learner.ensemble, replay),
            key,
            looks=self.looks,
            gradient_steps=self.gradient_steps,
            batch_size=self.batch_size,
            lr=self.lr,
            decay=self.decay,
            max_grad_norm=self.max_grad_norm,
            resample=self.resample,
        )
        iteration, ends = counters.add(learner.iteration, 1), (step.terminated, step.done)
        metrics = {
            "model/loss": loss,
            "model/error_1": ahead[0],
            "model/error_k": ahead[1],
            "model/gap": worth.gap(promised, step.reward, *ends, self.horizon, self.gamma),
            "model/given_reward": jnp.float32(fitted.reward is not None),
            "model/given_end": jnp.float32(fitted.end is not None),
            "plan/value": promised.mean(),
            "model/imagined": counters.real(iteration) * plans.imagined(self),
        }
        return Learner(fitted, replay, iteration), metrics

    def rows(self, learnt: Ensemble, replay: Ring) -> Rows:
        """Return all transitions of the replay, by their places, with actions in the environment's units."""
        b, there = ring.everything(replay)
        return Rows(b.obs, to_env(learnt.action_space, b.action), b.reward, b.next_obs, b.terminated, there)

    def draw(self, space: Space, key: Array, shape: tuple[int, ...]) -> Noise:
        """Draw all that is random in env steps [*shape]."""
        k_search, k_any = jax.random.split(key)
        return Noise(
            jax.random.split(k_search, shape),
            jax.random.uniform(k_any, (*shape, *space.shape), minval=-1.0, maxval=1.0),
        )

    def start_memory(self, space: Space, num_envs: int) -> Carried:
        """Return plans that do nothing, [N, H, A]."""
        return plans.nothing(space, num_envs, self.horizon)

    def acting(self, learner: Learner) -> Learner:
        """Return all but the replay: plans are made in the ensemble alone."""
        return without(learner, "replay")
