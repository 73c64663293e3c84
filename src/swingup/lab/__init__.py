"""Demonstrations of what theory says, small enough to watch: `swingup lab list`, `swingup lab NAME`.

Each is a module here with a function `run(seed)` that returns a `Report`: a figure, its numbers, and claims. A
demonstration checks its own symptom: if the phenomenon does not appear, the command says so and exits with 1.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from swingup.errors import ConfigError, unknown

if TYPE_CHECKING:
    from swingup.lab.tools.report import Report

LABS = {  # {name: what it shows}; the module has the name with underscores
    # Returns, values and Bellman's equations
    "discount": "how far γ looks ahead: a discount below a threshold prefers the near reward",
    "gridworld": "value iteration on a gridworld, with arrows: the values spread from the goal, sweep by sweep",
    "contraction": "T* brings any two Q closer by γ; value iteration's error falls geometrically; a map that does not",
    "solvers": "value iteration, policy iteration and linear programming find the same V*, at different prices",
    "bellman-error": "the mean-squared Bellman error is not 0 at Q* where transitions are random",
    "performance": "J of a policy: exact, as a sum over trajectories, and within the interval of samples",
    "energy": "the reward v - α|a|²: the price of energy moves the best policy from fast to thrifty",
    # Learning values from experience
    "cliff": "on-policy SARSA walks the safe way round the cliff, off-policy Q-learning the short one along it",
    "maximisation-bias": "Q-learning's maximum over noise misleads it, double Q-learning's does not",
    "td-lambda": "TD(λ) on a random walk: neither TD(0) nor Monte Carlo is best",
    "exploration": "ε-greedy, decayed: without exploration the goal of a chain is never found",
    "replay": "DQN with and without a replay that mixes old transitions with new ones",
    "target-network": "DQN with and without a target network: what the copy that stands still is for",
    # Why Q-learning can break
    "fitted-iteration": "fitted value iteration: least squares diverges, an averager converges",
    "no-loss": "semi-gradient Q-learning minimises no loss: its Jacobian is not symmetric, its field has a curl",
    "deadly-triad": "Baird's counterexample with and without each leg, and DQN's bootstrap targets beyond 1/(1-γ)",
    # Policy optimisation
    "gradient-forms": "four forms of the policy gradient: one mean, four variances",
    "past-rewards": "rewards of the past add variance to the policy gradient, and nothing to its mean",
    "baseline": "any baseline of the state leaves the gradient's mean as it is; one of the action does not",
    "stale-data": "data of another policy bias the gradient; importance weights repair it, and add variance",
    "value-regression": "least squares on rewards-to-go finds V; bootstrapped targets find it sooner",
    "n-step": "n-step advantages under a wrong V: bias falls and variance rises with n",
    "gae": "GAE's λ between bias and variance, and the λ that loses least",
    "discounted-objective": "discounted values without γ^t: no gradient of any function, and one that can turn round",
    "seeds": "two equal algorithms can look different with three seeds; what intervals say with 3, 10 and 30",
    # Deep learning, as far as it is needed
    "two-layers": "a two-layer network, its gradient checked by differences, and gradient descent on a loss",
    "memory": "a task that needs memory: LSTM and attention solve it, an MLP of the present cannot",
    "regulariser": "L + λΩ: a larger λ gives smaller weights, and less overfitting up to a point",
    "normalisation": "running statistics make training insensitive to each input's unit, layer norm to a common one",
    "adam": "Adam without its bias correction: the first update is 3.2 times too long, the twelfth 6.6 times",
    "reparameterisation": "pathwise and score-function gradients: one mean; the variances' ratio grows with dimension²",
}


def demonstrate(name: str, seed: int = 0) -> "Report":
    """Run one demonstration. Raises `ConfigError` for an unknown name."""
    if name not in LABS:
        raise ConfigError(unknown("demonstration", name, LABS))
    import matplotlib

    from swingup.plots.curves import STYLE

    with matplotlib.rc_context(STYLE):
        return import_module(f"swingup.lab.{name.replace('-', '_')}").run(seed)


__all__ = ["LABS", "demonstrate"]
