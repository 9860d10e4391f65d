import numpy as np
import pytest

from pipelines.measure import accuracy
from pipelines.measure.metrics import ExpectedCalibrationError, MaskedMacroF1, MultiLabelAveragePrecision


def sample():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, (80, 3)).astype(np.float32)
    truth[generator.random((80, 3)) < 0.3] = np.nan
    truth[:, 2] = np.where(np.isnan(truth[:, 2]), np.nan, 1)  # never known to be absent
    return truth, generator.random((80, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("metric", "figure", "of"),
    [
        (MultiLabelAveragePrecision(), "average_precision", accuracy.average_precision),
        (ExpectedCalibrationError(), "calibration_error", lambda t, s: accuracy.calibration_error(t, s, 15)),
    ],
)
def test_a_metric_says_what_accuracy_says_per_label_and_averages_the_defined_ones(metric, figure, of):
    truth, scores = sample()
    found = metric.compute(predictions=scores, references=truth)
    expected = [of(truth[:, i], scores[:, i]) for i in (0, 1)]
    assert found["per_label"] == [*map(pytest.approx, expected), None]
    assert found[figure] == pytest.approx(np.mean(expected))
    assert found["labels"] == 2


def test_macro_f1_takes_a_threshold_and_leaves_unknown_rows_out():
    truth = [[1.0], [0.0], [float("nan")]]
    scores = [[0.3], [0.1], [0.9]]
    assert MaskedMacroF1().compute(predictions=scores, references=truth, threshold=0.2)["macro_f1"] == 1.0
    assert MaskedMacroF1().compute(predictions=scores, references=truth)["macro_f1"] == pytest.approx(1 / 3)


def test_batches_add_up():
    truth, scores = sample()
    metric = MultiLabelAveragePrecision()
    for start in range(0, 80, 30):
        metric.add_batch(predictions=scores[start : start + 30], references=truth[start : start + 30])
    assert metric.compute() == MultiLabelAveragePrecision().compute(predictions=scores, references=truth)


def test_nothing_known_is_null():
    found = MaskedMacroF1().compute(predictions=[[0.5]], references=[[float("nan")]])
    assert found == {"macro_f1": None, "per_label": [None], "labels": 0}
