"""Build a multi-label classifier: from our own sizes, from a hub name, or from any folder in Hugging Face layout."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from pipelines.artifacts.fingerprint import file_sha256
from pipelines.models.initialise import pass_first_token_on
from pipelines.models.tokenizer import TokenizerConfig
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy

_ROWS = re.compile(r"(word|position|token_type)_embeddings\.weight$")
_DROPOUTS = ("hidden_dropout_prob", "dropout")  # what architectures call dropout on hidden states
_UNLIMITED = 1 << 20
EMBEDDED = Path(__file__).with_name("embedded")  # our own pre-trained encoder, with its card


@dataclass
class EncoderConfig:
    """An encoder's size, or where to load one.

    Attributes:
        source: `embedded`, the encoder that comes with this package; a hub name or folder; null builds the size below
            and learns a vocabulary from the training text.
        max_length: tokens per text, special tokens included.
        dropout: on hidden states during fine-tuning.
        folded: whether tokens that mean, sound or look alike share weights while they learn (see `folded`).
    """

    name: str
    source: str | None
    layers: int
    hidden: int
    heads: int
    intermediate: int
    max_length: int
    dropout: float
    folded: bool
    tokenizer: TokenizerConfig


def check_encoder(config: EncoderConfig) -> None:
    """Raise UserError for sizes that can't be built."""
    if config.source is None and config.hidden % config.heads:
        raise UserError(f"encoder {config.name}: hidden={config.hidden} must be a multiple of heads={config.heads}.")
    if config.max_length < 8 or not 0 <= config.dropout < 1:
        raise UserError(f"encoder {config.name}: max_length must be at least 8 and dropout in [0, 1).")


def build_classifier(
    config: EncoderConfig, tokenizer: PreTrainedTokenizerBase, taxonomy: Taxonomy, seed: int
) -> PreTrainedModel:
    """Return a randomly initialised classifier of the configured size; its labels are in taxonomy order, root first."""
    torch.manual_seed(seed)
    return BertForSequenceClassification(bert_config(config, tokenizer, config.dropout, **_label_options(taxonomy)))


def bert_config(config: EncoderConfig, tokenizer: PreTrainedTokenizerBase, dropout: float, **labels: Any) -> BertConfig:
    """Return the architecture of our own sizes, a plain BERT with one token type."""
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=config.intermediate,
        max_position_embeddings=config.max_length,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
        type_vocab_size=1,
        initializer_range=0.05,  # suits widths of a few hundred better than BERT's 0.02
        pad_token_id=tokenizer.pad_token_id,
        **labels,
    )


def load_classifier(
    source: str, taxonomy: Taxonomy, max_length: int, dropout: float, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Load an encoder and its tokenizer and give it a fresh head for the taxonomy's labels.

    Only safetensors weights are read (a pickle could run code), and no code that a repository brings along is run.

    Raises:
        UserError: the name or folder can't be loaded, or weights, configuration and tokenizer don't belong together.
    """
    torch.manual_seed(seed)
    with loading(source) as place:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        config = AutoConfig.from_pretrained(place, trust_remote_code=False, **_label_options(taxonomy))
        for name in _DROPOUTS:
            if hasattr(config, name):
                setattr(config, name, dropout)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            place,
            config=config,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # of a head for other labels; anything else is refused below
            output_loading_info=True,
            dtype=torch.float32,
        )
    check_loaded(source, model, tokenizer, report)
    if isinstance(model, BertForSequenceClassification) and any("pooler" in key for key in report["missing_keys"]):
        pass_first_token_on(model)
    tokenizer.model_max_length = min(max_length, tokenizer.model_max_length, _positions(model))
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return model, tokenizer


@contextmanager
def loading(source: str) -> Iterator[str]:
    """Yield where to load `source` from; what goes wrong there becomes a UserError that says what to give instead."""
    try:
        yield str(EMBEDDED) if source == "embedded" else source
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"encoder.source={source}: could not be loaded ({first}). Give a folder in Hugging Face layout with "
            "model.safetensors, or, with a network, the name of a hub model that has one."
        ) from None


def check_loaded(
    source: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, report: Mapping[str, Any]
) -> None:
    """Raise UserError where the folder mixes models: weights absent or of other sizes, or tokens without embeddings."""
    mismatched = {key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]}
    own = [key for key in {*report["missing_keys"], *mismatched} if key.startswith(f"{model.base_model_prefix}.")]
    absent = sorted(key for key in own if "pooler" not in key)  # pre-training leaves no pooler
    if absent:
        raise UserError(
            f"encoder.source={source}: {len(absent)} weights of {type(model).__name__} are missing or of another size, "
            f"{absent[0]} for one. model.safetensors and config.json belong to different models."
        )
    if not tokenizer.is_fast:
        raise UserError(f"encoder.source={source}: its tokenizer has no tokenizer.json form, which a bundle needs.")
    if len(tokenizer) > model.config.vocab_size:
        raise UserError(
            f"encoder.source={source}: the tokenizer has {len(tokenizer)} tokens but the model only "
            f"{model.config.vocab_size} embeddings. The folder mixes two models."
        )


def _positions(model: PreTrainedModel) -> int:
    """Return how many tokens the model has positions for; RoBERTa's kin count theirs from after the padding id."""
    table = next((m for name, m in model.named_modules() if name.endswith("embeddings.position_embeddings")), None)
    offset = 0 if table is None or table.padding_idx is None else table.padding_idx + 1
    return int(getattr(model.config, "max_position_embeddings", _UNLIMITED)) - offset


def copy_layers(teacher: PreTrainedModel, student: PreTrainedModel) -> list[str]:
    """Initialise `student` from `teacher` wherever shapes allow; return the names of the parameters copied.

    Encoder layers are taken evenly spaced, first and last included (DistilBERT's and TinyBERT's uniform layer mapping).
    A student of another width gets nothing: the few shapes that would agree are biases of layers that don't.
    """
    if teacher.config.hidden_size != student.config.hidden_size:
        return []
    chosen = _evenly_spaced(teacher.config.num_hidden_layers, student.config.num_hidden_layers)
    source = _named_alike(teacher, student)
    target = student.state_dict()
    copied = []
    for name, weight in target.items():
        origin = source.get(_origin(name, chosen))
        if origin is not None and _ROWS.search(name):
            origin = origin[: len(weight)]  # a shorter student keeps its positions, a padded vocabulary its tokens
        if origin is not None and origin.shape == weight.shape:
            weight.copy_(origin)
            copied.append(name)
    return copied


def source_hashes(config: EncoderConfig) -> dict[str, str]:
    """Return the sha256 of a local encoder's files, so that new weights in the same folder are not taken for the old.

    Empty for our own sizes and for hub names, whose files are not here yet.
    """
    folder = EMBEDDED if config.source == "embedded" else Path(config.source) if config.source else None
    if folder is None or not folder.is_dir():
        return {}
    return {
        path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.suffix in {".safetensors", ".json"}
    }


def _label_options(taxonomy: Taxonomy) -> dict[str, Any]:
    return {
        "num_labels": len(taxonomy.labels),
        "id2label": dict(enumerate(taxonomy.labels)),
        "label2id": {label: index for index, label in enumerate(taxonomy.labels)},
        "problem_type": "multi_label_classification",
    }


def _named_alike(teacher: PreTrainedModel, student: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the teacher's weights under the student's names, without the positions RoBERTa's kin keep for padding."""
    before, after = f"{teacher.base_model_prefix}.", f"{student.base_model_prefix}."
    named = {
        after + name.removeprefix(before) if name.startswith(before) else name: w
        for name, w in teacher.state_dict().items()
    }
    positions = f"{after}embeddings.position_embeddings.weight"
    if positions in named:
        named[positions] = named[positions][-_positions(teacher) :]
    return named


def _evenly_spaced(have: int, want: int) -> Sequence[int]:
    if want == 1:
        return [have - 1]
    return [round(index * (have - 1) / (want - 1)) for index in range(want)] if want <= have else list(range(have))


def _origin(name: str, chosen: Sequence[int]) -> str:
    before, found, after = name.partition(".layer.")
    if not found:
        return name
    index, _, rest = after.partition(".")
    position = int(index)
    return f"{before}.layer.{chosen[position]}.{rest}" if position < len(chosen) else ""
