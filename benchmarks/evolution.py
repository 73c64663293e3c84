"""Measure how many generations our CMA-ES needs on two functions, beside pycma and evosax.

    python benchmarks/evolution.py                        ours
    python benchmarks/evolution.py --only pycma evosax    where these are installed
    python benchmarks/evolution.py --table                only rewrite the table from the stored results

All have the same 10 dimensions, 10 candidates (the usual number there), first guess, step size and target; restarts and
other reasons to stop are off. Each seed's generations are stored in `benchmarks/results/evolution.json`. `pycma` and
`evosax` are no dependencies: put them in an environment of their own, in which swingup need not be.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "evolution.json"
DIMENSIONS, POPULATION, STEP, TARGET, MOST = 10, 10, 0.5, 1e-8, 3000
FIRST = {"sphere": 1.0, "Rosenbrock": 0.0}  # every entry of the first guess


def value(name: str, x: Any) -> Any:
    """Return the function's values [...] of x [..., n], for NumPy and for JAX; both have their minimum at 0."""
    if name == "sphere":
        return (x**2).sum(-1)
    return (100 * (x[..., 1:] - x[..., :-1] ** 2) ** 2 + (1 - x[..., :-1]) ** 2).sum(-1)


def ours(name: str, seeds: int) -> list[int]:
    """Run the library's, all seeds side by side, in float32."""
    import jax
    import jax.numpy as jnp

    from swingup.evolution import candidates, evolution, evolve

    def one(key: Any) -> Any:
        def generation(carry: Any) -> Any:
            now, key, count, best = carry
            key, drawn = jax.random.split(key)
            epsilon = jax.random.normal(drawn, (POPULATION, DIMENSIONS))
            found = value(name, candidates(now, epsilon))
            return evolve(now, epsilon, -found), key, count + 1, jnp.minimum(best, found.min())

        begun = evolution(jnp.full(DIMENSIONS, FIRST[name]), STEP), key, 0, jnp.inf
        return jax.lax.while_loop(lambda c: (c[3] > TARGET) & (c[2] < MOST), generation, begun)[2]

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), seeds))).tolist()


def pycma(name: str, seeds: int) -> list[int]:
    """Run Hansen's own."""
    import cma  # pyright: ignore[reportMissingImports]

    found = []
    for seed in range(1, seeds + 1):
        rules = {
            "seed": seed,
            "verbose": -9,
            "ftarget": TARGET,
            "maxiter": MOST,
            "tolfun": 0,
            "tolfunhist": 0,
        }
        search = cma.CMAEvolutionStrategy(np.full(DIMENSIONS, FIRST[name]), STEP, rules)
        assert search.popsize == POPULATION
        search.optimize(lambda x: float(value(name, np.asarray(x))))
        found.append(search.countiter if search.result.fbest <= TARGET else MOST)
    return found


def evosax(name: str, seeds: int) -> list[int]:
    """Run evosax's, one seed after the other."""
    import jax
    import jax.numpy as jnp
    from evosax.algorithms import CMA_ES  # pyright: ignore[reportMissingImports]

    search = CMA_ES(population_size=POPULATION, solution=jnp.zeros(DIMENSIONS))
    params = search.default_params.replace(std_init=STEP)

    @jax.jit
    def generation(state: Any, key: Any) -> Any:
        k_ask, k_tell = jax.random.split(key)
        tried, state = search.ask(k_ask, state, params)
        found = value(name, tried)
        state, _ = search.tell(k_tell, tried, found, state, params)
        return state, found.min()

    counts = []
    for seed in range(seeds):
        key = jax.random.key(seed)
        state, best, count = search.init(key, jnp.full(DIMENSIONS, FIRST[name]), params), np.inf, 0
        while best > TARGET and count < MOST:
            state, least = generation(state, jax.random.fold_in(key, count))
            best, count = min(best, float(least)), count + 1
        counts.append(count)
    return counts


WHO: dict[str, tuple[Callable[[str, int], list[int]], str]] = {
    "swingup": (ours, "swingup"),
    "pycma": (pycma, "cma"),
    "evosax": (evosax, "evosax"),
}


def table(stored: dict[str, Any]) -> str:
    """Write the results as Markdown."""
    lines = [
        "# Generations of CMA-ES",
        "",
        "| function | implementation | seeds | median | quartiles | against pycma | failed | CPU seconds |",
        "|---" * 8 + "|",
    ]
    for name in FIRST:
        base = stored["pycma"][name]["generations"] if "pycma" in stored else None
        for who in (w for w in WHO if w in stored):
            x = stored[who][name]["generations"]
            low, middle, high = np.percentile(x, [25, 50, 75])
            ratio = f"{100 * (middle / statistics.median(base) - 1):+.0f} %" if base else "–"
            cells = (
                name,
                stored[who]["version"],
                str(len(x)),
                f"{middle:.0f}",
                f"{low:.0f} to {high:.0f}",
                ratio,
            )
            failed, seconds = sum(n >= MOST for n in x), stored[who][name]["seconds"]
            lines.append(f"| {' | '.join(cells)} | {failed} | {seconds:.1f} |")
    about = (
        f"Generations until a candidate's value is at most {TARGET:g}, in {DIMENSIONS} dimensions, with {POPULATION} "
        f"candidates and a step of {STEP} at the beginning. *Failed*: not within {MOST:,} generations, which on "
        "Rosenbrock's function is its second minimum. CPU seconds are of all seeds, compiling included, of a machine "
        "shared with other jobs."
    )
    return "\n".join([*lines, "", about, "", "Command: `python benchmarks/evolution.py`.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["swingup"], choices=list(WHO))
    parser.add_argument("--seeds", type=int, default=51)
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    stored: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for who in [] if options.table else options.only:
        run, package = WHO[who]
        try:
            number = version(package)
        except PackageNotFoundError:
            number = "of this checkout"
        stored[who] = {"version": f"{who} {number}, Python {platform.python_version()}"}
        for name in FIRST:
            began = time.process_time()
            counts = run(name, options.seeds)
            stored[who][name] = {"generations": counts, "seconds": round(time.process_time() - began, 1)}
            print(who, name, statistics.median(counts), flush=True)
        RESULTS.write_text(json.dumps(stored) + "\n")
    RESULTS.with_suffix(".md").write_text(table(stored))


if __name__ == "__main__":
    main()
