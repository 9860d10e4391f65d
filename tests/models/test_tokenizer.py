import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pipelines.models.tokenizer import TokenizerConfig, encode, learn_tokenizer, save_tokenizer

TEXTS = ["好好坏", "好 ok ok!"]
CORPUS = [
    "今天天气真好，出去走走",
    "yyds！这也太强了吧 666",
    "哈哈哈哈😂😂😂",
    "他说：“别来了”",
    "sb sb tmd",
    "カタカナ 한국어",
]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return learn_tokenizer(CORPUS, TokenizerConfig(min_count=1, words=10, cloaked_forms=False), max_length=16)


@pytest.fixture(scope="module")
def saved(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(tokenizer, folder)
    return folder


def written(texts: list[str], folder: Path) -> dict[str, bytes]:
    save_tokenizer(learn_tokenizer(texts, TokenizerConfig(min_count=1, words=10, cloaked_forms=False), 16), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_golden_ids() -> None:
    learnt = learn_tokenizer(TEXTS, TokenizerConfig(min_count=1, words=10, cloaked_forms=False), max_length=16)
    # specials, then by count and code point: 好 3; ##k and o 2; ! and 坏 1; then whole Latin words
    expected = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "好", "##k", "o", "!", "坏", "ok"]
    assert learnt.convert_ids_to_tokens(list(range(len(learnt)))) == expected
    assert learnt("好ok!坏")["input_ids"] == [2, 5, 10, 8, 9, 3]
    assert learnt("好", "坏")["input_ids"] == [2, 5, 3, 9, 3]
    assert learnt("丁okk")["input_ids"] == [2, 1, 10, 6, 3]


def test_rare_characters_and_words_beyond_the_limits_have_no_token() -> None:
    learnt = learn_tokenizer(TEXTS, TokenizerConfig(min_count=2, words=0, cloaked_forms=False), max_length=16)
    assert learnt("好!坏ok")["input_ids"] == [2, 5, 1, 1, 7, 6, 3]


def test_same_texts_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    shuffled = CORPUS[:]
    random.Random(3).shuffle(shuffled)
    assert written(CORPUS, tmp_path / "a") == written(shuffled, tmp_path / "b")


def test_bytes_do_not_depend_on_what_was_encoded_before(tmp_path: Path) -> None:
    used = learn_tokenizer(CORPUS, TokenizerConfig(min_count=1, words=10, cloaked_forms=False), 16)
    encode(used, ["今天" * 30, "好"], ["天" * 40, None])
    save_tokenizer(used, tmp_path / "used")
    fresh = written(CORPUS, tmp_path / "fresh")
    assert {path.name: path.read_bytes() for path in (tmp_path / "used").iterdir()} == fresh


@pytest.mark.parametrize(
    ("cloaked", "plain"),
    [
        ("ｓｂ", "sb"),  # full width
        ("YYDS", "yyds"),
        ("s\u200bb", "sb"),  # zero-width space
        ("s\u200d\ufe0fb", "sb"),  # joiner, variation selector
        ("s\u00adb", "sb"),  # soft hyphen
        ("\ufeff好", "好"),
        ("\u202e今天\u202c", "今天"),  # directional marks
        ("⑥⑥⑥", "666"),
        ("太！", "太!"),
        ("今\t天\n", "今 天"),
    ],
)
def test_cloaks_fall_away(tokenizer: PreTrainedTokenizerFast, cloaked: str, plain: str) -> None:
    ids = tokenizer(plain)["input_ids"]
    assert tokenizer(cloaked)["input_ids"] == ids
    assert tokenizer.unk_token_id not in ids


def test_models_get_two_inputs(tokenizer: PreTrainedTokenizerFast, saved: Path) -> None:
    for one in (tokenizer, AutoTokenizer.from_pretrained(saved)):
        assert one.model_input_names == ["input_ids", "attention_mask"]
        assert list(one("好", "坏")) == ["input_ids", "attention_mask"]
        assert list(one.pad({"input_ids": [[2, 3], [2, 5, 3]]})) == ["input_ids", "attention_mask"]


STRANGE = [
    "",
    " ",
    "😂" * 5,
    "😂" * 200,
    "yyds",
    "tmdsb666",
    "a" * 63,
    "a" * 65,
    "今天" * 40,
    "\x00\x07好",
    "👨‍👩‍👧",
    "[CLS][MASK]",
]


@pytest.mark.parametrize("text", STRANGE)
def test_saved_folder_reopens_with_identical_ids(tokenizer: PreTrainedTokenizerFast, saved: Path, text: str) -> None:
    again = AutoTokenizer.from_pretrained(saved)
    bare = Tokenizer.from_file(str(saved / "tokenizer.json"))
    for context in (None, "上文", text):
        (ids,) = encode(tokenizer, [text], [context])
        assert encode(again, [text], [context]) == [ids]
        assert bare.encode(text, context).ids == ids
        assert len(ids) <= 16
        assert ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id


def test_contexts_are_the_second_of_a_pair_and_order_is_kept(tokenizer: PreTrainedTokenizerFast) -> None:
    together = encode(tokenizer, ["好", "今天", "来"], [None, "出去", None])
    assert together == [
        encode(tokenizer, ["好"])[0],
        tokenizer("今天", "出去")["input_ids"],
        encode(tokenizer, ["来"])[0],
    ]
    assert encode(tokenizer, []) == []


def test_the_longer_of_a_pair_is_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    (ids,) = encode(tokenizer, ["好"], ["今天" * 20])
    assert len(ids) == 16
    assert ids[:3] == tokenizer("好")["input_ids"]


def test_repeated_characters_stay_known(tokenizer: PreTrainedTokenizerFast) -> None:
    first, following = tokenizer("😂😂", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens([first, following]) == ["😂", "##😂"]


def test_a_run_longer_than_the_model_reads_is_not_hidden_in_one_unknown(tokenizer: PreTrainedTokenizerFast) -> None:
    run = tokenizer("6" * 200, truncation=True)["input_ids"]
    assert len(run) == tokenizer.model_max_length
    one_more = tokenizer("6" * 257)["input_ids"]  # far beyond max_length: nothing readable is lost
    assert one_more == [tokenizer.cls_token_id, tokenizer.unk_token_id, tokenizer.sep_token_id]


def test_a_megabyte_is_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    (ids,) = encode(tokenizer, ["今天" * 170_000])
    assert len(ids) == 16


def test_lone_surrogates_read_as_the_replacement_character(tokenizer: PreTrainedTokenizerFast) -> None:
    assert encode(tokenizer, ["好\ud800坏"], ["\udfff"]) == encode(tokenizer, ["好\ufffd坏"], ["\ufffd"])
    learnt = learn_tokenizer(["好\ud800坏"], TokenizerConfig(min_count=1, words=0, cloaked_forms=False), 16)
    assert len(learnt) == 7


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=40), st.none() | st.text(st.characters(), max_size=40))
def test_any_text_has_ids_within_limits(text: str, context: str | None) -> None:
    learnt = _shared()
    (ids,) = encode(learnt, [text], [context])
    assert 2 <= len(ids) <= 16
    assert all(0 <= index < len(learnt) for index in ids)


_cached: list[PreTrainedTokenizerFast] = []


def _shared() -> PreTrainedTokenizerFast:
    if not _cached:
        _cached.append(
            learn_tokenizer(CORPUS, TokenizerConfig(min_count=1, words=10, cloaked_forms=False), max_length=16)
        )
    return _cached[0]
