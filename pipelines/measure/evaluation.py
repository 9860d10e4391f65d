"""Candidates against corpora: who is scored on which rows, and what is then said of each corpus.

Stands between the figures of `accuracy` and the verb `evaluate`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from pipelines.corpora import PreparedData
from pipelines.measure.accuracy import (
    AccuracyConfig,
    LabelledRows,
    both_classes,
    headline_label,
    known_values,
    measure_rows,
    official_figures,
)
from pipelines.measure.metrics import ExpectedCalibrationError, MaskedMacroF1, MultiLabelAveragePrecision
from pipelines.measure.operating_points import measure_operating_points
from pipelines.measure.predictor import Predictor
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy

Scores = NDArray[np.float32]
SERVED = (
    "student int8"  # the candidate that deployments get: its operating points are measured, its figures lead the card
)


@dataclass(frozen=True)
class Scored:
    """One candidate's probabilities: float32 `[n, labels]` on the test split, `[m, labels]` on the validation split."""

    test: Scores
    validation: Scores


@dataclass(frozen=True)
class CorpusPart:
    """One corpus's part of the splits.

    Attributes:
        authored: whether its texts were written for this project.
        official_label: the label that the corpus's own bit is compared with, None where it has no bit.
        headline: the label it is summed up by, see `headline_label`.
        rows: its test rows.
        test: their positions in the test split, int64.
        validation: positions of its rows in the validation split, int64.
        validation_official: its own bit on those, float32, NaN = none.
    """

    authored: bool
    official_label: str | None
    headline: str | None
    rows: LabelledRows
    test: NDArray[np.int64]
    validation: NDArray[np.int64]
    validation_official: Scores


def split_by_corpus(data: PreparedData, taxonomy: Taxonomy, config: AccuracyConfig) -> dict[str, CorpusPart]:
    """Return the corpora that have test rows, in the mixture's order; UserError when none has."""
    test, validation = data.split("test"), data.split("validation")
    of_test, of_validation = np.array(test["corpus"]), np.array(validation["corpus"])
    official = known_values(validation["official"])
    parts = {}
    for name, corpus in data.manifest["corpora"].items():
        index, other = np.flatnonzero(of_test == name), np.flatnonzero(of_validation == name)
        if not len(index):
            continue
        rows = LabelledRows.of(test.select(index), taxonomy, config)
        label = corpus["official_label"]
        headline = headline_label(rows.truth[:, 0], taxonomy.root.id, label)
        parts[name] = CorpusPart(corpus["authored"], label, headline, rows, index, other, official[other])
    if not parts:
        raise UserError(f"{data.path}: the test split is empty. Prepare a mixture with test rows.")
    return parts


def score(name: str, candidate: Predictor, rows: Dataset, labels: int) -> Scores:
    """Return the candidate's probabilities on `rows`, float32 `[n, labels]`.

    Raises:
        UserError: the candidate has another number of labels, or a probability is NaN.
    """
    if not len(rows):
        return np.zeros((0, labels), np.float32)
    _, probabilities = candidate.predict(list(rows["text"]), list(rows["context"]))
    if probabilities.shape[1] != labels:
        found = probabilities.shape[1]
        raise UserError(f"{name}: scores {found} labels, the taxonomy has {labels}. It was made for another taxonomy.")
    broken = int(np.isnan(probabilities).any(axis=1).sum())
    if broken:
        raise UserError(f"{name}: gives NaN for {broken} of {len(rows)} texts. Its weights or its graph are broken.")
    return probabilities


def measure_corpus(
    part: CorpusPart,
    scored: Mapping[str, Scored],
    official_only: Mapping[str, Scored],
    points: Mapping[str, Any],
    taxonomy: Taxonomy,
    config: AccuracyConfig,
) -> dict[str, Any]:
    """Return everything that is said of one corpus, as plain data.

    Args:
        part: its rows.
        scored: candidates and baselines, over the whole splits.
        official_only: baselines that score nothing but the corpus's own bit: `[rows of the part, 1]` each.
        points: operating points of the candidate called SERVED, by action.
        taxonomy: labels and priors.
        config: threshold, bins, resamples.
    """
    candidates = {
        name: measure_rows(part.rows, scores.test[part.test], taxonomy, config) for name, scores in scored.items()
    }
    official = None
    if part.official_label is not None:
        column = taxonomy.index(part.official_label)
        own = {
            name: Scored(scores.test[part.test, column], scores.validation[part.validation, column])
            for name, scores in scored.items()
        }
        own |= {name: Scored(scores.test[:, 0], scores.validation[:, 0]) for name, scores in official_only.items()}
        official = {
            "label": part.official_label,
            "candidates": {
                name: official_figures(part.rows, scores.test, part.validation_official, scores.validation, config)
                for name, scores in own.items()
            },
        }
    return {
        "rows": len(part.test),
        "authored": part.authored,
        "headline_label": part.headline,
        "candidates": candidates,
        "official": official,
        "operating_points": _at_points(part, scored, points, taxonomy),
    }


def _at_points(
    part: CorpusPart, scored: Mapping[str, Scored], points: Mapping[str, Any], taxonomy: Taxonomy
) -> dict[str, Any] | None:
    """Return the served candidate's figures at its operating points; None where the corpus can't say."""
    if SERVED not in scored or not both_classes(part.rows.truth[:, 0]):
        return None
    scores = scored[SERVED].test[part.test, 0]
    return measure_operating_points(points, part.rows.truth[:, 0], scores, taxonomy, part.rows.resamples)


def headlines(
    name: str, scores: Scores, parts: Mapping[str, CorpusPart], taxonomy: Taxonomy, config: AccuracyConfig
) -> dict[str, float | None]:
    """Return the figures of one candidate worth a line: `NAME/CORPUS/FIGURE` on each corpus's headline label."""
    lines: dict[str, float | None] = {}
    metrics: dict[Any, dict[str, Any]] = {
        MaskedMacroF1(): {"threshold": config.threshold},
        MultiLabelAveragePrecision(): {},
        ExpectedCalibrationError(): {"bins": config.calibration_bins},
    }
    for corpus, part in parts.items():
        if part.headline is None:
            continue
        column = [taxonomy.index(part.headline)]
        for metric, options in metrics.items():
            predictions, references = scores[part.test][:, column], part.rows.truth[:, column]
            value = metric.compute(predictions=predictions, references=references, **options)
            lines[f"{name}/{corpus}/{metric.figure}"] = value[metric.figure]
    return lines
