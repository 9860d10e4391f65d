"""A start that lets a small encoder read neighbours from its first step, not after most of a short budget."""

import math

import torch
from transformers import BertForMaskedLM, BertForSequenceClassification

_OFFSETS = (
    -1,
    1,
    -2,
)  # the heads of the first layer that start by looking at the previous, next and last but one token
_FREQUENCIES = 24
_SHARPNESS = 1.1


def look_at_neighbours(model: BertForMaskedLM) -> None:
    """Set position embeddings to sines and the first layer's heads to attend by relative position, in place.

    A head's query is the key's sine code turned by its offset, so the attention score peaks at that distance: the
    rotation identity of sinusoidal positions (Vaswani et al., 2017, section 3.5). Training may move away from it.
    """
    config = model.config
    width = config.hidden_size // config.num_attention_heads
    count = min(_FREQUENCIES, width // 2)
    scale = config.initializer_range
    frequencies = (torch.arange(count) + torch.rand(count)) * math.pi / count
    with torch.no_grad():
        embeddings = model.bert.embeddings
        embeddings.word_embeddings.weight[:, : 2 * count] *= 0.1  # leave these coordinates to the positions
        angles = torch.arange(config.max_position_embeddings)[:, None] * frequencies[None]
        positions = torch.randn(config.max_position_embeddings, config.hidden_size) * scale * 0.1
        positions[:, 0 : 2 * count : 2] = scale * math.sqrt(2) * angles.cos()
        positions[:, 1 : 2 * count : 2] = scale * math.sqrt(2) * angles.sin()
        embeddings.position_embeddings.weight.copy_(positions)
        attention = model.bert.encoder.layer[0].attention.self
        for head, offset in enumerate(_OFFSETS[: config.num_attention_heads]):
            _turn(attention.query.weight, attention.key.weight, head * width, width, frequencies, offset)


def pass_first_token_on(model: BertForSequenceClassification) -> None:
    """Start the pooler near half the identity, in place: what pre-training put into [CLS] reaches the head as it is."""
    pooler = model.bert.pooler.dense
    with torch.no_grad():
        noise = torch.randn_like(pooler.weight) * 0.02
        pooler.weight.copy_(0.5 * torch.eye(len(pooler.weight)) + noise)
        pooler.bias.zero_()


def _turn(query: torch.Tensor, key: torch.Tensor, row: int, width: int, frequencies: torch.Tensor, offset: int) -> None:
    count = len(frequencies)
    for matrix in (query, key):
        matrix[row : row + width] *= 0.5
        matrix[row : row + 2 * count] = 0
    for index, frequency in enumerate(frequencies.tolist()):
        at, cosine, sine = row + 2 * index, math.cos(frequency * offset), math.sin(frequency * offset)
        query[at, 2 * index], query[at, 2 * index + 1] = _SHARPNESS * cosine, -_SHARPNESS * sine
        query[at + 1, 2 * index], query[at + 1, 2 * index + 1] = _SHARPNESS * sine, _SHARPNESS * cosine
        key[at, 2 * index] = key[at + 1, 2 * index + 1] = _SHARPNESS
