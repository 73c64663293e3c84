"""A person reads this before and after training."""

import shlex
from pathlib import Path
from typing import Any, TextIO


def resume(out: Path, devices: int | None = None) -> str:
    """Return the command that goes on with a run."""
    return shlex.join(["swingup", "resume", str(out), *(["--devices", str(devices)] if devices else [])])


def header(e: Any, out: Path, known: Any, human: TextIO, devices: int | None = None) -> None:
    """Print device, seeds, run directory, and the settings that differ from the algorithm's defaults."""
    import jax

    from swingup.runs.settings import changed

    device = jax.devices()[0]
    first, last = e.seeds[0], e.seeds[-1]
    differing = "   ".join(f"{n}={v}" for n, v in changed(e.algo).items())
    source = known.about if e.algo == known.algo else f"changed from {known.about}"
    what = "environments" if len(e.seeds) % (devices or 1) else "seeds"
    sharing = f", {devices} of them share the {what}" if (devices or 1) > 1 else ""
    print(f"device      {device.device_kind} ({device.platform}){sharing}", file=human)
    print(f"seeds       {first}" + (f" to {last}" if last > first else ""), file=human)
    print(f"directory   {out}", file=human)
    print(f"settings    {source}" + (f"\n            {differing}" if differing else ""), file=human)
    print(f"training    {e.env_steps:,} env steps per seed; compiling ...", file=human, flush=True)


def report(run: Any, out: Path, human: TextIO) -> None:
    """Print the final evaluation per seed, mean and interval, speeds, and what to do next."""
    import numpy as np

    from swingup.statistics import mean_ci

    r = run.result
    scores = run.final_return
    shown = "  ".join(f"{x:.1f}" for x in scores[:20]) + ("  ..." if len(scores) > 20 else "")
    if run.diverged:
        print(f"\n{len(run.diverged)} of {len(scores)} seeds have diverged", file=human)
    low, high = mean_ci(scores)
    interval = f", 95 % CI [{low:.1f}, {high:.1f}]" if low == low else " (an interval needs 3 seeds or more)"
    speed = (
        f"{r['steps_per_second']:,.0f} env steps/s in all"
        if r["steps_per_second"]
        else "nothing left to train"
    )
    kind = f"{r['evaluation']['episodes']} greedy episodes each"
    run_, cut = shlex.quote(str(out)), sum(r["evaluation"]["cut"])
    cuts = f"; {cut} were cut after {r['evaluation']['limit']:,} env steps" if cut else ""
    print(f"\nfinal return per seed ({kind}{cuts})   {shown}", file=human)
    print(
        f"mean over {len(scores)} seed{'s' * (len(scores) > 1)}   {scores.mean():.1f}{interval}", file=human
    )
    noisy = r["evaluation"]["stochastic"]
    print(
        f"with the policy's own noise   {np.mean(noisy['return']):.1f} ({noisy['episodes']} episodes each)",
        file=human,
    )
    if r["env"].startswith("probe:"):
        probe(run, human)
    if r["evaluation"]["env"] != r["env"]:
        print(f"evaluated in {r['evaluation']['env']}: whole games", file=human)
    print(f"{speed}; compiled in {r['compile_seconds']:.1f} s, ran {r['run_seconds']:.1f} s", file=human)
    print(f"curve: {out / 'curve.png'}", file=human)
    print(f"next:  swingup play {run_} --out agent.gif", file=human)
    print(f"       swingup evaluate {run_} --episodes 1000", file=human)
    print(f"       {resume(out)} --env-steps {2 * r['env_steps']}", file=human, flush=True)


def probe(run: Any, human: TextIO) -> None:
    """Print what a probe's values and best actions are, what each seed has learnt of them, and where to look if not."""
    import jax
    import jax.numpy as jnp

    from swingup.envs.probes import PROBES

    algo, learner, seeds = run.experiment.algo, run.state.learner, run.experiment.seeds[:10]
    task = PROBES[run.result["env"].partition(":")[2]]()
    print(f"{'what the probe asks':<24}{'right':>8}   learnt, per seed", file=human)
    for obs, (value, action) in task.solution(algo.gamma).items():
        batch = jnp.array([obs])
        learnt = jax.vmap(lambda one: algo.value(one, batch)[0])(learner)[: len(seeds)]  # noqa: B023
        shown = "  ".join(f"{x:.2f}" for x in learnt)
        print(f"{f'V at {obs[0]:g}':<24}{value:8.2f}   {shown}", file=human)
        if action is not None:
            taken = "  ".join(f"{run.policy(obs, seed).item():.4g}" for seed in seeds)
            print(f"{f'best action at {obs[0]:g}':<24}{action:8.4g}   {taken}", file=human)
    print(f"if they differ, look at {task.failure}", file=human)
