import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from toy_data import make_prepared, make_taxonomy

from pipelines.artifacts.folder import Slot, write_json
from pipelines.corpora import PreparedData
from pipelines.evaluate import FASTTEXT, MAJORITY, NAIVE_BAYES, NGRAM, NGRAM_ALONE, EvaluateConfig, run
from pipelines.measure.accuracy import AUTHORED_ONLY, AccuracyConfig
from pipelines.measure.baselines import BaselineConfig
from pipelines.measure.measurements import Measurements
from pipelines.measure.robustness import RobustnessConfig
from pipelines.settings.errors import UserError

CONFIG = EvaluateConfig(
    AccuracyConfig(0.5, 5, 100, 0),
    BaselineConfig(2, 2, 3.0, 1e-3, 0, 5, 0.5),
    RobustnessConfig(["authored"], ["homophone"], 0.5, 20, 0),
)


@dataclass(frozen=True)
class Rule:
    """A candidate that flags the texts with a 坏, on every label."""

    labels: int = 4
    broken: bool = False

    def predict(self, texts, contexts):
        assert len(texts) == len(contexts)
        scores = np.tile([[0.9 if "坏" in text else 0.2] for text in texts], (1, self.labels)).astype(np.float32)
        if self.broken:
            scores[0, 1] = np.nan
        return np.log(scores / (1 - scores)), scores


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return make_prepared(tmp_path_factory.mktemp("data") / "data")


@pytest.fixture(scope="module")
def measured(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Measurements:
    slot = Slot(tmp_path_factory.mktemp("measured") / "measurements", "f")
    return run(CONFIG, data, {"rule": Rule()}, {}, {}, make_taxonomy(), slot)


def test_every_corpus_is_measured_by_itself_with_the_baselines_beside(measured: Measurements):
    corpora = measured.figures["corpora"]
    assert list(corpora) == ["authored", "news", "forum"]
    for corpus in corpora.values():
        assert list(corpus["candidates"]) == ["rule", MAJORITY, NGRAM, NAIVE_BAYES, FASTTEXT]
        assert corpus["rows"] == 60
    root = corpora["news"]["candidates"]["rule"]["labels"]["violation"]
    assert 0.5 < root["macro_f1"]["low"] < root["macro_f1"]["value"] < root["macro_f1"]["high"] < 1.0
    majority = corpora["news"]["candidates"][MAJORITY]["labels"]["violation"]
    assert majority["macro_f1"]["high"] < root["macro_f1"]["low"]


def test_what_a_corpus_does_not_know_is_null_there(measured: Measurements):
    forum = measured.figures["corpora"]["forum"]
    assert forum["headline_label"] == "second"
    labels = forum["candidates"]["rule"]["labels"]
    assert labels["violation"]["f1"] == {"value": None, "low": None, "high": None, "n": 30}
    assert labels["third"]["n_known"] == 0
    assert labels["second"]["f1"]["value"] > 0.6


def test_the_corpus_s_own_bit_is_compared_too(measured: Measurements):
    corpora = measured.figures["corpora"]
    assert corpora["authored"]["official"] is None
    news = corpora["news"]["official"]
    assert news["label"] == "violation"
    assert list(news["candidates"]) == ["rule", MAJORITY, NGRAM, NAIVE_BAYES, FASTTEXT, NGRAM_ALONE]
    assert news["candidates"]["rule"]["validation_threshold"] == pytest.approx(0.55)
    forum = corpora["forum"]["official"]["candidates"]["rule"]  # no validation rows
    assert forum["macro_f1"]["value"] > 0.6
    assert forum["macro_f1_at_validation_threshold"]["value"] is None


def test_slices_stances_and_what_was_validated_on_what(measured: Measurements):
    corpora = measured.figures["corpora"]
    assert set(corpora["news"]["candidates"]["rule"]["flagged_by_slice"]) == {"easy", "hard"}
    assert set(corpora["authored"]["candidates"]["rule"]["false_alarms_by_stance"]) == {"none", "quote"}
    notes = {label: entry["note"] for label, entry in measured.figures["labels"].items()}
    assert notes == {"violation": None, "first": None, "second": None, "third": AUTHORED_ONLY}


def test_predictions_lie_beside_without_pickle(measured: Measurements, data: PreparedData):
    with np.load(measured.path / "predictions.npz", allow_pickle=False) as arrays:
        assert arrays["ids"].tolist() == list(data.split("test")["id"])
        assert arrays["labels"].tolist() == ["violation", "first", "second", "third"]
        assert arrays["rule"].dtype == np.float32
        assert arrays["rule"].shape == arrays[NGRAM].shape == (180, 4)


def test_headlines_are_those_of_the_candidates_alone(measured: Measurements):
    assert {name.split("/")[0] for name in measured.metrics} == {"rule"}
    figure = measured.figures["corpora"]["forum"]["candidates"]["rule"]["labels"]["second"]
    for name in ("macro_f1", "average_precision", "calibration_error"):
        assert measured.metrics[f"rule/forum/{name}"] == pytest.approx(figure[name]["value"])


def test_the_same_inputs_give_the_same_bytes(measured: Measurements, data: PreparedData, tmp_path: Path):
    again = run(CONFIG, data, {"rule": Rule()}, {}, {}, make_taxonomy(), Slot(tmp_path / "again", "f"))
    for name in ("measurements.json", "predictions.npz", "artifact.json"):
        assert (again.path / name).read_bytes() == (measured.path / name).read_bytes()


def test_nothing_is_written_to_stdout(data: PreparedData, tmp_path: Path, capsys: pytest.CaptureFixture):
    run(CONFIG, data, {}, {}, {}, make_taxonomy(), Slot(tmp_path / "m", "f"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "char n-grams" in captured.err


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        ({"rule": Rule(labels=3)}, "scores 3 labels, the taxonomy has 4"),
        ({"rule": Rule(broken=True)}, "gives NaN for 1 of 180 texts"),
        ({"majority": Rule()}, "evaluate uses that name itself"),
    ],
)
def test_candidates_that_can_not_be_measured_are_refused(data: PreparedData, tmp_path: Path, candidates, message):
    with pytest.raises(UserError, match=message):
        run(CONFIG, data, candidates, {}, {}, make_taxonomy(), Slot(tmp_path / "m", "f"))
    assert not (tmp_path / "m").exists()


def test_no_test_rows_is_an_error(tmp_path: Path):
    empty = make_prepared(tmp_path / "data", corpora=("news",))
    write_json(empty.path / "manifest.json", {"corpora": {}})
    with pytest.raises(UserError, match="test split is empty"):
        run(CONFIG, empty, {}, {}, {}, make_taxonomy(), Slot(tmp_path / "m", "f"))


def test_figures_are_plain_json(measured: Measurements):
    json.dumps(measured.figures, allow_nan=False)
