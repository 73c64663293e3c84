"""What a Gymnasium environment gives of itself as functions, its reward and its end, is found here."""

from typing import Any

import gymnasium
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from swingup.envs.known import Known

HARMLESS = TimeLimit, OrderEnforcing, PassiveEnvChecker  # they change no observation, no action and no reward


def given(env: gymnasium.Env) -> Known:
    """Return an environment's own `known_reward` and `known_end`, as `Env` describes them; nothing of most.

    Nothing is known where a wrapper lies around it that may change what is seen, done or earned.
    """
    layer: Any = env
    while isinstance(layer, gymnasium.Wrapper):
        if not isinstance(layer, HARMLESS):
            return Known()
        layer = layer.env
    return Known(getattr(layer, "known_reward", None), getattr(layer, "known_end", None))
