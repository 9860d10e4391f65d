"""The metrics themselves: one figure per column over the rows that know it.

`evaluate` keeps what `add_batch` collects in a cache on disk; here it stays in memory.
"""

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import evaluate
import numpy as np
from datasets import Features, List, Value
from numpy.typing import NDArray

from pipelines.measure.accuracy import average_precision, calibration_error, confusion, macro_f1

Scores = NDArray[np.float32]


class _MaskedMetric(evaluate.Metric):
    """A figure per column over the rows that know it, and the mean over the columns that have one."""

    figure = ""
    summary = ""

    def __init__(self, **options: Any) -> None:
        # evaluate makes a cache folder even for a metric in memory, by default in the home of the user
        self._cache = tempfile.TemporaryDirectory(prefix="metrics-")
        super().__init__(keep_in_memory=True, cache_dir=self._cache.name, **options)

    def _info(self) -> evaluate.MetricInfo:
        column = List(Value("float32"))
        return evaluate.MetricInfo(
            description=self.summary,
            citation="",
            inputs_description="predictions: scores [n, labels]; references: 1, 0 or NaN (unknown) [n, labels].",
            features=Features({"predictions": column, "references": column}),
        )

    def _summarise(
        self, predictions: Sequence[Sequence[float]], references: Sequence[Sequence[float]], of: Callable[..., float]
    ) -> dict[str, Any]:
        scores, truth = np.asarray(predictions, np.float32), np.asarray(references, np.float32)
        columns = [of(truth[:, i], scores[:, i]) for i in range(truth.shape[1])]
        defined = [value for value in columns if np.isfinite(value)]
        per_label = [value if np.isfinite(value) else None for value in columns]
        mean = float(np.mean(defined)) if defined else None
        return {self.figure: mean, "per_label": per_label, "labels": len(defined)}


class MaskedMacroF1(_MaskedMetric):
    """Mean F1 of the two classes at a threshold; `compute(…, threshold=0.5)`."""

    figure = "macro_f1"
    summary = "Macro-F1 of the two classes of each label over the rows that know it, averaged over labels."

    def _compute(self, predictions: Any, references: Any, threshold: float = 0.5) -> dict[str, Any]:
        def of(truth: Scores, scores: Scores) -> float:
            known = ~np.isnan(truth)
            if len(np.unique(truth[known])) < 2:
                return float("nan")
            return float(macro_f1(confusion(truth, scores >= threshold).sum(axis=0)))

        return self._summarise(predictions, references, of)


class MultiLabelAveragePrecision(_MaskedMetric):
    """Average precision."""

    figure = "average_precision"
    summary = "Average precision of each label over the rows that know it, averaged over labels."

    def _compute(self, predictions: Any, references: Any) -> dict[str, Any]:
        return self._summarise(predictions, references, average_precision)


class ExpectedCalibrationError(_MaskedMetric):
    """Calibration error over bins of equal mass; `compute(…, bins=15)`."""

    figure = "calibration_error"
    summary = "Expected calibration error of each label over bins of equal mass, averaged over labels."

    def _compute(self, predictions: Any, references: Any, bins: int = 15) -> dict[str, Any]:
        return self._summarise(predictions, references, lambda truth, scores: calibration_error(truth, scores, bins))
