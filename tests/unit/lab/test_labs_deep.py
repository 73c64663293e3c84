"""Demonstrations of the deep-learning recap make claims that hold, and that fail where the cause is removed."""

from typing import Any

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss

from swingup.lab import adam, memory, normalisation, regulariser, reparameterisation, two_layers


def test_a_wrong_gradient_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the factor 1 - tanh² differences and automatic differentiation disagree with it."""

    def wrong(params: Any, x: np.ndarray, y: np.ndarray) -> Any:
        hidden = np.tanh(x @ params.w1.T + params.b1)
        error = 2 / len(x) * (hidden @ params.w2.T + params.b2 - y)
        inner = error @ params.w2
        return two_layers.TwoLayers(inner.T @ x, inner.sum(0), error.T @ hidden, error.sum(0))

    monkeypatch.setattr(two_layers, "two_layers_gradient", wrong)
    monkeypatch.setattr(two_layers, "UPDATES", 1)
    report = two_layers.run(0)
    assert [claim.holds for claim in report.claims] == [False, False, False, False]


def overfitting(noise: float) -> list[bool]:
    """What `regulariser` claims of data with so much noise."""
    x, truth, y = regulariser.data(np.random.default_rng(0), 50, noise)
    w = regulariser.ridge(x, y, regulariser.LAMBDAS)
    train = ((np.einsum("snd,lsd->lsn", x, w) - y) ** 2).mean(-1)
    test = ((w - truth) ** 2).sum(-1) + noise**2
    return [claim.holds for claim in regulariser.judge(np.linalg.norm(w, axis=-1), train, test)]


def test_a_penalty_helps_against_noise_only() -> None:
    """Without noise there is nothing to overfit, and the smallest λ is the best."""
    assert overfitting(1.0) == [True, True]
    assert overfitting(0.0) == [True, False]


def test_ridge_weights_have_no_gradient_left() -> None:
    """Those of the penalised loss, whose gradient is written out here."""
    x, _, y = regulariser.data(np.random.default_rng(1), 2)
    for lam, w in zip(regulariser.LAMBDAS, regulariser.ridge(x, y, regulariser.LAMBDAS), strict=True):
        residual = (x @ w[..., None])[..., 0] - y
        gradient = 2 * np.einsum("snd,sn->sd", x, residual) / x.shape[1] + 2 * lam * w
        np.testing.assert_allclose(gradient, 0, atol=1e-9)


def test_without_a_penalty_adam_and_decay_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _, y = regulariser.data(np.random.default_rng(1), 1)
    for optimiser in ("gradient descent", "adam"):
        penalty, decay = (regulariser.paths(x[0], y[0], optimiser, how, lam=0.0) for how in (False, True))
        np.testing.assert_array_equal(penalty, decay)


def test_with_the_correction_nothing_is_thrown() -> None:
    noise = np.random.default_rng(0).normal(size=(30, 100, 4))
    assert adam.judge(noise)[1].holds
    assert not adam.judge(noise, compared=True)[1].holds


def test_units_that_are_all_alike_are_no_phenomenon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few updates on little data: at one and the same unit no loss depends on the unit."""
    for name, value in {"UNITS": np.ones(2), "RUNS": 2, "SAMPLES": 16, "UPDATES": 3}.items():
        monkeypatch.setattr(normalisation, name, value)
    found = normalisation.measure(0)
    assert all(normalisation.spread(x) < 1 + 1e-5 for losses in found.values() for x in losses.values())
    assert [claim.holds for claim in normalisation.judge(found)] == [False, False]
    assert normalisation.formulas(0).holds


def test_variances_are_those_of_quadrature() -> None:
    """A product of Gauss-Hermite rules, exact for polynomials, in two dimensions."""
    m, s = 0.8, 0.6
    z, w = hermegauss(12)
    first, second = np.meshgrid(z, z)
    weight = np.outer(w, w) / w.sum() ** 2
    f = (m + s * first) ** 2 + (m + s * second) ** 2
    gradients = {
        "pathwise": 2 * (m + s * first),
        "score function": f * first / s,
        "with a baseline": (f - 2 * (m**2 + s**2)) * first / s,
    }
    for name, variance in reparameterisation.variances(2, m, s).items():
        g = gradients[name]
        np.testing.assert_allclose((g * weight).sum(), 2 * m, rtol=1e-9)
        np.testing.assert_allclose((g**2 * weight).sum() - 4 * m**2, variance, rtol=1e-9)


def test_variances_of_an_oscillation_are_those_of_quadrature() -> None:
    m, s, frequency = 0.8, 0.6, np.array([0.3, 1.0, 3.0])
    z, w = hermegauss(80)
    w = w / w.sum()
    x = m + s * z
    for i, k in enumerate(frequency):
        for g, found in zip(
            (k * np.cos(k * x), np.sin(k * x) * z / s),
            reparameterisation.oscillation(frequency, m, s),
            strict=True,
        ):
            np.testing.assert_allclose((g**2) @ w - (g @ w) ** 2, found[i], rtol=1e-6)


def test_equal_estimators_or_wrong_truths_are_no_phenomenon() -> None:
    """If the pathwise gradient was the score function's, or the truth another, the claims would not hold."""
    rng = np.random.default_rng(0)
    found = reparameterisation.means(rng, reparameterisation.truths())
    measured = {d: reparameterisation.sampled(rng, d) for d in (1, 64)}
    assert all(claim.holds for claim in reparameterisation.judge(found, measured))
    same = {d: x | {"pathwise": x["score function"]} for d, x in measured.items()}
    assert not reparameterisation.judge(found, same)[1].holds
    truths = {name: (f, 1.1 * a, 1.1 * b) for name, (f, a, b) in reparameterisation.truths().items()}
    assert not reparameterisation.judge(reparameterisation.means(rng, truths), measured)[0].holds


def test_memory_is_judged_by_its_worst_seed_and_the_present_by_chance() -> None:
    rng = np.random.default_rng(0)
    chance, solved = rng.binomial(64, 0.25, size=(4, 40)) / 64, np.full((4, 40), 0.95)
    one_fails = solved.copy()
    one_fails[2] = 0.5
    for curves, holds in (
        ((solved, solved, chance), [True, True, True]),
        ((one_fails, chance, solved), [False, False, False]),
    ):
        claims = memory.judge(dict(zip(memory.WAYS, curves, strict=True)), 64)
        assert [claim.holds for claim in claims] == holds


@pytest.mark.slow
def test_an_lstm_of_the_present_has_no_memory() -> None:
    """The cause removed: the same LSTM with a window of one is at chance."""
    found = memory.train({"LSTM": ("lstm", 1)}, range(4))
    assert not memory.judge(found, 64)[0].holds
    assert memory.judge({"MLP of the present": found["LSTM"]}, 64)[0].holds
