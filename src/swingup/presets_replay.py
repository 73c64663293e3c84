"""Tuned settings of the algorithms that learn from a replay, each with its measured result; part of `presets`."""

from dataclasses import replace
from typing import Any, NamedTuple

from swingup.algos.c51 import C51
from swingup.algos.ddpg import DDPG
from swingup.algos.dqn import DQN
from swingup.algos.qr_dqn import QRDQN
from swingup.algos.sac import SAC
from swingup.algos.sac_discrete import SACDiscrete
from swingup.algos.td3 import TD3


class Preset(NamedTuple):
    """Settings, the budget they were tuned for, and what they reached."""

    algo: Any
    env_steps: int  # env steps per seed
    result: str  # greedy evaluation: mean over seeds, and how many; or why there is none
    source: str = "the preset of this pair"
    tuned: bool = True  # measured on this pair, and it learns it

    @property
    def about(self) -> str:
        """What these settings are, in words."""
        return f"{self.source}, {'tuned' if self.tuned else 'not tuned'} ({self.result})"


def made(kind: Any, shared: dict[str, Any], **own: Any) -> Any:
    """An algorithm with the settings that a family shares, and its own."""
    return kind(**(shared | own))


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
PENDULUM: dict[str, Any] = {
    "num_steps": 2,
    "gamma": 0.98,
    "lr": 1e-3,
    "actor_lr": 1e-3,
    "batch_size": 128,
    "warmup": 1_000,
    "hidden": (64, 64),
}
FETCH = SAC(
    num_steps=2,
    gamma=0.95,
    lr=1e-3,
    actor_lr=1e-3,
    alpha_lr=1e-3,
    warmup=1_000,
    hindsight=4,
    hidden=(64, 64),
)
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
MUJOCO_SAC = SAC(lr=1e-3, alpha_lr=1e-3, batch_size=128, warmup=5_000)
MUJOCO_TD3 = TD3(num_steps=2, lr=1e-3, actor_lr=1e-3, batch_size=128, warmup=5_000)
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

PRESETS: dict[tuple[str, str], Preset] = {
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
    ("sac_discrete", "gymnax:CartPole-v1"): Preset(
        SACDiscrete(
            num_steps=32,
            replay_ratio=0.5,
            lr=2e-3,
            actor_lr=2e-3,
            lr_decay=True,
            batch_size=64,
            replay_size=100_000,
            warmup=1_000,
            tau=0.05,
            alpha_lr=1e-3,
            target_entropy=0.7,
            hidden=(64, 64),
        ),
        env_steps=80_000,
        result="mean 498.1, worst 463.9 of 20 seeds",
    ),
    ("ddpg", "gymnax:Pendulum-v1"): Preset(
        made(DDPG, PENDULUM), env_steps=20_000, result="mean -146.5, worst -155.1 of 10 seeds"
    ),
    ("td3", "gymnax:Pendulum-v1"): Preset(
        made(TD3, PENDULUM), env_steps=20_000, result="mean -149.0, worst -158.9 of 10 seeds"
    ),
    ("sac", "gymnax:Pendulum-v1"): Preset(
        made(SAC, PENDULUM, alpha_lr=1e-3), env_steps=20_000, result="mean -144.6, worst -152.2 of 10 seeds"
    ),
    ("sac", "gymnax:MountainCarContinuous-v0"): Preset(
        SAC(
            num_steps=32,
            replay_ratio=0.5,
            warmup_hold=32,
            tau=0.01,
            alpha=0.1,
            hidden=(64, 64),
        ),
        env_steps=50_000,
        result="mean 94.1, worst 93.9 of 10 seeds",
    ),
    ("sac", "envpool:HalfCheetah-v5"): Preset(
        MUJOCO_SAC, env_steps=100_000, result="mean 6364, worst 6160 of 2 seeds"
    ),
    ("td3", "envpool:HalfCheetah-v5"): Preset(
        MUJOCO_TD3, env_steps=100_000, result="mean 5439, worst 4628 of 2 seeds"
    ),
    ("dqn", "task:BitFlip"): Preset(BITFLIP, env_steps=50_000, result="success 1.00, worst 1.00 of 10 seeds"),
    ("sac", "envpool:FetchPush-v4"): Preset(
        replace(FETCH, num_envs=4, num_steps=4, replay_ratio=0.25, hidden=(256, 256)),
        env_steps=200_000,
        result="success 0.04, one seed: published runs take 1,000,000 env steps",
        tuned=False,
    ),
    ("sac", "envpool:FetchReach-v4"): Preset(
        FETCH, env_steps=20_000, result="success 1.00, worst 1.00 of 3 seeds"
    ),
}
