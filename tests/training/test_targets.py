import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.training.targets import pack, unpack, unpack_array


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 5), st.integers(1, 12), st.booleans(), st.integers(0, 2**16))
def test_what_is_packed_comes_back(rows: int, labels: int, taught: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.choice(np.array([0, 1, np.nan], np.float32), size=(rows, labels))
    any_of = random.random((rows, labels)) < 0.5
    teacher = random.normal(size=(rows, labels)).astype(np.float32)
    weight = random.random(rows).astype(np.float32)
    corpus = random.integers(0, 99, rows)
    packed = pack(truth, any_of, teacher if taught else None, weight, corpus)
    assert packed.shape == (rows, 3 * labels + 2)
    assert packed.dtype == np.float32
    for targets in (unpack(torch.from_numpy(packed)), unpack_array(packed)):
        np.testing.assert_array_equal(targets.truth.numpy(), truth)
        np.testing.assert_array_equal(targets.any_of.numpy(), any_of)
        np.testing.assert_array_equal(targets.teacher.numpy(), teacher if taught else np.full_like(truth, np.nan))
        np.testing.assert_array_equal(targets.weight.numpy(), weight)
        assert targets.corpus.dtype == torch.int64
        assert targets.corpus.tolist() == corpus.tolist()


@pytest.mark.parametrize("width", [5, 35])
def test_label_count_follows_from_the_width(width: int) -> None:
    assert unpack(torch.zeros(2, width)).truth.shape == (2, (width - 2) // 3)
