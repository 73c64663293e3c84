"""What runs for moments is compiled with few optimisations, apart from what is compiled to run for long."""

import logging
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import swingup
from conftest import Compiled
from swingup import runs
from swingup.algos.q_learning import QLearning
from swingup.training import brief


@brief.brief("power")
def raised(x, *, power):
    """Not compiled, it would be called with arrays that have numbers."""
    assert isinstance(x, jax.core.Tracer)
    return x**power


def test_it_is_jit_with_fewer_optimisations_on_a_cpu():
    assert jax.default_backend() == "cpu"
    assert brief.quick() == {"compiler_options": {"xla_backend_optimization_level": 1}}
    np.testing.assert_array_equal(raised(jnp.arange(4.0), power=2), [0, 1, 4, 9])
    np.testing.assert_array_equal(raised(jnp.arange(4.0), power=3), [0, 1, 8, 27])


@pytest.mark.parametrize("within", [jax.jit, jax.vmap, jax.grad, lambda f: partial(jax.eval_shape, f)])
def test_where_its_caller_is_traced_it_is_a_part_of_that(within):
    """JAX refuses options of a program within a program."""

    def caller(x):
        return raised(x, power=2).sum()

    within(caller)(jnp.ones(3))


@pytest.mark.parametrize("seeds", [1, 2])
def test_another_thread_has_compiled_the_final_evaluation_so_this_one_does_not(seeds):
    """JAX's log of this thread has the chunk of training, and neither evaluation: greedy, and with noise."""
    compiled, log = Compiled(), logging.getLogger("jax")
    jax.clear_caches()
    log.addHandler(compiled)
    try:
        with jax.log_compiles():
            algo = QLearning(num_envs=2, num_steps=3)
            swingup.train(algo, "tabular:Chain", env_steps=12, seeds=seeds, episodes=25)
    finally:
        log.removeHandler(compiled)
    assert compiled.count("_device_chunk") == 1
    assert compiled.count("_first") == compiled.count("_on") == 0


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_run_that_goes_on_compiles_it_when_it_is_needed(seeds, tmp_path):
    compiled, log = Compiled(), logging.getLogger("jax")
    run = swingup.train(
        QLearning(num_envs=2, num_steps=3), "tabular:Chain", env_steps=300, seeds=seeds, out=tmp_path / "a"
    )
    jax.clear_caches()
    log.addHandler(compiled)
    try:
        with jax.log_compiles():
            runs.resume(run.path, env_steps=600)
    finally:
        log.removeHandler(compiled)
    assert compiled.count("_on") == 2
