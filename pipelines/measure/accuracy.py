"""How right scores are: per label, per corpus and per slice, each figure with its interval and the number of texts it
rests on.

An unknown label (NaN) is left out of every figure of that label, and a label that a corpus does not know in both
classes has no figure there rather than a zero. Corpora are never pooled: they disagree on what their labels mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from pipelines.corpora.labels import label_matrix
from pipelines.measure.statistics import (
    Figure,
    Floats,
    Resamples,
    bootstrap,
    group_codes,
    percentile_interval,
    ratio,
    share,
)
from pipelines.measure.suite import suite_figures
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy

Scores = NDArray[np.float32]
Flags = NDArray[np.bool_]

AUTHORED_ONLY = "authored data only"
NO_POSITIVES = "no test text is known to be one"
NO_NEGATIVES = "no natural corpus knows both texts that are one and texts that are not"


@dataclass
class AccuracyConfig:
    """How accuracy is measured.

    Attributes:
        threshold: score from which a text counts as flagged.
        calibration_bins: bins of equal mass for the calibration error.
        resamples: bootstrap resamples behind every interval.
        seed: of the resampling.
    """

    threshold: float
    calibration_bins: int
    resamples: int
    seed: int

    def check(self) -> None:
        """Raise UserError for a value out of range."""
        if not 0 < self.threshold < 1:
            raise UserError(f"accuracy.threshold must lie between 0 and 1, got {self.threshold}.")
        if self.calibration_bins < 2:
            raise UserError(f"accuracy.calibration_bins must be at least 2, got {self.calibration_bins}.")


@dataclass(frozen=True)
class LabelledRows:
    """What is known about n rows of one corpus, as arrays; shared by every candidate measured on them.

    Attributes:
        ids: the rows' ids.
        truth: float32 `[n, labels]`, NaN = unknown.
        official: float32 `[n]`, the corpus's own binary label, NaN = none.
        slices: the corpus's own fine label per row, or None.
        stances: stance per row, or None where it was not annotated.
        groups: thread, incident or minimal pair of each row, or None.
        swaps: identity swap set of each row, or None.
        resamples: bootstrap resamples over the rows, by thread, incident or pair where the corpus names them.
    """

    ids: Sequence[str]
    truth: Scores
    official: Scores
    slices: Sequence[str | None]
    stances: Sequence[str | None]
    groups: Sequence[str | None]
    swaps: Sequence[str | None]
    resamples: Resamples

    @classmethod
    def of(cls, rows: Dataset, taxonomy: Taxonomy, config: AccuracyConfig) -> "LabelledRows":
        """Take what is needed from rows of one corpus."""
        groups = list(rows["group"])
        return cls(
            list(rows["id"]),
            label_matrix(rows, taxonomy),
            known_values(rows["official"]),
            list(rows["slice"]),
            list(rows["stance"]),
            groups,
            list(rows["swap"]),
            Resamples.draw(group_codes(groups), config.resamples, config.seed),
        )


def known_values(column: Iterable[int | None]) -> Scores:
    """Return a nullable column as float32 `[n]`, NaN where it is null."""
    return np.array([np.nan if value is None else value for value in column], np.float32)


def both_classes(truth: Scores) -> bool:
    """Return whether `truth` `[n]` knows texts that are and texts that are not."""
    return bool((truth == 1).any() and (truth == 0).any())


def headline_label(root: Scores, root_label: str, official_label: str | None) -> str | None:
    """Return the label that a corpus is summed up by: the root where it knows both classes, else its own label's.

    Args:
        root: float32 `[n]`, truth of the root on the corpus's rows.
        root_label: the root's name.
        official_label: the label that the corpus's own bit is compared with, None for a corpus without one.
    """
    return root_label if both_classes(root) else official_label


def measure_rows(rows: LabelledRows, scores: Scores, taxonomy: Taxonomy, config: AccuracyConfig) -> dict[str, Any]:
    """Return the figures of one candidate on one corpus, as plain data for `measurements.json`.

    Args:
        rows: n rows of one corpus.
        scores: float32 `[n, labels]`, probabilities in taxonomy order.
        taxonomy: labels, and the priors at which precision is stated.
        config: threshold, bins, resamples.

    Returns:
        `labels` (figures per label), `flagged_by_slice` (share flagged of each of the corpus's own slices),
        `false_alarms_by_stance` (share flagged among known non-violations of each annotated stance) and `suite` (see
        `suite_figures`). Flagged is by the root.
    """
    flagged = scores[:, 0] >= config.threshold
    everything, harmless = np.ones(len(flagged), bool), rows.truth[:, 0] == 0
    return {
        "labels": {
            label: label_figures(rows.truth[:, i], scores[:, i], rows.resamples, config, taxonomy.priors)
            for i, label in enumerate(taxonomy.labels)
        },
        "flagged_by_slice": flagged_shares(flagged, everything, rows.slices, rows.resamples),
        "false_alarms_by_stance": flagged_shares(flagged, harmless, rows.stances, rows.resamples),
        "suite": suite_figures(
            rows.truth[:, 0], scores[:, 0], config.threshold, rows.slices, rows.groups, rows.swaps, rows.resamples
        ),
    }


def label_figures(
    truth: Scores, scores: Scores, resamples: Resamples, config: AccuracyConfig, priors: Sequence[float]
) -> dict[str, Any]:
    """Return the figures of one label: all null (with n) unless both classes are known.

    Args:
        truth: float32 `[n]`, NaN = unknown.
        scores: float32 `[n]`.
        resamples: over the n rows.
        config: threshold and bins.
        priors: prevalences at which precision is stated beside the one found.
    """
    known = ~np.isnan(truth)
    positive, negative = truth == 1, truth == 0
    counts = {"n_known": int(known.sum()), "n_positive": int(positive.sum())}
    if not both_classes(truth):
        nothing = Figure.undefined(counts["n_known"]).to_dict()
        return {**counts, **dict.fromkeys(_FIGURES, nothing), "precision_at_prior": {_key(p): nothing for p in priors}}
    flagged = scores >= config.threshold
    cells = confusion(truth, flagged)
    figures = {
        "precision": share(resamples, positive, flagged & known),
        "recall": share(resamples, flagged, positive),
        "false_positive_rate": share(resamples, flagged, negative),
        "f1": bootstrap(resamples, cells, f1, counts["n_known"]),
        "macro_f1": bootstrap(resamples, cells, macro_f1, counts["n_known"]),
        "average_precision": _average_precision_figure(truth, scores, resamples),
        "calibration_error": _calibration_figure(truth, scores, resamples, config.calibration_bins),
        "prevalence": share(resamples, positive, known),
    }
    at_prior = {_key(p): precision_at_prior(resamples, flagged, positive, negative, p).to_dict() for p in priors}
    return {**counts, **{name: figures[name].to_dict() for name in _FIGURES}, "precision_at_prior": at_prior}


_FIGURES = (
    "precision",
    "recall",
    "f1",
    "macro_f1",
    "average_precision",
    "calibration_error",
    "false_positive_rate",
    "prevalence",
)


def confusion(truth: Scores, flagged: Flags) -> Floats:
    """Return float64 `[n, 4]`, one 1 per known row: true positive, false positive, false negative, true negative."""
    positive, negative = truth == 1, truth == 0
    cells = (positive & flagged, negative & flagged, positive & ~flagged, negative & ~flagged)
    return np.stack(cells, axis=1).astype(np.float64)


def f1(cells: Floats) -> Floats:
    """Return F1 of the positive class from summed `confusion` cells `[..., 4]`; NaN without positives and alarms."""
    tp, fp, fn = cells[..., 0], cells[..., 1], cells[..., 2]
    return ratio(2 * tp, 2 * tp + fp + fn)


def macro_f1(cells: Floats) -> Floats:
    """Return the mean F1 of the two classes from summed `confusion` cells `[..., 4]`."""
    return (f1(cells) + f1(cells[..., ::-1])) / 2


def average_precision(truth: Scores, scores: Scores) -> float:
    """Return average precision Σ (R_i - R_{i-1}) P_i over distinct thresholds, NaN unless both classes are known.

    No interpolation and tied scores as one threshold, as in scikit-learn (Manning, Raghavan and Schütze, "Introduction
    to Information Retrieval", 2008, chapter 8). `truth` and `scores` are `[n]`; NaN truths are left out.
    """
    if not both_classes(truth):
        return float("nan")
    ranking = _Ranking.of(truth, scores)
    return float(ranking.average_precision(np.ones((1, len(ranking.rows))))[0])


def calibration_error(truth: Scores, scores: Scores, bins: int) -> float:
    """Return the expected calibration error over bins of equal mass, NaN unless both classes are known.

    Σ_b n_b/n · |mean score - share of positives| (Naeini, Cooper and Hauskrecht, AAAI 2015) with bins that hold equally
    many texts (Nguyen and O'Connor, "Posterior calibration and exploratory analysis for NLP models", EMNLP 2015):
    scores of rare labels crowd near 0, where bins of equal width would put nearly all of them into one. Equal scores
    share a bin.
    """
    if not both_classes(truth):
        return float("nan")
    return float(_calibration(_calibration_gaps(truth, scores, bins).sum(axis=0)))


def precision_at_prior(
    resamples: Resamples, flagged: Flags, positive: Flags, negative: Flags, prior: float, method: str = "wilson"
) -> Figure:
    """Return precision where a share `prior` of texts is positive: tpr·π / (tpr·π + fpr·(1 - π)).

    The data's own prevalence comes from how it was collected, a platform's is far lower (Elkan, "The foundations of
    cost-sensitive learning", IJCAI 2001, on changing base rates). The interval joins 97.5 % intervals of the two rates
    (Bonferroni), so that no false positive among few negatives reads as "perhaps many", not as certainty.

    Args:
        resamples: over the n rows.
        flagged: bool `[n]`.
        positive: bool `[n]`, known positives.
        negative: bool `[n]`, known negatives; a row of unknown truth is neither.
        prior: prevalence π.
        method: interval of the rates, see `proportion`.
    """
    recall = share(resamples, flagged, positive, method, confidence=0.975)
    alarms = share(resamples, flagged, negative, method, confidence=0.975)
    n = int(np.sum(positive | negative))
    if None in (recall.value, alarms.value):
        return Figure.undefined(n)
    value = _adjusted(recall.value, alarms.value, prior)
    if not np.isfinite(value):
        return Figure.undefined(n)
    return Figure.of(value, _adjusted(recall.low, alarms.high, prior), _adjusted(recall.high, alarms.low, prior), n)


def flagged_shares(
    flagged: Flags, among: Flags, names: Sequence[str | None], resamples: Resamples
) -> dict[str, dict[str, Any]]:
    """Return, for every name that occurs within `among`, the share of its rows there that is flagged.

    Args:
        flagged: bool `[n]`.
        among: bool `[n]`, the rows that count.
        names: the slice of each row, None for none.
        resamples: over the n rows.
    """
    columns = np.array(["" if name is None else name for name in names])
    present = sorted(set(columns[among]) - {""})
    return {name: share(resamples, flagged, among & (columns == name)).to_dict() for name in present}


def official_figures(
    test: LabelledRows,
    test_scores: Scores,
    validation_official: Scores,
    validation_scores: Scores,
    config: AccuracyConfig,
) -> dict[str, Any]:
    """Compare scores of one label with the corpus's own binary label, for a look at published figures.

    Args:
        test: n rows of the test split.
        test_scores: float32 `[n]`, scores of the label that the corpus names.
        validation_official: float32 `[m]`, the corpus's label on its validation rows, NaN = none.
        validation_scores: float32 `[m]`.
        config: the fixed threshold.

    Returns:
        Macro-F1 at the fixed threshold and at the one with the best macro-F1 on validation rows; that one and its
        figure are null where the corpus has no validation rows of both classes.
    """
    chosen = best_threshold(validation_official, validation_scores)
    return {
        "macro_f1": _macro_f1_figure(test, test_scores, config.threshold).to_dict(),
        "validation_threshold": chosen,
        "macro_f1_at_validation_threshold": _macro_f1_figure(test, test_scores, chosen).to_dict(),
    }


def best_threshold(truth: Scores, scores: Scores) -> float | None:
    """Return the threshold of the highest macro-F1, halfway between two scores; None unless both classes are known."""
    if not both_classes(truth):
        return None
    ranking = _Ranking.of(truth, scores)
    tp = np.cumsum(ranking.truth)[ranking.ends]
    flagged = ranking.ends + 1.0
    positives, n = tp[-1], len(ranking.truth)
    fp, fn = flagged - tp, positives - tp
    best = int(np.nanargmax(macro_f1(np.stack([tp, fp, fn, n - flagged - fn], axis=-1))))
    ordered = ranking.scores[ranking.ends]
    lower = ordered[best + 1] if best + 1 < len(ordered) else 0.0
    return float((ordered[best] + lower) / 2)


def validation_notes(
    rows: Mapping[str, LabelledRows], authored: Mapping[str, bool], taxonomy: Taxonomy
) -> dict[str, dict[str, Any]]:
    """Say for each label on what kind of data it was validated.

    Args:
        rows: test rows by corpus.
        authored: by corpus, whether its texts were written for this project.
        taxonomy: the labels.

    Returns:
        Per label: known positives in natural and in authored corpora and a `note`, null where natural data carries the
        label.
    """
    notes = {}
    for i, label in enumerate(taxonomy.labels):
        columns = {name: rows[name].truth[:, i] for name in rows}
        natural = sum(int((columns[name] == 1).sum()) for name in rows if not authored[name])
        written = sum(int((columns[name] == 1).sum()) for name in rows if authored[name])
        both = any(both_classes(columns[name]) for name in rows if not authored[name])
        note = None if both else NO_NEGATIVES if natural else AUTHORED_ONLY if written else NO_POSITIVES
        notes[label] = {"natural_positives": natural, "authored_positives": written, "note": note}
    return notes


@dataclass(frozen=True)
class _Ranking:
    """Known rows from the highest score down. `ends` is the last position of each run of equal scores."""

    rows: NDArray[np.int64]
    truth: Floats
    scores: Scores
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, truth: Scores, scores: Scores) -> "_Ranking":
        known = np.flatnonzero(~np.isnan(truth))
        rows = known[np.argsort(-scores[known], kind="stable")]
        ordered = scores[rows]
        ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        return cls(rows, truth[rows].astype(np.float64), ordered, ends)

    def average_precision(self, weights: Floats) -> Floats:
        """Return average precision when each row counts `weights` `[r, m]` times: `[r]`, NaN without positives."""
        hits = np.cumsum(weights * self.truth, axis=1)[:, self.ends]
        flagged = np.cumsum(weights, axis=1)[:, self.ends]
        gained = np.diff(hits, axis=1, prepend=0.0)
        return ratio(np.sum(gained * hits / np.maximum(flagged, 1.0), axis=1), hits[:, -1])


def _average_precision_figure(truth: Scores, scores: Scores, resamples: Resamples) -> Figure:
    ranking = _Ranking.of(truth, scores)
    value = average_precision(truth, scores)
    resampled = np.concatenate([ranking.average_precision(weights) for weights in resamples.weights(ranking.rows)])
    return Figure.of(value, *percentile_interval(resampled), len(ranking.rows))


def _calibration_figure(truth: Scores, scores: Scores, resamples: Resamples, bins: int) -> Figure:
    """Return the calibration error, with bins fixed over resamples.

    Resampling adds noise within bins and noise adds error, so the interval of a well calibrated model would lie above
    its own value; it is extended to the value.
    """
    figure = bootstrap(resamples, _calibration_gaps(truth, scores, bins), _calibration, int((~np.isnan(truth)).sum()))
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    return Figure(figure.value, min(figure.low, figure.value), max(figure.high, figure.value), figure.n)


def _calibration_gaps(truth: Scores, scores: Scores, bins: int) -> Floats:
    """Return float64 `[n, bins + 1]`: score minus truth in the column of the row's bin; last column 1 if known."""
    known = ~np.isnan(truth)
    edges = np.unique(np.quantile(scores[known], np.linspace(0, 1, bins + 1)[1:-1]))
    column = np.searchsorted(edges, scores, side="right")
    gaps = np.zeros((len(truth), bins + 1))
    gaps[np.flatnonzero(known), column[known]] = scores[known].astype(np.float64) - truth[known]
    gaps[known, bins] = 1.0
    return gaps


def _calibration(sums: Floats) -> Floats:
    return ratio(np.abs(sums[..., :-1]).sum(axis=-1), sums[..., -1])


def _adjusted(recall: float | None, alarms: float | None, prior: float) -> float:
    if recall is None or alarms is None:
        return float("nan")
    hits = recall * prior
    return float(ratio(np.array(hits), np.array(hits + alarms * (1 - prior))))


def _macro_f1_figure(rows: LabelledRows, scores: Scores, threshold: float | None) -> Figure:
    n = int((~np.isnan(rows.official)).sum())
    if threshold is None or not both_classes(rows.official):
        return Figure.undefined(n)
    return bootstrap(rows.resamples, confusion(rows.official, scores >= threshold), macro_f1, n)


def _key(prior: float) -> str:
    return f"{prior:g}"
