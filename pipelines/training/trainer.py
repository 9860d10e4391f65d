"""Train a classifier with `transformers.Trainer`: masked losses, early stopping, exact resume after a kill."""

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME

from pipelines.artifacts.progress import say
from pipelines.models.losses import partial_label_loss, soft_target_loss
from pipelines.models.predict import probabilities
from pipelines.settings.errors import UserError
from pipelines.training.data import CloakingConfig, check_cloaking
from pipelines.training.optimizer import MuonAdamW
from pipelines.training.targets import unpack, unpack_array


@dataclass
class TrainingConfig:
    """Hyper-parameters of one training run, shared by teacher and student.

    Attributes:
        muon_learning_rate: for the encoder's matrices (see MuonAdamW); null trains everything by Trainer's AdamW, which
            suits encoders that come pre-trained by it.
        warmup: share of all steps with a rising learning rate.
        evaluations_per_epoch: how often validation is scored and a checkpoint for resume is written.
        patience: evaluations without improvement before training stops.
        bf16: null uses it where the processor has it.
        harm_weight: loss weight of one harm, the root having weight 1.
        max_positive_weight: limit of the class-imbalance weight; 1 switches it off.
        token_masking: share of tokens replaced by [MASK] while training.
        context_dropout: share of the parent posts hidden while training, so that a comment is not read off its thread.
        cloaking: cloaked copies added to the training rows.
    """

    learning_rate: float
    muon_learning_rate: float | None
    epochs: float
    batch_size: int
    accumulate: int
    warmup: float
    weight_decay: float
    evaluations_per_epoch: float
    patience: int
    bf16: bool | None
    harm_weight: float
    max_positive_weight: float
    token_masking: float
    context_dropout: float
    cloaking: CloakingConfig


class RowLoss:
    """The training loss over packed targets: hard labels where known, and the teacher's if `soft_share` is above 0."""

    def __init__(
        self,
        positive_weight: NDArray[np.float32],
        harm_weight: float,
        soft_share: float = 0.0,
        temperature: float = 1.0,
    ) -> None:
        self.positive_weight = torch.from_numpy(positive_weight)
        self.label_weight = torch.full_like(self.positive_weight, harm_weight)
        self.label_weight[0] = 1.0
        self.soft_share, self.temperature = soft_share, temperature

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Return the mean over the rows of the whole accumulated batch; Trainer counts `labels` cells, not rows."""
        logits, targets = outputs.logits, unpack(labels)
        weight, positive = self.label_weight.to(logits.device), self.positive_weight.to(logits.device)
        loss = partial_label_loss(logits, targets.truth, targets.any_of, weight, positive)
        if self.soft_share:
            taught = ~torch.isnan(targets.teacher).all(dim=1)
            soft = soft_target_loss(logits, targets.teacher, weight, self.temperature)
            loss = torch.where(taught, (1 - self.soft_share) * loss + self.soft_share * soft, loss)
        rows = len(labels) if num_items_in_batch is None else num_items_in_batch / labels.shape[1]
        return (loss * targets.weight).sum() / rows


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Dataset,
    validation: Dataset,
    loss: RowLoss,
    config: TrainingConfig,
    scratch: Path,
    seed: int,
    name: str,
) -> dict[str, float]:
    """Train `model` in place and leave its best weights in it.

    A run killed half-way continues from the last checkpoint in `scratch` to the bit (same machine, same threads).

    Returns:
        Best validation score, epochs run and final training loss.

    Raises:
        UserError: a value is out of range, there is nothing to train on, or the loss is no longer a number.
    """
    check_training(config, name)
    if not len(train) or not len(validation):
        raise UserError(f"{name}: {len(train)} training and {len(validation)} validation rows; both are needed.")
    muon = config.muon_learning_rate
    optimizer = MuonAdamW(model, config.learning_rate, muon, config.weight_decay) if muon else None
    trainer = Trainer(
        model=model,
        args=_arguments(config, len(train), scratch, seed),
        optimizers=(optimizer, None),
        train_dataset=train,
        eval_dataset=validation,
        data_collator=_Collator(tokenizer, pad_to_multiple_of=8),
        compute_loss_func=loss,
        compute_metrics=validation_score,
        callbacks=[EarlyStoppingCallback(config.patience), LineProgress(name)],
    )
    keep_off_stdout(trainer)
    noise = _Noise(tokenizer, config.token_masking, config.context_dropout)
    hook = model.register_forward_pre_hook(noise, with_kwargs=True)
    trainer.train(resume_from_checkpoint=last_checkpoint(scratch))
    hook.remove()
    return _summary(trainer, name)


def check_training(config: TrainingConfig, name: str) -> None:
    """Raise UserError for a value that nothing can be trained with."""
    limits = {
        "learning_rate": config.learning_rate > 0,
        "muon_learning_rate": config.muon_learning_rate is None or config.muon_learning_rate > 0,
        "epochs": config.epochs > 0,
        "batch_size": config.batch_size >= 1,
        "accumulate": config.accumulate >= 1,
        "warmup": 0 <= config.warmup < 1,
        "weight_decay": config.weight_decay >= 0,
        "evaluations_per_epoch": config.evaluations_per_epoch > 0,
        "patience": config.patience >= 1,
        "harm_weight": config.harm_weight >= 0,
        "max_positive_weight": config.max_positive_weight >= 1,
        "token_masking": 0 <= config.token_masking < 1,
        "context_dropout": 0 <= config.context_dropout <= 1,
    }
    for key, holds in limits.items():
        if not holds:
            raise UserError(f"{name}.training.{key}={getattr(config, key)}: out of range.")
    check_cloaking(config.cloaking, f"{name}.training")


def last_checkpoint(scratch: Path) -> str | None:
    """Return the newest checkpoint in `scratch` that was written to its end, or None."""
    saved = sorted(scratch.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((str(path) for path in saved if _written_to_its_end(path)), None)


def keep_off_stdout(trainer: Trainer) -> None:
    """Take away the callbacks that print there: stdout belongs to the verb's JSON line."""
    trainer.remove_callback(PrinterCallback)
    if not trainer.args.disable_tqdm:
        trainer.remove_callback(ProgressCallback)
        trainer.add_callback(Bar)


def validation_score(prediction: EvalPrediction) -> dict[str, float]:
    """Return the figure that model selection maximises: ROC AUC averaged so that corpora count alike.

    Within a corpus the root counts as much as all its harms together; a label known in one class only takes no part.
    Threshold-free, because thresholds are set after training, by `calibrate`. Raises UserError for scores that are NaN.
    """
    targets = unpack_array(prediction.label_ids)
    scores = probabilities(np.asarray(prediction.predictions, np.float32))
    if np.isnan(scores).any():
        raise UserError("validation: the scores are no longer numbers; lower the learning rate.")
    truth, corpus = targets.truth.numpy(), targets.corpus.numpy()
    found = []
    for index in np.unique(corpus):
        rows = corpus == index
        areas = [_auc(truth[rows, label], scores[rows, label]) for label in range(truth.shape[1])]
        harms = [area for area in areas[1:] if area is not None]
        parts = ([areas[0]] if areas[0] is not None else []) + ([float(np.mean(harms))] if harms else [])
        if parts:
            found.append(float(np.mean(parts)))
    return {"score": float(np.mean(found)) if found else 0.0}


def _auc(truth: NDArray[np.float32], scores: NDArray[np.float32]) -> float | None:
    known = ~np.isnan(truth)
    return float(roc_auc_score(truth[known], scores[known])) if len(np.unique(truth[known])) == 2 else None


def bf16_helps() -> bool:
    """Return whether this machine multiplies bfloat16 natively (CUDA, or a CPU with AVX512-BF16)."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)  # without it bf16 is emulated and slower
    return bool(probe())


def _arguments(config: TrainingConfig, rows: int, scratch: Path, seed: int) -> TrainingArguments:
    steps_per_epoch = math.ceil(rows / (config.batch_size * config.accumulate))
    steps = math.ceil(steps_per_epoch * config.epochs)
    interval = min(steps, max(1, math.ceil(steps_per_epoch / config.evaluations_per_epoch)))
    return TrainingArguments(
        output_dir=str(scratch),
        learning_rate=config.learning_rate,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=128,
        gradient_accumulation_steps=config.accumulate,
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        bf16=bf16_helps() if config.bf16 is None else config.bf16,
        train_sampling_strategy="group_by_length",
        length_column_name="length",
        eval_strategy="steps",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="score",
        greater_is_better=True,
        restore_callback_states_from_checkpoint=True,  # or a resumed run would count its patience anew
        logging_steps=min(50, interval),
        logging_nan_inf_filter=False,  # a loss that is no number must be seen
        seed=seed,
        data_seed=seed,
        disable_tqdm=not sys.stderr.isatty(),
        report_to=[],
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
    )


def _summary(trainer: Trainer, name: str) -> dict[str, float]:
    history: Sequence[dict[str, Any]] = trainer.state.log_history
    losses = [entry["loss"] for entry in history if "loss" in entry]
    if not losses or not math.isfinite(losses[-1]):
        raise UserError(f"{name}: the training loss is {losses[-1] if losses else 'missing'}; lower the learning rate.")
    return {
        "validation_score": float(trainer.state.best_metric or 0.0),
        "epochs": round(float(trainer.state.epoch or 0.0), 3),
        "loss": float(losses[-1]),
    }


def _written_to_its_end(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))  # the last file that Trainer writes
    except (OSError, ValueError):
        return False
    return True


class _Collator(DataCollatorWithPadding):
    """Pad a batch to a multiple of 8 tokens and stack its packed targets."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return `input_ids`, `attention_mask` int64 `[b, s]` and `labels` float32."""
        labels = torch.tensor(np.stack([np.asarray(feature["labels"], np.float32) for feature in features]))
        batch = super().__call__([{"input_ids": feature["input_ids"]} for feature in features])
        return {**batch, "labels": labels}


class _Noise:
    """A forward hook that hides some tokens and some contexts while training only: cheap augmentation."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, token_share: float, context_share: float) -> None:
        self.token_share, self.context_share = token_share, context_share
        self.mask, self.end = tokenizer.mask_token_id, tokenizer.sep_token_id
        self.kept = torch.tensor(sorted(tokenizer.all_special_ids))

    def __call__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the arguments of `forward` with some `input_ids` masked and some contexts out of attention."""
        if not model.training:
            return args, kwargs
        ids = kwargs["input_ids"]
        changed = dict(kwargs)
        if self.token_share:
            chosen = torch.rand(ids.shape, device=ids.device) < self.token_share
            chosen &= ~torch.isin(ids, self.kept.to(ids.device))
            changed["input_ids"] = ids.masked_fill(chosen, self.mask)
        if self.context_share:
            ended = (ids == self.end).cumsum(dim=1)
            context = (ended > 0) & ~((ids == self.end) & (ended == 1))  # what follows the first [SEP]: the parent post
            hidden = torch.rand(len(ids), 1, device=ids.device) < self.context_share
            changed["attention_mask"] = kwargs["attention_mask"] * ~(context & hidden)
        return args, changed


class Bar(ProgressCallback):
    """Trainer's own bar for terminals, minus its log lines, which would go to stdout."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Say what validation gave, above the bar."""
        score = kwargs["logs"].get("eval_score")
        if score is not None and self.training_bar is not None:
            self.training_bar.write(f"epoch {state.epoch:.2f}, validation score {score:.4f}", file=sys.stderr)


class LineProgress(TrainerCallback):
    """Plain progress lines with an ETA where there is no terminal to draw a bar on."""

    def __init__(self, name: str, seconds: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.seconds, self.clock = name, seconds, clock
        self.start = self.last = clock()
        self.first_step = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock; a resumed run counts from the step it resumes at."""
        self.start = self.last = self.clock()
        self.first_step = state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Say where training is, at most every few seconds."""
        now = self.clock()
        if not (args.disable_tqdm and state.is_world_process_zero) or now - self.last < self.seconds:
            return
        self.last = now
        done = state.global_step - self.first_step
        left = (now - self.start) / done * (state.max_steps - state.global_step)
        say(f"{self.name}: step {state.global_step}/{state.max_steps}, at most {left:.0f} s left")

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Say what validation gave."""
        score = kwargs.get("metrics", {}).get("eval_score")
        if args.disable_tqdm and score is not None:
            say(f"{self.name}: epoch {state.epoch:.2f}, validation score {score:.4f}")
