import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from toy_data import make_rows, make_taxonomy

from pipelines.measure import accuracy
from pipelines.measure.accuracy import AccuracyConfig, LabelledRows
from pipelines.measure.statistics import Resamples
from pipelines.settings.errors import UserError

CONFIG = AccuracyConfig(threshold=0.5, calibration_bins=10, resamples=200, seed=0)
NAN = np.float32(np.nan)


def resamples(n, count=200):
    return Resamples.draw(np.arange(n), count, 0)


def figures(truth, scores, priors=(0.2,)):
    return accuracy.label_figures(truth, scores, resamples(len(truth)), CONFIG, priors)


def noisy(n, seed=0, unknown=0.0):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, n).astype(np.float32)
    scores = np.clip(0.3 * truth + 0.7 * generator.random(n), 0, 1).astype(np.float32)
    truth[generator.random(n) < unknown] = NAN
    return truth, scores


def labelled(n, official=None, slices=None, stances=None, truth=None):
    truth = np.full((n, 4), NAN, np.float32) if truth is None else truth
    official = np.full(n, NAN, np.float32) if official is None else official
    nothing = [None] * n
    return LabelledRows(
        list("i" * n), truth, official, slices or nothing, stances or nothing, nothing, nothing, resamples(n)
    )


def test_every_figure_is_sklearns_on_the_known_rows():
    truth, scores = noisy(500, unknown=0.3)
    found = figures(truth, scores)
    known = ~np.isnan(truth)
    y, s = truth[known], scores[known]
    expected = {
        "precision": metrics.precision_score(y, s >= 0.5),
        "recall": metrics.recall_score(y, s >= 0.5),
        "f1": metrics.f1_score(y, s >= 0.5),
        "macro_f1": metrics.f1_score(y, s >= 0.5, average="macro"),
        "average_precision": metrics.average_precision_score(y, s),
        "prevalence": y.mean(),
    }
    assert {name: found[name]["value"] for name in expected} == pytest.approx(expected)
    assert (found["n_known"], found["n_positive"]) == (len(y), int(y.sum()))
    assert found["recall"]["n"] == int(y.sum())
    assert all(found[name]["low"] < found[name]["value"] < found[name]["high"] for name in expected)


def test_rows_of_unknown_truth_change_no_figure():
    truth, scores = noisy(200)
    more_truth = np.concatenate([truth, np.full(50, NAN)]).astype(np.float32)
    more_scores = np.concatenate([scores, np.ones(50)]).astype(np.float32)
    fewer, more = figures(truth, scores), figures(more_truth, more_scores)
    values = [{name: f[name]["value"] for name in accuracy._FIGURES} for f in (fewer, more)]
    assert values[0] == pytest.approx(values[1])


@pytest.mark.parametrize("known", [[1, 1, 1], [0, 0, 0], [NAN, NAN, NAN]])
def test_a_label_without_both_classes_is_null_with_n_and_never_zero(known):
    truth = np.array([*known, NAN], np.float32)
    found = figures(truth, np.full(4, 0.9, np.float32))
    n = int((~np.isnan(truth)).sum())
    assert found["n_known"] == n
    for name in accuracy._FIGURES:
        assert found[name] == {"value": None, "low": None, "high": None, "n": n}
    assert found["precision_at_prior"]["0.2"]["value"] is None


def test_precision_is_undefined_where_nothing_is_flagged_but_recall_is_zero():
    found = figures(np.array([1, 0, 0], np.float32), np.zeros(3, np.float32))
    assert found["precision"] == {"value": None, "low": None, "high": None, "n": 0}
    assert found["recall"]["value"] == 0.0
    assert found["recall"]["high"] > 0.5  # one text says little


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40))
def test_average_precision_is_sklearns_with_ties(rows):
    truth, scores = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    if not accuracy.both_classes(truth):
        assert np.isnan(accuracy.average_precision(truth, scores))
    else:
        expected = metrics.average_precision_score(truth, scores)
        assert accuracy.average_precision(truth, scores) == pytest.approx(expected)


def test_the_interval_of_average_precision_is_that_of_repeated_draws():
    truth, scores = noisy(400)
    found = accuracy.label_figures(truth, scores, resamples(400, 1000), CONFIG, ())["average_precision"]
    generator = np.random.default_rng(9)
    draws = [generator.integers(0, 400, 400) for _ in range(500)]
    repeated = [metrics.average_precision_score(truth[draw], scores[draw]) for draw in draws]
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(repeated, [0.025, 0.975])), abs=0.015)


def test_calibration_error_of_a_constant_score_is_its_distance_from_the_prevalence():
    truth = np.array([1, 0, 0, 0, NAN], np.float32)
    assert accuracy.calibration_error(truth, np.full(5, 0.75, np.float32), 10) == pytest.approx(0.5)


def test_calibration_error_by_hand():
    # two bins of equal mass: mean score 0.2 with no positive, mean score 0.7 with one of two
    truth, scores = np.array([0, 0, 1, 0], np.float32), np.array([0.1, 0.3, 0.6, 0.8], np.float32)
    assert accuracy.calibration_error(truth, scores, 2) == pytest.approx((0.2 + 0.2) / 2)


def test_calibrated_scores_have_a_small_error_inside_its_interval():
    generator = np.random.default_rng(0)
    scores = generator.random(4000).astype(np.float32)
    truth = (generator.random(4000) < scores).astype(np.float32)
    found = figures(truth, scores)["calibration_error"]
    assert found["value"] < 0.03
    assert found["low"] <= found["value"] <= found["high"]


def test_precision_at_a_prior_by_hand():
    # recall 0.8, false-positive rate 0.1: at 1 % prevalence 0.008 / (0.008 + 0.099)
    truth = np.repeat([1.0, 0.0], [10, 100]).astype(np.float32)
    scores = np.repeat([1.0, 0.0, 1.0, 0.0], [8, 2, 10, 90]).astype(np.float32)
    found = figures(truth, scores, priors=(0.01,))["precision_at_prior"]["0.01"]
    assert found["value"] == pytest.approx(0.008 / 0.107)
    assert found["low"] < found["value"] < found["high"]
    assert found["n"] == 110


def test_no_false_alarm_among_few_texts_is_not_called_certainty():
    truth = np.repeat([1.0, 0.0], [50, 50]).astype(np.float32)
    found = figures(truth, truth, priors=(0.0003,))["precision_at_prior"]["0.0003"]
    assert found["value"] == 1.0
    assert found["low"] < 0.01


def test_slices_and_stances_are_shares_flagged():
    truth = np.full((6, 4), NAN, np.float32)
    truth[:, 0] = [0, 0, 0, 1, 1, NAN]
    scores = np.zeros((6, 4), np.float32)
    scores[:, 0] = [0.9, 0.1, 0.1, 0.9, 0.1, 0.9]
    rows = labelled(
        6, slices=["a", "a", "b", "b", None, "b"], stances=["quote", "quote", "none", "quote", None, "quote"]
    )
    rows = replace(rows, truth=truth)
    found = accuracy.measure_rows(rows, scores, make_taxonomy(), CONFIG)
    assert {name: (f["value"], f["n"]) for name, f in found["flagged_by_slice"].items()} == {
        "a": (0.5, 2),
        "b": (pytest.approx(2 / 3), 3),
    }
    # only known non-violations count as false alarms
    assert {name: (f["value"], f["n"]) for name, f in found["false_alarms_by_stance"].items()} == {
        "quote": (0.5, 2),
        "none": (0.0, 1),
    }


def test_figures_of_rows_are_plain_json_in_taxonomy_order():
    from datasets import Dataset

    from pipelines.corpora.schema import features

    taxonomy = make_taxonomy()
    rows = Dataset.from_list(make_rows("authored", "test", 20), features=features(taxonomy))
    measured = LabelledRows.of(rows, taxonomy, CONFIG)
    assert measured.resamples.grouped
    found = accuracy.measure_rows(measured, np.full((20, 4), 0.4, np.float32), taxonomy, CONFIG)
    assert list(found["labels"]) == list(taxonomy.labels)
    json.dumps(found, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=30))
def test_the_best_threshold_is_the_best(rows):
    truth, scores = (np.array(column, np.float32) for column in zip(*rows, strict=True))
    chosen = accuracy.best_threshold(truth, scores)
    if not accuracy.both_classes(truth):
        assert chosen is None
        return

    def quality(threshold):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return metrics.f1_score(truth, scores >= threshold, average="macro", zero_division=0)

    assert quality(chosen) == pytest.approx(max(quality(t) for t in scores))


def test_official_figures_use_a_threshold_from_validation_rows_only():
    truth = np.tile([0, 1], 50).astype(np.float32)
    scores = (0.1 + 0.2 * truth).astype(np.float32)  # ranks perfectly, below 0.5 everywhere
    found = accuracy.official_figures(labelled(100, official=truth), scores, truth, scores, CONFIG)
    assert found["macro_f1"]["value"] == pytest.approx(1 / 3)
    assert found["validation_threshold"] == pytest.approx(0.2)
    assert found["macro_f1_at_validation_threshold"]["value"] == 1.0
    nothing = np.zeros(0, np.float32)
    without = accuracy.official_figures(labelled(100, official=truth), scores, nothing, nothing, CONFIG)
    assert without["validation_threshold"] is None
    assert without["macro_f1_at_validation_threshold"] == {"value": None, "low": None, "high": None, "n": 100}


def test_what_each_label_was_validated_on_is_said():
    taxonomy = make_taxonomy()
    natural = np.array([[1, 1, 1, NAN], [0, 0, NAN, NAN]], np.float32)
    written = np.array([[1, 1, 1, 1], [0, 0, 0, 0]], np.float32)
    rows = {"n": labelled(2, truth=natural), "w": labelled(2, truth=written)}
    notes = accuracy.validation_notes(rows, {"n": False, "w": True}, taxonomy)
    assert [notes[label]["note"] for label in taxonomy.labels] == [
        None,
        None,
        accuracy.NO_NEGATIVES,
        accuracy.AUTHORED_ONLY,
    ]
    assert notes["third"] == {"natural_positives": 0, "authored_positives": 1, "note": "authored data only"}
    alone = accuracy.validation_notes({"n": rows["n"]}, {"n": False}, taxonomy)
    assert alone["third"]["note"] == accuracy.NO_POSITIVES


def test_a_corpus_is_summed_up_by_its_root_where_it_knows_both_classes():
    assert accuracy.headline_label(np.array([1, 0, NAN], np.float32), "root", "own") == "root"
    assert accuracy.headline_label(np.array([1, NAN], np.float32), "root", "own") == "own"
    assert accuracy.headline_label(np.array([1, NAN], np.float32), "root", None) is None


@pytest.mark.parametrize(("field", "value"), [("threshold", 1.0), ("calibration_bins", 1)])
def test_values_out_of_range_are_refused(field, value):
    with pytest.raises(UserError, match=field):
        AccuracyConfig(**{**CONFIG.__dict__, field: value}).check()
