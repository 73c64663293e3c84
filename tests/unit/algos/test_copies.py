"""What the algorithms have in common is copied, so that each file reads from top to bottom: copies must stay equal.

A mistake that is mended in one file, or made there, shows here. Functions and tuples are compared as Python parses
them: without comments, docstrings and line breaks. Where a copy differs for a reason, COPIES says what stands there
instead, and why; and what it says must be found, so that it cannot outlive the difference.
"""

import ast
import difflib
import io
import tokenize
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

import swingup
from swingup.algos import ALGOS

FOLDER = Path(swingup.__file__).parent / "algos"
Q_NETWORK = "dqn c51 qr_dqn"
CONTINUOUS = "ddpg td3 sac sac_discrete"
POLICY = "ppo a2c vpg trpo"
TABLES = "q_learning sarsa expected_sarsa double_q_learning"
PLANNERS = "value_iteration policy_iteration"
FAMILIES = {
    "q_network": Q_NETWORK,
    "continuous": CONTINUOUS,
    "policy": POLICY,
    "tabular": f"{TABLES} td_lambda {PLANNERS}",
    "games": "alphazero",
    "models": "mpc pets",
    "lessons": "mbmf",
    "dreams": "me_trpo mbpo mve steve",
    "planes": "i2a",
    "latent": "world_models",
}
Changes = tuple[
    tuple[str, str], ...
]  # of the text `ast.unparse` gives: what stands in the first file, and here


class Copy(NamedTuple):
    names: str  # of methods, functions and tuples
    files: str  # which have them; all are compared with the first
    instead: Mapping[str, Changes] = MappingProxyType({})  # where one differs


SET_BODY = ("memory=self.memory, body=self.body", "body=self.body")
CRITICS_FOLLOW = ("copied(params)", "copied(params.critic)")
THREE_LEARN = (
    "(fresh(adam, params.actor), fresh(adam, params.critic))",
    "OptStates(*(fresh(adam, x) for x in params))",
)
LOGP_OLD = "\n    logp_old = jax.vmap(lambda pi_old, action: pi_old.log_prob(action))(rollout.extras, rollout.action)"
OF_PLANNERS = "self.num_steps)", "self.num_steps, draw=self.draw, unroll=1)"
COPIES = (
    # A search draws noise of its own, and takes too long to compile for two env steps in a turn of the loop.
    Copy(
        "step",
        " ".join(ALGOS),
        {
            **dict.fromkeys(("alphazero", "mpc", "pets", "mbmf", "i2a"), (OF_PLANNERS,)),
            "world_models": (("self.num_steps)", "self.num_steps, unroll=1)"),),  # what acts sees images
        },
    ),
    Copy("value", POLICY),
    Copy("start_memory", "mpc pets mbmf"),
    # They hold DDPG, and differ in what they hand it to learn from.
    Copy("Learner act acting ddpg remember", "mve steve"),
    Copy("value", "me_trpo mbmf"),
    Copy("value", Q_NETWORK),
    Copy("value", f"{TABLES} {PLANNERS}"),
    Copy("value", "td3 sac"),
    Copy(
        "__post_init__",
        f"{Q_NETWORK} ddpg td3",
        {
            # Atoms need an interval to lie in.
            "c51": (
                (
                    "    capacity.check_settings(self)",
                    "    refuse(self.v_min >= self.v_max, f'v_min={self.v_min} must be below v_max={self.v_max}')"
                    "\n    capacity.check_settings(self)",
                ),
            )
        },
    ),
    # DQN and what learns a distribution in its place: `loss` and `q_values` are their own.
    Copy("Learner init act acting remember update optimizer", Q_NETWORK),
    Copy(
        "network",
        Q_NETWORK,
        {  # what an action's value is made of
            "c51": (("self.activation, **options", "self.activation, atoms=self.atoms, **options"),),
            "qr_dqn": (("self.activation, **options", "self.activation, atoms=self.quantiles, **options"),),
        },
    ),
    # DDPG and its heirs: networks and losses are their own, and the gradient steps of TD3.
    Copy("acting remember sample optimizer", CONTINUOUS),
    Copy("Networks act", "ddpg td3"),
    Copy("OptStates __post_init__", "sac sac_discrete"),
    Copy(
        "init",
        CONTINUOUS,
        {
            # Where it stands between two steps of the actor.
            "td3": (("env_steps, first_moments", "env_steps, jnp.int32(0), first_moments"),),
            # Their targets are of the critics alone; and the temperature learns too.
            "sac": (CRITICS_FOLLOW, THREE_LEARN),
            "sac_discrete": (CRITICS_FOLLOW, THREE_LEARN),
        },
    ),
    Copy(
        "Learner",
        "ddpg td3",
        {
            "td3": (("    env_steps: Counter\n", "    env_steps: Counter\n    phase: Array\n"),)
        },  # as in `init`
    ),
    # Networks of all actions at once.
    Copy(
        "Networks",
        "sac sac_discrete",
        {"sac_discrete": (("ActorNetwork", "QNetwork"), ("Critic", "QNetwork"))},
    ),
    Copy("Learner", "sac sac_discrete", {"sac_discrete": (("Critic", "QNetwork"),)}),
    Copy(
        "networks",
        "sac sac_discrete",
        {
            "sac_discrete": (
                ("ActorNetwork(*spec, outputs=2, ", "QNetwork(*spec, "),  # logits, not means and log σ
                ("Critic(*spec", "QNetwork(*spec"),
            )
        },
    ),
    Copy("update", "sac sac_discrete"),
    Copy(
        "learn",
        "sac sac_discrete",
        {
            "sac_discrete": (  # no action is sampled, so that the batch alone is drawn
                ("        k_batch, k_next, k_now = jax.random.split(key, 3)\n", ""),
                ("draw(k_batch)", "draw(key)"),
                (", batch, k_next)", ", batch)"),
                (", batch, k_now)", ", batch)"),
                (
                    "batch.action.shape[-1]",
                    "choices(batch, actor.shape[0])",
                ),  # H̄ is per action, not per dimension
            )
        },
    ),
    Copy(
        "alpha_loss",
        "sac sac_discrete",
        {
            "sac_discrete": (
                ("dimensions: int", "actions: Array | int"),
                ("self.target_entropy * dimensions", "self.target_entropy * jnp.log(actions).mean()"),
            )
        },
    ),
    # What learns a policy from its own experience: `loss`, `update`, `diagnostics` are their own.
    Copy("Learner", "ppo a2c trpo"),
    Copy("Batch", "ppo a2c vpg"),
    Copy("act diagnostics", "a2c vpg"),
    Copy("value_loss", "vpg trpo"),
    Copy(
        "__post_init__",
        "ppo trpo",
        {"trpo": (("    check_body(self.body, self.memory)\n", ""),)},  # it has no windows
    ),
    Copy(
        "init",
        POLICY,
        {
            "a2c": (SET_BODY,),
            # An optimiser for policy and V each.
            "vpg": (
                SET_BODY,
                (
                    "opt_state = fresh(self.optimizer(jnp.int32(0)), params)",
                    "opt_states = (fresh(self.optimizer(self.lr), params), "
                    "fresh(self.optimizer(self.value_lr), params.critic))",
                ),
                ("Learner(params, opt_state, ", "Learner(params, *opt_states, "),
            ),
            # Only V has one.
            "trpo": (
                SET_BODY,
                ("fresh(self.optimizer(jnp.int32(0)), params)", "fresh(self.optimizer(), params.critic)"),
            ),
        },
    ),
    Copy(
        "advantages",
        POLICY,
        {
            # What `act` remembers is log π_old(a|s) itself.
            "a2c": ((LOGP_OLD, ""), (", logp_old,", ", rollout.extras,")),
            # As there; and V has a target of its own, whatever Ψ is.
            "vpg": (
                (LOGP_OLD, ""),
                (", logp_old,", ", rollout.extras,"),
                (
                    "    adv = gae(reward, value, next_value, step.terminated, step.done, self.gamma, self.lam)",
                    "    target = reward_to_go(reward, next_value, step.terminated, step.done, self.gamma)"
                    "\n    adv = self.weigh(reward, value, next_value, step.terminated, step.done)",
                ),
                ("adv + value, value", "target, value"),
            ),
            # It needs the whole of π_old, for the divergence.
            "trpo": (
                (LOGP_OLD, ""),
                (", logp_old,", ", rollout.extras,"),
            ),
        },
    ),
    Copy("Batch", "ppo trpo", {"trpo": (("logp_old: Array", "pi_old: Distribution"),)}),
    Copy(
        "optimizer",
        "ppo a2c",
        {
            "a2c": (
                (
                    "    return clipped_by_norm(self.max_grad_norm, optax.adam(lr, eps=1e-05))",
                    "    if self.optim == 'adam':"
                    "\n        rule = optax.adam(lr, eps=1e-05)"
                    "\n    else:"
                    "\n        rule = optax.rmsprop(lr, decay=0.99, eps=1e-05, initial_scale=1.0, eps_in_sqrt=True)"
                    "\n    return clipped_by_norm(self.max_grad_norm, rule)",
                ),
            )
        },
    ),
    Copy("optimizer", "vpg trpo", {"trpo": (("self, lr: float", "self"), ("adam(lr,", "adam(self.lr,"))}),
    # Tables.
    Copy("act", TABLES),
    Copy("q_values", f"q_learning sarsa expected_sarsa {PLANNERS}"),
    Copy("target", "sarsa expected_sarsa"),
    Copy(
        "init",
        TABLES,
        {
            # Traces, and the transitions that wait for their next action.
            "sarsa": (
                (
                    "    learner = Learner(q, jnp.zeros(shape, jnp.int32), env_steps",
                    "    trace = jnp.zeros((self.num_envs, *shape))"
                    "\n    number, none = (partial(jnp.zeros, self.num_envs, jnp.int32), "
                    "jnp.full(self.num_envs, -1, jnp.int32))"
                    "\n    pending = Pending(number(), number(), jnp.zeros(self.num_envs), next_obs=none)"
                    "\n    learner = Learner(q, jnp.zeros(shape, jnp.int32), trace, pending, env_steps",
                ),
            ),
            "double_q_learning": (("shape = sizes(env)", "shape = (2, *sizes(env))"),),  # two tables
        },
    ),
    Copy("Learner", "q_learning expected_sarsa double_q_learning"),
    Copy(
        "update",
        "q_learning expected_sarsa double_q_learning",
        {
            # Its target depends on ε, and so on time.
            "expected_sarsa": (("self.target(q, t)", "self.target(q, t, learner.env_steps)"),),
            # A coin says which of the two tables learns.
            "double_q_learning": (
                ("key: Array | None=None", "key: Array"),
                ("learn(carry, t)", "learn(carry, x)"),
                ("        q, visits = carry\n", "        (q, visits), (t, coin) = (carry, x)\n"),
                ("old = q[t.obs", "old = q[coin, t.obs"),
                ("self.target(q, t)", "self.target(q[coin], q[1 - coin], t)"),
                ("visit(visits, (t.obs", "visit(visits, (coin, t.obs"),
                ("self.lr_power, visits[t.obs", "self.lr_power, visits[coin, t.obs"),
                ("q.at[t.obs", "q.at[coin, t.obs"),
                (
                    "    (q, visits), (td, old) = jax.lax.scan(learn, (learner.q, learner.visits), in_order(rollout))",
                    "    coins = jax.random.bernoulli(key, shape=(self.env_steps_per_iteration,)).astype(jnp.int32)"
                    "\n    xs = (in_order(rollout), coins)"
                    "\n    (q, visits), (td, old) = jax.lax.scan(learn, (learner.q, learner.visits), xs)",
                ),
            ),
        },
    ),
)


class Piece(NamedTuple):
    line: int  # in its file
    text: str  # without comments, docstrings and line breaks


@cache
def pieces(file: str) -> dict[str, Piece]:
    """The functions, tuples and methods of the settings in an algorithm's file, by name."""
    found = {}
    for node in ast.parse(source(file)).body:
        parts = node.body if isinstance(node, ast.ClassDef) and is_settings(node) else [node]
        for part in parts:
            if isinstance(part, ast.FunctionDef | ast.ClassDef):
                found[part.name] = Piece(part.lineno, bare(part))
    return found


def source(file: str) -> str:
    return (FOLDER / f"{file}.py").read_text("utf-8")


def is_settings(node: ast.ClassDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "hyperparameters" for d in node.decorator_list)


def bare(node: ast.FunctionDef | ast.ClassDef) -> str:
    """The source without docstrings."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(inner) is not None:
            inner.body = inner.body[1:] or [ast.Pass()]
    return ast.unparse(node)


def changed(text: str, changes: Changes, place: str) -> str:
    for old, new in changes:
        assert old in text, f"{place}: COPIES says that it differs in {old!r}, which is nowhere any more"
        text = text.replace(old, new)
    return text


CASES = [
    (copy, name, file) for copy in COPIES for name in copy.names.split() for file in copy.files.split()[1:]
]


@pytest.mark.parametrize(
    "copy, name, file", CASES, ids=[f"{n}-{f}-as-{c.files.split()[0]}" for c, n, f in CASES]
)
def test_a_copy_is_what_it_is_a_copy_of(copy: Copy, name: str, file: str) -> None:
    first = copy.files.split()[0]
    place = f"algos/{file}.py"
    assert name in pieces(file), f"{place} has no {name} any more, which it shares with {first}.py"
    here, there = pieces(file)[name], pieces(first)[name]
    expected = changed(there.text, copy.instead.get(file, ()), place)
    lines = [*difflib.unified_diff(expected.splitlines(), here.text.splitlines(), lineterm="", n=0)]
    differ = "\n".join(line for line in lines[2:] if not line.startswith("@@"))  # after the names of both
    assert not differ, (
        f"{place}:{here.line} and algos/{first}.py:{there.line} have {name} in common, and differ in (-: there, "
        f"+: here)\n{differ}\nMake them equal, or say in COPIES why they differ"
    )


@pytest.mark.parametrize("name", sorted({name for file in ALGOS for name in pieces(file)}))
def test_what_is_equal_is_said_to_be_a_copy(name: str) -> None:
    """So that COPIES is complete: of what is equal today a mended mistake should not stay in one file tomorrow."""
    alike = defaultdict(list)
    for file in ALGOS:
        if name in pieces(file):
            alike[pieces(file)[name].text].append(file)
    known = [copy.files.split() for copy in COPIES if name in copy.names.split()]
    for files in alike.values():
        for a, b in combinations(files, 2):
            assert linked(a, b, known), f"{name} is equal in {a}.py and {b}.py: say so in COPIES"


def linked(a: str, b: str, known: list[list[str]]) -> bool:
    """Do the lists lead from one file to the other?"""
    reached = {a}
    for _ in known:
        reached |= {file for files in known if reached & set(files) for file in files}
    return b in reached


# --- Fields ---------------------------------------------------------------------------------------------------

# Where a field means something else than in the rest of its family, or only there needs a word more.
OWN = {
    "lr": {
        "ddpg": "there is one critic",
        "a2c": "of two update rules",
        "vpg": "V has another",
        "trpo": "the policy has none",
        "me_trpo": "the policy has none",
        "mbpo": "there are two critics",
    },
    "target_entropy": {"sac_discrete": "categories have a largest entropy"},
    "tau": {"td3": "targets wait for the actor"},
    "lam": {"a2c": "1 is the paper's"},
    "c_entropy": {"a2c": "β in the paper"},
    "num_steps": {
        "a2c": "t_max of the paper",
        "value_iteration": "sweeps are no updates",
        "policy_iteration": "nor are evaluations",
        "pets": "a fit follows",
    },
    "particles": {"pets": "members in turn"},
    "replay_ratio": {"mbpo": "of SAC"},
    "batch_size": {"mbpo": "of SAC"},
    "hidden": {"me_trpo": "V is no critic of actions", "mbpo": "there are two critics"},
    "horizon": {"me_trpo": "of an episode", "steve": "the longest of several"},
    "imagined_envs": {"mbpo": "elites answer"},
    "normalise_adv": {"vpg": "it weighs by Ψ"},
    "num_minibatches": {"trpo": "of the fit of V alone"},
    "value_epochs": {"trpo": "in minibatches"},
    "initial": {
        "td_lambda": "V, not Q",
        "value_iteration": "nothing explores",
        "policy_iteration": "with m > 0 alone",
    },
    "lr_power": {"td_lambda": "counts states"},
    "num_envs": {"value_iteration": "to show the policy", "policy_iteration": "to show the policy"},
}


@cache
def fields(file: str) -> dict[str, tuple[str, str]]:
    """{hyperparameter: (its annotation, the comment beside it)}"""
    comments = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(io.StringIO(source(file)).readline)
        if token.type == tokenize.COMMENT
    }
    settings = next(n for n in ast.parse(source(file)).body if isinstance(n, ast.ClassDef) and is_settings(n))
    return {
        ast.unparse(node.target): (
            ast.unparse(node.annotation),
            " ".join(comments.get(i, "") for i in range(node.lineno, (node.end_lineno or 0) + 1)).strip(),
        )
        for node in settings.body
        if isinstance(node, ast.AnnAssign)
    }


SHARED = [
    (family, field)
    for family, files in FAMILIES.items()
    for field in sorted({field for file in files.split() for field in fields(file)})
    if sum(field in fields(file) for file in files.split()) > 1
]


@pytest.mark.parametrize("family, field", SHARED, ids=["-".join(x) for x in SHARED])
def test_a_field_is_the_same_in_all_of_a_family(family: str, field: str) -> None:
    """Its type and range, and the comment that says what it is."""
    files = [file for file in FAMILIES[family].split() if field in fields(file)]
    own = OWN.get(field, {})
    rest = {file: fields(file)[field] for file in files if file not in own}
    assert len(set(rest.values())) == 1, f"{field} differs: " + "; ".join(
        f"{f}: {x}" for f, x in rest.items()
    )
    for file in own:
        if file in files:
            assert fields(file)[field] not in rest.values(), (
                f"{file}'s {field} is as elsewhere: take it from OWN"
            )


def test_the_families_are_all_algorithms() -> None:
    assert sorted(" ".join(FAMILIES.values()).split()) == sorted(ALGOS)
    assert all(field in fields(file) for field, own in OWN.items() for file in own)
