# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Time SBX's PPO; run with the interpreter of `.bench/sbx`."""

from . import common


def main() -> None:
    """Train once per repetition and print the result; the warm-up of two iterations counts as compilation."""
    args = common.arguments(many_seeds=False)
    work = args.work
    with common.timed() as importing:
        import flax.linen
        from sbx import PPO
        from stable_baselines3.common.env_util import make_vec_env
        from stable_baselines3.common.vec_env import SubprocVecEnv
    model = PPO(
        "MlpPolicy",
        make_vec_env(
            work.env,
            n_envs=work.num_envs,
            seed=0,
            vec_env_cls=SubprocVecEnv if args.suite == "subprocess" else None,
        ),
        n_steps=work.num_steps,
        batch_size=work.minibatch_size,
        n_epochs=work.epochs,
        learning_rate=work.learning_rate,
        gamma=work.gamma,
        gae_lambda=work.lam,
        clip_range=work.clip,
        ent_coef=work.entropy,
        vf_coef=work.value,
        max_grad_norm=work.max_grad_norm,
        policy_kwargs={
            "net_arch": {"pi": list(work.hidden), "vf": list(work.hidden)},
            "activation_fn": flax.linen.tanh,
        },
        seed=0,
        device="cpu",
    )
    compile_seconds, run_seconds = common.learn_repeatedly(model, args)
    common.report(
        args,
        import_seconds=importing.seconds,
        compile_seconds=compile_seconds,
        run_seconds=run_seconds,
        packages=("sbx-rl", "stable-baselines3", "jax", "jaxlib", "flax", "optax", "gymnasium", "numpy"),
        **common.recent_return(model),
    )


if __name__ == "__main__":
    main()
