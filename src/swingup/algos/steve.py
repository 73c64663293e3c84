"""Stochastic ensemble value expansion (Buckman, Hafner, Tucker, Brevdo & Lee 2018, arXiv:1807.01675, section 3).

Model-based value expansion trusts its model for H env steps, whatever the model knows. STEVE asks ensembles for all
lengths up to H and mixes them, each by how well the judges agree. With E models and L critics the target after i
imagined env steps has E L values,

    T_i = Σ_{t<=i} γ^t alive_t r_t + γ^{i+1} alive_{i+1} Q⁻(s_{i+1}, μ⁻(s_{i+1}))
    w_i = 1 / (Var T_i + 1e-8),  divided by their sum;        y = Σ_i w_i mean T_i                 (eq. 9)

r_0 and s_1 are real, so T_0 is DDPG's target, one for each critic. Where models disagree, long targets vary and weigh
nothing; where critics disagree and models do not, long ones win. alive_{t+1} = alive_t (1 - P(end)), a probability.

All else is DDPG with L critics, each fitted to the same y; the policy climbs their mean.

Differs from the paper in: one network predicts change, reward and end, where the paper has an ensemble for each, so
that T_i has E L values and not E E L; critics learn from the same batches, and differ by their first weights; rewards
and ends that the environment gives as functions are not learnt; and as DDPG differs from its own (see `ddpg`). Actions
are in normalised units: [-1, 1] spans the environment's bounds.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup import counters
from swingup.algos.ddpg import DDPG, Networks
from swingup.algos.ddpg import Learner as Agent
from swingup.counters import Counter
from swingup.dynamics.dreams import rows, told
from swingup.dynamics.ensemble import Ensemble, ensemble
from swingup.dynamics.fit import fit
from swingup.envs.imagined import Likeness, likeness
from swingup.expansion import candidates, weighted
from swingup.nets.layers import Activation
from swingup.nets.value_networks import ActorNetwork, Critic, Critics, twins
from swingup.normalise import Off
from swingup.optimisers import copied, fresh
from swingup.protocols import Replaying, VecEnv, hyperparameters
from swingup.ranges import Count, Fraction, NonNegative, Ratio, Unit, Whole, Widths
from swingup.replay import ring
from swingup.replay.ring import Batch
from swingup.rollout import begin, collect, episode_stats, keys
from swingup.spaces import to_env
from swingup.types import Choice, Rollout, Seen, State, without


class Learner(NamedTuple):
    agent: Agent  # policy and critic, and the replay
    ensemble: Ensemble
    imagined: Counter  # imagined env steps so far
    like: Likeness  # what imagined environments share with the real ones: no numbers


@hyperparameters
class STEVE(Replaying):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 25  # T: real env steps per environment between fits
    replay_ratio: Ratio = 4.0  # gradient steps of DDPG per real env step
    horizon: Whole = 3  # H: env steps that the longest target imagines
    members: Count = 4  # E: networks of the ensemble
    critics: Count = 4  # L: critics, of one policy
    known: bool = True  # reward and ends are the environment's own functions; if not, they are learned
    looks: Count = 5  # looks at the rows held out, in a fit; each member keeps its best weights
    model_steps: Count = 20  # gradient steps of the model before each look
    model_batch: Count = 256  # transitions of each member in one of these
    model_lr: NonNegative = 1e-3  # learning rate of the model's Adam
    model_hidden: Widths = (200, 200)  # widths of the model's hidden layers
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lr: NonNegative = 1e-3  # learning rate of Adam for the critic
    actor_lr: NonNegative = 1e-3  # and for the actor
    batch_size: Count = 256  # transitions per gradient step of DDPG
    replay_size: Count = 100_000  # real transitions kept, over all environments
    warmup: Whole = 1_000  # real env steps with random actions before the first fit
    warmup_hold: Count = 1  # env steps for which each of these is held
    tau: Fraction = 0.005  # τ: how far the target networks follow per gradient step
    noise: NonNegative = 0.1  # σ: of the exploration noise, in units of half the action range
    hidden: Widths = (256, 256)  # widths of the hidden layers of policy and critic
    activation: Activation = "relu"  # of these: tanh, relu, silu or gelu

    up_to_date = True

    def __post_init__(self):
        self.ddpg()

    def ddpg(self) -> DDPG:
        """Return DDPG as it learns here; what is not said here is its default."""
        return DDPG(
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
            noise=self.noise,
            hidden=self.hidden,
            activation=self.activation,
        )

    def init(self, env: VecEnv, key: Array) -> State:
        """Make DDPG with L critics and its warm-up, and models that have learnt nothing."""
        k_net, k_model, k_env, k_run, key = jax.random.split(key, 5)
        params = self.networks(env, k_net)
        adam = self.ddpg().optimizer(self.lr, counters.counter())
        opt_state = fresh(adam, params.actor), fresh(adam, params.critic)
        learned = params, copied(params), opt_state, ring.empty(env, self.replay_size)
        agent = Agent(*learned, counters.counter(self.warmup_env_steps), Off())
        made = ensemble(env, k_model, self.members, self.model_hidden, known=self.known)
        learner = Learner(agent, made, counters.counter(), likeness(env))
        return State(*begin(self, env, learner, (k_env, k_run)), key)

    def networks(self, env: VecEnv, key: Array) -> Networks:
        k_actor, k_critic = jax.random.split(key)
        spec = env.observation_space, env.action_space, self.hidden, self.activation
        critics: Any = Critics(twins(lambda k: Critic(*spec, key=k), k_critic, self.critics))
        return Networks(ActorNetwork(*spec, key=k_actor), critics)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do T real env steps in N environments; then fit the model and take gradient steps."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Return μ(s) with exploration noise for observations [N, ...]; without noise μ(s) alone."""
        return self.ddpg().act(learner.agent, seen, noise)

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return the mean of Q_l(s, μ(s)) of observations [N, ...]: [N]."""
        return self.ddpg().value(learner.agent, obs).mean(0)

    def acting(self, learner: Learner) -> Learner:
        """Return all that `act` reads, without the replay and what learns."""
        agent = self.ddpg().acting(learner.agent)
        return without(learner._replace(agent=agent), "ensemble", "imagined")

    def remember(self, learner: Learner, rollout: Rollout) -> Learner:
        """Keep a real rollout [T, N]."""
        return learner._replace(agent=self.ddpg().remember(learner.agent, rollout))

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Keep the rollout [T, N]; then fit the ensemble, and take DDPG's gradient steps on expanded transitions."""
        k_gap, k_fit, k_learn, k_trust = jax.random.split(key, 4)
        act, k = partial(self.ddpg().act, learner.agent), min(max(self.horizon, 1), self.num_steps)
        metrics = told(learner.ensemble, learner.like, act, rollout, k, k_gap)
        agent, _, imagined, like = self.remember(learner, rollout)
        how: dict[str, Any] = {
            "looks": self.looks,
            "gradient_steps": self.model_steps,
            "batch_size": self.model_batch,
        }
        known = rows(learner.ensemble, agent.replay)
        fitted, metrics["model/loss"] = fit(learner.ensemble, known, k_fit, lr=self.model_lr, **how)

        def draw(target: Networks, key: Array) -> Batch:
            b = self.ddpg().sample(agent, key)
            y, _ = self.target(fitted, target, b)
            return b._replace(
                reward=y, terminated=jnp.ones_like(b.terminated)
            )  # nothing is left to ask a critic for

        learnt, more = self.ddpg().learn(agent, k_learn, draw)
        weight = self.target(fitted, learnt.target, self.ddpg().sample(learnt, k_trust))[1]
        length = (jnp.arange(self.horizon + 1)[:, None] * weight).sum(0).mean()
        ahead = self.members * self.horizon * self.batch_size * self.gradient_steps_per_iteration
        imagined = counters.add(imagined, ahead)
        metrics |= more | {"model/imagined": counters.real(imagined), "imagined/length": length}
        return Learner(learnt, fitted, imagined, like), metrics

    def target(self, fitted: Ensemble, target: Networks, b: Batch) -> tuple[Array, Array]:
        """Return y [B], and the weights of the lengths 0 .. H, [H+1, B]."""
        e, size = self.members, len(b.reward)

        def judged(obs: Array) -> Array:
            return target.critic(obs, jnp.tanh(target.actor(obs)))  # [L, E, B]

        def ahead(obs: Array, _: None) -> tuple[Array, Any]:
            action = to_env(fitted.action_space, jnp.tanh(target.actor(obs)))
            raw = fitted.raw(fitted.features(obs, action))
            after, reward, end = fitted.outcome(obs, action, raw.mean, raw.end)
            return after, (reward, end, judged(after))

        first = jnp.broadcast_to(b.next_obs, (e, *b.next_obs.shape))
        real = jnp.broadcast_to(b.reward, (e, size)), jnp.broadcast_to(b.terminated, (e, size)) * 1.0
        _, path = jax.lax.scan(ahead, first, None, length=self.horizon)
        reward, end, q = (
            jnp.concatenate([x[None], y]) for x, y in zip((*real, judged(first)), path, strict=True)
        )
        reward, end = (jnp.broadcast_to(x[:, None], q.shape) for x in (reward, end))
        found = candidates(reward, end, q, self.gamma)
        y, weight = weighted([t.reshape(-1, size) for t in found])
        return y, jnp.stack(weight)
