import math
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_data import FILLER, make_config, make_taxonomy, make_texts, same_weights
from transformers import (
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from pipelines.models.encoder import build_classifier
from pipelines.models.predict import predict_logits
from pipelines.models.tokenizer import encode, learn_tokenizer
from pipelines.settings.errors import UserError
from pipelines.training.targets import pack
from pipelines.training.trainer import LineProgress, RowLoss, TrainingConfig, _Collator, fit, validation_score

LABELS = len(make_taxonomy().labels)
TEXTS = make_texts(96)


class Killed(BaseException):
    """Ends a run as abruptly as an exception can."""


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return learn_tokenizer([FILLER, *TEXTS], make_config().encoder.tokenizer, 32)


def rows(tokenizer: PreTrainedTokenizerFast, texts: list[str], shift: int = 0) -> Dataset:
    """Return rows whose root and first harm say whether the text has a bad mark; the other labels are unknown."""
    truth = np.full((len(texts), LABELS), np.nan, np.float32)
    truth[:, :2] = np.array([(index + shift) % 2 for index in range(len(texts))])[:, None]
    ids = encode(tokenizer, texts)
    packed = pack(
        truth, np.zeros_like(truth, bool), None, np.ones(len(texts), np.float32), np.zeros(len(texts), np.int64)
    )
    return Dataset.from_dict(
        {"input_ids": ids, "length": [len(row) for row in ids], "labels": list(packed)}
    ).with_format("numpy")


def settings(**changes: Any) -> TrainingConfig:
    return replace(make_config().finetune.training, **{"patience": 9, "muon_learning_rate": None, **changes})


def train(
    tokenizer: PreTrainedTokenizerFast, scratch: Path, config: TrainingConfig, hook: Any = None
) -> tuple[PreTrainedModel, dict[str, float]]:
    """Train a fresh tiny classifier; `hook` runs before every forward pass."""
    model = build_classifier(make_config().encoder, tokenizer, make_taxonomy(), seed=1)
    if hook:
        model.register_forward_pre_hook(hook, with_kwargs=True)
    loss = RowLoss(np.ones(LABELS, np.float32), harm_weight=0.5)
    summary = fit(
        model, tokenizer, rows(tokenizer, TEXTS[:64]), rows(tokenizer, TEXTS[64:]), loss, config, scratch, 11, "toy"
    )
    return model, summary


def killer(after: int) -> Any:
    """Return a hook that ends the run in the forward pass of training step `after` + 1."""
    steps = iter(range(10_000))

    def hook(model: PreTrainedModel, args: Any, kwargs: Any) -> None:
        if model.training and next(steps) == after:
            raise Killed

    return hook


def test_a_separable_task_is_learnt_silently(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, summary = train(tokenizer, tmp_path, settings(epochs=12, learning_rate=3e-3))
    assert summary["validation_score"] > 0.95
    assert summary["epochs"] == 12
    assert 0 < summary["loss"] < 0.9
    logits = predict_logits(model, tokenizer, TEXTS[64:])
    flagged = logits[:, 0] > np.median(logits[:, 0])  # where to cut is for calibration to say
    assert (flagged == np.arange(32) % 2).mean() > 0.9
    output = capfd.readouterr()
    assert output.out == ""
    assert "validation score" in output.err


@pytest.mark.parametrize("patience", [9, 2])
def test_a_killed_run_continues_to_the_bit(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, patience: int) -> None:
    # a learning rate of nearly nothing never improves: with patience 2 the uninterrupted run stops early
    rate = {9: 1e-3, 2: 1e-12}[patience]
    config = settings(epochs=4, evaluations_per_epoch=2, patience=patience, learning_rate=rate)
    whole, summary = train(tokenizer, tmp_path / "whole", config)
    with pytest.raises(Killed):
        train(tokenizer, tmp_path / "killed", config, killer(after=10))  # of 8 steps per epoch; saved at 4 and 8
    assert (tmp_path / "killed" / "checkpoint-8").is_dir()
    seen: list[bool] = []
    resumed, again = train(tokenizer, tmp_path / "killed", config, lambda model, *_: seen.append(model.training))
    assert again == summary
    assert sum(seen) == round(summary["epochs"] * 8) - 8
    assert same_weights(whole, resumed)


def test_a_torn_checkpoint_is_passed_over(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    config = settings(epochs=3, evaluations_per_epoch=2)
    whole, _ = train(tokenizer, tmp_path / "whole", config)
    with pytest.raises(Killed):
        train(tokenizer, tmp_path / "killed", config, killer(after=10))
    (tmp_path / "killed" / "checkpoint-8" / "trainer_state.json").unlink()  # written last: killed while it was saving
    resumed, _ = train(tokenizer, tmp_path / "killed", config)
    assert same_weights(whole, resumed)


def test_a_run_killed_after_its_last_step_only_finishes(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    config = settings(epochs=2)
    whole, summary = train(tokenizer, tmp_path, config)
    resumed, again = train(tokenizer, tmp_path, config, killer(after=0))
    assert again == summary
    assert same_weights(whole, resumed)


@pytest.mark.slow
def test_a_process_killed_by_the_system_continues_to_the_bit(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    config = settings(epochs=3, evaluations_per_epoch=2, learning_rate=1e-3, muon_learning_rate=1e-3)
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        import torch
        import test_trainer as own
        torch.set_num_threads(int(sys.argv[2]))
        steps = iter(range(99))
        def hook(model, args, kwargs):
            if model.training and next(steps) == 10:
                os.kill(os.getpid(), signal.SIGKILL)
        tokenizer = own.learn_tokenizer([own.FILLER, *own.TEXTS], own.make_config().encoder.tokenizer, 32)
        config = own.settings(epochs=3, evaluations_per_epoch=2, learning_rate=1e-3, muon_learning_rate=1e-3)
        own.train(tokenizer, Path(sys.argv[1]), config, hook)
        """
    )
    here = Path(__file__).resolve()
    path = os.pathsep.join([str(here.parent), str(here.parents[1]), str(here.parents[2])])
    command = [sys.executable, "-c", script, str(tmp_path / "killed"), str(torch.get_num_threads())]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed, _ = train(tokenizer, tmp_path / "killed", config)
    whole, _ = train(tokenizer, tmp_path / "whole", config)
    assert same_weights(whole, resumed)


def test_the_best_weights_are_kept_and_training_stops_early(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    config = settings(epochs=30, learning_rate=1e-12, patience=2)
    _, summary = train(tokenizer, tmp_path, config)
    assert summary["epochs"] == 3  # one evaluation that is the best so far, two that are not better
    assert {path.name for path in tmp_path.glob("checkpoint-*")} >= {"checkpoint-8"}


@pytest.mark.parametrize(("flag", "expected"), [(True, {True}), (False, {False})])
def test_bf16_follows_its_flag(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, flag: bool, expected: set[bool]
) -> None:
    seen = set()

    def watch(model: PreTrainedModel, *_: Any) -> None:  # autocast begins inside the classifier's own forward pass
        model.bert.encoder.register_forward_pre_hook(lambda *_: seen.add(torch.is_autocast_enabled("cpu")))

    model, summary = train(tokenizer, tmp_path, settings(epochs=1, bf16=flag), watch)
    assert seen == expected
    assert math.isfinite(summary["loss"])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_tokens_are_hidden_while_training_only(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    hidden: dict[bool, int] = {True: 0, False: 0}
    words: dict[bool, int] = {True: 0, False: 0}
    torn = []
    model = build_classifier(make_config().encoder, tokenizer, make_taxonomy(), seed=1)

    def count(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        (ids,) = args
        hidden[model.training] += int((ids == tokenizer.mask_token_id).sum())
        words[model.training] += int((ids > tokenizer.mask_token_id).sum())
        torn.append(bool((ids[:, 0] != tokenizer.cls_token_id).any()))

    model.get_input_embeddings().register_forward_pre_hook(count)
    loss = RowLoss(np.ones(LABELS, np.float32), harm_weight=0.5)
    config = settings(epochs=2, token_masking=0.3)
    fit(model, tokenizer, rows(tokenizer, TEXTS[:64]), rows(tokenizer, TEXTS[64:]), loss, config, tmp_path, 11, "toy")
    assert hidden[True] / (hidden[True] + words[True]) == pytest.approx(0.3, abs=0.05)
    assert hidden[False] == 0
    assert words[False] > 0
    assert not any(torn)
    before = hidden[True]
    model.train()(torch.tensor(encode(tokenizer, TEXTS[:1])))
    assert hidden[True] == before  # nothing of it stays in the model


@pytest.mark.parametrize(
    "batch",
    [{"batch_size": 8, "accumulate": 1}, {"batch_size": 4, "accumulate": 2}, {"batch_size": 3, "accumulate": 3}],
)
def test_accumulated_gradients_are_those_of_one_batch(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, batch: dict[str, int]
) -> None:
    random = np.random.default_rng(0)
    truth = random.choice(np.array([0, 1, np.nan], np.float32), size=(8, LABELS))
    teacher = random.normal(size=truth.shape).astype(np.float32)
    teacher[:4] = np.nan
    weight = random.random(8).astype(np.float32)
    packed = pack(truth, random.random(truth.shape) < 0.2, teacher, weight, np.zeros(8, np.int64))
    data = Dataset.from_dict({"input_ids": encode(tokenizer, TEXTS[:8]), "labels": list(packed)}).with_format("numpy")
    model = build_classifier(replace(make_config().encoder, dropout=0.0), tokenizer, make_taxonomy(), seed=1)
    loss = RowLoss(np.full(LABELS, 2.0, np.float32), harm_weight=0.25, soft_share=0.4, temperature=2.0)
    collator = _Collator(tokenizer, pad_to_multiple_of=8)
    whole = collator(list(data))
    labels = whole.pop("labels")
    loss(model(**whole), labels).backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    found = {}

    class Watch(TrainerCallback):
        def on_pre_optimizer_step(self, *args: Any, model: PreTrainedModel, **_: Any) -> None:
            found.update({name: parameter.grad.clone() for name, parameter in model.named_parameters()})

    arguments = TrainingArguments(
        str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=batch["batch_size"],
        gradient_accumulation_steps=batch["accumulate"],
        max_grad_norm=0.0,
        save_strategy="no",
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    Trainer(
        model, arguments, train_dataset=data, data_collator=collator, compute_loss_func=loss, callbacks=[Watch()]
    ).train()
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)


def test_fit_reports_the_same_loss_however_the_batch_is_cut(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    losses = []
    for number, (batch, accumulate) in enumerate([(64, 1), (16, 4)]):
        config = settings(epochs=1, batch_size=batch, accumulate=accumulate, token_masking=0.0)
        loss = RowLoss(np.ones(LABELS, np.float32), harm_weight=0.5)
        model = build_classifier(replace(make_config().encoder, dropout=0.0), tokenizer, make_taxonomy(), seed=1)
        data = rows(tokenizer, TEXTS[:64])
        losses.append(fit(model, tokenizer, data, data, loss, config, tmp_path / str(number), 11, "toy")["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_row_loss_weighs_rows_labels_and_the_teacher() -> None:
    truth = np.full((2, LABELS), np.nan, np.float32)
    truth[0, :2] = 1
    teacher = np.full_like(truth, np.nan)
    teacher[1, 0] = math.log(3)
    packed = pack(truth, np.zeros_like(truth, bool), teacher, np.array([1.0, 2.0], np.float32), np.zeros(2, np.int64))
    outputs = SequenceClassifierOutput(logits=torch.zeros(2, LABELS))
    loss = RowLoss(np.ones(LABELS, np.float32), harm_weight=0.25, soft_share=0.5)
    # row 1 has no teacher and keeps its whole hard loss; row 2 knows the teacher's root alone
    expected = (1.25 * math.log(2) + 2 * 0.5 * math.log(2)) / 2
    assert float(loss(outputs, torch.from_numpy(packed))) == pytest.approx(expected)
    assert float(loss(outputs, torch.from_numpy(packed), num_items_in_batch=4 * packed.shape[1])) == pytest.approx(
        expected / 2
    )


@pytest.mark.parametrize(("first", "second"), [(0, 32), (64, 0)])
def test_no_rows_are_refused(tokenizer: PreTrainedTokenizerFast, tmp_path: Path, first: int, second: int) -> None:
    model = build_classifier(make_config().encoder, tokenizer, make_taxonomy(), seed=1)
    loss = RowLoss(np.ones(LABELS, np.float32), harm_weight=0.5)
    data = rows(tokenizer, TEXTS)
    with pytest.raises(UserError, match=f"{first} training and {second} validation rows"):
        fit(
            model,
            tokenizer,
            data.select(range(first)),
            data.select(range(second)),
            loss,
            settings(),
            tmp_path,
            11,
            "toy",
        )


def test_less_than_one_epoch_still_has_a_loss_and_a_score(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    _, summary = train(tokenizer, tmp_path, settings(epochs=0.5))
    assert 0 < summary["loss"] < 10
    assert summary["validation_score"] > 0


def test_a_loss_that_is_no_number_is_explained(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="learning rate"):
        train(tokenizer, tmp_path, settings(learning_rate=1e30, warmup=0.0, epochs=2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0.0},
        {"batch_size": 0},
        {"accumulate": 0},
        {"evaluations_per_epoch": 0.0},
        {"learning_rate": 0.0},
        {"token_masking": 1.5},
        {"warmup": -0.1},
        {"patience": 0},
        {"max_positive_weight": 0.5},
        {"harm_weight": -1.0},
    ],
)
def test_values_out_of_range_are_named(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, wrong: dict[str, float]
) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        train(tokenizer, tmp_path, settings(**wrong))


def prediction(truth: list[list[float]], logits: list[list[float]], corpus: list[int]) -> EvalPrediction:
    known = np.array(truth, np.float32)
    packed = pack(known, np.zeros_like(known, bool), None, np.ones(len(known), np.float32), np.array(corpus))
    return EvalPrediction(np.array(logits, np.float32), packed)


def test_model_selection_counts_corpora_and_the_root_alike() -> None:
    nan = math.nan
    # corpus 0: root 1.0, harms 1.0 and 0.0 → (1 + 0.5) / 2; corpus 1: root 0.0, second harm known in one class only
    truth = [[1, 1, 0], [0, 0, 1], [1, nan, 0], [0, nan, 0], [nan, nan, nan]]
    logits = [[3, 2, 1], [-3, -2, -1], [-5, -5, -5], [5, -5, -5], [0, 0, 0]]
    assert validation_score(prediction(truth, logits, [0, 0, 1, 1, 2])) == {"score": pytest.approx((0.75 + 0.0) / 2)}
    assert validation_score(prediction([[nan] * 3], [[0.0] * 3], [0])) == {"score": 0.0}


def test_progress_lines_say_how_much_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 0.0, 1.0, 2.0, 12.0])
    progress = LineProgress("toy", clock=lambda: next(clock))
    arguments = TrainingArguments(disable_tqdm=True, use_cpu=True, report_to=[])
    state, control = type("State", (), {"global_step": 40, "max_steps": 100, "is_world_process_zero": True})(), None
    progress.on_train_begin(arguments, state, control)
    for step in (41, 42, 50):
        state.global_step = step
        progress.on_step_end(arguments, state, control)
    output = capsys.readouterr()
    assert output.err == "toy: step 50/100, at most 60 s left\n"
    assert output.out == ""


def test_on_a_terminal_too_stdout_stays_empty(
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    train(tokenizer, tmp_path, settings(epochs=1))
    output = capsys.readouterr()
    assert output.out == ""
    assert "epoch 1.00, validation score" in output.err
    assert "8/8" in output.err
