"""The questions a gate asks of a candidate: right enough, same decisions after quantisation, no worse than the
baseline.

Each answer is a `Check`; the gate collects them and adds the comparison of latency.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from pipelines.artifacts.progress import say
from pipelines.bundle.bundle import Bundle
from pipelines.corpora import PreparedData
from pipelines.measure.accuracy import both_classes, confusion, headline_label, known_values, macro_f1
from pipelines.measure.statistics import Figure, Resamples, bootstrap, group_codes, paired_difference
from pipelines.measure.verdict import Check, at_least, ceiling, floor, skipped
from pipelines.settings.errors import UserError, did_you_mean

Scores = NDArray[np.float32]
Flags = NDArray[np.bool_]
_DRIFTS = {"against_source": "than before quantisation", "batch_mates": "with neighbours", "padding": "with padding"}


@dataclass
class AccuracyGateConfig:
    """What accuracy a candidate needs.

    Attributes:
        threshold: score from which a text counts as flagged.
        margin_points: how many points of macro-F1 (of 100) the candidate may lose on a corpus against the baseline.
        floors: by corpus, the macro-F1 (0 to 1) below which no candidate passes; corpora without test rows are skipped.
        resamples: bootstrap resamples behind every interval.
        seed: of the resampling.
    """

    threshold: float
    margin_points: float
    floors: dict[str, float]
    resamples: int
    seed: int

    def check(self) -> None:
        """Raise UserError for a value out of range."""
        if not 0 < self.threshold < 1:
            raise UserError(f"gate.accuracy.threshold must lie between 0 and 1, got {self.threshold}.")
        if self.margin_points < 0:
            raise UserError(f"gate.accuracy.margin_points must be at least 0, got {self.margin_points}.")
        for corpus, limit in self.floors.items():
            if not 0 <= limit <= 1:
                raise UserError(f"gate.accuracy.floors.{corpus} must lie between 0 and 1, got {limit}.")


@dataclass(frozen=True)
class GatedCorpus:
    """The test rows of one corpus that know the label it is gated on.

    Attributes:
        label: the root where the corpus knows both its classes, else the label of the corpus's own bit.
        rows: n rows.
        truth: float32 `[n]`, 1 or 0.
        resamples: over these rows, by group.
    """

    label: str
    rows: Dataset
    truth: Scores
    resamples: Resamples


def gated_corpora(data: PreparedData, root: str, config: AccuracyGateConfig) -> dict[str, GatedCorpus]:
    """Return the corpora that can be gated: those whose test rows know both classes of a label.

    Raises:
        UserError: there is none, so that a gate would pass anything.
    """
    rows = data.split("test")
    corpora = np.array(rows["corpus"])
    found = {}
    for name, corpus in data.manifest["corpora"].items():
        part = rows.select(np.flatnonzero(corpora == name))
        label = headline_label(known_values(part[root]), root, corpus["official_label"])
        truth = known_values(part[label]) if label else np.zeros(0, np.float32)
        if label and both_classes(truth):
            known = np.flatnonzero(~np.isnan(truth))
            part = part.select(known)
            codes = group_codes(list(part["group"]))
            found[name] = GatedCorpus(label, part, truth[known], Resamples.draw(codes, config.resamples, config.seed))
    if not found:
        raise UserError(f"{data.path}: no corpus has test rows of both classes, so there is nothing to gate on.")
    return found


def flag(bundle: Bundle, file: str, corpora: Mapping[str, GatedCorpus], threshold: float) -> dict[str, Flags | None]:
    """Return by corpus which rows the bundle flags, bool `[n]`; None where the bundle does not know the label."""
    classifier = bundle.classifier(file)
    flagged: dict[str, Flags | None] = {}
    for name, corpus in corpora.items():
        say(f"gate: scoring {name} with {bundle.path}")
        if corpus.label not in classifier.labels:
            flagged[name] = None
            continue
        scores = classifier.predict(list(corpus.rows["text"]), list(corpus.rows["context"])).probabilities
        if np.isnan(scores).any():
            raise UserError(f"{bundle.path}: {file} gives NaN. Its weights or its graph are broken; export it again.")
        flagged[name] = scores[:, classifier.labels.index(corpus.label)] >= threshold
    return flagged


def floor_checks(
    corpora: Mapping[str, GatedCorpus], flagged: Mapping[str, Flags | None], config: AccuracyGateConfig
) -> list[Check]:
    """Return one check per configured floor: macro-F1 itself, not its interval's bound, must reach it."""
    checks = []
    for name, limit in config.floors.items():
        flags = flagged.get(name)
        if flags is None:
            reason = f"no test rows that could be gated.{did_you_mean(name, corpora)}"
            checks.append(skipped("floor", name, reason))
            continue
        corpus = corpora[name]
        figure = bootstrap(corpus.resamples, confusion(corpus.truth, flags), macro_f1)
        detail = f"macro-F1 of {corpus.label} on {name}'s test split must reach the floor"
        checks.append(floor("floor", name, figure, limit, detail))
    return checks


def flip_checks(parity: Mapping[str, Any], file: str, max_share: float) -> list[Check]:
    """Return one check per comparison of `parity.json`: the action that flips most often must stay within `max_share`.

    Args:
        parity: the bundle's parity figures.
        file: the ONNX file that is gated.
        max_share: largest share of decisions that may differ, the measured share itself being held against it.
    """
    if file not in parity["files"]:
        return [skipped("flips", file, "the bundle has no parity figures for it")]
    checks = []
    for drift, circumstance in _DRIFTS.items():
        flips = parity["files"][file][drift]["flips"]
        shares = {action: Figure(**flip["share"]) for action, flip in flips.items() if flip is not None}
        if not shares:
            checks.append(skipped("flips", drift, "no action has a supported operating point"))
            continue
        action = max(shares, key=lambda name: shares[name].value or 0.0)
        detail = f"share of decisions that differ {circumstance}; worst action: {action}"
        checks.append(ceiling("flips", drift, shares[action], max_share, detail))
    return checks


def non_inferiority_checks(
    corpora: Mapping[str, GatedCorpus],
    candidate: Mapping[str, Flags | None],
    baseline: Mapping[str, Flags | None],
    config: AccuracyGateConfig,
) -> list[Check]:
    """Return one check per corpus: the candidate loses at most the margin against the baseline, on the same texts.

    The interval of the paired bootstrap decides, see `at_least`: undecided means that the test set is too small to
    tell.
    """
    checks = []
    for name, corpus in corpora.items():
        ours, theirs = candidate[name], baseline[name]
        if ours is None or theirs is None:
            checks.append(skipped("accuracy", name, f"one of the two bundles does not know the label {corpus.label}"))
            continue
        figure = non_inferiority(corpus.truth, ours, theirs, corpus.resamples)
        detail = f"macro-F1 of {corpus.label} on {name}'s test split, candidate minus baseline, may fall by the margin"
        checks.append(at_least("accuracy", name, figure, -config.margin_points / 100, detail))
    return checks


def non_inferiority(truth: Scores, candidate: Flags, baseline: Flags, resamples: Resamples) -> Figure:
    """Return macro-F1 of the candidate minus that of the baseline, both flagging the same n texts of known `truth`."""
    return paired_difference(resamples, confusion(truth, candidate), confusion(truth, baseline), macro_f1)
