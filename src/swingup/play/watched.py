"""Environments on the host can be looked at while they play."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from swingup.envs.adapters.host import Answer, HostVec, Pool
from swingup.errors import ConfigError, EnvironmentFault, SwingupError


class Watched(Pool):
    """One row of this pool is looked at: when it is `due`, and at the end of an episode before it is reset."""

    def __init__(self, host: HostVec, picture: Callable[[int], Any] | None):
        self.pool: Pool = host.pool
        self.name, self.num_envs = self.pool.name, self.pool.num_envs
        self.observation_space, self.action_space = self.pool.observation_space, self.pool.action_space
        self.picture, self.row, self.due = picture, 0, True
        self.seen: np.ndarray | None = None
        host.pool = self

    def reset(self, start: int, seeds: list[int]) -> np.ndarray:
        obs = self.pool.reset(start, seeds)
        self.look()
        return obs

    def restart(self, rows: np.ndarray) -> np.ndarray:
        return self.pool.restart(rows)

    def step(self, start: int, action: np.ndarray) -> Answer:
        outcome = self.pool.step(start, action)
        if self.due or outcome.terminated[self.row] or outcome.truncated[self.row]:
            self.look()
        return outcome

    def look(self) -> None:
        """Ask for the picture. Raises `ConfigError` if a package for it is missing, `EnvironmentFault` if it fails."""
        if self.picture is None:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # an environment without a `render_mode` is asked all the same
                seen = self.picture(self.row)
        except NotImplementedError:
            seen = None
        except SwingupError:
            raise
        except Exception as error:
            if type(error).__name__ == "DependencyNotInstalled":
                raise ConfigError(f"{self.name} cannot be drawn: {error}") from None
            raise EnvironmentFault(
                f"{self.name} cannot be drawn: its render() raised {type(error).__name__}: {error}"
            ) from error
        newest = seen[-1] if isinstance(seen, list | tuple) and seen else seen
        self.seen = newest if isinstance(newest, np.ndarray) else None

    def close(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.pool.close()
