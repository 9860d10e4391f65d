"""Distil the teacher into a smaller student: its scores on labelled and unlabelled text, beside the hard labels.

Reads PreparedData, a teacher and its scores (see `teach`), returns the student's Checkpoint. The student starts from
the teacher's layers where shapes allow, and a cloaked copy learns the scores of the plain text.
    python train.py pipeline=distill student=tiny
"""

from collections.abc import Mapping
from dataclasses import dataclass

from datasets import concatenate_datasets

from pipelines.artifacts.folder import Slot
from pipelines.artifacts.progress import say
from pipelines.corpora import PreparedData
from pipelines.models import Checkpoint
from pipelines.models.checkpoint import save_checkpoint
from pipelines.models.encoder import EncoderConfig, build_classifier, check_encoder, copy_layers
from pipelines.models.folded import fold, share
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy
from pipelines.training.data import informative, labelled, positive_weights, unlabelled, with_cloaked_copies
from pipelines.training.teacher import TeacherScores
from pipelines.training.trainer import RowLoss, TrainingConfig, check_training, fit


@dataclass
class DistillConfig:
    """How the student learns.

    Attributes:
        soft_share: share of the loss that comes from the teacher on labelled rows (unlabelled rows have nothing else).
        temperature: softens both sides' logits.
        unlabelled_weight: loss weight of one unlabelled text; 0 leaves them out.
    """

    soft_share: float
    temperature: float
    unlabelled_weight: float
    training: TrainingConfig


def run(
    config: DistillConfig,
    student: EncoderConfig,
    data: PreparedData,
    teacher: Checkpoint,
    scores: TeacherScores,
    weights: Mapping[str, float],
    taxonomy: Taxonomy,
    seed: int,
    slot: Slot,
) -> Checkpoint:
    """Train the student; every training row counts, also one whose labels are all unknown: the teacher scored it."""
    check(config, student)
    teacher_model, tokenizer = teacher.model(), teacher.tokenizer()
    tokenizer.model_max_length = min(tokenizer.model_max_length, student.max_length)  # the teacher reads with its own
    model = build_classifier(student, tokenizer, taxonomy, seed)
    copied = copy_layers(teacher_model, model)
    say(f"distill: {len(copied)} parameters start from the teacher's")
    if student.folded:
        share(model, tokenizer)
    train, validation = data.split("train"), informative(data.split("validation"), taxonomy)
    copies, origin = with_cloaked_copies(train, config.training.cloaking, seed)
    rows = labelled(copies, tokenizer, taxonomy, weights, scores.of("train")[origin])
    extra = data.split("unlabelled")
    if len(extra) and config.unlabelled_weight:
        more = unlabelled(extra, tokenizer, scores.of("unlabelled"), config.unlabelled_weight)
        rows = concatenate_datasets([rows, more])
    loss = RowLoss(
        positive_weights(train, taxonomy, config.training.max_positive_weight),
        config.training.harm_weight,
        config.soft_share,
        config.temperature,
    )
    with slot.fill(Checkpoint) as draft:
        summary = fit(
            model,
            tokenizer,
            rows,
            labelled(validation, tokenizer, taxonomy, weights),
            loss,
            config.training,
            draft.folder / "scratch",
            seed,
            "distill",
        )
        fold(model)
        save_checkpoint(draft.folder, model, tokenizer, taxonomy)
        draft.metrics.update(summary, parameters=model.num_parameters(), layers=student.layers, copied=len(copied))
    return Checkpoint.open(slot.path)


def check(config: DistillConfig, student: EncoderConfig) -> None:
    """Raise UserError for a student or settings that nothing can be distilled with."""
    check_encoder(student)
    check_training(config.training, "distill")
    if student.source is not None:
        raise UserError(f"student {student.name}: a student is built from its sizes; source must be null.")
    if not 0 <= config.soft_share <= 1 or config.temperature <= 0 or config.unlabelled_weight < 0:
        raise UserError("distill: soft_share must be in [0, 1], temperature above 0, unlabelled_weight at least 0.")
