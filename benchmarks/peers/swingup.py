"""Time swingup's PPO through its public `train`, as a user would call it; nothing is written to disk."""

import statistics
from typing import Any

from . import common


def main() -> None:
    """Call `train` once per repetition, each with its own seed, and print the result."""
    args = common.arguments(many_seeds=True)
    with common.timed() as importing:
        import swingup
    algo = swingup.PPO(
        num_envs=common.NUM_ENVS,
        num_steps=common.NUM_STEPS,
        epochs=common.EPOCHS,
        num_minibatches=common.MINIBATCHES,
        lr=common.LEARNING_RATE,
        gamma=common.GAMMA,
        lam=common.LAMBDA,
        clip=common.CLIP,
        c_entropy=common.ENTROPY,
        c_value=common.VALUE,
        max_grad_norm=common.MAX_GRAD_NORM,
        hidden=common.HIDDEN,
        activation="tanh",
    )
    results: list[dict[str, Any]] = []
    call_seconds = []
    for repetition in range(args.repetitions):
        with common.timed() as call:
            run = swingup.train(
                algo,
                "CartPole-v1",
                env_steps=args.env_steps,
                seeds=args.seeds,
                seed=repetition * args.seeds,
                out=None,
            )
        results.append(run.result)
        call_seconds.append(call.seconds)
    run_seconds = [result["run_seconds"] for result in results]
    compile_seconds = [result["compile_seconds"] for result in results]
    accounted = [run + compiling for run, compiling in zip(run_seconds, compile_seconds, strict=True)]
    common.report(
        args,
        import_seconds=importing.seconds,
        compile_seconds=compile_seconds[0],
        run_seconds=run_seconds,
        packages=("swingup", "jax", "jaxlib", "equinox", "optax", "numpy"),
        # What `train` spends outside compiling and running: no place to hide work.
        other_seconds=statistics.median(c - a for c, a in zip(call_seconds, accounted, strict=True)),
    )


if __name__ == "__main__":
    main()
