from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from pipelines.bundle.graph import export_graph
from pipelines.models import Checkpoint


@pytest.fixture(scope="module")
def graph(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    export_graph(checkpoint.model(), path, opset=20)
    return path


def run(path: Path, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return tuple(session.run(["logits", "probabilities"], {"input_ids": ids, "attention_mask": np.ones_like(ids)}))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (3, 48)])
def test_agrees_with_torch_for_every_shape(graph: Path, checkpoint: Checkpoint, shape: tuple[int, int]):
    ids = np.random.default_rng(0).integers(5, 40, size=shape)
    with torch.inference_mode():
        expected = checkpoint.model()(input_ids=torch.tensor(ids)).logits.numpy()
    logits, _ = run(graph, ids)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_root_is_at_least_every_harm_and_harms_are_plain_sigmoids(graph: Path):
    logits, probabilities = run(graph, np.random.default_rng(1).integers(5, 40, size=(64, 9)))
    assert (logits[:, 0] < logits[:, 1:].max(axis=1)).any(), "the case that needs the Max must occur"
    assert (probabilities[:, 0] == probabilities.max(axis=1)).all()
    np.testing.assert_allclose(probabilities[:, 1:], 1 / (1 + np.exp(-logits[:, 1:])), atol=1e-6)


def test_inputs_and_outputs_are_named_typed_and_dynamic(graph: Path):
    model = onnx.load(graph)
    axes = {
        value.name: (value.type.tensor_type.elem_type, [axis.dim_param for axis in value.type.tensor_type.shape.dim])
        for value in (*model.graph.input, *model.graph.output)
    }
    assert axes == {
        "input_ids": (onnx.TensorProto.INT64, ["batch", "sequence"]),
        "attention_mask": (onnx.TensorProto.INT64, ["batch", "sequence"]),
        "logits": (onnx.TensorProto.FLOAT, ["batch", ""]),
        "probabilities": (onnx.TensorProto.FLOAT, ["batch", ""]),
    }


def test_same_model_gives_the_same_bytes_in_one_file(graph: Path, checkpoint: Checkpoint, tmp_path: Path):
    export_graph(checkpoint.model(), tmp_path / "again.onnx", opset=20)
    assert (tmp_path / "again.onnx").read_bytes() == graph.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.onnx"]


def test_nothing_of_the_exporting_machine_is_in_the_file(graph: Path):
    content = graph.read_bytes()
    assert not [
        word for word in (b".py", b"site-packages", b"stack_trace", str(Path.home()).encode() + b"/") if word in content
    ]
