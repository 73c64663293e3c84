# pyright: reportMissingImports=false
"""Time Stable-Baselines3's PPO; run with the interpreter of `.bench/sb3`."""

from . import common


def main() -> None:
    """Train once per repetition and print the result."""
    args = common.arguments(many_seeds=False)
    with common.timed() as importing:
        import torch
        from stable_baselines3 import PPO
        from stable_baselines3.common.env_util import make_vec_env
    if args.threads != "default":
        torch.set_num_threads(int(args.threads))
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
            "activation_fn": torch.nn.Tanh,
        },
        seed=0,
        device="cpu",
    )
    _, run_seconds = common.learn_repeatedly(model, args)
    common.report(
        args,
        import_seconds=importing.seconds,
        compile_seconds=0.0,
        run_seconds=run_seconds,
        packages=("stable-baselines3", "torch", "gymnasium", "numpy"),
        **common.recent_return(model),
    )


if __name__ == "__main__":
    main()
