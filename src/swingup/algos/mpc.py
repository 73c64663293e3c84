"""Model predictive control (García et al. 1989, doi:10.1016/0005-1098(89)90002-2), by plans that are sampled.

Who knows the dynamics need not learn a policy: in each state search for the plan that earns most in the next H env
steps, take its first action, and plan anew from where that led,

    a_t = first of  argmax over a_0 ... a_{H-1} of  E[ Σ_{h<H} γ^h alive_h r_h ]

where alive_h is 1 until the MDP ends. The model is the environment itself. So nothing is learnt, and an iteration only
shows how well it plays. The search is the cross-entropy method, whose first guess is the last plan, moved on by one env
step; `planner="shooting"` takes the best of plans drawn at random.

Differs from the paper in: plans are sampled, where the paper's are solved for; there is no value of the last state.
Actions are in normalised units: [-1, 1] spans the environment's bounds.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.envs.models import Exact, exact
from swingup.planning import plans, worth
from swingup.planning.plans import Carried, Plan, Planner
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Count, Positive, Unit
from swingup.rollout import collect, episode_stats, keys, start
from swingup.spaces import Space
from swingup.types import Choice, Rollout, Seen, State


class Learner(NamedTuple):
    model: Exact  # the environment itself: it has no numbers
    iteration: Counter  # iterations done so far: all there is to remember


@hyperparameters
class MPC(Algorithm):
    num_envs: Count = 1  # N: environments run in parallel
    num_steps: Count = 200  # T: env steps per environment in an iteration
    gamma: Unit = 1.0  # γ: discount per env step of a plan, in [0, 1]
    planner: Planner = "cem"  # cem, or shooting: the best of random plans
    horizon: Count = 25  # H: env steps that a plan looks ahead
    candidates: Count = 100  # C: plans that are tried, by cem in each of its iterations
    search_iterations: Count = 4  # of cem, in each env step
    elites: Count = 10  # K: the best plans, to which cem moves
    momentum: Unit = 0.1  # α: what cem keeps of its mean and deviation
    sigma: Positive = 0.5  # σ: deviation of cem at the beginning, in units of half the action range
    particles: Count = 1  # P: how often each plan is tried; more than once where chance decides

    def __post_init__(self):
        plans.check_search(self)

    def init(self, env: VecEnv, key: Array) -> State:
        """Take the environment as the model, and put environments at their beginnings."""
        k_env, key = jax.random.split(key)
        learner = Learner(exact(env), counters.counter())
        return State(learner, start(env, k_env, self.start_memory(env.action_space, self.num_envs)), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do one iteration: T env steps in N environments, each of which is planned."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps, draw=self.draw, unroll=1)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Plan in N environments, and choose the first actions; without noise a search's draws are fixed."""
        state = learner.model.start(seen)
        drawn = plans.fixed_keys(seen.memory.age) if noise is None else noise
        found = jax.vmap(partial(self.plan, learner.model))(state, seen.memory.plan, drawn)
        return Choice(found.actions[:, 0], found.value, plans.carry_on(found, seen.memory))

    def plan(self, model: Exact, state: Any, last: Array, key: Array) -> Plan:
        """Plan from one state; `last` is the plan of the env step before, shifted: [H, A]."""
        starts = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.particles, *x.shape)), state)

        def score(tried: Array, key: Array) -> Array:
            noise = model.draw(key, (self.horizon, self.particles * self.candidates))
            return worth.returns(model, model.env.action_space, starts, tried, noise, self.gamma)

        return plans.search(self, score, key, last)

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Learn nothing: say what plans promised, and by how much that was more than came."""
        step, promised = rollout.step, rollout.extras
        ends = step.terminated, step.done
        iteration = counters.add(learner.iteration, 1)
        metrics = {
            "plan/value": promised.mean(),
            "model/gap": worth.gap(promised, step.reward, *ends, self.horizon, self.gamma),
            "model/imagined": counters.real(iteration) * plans.imagined(self),
        }
        return Learner(learner.model, iteration), metrics

    def draw(self, space: Space, key: Array, shape: tuple[int, ...]) -> Array:
        """Draw a key for each search, [*shape]."""
        return jax.random.split(key, shape)

    def start_memory(self, space: Space, num_envs: int) -> Carried:
        """Return plans that do nothing, [N, H, A]."""
        return plans.nothing(space, num_envs, self.horizon)
