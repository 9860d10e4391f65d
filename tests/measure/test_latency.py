import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_bundle import make_texts

from pipelines.bundle.bundle import Bundle
from pipelines.measure import latency
from pipelines.measure.latency import Contender, InterleavedConfig, LatencyConfig, interleaved, measure_latency
from pipelines.measure.runtimes import RuntimeConfig
from pipelines.settings.errors import UserError

INT8 = RuntimeConfig("onnxruntime", "onnx/model_quantized.onnx")
FP32 = RuntimeConfig("onnxruntime", "onnx/model.onnx")
TORCH = RuntimeConfig("torch", "model.safetensors")
SMALL = LatencyConfig(processes=1, threads=1, warmup=2, queries=70, passes=2, batch_size=8)


def comparison(**changes: int) -> InterleavedConfig:
    settings = {"processes": 2, "rounds": 2, "block": 3, "batch_size": 1, "threads": 1, "warmup": 1} | changes
    return InterleavedConfig(**settings, resamples=200, seed=0)


def test_measures_every_figure_in_a_process_of_its_own(bundle: Bundle):
    figures = measure_latency(bundle.path, {"fp32": FP32, "int8": INT8}, make_texts(12), SMALL)
    assert list(figures) == ["fp32", "int8"]
    for runtime in figures.values():
        stream = runtime["single_stream"]
        assert stream["queries"] == 70
        assert 0 < stream["p50_ms"]["low"] <= stream["p50_ms"]["value"] <= stream["p90_ms"]["value"]
        assert stream["p99_ms"]["value"] is None
        assert runtime["offline"]["texts_per_second"]["value"] > 0
        assert runtime["offline"]["texts_per_second"]["n"] == 2
        assert runtime["load_seconds"]["value"] > 0
        assert 10 < runtime["peak_memory_mib"]["value"] < 1000
        assert runtime["threads"] == 1
    assert figures["fp32"]["max_probability_difference"] == 0
    assert 0 < figures["int8"]["max_probability_difference"] < 1
    json.dumps(figures, allow_nan=False)


@pytest.mark.slow
def test_torch_gives_the_same_answers_as_onnxruntime(bundle: Bundle):
    figures = measure_latency(bundle.path, {"torch": TORCH, "fp32": FP32}, make_texts(12), SMALL)
    assert figures["fp32"]["max_probability_difference"] < 1e-4
    assert figures["torch"]["peak_memory_mib"]["value"] > figures["fp32"]["peak_memory_mib"]["value"]


def test_processes_add_up_and_take_turns(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    order = []

    def worker(request: Mapping[str, Any], threads: int) -> dict[str, Any]:
        order.append((request["contender"]["file"], request["first_query"]))
        seconds = [0.001] * request["queries"]
        one = {"load_seconds": 1.0, "peak_memory_bytes": 2**20, "probabilities": [[0.5]]}
        return {**one, "single_stream_seconds": seconds, "offline_seconds": [0.5] * request["passes"]}

    monkeypatch.setattr(latency, "_run_worker", worker)
    settings = LatencyConfig(processes=3, threads=1, warmup=0, queries=221, passes=2, batch_size=8)
    figures = measure_latency(bundle.path, {"a": FP32, "b": INT8}, ["x", "y"], settings)
    assert order == [(runtime.file, turn * 221) for turn in range(3) for runtime in (FP32, INT8)]
    assert figures["a"]["single_stream"]["p99_ms"]["value"] == 1.0, "3 x 221 samples carry a p99"
    assert figures["a"]["offline"]["texts_per_second"] == {"value": 4.0, "low": 4.0, "high": 4.0, "n": 6}


@pytest.mark.parametrize("batch_size", [1, 8])
def test_two_bundles_are_compared_block_by_block(bundle: Bundle, batch_size: int):
    contender = Contender(bundle.path, INT8)
    result = interleaved(contender, contender, make_texts(10), comparison(batch_size=batch_size))
    assert result.ratios.shape == (2, 4), "two processes, four blocks of at most three texts"
    assert result.ratio["n"] == 8
    assert 0 < result.ratio["low"] <= result.ratio["value"] <= result.ratio["high"]
    assert result.resampled.shape == (200,)


def test_the_ratio_is_the_candidates_time_over_the_baselines_whoever_goes_first(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    def worker(request: Mapping[str, Any], threads: int) -> dict[str, Any]:
        cost = {FP32.file: 1.0, INT8.file: 3.0}
        pair = np.array([cost[contender["file"]] for contender in request["contenders"]])
        seconds = np.tile(pair, (request["rounds"], 5, 1))
        seconds[0] *= np.random.default_rng(0).uniform(1, 9, size=(5, 2))  # a disturbed round
        return {"seconds": seconds.tolist()}

    monkeypatch.setattr(latency, "_run_worker", worker)
    result = interleaved(Contender(bundle.path, FP32), Contender(bundle.path, INT8), ["x"], comparison(processes=3))
    assert result.ratio == {"value": 3.0, "low": 3.0, "high": 3.0, "n": 15}


def test_wrong_settings_are_named_before_anything_is_started(bundle: Bundle):
    with pytest.raises(UserError, match=r"Did you mean 'onnxruntime'\?"):
        measure_latency(bundle.path, {"x": RuntimeConfig("onnxruntim", FP32.file)}, ["a"], SMALL)
    with pytest.raises(UserError, match=r"has no 'onnx/model_fp16\.onnx'"):
        measure_latency(bundle.path, {"x": RuntimeConfig("onnxruntime", "onnx/model_fp16.onnx")}, ["a"], SMALL)
    with pytest.raises(UserError, match="no texts"):
        measure_latency(bundle.path, {"x": FP32}, [], SMALL)
    contender = Contender(bundle.path, FP32)
    with pytest.raises(UserError, match=r"interleaved\.block must be at least 1"):
        interleaved(contender, contender, ["a"], comparison(block=0))


def test_a_failing_worker_says_why(bundle: Bundle, tmp_path: Path):
    (tmp_path / "onnx").mkdir()
    (tmp_path / FP32.file).write_bytes(b"not a graph")
    with pytest.raises(UserError, match=r"(?s)worker failed.*config\.json: no such file"):
        measure_latency(tmp_path, {"x": FP32}, ["a"], SMALL)


def test_texts_of_any_kind_reach_the_worker(bundle: Bundle):
    odd = ["", "\ud800", "\x00", "好" * 5000]
    figures = measure_latency(bundle.path, {"fp32": FP32}, odd, SMALL)
    assert figures["fp32"]["offline"]["texts"] == 4


def test_a_worker_for_onnxruntime_loads_no_training_library(bundle: Bundle, tmp_path: Path):
    request = {
        "task": "latency",
        "contender": {"bundle": str(bundle.path), "engine": INT8.engine, "file": INT8.file},
        "texts": ["好"],
        "first_query": 0,
        **{"threads": 1, "warmup": 0, "queries": 1, "passes": 1, "batch_size": 1},
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    program = """
import sys
for name in ("torch", "transformers", "datasets", "sklearn", "scipy", "omegaconf"):
    sys.modules[name] = None  # importing it now raises ImportError
from pipelines.measure.latency_worker import main
main(*sys.argv[1:])
"""
    files = [str(tmp_path / "request.json"), str(tmp_path / "response.json")]
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program, *files], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
