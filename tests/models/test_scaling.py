import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import _SigmoidCalibration

from pipelines.models.scaling import fit_scaling


def sample(count: int, scale: float, bias: float, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Return logits `[n, 1]` and labels drawn at expit(scale * logit + bias)."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, size=(count, 1)).astype(np.float32)
    return logits, (random.random((count, 1)) < expit(scale * logits + bias)).astype(np.float32)


@pytest.mark.parametrize(("scale", "bias"), [(0.5, -1.0), (1.0, 0.0), (2.5, 1.5)])
def test_it_agrees_with_scikit_learn(scale: float, bias: float) -> None:
    logits, truth = sample(400, scale, bias)
    ours = fit_scaling(logits, truth, min_rows=20)
    theirs = _SigmoidCalibration().fit(logits[:, 0].astype(np.float64), truth[:, 0])
    assert ours.scale[0] == pytest.approx(-theirs.a_, rel=2e-3)
    assert ours.bias[0] == pytest.approx(-theirs.b_, abs=5e-3)


def test_it_finds_the_map_that_made_the_labels() -> None:
    logits, truth = sample(20_000, 0.4, -2.0)
    ours = fit_scaling(logits, truth, min_rows=20)
    assert ours.scale[0] == pytest.approx(0.4, abs=0.03)
    assert ours.bias[0] == pytest.approx(-2.0, abs=0.06)
    assert ours.nll_after < ours.nll_before


@pytest.mark.parametrize("spread", [1e-6, 1.0, 1e3])
def test_separable_scores_stay_finite(spread: float) -> None:
    truth = np.repeat([0.0, 1.0], 30).astype(np.float32)[:, None]
    ours = fit_scaling((2 * truth - 1) * np.float32(spread), truth, min_rows=20)
    assert np.isfinite([ours.scale[0], ours.bias[0], ours.nll_after]).all()
    assert ours.scale[0] > 0


def test_inverted_scores_keep_their_order() -> None:
    logits, truth = sample(200, 1.0, 0.0)
    assert fit_scaling(-logits, truth, min_rows=20).scale[0] > 0


def test_labels_with_too_few_rows_of_a_class_are_left_alone() -> None:
    logits, truth = sample(100, 1.0, -1.0)
    sparse = np.full_like(truth, np.nan)
    sparse[:60] = 0
    sparse[60:79] = 1  # one positive short
    nothing = np.full_like(truth, np.nan)
    ours = fit_scaling(np.repeat(logits, 3, axis=1), np.concatenate([truth, sparse, nothing], axis=1), min_rows=20)
    assert ours.fitted.tolist() == [True, False, False]
    assert ours.scale[1:].tolist() == [1.0, 1.0]
    assert ours.bias[1:].tolist() == [0.0, 0.0]
    assert ours.to_dict(["a", "b", "c"])["b"] == {"scale": 1.0, "bias": 0.0, "fitted": False}


def test_unknown_rows_do_not_count() -> None:
    logits, truth = sample(300, 1.5, 0.5)
    more = np.concatenate([logits, logits + 9]), np.concatenate([truth, np.full_like(truth, np.nan)])
    assert fit_scaling(*more, min_rows=20).to_dict(["a"]) == fit_scaling(logits, truth, min_rows=20).to_dict(["a"])


def test_nothing_known_is_no_error() -> None:
    ours = fit_scaling(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), min_rows=1)
    assert not ours.fitted.any()
    assert ours.nll_before == ours.nll_after == 0.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-40, 40, width=32), st.sampled_from([0.0, 1.0, np.nan])), min_size=4, max_size=40))
def test_ranking_never_changes(cells: list[tuple[float, float]]) -> None:
    logits = np.array([[score] for score, _ in cells], np.float32)
    ours = fit_scaling(logits, np.array([[label] for _, label in cells], np.float32), min_rows=1)
    scaled = (logits * ours.scale + ours.bias)[:, 0]
    assert np.isfinite(scaled).all()
    assert (np.diff(scaled[np.argsort(logits[:, 0], kind="stable")]) >= 0).all()
