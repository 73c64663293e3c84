"""Compute the best return that any policy can have on Pendulum's fixed starts, by dynamic programming on a grid.

    python benchmarks/optimum.py

The state has two dimensions, angle and velocity, and nothing is random, so the best return of the env steps that are
left is a function on a plane. It is computed backwards over the 200 env steps, by linear interpolation between the
points of a grid, with the best of equally spaced torques. Three grids, each finer than the last, show what the grid
changes. `benchmarks/models.py` plays MPC from the same starts. Results go to `benchmarks/results/optimum.json`.
"""

import os

os.environ.setdefault("NPROC", "1")

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import arms
from swingup.envs import make
from swingup.training import driver

RESULTS = Path(__file__).parent / "results" / "optimum.json"
STARTS, LIMIT, FASTEST, DT = 50, 200, 8.0, 0.05
GRIDS = (201, 41), (401, 41), (601, 41)  # points of each dimension, and torques


def moved(angle: jax.Array, speed: jax.Array, torque: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return angle, speed and reward after one env step of Gymnasium's Pendulum (g = 10, m = l = 1)."""
    wrapped = (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
    reward = -(wrapped**2 + 0.1 * speed**2 + 0.001 * torque**2)
    speed = jnp.clip(speed + (15.0 * jnp.sin(angle) + 3.0 * torque) * DT, -FASTEST, FASTEST)
    return angle + speed * DT, speed, reward


def best(points: int, torques: int, angle: jax.Array, speed: jax.Array) -> jax.Array:
    """Return the best return of 200 env steps from each start."""
    angles = jnp.arange(points) * 2 * jnp.pi / points  # round and round
    speeds = jnp.linspace(-FASTEST, FASTEST, points)
    torque = jnp.linspace(-2.0, 2.0, torques)

    def value(table: jax.Array, angle: jax.Array, speed: jax.Array) -> jax.Array:
        x = (angle % (2 * jnp.pi)) * points / (2 * jnp.pi)
        y = (speed + FASTEST) * (points - 1) / (2 * FASTEST)
        i, j = jnp.floor(x).astype(int), jnp.clip(jnp.floor(y).astype(int), 0, points - 2)
        u, v = x - i, y - j
        i, after = i % points, (i + 1) % points
        low = table[i, j] * (1 - u) + table[after, j] * u
        high = table[i, j + 1] * (1 - u) + table[after, j + 1] * u
        return low * (1 - v) + high * v

    def choose(table: jax.Array, angle: jax.Array, speed: jax.Array) -> jax.Array:
        def each(most: jax.Array, torque: jax.Array) -> tuple[jax.Array, None]:
            to, fast, reward = moved(angle, speed, torque)
            return jnp.maximum(most, reward + value(table, to, fast)), None

        return jax.lax.scan(each, jnp.full(angle.shape, -jnp.inf), torque)[0]

    @jax.jit
    def solve(angle: jax.Array, speed: jax.Array) -> jax.Array:
        every = jnp.meshgrid(angles, speeds, indexing="ij")

        def back(table: jax.Array, _: None) -> tuple[jax.Array, None]:
            return choose(table, *every), None

        table = jax.lax.scan(back, jnp.zeros((points, points)), None, LIMIT - 1)[0]
        return choose(table, angle, speed)

    return solve(angle, speed)


def main() -> None:
    env = make("gymnax:Pendulum-v1", STARTS)
    obs = env.reset(jax.random.split(driver.root_key(0, "fixed starts"))[0])[1]  # as `evaluate` does
    angle, speed = jnp.arctan2(obs[:, 1], obs[:, 0]), obs[:, 2]
    found = []
    for points, torques in GRIDS:
        began = time.process_time()
        returns = np.asarray(best(points, torques, angle, speed), float)
        row = {
            "points": points,
            "torques": torques,
            "mean": round(float(returns.mean()), 2),
            "returns": returns.round(1).tolist(),
            "seconds": round(time.process_time() - began, 1),
        }
        found.append(row)
        print({key: x for key, x in row.items() if key != "returns"}, flush=True)
        arms.keep(RESULTS, ["grids"], found)


if __name__ == "__main__":
    main()
