"""Model-ensemble trust-region policy optimisation (Kurutach, Clavera, Duan, Tamar & Abbeel 2018, arXiv:1802.10592,
algorithm 2).

Learn the dynamics, practise in them, and go out for new data only when practice no longer helps. An iteration

    1. runs the policy for T env steps in N environments, and adds them to all transitions so far
    2. fits an ensemble of E networks φ_k to these
    3. improves the policy by TRPO on imagined rollouts, whose env steps are each answered by a member drawn anew

until the policy is better in too few members. After every few updates it is scored in each member alone,

    η(θ; φ_k) = mean over fixed first observations of  Σ_{t<H} r̂_t        with the actions of π_θ's mode

and accepted if at most a share `tolerance` of the members has a lower score than with the last policy accepted. What
only some members like is an error of these. After `patience` updates without acceptance practice ends, and the last
policy accepted goes out, with its critic, to the bit.

Differs from the paper in: imagined episodes begin at any observation of the replay, not at the task's first ones; real
actions are drawn from π alone, without noise in its parameters; σ is not reset; targets are standardised, every fifth
transition is held out for ever, and networks are never made anew; a fit has a fixed number of gradient steps; an
imagined episode is cut after H env steps and bootstraps from V. Actions are in normalised units: [-1, 1] spans the
environment's bounds.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup import counters
from swingup.algos.trpo import TRPO
from swingup.algos.trpo import Learner as Agent
from swingup.counters import Counter
from swingup.dynamics.dreams import begins, chosen, dreams, earned, rows, told
from swingup.dynamics.ensemble import Ensemble, ensemble
from swingup.dynamics.fit import fit
from swingup.envs.imagined import Likeness, likeness
from swingup.errors import ConfigError
from swingup.nets.layers import Activation
from swingup.protocols import Replaying, VecEnv, hyperparameters
from swingup.ranges import Count, NonNegative, Positive, Unit, Whole, Widths
from swingup.replay import ring
from swingup.replay.ring import Ring
from swingup.rollout import begin, collect, episode_stats, keys, start
from swingup.types import Actor, Choice, Rollout, Seen, State, without


class Learner(NamedTuple):
    agent: Agent  # π and V, which TRPO improves
    ensemble: Ensemble
    replay: Ring  # all real transitions so far
    imagined: Counter  # imagined env steps so far
    like: Likeness  # what imagined environments share with the real ones: no numbers


class Practice(NamedTuple):
    agent: Agent
    actor: Actor  # where the imagined environments are
    accepted: Agent  # the last policy that was
    scores: Array  # [E] its η
    updates: Array  # of TRPO so far
    since: Array  # those since it was accepted
    key: Array
    metrics: dict[str, Array]  # of the last update


@hyperparameters
class METRPO(Replaying):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 600  # T: real env steps per environment between fits
    members: Count = 5  # E: networks of the ensemble
    known: bool = True  # reward and ends are the environment's own functions; if not, they are learned
    looks: Count = 10  # looks at the rows held out, in a fit; each member keeps its best weights
    model_steps: Count = 100  # gradient steps of the model before each look
    model_batch: Count = 256  # transitions of each member in one of these
    model_lr: NonNegative = 1e-3  # learning rate of the model's Adam
    model_hidden: Widths = (64, 64)  # widths of the model's hidden layers
    replay_size: Count = 20_000  # real transitions kept, over all environments
    warmup: Whole = 0  # real env steps with random actions before the first fit
    warmup_hold: Count = 1  # env steps for which each of these is held
    imagined_envs: Count = 60  # imagined environments run in parallel; a multiple of members
    horizon: Count = 100  # H: env steps of an imagined episode, and in each environment of a TRPO update
    updates: Count = 50  # TRPO updates of an iteration at most
    score_every: Count = 5  # TRPO updates between two scores
    patience: Count = 20  # TRPO updates without acceptance after which practice ends
    tolerance: Unit = 0.3  # share of the members that may get worse, in [0, 1]
    score_starts: Count = 50  # first observations from which a policy is scored
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lam: Unit = 0.95  # λ: of GAE, in [0, 1]; lower is less variance and more bias
    delta: Positive = 0.01  # δ: the largest mean KL(old||new) of an update, in nats; 0.001 to 0.05
    value_epochs: Count = 10  # passes over each imagined rollout in the fit of V
    num_minibatches: Count = 8  # parts that a rollout is cut in for it; one gradient step each
    lr: NonNegative = 1e-3  # learning rate of the value function's Adam; the policy has none
    hidden: Widths = (64, 64)  # widths of the hidden layers of policy and value function
    activation: Activation = "tanh"  # of these: tanh, relu, silu or gelu
    log_std_init: float = 0.0  # continuous actions: initial log σ, in units of half the action range

    up_to_date = True

    def __post_init__(self):
        self.trpo()
        if self.imagined_envs % self.members:
            raise ConfigError(
                f"imagined_envs={self.imagined_envs} must be a multiple of members={self.members}: "
                "each answers as many of them"
            )
        if self.updates < self.score_every:
            raise ConfigError(f"updates={self.updates} must be at least score_every={self.score_every}")
        if self.replay_size < max(self.env_steps_per_iteration, self.warmup_env_steps):
            raise ConfigError(
                f"replay_size={self.replay_size} must hold the env steps of the warm-up and of one iteration"
            )

    def trpo(self) -> TRPO:
        """Return TRPO as it practises; what is not said here is its default."""
        return TRPO(
            num_envs=self.imagined_envs,
            num_steps=self.horizon,
            gamma=self.gamma,
            lam=self.lam,
            delta=self.delta,
            value_epochs=self.value_epochs,
            num_minibatches=self.num_minibatches,
            lr=self.lr,
            hidden=self.hidden,
            activation=self.activation,
            log_std_init=self.log_std_init,
        )

    def init(self, env: VecEnv, key: Array) -> State:
        """Make a policy, an ensemble that has learnt nothing, and a replay with the transitions of random actions."""
        k_agent, k_model, k_env, k_run, key = jax.random.split(key, 5)
        made = ensemble(env, k_model, self.members, self.model_hidden, known=self.known)
        agent, replay = self.trpo().init(env, k_agent).learner, ring.empty(env, self.replay_size)
        learner = Learner(agent, made, replay, counters.counter(), likeness(env))
        return State(*begin(self, env, learner, (k_env, k_run)), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do T real env steps in N environments, then fit and practise."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose actions for observations [N, ...] as TRPO does; without noise the policy's mode."""
        return self.trpo().act(learner.agent, seen, noise)

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return V(s) of observations [N, ...]: [N]."""
        return self.trpo().value(learner.agent, obs)

    def acting(self, learner: Learner) -> Learner:
        """Return the policy alone."""
        return without(learner, "ensemble", "replay", "imagined")

    def remember(self, learner: Learner, rollout: Rollout) -> Learner:
        """Keep a real rollout [T, N]."""
        return learner._replace(replay=ring.add(learner.replay, rollout))

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Keep the rollout [T, N], fit the ensemble to all of them, then practise in it."""
        k_gap, k_fit, k_practice = jax.random.split(key, 3)
        act = partial(self.trpo().act, learner.agent)
        ahead = min(self.horizon, self.num_steps)
        metrics = told(learner.ensemble, learner.like, act, rollout, ahead, k_gap)
        learner = self.remember(learner, rollout)
        how: dict[str, Any] = {
            "looks": self.looks,
            "gradient_steps": self.model_steps,
            "batch_size": self.model_batch,
        }
        known = rows(learner.ensemble, learner.replay)
        fitted, metrics["model/loss"] = fit(learner.ensemble, known, k_fit, lr=self.model_lr, **how)
        last = self.practise(learner._replace(ensemble=fitted), k_practice)
        done = last.updates * self.imagined_envs * self.horizon
        imagined = counters.add(learner.imagined, done)
        metrics |= last.metrics | {
            "model/imagined": counters.real(imagined),
            "imagined/return": last.scores.mean(),
            "imagined/updates": last.updates.astype(jnp.float32),
            "imagined/refused": last.since.astype(jnp.float32),
        }
        return Learner(last.accepted, fitted, learner.replay, imagined, learner.like), metrics

    def practise(self, learner: Learner, key: Array) -> Practice:
        """Improve the policy in imagined environments until its scores say that this no longer helps."""
        k_first, k_starts, k_score, key = jax.random.split(key, 4)
        rule, agent, limit = self.trpo(), learner.agent, self.horizon
        dream = dreams(learner.ensemble, learner.like, learner.replay, self.imagined_envs, limit)
        starts = begins(learner.replay, k_starts, self.score_starts)

        def update(carry: tuple[Agent, Actor], key: Array) -> tuple[Any, dict[str, Array]]:
            agent, actor = carry
            k_run, k_learn = jax.random.split(key)
            act = partial(rule.act, agent)
            actor, rollout = collect(dream, act, actor, k_run, self.horizon, unroll=1)
            agent, metrics = rule.update(agent, rollout, k_learn)
            return (agent, actor), metrics

        def several(now: Practice) -> Practice:
            key, k_score, *each = jax.random.split(now.key, 2 + self.score_every)
            (agent, actor), metrics = jax.lax.scan(update, (now.agent, now.actor), jnp.stack(each))
            scores = self.scores(learner, agent, starts, k_score)
            good = accepted(scores, now.scores, self.tolerance)
            best, scores = chosen(good, (agent, scores), (now.accepted, now.scores))
            since = jnp.where(good, 0, now.since + self.score_every)
            updates, last = now.updates + self.score_every, jax.tree.map(lambda x: x[-1], metrics)
            return Practice(agent, actor, best, scores, updates, since, key, last)

        def goes_on(now: Practice) -> Array:
            return (now.updates + self.score_every <= self.updates) & (now.since < self.patience)

        scores, none = self.scores(learner, agent, starts, k_score), jnp.int32(0)
        first = Practice(agent, start(dream, k_first), agent, scores, none, none, key, {})
        shapes = jax.eval_shape(several, first).metrics
        nothing = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), shapes)
        return jax.lax.while_loop(goes_on, several, first._replace(metrics=nothing))

    def scores(self, learner: Learner, agent: Agent, starts: Array, key: Array) -> Array:
        """Return η of a policy in each member, [E]: modes act, and members are certain, so that no key changes it."""

        def act(seen: Seen, _: Array) -> Choice:
            return self.trpo().act(agent, seen)

        dreamt = earned(learner.ensemble, learner.like, act, starts, self.horizon, key)
        return dreamt.sum(0).mean(-1)


def accepted(scores: Array, before: Array, tolerance: Array | float) -> Array:
    """Say whether at most a share of the members has a lower score than before, []; NaN is a lower one.

    >>> bool(accepted(jnp.array([2.0, 2.0, 0.0]), jnp.ones(3), 0.4)), bool(accepted(jnp.zeros(3), jnp.ones(3), 0.4))
    (True, False)
    """
    return jnp.mean(~(scores >= before)) <= tolerance
