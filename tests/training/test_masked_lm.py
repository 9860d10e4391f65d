import copy
import math
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_data import FILLER, make_config, make_texts, same_weights
from transformers import PreTrainedTokenizerFast, TrainerControl, TrainerState, TrainingArguments

from pipelines import pretrain
from pipelines.models.encoder import bert_config
from pipelines.models.folded import looks_like, sounds_like
from pipelines.models.initialise import look_at_neighbours
from pipelines.models.tokenizer import learn_tokenizer, save_tokenizer
from pipelines.settings.errors import UserError
from pipelines.training.launch import in_processes
from pipelines.training.masked_lm import (
    MaskedLMConfig,
    MaskingCollator,
    PackedMaskedLM,
    SaveByTime,
    train_masked_lm,
)
from pipelines.training.optimizer import MuonAdamW
from pipelines.training.packing import EMPTY, pack, pieces


class Killed(BaseException):
    """Ends a run as abruptly as an exception can."""


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    config = make_config().encoder
    return learn_tokenizer([FILLER, *make_texts(60)], config.tokenizer, config.max_length)


def rows(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Dataset:
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    parts = pieces(ids, 32, tokenizer.cls_token_id, tokenizer.sep_token_id)
    with TemporaryDirectory() as folder:
        packed = pack(parts, 32, tokenizer.pad_token_id, Path(folder) / "rows.arrow")
        return Dataset.from_dict(packed[:], features=packed.features)


def new_model(tokenizer: PreTrainedTokenizerFast, dropout: float = 0.1) -> PackedMaskedLM:
    torch.manual_seed(4)
    return PackedMaskedLM(bert_config(make_config().encoder, tokenizer, dropout))


def settings(**changes: Any) -> MaskedLMConfig:
    return replace(make_config().pretrain.training, **changes)


def train(
    tokenizer: PreTrainedTokenizerFast, scratch: Path, config: MaskedLMConfig, tokens: float = 0.00175, hook: Any = None
) -> tuple[PackedMaskedLM, dict[str, float]]:
    model = new_model(tokenizer)
    if hook:
        model.register_forward_pre_hook(hook)
    texts = make_texts(60)
    return model, train_masked_lm(
        model, tokenizer, rows(tokenizer, texts[:48]), rows(tokenizer, texts[48:]), tokens, config, scratch, 7
    )


def test_a_killed_run_continues_to_the_bit(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = settings(saves=4)
    all_steps: list[bool] = []
    whole, summary = train(
        tokenizer, tmp_path / "whole", config, hook=lambda model, _: all_steps.append(model.training)
    )
    steps = iter(range(99))

    def kill(model: PackedMaskedLM, _: Any) -> None:
        if model.training and next(steps) == 10:  # two steps after the second checkpoint, in the middle of an epoch
            raise Killed

    with pytest.raises(Killed):
        train(tokenizer, tmp_path / "killed", config, hook=kill)
    assert [path.name for path in (tmp_path / "killed").glob("checkpoint-*")] == ["checkpoint-8"]
    seen: list[bool] = []
    resumed, again = train(tokenizer, tmp_path / "killed", config, hook=lambda model, _: seen.append(model.training))
    assert sum(seen) == sum(all_steps) - 8
    assert again == summary
    assert same_weights(whole, resumed)
    assert capfd.readouterr().out == ""


def test_training_lowers_the_held_out_loss(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    texts = [
        (FILLER[start:] + FILLER[:start])[:20] for start in range(len(FILLER))
    ] * 2  # every character has one successor
    data, held_out = rows(tokenizer, texts[:40]), rows(tokenizer, texts[40:])
    losses = []
    for million_tokens in (0.0001, 0.01):
        summary = train_masked_lm(
            new_model(tokenizer),
            tokenizer,
            data,
            held_out,
            million_tokens,
            settings(),
            tmp_path / str(million_tokens),
            7,
        )
        losses.append(summary["held_out_loss"])
    assert losses[1] < losses[0] - 0.3
    assert summary["million_tokens"] > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"saves": 0},
        {"mask_share": 0.0},
        {"rows_per_batch": 0},
        {"learning_rate": 0.0},
        {"decay": 1.5},
        {"span": 0.5},
        {"processes": 3},
    ],
)
def test_values_out_of_range_are_named(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, wrong: dict[str, float]
) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        train(tokenizer, tmp_path, settings(**wrong))


def test_a_batch_with_nothing_to_predict_costs_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    data = rows(tokenizer, make_texts(4))
    batch = MaskingCollator(tokenizer, share=0.0)(list(data.with_format("numpy")))
    model = new_model(tokenizer)
    loss = model(**batch)["loss"]
    loss.backward()
    assert loss.item() == 0.0
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_the_loss_is_the_cross_entropy_of_the_hidden_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_model(tokenizer).eval()
    data = rows(tokenizer, make_texts(6))
    batch = MaskingCollator(tokenizer, share=0.3)(list(data.with_format("numpy")))
    visible = batch["segments"][:, None, :, None] == batch["segments"][:, None, None, :]
    with torch.no_grad():
        hidden = model.bert(
            batch["input_ids"], attention_mask=visible, position_ids=batch["position_ids"]
        ).last_hidden_state
        chosen = model.cls(hidden).log_softmax(-1)
        wanted = batch["original"] != EMPTY
        expected = -chosen[wanted].gather(1, batch["original"][wanted][:, None]).mean()
        assert model(**batch)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_masking_spares_special_tokens_and_follows_its_shares(tokenizer: PreTrainedTokenizerFast) -> None:
    data = list(rows(tokenizer, make_texts(60) * 20).with_format("numpy"))
    batch = MaskingCollator(tokenizer, share=0.25)(data)
    ids = torch.tensor([list(row["input_ids"]) for row in data])
    chosen, special = batch["original"] != EMPTY, ids <= tokenizer.mask_token_id
    assert not (chosen & special).any()
    assert torch.equal(batch["original"][chosen], ids[chosen])
    assert torch.equal(batch["input_ids"][~chosen], ids[~chosen])
    assert chosen.sum().item() / (~special).sum().item() == pytest.approx(0.25, abs=0.02)
    shown = batch["input_ids"][chosen]
    assert (shown == tokenizer.mask_token_id).float().mean().item() == pytest.approx(0.85, abs=0.03)
    assert (shown >= len(tokenizer.all_special_ids))[shown != tokenizer.mask_token_id].all()


def test_every_parameter_has_one_optimizer(tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_model(tokenizer)
    optimizer = MuonAdamW(model, 1e-3, 1e-2, 0.01)
    owned = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(owned) == len({id(parameter) for parameter in owned})
    assert {id(parameter) for parameter in owned} == {id(parameter) for parameter in model.parameters()}
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    model(**MaskingCollator(tokenizer, 0.5)(list(rows(tokenizer, make_texts(20)).with_format("numpy"))))[
        "loss"
    ].backward()
    optimizer.step()
    still = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert all("token_type" in name or "key.bias" in name for name in still)  # no gradient reaches a key's bias
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_optimizer_restored_from_its_state_steps_alike(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(0)
    batches = [
        MaskingCollator(tokenizer, 0.5)(list(rows(tokenizer, make_texts(8, seed)).with_format("numpy")))
        for seed in range(4)
    ]

    def step(model: PackedMaskedLM, optimizer: MuonAdamW, batch: dict[str, torch.Tensor]) -> None:
        optimizer.zero_grad()
        model(**batch)["loss"].backward()
        optimizer.step()

    one = new_model(tokenizer, dropout=0.0)
    first = MuonAdamW(one, 1e-3, 1e-2, 0.01)
    for batch in batches[:2]:
        step(one, first, batch)
    two = new_model(tokenizer, dropout=0.0)
    two.load_state_dict(one.state_dict())
    second = MuonAdamW(two, 1e-3, 1e-2, 0.01)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for group, own in zip(first.param_groups, second.param_groups, strict=True):
        group["lr"] = own["lr"] = group["lr"] / 2  # as a scheduler does: it must reach the parts
    for batch in batches[2:]:
        step(one, first, batch)
        step(two, second, batch)
    assert same_weights(one, two)


def test_heads_start_by_looking_at_neighbours(tokenizer: PreTrainedTokenizerFast) -> None:
    config = replace(make_config().encoder, hidden=96, heads=3, layers=1)
    torch.manual_seed(0)
    model = PackedMaskedLM(bert_config(config, tokenizer, dropout=0.0)).eval()
    look_at_neighbours(model)
    model.bert.set_attn_implementation("eager")
    ids = torch.randint(5, len(tokenizer), (16, 32))
    with torch.no_grad():
        attention = model.bert(ids, output_attentions=True).attentions[0].mean(0)
    for head, offset in enumerate((-1, 1, -2)):
        looked = attention[head, 4:-4].argmax(-1) - torch.arange(4, 28)
        assert (looked == offset).float().mean() > 0.9
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert math.isfinite(attention.sum().item())


def test_hidden_tokens_come_in_runs_of_the_wanted_length(tokenizer: PreTrainedTokenizerFast) -> None:
    data = list(rows(tokenizer, make_texts(60) * 20).with_format("numpy"))
    shares, lengths = [], []
    for span in (1.0, 3.0):
        hidden = MaskingCollator(tokenizer, 0.25, span=span)._spans(torch.Size((400, 100)), torch.Generator())
        shares.append(hidden.float().mean().item())
        runs = hidden.sum().item() / (hidden[:, 1:] & ~hidden[:, :-1]).sum().item()
        lengths.append(runs)
        batch = MaskingCollator(tokenizer, 0.25, span=span)(data)
        assert not torch.isin(batch["original"], torch.arange(5)).any()
    assert shares == pytest.approx([0.25, 0.25], abs=0.02)
    assert lengths == pytest.approx([1 / 0.75, 3.0], rel=0.1)


def test_some_hidden_tokens_show_what_sounds_or_looks_alike(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = MaskingCollator(tokenizer, 0.5, replace_share=0.5)(
        list(rows(tokenizer, make_texts(60)).with_format("numpy"))
    )
    shown, meant = batch["input_ids"], batch["original"]
    replaced = (meant != EMPTY) & (shown != meant) & (shown != tokenizer.mask_token_id)
    assert replaced.sum().item() / (meant != EMPTY).sum().item() == pytest.approx(0.5, abs=0.06)
    pairs = zip(*(tokenizer.convert_ids_to_tokens(ids[replaced].tolist()) for ids in (meant, shown)), strict=True)
    chinese = [(one, other) for one, other in pairs if one in FILLER]
    alike = [
        sounds_like(one) == sounds_like(other) or looks_like(one) == looks_like(other) is not None
        for one, other in chinese
    ]
    assert np.mean(alike) > 0.95


def test_a_checkpoint_is_written_when_its_time_has_come(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    clock = iter(range(0, 10**6, 60))  # a minute per look

    def saves(minutes: float) -> int:
        callback, asked = SaveByTime(minutes, clock=lambda: next(clock)), 0
        for _ in range(12):
            control = TrainerControl()
            callback.on_step_end(TrainingArguments(use_cpu=True), TrainerState(), control)
            if control.should_save:
                asked += 1
                callback.on_save(TrainingArguments(use_cpu=True), TrainerState(), control)
        return asked

    assert saves(60.0) == 0
    assert saves(4.0) == 3


def test_speed_and_utilisation_are_said_beside_the_loss(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(tokenizer, tmp_path, settings(peak_tflops=0.001), tokens=0.006)
    assert re.search(r"step 50, loss \d+\.\d{3}, \d+ tokens/s, MFU \d+\.\d%", capfd.readouterr().err)


@pytest.mark.slow
def test_processes_that_share_a_batch_learn_together(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    results = {}
    for processes in (1, 2):
        scratch = tmp_path / str(processes)
        new_model(tokenizer).save_pretrained(scratch / "start")
        save_tokenizer(tokenizer, scratch / "start")
        config = replace(make_config().pretrain, training=settings(processes=processes), million_tokens=0.001)
        for name, texts in (("rows", make_texts(48)), ("held_out", make_texts(12, seed=9))):
            parts = pieces(tokenizer(texts, add_special_tokens=False)["input_ids"], 32, 2, 3)
            pack(parts, 32, tokenizer.pad_token_id, scratch / f"{name}.arrow")
        results[processes] = in_processes(processes, pretrain._train, config, True, scratch, 7)
        assert (scratch / "trained" / "model.safetensors").is_file()
    assert results[1]["million_tokens"] == results[2]["million_tokens"]
    assert results[1]["held_out_loss"] == pytest.approx(results[2]["held_out_loss"], rel=0.1)
