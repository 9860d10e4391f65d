"""Pack short texts into full rows, so that pre-training spends no time on padding.

Texts in one row don't see each other: attention is block-diagonal over `segments`, positions start anew in each. Rows
go to a memory-mapped file as they come, so memory does not grow with the text.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, Features, List, Value
from datasets.arrow_writer import ArrowWriter

EMPTY = -1  # segment of padding
_TOGETHER = 4096  # texts among which bins are filled


def pieces(ids: Iterable[Sequence[int]], length: int, first: int, last: int) -> Iterator[list[int]]:
    """Cut encoded texts (without special tokens) into pieces of at most `length`, each between `first` and `last`."""
    room = length - 2
    for row in ids:
        for at in range(0, max(len(row), 1), room):
            yield [first, *row[at : at + room], last]


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return bins of indices whose lengths sum to at most `capacity`; each item goes to the fullest bin it fits in."""
    open_bins: list[list[list[int]]] = [[] for _ in range(capacity + 1)]  # by room left
    bins: list[list[int]] = []
    for index, length in enumerate(lengths):
        room = next((room for room in range(length, capacity) if open_bins[room]), capacity)
        if room == capacity:
            bins.append(chosen := [])
        else:
            chosen = open_bins[room].pop()
        chosen.append(index)
        open_bins[room - length].append(chosen)
    return bins


def pack(texts: Iterable[Sequence[int]], capacity: int, pad: int, file: Path, most: int | None = None) -> Dataset:
    """Write rows of exactly `capacity` tokens to `file` and return them, memory-mapped.

    Args:
        texts: encoded texts of at most `capacity` tokens; read as far as needed.
        capacity: tokens per row.
        pad: id of the padding token.
        file: Arrow file, written beside and renamed; one that is already there is taken as it is.
        most: rows to stop at.

    Returns:
        Columns `input_ids`, `segments` (EMPTY for padding) and `position_ids`.
    """
    types = Features(input_ids=List(Value("int32")), segments=List(Value("int16")), position_ids=List(Value("int16")))
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".partial")
        with ArrowWriter(path=str(draft), features=types) as writer:
            for row in islice(_rows(texts, capacity, pad), most):
                writer.write(row)
            writer.finalize()
        draft.replace(file)
    return Dataset.from_file(str(file))


def _rows(texts: Iterable[Sequence[int]], capacity: int, pad: int) -> Iterator[dict[str, Any]]:
    waiting = iter(texts)
    while some := list(islice(waiting, _TOGETHER)):
        for members in best_fit([len(text) for text in some], capacity):
            row: dict[str, Any] = {
                "input_ids": np.full(capacity, pad, np.int32),
                "segments": np.full(capacity, EMPTY, np.int16),
                "position_ids": np.zeros(capacity, np.int16),
            }
            start = 0
            for segment, member in enumerate(members):
                end = start + len(some[member])
                row["input_ids"][start:end], row["segments"][start:end] = some[member], segment
                row["position_ids"][start:end] = np.arange(end - start)
                start = end
            yield row
