"""A recurrent model says of latents, which a frame was squeezed into, and an action what the next ones may be.

    h_{t+1}, c_{t+1} = LSTM([z_t, a_t], h_t, c_t);     p(z_{t+1}, r_t, end_t | h_{t+1})

The next latents are a mixture of Gaussians each, so that a world in which chance decides is not averaged. The reward is
said by its mean, and the end by its log odds. What the LSTM shows, h, is a summary of the episode so far.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import Array

from swingup.nets.layers import Dense
from swingup.nets.mixture import Mixture, Noise
from swingup.nets.sequences import LSTM
from swingup.nets.vae import VAE
from swingup.replay import ring, sequences
from swingup.replay.ring import Ring
from swingup.replay.sequences import Stretch
from swingup.spaces import Discrete, Space, entries, vector

Recall = tuple[Array, Array]  # h and c, both [..., H]


class Memory(NamedTuple):
    """This is carried from one env step to the next by who acts on latents; zeros where an episode begins."""

    hidden: Array  # [N, H] h_t
    cell: Array  # [N, H] c_t
    before: Array  # [N, Z] z_{t-1}
    held: Array  # [N, ...] the noise of the random action that is held
    age: Array  # [N] env steps since the episode began


def nothing(space: Space, num_envs: int, latents: int, width: int) -> Memory:
    """Return the memories with which episodes begin, where actions are of this space: zeros [N, ...]."""
    held = (space.n,) if isinstance(space, Discrete) else space.shape
    hidden, cell, before = (jnp.zeros((num_envs, n)) for n in (width, width, latents))
    return Memory(hidden, cell, before, jnp.zeros((num_envs, *held)), jnp.zeros(num_envs, jnp.int32))


class Said(NamedTuple):
    """This is what the model says of the next env step."""

    latents: Mixture  # of z', [..., Z, K]
    reward: Array  # [...] its mean
    end: Array  # [...] log odds that the episode terminates


class MDNRNN(eqx.Module):
    """This is an LSTM whose outputs are the parameters of a mixture density network (Graves 2013)."""

    lstm: LSTM
    head: Dense
    latents: int = eqx.field(static=True)  # Z
    space: Space = eqx.field(static=True)  # of the actions

    def __init__(self, space: Space, latents: int, mixtures: int, width: int, *, key: Array):
        k_lstm, k_head = jax.random.split(key)
        self.lstm = LSTM(1, latents + entries(space), width, key=k_lstm)
        self.head = Dense(width, 3 * latents * mixtures + 2, 1.0, key=k_head)
        self.latents, self.space = latents, space

    def step(self, z: Array, action: Array, recall: Recall) -> Recall:
        """Go on by one env step, from latents [..., Z] and the action taken there."""
        return self.lstm.step(jnp.concatenate([z, vector(self.space, action)], -1), recall)

    def say(self, hidden: Array) -> Said:
        """Return what h [..., H] after an action says of where it led."""
        out = self.head(hidden)
        return Said(Mixture.of(out[..., :-2], self.latents), out[..., -2], out[..., -1])

    def read(self, z: Array, action: Array, done: Array) -> Array:
        """Return h after each env step of stretches [B, L, ...]: [B, L, H]. After a row with `done` it is forgotten."""

        def body(recall: Recall, row: tuple[Array, ...]) -> tuple[Recall, Array]:
            z, action, done = row
            hidden, cell = self.step(z, action, recall)
            keep = ~done[:, None]
            return (hidden * keep, cell * keep), hidden

        start = self.start(len(z))
        rows = (jnp.swapaxes(x, 0, 1) for x in (z, action, done))
        return jnp.swapaxes(jax.lax.scan(body, start, tuple(rows))[1], 0, 1)

    def start(self, *lead: int) -> Recall:
        """Return h and c with which an episode begins, zeros [*lead, H]."""
        zeros = jnp.zeros((*lead, self.lstm.recurrent.shape[0]))
        return zeros, zeros


def loss(model: MDNRNN, z: Array, b: Stretch) -> tuple[Array, dict[str, Array]]:
    """Return M's loss over stretches whose latents are z [B, L + 1, Z], and its parts.

        -log p(z_{t+1} | ...) / Z + (r_t - r̂_t)² / Var(r) + cross-entropy of the end

    Where an episode ends the next latents are another's, and do not count. A hundredth of the rewards' mean square
    is added to their variance, so that rewards that hardly vary do not outweigh all else.
    """
    action, reward, terminated, done = (x[:, :-1] for x in (b.action, b.reward, b.terminated, b.done))
    said = model.say(model.read(z[:, :-1], action, done))
    goes_on = 1.0 - done
    likelihood = (said.latents.log_prob(z[:, 1:]) * goes_on).sum() / jnp.maximum(goes_on.sum(), 1)
    spread = reward.var() + 0.01 * jnp.square(reward).mean() + 1e-8
    missed = jnp.square(said.reward - reward).mean() / spread
    end = optax.sigmoid_binary_cross_entropy(said.end, terminated.astype(jnp.float32)).mean()
    total = missed + end - likelihood / model.latents
    return total, {"model/loss": total, "model/reward_error": missed}


def dream(
    model: MDNRNN,
    act: Callable[[Array, Array], Array],
    first: Array,
    noise: Noise,
    temperature: Array | float = 1.0,
) -> Array:
    """Return what a policy earns in the model alone, env step by env step: [T, ...], zeros once an end is likelier.

    act            (z, h) -> actions, both [..., *]
    first          latents [..., Z] with which the dreams begin; of an episode so far nothing is known
    noise          of `mixture.draw`, [T, ...], which is broadcast against these
    temperature    τ of the mixtures; rewards and ends are what the model says, without chance
    """

    def body(carry: tuple[Array, Recall, Array], noise: Noise) -> tuple[tuple[Array, Recall, Array], Array]:
        z, recall, alive = carry
        recall = model.step(z, act(z, recall[0]), recall)
        said = model.say(recall[0])
        after = said.latents.from_noise(noise, temperature)
        return (after, recall, alive & (said.end <= 0)), said.reward * alive

    lead = first.shape[:-1]
    return jax.lax.scan(body, (first, model.start(*lead), jnp.ones(lead, bool)), noise)[1]


def frames(vision: VAE, replay: Ring, count: int, key: Array) -> tuple[Array, Array]:
    """Draw frames of a replay [B, ...], and noise for their latents [B, Z]."""
    k_draw, k_noise = jax.random.split(key)
    x = vision.see(ring.take(replay, ring.draw(replay, k_draw, count), 1.0).obs)
    return x, jax.random.normal(k_noise, (count, vision.latents))


def encoded(vision: VAE, replay: Ring, count: int, length: int, key: Array) -> tuple[Array, Stretch]:
    """Draw stretches of a replay, and latents z [B, L, Z] of what was seen in them, from q(z|x)."""
    k_draw, k_noise = jax.random.split(key)
    drawn = sequences.stretches(replay, k_draw, count, length)
    return latents(vision, replay, drawn.place, k_noise), drawn


def openings(vision: VAE, replay: Ring, count: int, key: Array) -> Array:
    """Draw latents [B, Z] with which episodes begin."""
    k_draw, k_noise = jax.random.split(key)
    return latents(vision, replay, sequences.openings(replay, k_draw, count), k_noise)


def latents(vision: VAE, replay: Ring, place: Array, key: Array) -> Array:
    """Draw latents [..., Z] of what the replay has at places [...], from q(z|x)."""
    q = vision.encode(vision.see(ring.take(replay, place.ravel(), 1.0).obs))
    return q.from_noise(jax.random.normal(key, q.mean.shape)).reshape(*place.shape, -1)
