"""Each fault that an environment can have comes with one message, and with what to do about it."""

from dataclasses import dataclass
from typing import Any

from swingup.errors import EnvironmentFault
from swingup.testing.game_faults import GAMES
from swingup.testing.notes import NOTES


@dataclass(frozen=True)
class Finding:
    """A finding is something that `check_env` found."""

    code: str
    where: str  # the part of the environment that it is about
    what: str
    cure: str
    note: bool = False  # worth knowing, and not a fault

    def __str__(self) -> str:
        return (
            f"{'note' if self.note else 'fault'}  {self.code}  ({self.where})\n  {self.what}\n  {self.cure}"
        )


# code: where, what (with fields to fill in), cure
FAULTS: dict[str, tuple[str, str, str]] = {
    "cannot-open": ("the environment", "it cannot be opened: {error}", "Change what the message names."),
    "attribute-missing": (
        "the environment",
        "it has no attribute {name!r}",
        "Give it what swingup.protocols.VecEnv lists, for a single environment Env.",
    ),
    "num-envs": (
        "num_envs",
        "num_envs says {says}, and reset returns {got} observations",
        "Return one observation for each environment, along the first axis.",
    ),
    "space-kind": (
        "{role}",
        "it is a {kind}{why}",
        "Use swingup.spaces.Box or Discrete; Gymnasium's Box and Discrete are converted.",
    ),
    "constructor-shares": (
        "the constructor",
        "called twice, it returned the same object",
        "Build a new environment in each call: the environments of one batch must not share state.",
    ),
    # --- what reset and step give back ---
    "reset-raises": ("reset", "it raised {error}", "Make reset(seed=...) or reset(key) work from any state."),
    "reset-seed": (
        "reset",
        "it takes no argument `seed`",
        "Write def reset(self, *, seed=None, options=None) and begin with super().reset(seed=seed).",
    ),
    "reset-returns": (
        "reset",
        "reset returned {got}",
        "Return two things: the observation and a dict or state.",
    ),
    "info": ("reset and step", "info is a {kind}", "Return a dict, if need be an empty one."),
    "step-raises": (
        "step",
        "it raised {error} in env step {time}, for the action {action}",
        "Accept every action of action_space, its bounds included, in every state that play reaches.",
    ),
    "step-returns": (
        "step",
        "step returned {got}",
        "Gymnasium: obs, reward, terminated, truncated, info (4 values with one `done` are gym's before 0.26). "
        "swingup: state, Transition or Step.",
    ),
    "action-changed": (
        "step",
        "it wrote into the action that it was given",
        "Copy the action before changing it: the policy's record of it must stay true.",
    ),
    "goal-reward": (
        "goal_reward",
        "it gives {got} for the goals of env step {time}, in which the reward was {want}",
        "Make reward a function of the achieved and the desired goal alone, the same in step and in goal_reward "
        "(Gymnasium: compute_reward), or train without hindsight.",
    ),
    "does-not-trace": (
        "{where}",
        "JAX cannot compile it: {error}",
        "Use jax.numpy and jnp.where or lax.cond instead of Python's if on arrays, and no NumPy in step.",
    ),
    "state-changes-type": (
        "step",
        "the state has {after} after step and {before} after reset",
        "Return the same structure, shapes and dtypes from both, or no loop over steps compiles.",
    ),
    "impure": (
        "step",
        "called twice with the same state, action and key, it gave two answers",
        "Keep everything that changes in the state, and draw with the key alone.",
    ),
    "limit-in-done": (
        "step_env",
        "its fourth value contains the time limit: {error}",
        "Leave the clock out of it, and say in is_truncated(state, params) whether the time is up.",
    ),
    "running-statistics": (
        "a wrapper",
        "it keeps statistics from episode to episode: {error}",
        "Take it away and train with normalise_obs=True or normalise_reward=True: these are saved with the run, and "
        "evaluations use them.",
    ),
    # --- shapes, types, values ---
    "obs-cast": (
        "observations",
        "a value would change on its way to the learner: {error}",
        "Declare the space with the dtype and the range of what reset and step return.",
    ),
    "reward-cast": (
        "rewards",
        "one is too large: {error}",
        "Scale rewards down: float32 ends at 3.4e38, and learning long before.",
    ),
    "flag-cast": (
        "terminated, truncated",
        "one is neither true nor false: {error}",
        "Return bool(...) in every env step, at an error too.",
    ),
    "obs-shape": (
        "observations",
        "the shape is {got}, the space says {want}",
        "Return arrays of the space's shape, or change observation_space.",
    ),
    "obs-dtype": (
        "observations",
        "the dtype is {got}, the space says {want}",
        "Cast in reset and in step, or change observation_space.",
    ),
    "obs-bounds": (
        "observations",
        "entries reach from {low:g} to {high:g}, outside of observation_space, first in env step {time}",
        "Widen the space or clip: what scales by the bounds relies on them.",
    ),
    "obs-nonfinite": (
        "observations",
        "an observation holds NaN or infinity, first in env step {time}",
        "Look for a division by zero or an overflow in the dynamics.",
    ),
    "reward-shape": (
        "rewards",
        "the shape is {got}, wanted is {want}",
        "Return one number for each environment.",
    ),
    "reward-type": ("rewards", "a reward is a {kind}", "Return a float."),
    "reward-dtype": ("rewards", "the dtype is {got}", "Return float32."),
    "reward-nonfinite": (
        "rewards",
        "a reward is NaN or infinite, first in env step {time}",
        "Bound the reward: a penalty that ends learning is not infinite.",
    ),
    "flag-type": ("terminated, truncated", "{name} is a {got}", "Return bool; NumPy's and JAX's will do."),
    "flag-shape": (
        "terminated, truncated",
        "{name} has shape {got}, wanted is {want}",
        "Return one for each environment.",
    ),
    # --- the same-step convention ---
    "both-ends": (
        "terminated, truncated",
        "both were true together, first in env step {time}",
        "Where the MDP ended, the clock does not matter: truncated & ~terminated.",
    ),
    "obs-jumps": (
        "Step.obs",
        "it differs from Step.next_obs though no episode ended, first in env step {time}",
        "Where an episode goes on, both are the successor.",
    ),
    "no-reset": (
        "Step.obs",
        "after an end it is still the last observation, first in env step {time}, and no reset follows",
        "Reset at once: Step.obs is the first observation of the new episode.",
    ),
    "dead-transition": (
        "Step",
        "an episode that ended in env step {time} is reset one step later, and that step's action is lost",
        "Reset in the step that ends the episode (Gymnasium: SAME_STEP or DISABLED), or the dead step is learnt from.",
    ),
    "final-obs-lost": (
        "Step.next_obs",
        "after an end it shows the new episode, first in env step {time}",
        "Keep the successor from before the reset: a time limit bootstraps from it.",
    ),
    "ep-length": (
        "Step.ep_length",
        "it is {got} and should be {want}, first in env step {time}",
        "Count env steps from 1, the current one included, and begin anew after each end.",
    ),
    "ep-return": (
        "Step.ep_return",
        "it is {got:g} and the rewards add up to {want:g}, first in env step {time}",
        "Add up raw rewards, the current one included, and begin anew after each end.",
    ),
    "overwritten": (
        "{name}",
        "an array that step returned changed during later steps",
        "Return copies: a rollout keeps what it is given.",
    ),
    # --- seeds ---
    "not-deterministic": (
        "reset",
        "the same key and actions gave another stream, first in env step {time}",
        "Draw from the key or self.np_random alone, and let nothing survive a reset with a seed.",
    ),
    "key-ignored": (
        "reset",
        "two keys gave the same stream, though the environments of one batch differ",
        "Seed from the key, or in Gymnasium from the argument `seed`.",
    ),
    "rows-equal": (
        "reset",
        "all environments of a batch give the same stream under the same actions",
        "Give each its own seed: equal copies are one environment's worth of experience.",
    ),
    "episodes-equal": (
        "reset",
        "each episode of an environment begins like its first, though other keys begin elsewhere",
        "Seed once: reset() without a seed goes on with the generator that it has.",
    ),
    **GAMES,
}


def finding(code: str, **values: Any) -> Finding:
    """Return the finding of this code, its message filled in."""
    where, what, cure = NOTES[code] if code in NOTES else FAULTS[code]
    return Finding(code, where.format(**values), what.format(**values), cure, code in NOTES)


def of_fault(fault: EnvironmentFault) -> Finding:
    """Return what training would stop on, as a finding: the message says what happened, the code what to do."""
    code = fault.code if fault.code in FAULTS else "cannot-open"
    where, what, cure = FAULTS[code]
    what = what.format(error=fault) if "{error}" in what and "-raises" not in code else str(fault)
    return Finding(code, "the environment" if "{" in where else where, what, cure)


def first_line(error: BaseException) -> str:
    """Return `TypeError: what it says`, without the rest of a long message."""
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
