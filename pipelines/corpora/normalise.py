"""The key under which two texts count as the same: for duplicates, leakage between corpora, stable split hashes."""

import unicodedata

from pipelines.corpora.characters import simplified


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
    return kept.translate(simplified()) or folded.strip()


def _dropped(category: str) -> bool:
    return category[0] in "PZC" or category == "Mn"
