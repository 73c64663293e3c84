# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Time Rejax's PPO; run with the interpreter of `.bench/rejax`.

Rejax evaluates 128 episodes inside its compiled loop. The timed program has that callback replaced by one
that does nothing, so that only training is timed; the stock evaluation is run once afterwards, as a check.
"""

from . import common


def main() -> None:
    """Compile ahead of time, run the program once per repetition with new keys, and print the result."""
    args = common.arguments(many_seeds=True)
    work = args.work
    with common.timed() as importing:
        import jax
        import rejax
    stock = rejax.get_algo("ppo").create(
        env=work.env,
        num_envs=work.num_envs,
        num_steps=work.num_steps,
        num_epochs=work.epochs,
        num_minibatches=work.minibatches,
        learning_rate=work.learning_rate,
        gamma=work.gamma,
        gae_lambda=work.lam,
        clip_eps=work.clip,
        ent_coef=work.entropy,
        vf_coef=work.value,
        max_grad_norm=work.max_grad_norm,
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": work.hidden},
        total_timesteps=args.env_steps,
        eval_freq=args.env_steps,
        skip_initial_evaluation=True,
    )
    bare = stock.replace(eval_callback=lambda algo, state, key: ())

    over_seeds = jax.vmap if args.seeds > 1 else lambda function: function

    def keys(repetition: int) -> jax.Array:
        key = jax.random.PRNGKey(repetition)
        return jax.random.split(key, args.seeds) if args.seeds > 1 else key

    with common.timed() as compiling:
        train = jax.jit(over_seeds(bare.train)).lower(keys(0)).compile()
    run_seconds = []
    for repetition in range(args.repetitions):
        key = jax.block_until_ready(keys(repetition))
        with common.timed() as run:
            state, _ = jax.block_until_ready(train(key))
        run_seconds.append(run.seconds)

    final_return = None
    if not args.start_only:
        evaluate = jax.jit(over_seeds(lambda state, key: stock.eval_callback(stock, state, key)))
        final_return = float(evaluate(state, keys(args.repetitions))[1].mean())
    common.report(
        args,
        import_seconds=importing.seconds,
        compile_seconds=compiling.seconds,
        run_seconds=run_seconds,
        packages=("rejax", "gymnax", "jax", "jaxlib", "flax", "optax", "numpy"),
        final_return=final_return,
        return_of="128 evaluation episodes after training",
    )


if __name__ == "__main__":
    main()
