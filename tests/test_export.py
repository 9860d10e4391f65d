import json
from pathlib import Path

import pytest
from tiny_bundle import PROVENANCE, make_bundle, make_checkpoint, make_config, make_texts

from pipelines.artifacts.folder import Slot
from pipelines.export import run
from pipelines.settings.errors import UserError


def test_same_inputs_give_the_same_bytes_and_say_where_they_came_from(tmp_path: Path):
    first, second = make_bundle(tmp_path / "a"), make_bundle(tmp_path / "b")
    assert first.manifest == second.manifest
    assert first.manifest["mixture"] == "toy"
    assert first.manifest["licence"] == "Apache-2.0"
    assert first.manifest["taxonomy"] == {"name": "toy", "version": 3}
    assert first.manifest["licence_notes"] == ["made in a test"]
    assert first.manifest["checkpoint"] == "fingerprint-of-the-checkpoint"
    assert first.metrics["int8_bytes"] < first.metrics["fp32_bytes"]
    first.verify()


def test_what_a_killed_attempt_left_does_not_get_into_the_bundle(tmp_path: Path):
    (tmp_path / "bundle.partial" / "onnx").mkdir(parents=True)
    (tmp_path / "bundle.partial" / "onnx" / "stale.onnx").write_bytes(b"old")
    assert "onnx/stale.onnx" not in make_bundle(tmp_path).manifest["files"]


def test_an_uncalibrated_checkpoint_is_sent_back(tmp_path: Path):
    checkpoint = make_checkpoint(tmp_path / "checkpoint", calibrated=False)
    with pytest.raises(UserError, match=r"operating_points\.json.*calibrate"):
        run(make_config(), checkpoint, make_texts(4), PROVENANCE, Slot(tmp_path / "bundle", "f"))
    assert not (tmp_path / "bundle").exists()


def test_columns_in_another_order_than_the_taxonomy_are_refused(tmp_path: Path):
    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    path = checkpoint.path / "config.json"
    config = json.loads(path.read_text())
    config["id2label"]["1"], config["id2label"]["2"] = config["id2label"]["2"], config["id2label"]["1"]
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match="id2label"):
        run(make_config(), checkpoint, make_texts(4), PROVENANCE, Slot(tmp_path / "bundle", "f"))


def test_a_corpus_that_forbids_commercial_use_decides_the_licence(tmp_path: Path):
    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    restricted = {**PROVENANCE, "commercial_use": False}
    bundle = run(make_config(), checkpoint, make_texts(4), restricted, Slot(tmp_path / "bundle", "f"))
    assert bundle.manifest["licence"] == "CC-BY-NC-4.0"
    assert bundle.manifest["commercial_use"] is False


def test_no_texts_and_bad_numbers_are_refused(tmp_path: Path):
    checkpoint = make_checkpoint(tmp_path / "checkpoint")
    with pytest.raises(UserError, match="no texts"):
        run(make_config(), checkpoint, [], PROVENANCE, Slot(tmp_path / "bundle", "f"))
    config = make_config()
    config.parity.neighbours = 0
    with pytest.raises(UserError, match=r"export\.parity\.neighbours"):
        run(config, checkpoint, make_texts(4), PROVENANCE, Slot(tmp_path / "bundle", "f"))
