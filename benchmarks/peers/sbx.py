# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Time SBX's PPO; run with the interpreter of `.bench/sbx`."""

from . import common


def main() -> None:
    """Train once per repetition and print the result; the warm-up of two iterations counts as compilation."""
    args = common.arguments(many_seeds=False)
    with common.timed() as importing:
        import flax.linen
        from sbx import PPO
        from stable_baselines3.common.env_util import make_vec_env
    model = PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=common.NUM_ENVS, seed=0),
        n_steps=common.NUM_STEPS,
        batch_size=common.MINIBATCH_SIZE,
        n_epochs=common.EPOCHS,
        learning_rate=common.LEARNING_RATE,
        gamma=common.GAMMA,
        gae_lambda=common.LAMBDA,
        clip_range=common.CLIP,
        ent_coef=common.ENTROPY,
        vf_coef=common.VALUE,
        max_grad_norm=common.MAX_GRAD_NORM,
        policy_kwargs={
            "net_arch": {"pi": list(common.HIDDEN), "vf": list(common.HIDDEN)},
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
