import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.inspect import near_duplicates, overlaps, shortcuts

keys = st.lists(st.text("甲乙丙丁戊", min_size=1, max_size=12), min_size=1, max_size=12)


def grams(key: str) -> set[str]:
    return {key[i : i + 4] for i in range(max(1, len(key) - 3))}


@given(keys, st.sampled_from([0.2, 0.5, 1.0]))
def test_near_duplicates_are_those_of_the_definition(texts: list[str], threshold: float) -> None:
    expected = {
        (i, j)
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if len(grams(texts[i]) & grams(texts[j])) / len(grams(texts[i]) | grams(texts[j])) >= threshold
    }
    assert {(pair.first, pair.second) for pair in near_duplicates(texts, threshold)} == expected


@given(keys, keys)
def test_two_lists_are_compared_with_each_other_only(texts: list[str], others: list[str]) -> None:
    found = near_duplicates(texts, 1.0, others)
    assert {(p.first, p.second) for p in found} == {
        (i, j) for i, one in enumerate(texts) for j, other in enumerate(others) if grams(one) == grams(other)
    }


def test_no_texts_have_no_near_duplicates() -> None:
    assert near_duplicates([], 0.5) == []
    assert near_duplicates(["甲"], 0.5, []) == []


def test_a_word_that_gives_a_label_away_is_found_and_one_in_both_classes_is_not() -> None:
    texts = ["冲他评论区"] * 5 + ["看评论区"] * 5 + ["今天天气好"] * 10
    positive = np.array([True] * 5 + [False] * 15)
    known = np.ones(20, bool)

    found = {s.ngram: s for s in shortcuts(texts, positive, known, 0.95, 0.1)}

    assert "冲" in found
    assert "评论区" not in found
    assert (found["冲"].texts, found["冲"].precision, found["冲"].recall) == (5, 1.0, 1.0)


def test_unknown_rows_and_rare_words_don_t_count() -> None:
    texts = ["冲他"] * 2 + ["别冲他"] * 2 + ["好"] * 30
    positive = np.array([True] * 2 + [False] * 32)
    known = np.array([True] * 2 + [False] * 2 + [True] * 30)
    assert any(s.ngram == "冲" for s in shortcuts(texts, positive, known, 0.95, 0.1))
    assert not any(s.ngram == "冲" for s in shortcuts(texts, positive, np.ones(34, bool), 0.95, 0.1))
    assert shortcuts(texts, np.zeros(34, bool), known, 0.95, 0.1) == []


def test_shared_texts_are_counted_with_what_both_know() -> None:
    rows = [
        {"corpus": "a", "text_key": "甲", "violation": 1, "insult": None},
        {"corpus": "b", "text_key": "甲", "violation": 0, "insult": 1},
        {"corpus": "a", "text_key": "乙", "violation": 1, "insult": 1},
        {"corpus": "b", "text_key": "乙", "violation": 1, "insult": 0},
        {"corpus": "b", "text_key": "丙", "violation": 1, "insult": 0},
    ]
    (pair,) = overlaps(rows, ["violation", "insult"])
    assert (pair["first"], pair["second"], pair["texts"]) == ("a", "b", 2)
    assert pair["labels"] == {"violation": {"both_know": 2, "differ": 1}, "insult": {"both_know": 1, "differ": 1}}
