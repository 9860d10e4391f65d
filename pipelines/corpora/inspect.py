"""What can be wrong with labelled texts before anything learns from them: near-duplicates, shortcut n-grams,
disagreement.

Stands on the canonical row; `debug_data` reports what it finds, and tests hold our own corpora to it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

Flags = NDArray[np.bool_]
_NEAR_GRAM = 4  # characters
_ROWS_AT_ONCE = 1000  # of the similarity matrix, so that memory stays flat in corpus size


@dataclass(frozen=True)
class NearDuplicate:
    """Two texts that share most of their character 4-grams: positions in the two lists, and the Jaccard similarity."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True)
class Shortcut:
    """An n-gram that gives a label away: how many texts hold it, and its precision and recall as a classifier."""

    ngram: str
    texts: int
    precision: float
    recall: float


def near_duplicates(keys: Sequence[str], threshold: float, others: Sequence[str] | None = None) -> list[NearDuplicate]:
    """Return pairs whose character 4-grams have a Jaccard similarity of at least `threshold`.

    Args:
        keys: normalised texts (`text_key`).
        threshold: in (0, 1].
        others: compare with these instead of among `keys` themselves.
    """
    vectoriser = CountVectorizer(analyzer=_near_grams, binary=True, dtype=np.float32)
    if not keys or (others is not None and not others):
        return []
    left = vectoriser.fit_transform(keys)
    right = left if others is None else vectoriser.transform(others)
    sizes_left = np.array([len(_near_grams(key)) for key in keys], np.float32)
    sizes_right = sizes_left if others is None else np.array([len(_near_grams(key)) for key in others], np.float32)
    found = []
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        shared = (left[start : start + _ROWS_AT_ONCE] @ right.T).tocoo()
        rows = shared.row + start
        similarity = shared.data / (sizes_left[rows] + sizes_right[shared.col] - shared.data)
        near = similarity >= threshold
        if others is None:
            near &= rows < shared.col
        found += [
            NearDuplicate(int(row), int(column), float(value))
            for row, column, value in zip(rows[near], shared.col[near], similarity[near], strict=True)
        ]
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def _near_grams(key: str) -> set[str]:
    return {key[at : at + _NEAR_GRAM] for at in range(max(1, len(key) - _NEAR_GRAM + 1))}


def shortcuts(
    keys: Sequence[str], positive: Flags, known: Flags, min_precision: float, min_recall: float, longest: int = 4
) -> list[Shortcut]:
    """Return n-grams that alone predict a label with more than `min_precision` at more than `min_recall`.

    A model that learns such an n-gram learns a word, not the harm (Gururangan et al., "Annotation artifacts", NAACL
    2018).

    Args:
        keys: n normalised texts.
        positive: bool `[n]`.
        known: bool `[n]`; rows of unknown truth are left out.
        min_precision: share of the texts with the n-gram that are positive.
        min_recall: share of the positives that hold the n-gram.
        longest: n-grams of 1 to this many characters.
    """
    rows, truth = np.flatnonzero(known), positive[known]
    least = int(min_recall * truth.sum()) + 1
    if truth.sum() < 2 or least > len(rows):
        return []
    vectoriser = CountVectorizer(analyzer="char", ngram_range=(1, longest), binary=True, min_df=least, lowercase=False)
    try:
        matrix = vectoriser.fit_transform([keys[int(row)] for row in rows])
    except ValueError:  # no n-gram is in that many texts
        return []
    texts, hits = np.asarray(matrix.sum(axis=0)).ravel(), np.asarray(matrix[truth].sum(axis=0)).ravel()
    telling = np.flatnonzero((hits > min_precision * texts) & (hits > min_recall * truth.sum()))
    names = vectoriser.get_feature_names_out()
    found = [
        Shortcut(str(names[i]), int(texts[i]), float(hits[i] / texts[i]), float(hits[i] / truth.sum())) for i in telling
    ]
    return sorted(found, key=lambda shortcut: (-shortcut.recall, shortcut.ngram))


def overlaps(rows: Iterable[dict[str, Any]], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return, for every two corpora that hold the same text, how many they share and where their labels differ.

    Args:
        rows: canonical rows as read, before any is left out.
        labels: columns to compare; only texts that both corpora know count.

    Returns:
        `first`, `second`, `texts`, and `labels`: label → `both_know`, `differ`.
    """
    by_text: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_text.setdefault(row["text_key"], {}).setdefault(row["corpus"], row)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for holders in by_text.values():
        for first, second in combinations(sorted(holders), 2):
            entry = found.setdefault((first, second), {"first": first, "second": second, "texts": 0, "labels": {}})
            entry["texts"] += 1
            for label in labels:
                one, other = holders[first][label], holders[second][label]
                if one is not None and other is not None:
                    counts = entry["labels"].setdefault(label, {"both_know": 0, "differ": 0})
                    counts["both_know"] += 1
                    counts["differ"] += int(one != other)
    return [found[pair] for pair in sorted(found)]
