"""Models tell what follows where planes of bits are seen: one learns, one only copies, one has faults.

An observation [H, W, C] of zeros and ones says in plane c where something of kind c is. From it and an action a small
convolutional network says how likely each bit of the next one is to be 1, the reward, and whether the episode ends,

    L = E[ Σ over bits of the cross-entropy + (r̂ - r)² + cross-entropy of the end ]

after the environment model of Racanière et al. (2017, arXiv:1707.06203, section 3.2). All of them are
`Model`s whose states are observations.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from swingup.envs.models import Exact, exact
from swingup.envs.pure import dtype_of, optional
from swingup.errors import ConfigError
from swingup.nets.layers import MLP, Conv
from swingup.nets.observations import features, role
from swingup.optimisers import clipped_by_norm
from swingup.protocols import Model, VecEnv
from swingup.spaces import Box, Discrete
from swingup.types import Rollout, Seen, Transition

STAYS = 4.0  # the logit with which an untrained network expects a bit to stay: most do
MAX_GRAD_NORM = 10.0  # a longer gradient is shortened to it, because rewards may be large


class Said(NamedTuple):
    """A network says this of the next env step."""

    bits: Array  # [..., H, W, C] logits
    reward: Array  # [...]
    end: Array  # [...] a logit


class Steps(NamedTuple):
    """These are B transitions."""

    obs: Array  # [B, H, W, C]
    action: Array  # [B]
    reward: Array  # [B]
    next_obs: Array  # [B, H, W, C] the true successors
    terminated: Array  # [B]


def planes(env: VecEnv) -> tuple[Box, int]:
    """Return the space of an environment's planes, and how many actions it has.

    Raises `ConfigError` for observations that are no planes of bits, and for actions that cannot be counted.
    """
    space, actions = env.observation_space, env.action_space
    if not (isinstance(space, Box) and len(space.shape) == 3 and role(space) == "channels last"):
        raise ConfigError(f"what is imagined are planes [height, width, kinds]; {env.name} shows {space}")
    low, high = space.bounds
    if not (np.all(low == 0) and np.all(high == 1)):
        raise ConfigError(
            f"what is imagined are planes of zeros and ones; those of {env.name} go from {low.min():g} to "
            f"{high.max():g}"
        )
    if not isinstance(actions, Discrete):
        raise ConfigError(f"a future is imagined for each action: these must be Discrete; got {actions}")
    return space, actions.n


class Planes(eqx.Module):
    """This model learns: two convolutions of 3x3 over planes and action, so that each bit depends on its neighbours.

    A third one, of 1x1, has the bits' logits. Its mean and its maximum over all cells go to what says reward and end.
    """

    convs: tuple[Conv, ...]
    bits: Conv
    head: MLP
    space: Box = eqx.field(static=True)
    actions: int = eqx.field(static=True)

    def __init__(self, space: Box, actions: int, filters: int, *, key: Array):
        k_first, k_second, k_bits, k_head = jax.random.split(key, 4)
        kinds = space.shape[-1]
        self.convs = Conv(kinds + actions, filters, key=k_first), Conv(filters, filters, key=k_second)
        self.bits = Conv(filters, kinds, 1, key=k_bits)
        self.head = MLP((2 * filters, 2 * filters, 2), "relu", 0.01, key=k_head)
        self.space, self.actions = space, actions

    def __call__(self, obs: Array, action: Array) -> Said:
        """Say what follows on observations [..., H, W, C] and actions [...]."""
        now = features(self.space, obs, "channels last")
        chosen = jax.nn.one_hot(action, self.actions)[..., None, None, :]
        x = jnp.concatenate([now, jnp.broadcast_to(chosen, (*now.shape[:-1], self.actions))], -1)
        for conv in self.convs:
            around = [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
            x = jax.nn.relu(conv(jnp.pad(x, around)))
        reward, end = jnp.moveaxis(self.head(jnp.concatenate([x.mean((-3, -2)), x.max((-3, -2))], -1)), -1, 0)
        return Said(self.bits(x) + STAYS * (2 * now - 1), reward, end)

    def start(self, seen: Seen) -> Array:
        """Return the observations [B, H, W, C]."""
        return seen.obs

    def draw(self, key: Array, lead: tuple[int, ...]) -> Any:
        """Draw nothing: each bit is the likelier of both."""
        return ()

    def step(self, state: Array, action: Array, noise: Any) -> tuple[Array, Transition]:
        """Return the observations after actions [B], and the transitions [B, ...]."""
        said = self(state, action)
        obs = (said.bits > 0).astype(dtype_of(self.space))
        return obs, Transition(obs, said.reward, said.end > 0, jnp.zeros(len(action), bool))


class Copied(eqx.Module):
    """This model says that nothing happens: what is seen stays, and no reward comes."""

    def start(self, seen: Seen) -> Array:
        """Return the observations [B, ...]."""
        return seen.obs

    def draw(self, key: Array, lead: tuple[int, ...]) -> Any:
        """Draw nothing."""
        return ()

    def step(self, state: Array, action: Array, noise: Any) -> tuple[Array, Transition]:
        """Return the same observations, and rewards of 0."""
        none = jnp.zeros(len(action), bool)
        return state, Transition(state, jnp.zeros(len(action)), none, none)


class Corrupted(eqx.Module):
    """Another model has faults: each bit that it says is flipped with probability p, and it goes on from there."""

    model: Model
    p: Array | float
    shape: tuple[int, ...] = eqx.field(static=True)  # of an observation

    def start(self, seen: Seen) -> Any:
        """Return the other model's states [B, ...], which are observations."""
        return self.model.start(seen)

    def draw(self, key: Array, lead: tuple[int, ...]) -> Any:
        """Draw what the other model needs, and a number in [0, 1) for each bit: [*lead, H, W, C]."""
        k_model, k_flip = jax.random.split(key)
        return self.model.draw(k_model, lead), jax.random.uniform(k_flip, (*lead, *self.shape))

    def step(self, state: Any, action: Array, noise: Any) -> tuple[Any, Transition]:
        """Return the observations after actions [B] with flipped bits, and the transitions [B, ...]."""
        drawn, chance = noise
        _, t = self.model.step(state, action, drawn)
        obs = jnp.where(chance < self.p, 1 - t.obs.astype(jnp.int32), t.obs).astype(t.obs.dtype)
        return obs, t._replace(obs=obs)


def shown(env: VecEnv) -> Exact:
    """Return the exact model of environments whose observations show their states. Raises `ConfigError` for others."""
    model = exact(env)
    if optional(model.env, "state_of") is None:
        raise ConfigError(
            f"observations of {env.name} do not show its state, from which an exact model would go on: that needs an "
            "environment with `state_of`, such as task:PushBox; or take arm='learned'"
        )
    return model


def steps(rollout: Rollout) -> Steps:
    """Return the transitions of a rollout [T, N] as T N rows."""
    step = rollout.step
    rows = Steps(rollout.obs, rollout.action, step.reward, step.next_obs, step.terminated)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), rows)


def loss(model: Planes, b: Steps) -> Array:
    """Return the loss of a batch [B], [] in nats per transition."""
    said, after = model(b.obs, b.action), features(model.space, b.next_obs, "channels last")
    bits = optax.sigmoid_binary_cross_entropy(said.bits, after).sum((-3, -2, -1))
    end = optax.sigmoid_binary_cross_entropy(said.end, b.terminated.astype(jnp.float32))
    return (bits + jnp.square(said.reward - b.reward) + end).mean()


def optimizer(lr: Array | float) -> optax.GradientTransformation:
    """Use Adam, on gradients that are clipped by their norm."""
    return clipped_by_norm(MAX_GRAD_NORM, optax.adam(lr))


def told(model: Model, b: Steps, key: Array) -> dict[str, Array]:
    """Return how wrong a model is about transitions [B] that it has not learnt from, as metrics.

    These are the share of the bits that it gets wrong, the share that changed, which is what a copy gets wrong, and the
    root of the mean squared error of the rewards.
    """
    _, t = model.step(model.start(Seen(b.obs)), b.action, model.draw(key, (len(b.reward),)))
    return {
        "model/bits_wrong": jnp.mean(t.obs != b.next_obs),
        "model/bits_changed": jnp.mean(b.obs != b.next_obs),
        "model/reward_error": jnp.sqrt(jnp.square(t.reward - b.reward).mean()),
    }
