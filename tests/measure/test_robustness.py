from collections.abc import Sequence

import numpy as np
import pytest

from pipelines.measure.robustness import RobustnessConfig, cloaked_figures
from pipelines.settings.errors import UserError

ABUSE, PRAISE = "你就是个废物", "今天的饭真好吃"


class Keyword:
    """Flags a text that holds a word, literally."""

    def predict(self, texts: Sequence[str], contexts: Sequence[str | None]):
        flagged = np.array([[0.9 if "废物" in text else 0.1] for text in texts], np.float32)
        return flagged, flagged


def config(**changes):
    values = {"corpora": ["own"], "cloaks": ["homophone", "zero_width"], "rate": 1.0, "texts": 100, "seed": 0}
    return RobustnessConfig(**(values | changes))


def measure(**changes):
    texts = [ABUSE, PRAISE] * 10 + ["不知道"]
    truth = np.array([1, 0] * 10 + [np.nan], np.float32)
    groups = np.arange(21)
    return cloaked_figures(Keyword(), texts, [None] * 21, truth, groups, 0.5, (200, 0), config(**changes))


def test_a_keyword_filter_loses_everything_under_a_cloak():
    figures = measure()
    assert list(figures) == ["plain", "homophone", "zero_width"]
    assert figures["plain"]["recall"]["value"] == 1.0
    assert figures["plain"]["macro_f1_drop"]["value"] == 0.0
    for name in ("homophone", "zero_width"):
        assert figures[name]["recall"]["value"] == 0.0
        assert figures[name]["false_positive_rate"]["value"] == 0.0
        assert figures[name]["macro_f1_drop"]["value"] == pytest.approx(1 - 1 / 3)


def test_rows_of_unknown_truth_are_left_out_and_texts_limits_the_rest():
    assert measure()["plain"]["macro_f1"]["n"] == 20
    assert measure(texts=7)["plain"]["macro_f1"]["n"] == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [({"cloaks": ["homofone"]}, "homophone"), ({"rate": 2.0}, "at most 1"), ({"texts": 0}, "at least 1")],
)
def test_wrong_values_are_said(change, message):
    with pytest.raises(UserError, match=message):
        config(**change).check()
