"""The command `track` sends what a run has logged to a tracker, now and in the order in which it came."""

from dataclasses import dataclass

from swingup.cli.flags import Run, parse
from swingup.errors import ConfigError, SwingupError
from swingup.tracking import trackers


@dataclass(frozen=True)
class TrackOptions:
    run: Run  # the run directory
    to: str  # tensorboard, wandb or trackio; several with commas between


def track(args: list[str]) -> None:
    """Send every row of metrics.csv to trackers."""
    o = parse(TrackOptions, "track", args)
    chosen = trackers(o.to, o.run)
    if not chosen:
        raise ConfigError("--to is empty: name a tracker such as tensorboard")
    from swingup.runs.logged import about, log_of

    told, points = about(o.run), log_of(o.run)
    if not points:
        raise ConfigError(f"{o.run} has no rows in metrics.csv yet: nothing can be sent")
    for tracker in chosen:
        try:
            tracker.start(told)
            for point in points:
                tracker.log(point)
            tracker.finish()
        except Exception as error:
            raise SwingupError(
                f"the tracker {tracker.name} has failed: {type(error).__name__}: {error}"
            ) from error
        print(f"sent {len(points)} points of {o.run} to {tracker.name}")
