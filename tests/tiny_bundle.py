"""A tiny classifier, its tokenizer and its operating points, built from nothing, for bundle and latency tests."""

from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from pipelines.artifacts.folder import Slot, write_json
from pipelines.bundle.bundle import Bundle
from pipelines.bundle.parity import ParityConfig
from pipelines.bundle.quantise import QuantiseConfig
from pipelines.export import ExportConfig, run
from pipelines.models import Checkpoint
from pipelines.models.tokenizer import TokenizerConfig, learn_tokenizer

LABELS = ["violation", "first", "second", "third"]
CHARACTERS = "的一是不了人我在有他这中大来上个国说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么"


def make_texts(count: int, longest: int = 40) -> list[str]:
    """Return `count` different strings of 1 to `longest` characters, the same every time."""
    generator = np.random.default_rng(7)
    lengths = generator.integers(1, longest + 1, size=count)
    return ["".join(generator.choice(list(CHARACTERS), size=length)) for length in lengths]


def make_checkpoint(path: Path, calibrated: bool = True) -> Checkpoint:
    """Write a 2 x 32 classifier with uneven scores and one supported and one unsupported operating point."""
    tokenizer = learn_tokenizer(
        [CHARACTERS, "abc def", "，。！"], TokenizerConfig(min_count=1, words=10, cloaked_forms=False), max_length=48
    )
    torch.manual_seed(3)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=48,
            type_vocab_size=1,
            initializer_range=0.5,
            pad_token_id=tokenizer.pad_token_id,
            problem_type="multi_label_classification",
            id2label=dict(enumerate(LABELS)),
            label2id={label: column for column, label in enumerate(LABELS)},
        )
    )
    slot = Slot(path, "fingerprint-of-the-checkpoint")
    with slot.fill(Checkpoint) as draft:
        model.save_pretrained(draft.folder)
        tokenizer.save_pretrained(draft.folder)
        write_json(draft.folder / "taxonomy.json", {"name": "toy", "version": 3, "labels": LABELS})
        if calibrated:
            write_json(draft.folder / "operating_points.json", {"actions": make_operating_points()})
            calibration = {label: {"scale": 1.0, "bias": 0.0, "fitted": False} for label in LABELS}
            write_json(draft.folder / "calibration.json", calibration)
    return Checkpoint.open(path)


def make_operating_points() -> dict[str, dict[str, object]]:
    """Return one supported and one unsupported operating point."""
    return {
        "fold": {"status": "supported", "reason": None, "label": "violation", "threshold": 0.8},
        "ban": {"status": "unsupported", "reason": "too few texts", "label": "violation", "threshold": None},
    }


PROVENANCE = {"mixture": "toy", "commercial_use": True, "licence_notes": ["made in a test"]}


def make_config() -> ExportConfig:
    """Return an export configuration small enough for a test."""
    return ExportConfig(
        licence="Apache-2.0",
        restricted_licence="CC-BY-NC-4.0",
        opset=20,
        quantise=QuantiseConfig(embedding=True, per_channel=False),
        parity=ParityConfig(texts=20, neighbours=3, padding=8, max_logit_difference=1e-3),
    )


def make_bundle(folder: Path) -> Bundle:
    """Export a tiny checkpoint below `folder`."""
    checkpoint = make_checkpoint(folder / "checkpoint")
    return run(
        make_config(), checkpoint, make_texts(20), PROVENANCE, Slot(folder / "bundle", "fingerprint-of-the-bundle")
    )
