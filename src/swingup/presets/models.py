"""These are the settings of MPC and PETS, which plan in a model, each with its measured result."""

from swingup.algos.mpc import MPC
from swingup.algos.pets import PETS
from swingup.presets.table import Pair, Preset

UNMEASURED = "not measured yet"

PRESETS: dict[Pair, Preset] = {
    ("mpc", "task:CartPoleSwingUp"): Preset(MPC(), env_steps=2_000, result=UNMEASURED, tuned=False),
    ("mpc", "gymnax:Pendulum-v1"): Preset(MPC(horizon=20), env_steps=2_000, result=UNMEASURED, tuned=False),
    ("mpc", "task:LQ"): Preset(MPC(num_steps=50, horizon=15), env_steps=500, result=UNMEASURED, tuned=False),
    ("pets", "task:CartPoleSwingUp"): Preset(PETS(), env_steps=2_000, result=UNMEASURED, tuned=False),
    ("pets", "gymnax:Pendulum-v1"): Preset(
        PETS(horizon=20, known=False), env_steps=1_200, result=UNMEASURED, tuned=False
    ),
}

KINDS: dict[Pair, Preset] = {}
