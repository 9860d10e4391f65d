"""The gate's statistics, measured: how often it raises a false alarm, and how surely it sees a real loss."""

from pathlib import Path

import numpy as np
import pytest
from toy_data import make_prepared

from pipelines.measure.comparison import (
    AccuracyGateConfig,
    flip_checks,
    floor_checks,
    gated_corpora,
    non_inferiority,
    non_inferiority_checks,
)
from pipelines.measure.statistics import Resamples
from pipelines.measure.verdict import at_least
from pipelines.settings.errors import UserError

CONFIG = AccuracyGateConfig(threshold=0.5, margin_points=2.0, floors={}, resamples=200, seed=0)
TEXTS, DRAWS = 1500, 150


def train_and_gate(draw: int, loss: float, margin: float) -> str:
    """Draw a test set and two models that agree on most texts; the candidate is wrong on `loss` more of them."""
    generator = np.random.default_rng(draw)
    truth = (generator.random(TEXTS) < 0.4).astype(np.float32)
    hard = generator.random(TEXTS)  # a text hard for one model is hard for the other
    wrong = [hard + 0.05 * generator.normal(size=TEXTS) > 0.82 - extra for extra in (loss, 0.0)]
    candidate, baseline = ((truth == 1) ^ errors for errors in wrong)
    figure = non_inferiority(truth, candidate, baseline, Resamples.draw(np.arange(TEXTS), 300, draw))
    return at_least("accuracy", "simulated", figure, -margin, "").status


def share(status: str, loss: float, margin: float) -> float:
    return sum(train_and_gate(draw, loss, margin) == status for draw in range(DRAWS)) / DRAWS


def test_an_equal_candidate_raises_no_false_alarm_and_nearly_always_passes():
    assert share("fail", loss=0.0, margin=0.02) == 0.0
    assert share("pass", loss=0.0, margin=0.02) > 0.8


def test_a_real_loss_is_seen():
    assert share("fail", loss=0.05, margin=0.02) > 0.9
    assert share("pass", loss=0.05, margin=0.02) == 0.0


def test_a_candidate_that_sits_on_the_margin_is_mostly_left_undecided():
    # macro-F1 falls by slightly more than the share of wrong texts
    assert share("pass", loss=0.02, margin=0.02) < 0.06
    assert share("undecided", loss=0.02, margin=0.02) > 0.85


def test_a_small_test_set_says_that_it_can_not_tell():
    truth = np.tile([0, 1], 20).astype(np.float32)
    candidate, baseline = truth == 1, truth == 1
    candidate[:2], baseline[4:6] = ~candidate[:2], ~baseline[4:6]
    figure = non_inferiority(truth, candidate, baseline, Resamples.draw(np.arange(40), 200, 0))
    assert at_least("accuracy", "small", figure, -0.01, "").status == "undecided"


def test_a_corpus_is_gated_on_its_root_or_on_its_own_label(tmp_path: Path):
    corpora = gated_corpora(make_prepared(tmp_path / "data"), "violation", CONFIG)
    assert {name: corpus.label for name, corpus in corpora.items()} == {
        "authored": "violation",
        "news": "violation",
        "forum": "second",
    }
    assert corpora["authored"].resamples.grouped
    assert not np.isnan(corpora["forum"].truth).any()


def test_nothing_to_gate_on_is_an_error_and_not_a_pass(tmp_path: Path):
    data = make_prepared(tmp_path / "data", corpora=("authored",), count=1)  # one row, one class
    with pytest.raises(UserError, match="nothing to gate on"):
        gated_corpora(data, "violation", CONFIG)


def test_floors_hold_by_corpus_and_absent_corpora_are_named(tmp_path: Path):
    corpora = gated_corpora(make_prepared(tmp_path / "data", corpora=("news",)), "violation", CONFIG)
    perfect = {"news": corpora["news"].truth == 1}
    config = AccuracyGateConfig(0.5, 1.0, {"news": 0.9, "newz": 0.9}, 200, 0)
    good, absent = floor_checks(corpora, perfect, config)
    assert (good.status, good.figure["value"]) == ("pass", 1.0)
    assert absent.status == "skipped"
    assert "Did you mean 'news'" in absent.detail
    inverted = {"news": ~perfect["news"]}
    assert floor_checks(corpora, inverted, config)[0].status == "fail"


def test_a_label_that_one_bundle_does_not_know_is_not_compared(tmp_path: Path):
    corpora = gated_corpora(make_prepared(tmp_path / "data", corpora=("news",)), "violation", CONFIG)
    flags = corpora["news"].truth == 1
    assert non_inferiority_checks(corpora, {"news": flags}, {"news": None}, CONFIG)[0].status == "skipped"
    assert non_inferiority_checks(corpora, {"news": flags}, {"news": flags}, CONFIG)[0].status == "pass"


def parity(share):
    flips = {"act": {"count": 1, "share": {"value": share, "low": 0.0, "high": 1.0, "n": 50}}, "other": None}
    calm = {"act": None}
    drift = {"against_source": {"flips": flips}, "batch_mates": {"flips": flips}, "padding": {"flips": calm}}
    return {"files": {"model.onnx": drift}}


def test_decision_flips_are_held_against_their_ceiling():
    statuses = {check.name: check.status for check in flip_checks(parity(0.02), "model.onnx", 0.02)}
    assert statuses == {"against_source": "pass", "batch_mates": "pass", "padding": "skipped"}
    worse = flip_checks(parity(0.04), "model.onnx", 0.02)[0]
    assert worse.status == "fail"
    assert "worst action: act" in worse.detail
    assert flip_checks(parity(0.0), "other.onnx", 0.02)[0].status == "skipped"


@pytest.mark.parametrize(("field", "value"), [("threshold", 0.0), ("margin_points", -1.0), ("floors", {"news": 70.0})])
def test_values_out_of_range_are_refused(field, value):
    with pytest.raises(UserError, match=rf"gate\.accuracy\.{field}"):
        AccuracyGateConfig(**{**CONFIG.__dict__, field: value}).check()
