from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_data import WEIGHTS, make_config, make_data, make_taxonomy, weights_of
from transformers import BertConfig, BertModel

from pipelines import distill, finetune, teach
from pipelines.artifacts.folder import Slot
from pipelines.corpora import PreparedData
from pipelines.models import Checkpoint
from pipelines.models.predict import predict_logits
from pipelines.models.tokenizer import TokenizerConfig, learn_tokenizer
from pipelines.settings.errors import UserError
from pipelines.training.teacher import TeacherScores
from pipelines.training.trainer import RowLoss


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def teacher(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    config = make_config("finetune.training.epochs=4", "finetune.training.learning_rate=3e-3")
    slot = Slot(tmp_path_factory.mktemp("teacher") / "teacher", "teacher")
    return finetune.run(config.finetune, config.encoder, data, None, WEIGHTS, make_taxonomy(), 17, slot)


def scored(data: PreparedData, teacher: Checkpoint) -> TeacherScores:
    path = teacher.path.with_name("scores")
    if not path.exists():
        teach.run(make_config().teach, data, [teacher], make_taxonomy(), Slot(path, "scores"))
    return TeacherScores.open(path)


def run(data: PreparedData, teacher: Checkpoint, path: Path, *overrides: str) -> Checkpoint:
    config = make_config(*overrides)
    scores = scored(data, teacher)
    slot = Slot(path, "student")
    return distill.run(
        config.distill, config.student, data, teacher, scores, WEIGHTS, make_taxonomy(), config.seed, slot
    )


def test_a_student_follows_its_teacher(
    data: PreparedData, teacher: Checkpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rate = "distill.training.learning_rate=3e-3"
    student = run(data, teacher, tmp_path / "long", "distill.training.epochs=20", rate, "distill.soft_share=1.0")
    assert capfd.readouterr().out == ""
    assert student.metrics["layers"] == student.model().config.num_hidden_layers == 1
    assert student.metrics["copied"] > 10
    assert not (student.path / "scratch").exists()
    assert student.tokenizer().get_vocab() == teacher.tokenizer().get_vocab()
    texts = list(data.split("train")["text"]) + list(data.split("unlabelled")["text"])
    ours, theirs = (predict_logits(one.model(), one.tokenizer(), texts) for one in (student, teacher))
    assert np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1] > 0.6


def test_a_killed_student_continues_to_the_bit(
    data: PreparedData, teacher: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(data, teacher, tmp_path / "whole")
    original, calls = RowLoss.__call__, iter(range(99))

    def failing(self: RowLoss, *args: Any, **kwargs: Any) -> torch.Tensor:
        if next(calls) == 12:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(RowLoss, "__call__", failing)
    with pytest.raises(KeyboardInterrupt):
        run(data, teacher, tmp_path / "killed")
    monkeypatch.undo()
    resumed = run(data, teacher, tmp_path / "killed")
    assert resumed.metrics == whole.metrics
    assert (resumed.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()


def test_without_unlabelled_text_the_student_differs(data: PreparedData, teacher: Checkpoint, tmp_path: Path) -> None:
    one, two = (
        run(data, teacher, tmp_path / "with"),
        run(data, teacher, tmp_path / "without", "distill.unlabelled_weight=0"),
    )
    left, right = weights_of(one.path), weights_of(two.path)
    assert not all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    "size", [["student.max_length=16"], ["student.max_length=48"], ["student.hidden=16"], ["student.layers=3"]]
)
def test_a_student_of_any_size_reads_the_longest_text(
    data: PreparedData, teacher: Checkpoint, tmp_path: Path, size: list[str]
) -> None:
    student = run(data, teacher, tmp_path / "student", *size, "distill.training.epochs=1")
    longest = "天" * 60
    assert predict_logits(student.model(), student.tokenizer(), [longest], [longest]).shape == (
        1,
        len(make_taxonomy().labels),
    )
    assert (student.metrics["copied"] == 0) == (size == ["student.hidden=16"])


def test_a_teacher_from_a_local_folder_in_hub_layout(data: PreparedData, tmp_path: Path) -> None:
    tokenizer = learn_tokenizer(data.split("train")["text"], TokenizerConfig(1, 0, False), max_length=512)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(tokenizer) + 5, **size)).save_pretrained(tmp_path / "hub")
    tokenizer.save_pretrained(tmp_path / "hub")
    config = make_config(f"encoder.source={tmp_path / 'hub'}", "finetune=pretrained", "finetune.training.epochs=1")
    slot = Slot(tmp_path / "teacher", "teacher")
    teacher = finetune.run(config.finetune, config.encoder, data, None, WEIGHTS, make_taxonomy(), 17, slot)
    student = run(data, teacher, tmp_path / "student", "distill.training.epochs=1")
    model = student.model()
    assert student.metrics["copied"] == len(model.state_dict())
    assert model.config.vocab_size == len(tokenizer)
    assert student.tokenizer().model_max_length == 32


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"soft_share": 1.5}, "soft_share"),
        ({"temperature": 0.0}, "temperature"),
        ({"unlabelled_weight": -1.0}, "unlabelled_weight"),
    ],
)
def test_values_out_of_range_are_named(
    data: PreparedData, teacher: Checkpoint, tmp_path: Path, wrong: dict[str, float], named: str
) -> None:
    config = make_config()
    with pytest.raises(UserError, match=named):
        distill.run(
            replace(config.distill, **wrong),
            config.student,
            data,
            teacher,
            scored(data, teacher),
            WEIGHTS,
            make_taxonomy(),
            17,
            Slot(tmp_path / "s", "s"),
        )


def test_a_student_with_a_source_is_refused(data: PreparedData, teacher: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="source must be null"):
        run(data, teacher, tmp_path / "s", "student.source=somewhere")
