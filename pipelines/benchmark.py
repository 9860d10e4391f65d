"""Benchmark a bundle: latency, throughput, load time and memory of each runtime, and their ratios from interleaved
runs.

Reads a Bundle and texts, returns Measurements with the environment they were taken in.
    python train.py pipeline=benchmark benchmark=quick
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines.artifacts.folder import Slot
from pipelines.bundle.bundle import Bundle
from pipelines.measure.environment import describe_environment
from pipelines.measure.latency import Contender, InterleavedConfig, LatencyConfig, interleaved, measure_latency
from pipelines.measure.measurements import Measurements, write_figures
from pipelines.measure.runtimes import RuntimeConfig
from pipelines.settings.errors import UserError, did_you_mean


@dataclass
class BenchmarkConfig:
    """What is timed and how."""

    texts: int
    reference: str
    runtimes: dict[str, RuntimeConfig]
    latency: LatencyConfig
    interleaved: InterleavedConfig


def run(config: BenchmarkConfig, bundle: Bundle, texts: Sequence[str], slot: Slot) -> Measurements:
    """Time the bundle's runtimes on `texts`; raise UserError for bad settings or a runtime the bundle can't serve."""
    check(config)
    chosen = list(texts)[:: max(1, len(texts) // config.texts)][: config.texts]
    environment = describe_environment()
    # the reference goes first: the others' answers are compared with its
    names = sorted(config.runtimes, key=lambda name: name != config.reference)
    runtimes = {name: config.runtimes[name] for name in names}
    with slot.fill(Measurements) as draft:
        figures = measure_latency(bundle.path, runtimes, chosen, config.latency)
        ratios = _ratios(config, bundle, chosen)
        write_figures(
            draft.folder,
            {
                "bundle": bundle.fingerprint,
                "environment": environment,
                "settings": {"latency": asdict(config.latency), "interleaved": asdict(config.interleaved)},
                "reference": config.reference,
                "runtimes": figures,
                "ratios": ratios,
            },
        )
        draft.metrics.update(_headline(figures, ratios))
    return Measurements.open(slot.path)


def check(config: BenchmarkConfig) -> None:
    """Raise UserError for a value out of range."""
    if config.texts < 1:
        raise UserError(f"benchmark.texts must be at least 1, got {config.texts}.")
    if config.reference not in config.runtimes:
        hint = did_you_mean(config.reference, config.runtimes)
        raise UserError(f"benchmark.reference: '{config.reference}' is not among the runtimes.{hint}")


def _ratios(config: BenchmarkConfig, bundle: Bundle, texts: Sequence[str]) -> dict[str, Any]:
    """Return each runtime's time per unit of the reference's, below 1 being faster."""
    baseline = Contender(bundle.path, config.runtimes[config.reference])
    return {
        name: interleaved(baseline, Contender(bundle.path, runtime), texts, config.interleaved).ratio
        for name, runtime in config.runtimes.items()
        if name != config.reference
    }


def _headline(figures: Mapping[str, Any], ratios: Mapping[str, Any]) -> dict[str, float | None]:
    headline: dict[str, float | None] = {}
    for name, figure in figures.items():
        headline[f"{name}_p50_ms"] = figure["single_stream"]["p50_ms"]["value"]
        headline[f"{name}_texts_per_second"] = figure["offline"]["texts_per_second"]["value"]
    return headline | {f"{name}_ratio": ratio["value"] for name, ratio in ratios.items()}
