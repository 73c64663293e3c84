"""The right answers equal the library's own functions, wherever it has one: on the last case of each exercise, and in
the slow tests on all cases, because each of their shapes is another compilation."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from jax.scipy.special import logsumexp

from conftest import late
from swingup import returns
from swingup.algos import td_lambda
from swingup.algos.dqn import DQN
from swingup.algos.ppo import PPO, Batch
from swingup.algos.sac import SAC
from swingup.algos.td3 import TD3
from swingup.algos.td_lambda import TDLambda
from swingup.distributions import Categorical, Normal, TanhNormal
from swingup.envs.tabular import MDP
from swingup.learn import exercise
from swingup.learn.exercises import f3_resume
from swingup.linalg import conjugate_gradient
from swingup.normalise import Moments
from swingup.optimisers import clipped_by_norm, follow
from swingup.replay import priorities
from swingup.rollout import minibatches, permutation
from swingup.spaces import Box, to_env
from swingup.statistics import iqm
from swingup.theory import bellman, exact
from swingup.types import Rollout, Step

Cases = Callable[[str], list[tuple[dict[str, Any], Any]]]


@pytest.fixture(params=late(["last", "all"], "last"))
def cases(request: pytest.FixtureRequest) -> Cases:
    """Return a function from an exercise to its cases, each with the right answer's result."""

    def of(name: str) -> list[tuple[dict[str, Any], Any]]:
        ex = exercise(name)
        found = [(case, ex.answer(**case)) for case in ex.cases().values()]
        return found if request.param == "all" else found[-1:]

    return of


def agree(ours: Any, right: Any, tolerance: float = 2e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours, np.float64), right, rtol=tolerance, atol=tolerance)


def test_policies(cases: Cases) -> None:
    for c, right in cases("a1"):
        agree(Categorical(jnp.asarray(c["logits"])).log_prob(jnp.asarray(c["action"])), right)
    for c, (log_prob, entropy) in cases("a2"):
        pi = Normal(jnp.asarray(c["mean"]), jnp.asarray(c["log_std"]))
        agree(pi.log_prob(jnp.asarray(c["x"])), log_prob)
        agree(pi.entropy(), entropy)
    for c, right in cases("a4"):
        pi = TanhNormal(jnp.asarray(c["mean"]), jnp.asarray(c["log_std"]))
        agree(pi._log_prob_of(jnp.asarray(c["u"])), right)
    for c, right in cases("a5"):
        space = Box.of(c["low"], c["high"], (len(c["low"]),))
        agree(to_env(space, jnp.asarray(c["action"])), right)


def mdp(c: dict[str, Any], terminal: np.ndarray) -> MDP:
    reward = np.broadcast_to(c["reward"][..., None], c["transition"].shape)
    start = np.full(len(terminal), 1 / len(terminal))
    return MDP(c["transition"], reward, start, terminal, c["gamma"])


def test_tables(cases: Cases) -> None:
    for c, right in cases("b1"):
        agree(returns.discounted(*(jnp.asarray(c[k]) for k in ("reward", "done", "gamma", "last"))), right)
    for c, right in cases("b2"):
        agree(exact.value(mdp(c, np.arange(len(right)) == len(right) - 1), c["policy"]), right)
    for c, right in cases("b3"):
        agree(bellman.optimality_q(mdp(c, np.zeros(len(right), bool)), c["q"]), right)
    for c, (q, policy) in cases("b4"):
        agree(exact.epsilon_greedy(q, c["epsilon"])[c["s_next"]], policy)


def test_td_lambda(cases: Cases) -> None:
    for c, right in cases("b5"):
        t, n = len(c["reward"]), len(c["v"])
        zeros = jnp.zeros((t, 1))
        obs, next_obs = (jnp.asarray(x)[:, None] for x in c["states"].T)
        ends = jnp.asarray(c["terminated"])[:, None], jnp.zeros((t, 1), bool)
        step = Step(next_obs, next_obs, jnp.asarray(c["reward"])[:, None], *ends, zeros, zeros)
        algo = TDLambda(num_steps=t, lr=c["lr"], gamma=c["gamma"], lam=c["lam"])
        nothing = jnp.zeros(n, jnp.int32), jnp.zeros((1, n)), jnp.full(1, -1, jnp.int32)
        learner = td_lambda.Learner(jnp.asarray(c["v"], jnp.float32), *nothing)
        learner, _ = algo.update(learner, Rollout(obs, zeros.astype(int), None, step))
        agree(learner.v, right)


def test_policy_gradients(cases: Cases) -> None:
    for c, right in cases("c1"):

        def objective(logits: jax.Array, c: dict[str, Any] = c) -> jax.Array:
            return (Categorical(logits[None]).log_prob(jnp.asarray(c["action"])) * c["reward"]).mean()

        agree(jax.grad(objective)(jnp.asarray(c["logits"])), right)
    for c, right in cases("c2"):
        agree(returns.standardise(jnp.asarray(c["advantage"])), right)
    for c, right in cases("c3"):
        done = c["terminated"] | c["truncated"]
        args = c["reward"], c["value"], c["next_value"], c["terminated"], done
        agree(returns.gae(*map(jnp.asarray, args), c["gamma"], c["lam"]), right, 1e-4)
    for c, right in cases("c6"):
        agree(returns.k3(jnp.exp(c["logp_after"] - c["logp_old"])), right)


def test_the_mean_of_all_trajectories_is_the_policy_gradient() -> None:
    """Two env steps end every episode of this MDP, so its horizon is 2."""
    rng = np.random.default_rng(0)
    transition, reward = np.zeros((3, 2, 3)), rng.normal(size=(3, 2))
    transition[0, :, 1] = transition[1, :, 2] = transition[2, :, 2] = 1
    reward[2] = 0
    logits, start = rng.normal(size=(3, 2)), np.array([1.0, 0.0, 0.0])
    c = {"transition": transition, "reward": reward, "gamma": 0.8}
    process = mdp(c, np.array([False, False, True]))._replace(start=start)
    answer = exercise("c4").answer
    for v in (np.zeros(3), rng.normal(size=3)):
        mean, variance = answer(policy=exact.softmax(logits), start=start, v=v, horizon=2, **c)
        agree(mean[:2], exact.performance_gradient(process, logits)[:2])
        assert variance >= 0


def test_ppo(cases: Cases) -> None:
    for c, right in cases("c5"):
        adv = np.asarray(returns.standardise(jnp.asarray(c["advantage"])))
        logp, old = jnp.asarray(c["logp"]), jnp.asarray(c["logp_old"])
        pi = SimpleNamespace(log_prob=lambda _, logp=logp: logp, entropy=lambda logp=logp: logp)
        zeros = jnp.zeros_like(logp)
        batch = Batch(zeros, zeros, old, jnp.asarray(c["advantage"]), zeros, zeros)
        params: Any = lambda obs, legal, pi=pi, zeros=zeros: (pi, zeros)  # noqa: E731
        loss = PPO(clip=c["epsilon"]).loss(params, batch)[1]["loss/policy"]
        agree(loss, exercise("c5").answer(**{**c, "advantage": adv}))
        assert np.isfinite(right)
    for c, right in cases("c7"):
        key = jax.random.key(0)
        order = np.asarray(permutation(key, len(c["order"])))
        samples, look_up = minibatches((jnp.asarray(c["obs"]), jnp.asarray(c["action"])), c["k"], key[None])
        ours = jax.vmap(look_up)(samples)
        for a, b in zip(ours, exercise("c7").answer(**{**c, "order": order}), strict=True):
            agree(a, b)
        assert right[0].shape[0] == c["k"]
    for c, right in cases("c8"):
        rule = clipped_by_norm(c["limit"], optax.identity())
        grads = [jnp.asarray(g) for g in c["grads"]]
        for a, b in zip(rule.update(grads, rule.init(grads))[0], right, strict=True):
            agree(a, b)
    for c, right in cases("c9"):
        fisher, g = jnp.asarray(c["fisher"]), jnp.asarray(c["gradient"])
        x = conjugate_gradient(lambda v, f=fisher: f @ v, g, c["k"], 0.0)
        agree(jnp.sqrt(2 * c["delta"] / (x @ fisher @ x)) * x, right, 1e-3)


class Table(eqx.Module):
    """This network looks its values up."""

    q: jax.Array

    def __call__(self, obs: jax.Array) -> jax.Array:
        return self.q[obs]


def dqn_target(c: dict[str, Any], double: bool) -> np.ndarray:
    """Return the target that DQN's loss makes: of next observation i both networks know row i."""
    n = len(c["reward"])
    batch: Any = SimpleNamespace(
        obs=jnp.arange(n),
        next_obs=jnp.arange(n),
        next_legal=None,
        action=jnp.zeros(n, int),
        reward=jnp.asarray(c["reward"]),
        terminated=jnp.asarray(c["terminated"]),
        discount=jnp.full(n, c["gamma"]),
        weight=jnp.ones(n),
    )
    online: Any = Table(jnp.asarray(c["q_online"], jnp.float32))
    target: Any = Table(jnp.asarray(c["q_target"], jnp.float32))
    _, (td, _) = DQN(double=double).loss(online, target, batch)
    return np.asarray(td + online.q[:, 0])


def test_q_learning(cases: Cases) -> None:
    for c, right in cases("d1"):
        agree(dqn_target(c, double=False), right)
    for c, right in cases("d3"):
        agree(dqn_target(c, double=True), right)
    for c, right in cases("d2"):
        agree(returns.huber(c["q"][np.arange(len(c["y"])), c["action"]] - c["y"]).mean(), right)
    for c, right in cases("d4"):
        target = jnp.float32(c["weight"])
        for k, online in enumerate(c["weight"] + np.cumsum(c["change"])):
            target = follow(target, jnp.float32(online), c["tau"] if (k + 1) % c["period"] == 0 else 0.0)
            agree(target, right[k])
    for c, right in cases("d6"):
        # Where V of a successor is that of the next row, TD errors telescope; V of the first state is 0.
        value, done = np.append(0.0, c["next_q"][:-1]), c["terminated"] | c["truncated"]
        columns = [jnp.asarray(x)[:, None] for x in (c["reward"], value, c["next_q"], c["terminated"], done)]
        agree(returns.n_step_advantage(*columns, c["gamma"], len(value))[0, 0], right)
    for c, (index, weight) in cases("d7"):
        n = len(c["priority"])
        tree = priorities.put(priorities.sum_tree(n), jnp.arange(n), jnp.asarray(c["priority"]) ** c["alpha"])
        assert priorities.find(tree, jnp.asarray(c["u"]) * tree.total).tolist() == index.tolist()
        memory = priorities.Priorities(tree, jnp.float32(1))
        agree(priorities.weights(memory, jnp.asarray(index), jnp.int32(n), c["beta"]), weight)
    for c, right in cases("d8"):
        moved = c["reward"][:, None] + c["gamma"] * ~c["terminated"][:, None] * c["z"]
        agree(
            returns.project_categorical(jnp.asarray(moved), jnp.asarray(c["p"]), jnp.asarray(c["z"])), right
        )
    for c, right in cases("d9"):
        agree(returns.quantile_huber(jnp.asarray(c["theta"]), jnp.asarray(c["y"])), right)


class Judges(eqx.Module):
    """These are two critics in one, as `each` wants them; the first of both axes is theirs."""

    weight: jax.Array  # [2, D]

    def __call__(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        return jnp.tanh(action @ self.weight) + 0.1 * obs[:, 0]


def replayed(c: dict[str, Any]) -> Any:
    n = len(c["reward"])
    obs = jnp.arange(n, dtype=jnp.float32)[:, None]
    fields = {k: jnp.asarray(c[k]) for k in ("reward", "terminated")}
    return SimpleNamespace(
        obs=obs,
        next_obs=obs,
        action=jnp.zeros((n, 2)),
        discount=jnp.full(n, c["gamma"]),
        weight=jnp.ones(n),
        **fields,
    )


def test_targets_of_continuous_control() -> None:
    """The losses of TD3 and SAC, with critics that say 0 now, are means of squared targets."""
    rng, key = np.random.default_rng(0), jax.random.key(3)
    batch = replayed({"reward": rng.normal(size=7), "terminated": rng.random(7) < 0.4, "gamma": 0.9})
    judges, silent = Judges(jnp.asarray(rng.normal(size=(2, 2)), jnp.float32)), Judges(jnp.zeros((2, 2)))
    batch.obs = jnp.zeros((7, 1))  # where the critics that learn say 0
    known = {"reward": np.asarray(batch.reward), "terminated": np.asarray(batch.terminated), "gamma": 0.9}

    mean = jnp.asarray(rng.normal(size=(7, 2)), jnp.float32)
    target: Any = SimpleNamespace(actor=lambda obs: mean, critic=judges)
    loss, _ = TD3().critic_loss(silent, target, batch, key)
    z, q = np.asarray(jax.random.normal(key, (7, 2))), jax.vmap(lambda j, o, a: j(o, a), (0, None, None))
    one, two = (lambda a, i=i: np.asarray(q(judges, batch.next_obs, jnp.asarray(a))[i]) for i in (0, 1))
    y = exercise("e1").answer(action=np.tanh(mean), z=z, q1=one, q2=two, **known)
    agree(loss, (y**2).mean())

    policy = TanhNormal(mean, jnp.zeros(2))
    action, logp = policy.sample_and_log_prob(key)
    q1, q2 = np.asarray(q(judges, batch.next_obs, action))
    y = exercise("e2").answer(q1=q1, q2=q2, logp=np.asarray(logp), alpha=0.3, **known)
    algo = SAC()
    object.__setattr__(algo, "policy", lambda actor, obs: policy)
    loss, _ = algo.critic_loss(silent, judges, None, jnp.float32(0.3), batch, key)
    agree(loss, (y**2).mean())


def test_the_temperature(cases: Cases) -> None:
    for c, (loss, slope) in cases("e3"):
        algo, entropy = SAC(target_entropy=c["target_entropy"]), jnp.asarray(-c["logp"].mean())
        ours = jax.value_and_grad(lambda x, a=algo, h=entropy: a.alpha_loss(x, h, 1))(
            jnp.float32(c["log_alpha"])
        )
        agree(ours[0], loss)
        agree(ours[1], slope)


def test_statistics(cases: Cases) -> None:
    for c, (mean, variance, w, b) in cases("f1"):
        m = Moments(jnp.int32(c["count"]), jnp.float32(c["mean"]), jnp.float32(c["variance"]))
        m = m.merge(jnp.asarray(c["batch"]))
        agree(m.mean, mean)
        agree(m.var, variance)
        h = np.linspace(-2, 2, 5)  # the outputs stay
        before = np.sqrt(c["variance"]) * (c["w"] * h + c["b"]) + c["mean"]
        agree(np.sqrt(variance) * (w * h + b) + mean, before)
    for c, (mean, half, middle) in cases("f5"):
        x = c["score"].mean(1)
        interval = scipy.stats.t.interval(0.95, len(x) - 1, loc=x.mean(), scale=scipy.stats.sem(x))
        agree([mean - half, mean + half], interval, 1e-3)  # the case's t has four digits
        agree(iqm(x), middle)


def test_a_resumed_training_is_one_that_nobody_stopped(cases: Cases) -> None:
    for c, right in cases("f3"):
        assert f3_resume._losing()(**c) == right  # 2n updates in a row, and nothing is lost between


def test_lambda_returns_are_a_mixture_of_n_step_returns(cases: Cases) -> None:
    for c, right in cases("g2"):
        h, going = len(c["reward"]), np.cumprod(np.append(1.0, 1.0 - c["end"]))
        n_step = [
            sum(c["gamma"] ** k * going[k] * c["reward"][k] for k in range(n))
            + c["gamma"] ** n * going[n] * c["value"][n]
            for n in range(1, h + 1)
        ]
        weight = [(1 - c["lam"]) * c["lam"] ** (n - 1) for n in range(1, h)] + [c["lam"] ** (h - 1)]
        agree(np.dot(weight, n_step), right[0])


def test_losses_of_language_models(cases: Cases) -> None:
    for c, (advantage, loss) in cases("g3"):
        g = c["reward"].shape[1]
        agree(g / (g - 1) * (c["reward"] - c["reward"].mean(1, keepdims=True)), advantage)
        scores = c["beta"] * np.stack([c["logp_w"] - c["ref_w"], c["logp_l"] - c["ref_l"]])
        agree((logsumexp(scores, axis=0) - scores[0]).mean(), loss)  # that of a classifier between the two
