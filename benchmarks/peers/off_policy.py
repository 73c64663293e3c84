# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Time off-policy training: swingup, Rejax, SBX or SB3, with the same settings.

Run as `python -m peers.off_policy PEER WORKLOAD` by the interpreter of the contestant. Prints one line of JSON:
env steps per second of the part with gradient steps, best and median of the repetitions.
"""

import argparse
import json
import os
import time
from typing import Any

WORKLOADS: dict[str, dict[str, Any]] = {
    # One gradient step per env step; networks of relu; a replay of 100,000; hard target every 100 gradient steps.
    "dqn-cartpole": {"algo": "dqn", "env": "CartPole-v1", "hidden": [64, 64], "batch": 128, "every": 1},
    "dqn-cartpole-10": {"algo": "dqn", "env": "CartPole-v1", "hidden": [64, 64], "batch": 128, "every": 10},
    "sac-pendulum": {"algo": "sac", "env": "Pendulum-v1", "hidden": [256, 256], "batch": 256, "every": 1},
    "sac-halfcheetah": {
        "algo": "sac",
        "env": "HalfCheetah-v5",
        "hidden": [256, 256],
        "batch": 256,
        "every": 1,
    },
    "td3-halfcheetah": {
        "algo": "td3",
        "env": "HalfCheetah-v5",
        "hidden": [256, 256],
        "batch": 256,
        "every": 1,
    },
}
WARMUP = 1_000
ENV_STEPS = {  # of a repetition: about ten seconds
    ("swingup", "dqn-cartpole"): 40_000,
    ("swingup", "dqn-cartpole-10"): 200_000,
    ("rejax", "dqn-cartpole"): 5_000,
    ("sb3", "dqn-cartpole"): 4_000,
    ("sb3", "dqn-cartpole-10"): 10_000,
    ("swingup", "sac-pendulum"): 2_000,
    ("rejax", "sac-pendulum"): 2_000,
}
OTHERWISE = 1_000


def swingup(work: dict[str, Any], env_steps: int, repetitions: int, update_only: bool) -> list[float]:
    """Seconds of each repetition."""
    from swingup import machine
    from swingup.algos import algorithm

    options: dict[str, Any] = {"num_steps": work["every"], "replay_ratio": 1 / work["every"]}
    options |= {"num_envs": 1, "batch_size": work["batch"], "hidden": tuple(work["hidden"]), "warmup": WARMUP}
    options |= {"replay_size": 100_000}
    if work["algo"] == "dqn":
        options |= {"target_period": 100}
    if work["algo"] == "td3":
        options |= {"num_steps": 2}
    algo = algorithm(work["algo"])(**options)
    machine.set_up(algo)

    import jax

    from swingup import driver
    from swingup.envs import make

    name = f"gymnasium:{work['env']}" if work["env"].startswith("HalfCheetah") else work["env"]
    env = make(name, 1)
    state = driver.init(algo, env, [0])
    iterations = env_steps // algo.env_steps_per_iteration
    if update_only:
        return updates(algo, state, env_steps, repetitions)
    state = driver.run(algo, env, state, max(2, iterations // 10))
    seconds, done = [], max(2, iterations // 10)
    for _ in range(repetitions):
        began = time.perf_counter()
        state = jax.block_until_ready(driver.run(algo, env, state, done + iterations, done=done))
        seconds.append(time.perf_counter() - began)
        done += iterations
    return seconds


def updates(algo: Any, state: Any, env_steps: int, repetitions: int) -> list[float]:
    """Seconds of as many gradient steps with nothing else: what no loop around them can beat."""
    from functools import partial

    import jax
    import jax.numpy as jnp

    from swingup.words import unpack

    memory = jax.tree.map(lambda x: x[0], state.learner.replay)
    learner = jax.tree.map(lambda x: x[0], state.learner._replace(replay=None))._replace(replay=memory)
    row = unpack(memory.words[:1], memory.layout)
    from swingup.types import Rollout, Step

    t = algo.num_steps
    many = partial(jax.tree.map, lambda x: jnp.repeat(x, t, 0))
    zero = jnp.zeros((t, 1))
    step = Step(many(row.obs), many(row.next_obs), zero, zero > 0, zero > 0, zero, zero.astype(jnp.int32))
    rollout = Rollout(many(row.obs), many(row.action), (), step)

    @partial(jax.jit, donate_argnums=0, static_argnums=1)
    def several(learner, count):
        def body(learner, key):
            return algo.update(learner, rollout, key)[0], None

        return jax.lax.scan(body, learner, jax.random.split(jax.random.key(0), count))[0]

    count = env_steps // algo.env_steps_per_iteration
    learner = jax.block_until_ready(several(learner, count))
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        learner = jax.block_until_ready(several(learner, count))
        seconds.append(time.perf_counter() - began)
    return seconds


def rejax(work: dict[str, Any], env_steps: int, repetitions: int) -> list[float]:
    """Its evaluation is replaced by nothing; of its env steps the first `WARMUP` fill the buffer and train nothing."""
    import jax
    import rejax as library

    settings: dict[str, Any] = {
        "env": work["env"],
        "num_envs": 1,
        "buffer_size": 100_000,
        "fill_buffer": WARMUP,
        "batch_size": work["batch"],
        "num_epochs": 1,
        "agent_kwargs": {"hidden_layer_sizes": work["hidden"], "activation": "relu"},
        "skip_initial_evaluation": True,
    }

    def program(total: int) -> Any:
        stock = library.get_algo(work["algo"]).create(**settings, total_timesteps=total, eval_freq=total)
        bare = stock.replace(eval_callback=lambda algo, state, key: ())
        return jax.jit(bare.train).lower(jax.random.PRNGKey(0)).compile()

    def time_of(train: Any, i: int) -> float:
        began = time.perf_counter()
        jax.block_until_ready(train(jax.random.PRNGKey(i)))
        return time.perf_counter() - began

    # The warm-up is timed alone and taken off.
    fill, whole = program(WARMUP + 1), program(WARMUP + 1 + env_steps)
    before = min(time_of(fill, i) for i in range(3))
    return [time_of(whole, i) - before for i in range(repetitions)]


def stable(peer: str, work: dict[str, Any], env_steps: int, repetitions: int) -> list[float]:
    """SBX and SB3 have one interface."""
    if peer == "sbx":
        import sbx as library
    else:
        import stable_baselines3 as library
    policy: dict[str, Any] = {"net_arch": work["hidden"]}
    options: dict[str, Any] = {
        "learning_starts": WARMUP,
        "buffer_size": 100_000,
        "batch_size": work["batch"],
        "train_freq": work["every"],
        "gradient_steps": 1,
        "policy_kwargs": policy,
        "seed": 0,
        "device": "cpu",
    }
    if work["algo"] == "dqn":
        options |= {"target_update_interval": 100 * work["every"]}
    model = getattr(library, work["algo"].upper())("MlpPolicy", work["env"], **options)
    model.learn(WARMUP + 200)
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        model.learn(env_steps, reset_num_timesteps=False)
        seconds.append(time.perf_counter() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=("swingup", "rejax", "sbx", "sb3"))
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", default="default")
    parser.add_argument("--update-only", action="store_true")
    args = parser.parse_args()
    if args.threads != "default":
        os.environ["NPROC"] = args.threads
        os.environ["OMP_NUM_THREADS"] = args.threads
    work = WORKLOADS[args.workload]
    env_steps = ENV_STEPS.get((args.peer, args.workload), OTHERWISE)
    if args.peer == "swingup":
        seconds = swingup(work, env_steps, args.repetitions, args.update_only)
    elif args.peer == "rejax":
        seconds = rejax(work, env_steps, args.repetitions)
    else:
        seconds = stable(args.peer, work, env_steps, args.repetitions)
    rates = sorted(env_steps / s for s in seconds)
    found = {
        "best": rates[-1],
        "median": rates[len(rates) // 2],
        "every": work["every"],
        "env_steps": env_steps,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
