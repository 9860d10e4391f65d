"""Prepared rows → what Trainer iterates: token ids, lengths and packed targets. One place decides row weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from datasets import Dataset, Features, List, Value, concatenate_datasets
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from pipelines.artifacts.progress import track
from pipelines.corpora.cloaks import check as check_cloak
from pipelines.corpora.cloaks import cloak
from pipelines.corpora.labels import any_of_matrix, label_matrix
from pipelines.models.tokenizer import encode
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy
from pipelines.training.targets import pack


@dataclass
class CloakingConfig:
    """Cloaked copies of training texts: the same labels, and where there is a teacher its scores of the plain text.

    Attributes:
        share: of the training rows that get one cloaked copy.
        names: cloaks to draw from (see `CLOAKS`).
        least, most: range of the share of characters that a copy has rewritten.
    """

    share: float
    names: list[str]
    least: float
    most: float


def check_cloaking(config: CloakingConfig, name: str) -> None:
    """Raise UserError for an unknown cloak or a share out of range."""
    if not 0 <= config.share <= 1 or not 0 < config.least <= config.most <= 1:
        raise UserError(f"{name}.cloaking: share must be in [0, 1], and 0 < least <= most <= 1.")
    if config.share and not config.names:
        raise UserError(f"{name}.cloaking.names: name at least one cloak, or set share to 0.")
    for cloaks in config.names:
        check_cloak(cloaks, config.most)


def with_cloaked_copies(rows: Dataset, config: CloakingConfig, seed: int) -> tuple[Dataset, NDArray[np.int64]]:
    """Return `rows` followed by cloaked copies of some of them, and of every row the position of its plain text.

    Violations and harmless texts are drawn alike, so that a cloak says nothing by itself.
    """
    random = np.random.default_rng(seed)
    chosen = np.sort(random.choice(len(rows), round(config.share * len(rows)), replace=False))
    origin = np.concatenate([np.arange(len(rows)), chosen])
    if not len(chosen):
        return rows, origin
    names = random.choice(config.names, len(chosen))
    rates = random.uniform(config.least, config.most, len(chosen))
    texts = rows.select(chosen)["text"]
    draws = track(zip(texts, names, rates, strict=True), "cloaking", len(chosen))
    cloaked = [cloak(text, str(name), float(rate), seed) for text, name, rate in draws]
    copies = rows.select(chosen).remove_columns("text").add_column("text", cloaked)
    return concatenate_datasets([rows, copies.cast(rows.features)]), origin


def labelled(
    rows: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    taxonomy: Taxonomy,
    weights: Mapping[str, float],
    teacher: NDArray[np.float32] | None = None,
) -> Dataset:
    """Return a dataset with `input_ids`, `length` and `labels` (packed targets).

    Args:
        rows: canonical rows.
        tokenizer: the model's.
        taxonomy: label order.
        weights: loss weight of one row per corpus; its order also numbers the corpora in the targets.
        teacher: teacher logits `[n, l]` for the same rows.

    Raises:
        UserError: a row's corpus has no weight (the data was prepared from another mixture).
    """
    corpora = list(weights)
    names = list(rows["corpus"])
    unknown = sorted(set(names) - set(corpora))
    if unknown:
        raise UserError(f"mixture.weights: no weight for corpus '{unknown[0]}', which the prepared data holds.")
    packed = pack(
        learnable(rows, taxonomy),
        any_of_matrix(rows, taxonomy),
        teacher,
        np.array([weights[name] for name in names], np.float32),
        np.array([corpora.index(name) for name in names], np.int64),
    )
    return _dataset(encode(tokenizer, list(rows["text"]), list(rows["context"])), packed)


def unlabelled(
    rows: Dataset, tokenizer: PreTrainedTokenizerBase, teacher: NDArray[np.float32], weight: float
) -> Dataset:
    """Return unlabelled texts with nothing known but the teacher's logits `[n, l]`."""
    unknown = np.full_like(teacher, np.nan)
    count = len(rows)
    packed = pack(
        unknown, np.zeros(teacher.shape, bool), teacher, np.full(count, weight, np.float32), np.zeros(count, np.int64)
    )
    return _dataset(encode(tokenizer, list(rows["text"])), packed)


def learnable(rows: Dataset, taxonomy: Taxonomy) -> NDArray[np.float32]:
    """Return the truth `[n, l]` (see `label_matrix`) without the root of corpora that know it in one class only.

    Such a root teaches how to recognise the corpus, not the violation: where every comment with a known root is a
    violation and stands under a parent post, having a parent post becomes one (LOG.md).
    """
    truth, corpora = label_matrix(rows, taxonomy), np.array(rows["corpus"])
    for corpus in sorted(set(corpora)):
        here = corpora == corpus
        if len(set(truth[here, 0][~np.isnan(truth[here, 0])].tolist())) == 1:
            truth[here, 0] = np.nan
    return truth


def informative(rows: Dataset, taxonomy: Taxonomy) -> Dataset:
    """Return the rows that say anything: at least one known label, or a set of harms of which one holds."""
    known = ~np.isnan(learnable(rows, taxonomy))
    says = known.any(axis=1) | any_of_matrix(rows, taxonomy).any(axis=1)
    return rows.select(np.flatnonzero(says))


def positive_weights(rows: Dataset, taxonomy: Taxonomy, limit: float) -> NDArray[np.float32]:
    """Return float32 `[l]`: √(negatives / positives) between 1 and `limit`, 1 where a class is missing.

    The square root keeps rare labels audible without letting a handful of rows dominate; `calibrate` undoes the shift
    for every label with validation rows enough to fit.
    """
    truth = label_matrix(rows, taxonomy)
    positives, negatives = (truth == 1).sum(axis=0), (truth == 0).sum(axis=0)
    ratio = np.sqrt(negatives / np.maximum(positives, 1))
    return np.where((positives > 0) & (negatives > 0), np.clip(ratio, 1.0, limit), 1.0).astype(np.float32)


def _dataset(ids: list[list[int]], packed: NDArray[np.float32]) -> Dataset:
    columns = {"input_ids": ids, "length": [len(row) for row in ids], "labels": list(packed)}
    features = Features(input_ids=List(Value("int32")), length=Value("int32"), labels=List(Value("float32")))
    return Dataset.from_dict(columns, features=features)
