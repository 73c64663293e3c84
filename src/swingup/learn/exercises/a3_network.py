"""Exercise a3 asks for the network of a Gaussian policy, with which PPO is trained then."""

import numpy as np

from swingup.learn.form import Case, Exercise

START = '''"""a3: the network of a Gaussian policy.

One hidden layer of H units with tanh, then a linear layer for the mean. The standard deviation does not depend on the
observation: its logarithm is a parameter.

    h = tanh(obs W1 + b1),   μ = h W2 + b2,   σ = exp(log_std)

When this is right, `swingup learn train a3` trains PPO with your network. There the very same text runs with
jax.numpy in the place of np. So work on whole arrays: write no loops, no `if` on numbers, and change no array
in place.
"""

import numpy as np


def policy(params, obs):
    """Return the mean and the standard deviation of the actions, for a batch of B observations.

    params   a dict of arrays: "W1" [O, H], "b1" [H], "W2" [H, D], "b2" [D], "log_std" [D]
    obs      [B, O]
    returns  mean [B, D] and std [B, D], as a tuple: the same std in every row

    With all weights 1, b1 = 0, b2 = 2, log_std = 0, one hidden unit and obs [[0], [1]], the mean is [[2], [2.762]].
    """
    raise NotImplementedError  # TODO
'''


def policy(params, obs):
    """Return mean and standard deviation: a hidden layer, a linear one, and an exponential."""
    h = np.tanh(obs @ params["W1"] + params["b1"])
    mean = h @ params["W2"] + params["b2"]
    return mean, np.exp(params["log_std"]) + np.zeros_like(mean)


def cases() -> dict[str, Case]:
    """Return the cases: the shown one, and random networks."""
    rng = np.random.default_rng(0)
    one = {
        "W1": np.ones((1, 1)),
        "b1": np.zeros(1),
        "W2": np.ones((1, 1)),
        "b2": np.full(1, 2.0),
        "log_std": np.zeros(1),
    }

    def random(b, o, h, d):
        shapes = {"W1": (o, h), "b1": (h,), "W2": (h, d), "b2": (d,), "log_std": (d,)}
        params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        return {"params": params, "obs": rng.normal(size=(b, o))}

    return {
        "shown": {"params": one, "obs": np.array([[0.0], [1.0]])},
        "small": random(1, 2, 3, 1),
        "wide": random(4, 3, 8, 2),
    }


def _net(params, obs, inner=np.tanh, last=True, first=True):
    h = inner(obs @ params["W1"] + (params["b1"] if first else 0))
    return h @ params["W2"] + (params["b2"] if last else 0)


def _std(params, mean, f=np.exp):
    return f(params["log_std"]) + np.zeros_like(mean)


def _with(mean_of, std_of=np.exp):
    def answer(params, obs):
        mean = mean_of(params, obs)
        return mean, _std(params, mean, std_of)

    return answer


EXERCISE = Exercise(
    title="the network of a Gaussian policy",
    page="course/key_concepts#policies",
    start=START,
    answer=policy,
    cases=cases,
    wrong={
        "tanh on the output keeps every mean between -1 and 1; the last layer is linear": _with(
            lambda p, obs: np.tanh(_net(p, obs))
        ),
        "there is no activation between the layers, so two layers are only one linear map": _with(
            lambda p, obs: _net(p, obs, lambda x: x)
        ),
        "this returns log σ, which may be negative; take its exponential": _with(_net, lambda x: x),
        "this is the variance σ²; the standard deviation is asked for": _with(_net, lambda x: np.exp(2 * x)),
        "b2 is never added, so a zero hidden layer can only mean 0": _with(
            lambda p, obs: _net(p, obs, last=False)
        ),
        "b1 is never added": _with(lambda p, obs: _net(p, obs, first=False)),
        "the hidden layer uses relu; tanh is asked for": _with(
            lambda p, obs: _net(p, obs, lambda x: np.maximum(x, 0))
        ),
        "σ has no rows: it is [D], and one row for each observation is asked for": lambda params, obs: (
            _net(params, obs),
            np.exp(params["log_std"]),
        ),
    },
    hints=(
        "Which values must the mean be able to reach? And which must σ never have?",
        "Two matrix products, each with its bias; tanh stands between them and nowhere else.",
        "h = np.tanh(obs @ W1 + b1); mean = h @ W2 + b2; std = np.exp(log_std) + np.zeros_like(mean).",
    ),
    trains="PPO on probe:ContinuousTarget with your network, where the best action is 2; about 20 seconds",
)
