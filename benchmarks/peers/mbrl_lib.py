# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""Train mbrl-lib's PETS once, with the settings that it is told, and print what each trial earned.

Run as `python -m peers.mbrl_lib '{"env": ..., "seed": 0, ...}'` by the interpreter of mbrl-lib. Prints a line of JSON.
"""

import csv
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def configuration(s: dict[str, Any]) -> Any:
    """Write the settings as mbrl-lib's own configuration; what is not told is that of its cart-pole.

    Newer versions of Hydra build inner objects first, where `_recursive_` does not forbid it; mbrl-lib builds its own.
    """
    from omegaconf import OmegaConf

    net = {
        "_target_": "mbrl.models.GaussianMLP", "_recursive_": False, "device": "cpu", "in_size": "???",
        "out_size": "???",
        "num_layers": len(s["hidden"]), "hid_size": s["hidden"][0], "ensemble_size": s["members"],
        "deterministic": s["deterministic"], "propagation_method": "random_model", "learn_logvar_bounds": False,
        "activation_fn_cfg": {"_target_": "torch.nn.SiLU"},
    }  # fmt: skip
    optimiser = {
        "_target_": "mbrl.planning.CEMOptimizer", "num_iterations": s["search_iterations"],
        "elite_ratio": s["elites"] / s["candidates"], "population_size": s["candidates"], "alpha": s["momentum"],
        "lower_bound": "???", "upper_bound": "???", "return_mean_elites": True, "device": "cpu",
        "clipped_normal": False,
    }  # fmt: skip
    agent = {
        "_target_": "mbrl.planning.TrajectoryOptimizerAgent", "_recursive_": False, "action_lb": "???",
        "action_ub": "???",
        "planning_horizon": s["horizon"], "optimizer_cfg": optimiser, "replan_freq": 1, "verbose": False,
    }  # fmt: skip
    algorithm = {
        "name": "pets", "agent": agent, "normalize": True, "normalize_double_precision": True,
        "target_is_delta": True, "initial_exploration_steps": s["trial"], "freq_train_model": s["refit"],
        "learned_rewards": True, "num_particles": s["particles"],
    }  # fmt: skip
    overrides = {
        "env": f"gym___{s['env']}", "term_fn": "no_termination", "learned_rewards": True, "trial_length": s["trial"],
        "num_steps": s["env_steps"] - s["trial"], "num_elites": s["members"], "model_lr": s["lr"],
        "model_wd": s["decay"],
        "model_batch_size": s["batch_size"], "validation_ratio": 0.2, "patience": 25,
        "num_epochs_train_model": s["epochs"],
    }  # fmt: skip
    return OmegaConf.create(
        {"seed": s["seed"], "device": "cpu", "debug_mode": False, "log_frequency_agent": 1000}
        | {"dynamics_model": net, "algorithm": algorithm, "overrides": overrides}
    )


def main() -> None:
    """Train, and print the trials and the seconds."""
    settings = json.loads(sys.argv[1])
    import gymnasium
    import numpy as np
    import torch
    from mbrl.algorithms import pets
    from mbrl.env.termination_fns import no_termination

    torch.set_num_threads(1)
    torch.manual_seed(settings["seed"])
    np.random.seed(settings["seed"])  # noqa: NPY002 (the generator that mbrl-lib draws from)
    cfg = configuration(settings)
    env = gymnasium.make(settings["env"])
    env.reset(seed=settings["seed"])
    env.action_space.seed(settings["seed"])
    began, clock = time.process_time(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        pets.train(env, no_termination, None, cfg, work_dir=folder)
        rows = list(csv.DictReader((Path(folder) / "results.csv").open()))
    trials = [
        [
            settings["trial"] + int(float(r["env_step"])),
            float(np.asarray(json.loads(r["episode_reward"])).sum()),
        ]
        for r in rows
    ]
    seconds = {"seconds": time.process_time() - began, "clock": time.perf_counter() - clock}
    print(json.dumps({"trials": trials, **seconds, "finished_at": time.time()}), flush=True)


if __name__ == "__main__":
    main()
