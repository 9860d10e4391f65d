"""Pre-train an encoder on text, labels unseen: it predicts masked tokens.

Reads PreparedData (training and unlabelled text only) and any other sources of running text, returns a
PretrainedEncoder that `finetune` starts from. With `encoder.source` it goes on from that encoder.
    python train.py pipeline=pretrain pretrain=short mixture=public corpora.root=../shared/corpora
    python train.py pipeline=pretrain experiment=embedded corpora.root=../shared/corpora
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from pipelines.artifacts.folder import Slot
from pipelines.artifacts.progress import say
from pipelines.corpora import PreparedData
from pipelines.corpora.text import TextSource, check_source, distinct, stream
from pipelines.models.encoder import EncoderConfig, bert_config, check_encoder
from pipelines.models.folded import fold, share
from pipelines.models.initialise import look_at_neighbours
from pipelines.models.pretrained import PretrainedEncoder
from pipelines.models.tokenizer import learn_tokenizer, readable, save_tokenizer
from pipelines.settings.errors import UserError
from pipelines.training.launch import in_processes
from pipelines.training.masked_lm import (
    MaskedLMConfig,
    PackedMaskedLM,
    check_masked_lm,
    load_masked_lm,
    train_masked_lm,
)
from pipelines.training.packing import pack, pieces

_BATCH = 1024  # texts tokenised together


@dataclass
class PretrainConfig:
    """How long and on what an encoder is pre-trained.

    Attributes:
        million_tokens: tokens to learn from, counted with repetitions; 0 skips pre-training.
        held_out: texts of the mixture kept to measure the masked loss on.
        copies: how often the mixture's own text stands among that of `sources`.
        vocabulary_texts: texts of the sources whose characters count for the vocabulary, beside the mixture's.
        sources: further running text, by name; [] learns from the mixture alone, as often as million_tokens allows.
    """

    million_tokens: float
    held_out: int
    copies: int
    vocabulary_texts: int
    sources: dict[str, TextSource]
    training: MaskedLMConfig


def run(config: PretrainConfig, encoder: EncoderConfig, data: PreparedData, seed: int, slot: Slot) -> PretrainedEncoder:
    """Learn the vocabulary and pre-train; raise UserError when there is too little text."""
    check(config, encoder)
    texts = sorted({*data.split("train")["text"], *data.split("unlabelled")["text"]})
    if len(texts) < 2 * config.held_out:
        raise UserError(
            f"pretrain: {len(texts)} texts are too few; lower pretrain.held_out or set pretrain.million_tokens=0."
        )
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed)).tolist()
    held_out, own = ([texts[i] for i in part] for part in (order[: config.held_out], order[config.held_out :]))
    with slot.fill(PretrainedEncoder) as draft:
        scratch = draft.folder / "scratch"
        tokenizer = _start(encoder, config, own, seed, scratch / "start")
        everything = chain.from_iterable([own] * config.copies + [_running(config)])
        budget = round(config.million_tokens * 1e6 / encoder.max_length) + 1
        say(f"pretrain: packing text, vocabulary {len(tokenizer)}")
        rows = _packed(everything, tokenizer, encoder, scratch / "rows.arrow", budget)
        _packed(held_out, tokenizer, encoder, scratch / "held_out.arrow", None)
        say(f"pretrain: {len(rows)} rows of {encoder.max_length} tokens")
        summary = in_processes(config.training.processes, _train, config, encoder.folded, scratch, seed)
        model = PackedMaskedLM.from_pretrained(scratch / "trained")
        model.save_pretrained(draft.folder)
        save_tokenizer(tokenizer, draft.folder)
        draft.metrics.update(summary, vocabulary=len(tokenizer), parameters=model.num_parameters())
    return PretrainedEncoder.open(slot.path)


def check(config: PretrainConfig, encoder: EncoderConfig) -> None:
    """Raise UserError for values that nothing can be pre-trained with."""
    check_encoder(encoder)
    check_masked_lm(config.training)
    for name, source in config.sources.items():
        check_source(name, source)
    if min(config.million_tokens, config.vocabulary_texts) < 0 or min(config.held_out, config.copies) < 1:
        raise UserError(
            "pretrain: million_tokens and vocabulary_texts must be at least 0, held_out and copies at least 1."
        )


def _running(config: PretrainConfig) -> Iterator[str]:
    """Yield the distinct texts of all sources, one source after the other."""
    return distinct(text for name, source in config.sources.items() for text in stream(name, source))


def _start(
    encoder: EncoderConfig, config: PretrainConfig, own: list[str], seed: int, folder: Path
) -> PreTrainedTokenizerFast:
    """Write the model that training starts from, and its tokenizer, to `folder`; return the tokenizer."""
    if encoder.source is not None:
        model, tokenizer = load_masked_lm(encoder.source, encoder.max_length)
    else:
        some = islice(_running(config), config.vocabulary_texts)
        tokenizer = learn_tokenizer(chain(own, some), encoder.tokenizer, encoder.max_length)
        torch.manual_seed(seed)
        model = PackedMaskedLM(bert_config(encoder, tokenizer, dropout=0.0))  # masking regularises enough
        look_at_neighbours(model)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return tokenizer


def _packed(
    texts: Iterator[str] | list[str],
    tokenizer: PreTrainedTokenizerFast,
    encoder: EncoderConfig,
    file: Path,
    most: int | None,
) -> Dataset:
    parts = pieces(_ids(iter(texts), tokenizer), encoder.max_length, tokenizer.cls_token_id, tokenizer.sep_token_id)
    return pack(parts, encoder.max_length, tokenizer.pad_token_id, file, most)


def _ids(texts: Iterator[str], tokenizer: PreTrainedTokenizerFast) -> Iterator[list[int]]:
    while some := [readable(text) for text in islice(texts, _BATCH)]:
        yield from tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]


def _train(config: PretrainConfig, folded: bool, scratch: Path, seed: int) -> dict[str, float]:
    """Train in one of several processes; the first writes what was learnt to `scratch/trained`."""
    model, tokenizer = load_masked_lm(str(scratch / "start"), None)
    if folded:
        share(model, tokenizer)
    rows, held_out = (Dataset.from_file(str(scratch / f"{name}.arrow")) for name in ("rows", "held_out"))
    summary = train_masked_lm(model, tokenizer, rows, held_out, config.million_tokens, config.training, scratch, seed)
    fold(model)
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        model.save_pretrained(scratch / "trained")
    return summary
