# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Time off-policy training: swingup, Rejax, SBX or SB3, with the same settings.

Run as `python -m peers.off_policy PEER WORKLOAD` by the interpreter of the contestant. Prints one line of JSON. What is
timed begins after the random env steps, so that every env step has its share of gradient steps; each contestant's own
counters of both are compared with what was asked for.

All have two hidden layers of relu, Adam at 3e-4, γ = 0.99 and one environment. Where a peer does a little less than
swingup it is left so: SBX's TD3 gets no exploration noise, Rejax's DQN no random actions but ε's.
"""

import argparse
import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from . import common


class Work(NamedTuple):
    """One training that the contestants of a workload run."""

    algo: str
    env: str
    hidden: tuple[int, int]
    batch_size: int
    every: int = 1  # env steps per gradient step
    replay_size: int = 100_000
    warmup: int = 1_000  # env steps with random actions and without gradient steps
    target_period: int = 100  # DQN: gradient steps between copies of the network
    together: int = 1  # env steps that are taken before the gradient steps that belong to them


WORKLOADS = {
    "dqn-cartpole": Work("dqn", "CartPole-v1", (64, 64), 128),
    "dqn-cartpole-10": Work("dqn", "CartPole-v1", (64, 64), 128, every=10),
    "sac-pendulum": Work("sac", "Pendulum-v1", (256, 256), 256),
    "sac-halfcheetah": Work("sac", "HalfCheetah-v5", (256, 256), 256, together=16),
    "sac-halfcheetah-1": Work("sac", "HalfCheetah-v5", (256, 256), 256),
    # Two are the least that our delayed actor allows, and faster for SBX than one.
    "td3-halfcheetah": Work("td3", "HalfCheetah-v5", (256, 256), 256, together=2),
}
LR, GAMMA = 3e-4, 0.99


class Found(NamedTuple):
    """What a contestant reports."""

    compile_seconds: float
    run_seconds: list[float]  # of each repetition
    gradient_steps: int  # of all repetitions, by the contestant's own counter
    packages: tuple[str, ...]


def swingup(work: Work, env_steps: int, repetitions: int, update_only: bool) -> Found:
    """`driver.run`, as `swingup.train` calls it; a callback reads the clock, so that nothing is compiled twice."""
    from swingup.algos import algorithm
    from swingup.training import machine

    options: dict[str, Any] = {"num_envs": 1, "num_steps": max(work.every, work.together)}
    options |= {"replay_ratio": 1 / work.every}
    options |= {"batch_size": work.batch_size, "hidden": work.hidden, "gamma": GAMMA, "lr": LR}
    options |= {"warmup": work.warmup, "replay_size": work.replay_size}
    options |= {"target_period": work.target_period} if work.algo == "dqn" else {"actor_lr": LR}
    algo = algorithm(work.algo)(**options)
    machine.set_up(algo)  # as the command line does

    import jax
    from optax.tree_utils import tree_get_all_with_path

    from swingup.envs import make
    from swingup.training import driver

    # The id alone would choose EnvPool where that is installed; the peers use Gymnasium.
    host = work.env.startswith("HalfCheetah")
    env = make(f"gymnasium:{work.env}" if host else work.env, 1)
    packages = ("swingup", "jax", "jaxlib", "equinox", "optax", "gymnasium" if host else "gymnax", "numpy")
    state = driver.init(algo, env, [0])
    iterations = env_steps // algo.env_steps_per_iteration
    if update_only:
        compiling, seconds = updates(algo, state, env.action_space.shape, iterations, repetitions)
        return Found(compiling, seconds, repetitions * env_steps // work.every, packages)
    marks: list[float] = []

    def mark(progress: Any) -> None:
        if progress.iteration % iterations == 0:
            marks.append(common.time.perf_counter())

    # From a tenth of a repetition before the first mark on: what runs until then is the warm-up of the processor.
    first = iterations - max(1, iterations // 10)
    with common.timed() as whole:
        state = driver.run(
            algo,
            env,
            state,
            (1 + repetitions) * iterations,
            done=first,
            every=(iterations,),
            callbacks=[mark],
        )
        jax.block_until_ready(state.learner)
    seconds = [b - a for a, b in pairwise(marks)]
    counted = [int(x.max()) for _, x in tree_get_all_with_path(state.learner.opt_state, "count")]
    warm = round((iterations - first) * algo.env_steps_per_iteration * algo.replay_ratio)
    return Found(whole.seconds - sum(seconds), seconds, max(counted) - warm, packages)


def updates(
    algo: Any, state: Any, shape: tuple[int, ...], count: int, repetitions: int
) -> tuple[float, list[float]]:
    """Seconds of as many updates in one compiled loop with nothing beside them: what no host can beat."""
    from functools import partial

    import jax
    import jax.numpy as jnp

    from swingup.types import Rollout, Step

    memory = jax.tree.map(lambda x: x[0], state.learner.replay)
    learner = jax.tree.map(lambda x: x[0], state.learner._replace(replay=None))._replace(replay=memory)
    t = algo.num_steps
    obs, zero = jnp.repeat(jnp.asarray(state.actor.obs), t, 0), jnp.zeros((t, 1))
    step = Step(obs, obs, zero, zero > 0, zero > 0, zero, zero.astype(jnp.int32))
    rollout = Rollout(obs, jnp.zeros((t, 1, *shape)), (), step)

    @partial(jax.jit, donate_argnums=0)
    def several(learner, keys):
        return jax.lax.scan(lambda x, key: (algo.update(x, rollout, key)[0], ()), learner, keys)[0]

    seconds = []
    for i in range(1 + repetitions):
        keys = jax.random.split(jax.random.key(i), count)
        with common.timed() as run:
            learner = jax.block_until_ready(several(learner, keys))
        seconds.append(run.seconds)
    return seconds[0], seconds[1:]


def rejax(work: Work, env_steps: int, repetitions: int) -> Found:
    """Its evaluation is replaced by nothing. The env steps that fill its replay are timed alone and taken off."""
    import jax
    import rejax as library

    settings: dict[str, Any] = {"env": work.env, "num_envs": 1, "gamma": GAMMA, "learning_rate": LR}
    settings |= {"buffer_size": work.replay_size, "fill_buffer": work.warmup, "batch_size": work.batch_size}
    settings |= {"num_epochs": 1, "skip_initial_evaluation": True}
    agent: dict[str, Any] = {"activation": "relu"}
    if work.algo == "dqn":  # its network is always of two layers of 64
        if work.hidden != (64, 64) or work.every != 1:
            raise ValueError("Rejax's DQN has layers of 64 and a gradient step per env step")
        settings |= {"target_update_freq": work.target_period, "polyak": 0.0, "ddqn": False}
    else:
        settings |= {"hidden_layer_sizes": work.hidden, "polyak": 0.995}
    # Env steps until the first with a gradient step: its DQN compares their number before it steps, its SAC after.
    alone = work.warmup + (work.algo == "dqn")

    def program(total: int) -> Callable[[Any], Any]:
        stock = library.get_algo(work.algo).create(
            **settings, agent_kwargs=agent, total_timesteps=total, eval_freq=total
        )
        bare = stock.replace(eval_callback=lambda algo, state, key: ())
        return jax.jit(bare.train).lower(jax.random.PRNGKey(0)).compile()

    def time_of(train: Callable[[Any], Any], seed: int) -> tuple[float, int]:
        key = jax.block_until_ready(jax.random.PRNGKey(seed))
        with common.timed() as run:
            state = jax.block_until_ready(train(key)[0])
        return run.seconds, int((state.q_ts if work.algo == "dqn" else state.critic_ts).step)

    with common.timed() as compiling:
        fill, whole = program(alone), program(alone + env_steps)
    fills = [time_of(fill, i) for i in range(3)]
    if any(steps for _, steps in fills):
        raise RuntimeError(f"gradient steps while the replay is filled: {fills}")
    wholes = [time_of(whole, i) for i in range(repetitions)]
    before = min(seconds for seconds, _ in fills)
    packages = ("rejax", "gymnax", "jax", "jaxlib", "flax", "optax", "numpy")
    return Found(compiling.seconds, [s - before for s, _ in wholes], sum(n for _, n in wholes), packages)


def stable(peer: str, work: Work, env_steps: int, repetitions: int, threads: str) -> Found:
    """SBX and SB3 have one interface."""
    packages: tuple[str, ...] = ("stable-baselines3", "torch", "gymnasium", "numpy")
    if peer == "sbx":
        import sbx as library

        packages = ("sbx-rl", "jax", "jaxlib", "flax", "optax", *packages)
    else:
        import stable_baselines3 as library
        import torch

        if threads != "default":
            torch.set_num_threads(int(threads))
    options: dict[str, Any] = {"learning_rate": LR, "gamma": GAMMA, "batch_size": work.batch_size}
    options |= {"learning_starts": work.warmup, "buffer_size": work.replay_size}
    options |= {"train_freq": max(work.every, work.together), "gradient_steps": work.together}
    options |= {"seed": 0, "device": "cpu"}
    if work.algo == "dqn":
        options |= {"target_update_interval": work.target_period * work.every}
    else:
        options |= {"tau": 0.005}
    policy = {"net_arch": list(work.hidden)}  # of relu, where nothing is said
    model = getattr(library, work.algo.upper())("MlpPolicy", work.env, policy_kwargs=policy, **options)
    with common.timed() as warm_up:
        model.learn(work.warmup + 96 * work.every)
    seconds, trained = [], model._n_updates
    for _ in range(repetitions):
        before = model.num_timesteps
        with common.timed() as run:
            model.learn(env_steps, reset_num_timesteps=False)
        if model.num_timesteps - before != env_steps:
            raise RuntimeError(f"asked for {env_steps} env steps, got {model.num_timesteps - before}")
        seconds.append(run.seconds)
    return Found(warm_up.seconds, seconds, model._n_updates - trained, packages)


def main() -> None:
    """Measure one contestant and print what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=("swingup", "rejax", "sbx", "sb3"))
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--env-steps", type=int, required=True, help="of a repetition")
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--threads", default="default", help="of XLA or PyTorch")
    parser.add_argument("--update-only", action="store_true", help="swingup's updates alone")
    args = parser.parse_args()
    args.seeds = 1
    work = WORKLOADS[args.workload]
    if args.env_steps % (multiple := 2 * max(work.every, work.together)):
        parser.error(f"--env-steps must be a multiple of {multiple}")
    if args.threads != "default":
        os.environ["NPROC"] = args.threads  # read by XLA when JAX is imported
    task = work, args.env_steps, args.repetitions
    if args.peer == "swingup":
        found = swingup(*task, args.update_only)
    elif args.peer == "rejax":
        found = rejax(*task)
    else:
        found = stable(args.peer, *task, args.threads)
    expected = args.repetitions * args.env_steps // work.every
    if found.gradient_steps != expected or len(found.run_seconds) != args.repetitions:
        raise RuntimeError(f"asked for {expected} gradient steps, got {found.gradient_steps}")
    common.report(
        args,
        import_seconds=None,
        compile_seconds=found.compile_seconds,
        run_seconds=found.run_seconds,
        packages=found.packages,
        gradient_steps_per_env_step=1 / work.every,
    )


if __name__ == "__main__":
    main()
