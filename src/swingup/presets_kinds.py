"""Settings by kind of environment, for pairs that have none of their own; part of `presets`.

They are those of published work, or of a sibling that was measured. None was measured on all of its kind, so none
is called tuned.
"""

from typing import Any

from swingup.algos.a2c import A2C
from swingup.algos.c51 import C51
from swingup.algos.ddpg import DDPG
from swingup.algos.dqn import DQN
from swingup.algos.qr_dqn import QRDQN
from swingup.algos.sac import SAC
from swingup.envs.names import FETCH
from swingup.envs.names import MUJOCO as ROBOTS
from swingup.presets_policy import ATARI as ATARI_PPO
from swingup.presets_policy import MUJOCO, MUJOCO_A2C, MUJOCO_TRPO, MUJOCO_VPG
from swingup.presets_replay import MUJOCO_SAC, MUJOCO_TD3, Preset, made

# Of EnvPool and of ale-py.
NAMES = """
    Adventure AirRaid Alien Amidar Assault Asterix Asteroids Atlantis Atlantis2 Backgammon BankHeist
    BasicMath BattleZone BeamRider Berzerk Blackjack Bowling Boxing Breakout Carnival Casino Centipede
    ChopperCommand CrazyClimber Crossbow Darkchambers Defender DemonAttack DonkeyKong DoubleDunk
    Earthworld ElevatorAction Enduro Entombed Et FishingDerby FlagCapture Freeway Frogger Frostbite
    Galaxian Gopher Gravitar Hangman HauntedHouse Hero HumanCannonball IceHockey Jamesbond JourneyEscape
    Kaboom Kangaroo KeystoneKapers KingKong Klax Koolaid Krull KungFuMaster LaserGates LostLuggage
    MarioBros MiniatureGolf MontezumaRevenge MrDo MsPacman NameThisGame Othello Pacman Phoenix Pitfall
    Pitfall2 Pong Pooyan PrivateEye Qbert Riverraid RoadRunner Robotank Seaquest SirLancelot Skiing
    Solaris SpaceInvaders SpaceWar StarGunner Superman Surround Tennis Tetris TicTacToe3d TimePilot
    Trondead Turmoil Tutankham UpNDown Venture VideoCheckers VideoChess VideoCube VideoPinball
    WizardOfWor WordZapper YarsRevenge Zaxxon
"""
GAMES = frozenset(NAMES.split())
BODIES = frozenset(name.partition("-")[0] for name in ROBOTS)
GOALS = frozenset(name.partition("-")[0] for name in FETCH if "Dense" not in name)

# Of the papers, of which these differ: replays of 100,000 frames instead of 1 million, so that they fit (0.7 GB);
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


def by(source: str, algo: Any, env_steps: int, about: str) -> Preset:
    return Preset(algo, env_steps, f"not measured; {source}", f"the preset for {about}", tuned=False)


def game(source: str, algo: Any) -> Preset:
    return by(source, algo, 10_000_000, "Atari games")


def robot(algo: Any, env_steps: int = 1_000_000) -> Preset:
    return by("the settings of HalfCheetah", algo, env_steps, "MuJoCo's robots")


KINDS: dict[tuple[str, str], Preset] = {
    ("ppo", "atari"): game("those of CleanRL and RL Zoo", ATARI_PPO),
    ("a2c", "atari"): game(
        "those of RL Zoo", A2C(num_envs=16, c_value=0.25, hidden=(512,), activation="relu")
    ),
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
    ("ppo", "mujoco"): robot(MUJOCO),
    ("trpo", "mujoco"): robot(MUJOCO_TRPO),
    ("a2c", "mujoco"): robot(MUJOCO_A2C),
    ("vpg", "mujoco"): robot(MUJOCO_VPG),
    ("sac", "mujoco"): robot(MUJOCO_SAC),
    ("td3", "mujoco"): robot(MUJOCO_TD3),
    ("ddpg", "mujoco"): by(
        "those of Tianshou",
        DDPG(num_steps=2, lr=1e-3, actor_lr=1e-3, warmup=25_000),
        1_000_000,
        "MuJoCo's robots",
    ),
    ("sac", "fetch"): by(
        "those of RL Zoo for TQC",
        SAC(
            gamma=0.95,
            lr=1e-3,
            actor_lr=1e-3,
            alpha_lr=1e-3,
            batch_size=2_048,
            warmup=1_000,
            tau=0.05,
            hindsight=4,
            hidden=(512, 512, 512),
        ),
        1_000_000,
        "Fetch with sparse rewards",
    ),
}


def kind(name: str) -> str:
    """What an environment's full name without options says of its kind: "atari", "mujoco", "fetch", or "".

    >>> kind("envpool:Pong-v5"), kind("gymnasium:ALE/Pong-v5"), kind("gymnasium:Ant-v4"), kind("brax:ant")
    ('atari', 'atari', 'mujoco', '')
    """
    suite, _, bare = name.partition(":")
    if suite not in ("gymnasium", "envpool"):
        return ""
    stem = bare.removeprefix("ALE/").rpartition("-v")[0]
    if stem in GAMES and (suite == "envpool" or bare.startswith("ALE/")):
        return "atari"
    if stem in GOALS:
        return "fetch"
    return "mujoco" if stem in BODIES else ""
