"""No key serves two consumers, and in all that a seed does, every key is drawn from or split once.

The programs of `init`, `step`, of the evaluation and of the warm-up on the host are taken equation by equation with
real numbers (`test_options.evaluate`), loops turn by turn, and every key that is consumed is noted by its 64 bits. So
it does not matter how a key came to where it is used: by a carry, a gather, `vmap`, its words, or a second root of the
same purpose. What two seeds consume is one list, which also shows a key that is a constant.

JAX has a checker of its own (`jax.debug_key_reuse`). It refuses the first three of MISUSES below. It accepts a key that
is repeated by `vmap` or picked twice, goes by its words, is folded twice with the same number, or is folded and split
(`fold_in(key, 1)` *is* `split(key)[1]`), and knows nothing of another call, such as `init` and the evaluation. And it
refuses what is right: keys picked by numbers that are known only when the program runs; and the noise of noisy weights,
which is held on purpose for all env steps of an iteration. So that this too is counted once, it is run here with
`num_steps=1` and evaluated greedily.

What cannot be seen from keys: one draw that several consumers share.
"""

import ast
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from test_options import VECTOR, WINDOW, Program, base, evaluate, host, is_key, world

import swingup
from swingup import episodes, rollout
from swingup.algos import ALGOS, algorithm
from swingup.ranges import kinds
from swingup.runs.evaluation import _folded
from swingup.training import driver, host_loop, warmup
from swingup.types import Seen

SOURCE = Path(swingup.__file__).parent


class Use(NamedTuple):
    """A primitive that consumed keys, or folded a number into them."""

    primitive: str
    keys: list[int]
    shape: tuple[int, ...]  # of what was made of each key
    path: tuple[Any, ...]  # the equation, and those around it


class Ledger:
    """Notes what happens to keys: to be the `watch` of `evaluate`."""

    def __init__(self) -> None:
        self.uses: list[Use] = []

    def __call__(self, path: tuple[Any, ...], equation: Any, inputs: list) -> None:
        name, shape = equation.primitive.name, equation.params.get("shape", ())
        assert name != "threefry2x32", "words are drawn from: make a key of them, so that it is seen"
        if not name.startswith("random_") or name in ("random_wrap", "random_unwrap", "random_seed"):
            return  # keys are moved about, or made
        for v, x in zip(equation.invars, inputs, strict=True):
            if is_key(v.aval):
                self.uses.append(Use(name, x.ravel().tolist(), shape, (*path, equation)))

    def see(self, f: Callable, shapes: tuple[Any, ...], *values: list) -> None:
        """Watch a function of arguments of these shapes, with the leaves of each."""
        closed = jax.make_jaxpr(f)(*shapes)
        evaluate(closed, [host(x) for leaves in values for x in leaves], self)

    def of(self, f: Callable, *arguments: Any) -> None:
        """Watch a function of these arguments."""
        self.see(f, arguments, jax.tree.leaves(arguments))

    def consumed(self) -> Iterator[tuple[int, Use]]:
        return ((key, use) for use in self.uses if use.primitive != "random_fold_in" for key in use.keys)

    def drawn(self) -> Counter:
        """How often how much was drawn from each key."""
        return Counter((use.primitive, key, use.shape) for use in self.uses for key in use.keys)

    def mistakes(self) -> list[str]:
        """What was consumed twice, or consumed and folded, and where."""
        users = defaultdict(list)
        for key, use in self.consumed():
            users[key].append(use)
        folded = {key: use for use in self.uses if use.primitive == "random_fold_in" for key in use.keys}
        twice = [u for u in users.values() if len(u) > 1]
        both = [[users[key][0], use] for key, use in folded.items() if key in users]
        return sorted({" and ".join(dict.fromkeys(map(where, u))) for u in twice + both})


def where(use: Use) -> str:
    """The lines of this library, or of these tests, by which a consumer was reached."""
    lines = []
    for equation in use.path:
        ours = [
            f"{Path(f.file_name).name}:{f.line_num}"
            for f in equation.source_info.traceback.frames
            if str(SOURCE) in f.file_name or f.file_name == __file__
        ]
        lines += [line for line in ours[:1] if line not in lines]
    return f"{use.primitive} at {' > '.join(lines)}"


# --- The ledger sees mistakes, and nothing else ---------------------------------------------------------------


def normals(keys: Array) -> Array:
    return jax.vmap(jax.random.normal)(keys)


def parent_of_a_split(key: Array) -> Any:
    child, _ = jax.random.split(key)
    return jax.random.normal(key), jax.random.normal(child)


def constant_of_a_scan(key: Array) -> Any:
    return jax.lax.scan(lambda carry, _: (carry, jax.random.normal(key)), 0, length=3)


def carry_that_stays(key: Array) -> Any:
    return jax.lax.scan(lambda key, _: (key, jax.random.normal(jax.random.split(key)[1])), key, length=3)


def repeated_by_vmap(key: Array) -> Any:
    return normals(jnp.broadcast_to(key, (3,)))


def picked_twice(key: Array) -> Any:
    return normals(jax.random.split(key, 4)[jnp.array([1, 3, 1])])


def by_its_words(key: Array) -> Any:
    return jax.random.normal(key), jax.random.normal(jax.random.wrap_key_data(jax.random.key_data(key)))


def folded_with_one_number(key: Array) -> Any:
    return [jax.random.normal(jax.random.fold_in(key, 7)) for _ in range(2)]


def folded_in_a_while_loop(key: Array) -> Any:
    def body(carry: tuple) -> tuple:
        return carry[0] + 1, carry[1] + jax.random.normal(jax.random.fold_in(key, 0))

    return jax.lax.while_loop(lambda carry: carry[0] < 3, body, (0, 0.0))


def folded_and_split(key: Array) -> Any:
    return jax.random.normal(jax.random.fold_in(key, 9)), normals(jax.random.split(key))


MISUSES = (
    parent_of_a_split,
    constant_of_a_scan,
    carry_that_stays,
    repeated_by_vmap,
    picked_twice,
    by_its_words,
    folded_with_one_number,
    folded_in_a_while_loop,
    folded_and_split,
)


@pytest.mark.parametrize("function", MISUSES)
def test_a_key_with_two_consumers_is_found(function: Callable) -> None:
    ledger = Ledger()
    ledger.of(function, jax.random.key(0))
    assert any(Path(__file__).name in mistake for mistake in ledger.mistakes())


def test_keys_with_one_consumer_each_are_no_mistake() -> None:
    """Splits in a carry, keys picked by number, times that are folded in, batches, branches."""

    def right(key: Array, number: Array) -> Any:
        k_scan, k_pick, k_fold, k_batch, k_branch = jax.random.split(key, 5)

        def turn(key: Array, _: None) -> tuple[Array, Array]:
            key, now = jax.random.split(key)
            return key, jax.random.normal(now)

        few = jax.random.split(k_pick, 3)
        return (
            jax.lax.scan(turn, k_scan, length=3),
            [jax.random.normal(jax.lax.dynamic_index_in_dim(few, number - i, 0, False)) for i in range(3)],
            [jax.random.normal(jax.random.fold_in(k_fold, time)) for time in range(3)],
            normals(jax.random.split(k_batch, 3)[jnp.array([2, 0, 1])]),
            jax.lax.cond(number > 5, jax.random.normal, jax.random.uniform, k_branch),
        )

    ledger = Ledger()
    ledger.of(right, jax.random.key(0), jnp.int32(2))
    assert len(ledger.uses) == 2 * 3 + 3 + 1 + 2 * 3 + 2 + 1 + 1  # so it has seen them all
    assert ledger.mistakes() == []


# --- What a seed does -----------------------------------------------------------------------------------------


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every algorithm, and with each of the options that draw or split otherwise, where it has them."""
    noisy = {"noisy": True, "prioritised": True, "n_step": 3, "double": True, "dueling": True, "num_steps": 1}
    options: dict[str, dict[str, Any]] = {
        "noisy": noisy | {"replay_ratio": 1.0},
        "hindsight": {"hindsight": 2},
        "delay": {"delay": 3},  # gradient steps that it does not divide go another way
        "body": {"body": "cnn"},
        "memory": {"memory": "attention"},
        "search": {"search": "puct"},
    }
    for name in ALGOS:
        fields = kinds(algorithm(name))
        yield name, "alone", {}
        own = options | ({"body": {"body": "residual"}} if algorithm(name).plays_games else {})
        yield from ((name, option, beside) for option, beside in own.items() if option in fields)


CASES = list(cases())


@pytest.mark.parametrize("name, option, beside", CASES, ids=["-".join(case[:2]) for case in CASES])
def test_a_seeds_keys_have_one_consumer_each(name: str, option: str, beside: dict[str, Any]) -> None:
    """`init`, two iterations, two rounds of an evaluation, and the warm-up on the host, of two seeds."""
    algo = base(name, **beside)
    env = world(name, algo.num_envs, WINDOW if option in ("body", "memory") else VECTOR)
    train, ledger = Program(algo, env), Ledger()

    def evaluation(algo: Any, learner: Any, key: Array) -> Any:
        def act(seen: Seen, noise: Array) -> Any:
            return algo.act(learner, seen, None if option == "noisy" else noise)

        begins: Any = {
            "memory": algo.start_memory(env.action_space, env.num_envs),
            "draw": algo.draw,
            "limit": 3,
        }
        return [episodes.evaluate(env, act, _folded(key[None], i)[0], **begins) for i in range(2)]

    for seed in (0, 1):
        state = train.run(algo, driver.root_key(seed, "train"), ledger)
        key, shape = driver.root_key(seed, "final evaluation"), train.state.learner
        learner = state[: len(jax.tree.leaves(shape))]
        ledger.see(evaluation, (algo, shape, key), jax.tree.leaves(algo), learner, [key])
        if "warmup" in kinds(type(algo)):
            for piece in (0, 3):
                draw = partial(warmup._draw, env, 3)
                ledger.of(draw, algo, jax.random.key_data(driver.root_key(seed, "warm-up")), np.uint32(piece))
    assert ledger.mistakes() == []


PHASES = "mbmf", "world_models"  # what is drawn depends on the iteration, which `loop` below does not count


@pytest.mark.parametrize("name", ALGOS)
def test_the_loop_on_the_host_draws_what_a_step_draws(name: str) -> None:
    """From the same keys as much as `step` of every algorithm: `test_host_loop.py` compares what some make of it."""
    algo = base(name)
    env = world(name, algo.num_envs, VECTOR)
    train, on_device, on_host = Program(algo, env), Ledger(), Ledger()
    begun = train.begin(algo, jax.random.key(3))
    iterations, state = 1 if name in PHASES else 2, begun
    for _ in range(iterations):
        state = train.advance(algo, state, on_device)

    def collected(state: Any) -> Any:
        act = partial(algo.act, state.learner)
        return rollout.collect(env, act, state.actor, state.key, algo.num_steps, draw=algo.draw)[1]

    def loop(state: Any, experience: Any) -> Any:
        _, *keys, noise = host_loop._draw(env, iterations, algo, jax.random.key_data(state.key))
        worlds = env.legal(state.actor.env_state), env.world(state.actor.env_state)
        act = partial(algo.act, state.learner, Seen(state.actor.obs, *worlds, state.actor.memory))
        out = [
            noise,
            jax.lax.map(partial(jax.lax.map, act), noise),
        ]  # a planner's noise are keys, which it uses up
        for k_learn, k_env in zip(*map(jax.random.wrap_key_data, keys), strict=True):
            drawn = env.draw(k_env, algo.num_steps)
            step = partial(env.step, state.actor.env_state, experience.action[0])
            out += [jax.lax.map(step, drawn), algo.update(state.learner, experience, k_learn)]
        return out

    experience = jax.eval_shape(collected, train.state)
    nothing = [np.zeros(x.shape, x.dtype) for x in jax.tree.leaves(experience)]
    on_host.see(loop, (train.state, experience), begun, nothing)
    assert on_host.drawn() == on_device.drawn()


# --- The roots ------------------------------------------------------------------------------------------------

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Call(NamedTuple):
    """A call in the source, and the functions around it, the outermost first."""

    node: ast.Call
    module: str
    inside: tuple[Function, ...]

    @property
    def place(self) -> str:
        return ".".join((self.module, *(f.name for f in self.inside)))


def calls() -> Iterator[Call]:
    """All calls in the package."""

    def within(node: ast.AST, module: str, inside: tuple[Function, ...]) -> Iterator[Call]:
        if isinstance(node, ast.Call):
            yield Call(node, module, inside)
        inside = (*inside, node) if isinstance(node, Function) else inside
        for child in ast.iter_child_nodes(node):
            yield from within(child, module, inside)

    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        yield from within(ast.parse(path.read_text("utf-8")), module, ())


def called(node: ast.Call) -> str:
    """The last part of what is called."""
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


CALLED = list(calls())


# Lessons and `check_env` have seeds of their own; elsewhere what is played are moves.
OTHERS = re.compile(r"(lab|testing|arena|referees|play\.terminal|cli\.arena)\b")


def purposes(function: str, place: int, parameter: str) -> Iterator[tuple[str, str]]:
    """(purpose, consumer) of every call of a function with a purpose; `{}` is for a number in it."""
    for call in CALLED:
        if called(call.node) == function and not OTHERS.match(call.module):
            given = [k.value for k in call.node.keywords if k.arg == parameter]
            yield from texts(given[0] if given else call.node.args[place], call)


def texts(node: ast.expr, call: Call) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Constant(value=str(text)):
            yield text, call.place
        case ast.JoinedStr(values=parts):
            yield "".join(str(x.value) if isinstance(x, ast.Constant) else "{}" for x in parts), call.place
        case ast.IfExp(body=one, orelse=other):
            yield from texts(one, call)
            yield from texts(other, call)
        case ast.Name(id=name):
            f = call.inside[-1]
            parameters = [a.arg for a in f.args.args if a.arg != "self"]
            if name in parameters:  # it is passed on: those who call it say what it is
                yield from purposes(f.name, parameters.index(name), name)
            else:
                found = [
                    x for x in ast.walk(f) if isinstance(x, ast.Assign) and ast.unparse(x.targets[0]) == name
                ]
                assert len(found) == 1, f"{call.place}: what is {name}?"
                yield from texts(found[0].value, call)
        case _:
            raise AssertionError(
                f"{call.place}: write the purpose {ast.unparse(node)!r} so that it can be read"
            )


# The same on purpose: a later look at the evaluation with which training ended, or a film of it.
AGAIN = {
    "final evaluation": {"runs.result.results", "runs.__init__.evaluate", "play.playback._again"},
    "final evaluation, stochastic": {"runs.result.results", "runs.__init__.evaluate"},
}


def consumers() -> dict[str, set[str]]:
    """{purpose: who takes a root key for it}"""
    found = defaultdict(set)
    for function in ("root_key", "root_keys"):
        for text, place in purposes(function, 1, "purpose"):
            found[text].add(place)
    return dict(found)


def test_no_two_consumers_take_a_root_key_for_the_same_purpose() -> None:
    """As the source says: purposes are found where root keys are taken, wherever that is."""
    found = consumers()
    assert {"training.driver.init", "training.driver.begin", "training.driver._first"} <= set.union(
        *found.values()
    )
    assert {text: who for text, who in found.items() if len(who) > 1} == AGAIN


def test_no_two_purposes_have_the_same_key() -> None:
    """A key is folded with 32 bits of a purpose: none coincide, nor with those of the first thousands of iterations."""
    texts = [text.replace("{}", str(i)) for text in consumers() for i in range(10_000 if "{}" in text else 1)]
    assert len(set(texts)) == len({zlib.crc32(text.encode()) for text in texts}) == len(texts)


# Keys of their own where nothing is learnt: shapes, a first look, a frame that is thrown away.
CONSTANT = {"play.playback.check", "envs.adapters.gymnax.__init__", "envs.adapters.gymnax.limit_in_done"}
CONSTANT |= {"planning.plans.fixed_keys"}  # a greedy planner draws the same in each run
CONSTANT |= {"dynamics.futures.keys_of"}  # and imagines the same in the same place
CONSTANT |= {"envs.adapters.pgx.__init__", "envs.games.first", "envs.games.moved"}  # games have no chance


def test_keys_begin_at_the_roots() -> None:
    """A `jax.random.key` elsewhere would be the same for all seeds. Lessons and `check_env` have seeds of their own."""
    found = {
        call.place
        for call in CALLED
        if re.fullmatch(r"(jax\.)?random\.(key|PRNGKey)", ast.unparse(call.node.func))
        and call.module.partition(".")[0] not in ("lab", "testing", "referees")
    }
    assert found == {"training.driver.root_key", "training.driver._root_keys"} | CONSTANT
