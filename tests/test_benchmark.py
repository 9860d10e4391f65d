from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tiny_bundle import make_bundle, make_texts

from pipelines.artifacts.folder import Slot
from pipelines.benchmark import BenchmarkConfig, run
from pipelines.settings.errors import UserError

CONFIGS = Path(__file__).parents[1] / "configs"


def load(option: str, *overrides: str) -> BenchmarkConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        composed = compose(f"benchmark/{option}", overrides=list(overrides))
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(BenchmarkConfig), composed.benchmark))


def test_every_runtime_is_timed_by_default_with_enough_queries_for_a_p99():
    config = load("default")
    assert list(config.runtimes) == ["torch", "ort_fp32", "ort_int8"]
    assert config.latency.processes * config.latency.queries >= 662
    assert load("quick").latency.queries < config.latency.queries


def test_writes_figures_ratios_and_where_they_were_measured(tmp_path: Path):
    config = load("quick", "runtime=[ort_fp32,ort_int8]", "benchmark.reference=ort_fp32", "benchmark.texts=8")
    bundle = make_bundle(tmp_path)
    measurements = run(config, bundle, make_texts(20), Slot(tmp_path / "benchmark", "f"))
    figures = measurements.figures
    assert list(figures["runtimes"]) == ["ort_fp32", "ort_int8"]
    assert figures["runtimes"]["ort_int8"]["offline"]["texts"] == 8
    assert list(figures["ratios"]) == ["ort_int8"]
    assert figures["ratios"]["ort_int8"]["n"] == 8
    assert figures["environment"]["cpu"]["logical_cores"] >= 1
    assert figures["settings"]["latency"]["threads"] == 1
    assert figures["bundle"] == bundle.fingerprint
    assert set(measurements.metrics) >= {"ort_int8_p50_ms", "ort_int8_texts_per_second", "ort_int8_ratio"}


def test_a_reference_that_is_not_timed_is_named(tmp_path: Path):
    config = load("quick", "runtime=[ort_fp32]")
    with pytest.raises(UserError, match=r"benchmark\.reference: 'torch' is not among the runtimes"):
        run(config, make_bundle(tmp_path), ["a"], Slot(tmp_path / "benchmark", "f"))
