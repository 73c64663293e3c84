"""The algorithms that learn from their latest rollout have these settings, each with its measured result."""

from dataclasses import replace

from swingup.algos.a2c import A2C
from swingup.algos.ppo import PPO
from swingup.algos.trpo import TRPO
from swingup.algos.vpg import VPG
from swingup.presets.table import Pair, Preset, game, robot

MUJOCO = PPO(
    num_envs=8,
    num_steps=256,
    epochs=10,
    num_minibatches=32,
    lr=3e-4,
    lr_decay=True,
    lr_horizon=1e6,
    c_value=0.25,
    c_entropy=0.0,
    normalise_obs=True,
    normalise_reward=True,
    log_std_init=-0.5,
)
MUJOCO_TRPO = TRPO(
    num_envs=8,
    num_steps=128,
    value_epochs=20,
    num_minibatches=16,
    normalise_obs=True,
    normalise_reward=True,
    log_std_init=-0.5,
)
MUJOCO_A2C = A2C(
    num_envs=16,
    num_steps=32,
    lam=0.95,
    optim="adam",
    lr=2e-3,
    lr_decay=True,
    lr_horizon=1e6,
    c_entropy=0.0,
    normalise_adv=True,
    normalise_obs=True,
    normalise_reward=True,
    log_std_init=-0.5,
)
MUJOCO_VPG = VPG(num_envs=8, num_steps=256, normalise_obs=True, normalise_reward=True, log_std_init=-0.5)
LANDER = PPO(
    num_envs=16, num_steps=1024, gamma=0.999, lam=0.98, num_minibatches=256, lr=3e-4, normalise_reward=True
)
ATARI = PPO(
    num_envs=8,
    num_steps=128,
    clip=0.1,
    num_minibatches=4,
    lr=2.5e-4,
    lr_decay=True,
    lr_horizon=1e7,
    hidden=(512,),
    activation="relu",
)
# Brax's own settings (the notebook with which it publishes its results), but one network of 256 x 256 for the policy
# and one for V, a normal policy that is clipped, and rewards scaled by their running std instead of by a constant.
BRAX = PPO(
    clip=0.3,
    num_minibatches=32,
    lr=3e-4,
    max_grad_norm=1e9,
    hidden=(256, 256),
    activation="silu",
    normalise_obs=True,
    normalise_reward=True,
    log_std_init=-0.5,
)
TRACK = PPO(num_envs=16, num_steps=64, gamma=0.97, lam=0.9, lr=5e-4, lr_decay=True)
PIXELS = replace(TRACK, activation="relu", body="mlp")
UNMEASURED = "not measured: it wants an accelerator"
SMOOTH = {"normalise_obs": True, "normalise_reward": True, "c_entropy": 0.0}

PRESETS: dict[Pair, Preset] = {
    ("ppo", "task:Track"): Preset(
        PIXELS, env_steps=60_000, result="mean 12.51, worst 12.41 of 3 seeds", tuned=False
    ),
    ("ppo", "task:Track?frames=2"): Preset(
        PIXELS, env_steps=60_000, result="mean 12.47, worst 12.35 of 3 seeds", tuned=False
    ),
    ("ppo", "task:Track?obs=features"): Preset(
        TRACK, env_steps=100_000, result="mean 12.48, worst 12.34 of 3 seeds", tuned=False
    ),
    ("ppo", "gymnax:CartPole-v1"): Preset(
        PPO(
            num_envs=16,
            num_steps=16,
            gamma=0.98,
            lam=0.8,
            epochs=10,
            num_minibatches=2,
            lr=2e-3,
            lr_decay=True,
            lr_horizon=1e5,
            target_kl=0.02,
            c_entropy=0.0,
        ),
        env_steps=100_000,
        result="mean 500.0, worst 500.0 of 10 seeds",
    ),
    ("ppo", "gymnax:Acrobot-v1"): Preset(
        PPO(num_envs=16, num_steps=256, lam=0.94, num_minibatches=32, lr=3e-4, **SMOOTH),
        env_steps=1_000_000,
        result="mean -75.8, worst -77.1 of 10 seeds",
    ),
    ("ppo", "gymnax:MountainCar-v0"): Preset(
        PPO(num_envs=16, num_steps=16, lam=0.98, lr=6e-4, lr_decay=True, lr_horizon=1e6, **SMOOTH),
        env_steps=1_000_000,
        result="mean -112.9, worst -119.4 of 10 seeds",
    ),
    ("ppo", "gymnax:MountainCarContinuous-v0"): Preset(
        PPO(num_envs=16, num_steps=256, gamma=0.999, epochs=10, num_minibatches=16, lr=3e-4, **SMOOTH),
        env_steps=300_000,
        result="mean 95.4, worst 95.3 of 10 seeds",
    ),
    ("ppo", "gymnax:Pendulum-v1"): Preset(
        PPO(
            num_envs=4,
            num_steps=1024,
            gamma=0.9,
            epochs=10,
            num_minibatches=32,
            lr=1e-3,
            lr_decay=True,
            lr_horizon=2e5,
            c_entropy=0.0,
        ),
        env_steps=200_000,
        result="mean -169.6, worst -183.7 of 10 seeds",
    ),
    ("ppo", "gymnax:Breakout-MinAtar"): Preset(
        PPO(
            num_envs=64,
            num_steps=128,
            epochs=2,
            num_minibatches=8,
            lr=3e-3,
            lr_decay=True,
            lr_horizon=1e7,
            c_entropy=0.04,
            hidden=(128,),
            activation="relu",
        ),
        env_steps=10_000_000,
        result="mean 42.0, worst 27.5 of 2 seeds",
    ),
    ("ppo", "envpool:HalfCheetah-v5"): Preset(
        MUJOCO, env_steps=1_000_000, result="mean 4996, worst 3828 of 5 seeds"
    ),
    ("ppo", "envpool:Hopper-v5"): Preset(
        MUJOCO, env_steps=1_000_000, result="mean 3216, worst 2748 of 5 seeds"
    ),
    ("ppo", "envpool:Walker2d-v5"): Preset(
        MUJOCO, env_steps=1_000_000, result="mean 4563, worst 3966 of 5 seeds"
    ),
    ("ppo", "envpool:Ant-v5"): Preset(MUJOCO, env_steps=1_000_000, result="mean 2054, worst 1237 of 5 seeds"),
    ("ppo", "envpool:Swimmer-v5"): Preset(
        replace(MUJOCO, gamma=0.9999), env_steps=1_000_000, result="mean 115.1, worst 59.2 of 5 seeds"
    ),
    ("ppo", "envpool:InvertedPendulum-v5"): Preset(
        MUJOCO, env_steps=1_000_000, result="mean 1000, worst 1000 of 5 seeds"
    ),
    ("ppo", "envpool:Reacher-v5"): Preset(
        MUJOCO, env_steps=1_000_000, result="mean -4.0, worst -4.3 of 5 seeds"
    ),
    ("ppo", "envpool:LunarLander-v3"): Preset(
        LANDER, env_steps=1_000_000, result="mean 250.2, worst 173.4 of 5 seeds"
    ),
    ("ppo", "envpool:LunarLanderContinuous-v3"): Preset(
        LANDER, env_steps=1_000_000, result="mean 282.1, worst 277.9 of 5 seeds"
    ),
    ("ppo", "envpool:Pong-v5"): Preset(
        replace(ATARI, num_envs=16, num_minibatches=8, clip=0.2, epochs=3, lr=5e-4, lr_horizon=2e6),
        env_steps=1_000_000,
        result="19.2, one seed",
    ),
    ("ppo", "brax:ant"): Preset(
        replace(BRAX, num_envs=4096, num_steps=80, gamma=0.97, epochs=4, c_entropy=0.01),
        env_steps=50_000_000,
        result=UNMEASURED,
        tuned=False,
    ),
    ("ppo", "brax:halfcheetah"): Preset(
        replace(BRAX, num_envs=2048, num_steps=160, gamma=0.95, epochs=8, c_entropy=0.001),
        env_steps=50_000_000,
        result=UNMEASURED,
        tuned=False,
    ),
    ("a2c", "gymnax:CartPole-v1"): Preset(
        A2C(lr=4e-3, lr_decay=True, lr_horizon=5e5),
        env_steps=500_000,
        result="mean 500.0, worst 500.0 of 10 seeds",
    ),
    ("a2c", "envpool:HalfCheetah-v5"): Preset(
        MUJOCO_A2C, env_steps=1_000_000, result="mean 2261, worst 1043 of 5 seeds"
    ),
    ("trpo", "gymnax:CartPole-v1"): Preset(
        TRPO(gamma=0.98, lam=0.8), env_steps=100_000, result="mean 500.0, worst 500.0 of 50 seeds"
    ),
    ("trpo", "envpool:HalfCheetah-v5"): Preset(
        replace(MUJOCO_TRPO, delta=0.02), env_steps=1_000_000, result="mean 5390, worst 4259 of 5 seeds"
    ),
    ("trpo", "envpool:Hopper-v5"): Preset(
        MUJOCO_TRPO, env_steps=1_000_000, result="mean 3039, worst 1471 of 5 seeds"
    ),
    ("vpg", "gymnax:CartPole-v1"): Preset(
        VPG(lr=2e-3, value_lr=3e-3), env_steps=500_000, result="mean 500.0, worst 500.0 of 10 seeds"
    ),
    ("vpg", "envpool:HalfCheetah-v5"): Preset(
        MUJOCO_VPG, env_steps=1_000_000, result="mean 2894, worst 1182 of 5 seeds"
    ),
    ("vpg", "envpool:InvertedPendulum-v5"): Preset(
        MUJOCO_VPG, env_steps=1_000_000, result="mean 1000, worst 1000 of 5 seeds"
    ),
}

# None of these was measured on all of its kind.
KINDS: dict[Pair, Preset] = {
    ("ppo", "atari"): game("those of CleanRL and RL Zoo", ATARI),
    ("a2c", "atari"): game(
        "those of RL Zoo", A2C(num_envs=16, c_value=0.25, hidden=(512,), activation="relu")
    ),
    ("ppo", "mujoco"): robot(MUJOCO),
    ("trpo", "mujoco"): robot(MUJOCO_TRPO),
    ("a2c", "mujoco"): robot(MUJOCO_A2C),
    ("vpg", "mujoco"): robot(MUJOCO_VPG),
}
