"""Model-based reinforcement learning with model-free fine-tuning, MBMF (Nagabandi, Kahn, Fearing & Levine 2018,
arXiv:1708.02596, algorithm 1 and section V).

A planner with a learnt model is soon good, and then stays as good as its model; a policy gradient is slow, and goes on.
So the planner comes first, a policy is taught by it, and TRPO takes that policy on. Iterations, each of T env steps in
N environments, are of three kinds:

    1. `trials` with the planner, the first with random actions. After each a network is fitted to all transitions, and
       a_t = first of argmax over C random plans of Σ_{h<H} r̂_h        (section IV)
    2. `rounds` with the policy N(μ_φ(s), σ²): the planner says what it would have done. After the last trial and after
       each round μ is fitted to all that it said since,  min over φ of E[½ |a - μ_φ(s)|²]        (DAgger, section V)
    3. all others: TRPO improves the policy, which no longer knows a model

Differs from the paper in: a fit has a fixed number of gradient steps, and restores the weights that were best on every
fifth transition, which is held out; a reward that the environment does not give is learnt; TRPO's critic learns in the
rounds already; the planner may be the cross-entropy method. Actions are in normalised units, [-1, 1].
"""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from swingup import counters, distributions
from swingup.algos.trpo import TRPO
from swingup.algos.trpo import Learner as Agent
from swingup.counters import Counter
from swingup.distributions import Distribution
from swingup.dynamics.dreams import chosen, rows
from swingup.dynamics.ensemble import Ensemble, ensemble
from swingup.dynamics.errors import errors
from swingup.dynamics.fit import fit
from swingup.dynamics.learned import Learned
from swingup.errors import ConfigError
from swingup.nets.actor_critic import ActorCritic
from swingup.nets.layers import Activation
from swingup.planning import imitation, plans, worth
from swingup.planning.imitation import Examples
from swingup.planning.plans import Carried, Plan, Planner
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Count, NonNegative, Positive, Unit, Whole, Widths
from swingup.replay import ring
from swingup.replay.ring import Ring
from swingup.rollout import collect, episode_stats, keys, start
from swingup.schedules import only
from swingup.spaces import Space
from swingup.types import Choice, Rollout, Seen, State, without


class Learner(NamedTuple):
    agent: Agent  # π and V, which TRPO improves
    ensemble: Ensemble  # of one network
    replay: Ring  # all transitions of the trials
    examples: Examples  # what the planner said: a page of its last trial, and one of each round
    iteration: Counter  # iterations done so far


class Noise(NamedTuple):
    search: Array  # [N] keys
    policy: Array  # [N, A] of π, and of the random actions of the first trial


class Said(NamedTuple):
    pi: Distribution  # what TRPO has to know of an action
    label: Array  # [N, A] what the planner would do; zeros where nobody asks it
    promised: Array  # [N] what its plan is said to be worth


@hyperparameters
class MBMF(Algorithm):
    num_envs: Count = 4  # N: environments run in parallel
    num_steps: Count = 200  # T: env steps per environment in an iteration
    trials: Count = 5  # iterations with the planner, the first of them with random actions; at least 2
    rounds: Whole = 3  # R: iterations with the policy, in which the planner says what it would have done
    planner: Planner = "shooting"  # shooting: the best of random plans; or cem
    horizon: Count = 20  # H: env steps that a plan looks ahead
    candidates: Count = 1000  # C: plans that are tried, by cem in each of its iterations
    search_iterations: Count = 4  # of cem, in each env step
    elites: Count = 10  # K: the best plans, to which cem moves
    momentum: Unit = 0.1  # α: what cem keeps of its mean and deviation
    sigma: Positive = 0.5  # σ: deviation of cem at the beginning, in units of half the action range
    known: bool = True  # reward and ends are the environment's own functions; if not, they are learned
    looks: Count = 10  # looks at the rows held out, in a fit; the network keeps its best weights
    model_steps: Count = 100  # gradient steps of the model before each look
    model_lr: NonNegative = 1e-3  # learning rate of the model's Adam
    model_hidden: Widths = (64, 64)  # widths of the model's hidden layers
    replay_size: Count = 20_000  # transitions kept, over all environments
    imitation_steps: Count = 2_000  # gradient steps in which the policy learns from the planner, each time
    imitation_lr: NonNegative = 1e-3  # learning rate of Adam for it
    batch_size: Count = 256  # transitions or examples in a gradient step of model or policy
    gamma: Unit = 0.99  # γ: discount of TRPO per env step, in [0, 1]; a plan's rewards all count the same
    lam: Unit = 0.95  # λ: of GAE, in [0, 1]; lower is less variance and more bias
    delta: Positive = 0.01  # δ: the largest mean KL(old||new) of an update, in nats; 0.001 to 0.05
    num_minibatches: Count = 8  # parts that a rollout is cut in for it; one gradient step each; divides N T
    lr: NonNegative = 1e-3  # learning rate of the value function's Adam; TRPO's policy has none
    hidden: Widths = (64, 64)  # widths of the hidden layers of policy and value function
    activation: Activation = "tanh"  # of these: tanh, relu, silu or gelu
    log_std_init: float = -1.0  # log σ that the policy is given, in units of half the action range

    particles, up_to_date = 1, True  # a plan is tried once: there is one network, and it is certain

    def __post_init__(self):
        self.trpo()
        plans.check_search(self)
        if self.trials < 2:
            raise ConfigError(f"trials={self.trials} must be at least 2: the actions of the first are random")
        if self.replay_size < self.env_steps_per_iteration:
            raise ConfigError(
                f"replay_size={self.replay_size} must hold the {self.env_steps_per_iteration} env steps of a trial"
            )

    @property
    def taught(self) -> int:
        """Return after how many iterations the policy has learnt all that the planner teaches."""
        return self.trials + self.rounds

    def trpo(self) -> TRPO:
        """Return TRPO as it goes on with the policy; what is not said here is its default."""
        net = {"hidden": self.hidden, "activation": self.activation, "log_std_init": self.log_std_init}
        rule = {"gamma": self.gamma, "lam": self.lam, "delta": self.delta, "lr": self.lr}
        batch = {"num_steps": self.num_steps, "num_minibatches": self.num_minibatches}
        return TRPO(num_envs=self.num_envs, **batch, **rule, **net)

    def init(self, env: VecEnv, key: Array) -> State:
        """Make a policy, a model that has learnt nothing, an empty replay, and environments at their beginnings."""
        k_agent, k_model, k_env, key = jax.random.split(key, 4)
        made = ensemble(env, k_model, 1, self.model_hidden, known=self.known)
        agent, replay = self.trpo().init(env, k_agent).learner, ring.empty(env, self.replay_size)
        memory, size = self.start_memory(env.action_space, self.num_envs), env.observation_space.shape[0]
        examples = imitation.blank(self.rounds + 1, self.env_steps_per_iteration, size, memory.plan.shape[2])
        learner = Learner(agent, made, replay, examples, counters.counter())
        return State(learner, start(env, k_env, memory), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do one iteration: T env steps in N environments with the planner or the policy, then learn."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps, draw=self.draw, unroll=1)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Noise | None = None) -> Choice:
        """Choose actions [N, A]: the planner's in trials, the policy's mode in rounds, then any of the policy's.

        Without noise they are greedy: the policy's mode, or a plan whose draws are fixed.
        """
        now, memory = counters.real(learner.iteration), seen.memory
        drawn = plans.fixed_keys(memory.age) if noise is None else noise.search
        search = jax.vmap(partial(self.plan, learner.ensemble))
        idle = Plan(memory.plan, jnp.zeros(len(memory.age)), memory.plan)
        found = only(now < self.taught, lambda last: search(seen.obs, last.actions, drawn), idle)
        planned, pi = found.actions[:, 0], self.trpo().act(learner.agent, seen).extras
        trial, own = planned, pi.mode()
        if noise is not None:
            anything = distributions.uniform(learner.ensemble.action_space, noise.policy)
            trial = jnp.where(now == 0, anything, planned)
            own = jnp.where(now < self.taught, own, pi.from_noise(noise.policy))
        action = jnp.where(now < self.trials, trial, own)
        return Choice(action, Said(pi, planned, found.value), plans.carry_on(found, memory))

    def plan(self, learnt: Ensemble, obs: Array, last: Array, key: Array) -> Plan:
        """Plan from one observation; `last` is the plan of the env step before, shifted: [H, A]."""
        model = Learned(learnt, shuffled=False)

        def score(tried: Array, key: Array) -> Array:
            noise = model.draw(key, (self.horizon, self.candidates))
            return worth.returns(model, learnt.action_space, obs[None], tried, noise)

        return plans.search(self, score, key, last)

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return V(s) of observations [N, ...]: [N]."""
        return self.trpo().value(learner.agent, obs)

    def acting(self, learner: Learner) -> Learner:
        """Return policy and model."""
        return without(learner, "replay", "examples")

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Learn what this iteration is for, from its rollout [T, N]: the model, the planner's actions, or by TRPO."""
        k_model, k_imitate, k_learn = jax.random.split(key, 3)
        now, said, step = counters.real(learner.iteration), rollout.extras, rollout.step
        one, many = errors(learner.ensemble, rollout, min(self.horizon, self.num_steps))
        gap = worth.gap(said.promised, step.reward, step.terminated, step.done, self.horizon, 1.0)
        work = partial(self.learn_model, rollout, k_model)
        fitted, replay, loss = only(
            now < self.trials, work, (learner.ensemble, learner.replay, jnp.float32(0))
        )
        agent, metrics = self.improve(learner.agent, rollout, now, k_learn)
        page = jnp.clip(jnp.int32(now) - self.trials + 1, 0, self.rounds)  # a trial is written over the last
        heard = imitation.written(learner.examples, page, rollout.obs, said.label, when=now < self.taught)
        work = partial(self.imitate, heard, page + 1, k_imitate)
        when = (now >= self.trials - 1) & (now < self.taught)
        params, metrics["loss/imitation"] = only(when, work, (agent.params, jnp.float32(0)))
        searched = jnp.minimum(now + 1, self.taught)
        metrics |= {
            "model/loss": loss,
            "model/error_1": one,
            "model/error_k": many,
            "model/gap": jnp.where((now > 0) & (now < self.trials), gap, jnp.nan),
            "model/given_reward": jnp.float32(fitted.reward is not None),
            "model/given_end": jnp.float32(fitted.end is not None),
            "model/imagined": searched * plans.imagined(self),
            "plan/value": said.promised.mean(),
        }
        iteration = counters.add(learner.iteration, 1)
        return Learner(agent._replace(params=params), fitted, replay, heard, iteration), metrics

    def learn_model(self, rollout: Rollout, key: Array, before: tuple) -> tuple[Ensemble, Ring, Array]:
        """Add a trial [T, N] to the replay, and fit the network to all of it."""
        learnt, replay = before[0], ring.add(before[1], rollout)
        how = {"looks": self.looks, "gradient_steps": self.model_steps, "batch_size": self.batch_size}
        fitted, loss = fit(learnt, rows(learnt, replay), key, lr=self.model_lr, resample="permuted", **how)
        return fitted, replay, loss

    def imitate(self, examples: Examples, pages: Array, key: Array, before: tuple) -> Any:
        """Return the policy with its means fitted to what the planner said, and the last loss."""
        how = {"gradient_steps": self.imitation_steps, "batch_size": self.batch_size}
        loss = self.imitation_loss
        return imitation.imitated(loss, before[0], examples, pages, key, lr=self.imitation_lr, **how)

    def imitation_loss(self, params: ActorCritic, obs: Array, action: Array) -> Array:
        """Return the mean of ½ |a - μ_φ(s)|² over states [B, D] and the planner's actions there [B, A]."""
        return 0.5 * jnp.square(action - params.policy(obs).mode()).sum(-1).mean()

    def improve(self, agent: Agent, rollout: Rollout, now: Array, key: Array) -> tuple[Agent, dict]:
        """Let TRPO learn from the policy's rollout [T, N]: all of it, but V alone in rounds, and nothing in trials."""
        own = rollout._replace(extras=rollout.extras.pi)
        update = partial(self.trpo().update, rollout=own, key=key)
        shapes = jax.eval_shape(update, agent)[1]
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        after, metrics = only(now >= self.trials, lambda before: update(before[0]), (agent, nothing))
        kept = eqx.tree_at(lambda p: p.critic, agent.params, after.params.critic)
        return after._replace(params=chosen(now >= self.taught, after.params, kept)), metrics

    def draw(self, space: Space, key: Array, shape: tuple[int, ...]) -> Noise:
        """Draw all that is random in env steps [*shape]."""
        k_search, k_policy = jax.random.split(key)
        return Noise(jax.random.split(k_search, shape), distributions.noise(space, k_policy, shape))

    def start_memory(self, space: Space, num_envs: int) -> Carried:
        """Return plans that do nothing, [N, H, A]."""
        return plans.nothing(space, num_envs, self.horizon)
