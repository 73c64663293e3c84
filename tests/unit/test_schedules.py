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


def test_work_that_does_not_depend_on_what_was_before_is_spared_too() -> None:
    """XLA moves what is the same in each turn of a loop out of it, where it would be done for nobody."""

    def each(when: jax.Array, x: jax.Array) -> jax.Array:
        return only(when, lambda _: x @ x, jnp.zeros((100, 100)))

    seeds = jnp.zeros(2, bool), jnp.ones((2, 100, 100))
    for program, given in (each, (seeds[0][0], seeds[1][0])), (jax.vmap(each), seeds):
        text = str(jax.jit(program).lower(*given).compile().as_text())
        entry = text[text.index("\nENTRY ") :]
        assert "while/body/dot_general" in text
        assert "while/body/dot_general" not in entry
