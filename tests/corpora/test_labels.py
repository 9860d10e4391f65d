"""Rows become arrays without an unknown ever turning into 0."""

from collections.abc import Callable

import numpy as np
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_corpora import Setting

from pipelines.corpora.labels import any_of_matrix, label_matrix
from pipelines.corpora.schema import features
from pipelines.taxonomy import Taxonomy

values = st.sampled_from([None, 0, 1])


def dataset(rows: list[dict[str, object]], taxonomy: Taxonomy) -> Dataset:
    schema = features(taxonomy)
    return Dataset.from_dict({name: [row.get(name) for row in rows] for name in schema}, features=schema)


def test_unknown_is_nan_and_known_is_itself(compose_once: Callable[..., Setting]) -> None:
    taxonomy = compose_once().taxonomy

    @given(st.lists(st.fixed_dictionaries(dict.fromkeys(taxonomy.labels, values)), max_size=4))
    def check(rows: list[dict[str, object]]) -> None:
        matrix = label_matrix(dataset(rows, taxonomy), taxonomy)
        assert matrix.dtype == np.float32
        assert matrix.shape == (len(rows), len(taxonomy.labels))
        for row, numbers in zip(rows, matrix, strict=True):
            known = [None if np.isnan(number) else int(number) for number in numbers]
            assert known == [row[label] for label in taxonomy.labels]

    check()


def test_any_of_marks_exactly_the_named_harms(compose_once: Callable[..., Setting]) -> None:
    taxonomy = compose_once().taxonomy
    harms = list(taxonomy.harms)
    rows = [{"any_of": []}, {"any_of": [harms[0], harms[-1]]}, {"any_of": None}]
    members = any_of_matrix(dataset(rows, taxonomy), taxonomy)
    assert members.dtype == np.bool_
    assert [list(np.flatnonzero(row)) for row in members] == [[], [1, len(harms)], []]
