"""Deep Q-learning, DQN, C51 and QR-DQN, has these settings, each with its measured result."""

from typing import Any

from swingup.algos.c51 import C51
from swingup.algos.dqn import DQN
from swingup.algos.qr_dqn import QRDQN
from swingup.presets.table import Pair, Preset, game, made

CLASSIC: dict[str, Any] = {
    "num_steps": 64,
    "replay_ratio": 0.5,
    "lr": 2e-3,
    "lr_decay": True,
    "batch_size": 64,
    "target_period": 128,
    "double": True,
    "n_step": 3,
    "hidden": (128, 128),
}
CARTPOLE: dict[str, Any] = CLASSIC | {"epsilon_end": 0.04, "epsilon_decay": 8e3}
MINATAR: dict[str, Any] = {
    "num_envs": 32,
    "num_steps": 8,
    "replay_ratio": 0.125,
    "lr": 5e-4,
    "lr_decay": True,
    "batch_size": 64,
    "warmup": 5_000,
    "epsilon_end": 0.02,
    "epsilon_decay": 2e5,
    "target_period": 250,
    "double": True,
    "dueling": True,
    "n_step": 3,
    "adam_eps": 1e-4,
    "hidden": (128,),
}
BITFLIP = DQN(
    num_steps=16,
    replay_ratio=0.5,
    gamma=0.98,
    lr=1e-3,
    batch_size=64,
    warmup=500,
    epsilon_decay=2e4,
    target_period=1,
    tau=0.05,
    hindsight=4,
    hidden=(128,),
)
TRACK: dict[str, Any] = {
    "num_envs": 8,
    "num_steps": 4,
    "replay_ratio": 0.125,
    "gamma": 0.97,
    "lr": 5e-4,
    "lr_decay": True,
    "replay_size": 50_000,
    "warmup": 2_000,
    "warmup_hold": 4,
    "epsilon_decay": 1.5e4,
    "target_period": 250,
    "double": True,
    "n_step": 3,
}
TRACK_PIXELS = made(DQN, TRACK, body="mlp")
# What Rainbow (Hessel et al. 2018, arXiv:1710.02298) adds to C51. It has no ε beside the noise in the weights; here ε
# stays: where the environment is deterministic, an agent whose actions the noise no longer changes learns nothing new.
RAINBOW: dict[str, Any] = {
    "double": True,
    "dueling": True,
    "n_step": 3,
    "prioritised": True,
    "alpha": 0.5,
    "beta": 0.7,
    "noisy": True,
}
# The papers' settings, but for these: replays of 100,000 frames instead of 1 million, so that they fit (0.7 GB);
# 8 games side by side, with one gradient step per 4 env steps all the same.
GAME: dict[str, Any] = {
    "num_envs": 8,
    "replay_ratio": 0.25,
    "batch_size": 32,
    "replay_size": 100_000,
    "warmup": 80_000,
    "epsilon_end": 0.01,
    "epsilon_decay": 1e6,
    "hidden": (512,),
}

PRESETS: dict[Pair, Preset] = {
    ("dqn", "gymnax:CartPole-v1"): Preset(
        made(DQN, CARTPOLE), env_steps=50_000, result="mean 495.5, worst 454.7 of 10 seeds"
    ),
    ("dqn", "gymnax:Acrobot-v1"): Preset(
        made(DQN, CLASSIC, lr=1e-3, epsilon_end=0.1, epsilon_decay=1.2e4),
        env_steps=100_000,
        result="mean -81.1, worst -84.9 of 10 seeds",
    ),
    ("dqn", "gymnax:MountainCar-v0"): Preset(
        made(
            DQN,
            CLASSIC,
            target_period=256,
            gamma=0.98,
            warmup=5_000,
            warmup_hold=16,
            epsilon_decay=3e4,
        ),
        env_steps=120_000,
        result="mean -101.9, worst -109.1 of 10 seeds",
    ),
    ("dqn", "gymnax:Breakout-MinAtar"): Preset(
        made(DQN, MINATAR), env_steps=1_000_000, result="mean 43.8, worst 43.2 of 2 seeds"
    ),
    ("dqn", "envpool:LunarLander-v3"): Preset(
        DQN(
            num_envs=4,
            num_steps=16,
            lr=7e-4,
            lr_decay=True,
            batch_size=128,
            warmup=5_000,
            epsilon_end=0.03,
            epsilon_decay=6e4,
            target_period=128,
            double=True,
            dueling=True,
            n_step=3,
            prioritised=True,
            hidden=(128, 128),
        ),
        env_steps=300_000,
        result="mean 244.8, worst 224.1 of 5 seeds",
    ),
    ("c51", "gymnax:CartPole-v1"): Preset(
        made(C51, CARTPOLE, lr=1e-3, v_min=0.0, v_max=100.0, adam_eps=1e-4),
        env_steps=100_000,
        result="mean 500.0, worst 500.0 of 10 seeds",
    ),
    ("c51", "gymnax:Breakout-MinAtar"): Preset(
        made(C51, MINATAR | RAINBOW, v_min=0.0, v_max=25.0),
        env_steps=1_000_000,
        result="mean 55.6, worst 30.0 of 2 seeds",
    ),
    ("qr_dqn", "gymnax:CartPole-v1"): Preset(
        made(QRDQN, CARTPOLE, quantiles=10), env_steps=100_000, result="mean 500.0, worst 500.0 of 10 seeds"
    ),
    ("qr_dqn", "gymnax:Acrobot-v1"): Preset(
        QRDQN(
            num_steps=64,
            replay_ratio=0.5,
            lr=6.3e-4,
            lr_decay=True,
            batch_size=128,
            replay_size=50_000,
            epsilon_end=0.1,
            epsilon_decay=1.2e4,
            target_period=125,
            quantiles=25,
            hidden=(256, 256),
        ),
        env_steps=100_000,
        result="mean -79.7, worst -82.5 of 10 seeds",
    ),
    ("dqn", "task:Track"): Preset(TRACK_PIXELS, env_steps=60_000, result="not measured yet", tuned=False),
    ("dqn", "task:Track?frames=2"): Preset(
        TRACK_PIXELS, env_steps=60_000, result="mean 8.76, worst 5.84 of 3 seeds", tuned=False
    ),
    ("dqn", "task:Track?obs=features"): Preset(
        made(DQN, TRACK), env_steps=60_000, result="not measured yet", tuned=False
    ),
    ("dqn", "task:BitFlip"): Preset(BITFLIP, env_steps=50_000, result="success 1.00, worst 1.00 of 10 seeds"),
}

# None of these was measured on all of its kind.
KINDS: dict[Pair, Preset] = {
    # A renewal per 1,000 env steps, which is 250 gradient steps.
    ("dqn", "atari"): game(
        "those of CleanRL and RL Zoo, with Rainbow's ε of Adam",
        made(DQN, GAME, lr=1e-4, adam_eps=1.5e-4, target_period=250),
    ),
    # Renewals per 10,000 env steps.
    ("c51", "atari"): game(
        "those of CleanRL", made(C51, GAME, lr=2.5e-4, adam_eps=0.01 / 32, target_period=2_500)
    ),
    ("qr_dqn", "atari"): game(
        "those of RL Zoo",
        made(
            QRDQN,
            GAME,
            lr=5e-5,
            adam_eps=0.01 / 32,
            target_period=2_500,
            quantiles=200,
            epsilon_decay=2.5e5,
            warmup=50_000,
        ),
    ),
}
