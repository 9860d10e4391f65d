"""Decide whether a candidate bundle may replace the baseline: accuracy floors, decision flips, accuracy and latency
beside it.

Reads two Bundles and PreparedData, returns a Verdict whose exit code is 0 (pass), 1 (fail) or 2 (could not decide).
    python train.py pipeline=gate gate.baseline=models:/qinglang-cyber-violence@champion
"""

from dataclasses import dataclass

from pipelines.artifacts.folder import Slot
from pipelines.artifacts.progress import say
from pipelines.bundle.bundle import Bundle
from pipelines.corpora import PreparedData
from pipelines.measure.comparison import (
    AccuracyGateConfig,
    flag,
    flip_checks,
    floor_checks,
    gated_corpora,
    non_inferiority_checks,
)
from pipelines.measure.latency import Contender, InterleavedConfig, interleaved
from pipelines.measure.runtimes import RuntimeConfig
from pipelines.measure.statistics import Figure
from pipelines.measure.verdict import Check, Verdict, at_most, skipped, write_verdict
from pipelines.report.verdict import verdict_junit, verdict_markdown
from pipelines.settings.errors import UserError


@dataclass
class LatencyGateConfig:
    """What latency a candidate needs.

    Attributes:
        max_ratio: the candidate may take at most this many times the baseline's time.
        texts: test texts timed, spread evenly over the split.
        interleaved: how the two are compared.
    """

    max_ratio: float
    texts: int
    interleaved: InterleavedConfig


@dataclass
class GateConfig:
    """What a candidate is held against.

    Attributes:
        baseline: a bundle's folder, `models:/NAME@ALIAS`, or null for none.
        file: the ONNX file that is gated, of both bundles.
        max_flip_share: largest share of decisions that quantisation, neighbours or padding may change.
    """

    baseline: str | None
    file: str
    max_flip_share: float
    accuracy: AccuracyGateConfig
    latency: LatencyGateConfig


def run(config: GateConfig, candidate: Bundle, baseline: Bundle | None, data: PreparedData, slot: Slot) -> Verdict:
    """Ask every check and write `verdict.json`, `verdict.junit.xml` and `verdict.md`.

    Without a baseline only the absolute checks are asked, and the verdict says so.

    Raises:
        UserError: nothing to gate on, a broken bundle, or a value out of range.
    """
    check(config)
    corpora = gated_corpora(data, candidate.taxonomy_dict["labels"][0], config.accuracy)
    flagged = flag(candidate, config.file, corpora, config.accuracy.threshold)
    checks = floor_checks(corpora, flagged, config.accuracy)
    checks += flip_checks(candidate.parity, config.file, config.max_flip_share)
    if baseline is None:
        checks.append(skipped("baseline", "none", "no baseline to compare with: absolute floors only"))
    else:
        flagged_by_baseline = flag(baseline, config.file, corpora, config.accuracy.threshold)
        checks += non_inferiority_checks(corpora, flagged, flagged_by_baseline, config.accuracy)
        checks.append(_latency_check(config, candidate, baseline, data))
    with slot.fill(Verdict) as draft:
        content = write_verdict(draft.folder, checks, candidate.fingerprint, baseline.fingerprint if baseline else None)
        markdown = verdict_markdown(content)
        (draft.folder / "verdict.junit.xml").write_text(verdict_junit(content), encoding="utf-8")
        (draft.folder / "verdict.md").write_text(markdown, encoding="utf-8")
        draft.metrics.update(decision=content["decision"], checks=len(checks))
        draft.metrics.update(failed=sum(check.status == "fail" for check in checks))
    say(markdown)
    return Verdict.open(slot.path)


def _latency_check(config: GateConfig, candidate: Bundle, baseline: Bundle, data: PreparedData) -> Check:
    texts = list(data.split("test")["text"])
    chosen = texts[:: max(1, len(texts) // config.latency.texts)][: config.latency.texts]
    runtime = RuntimeConfig(engine="onnxruntime", file=config.file)
    ours, theirs = Contender(candidate.path, runtime), Contender(baseline.path, runtime)
    ratio = Figure(**interleaved(theirs, ours, chosen, config.latency.interleaved).ratio)
    detail = "candidate's time / baseline's time on the same texts, interleaved in one run"
    return at_most("latency", config.file, ratio, config.latency.max_ratio, detail)


def check(config: GateConfig) -> None:
    """Raise UserError for a value out of range."""
    config.accuracy.check()
    if not 0 <= config.max_flip_share <= 1:
        raise UserError(f"gate.max_flip_share must lie between 0 and 1, got {config.max_flip_share}.")
    if config.latency.max_ratio <= 0:
        raise UserError(f"gate.latency.max_ratio must be above 0, got {config.latency.max_ratio}.")
    if config.latency.texts < 1:
        raise UserError(f"gate.latency.texts must be at least 1, got {config.latency.texts}.")
