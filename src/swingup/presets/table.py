"""A preset is one row of a table, and a table is written like this."""

from typing import Any, NamedTuple

Pair = tuple[str, str]  # an algorithm, and an environment's full id or a kind of environment


class Preset(NamedTuple):
    """A preset has settings, the budget they were tuned for, and what they reached."""

    algo: Any
    env_steps: int  # env steps per seed
    result: str  # greedy evaluation: mean over seeds, and how many; or why there is none
    source: str = "the preset of this pair"
    tuned: bool = True  # measured on this pair, and it learns it

    @property
    def about(self) -> str:
        """Say what these settings are, in words."""
        return f"{self.source}, {'tuned' if self.tuned else 'not tuned'} ({self.result})"


def made(kind: Any, shared: dict[str, Any], **own: Any) -> Any:
    """Make an algorithm with the settings that a family shares, and its own."""
    return kind(**(shared | own))


def by(source: str, algo: Any, env_steps: int, about: str) -> Preset:
    """Make the preset of a kind of environment: settings of published work or of a sibling, which were not measured."""
    return Preset(algo, env_steps, f"not measured; {source}", f"the preset for {about}", tuned=False)


def game(source: str, algo: Any) -> Preset:
    """Make the preset of all Atari games."""
    return by(source, algo, 10_000_000, "Atari games")


def robot(algo: Any, env_steps: int = 1_000_000, source: str = "the settings of HalfCheetah") -> Preset:
    """Make the preset of all robots of MuJoCo's."""
    return by(source, algo, env_steps, "MuJoCo's robots")
