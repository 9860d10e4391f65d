"""Export a calibrated checkpoint as a bundle: ONNX in fp32 and int8, tokenizer, taxonomy, operating points, parity,
manifest.

Reads a Checkpoint and validation texts, returns a Bundle that onnxruntime, transformers and transformers.js open.
    python train.py pipeline=export inputs.calibrate=artifacts/calibrate/0123456789ab
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.artifacts.folder import Slot, read_json, write_json
from pipelines.artifacts.progress import say
from pipelines.bundle.bundle import Bundle
from pipelines.bundle.graph import export_graph
from pipelines.bundle.manifest import write_manifest
from pipelines.bundle.parity import Parity, ParityConfig, measure_parity
from pipelines.bundle.quantise import QuantiseConfig, quantise
from pipelines.bundle.runtime import FP32, INT8
from pipelines.models import Checkpoint
from pipelines.models.predict import predict_logits
from pipelines.settings.errors import UserError

_COPIED = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "taxonomy.json",
    "operating_points.json",
    "calibration.json",
)


@dataclass
class ExportConfig:
    """How the bundle is made.

    Attributes:
        licence: of the weights, where every corpus allows commercial use.
        restricted_licence: of the weights, where one does not.
        opset: ONNX operator set of the graph.
    """

    licence: str
    restricted_licence: str
    opset: int
    quantise: QuantiseConfig
    parity: ParityConfig


def run(
    config: ExportConfig, checkpoint: Checkpoint, texts: Sequence[str], provenance: Mapping[str, Any], slot: Slot
) -> Bundle:
    """Assemble the bundle.

    Args:
        config: licences, ONNX options, parity.
        checkpoint: a calibrated checkpoint.
        texts: real texts to measure parity on, none of them a test text.
        provenance: what the checkpoint was trained on, `PreparedData.provenance`.
        slot: where the bundle goes.

    Raises:
        UserError: the checkpoint is not calibrated, or fp32 parity fails.
    """
    check(config)
    _check_checkpoint(checkpoint)
    with slot.fill(Bundle) as draft:
        _clear(draft.folder)
        _copy(checkpoint, draft.folder)
        say("export: ONNX fp32 and int8")
        (draft.folder / "onnx").mkdir(exist_ok=True)
        export_graph(checkpoint.model(), draft.folder / FP32, config.opset)
        quantise(draft.folder / FP32, draft.folder / INT8, config.quantise)
        parity = _parity(config.parity, checkpoint, texts, draft.folder)
        write_json(draft.folder / "parity.json", parity.to_dict())
        draft.metrics.update(_figures(draft.folder, parity))
        write_manifest(draft.folder, _header(config, checkpoint, provenance))
    return Bundle.open(slot.path)


def _check_checkpoint(checkpoint: Checkpoint) -> None:
    for name in _COPIED:
        if not (checkpoint.path / name).is_file():
            raise UserError(
                f"{checkpoint.path / name}: no such file. Export needs a calibrated checkpoint: run calibrate first."
            )
    columns = read_json(checkpoint.path / "config.json").get("id2label", {})
    labels = checkpoint.taxonomy_dict["labels"]
    if [columns.get(str(column)) for column in range(len(columns))] != labels:
        raise UserError(f"{checkpoint.path / 'config.json'}: id2label is not the taxonomy's order {labels}.")


def check(config: ExportConfig) -> None:
    """Raise UserError for a value out of range."""
    for key in ("texts", "neighbours", "padding"):
        if getattr(config.parity, key) < 1:
            raise UserError(f"export.parity.{key} must be at least 1, got {getattr(config.parity, key)}.")
    if config.parity.max_logit_difference <= 0:
        raise UserError(
            f"export.parity.max_logit_difference must be above 0, got {config.parity.max_logit_difference}."
        )


def _clear(folder: Path) -> None:
    """Drop what a killed attempt left behind: the manifest lists every file it finds."""
    shutil.rmtree(folder)
    folder.mkdir()


def _copy(checkpoint: Checkpoint, folder: Path) -> None:
    for name in _COPIED:
        shutil.copyfile(checkpoint.path / name, folder / name)
    # transformers 5 no longer writes this file; older readers and other languages still look for it
    write_json(folder / "special_tokens_map.json", checkpoint.tokenizer().special_tokens_map)


def _parity(config: ParityConfig, checkpoint: Checkpoint, texts: Sequence[str], folder: Path) -> Parity:
    chosen = list(texts)[:: max(1, len(texts) // config.texts)][: config.texts]
    if not chosen:
        raise UserError("export: no texts to measure parity on. Give validation texts.")
    reference = predict_logits(checkpoint.model(), checkpoint.tokenizer(), chosen)
    return measure_parity(folder, reference, chosen, config)


def _figures(folder: Path, parity: Parity) -> dict[str, Any]:
    figures: dict[str, Any] = {"texts": parity.texts}
    for name, file in (("fp32", FP32), ("int8", INT8)):
        figures[f"{name}_bytes"] = (folder / file).stat().st_size
        figures[f"{name}_max_logit_difference"] = parity.files[file].against_source.max_logit_difference
    return figures


def _header(config: ExportConfig, checkpoint: Checkpoint, provenance: Mapping[str, Any]) -> dict[str, Any]:
    taxonomy = checkpoint.taxonomy_dict
    return {
        "taxonomy": {"name": taxonomy["name"], "version": taxonomy["version"]},
        "licence": config.licence if provenance["commercial_use"] else config.restricted_licence,
        **provenance,
        "checkpoint": checkpoint.fingerprint,
    }
