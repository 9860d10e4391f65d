import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_data import make_taxonomy

from pipelines.bundle.runtime import decide
from pipelines.measure.operating_points import OperatingPointsConfig, calibrate_operating_points
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Action

CONFIG = OperatingPointsConfig(resamples=200, min_positives=10)


def calibrate(truth, scores, action, groups=None):
    taxonomy = make_taxonomy(act=action)
    groups = [None] * len(truth) if groups is None else groups
    truth, scores = np.asarray(truth, np.float32), np.asarray(scores, np.float32)
    return calibrate_operating_points(truth, scores, taxonomy, groups, 0, CONFIG)["actions"]["act"]


def noisy(positives, negatives, seed=0):
    """Scores of two overlapping classes."""
    generator = np.random.default_rng(seed)
    scores = np.concatenate([generator.beta(4, 2, positives), generator.beta(2, 4, negatives)])
    return np.repeat([1.0, 0.0], [positives, negatives]), scores.astype(np.float32)


def brute_force(truth, scores, action):
    """Return the most recall that any threshold gives within the constraints."""
    best = 0.0
    for threshold in scores:
        flagged = scores >= threshold
        recall, rate = flagged[truth == 1].mean(), flagged[truth == 0].mean()
        precision = truth[flagged].mean()
        if action.prior is not None:
            precision = recall * action.prior / (recall * action.prior + rate * (1 - action.prior))
        meets = precision >= (action.min_precision or 0) and recall >= (action.min_recall or 0)
        if meets and rate <= (action.max_false_positive_rate or 1):
            best = max(best, recall)
    return best


@pytest.mark.parametrize(
    "action",
    [
        Action("行动", "recall", min_precision=0.8),
        Action("行动", "recall", min_precision=0.7, prior=0.3),
        Action("行动", "recall", min_recall=0.5, max_false_positive_rate=0.1),
    ],
)
def test_the_threshold_meets_the_constraints_with_the_most_recall(action):
    truth, scores = noisy(300, 500)
    point = calibrate(truth, scores, action)
    assert point["status"] == "supported"
    assert point["reason"] is None
    assert point["recall"]["value"] == pytest.approx(brute_force(truth, scores, action))
    assert point["precision"]["value"] >= (action.min_precision or 0)
    assert point["false_positive_rate"]["value"] <= (action.max_false_positive_rate or 1)
    for name in ("precision", "recall", "false_positive_rate"):
        assert point[name]["low"] <= point[name]["value"] <= point[name]["high"]


def test_most_precision_within_a_recall():
    truth, scores = noisy(300, 500)
    point = calibrate(truth, scores, Action("行动", "precision", min_recall=0.5))
    more = calibrate(truth, scores, Action("行动", "recall", min_recall=0.5))
    assert point["recall"]["value"] >= 0.5
    assert point["precision"]["value"] > more["precision"]["value"]
    assert more["recall"]["value"] == 1.0


def test_the_point_holds_no_more_than_the_format_and_is_plain_json():
    truth, scores = noisy(50, 50)
    point = calibrate(truth, scores, Action("行动", "recall", min_precision=0.6))
    expected = {"status", "reason", "label", "unit", "prior", "threshold", "n"}
    assert set(point) == expected | {"precision", "recall", "false_positive_rate"}
    assert point["label"] == "violation"
    assert point["n"] == 100
    json.dumps(point, allow_nan=False)


def test_unknown_rows_take_no_part():
    truth, scores = noisy(100, 100)
    action = Action("行动", "recall", min_precision=0.7)
    more_truth = np.concatenate([truth, np.full(40, np.nan)])
    more_scores = np.concatenate([scores, np.linspace(0, 1, 40, dtype=np.float32)])
    assert calibrate(more_truth, more_scores, action) == calibrate(truth, scores, action)


def assert_unsupported(point, reason):
    assert point["status"] == "unsupported"
    assert point["threshold"] is None
    assert point["precision"]["value"] is point["recall"]["value"] is None
    assert reason in point["reason"]


def test_too_few_negatives_to_see_a_rare_false_alarm():
    truth, scores = [1.0] * 50 + [0.0] * 5000, [0.9] * 50 + [0.1] * 5000
    rare = Action("行动", "recall", max_false_positive_rate=1e-4)
    assert_unsupported(calibrate(truth, scores, rare), "at least 30000 are needed")
    enough = calibrate([1.0] * 50 + [0.0] * 30000, [0.9] * 50 + [0.1] * 30000, rare)
    assert enough["status"] == "supported"
    assert enough["false_positive_rate"]["value"] == 0.0
    assert enough["false_positive_rate"]["high"] == pytest.approx(3.69 / 30000, rel=0.01)  # two-sided: -ln 0.025


def test_precision_at_a_low_prior_needs_the_false_alarm_rate_it_implies():
    # precision 0.95 at 1 % allows 0.0532 % of false alarms at full recall: 5,643 negatives
    action = Action("行动", "recall", min_precision=0.95, prior=0.01)
    few = calibrate([1.0] * 50 + [0.0] * 5000, [0.9] * 50 + [0.1] * 5000, action)
    assert_unsupported(few, "at least 5643 are needed")
    many = calibrate([1.0] * 50 + [0.0] * 6000, [0.9] * 50 + [0.1] * 6000, action)
    assert many["status"] == "supported"
    assert many["precision"]["low"] < 0.95 < many["precision"]["value"]


def test_a_rate_that_only_low_recall_would_need_is_not_extrapolated_either():
    # half the violations score like the harmless: recall 0.5 at no false alarm, which allows half the rate
    truth = [1.0] * 50 + [0.0] * 6000
    scores = [0.9] * 25 + [0.1] * 25 + [0.1] * 6000
    point = calibrate(truth, scores, Action("行动", "recall", min_precision=0.95, prior=0.01))
    assert_unsupported(point, "at least 11286 are needed")


def test_constraints_that_no_threshold_meets():
    truth, scores = noisy(200, 200)
    point = calibrate(truth, scores[::-1], Action("行动", "recall", min_precision=0.99, min_recall=0.9))
    assert_unsupported(point, "no threshold reaches precision of at least 0.99 and recall of at least 0.9")
    filtered = calibrate(truth, scores, Action("行动", "recall", min_recall=0.99, max_false_positive_rate=0.02))
    assert_unsupported(filtered, "the highest recall within that rate is")


def test_other_units_and_missing_classes():
    truth, scores = noisy(50, 50)
    assert_unsupported(calibrate(truth, scores, Action("行动", "recall", "window", min_recall=0.9)), "acts on a window")
    action = Action("行动", "recall", min_precision=0.5)
    assert_unsupported(calibrate(truth[45:], scores[45:], action), "5 known violations, at least 10")
    assert_unsupported(calibrate(truth[:50], scores[:50], action), "no text is known to be harmless")
    assert_unsupported(calibrate(np.full(9, np.nan), np.ones(9), action), "0 known violations")


def test_texts_of_one_group_widen_the_intervals():
    truth, scores = noisy(100, 100)
    action = Action("行动", "recall", min_precision=0.7)
    copied = [np.repeat(part, 5) for part in (truth, scores)]
    together = calibrate(*copied, action, groups=[str(row // 5) for row in range(1000)])
    apart = calibrate(*copied, action)
    assert together["threshold"] == apart["threshold"]
    assert together["recall"]["high"] - together["recall"]["low"] > apart["recall"]["high"] - apart["recall"]["low"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_the_written_threshold_decides_as_the_figures_say(seed):
    """The threshold goes through JSON and meets float32 scores in the runtime: it must flag the same texts there."""
    truth, scores = noisy(60, 60, seed)
    scores = np.round(scores, 2).astype(np.float32)
    point = json.loads(json.dumps(calibrate(truth, scores, Action("行动", "recall", min_precision=0.6))))
    flagged = decide(scores[:, None], ["violation"], {"act": point})["act"]
    assert flagged[truth == 1].mean() == pytest.approx(point["recall"]["value"])
    assert flagged[truth == 0].mean() == pytest.approx(point["false_positive_rate"]["value"])


def test_a_senseless_minimum_is_refused():
    with pytest.raises(UserError, match="min_positives"):
        calibrate_operating_points(
            np.ones(1, np.float32), np.ones(1, np.float32), make_taxonomy(), [None], 0, OperatingPointsConfig(200, 0)
        )
