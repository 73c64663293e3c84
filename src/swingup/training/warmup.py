"""On the host the replays of all seeds begin with a warm-up: random env steps before any iteration.

Random actions are drawn for a piece of it in one compiled call, all environments of all seeds are stepped together,
and one compiled call writes the piece into the replays, whose memory it takes for its own. So a row costs little more
than its env step, and what is needed beside the replays stays small, however long the warm-up is.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from swingup.distributions import noise, uniform
from swingup.errors import NonFinite, NonFiniteError
from swingup.protocols import Replaying, VecEnv
from swingup.replay.frames import newest, restore
from swingup.rollout import nonfinite, record
from swingup.spaces import to_env
from swingup.training.clock import Clock
from swingup.training.finite import CAUSES
from swingup.training.parallel import over_seeds
from swingup.training.rows import rows
from swingup.types import Recent, Rollout, State

PIECE = 1024  # rows of each environment in one piece at most
PIECE_BYTES = 2**23  # of the observations in one piece, unless a single row has more


def warm_up(
    algo: Replaying, env: VecEnv, state: State, keys: Array, clock: Clock, mesh: Mesh | None = None
) -> State:
    """Return `state` [S], which is consumed, after `warmup_env_steps` random env steps of every seed.

    The environments are reset already; `keys` [S] are for the random actions. How the warm-up is cut in pieces
    changes no number. Raises `NonFiniteError` where an environment returns a NaN or infinity.
    """
    learner, actor, key = state
    env_state, obs, recent = actor.env_state, actor.obs, actor.recent
    bits, over = jax.random.key_data(keys), partial(over_seeds, algo, mesh)
    worlds, stacked = rows(env, len(keys), algo.num_envs), env.stacked
    total = algo.warmup_env_steps // algo.num_envs
    size = min(total, PIECE, max(1, PIECE_BYTES // max(1, obs.nbytes)))
    draws, keeps = {}, {}  # programs by the number of rows: of whole pieces, and of the last one
    for begun in range(0, total, size):
        count, first = min(size, total - begun), np.full(len(keys), begun, np.uint32)
        if count not in draws:
            draws[count] = compiled(clock, over(partial(_draw, env, count)), algo, bits, first)
        with clock.running, clock.warming_up:
            action, sent, drawn = jax.device_get(draws[count](algo, bits, first))
            start, piece = obs if stacked else (), []
            for t in range(count):
                legal, chosen, given = worlds.legal(env_state), action[:, t], sent[:, t]
                if env.masked:  # the same draw among the legal ones
                    chosen = given = np.where(legal, drawn[:, t], -np.inf).argmax(-1).astype(np.int32)
                with clock.stepping:
                    env_state, step = worlds.step(env_state, given, ())
                row = Rollout(obs, chosen, (), step, legal)
                piece.append(newest(row) if stacked else row)
                obs = step.obs
            rollout = jax.tree.map(lambda *x: np.stack(x, 1), *piece)
        if count not in keeps:
            keeps[count] = compiled(
                clock, over(_keep, donate_argnums=1), algo, learner, recent, rollout, start
            )
        with clock.running, clock.warming_up:
            learner, recent, bad = keeps[count](algo, learner, recent, rollout, start)
            _check(bad, begun, count, algo.num_envs)
    return State(learner, actor._replace(env_state=env_state, obs=obs, recent=recent), key)


def compiled(clock: Clock, f: Any, *args: Any) -> Callable:
    """Compile a jitted function for arguments like these."""
    with clock.compiling:
        return f.lower(*args).compile()


def _draw(env: VecEnv, count: int, algo: Any, bits: Array, first: Array) -> tuple[Array, Array, Any]:
    """Draw random actions [count, N, ...] from row `first` on, in the policy's units and in the environment's.

    For masked environments also the noise [count, N, A] from which the legal ones are chosen.
    """
    key = jax.random.wrap_key_data(bits)
    number = (first + jnp.arange(count, dtype=jnp.uint32)) // algo.warmup_hold  # equal while one is held

    def one(number: Array) -> Array:
        return noise(env.action_space, jax.random.fold_in(key, number), (algo.num_envs,))

    drawn = jax.vmap(one)(number)
    action = uniform(env.action_space, drawn)
    return action, to_env(env.action_space, action), drawn if env.masked else ()


def _keep(
    algo: Any, learner: Any, recent: Recent, rollout: Rollout, start: Any
) -> tuple[Any, Recent, tuple[Array, Array]]:
    """Keep a piece [T, N] in the replay, and count which of its observations' and rewards' entries are not finite."""
    if not isinstance(start, tuple):
        rollout = restore(rollout, start)
    bad = nonfinite((rollout.obs, rollout.step.next_obs)), nonfinite(rollout.step.reward)
    return algo.remember(learner, rollout), record(recent, rollout), bad


def _check(bad: tuple[Array, Array], begun: int, count: int, num_envs: int) -> None:
    """Raise `NonFiniteError` if a piece of the warm-up holds what is not finite."""
    for metric, found in zip(("nonfinite/obs", "nonfinite/reward"), bad, strict=True):
        if np.any(found):
            row, upto = int(np.argmax(found)), begun + count
            raise NonFiniteError(
                f"NaN or infinity in {CAUSES[metric]} (row {row} of the seeds) in the warm-up, between "
                f"its random env steps {begun} and {upto} of each environment. The environment "
                "returned it: check its dynamics.",
                NonFinite(metric, row, upto * num_envs),
            )
