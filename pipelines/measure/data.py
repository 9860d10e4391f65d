"""What `debug_data` counts and what it calls wrong.

Everything here is read from PreparedData: the rows as training will see them, and the manifest of what was left out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from pipelines.artifacts.folder import Artifact
from pipelines.corpora import PreparedData
from pipelines.corpora.inspect import near_duplicates, shortcuts
from pipelines.corpora.labels import any_of_matrix, label_matrix
from pipelines.corpora.schema import SPLITS
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy

SPECIAL_TOKENS = 2  # [CLS] and [SEP]; a character is a token


@dataclass
class DebugDataConfig:
    """What counts as wrong with a mixture.

    Attributes:
        min_positives: fewer known positives of a label in training are an error; in validation or test a warning.
        max_unknown: a label unknown in more than this share of training rows is a warning.
        shortcut_precision, shortcut_recall: an n-gram above both gives a label away; a warning.
        near_duplicate: character 4-gram Jaccard similarity from which a test text counts as near a training text.
        max_near_duplicates: more than this share of a corpus's test texts near a training text are a warning.
        max_cut: more than this share of a corpus's texts longer than the encoder reads are a warning.
        max_contradictions: more than this share of texts that two corpora label differently are a warning.
    """

    min_positives: int
    max_unknown: float
    shortcut_precision: float
    shortcut_recall: float
    near_duplicate: float
    max_near_duplicates: float
    max_cut: float
    max_contradictions: float

    def check(self) -> None:
        """Raise UserError for a value out of range."""
        for name, value in asdict(self).items():
            if name != "min_positives" and not 0 < value <= 1:
                raise UserError(f"debug_data.{name} must be above 0 and at most 1, got {value}.")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what, where, how much, and whether training should wait for it."""

    error: bool
    check: str
    where: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the report."""
        return asdict(self)


class DataReport(Artifact):
    """What `debug_data` found."""

    kind: ClassVar[str] = "data_report"

    @property
    def exit_code(self) -> int:
        """Return 1 when there is an error among the findings, else 0."""
        return int(self.metrics["errors"] > 0)


def tables(data: PreparedData, max_length: int, taxonomy: Taxonomy) -> dict[str, Any]:
    """Return counts per corpus and split, as plain data.

    Returns:
        `labels`: rows `{corpus, split, label, positive, negative, unknown, prevalence}`; `lengths`: rows `{corpus,
        split, texts, mean, p50, p95, max, cut}` in characters; `overlaps`: from the manifest.
    """
    labels, lengths = [], []
    for split in SPLITS:
        rows = data.split(split)
        truth, corpora = label_matrix(rows, taxonomy), np.array(rows["corpus"])
        sizes = np.array([len(text) for text in rows["text"]], np.int64)
        for corpus in (name for name in data.manifest["corpora"] if name in set(corpora)):
            here = corpora == corpus
            place = {"corpus": corpus, "split": split}
            labels += [place | _label_counts(name, truth[here, i]) for i, name in enumerate(taxonomy.labels)]
            lengths.append(place | _length_counts(sizes[here], max_length))
    return {"labels": labels, "lengths": lengths, "overlaps": data.manifest["overlaps"]}


def _label_counts(label: str, truth: NDArray[np.float32]) -> dict[str, Any]:
    positive, negative = int((truth == 1).sum()), int((truth == 0).sum())
    known = positive + negative
    prevalence = positive / known if known else None
    counts = {"positive": positive, "negative": negative, "unknown": len(truth) - known}
    return {"label": label, **counts, "prevalence": prevalence}


def _length_counts(sizes: NDArray[np.int64], max_length: int) -> dict[str, Any]:
    p50, p95 = np.quantile(sizes, (0.5, 0.95))
    cut = float(np.mean(sizes > max_length - SPECIAL_TOKENS))
    figures = {"mean": float(sizes.mean()), "p50": float(p50), "p95": float(p95), "max": int(sizes.max())}
    return {"texts": len(sizes), **figures, "cut": cut}


def findings(
    config: DebugDataConfig, data: PreparedData, counted: Mapping[str, Any], taxonomy: Taxonomy
) -> list[Finding]:
    """Return everything wrong, errors first."""
    splits = {split: data.split(split) for split in SPLITS}
    found = [
        *_leaks(splits),
        *_contradictions(splits, taxonomy),
        *_tiny_classes(config, counted["labels"], taxonomy),
        *_unknown(config, counted["labels"], taxonomy),
        *_shortcuts(config, splits["train"], taxonomy),
        *_near_duplicates(config, splits),
        *_cut(config, counted["lengths"]),
        *_disagreements(config, counted["overlaps"]),
    ]
    return sorted(found, key=lambda finding: not finding.error)


def _leaks(splits: Mapping[str, Dataset]) -> Iterator[Finding]:
    keys = {split: set(rows["text_key"]) for split, rows in splits.items()}
    bases = {key for key in splits["test"]["base_key"] if key is not None}
    for one, other in combinations(SPLITS, 2):
        if both := keys[one] & keys[other]:
            yield Finding(True, "leak", f"{one} and {other}", f"{len(both)} texts are in both.")
    if both := keys["train"] & bases:
        yield Finding(True, "leak", "train and test", f"{len(both)} training texts are the originals of test texts.")


def _contradictions(splits: Mapping[str, Dataset], taxonomy: Taxonomy) -> Iterator[Finding]:
    """Find rows that contradict themselves: a root of 0 with a harm of 1, an any_of with no member left."""
    for split, rows in splits.items():
        truth, sets = label_matrix(rows, taxonomy), any_of_matrix(rows, taxonomy)
        clash = (truth[:, 0] == 0) & ((truth[:, 1:] == 1).any(axis=1) | sets.any(axis=1))
        empty = sets.any(axis=1) & ~(sets & (truth != 0)).any(axis=1)
        for bad, what in ((clash, "are no violation but have a harm"), (empty, "have no harm left of their set")):
            if bad.any():
                yield Finding(True, "contradiction", split, f"{int(bad.sum())} rows {what}.")


def _summed(labels: Iterable[Mapping[str, Any]], split: str, label: str, what: str) -> int:
    return sum(row[what] for row in labels if row["split"] == split and row["label"] == label)


def _tiny_classes(config: DebugDataConfig, labels: list[dict[str, Any]], taxonomy: Taxonomy) -> Iterator[Finding]:
    for split in SPLITS:
        for label in taxonomy.labels:
            for what in ("positive", "negative"):
                count = _summed(labels, split, label, what)
                if count < config.min_positives:
                    message = f"{count} known {what}s in {split}, fewer than {config.min_positives}."
                    yield Finding(split == "train", "tiny class", label, message)


def _unknown(config: DebugDataConfig, labels: list[dict[str, Any]], taxonomy: Taxonomy) -> Iterator[Finding]:
    for label in taxonomy.labels:
        parts = [_summed(labels, "train", label, what) for what in ("positive", "negative", "unknown")]
        if sum(parts) and parts[2] > config.max_unknown * sum(parts):
            yield Finding(False, "unknown", label, f"unknown in {parts[2] / sum(parts):.0%} of training rows.")


def _shortcuts(config: DebugDataConfig, train: Dataset, taxonomy: Taxonomy) -> Iterator[Finding]:
    truth, keys = label_matrix(train, taxonomy), list(train["text_key"])
    for i, label in enumerate(taxonomy.labels):
        known = ~np.isnan(truth[:, i])
        for s in shortcuts(keys, truth[:, i] == 1, known, config.shortcut_precision, config.shortcut_recall):
            message = f"'{s.ngram}' in {s.texts} training texts: precision {s.precision:.0%}, recall {s.recall:.0%}."
            yield Finding(False, "shortcut", label, message)


def _near_duplicates(config: DebugDataConfig, splits: Mapping[str, Dataset]) -> Iterator[Finding]:
    test, corpora = list(splits["test"]["text_key"]), np.array(splits["test"]["corpus"])
    pairs = near_duplicates(test, config.near_duplicate, list(splits["train"]["text_key"]))
    near = np.zeros(len(test), bool)
    near[[pair.first for pair in pairs]] = True
    for corpus in sorted(set(corpora)):
        share = float(near[corpora == corpus].mean())
        if share > config.max_near_duplicates:
            yield Finding(False, "near-duplicate", corpus, f"{share:.1%} of its test texts nearly stand in training.")


def _cut(config: DebugDataConfig, lengths: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    for row in lengths:
        if row["cut"] > config.max_cut:
            where = f"{row['corpus']}, {row['split']}"
            yield Finding(False, "length", where, f"{row['cut']:.1%} of its texts are longer than the encoder reads.")


def _disagreements(config: DebugDataConfig, overlaps: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    for pair in overlaps:
        for label, counts in pair["labels"].items():
            if counts["differ"] > config.max_contradictions * counts["both_know"]:
                share = f"{counts['differ']} of {counts['both_know']} shared texts"
                where = f"{pair['first']} and {pair['second']}"
                yield Finding(False, "disagreement", where, f"{label}: {share} are labelled differently.")
