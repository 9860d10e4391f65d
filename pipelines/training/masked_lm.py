"""Masked-language-model pre-training of our own sizes: packed rows, loss on masked positions only, exact resume."""

import math
import os
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import (
    AutoConfig,
    AutoTokenizer,
    BertForMaskedLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    get_scheduler,
)

from pipelines.artifacts.progress import say
from pipelines.models.encoder import check_loaded, loading
from pipelines.models.folded import confusions
from pipelines.settings.errors import UserError
from pipelines.training.optimizer import MuonAdamW
from pipelines.training.packing import EMPTY
from pipelines.training.trainer import LineProgress, bf16_helps, keep_off_stdout, last_checkpoint

_KEPT = 0.08  # share of the tokens to predict that stay as they are
_CONFUSIONS = 16  # alternatives kept per token


@dataclass
class MaskedLMConfig:
    """Hyper-parameters of pre-training.

    Attributes:
        rows_per_batch: packed rows of the encoder's max_length tokens.
        mask_share: share of tokens to predict.
        replace_share: share of those that stand as another token, one that sounds or looks alike where there is one,
            instead of as [MASK]; 8 % more stay as they are.
        span: mean length of the runs of tokens that are hidden together; 1 hides single tokens.
        decay: share of all steps over which the learning rate falls to 0, at the end (warm-up, plateau, decay).
        muon_learning_rate: for the encoder's matrices; everything else is trained by AdamW at learning_rate.
        saves: how many checkpoints to resume from are written over the run, at least.
        save_minutes: no more than this time is lost to a kill.
        processes: processes that share every batch (data parallel). On processors several of one thread each are faster
            than one of several threads; on GPUs, one each.
        peak_tflops: what the device can do, to log the model FLOPs utilisation (MFU); null leaves it out.
    """

    learning_rate: float
    muon_learning_rate: float
    rows_per_batch: int
    mask_share: float
    replace_share: float
    span: float
    warmup_steps: int
    decay: float
    weight_decay: float
    saves: int
    save_minutes: float
    processes: int
    peak_tflops: float | None


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
        masked = original != EMPTY
        with parametrize.cached():  # rows that are shared while learning are summed up once
            hidden = self.bert(input_ids, attention_mask=visible, position_ids=position_ids).last_hidden_state
            head = self.cls.predictions
            embeddings = self.bert.embeddings.word_embeddings.weight
            logits = nn.functional.linear(head.transform(hidden[masked]), embeddings, head.bias)
        total = nn.functional.cross_entropy(logits.float(), original[masked], reduction="sum")
        return {"loss": total / masked.sum().clamp(min=1)}


def load_masked_lm(source: str, max_length: int | None) -> tuple[PackedMaskedLM, PreTrainedTokenizerFast]:
    """Load a BERT and its tokenizer to train it further; a masked-language-model head that it lacks starts fresh.

    Raises:
        UserError: it can't be loaded, it is no BERT, or its weights, configuration and tokenizer don't belong together.
    """
    with loading(source) as place:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        if AutoConfig.from_pretrained(place, trust_remote_code=False).model_type != "bert":
            raise UserError(f"encoder.source={source}: only BERT encoders can be pre-trained further.")
        model, report = PackedMaskedLM.from_pretrained(
            place, use_safetensors=True, output_loading_info=True, dtype=torch.float32
        )
    check_loaded(source, model, tokenizer, report)
    if max_length is not None:
        tokenizer.model_max_length = min(max_length, model.config.max_position_embeddings)
    return model, tokenizer


class MaskingCollator:
    """Choose the tokens to predict: most become [MASK], some a token that sounds or looks alike, 8 % stay.

    BERT's scheme with confusable instead of random tokens ("MacBERT", Cui et al., 2020, has synonyms): the encoder
    learns to read what was written in disguise. The choice is seeded by the batch's own tokens: batches are fetched
    ahead of the step that reads them, so draws from the global generator would not be the same again after a resume.
    Shuffling makes new batches, so new choices, every epoch.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, share: float, replace_share: float = 0.07, span: float = 1.0
    ) -> None:
        self.share, self.replace_share, self.span = share, replace_share, span
        self.mask = tokenizer.mask_token_id
        self.confusions = confusions(tokenizer, len(tokenizer), _CONFUSIONS, seed=0)
        self.special = torch.tensor(sorted(tokenizer.all_special_ids))

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return int64 tensors `[b, s]`: input_ids, segments, position_ids, original."""
        batch = {
            name: torch.from_numpy(np.stack([np.asarray(row[name], np.int64) for row in rows]))
            for name in ("input_ids", "segments", "position_ids")
        }
        ids = batch["input_ids"]
        own = torch.Generator().manual_seed(zlib.crc32(ids.numpy().tobytes()))
        chosen = self._spans(ids.shape, own) & ~torch.isin(ids, self.special)
        fate = torch.rand(ids.shape, generator=own)
        other = self.confusions[ids, torch.randint(_CONFUSIONS, ids.shape, generator=own)]
        replaced = torch.where(fate < 1 - _KEPT - self.replace_share, self.mask, other)
        batch["original"] = torch.where(chosen, ids, EMPTY)
        batch["input_ids"] = torch.where(chosen & (fate < 1 - _KEPT), replaced, ids)
        return batch

    def _spans(self, shape: torch.Size, own: torch.Generator) -> Tensor:
        """Return bool `[b, s]`: runs of geometric length that together cover `share` of the positions.

        A position is hidden when a run starts there or a hidden one before it goes on: a two-state Markov chain whose
        stationary share of hidden positions is `share` (span masking as in Joshi et al., "SpanBERT", 2020).
        """
        stop = 1 / self.span
        start = self.share * stop / (1 - self.share)
        draws = torch.rand(shape, generator=own)
        if self.span == 1:
            return draws < self.share
        hidden = torch.zeros(shape, dtype=torch.bool)
        hidden[:, 0] = draws[:, 0] < self.share
        for at in range(1, shape[1]):
            hidden[:, at] = torch.where(hidden[:, at - 1], draws[:, at] >= stop, draws[:, at] < start)
        return hidden


def train_masked_lm(
    model: PackedMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    held_out: Dataset,
    million_tokens: float,
    config: MaskedLMConfig,
    scratch: Path,
    seed: int,
) -> dict[str, float]:
    """Train `model` in place, continuing from the last checkpoint in `scratch`; return held-out loss and tokens seen.

    Under a process group every process calls this with the same arguments and takes its part of each batch.

    Raises:
        UserError: a value is out of range.
    """
    check_masked_lm(config)
    per_row = _tokens_per_row(rows)
    steps = max(1, math.ceil(million_tokens * 1e6 / (config.rows_per_batch * per_row)))
    optimizer = MuonAdamW(model, config.learning_rate, config.muon_learning_rate, config.weight_decay)
    schedule = get_scheduler(
        "warmup_stable_decay",
        optimizer,
        num_warmup_steps=min(config.warmup_steps, steps // 4),
        num_training_steps=steps,
        scheduler_specific_kwargs={"num_decay_steps": int(config.decay * steps), "min_lr_ratio": 0.02},
    )
    speed = TokenRate(config.rows_per_batch * per_row, _flops_per_token(model, config), config.peak_tflops)
    trainer = Trainer(
        model=model,
        args=_arguments(config, steps, scratch, seed),
        train_dataset=rows,
        eval_dataset=held_out,
        data_collator=MaskingCollator(tokenizer, config.mask_share, config.replace_share, config.span),
        optimizers=(optimizer, schedule),
        callbacks=[LineProgress("pretrain"), SaveByTime(config.save_minutes), speed],
    )
    keep_off_stdout(trainer)
    trainer.train(resume_from_checkpoint=last_checkpoint(scratch))
    held_out_loss = trainer.evaluate()["eval_loss"]
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
        "replace_share": 0 <= config.replace_share <= 1 - _KEPT,
        "span": config.span >= 1,
        "warmup_steps": config.warmup_steps >= 0,
        "decay": 0 <= config.decay <= 1,
        "weight_decay": config.weight_decay >= 0,
        "saves": config.saves >= 1,
        "save_minutes": config.save_minutes > 0,
        "processes": config.processes >= 1 and config.rows_per_batch % config.processes == 0,
        "peak_tflops": config.peak_tflops is None or config.peak_tflops > 0,
    }
    for key, holds in limits.items():
        if not holds:
            raise UserError(f"pretrain.training.{key}={getattr(config, key)}: out of range.")


class SaveByTime(TrainerCallback):
    """Ask for a checkpoint whenever `minutes` have passed since the last one."""

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock = 60 * minutes, clock
        self.last = clock()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Decide after every step; the first process decides for all, whose clocks may differ."""
        due = torch.tensor(float(self.clock() - self.last >= self.seconds))
        if torch.distributed.is_initialized():
            due = due.to(args.device)
            torch.distributed.broadcast(due, 0)
        control.should_save = control.should_save or bool(due)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Count from the checkpoint just written."""
        self.last = self.clock()


class TokenRate(TrainerCallback):
    """Say loss and tokens per second whenever Trainer logs, and the model FLOPs utilisation where the peak is known.

    MFU: Chowdhery et al., "PaLM", 2022, appendix B: what the model's matrices need over what the device could do.
    """

    def __init__(self, tokens_per_step: float, flops_per_token: float, peak_tflops: float | None) -> None:
        self.tokens_per_step, self.flops_per_token, self.peak = tokens_per_step, flops_per_token, peak_tflops
        self.step, self.time = 0, time.monotonic()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock."""
        self.step, self.time = state.global_step, time.monotonic()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Say what was reached since the last time."""
        loss, now = kwargs["logs"].get("loss"), time.monotonic()
        if loss is None or state.global_step == self.step:
            return
        rate = (state.global_step - self.step) * self.tokens_per_step / (now - self.time)
        self.step, self.time = state.global_step, now
        used = f", MFU {rate * self.flops_per_token / self.peak / 1e12:.1%}" if self.peak else ""
        if state.is_world_process_zero:
            say(f"pretrain: step {state.global_step}, loss {loss:.3f}, {rate:.0f} tokens/s{used}")


def _tokens_per_row(rows: Dataset) -> float:
    """Return how many tokens of a row are not padding, from a thousand rows."""
    some = rows.select(range(0, len(rows), max(1, len(rows) // 1000)))
    return float(np.mean([(np.asarray(row) != EMPTY).sum() for row in some["segments"]]))


def _flops_per_token(model: PackedMaskedLM, config: MaskedLMConfig) -> float:
    """Return floating-point operations of one token, forward and backward: 6 per weight used, and attention."""
    size = model.config
    layers = sum(p.numel() for name, p in model.named_parameters() if "encoder.layer" in name)
    head = config.mask_share * size.hidden_size * (size.vocab_size + size.hidden_size)
    attention = 2 * size.num_hidden_layers * size.hidden_size * size.max_position_embeddings
    return 6 * (layers + head + attention)


def _sharing() -> dict[str, Any]:
    """Return what Trainer must know where several processes train together."""
    if "WORLD_SIZE" not in os.environ:
        return {}
    return {"ddp_backend": "nccl" if torch.cuda.is_available() else "gloo", "ddp_find_unused_parameters": False}


def _arguments(config: MaskedLMConfig, steps: int, scratch: Path, seed: int) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(scratch),
        max_steps=steps,
        per_device_train_batch_size=config.rows_per_batch // config.processes,
        per_device_eval_batch_size=config.rows_per_batch,
        **_sharing(),
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
