"""Platt scaling per label: the affine map of a logit that makes its sigmoid a probability on held-out data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit


@dataclass(frozen=True)
class Scaling:
    """`scale`, `bias` float32 `[l]` (1 and 0 where `fitted` is False); mean negative log-likelihood on known cells."""

    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    fitted: NDArray[np.bool_]
    nll_before: float
    nll_after: float

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return plain data per label for `calibration.json`."""
        rows = zip(labels, self.scale.tolist(), self.bias.tolist(), self.fitted.tolist(), strict=True)
        return {label: {"scale": scale, "bias": bias, "fitted": fitted} for label, scale, bias, fitted in rows}


def fit_scaling(logits: NDArray[np.float32], truth: NDArray[np.float32], min_rows: int) -> Scaling:
    """Fit every label with at least `min_rows` known rows of each class.

    Maximum likelihood with Platt's smoothed targets ("Probabilistic Outputs for Support Vector Machines", 1999): a
    separable label gets no infinite scale. The scale is kept positive: calibration must not change the ranking.

    Args:
        logits: `[n, l]`.
        truth: `[n, l]` with NaN for unknown.
        min_rows: of either class.
    """
    count = logits.shape[1]
    scale, bias = np.ones(count, np.float32), np.zeros(count, np.float32)
    fitted = np.zeros(count, bool)
    for label in range(count):
        known = ~np.isnan(truth[:, label])
        positives = int((truth[known, label] == 1).sum())
        if min(positives, int(known.sum()) - positives) >= min_rows:
            scale[label], bias[label] = _platt(logits[known, label], truth[known, label])
            fitted[label] = True
    return Scaling(scale, bias, fitted, _nll(logits, truth), _nll(logits * scale + bias, truth))


def _platt(logits: NDArray[np.float32], truth: NDArray[np.float32]) -> tuple[float, float]:
    positives = float(truth.sum())
    negatives = len(truth) - positives
    target = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    z = logits.astype(np.float64)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale = np.exp(parameters[0])
        scaled = scale * z + parameters[1]
        error = expit(scaled) - target
        value = np.logaddexp(0, scaled) - target * scaled
        return float(value.mean()), np.array([(error * scale * z).mean(), error.mean()])

    best = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-3, 3), (-20, 20)])
    return float(np.exp(best.x[0])), float(best.x[1])


def _nll(logits: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    known = ~np.isnan(truth)
    if not known.any():
        return 0.0
    z, y = logits[known].astype(np.float64), truth[known]
    return round(float((np.logaddexp(0, z) - y * z).mean()), 6)
