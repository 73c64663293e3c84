"""Model-based value expansion (Feinberg, Wan, Stoica, Jordan, Gonzalez & Levine 2018, arXiv:1803.00101, algorithm 1).

DDPG, whose targets look a few env steps ahead in a learnt model before they ask the critic. With a real transition
(s_0, a_0, r_0, s_1), and H env steps imagined from s_1 with the target policy μ⁻,

    y = Σ_{t<=H} γ^t alive_t r_t + γ^{H+1} alive_{H+1} Q⁻(s_{H+1}, μ⁻(s_{H+1}))                    (eq. 1)

r_0 and s_1 are real, all later ones imagined; alive is 0 after an end. H = 0 is DDPG. So the target is that of a
transition of H + 1 env steps, and DDPG learns from such: nothing else changes. A critic that is wrong by ε at s_{H+1}
is wrong by γ^{H+1} ε here, plus whatever the model gets wrong on the way.

The critic is fitted at the states of its own targets' paths too, as it will be asked there: `td_k` adds the pairs
(s_t, a_t), t <= H, each with the rest of the path as its target (section 4).

Differs from the paper in: as DDPG differs from its own (see `ddpg`); the model is one network by default, and may be an
ensemble, whose members answer each row and env step in turns; rewards and ends that the environment gives as functions
are not learnt. Actions are in normalised units: [-1, 1] spans the environment's bounds.
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
from swingup.dynamics.dreams import earlier, rows, told
from swingup.dynamics.ensemble import Ensemble, ensemble
from swingup.dynamics.fit import fit
from swingup.dynamics.learned import Learned
from swingup.envs.imagined import Likeness, likeness
from swingup.errors import ConfigError
from swingup.expansion import extended
from swingup.nets.layers import Activation
from swingup.protocols import Replaying, VecEnv, hyperparameters
from swingup.ranges import Count, Fraction, NonNegative, Ratio, Unit, Whole, Widths
from swingup.replay.ring import Batch
from swingup.rollout import collect, episode_stats, keys
from swingup.spaces import to_env
from swingup.types import Choice, Rollout, Seen, State, without


class Learner(NamedTuple):
    agent: Agent  # policy and critic, and the replay
    ensemble: Ensemble
    imagined: Counter  # imagined env steps so far
    like: Likeness  # what imagined environments share with the real ones: no numbers


@hyperparameters
class MVE(Replaying):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 25  # T: real env steps per environment between fits
    replay_ratio: Ratio = 4.0  # gradient steps of DDPG per real env step
    horizon: Whole = 3  # H: env steps that a target imagines; 0 is DDPG
    td_k: bool = True  # fit the critic at the imagined states of a path too
    members: Count = 1  # E: networks of the ensemble
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
        if self.batch_size % self.members:
            raise ConfigError(
                f"batch_size={self.batch_size} must be a multiple of members={self.members}: "
                "each answers as many of its rows"
            )

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
        """Make DDPG with its warm-up, and a model that has learnt nothing."""
        k_agent, k_model = jax.random.split(key)
        agent, actor, key = self.ddpg().init(env, k_agent)
        made = ensemble(env, k_model, self.members, self.model_hidden, known=self.known)
        return State(Learner(agent, made, counters.counter(), likeness(env)), actor, key)

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
        """Return Q(s, μ(s)) of observations [N, ...]: [N]."""
        return self.ddpg().value(learner.agent, obs)

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
        k_gap, k_fit, k_learn = jax.random.split(key, 3)
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
            k_batch, k_model = jax.random.split(key)
            return self.expand(fitted, target, self.ddpg().sample(agent, k_batch), k_model)

        learnt, more = self.ddpg().learn(agent, k_learn, draw)
        ahead = self.horizon * self.batch_size * self.gradient_steps_per_iteration
        imagined = counters.add(imagined, ahead)
        metrics |= more | {"model/imagined": counters.real(imagined)}
        return Learner(learnt, fitted, imagined, like), metrics

    def expand(self, fitted: Ensemble, target: Networks, b: Batch, key: Array) -> Batch:
        """Return transitions of H + 1 env steps: a real one, then H in the model, with μ⁻. [B], or with `td_k` all
        pairs of their paths, [(H + 1) B]; what lies after an end has weight 0.
        """
        model, size = Learned(fitted), len(b.reward)

        def ahead(obs: Array, noise: Any) -> tuple[Array, Any]:
            action = jnp.tanh(target.actor(obs))
            after, t = model.step(obs, to_env(fitted.action_space, action), noise)
            return after, (obs, action, t.reward, t.terminated)

        if not self.horizon:
            return b
        last, path = jax.lax.scan(ahead, b.next_obs, model.draw(key, (self.horizon, size)))
        first = b.obs, b.action, b.reward, b.terminated
        obs, action, reward, ended = (jnp.concatenate([x[None], y]) for x, y in zip(first, path, strict=True))
        reward, over = map(jnp.stack, extended(reward, ended, self.gamma))
        discount = self.gamma ** jnp.arange(self.horizon + 1, 0, -1)
        weight = b.weight * ~earlier(ended)
        kept = self.horizon + 1 if self.td_k else 1

        def flat(x: Array) -> Array:
            return x[:kept].reshape(kept * size, *x.shape[2:])

        def spread(x: Array) -> Array:
            return flat(jnp.broadcast_to(x, (kept, *x.shape)))

        return b._replace(
            obs=flat(obs),
            action=flat(action),
            reward=flat(reward),
            next_obs=spread(last),
            terminated=flat(over),
            discount=flat(jnp.broadcast_to(discount[:, None], over.shape)),
            weight=flat(weight),
            index=spread(b.index),
        )
