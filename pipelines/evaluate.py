"""Measure how right the candidates are, on every corpus's test split by itself, with the baselines beside them.

Reads PreparedData and candidates, returns Measurements: per label, per slice and against each corpus's own bit.
    python train.py pipeline=evaluate
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from rich.console import Console

from pipelines.artifacts.folder import Slot
from pipelines.artifacts.progress import say
from pipelines.corpora import PreparedData
from pipelines.measure.accuracy import AccuracyConfig, validation_notes
from pipelines.measure.baselines import BaselineConfig, fit_baselines
from pipelines.measure.evaluation import SERVED, CorpusPart, Scored, headlines, measure_corpus, score, split_by_corpus
from pipelines.measure.measurements import Measurements, write_figures
from pipelines.measure.predictor import Predictor
from pipelines.measure.robustness import RobustnessConfig, cloaked_figures
from pipelines.report.accuracy import accuracy_table
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy

PREDICTIONS = "predictions.npz"
MAJORITY, NGRAM, NGRAM_ALONE = "majority", "char n-grams", "char n-grams, own corpus"
NAIVE_BAYES, FASTTEXT = "char NB-SVM", "fastText"


@dataclass
class EvaluateConfig:
    """How candidates are measured and what they are compared with."""

    accuracy: AccuracyConfig
    baselines: BaselineConfig
    robustness: RobustnessConfig


def run(
    config: EvaluateConfig,
    data: PreparedData,
    candidates: Mapping[str, Predictor],
    recorded: Mapping[str, Scored],
    points: Mapping[str, Any],
    taxonomy: Taxonomy,
    slot: Slot,
) -> Measurements:
    """Measure `candidates`, what was scored already and the baselines.

    `recorded` holds probabilities of the whole test and validation splits, `points` the operating points of the
    candidate called SERVED.

    Writes `measurements.json` and, for paired comparisons later, `predictions.npz`: `ids` `[n]`, `labels` `[l]` and
    every candidate's probabilities, float32 `[n, l]`, under its name.

    Raises:
        UserError: no test or training rows, a candidate with other labels or with NaN, or a value out of range.
    """
    check(config)
    taken = sorted({MAJORITY, NGRAM, NAIVE_BAYES, FASTTEXT, NGRAM_ALONE, "ids", "labels"} & {*candidates, *recorded})
    if taken:
        raise UserError(f"evaluate: a candidate can't be called '{taken[0]}': evaluate uses that name itself.")
    parts = split_by_corpus(data, taxonomy, config.accuracy)
    test, validation = data.split("test"), data.split("validation")
    say("evaluate: fitting the baselines")
    baselines = fit_baselines(data.split("train"), taxonomy, config.baselines)
    scored = dict(recorded)
    simple: dict[str, Predictor] = {
        MAJORITY: baselines.majority,
        NGRAM: baselines.ngram,
        NAIVE_BAYES: baselines.naive_bayes,
        FASTTEXT: baselines.fasttext,
    }
    for name, candidate in {**candidates, **simple}.items():
        say(f"evaluate: scoring with {name}")
        scored[name] = Scored(*(score(name, candidate, rows, len(taxonomy.labels)) for rows in (test, validation)))
    corpora = {}
    for name, part in parts.items():
        say(f"evaluate: measuring on {name}")
        alone = {}
        if name in baselines.official:
            splits = (test.select(part.test), validation.select(part.validation))
            alone[NGRAM_ALONE] = Scored(*(score(NGRAM_ALONE, baselines.official[name], rows, 1) for rows in splits))
        corpora[name] = measure_corpus(part, scored, alone, points, taxonomy, config.accuracy)
    figures = {
        "threshold": config.accuracy.threshold,
        "labels": validation_notes(
            {name: part.rows for name, part in parts.items()},
            {name: part.authored for name, part in parts.items()},
            taxonomy,
        ),
        "corpora": corpora,
        "cloaks": _cloaks(parts, test, {**candidates, NGRAM: baselines.ngram}, config),
    }
    with slot.fill(Measurements) as draft:
        write_figures(draft.folder, figures)
        _write_predictions(draft.folder / PREDICTIONS, list(test["id"]), taxonomy, scored)
        for name in (*recorded, *candidates):
            draft.metrics.update(headlines(name, scored[name].test, parts, taxonomy, config.accuracy))
    Console(stderr=True).print(accuracy_table(figures))
    return Measurements.open(slot.path)


def check(config: EvaluateConfig) -> None:
    """Raise UserError for a value out of range."""
    config.accuracy.check()
    config.baselines.check()
    config.robustness.check()


def _cloaks(
    parts: Mapping[str, CorpusPart], test: Dataset, candidates: Mapping[str, Predictor], config: EvaluateConfig
) -> dict[str, Any]:
    """Return, per cloaked corpus, the figures of what deployments get and of the n-grams (see `cloaked_figures`)."""
    figures: dict[str, Any] = {}
    resample = (config.accuracy.resamples, config.accuracy.seed)
    for corpus in (name for name in config.robustness.corpora if name in parts):
        part, rows = parts[corpus], test.select(parts[corpus].test)
        say(f"evaluate: cloaking {corpus}")
        figures[corpus] = {
            name: cloaked_figures(
                candidates[name],
                list(rows["text"]),
                list(rows["context"]),
                part.rows.truth[:, 0],
                part.rows.resamples.codes,
                config.accuracy.threshold,
                resample,
                config.robustness,
            )
            for name in (SERVED, NGRAM)
            if name in candidates
        }
    return figures


def _write_predictions(path: Path, ids: Sequence[str], taxonomy: Taxonomy, scored: Mapping[str, Scored]) -> None:
    """Write arrays of strings and float32 alone, so that the file opens with `allow_pickle=False`."""
    arrays: dict[str, Any] = {name: scores.test for name, scores in scored.items()}
    np.savez_compressed(path, ids=np.array(ids), labels=np.array(taxonomy.labels), **arrays)
