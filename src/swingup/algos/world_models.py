"""World Models (Ha & Schmidhuber 2018, arXiv:1809.01999).

Learn to see, then to foresee, and only then to act, with as few weights as can be. An agent is three parts,

    V  an auto-encoder: a frame becomes a few numbers z_t
    M  an LSTM with mixtures of Gaussians: p(z_{t+1} | z_t, a_t, h_t), where h_t is its memory of the episode
    C  a controller, which is linear: a_t = W [z_t, h_t] + b

and they are trained one after the other, as the paper lists it:

    1. act at random, and keep what is seen
    2. train V to reconstruct the frames
    3. train M to predict what V will make of the next frame, the reward and the end
    4. evolve C by CMA-ES, on what its candidates earn: in the environment, or in the dream that M goes on with alone

In a dream M's own draws are the next latents, at a temperature τ. A controller finds whatever M gets wrong and lives on
it; at a higher τ the dream is less certain, and there is less to be found.

An iteration is N T env steps. V learns in the first `vision_iterations`, M in the next `model_iterations`, while the
actions are random; each later one is a generation of C. `arm` chooses what C sees, for the controls that tell what each
part is worth: an M that was never trained, and two frames without any M, among them. Actions are tanh of what C says.

Differs from the paper in: C sees the mean of V's z, not a draw; it always has a bias; rewards are learnt in every
task; convolutions do not overlap; random actions are held for a few env steps; what is no image is encoded too.
"""

from functools import partial
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.distributions import uniform
from swingup.dynamics.dreams import chosen
from swingup.dynamics.latent import MDNRNN, Memory, dream, encoded, frames, loss, nothing, openings
from swingup.errors import ConfigError
from swingup.evolution import Evolution, candidates, earned, evolution, evolve
from swingup.nets import mixture
from swingup.nets.controller import Controller
from swingup.nets.vae import VAE, bound
from swingup.optimisers import clipped_by_norm, fresh, gradient_steps
from swingup.planning.plans import fixed_keys
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Among, Count, NonNegative, Positive, Whole, Within
from swingup.replay import ring
from swingup.replay.ring import Ring
from swingup.rollout import collect, episode_stats, keys, start
from swingup.spaces import Space
from swingup.types import Choice, Rollout, Seen, State, without

ARMS = "v-m", "v", "v-hidden", "v-untrained-m", "frames", "random"
Arm = Annotated[str, Among(ARMS)]
REMEMBER = "v-m", "v-untrained-m"  # C sees h
Told = dict[str, Array]


class Learner(NamedTuple):
    vision: VAE  # V
    model: MDNRNN  # M
    evolution: Evolution  # C: where CMA-ES looks for its weights
    epsilon: Array  # [P, n] what the candidates of this generation are made of
    of_vision: optax.OptState
    of_model: optax.OptState
    replay: Ring
    iteration: Counter  # iterations done so far
    imagined: Counter  # env steps in dreams so far


@hyperparameters
class WorldModels(Algorithm):
    num_envs: Count = 256  # N: environments run in parallel; a multiple of population, or C learns in dreams
    num_steps: Count = 200  # T: env steps per environment in an iteration; best an episode's
    arm: Arm = "v-m"  # what C sees: see above
    dreams: bool = False  # score C's candidates in M's dreams, not in the environment
    hold: Count = 4  # env steps for which a random action is held
    latents: Count = 16  # Z: numbers that V makes of a frame
    vision_width: Count = 128  # units of V's hidden layers
    vision_iterations: Whole = 4  # iterations in which V learns
    vision_steps: Count = 250  # gradient steps of V in each of them
    batch_size: Count = 64  # frames in one of these
    kl_floor: NonNegative = 0.5  # nats per latent below which a frame's KL costs no less
    model_width: Count = 64  # H: units of M's LSTM
    mixtures: Count = 5  # K: Gaussians of each latent
    model_iterations: Whole = 4  # iterations in which M learns
    model_steps: Count = 250  # gradient steps of M in each of them
    model_batch: Count = 32  # stretches in one of these
    length: Count = 50  # L: env steps of a stretch
    lr: NonNegative = 1e-3  # learning rate of Adam for V and M
    max_grad_norm: Positive = 10.0  # gradients longer than this (global norm) are shortened to it
    replay_size: Count = 100_000  # env steps kept, over all environments
    population: Annotated[int, Within(4)] = 32  # P: candidates of a generation
    sigma: Positive = 0.1  # σ: deviation of the candidates' weights at the beginning
    controller_width: Count = 40  # units of C's hidden layer, of v-hidden
    tries: Count = 8  # E: dreams of each candidate
    horizon: Count = 200  # env steps after which a dream is cut
    temperature: Positive = 1.0  # τ: of dreams; the paper's best is 1.15

    up_to_date = True

    def __post_init__(self):
        if self.dreams and self.arm != "v-m":
            raise ConfigError(f"dreams=True needs arm='v-m', not {self.arm!r}: nothing else dreams")
        if not self.dreams and self.num_envs % self.population:
            raise ConfigError(
                f"num_envs={self.num_envs} must be a multiple of population={self.population}: each candidate plays "
                "in as many environments; or score them in dreams"
            )
        if self.replay_size < self.env_steps_per_iteration or self.num_steps <= self.length:
            raise ConfigError(
                f"replay_size={self.replay_size} must hold the env steps of one iteration, and its "
                f"num_steps={self.num_steps} must be more than length={self.length}"
            )

    @property
    def learning(self) -> int:
        """Return the iterations before the first generation."""
        return self.vision_iterations + self.model_iterations * (self.arm == "v-m")

    def init(self, env: VecEnv, key: Array) -> State:
        """Make V, M and C with first weights, and environments at their beginnings."""
        k_vision, k_model, k_first, k_env, key = jax.random.split(key, 5)
        spaces = env.observation_space, env.action_space
        vision = VAE(spaces[0], self.latents, self.vision_width, key=k_vision)
        model = MDNRNN(spaces[1], self.latents, self.mixtures, self.model_width, key=k_model)
        epsilon = jax.random.normal(k_first, (self.population, self.controller(spaces[1]).size))
        guess, counts = evolution(0 * epsilon[0], self.sigma), (counters.counter(), counters.counter())
        opt_states = fresh(self.optimizer(), vision), fresh(self.optimizer(), model)
        replay = ring.empty(env, self.replay_size)
        learner = Learner(vision, model, guess, epsilon, *opt_states, replay, *counts)
        return State(learner, start(env, k_env, self.start_memory(spaces[1], self.num_envs)), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do T env steps in N environments; then V or M learns, or C, whose turn it is."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps, unroll=1)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Array | None = None) -> Choice:
        """Choose actions in N environments by the mean of C's weights; with noise by candidates, or at random."""
        memory, model = seen.memory, learner.model
        z = learner.vision.encode(learner.vision.see(seen.obs)).mean
        weights, held = learner.evolution.mean, memory.held
        if noise is not None and not self.dreams:
            rows = jnp.arange(len(z)) * self.population // len(z)  # equally many for each candidate
            weights = candidates(learner.evolution, learner.epsilon)[rows]
        action = self.controller(model.space)(weights, self.look(z, memory), seen.legal)
        if noise is not None or self.arm == "random":
            again = jax.vmap(lambda key: self.draw(model.space, key, ()))
            drawn = again(fixed_keys(memory.age)) if noise is None else noise
            held = jax.vmap(jnp.where)(memory.age % self.hold != 0, held, drawn)
            explores = (counters.real(learner.iteration) < self.learning) | (self.arm == "random")
            action = jnp.where(explores, uniform(model.space, held, seen.legal), action)
        recall = memory.hidden, memory.cell
        recall = model.step(z, action, recall) if self.arm in REMEMBER else recall
        return Choice(action, memory=Memory(*recall, z, held, memory.age + 1))

    def look(self, z: Array, memory: Memory) -> Array:
        """Return what C sees, [N, f]."""
        if self.arm in REMEMBER:
            return jnp.concatenate([z, memory.hidden], -1)
        return jnp.concatenate([z, memory.before], -1) if self.arm == "frames" else z

    def controller(self, space: Space) -> Controller:
        """Return how C reads its weights."""
        inputs = self.latents + (self.model_width if self.arm in REMEMBER else 0)
        inputs = 2 * inputs if self.arm == "frames" else inputs
        return Controller(space, inputs, self.controller_width if self.arm == "v-hidden" else 0)

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, Told]:
        """Keep the rollout [T, N]; then V or M takes gradient steps, or C's candidates have a successor."""
        k_vision, k_model, k_dream, k_next = jax.random.split(key, 4)
        learner = learner._replace(replay=ring.add(learner.replay, rollout))
        done = counters.real(learner.iteration)
        sees, evolves = done < self.vision_iterations, done >= self.learning
        learner, metrics = self.train_vision(learner, jnp.where(sees, self.vision_steps, 0), k_vision)
        scores, imagined = earned(rollout, 1 if self.dreams else self.population), learner.imagined
        if self.arm == "v-m":
            learner, told = self.train_model(learner, jnp.where(sees | evolves, 0, self.model_steps), k_model)
            tried = jnp.pad(learner.epsilon, [(1, 0), (0, 0)])[: None if self.dreams else 1]  # first the mean
            dreamt = self.dream(learner, candidates(learner.evolution, tried), k_dream)
            imagined = counters.add(imagined, len(tried) * self.tries * self.horizon)
            told |= {"imagined/return": dreamt[0], "model/gap": dreamt[0] - scores.mean()}
            metrics |= told | {"model/imagined": counters.real(imagined)}
            scores = dreamt[1:] if self.dreams else scores
        better = evolve(learner.evolution, learner.epsilon, scores)
        told = scores.mean(), scores.max(), learner.evolution.sigma
        metrics |= dict(zip(("evolution/score", "evolution/best", "evolution/sigma"), told, strict=True))
        learner = learner._replace(
            evolution=chosen(evolves & (self.arm != "random"), better, learner.evolution),
            epsilon=jax.random.normal(k_next, learner.epsilon.shape),
            iteration=counters.add(learner.iteration, 1),
            imagined=imagined,
        )
        return learner, metrics

    def train_vision(self, learner: Learner, steps: Array, key: Array) -> tuple[Learner, Told]:
        """Let V take gradient steps, each on frames of its own."""
        batch = partial(frames, learner.vision, learner.replay, self.batch_size)
        begun = learner.vision, learner.of_vision
        done = gradient_steps(self.optimizer(), self.vision_loss, batch, begun, steps, key)
        return learner._replace(vision=done[0], of_vision=done[1]), done[2]

    def vision_loss(self, vision: VAE, x: Array, noise: Array) -> tuple[Array, Told]:
        """Return V's loss over a batch [B, ...]: minus the bound, whose KL costs no less than `kl_floor` per latent."""
        likelihood, kl = bound(x, vision.encode(x), vision.decode, noise)
        loss = jnp.mean(jnp.maximum(kl, self.kl_floor * self.latents) - likelihood)
        return loss, {"vision/error": -likelihood.mean(), "vision/kl": kl.mean()}

    def train_model(self, learner: Learner, steps: Array, key: Array) -> tuple[Learner, Told]:
        """Let M take gradient steps, each on stretches of its own, whose latents are drawn from V's q anew."""
        batch = partial(encoded, learner.vision, learner.replay, self.model_batch, self.length + 1)
        begun = learner.model, learner.of_model
        done = gradient_steps(self.optimizer(), loss, batch, begun, steps, key)
        return learner._replace(model=done[0], of_model=done[1]), done[2]

    def dream(self, learner: Learner, weights: Array, key: Array) -> Array:
        """Return what controllers with weights [P, n] earn in dreams of M, [P]: the mean over E of them.

        Dreams begin where episodes did. All controllers have the same E dreams: beginnings, and noise.
        """
        k_first, k_noise = jax.random.split(key)
        control = self.controller(learner.model.space)
        first = openings(learner.vision, learner.replay, self.tries, k_first)
        first = jnp.broadcast_to(first, (len(weights), *first.shape))
        drawn = mixture.draw(k_noise, (self.horizon, self.tries), self.latents, self.mixtures)

        def act(z: Array, hidden: Array) -> Array:
            return control(weights[:, None], jnp.concatenate([z, hidden], -1))

        return dream(learner.model, act, first, drawn, self.temperature).sum(0).mean(-1)

    def start_memory(self, space: Space, num_envs: int) -> Memory:
        """Return memories of nothing, zeros [N, ...]."""
        return nothing(space, num_envs, self.latents, self.model_width)

    def acting(self, learner: Learner) -> Learner:
        """Return V, M and C, without what they learn from."""
        return without(learner, "of_vision", "of_model", "replay", "imagined")

    def optimizer(self) -> optax.GradientTransformation:
        """Use Adam on gradients clipped by their global norm."""
        return clipped_by_norm(self.max_grad_norm, optax.adam(self.lr))
