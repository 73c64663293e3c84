"""Settings of AlphaZero are kept here, for one game each."""

from typing import Any

from swingup.algos.alphazero import AlphaZero
from swingup.presets.table import Pair, Preset

BOARD: dict[str, Any] = {"lr_decay": True}

PRESETS: dict[Pair, Preset] = {
    ("alphazero", "pgx:tic_tac_toe"): Preset(
        AlphaZero(num_envs=32, hidden=(128, 128), opening=3, window=16_384, draws=4, batch_size=256, **BOARD),
        env_steps=81_920,
        result="no line of play lost in 5 seeds of 5; 31 to 40 wrong moves of 4,520 with search, 96 to 125 without",
        tuned=False,
    ),
    ("alphazero", "pgx:connect_four"): Preset(
        AlphaZero(hidden=(512, 512), lr=1e-3, window=262_144, **BOARD),
        env_steps=1_228_800,
        result="6.6 % mistakes on solved positions and 73 % against minimax:4 with 256 simulations, 1 seed",
        tuned=False,
    ),
}

KINDS: dict[Pair, Preset] = {}
