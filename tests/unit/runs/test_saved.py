"""Old runs, from before a month of refactoring, can be loaded, and go on to where they went then.

`saved/` holds for each algorithm a run that was stopped half-way, and the same run at its end: both as commit 5e329f1
wrote them, before modules moved to rooms.
"""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import swingup
from conftest import arrays, late
from swingup import runs
from swingup.runs import checkpoint

SAVED = Path(__file__).parent / "saved"
NAMES = sorted(path.name for path in SAVED.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_an_old_run_loads_to_the_bit(name: str, tmp_path: Path) -> None:
    """Saved again by today's code it has the digest of then."""
    run = swingup.load(SAVED / name / "half")
    run.save(tmp_path / "copy")
    assert checkpoint.digest(tmp_path / "copy" / "checkpoints") == checkpoint.digest(
        SAVED / name / "half" / "checkpoints"
    )
    assert run.final_return.shape == (2,)
    assert run.policy(np.zeros(run.spaces[0].shape)).shape == run.spaces[1].shape


@pytest.mark.filterwarnings("ignore:.*were cut", "ignore:.*no finite ep/return")
@pytest.mark.parametrize("name", late(NAMES, *(name for name in NAMES if name != "sac")))
def test_an_old_run_goes_on_to_where_it_went_then(name: str, tmp_path: Path) -> None:
    """Parameters to rounding, since another processor rounds otherwise; counters and keys to the bit."""
    shutil.copytree(SAVED / name / "half", tmp_path / "run")
    resumed = runs.resume(tmp_path / "run", env_steps=320)
    then = swingup.load(SAVED / name / "whole")
    assert resumed.iteration == then.iteration
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(then.state)[0]]
    compared = set()
    for path, x, y in zip(paths, arrays(resumed.state), arrays(then.state), strict=True):
        if ".params" in path:
            np.testing.assert_allclose(x, y, atol=1e-3, err_msg=path)
            compared.add("parameters")
        elif path.endswith(("key", ".high", ".low")):
            np.testing.assert_array_equal(x, y, err_msg=path)
            compared.add("counters and keys")
    assert len(compared) == 2
