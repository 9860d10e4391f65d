import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cloaks import CLOAKS, cloak
from pipelines.corpora.normalise import text_key
from pipelines.settings.errors import UserError

TEXT = "你们这样骂一个孩子，真的不觉得过分吗"
names = st.lists(st.sampled_from(sorted(CLOAKS)), min_size=1, max_size=3).map("+".join)
texts = st.text(st.characters(codec="utf-8") | st.sampled_from("你妈死狗骂垃圾的好吃鸡腿饭就是一个"), max_size=40)


@given(texts, names, st.floats(0.01, 1), st.integers(0, 3))
def test_a_cloak_is_a_function_of_its_arguments_and_takes_any_text(
    text: str, name: str, rate: float, seed: int
) -> None:
    assert cloak(text, name, rate, seed) == cloak(text, name, rate, seed)


@given(texts.filter(lambda text: not any("\u4e00" <= c <= "\u9fff" for c in text)), names)
def test_what_is_not_chinese_stays_as_it_is(text: str, name: str) -> None:
    assert cloak(text, name, 1.0) == text


@given(st.sampled_from(["marks", "zero_width", "traditional"]), texts, st.floats(0.01, 1))
def test_the_normaliser_undoes_marks_and_traditional_forms(name: str, text: str, rate: float) -> None:
    chinese = "".join(c for c in text if "\u4e00" <= c <= "\u9fff" and text_key(c) == c)
    kept = str.maketrans("", "", "丶~")  # marks that Unicode counts as a character and as a symbol
    assert text_key(cloak(chinese, name, rate)).translate(kept) == text_key(chinese).translate(kept)


@pytest.mark.parametrize("name", sorted(CLOAKS))
def test_every_cloak_changes_an_ordinary_sentence(name: str) -> None:
    assert cloak(TEXT, name, 0.5) != TEXT


@pytest.mark.parametrize("name", sorted(CLOAKS))
def test_a_higher_rate_rewrites_more(name: str) -> None:
    def kept(text: str) -> int:
        return sum(character in text for character in TEXT)

    assert kept(cloak(TEXT, name, 1.0)) <= kept(cloak(TEXT, name, 0.2))


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("pinyin", "死", "si"),
        ("pinyin_initials", "傻", "s"),
        ("traditional", "骂", "罵"),
        ("split_characters", "好", "女子"),
        ("slang", "死", "4"),
        ("slang", "逼", "B"),
        ("emoji", "狗", "🐕"),
    ],
)
def test_known_rewritings(name: str, text: str, found: str) -> None:
    assert cloak(text, name, 1.0) == found


def test_a_homophone_sounds_the_same_and_is_another_character() -> None:
    from pypinyin import lazy_pinyin

    for character in "骂死狗滚丑":
        other = cloak(character, "homophone", 1.0)
        assert other != character
        assert lazy_pinyin(other) == lazy_pinyin(character)


def test_a_syllable_is_read_in_its_phrase() -> None:
    assert cloak("银行", "pinyin", 1.0) == "yinhang"
    assert cloak("行走", "pinyin", 1.0) == "xingzou"


def test_cloaks_compose_from_left_to_right() -> None:
    once = cloak(TEXT, "homophone", 0.5, 3)
    assert cloak(TEXT, "homophone+marks", 0.5, 3) == cloak(once, "marks", 0.5, 3)


@pytest.mark.parametrize(("name", "rate", "message"), [("homofone", 0.5, "homophone"), ("marks", 0.0, "above 0")])
def test_a_wrong_name_or_rate_is_said(name: str, rate: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cloak(TEXT, name, rate)
