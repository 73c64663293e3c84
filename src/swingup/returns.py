"""Returns and advantages are recursions over time, each with its equation. Arguments are [T, N]."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def discounted(
    reward: Float[Array, "T N"], done: Bool[Array, "T N"], gamma: float, last: Float[Array, " N"]
) -> Float[Array, "T N"]:
    """Sum up discounted rewards-to-go within each episode.

        G_t = r_t + γ (1 - done_t) G_{t+1},      G_T = last

    `last` [N] is the return after the end of the data: zeros, or a bootstrap for the running episode.

    >>> ended = jnp.array([[False], [True], [False]])
    >>> discounted(jnp.ones((3, 1)), ended, 0.5, jnp.array([8.0]))[:, 0]
    Array([1.5, 1. , 5. ], dtype=float32)
    """

    def backup(later, now):
        reward, done = now
        current = reward + gamma * jnp.where(done, 0.0, later)
        return current, current

    return jax.lax.scan(backup, last, (reward, done), reverse=True)[1]


def reward_to_go(
    reward: Float[Array, "T N"],
    next_value: Float[Array, "T N"],
    terminated: Bool[Array, "T N"],
    done: Bool[Array, "T N"],
    gamma: float,
) -> Float[Array, "T N"]:
    """Sum up discounted rewards-to-go, continued by V where the data do not show how the episode goes on.

        G_t = r_t + γ G_{t+1}                          where the episode goes on in the data
        G_t = r_t + γ (1 - terminated_t) V(s'_t)       where it ends (done_t) or the data do (t = T-1)

    `next_value` is V of the true successor s'_t; it is read only where an episode is truncated or cut.

    >>> no, yes = jnp.zeros((3, 1), bool), jnp.array([[False], [True], [False]])
    >>> reward_to_go(jnp.ones((3, 1)), jnp.full((3, 1), 8.0), no, yes, 0.5)[:, 0]
    Array([3.5, 5. , 5. ], dtype=float32)
    """
    cut = done.at[-1].set(True)
    after = jnp.where(cut & ~terminated, next_value, 0.0)
    return discounted(reward + gamma * after, cut, gamma, jnp.zeros_like(reward[0]))


def n_step_sum(
    reward: Float[Array, "B n"], done: Bool[Array, "B n"], known: Bool[Array, "B n"], gamma: Array | float
) -> tuple[Float[Array, " B"], Int[Array, " B"]]:
    """Return R = r_0 + γ r_1 + ... + γ^{k-1} r_{k-1} [B], and k [B]: how many env steps it has.

    k is n, or fewer where an episode ends (`done`) before, or the next env step is not `known` yet.

    >>> n_step_sum(jnp.ones((1, 3)), jnp.array([[False, True, False]]), jnp.ones((1, 3), bool), 0.5)
    (Array([1.5], dtype=float32), Array([2], dtype=int32))
    """
    before = jnp.concatenate([jnp.zeros_like(done[:, :1]), done[:, :-1]], 1)
    within = known & (jnp.cumsum(before, 1) == 0)
    discount = jnp.power(gamma, jnp.arange(reward.shape[1]))
    return jnp.sum(jnp.where(within, reward * discount, 0), 1), within.sum(1)


def full_return(
    reward: Float[Array, "T N"],
    next_value: Float[Array, "T N"],
    terminated: Bool[Array, "T N"],
    done: Bool[Array, "T N"],
    gamma: float,
) -> Float[Array, "T N"]:
    """Return R(τ) at each of its env steps: the discounted return of the episode's whole part in these data.

        R_t = G_t if an episode, or its part in the data, begins at t, else R_{t-1}

    with the G of `reward_to_go`, so discounted from where the episode, or that part, begins.

    >>> no, yes = jnp.zeros((3, 1), bool), jnp.array([[False], [True], [False]])
    >>> full_return(jnp.ones((3, 1)), jnp.full((3, 1), 8.0), no, yes, 0.5)[:, 0]
    Array([3.5, 3.5, 5. ], dtype=float32)
    """
    to_go = reward_to_go(reward, next_value, terminated, done, gamma)
    begins = jnp.concatenate([jnp.ones_like(done[:1]), done[:-1]])

    def forward(before, now):
        to_go, begins = now
        current = jnp.where(begins, to_go, before)
        return current, current

    return jax.lax.scan(forward, to_go[0], (to_go, begins))[1]


def n_step_advantage(
    reward: Float[Array, "T N"],
    value: Float[Array, "T N"],
    next_value: Float[Array, "T N"],
    terminated: Bool[Array, "T N"],
    done: Bool[Array, "T N"],
    gamma: float,
    n: int,
) -> Float[Array, "T N"]:
    """Estimate the advantage from n rewards, then V (Mnih et al. 2016, section 4; `n` of the lecture is n - 1 here).

        A⁽¹⁾_t = δ_t = r_t + γ (1 - terminated_t) V(s'_t) - V(s_t)
        A⁽ⁿ⁾_t = δ_t + γ (1 - done_t) A⁽ⁿ⁻¹⁾_{t+1},      A_T = 0

    that is r_t + γ r_{t+1} + ... + γⁿ V(s_{t+n}) - V(s_t), from fewer rewards where the episode or the data
    end before.

    >>> r, v, cut = jnp.ones((3, 1)), jnp.full((3, 1), 8.0), jnp.zeros((3, 1), bool)
    >>> n_step_advantage(r, v, v, cut, cut, gamma=0.5, n=2)[:, 0]
    Array([-4.5, -4.5, -3. ], dtype=float32)
    """
    delta = td_error(reward, value, next_value, terminated, gamma)

    def lengthen(_, adv):
        later = jnp.concatenate([adv[1:], jnp.zeros_like(adv[:1])])
        return delta + gamma * jnp.where(done, 0.0, later)

    return jax.lax.fori_loop(1, n, lengthen, delta)


def td_error(
    reward: Float[Array, "T N"],
    value: Float[Array, "T N"],
    next_value: Float[Array, "T N"],
    terminated: Bool[Array, "T N"],
    gamma: float,
) -> Float[Array, "T N"]:
    """δ_t = r_t + γ (1 - terminated_t) V(s'_t) - V(s_t)."""
    return reward + gamma * jnp.where(terminated, 0.0, next_value) - value


def gae(
    reward: Float[Array, "T N"],
    value: Float[Array, "T N"],
    next_value: Float[Array, "T N"],
    terminated: Bool[Array, "T N"],
    done: Bool[Array, "T N"],
    gamma: float,
    lam: float,
) -> Float[Array, "T N"]:
    """Estimate the advantage by an average over all n (Schulman et al. 2016, eq. 16, with episode ends).

        δ_t = r_t + γ (1 - terminated_t) V(s'_t) - V(s_t)
        A_t = δ_t + γ λ (1 - done_t) A_{t+1},      A_T = 0

    `next_value` is V of the *true* successor s'_t, also where an episode ended. `terminated` stops the
    bootstrap; `done` (terminated or truncated) stops the sum: so a time limit bootstraps from s'_t but
    nothing leaks in from the next episode. λ = 0 gives the TD error, λ = 1 the return minus V.

    >>> r, v, cut = jnp.ones((2, 1)), jnp.zeros((2, 1)), jnp.zeros((2, 1), bool)
    >>> gae(r, v, 10 + v, cut, jnp.ones((2, 1), bool), gamma=0.5, lam=1.0)[:, 0]
    Array([6., 6.], dtype=float32)
    """
    delta = td_error(reward, value, next_value, terminated, gamma)

    def backup(later, now):
        delta, done = now
        current = delta + gamma * lam * jnp.where(done, 0.0, later)
        return current, current

    return jax.lax.scan(backup, jnp.zeros_like(delta[0]), (delta, done), reverse=True)[1]


def explained_variance(prediction: Array, target: Array) -> Array:
    """Return 1 - Var(target - prediction) / Var(target): 1 is perfect, 0 is no better than a constant.

    NaN-free: a target without variance gives 0.
    """
    variance = jnp.var(target)
    return jnp.where(variance > 0, 1 - jnp.var(target - prediction) / jnp.maximum(variance, 1e-12), 0.0)


def standardise(x: Array) -> Array:
    """Return (x - mean) / (std + 1e-8) over all entries; a constant becomes zeros.

    What rounding leaves of a constant must not be divided by itself, however the compiler sums: a deviation of a few
    units in the last place of the largest entry counts as none.

    >>> standardise(jnp.array([1.0, 3.0])), standardise(jnp.full(3, 0.1))
    (Array([-1.,  1.], dtype=float32), Array([0., 0., 0.], dtype=float32))
    """
    centred = x - x.mean()
    std = centred.std()
    rounding = 4 * jnp.finfo(x.dtype).eps * jnp.abs(x).max()
    return jnp.where(std > rounding, centred / (std + 1e-8), 0.0)


def k3(ratio: Array) -> Array:
    """Estimate KL(old || new) from samples of the old policy: mean(ratio - 1 - log ratio) >= 0 (Schulman 2020)."""
    return jnp.mean(ratio - 1 - jnp.log(ratio))


def huber(error: Array, kappa: float = 1.0) -> Array:
    """Return e²/2 within ±κ, and κ (|e| - κ/2) beyond: the square whose gradient is clipped to ±κ.

    >>> huber(jnp.array([0.5, -3.0]))
    Array([0.125, 2.5  ], dtype=float32)
    """
    size = jnp.abs(error)
    return jnp.where(size <= kappa, 0.5 * error**2, kappa * (size - 0.5 * kappa))


def project_categorical(
    value: Float[Array, "B M"], p: Float[Array, "B M"], support: Float[Array, " M"]
) -> Float[Array, "B M"]:
    """Move probabilities `p` at any places `value` to the atoms of `support` (Bellemare et al. 2017, eq. 7).

        m_i = Σ_j p_j [ 1 - |clip(value_j) - z_i| / Δz ]₀¹,      Δz the distance of neighbouring atoms

    Each mass is shared by the two atoms beside it in proportion to their nearness, and stays whole where it
    falls on an atom; so the sum is kept, and the mean too where nothing is clipped.

    >>> project_categorical(jnp.array([[0.25, 1.0]]), jnp.array([[0.8, 0.2]]), jnp.array([0.0, 1.0]))
    Array([[0.6, 0.4]], dtype=float32)
    """
    spacing = (support[-1] - support[0]) / (len(support) - 1)
    value = jnp.clip(value, support[0], support[-1])
    share = jnp.clip(1 - jnp.abs(value[..., None, :] - support[:, None]) / spacing, 0, 1)  # [B, i, j]
    return jnp.sum(share * p[..., None, :], -1)


def quantile_huber(
    quantile: Float[Array, "B M"], target: Float[Array, "B K"], kappa: float = 1.0
) -> Float[Array, " B"]:
    """Return the quantile Huber loss of M quantiles against K samples of the target (Dabney et al. 2018, eq. 10).

        Σ_i mean_j |τ_i - 1(u_ij < 0)| huber_κ(u_ij) / κ,      u_ij = target_j - quantile_i,  τ_i = (2i - 1) / 2M

    As κ goes to 0, huber_κ(u) / κ goes to |u|: κ = 0 is the plain quantile regression of QR-DQN-0 (eq. 8).

    >>> quantile_huber(jnp.array([[0.0, 0.0]]), jnp.array([[1.0]]))
    Array([0.5], dtype=float32)
    >>> quantile_huber(jnp.array([[0.0, 0.0]]), jnp.array([[1.0]]), kappa=0.0)
    Array([1.], dtype=float32)
    """
    m = quantile.shape[-1]
    tau = (jnp.arange(m) + 0.5) / m
    u = target[..., None, :] - quantile[..., :, None]  # [B, i, j]
    weight = jnp.abs(tau[:, None] - (u < 0))
    # u² / 2κ within ±κ, |u| - κ/2 beyond. κ is divided by only where it is not 0, so that no gradient is NaN there.
    size, inside = jnp.abs(u), 0.5 * jnp.square(u) / jnp.where(kappa > 0, kappa, 1.0)
    huber_by_kappa = jnp.where(size <= kappa, inside, size - 0.5 * kappa)
    return jnp.sum(jnp.mean(weight * huber_by_kappa, -1), -1)
