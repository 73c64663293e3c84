"""AlphaZero (Silver et al. 2017, arXiv:1712.01815; 2018, doi:10.1126/science.aar6404), after the lecture's case study.

One network, (p, v) = f_θ(s), tells for a position which moves look good and who will win. A tree search, guided by p
and v, finds a better policy π than p. Play games against yourself with the moves of the search, remember for each
position π and the result z of its game for who was to move (1, 0 or -1), and reduce over positions of a window

    L(θ) = (z - v)² - π · log p + c |θ|²

So the search is the expert, the network its apprentice, and the better apprentice makes the next search better.

Differs from the paper in: the search is by default that of Gumbel AlphaZero (Danihelka et al. 2022), which needs few
simulations, `search="puct"` is the paper's; a game begins with up to `opening` random moves, or self-play narrows to a
few lines; the value learns from a mixture of z and the search's own value, by `mix`; the network is a small MLP unless
`body` says otherwise; Adam instead of momentum. There is no contest between old and new networks, as in the paper.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup import counters
from swingup.counters import Counter
from swingup.envs.games import game_of, moved, position_of
from swingup.errors import ConfigError
from swingup.nets.boards import Board, PolicyValue
from swingup.nets.layers import Activation
from swingup.optimisers import descend, fresh
from swingup.planning import search
from swingup.planning.search import Expansion, Found, Root
from swingup.protocols import Algorithm, VecEnv, hyperparameters
from swingup.ranges import Among, Count, NonNegative, Positive, Unit, Whole, Widths
from swingup.replay import window
from swingup.replay.window import Position, Sample, Window
from swingup.rollout import collect, episode_stats, keys, start
from swingup.schedules import decayed
from swingup.spaces import Discrete, Space
from swingup.types import Choice, Rollout, Seen, State

Search = Annotated[str, Among(("gumbel", "puct"))]


class Learner(NamedTuple):
    params: PolicyValue  # θ
    opt_state: optax.OptState
    window: Window  # the last positions
    iteration: Counter  # updates done so far


class Opening(NamedTuple):
    """An opening is what is carried from move to move of a game; zeros where one begins."""

    moves: Array  # [N] int32: moves that were played
    random: Array  # [N] int32: how many of them are random, drawn before the first


class Noise(NamedTuple):
    """Noise holds all that is random in self-play, drawn before the moves."""

    root: Array  # [N, A] of the search at its root: Gumbel, or Dirichlet in the making
    move: Array  # [N, A] Gumbel: of the moves of an opening, and of the choice among visits
    length: Array  # [N] int32: of an opening, should a game begin here


class Plan(NamedTuple):
    """A plan is what a move leaves for `update`."""

    policy: Array  # [N, A] π
    value: Array  # [N] the search's value of the position
    player: Array  # [N] who moved
    guided: Array  # [N] was the move the search's?


@hyperparameters
class AlphaZero(Algorithm):
    plays_games = True

    num_envs: Count = 64  # N: games that are played side by side
    num_steps: Count = 32  # T: moves in each game between updates
    simulations: Count = 16  # positions that a search adds to its tree, for each move
    search: Search = "gumbel"  # gumbel (Danihelka et al. 2022), or puct as in the paper
    opening: Whole = 12  # a game begins with a random number of random moves, at most this many
    window: Count = 131_072  # positions to draw from, over all games
    draws: Count = 4  # how often each position is drawn, on average
    batch_size: Count = 512  # positions per gradient step; divides draws N T
    lr: NonNegative = 2e-3  # learning rate of Adam
    lr_decay: bool = False  # let the learning rate fall linearly to 0 at lr_horizon
    lr_horizon: NonNegative = 0.0  # env steps at which it is 0; a run that is longer decays to its own end
    c: NonNegative = 1e-4  # c: weight of |θ|²
    mix: Unit = 0.5  # share of the search's value in the target of v; the rest is z, and 0 is the paper's
    c_init: Positive = 1.25  # puct: weight of p against Q
    temperature_moves: Whole = 12  # puct: moves drawn by visits; later the most visited is played
    alpha: Positive = 1.0  # puct: of Dir(α), the noise on p at the root; about 10 / number of legal moves
    epsilon: Unit = 0.25  # puct: ε, share of that noise
    hidden: Widths = (256, 256)  # widths of the layers; with a residual body the filters, once for each block
    activation: Activation = "relu"  # of the hidden layers: tanh, relu, silu or gelu
    body: Board = "mlp"  # what reads the board: mlp, or residual (convolutions)

    def __post_init__(self):
        positions = self.draws * self.env_steps_per_iteration
        if positions % self.batch_size:
            raise ConfigError(
                f"batch_size={self.batch_size} does not divide draws * num_envs * num_steps = {self.draws} * "
                f"{self.num_envs} * {self.num_steps} = {positions}"
            )
        if self.window < self.env_steps_per_iteration:
            raise ConfigError(
                f"window={self.window} must hold the {self.env_steps_per_iteration} positions of an iteration"
            )

    def init(self, env: VecEnv, key: Array) -> State:
        """Make the network, the optimiser, an empty window, and games at their first moves."""
        k_net, k_env, key = jax.random.split(key, 3)
        game = game_of(env)
        params = PolicyValue(game, self.hidden, self.body, self.activation, key=k_net)
        learner = Learner(
            params,
            fresh(self.optimizer(jnp.int32(0)), params),
            window.window(game, self.num_envs, self.window),
            iteration=counters.counter(),
        )
        return State(learner, start(env, k_env, self.start_memory(env.action_space, self.num_envs)), key)

    def step(self, env: VecEnv, state: State) -> tuple[State, dict[str, Array]]:
        """Do one iteration: T moves in each of N games against itself, then gradient steps."""
        key, k_run, k_learn = keys(state.key)
        act = partial(self.act, state.learner)
        actor, rollout = collect(env, act, state.actor, k_run, self.num_steps, draw=self.draw, unroll=1)
        learner, metrics = self.update(state.learner, rollout, k_learn)
        return State(learner, actor, key), metrics | episode_stats(actor, rollout)

    @jax.jit
    def act(self, learner: Learner, seen: Seen, noise: Noise | None = None) -> Choice:
        """Choose the planner's moves in positions [N, ...], with its plans; without noise the best that it knows."""
        if seen.legal is None or seen.world is None:
            raise ConfigError(
                "no search starts from an observation: ask swingup.arena.players.Agent for moves"
            )
        game, found = learner.params.game, self.plan(learner.params, seen, noise)
        player = jax.vmap(game.player)(position_of(seen.world))
        if noise is None:
            return Choice(found.action, Plan(found.policy, found.value, player, player >= 0), seen.memory)
        moves, random = seen.memory
        random = jnp.where(moves == 0, noise.length, random)
        guided = moves >= random
        action = found.action
        if self.search == "puct":  # Gumbel's noise has chosen already
            drawn = jnp.argmax(jnp.log(found.policy) + noise.move, -1)
            action = jnp.where(moves < random + self.temperature_moves, drawn, action)
        any_move = jnp.argmax(jnp.where(seen.legal, noise.move, -jnp.inf), -1)
        action = jnp.where(guided, action, any_move).astype(jnp.int32)
        return Choice(action, Plan(found.policy, found.value, player, guided), Opening(moves + 1, random))

    def plan(self, params: PolicyValue, seen: Seen, noise: Noise | None = None) -> Found:
        """Make a search from positions [N, ...], with the network as its guide."""
        assert seen.legal is not None
        logits, value = params(seen.obs, seen.legal)
        root, expand = Root(position_of(seen.world), logits, value, seen.legal), partial(successors, params)
        at_root = None if noise is None else noise.root
        if self.search == "gumbel":
            return search.gumbel(root, expand, self.simulations, at_root)
        return search.puct(root, expand, self.simulations, at_root, self.epsilon, self.c_init)

    def policy(self, learner: Learner, seen: Seen) -> Array:
        """Return p, what the network says without search: probabilities [N, A]."""
        assert seen.legal is not None
        return jax.nn.softmax(learner.params(seen.obs, seen.legal)[0])

    def value(self, learner: Learner, obs: Any) -> Array:
        """Return v(s) of positions [N, ...] for who moves next: [N]."""
        everything = jnp.ones((*obs.shape[:1], learner.params.policy.bias.shape[0]), bool)
        return learner.params(obs, everything)[1]

    @jax.jit
    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Add the positions of a rollout [T, N] to the window; then take gradient steps on batches drawn from it."""
        plan, step = rollout.extras, rollout.step
        ends = step.reward, step.terminated, step.truncated
        rows: Any = rollout.obs, rollout.legal, *plan, *ends
        ring = window.add(learner.window, Position(*rows))
        z, known = window.judged(ring)
        optimizer = self.optimizer(counters.real(learner.iteration))

        def gradient_step(carry: Any, key: Array) -> Any:
            params, opt_state = carry
            k_draw, k_turn = jax.random.split(key)
            batch = window.sample(ring, z, known, k_draw, self.batch_size)
            batch = window.turned(batch, params.game.symmetries, k_turn)
            grads, metrics = jax.grad(self.loss, has_aux=True)(params, batch)
            return descend(optimizer, params, opt_state, grads), metrics

        gradient_steps = self.draws * self.env_steps_per_iteration // self.batch_size
        carry = learner.params, learner.opt_state
        (params, opt_state), metrics = jax.lax.scan(
            gradient_step, carry, jax.random.split(key, gradient_steps)
        )
        metrics = jax.tree.map(jnp.mean, metrics) | {
            "window/known": known.sum() / (window.filled(ring) * self.num_envs)
        }
        return Learner(params, opt_state, ring, counters.add(learner.iteration, 1)), metrics

    def loss(self, params: PolicyValue, b: Sample) -> tuple[Array, dict[str, Array]]:
        """Return (z - v)² - π · log p + c |θ|², means over a batch [B]; positions without a z teach p alone."""
        logits, v = params(b.obs, b.legal)
        target = (1 - self.mix) * b.z + self.mix * b.value
        l_value = jnp.where(b.known, jnp.square(target - v), 0).sum() / jnp.maximum(b.known.sum(), 1)
        l_policy = -jnp.where(b.legal, b.policy * jax.nn.log_softmax(logits), 0).sum(-1).mean()
        squares = sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(params))
        entropy = -jax.scipy.special.xlogy(b.policy, b.policy).sum(-1).mean()
        metrics = {"loss/value": l_value, "loss/policy": l_policy, "entropy": entropy}
        return l_value + l_policy + self.c * squares, metrics | {"kl": l_policy - entropy}

    def optimizer(self, iteration: Array) -> optax.GradientTransformation:
        """Return Adam, whose learning rate may fall."""
        return optax.flatten(optax.adam(decayed(self, self.lr, iteration * self.env_steps_per_iteration)))

    def draw(self, space: Space, key: Array, shape: tuple[int, ...]) -> Noise:
        """Draw all that is random in moves [*shape]."""
        assert isinstance(space, Discrete)
        k_root, k_move, k_length = jax.random.split(key, 3)
        wide = *shape, space.n
        gumbel = self.search == "gumbel"
        root = jax.random.gumbel(k_root, wide) if gumbel else jax.random.loggamma(k_root, self.alpha, wide)
        length = jax.random.randint(k_length, shape, 0, self.opening + 1)
        return Noise(root, jax.random.gumbel(k_move, wide), length)

    def start_memory(self, space: Space, num_envs: int) -> Opening:
        """Return openings of which no move was played."""
        return Opening(*jnp.zeros((2, num_envs), jnp.int32))

    def acting(self, learner: Learner) -> Learner:
        """Return the network alone: moves need no window."""
        return learner._replace(opt_state=None, window=None)


def successors(params: PolicyValue, state: Any, move: Array) -> tuple[Any, Expansion]:
    """Return positions after moves [B], and what the rules and the network say of them: the search's model.

    The value of what follows counts against who has moved, for if the same player moves again, and not after an end.
    """
    game = params.game
    after, t = jax.vmap(partial(moved, game))(state, move)
    again = jax.vmap(game.player)(after) == jax.vmap(game.player)(state)
    discount = jnp.where(t.terminated, 0.0, jnp.where(again, 1.0, -1.0))
    logits, value = params(t.obs, jax.vmap(game.legal)(after))
    return after, Expansion(t.reward, discount, logits, value)
