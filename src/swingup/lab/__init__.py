"""A demonstration shows what theory says, small enough to watch: `swingup lab list`, `swingup lab NAME`.

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
    "discount": "a discount says how far to look ahead: below a threshold of γ the near reward is preferred",
    "gridworld": "value iteration on a gridworld, drawn with arrows: values spread from the goal, sweep by sweep",
    "contraction": "T* brings any two Q closer by γ: value iteration's error falls geometrically; another map does not",
    "solvers": "value iteration, policy iteration and linear programming find the same V*, at different prices",
    "bellman-error": "the mean-squared Bellman error is not 0 at Q* where transitions are random",
    "performance": "J of a policy is exact as a sum over trajectories, and lies within the interval of samples",
    "energy": "in the reward v - α|a|² the price of energy moves the best policy from fast to thrifty",
    # Learning values from experience
    "cliff": "on-policy SARSA walks the safe way round the cliff, off-policy Q-learning the short one along it",
    "maximisation-bias": "Q-learning is misled by its maximum over noise, double Q-learning is not",
    "td-lambda": "TD(λ) on a random walk is best between TD(0) and Monte Carlo",
    "exploration": "without exploration the goal of a chain is never found; ε-greedy, decayed, finds it",
    "replay": "DQN learns with a replay that mixes old transitions with new ones, and fails without",
    "target-network": "DQN keeps its senses with a target network that stands still, and loses them without",
    # Why Q-learning can break
    "fitted-iteration": "fitted value iteration diverges with least squares and converges with an averager",
    "no-loss": "semi-gradient Q-learning minimises no loss: its Jacobian is not symmetric, its field has a curl",
    "deadly-triad": "Baird's counterexample diverges with all three legs alone; and DQN's |Q| can exceed 1/(1-γ)",
    # Policy optimisation
    "gradient-forms": "four forms of the policy gradient have one mean and four variances",
    "past-rewards": "rewards of the past add variance to the policy gradient, and nothing to its mean",
    "baseline": "any baseline of the state leaves the gradient's mean as it is; one of the action does not",
    "stale-data": "data of another policy bias the gradient; importance weights repair it, and add variance",
    "value-regression": "least squares on rewards-to-go finds V; bootstrapped targets find it sooner",
    "n-step": "n-step advantages under a wrong V have less bias and more variance the larger n is",
    "gae": "GAE's λ trades bias for variance, and one λ in between loses least",
    "discounted-objective": "discounted values without γ^t follow the gradient of no function, and can turn round",
    "seeds": "two equal algorithms can look different with three seeds; intervals of 3, 10 and 30 say how much",
    # Planning
    "compounding-error": "a model that is nearly right for one env step is wrong after many, as the system stretches",
    "model-exploitation": "the harder a planner searches a learnt model, the more it is promised and does not get",
    "reward-head": "a reward learnt from data that hardly met its peak leaves a planner nothing to climb",
    "dreams": "a learnt world is dreamt beside the real one: it knows what actions do, and errors compound",
    "temperature": "what learns in certain dreams cheats them, and drives badly; uncertain dreams keep their promises",
    "value-expansion": "a noisy model ruins value expansion; STEVE weighs lengths by agreement, and comes right",
    "expert-iteration": "AlphaZero's planner makes fewer mistakes than its apprentice, and the apprentice follows",
    # Deep learning, as far as it is needed
    "two-layers": "a two-layer network's gradient is checked by differences, and gradient descent lowers its loss",
    "memory": "a task needs memory: LSTM and attention solve it, an MLP of the present cannot",
    "regulariser": "in L + λΩ a larger λ gives smaller weights, and less overfitting up to a point",
    "normalisation": "running statistics make training insensitive to each input's unit, layer norm to a common one",
    "adam": "without its bias correction Adam's first update is 3.2 times too long, its twelfth 6.6 times",
    "reparameterisation": "pathwise and score-function gradients have one mean; their variances part with dimension²",
}


def demonstrate(name: str, seed: int = 0) -> "Report":
    """Run one demonstration. Raises `ConfigError` for an unknown name."""
    if name not in LABS:
        raise ConfigError(unknown("demonstration", name, LABS))
    import matplotlib

    from swingup.plots.style import STYLE

    with matplotlib.rc_context(STYLE):
        return import_module(f"swingup.lab.{name.replace('-', '_')}").run(seed)


__all__ = ["LABS", "demonstrate"]
