"""A user's environment on the host is called here: what it raises is shown as the user's, and another API is named."""

import inspect
from collections.abc import Sequence
from typing import Any

from swingup.errors import EnvironmentFault

OLD = "that is the API of gym before 0.26"


def check_reset(answer: Any, name: str) -> Any:
    """Take the observation out of what `reset` returned. Raises `EnvironmentFault` where that is not `obs, info`."""
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict):
        return answer[0]
    if isinstance(answer, tuple) and len(answer) == 2:
        raise EnvironmentFault(
            f"{name}: reset returned a {type(answer[1]).__name__} as its second value, not a dict: return obs, {{}}",
            "info",
        )
    raise _other_reset(name, described(answer))


def check_steps(answers: Sequence[Any], name: str) -> None:
    """Raise `EnvironmentFault` where an answer of `step` is not the five values of Gymnasium's API."""
    for answer in answers:
        if not (isinstance(answer, tuple | list) and len(answer) == 5):
            raise _other_step(name, described(answer))
        if not isinstance(answer[4], dict):
            raise EnvironmentFault(f"{name}: info is a {type(answer[4]).__name__}: return a dict", "info")


def raised(name: str, call: str, error: Exception, where: str = "") -> EnvironmentFault:
    """Return the fault of an environment in which `call` raised; raise it from that error, whose traceback is theirs.

    A wrapper of Gymnasium's that finds too few or too many values in an answer has met another API.
    """
    text = str(error).strip()
    if "values to unpack" in text and _raised_in(error).startswith("gymnasium."):
        given = f"{text.partition('got ')[2].rstrip(')') or 'too many'} values"
        return _other_step(name, given) if call == "step" else _other_reset(name, given)
    return EnvironmentFault(
        f"{name}: {call} raised {type(error).__name__}{': ' if text else ''}{text}{where and f' ({where})'}",
        f"{call}-raises",
    )


def check_seed(env: Any, name: str) -> None:
    """Raise `EnvironmentFault` where `reset` of the environment or of a wrapper takes no seed."""
    layer = env
    while layer is not None:
        parameters = inspect.signature(layer.reset).parameters.values()
        if not any(p.name == "seed" or p.kind is p.VAR_KEYWORD for p in parameters):
            raise EnvironmentFault(
                f"{name}: reset of {type(layer).__name__} takes no argument `seed`: {OLD}; write "
                "def reset(self, *, seed=None, options=None) and begin with super().reset(seed=seed)",
                "reset-seed",
            )
        layer = getattr(layer, "env", None) if layer is not env.unwrapped else None


def _other_reset(name: str, got: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"{name}: reset returned {got}, not two: {OLD}; return obs, info", "reset-returns"
    )


def _other_step(name: str, got: str) -> EnvironmentFault:
    why = f": {OLD}, whose `done` does not tell a time limit from a death" if got == "4 values" else ""
    wanted = "obs, reward, terminated, truncated, info"
    return EnvironmentFault(f"{name}: step returned {got}{why}; return {wanted}", "step-returns")


def _raised_in(error: Exception) -> str:
    """Return the module in whose code the exception was raised."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "") if traceback is not None else ""


def described(answer: Any) -> str:
    return f"{len(answer)} values" if isinstance(answer, tuple) else f"a {type(answer).__name__}"
