"""A thinned curve has every extreme of the whole one, and is never longer than asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_curves import read_csv, write_run

from swingup.plots import style
from swingup.plots.curves import plot
from swingup.plots.thin import thinned


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=300), st.integers(6, 60))
@settings(max_examples=60, deadline=None)
def test_extremes_and_ends_are_kept(values, most):
    values = np.array(values, float)
    kept = thinned(values, most)
    assert len(kept) <= max(most, 2)
    assert (np.diff(kept) > 0).all()
    assert {0, len(values) - 1} <= set(kept)
    assert (values[kept].min(), values[kept].max()) == (values.min(), values.max())
    if len(values) <= most:
        assert len(kept) == len(values)


@pytest.mark.parametrize("where", [1, 777, 9_998])
def test_a_spike_of_one_row_among_ten_thousand_is_drawn(tmp_path, monkeypatch, where):
    monkeypatch.setattr(style, "pictures", lambda figure: {".png": b"", ".svg": b""})
    rows = [[0, i, 10 * i, i / 10, 99.0 if i == where else 1.0, 0] for i in range(10_000)]
    table = read_csv(plot([write_run(tmp_path / "run", rows)], tmp_path / "curve")[2])
    assert len(table) <= 2000
    assert [(r["env_steps"], r["value"]) for r in table if float(r["value"]) > 1] == [(str(10 * where), "99")]


def test_what_a_row_of_pixels_shows_is_kept_everywhere():
    """In each of a hundred equal pieces the drawn range is that of the whole curve, but for its border points."""
    values = np.random.default_rng(0).normal(size=50_000)
    kept = thinned(values, 2 + 2 * 100)
    for piece in np.array_split(np.arange(1, 49_999), 100):
        inside = values[np.intersect1d(kept, piece)]
        assert (inside.min(), inside.max()) == (values[piece].min(), values[piece].max())
