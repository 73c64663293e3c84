"""Environments whose settings are shared are of one kind, told by their names."""

from swingup.envs.names import FETCH
from swingup.envs.names import MUJOCO as ROBOTS

# These are the names of EnvPool and of ale-py.
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


def kind(name: str) -> str:
    """Return what an environment's full name without options says of its kind: "atari", "mujoco", "fetch", or "".

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
