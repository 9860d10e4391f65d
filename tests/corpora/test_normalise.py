"""The key must see through everything that makes the same text look different, and through nothing else."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.corpora.normalise import text_key

PAIRS = dict(zip("這個說話國家網絡語氣實際們學長東門馬鳥魚", "这个说话国家网络语气实际们学长东门马鸟鱼", strict=True))
SIMPLE = "".join(PAIRS.values()) + "天地人你我他不是好坏"
PUNCTUATION = [chr(code) for code in range(0x10000) if unicodedata.category(chr(code))[0] == "P"]
INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\ufe0f"]
words = st.text(st.sampled_from(SIMPLE + "abcxyz0189"), min_size=1)


@given(st.text())
@example("\u1100\u200b\u1161")  # Hangul letters that compose once nothing stands between them
@example("\u00b4")  # turns into a space and a mark
@example("ΑΣ。Α")
def test_key_of_a_key_is_itself(text: str) -> None:
    assert text_key(text_key(text)) == text_key(text)


@given(words)
def test_width_and_case_do_not_count(text: str) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    assert text_key(wide) == text_key(text) == text_key(text.upper()) == text_key(wide.upper())


@given(words, st.data())
def test_punctuation_spaces_and_invisible_marks_do_not_count(text: str, data: st.DataObject) -> None:
    inserted = st.text(st.sampled_from([*PUNCTUATION, *INVISIBLE, " ", "\u3000", "\t", "\n"]), max_size=3)
    marked = data.draw(inserted) + "".join(character + data.draw(inserted) for character in text)
    assert text_key(marked) == text_key(text)


@given(st.text(st.sampled_from([*PAIRS, *SIMPLE]), min_size=1))
def test_traditional_characters_do_not_count(text: str) -> None:
    assert text_key(text) == text_key("".join(PAIRS.get(character, character) for character in text))


@given(words, words)
def test_different_words_keep_different_keys(one: str, other: str) -> None:
    assert (text_key(one) == text_key(other)) == (one == other)


@pytest.mark.parametrize("one", ["。。。", "？！", "😀", "😭😭"])
def test_texts_without_words_stay_apart(one: str) -> None:
    others = {"。。。", "？！", "😀", "😭😭"} - {one}
    assert text_key(one)
    assert text_key(one) not in {text_key(other) for other in others}
