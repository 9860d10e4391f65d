"""The key under which two texts count as the same: for duplicates, leakage between corpora, stable split hashes."""

import unicodedata
from functools import cache

from opencc import OpenCC

_CJK = ((0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F))


def text_key(text: str) -> str:
    """Return `text` after NFKC, lower case, traditional → simplified, without punctuation, spaces and invisible marks.

    Conversion is per character (not per phrase), so that inserted marks can't change it and the key of a key is itself.
    A text made of nothing but dropped characters keeps its NFKC form, so that different such texts stay different.
    """
    key, shorter = text, _fold(text)
    while shorter != key:  # characters that stood apart may compose once what stood between them is gone
        key, shorter = shorter, _fold(shorter)
    return key


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    kept = "".join(character for character in folded if not _dropped(unicodedata.category(character)))
    return kept.translate(_simplified()) or folded.strip()


def _dropped(category: str) -> bool:
    return category[0] in "PZC" or category == "Mn"


@cache
def _simplified() -> dict[int, int]:
    """Return the code points of traditional characters mapped to their simplified form (OpenCC's `t2s` tables)."""
    convert = OpenCC("t2s").convert
    table: dict[int, int] = {}
    for first, last in _CJK:
        for code in range(first, last + 1):
            simple = convert(chr(code))
            if len(simple) == 1 and ord(simple) != code:
                table[code] = ord(simple)
    for code, simple_code in table.items():  # follow chains, so that the mapping is idempotent
        while simple_code in table and table[simple_code] != simple_code:
            simple_code = table[simple_code]
        table[code] = simple_code
    return table
