import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import make_config, make_data, make_taxonomy
from transformers import BertModel

from pipelines import calibrate
from pipelines.artifacts.folder import Slot
from pipelines.corpora import PreparedData
from pipelines.corpora.labels import label_matrix
from pipelines.measure.operating_points import OperatingPointsConfig
from pipelines.models import Checkpoint
from pipelines.models.checkpoint import save_checkpoint
from pipelines.models.encoder import build_classifier
from pipelines.models.predict import predict_logits
from pipelines.models.tokenizer import learn_tokenizer
from pipelines.settings.errors import UserError

CONFIG = calibrate.CalibrateConfig(min_rows=5, operating_points=OperatingPointsConfig(resamples=100, min_positives=5))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return make_data(tmp_path_factory.mktemp("data"), full=160)


@pytest.fixture(scope="module")
def checkpoint(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A model that was never trained: badly calibrated, and quick to make."""
    config, taxonomy = make_config(), make_taxonomy()
    tokenizer = learn_tokenizer(data.split("train")["text"], config.encoder.tokenizer, config.encoder.max_length)
    model = build_classifier(config.encoder, tokenizer, taxonomy, seed=2)
    torch.nn.init.constant_(model.classifier.bias, 2.0)
    slot = Slot(tmp_path_factory.mktemp("raw") / "raw", "raw")
    with slot.fill(Checkpoint) as draft:
        save_checkpoint(draft.folder, model, tokenizer, taxonomy)
    return Checkpoint.open(slot.path)


@pytest.fixture(scope="module")
def calibrated(data: PreparedData, checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    slot = Slot(tmp_path_factory.mktemp("calibrated") / "calibrated", "calibrated")
    return calibrate.run(CONFIG, data, checkpoint, make_taxonomy(), 17, slot)


def scores(checkpoint: Checkpoint, data: PreparedData, split: str) -> np.ndarray:
    rows = data.split(split)
    return predict_logits(checkpoint.model(), checkpoint.tokenizer(), list(rows["text"]), list(rows["context"]))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_written_map_is_the_one_folded_in(
    data: PreparedData, checkpoint: Checkpoint, calibrated: Checkpoint, split: str
) -> None:
    before, after = scores(checkpoint, data, split), scores(calibrated, data, split)
    fitted = json.loads((calibrated.path / "calibration.json").read_text(encoding="utf-8"))
    assert list(fitted) == list(make_taxonomy().labels)
    scale = np.array([entry["scale"] for entry in fitted.values()])
    bias = np.array([entry["bias"] for entry in fitted.values()])
    np.testing.assert_allclose(after, before * scale + bias, atol=1e-5)
    assert (scale > 0).all()


def test_labels_without_both_classes_keep_their_scores(
    data: PreparedData, checkpoint: Checkpoint, calibrated: Checkpoint
) -> None:
    truth = label_matrix(data.split("validation"), make_taxonomy())
    enough = [(truth[:, column] == 1).sum() >= 5 <= (truth[:, column] == 0).sum() for column in range(truth.shape[1])]
    fitted = json.loads((calibrated.path / "calibration.json").read_text(encoding="utf-8"))
    assert [entry["fitted"] for entry in fitted.values()] == enough
    assert calibrated.metrics["labels_calibrated"] == sum(enough) > 0
    before, after = scores(checkpoint, data, "test"), scores(calibrated, data, "test")
    untouched = ~np.array(enough)
    np.testing.assert_allclose(after[:, untouched], before[:, untouched], atol=1e-6)


def test_calibration_helps_and_only_the_head_changed(
    data: PreparedData, checkpoint: Checkpoint, calibrated: Checkpoint
) -> None:
    assert calibrated.metrics["nll_after"] < calibrated.metrics["nll_before"]
    truth = label_matrix(data.split("validation"), make_taxonomy())
    predicted = 1 / (1 + np.exp(-scores(calibrated, data, "validation")[:, 0]))
    known = ~np.isnan(truth[:, 0])
    assert predicted[known].mean() == pytest.approx(truth[known, 0].mean(), abs=0.05)
    old, new = checkpoint.model(), calibrated.model()
    encoders: tuple[BertModel, BertModel] = old.bert, new.bert
    ours, theirs = (encoder.state_dict() for encoder in encoders)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert new.config.id2label == old.config.id2label


def test_operating_points_say_what_the_data_carries(calibrated: Checkpoint) -> None:
    points = calibrated.operating_points
    assert points is not None
    assert set(points["actions"]) == set(make_taxonomy().actions)
    supported = [name for name, point in points["actions"].items() if point["status"] == "supported"]
    assert calibrated.metrics["operating_points_supported"] == len(supported)
    for name, point in points["actions"].items():
        assert (point["threshold"] is None) == (name not in supported)
        assert (point["reason"] is None) == (name in supported)


def test_the_test_split_is_never_read(
    data: PreparedData, checkpoint: Checkpoint, calibrated: Checkpoint, tmp_path: Path
) -> None:
    for name in ("validation", "artifact.json", "manifest.json"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).symlink_to(data.path / name)
    again = calibrate.run(
        CONFIG,
        PreparedData.open(tmp_path / "data"),
        checkpoint,
        make_taxonomy(),
        17,
        Slot(tmp_path / "c", "calibrated"),
    )
    for path in calibrated.path.iterdir():
        assert path.read_bytes() == (again.path / path.name).read_bytes(), path.name


def test_a_folder_that_mixes_two_models_is_refused(data: PreparedData, checkpoint: Checkpoint, tmp_path: Path) -> None:
    slot = Slot(tmp_path / "mixed", "mixed")
    other = learn_tokenizer(["".join(map(chr, range(0x4E00, 0x4F00)))], make_config().encoder.tokenizer, 32)
    with slot.fill(Checkpoint) as draft:
        save_checkpoint(draft.folder, checkpoint.model(), other, make_taxonomy())
    with pytest.raises(UserError, match="mixes two models"):
        calibrate.run(CONFIG, data, Checkpoint.open(slot.path), make_taxonomy(), 17, Slot(tmp_path / "c", "c"))
