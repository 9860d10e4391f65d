from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_data import make_config, make_taxonomy, same_weights
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from pipelines.models.checkpoint import save_checkpoint
from pipelines.models.encoder import build_classifier, check_encoder, copy_layers, load_classifier
from pipelines.models.tokenizer import TokenizerConfig, encode, learn_tokenizer
from pipelines.settings.errors import UserError

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
ARCHITECTURES = {
    "bert": lambda size: BertModel(BertConfig(vocab_size=size, max_position_embeddings=24, **SIZES)),
    "masked": lambda size: BertForMaskedLM(BertConfig(vocab_size=size, max_position_embeddings=24, **SIZES)),
    "roberta": lambda size: RobertaModel(
        RobertaConfig(vocab_size=size, max_position_embeddings=24, pad_token_id=0, **SIZES)
    ),
    "electra": lambda size: ElectraModel(
        ElectraConfig(vocab_size=size, max_position_embeddings=24, embedding_size=16, **SIZES)
    ),
    "distilbert": lambda size: DistilBertModel(DistilBertConfig(vocab_size=size, max_position_embeddings=24, **DISTIL)),
}
TEXTS = ["今天天气真好", "你我他 sb 666", "别来了！"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return learn_tokenizer(TEXTS, TokenizerConfig(min_count=1, words=10, cloaked_forms=False), max_length=512)


def hub_folder(folder: Path, architecture: str, tokenizer: PreTrainedTokenizerFast, size: int | None = None) -> str:
    """Write an encoder without a head as the hub lays it out."""
    torch.manual_seed(1)
    ARCHITECTURES[architecture](size or len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def load(source: str, max_length: int = 128, dropout: float = 0.3) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    return load_classifier(source, make_taxonomy(), max_length, dropout, seed=3)


def logits(model: PreTrainedModel, rows: list[list[int]]) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return torch.cat([model(input_ids=torch.tensor([row])).logits for row in rows])


def own(tokenizer: PreTrainedTokenizerFast, seed: int = 5, **sizes: int) -> PreTrainedModel:
    config = make_config().encoder
    return build_classifier(
        replace(config, **{"layers": 3, "max_length": 24, **sizes}), tokenizer, make_taxonomy(), seed
    )


def test_own_sizes_are_a_plain_bert_in_taxonomy_order(tokenizer: PreTrainedTokenizerFast) -> None:
    taxonomy = make_taxonomy()
    model = own(tokenizer, hidden=48, heads=4, intermediate=96, layers=3)
    config = model.config
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size, config.num_hidden_layers) == (
        48,
        4,
        96,
        3,
    )
    assert (config.vocab_size, config.max_position_embeddings, config.type_vocab_size) == (len(tokenizer), 24, 1)
    assert [config.id2label[column] for column in range(config.num_labels)] == list(taxonomy.labels)
    assert config.label2id == {label: column for column, label in enumerate(taxonomy.labels)}
    assert config.problem_type == "multi_label_classification"
    assert same_weights(model, own(tokenizer, hidden=48, heads=4, intermediate=96, layers=3))
    assert not same_weights(model, own(tokenizer, seed=6, hidden=48, heads=4, intermediate=96, layers=3))


@pytest.mark.parametrize("wrong", [{"hidden": 30, "heads": 4}, {"max_length": 7}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_sizes_that_can_not_be_built_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="encoder"):
        check_encoder(replace(make_config().encoder, **wrong))


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_a_hub_folder_gets_a_head_for_the_taxonomy(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, architecture: str
) -> None:
    source = hub_folder(tmp_path, architecture, tokenizer)
    model, loaded = load(source)
    labels = make_taxonomy().labels
    assert logits(model, encode(loaded, TEXTS)).shape == (3, len(labels))
    assert [model.config.id2label[column] for column in range(len(labels))] == list(labels)
    assert model.dtype == torch.float32
    assert 0.3 in {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    kept = load_file(tmp_path / "model.safetensors")
    words = next(weight for name, weight in kept.items() if name.endswith("word_embeddings.weight"))
    assert torch.equal(model.get_input_embeddings().weight, words)
    assert same_weights(model, load(source)[0])  # the head too comes from the seed


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_the_longest_text_fits_the_positions(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, architecture: str
) -> None:
    model, loaded = load(hub_folder(tmp_path, architecture, tokenizer))
    rows = encode(loaded, ["今天" * 50])
    assert logits(model, rows).isfinite().all()
    assert len(rows[0]) == (23 if architecture == "roberta" else 24)  # RoBERTa's positions start after the padding id
    assert load(str(tmp_path), max_length=10)[1].model_max_length == 10


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra"])
def test_a_saved_checkpoint_reopens_with_the_same_scores(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, architecture: str
) -> None:
    model, loaded = load(hub_folder(tmp_path / "hub", architecture, tokenizer), max_length=12)
    save_checkpoint(tmp_path / "saved", model, loaded, make_taxonomy())
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    rows = encode(again, TEXTS, ["上文", None, "今天" * 20])
    assert rows == encode(loaded, TEXTS, ["上文", None, "今天" * 20])
    assert list(again("今天", "别来")) == ["input_ids", "attention_mask"]
    assert again.model_max_length == 12
    reopened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    assert same_weights(reopened, model)
    assert torch.allclose(logits(reopened, rows), logits(model, rows), atol=1e-6)


def test_a_tokenizer_that_makes_token_types_is_told_not_to(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    full = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **tokenizer.special_tokens_map,
    )
    model, loaded = load(hub_folder(tmp_path / "hub", "bert", full))
    save_checkpoint(tmp_path / "saved", model, loaded, make_taxonomy())
    assert list(AutoTokenizer.from_pretrained(tmp_path / "saved")("今天", "别来")) == ["input_ids", "attention_mask"]


def test_a_head_for_other_labels_is_replaced(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=24, num_labels=3, **SIZES)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load(str(tmp_path))[0].config.num_labels == len(make_taxonomy().labels)


def test_a_hub_name_without_a_network_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # read from the environment at import only
    with pytest.raises(UserError, match=r"encoder\.source=nobody/nothing: could not be loaded .*safetensors"):
        load("nobody/nothing")
    with pytest.raises(UserError, match="could not be loaded"):
        load(str(tmp_path / "absent"))


def test_a_pickle_is_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    source = hub_folder(tmp_path, "bert", tokenizer)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load(source)


def test_a_torn_file_is_explained(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    source = hub_folder(tmp_path, "bert", tokenizer)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="could not be loaded"):
        load(source)


def test_more_tokens_than_embeddings_are_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(UserError, match=f"{len(tokenizer)} tokens .* 9 embeddings"):
        load(hub_folder(tmp_path, "bert", tokenizer, size=9))


def test_weights_of_another_model_are_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    source = hub_folder(tmp_path / "one", "bert", tokenizer)
    other = hub_folder(tmp_path / "two", "bert", tokenizer, size=len(tokenizer) + 7)
    (tmp_path / "one" / "model.safetensors").write_bytes((tmp_path / "two" / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="different models"):
        load(source)
    weights = load_file(Path(other) / "model.safetensors")
    save_file(
        {f"strange.{name}": weight for name, weight in weights.items()},
        Path(other) / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(UserError, match="missing"):
        load(other)


@pytest.mark.parametrize(
    ("have", "want", "expected"), [(6, 1, [5]), (6, 2, [0, 5]), (6, 3, [0, 2, 5]), (3, 3, [0, 1, 2]), (2, 3, [0, 1])]
)
def test_layers_are_taken_from_first_to_last(
    tokenizer: PreTrainedTokenizerFast, have: int, want: int, expected: list[int]
) -> None:
    teacher, student = own(tokenizer, layers=have), own(tokenizer, seed=9, layers=want)
    copied = copy_layers(teacher, student)
    ours, theirs = student.state_dict(), teacher.state_dict()
    for layer, origin in enumerate(expected):
        names = [name for name in ours if f".layer.{layer}." in name]
        assert names
        assert set(names) <= set(copied)
        for name in names:
            assert torch.equal(ours[name], theirs[name.replace(f".layer.{layer}.", f".layer.{origin}.")])
    assert not [name for name in copied if any(f".layer.{layer}." in name for layer in range(len(expected), want))]


def test_equal_depth_keeps_outputs_equal(tokenizer: PreTrainedTokenizerFast) -> None:
    teacher, student = own(tokenizer), own(tokenizer, seed=9)
    rows = encode(tokenizer, TEXTS)
    assert not torch.equal(logits(teacher, rows), logits(student, rows))
    assert set(copy_layers(teacher, student)) == set(student.state_dict())
    assert torch.equal(logits(teacher, rows), logits(student, rows))


def test_a_shorter_student_keeps_the_positions_it_has(tokenizer: PreTrainedTokenizerFast) -> None:
    teacher, student = own(tokenizer), own(tokenizer, seed=9, max_length=12)
    copy_layers(teacher, student)
    rows = [row[:12] for row in encode(tokenizer, TEXTS)]
    assert torch.allclose(logits(teacher, rows), logits(student, rows), atol=1e-6)


def test_a_padded_vocabulary_gives_the_tokens_in_use(tokenizer: PreTrainedTokenizerFast) -> None:
    teacher, student = own(tokenizer), own(tokenizer, seed=9)
    rows = encode(tokenizer, TEXTS)
    expected = logits(teacher, rows)
    teacher.resize_token_embeddings(len(tokenizer) + 11)
    copy_layers(teacher, student)
    assert torch.equal(logits(student, rows), expected)


def test_a_narrower_student_starts_from_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    teacher, student, untouched = own(tokenizer), own(tokenizer, seed=9, hidden=16), own(tokenizer, seed=9, hidden=16)
    assert copy_layers(teacher, student) == []
    assert same_weights(student, untouched)


def test_another_feed_forward_width_keeps_attention_and_embeddings(tokenizer: PreTrainedTokenizerFast) -> None:
    copied = copy_layers(own(tokenizer), own(tokenizer, seed=9, intermediate=48))
    assert "bert.embeddings.word_embeddings.weight" in copied
    assert "bert.encoder.layer.2.attention.self.query.weight" in copied
    assert not [name for name in copied if name.endswith("intermediate.dense.weight")]
