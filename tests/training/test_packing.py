from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import FILLER, make_config, make_texts

from pipelines.models.encoder import bert_config
from pipelines.models.tokenizer import learn_tokenizer
from pipelines.training.masked_lm import PackedMaskedLM
from pipelines.training.packing import EMPTY, best_fit, pack, pieces


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40).flatmap(lambda room: st.tuples(st.just(room), st.lists(st.integers(1, room), max_size=60))))
def test_bins_hold_everything_once_and_never_overflow(case: tuple[int, list[int]]) -> None:
    capacity, lengths = case
    bins = best_fit(lengths, capacity)
    assert sorted(index for members in bins for index in members) == list(range(len(lengths)))
    assert all(members and sum(lengths[index] for index in members) <= capacity for members in bins)
    fill = sorted(sum(lengths[index] for index in members) for members in bins)
    assert len(fill) < 2 or fill[0] + fill[1] > capacity  # no two bins could have been one


def test_the_fullest_bin_that_fits_is_chosen() -> None:
    assert best_fit([6, 8, 2, 4], 10) == [[0, 3], [1, 2]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(5, 99), max_size=30), max_size=12), st.integers(3, 12))
def test_pieces_lose_no_token(rows: list[list[int]], length: int) -> None:
    cut = list(pieces(rows, length, 2, 3))
    assert all(piece[0] == 2 and piece[-1] == 3 and len(piece) <= length for piece in cut)
    assert [token for piece in cut for token in piece[1:-1]] == [token for row in rows for token in row]


def test_rows_are_full_width_and_keep_every_text(tmp_path: Path) -> None:
    texts = [[2, 10, 3], [2, 11, 12, 13, 3], [2, 3], [2, 14, 15, 3]]
    rows = pack(texts, 8, 0, tmp_path / "rows.arrow")
    found = []
    for row in rows:
        ids, segments, positions = (np.array(row[name]) for name in ("input_ids", "segments", "position_ids"))
        assert ids.shape == segments.shape == positions.shape == (8,)
        assert (ids[segments == EMPTY] == 0).all()
        for segment in range(segments.max() + 1):
            found.append(ids[segments == segment].tolist())
            assert positions[segments == segment].tolist() == list(range(len(found[-1])))
    assert sorted(found) == sorted(texts)


def test_a_stream_is_read_no_further_than_needed_and_a_finished_file_is_kept(tmp_path: Path) -> None:
    taken = []

    def endless() -> Iterator[list[int]]:
        while True:
            taken.append(1)
            yield [2, 9, 9, 9, 9, 9, 9, 3]

    rows = pack(endless(), 8, 0, tmp_path / "rows.arrow", most=5)
    assert len(rows) == 5
    assert len(taken) <= 4096
    assert [path.name for path in tmp_path.iterdir()] == ["rows.arrow"]
    assert pack([], 8, 0, tmp_path / "rows.arrow")[:] == rows[:]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_packed_forward_equals_separate_forwards(seed: int, tmp_path: Path) -> None:
    config = make_config().encoder
    tokenizer = learn_tokenizer([FILLER], config.tokenizer, config.max_length)
    torch.manual_seed(seed)
    model = PackedMaskedLM(bert_config(config, tokenizer, dropout=0.0)).eval()
    texts = tokenizer(make_texts(8, seed))["input_ids"]
    bins = best_fit([len(text) for text in texts], config.max_length)
    rows = pack(texts, config.max_length, tokenizer.pad_token_id, tmp_path / "rows.arrow")
    assert max(map(len, bins)) > 1
    seen = {}

    def remember(module: torch.nn.Module, args: object, output: object) -> None:
        seen["hidden"] = output.last_hidden_state

    handle = model.bert.register_forward_hook(remember)
    columns = {name: torch.tensor(list(rows[name]), dtype=torch.int64) for name in rows.column_names}
    with torch.no_grad():
        model(**columns, original=columns["input_ids"])
        packed = seen["hidden"]
        for row, members in enumerate(bins):
            for segment, member in enumerate(members):
                alone = model.bert(torch.tensor([texts[member]])).last_hidden_state[0]
                inside = packed[row, columns["segments"][row] == segment]
                torch.testing.assert_close(inside, alone, atol=1e-5, rtol=1e-5)
    handle.remove()
