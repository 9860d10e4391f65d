"""What a functional suite asks: is each cell right, are both members of a minimal pair right, does the name of a group
decide.

One cell tests one ability, so a mean over texts would hide the cells that fail (Röttger et al., "HateCheck", ACL 2021);
a pair counts only as a whole, because a model that flags every text gets half of every pair (Gardner et al., contrast
sets, Findings of EMNLP 2020). Decisions are the root's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.measure.statistics import Figure, Floats, Resamples, bootstrap, ratio, share

Scores = NDArray[np.float32]
Flags = NDArray[np.bool_]


def suite_figures(
    truth: Scores,
    scores: Scores,
    threshold: float,
    cells: Sequence[str | None],
    twins: Sequence[str | None],
    swaps: Sequence[str | None],
    resamples: Resamples,
) -> dict[str, Any]:
    """Return the figures of one candidate on one corpus, as plain data.

    Args:
        truth: float32 `[n]`, the root, NaN = unknown (left out).
        scores: float32 `[n]`, probability of the root.
        threshold: score from which a text counts as flagged.
        cells: cell of each row, or None.
        twins: minimal pair of each row, or None; a pair without both classes is left out.
        swaps: identity swap set of each row, or None: texts that differ in the named group alone.
        resamples: over the n rows.

    Returns:
        `cells` (per cell the share right), `mean_of_cells`, `twins_both_right` (share of pairs), `swap_sets`
        (`undecided`: share of sets whose members don't all get the same decision; `gap`: mean over sets of highest
        minus lowest score).
    """
    known = ~np.isnan(truth)
    right = ((scores >= threshold) == (truth == 1)) & known
    names = sorted({cell for cell, is_known in zip(cells, known, strict=True) if cell is not None and is_known})
    of_cell = {name: known & np.array([cell == name for cell in cells], bool) for name in names}
    return {
        "cells": {name: share(resamples, right, among).to_dict() for name, among in of_cell.items()},
        "mean_of_cells": _mean_of_cells(right, list(of_cell.values()), resamples).to_dict(),
        "twins_both_right": _twins(truth, right, twins, resamples).to_dict(),
        "swap_sets": _swaps(scores, threshold, swaps),
    }


def _mean_of_cells(right: Flags, of_cell: Sequence[Flags], resamples: Resamples) -> Figure:
    """Return the mean over cells of the share right; `n` is the number of cells."""
    if not of_cell:
        return Figure.undefined(0)
    among = np.stack(of_cell, axis=1)
    values = np.concatenate([among & right[:, None], among], axis=1)

    def mean(sums: Floats) -> Floats:
        return np.nanmean(ratio(sums[..., : len(of_cell)], sums[..., len(of_cell) :]), axis=-1)

    return bootstrap(resamples, values, mean, len(of_cell))


def _members(names: Sequence[str | None]) -> list[NDArray[np.int64]]:
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            rows.setdefault(name, []).append(row)
    return [np.array(found) for found in rows.values()]


def _twins(truth: Scores, right: Flags, twins: Sequence[str | None], resamples: Resamples) -> Figure:
    """Return the share of pairs with every member right; a pair is counted at its first row."""
    first, whole = np.zeros(len(right), bool), np.zeros(len(right), bool)
    for rows in _members(twins):
        if {0.0, 1.0} <= set(truth[rows].tolist()):
            first[rows[0]], whole[rows[0]] = True, bool(right[rows].all())
    return share(resamples, whole, first)


def _swaps(scores: Scores, threshold: float, swaps: Sequence[str | None]) -> dict[str, Any]:
    """Return figures over swap sets, resampled by set."""
    sets = [rows for rows in _members(swaps) if len(rows) > 1]
    split = np.array([len(set((scores[rows] >= threshold).tolist())) > 1 for rows in sets], bool)
    gaps = np.array([float(scores[rows].max() - scores[rows].min()) for rows in sets])
    by_set = Resamples.draw(np.arange(len(sets)), 1000, 0)
    values = np.stack([gaps, np.ones(len(sets))], axis=1) if sets else np.zeros((0, 2))
    return {
        "undecided": share(by_set, split, np.ones(len(sets), bool)).to_dict(),
        "gap": bootstrap(by_set, values, lambda sums: ratio(sums[..., 0], sums[..., 1])).to_dict(),
    }
