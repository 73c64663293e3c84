"""Model-based policy optimisation (Janner, Fu, Zhang & Levine 2019, arXiv:1906.08253, algorithm 2).

SAC learns from a model that is asked for a few env steps only. After every T real env steps in N environments

    1. an ensemble of networks is fitted to all real transitions so far
    2. from states of the replay, k env steps each are imagined with the policy; the elites, the members with the
       smallest error on rows held out, answer each row and env step by one of them drawn anew
    3. SAC takes many gradient steps, on batches of which a share is real, and the rest imagined

Branches are short because errors compound: k grows with the real env steps, as the model gets better,

    k = k_1 + (k_2 - k_1) clip((env steps - from) / (to - from), 0, 1),  rounded down

What is imagined lies in a second replay, whose oldest rows are overwritten; so it holds what the last few models said.

Differs from the paper in: members are deterministic by default and learn by squared error, which was steadier with few
data; `gaussian=True` is the paper's. Targets are standardised. Every fifth transition is held out, for ever. A fit has
a fixed number of gradient steps. Rewards and ends that the environment gives as functions are not learnt. All T env
steps of an iteration come before its gradient steps. Actions are in normalised units: [-1, 1] spans the bounds.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup import counters
from swingup.algos.sac import SAC
from swingup.algos.sac import Learner as Agent
from swingup.counters import Counter
from swingup.dynamics.dreams import dreams, rows, told
from swingup.dynamics.ensemble import Ensemble, ensemble
from swingup.dynamics.fit import fit
from swingup.envs.imagined import Likeness, likeness
from swingup.errors import ConfigError
from swingup.nets.layers import Activation
from swingup.protocols import Replaying, VecEnv, hyperparameters
from swingup.ranges import Count, Fraction, NonNegative, Ratio, Share, Unit, Whole, Widths
from swingup.replay import ring
from swingup.replay.ring import Batch, Ring
from swingup.rollout import collect, episode_stats, keys, start
from swingup.types import Choice, Rollout, Seen, State, without


class Learner(NamedTuple):
    agent: Agent  # policy and critics, and the replay of real transitions
    ensemble: Ensemble
    dreamt: Ring  # imagined transitions
    imagined: Counter  # imagined env steps so far
    like: Likeness  # what imagined environments share with the real ones: no numbers


@hyperparameters
class MBPO(Replaying):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 25  # T: real env steps per environment between fits
    replay_ratio: Ratio = 20.0  # gradient steps of SAC per real env step
    members: Count = 7  # E: networks of the ensemble
    elites: Count = 5  # members that imagine: those with the smallest error on rows held out
    known: bool = True  # reward and ends are the environment's own functions; if not, they are learned
    gaussian: bool = False  # members say variances too, and learn by likelihood
    looks: Count = 5  # looks at the rows held out, in a fit; each member keeps its best weights
    model_steps: Count = 20  # gradient steps of the model before each look
    model_batch: Count = 256  # transitions of each member in one of these
    model_lr: NonNegative = 1e-3  # learning rate of the model's Adam
    model_hidden: Widths = (200, 200)  # widths of the model's hidden layers
    imagined_envs: Count = 400  # branches side by side; a multiple of elites
    imagined_size: Count = 50_000  # imagined transitions kept
    branch: Count = 1  # k_1: imagined env steps from a real state
    branch_end: Count = 1  # k_2: and when it has grown, or shrunk
    branch_from: NonNegative = 0.0  # real env steps at which that begins
    branch_to: NonNegative = 0.0  # and is done
    real_share: Share = 0.05  # of a batch: what is not imagined, in [0, 1]
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lr: NonNegative = 3e-4  # learning rate of Adam for the critics
    actor_lr: NonNegative = 3e-4  # and for the actor
    batch_size: Count = 256  # transitions per gradient step of SAC
    replay_size: Count = 100_000  # real transitions kept, over all environments
    warmup: Whole = 1_000  # real env steps with random actions before the first fit
    warmup_hold: Count = 1  # env steps for which each of these is held
    tau: Fraction = 0.005  # τ: how far the target networks follow per gradient step
    alpha: NonNegative = 1.0  # α: temperature at the beginning, or for good if it is not learnt
    alpha_lr: NonNegative = 3e-4  # learning rate of Adam for log α; 0 keeps it fixed
    target_entropy: float = -1.0  # H̄, per dimension of the action, in nats
    hidden: Widths = (256, 256)  # widths of the hidden layers of policy and critics
    activation: Activation = "relu"  # of these: tanh, relu, silu or gelu

    up_to_date = True

    def __post_init__(self):
        self.sac()
        if self.elites > self.members:
            raise ConfigError(f"elites={self.elites} cannot be more than members={self.members}")
        if self.imagined_envs % self.elites:
            raise ConfigError(
                f"imagined_envs={self.imagined_envs} must be a multiple of elites={self.elites}: "
                "each answers as many of them"
            )
        if self.imagined_size < self.imagined_envs * self.longest:
            raise ConfigError(
                f"imagined_size={self.imagined_size} must hold what one iteration imagines: "
                f"{self.imagined_envs} branches of {self.longest} env steps"
            )

    @property
    def longest(self) -> int:
        """Return the env steps of the longest branch."""
        return max(self.branch, self.branch_end)

    def sac(self) -> SAC:
        """Return SAC as it learns here; what is not said here is its default."""
        return SAC(
            num_envs=self.num_envs,
            num_steps=self.num_steps,
            replay_ratio=self.replay_ratio,
            gamma=self.gamma,
            lr=self.lr,
            actor_lr=self.actor_lr,
            batch_size=self.batch_size,
            replay_size=self.replay_size,
            warmup=self.warmup,
            warmup_hold=self.warmup_hold,
            tau=self.tau,
            alpha=self.alpha,
            alpha_lr=self.alpha_lr,
            target_entropy=self.target_entropy,
            hidden=self.hidden,
            activation=self.activation,
        )

    def init(self, env: VecEnv, key: Array) -> State:
        """Make SAC with its warm-up, an ensemble that has learnt nothing, and a replay in which nothing is imagined."""
        k_agent, k_model = jax.random.split(key)
        agent, actor, key = self.sac().init(env, k_agent)
        how: dict[str, Any] = {"gaussian": self.gaussian, "known": self.known}
        made = ensemble(env, k_model, self.members, self.model_hidden, **how)
        dreamt = ring.empty(env, self.imagined_size, self.imagined_envs)
        return State(Learner(agent, made, dreamt, counters.counter(), likeness(env)), actor, key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do T real env steps in N environments; then fit, imagine and take gradient steps."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose actions of π for observations [N, ...]; without noise tanh of its mean."""
        return self.sac().act(learner.agent, seen, noise)

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return min_i Q_i(s, a) of observations [N, ...] and the greedy actions there: [N]."""
        return self.sac().value(learner.agent, obs)

    def acting(self, learner: Learner) -> Learner:
        """Return all that `act` reads, without replays and what learns."""
        agent = self.sac().acting(learner.agent)
        return without(learner._replace(agent=agent), "ensemble", "dreamt", "imagined")

    def remember(self, learner: Learner, rollout: Rollout) -> Learner:
        """Keep a real rollout [T, N]."""
        return learner._replace(agent=self.sac().remember(learner.agent, rollout))

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Keep the rollout [T, N]; then fit the ensemble, imagine, and take SAC's gradient steps."""
        k_gap, k_fit, k_dream, k_learn = jax.random.split(key, 4)
        act, k = partial(self.sac().act, learner.agent), min(self.longest, self.num_steps)
        metrics = told(learner.ensemble, learner.like, act, rollout, k, k_gap)
        agent, _, dreamt, imagined, like = self.remember(learner, rollout)
        how: dict[str, Any] = {
            "looks": self.looks,
            "gradient_steps": self.model_steps,
            "batch_size": self.model_batch,
        }
        known = rows(learner.ensemble, agent.replay)
        fitted, metrics["model/loss"] = fit(learner.ensemble, known, k_fit, lr=self.model_lr, **how)
        length = self.length(agent.env_steps)
        branches = self.imagine(Learner(agent, fitted, dreamt, imagined, like), length, k_dream)
        dreamt = ring.add(dreamt, branches)
        agent, learnt = self.sac().learn(agent, k_learn, partial(self.sample, agent.replay, dreamt))
        imagined = counters.add(imagined, self.imagined_envs * self.longest)
        metrics |= learnt | {
            "model/imagined": counters.real(imagined),
            "imagined/branch": length.astype(jnp.float32),
        }
        return Learner(agent, fitted, dreamt, imagined, like), metrics

    def length(self, env_steps: Counter) -> Array:
        """Return k, the env steps of a branch, from the real env steps so far."""
        way = jnp.maximum(self.branch_to - self.branch_from, 1e-6)
        share = jnp.clip((counters.real(env_steps) - self.branch_from) / way, 0, 1)
        return jnp.int32(jnp.floor(self.branch + share * (self.branch_end - self.branch)))

    def imagine(self, learner: Learner, length: Array, key: Array) -> Rollout:
        """Return an imagined rollout [k_max, B] of branches of `length` env steps: where one is done another begins, so
        that as many rows are imagined whatever their length, and none is thrown away.
        """
        k_start, k_run = jax.random.split(key)
        best, agent = learner.ensemble.best(self.elites), learner.agent
        dream = dreams(best, learner.like, agent.replay, self.imagined_envs, length)
        act = partial(self.sac().act, agent)
        return collect(dream, act, start(dream, k_start), k_run, self.longest, unroll=1)[1]

    def sample(self, real: Ring, dreamt: Ring, key: Array) -> Batch:
        """Draw a batch, of which `real_share` is real; the rest is imagined."""
        k_real, k_dreamt = jax.random.split(key)
        count = round(self.real_share * self.batch_size)
        parts = [
            ring.sample(source, k, size, self.gamma)
            for source, k, size in ((real, k_real, count), (dreamt, k_dreamt, self.batch_size - count))
            if size
        ]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
