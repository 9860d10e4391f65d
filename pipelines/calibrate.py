"""Fit scale and bias per label on validation data, fold them into the last layer, and find the operating points.

Reads PreparedData and a Checkpoint, returns a Checkpoint with the same architecture, calibrated logits and
`operating_points.json`.
    python train.py pipeline=calibrate
"""

from dataclasses import dataclass

import numpy as np
import torch

from pipelines.artifacts.folder import Slot, write_json
from pipelines.corpora import PreparedData
from pipelines.corpora.labels import label_matrix
from pipelines.measure.operating_points import OperatingPointsConfig, calibrate_operating_points
from pipelines.models import Checkpoint
from pipelines.models.checkpoint import save_checkpoint
from pipelines.models.fold import fold_calibration
from pipelines.models.predict import predict_logits, probabilities
from pipelines.models.scaling import fit_scaling
from pipelines.taxonomy import Taxonomy


@dataclass
class CalibrateConfig:
    """How calibration is fitted.

    Attributes:
        min_rows: labels with fewer known validation rows of either class keep their scores.
    """

    min_rows: int
    operating_points: OperatingPointsConfig


def run(
    config: CalibrateConfig, data: PreparedData, checkpoint: Checkpoint, taxonomy: Taxonomy, seed: int, slot: Slot
) -> Checkpoint:
    """Calibrate on validation rows only; the test split is never read here."""
    rows = data.split("validation")
    truth = label_matrix(rows, taxonomy)
    model, tokenizer = checkpoint.model(), checkpoint.tokenizer()
    logits = predict_logits(model, tokenizer, list(rows["text"]), list(rows["context"]))
    scaling = fit_scaling(logits, truth, config.min_rows)
    fold_calibration(model, torch.from_numpy(scaling.scale), torch.from_numpy(scaling.bias))
    scores = probabilities(logits * scaling.scale + scaling.bias)
    groups = np.array([group or key for group, key in zip(rows["group"], rows["text_key"], strict=True)])
    points = calibrate_operating_points(truth[:, 0], scores[:, 0], taxonomy, groups, seed, config.operating_points)
    with slot.fill(Checkpoint) as draft:
        save_checkpoint(draft.folder, model, tokenizer, taxonomy)
        write_json(draft.folder / "operating_points.json", points)
        write_json(draft.folder / "calibration.json", scaling.to_dict(taxonomy.labels))
        supported = [name for name, point in points["actions"].items() if point["status"] == "supported"]
        draft.metrics.update(labels_calibrated=int(scaling.fitted.sum()), operating_points_supported=len(supported))
        draft.metrics.update(nll_before=scaling.nll_before, nll_after=scaling.nll_after)
    return Checkpoint.open(slot.path)
