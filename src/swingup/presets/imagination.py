"""These are the settings of I2A, which reads what a model imagines."""

from swingup.algos.i2a import I2A
from swingup.presets.table import Pair, Preset

UNMEASURED = "not measured yet"

PRESETS: dict[Pair, Preset] = {
    ("i2a", "task:PushBox"): Preset(I2A(), env_steps=1_000_000, result=UNMEASURED, tuned=False),
    ("i2a", "gymnax:Breakout-MinAtar"): Preset(I2A(), env_steps=1_000_000, result=UNMEASURED, tuned=False),
}

KINDS: dict[Pair, Preset] = {}
