"""These are the settings of I2A, which reads what a model imagines."""

from swingup.algos.i2a import I2A
from swingup.presets.table import Pair, Preset

UNMEASURED = "not measured yet"

PRESETS: dict[Pair, Preset] = {
    ("i2a", "task:PushBox"): Preset(
        # Chosen for the arm without a model, but for the depth, which is the cheapest there is.
        I2A(num_envs=32, num_steps=10, depth=1, lr=2e-3, gamma=0.97, lam=0.95),
        env_steps=500_000,
        result="-1.7 in training, mean of 5 seeds; 7.9 with arm=exact, -2.0 model-free",
        tuned=False,
    ),
    ("i2a", "gymnax:Breakout-MinAtar"): Preset(I2A(), env_steps=1_000_000, result=UNMEASURED, tuned=False),
}

KINDS: dict[Pair, Preset] = {}
