"""Imagination-augmented agents (Racanière, Weber et al. 2017, arXiv:1707.06203), around A2C.

A policy reads, beside the observation, what a model imagines of each action. For a = 0 .. A-1 a rollout of L env steps
begins with a, and goes on with a small policy π̂; an LSTM reads it backwards in time,

    ŝ_1, r̂_1 = model(s, a),    ŝ_{h+1}, r̂_{h+1} = model(ŝ_h, a_h),  a_h ~ π̂(·|ŝ_h)
    e_a = LSTM( [φ(ŝ_L), r̂_L], ..., [φ(ŝ_1), r̂_1] )                                         (section 2, figure 1)
    π(·|s), V(s) = f( path without a model(s), e_0, ..., e_{A-1} )

and learns by A2C's loss. The agent thus decides what to make of the model: it may see through one that is wrong. π̂ is
distilled from the agent, which is not moved by that,

    L_distil = -Σ_a π(a|s) log π̂(a|s),   π held fixed                                        (section 3.1)

`arm` says what is imagined: a model that learns along (learned), the environment itself (exact), one that learns and
has bits flipped (corrupted), one that says that nothing happens (copy), or nothing, with as many weights (model-free).
With `lookahead` the latter takes, when it acts greedily, the best of r̂ + γ V(ŝ') instead of its policy's mode.

Differs from the paper in: the model learns along with the agent, from the same rollouts; the paper's is trained before,
on a half-trained agent's frames. Its answers are rounded to bits. It says where an episode ends, and nothing is seen
behind that. A2C takes the place of A3C; one gradient step is on both losses. Observations are planes of bits.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup import counters
from swingup.algos.a2c import A2C, Batch, Optim
from swingup.counters import Counter
from swingup.distributions import masked, noise
from swingup.dynamics import planes
from swingup.dynamics.futures import draw, imagine, keys_of
from swingup.dynamics.planes import Copied, Corrupted, Planes
from swingup.nets.imagination import Future, Imaginative, Sight, network
from swingup.nets.layers import Activation
from swingup.optimisers import descend, fresh
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Among, Count, NonNegative, Positive, Unit, Widths
from swingup.returns import gae
from swingup.rollout import collect, episode_stats, keys, start, successor_values
from swingup.spaces import Space
from swingup.types import Choice, Rollout, Seen, State, without

ARMS = ("learned", "exact", "corrupted", "copy", "model-free", "lookahead")
Arm = Annotated[str, Among(ARMS)]
IMAGINES = ARMS[:4]
LEARNS = ("learned", "corrupted", "lookahead")  # those whose model does


class Learner(NamedTuple):
    params: Imaginative  # π, V and π̂
    opt_state: optax.OptState
    model: Any  # a `Model`, or none
    model_opt_state: optax.OptState
    iteration: Counter  # updates done so far


class Acted(NamedTuple):
    logp: Array  # [N] log π_old(a|s)
    future: Future | None  # [N, ...] what was imagined


@hyperparameters
class I2A(Algorithm):
    num_envs: Count = 16  # N: environments run in parallel
    num_steps: Count = 5  # T: env steps per environment between updates
    arm: Arm = "learned"  # what is imagined: learned, exact, corrupted, copy, model-free or lookahead
    depth: Count = 3  # L: env steps of an imagined rollout
    flip: Unit = 0.1  # p: how likely each bit is flipped that a corrupted model says
    c_distil: NonNegative = 0.1  # weight of the distillation; usually 0.01 to 1
    model_lr: NonNegative = 3e-3  # learning rate of the model's Adam
    model_steps: Count = 1  # gradient steps of the model on each rollout
    model_filters: Count = 16  # filters of the model's two convolutions
    code: Count = 32  # width of a rollout's code; π̂ has half of that
    gamma: Unit = 0.99  # γ: discount per env step, in [0, 1]
    lam: Unit = 1.0  # λ: of GAE, in [0, 1]; 1 is the longest n-step advantage
    optim: Optim = "adam"  # the agent's update rule: rmsprop (with TensorFlow's place for ε) or adam
    lr: NonNegative = 7e-4  # learning rate; usually 1e-4 to 3e-3
    lr_decay: bool = False  # let the learning rate fall linearly to 0 at lr_horizon
    lr_horizon: NonNegative = 0.0  # env steps at which it is 0; a run that is longer decays to its own end
    c_value: NonNegative = 0.5  # c1: weight of the value loss
    c_entropy: NonNegative = 0.01  # c2: weight of the entropy bonus; 0 to 0.02
    max_grad_norm: Positive = 0.5  # gradients longer than this (global norm) are shortened to it
    normalise_adv: bool = False  # advantages with mean 0 and deviation 1 within the rollout
    hidden: Widths = (64,)  # widths of what reads path and codes; the first is that of the path too
    activation: Activation = "relu"  # of these: tanh, relu, silu or gelu

    def a2c(self) -> A2C:
        """Return A2C as it learns here; what is not said here is its default."""
        return A2C(
            num_envs=self.num_envs,
            num_steps=self.num_steps,
            gamma=self.gamma,
            lam=self.lam,
            optim=self.optim,
            lr=self.lr,
            lr_decay=self.lr_decay,
            lr_horizon=self.lr_horizon,
            c_value=self.c_value,
            c_entropy=self.c_entropy,
            max_grad_norm=self.max_grad_norm,
            normalise_adv=self.normalise_adv,
        )

    def init(self, env: VecEnv, key: Array) -> State:
        """Make the agent, its model, their optimisers, and environments at their beginnings."""
        k_net, k_model, k_env, key = jax.random.split(key, 4)
        space, actions = planes.planes(env)
        how = self.hidden, self.activation, self.code
        params = network(space, actions, *how, imagines=self.arm in IMAGINES, key=k_net)
        model = None
        if self.arm in LEARNS:
            model = Planes(space, actions, self.model_filters, key=k_model)
        elif self.arm in IMAGINES:
            model = Copied() if self.arm == "copy" else planes.shown(env)
        opt_state = fresh(self.a2c().optimizer(jnp.int32(0)), params)
        model_opt_state = fresh(planes.optimizer(self.model_lr), model) if self.arm in LEARNS else ()
        learner = Learner(params, opt_state, model, model_opt_state, counters.counter())
        return State(learner, start(env, k_env), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do one iteration: run the policy T env steps in N environments, then let agent and model learn."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps, draw=self.draw, unroll=1)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Any = None) -> Choice:
        """Choose by what is imagined, for observations [N, ...]; without noise the mode, by the same dream always."""
        gumbel, key = noise or (None, keys_of(seen.obs))
        sight = self.look(learner, seen.obs, self.chance(learner, key))
        pi = learner.params.policy(sight, seen.legal)
        action = pi.mode() if gumbel is None else pi.from_noise(gumbel)
        if noise is None and self.arm == "lookahead":
            action = jnp.argmax(masked(self.ahead(learner, seen.obs), seen.legal), -1)
        return Choice(action, Acted(pi.log_prob(action), sight.future))

    def draw(self, space: Space, key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Draw the policy's noise [*shape, A], and a key for each dream, [*shape]."""
        k_act, k_dream = jax.random.split(key)
        return noise(space, k_act, shape), jax.random.split(k_dream, shape)

    def look(self, learner: Learner, obs: Array, chance: Any) -> Sight:
        """Return observations [B, ...] with what is imagined from there, by the `chance` of each row."""
        if self.arm not in IMAGINES:
            return Sight(obs)
        return Sight(obs, imagine(self.dreamt(learner), learner.params.guessed, obs, chance))

    def chance(self, learner: Learner, key: Array) -> Any:
        """Draw what is random in the dreams of rows with these keys [B]: [B, L, A, ...]; nothing for who has none."""
        if self.arm not in IMAGINES:
            return ()
        return jax.vmap(partial(draw, self.dreamt(learner), learner.params.actions, self.depth))(key)

    def dreamt(self, learner: Learner) -> Any:
        """Return the model as the agent gets it: with faults, if it is to have some."""
        if self.arm == "corrupted":
            return Corrupted(learner.model, self.flip, learner.params.space.shape)
        return learner.model

    def ahead(self, learner: Learner, obs: Array) -> Array:
        """Return r̂ + γ V(ŝ') of each action, [B, A]: the value of a state in which the MDP ended is 0."""
        model, rows, actions = learner.model, len(obs), learner.params.actions
        state, action = jnp.repeat(obs, actions, 0), jnp.tile(jnp.arange(actions), rows)
        _, t = model.step(state, action, ())
        value = jnp.where(t.terminated, 0.0, learner.params.value(Sight(t.obs)))
        return (t.reward + self.gamma * value).reshape(rows, actions)

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return V(s) of observations [N, ...]: [N]. Each imagines what it always does."""
        return learner.params.value(self.look(learner, obs, self.chance(learner, keys_of(obs))))

    def acting(self, learner: Learner) -> Learner:
        """Return agent and model alone."""
        return without(learner, "opt_state", "model_opt_state")

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Take one gradient step of the agent on one rollout [T, N], and `model_steps` of the model."""
        k_value, k_told = jax.random.split(key)
        data, rule = self.advantages(learner, rollout, k_value), self.a2c()
        grads, metrics = jax.grad(self.loss, has_aux=True)(learner.params, data)
        optimizer = rule.optimizer(counters.real(learner.iteration))
        params, opt_state = descend(optimizer, learner.params, learner.opt_state, grads)
        metrics |= rule.diagnostics(params, data)  # pyright: ignore[reportArgumentType]
        model, model_opt_state, told = self.study(learner, planes.steps(rollout), k_told)
        iteration = counters.add(learner.iteration, 1)
        if self.arm in IMAGINES:
            told["model/imagined"] = counters.real(iteration) * data.obs.future.reward.size
        return Learner(params, opt_state, model, model_opt_state, iteration), metrics | told

    def loss(self, params: Imaginative, b: Batch) -> tuple[Array, dict[str, Array]]:
        """Return A2C's loss, plus the distillation of π into π̂."""
        total, metrics = self.a2c().loss(params, b)  # pyright: ignore[reportArgumentType]
        if self.arm in IMAGINES:
            distil = self.distillation(params, b)
            total, metrics = total + self.c_distil * distil, metrics | {"loss/distil": distil}
        return total, metrics

    def distillation(self, params: Imaginative, b: Batch) -> Array:
        """Return -Σ_a π(a|s) log π̂(a|s), [] in nats, the mean over rows: it moves π̂ towards π, and not π."""
        pi = jax.lax.stop_gradient(jax.nn.softmax(params.policy(b.obs, b.legal).logits))
        return -(pi * jax.nn.log_softmax(params.guessed(b.obs.obs).logits)).sum(-1).mean()

    def advantages(self, learner: Learner, rollout: Rollout, key: Array) -> Batch:
        """Compute advantages and value targets from what was imagined when the agent acted; what it then bootstraps
        from imagines anew.
        """
        sight, step = Sight(rollout.obs, rollout.extras.future), rollout.step
        value, size = learner.params.value(sight), step.reward.size
        chance = self.chance(learner, jax.random.split(key, size))
        chance = jax.tree.map(lambda x: x.reshape(*value.shape, *x.shape[1:]), chance)

        def worth(after: Any) -> Array:
            lead = after[0].shape[:-3]
            rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(lead) :]), after)
            return learner.params.value(self.look(learner, *rows)).reshape(lead)

        followed = rollout._replace(step=step._replace(next_obs=(step.next_obs, chance)))
        next_value = successor_values(worth, value, followed)
        adv = gae(step.reward, value, next_value, step.terminated, step.done, self.gamma, self.lam)
        return Batch(sight, rollout.action, rollout.extras.logp, adv, adv + value, value, rollout.legal)

    def study(
        self, learner: Learner, b: planes.Steps, key: Array
    ) -> tuple[Any, optax.OptState, dict[str, Array]]:
        """Say how wrong the model is about transitions [T N], then let it learn from them, if it does."""
        if learner.model is None:
            return None, (), {}
        told = planes.told(self.dreamt(learner), b, key)
        if self.arm not in LEARNS:
            return learner.model, (), told
        rule, slope = planes.optimizer(self.model_lr), jax.value_and_grad(planes.loss)

        def gradient_step(carry: Any, _: None) -> Any:
            model, opt_state = carry
            value, grads = slope(model, b)
            return descend(rule, model, opt_state, grads), value

        first = learner.model, learner.model_opt_state
        (model, opt_state), value = jax.lax.scan(gradient_step, first, None, self.model_steps)
        return model, opt_state, told | {"model/loss": value[0]}
