"""A whole `update` of every algorithm with a replay is compared with a slow loop: what joins the tested parts.

The loop is written from the papers. It keeps a list of everything that happened, draws with the keys that each file's
`update` documents, does Adam, clipping, Polyak's average, priorities and running statistics in float64, and takes from
JAX only the gradients of losses that stand here. Three updates follow each other on different rollouts, so that what
one of them leaves behind (moments, counters, schedules, priorities, target networks) must reach the next.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from conftest import Idle, same_bits, small
from swingup.nets.noisy import perturb
from swingup.normalise import Off
from swingup.spaces import Box, Discrete
from swingup.types import Rollout, Seen, Step

N, T, B = 2, 6, 8  # environments, env steps of a rollout, transitions of a batch
CAPACITY = 20  # transitions that the replay keeps: from the second update on the oldest are overwritten
UPDATES = 3
OFFSET, SCALE = np.array([1.0, -2.0, 0.0, 4.0]), np.array([2.0, 0.3, 1.0, 3.0])  # of observations
split = jax.random.split


def goal_reward(achieved: Any, desired: Any) -> tuple[Any, Any]:
    """A goal that is below what was achieved is reached; else the distance costs."""
    gap = (achieved - desired)[..., 0]
    return -abs(gap), gap > 0


class Play:
    """Rollouts of invented environments: every row is new, a third of the rows end an episode, by either cause."""

    def __init__(self, discrete: bool, goals: bool):
        self.rng, self.discrete = np.random.default_rng(7), discrete
        self.env: Any = Idle(
            "invented",
            N,
            Box.of(-1e6, 1e6, (4,), goal=1 if goals else 0),
            Discrete(3) if discrete else Box.of(-1.0, 1.0, (2,)),
            goal_reward,
        )

    def __call__(self) -> Rollout:
        rng = self.rng
        obs, next_obs, after = (OFFSET + SCALE * rng.normal(size=(3, T, N, 4))).astype(np.float32)
        action = rng.integers(0, 3, (T, N)) if self.discrete else rng.uniform(-1, 1, (T, N, 2))
        action = action.astype(np.int32 if self.discrete else np.float32)
        reward = rng.normal(0.0, 2.0, (T, N)).astype(np.float32)
        cause = rng.permuted(np.repeat([0, 0, 0, 0, 1, 2], 2)).reshape(T, N)
        fields: Any = after, next_obs, reward, cause == 1, cause == 2, reward, np.ones((T, N), np.int32)
        made: Any = obs, action, (), Step(*fields)
        return Rollout(*made)


class History:
    """Everything that happened, environment by environment, of which the newest rows can be drawn."""

    def __init__(self) -> None:
        self.rows: list[list[dict[str, Any]]] = [[] for _ in range(N)]
        self.keep = CAPACITY // N

    def add(self, rollout: Rollout) -> None:
        s = rollout.step
        for t in range(T):
            for j in range(N):
                self.rows[j].append(
                    {
                        "obs": rollout.obs[t, j],
                        "action": rollout.action[t, j],
                        "reward": float(s.reward[t, j]),
                        "next_obs": s.next_obs[t, j],
                        "terminated": bool(s.terminated[t, j]),
                        "done": bool(s.terminated[t, j] or s.truncated[t, j]),
                    }
                )

    @property
    def count(self) -> int:
        return len(self.rows[0])

    def drawn(self, key: Any) -> list[tuple[int, int]]:
        """(environment, env step) of a batch, uniform over all that are kept, counted from the oldest."""
        size = min(self.count, self.keep)
        chosen = np.asarray(jax.random.randint(key, (B,), 0, size * N))
        return [(int(c) % N, self.count - size + int(c) // N) for c in chosen]

    def place(self, j: int, t: int) -> int:
        return t % self.keep * N + j

    def episode(self, j: int, t: int) -> list[dict[str, Any]]:
        """The rows from `t` to the end of the episode, or to the newest."""
        ahead = self.rows[j][t:]
        ends = [i for i, row in enumerate(ahead) if row["done"]]
        return ahead[: ends[0] + 1] if ends else ahead

    def transition(self, j: int, t: int, gamma: float, n: int) -> dict[str, Any]:
        """R = Σ γ^i r_i over n env steps, or fewer at an end, then s' and whether it is terminal."""
        rows = self.episode(j, t)[:n]
        reward = sum(gamma**i * row["reward"] for i, row in enumerate(rows))
        last = {"next_obs": rows[-1]["next_obs"], "terminated": rows[-1]["terminated"]}
        return rows[0] | last | {"reward": reward, "discount": gamma ** len(rows)}

    def batch(self, key: Any, gamma: float, n: int, k: int) -> dict[str, np.ndarray]:
        """A uniform batch; with k > 0 of k + 1 goals k are what the rest of the episode achieved."""
        k_goal: Any = None
        if k:
            key, k_goal = split(key)
        at = self.drawn(key)
        found = [self.transition(j, t, gamma, n) for j, t in at]
        if k:
            k_which, k_when = split(k_goal)
            left = np.array([len(self.episode(j, t)) for j, t in at])
            ahead = np.asarray(jax.random.randint(k_when, (B,), 0, left))
            changed = np.asarray(jax.random.uniform(k_which, (B,))) < k / (k + 1)
            for i in np.flatnonzero(changed):
                (j, t), row = at[i], found[i]
                goal = self.rows[j][t + int(ahead[i])]["next_obs"][:1]
                for name in ("obs", "next_obs"):
                    row[name] = np.concatenate([row[name][:1], goal, row[name][2:]])
                row["reward"], row["terminated"] = goal_reward(row["next_obs"][:1], goal)
        return stacked(found) | {"weight": np.ones(B)}


def stacked(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}


class Adam:
    """θ <- θ - lr m̂ / (√v̂ + ε), on the gradient as one vector, shortened to a norm."""

    def __init__(self, eps: float = 1e-8, longest: float = math.inf):
        self.eps, self.longest, self.count, self.m, self.v = eps, longest, 0, 0.0, 0.0

    def __call__(self, params: Any, grads: Any, lr: float) -> Any:
        theta, restore = ravel_pytree(params)
        g = np.asarray(ravel_pytree(grads)[0], np.float64)
        g = g * min(1.0, self.longest / np.linalg.norm(g))
        self.count += 1
        self.m, self.v = 0.9 * self.m + 0.1 * g, 0.999 * self.v + 0.001 * g * g
        m, v = self.m / (1 - 0.9**self.count), self.v / (1 - 0.999**self.count)
        theta = np.asarray(theta, np.float64) - lr * m / (np.sqrt(v) + self.eps)
        return restore(jnp.asarray(theta, jnp.float32))


def moved(target: Any, online: Any, tau: float) -> Any:
    return jax.tree.map(lambda x, y: (1 - tau) * x + tau * y, target, online)


def numbers(x: Any) -> np.ndarray:
    return np.asarray(x, np.float64)


class Schedules:
    """What all of the algorithms count and schedule."""

    def __init__(self, algo: Any, learner: Any):
        self.algo, self.history = algo, History()
        self.params, self.target = learner.params, learner.target
        self.env_steps = algo.warmup_env_steps
        self.gradient_steps = 0
        self.metrics: list[dict[str, Any]] = []

    def rate(self, lr: float) -> float:
        a = self.algo
        return lr * max(0.0, 1 - self.env_steps / a.lr_horizon) if a.lr_decay else lr

    def update(self, rollout: Rollout, key: Any) -> dict[str, float]:
        self.history.add(rollout)
        self.metrics = []
        self.learn(key, round(self.algo.replay_ratio * T * N))
        self.env_steps += T * N
        return {name: float(np.mean([m[name] for m in self.metrics])) for name in self.metrics[0]}

    def learn(self, key: Any, steps: int) -> None:
        raise NotImplementedError


# --- DQN, C51, QR-DQN


def best_actions(means: np.ndarray) -> np.ndarray:
    return means.argmax(-1)


def dqn_target(a: Any, online: Any, target: Any, b: dict) -> np.ndarray:
    """y = r + γ^k Q⁻(s', a*): the action is chosen by θ⁻, or by θ with `double`. [B]."""
    judged = numbers(target(b["next_obs"]))
    chosen = best_actions(numbers(online(b["next_obs"])) if a.double else judged)
    follows = b["discount"] * ~b["terminated"]
    return b["reward"] + follows * judged[np.arange(B), chosen]


def dqn_loss(a: Any, q: Any, y: Any, weight: Any) -> tuple[Any, tuple[Any, Any]]:
    """The Huber loss of each error, weighted; the error; and Q(s, a). `q` is [B, A] at the actions taken: [B]."""
    error = y - q
    size = jnp.abs(error)
    each = jnp.where(size <= 1, 0.5 * error**2, size - 0.5)
    return (weight * each).sum() / B, (error, q)


def c51_target(a: Any, online: Any, target: Any, b: dict) -> np.ndarray:
    """The projection onto the atoms of r + γ^k z under θ⁻'s distribution at a*: [B, M]."""
    z = np.linspace(a.v_min, a.v_max, a.atoms)
    gap = z[1] - z[0]

    def distribution(logits: Any) -> np.ndarray:
        e = np.exp(numbers(logits) - numbers(logits).max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    judged = distribution(target(b["next_obs"]))
    chosen = best_actions((distribution(online(b["next_obs"])) if a.double else judged) @ z)
    m = np.zeros((B, a.atoms))
    for i in range(B):
        for j in range(a.atoms):
            value = b["reward"][i] + (0 if b["terminated"][i] else b["discount"][i] * z[j])
            place = (np.clip(value, a.v_min, a.v_max) - a.v_min) / gap
            for k in range(a.atoms):
                m[i, k] += max(0.0, 1 - abs(place - k)) * judged[i, chosen[i], j]
    return m


def c51_loss(a: Any, logits: Any, m: Any, weight: Any) -> tuple[Any, tuple[Any, Any]]:
    """Cross-entropy; KL(m || p), by which C51 sets priorities; and the mean of p."""
    log_p = jax.nn.log_softmax(logits)
    cross = -(m * log_p).sum(-1)
    divergence = cross + jnp.where(m > 0, m * jnp.log(jnp.where(m > 0, m, 1.0)), 0.0).sum(-1)
    q = (jnp.exp(log_p) * jnp.linspace(a.v_min, a.v_max, a.atoms)).sum(-1)
    return (weight * cross).sum() / B, (divergence, q)


def qr_target(a: Any, online: Any, target: Any, b: dict) -> np.ndarray:
    """T_j = r + γ^k θ_j⁻(s', a*): [B, M]."""
    judged = numbers(target(b["next_obs"]))
    chosen = best_actions((numbers(online(b["next_obs"])) if a.double else judged).mean(-1))
    follows = b["discount"] * ~b["terminated"]
    return b["reward"][:, None] + follows[:, None] * judged[np.arange(B), chosen]


def qr_loss(a: Any, quantile: Any, y: Any, weight: Any) -> tuple[Any, tuple[Any, Any]]:
    """Σ_i mean_j of the quantile Huber loss; the mean error; the mean quantile."""
    total = 0.0
    for i in range(a.quantiles):
        level = (2 * i + 1) / (2 * a.quantiles)
        for j in range(a.quantiles):
            u = y[:, j] - quantile[:, i]
            size = jnp.abs(u)
            h = jnp.where(size <= a.kappa, 0.5 * u**2, a.kappa * (size - 0.5 * a.kappa)) / a.kappa
            total += jnp.abs(level - (u < 0)) * h / a.quantiles
    return (weight * total).sum() / B, (y.mean(-1) - quantile.mean(-1), quantile.mean(-1))


LEARNT: dict[str, tuple[Callable, Callable]] = {
    "dqn": (dqn_target, dqn_loss),
    "c51": (c51_target, c51_loss),
    "qr_dqn": (qr_target, qr_loss),
}


class SlowQ(Schedules):
    """Algorithm 1 of Mnih et al. 2015, with the options."""

    def __init__(self, name: str, algo: Any, learner: Any):
        super().__init__(algo, learner)
        self.adam = Adam(algo.adam_eps, algo.max_grad_norm)
        self.aim, loss = LEARNT[name]
        self.priority: dict[int, float] = {}  # p^α by place
        self.highest = 1.0
        self.noise_key = learner.noise_key

        @jax.jit
        def regress(params: Any, target: Any, b: dict, y: Any, key: Any) -> Any:
            def total(params: Any) -> Any:
                out = perturb((params, target), key)[0](b["obs"])
                taken = jnp.stack([out[i, b["action"][i]] for i in range(B)])
                return loss(algo, taken, y, b["weight"])

            return jax.value_and_grad(total, has_aux=True)(params)

        self.regress = regress

    def batch(self, key: Any) -> dict[str, np.ndarray]:
        a, h = self.algo, self.history
        if not a.prioritised:
            return h.batch(key, a.gamma, a.n_step, a.hindsight)
        total = sum(self.priority.values())
        u = (np.arange(B) + numbers(jax.random.uniform(key, (B,)))) / B * total
        places = sorted(self.priority)
        ends = np.cumsum([self.priority[p] for p in places])
        place = [places[int(np.searchsorted(ends, x, side="right"))] for x in u]
        newest = {h.place(j, t): (j, t) for j in range(N) for t in range(max(0, h.count - h.keep), h.count)}
        b = stacked([h.transition(*newest[p], a.gamma, a.n_step) for p in place])
        w = np.array([(len(self.priority) * self.priority[p] / total) ** -a.beta for p in place])
        return b | {"weight": w / w.max(), "place": np.array(place)}

    def update(self, rollout: Rollout, key: Any) -> dict[str, float]:
        a, h = self.algo, self.history
        if a.noisy:
            key, self.noise_key = split(key)
        for t in range(h.count, h.count + T):
            self.priority |= {h.place(j, t): self.highest for j in range(N)}
        metrics = super().update(rollout, key)
        share = min(1.0, self.env_steps / a.epsilon_decay)
        epsilon = a.epsilon_start + share * (a.epsilon_end - a.epsilon_start)
        return metrics | {"epsilon": epsilon}

    def learn(self, key: Any, steps: int) -> None:
        a = self.algo
        for k in split(key, steps):
            k_batch, k_noise = split(k) if a.noisy else (k, None)
            b = self.batch(k_batch)
            online, target = perturb((self.params, self.target), k_noise)
            y = self.aim(a, online, target, b).astype(np.float32)
            fields = {name: b[name] for name in ("obs", "action", "weight")}
            (loss, (error, q)), grads = self.regress(self.params, self.target, fields, y, k_noise)
            self.params = self.adam(self.params, grads, self.rate(a.lr))
            if a.prioritised:
                values = (np.abs(numbers(error)) + 1e-6) ** a.alpha
                self.priority |= dict(zip(b["place"].tolist(), values.tolist(), strict=True))
                self.highest = max(self.highest, values.max())
            self.gradient_steps += 1
            if self.gradient_steps % a.target_period == 0:
                self.target = moved(self.target, self.params, a.tau)
            self.metrics.append({"loss/q": loss, "q/mean": q.mean(), "q/max": jnp.abs(q).max()})


# --- DDPG, TD3, SAC


class Statistics:
    """Mean and variance of all observations so far; before the first they change nothing."""

    def __init__(self, on: bool):
        self.on, self.seen = on, np.zeros((0, 4))

    def add(self, obs: np.ndarray) -> None:
        self.seen = np.concatenate([self.seen, numbers(obs).reshape(-1, 4)])

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        if not self.on:
            return obs
        z = (numbers(obs) - self.seen.mean(0)) / np.sqrt(self.seen.var(0) + 1e-8)
        return np.clip(z, -10, 10).astype(np.float32)


def twin(critics: Any, i: int) -> Any:
    return jax.tree.map(lambda x: x[i], critics)


def gaussian(actor: Any, obs: Any, key: Any) -> tuple[Any, Any]:
    """a = tanh(u), u ~ N(μ, σ²), and log π(a) = log N(u) - Σ log(1 - a²), by an identity that does not overflow."""
    mean, log_std = jnp.split(actor(obs), 2, -1)
    log_std = jnp.clip(log_std, -20, 2)
    noise = jax.random.normal(key, mean.shape)
    u = mean + jnp.exp(log_std) * noise
    normal = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
    return jnp.tanh(u), (normal - 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))).sum(-1)


class SlowActorCritic(Schedules):
    """What DDPG, TD3, SAC and SAC for discrete actions have in common."""

    def __init__(self, algo: Any, learner: Any):
        super().__init__(algo, learner)
        self.actor, self.critic = learner.params.actor, learner.params.critic
        self.actor_adam, self.critic_adam = Adam(), Adam()
        self.statistics = Statistics(algo.normalise_obs)
        self.judge, self.improve = jax.jit(self._judge), jax.jit(self._improve)

    def update(self, rollout: Rollout, key: Any) -> dict[str, float]:
        self.statistics.add(rollout.obs)  # of what acted: before the batches are drawn
        return super().update(rollout, key)

    def batch(self, key: Any) -> dict[str, np.ndarray]:
        b = self.history.batch(key, self.algo.gamma, 1, self.algo.hindsight)
        return b | {name: self.statistics(b[name]) for name in ("obs", "next_obs")}

    def bellman(self, b: dict, bootstrap: Any) -> np.ndarray:
        return (b["reward"] + b["discount"] * ~b["terminated"] * numbers(bootstrap)).astype(np.float32)

    def _q(self, critics: Any, obs: Any, action: Any) -> list[Any]:
        """The critics' judgements, each [B]."""
        return [twin(critics, i)(obs, action) for i in (0, 1)]

    def _judge(self, critic: Any, b: dict, y: Any) -> Any:
        """½ (y - Q)², over the batch, of each critic; its gradient; and the metrics."""

        def total(critic: Any) -> Any:
            q = jnp.stack(self._q(critic, b["obs"], b["action"]))
            return sum(0.5 * ((y - one) ** 2).sum() / B for one in q), q

        (loss, q), grads = jax.value_and_grad(total, has_aux=True)(critic)
        return grads, {"loss/q": loss, "q/mean": q.mean(), "q/max": jnp.abs(q).max()}

    def _improve(self, actor: Any, critic: Any, b: dict, alpha: Any, key: Any) -> Any:
        raise NotImplementedError

    def criticise(self, b: dict, y: np.ndarray) -> dict[str, Any]:
        fields = {name: b[name] for name in ("obs", "action")}
        grads, metrics = self.judge(self.critic, fields, y)
        self.critic = self.critic_adam(self.critic, grads, self.rate(self.algo.lr))
        return metrics

    def follow(self) -> None:
        raise NotImplementedError

    @property
    def learnt(self) -> Any:
        return self.actor, self.critic


class SlowDDPG(SlowActorCritic):
    """Lillicrap et al. 2016, algorithm 1."""

    def _q(self, critics: Any, obs: Any, action: Any) -> list[Any]:
        return [critics(obs, action)]

    def _improve(self, actor: Any, critic: Any, b: dict, alpha: Any, key: Any) -> Any:
        def loss(actor: Any) -> Any:
            return -self._q(critic, b["obs"], jnp.tanh(actor(b["obs"])))[0].sum() / B

        return jax.value_and_grad(loss)(actor)

    def learn(self, key: Any, steps: int) -> None:
        for k in split(key, steps):
            b = self.batch(k)
            bootstrap = self.target.critic(b["next_obs"], jnp.tanh(self.target.actor(b["next_obs"])))
            metrics = self.criticise(b, self.bellman(b, bootstrap))
            loss, grads = self.improve(self.actor, self.critic, {"obs": b["obs"]}, None, None)
            self.actor = self.actor_adam(self.actor, grads, self.rate(self.algo.actor_lr))
            self.follow()
            self.metrics.append(metrics | {"loss/policy": loss})

    def follow(self) -> None:
        self.target = moved(self.target, type(self.target)(self.actor, self.critic), self.algo.tau)


class SlowTD3(SlowDDPG):
    """Fujimoto et al. 2018, algorithm 1."""

    _q = SlowActorCritic._q

    def learn(self, key: Any, steps: int) -> None:
        a = self.algo
        for k in split(key, steps):
            k_batch, k_smooth = split(k)
            b = self.batch(k_batch)
            action = numbers(jnp.tanh(self.target.actor(b["next_obs"])))
            noise = np.clip(a.smoothing * numbers(jax.random.normal(k_smooth, (B, 2))), *self.clip)
            action = np.clip(action + noise, -1, 1).astype(np.float32)
            q = self._q(self.target.critic, b["next_obs"], action)
            metrics = self.criticise(b, self.bellman(b, np.minimum(*map(numbers, q))))
            loss, grads = self.improve(self.actor, self.critic, {"obs": b["obs"]}, None, None)
            self.gradient_steps += 1
            if self.gradient_steps % a.delay == 0:
                self.actor = self.actor_adam(self.actor, grads, self.rate(a.actor_lr))
                self.follow()
            # In blocks of the delay the loss is that of the actor's own steps; one by one that of every batch.
            if self.gradient_steps % a.delay == 0 or steps % a.delay:
                metrics |= {"loss/policy": loss}
            self.metrics.append(metrics)
        policy = np.mean([m["loss/policy"] for m in self.metrics if "loss/policy" in m])
        self.metrics = [m | {"loss/policy": policy} for m in self.metrics]

    @property
    def clip(self) -> tuple[float, float]:
        return -self.algo.smoothing_clip, self.algo.smoothing_clip


class SlowSAC(SlowActorCritic):
    """Haarnoja et al. 2018: two critics, no target actor, a temperature that is learnt."""

    def __init__(self, algo: Any, learner: Any):
        super().__init__(algo, learner)
        self.log_alpha, self.alpha_adam = learner.params.log_alpha, Adam()

    def _improve(self, actor: Any, critic: Any, b: dict, alpha: Any, key: Any) -> Any:
        def loss(actor: Any) -> Any:
            action, logp = gaussian(actor, b["obs"], key)
            least = jnp.minimum(*self._q(critic, b["obs"], action))
            return (alpha * logp - least).sum() / B, -logp.sum() / B

        return jax.value_and_grad(loss, has_aux=True)(actor)

    def bootstrap(self, b: dict, alpha: float, key: Any) -> np.ndarray:
        action, logp = gaussian(self.actor, b["next_obs"], key)
        return np.minimum(*map(numbers, self._q(self.target, b["next_obs"], action))) - alpha * numbers(logp)

    def keys(self, key: Any) -> tuple[Any, Any, Any]:
        k_batch, k_next, k_now = split(key, 3)
        return k_batch, k_next, k_now

    @property
    def aim(self) -> float:
        return self.algo.target_entropy * 2  # dimensions

    def learn(self, key: Any, steps: int) -> None:
        a = self.algo
        for k in split(key, steps):
            k_batch, k_next, k_now = self.keys(k)
            b, alpha = self.batch(k_batch), math.exp(float(self.log_alpha))
            metrics = self.criticise(b, self.bellman(b, self.bootstrap(b, alpha, k_next)))
            out = self.improve(self.actor, self.critic, {"obs": b["obs"]}, jnp.float32(alpha), k_now)
            (loss, entropy), grads = out
            self.actor = self.actor_adam(self.actor, grads, self.rate(a.actor_lr))
            slope = jnp.float32(float(entropy) - self.aim)
            self.log_alpha = self.alpha_adam(self.log_alpha, slope, self.rate(a.alpha_lr))
            self.follow()
            self.metrics.append(metrics | {"loss/policy": loss, "entropy": entropy, "alpha": alpha})

    def follow(self) -> None:
        self.target = moved(self.target, self.critic, self.algo.tau)

    @property
    def learnt(self) -> Any:
        return self.actor, self.critic, self.log_alpha


class SlowDiscreteSAC(SlowSAC):
    """Christodoulou 2019: expectations over the actions are sums."""

    def _q(self, critics: Any, obs: Any, action: Any) -> list[Any]:
        return [jnp.stack([q[i, action[i]] for i in range(B)]) for q in self.all(critics, obs)]

    def all(self, critics: Any, obs: Any) -> list[Any]:
        return [twin(critics, i)(obs) for i in (0, 1)]

    def _improve(self, actor: Any, critic: Any, b: dict, alpha: Any, key: Any) -> Any:
        least = jnp.minimum(*self.all(critic, b["obs"]))

        def loss(actor: Any) -> Any:
            p = jax.nn.softmax(actor(b["obs"]))
            return (p * (alpha * jnp.log(p) - least)).sum() / B, -(p * jnp.log(p)).sum() / B

        return jax.value_and_grad(loss, has_aux=True)(actor)

    def bootstrap(self, b: dict, alpha: float, key: Any) -> np.ndarray:
        p = numbers(jax.nn.softmax(self.actor(b["next_obs"])))
        least = np.minimum(*map(numbers, self.all(self.target, b["next_obs"])))
        return (p * (least - alpha * np.log(p))).sum(-1)

    def keys(self, key: Any) -> tuple[Any, Any, Any]:
        return key, None, None

    @property
    def aim(self) -> float:
        return self.algo.target_entropy * math.log(3)


SLOW: dict[str, Callable[[Any, Any], Schedules]] = {
    "ddpg": SlowDDPG,
    "td3": SlowTD3,
    "sac": SlowSAC,
    "sac_discrete": SlowDiscreteSAC,
}


def slow(name: str, algo: Any, learner: Any) -> Any:
    return SLOW[name](algo, learner) if name in SLOW else SlowQ(name, algo, learner)


# --- The comparison

# Their horizon lies within the three updates: the last one's learning rate is 0 in none of them.
COMMON = {
    "num_envs": N,
    "num_steps": T,
    "replay_ratio": 0.25,
    "replay_size": CAPACITY,
    "batch_size": B,
    "lr": 0.02,
    "lr_decay": True,
    "lr_horizon": 70.0,
    "gamma": 0.9,
    "hidden": (6,),
    "tau": 0.3,
}
Q = COMMON | {"adam_eps": 1e-2, "max_grad_norm": 3.0, "target_period": 2, "epsilon_decay": 100.0}
RAINBOW = {"double": True, "dueling": True, "n_step": 3, "prioritised": True, "alpha": 0.7, "beta": 0.6}
RELABELLED = {"hindsight": 2, "target_period": 4}
OWN = {
    "c51": {"v_min": -4.0, "v_max": 4.0, "atoms": 7},
    "qr_dqn": {"quantiles": 3, "kappa": 0.7},
    "td3": {"smoothing": 0.4, "smoothing_clip": 0.3, "delay": 3},
    "sac": {"alpha": 0.5, "alpha_lr": 0.05, "target_entropy": -0.4},
    "sac_discrete": {"alpha": 0.5, "alpha_lr": 0.05, "target_entropy": 0.6},
}
A2 = COMMON | {"actor_lr": 0.01}
CASES = [
    *((name, "rainbow", Q | RAINBOW) for name in ("dqn", "c51", "qr_dqn")),
    *((name, "relabelled", Q | RELABELLED) for name in ("dqn", "c51", "qr_dqn")),
    ("dqn", "noisy", Q | {"noisy": True}),
    ("c51", "noisy", Q | RAINBOW | {"noisy": True}),
    ("qr_dqn", "noisy", Q | {"noisy": True}),
    *((name, "normalised", A2 | {"normalise_obs": True}) for name in ("ddpg", "td3", "sac", "sac_discrete")),
    *((name, "relabelled", A2 | {"hindsight": 2}) for name in ("ddpg", "td3", "sac", "sac_discrete")),
    ("td3", "one_by_one", A2 | {"delay": 2}),
]


def unlike(params: Any, seed: int) -> Any:
    """Parameters of a size at which everything matters."""
    theta, restore = ravel_pytree(params)
    return restore(theta + 0.3 * jax.random.normal(jax.random.key(seed), theta.shape))


def distance(a: Any, b: Any) -> float:
    return float(np.linalg.norm(numbers(ravel_pytree(a)[0]) - numbers(ravel_pytree(b)[0])))


LATE = ("c51", "noisy"), ("qr_dqn", "noisy")  # what noise changes is DQN's; these compile for seconds


@pytest.mark.parametrize(
    ("name", "settings"),
    [pytest.param(n, s, marks=[pytest.mark.slow] if (n, k) in LATE else []) for n, k, s in CASES],
    ids=[f"{n}-{k}" for n, k, _ in CASES],
)
def test_updates_are_those_of_a_slow_loop(name: str, settings: dict[str, Any]) -> None:
    """Parameters and targets within a hundredth of how far they moved; metrics, counters and priorities too."""
    algo = small(name, **(OWN.get(name, {}) | settings))
    play = Play(discrete=name in ("dqn", "c51", "qr_dqn", "sac_discrete"), goals=bool(algo.hindsight))
    learner = algo.init(play.env, jax.random.key(0)).learner
    if name in LEARNT:
        learner = learner._replace(params=unlike(learner.params, 1), target=unlike(learner.target, 2))
    else:
        parts = [name for name in learner.params._fields if name != "log_alpha"]
        changed = {part: unlike(getattr(learner.params, part), i) for i, part in enumerate(parts)}
        learner = learner._replace(
            params=learner.params._replace(**changed), target=unlike(learner.target, 5)
        )
    expected = slow(name, algo, learner)
    for i in range(UPDATES):
        before, rollout, key = learner, play(), jax.random.key(10 + i)
        learner, metrics = algo.update(learner, jax.tree.map(jnp.asarray, rollout), key)
        wanted = expected.update(rollout, key)
        learnt = expected.params if name in LEARNT else expected.learnt
        assert distance(learner.params, before.params) > 0.01
        assert distance(learner.params, learnt) < 0.01 * distance(learner.params, before.params)
        follows = distance(learner.target, before.target)
        assert distance(learner.target, expected.target) <= 0.01 * follows
        assert metrics.keys() == wanted.keys()
        for metric, x in wanted.items():
            np.testing.assert_allclose(metrics[metric], x, rtol=1e-3, atol=1e-4, err_msg=metric)
        assert int(learner.env_steps) == expected.env_steps == algo.warmup_env_steps + (i + 1) * T * N
        if name in LEARNT:
            assert int(learner.gradient_steps) == expected.gradient_steps
            if algo.prioritised:
                leaves = numbers(learner.priorities.tree.levels[0])
                found = {place: x for place, x in enumerate(leaves.tolist()) if x}
                assert found.keys() == expected.priority.keys()
                np.testing.assert_allclose(
                    [found[p] for p in sorted(found)],
                    [expected.priority[p] for p in sorted(found)],
                    rtol=1e-2,
                )
            if algo.noisy:
                assert same_bits(learner.noise_key, expected.noise_key)
    if settings.get("normalise_obs"):  # what acts sees what learns sees
        obs, plain = rollout.obs[-1], learner._replace(obs_moments=Off())
        seen = algo.act(plain, Seen(jnp.asarray(expected.statistics(obs)))).action
        np.testing.assert_allclose(
            algo.act(learner, Seen(jnp.asarray(obs))).action, seen, rtol=1e-3, atol=1e-4
        )
