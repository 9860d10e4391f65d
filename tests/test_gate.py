import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from tiny_bundle import make_bundle
from toy_data import make_prepared

from pipelines import gate
from pipelines.artifacts.folder import Slot
from pipelines.bundle.bundle import Bundle
from pipelines.corpora import PreparedData
from pipelines.gate import GateConfig, LatencyGateConfig, run
from pipelines.measure.comparison import AccuracyGateConfig
from pipelines.measure.latency import Comparison, InterleavedConfig
from pipelines.settings.errors import UserError

INTERLEAVED = InterleavedConfig(
    processes=1, rounds=1, block=4, batch_size=4, threads=1, warmup=1, resamples=100, seed=0
)


def make_config(**floors: float) -> GateConfig:
    accuracy = AccuracyGateConfig(threshold=0.5, margin_points=1.0, floors=floors, resamples=100, seed=0)
    latency = LatencyGateConfig(max_ratio=1.05, texts=12, interleaved=INTERLEAVED)
    return GateConfig(None, "onnx/model_quantized.onnx", max_flip_share=1.0, accuracy=accuracy, latency=latency)


def fixed_ratio(low: float, value: float, high: float):
    def interleaved(baseline, candidate, texts, config):
        assert len(texts) == 12
        figure = {"value": value, "low": low, "high": high, "n": 8}
        return Comparison(np.full((1, 8), value), figure, np.full(100, value))

    return interleaved


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return make_prepared(tmp_path_factory.mktemp("data") / "data")


def test_a_first_run_says_so_and_passes_on_floors_alone(bundle: Bundle, data: PreparedData, tmp_path: Path):
    verdict = run(make_config(news=0.0), bundle, None, data, Slot(tmp_path / "verdict", "f"))
    assert (verdict.decision, verdict.exit_code) == ("pass", 0)
    groups = [check["group"] for check in verdict.content["checks"]]
    assert groups == ["floor", "flips", "flips", "flips", "baseline"]
    assert "no baseline" in verdict.content["checks"][-1]["detail"]
    assert "without a baseline" in (verdict.path / "verdict.md").read_text(encoding="utf-8")
    suite = ElementTree.parse(verdict.path / "verdict.junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("5", "0")


def test_a_floor_fails_even_without_a_baseline(bundle: Bundle, data: PreparedData, tmp_path: Path):
    verdict = run(make_config(news=0.999), bundle, None, data, Slot(tmp_path / "verdict", "f"))
    assert (verdict.decision, verdict.exit_code) == ("fail", 1)
    assert verdict.metrics["failed"] == 1


@pytest.mark.parametrize(
    ("ratio", "decision"),
    [((0.97, 1.0, 1.03), "pass"), ((1.08, 1.1, 1.12), "fail"), ((1.0, 1.06, 1.2), "undecided")],
)
def test_latency_decides_on_the_interval_of_the_ratio(
    bundle: Bundle, data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ratio, decision: str
):
    monkeypatch.setattr(gate, "interleaved", fixed_ratio(*ratio))
    verdict = run(make_config(), bundle, bundle, data, Slot(tmp_path / "verdict", "f"))
    assert verdict.decision == decision
    accuracy = [check for check in verdict.content["checks"] if check["group"] == "accuracy"]
    assert [check["name"] for check in accuracy] == ["authored", "news", "forum"]
    assert all(check["figure"]["value"] == 0.0 for check in accuracy)  # the same bundle on the same texts


def test_the_same_inputs_give_the_same_bytes(
    bundle: Bundle, data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gate, "interleaved", fixed_ratio(0.97, 1.0, 1.03))
    first, second = (run(make_config(), bundle, bundle, data, Slot(tmp_path / name, "f")) for name in "ab")
    for name in ("verdict.json", "verdict.junit.xml", "verdict.md"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()


@pytest.mark.slow
def test_two_real_bundles_are_timed_side_by_side(bundle: Bundle, data: PreparedData, tmp_path: Path):
    verdict = run(make_config(), bundle, bundle, data, Slot(tmp_path / "verdict", "f"))
    latency = verdict.content["checks"][-1]
    assert latency["group"] == "latency"
    assert latency["figure"]["value"] > 0


def test_a_bundle_that_gives_nan_is_refused(
    bundle: Bundle, data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    classifier = bundle.classifier()
    monkeypatch.setattr(classifier, "forward", lambda rows: (np.zeros((len(rows), 4)), np.full((len(rows), 4), np.nan)))
    monkeypatch.setattr(Bundle, "classifier", lambda self, file: classifier)
    with pytest.raises(UserError, match="gives NaN"):
        run(make_config(), bundle, None, data, Slot(tmp_path / "verdict", "f"))


@pytest.mark.parametrize(("field", "value"), [("max_ratio", 0.0), ("texts", 0)])
def test_values_out_of_range_are_refused(bundle: Bundle, data: PreparedData, tmp_path: Path, field: str, value):
    config = make_config()
    setattr(config.latency, field, value)
    with pytest.raises(UserError, match=rf"gate\.latency\.{field}"):
        run(config, bundle, None, data, Slot(tmp_path / "verdict", "f"))


def test_the_verdict_is_plain_json(bundle: Bundle, data: PreparedData, tmp_path: Path):
    verdict = run(make_config(), bundle, None, data, Slot(tmp_path / "verdict", "f"))
    json.dumps(verdict.content, allow_nan=False)
