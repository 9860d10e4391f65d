"""Masked-language-model pre-training of our own sizes: packed rows, loss on masked positions only, exact resume."""

import math
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import BertForMaskedLM, PreTrainedTokenizerBase, Trainer, TrainingArguments, get_scheduler

from pipelines.settings.errors import UserError
from pipelines.training.optimizer import MuonAdamW
from pipelines.training.packing import EMPTY
from pipelines.training.trainer import LineProgress, bf16_helps, keep_off_stdout, last_checkpoint


@dataclass
class MaskedLMConfig:
    """Hyper-parameters of pre-training.

    Attributes:
        rows_per_batch: packed rows of the encoder's max_length tokens.
        mask_share: share of tokens to predict.
        decay: share of all steps over which the learning rate falls to 0, at the end (warm-up, plateau, decay).
        muon_learning_rate: for the encoder's matrices; everything else is trained by AdamW at learning_rate.
        saves: how many checkpoints to resume from are written over the run.
    """

    learning_rate: float
    muon_learning_rate: float
    rows_per_batch: int
    mask_share: float
    warmup_steps: int
    decay: float
    weight_decay: float
    saves: int


class PackedMaskedLM(BertForMaskedLM):
    """A BERT with its masked-language-model head, fed packed rows; only masked positions reach the head."""

    def forward(self, input_ids: Tensor, segments: Tensor, position_ids: Tensor, original: Tensor) -> dict[str, Tensor]:
        """Return the mean cross-entropy over masked positions, 0 for a batch that has none.

        Args:
            input_ids: int64 `[b, s]`, as all of them.
            segments: which packed text a token belongs to, EMPTY for padding.
            position_ids: within that text.
            original: int64 `[b, s]`, the hidden token where one is to be predicted, EMPTY elsewhere.
        """
        visible = segments[:, None, :, None] == segments[:, None, None, :]
        hidden = self.bert(input_ids, attention_mask=visible, position_ids=position_ids).last_hidden_state
        masked = original != EMPTY
        logits = self.cls(hidden[masked])
        total = nn.functional.cross_entropy(logits.float(), original[masked], reduction="sum")
        return {"loss": total / masked.sum().clamp(min=1)}


class MaskingCollator:
    """Choose the tokens to predict: 85 % become [MASK], 7 % a random token, 8 % stay (BERT's scheme, fewer left as is).

    The choice is seeded by the batch's own tokens: batches are fetched ahead of the step that reads them, so draws from
    the global generator would not be the same again after a resume. Shuffling makes new batches, so new choices, every
    epoch.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, share: float) -> None:
        self.share, self.mask, self.size = share, tokenizer.mask_token_id, len(tokenizer)
        self.special = torch.tensor(sorted(tokenizer.all_special_ids))

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return int64 tensors `[b, s]`: input_ids, segments, position_ids, original."""
        batch = {
            name: torch.from_numpy(np.stack([np.asarray(row[name], np.int64) for row in rows]))
            for name in ("input_ids", "segments", "position_ids")
        }
        ids = batch["input_ids"]
        own = torch.Generator().manual_seed(zlib.crc32(ids.numpy().tobytes()))
        chosen = (torch.rand(ids.shape, generator=own) < self.share) & ~torch.isin(ids, self.special)
        fate = torch.rand(ids.shape, generator=own)
        random = torch.randint(len(self.special), self.size, ids.shape, generator=own)
        replaced = torch.where(fate < 0.85, self.mask, random)
        batch["original"] = torch.where(chosen, ids, EMPTY)
        batch["input_ids"] = torch.where(chosen & (fate < 0.92), replaced, ids)
        return batch


def train_masked_lm(
    model: PackedMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    held_out: Dataset,
    epochs: float,
    config: MaskedLMConfig,
    scratch: Path,
    seed: int,
) -> dict[str, float]:
    """Train `model` in place, continuing from the last checkpoint in `scratch`; return held-out loss and tokens seen.

    Raises:
        UserError: a value is out of range.
    """
    check_masked_lm(config)
    steps = max(1, math.ceil(len(rows) / config.rows_per_batch * epochs))
    optimizer = MuonAdamW(model, config.learning_rate, config.muon_learning_rate, config.weight_decay)
    schedule = get_scheduler(
        "warmup_stable_decay",
        optimizer,
        num_warmup_steps=min(config.warmup_steps, steps // 4),
        num_training_steps=steps,
        scheduler_specific_kwargs={"num_decay_steps": int(config.decay * steps), "min_lr_ratio": 0.02},
    )
    trainer = Trainer(
        model=model,
        args=_arguments(config, steps, scratch, seed),
        train_dataset=rows,
        eval_dataset=held_out,
        data_collator=MaskingCollator(tokenizer, config.mask_share),
        optimizers=(optimizer, schedule),
        callbacks=[LineProgress("pretrain")],
    )
    keep_off_stdout(trainer)
    trainer.train(resume_from_checkpoint=last_checkpoint(scratch))
    held_out_loss = trainer.evaluate()["eval_loss"]
    per_row = float(np.mean([(np.asarray(row) != EMPTY).sum() for row in rows["segments"]]))
    return {
        "held_out_loss": round(float(held_out_loss), 4),
        "million_tokens": round(steps * config.rows_per_batch * per_row / 1e6, 3),
    }


def check_masked_lm(config: MaskedLMConfig) -> None:
    """Raise UserError for a value that nothing can be pre-trained with."""
    limits = {
        "learning_rate": config.learning_rate > 0,
        "muon_learning_rate": config.muon_learning_rate > 0,
        "rows_per_batch": config.rows_per_batch >= 1,
        "mask_share": 0 < config.mask_share < 1,
        "warmup_steps": config.warmup_steps >= 0,
        "decay": 0 <= config.decay <= 1,
        "weight_decay": config.weight_decay >= 0,
        "saves": config.saves >= 1,
    }
    for key, holds in limits.items():
        if not holds:
            raise UserError(f"pretrain.training.{key}={getattr(config, key)}: out of range.")


def _arguments(config: MaskedLMConfig, steps: int, scratch: Path, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(scratch),
        max_steps=steps,
        per_device_train_batch_size=config.rows_per_batch,
        per_device_eval_batch_size=config.rows_per_batch,
        bf16=bf16_helps(),
        save_strategy="steps",
        save_steps=max(1, steps // config.saves),
        save_total_limit=1,
        logging_steps=50,
        label_names=["original"],
        prediction_loss_only=True,
        remove_unused_columns=False,
        seed=seed,
        data_seed=seed,
        disable_tqdm=not sys.stderr.isatty(),
        report_to=[],
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
    )
