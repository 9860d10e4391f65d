"""Fine-tune an encoder on the prepared mixture: the teacher.

Reads PreparedData and, where there is one, a pre-trained encoder; returns a Checkpoint that
`AutoModelForSequenceClassification` opens.
    python train.py pipeline=finetune encoder=small mixture=public corpora.root=../shared/corpora
"""

from collections.abc import Mapping
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipelines.artifacts.folder import Slot
from pipelines.corpora import PreparedData
from pipelines.models import Checkpoint
from pipelines.models.checkpoint import save_checkpoint
from pipelines.models.encoder import EncoderConfig, build_classifier, check_encoder, load_classifier
from pipelines.models.folded import fold, share
from pipelines.models.pretrained import PretrainedEncoder
from pipelines.models.tokenizer import learn_tokenizer
from pipelines.taxonomy import Taxonomy
from pipelines.training.data import informative, labelled, positive_weights, with_cloaked_copies
from pipelines.training.trainer import RowLoss, TrainingConfig, fit


@dataclass
class FinetuneConfig:
    """How the teacher is trained."""

    training: TrainingConfig


def run(
    config: FinetuneConfig,
    encoder: EncoderConfig,
    data: PreparedData,
    start: PretrainedEncoder | None,
    weights: Mapping[str, float],
    taxonomy: Taxonomy,
    seed: int,
    slot: Slot,
) -> Checkpoint:
    """Train on rows that say something, keep what validates best; `weights` is the loss weight per corpus."""
    check_encoder(encoder)
    train, validation = informative(data.split("train"), taxonomy), informative(data.split("validation"), taxonomy)
    model, tokenizer = _start(encoder, start, list(train["text"]), taxonomy, seed)
    if encoder.folded:
        share(model, tokenizer)
    rows, _ = with_cloaked_copies(train, config.training.cloaking, seed)
    loss = RowLoss(positive_weights(train, taxonomy, config.training.max_positive_weight), config.training.harm_weight)
    with slot.fill(Checkpoint) as draft:
        summary = fit(
            model,
            tokenizer,
            labelled(rows, tokenizer, taxonomy, weights),
            labelled(validation, tokenizer, taxonomy, weights),
            loss,
            config.training,
            draft.folder / "scratch",
            seed,
            "finetune",
        )
        fold(model)
        save_checkpoint(draft.folder, model, tokenizer, taxonomy)
        draft.metrics.update(summary, parameters=model.num_parameters(), layers=model.config.num_hidden_layers)
    return Checkpoint.open(slot.path)


def _start(
    encoder: EncoderConfig, start: PretrainedEncoder | None, texts: list[str], taxonomy: Taxonomy, seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    if start is not None:
        return load_classifier(str(start.path), taxonomy, encoder.max_length, encoder.dropout, seed)
    if encoder.source is not None:
        return load_classifier(encoder.source, taxonomy, encoder.max_length, encoder.dropout, seed)
    tokenizer = learn_tokenizer(texts, encoder.tokenizer, encoder.max_length)
    return build_classifier(encoder, tokenizer, taxonomy, seed), tokenizer
