import numpy as np
import pytest

from pipelines.measure.statistics import Resamples
from pipelines.measure.suite import suite_figures

NONE = [None] * 6
TRUTH = np.array([1, 0, 1, 0, 1, np.nan], np.float32)
SCORES = np.array([0.9, 0.8, 0.2, 0.1, 0.7, 0.9], np.float32)


def figures(cells=NONE, twins=NONE, swaps=NONE, scores=SCORES):
    resamples = Resamples.draw(np.arange(6), 200, 0)
    return suite_figures(TRUTH, scores, 0.5, cells, twins, swaps, resamples)


def test_each_cell_has_its_share_right_and_unknown_rows_count_nowhere():
    found = figures(cells=["threat", "lawful", "threat", "lawful", "danmaku", "unknown"])
    assert {name: (cell["value"], cell["n"]) for name, cell in found["cells"].items()} == {
        "threat": (0.5, 2),
        "lawful": (0.5, 2),
        "danmaku": (1.0, 1),
    }
    assert found["mean_of_cells"]["value"] == pytest.approx(2 / 3)
    assert found["mean_of_cells"]["n"] == 3


def test_a_pair_counts_only_when_both_members_are_right():
    found = figures(twins=["a", "a", "b", "b", None, None])
    assert (found["twins_both_right"]["value"], found["twins_both_right"]["n"]) == (0.0, 2)
    better = figures(
        twins=["a", "a", "b", "b", None, None], scores=np.array([0.9, 0.1, 0.2, 0.1, 0.7, 0.9], np.float32)
    )
    assert better["twins_both_right"]["value"] == 0.5


def test_a_pair_of_one_class_or_with_an_unknown_is_no_pair():
    assert figures(twins=["a", None, "a", "b", "b", "c"])["twins_both_right"]["n"] == 1
    assert figures(twins=["a", None, "a", None, None, None])["twins_both_right"] == {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
    }


def test_a_swap_set_is_undecided_when_its_members_get_different_decisions():
    found = figures(swaps=["x", "x", "y", "y", None, "alone"])["swap_sets"]
    assert (found["undecided"]["value"], found["undecided"]["n"]) == (0.0, 2)
    assert found["gap"]["value"] == pytest.approx(0.1)
    split = figures(swaps=["x", None, "x", None, None, None])["swap_sets"]
    assert split["undecided"]["value"] == 1.0
    assert split["gap"]["value"] == pytest.approx(0.7)


def test_a_corpus_without_cells_pairs_and_sets_has_no_figures():
    found = figures()
    assert found["cells"] == {}
    assert found["mean_of_cells"]["value"] is None
    assert found["twins_both_right"]["value"] is None
    assert found["swap_sets"]["gap"]["value"] is None
