from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tiny_data import WEIGHTS, make_config, make_data, make_taxonomy, weights_of
from transformers import AutoModelForSequenceClassification, BertConfig, BertModel, pipeline

from pipelines import finetune
from pipelines.artifacts.folder import Slot
from pipelines.corpora import PreparedData
from pipelines.corpora.labels import label_matrix
from pipelines.models import Checkpoint
from pipelines.models.predict import predict_logits
from pipelines.models.tokenizer import TokenizerConfig, learn_tokenizer
from pipelines.settings.errors import UserError
from pipelines.training.trainer import RowLoss


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return make_data(tmp_path_factory.mktemp("data"))


def run(data: PreparedData, path: Path, *overrides: str) -> Checkpoint:
    config = make_config(*overrides)
    return finetune.run(
        config.finetune, config.encoder, data, None, WEIGHTS, make_taxonomy(), config.seed, Slot(path, "teacher")
    )


def test_a_teacher_learns_and_opens_anywhere(
    data: PreparedData, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    teacher = run(data, tmp_path / "teacher", "finetune.training.epochs=10", "finetune.training.learning_rate=3e-3")
    taxonomy, rows = make_taxonomy(), data.split("test")
    assert capfd.readouterr().out == ""
    assert {path.name for path in teacher.path.iterdir()} == {
        "artifact.json", "config.json", "model.safetensors", "taxonomy.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert teacher.metrics["validation_score"] > 0.8
    model = AutoModelForSequenceClassification.from_pretrained(teacher.path)
    assert list(model.config.id2label.values()) == list(taxonomy.labels) == teacher.taxonomy_dict["labels"]
    logits = predict_logits(teacher.model(), teacher.tokenizer(), list(rows["text"]), list(rows["context"]))
    truth = label_matrix(rows, taxonomy)
    full = np.array([name == "full" for name in rows["corpus"]])
    assert roc_auc_score(truth[full, 0], logits[full, 0]) > 0.8
    scores = pipeline("text-classification", model=str(teacher.path), top_k=None)([rows["text"][0]])[0]
    assert {entry["label"] for entry in scores} == set(taxonomy.labels)
    assert teacher.operating_points is None


def test_the_same_inputs_give_the_same_bytes(data: PreparedData, tmp_path: Path) -> None:
    first, second = run(data, tmp_path / "one"), run(data, tmp_path / "two")
    for path in first.path.iterdir():
        assert path.read_bytes() == (second.path / path.name).read_bytes(), path.name


def test_a_killed_verb_is_never_an_artifact_and_continues_to_the_bit(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(data, tmp_path / "whole")
    original, calls = RowLoss.__call__, iter(range(99))

    def failing(self: RowLoss, *args: Any, **kwargs: Any) -> torch.Tensor:
        if next(calls) == 12:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    monkeypatch.setattr(RowLoss, "__call__", failing)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "killed")
    monkeypatch.undo()
    assert not (tmp_path / "killed").exists()
    assert list((tmp_path / "killed.partial" / "scratch").glob("checkpoint-*"))
    resumed = run(data, tmp_path / "killed")
    assert resumed.metrics == whole.metrics
    assert (resumed.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()


def test_a_local_folder_in_hub_layout_is_a_start(data: PreparedData, tmp_path: Path) -> None:
    tokenizer = learn_tokenizer(data.split("train")["text"], TokenizerConfig(1, 0, False), max_length=512)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(tokenizer), **size)).save_pretrained(tmp_path / "hub")
    tokenizer.save_pretrained(tmp_path / "hub")
    teacher = run(
        data,
        tmp_path / "teacher",
        f"encoder.source={tmp_path / 'hub'}",
        "finetune=pretrained",
        "finetune.training.epochs=1",
    )
    assert teacher.metrics["layers"] == 1
    assert teacher.tokenizer().model_max_length == 32
    before = weights_of(tmp_path / "hub")["embeddings.position_embeddings.weight"]
    after = weights_of(teacher.path)["bert.embeddings.position_embeddings.weight"]
    assert torch.allclose(before, after, atol=1e-2)


def test_nothing_to_learn_from_is_explained(data: PreparedData, tmp_path: Path) -> None:
    config = make_config()
    small = make_data(tmp_path / "small", full=2, partial=0, unlabelled=0)
    with pytest.raises(UserError, match=r"training and \d validation rows; both are needed"):
        finetune.run(
            config.finetune, config.encoder, small, None, WEIGHTS, make_taxonomy(), 17, Slot(tmp_path / "teacher", "t")
        )
    encoder = replace(config.encoder, hidden=33)
    with pytest.raises(UserError, match="multiple of heads"):
        finetune.run(
            config.finetune, encoder, data, None, WEIGHTS, make_taxonomy(), 17, Slot(tmp_path / "teacher", "t")
        )
    assert not (tmp_path / "teacher").exists()
