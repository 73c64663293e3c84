"""Every algorithm and every kind of environment has a life of runs, through files and the command line.

Train, Ctrl-C, resume, load, evaluate, play, plot, digest. On the device the resumed run has the bits of one that nobody
stopped; on the host, where the environments' own state is lost, learner, replay, keys and counters are restored to
the bit. The fast tests walk a few, the slow ones a share in which each family meets each kind, and the full product,
which writes benchmarks/results/life.md, takes half an hour: `pytest -m slow tests/contract/test_life.py --everything`.
"""

import fcntl
import signal
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import swingup
from conftest import SMALL, same_bits, small
from swingup import cli, runs
from swingup.algos import ALGOS
from swingup.arena.players import Agent, game_played
from swingup.play.terminal import Table
from swingup.protocols import env_steps
from swingup.runs import checkpoint, experiment
from swingup.training.callbacks import StopOnSignal

KINDS = "device", "host", "images on the device", "images on the host", "goals", "game"
COMMANDS = "train", "Ctrl-C", "resume", "load", "evaluate", "play", "plot", "digest"
TABLE = Path(__file__).parents[2] / "benchmarks" / "results" / "life.md"
POLICY = "vpg", "a2c", "trpo", "ppo"
DISCRETE = "dqn", "c51", "qr_dqn", "sac_discrete"
CONTINUOUS = "ddpg", "td3", "sac"
TABLES = "q_learning", "sarsa", "expected_sarsa", "double_q_learning", "td_lambda"
PLANNERS = "value_iteration", "policy_iteration"
SELF_PLAY = ("alphazero",)
EXACT = ("mpc",)
LEARNED = "pets", "mbpo"
TAUGHT = ("mbmf",)
EXPANDED = "mve", "steve"
DREAMING = ("me_trpo",)
IMAGINING = ("i2a",)
LATENT = ("world_models",)
ROWS = "a table has a row for each numbered state"
MODEL = "a planner needs the tables of the MDP"
OTHERS = "it does not move for both players"
MOVES = "a move is no vector of real numbers"
GAMES = "self-play needs a game for two"
READS = "an exact model reads the environments' own states"
BITS = "what is imagined are planes of bits"
VECTORS = "a model of dynamics predicts vectors"
REALS = "plans are of real numbers"
ALIKE = "MBPO walks there, by the same loop and with the same memory"
PLANNED = "PETS walks there, by the same loop and with the same memory"
NONE = "no environment by id has pixels, continuous actions, and lives on the device"
ENVS: dict[
    tuple[str, ...], tuple[str, ...]
] = {  # by kind; a text without a colon is the reason why there is none
    POLICY + DISCRETE + LATENT: (
        *("gymnax:CartPole-v1", "gymnasium:CartPole-v1"),
        *("gymnax:Breakout-MinAtar", "gymnasium:life_envs:Pixels-v0", "task:BitFlip?bits=3", OTHERS),
    ),
    CONTINUOUS: (
        *("gymnax:Pendulum-v1", "gymnasium:Pendulum-v1"),
        *(NONE, "gymnasium:life_envs:PixelsContinuous-v0", "gymnasium:life_envs:Reach-v0", MOVES),
    ),
    TABLES: ("tabular:Grid", "gymnasium:FrozenLake-v1", ROWS, ROWS, ROWS, ROWS),
    PLANNERS: ("tabular:Grid", MODEL, ROWS, ROWS, ROWS, ROWS),
    SELF_PLAY: (GAMES, GAMES, GAMES, GAMES, GAMES, "pgx:tic_tac_toe"),
    DREAMING: (
        *("gymnax:CartPole-v1", "gymnasium:Pendulum-v1"),
        *(VECTORS, VECTORS, "task:BitFlip?bits=3", OTHERS),
    ),
    EXACT: ("gymnax:Pendulum-v1", READS, NONE, READS, REALS, MOVES),
    LEARNED: (
        *("task:CartPoleSwingUp", "gymnasium:Pendulum-v1"),
        *(VECTORS, VECTORS, "gymnasium:life_envs:Reach-v0", MOVES),
    ),
    TAUGHT: ("task:CartPoleSwingUp", PLANNED, VECTORS, VECTORS, PLANNED, MOVES),
    EXPANDED: ("task:CartPoleSwingUp", ALIKE, VECTORS, VECTORS, ALIKE, MOVES),
    IMAGINING: ("task:PushBox", BITS, "gymnax:Breakout-MinAtar", BITS, BITS, OTHERS),
}
PRODUCT = [
    (algo, kind, env)
    for algos, envs in ENVS.items()
    for algo in algos
    for kind, env in zip(KINDS, envs, strict=True)
]
# Most kinds and families are walked by the fast tests. A game is left to the slow ones: the searches of its training,
# its evaluation and its pictures take 45 seconds to compile.
FAST = {
    "ppo": "device",
    "td_lambda": "host",
    "sac": "host",
    "value_iteration": "device",
}
QUICK = [row for row in PRODUCT if FAST.get(row[0]) == row[1]]
FAMILIES = (
    (*POLICY[:2], *LATENT, *POLICY[2:]),
    DISCRETE,
    CONTINUOUS,
    TABLES,
    PLANNERS,
    SELF_PLAY,
    EXACT,
    LEARNED,
    TAUGHT,
    EXPANDED,
    DREAMING,
    IMAGINING,
)


def share(algo: str) -> list[tuple[str, str, str]]:
    """Its part of the walks of its family, which meets each kind that it can once or more."""
    family = next(family for family in FAMILIES if algo in family)
    walks = [row for row in PRODUCT if row[0] == algo and ":" in row[2]]
    mine = family.index(algo) % len(walks)
    return [row for i, row in enumerate(walks) if i % len(family) == mine]


WARNINGS = pytest.mark.filterwarnings(
    "ignore:.*no finite ep/return",
    "ignore::swingup.runs.evaluation.EvaluationWarning",
    "ignore::DeprecationWarning",
)


def flags(algo: str, kind: str) -> list[str]:
    """The small settings of an algorithm, as a user would write them; goals get hindsight where there is a replay."""
    settings = dict(SMALL[algo])
    if kind == "goals" and algo in DISCRETE + CONTINUOUS:
        settings["hindsight"] = 2
    out = []
    for name, value in settings.items():
        values = value if isinstance(value, tuple) else (value,)
        out += [f"--{name.replace('_', '-')}", *map(str, values)]
    iterations = 6 * small(algo).env_steps_per_iteration
    out += [
        "--env-steps",
        str(env_steps(small(algo), 0) + iterations),
        "--episodes",
        "2",
        "--eval-limit",
        "50",
    ]
    return [*out, "--checkpoint-interval", "2", "--log-interval", "4"]


@pytest.fixture(autouse=True)
def _own_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """`life_envs` can be imported by its name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


class Walk:
    """One run through its commands, in a directory of its own."""

    def __init__(self, algo: str, kind: str, env: str, path: Path, capsys: pytest.CaptureFixture[str]):
        self.algo, self.kind, self.env, self.path, self.capsys = algo, kind, env, path, capsys
        self.run, self.whole = path / "a run", path / "whole"
        self.saved: Any = None

    def call(self, *args: Any) -> tuple[int, str]:
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(a) for a in args])
        out, err = self.capsys.readouterr()
        return int(exit_.value.code or 0), out + err

    def expect(self, *args: Any, code: int = 0) -> str:
        found, text = self.call(*args)
        assert found == code, text
        return text

    def train(self) -> None:
        """The run that nobody stops."""
        if self.on_device:
            self.expect("train", self.algo, self.env, "--out", self.whole, *flags(self.algo, self.kind))
            assert (self.whole / "result.json").exists()

    def ctrl_c(self) -> None:
        """A signal between iterations three and four: saved, and told how to go on."""
        original = StopOnSignal.__call__

        def call(stop: StopOnSignal, p: Any) -> None:
            if p.iteration >= 3:
                stop.signum = signal.SIGINT
                self.saved = jax.device_get(jax.tree.map(_plain, p.state))
            original(stop, p)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StopOnSignal, "__call__", call)
            args = "train", self.algo, self.env, "--out", self.run, *flags(self.algo, self.kind)
            text = self.expect(*args, code=130)
        assert f"continue with: swingup resume '{self.run}'" in text

    def resume(self) -> None:
        """What is restored has the bits that were saved; on the device it goes on to those of the whole run."""
        state = runs.restore(experiment.read_config(self.run), self.run).state
        # By leaves: what tells the reward of a goal belongs to the environment, which is another one now.
        assert same_bits(*(jax.tree.leaves(jax.tree.map(_plain, x)) for x in (state, self.saved)))
        self.expect("resume", self.run)
        if self.on_device:
            both = [checkpoint.digest(path / "checkpoints") for path in (self.run, self.whole)]
            assert both[0] == both[1]

    def load(self) -> None:
        run = swingup.load(self.run)
        space = run.spaces[0]
        obs = np.zeros(space.shape, space.dtype if isinstance(space, swingup.Box) else np.int32)
        if self.kind == "game":
            first = Table(game_played(run)).at()
            assert first.legal[0, Agent("agent", run).choose(first, [])].all()
            with pytest.raises(swingup.ConfigError, match="no search starts from an observation"):
                run.policy(obs)
        elif self.algo in EXACT:
            with pytest.raises(swingup.ConfigError, match="no plan starts from an observation"):
                run.policy(obs)
        else:
            assert run.policy(obs).shape == run.spaces[1].shape
        assert len(run.rows) == 2  # iterations 4 and 6

    def evaluate(self) -> None:
        import json

        said = json.loads(self.expect("evaluate", self.run, "--episodes", 2, "--json").splitlines()[-1])
        assert said["final_return"] == json.loads((self.run / "result.json").read_text())["final_return"]
        self.expect("evaluate", self.run, "--episodes", 2, "--policy", "stochastic")

    def play(self) -> None:
        self.expect("play", self.run, "--out", self.path / "agent.gif")
        assert (self.path / "agent.gif").read_bytes()[:3] == b"GIF"

    def plot(self) -> None:
        self.expect("plot", self.run, "--out", self.path / "curve.png", "--metric", "ep/count")
        assert (self.path / "curve.csv").exists()

    def digest(self) -> None:
        assert self.expect("digest", self.run).strip() == checkpoint.digest(self.run / "checkpoints")

    @property
    def on_device(self) -> bool:
        return not self.env.startswith("gymnasium:")

    def all(self) -> None:
        for command in COMMANDS:
            getattr(self, command.lower().replace("-", "_"))()


def _plain(x: Any) -> Any:
    return jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x


@WARNINGS
@pytest.mark.parametrize("algo, kind, env", QUICK, ids=lambda x: x if x in ALGOS else "")
def test_life_of_a_run(
    algo: str, kind: str, env: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Walk(algo, kind, env, tmp_path, capsys).all()


@pytest.mark.slow
@WARNINGS
@pytest.mark.parametrize("algo", ALGOS)
def test_life_of_a_run_everywhere(
    algo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """An algorithm with its share, or with every kind; of all, what happened are rows of the table. None is a fault."""
    lines, faults, everything = {}, [], request.config.getoption("--everything")
    for _, kind, env in [row for row in PRODUCT if row[0] == algo] if everything else share(algo):
        cells = ["–"] * len(COMMANDS)
        if ":" in env:
            walk = Walk(algo, kind, env, tmp_path / kind, capsys)
            walk.path.mkdir()
            cells = [_cell(walk, command, faults) for command in COMMANDS]
        lines[algo, kind] = f"| {env if ':' in env else 'none: ' + env} | {' | '.join(cells)} |"
    assert not faults, "\n".join(faults)
    if everything:
        _write(lines)


def _write(lines: dict[tuple[str, str], str]) -> None:
    """Put rows in the table; those of other algorithms stay, though another process may be writing them now."""
    with open(TABLE, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        known = {tuple(x.strip() for x in row.split("|")[1:3]): row for row in file if row.startswith("| ")}
        rows = {f"| {algo} | {kind} ": rest for (algo, kind), rest in lines.items()}
        head = f"| algorithm | kind | environment | {' | '.join(COMMANDS)} |"
        text = [*HEAD, "", head, "|" + "---|" * (3 + len(COMMANDS))]
        for algo, kind, _ in PRODUCT:
            start = f"| {algo} | {kind} "
            if start in rows:
                text.append(start + rows[start])
            elif (algo, kind) in known:
                text.append(known[algo, kind].rstrip())
        file.truncate(0)
        file.write("\n".join([*text, ""]))


def _cell(walk: Walk, command: str, faults: list[str]) -> str:
    try:
        getattr(walk, command.lower().replace("-", "_"))()
    except Exception as error:
        faults.append(f"{walk.algo}, {walk.kind}, {command}: {type(error).__name__}: {str(error)[:300]}")
        return "fault"
    exact = command == "resume" and walk.on_device
    return "same bits" if exact else "learner's bits" if command == "resume" else "yes"


HEAD = """\
# The life of a run

Written by `pytest -m slow tests/contract/test_life.py --everything`: each command, through files, on a run of a few
iterations that a Ctrl-C stops in the middle. *Same bits*: the resumed run equals the one that nobody stopped.
*Learner's bits*: learner, replay, keys and counters are restored exactly; environments on the host begin new episodes.
""".splitlines()


def test_every_algorithm_meets_every_kind() -> None:
    """Or there is a reason why it does not."""
    assert {row[0] for row in PRODUCT} == set(ALGOS)
    assert all({row[1] for row in PRODUCT if row[0] == algo} == set(KINDS) for algo in ALGOS)
    assert len(QUICK) == len(FAST)
    for family in FAMILIES:
        able = {(algo, kind) for algo, kind, env in PRODUCT if algo in family and ":" in env}
        walked = {kind for algo in family for _, kind, _ in share(algo)}
        assert walked == {kind for _, kind in able}
        assert all(share(algo) for algo in family)
    known = [tuple(x.strip() for x in row.split("|")[1:3]) for row in TABLE.read_text().splitlines()]
    how = "pytest -m slow tests/contract/test_life.py --everything writes the table"
    assert {row[:2] for row in PRODUCT} <= set(known), how


@WARNINGS
def test_a_fault_of_the_environment_is_theirs_and_training_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It raises in env step 100 of training; what was trained before is saved, and goes on where it works again."""
    walk = Walk("ppo", "host", "gymnasium:life_envs:Broken-v0", tmp_path, capsys)
    args = [
        "train",
        "ppo",
        walk.env,
        "--out",
        walk.run,
        "--num-envs",
        "2",
        "--num-steps",
        "16",
        "--num-minibatches",
        "1",
    ]
    text = walk.expect(*args, "--hidden", "4", "--env-steps", "800", "--episodes", "2", code=1)
    assert "simulator on port 2000 is gone" in text
    assert "life_envs.py" in text
    assert "fault of swingup's" not in text
    assert f"continue with: swingup resume '{walk.run}'" in text
    assert (
        checkpoint.verify(walk.run / "checkpoints")[-1] == 6
    )  # of 32 env steps each: the 100th came in the seventh
    run = swingup.load(walk.run)
    assert run.rows[-1]["iteration"] <= 6
    sys.modules["life_envs"].Broken.steps = -(10**6)
    try:
        walk.expect("resume", walk.run)
    finally:
        sys.modules["life_envs"].Broken.steps = 0
