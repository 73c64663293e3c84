"""This page holds all of PPO: the network, the advantages, the loss and the loop; only the environment is elsewhere.

    python examples/ppo_on_one_page.py

It is `swingup.PPO` with its default settings on CartPole: a test holds both to the same numbers.
"""

import jax
import jax.numpy as jnp
import optax

from swingup import make
from swingup.training.driver import root_key

ENVS, STEPS, EPOCHS, MINIBATCHES = 4, 128, 4, 4
GAMMA, LAMBDA, CLIP, C_VALUE, C_ENTROPY = 0.99, 0.95, 0.2, 0.5, 0.01
OPTIMISER = optax.flatten(optax.chain(optax.clip_by_global_norm(0.5), optax.adam(2.5e-4, eps=1e-5)))
env = make("CartPole-v1", ENVS)  # four of them, each begins anew when its episode ends


def orthogonal(key, rows, columns, scale):
    x = jax.random.normal(key, (max(rows, columns), min(rows, columns)))
    improve = lambda _, x: x @ (1.5 * jnp.eye(x.shape[1]) - 0.5 * x.T @ x)  # Newton-Schulz  # noqa: E731
    x = jax.lax.fori_loop(0, 60, improve, x / jnp.linalg.norm(x))
    return scale * (x if rows >= columns else x.T)


def network(key, outputs, last):
    sizes = (4, 64, 2**0.5), (64, 64, 2**0.5), (64, outputs, last)
    keys = jax.random.split(key, 3)
    return [(orthogonal(k, n, m, scale), jnp.zeros(m)) for k, (n, m, scale) in zip(keys, sizes, strict=True)]


def mlp(layers, x):
    for weight, bias in layers[:-1]:
        x = jnp.tanh(x @ weight + bias)
    return x @ layers[-1][0] + layers[-1][1]


def log_pi(params, obs):
    return jax.nn.log_softmax(mlp(params["actor"], obs))


def play(params, env_state, obs, key):
    """T env steps in N environments: where they are after it, and what happened, each [T, N, ...]."""
    k_act, k_env = jax.random.split(key)

    def env_step(carry, noise):
        env_state, obs = carry
        action = jnp.argmax(mlp(params["actor"], obs) + noise[0], -1)  # a sample of the softmax
        env_state, step = env.step(env_state, action, noise[1])
        return (env_state, step.obs), (obs, action, step)

    noise = jax.random.gumbel(k_act, (STEPS, ENVS, 2)), env.draw(k_env, STEPS)
    return jax.lax.scan(env_step, (env_state, obs), noise)


def advantages(params, obs, step):
    """GAE. A death ends the bootstrap and the sum; a time limit only the sum: V(s') is that of the true successor."""
    v, v_next = (mlp(params["critic"], x)[..., 0] for x in (obs, step.next_obs))
    delta = step.reward + GAMMA * jnp.where(step.terminated, 0.0, v_next) - v

    def backwards(later, now):
        current = now[0] + GAMMA * LAMBDA * jnp.where(now[1], 0.0, later)
        return current, current

    adv = jax.lax.scan(backwards, jnp.zeros(ENVS), (delta, step.done), reverse=True)[1]
    return adv, adv + v


def loss(params, batch):
    """Equation 9 of the paper, to be minimised."""
    obs, chosen, logp_old, adv, target = batch
    adv, logp = (adv - adv.mean()) / (adv.std() + 1e-8), log_pi(params, obs)
    ratio = jnp.exp((logp * chosen).sum(-1) - logp_old)
    l_clip = jnp.minimum(ratio * adv, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * adv).mean()
    l_value = jnp.square(mlp(params["critic"], obs)[..., 0] - target).mean()
    entropy = -(jnp.exp(logp) * logp).sum(-1).mean()
    return -(l_clip - C_VALUE * l_value + C_ENTROPY * entropy)


def shuffled(data, key):
    """[T, N, ...] arrays as minibatches: random words are sorted, whose low nine bits number the 512 samples."""
    words = (jax.random.bits(key, (512,), jnp.uint32) & ~jnp.uint32(511)) | jnp.arange(512, dtype=jnp.uint32)
    order = (jnp.sort(words) & 511).reshape(MINIBATCHES, -1)
    return jax.tree.map(lambda x: x.reshape(512, *x.shape[2:])[order], data)


@jax.jit
def iteration(params, opt_state, env_state, obs, key):
    """Play, then K epochs of gradient steps on what was played; also the mean return of the episodes that ended."""
    key, k_run, k_learn = jax.random.split(key, 3)
    (env_state, obs), (seen, action, step) = play(params, env_state, obs, k_run)
    chosen = jax.nn.one_hot(action, 2)
    data = seen, chosen, (log_pi(params, seen) * chosen).sum(-1), *advantages(params, seen, step)

    def gradient_step(carry, batch):
        params, opt_state = carry
        updates, opt_state = OPTIMISER.update(jax.grad(loss)(params, batch), opt_state)
        return (optax.apply_updates(params, updates), opt_state), None

    for k in jax.random.split(k_learn, EPOCHS):
        (params, opt_state), _ = jax.lax.scan(gradient_step, (params, opt_state), shuffled(data, k))
    returns = jnp.where(step.done, step.ep_return, 0).sum() / step.done.sum()
    return params, opt_state, env_state, obs, key, returns


def train(seed=0, iterations=200, show=print):
    k_net, k_env, key = jax.random.split(root_key(seed, "train"), 3)
    k_actor, k_critic = jax.random.split(k_net, 3)[1:]
    params = {"actor": network(k_actor, 2, 0.01), "critic": network(k_critic, 1, 1.0)}
    state = params, OPTIMISER.init(params), *env.reset(k_env), key
    for i in range(1, iterations + 1):
        *state, returns = iteration(*state)
        show(f"{i * ENVS * STEPS:>7,} env steps   return {float(returns):6.1f}")
    return state[0]


if __name__ == "__main__":
    train()
