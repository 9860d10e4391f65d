"""Rows to arrays: what is known, what is unknown (NaN), and which harms form an "at least one of" set."""

from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from pipelines.taxonomy import Taxonomy


def label_matrix(rows: Dataset, taxonomy: Taxonomy) -> NDArray[np.float32]:
    """Return float32 `[n, 1 + harms]` in taxonomy order: 1, 0, or NaN where the corpus did not annotate the label."""
    columns = [_column(rows[label]) for label in taxonomy.labels]
    return np.stack(columns, axis=1) if len(rows) else np.zeros((0, len(taxonomy.labels)), np.float32)


def any_of_matrix(rows: Dataset, taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """Return bool `[n, 1 + harms]`: the labels of which at least one holds (all False where a row states none)."""
    members = np.zeros((len(rows), len(taxonomy.labels)), dtype=bool)
    for index, names in enumerate(rows["any_of"]):
        for name in names or ():
            members[index, taxonomy.index(name)] = True
    return members


def _column(values: Any) -> NDArray[np.float32]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float32)
