import json
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipelines.settings.errors import UserError
from pipelines.tracking import store
from pipelines.tracking.store import TrackingConfig

MODEL = "onnx/model.onnx"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sqlite store for the whole file: making its tables takes seconds."""
    return tmp_path_factory.mktemp("output")


@pytest.fixture(autouse=True)
def connected(output: Path) -> Iterator[None]:
    store.connect(TrackingConfig(None, "tiny"), output)
    yield
    while mlflow.active_run():
        mlflow.end_run()


def bundle(folder: Path, value: float) -> Path:
    """Write a folder with a graph that adds `value` to the mask, and a file beside it."""
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "s"]) for name in ("input_ids", "attention_mask")
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", "s"]) for name in ("logits", "probabilities")
    ]
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["ids", "value"], ["logits"]),
        helper.make_node("Add", ["mask", "value"], ["probabilities"]),
    ]
    start = [helper.make_tensor("value", TensorProto.FLOAT, [1], [value])]
    graph = helper.make_graph(nodes, "tiny", ids, outputs, start)
    (folder / "onnx").mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / MODEL)
    (folder / "manifest.json").write_text(json.dumps({"value": value}), encoding="utf-8")
    return folder


def test_runs_nest_and_keep_parameters_metrics_and_evidence(tmp_path: Path, output: Path) -> None:
    (tmp_path / "verdict.json").write_text("{}", encoding="utf-8")
    (tmp_path / "weights.bin").write_text("large", encoding="utf-8")
    with store.run("release", {"seed": 17}, nested=False):
        parent = mlflow.active_run().info.run_id
        with store.run("finetune", {"training": {"epochs": 3, "bf16": None}, "names": ["a", "b"]}, nested=True):
            child = mlflow.active_run().info.run_id
            store.log({"score": 0.5, "note": "text", "nothing": None, "supported": True}, tmp_path)
    client = mlflow.MlflowClient()
    inner = client.get_run(child)
    assert inner.data.tags["mlflow.parentRunId"] == parent
    assert inner.info.status == client.get_run(parent).info.status == "FINISHED"
    assert inner.data.params == {"training.epochs": "3", "training.bf16": "None", "names": "['a', 'b']"}
    assert inner.data.metrics == {"score": 0.5, "supported": 1.0}
    assert [entry.path for entry in client.list_artifacts(child)] == ["verdict.json"]
    assert (output / "mlflow.db").is_file()
    assert inner.info.artifact_uri.startswith((output / "mlartifacts").as_uri())


def test_a_failed_step_is_marked_failed() -> None:
    seen = []

    def step() -> None:
        with store.run("finetune", {}, nested=False):
            seen.append(mlflow.active_run().info.run_id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        step()
    assert mlflow.MlflowClient().get_run(seen[0]).info.status == "FAILED"


def test_connecting_again_finds_the_same_experiment(output: Path) -> None:
    before = mlflow.get_experiment_by_name("tiny")
    store.connect(TrackingConfig(None, "tiny"), output)
    assert mlflow.get_experiment_by_name("tiny").experiment_id == before.experiment_id


def test_a_registered_bundle_is_found_by_its_alias(tmp_path: Path) -> None:
    versions = []
    for value in (1.0, 2.0):
        with store.run("publish", {}, nested=False):
            versions.append(
                store.register(
                    bundle(tmp_path / f"bundle{value}", value), MODEL, "classifier", {"licence": "Apache-2.0"}
                )
            )
    first, second = versions
    assert first != second
    store.set_alias("classifier", "champion", first)
    store.set_alias("classifier", "candidate", second)
    for alias, value in (("champion", 1.0), ("candidate", 2.0)):
        found = store.find_bundle(f"models:/classifier@{alias}", tmp_path / "cache")
        assert found is not None
        assert json.loads((found / "manifest.json").read_text())["value"] == value
        assert (found / MODEL).read_bytes() == (tmp_path / f"bundle{value}" / MODEL).read_bytes()
    store.set_alias("classifier", "champion", second)
    moved = store.find_bundle("models:/classifier@champion", tmp_path / "cache")
    assert moved is not None
    assert json.loads((moved / "manifest.json").read_text())["value"] == 2.0
    assert store.find_bundle("models:/classifier@absent", tmp_path / "cache") is None
    registered = mlflow.MlflowClient().get_model_version_by_alias("classifier", "champion")
    assert registered.tags["licence"] == "Apache-2.0"
    loaded = mlflow.pyfunc.load_model("models:/classifier@champion")
    ones = np.ones((1, 2), np.int64)
    assert loaded.predict({"input_ids": ones, "attention_mask": ones})["logits"].tolist() == [[3.0, 3.0]]


def test_a_name_that_was_never_registered_is_no_bundle(tmp_path: Path) -> None:
    assert store.find_bundle("models:/nobody@champion", tmp_path) is None


def test_a_model_that_is_no_bundle_of_ours_is_named(tmp_path: Path) -> None:
    client = mlflow.MlflowClient()
    client.create_registered_model("foreign")
    client.create_model_version("foreign", tmp_path.as_uri())
    store.set_alias("foreign", "champion", "1")
    with pytest.raises(UserError, match="models:/foreign@champion"):
        store.find_bundle("models:/foreign@champion", tmp_path / "cache")


@pytest.mark.parametrize(
    "reference",
    [
        "classifier@champion",
        "models:/classifier",
        "models:/@champion",
        "models:/classifier@",
        "models:/classifier/1",
        "",
    ],
)
def test_other_references_are_refused(reference: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="models:/NAME@ALIAS"):
        store.find_bundle(reference, tmp_path)


@pytest.mark.parametrize("uri", ["nowhere://x", "sqlite:////proc/absent/mlflow.db", "postgresql://absent"])
def test_a_store_that_can_not_be_used_is_explained(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tracking\.uri="):
        store.connect(TrackingConfig(uri, "tiny"), tmp_path)


def test_a_store_that_fails_is_not_an_absent_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")  # nothing listens on the discard port
    with pytest.raises(UserError, match="models:/classifier@champion"):
        store.find_bundle("models:/classifier@champion", tmp_path)


def test_a_bundle_that_is_gone_is_explained(tmp_path: Path) -> None:
    with store.run("publish", {}, nested=False):
        run = mlflow.active_run().info.run_id
    client = mlflow.MlflowClient()
    client.create_registered_model("gone")
    client.create_model_version("gone", tmp_path.as_uri(), tags={"run_id": run})
    store.set_alias("gone", "champion", "1")
    with pytest.raises(UserError, match="its bundle can't be fetched"):
        store.find_bundle("models:/gone@champion", tmp_path / "cache")
