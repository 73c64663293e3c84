"""No option is silently ignored: every field of every algorithm changes what is learnt.

An algorithm is run twice from the same key, for `init` and two iterations, and one field differs. Parameters, targets,
optimisers' moments, replay and environments are compared where both runs have them: a shape differs there, or a number
by more than rounding. What only says something does not count: metrics, counters and keys. So a new field that nothing
reads fails here, without being entered anywhere; one that takes effect only beside another option gets it in `CHANGES`.

Three hundred fields would be a hundred and fifty programs, of which XLA compiles one in two seconds. So they are not
compiled: `evaluate` takes them equation by equation, in NumPy where that has a word for it. That also keeps rounding
the same on both sides, because nothing is fused or put in another order.
"""

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import combinations
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax import Array
from jax.extend.core import Literal

from swingup.algos import ALGOS, algorithm
from swingup.algos.world_models import ARMS
from swingup.envs import Vec, make
from swingup.errors import ConfigError
from swingup.protocols import Env, hyperparameters
from swingup.ranges import Count, is_traced, kinds
from swingup.spaces import Box, Discrete, Space
from swingup.types import Transition

# --- Programs, one equation after the other ------------------------------------------------------------------


def cut(p: dict, x: Any) -> Any:
    steps = p["strides"] or (1,) * x.ndim
    return x[tuple(map(slice, p["start_indices"], p["limit_indices"], steps))]


def spread(p: dict, x: Any, *_: Any) -> Any:
    sizes = [1] * len(p["shape"])
    for axis, size in zip(p["broadcast_dimensions"], x.shape, strict=True):
        sizes[axis] = size
    return np.broadcast_to(x.reshape(sizes), p["shape"])


def count(p: dict) -> Any:
    sizes = [1] * len(p["shape"])
    sizes[p["dimension"]] = -1
    return np.broadcast_to(np.arange(p["shape"][p["dimension"]], dtype=p["dtype"]).reshape(sizes), p["shape"])


def product(p: dict, x: Any, y: Any) -> Any:
    (over_x, over_y), (batch_x, batch_y) = p["dimension_numbers"]
    name_x, name_y = list(range(x.ndim)), list(range(x.ndim, x.ndim + y.ndim))
    for i, j in zip((*over_x, *batch_x), (*over_y, *batch_y), strict=True):
        name_y[j] = name_x[i]
    left = [a for i, a in enumerate(name_x) if i not in (*over_x, *batch_x)]
    right = [a for j, a in enumerate(name_y) if j not in (*over_y, *batch_y)]
    return np.einsum(x, name_x, y, name_y, [*(name_x[i] for i in batch_x), *left, *right])


def divided(p: dict, x: Any, y: Any) -> Any:
    if x.dtype.kind == "f":
        return x / y
    return x // y + ((x % y != 0) & ((x < 0) != (y < 0)))  # towards zero


def running_sum(p: dict, x: Any) -> Any:
    turn = partial(np.flip, axis=p["axis"]) if p["reverse"] else np.asarray
    return turn(np.cumsum(turn(x), p["axis"], x.dtype))


def plain(f: Callable) -> Callable:
    return lambda p, *x: f(*x)


def shift_logical(x: Any, y: Any) -> Any:
    return (x.view(np.uint32) >> y.view(np.uint32)).view(x.dtype)


def threefry(key: Any, counter: Any) -> tuple[Any, Any]:
    """Threefry-2x32 (Salmon et al. 2011) with 20 rounds: two words for each key and counter, which are one number."""
    (k0, k1), (x0, x1) = (words(np.asarray(x)).T for x in np.broadcast_arrays(key, counter))
    keys = k0, k1, k0 ^ k1 ^ np.uint32(0x1BD11BDA)
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for i in range(5):
        for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
            x0 = x0 + x1
            x1 = x0 ^ (x1 << np.uint32(turn) | x1 >> np.uint32(32 - turn))
        x0, x1 = x0 + keys[(i + 1) % 3], x1 + keys[(i + 2) % 3] + np.uint32(i + 1)
    return x0.T, x1.T


def counted(key: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Two words for each key and each place of a shape: [*keys, *shape]."""
    places = np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)
    return threefry(key.reshape(key.shape + (1,) * len(shape)), places)


def random_bits(p: dict, key: Any) -> Any:
    assert p["bit_width"] == 32
    x0, x1 = counted(key, p["shape"])
    return x0 ^ x1


def fold_in(p: dict, key: Any, data: Any) -> Any:
    return numbers(np.stack(threefry(key, data.astype(np.uint64)), -1))


OPERATIONS: dict[str, Callable] = {
    **{
        name: plain(getattr(np, name))
        for name in ("exp", "log", "tanh", "sqrt", "abs", "sign", "square", "log1p")
    },
    **{
        name: plain(getattr(operator, name))
        for name in ("add", "sub", "mul", "neg", "eq", "ne", "lt", "le", "gt", "ge")
    },
    **{name: plain(getattr(scipy.special, name)) for name in ("erf", "erfc")},
    "add_any": plain(operator.add),
    "and": plain(operator.and_),
    "or": plain(operator.or_),
    "not": plain(np.invert),
    "max": plain(np.maximum),
    "min": plain(np.minimum),
    "pow": lambda p, x, y: np.power(x, y.astype(x.dtype)),
    "rem": plain(np.fmod),
    "div": divided,
    "erf_inv": plain(scipy.special.erfinv),
    "rsqrt": lambda p, x: 1 / np.sqrt(x),
    "integer_pow": lambda p, x: x ** np.asarray(p["y"], x.dtype),
    "is_finite": plain(np.isfinite),
    "shift_right_logical": plain(shift_logical),
    "select_n": lambda p, which, *x: (
        np.where(which, x[1], x[0]) if which.dtype == bool else np.choose(which, x)
    ),
    "convert_element_type": lambda p, x: x.astype(p["new_dtype"]),
    "bitcast_convert_type": lambda p, x: x.view(p["new_dtype"]),
    "copy": plain(np.asarray),
    "stop_gradient": plain(np.asarray),
    "optimization_barrier": lambda p, *x: x,
    "broadcast_in_dim": spread,
    "reshape": lambda p, x: x.reshape(p["new_sizes"]),
    "squeeze": lambda p, x: x.squeeze(p["dimensions"]),
    "transpose": lambda p, x: x.transpose(p["permutation"]),
    "concatenate": lambda p, *x: np.concatenate(x, p["dimension"]),
    "split": lambda p, x: np.split(x, np.cumsum(p["sizes"])[:-1], p["axis"]),
    "slice": cut,
    "iota": count,
    "stack": lambda p, *x: np.stack(x, p["axis"]),
    "dot_general": product,
    "reduce_sum": lambda p, x: x.sum(p["axes"], x.dtype),
    "reduce_max": lambda p, x: x.max(p["axes"]),
    "reduce_min": lambda p, x: x.min(p["axes"]),
    "reduce_and": lambda p, x: x.all(p["axes"]),
    "reduce_or": lambda p, x: x.any(p["axes"]),
    "argmax": lambda p, x: x.argmax(*p["axes"]).astype(p["index_dtype"]),
    "cumsum": running_sum,
    # A key is here one number of 64 bits, so that what moves arrays about moves keys too.
    "random_wrap": lambda p, x: numbers(x),
    "random_unwrap": lambda p, x: words(x),
    "random_bits": random_bits,
    "random_split": lambda p, key: numbers(np.stack(counted(key, p["shape"]), -1)),
    "random_fold_in": fold_in,
}
CALLS = "jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "checkpoint"
Watch = Callable[[tuple[Any, ...], Any, list], None]  # of the equations around it, the equation, its inputs


def numbers(x: Any) -> Any:
    """Keys as words [..., 2] to keys as numbers [...]."""
    x = np.asarray(x, np.uint64)
    return x[..., 0] << np.uint64(32) | x[..., 1]


def words(x: Any) -> Any:
    return np.stack([x >> np.uint64(32), x & np.uint64(2**32 - 1)], -1).astype(np.uint32)


def is_key(x: Any) -> bool:
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def literal(v: Any) -> Any:
    return np.asarray(v.val, v.aval.dtype)


def by_jax(equation: Any, inputs: list) -> Any:
    """What has no word in NumPy: gather, scatter, sort, random bits, ..."""
    given = [
        jax.random.wrap_key_data(words(x)) if is_key(v.aval) else x
        for v, x in zip(equation.invars, inputs, strict=True)
    ]
    return jax.tree.map(host, equation.primitive.bind(*given, **equation.params))


def nothing(path: tuple[Any, ...], equation: Any, inputs: list) -> None:
    """A watch that sees nothing."""


@np.errstate(all="ignore")  # dividing by zero, and what overflows, gives what it gives in XLA
def evaluate(closed: Any, inputs: Sequence[Any], watch: Watch = nothing, path: tuple[Any, ...] = ()) -> list:
    """The outputs of a program for these inputs; `watch` sees every equation in its turn, also those of loops."""
    jaxpr = closed.jaxpr
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*map(host, closed.consts), *inputs), strict=True))

    def read(v: Any) -> Any:
        return literal(v) if isinstance(v, Literal) else known[v]

    for equation in jaxpr.eqns:
        name, x = equation.primitive.name, [read(v) for v in equation.invars]
        if name in CALLS:
            y = evaluate(body_of(equation), x, watch, (*path, equation))
        elif name in LOOPS:
            y = LOOPS[name](equation, x, watch, (*path, equation))
        else:
            watch(path, equation, x)
            y = OPERATIONS[name](equation.params, *x) if name in OPERATIONS else by_jax(equation, x)
        known.update(zip(equation.outvars, y if equation.primitive.multiple_results else [y], strict=True))
    return [read(v) for v in jaxpr.outvars]


def body_of(equation: Any) -> Any:
    p = equation.params
    return p["call_jaxpr" if "call_jaxpr" in p else "jaxpr"]


def scan(equation: Any, x: list, watch: Watch, path: tuple[Any, ...]) -> list:
    p = equation.params
    fixed, state = p["num_consts"], p["num_consts"] + p["num_carry"]
    carry, rows = x[fixed:state], []
    turns = range(p["length"])
    for i in reversed(turns) if p["reverse"] else turns:
        y = evaluate(p["jaxpr"], [*x[:fixed], *carry, *(rest[i] for rest in x[state:])], watch, path)
        carry = y[: p["num_carry"]]
        rows.append(y[p["num_carry"] :])
    return [*carry, *(np.stack(row) for row in zip(*(rows[::-1] if p["reverse"] else rows), strict=True))]


def repeat(equation: Any, x: list, watch: Watch, path: tuple[Any, ...]) -> list:
    p = equation.params
    of_condition, of_body = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    carry = x[of_body:]
    while evaluate(p["cond_jaxpr"], [*x[:of_condition], *carry], watch, path)[0].any():
        carry = evaluate(p["body_jaxpr"], [*x[of_condition:of_body], *carry], watch, path)
    return carry


def choose(equation: Any, x: list, watch: Watch, path: tuple[Any, ...]) -> list:
    return evaluate(equation.params["branches"][int(x[0])], x[1:], watch, path)


LOOPS: dict[str, Callable] = {"scan": scan, "while": repeat, "cond": choose}


def host(x: Any) -> Any:
    """An array for `evaluate`."""
    x = jnp.asarray(x) if isinstance(x, int | float) else x
    return numbers(jax.random.key_data(x)) if is_key(x) else np.asarray(x)


class Program:
    """`init` and `step` of an algorithm's static settings in an environment, traced once."""

    def __init__(self, algo: Any, env: Any):
        key = jax.eval_shape(lambda: jax.random.key(0))
        trace = partial(jax.make_jaxpr, return_shape=True)
        self.init, self.state = trace(lambda algo, key: algo.init(env, key))(algo, key)
        self.step, _ = trace(lambda algo, state: algo.step(env, state)[0])(algo, self.state)

    def begin(self, algo: Any, key: Array, watch: Watch = nothing) -> list:
        """The leaves of the first state."""
        return evaluate(self.init, [*map(host, jax.tree.leaves(algo)), host(key)], watch)

    def advance(self, algo: Any, state: list, watch: Watch = nothing) -> list:
        """Those after one iteration."""
        return evaluate(self.step, [*map(host, jax.tree.leaves(algo)), *state], watch)

    def run(self, algo: Any, key: Array, watch: Watch = nothing) -> list:
        """Those after two iterations: what the first one leaves behind must reach the second."""
        return self.advance(algo, self.advance(algo, self.begin(algo, key, watch), watch), watch)


# --- What is run ---------------------------------------------------------------------------------------------


class Reach:
    """Move a number towards another; after four env steps the time is up. All of it is noisy."""

    name = "Reach"
    observation_space: Space

    def __init__(self, action_space: Space, shape: tuple[int, ...]):
        self.action_space, self.shape = action_space, shape
        self.observation_space = Box.of(-1e6, 1e6, shape, goal=1 if len(shape) == 1 else 0)
        self.known_reward = self.paid if len(shape) == 1 else None  # what a model need not learn

    def reset(self, key: Array) -> tuple[tuple[Array, Array], Array]:
        place = jax.random.normal(key, self.shape)
        return (place, jnp.int32(0)), place

    def step(self, state: tuple[Array, Array], action: Array, key: Array) -> tuple[Any, Transition]:
        place, time = state
        moved = 0.5 * action.sum() + 0.1 * jax.random.normal(key)
        place = (place.ravel().at[0].add(moved)).reshape(self.shape)
        reward, there = self.goal_reward(place.ravel()[:1], place.ravel()[1:2])
        return (place, time + 1), Transition(place, reward, there, time >= 3)

    def paid(self, obs: Array, action: Array, next_obs: Array) -> Array:
        return self.goal_reward(next_obs[..., :1], next_obs[..., 1:2])[0]

    def goal_reward(self, achieved: Array, desired: Array) -> tuple[Array, Array]:
        """The distance costs, and 0.3 is near enough."""
        gap = jnp.abs(achieved - desired)[..., 0]
        return -gap, gap < 0.3


class Shown(Env):
    """A light goes round on 3x3 cells, by as many as the action says, beside noise: planes of bits."""

    name = "Shown"
    observation_space: Space = Box.of(0, 1, (3, 3, 2), "uint8")
    action_space: Space = Discrete(4)

    def reset(self, key: Array) -> tuple[tuple[Array, Array], Array]:
        k_place, k_noise = jax.random.split(key)
        place = jax.random.randint(k_place, (), 0, 9)
        return (place, jnp.int32(0)), self.observe(place, k_noise)

    def observe(self, place: Array, key: Array) -> Array:
        bits = jnp.stack([jnp.arange(9) == place, jax.random.bernoulli(key, shape=(9,))], -1)
        return bits.reshape(3, 3, 2).astype(jnp.uint8)

    def state_of(self, obs: Array) -> tuple[Array, Array]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return jnp.argmax(obs[..., 0].reshape(-1)), jnp.int32(0)

    def step(self, state: tuple[Array, Array], action: Array, key: Array) -> tuple[Any, Transition]:
        place, time = (state[0] + action) % 9, state[1] + 1
        reward = (place == 4).astype(jnp.float32)
        return (place, time), Transition(self.observe(place, key), reward, place == 8, time >= 3)


VECTOR, WINDOW = (3,), (4, 4)  # of observations: with goals, and what is a vector, an image or a window
# Small; rates so high that each gradient step shows; a replay that is never full, so that none of it is forgotten.
BASE: dict[str, Any] = {
    "num_envs": 2,
    "num_steps": 4,
    "replay_ratio": 0.5,
    "batch_size": 4,
    "replay_size": 64,
    "warmup": 32,
    "target_period": 3,
    "epochs": 2,
    "value_epochs": 2,
    "num_minibatches": 2,
    "atoms": 5,
    "quantiles": 5,
    "cg_iterations": 1,
    "n": 1,
    "simulations": 4,
    "opening": 2,
    "window": 64,
    "draws": 2,
    "horizon": 3,
    "candidates": 6,
    "search_iterations": 2,
    "elites": 2,
    "particles": 2,
    "members": 2,
    "looks": 2,
    "gradient_steps": 2,
    "critics": 2,
    "model_steps": 2,
    "model_batch": 4,
    "model_lr": 0.05,
    "model_hidden": (4,),
    "imagined_envs": 4,
    "imagined_size": 64,
    "trials": 2,
    "rounds": 1,
    "imitation_steps": 2,
    "imitation_lr": 0.05,
    "updates": 4,
    "score_every": 2,
    "patience": 4,
    "score_starts": 3,
    "dreams": True,
    "vision_iterations": 1,
    "vision_steps": 2,
    "vision_width": 4,
    "latents": 2,
    "model_iterations": 1,
    "model_width": 3,
    "length": 2,
    "population": 4,
    "tries": 2,
    "lam": 0.8,
    "lr": 0.05,
    "actor_lr": 0.05,
    "value_lr": 0.05,
    "alpha_lr": 0.05,
    "lr_horizon": 100.0,
    "hidden": (4,),
}


class Change(NamedTuple):
    """Other values of a field, and what must be set beside it for it to take effect."""

    to: tuple[Any, ...] = ()  # none: what `other` says
    beside: Mapping[str, Any] = MappingProxyType({})
    observations: tuple[int, ...] = VECTOR


RAINBOW, PLANNERS = ("dqn", "c51", "qr_dqn"), ("value_iteration", "policy_iteration")
PUCT = {"search": "puct", "opening": 0, "simulations": 8}  # what only the search of the paper reads
# Of 32 actions by chance and by greed none would differ in one of 4^32 cases.
EXPLORING = {"num_steps": 16, "replay_ratio": 0.125}
# A step so long that the line search must shorten it, in most rollouts.
FAILING = {"delta": 9.0, "damping": 0.0, "shrink": 0.1, "backtracks": 1}
EVOLVING = {"vision_iterations": 0, "model_iterations": 0}
CHANGES: dict[str | tuple[str, str], Change] = {
    # What is chosen by name: all choices differ.
    "weight": Change(("full_return", "reward_to_go", "reward_to_go_baseline", "q", "n_step")),
    "optim": Change(("adam",)),
    "activation": Change(("silu",)),
    "body": Change(("cnn",), observations=WINDOW),
    "memory": Change(("lstm", "attention"), observations=WINDOW),
    # What takes effect beside another option.
    "n": Change(beside={"weight": "n_step"}),
    "lr_horizon": Change(beside={"lr_decay": True}),
    "beta": Change(beside={"prioritised": True}),
    **{(name, "alpha"): Change(beside={"prioritised": True}) for name in RAINBOW},
    "epsilon_start": Change((0.0,), EXPLORING),
    "epsilon_end": Change((1.0,), EXPLORING | {"epsilon_decay": 1.0}),
    "epsilon_decay": Change((1.0,), EXPLORING | {"epsilon_end": 0.0}),
    ("policy_iteration", "initial"): Change((1.0,), {"sweeps": 1}),
    "line_search": Change(beside=FAILING),
    "backtracks": Change(beside=FAILING),
    "shrink": Change(beside=FAILING | {"backtracks": 2}),
    # AlphaZero's.
    "search": Change(("puct",)),
    ("alphazero", "body"): Change(("residual",)),
    ("alphazero", "batch_size"): Change((8,)),  # must divide the draws
    ("alphazero", "alpha"): Change(beside=PUCT),
    ("alphazero", "epsilon"): Change((1.0,), PUCT),
    "c_init": Change((10.0,), PUCT),
    "temperature_moves": Change((0,), PUCT),
    "c": Change((1.0,)),
    # Planners have these.
    "planner": Change(("shooting",)),
    ("mbmf", "planner"): Change(("cem",)),
    "resample": Change(("permuted",)),
    "decay": Change((1.0,)),
    ("pets", "members"): Change(beside={"particles": 6}),  # which must be a multiple
    ("pets", "particles"): Change((4,), {"gaussian": True}),  # members that are certain say the same twice
    ("pets", "activation"): Change(("tanh",)),
    # These look ahead in what they have learnt.
    ("me_trpo", "members"): Change(beside={"imagined_envs": 6}),
    ("mve", "members"): Change(beside={"batch_size": 6}),
    ("mve", "batch_size"): Change((6,)),  # members share its rows equally
    ("mbpo", "elites"): Change((1,)),
    "imagined_envs": Change((6,)),  # must be a multiple
    "updates": Change((2,)),
    "tolerance": Change((0.6,)),  # of two members
    "patience": Change((4,), {"patience": 2, "tolerance": 0.0}),
    "score_starts": Change((1,), {"tolerance": 0.0}),
    "branch": Change((2,), {"branch_to": 1e6}),
    "branch_from": Change((50.0,), {"branch_end": 3, "branch_to": 60.0}),
    "branch_to": Change((1e6,), {"branch_end": 3}),
    "real_share": Change((0.5,)),
    # It imagines; one that looks ahead learns what a model-free one does, and plays otherwise.
    "arm": Change(("exact", "corrupted", "copy", "model-free")),
    "flip": Change((1.0,), {"arm": "corrupted"}),
    "c_distil": Change((10.0,)),
    ("i2a", "optim"): Change(("rmsprop",)),
    # V learns in the first of the two iterations, M in the second; what C has takes effect when there are no others.
    ("world_models", "arm"): Change(ARMS[1:], {"dreams": False, "num_envs": 4, "vision_iterations": 0}),
    "dreams": Change(beside=EVOLVING | {"num_envs": 4}),
    "kl_floor": Change((0.0,)),
    "model_iterations": Change(beside={"vision_iterations": 0}),
    "controller_width": Change(beside={"arm": "v-hidden", "dreams": False, "num_envs": 4}),
    "tries": Change(beside=EVOLVING),
    ("world_models", "horizon"): Change(beside=EVOLVING),
    ("world_models", "temperature"): Change(beside=EVOLVING),
    # Half of it or one more would change nothing, or too little to tell.
    "clip": Change((1e-3,)),
    "clip_value": Change(beside={"clip": 1e-3}),
    "target_kl": Change((1e-6,)),
    "c_entropy": Change((1.0,)),
    "max_grad_norm": Change((1e-3,)),
    "adam_eps": Change((1.0,)),
    "kappa": Change((0.01,)),
    "smoothing_clip": Change((0.01,)),
    "num_minibatches": Change((4,)),  # must divide the rollout
    "cg_tolerance": Change((0.9,), {"cg_iterations": 10}),
    # The networks disagree about the best action where they are far apart.
    "double": Change(beside={"target_period": 100, "batch_size": 32}),
    # Half of 0 is 0.
    "log_std_init": Change((0.5,)),
    "lr_power": Change((0.6,)),
    "initial": Change((1.0,)),
    # What planners play changes no table, and shows in the environments: too early there for an end.
    **{(name, "num_steps"): Change(beside={"num_steps": 1}) for name in PLANNERS},
}
TRIES = 16  # seeds, of which one must tell: whether a line search is needed, say, depends on what was met
# Not learnt: these count, or wait to be drawn from.
SAID = "imagined", "env_steps", "gradient_steps", "iteration", "phase", "key", "noise_key"


def base(name: str, **beside: Any) -> Any:
    """An algorithm with small settings."""
    cls = algorithm(name)
    return cls(**{key: value for key, value in (BASE | beside).items() if key in kinds(cls)})


def other(name: str, value: Any) -> Any:
    """Another value of a field, near this one."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float() if value:
            return value / 2
        case (int(first), *rest):
            return (first + 1, *rest)
    raise AssertionError(f"{name}={value!r}: say in CHANGES what else it may be")


@cache
def world(name: str, num_envs: int, shape: tuple[int, ...]) -> Any:
    """The environments of an algorithm: a game, tables without networks, else vectors of actions if it takes them."""
    if algorithm(name).plays_games:
        return make("pgx:tic_tac_toe", num_envs)
    if name == "i2a":
        return Vec(Shown(), num_envs)
    if "hidden" not in kinds(algorithm(name)) and "planner" not in kinds(algorithm(name)):
        return make("tabular:Grid", num_envs)
    env = Vec(Reach(Box.of(-1.0, 1.0, (1,)), shape), num_envs)
    try:
        jax.eval_shape(lambda key: base(name, num_envs=num_envs).init(env, key), jax.random.key(0))
    except ConfigError:
        env = Vec(Reach(Discrete(4), shape), num_envs)
    return env


PROGRAMS: dict[Any, Program] = {}


def program(algo: Any, env: Any) -> Program:
    """Floats are inputs: algorithms that differ in these alone share it."""
    key = env, jax.tree.structure(algo)
    if key not in PROGRAMS:
        PROGRAMS[key] = Program(algo, env)
    return PROGRAMS[key]


@pytest.fixture(scope="module", autouse=True)
def _forget() -> Any:
    yield
    PROGRAMS.clear()
    RESULTS.clear()


RESULTS: dict[Any, dict[str, Any]] = {}


def learnt(name: str, algo: Any, shape: tuple[int, ...], seed: int) -> dict[str, Any]:
    """{place in the state: array} after two iterations, but for what is only said."""
    key = algo, shape, seed
    if key not in RESULTS:
        traced = program(algo, world(name, algo.num_envs, shape))
        places = [p for p, _ in jax.tree_util.tree_flatten_with_path(traced.state)[0]]
        found = traced.run(algo, jax.random.key(seed))
        RESULTS[key] = {
            jax.tree_util.keystr(p): x
            for p, x in zip(places, found, strict=True)
            if not any(isinstance(part, jax.tree_util.GetAttrKey) and part.name in SAID for part in p)
        }
    return RESULTS[key]


def differ(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """The places which both have, and in which something else is."""
    return [place for place in a if place in b and apart(a[place], b[place])]


def apart(x: Any, y: Any) -> bool:
    if x.shape != y.shape:
        return True
    if x.dtype.kind != "f":
        return bool(np.any(x != y))
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()
    return bool(np.any(np.abs(x - y) > 1e-5))


# MBMF's planner is that of PETS, and TRPO is handed its settings (`test_mbmf.py`) for iterations that come later.
LESSONS = (
    *("trials", "rounds", "planner", "known", "looks", "model_steps", "model_lr", "model_hidden"),
    *("imitation_steps", "imitation_lr", "batch_size"),
)
FIELDS = [
    (name, field.name)
    for name in ALGOS
    for field in dataclasses.fields(algorithm(name))
    if name != "mbmf" or field.name in LESSONS
]
# Made of another algorithm, whose fields are tested there, or of three parts. Each value of a static one is a program
# that takes seconds to trace, so these are left to the slow tests.
COMPOSED = "mbmf", "me_trpo", "mbpo", "mve", "steve", "i2a", "world_models"
# A search or a plan takes seconds, equation by equation.
LONG = "alphazero", "pets"
# Fields that an algorithm shares with another: `test_copies.py` holds what reads them equal.
LIKE = {"c51": "dqn", "qr_dqn": "dqn", "td3": "ddpg", "sac_discrete": "sac"}


def late(name: str, field: str) -> list[Any]:
    """Leave to the slow tests what takes long or is another's; and what is all of it, to those of everything."""
    if name in COMPOSED:
        static = not is_traced(kinds(algorithm(name))[field])
        return [pytest.mark.slow, *[pytest.mark.everything] * static]
    shared = name in LIKE and field in kinds(algorithm(LIKE[name]))
    return [pytest.mark.slow] if name in LONG or shared else []


@pytest.mark.parametrize(
    "name, field", [pytest.param(*x, marks=late(*x)) for x in FIELDS], ids=["-".join(x) for x in FIELDS]
)
def test_every_field_changes_what_is_learnt(name: str, field: str) -> None:
    change = CHANGES.get((name, field), CHANGES.get(field, Change()))
    algo = base(name, **change.beside)
    now = getattr(algo, field)
    values = [now, *(change.to or (other(field, now),))]
    for x, y in combinations(values, 2):
        settings = [dataclasses.replace(algo, **{field: value}) for value in (x, y)]
        found = ([learnt(name, a, change.observations, seed) for a in settings] for seed in range(TRIES))
        assert any(differ(*both) for both in found), (
            f"{name} with {field}={y!r} learns what it does with {x!r}"
        )


# --- And what is run with says something ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ppo", "sac", "sarsa"])
def test_a_field_that_nothing_reads_is_found(name: str) -> None:
    """Whether it is an input of the program or decides about it."""

    @hyperparameters
    class Wider(algorithm(name)):
        unread: Count = 1
        unread_rate: float = 1.0

    algo = Wider(**vars(base(name)))
    for field in ("unread", "unread_rate"):
        changed = dataclasses.replace(algo, **{field: other(field, getattr(algo, field))})
        assert differ(*(learnt(name, a, VECTOR, 0) for a in (algo, changed))) == []


@pytest.mark.parametrize(
    "name, options", [("ppo", {"normalise_obs": True}), ("dqn", {"prioritised": True, "n_step": 2})]
)
def test_what_is_evaluated_is_what_xla_computes(name: str, options: dict[str, Any]) -> None:
    """The state after two iterations, to rounding; what was drawn to the last bit."""
    algo = base(name, **options)
    env = world(name, algo.num_envs, VECTOR)
    begun = jax.jit(lambda algo, key: algo.init(env, key))(algo, jax.random.key(5))
    step = jax.jit(lambda algo, state: algo.step(env, state)[0])
    expected = step(algo, step(algo, begun))
    found = program(algo, env).run(algo, jax.random.key(5))
    for place, x, y in zip(
        jax.tree_util.tree_leaves_with_path(expected),
        map(host, jax.tree.leaves(expected)),
        found,
        strict=True,
    ):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        if "replay.words" not in jax.tree_util.keystr(place[0]):  # these are bits of rounded numbers
            np.testing.assert_allclose(y, x, rtol=1e-3, atol=1e-4)


def test_the_table_of_changes_knows_no_field_that_is_gone() -> None:
    named = {key[1] if isinstance(key, tuple) else key for key in CHANGES}
    beside = {key for change in CHANGES.values() for key in change.beside}
    assert named | beside | set(BASE) <= {field for _, field in FIELDS}
