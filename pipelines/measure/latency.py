"""Latency, throughput, load time and memory of a bundle's runtimes, and the fair comparison of two of them.

Scenarios are those of MLPerf Inference: SingleStream (one text after another) and Offline (all texts at hand, batched),
with tokenisation inside the timed path. Every measurement runs in a fresh process while this one sleeps.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.artifacts.progress import track
from pipelines.measure import latency_worker
from pipelines.measure.percentiles import CONFIDENCE, order_statistic, percentile
from pipelines.measure.runtimes import RuntimeConfig, check_runtime
from pipelines.settings.errors import UserError

_PERCENTILES = {"p50_ms": 0.50, "p90_ms": 0.90, "p95_ms": 0.95, "p99_ms": 0.99}
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


@dataclass
class LatencyConfig:
    """How runtimes are timed.

    Attributes:
        processes: fresh processes per runtime; runtimes take turns, so that a busy minute of the machine hits all of
            them.
        threads: threads of one forward pass, and of everything else in the process.
        warmup: texts put through before the clock starts, per process.
        queries: SingleStream texts timed per process; all processes together must reach 662 for a p99.
        passes: Offline passes over all texts timed per process.
        batch_size: texts per forward pass in Offline.
    """

    processes: int
    threads: int
    warmup: int
    queries: int
    passes: int
    batch_size: int


@dataclass
class InterleavedConfig:
    """How two contenders are compared.

    Attributes:
        processes: fresh processes; each loads both contenders, in alternating order.
        rounds: times each process goes over the texts; a block counts with its fastest round, the least disturbed one.
        block: texts that one contender handles before the other takes its turn.
        batch_size: 1 compares SingleStream, more compares Offline.
        threads: threads of one forward pass.
        warmup: texts put through both before the clock starts.
        resamples: bootstrap resamples behind the interval.
        seed: of the bootstrap.
    """

    processes: int
    rounds: int
    block: int
    batch_size: int
    threads: int
    warmup: int
    resamples: int
    seed: int


@dataclass(frozen=True)
class Contender:
    """A bundle's folder and the runtime that runs it."""

    bundle: Path
    runtime: RuntimeConfig


@dataclass(frozen=True)
class Comparison:
    """How long the candidate takes per unit of the baseline's time.

    Attributes:
        ratios: float64 [processes, blocks], candidate's time / baseline's time on the same block; below 1 is
            faster.
        ratio: the median of `ratios` with its 95 % bootstrap interval: `{"value", "low", "high", "n"}`.
        resampled: float64 [resamples], the bootstrap distribution of that median, for one-sided tests against a margin.
    """

    ratios: NDArray[np.float64]
    ratio: dict[str, Any]
    resampled: NDArray[np.float64]


def measure_latency(
    bundle: Path, runtimes: Mapping[str, RuntimeConfig], texts: Sequence[str], config: LatencyConfig
) -> dict[str, dict[str, Any]]:
    """Time every runtime on the same texts, and check that all give the same answers.

    Args:
        bundle: the bundle's folder.
        runtimes: what to time, by name; the first is the reference for `max_probability_difference`.
        texts: n texts; SingleStream takes them in turn, Offline takes them all.
        config: how many processes, queries and passes.

    Returns:
        Per runtime: `single_stream` (p50_ms, p90_ms, p95_ms, p99_ms, queries), `offline` (texts_per_second, texts,
        batch_size), `load_seconds` (imports included), `peak_memory_mib`, `max_probability_difference`, `engine`,
        `file`, `threads`.

    Raises:
        UserError: no texts, a count out of range, an unknown engine, a missing file, or a worker that failed.
    """
    _check_counts("benchmark.latency", config, texts)
    for name, runtime in runtimes.items():
        check_runtime(name, runtime, bundle)
    jobs = [(turn, name) for turn in range(config.processes) for name in runtimes]
    responses: dict[str, list[dict[str, Any]]] = {name: [] for name in runtimes}
    for turn, name in track(jobs, "benchmark: latency"):
        request = {
            "task": "latency",
            "contender": _plain(Contender(bundle, runtimes[name])),
            "texts": list(texts),
            "first_query": turn * config.queries,
            **asdict(config),
        }
        responses[name].append(_run_worker(request, config.threads))
    reference = next(iter(responses.values()), [])
    return {name: _figures(runtimes[name], responses[name], reference, len(texts), config) for name in runtimes}


def interleaved(
    baseline: Contender, candidate: Contender, texts: Sequence[str], config: InterleavedConfig
) -> Comparison:
    """Compare two contenders on the same texts, block by block in one process, taking turns in going first.

    Ratios of neighbouring measurements cancel what the machine does to both; their median ignores the blocks in which
    something else took the core. The bootstrap draws processes, then blocks within them, because memory layout differs
    by process.

    Raises:
        UserError: no texts, a count out of range, an unknown engine, a missing file, or a worker that failed.
    """
    _check_counts("interleaved", config, texts)
    for role, contender in (("baseline", baseline), ("candidate", candidate)):
        check_runtime(role, contender.runtime, contender.bundle)
    rows = []
    for turn in track(range(config.processes), "comparing latency"):
        order = [baseline, candidate] if turn % 2 == 0 else [candidate, baseline]
        request = {
            "task": "interleaved",
            "contenders": [_plain(contender) for contender in order],
            "texts": list(texts),
            **asdict(config),
        }
        seconds = np.asarray(_run_worker(request, config.threads)["seconds"], dtype=np.float64)
        ours, theirs = (1, 0) if turn % 2 == 0 else (0, 1)
        fastest = seconds.min(axis=0)  # [blocks, 2]
        rows.append(fastest[:, ours] / fastest[:, theirs])
    ratios = np.stack(rows)
    resampled = _bootstrap_median(ratios, config)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    ratio = {"value": float(np.median(ratios)), "low": float(low), "high": float(high), "n": ratios.size}
    return Comparison(ratios, ratio, resampled)


def _bootstrap_median(ratios: NDArray[np.float64], config: InterleavedConfig) -> NDArray[np.float64]:
    """Return the medians [resamples] of a two-stage bootstrap: processes with replacement, then blocks within each."""
    generator = np.random.default_rng(config.seed)
    processes, blocks = ratios.shape
    medians = np.empty(config.resamples)
    for index in range(config.resamples):
        drawn = generator.integers(processes, size=(processes, 1))
        medians[index] = np.median(ratios[drawn, generator.integers(blocks, size=(processes, blocks))])
    return medians


def _figures(
    runtime: RuntimeConfig,
    responses: Sequence[Mapping[str, Any]],
    reference: Sequence[Mapping[str, Any]],
    texts: int,
    config: LatencyConfig,
) -> dict[str, Any]:
    milliseconds = [1000 * seconds for response in responses for seconds in response["single_stream_seconds"]]
    rates = [texts / seconds for response in responses for seconds in response["offline_seconds"]]
    memory = [response["peak_memory_bytes"] / 2**20 for response in responses if response["peak_memory_bytes"]]
    difference = np.abs(np.asarray(responses[0]["probabilities"]) - np.asarray(reference[0]["probabilities"]))
    return {
        "engine": runtime.engine,
        "file": runtime.file,
        "threads": config.threads,
        "processes": config.processes,
        "single_stream": {
            **{name: percentile(milliseconds, share) for name, share in _PERCENTILES.items()},
            "queries": len(milliseconds),
        },
        "offline": {"texts_per_second": order_statistic(rates), "texts": texts, "batch_size": config.batch_size},
        "load_seconds": order_statistic([response["load_seconds"] for response in responses]),
        "peak_memory_mib": order_statistic(memory),
        "max_probability_difference": float(difference.max()),
    }


def _plain(contender: Contender) -> dict[str, str]:
    return {"bundle": str(contender.bundle.resolve()), **asdict(contender.runtime)}


def _check_counts(where: str, config: LatencyConfig | InterleavedConfig, texts: Sequence[str]) -> None:
    if not texts:
        raise UserError(f"{where}: no texts to time.")
    for key, value in asdict(config).items():
        least = 0 if key in ("warmup", "seed") else 1
        if value < least:
            raise UserError(f"{where}.{key} must be at least {least}, got {value}.")


def _run_worker(request: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """Run one worker to its end, asleep meanwhile, and return its response; UserError with its last words when it
    fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        request_file, response_file = Path(folder, "request.json"), Path(folder, "response.json")
        request_file.write_text(json.dumps(request), encoding="utf-8")
        command = [sys.executable, "-m", latency_worker.__name__, str(request_file), str(response_file)]
        done = subprocess.run(command, env=_worker_environment(threads), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            last_words = "\n".join(done.stderr.strip().splitlines()[-5:])
            raise UserError(f"a latency worker failed with exit code {done.returncode}:\n{last_words}")
        response: dict[str, Any] = json.loads(response_file.read_text(encoding="utf-8"))
        return response


def _worker_environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker: this package importable, every thread pool at `threads`, no network."""
    path = os.pathsep.join(filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    pools = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), str(threads))
    return {
        **os.environ,
        **pools,
        "PYTHONPATH": path,
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
    }
