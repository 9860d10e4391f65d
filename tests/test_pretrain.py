from dataclasses import replace
from pathlib import Path

import pytest
from tiny_data import make_config, make_data, make_taxonomy, weights_of
from transformers import AutoModelForMaskedLM, AutoTokenizer, RobertaConfig, RobertaForMaskedLM

from pipelines import finetune, pretrain
from pipelines.artifacts.folder import Slot
from pipelines.corpora import PreparedData
from pipelines.corpora.text import TextSource
from pipelines.models.pretrained import PretrainedEncoder
from pipelines.models.tokenizer import TokenizerConfig, learn_tokenizer
from pipelines.settings.errors import UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return make_data(tmp_path_factory.mktemp("data"))


def run(data: PreparedData, path: Path) -> PretrainedEncoder:
    config = make_config()
    return pretrain.run(config.pretrain, config.encoder, data, config.seed, Slot(path, "pretrained"))


def test_a_pretrained_encoder_opens_anywhere_and_starts_a_teacher(
    data: PreparedData, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = run(data, tmp_path / "encoder")
    assert not (encoder.path / "scratch").exists()
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(encoder.path), AutoTokenizer.from_pretrained(encoder.path)
    assert model.config.vocab_size == len(tokenizer) == encoder.metrics["vocabulary"]
    assert encoder.metrics["held_out_loss"] > 0
    config = make_config("finetune.training.epochs=1")
    weights = {"full": 1.0, "partial": 1.0}
    teacher = finetune.run(
        config.finetune, config.encoder, data, encoder, weights, make_taxonomy(), 17, Slot(tmp_path / "teacher", "t")
    )
    assert teacher.tokenizer().get_vocab() == tokenizer.get_vocab()
    started = weights_of(encoder.path)["bert.embeddings.word_embeddings.weight"]
    ended = weights_of(teacher.path)["bert.embeddings.word_embeddings.weight"]
    assert (started - ended).abs().max() < 0.05  # one epoch later it is still recognisably the same matrix
    assert capfd.readouterr().out == ""


def test_the_same_inputs_give_the_same_bytes(data: PreparedData, tmp_path: Path) -> None:
    first, second = run(data, tmp_path / "one"), run(data, tmp_path / "two")
    assert sorted(path.name for path in first.path.iterdir()) == sorted(path.name for path in second.path.iterdir())
    for path in first.path.iterdir():
        assert path.read_bytes() == (second.path / path.name).read_bytes(), path.name


def test_too_little_text_is_explained(data: PreparedData, tmp_path: Path) -> None:
    config = make_config()
    with pytest.raises(UserError, match=r"texts are too few; lower pretrain\.held_out"):
        pretrain.run(replace(config.pretrain, held_out=100), config.encoder, data, 17, Slot(tmp_path / "encoder", "e"))
    assert not (tmp_path / "encoder").exists()


def test_running_text_is_read_beside_the_mixtures_own(data: PreparedData, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("\n".join(f"闲聊第{number}句" for number in range(40)), encoding="utf-8")
    source = TextSource("text", str(tmp_path), "*.txt", "text")
    config = make_config()
    more = replace(config.pretrain, sources={"mine": source}, vocabulary_texts=40)
    encoder = pretrain.run(more, config.encoder, data, config.seed, Slot(tmp_path / "encoder", "e"))
    assert "闲" in AutoTokenizer.from_pretrained(encoder.path).get_vocab()
    assert "闲" not in AutoTokenizer.from_pretrained(run(data, tmp_path / "own").path).get_vocab()


def test_pretraining_goes_on_from_an_encoder(data: PreparedData, tmp_path: Path) -> None:
    first = run(data, tmp_path / "first")
    config = make_config(f"encoder.source={first.path}")
    further = pretrain.run(config.pretrain, config.encoder, data, 17, Slot(tmp_path / "further", "f"))
    assert further.metrics["held_out_loss"] < first.metrics["held_out_loss"]
    vocabularies = (AutoTokenizer.from_pretrained(encoder.path).get_vocab() for encoder in (first, further))
    assert next(vocabularies) == next(vocabularies)


def test_only_a_bert_can_go_on(data: PreparedData, tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    RobertaForMaskedLM(RobertaConfig(vocab_size=50, **small)).save_pretrained(tmp_path / "roberta")
    learn_tokenizer(["天地人"], TokenizerConfig(1, 0, False), 16).save_pretrained(tmp_path / "roberta")
    config = make_config(f"encoder.source={tmp_path / 'roberta'}")
    with pytest.raises(UserError, match="only BERT encoders can be pre-trained further"):
        pretrain.run(config.pretrain, config.encoder, data, 17, Slot(tmp_path / "e", "e"))
