"""Metrics of `evaluate` that leave unknown labels out and need no network (`evaluate.load` asks the hub).

    MaskedMacroF1().compute(predictions=scores, references=truth)

Thin wrappers over `pipelines.measure.accuracy`; `predictions` and `references` are `[n, labels]`, NaN = unknown.
"""

from pipelines.measure.metrics.masked import ExpectedCalibrationError, MaskedMacroF1, MultiLabelAveragePrecision

__all__ = ["ExpectedCalibrationError", "MaskedMacroF1", "MultiLabelAveragePrecision"]
