"""The suites of environments, and what they know, have names."""

# The names are written down so that listing them, and refusing a wrong one, imports nothing slow. Left out are
# MNISTBandit-bsuite, which downloads its data when made, and SimpleBandit-bsuite, which observes a constant.
GYMNAX = (
    "CartPole-v1",
    "Pendulum-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Asterix-MinAtar",
    "Breakout-MinAtar",
    "Freeway-MinAtar",
    "Seaquest-MinAtar",
    "SpaceInvaders-MinAtar",
    "Catch-bsuite",
    "DeepSea-bsuite",
    "MemoryChain-bsuite",
    "UmbrellaChain-bsuite",
    "DiscountingChain-bsuite",
    "FourRooms-misc",
    "MetaMaze-misc",
    "PointRobot-misc",
    "BernoulliBandit-misc",
    "GaussianBandit-misc",
    "Reacher-misc",
    "Swimmer-misc",
    "Pong-misc",
    "FrozenLake-misc",
)
PROBES = (
    "ConstantReward",
    "ObservedReward",
    "DelayedReward",
    "TimeLimit",
    "PickAction",
    "PickActionByObservation",
    "ContinuousTarget",
)
# Lists and hints name these environments of the suites on the host; whatever else those suites know can be opened too.
CLASSIC = ("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0")
MUJOCO = (
    *(
        "Ant-v5",
        "HalfCheetah-v5",
        "Hopper-v5",
        "Humanoid-v5",
        "HumanoidStandup-v5",
        "InvertedDoublePendulum-v5",
    ),
    *("InvertedPendulum-v5", "Pusher-v5", "Reacher-v5", "Swimmer-v5", "Walker2d-v5"),
)
BOX2D = ("LunarLander-v3", "LunarLanderContinuous-v3", "BipedalWalker-v3", "BipedalWalkerHardcore-v3")
FETCH = tuple(
    f"Fetch{task}{kind}-v4" for task in ("Reach", "Push", "Slide", "PickAndPlace") for kind in ("", "Dense")
)
TOY_TEXT = ("Blackjack-v1", "CliffWalking-v1", "FrozenLake-v1", "FrozenLake8x8-v1", "Taxi-v4")
ATARI = ("BeamRider", "Breakout", "Enduro", "MsPacman", "Pong", "Qbert", "Seaquest", "SpaceInvaders")
BRAX = (
    *("ant", "halfcheetah", "hopper", "humanoid", "humanoidstandup", "inverted_double_pendulum"),
    *("inverted_pendulum", "pusher", "reacher", "swimmer", "walker2d"),
)
TASKS = ("BitFlip", "Recall", "CartPoleSwingUp", "LQ", "PushBox", "Track")
TABULAR = ("Chain", "TwoStateLoop", "Random", "Bias", "Baird", "Grid", "Cliff", "FrozenLake", "WindyGrid")
# Games of two players, without chance and without hidden cards.
PGX = (
    *("tic_tac_toe", "connect_four", "othello", "hex", "go_5x5", "go_9x9", "go_19x19"),
    *("animal_shogi", "gardner_chess", "chess", "shogi"),
)
DEVICE: dict[str, tuple[str, ...]] = {
    "gymnax": GYMNAX,
    "probe": PROBES,
    "task": TASKS,
    "tabular": TABULAR,
    "brax": BRAX,
    "pgx": PGX,
}
WITH_OPTIONS = ("brax", "task", "tabular", "pgx")  # of these
SUITES: dict[str, tuple[str, ...]] = DEVICE | {
    "gymnasium": (*CLASSIC, *MUJOCO, *BOX2D, *TOY_TEXT, *FETCH, *(f"ALE/{game}-v5" for game in ATARI)),
    "envpool": (*CLASSIC, *MUJOCO, *FETCH, *(f"{game}-v5" for game in ATARI)),
}
