"""What belongs to a part of a run is done there, for the seeds that need it, and is skipped elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np

from swingup.schedules import only


def test_work_is_done_for_the_seeds_that_need_it() -> None:
    """Over seeds too; and if none needs it, it is not done at all, which `lax.cond` under `vmap` cannot do."""
    done: list[float] = []

    def work(x: jax.Array) -> jax.Array:
        jax.debug.callback(lambda value: done.append(float(value)), x)
        return 2 * x

    each = jax.jit(jax.vmap(lambda when, x: only(when, work, x)))
    x = jnp.array([1.0, 3.0])
    np.testing.assert_array_equal(each(jnp.array([False, True]), x), [1.0, 6.0])
    np.testing.assert_array_equal(each(jnp.array([True, True]), x), [2.0, 6.0])
    jax.effects_barrier()
    assert done
    done.clear()
    np.testing.assert_array_equal(each(jnp.array([False, False]), x), x)
    jax.effects_barrier()
    assert not done
