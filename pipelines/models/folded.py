"""Folded embeddings: tokens that mean, sound or look alike share weights while they learn, and cost nothing afterwards.

E[id] = base[canonical(id)] + sound[syllable(id)] + shape[part(id)]: a traditional form has its simplified form's row,
homophones share a sound vector (a syllable spelt out and a digit read aloud with them), look-alikes the vector of their
telling component. Trained as that sum, saved as one plain matrix: `share` before training, `fold` after it.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from pypinyin import lazy_pinyin
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipelines.corpora.characters import by_sound, is_chinese, short_sounds, simplified, telling_part


class SharedRows(nn.Module):
    """A parametrization of an embedding matrix `[v, h]` whose rows share what their tokens have in common."""

    def __init__(self, canonical: Sequence[int], sound: Sequence[int], shape: Sequence[int], width: int) -> None:
        super().__init__()
        self.register_buffer("canonical", torch.tensor(canonical), persistent=False)
        self.register_buffer("sound_of", torch.tensor(sound), persistent=False)
        self.register_buffer("shape_of", torch.tensor(shape), persistent=False)
        self.sound = _zeros(max(sound) + 1, width)
        self.shape = _zeros(max(shape) + 1, width)

    def forward(self, base: Tensor) -> Tensor:
        """Return the plain matrix, float32 `[v, h]`."""
        rows = nn.functional.embedding(self.canonical, base)  # indexing would sum gradients in no fixed order
        return rows + self.sound(self.sound_of) + self.shape(self.shape_of)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the base to start from: the matrix as it is, sounds and shapes being 0."""
        return weight


def share(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Let the rows of the model's input embedding share weights from now on, in place."""
    embedding = model.get_input_embeddings()
    rows = len(embedding.weight)
    vocabulary = tokenizer.get_vocab()
    own = list(range(rows))
    for token, index in vocabulary.items():
        own[index] = canonical(token, vocabulary)
    sound = _numbered(vocabulary, rows, sounds_like)
    shape = _numbered(vocabulary, rows, looks_like)
    parametrize.register_parametrization(embedding, "weight", SharedRows(own, sound, shape, embedding.embedding_dim))


def fold(model: PreTrainedModel) -> None:
    """Turn shared rows into a plain matrix, in place; a model that shares nothing stays as it is."""
    embedding = model.get_input_embeddings()
    if parametrize.is_parametrized(embedding):
        parametrize.remove_parametrizations(embedding, "weight", leave_parametrized=True)


def canonical(token: str, vocabulary: Mapping[str, int]) -> int:
    """Return the id whose row `token` has: its simplified form's where the vocabulary has that, else its own."""
    simple = simplified().get(ord(token)) if len(token) == 1 else None
    return vocabulary.get(chr(simple), vocabulary[token]) if simple else vocabulary[token]


def sounds_like(token: str) -> str | None:
    """Return the toneless syllable of a Chinese character, of a syllable spelt out, of a digit or letter read aloud."""
    plain = token.removeprefix("##")
    if len(plain) == 1 and is_chinese(plain):
        return str(lazy_pinyin(plain)[0])
    return plain if plain in by_sound() else _read_aloud().get(plain)


def looks_like(token: str) -> str | None:
    """Return the telling component of a Chinese character in its simplified form."""
    return telling_part(chr(simplified().get(ord(token), ord(token)))) if len(token) == 1 else None


def confusions(tokenizer: PreTrainedTokenizerBase, rows: int, choices: int, seed: int) -> Tensor:
    """Return int64 `[rows, choices]`: per token, others that it is written as in disguise, drawn with replacement.

    Half of the choices sound like it, half look like it, where there are such tokens; a token that resembles no other
    gets any token that is not special.
    """
    vocabulary = dict(sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]))  # it comes in no fixed order
    special = len(tokenizer.all_special_ids)
    draw = torch.Generator().manual_seed(seed)
    table = torch.randint(special, max(rows, special + 1), (rows, choices), generator=draw)
    halves = {sounds_like: slice(0, choices // 2), looks_like: slice(choices // 2, choices)}
    families = {name: _families(vocabulary, name) for name in halves}
    for token, index in vocabulary.items():
        others = {name: [one for one in families[name].get(name(token) or "", []) if one != index] for name in halves}
        for name, half in halves.items():
            family = others[name] or others[looks_like if name is sounds_like else sounds_like]
            if family:
                picks = torch.randint(len(family), (half.stop - half.start,), generator=draw)
                table[index, half] = torch.tensor(family)[picks]
    return table


def _families(vocabulary: Mapping[str, int], name: Callable[[str], str | None]) -> dict[str, list[int]]:
    families: dict[str, list[int]] = defaultdict(list)
    for token, index in vocabulary.items():
        if found := name(token):
            families[found].append(index)
    return families


def _read_aloud() -> dict[str, str]:
    return {short.lower(): syllable for syllable, short in short_sounds().items()}


def _numbered(vocabulary: Mapping[str, int], rows: int, name: Callable[[str], str | None]) -> list[int]:
    """Return, per row, the number of what `name` says of its token, 0 where it says nothing."""
    names = {index: found for token, index in vocabulary.items() if (found := name(token))}
    numbers = {found: number for number, found in enumerate(sorted(set(names.values())), start=1)}
    return [numbers[names[index]] if index in names else 0 for index in range(rows)]


def _zeros(rows: int, width: int) -> nn.Embedding:
    """Return an embedding that starts at 0; row 0, for tokens that share nothing, stays there."""
    return nn.Embedding(rows, width, padding_idx=0, _weight=torch.zeros(rows, width))
