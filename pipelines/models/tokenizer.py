"""A character tokenizer learnt from the training text, written as a WordPiece `tokenizer.json` that anyone can open.

Chinese characters are one token each; Latin words, numbers and emoji runs fall apart into known words, else characters.
Normalisation (NFKC, lower case, invisible characters and marks inserted between Chinese characters removed) is in the
file, so Rust, Python and JavaScript agree.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from pipelines.corpora.characters import by_sound, is_chinese, traditional

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Zero-width and directional marks, soft hyphen, variation selectors, keycap, BOM: used to cut or dress up a word.
_INVISIBLE = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u206a-\u206f\u20e3\ufe00-\ufe0f\ufeff]"
# Up to three marks between two Chinese characters (傻*逼); dots that trail off (...) stay, they may be the irony.
_INSERTED = "(?<=[\u4e00-\u9fff])(?!\\.\\.)[*·丶~._\\- ]{1,3}(?=[\u4e00-\u9fff])"


@dataclass
class TokenizerConfig:
    """How a vocabulary is learnt.

    Attributes:
        min_count: characters seen less often become [UNK].
        words: how many of the most frequent Latin words get a token of their own.
        cloaked_forms: add the traditional forms of the characters found and the syllables of pinyin, seen or not, so
            that folded embeddings (see `folded`) can share weights with them.
    """

    min_count: int
    words: int
    cloaked_forms: bool


def learn_tokenizer(texts: Iterable[str], config: TokenizerConfig, max_length: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer whose vocabulary is counted over `texts`; the same texts in any order give the same bytes."""
    normalizer, splitter = _normalizer(), pre_tokenizers.BertPreTokenizer()
    characters: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for text in texts:
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(readable(text))):
            characters[word[0]] += 1
            characters.update(f"##{character}" for character in word[1:])
            if len(word) > 1 and word.isascii() and word.isalpha():
                words[word] += 1
    vocabulary = [*SPECIAL, *_frequent(characters, config.min_count)]
    vocabulary += _frequent(words, config.min_count)[: config.words]
    if config.cloaked_forms:
        vocabulary += _cloaked_forms(vocabulary)
    tokens = {token: index for index, token in enumerate(dict.fromkeys(vocabulary))}
    return wrap(_tokenizer(tokens, normalizer), max_length)


def wrap(tokenizer: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    """Return `tokenizer` with the Hugging Face interface; models get `input_ids` and `attention_mask` only."""
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **names,
    )


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], contexts: list[str | None] | None = None
) -> list[list[int]]:
    """Return token ids per text, cut at the tokenizer's maximum; a text with a context is encoded as the pair of both.

    Any string has ids: a lone surrogate reads as U+FFFD (as in the bundle's runtime), which normalisation then drops.
    """
    contexts = contexts or [None] * len(texts)
    encoded: list[list[int]] = [[] for _ in texts]
    alone = [index for index, context in enumerate(contexts) if context is None]
    paired = [index for index, context in enumerate(contexts) if context is not None]
    for indices, second in ((alone, None), (paired, [readable(contexts[index] or "") for index in paired])):
        if indices:
            first = [readable(texts[index]) for index in indices]
            ids = tokenizer(first, second, truncation="longest_first", return_token_type_ids=False)["input_ids"]
            for index, row in zip(indices, ids, strict=True):
                encoded[index] = list(row)
    return encoded


def readable(text: str) -> str:
    """Return `text` with lone surrogates replaced by U+FFFD; UTF-8 has no form for them, and tokenizers refuse them."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write `tokenizer`: the same bytes whatever it encoded before, the same cut and inputs when reopened."""
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.enable_truncation(tokenizer.model_max_length, strategy="longest_first")
    tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names  # transformers saves what it was made with
    tokenizer.save_pretrained(folder)


def _normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Replace(Regex(_INVISIBLE), ""),
            normalizers.Replace(Regex(_INSERTED), ""),
            normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True),
        ]
    )


def _cloaked_forms(vocabulary: Iterable[str]) -> list[str]:
    characters = [token for token in vocabulary if len(token) == 1 and is_chinese(token)]
    forms = [form for character in characters if (form := traditional(character)) != character]
    syllables = sorted(by_sound())
    return [*forms, *syllables, *(f"##{syllable}" for syllable in syllables)]


def _frequent(counts: Counter[str], least: int) -> list[str]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [token for token, count in ranked if count >= least]


def _tokenizer(vocabulary: dict[str, int], normalizer: normalizers.Normalizer) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=256))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer
