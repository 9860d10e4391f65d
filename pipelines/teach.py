"""Score every text with the teachers: what the student will learn from, and what it is compared with.

Reads PreparedData and one or more teachers, returns TeacherScores: the mean of the teachers' logits, and on a corpus's
own bit half of what character n-grams of that corpus alone say, which err where encoders don't (LOG.md). A training row
is scored by n-grams that never saw it. Test rows are scored for `evaluate` and read by nothing else.
    python train.py pipeline=teach teach.teachers=3
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from pipelines.artifacts.folder import Slot
from pipelines.artifacts.progress import say
from pipelines.corpora import PreparedData
from pipelines.measure.accuracy import both_classes, known_values
from pipelines.measure.baselines import BaselineConfig, NgramBaseline, NgramFeatures
from pipelines.models import Checkpoint
from pipelines.models.predict import predict_logits
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy
from pipelines.training.teacher import SPLITS, TeacherScores

Logits = NDArray[np.float32]


@dataclass
class TeachConfig:
    """Who the teacher is.

    Attributes:
        teachers: encoders fine-tuned alike from consecutive seeds, whose logits are averaged.
        ngram_share: weight of the corpus's own n-grams on its own bit, 0 leaves them out.
        folds: into which training rows are cut, so that n-grams score rows they have not seen.
        ngrams: how they are fitted.
    """

    teachers: int
    ngram_share: float
    folds: int
    ngrams: BaselineConfig


def run(
    config: TeachConfig, data: PreparedData, teachers: Sequence[Checkpoint], taxonomy: Taxonomy, slot: Slot
) -> TeacherScores:
    """Score all splits; raise UserError for a value out of range."""
    check(config)
    with slot.fill(TeacherScores) as draft:
        scores: dict[str, Logits] = {}
        for split in SPLITS:
            rows = data.split(split)
            each = [
                _encoded(teacher, rows, draft.folder / "scratch" / teacher.fingerprint[:12], split)
                for teacher in teachers
            ]
            scores[split] = np.stack(each).mean(axis=0)
        if config.ngram_share:
            _blend(scores, config, data, taxonomy)
        for split, logits in scores.items():
            np.save(draft.folder / f"{split}.npy", logits, allow_pickle=False)
        draft.metrics.update(teachers=len(teachers), texts=sum(map(len, scores.values())))
    return TeacherScores.open(slot.path)


def check(config: TeachConfig) -> None:
    """Raise UserError for a value out of range."""
    config.ngrams.check()
    if config.teachers < 1 or config.folds < 2 or not 0 <= config.ngram_share <= 1:
        raise UserError("teach: teachers must be at least 1, folds at least 2, ngram_share in [0, 1].")


def _encoded(teacher: Checkpoint, rows: Dataset, cache: Path, split: str) -> Logits:
    """Return one teacher's logits `[n, l]`, from `cache` when a killed run already computed them."""
    file = cache / f"{split}.npy"
    if not file.is_file():
        say(f"teach: scoring {split} with {teacher.path.name}")
        contexts = list(rows["context"]) if "context" in rows.column_names else None
        logits = predict_logits(teacher.model(), teacher.tokenizer(), list(rows["text"]), contexts)
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file.with_suffix(".partial.npy"), logits, allow_pickle=False)
        file.with_suffix(".partial.npy").replace(file)
    stored: Logits = np.load(file, allow_pickle=False)
    return stored


def _blend(scores: dict[str, Logits], config: TeachConfig, data: PreparedData, taxonomy: Taxonomy) -> None:
    """Mix the n-grams of every corpus with a bit of its own into the column of that bit, in place."""
    train = data.split("train")
    features, matrix = NgramFeatures.fit(list(train["text"]), config.ngrams)
    for corpus, about in data.manifest["corpora"].items():
        if about["official_label"] is None:
            continue
        here = np.flatnonzero(np.array(train["corpus"]) == corpus)
        truth = known_values(train.select(here)["official"])
        if not both_classes(truth):
            continue
        say(f"teach: character n-grams of {corpus}")
        column = taxonomy.index(about["official_label"])
        fitted = NgramBaseline.fit(features, matrix[here], truth[:, None], config.ngrams)
        for split in ("validation", "test"):
            rows = data.split(split)
            others = np.flatnonzero(np.array(rows["corpus"]) == corpus)
            if len(others):
                logits, _ = fitted.predict(list(rows.select(others)["text"]), [None] * len(others))
                _mix(scores[split], others, column, logits[:, 0], config.ngram_share)
        unseen = _out_of_fold(features, matrix[here], truth, _groups(train.select(here)), config)
        _mix(scores["train"], here, column, unseen, config.ngram_share)


def _out_of_fold(
    features: NgramFeatures, matrix: NDArray[np.float32], truth: Logits, groups: list[str], config: TeachConfig
) -> Logits:
    """Return a logit per row from n-grams fitted on the other folds, float32 `[n]`; a thread stays in one fold."""
    logits = np.zeros(len(truth), np.float32)
    for seen, left_out in GroupKFold(config.folds).split(truth, groups=groups):
        fitted = NgramBaseline.fit(features, matrix[seen], truth[seen, None], config.ngrams)
        logits[left_out] = fitted.score(matrix[left_out])[0][:, 0]
    return logits


def _groups(rows: Dataset) -> list[str]:
    return [group or key for group, key in zip(rows["group"], rows["id"], strict=True)]


def _mix(scores: Logits, rows: NDArray[np.int64], column: int, logits: Logits, share: float) -> None:
    scores[rows, column] = (1 - share) * scores[rows, column] + share * logits
