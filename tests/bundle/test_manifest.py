import json
from pathlib import Path

import pytest

from pipelines.bundle.bundle import Bundle
from pipelines.bundle.manifest import BundleError, read_manifest, verify, write_manifest
from pipelines.settings.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    write_manifest(tmp_path, {"name": "toy"})
    return tmp_path


def test_lists_every_file_with_its_size_and_hash(folder: Path):
    manifest = verify(folder)
    assert manifest["name"] == "toy"
    assert list(manifest["files"]) == ["config.json", "onnx/model.onnx"]
    assert manifest["files"]["onnx/model.onnx"]["bytes"] == 7
    assert len(manifest["files"]["onnx/model.onnx"]["sha256"]) == 64


def test_names_a_file_that_differs_in_one_byte(folder: Path):
    (folder / "onnx" / "model.onnx").write_bytes(b"weighty")
    with pytest.raises(BundleError, match=r"onnx/model\.onnx: differs"):
        verify(folder)


def test_names_a_missing_and_an_unlisted_file_together(folder: Path):
    (folder / "config.json").unlink()
    (folder / "extra.bin").write_bytes(b"?")
    with pytest.raises(BundleError, match=r"config\.json: missing; extra\.bin: not listed"):
        verify(folder)


def test_ignores_what_is_written_after_it(folder: Path):
    for name in ("artifact.json", "model.sig"):
        (folder / name).write_text("{}")
    verify(folder)


def test_a_path_that_leaves_the_bundle_is_only_missing(folder: Path):
    manifest = read_manifest(folder)
    manifest["files"]["../outside"] = {"sha256": "0" * 64, "bytes": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"\.\./outside: missing"):
        verify(folder)


@pytest.mark.parametrize("content", ["", "[]", '{"name": "toy"}', '{"files": []}', "\x00"])
def test_a_broken_manifest_is_named(folder: Path, content: str):
    (folder / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        verify(folder)


def test_the_artifact_tells_a_person(own_bundle: Bundle):
    own_bundle.verify()
    (own_bundle.path / "taxonomy.json").write_text("{}")
    with pytest.raises(UserError, match=r"taxonomy\.json: differs"):
        own_bundle.verify()
