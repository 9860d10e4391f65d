"""Leakage-safe splits: official tests stay tests, all else goes by a hash, and no normalised text is in two splits.

A row's split depends only on its own corpus (official file, or hash of its group or text), so adding a corpus moves no
row of another one; it can only take rows out of training that the new corpus tests on. A perturbed copy counts as its
original: what a corpus perturbs for testing is not trained on either.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipelines.corpora.schema import SPLITS, CorpusConfig

Row = dict[str, Any]
_RANK = {split: rank for rank, split in enumerate(SPLITS)}  # the later split wins a text that two splits claim


def assign_splits(rows: Iterable[Row], corpora: Mapping[str, CorpusConfig]) -> None:
    """Set `split` in every row: the file's official split, or by hash of the row's group (else its text)."""
    for row in rows:
        row["split"] = _own_split(row, corpora[row["corpus"]])


def drop_leaks(
    rows: list[Row], corpora: Mapping[str, CorpusConfig], held_out: Sequence[str] = ()
) -> tuple[list[Row], list[tuple[Row, str]]]:
    """Return rows to keep and `(row, reason)` for rows left out.

    Reasons: `held_out` (of a corpus that is only tested on this time), `overridden` (another corpus relabels the text),
    `leak` (a later split has the text: test beats validation beats train), `duplicate` and `contradictory_duplicate`
    (the same text and context earlier in the same corpus). Rows of an official test file are all kept, because
    published figures count them all.
    """
    relabelled = _relabelled(rows, corpora)
    final = _final_split(row for row in rows if not _overridden(row, relabelled))
    seen: dict[tuple[str, str, str, str | None], Row] = {}
    kept, dropped = [], []
    for row in rows:
        reason = "overridden" if _overridden(row, relabelled) else _reason(row, final, seen)
        if reason is None and row["corpus"] in held_out and row["split"] != "test":
            reason = "held_out"
        if reason is None:
            kept.append(row)
        else:
            dropped.append((row, reason))
    return kept, dropped


def _own_split(row: Row, corpus: CorpusConfig) -> str:
    share = _unit_hash(row["corpus"], row["group"] or row["text_key"])
    if row["file_split"] is None:
        if share < corpus.test_share:
            return "test"
        return "validation" if share < corpus.test_share + corpus.validation_share else "train"
    if row["file_split"] == "train" and share < corpus.validation_share:
        return "validation"
    return str(row["file_split"])


def _unit_hash(*parts: str) -> float:
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _final_split(rows: Iterable[Row]) -> dict[str, str]:
    final: dict[str, str] = {}
    for row in rows:
        for text in {row["text_key"], row["base_key"] or row["text_key"]}:
            if text not in final or _RANK[row["split"]] > _RANK[final[text]]:
                final[text] = row["split"]
    return final


def _relabelled(rows: Iterable[Row], corpora: Mapping[str, CorpusConfig]) -> dict[str, set[str]]:
    """Return, per overridden corpus, the text keys that an overriding corpus relabels."""
    keys: dict[str, set[str]] = {}
    for row in rows:
        for name in corpora[row["corpus"]].overrides:
            keys.setdefault(name, set()).add(row["text_key"])
    return keys


def _overridden(row: Row, relabelled: Mapping[str, set[str]]) -> bool:
    return row["file_split"] != "test" and row["text_key"] in relabelled.get(row["corpus"], ())


def _reason(row: Row, final: Mapping[str, str], seen: dict[tuple[str, str, str, str | None], Row]) -> str | None:
    if final[row["text_key"]] != row["split"]:
        return "leak"
    if row["file_split"] == "test":
        return None  # an official test set is reported as published
    identity = (row["corpus"], row["split"], row["text_key"], row["context"])
    earlier = seen.setdefault(identity, row)
    if earlier is row:
        return None
    return "duplicate" if _labels(earlier) == _labels(row) else "contradictory_duplicate"


def _labels(row: Row) -> tuple[Any, ...]:
    ignored = {"id", "row", "file", "file_split", "text", "group", "channel"}
    return tuple(sorted((key, str(value)) for key, value in row.items() if key not in ignored))
