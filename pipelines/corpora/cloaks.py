"""Cloaks: how people rewrite a text so that a reader still understands it and a filter does not.

Deterministic and composable: the same text, cloak, rate and seed give the same cloaked text. Used to measure and to
train on violations and harmless texts alike. Sounds and forms come from `characters`, emoji names from emoji.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from functools import cache

import emoji
from pypinyin import lazy_pinyin

from pipelines.corpora.characters import by_sound, is_chinese, look_alikes, parts, short_sounds, sound, traditional
from pipelines.settings.errors import UserError, did_you_mean

Replace = Callable[[Sequence[str], int, random.Random], str | None]

_MARKS = ("*", "·", "丶", "~", ".", "-", "_", " ")
_INVISIBLE = ("\u200b", "\u200c", "\u200d", "\u2060")


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
    same = [other for other in by_sound().get(sound(characters, at) or "", ()) if other != characters[at]]
    return rng.choice(same) if same else None


def _pinyin(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """The syllable spelt out."""
    return sound(characters, at)


def _pinyin_initials(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """The first letter of the syllable."""
    syllable = sound(characters, at)
    return syllable[0] if syllable else None


def _split_characters(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """The character taken apart into common characters (拆字)."""
    split = parts(characters[at])
    return "".join(split) if len(split) > 1 else None


def _look_alike(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """A common character that shares its most telling component and differs in one other."""
    alike = look_alikes().get(characters[at], ())
    return rng.choice(alike) if alike else None


def _traditional(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """The traditional form."""
    form = traditional(characters[at])
    return form if form != characters[at] else None


def _emoji(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """An emoji whose one-character Chinese name is the character, or sounds like it."""
    named = _emoji_names()
    if not is_chinese(characters[at]):
        return None
    return named.get(characters[at]) or named.get(sound(characters, at) or "")


def _slang(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """A digit or capital letter that sounds like the character (死 → 4, 逼 → B)."""
    return short_sounds().get(sound(characters, at) or "")


def _marks(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """A mark put behind the character."""
    return characters[at] + rng.choice(_MARKS) if is_chinese(characters[at]) else None


def _zero_width(characters: Sequence[str], at: int, rng: random.Random) -> str | None:
    """An invisible mark put behind the character."""
    return characters[at] + rng.choice(_INVISIBLE) if is_chinese(characters[at]) else None


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


@cache
def _emoji_names() -> dict[str, str]:
    """Return emoji by their one-character Chinese name, and by its syllable where no other name has it first."""
    emoji.config.load_language("zh")
    names: dict[str, str] = {}
    for picture, about in sorted(emoji.EMOJI_DATA.items()):
        name = str(about.get("zh", "")).strip(":")
        if len(name) == 1 and is_chinese(name) and about["status"] == emoji.STATUS["fully_qualified"]:
            names.setdefault(name, picture)
    sounds = {lazy_pinyin(name)[0]: picture for name, picture in reversed(names.items())}
    keycaps = {syllable: f"{short}\ufe0f\u20e3" for syllable, short in short_sounds().items() if short.isdigit()}
    return keycaps | sounds | names
