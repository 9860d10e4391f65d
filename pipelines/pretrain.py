"""Pre-train an encoder of our own size on the mixture's text, labels unseen: it predicts masked tokens.

Reads PreparedData (training and unlabelled text only), returns a PretrainedEncoder that `finetune` starts from.
    python train.py pipeline=pretrain mixture=public corpora.root=../shared/corpora
"""

from dataclasses import dataclass

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from pipelines.artifacts.folder import Slot
from pipelines.artifacts.progress import say
from pipelines.corpora import PreparedData
from pipelines.models.encoder import EncoderConfig, bert_config, check_encoder
from pipelines.models.initialise import look_at_neighbours
from pipelines.models.pretrained import PretrainedEncoder
from pipelines.models.tokenizer import learn_tokenizer, save_tokenizer
from pipelines.settings.errors import UserError
from pipelines.training.masked_lm import MaskedLMConfig, PackedMaskedLM, check_masked_lm, train_masked_lm
from pipelines.training.packing import pack, pieces


@dataclass
class PretrainConfig:
    """How long and how an encoder is pre-trained; `epochs` 0 skips it. `held_out` texts are kept to measure on."""

    epochs: float
    held_out: int
    training: MaskedLMConfig


def run(config: PretrainConfig, encoder: EncoderConfig, data: PreparedData, seed: int, slot: Slot) -> PretrainedEncoder:
    """Learn the vocabulary and pre-train; raise UserError when there is too little text."""
    check(config, encoder)
    texts = sorted({*data.split("train")["text"], *data.split("unlabelled")["text"]})
    if len(texts) < 2 * config.held_out:
        raise UserError(f"pretrain: {len(texts)} texts are too few; lower pretrain.held_out or set pretrain.epochs=0.")
    tokenizer = learn_tokenizer(texts, encoder.tokenizer, encoder.max_length)
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed)).tolist()
    held_out = _packed([texts[index] for index in order[: config.held_out]], tokenizer, encoder)
    rows = _packed([texts[index] for index in order[config.held_out :]], tokenizer, encoder)
    model = _model(encoder, tokenizer, seed)
    say(f"pretrain: {len(texts)} texts in {len(rows)} rows of {encoder.max_length} tokens, vocabulary {len(tokenizer)}")
    with slot.fill(PretrainedEncoder) as draft:
        summary = train_masked_lm(
            model, tokenizer, rows, held_out, config.epochs, config.training, draft.folder / "scratch", seed
        )
        model.save_pretrained(draft.folder)
        save_tokenizer(tokenizer, draft.folder)
        draft.metrics.update(summary, vocabulary=len(tokenizer), parameters=model.num_parameters())
    return PretrainedEncoder.open(slot.path)


def check(config: PretrainConfig, encoder: EncoderConfig) -> None:
    """Raise UserError for values that nothing can be pre-trained with."""
    check_encoder(encoder)
    check_masked_lm(config.training)
    if config.epochs < 0 or config.held_out < 1:
        raise UserError("pretrain: epochs must be at least 0 and held_out at least 1.")


def _packed(texts: list[str], tokenizer: PreTrainedTokenizerFast, encoder: EncoderConfig) -> Dataset:
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    parts = pieces(ids, encoder.max_length, tokenizer.cls_token_id, tokenizer.sep_token_id)
    return pack(parts, encoder.max_length, tokenizer.pad_token_id)


def _model(encoder: EncoderConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> PackedMaskedLM:
    torch.manual_seed(seed)
    model = PackedMaskedLM(bert_config(encoder, tokenizer, dropout=0.0))  # masking regularises enough
    look_at_neighbours(model)
    return model
