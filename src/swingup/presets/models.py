"""These are the settings of MPC and PETS, which plan in a model, each with its measured result."""

from swingup.algos.mpc import MPC
from swingup.algos.pets import PETS
from swingup.presets.table import Pair, Preset

UNMEASURED = "not measured yet"

PRESETS: dict[Pair, Preset] = {
    ("mpc", "task:CartPoleSwingUp"): Preset(
        MPC(), env_steps=2_000, result="180 of 200, worst of 10 fixed starts 178", tuned=False
    ),
    ("mpc", "gymnax:Pendulum-v1"): Preset(
        MPC(horizon=20), env_steps=2_000, result="-154, mean of 50 fixed starts", tuned=False
    ),
    ("mpc", "task:LQ"): Preset(MPC(num_steps=50, horizon=15), env_steps=500, result=UNMEASURED, tuned=False),
    ("pets", "task:CartPoleSwingUp"): Preset(
        PETS(), env_steps=2_000, result="179 of 200, worst of 10 seeds 178; the reward is given", tuned=False
    ),
    ("pets", "gymnax:Pendulum-v1"): Preset(
        PETS(horizon=20, known=False),
        env_steps=1_200,
        result="-150, worst of 10 seeds -172; the reward is learnt",
        tuned=False,
    ),
}

KINDS: dict[Pair, Preset] = {}
