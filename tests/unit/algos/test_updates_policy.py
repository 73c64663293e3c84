"""The whole `update` of A2C, VPG, PPO and TRPO is compared with slow loops in float64 from the papers' equations.

Each loop goes on by itself from one rollout to the next: what it keeps, a `Slow`, is made of a learner once, at the
beginning, and it never looks at one again. Its gradients are central differences, its statistics are sums over all
samples, and its optimisers, distributions and orders of minibatches are written out below. It takes the settings from
the library, `jax.random` from JAX, and the sums over rewards from VPG's tests.

The rollouts have in them what can go wrong: episodes that terminate, that are truncated and that go on at the end;
observations and rewards in units far from 1 and of another spread than the statistics know, some of them beyond the
clip; and, but for TRPO, a policy that acted which is not quite the learner's, so that log π_old has to be its own.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_ppo import ACTIONS, OBS, double, flat, mlp, network
from test_vpg import central_differences, slow_weights

from swingup.algos import a2c, ppo, trpo, vpg
from swingup.counters import counter
from swingup.distributions import Categorical, Normal
from swingup.normalise import Moments, RewardScale
from swingup.types import Rollout, Step

KINDS = list(ACTIONS)
T, N = 8, 3
PLAIN: dict[str, Any] = {"num_envs": N, "num_steps": T, "gamma": 0.9, "lam": 0.8, "hidden": (4,)}
PLAIN |= {"normalise_obs": True, "normalise_reward": True}
DECAY: dict[str, Any] = {"lr_decay": True, "lr_horizon": 8.0 * T * N}
CENTRE, SPREAD = np.array([100.0, -0.05, 3.0]), np.array([30.0, 0.02, 1.0])  # of observations
BEGUN = 3  # updates before the first one here: a decaying learning rate is at 5/8


# --- What is kept from one rollout to the next


class Sums(NamedTuple):
    """The number of all samples, their sum and the sum of their squares."""

    count: int
    total: Any
    squares: Any

    @property
    def mean(self) -> Any:
        return self.total / self.count

    @property
    def var(self) -> Any:
        return self.squares / self.count - self.mean**2

    def add(self, samples: np.ndarray) -> "Sums":
        """With samples [B, ...] more."""
        count = self.count + len(samples)
        return Sums(count, self.total + samples.sum(0), self.squares + (samples**2).sum(0))


class Trace(NamedTuple):
    """What an optimiser remembers: the number of its gradient steps, and the running means of g and g²."""

    count: int
    mu: np.ndarray
    nu: np.ndarray


class Slow(NamedTuple):
    """What a learner should be, in float64."""

    net: Any
    trace: Trace
    value_trace: Trace  # of the critic's own optimiser, where there is one
    iteration: int
    obs: Sums
    returns: Sums  # of the discounted returns so far
    running: np.ndarray  # [N] the last of them


def begin(kind: str) -> tuple[Any, dict[str, Any], Slow]:
    """(network, what every learner has besides it and the optimisers, the same in float64)."""
    net: Any = network(kind)
    seen: Any = np.int32(40), (0.7 * CENTRE).astype(np.float32), (SPREAD**2 / 2).astype(np.float32)
    earned: Any = np.int32(40), np.float32(-30.0), np.float32(1e4)
    running: Any = np.array([50.0, -400.0, 250.0], np.float32)
    fields = {
        "iteration": counter(BEGUN),
        "obs_moments": Moments(*seen),
        "reward_scale": RewardScale(Moments(*earned), running),
    }

    def sums(count: Any, mean: Any, var: Any) -> Sums:
        mean, var = np.float64(mean), np.float64(var)
        return Sums(int(count), count * mean, count * (var + mean**2))

    trace, value_trace = (Trace(0, 0 * flat(x), 0 * flat(x)) for x in (net, net.critic))
    slow = Slow(double(net), trace, value_trace, BEGUN, sums(*seen), sums(*earned), double(running))
    return net, fields, slow


def see(slow: Slow, obs: np.ndarray) -> np.ndarray:
    """Observations as the networks get them."""
    return np.clip((obs - slow.obs.mean) / np.sqrt(slow.obs.var + 1e-8), -10, 10)


def after_rollout(slow: Slow, rollout: Rollout, gamma: float) -> Slow:
    """Each sample has been counted once, as it came; a return begins anew where an episode has ended."""
    running, returns = slow.running.copy(), []
    done = rollout.step.terminated | rollout.step.truncated
    for t in range(T):
        for n in range(N):
            running[n] = rollout.step.reward[t, n] + gamma * running[n]
            returns.append(running[n])
            running[n] = 0.0 if done[t, n] else running[n]
    return slow._replace(
        obs=slow.obs.add(double(rollout.obs).reshape(T * N, OBS)),
        returns=slow.returns.add(np.array(returns)),
        running=running,
        iteration=slow.iteration + 1,
    )


# --- Distributions, optimisers, minibatches

Pi = tuple[Any, Any]  # logits and None, or a mean and log σ


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def log_prob(pi: Pi, action: Any) -> np.ndarray:
    output, log_std = pi
    if log_std is None:
        return np.take_along_axis(log_softmax(output), action[..., None], -1)[..., 0]
    z = (action - output) / np.exp(log_std)
    return np.sum(-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi), -1)


def mean_entropy(pi: Pi) -> float:
    output, log_std = pi
    if log_std is None:
        return -np.mean(np.sum(np.exp(log_softmax(output)) * log_softmax(output), -1))
    return np.sum(log_std + 0.5 * np.log(2 * np.pi * np.e))


def policy(net: Any, obs: np.ndarray) -> Pi:
    return mlp(net.actor.layers, obs), net.log_std


def value_of(critic: Any, obs: np.ndarray) -> np.ndarray:
    return mlp(critic.layers, obs)[..., 0]


def adam(trace: Trace, g: np.ndarray, lr: float) -> tuple[Trace, np.ndarray]:
    """Kingma & Ba 2015, algorithm 1, with ε = 1e-5: (what it remembers, what is subtracted)."""
    count, mu, nu = trace.count + 1, 0.9 * trace.mu + 0.1 * g, 0.999 * trace.nu + 0.001 * g**2
    step = lr * (mu / (1 - 0.9**count)) / (np.sqrt(nu / (1 - 0.999**count)) + 1e-5)
    return Trace(count, mu, nu), step


def rmsprop(trace: Trace, g: np.ndarray, lr: float) -> tuple[Trace, np.ndarray]:
    """TensorFlow 1's: the running mean of g² begins at 1, and ε is inside the root."""
    nu = 0.99 * (trace.nu if trace.count else 1.0) + 0.01 * g**2
    return Trace(trace.count + 1, trace.mu, nu), lr * g / np.sqrt(nu + 1e-5)


def shortened(g: np.ndarray, longest: float) -> np.ndarray:
    return g * min(1.0, longest / np.sqrt(np.sum(g**2)))


def rate(algo: Any, slow: Slow) -> float:
    """The learning rate of this update: it falls linearly with the env steps before it."""
    return algo.lr * max(0.0, 1 - slow.iteration * T * N / algo.lr_horizon) if algo.lr_decay else algo.lr


def plus(net: Any, change: np.ndarray) -> Any:
    """The network with its weights changed; `change` is in the order of `flat`."""
    leaves, tree = jax.tree.flatten(net)
    pieces = np.split(change, np.cumsum([x.size for x in leaves])[:-1])
    return jax.tree.unflatten(tree, [x + d.reshape(x.shape) for x, d in zip(leaves, pieces, strict=True)])


def with_critic(net: Any, critic: Any) -> Any:
    return eqx.tree_at(lambda net: net.critic, net, critic)


def shuffled(key: Any, count: int) -> list[np.ndarray]:
    """Which samples each minibatch has: random words are sorted whose low bits hold the index."""
    low = 31  # the five bits of 24 samples
    words = np.asarray(jax.random.bits(key, (T * N,), np.uint32)).astype(np.int64)
    return np.split(np.sort(words // (low + 1) * (low + 1) + np.arange(T * N)) & low, count)


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / (x.std() + 1e-8)


# --- Rollouts


def ends(i: int) -> tuple[Any, Any]:
    """(terminated, truncated) of rollout i: both happen within it and in its last row, where one episode goes on."""
    terminated, truncated = np.zeros((2, T, N), bool)
    terminated[1, 0] = truncated[5, 0] = truncated[3, 1] = terminated[-1, 1] = truncated[-1, 2] = True
    return np.roll(terminated, i, 1), np.roll(truncated, i, 1)


def observations(rng: np.random.Generator, *lead: int) -> np.ndarray:
    return (CENTRE + SPREAD * rng.normal(size=(*lead, OBS))).astype(np.float32)


def acting(rng: np.random.Generator, slow: Slow, obs: np.ndarray, exact: bool) -> tuple[Any, Any]:
    """(π_old [T, N], its actions), of the learner's policy if `exact`, else of one near it.

    All rows share one log σ, but those near it have one each, [T, D]; the exact one is of full shape, as TRPO has it.
    """
    output, log_std = policy(slow.net, see(slow, double(obs)))
    output = (output + (0 if exact else 0.2 * rng.normal(size=output.shape))).astype(np.float32)
    if log_std is None:
        return Categorical(output), np.argmax(output + rng.gumbel(size=output.shape), -1)
    log_std = (log_std + (0 if exact else 0.1 * rng.normal(size=(T, 1)))) * np.ones((T, 1))
    log_std = log_std.astype(np.float32)
    wide: Any = np.broadcast_to(log_std[:, None], output.shape)
    action = (output + np.exp(wide) * rng.normal(size=output.shape)).astype(np.float32)
    return Normal(output, wide if exact else log_std), action


def distribution(pi: Any) -> Pi:
    """A rollout's π_old in float64."""
    if isinstance(pi, Categorical):
        return double(pi.logits), None
    log_std = double(pi.log_std)
    return double(pi.mean), log_std[:, None] if log_std.ndim == 2 else log_std


def rollouts(
    rng: np.random.Generator, slow: Slow, i: int, first: np.ndarray, kept: str = "logp"
) -> Iterator[Rollout]:
    """Draws of rollout i, from observations `first` on. What is `kept` of who acted is log π, "pi" or "exact pi"."""
    terminated, truncated = ends(i)
    for _ in range(200):
        next_obs, begins = observations(rng, T, N), observations(rng, T, N)
        next_obs[4, i % N, 1] = slow.obs.mean[1] + 15 * np.sqrt(slow.obs.var[1])  # beyond the clip
        after = np.where((terminated | truncated)[..., None], begins, next_obs)
        obs = np.concatenate([first[None], after[:-1]])
        reward: Any = (100 + 300 * rng.normal(size=(T, N))).astype(np.float32)
        reward[6, i % N] = 15 * np.sqrt(slow.returns.var)
        pi, action = acting(rng, slow, obs, kept == "exact pi")
        extras = log_prob(distribution(pi), action).astype(np.float32) if kept == "logp" else pi
        nobody_reads: Any = np.full((T, N), np.nan)
        step = Step(after, next_obs, reward, terminated, truncated, nobody_reads, nobody_reads)
        yield Rollout(obs, action, extras, step)


class Data(NamedTuple):
    """A rollout [T, N, ...] as the losses get it, or some samples of one."""

    obs: Any
    action: Any
    logp_old: Any
    adv: Any
    target: Any
    value: Any

    def at(self, index: Any) -> "Data":
        return Data(*(x[index] for x in self))

    def samples(self) -> "Data":
        return Data(*(x.reshape(T * N, *x.shape[2:]) for x in self))


def prepared(algo: Any, slow: Slow, rollout: Rollout) -> Data:
    """Everything as the statistics from before this rollout have it."""
    reward = np.clip(double(rollout.step.reward) / np.sqrt(slow.returns.var + 1e-8), -10, 10)
    scaled = rollout._replace(step=rollout.step._replace(reward=reward))
    is_vpg, extras = isinstance(algo, vpg.VPG), rollout.extras
    how = algo if is_vpg else vpg.VPG(gamma=algo.gamma, lam=algo.lam)
    weights, value = slow_weights(how, slow.net, scaled, lambda obs: see(slow, obs))
    target = weights["reward_to_go"] if is_vpg else weights["gae"] + value
    known = isinstance(extras, np.ndarray)
    logp_old = double(extras) if known else log_prob(distribution(extras), rollout.action)
    obs = see(slow, double(rollout.obs))
    return Data(obs, rollout.action, logp_old, weights[how.weight], target, value)


def explained_variance(b: Data) -> float:
    return float(1 - np.var(b.target - b.value) / np.var(b.target))


def log_ratio(net: Any, b: Data) -> np.ndarray:
    return log_prob(policy(net, b.obs), b.action) - b.logp_old


def k3(log_ratio: np.ndarray) -> float:
    return float(np.mean(np.exp(log_ratio) - 1 - log_ratio))


def diagnosed(net: Any, b: Data) -> dict[str, Any]:
    """What A2C and VPG report of the policy after the update, at every fourth env step."""
    some = b.at(np.s_[::4])
    found = {"entropy": mean_entropy(policy(net, some.obs)), "kl": k3(log_ratio(net, some))}
    return found | {"explained_variance": explained_variance(b)}


# --- Comparisons


class Found(NamedTuple):
    """What a slow update returns."""

    slow: Slow
    metrics: dict[str, Any]
    info: Any = None  # for the tests to see what they have tested


class Case(NamedTuple):
    """What an update gets."""

    algo: Any
    rollout: Rollout
    key: Any = None


def parts(net: Any) -> dict[str, np.ndarray]:
    found = {"actor": flat(net.actor), "critic": flat(net.critic)}
    return found if net.log_std is None else found | {"log_std": flat(net.log_std)}


def changes(after: Any, before: Any) -> dict[str, np.ndarray]:
    old = parts(before)
    return {name: x - old[name] for name, x in parts(after).items()}


def steady(update: Callable[..., Found], slow: Slow, cases: Iterable[Case]) -> tuple[Case, Found]:
    """The first case in which rounding cannot show, and what it comes to; what moves at all moves visibly.

    Where a ratio is at the border of a clip, a KL divergence at its bound, or a gradient so near to 0 that Adam makes a
    step of its rounding errors, float32 and float64 may part, and both be right. There weights and rewards that are
    wrong by a millionth make another update.
    """
    rng = np.random.default_rng(9)

    def wrong(x: np.ndarray) -> np.ndarray:
        return x + 1e-6 * rng.normal(size=x.shape) * x

    weights = flat(slow.net)
    other = slow._replace(net=plus(slow.net, wrong(weights) - weights))
    for case in cases:
        found = update(case.algo, slow, case.rollout, case.key)
        step = case.rollout.step
        rollout = case.rollout._replace(step=step._replace(reward=wrong(double(step.reward))))
        apart = changes(update(case.algo, other, rollout, case.key).slow.net, other.net)
        right = changes(found.slow.net, slow.net)
        sizes = {name: np.abs(x).max() for name, x in right.items()}
        steady = all(np.abs(apart[name] - x).max() <= 2e-4 * sizes[name] + 1e-9 for name, x in right.items())
        if steady and not any(0 < size < 1e-3 for size in sizes.values()):
            return case, found
    raise AssertionError("rounding shows in all cases")


def close(got: Any, expected: Any, tolerance: float, name: str = "") -> None:
    """Each entry is right to a part of the largest one; so where all should be zeros, all are."""
    atol = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol, err_msg=name)


def remembers(state: Any, trace: Trace) -> None:
    """An optimiser has seen these gradients, and no others."""
    close(optax.tree_utils.tree_get(state, "nu"), trace.nu, 5e-4, "nu")
    if trace.mu.any():  # RMSprop has neither
        close(optax.tree_utils.tree_get(state, "mu"), trace.mu, 5e-4, "mu")
        assert int(optax.tree_utils.tree_get(state, "count")) == trace.count


def check(learner: Any, before: Any, metrics: Any, found: Found, slow: Slow, still: tuple = ()) -> None:
    """All that an update returns but its optimisers: weights by how they changed, statistics, counter, metrics.

    Each part of the network has changed, but for those that keep `still`.
    """
    expected = changes(found.slow.net, slow.net)
    for name, x in changes(learner.params, before.params).items():
        assert expected[name].any() == (name not in still), name
        close(x, expected[name], 5e-4, name)
    assert int(learner.iteration) == found.slow.iteration
    moments = learner.obs_moments, learner.reward_scale.moments
    for m, sums in zip(moments, (found.slow.obs, found.slow.returns), strict=True):
        assert int(m.count) == sums.count
        np.testing.assert_allclose((m.mean - sums.mean) / np.sqrt(sums.var), 0 * sums.mean, atol=1e-5)
        np.testing.assert_allclose(m.var, sums.var, rtol=1e-4)
    close(learner.reward_scale.running, found.slow.running, 1e-5)
    assert np.count_nonzero(found.slow.running) == 1  # the episode that goes on
    assert metrics.keys() == found.metrics.keys()
    for name, x in found.metrics.items():
        atol = 1e-4 if "loss" in name else 1e-5  # the advantages of a loss are near 1, and its value may be 0
        np.testing.assert_allclose(metrics[name], x, rtol=1e-3, atol=atol, err_msg=name)


# --- A2C


def a2c_loss(algo: a2c.A2C, net: Any, b: Data) -> dict[str, Any]:
    """Mnih et al. 2016, section 4. The "loss" is what is minimised."""
    pi, adv = policy(net, b.obs), standardised(b.adv) if algo.normalise_adv else b.adv
    l_policy = -np.mean(log_prob(pi, b.action) * adv)
    l_value = np.mean((value_of(net.critic, b.obs) - b.target) ** 2)
    loss = l_policy + algo.c_value * l_value - algo.c_entropy * mean_entropy(pi)
    return {"loss": loss, "loss/policy": l_policy, "loss/value": l_value}


def slow_a2c(algo: a2c.A2C, slow: Slow, rollout: Rollout, _: Any) -> Found:
    """One gradient step; the info is the gradient's norm."""
    data = prepared(algo, slow, rollout)
    g = central_differences(lambda net: a2c_loss(algo, net, data)["loss"], slow.net)
    rule = adam if algo.optim == "adam" else rmsprop
    trace, step = rule(slow.trace, shortened(g, algo.max_grad_norm), rate(algo, slow))
    net, metrics = plus(slow.net, -step), a2c_loss(algo, slow.net, data)
    del metrics["loss"]
    slow = after_rollout(slow, rollout, algo.gamma)._replace(net=net, trace=trace)
    return Found(slow, metrics | diagnosed(net, data), np.linalg.norm(g))


@pytest.mark.parametrize("optim", a2c.OPTIMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a2cs_update_is_the_slow_loops(kind: str, optim: str) -> None:
    """Twice, with a decaying learning rate; the gradient is longer than its limit in the first update alone."""
    net, fields, slow = begin(kind)
    how = DECAY | {"c_value": 0.1, "c_entropy": 0.3, "optim": optim, "normalise_adv": kind == "continuous"}
    algo, rng = a2c.A2C(**PLAIN, **how), np.random.default_rng(0)
    learner: Any = a2c.Learner(net, algo.optimizer(jnp.int32(0)).init(net), **fields)
    first = observations(rng, N)
    for i, (longest, lr) in enumerate(((0.2, 1.0), (1e3, 0.05))):
        algo = replace(algo, max_grad_norm=longest, lr=0.05 if optim == "adam" else lr)
        draws = (Case(algo, rollout) for rollout in rollouts(rng, slow, i, first))
        case, found = steady(slow_a2c, slow, draws)
        assert (found.info > longest) == (i == 0)
        before = learner
        learner, metrics = algo.update(before, case.rollout)
        check(learner, before, metrics, found, slow)
        remembers(learner.opt_state, found.slow.trace)
        slow, first = found.slow, case.rollout.step.obs[-1]


# --- VPG


def vpg_loss(algo: vpg.VPG, net: Any, b: Data) -> float:
    """Its gradient is minus the policy gradient."""
    adv = standardised(b.adv) if algo.normalise_adv else b.adv
    return -float(np.mean(log_prob(policy(net, b.obs), b.action) * adv))


def fit(critic: Any, trace: Trace, b: Data, lr: float) -> tuple[Any, Trace, float]:
    """One step of Adam on the mean of (V - target)²: (the critic, what Adam remembers, the loss before it)."""

    def loss(critic: Any) -> float:
        return np.mean((value_of(critic, b.obs) - b.target) ** 2)

    trace, step = adam(trace, central_differences(loss, critic), lr)
    return plus(critic, -step), trace, loss(critic)


def slow_vpg(algo: vpg.VPG, slow: Slow, rollout: Rollout, _: Any) -> Found:
    """One step of the policy, and `value_epochs` of V on its own."""
    data = prepared(algo, slow, rollout)
    g = central_differences(lambda net: vpg_loss(algo, net, data), slow.net)
    trace, step = adam(slow.trace, g, algo.lr)
    critic, value_trace, losses = slow.net.critic, slow.value_trace, []
    for _ in range(algo.value_epochs):
        critic, value_trace, loss = fit(critic, value_trace, data, algo.value_lr)
        losses.append(loss)
    net = with_critic(plus(slow.net, -step), critic)
    metrics = {"loss/policy": vpg_loss(algo, slow.net, data), "loss/value": np.mean(losses)}
    slow = after_rollout(slow, rollout, algo.gamma)._replace(net=net, trace=trace, value_trace=value_trace)
    return Found(slow, metrics | diagnosed(net, data))


@pytest.mark.parametrize("weight", vpg.WEIGHTS)
def test_vpgs_update_is_the_slow_loops(weight: str) -> None:
    """Twice, with each Ψ, as it is or standardised; V follows the reward-to-go, whatever Ψ is."""
    number = vpg.WEIGHTS.index(weight)
    net, fields, slow = begin(KINDS[number % 2])
    how: Any = {"n": 2, "normalise_adv": number % 4 > 1, "value_epochs": 3, "lr": 0.04, "value_lr": 0.07}
    algo = vpg.VPG(**PLAIN, **how, weight=weight)
    rng = np.random.default_rng(1)
    states = algo.optimizer(1.0).init(net), algo.optimizer(1.0).init(net.critic)
    learner: Any = vpg.Learner(net, *states, **fields)
    first = observations(rng, N)
    for i in range(2):
        draws = (Case(algo, rollout) for rollout in rollouts(rng, slow, i, first))
        case, found = steady(slow_vpg, slow, draws)
        before = learner
        learner, metrics = algo.update(before, case.rollout)
        check(learner, before, metrics, found, slow)
        remembers(learner.opt_state, found.slow.trace)
        remembers(learner.value_opt_state, found.slow.value_trace)
        slow, first = found.slow, case.rollout.step.obs[-1]


# --- PPO


def ppo_loss(algo: ppo.PPO, net: Any, b: Data) -> dict[str, Any]:
    """Schulman et al. 2017, eq. 7 and 9, of a minibatch. The "loss" is what is minimised."""
    adv, value, log_ratios = standardised(b.adv), value_of(net.critic, b.obs), log_ratio(net, b)
    ratio = np.exp(log_ratios)
    surrogate = np.minimum(ratio * adv, np.clip(ratio, 1 - algo.clip, 1 + algo.clip) * adv)
    square = (value - b.target) ** 2
    if algo.clip_value:
        near = np.clip(value, b.value - algo.clip, b.value + algo.clip)
        square = np.maximum(square, (near - b.target) ** 2)
    l_policy, l_value, bonus = -surrogate.mean(), square.mean(), mean_entropy(policy(net, b.obs))
    loss = l_policy + algo.c_value * l_value - algo.c_entropy * bonus
    found = {"loss/policy": l_policy, "loss/value": l_value, "entropy": bonus, "kl": k3(log_ratios)}
    return found | {"loss": loss, "clipped": np.mean(np.abs(ratio - 1) > algo.clip)}


class Steps(NamedTuple):
    """What happened in an update of PPO."""

    kls: list[float]  # of each minibatch
    taken: list[bool]  # whether it made a gradient step
    clipped: list[float]  # its part whose ratio was beyond the clip
    norms: list[float]  # of each gradient step's gradient


def slow_ppo(algo: ppo.PPO, slow: Slow, rollout: Rollout, key: Any) -> Found:
    """Epochs of minibatches; the first with too large a KL divergence, and all after it, change nothing.

    The averages that are reported are over all of them.
    """
    data, lr = prepared(algo, slow, rollout), rate(algo, slow)
    net, trace, steps, found, going = slow.net, slow.trace, Steps([], [], [], []), [], True
    for k in jax.random.split(key, algo.epochs):
        for index in shuffled(k, algo.num_minibatches):
            b = data.samples().at(index)
            now = ppo_loss(algo, net, b)
            going = going and (algo.target_kl is None or now["kl"] <= 1.5 * algo.target_kl)
            found.append(now)
            steps.kls.append(now["kl"])
            steps.clipped.append(now["clipped"])
            steps.taken.append(going)
            if going:
                g = central_differences(lambda net, b=b: ppo_loss(algo, net, b)["loss"], net)
                steps.norms.append(float(np.linalg.norm(g)))
                trace, step = adam(trace, shortened(g, algo.max_grad_norm), lr)
                net = plus(net, -step)
    metrics = {name: np.mean([x[name] for x in found]) for name in ("loss/policy", "loss/value", "entropy")}
    moved = log_ratio(net, data.at(np.s_[::4]))
    metrics |= {"kl": k3(moved), "clip_fraction": np.mean(np.abs(np.exp(moved) - 1) > algo.clip)}
    metrics["explained_variance"] = explained_variance(data)
    slow = after_rollout(slow, rollout, algo.gamma)._replace(net=net, trace=trace)
    return Found(slow, metrics, steps)


def stopped(slow: Slow, cases: Iterable[Case]) -> Iterator[Case]:
    """With a `target_kl` that ends the update midway, though a later minibatch is within it again."""
    for algo, rollout, key in cases:
        kls = slow_ppo(algo, slow, rollout, key).info.kls
        for j in range(2, len(kls)):
            highest = max(kls[:j])
            target = (kls[j] + highest) / 3  # the bound, which is 1.5 times this, is halfway
            if kls[j] > 1.1 * highest:
                bounded = Case(replace(algo, target_kl=target), rollout, key)
                if min(slow_ppo(bounded.algo, slow, rollout, key).info.kls[j:]) < 1.4 * target:
                    yield bounded


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bounded", [False, True])
def test_ppos_update_is_the_slow_loops_C5(kind: str, bounded: bool) -> None:
    """Twice three epochs of three minibatches, with a decaying learning rate; gradients are clipped in the first alone.

    When it is bounded, V is clipped too, and `target_kl` ends the first update midway and the second not at all.
    """
    net, fields, slow = begin(kind)
    how = DECAY | {"epochs": 3, "num_minibatches": 3, "lr": 0.04, "clip": 0.15, "c_value": 0.3}
    algo, rng = ppo.PPO(**PLAIN, **how, c_entropy=0.3, clip_value=bounded), np.random.default_rng(2)
    learner: Any = ppo.Learner(net, algo.optimizer(jnp.int32(0)).init(net), **fields)
    first = observations(rng, N)
    for i, longest in enumerate((0.5, 1e3)):
        algo = replace(algo, max_grad_norm=longest, target_kl=100.0 if bounded else None)
        key = jax.random.key(i)
        draws = (Case(algo, rollout, key) for rollout in rollouts(rng, slow, i, first, "pi"))
        case, found = steady(slow_ppo, slow, stopped(slow, draws) if bounded and i == 0 else draws)
        assert (max(found.info.norms) > longest) == (i == 0)
        assert all(found.info.taken) == (not bounded or i == 1)
        assert 0 < np.mean(found.info.clipped) < 1
        before = learner
        learner, metrics = case.algo.update(before, case.rollout, key)
        check(learner, before, metrics, found, slow)
        remembers(learner.opt_state, found.slow.trace)
        slow, first = found.slow, case.rollout.step.obs[-1]


# --- TRPO


def divergence(net: Any, b: Data, old: Pi) -> float:
    """The mean of KL(old || new), by its formulas."""
    (output, log_std), (output_old, log_std_old) = policy(net, b.obs), old
    if log_std is None:
        logs, logs_old = log_softmax(output), log_softmax(output_old)
        return np.mean(np.sum(np.exp(logs_old) * (logs_old - logs), -1))
    square = np.exp(2 * log_std_old) + (output_old - output) ** 2
    return np.mean(np.sum(log_std - log_std_old + square / (2 * np.exp(2 * log_std)) - 0.5, -1))


def surrogate(net: Any, b: Data) -> float:
    """Schulman et al. 2015, eq. 14: what is maximised."""
    return float(np.mean(np.exp(log_ratio(net, b)) * standardised(b.adv)))


def fisher(net: Any, b: Data) -> np.ndarray:
    """The mean of score times score' over observations and actions [P, P]: its entries for the critic are zeros."""
    output, log_std = policy(net, b.obs)
    if log_std is None:
        scores = central_differences(lambda net: log_softmax(policy(net, b.obs)[0]), net)
        return np.einsum("tna,ptna,qtna->pq", np.exp(log_softmax(output)), scores, scores) / (T * N)
    slopes = central_differences(lambda net: policy(net, b.obs)[0], net)
    own = central_differences(lambda net: net.log_std, net)
    of_mean = np.einsum("d,ptnd,qtnd->pq", np.exp(-2 * log_std), slopes, slopes) / (T * N)
    return of_mean + 2 * own @ own.T


def krylov(matrix: np.ndarray, g: np.ndarray, iterations: int, tolerance: float) -> tuple[np.ndarray, int]:
    """(what conjugate gradient finds, after how many iterations): the minimum of x'Ax/2 - g'x over few directions.

    They are g, A g, A² g, ...: one in each iteration more, until |A x - g| is at most `tolerance` |g|.
    """
    basis, x = np.zeros((len(g), 0)), np.zeros_like(g)
    for k in range(iterations):
        if np.linalg.norm(matrix @ x - g) <= tolerance * np.linalg.norm(g):
            return x, k
        new = matrix @ basis[:, -1] if k else g
        for _ in range(2):  # once leaves rounding errors
            new = new - basis @ (basis.T @ new)
        basis = np.column_stack([basis, new / np.linalg.norm(new)])
        x = basis @ np.linalg.solve(basis.T @ matrix @ basis, basis.T @ g)
    return x, iterations


class Way(NamedTuple):
    """Where conjugate gradient says the policy should go."""

    x: np.ndarray
    curvature: float  # x'Ax
    residual: float
    iterations: int


def way_of(algo: trpo.TRPO, net: Any, b: Data) -> Way:
    g = central_differences(lambda net: surrogate(net, b), net)
    matrix = fisher(net, b) + algo.damping * np.eye(len(g))
    x, iterations = krylov(matrix, g, algo.cg_iterations, algo.cg_tolerance)
    return Way(
        x, float(x @ matrix @ x), float(np.linalg.norm(matrix @ x - g) / np.linalg.norm(g)), iterations
    )


class Ascent(NamedTuple):
    """One step of TRPO's policy."""

    net: Any
    length: float
    way: Way
    tried: list[
        tuple[float, float]
    ]  # of each length: how far the surrogate rose, and which part of δ was left


def ascend(algo: trpo.TRPO, net: Any, b: Data, old: Pi, way: Way) -> Ascent:
    """Appendix C: the first length on the list with which the surrogate rises within the bound."""
    step, before, tried = np.sqrt(2 * algo.delta / way.curvature) * way.x, surrogate(net, b), []
    if not algo.line_search:
        return Ascent(plus(net, step), 1.0, way, tried)
    for j in range(algo.backtracks):
        length = algo.shrink**j
        new = plus(net, length * step)
        tried.append((surrogate(new, b) - before, 1 - divergence(new, b, old) / algo.delta))
        if min(tried[-1]) > 0:
            return Ascent(new, length, way, tried)
    return Ascent(net, 0.0, way, tried)


def slow_trpo(algo: trpo.TRPO, slow: Slow, rollout: Rollout, key: Any) -> Found:
    """The step of the policy, and epochs of minibatches for V on its own; the info is the `Ascent`."""
    data, old = prepared(algo, slow, rollout), distribution(rollout.extras)
    ascent = ascend(algo, slow.net, data, old, way_of(algo, slow.net, data))
    critic, trace, losses = slow.net.critic, slow.value_trace, []
    for k in jax.random.split(key, algo.value_epochs):
        for index in shuffled(k, algo.num_minibatches):
            critic, trace, loss = fit(critic, trace, data.samples().at(index), algo.lr)
            losses.append(loss)
    net = with_critic(ascent.net, critic)
    metrics = {
        "cg/residual": ascent.way.residual,
        "line_search/length": ascent.length,
        "line_search/accepted": ascent.length > 0,
        "loss/value": np.mean(losses),
        "loss/policy": -surrogate(net, data),
        "entropy": mean_entropy(policy(net, data.obs)),
        "kl": divergence(net, data, old),
        "explained_variance": explained_variance(data),
    }
    slow = after_rollout(slow, rollout, algo.gamma)._replace(net=net, value_trace=trace)
    return Found(slow, metrics, ascent)


WISHES = {  # what a line search may come to; with which `shrink`, damping and δ it often does
    "whole": (0.7, (0.1,), (0.03, 0.01, 0.003)),
    "too far": (0.97, (1e-3,), (0.3, 1.0, 3.0)),
    "worse": (0.97, (0.1, 1e-3), (10.0, 30.0, 100.0, 300.0)),
    "shortened": (0.7, (1e-3,), (0.01, 0.03, 0.1, 0.3, 1.0)),
}


def outcome(ascent: Ascent) -> str:
    """Whole or shortened; or refused since all lengths are too far, though better, or worse, though near enough."""
    if ascent.length > 0:
        return "whole" if ascent.length == 1 else "shortened"
    gains, spares = zip(*ascent.tried, strict=True)
    return "too far" if min(gains) > 0 else "worse" if min(spares) > 0 else "refused"


def granted(wish: str, slow: Slow, cases: Iterable[Case], early: bool) -> Iterator[Case]:
    """With settings for which a line search comes to that, and conjugate gradient stops `early` or not.

    No comparison in the line search is a close one.
    """
    shrink, dampings, deltas = WISHES[wish]
    for algo, rollout, key in cases:
        data, old = prepared(algo, slow, rollout), distribution(rollout.extras)
        for damping in dampings:
            algo, tolerance = replace(algo, shrink=shrink, damping=damping, cg_tolerance=0.0), 0.0
            if early:
                tolerance = min(0.99, 1.01 * way_of(replace(algo, cg_iterations=2), slow.net, data).residual)
            algo = replace(algo, cg_tolerance=tolerance)
            way = way_of(algo, slow.net, data)
            if early != (way.iterations < algo.cg_iterations):
                continue
            for delta in deltas:
                chosen = replace(algo, delta=delta)
                ascent = ascend(replace(chosen, line_search=True), slow.net, data, old, way)
                if outcome(ascent) == wish and np.abs(ascent.tried).min() > 0.01:
                    yield Case(chosen, rollout, key)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line_search", [False, True])
def test_trpos_update_is_the_slow_loops(kind: str, line_search: bool) -> None:
    """With the line search, which takes its first step whole, refuses two, each for another reason, and shortens one.

    Without it two are taken whole, of which it would shorten the first. Conjugate gradient may do four iterations, and
    stops earlier in the second update alone.
    """
    net, fields, slow = begin(kind)
    how: Any = {"value_epochs": 2, "num_minibatches": 3, "cg_iterations": 4, "backtracks": 3}
    algo, rng = trpo.TRPO(**PLAIN, **how, line_search=line_search, lr=0.05), np.random.default_rng(3)
    learner: Any = trpo.Learner(net, algo.optimizer().init(net.critic), **fields)
    first = observations(rng, N)
    wishes = ("whole", "too far", "worse", "shortened") if line_search else ("shortened", "whole")
    for i, wish in enumerate(wishes):
        key = jax.random.key(i)
        draws = (Case(algo, rollout, key) for rollout in rollouts(rng, slow, i, first, "exact pi"))
        case, found = steady(slow_trpo, slow, granted(wish, slow, draws, i == 1))
        assert (found.info.way.iterations < 4) == (i == 1)
        before = learner
        learner, metrics = case.algo.update(before, case.rollout, key)
        still = ("actor", "log_std") if wish in ("too far", "worse") else ()
        check(learner, before, metrics, found, slow, still)
        remembers(learner.opt_state, found.slow.value_trace)
        slow, first = found.slow, case.rollout.step.obs[-1]
