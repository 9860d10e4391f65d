"""Pack short texts into full rows, so that pre-training spends no time on padding.

Texts in one row don't see each other: attention is block-diagonal over `segments`, positions start anew in each.
"""

from collections.abc import Sequence

import numpy as np
from datasets import Dataset, Features, List, Value

EMPTY = -1  # segment of padding


def pieces(ids: Sequence[Sequence[int]], length: int, first: int, last: int) -> list[list[int]]:
    """Cut encoded texts (without special tokens) into pieces of at most `length`, each between `first` and `last`."""
    room = length - 2
    return [[first, *row[at : at + room], last] for row in ids for at in range(0, max(len(row), 1), room)]


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


def pack(texts: Sequence[Sequence[int]], capacity: int, pad: int) -> Dataset:
    """Return rows of exactly `capacity` tokens: `input_ids`, `segments` (EMPTY for padding) and `position_ids`."""
    bins = best_fit([len(text) for text in texts], capacity)
    ids = np.full((len(bins), capacity), pad, np.int32)
    segments = np.full((len(bins), capacity), EMPTY, np.int16)
    positions = np.zeros((len(bins), capacity), np.int16)
    for row, members in enumerate(bins):
        start = 0
        for segment, member in enumerate(members):
            end = start + len(texts[member])
            ids[row, start:end], segments[row, start:end] = texts[member], segment
            positions[row, start:end] = np.arange(end - start)
            start = end
    columns = {"input_ids": list(ids), "segments": list(segments), "position_ids": list(positions)}
    types = Features(input_ids=List(Value("int32")), segments=List(Value("int16")), position_ids=List(Value("int16")))
    return Dataset.from_dict(columns, features=types)
