"""From score to action: the threshold of every action of the taxonomy, or why the data can't carry one.

Reads validation scores of the root; `calibrate` writes the result into the checkpoint as `operating_points.json`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.measure.accuracy import precision_at_prior
from pipelines.measure.statistics import Figure, Resamples, group_codes, ratio, share
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Action, Taxonomy

Scores = NDArray[np.float32]
Floats = NDArray[np.float64]
_FIGURES = ("precision", "recall", "false_positive_rate")


@dataclass
class OperatingPointsConfig:
    """How operating points are calibrated.

    Attributes:
        resamples: bootstrap resamples behind the intervals of grouped texts.
        min_positives: fewer known violations than this carry no operating point.
    """

    resamples: int
    min_positives: int


def calibrate_operating_points(
    truth_root: Scores,
    score_root: Scores,
    taxonomy: Taxonomy,
    groups: Sequence[str | None] | NDArray[Any],
    seed: int,
    config: OperatingPointsConfig,
) -> dict[str, Any]:
    """Choose for every action the threshold that meets its constraints and maximises what it asks for.

    A constraint must hold at the point estimate; the interval beside it says how sure that is. It is computed with the
    threshold held fixed, so it does not cover that the threshold was chosen on the same texts: `evaluate` measures the
    same thresholds on the test split (`measure_operating_points`).
    Precision is stated and required at the action's `prior` where it names one (see `precision_at_prior`), else as
    found.

    Nothing is extrapolated. n negatives can't show a false-positive rate below 3/n: none seen among n still allows that
    much at 95 % confidence (the rule of three: Hanley and Lippman-Hand, JAMA 249, 1983). A threshold whose constraints
    imply a smaller rate is no candidate, and that includes the rate that a precision at a low prior implies.

    Args:
        truth_root: float32 `[n]`, 1, 0 or NaN = unknown.
        score_root: float32 `[n]`, calibrated probability of the root.
        taxonomy: the actions.
        groups: thread, incident or pair of each row, None for none.
        seed: of the bootstrap.
        config: resamples, fewest positives.

    Returns:
        `{"actions": {name: {"status", "reason", "label", "unit", "prior", "threshold", "precision", "recall",
        "false_positive_rate", "n"}}}`; the threshold and every figure of an unsupported action are null. A score acts
        when it is at least the threshold.
    """
    if config.min_positives < 1:
        raise UserError(f"operating_points.min_positives must be at least 1, got {config.min_positives}.")
    known = np.flatnonzero(~np.isnan(truth_root))
    codes = group_codes([groups[row] for row in known.tolist()])
    resamples = Resamples.draw(codes, config.resamples, seed)
    curve = _Curve.of(truth_root[known], score_root[known])
    points = {
        name: _point(action, curve, truth_root[known], score_root[known], resamples, config)
        for name, action in taxonomy.actions.items()
    }
    return {"actions": {name: {"label": taxonomy.root.id, **point} for name, point in points.items()}}


def measure_operating_points(
    points: Mapping[str, Any], truth: Scores, scores: Scores, taxonomy: Taxonomy, resamples: Resamples
) -> dict[str, dict[str, Any]]:
    """Return precision, recall and false-positive rate of every supported point on other texts, by action.

    This is what says how far a threshold chosen on validation data holds.

    Args:
        points: what `calibrate_operating_points` returned under `actions`.
        truth: float32 `[n]`, the root, NaN = unknown.
        scores: float32 `[n]`, its calibrated probability.
        taxonomy: the actions.
        resamples: bootstrap resamples over the n texts.
    """
    return {
        name: _figures(taxonomy.actions[name], scores >= point["threshold"], truth, resamples)
        for name, point in points.items()
        if point["status"] == "supported" and name in taxonomy.actions
    }


@dataclass(frozen=True)
class _Curve:
    """Counts at every threshold that some text meets, from the highest score down: float64 `[thresholds]` each."""

    thresholds: Scores
    true_positives: Floats
    false_positives: Floats
    positives: int
    negatives: int

    @classmethod
    def of(cls, truth: Scores, scores: Scores) -> "_Curve":
        order = np.argsort(-scores, kind="stable")
        ordered, hits = scores[order], np.cumsum(truth[order] == 1, dtype=np.float64)
        ends = np.flatnonzero(ordered != np.append(ordered[1:], np.nan))
        positives = int((truth == 1).sum())
        return cls(ordered[ends], hits[ends], ends + 1 - hits[ends], positives, len(truth) - positives)

    @property
    def recall(self) -> Floats:
        return self.true_positives / self.positives

    @property
    def false_positive_rate(self) -> Floats:
        return self.false_positives / self.negatives

    def precision(self, prior: float | None) -> Floats:
        if prior is None:
            return self.true_positives / (self.true_positives + self.false_positives)
        return ratio(self.recall * prior, self.recall * prior + self.false_positive_rate * (1 - prior))


def _point(
    action: Action, curve: _Curve, truth: Scores, scores: Scores, resamples: Resamples, config: OperatingPointsConfig
) -> dict[str, Any]:
    common = {"unit": action.unit, "prior": action.prior}
    chosen = _choose(action, curve, config)
    if isinstance(chosen, str):
        figures: dict[str, Any] = dict.fromkeys(_FIGURES, Figure.undefined(len(truth)).to_dict())
        return {"status": "unsupported", "reason": chosen, **common, "threshold": None, **figures, "n": len(truth)}
    threshold = _rounded_down(curve, chosen)
    figures = _figures(action, scores >= threshold, truth, resamples)
    return {"status": "supported", "reason": None, **common, "threshold": threshold, **figures, "n": len(truth)}


def _choose(action: Action, curve: _Curve, config: OperatingPointsConfig) -> int | str:
    """Return the index of the best threshold, or in plain words why there is none."""
    if action.unit != "text":
        return f"acts on a {action.unit}, not on one text; labelled texts alone can't calibrate it"
    if curve.positives < config.min_positives:
        return f"{curve.positives} known violations, at least {config.min_positives} are needed"
    if curve.negatives == 0:
        return "no text is known to be harmless"
    precision, recall = curve.precision(action.prior), curve.recall
    visible = _needed_rate(action, recall) >= 3 / curve.negatives
    if not visible.any():
        return _too_few(action, float(_needed_rate(action, np.ones(1))[0]), curve.negatives)
    holds = _holds(action, precision, recall, curve.false_positive_rate)
    if not holds.any():
        return f"no threshold reaches {_wanted(action)}; {_nearest(action, precision, recall, curve)}"
    if not (visible & holds).any():
        return _too_few(action, float(_needed_rate(action, recall[holds]).max()), curve.negatives)
    # among thresholds equally good at what the action asks for, the one with the better other figure
    aims = (recall, precision) if action.maximise == "recall" else (precision, recall)
    return max(np.flatnonzero(visible & holds).tolist(), key=lambda index: (aims[0][index], aims[1][index]))


def _needed_rate(action: Action, recall: Floats) -> Floats:
    """Return the largest false-positive rate that the constraints allow at each recall `[k]`; 1 where they say nothing.

    From precision P at prior π: rate ≤ recall · π(1 - P) / (P(1 - π)).
    """
    allowed = np.full(len(recall), action.max_false_positive_rate or 1.0)
    if action.min_precision is None or action.prior is None:
        return allowed
    odds = action.prior / (1 - action.prior)
    return np.minimum(allowed, recall * odds * (1 - action.min_precision) / action.min_precision)


def _holds(action: Action, precision: Floats, recall: Floats, false_positive_rate: Floats) -> NDArray[np.bool_]:
    holds = np.isfinite(precision) & (recall > 0)
    if action.min_precision is not None:
        holds &= precision >= action.min_precision
    if action.min_recall is not None:
        holds &= recall >= action.min_recall
    if action.max_false_positive_rate is not None:
        holds &= false_positive_rate <= action.max_false_positive_rate
    return holds


def _figures(action: Action, flagged: NDArray[np.bool_], truth: Scores, resamples: Resamples) -> dict[str, Any]:
    positive, negative = truth == 1, truth == 0
    if action.prior is None:
        precision = share(resamples, positive, flagged & (positive | negative), "exact")
    else:
        precision = precision_at_prior(resamples, flagged, positive, negative, action.prior, "exact")
    figures = (precision, share(resamples, flagged, positive, "exact"), share(resamples, flagged, negative, "exact"))
    return {name: figure.to_dict() for name, figure in zip(_FIGURES, figures, strict=True)}


def _rounded_down(curve: _Curve, index: int) -> float:
    """Return the shortest decimal threshold that separates the same texts, in float32 and in float64 alike."""
    score = float(curve.thresholds[index])
    below = curve.thresholds[index + 1] if index + 1 < len(curve.thresholds) else np.float32(0)
    for digits in range(2, 9):
        threshold = math.floor(score * 10**digits) / 10**digits
        if below < np.float32(threshold):
            return threshold
    return score


def _too_few(action: Action, rate: float, negatives: int) -> str:
    needed = math.ceil(3 / rate)
    return (
        f"{_wanted(action)} takes a false-positive rate of {rate:.2g}, which {negatives} harmless texts can't show; "
        f"at least {needed} are needed"
    )


def _wanted(action: Action) -> str:
    at_prior = "" if action.prior is None else f" at a prior of {action.prior:g}"
    wanted = {
        f"precision of at least {action.min_precision}{at_prior}": action.min_precision,
        f"recall of at least {action.min_recall}": action.min_recall,
        f"a false-positive rate of at most {action.max_false_positive_rate}": action.max_false_positive_rate,
    }
    return " and ".join(text for text, limit in wanted.items() if limit is not None)


def _nearest(action: Action, precision: Floats, recall: Floats, curve: _Curve) -> str:
    """Say how near the data comes: to the first constraint, where the others hold."""
    if action.min_precision is not None:
        return f"the highest precision is {np.nanmax(precision):.3f}"
    if action.min_recall is not None and action.max_false_positive_rate is not None:
        allowed = curve.false_positive_rate <= action.max_false_positive_rate
        return f"the highest recall within that rate is {recall[allowed].max(initial=0.0):.3f}"
    return "the scores do not separate the classes that far"
