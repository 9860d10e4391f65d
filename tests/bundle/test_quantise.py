from pathlib import Path

import onnx
import pytest

from pipelines.bundle.bundle import Bundle
from pipelines.bundle.quantise import QuantiseConfig, quantise
from pipelines.bundle.runtime import FP32, INT8

FLOAT, INT8_TYPE, UINT8_TYPE = onnx.TensorProto.FLOAT, onnx.TensorProto.INT8, onnx.TensorProto.UINT8


def matrices(path: Path, *types: int) -> list[list[int]]:
    initializers = onnx.load(path).graph.initializer
    return [list(tensor.dims) for tensor in initializers if tensor.data_type in types and len(tensor.dims) == 2]


def test_multiplied_weights_are_signed_bytes_but_for_the_last(shared_bundle: Bundle):
    assert len(matrices(shared_bundle.path / INT8, INT8_TYPE)) == 2 * 6 + 1, "six per layer and the pooler"
    assert matrices(shared_bundle.path / INT8, FLOAT) in ([[4, 32]], [[32, 4]])


def test_embedding_can_stay_fp32(shared_bundle: Bundle, tmp_path: Path):
    quantise(shared_bundle.path / FP32, tmp_path / "int8.onnx", QuantiseConfig(embedding=False, per_channel=False))
    assert len(matrices(shared_bundle.path / INT8, UINT8_TYPE)) == 3
    assert len(matrices(tmp_path / "int8.onnx", UINT8_TYPE)) == 0
    assert (tmp_path / "int8.onnx").stat().st_size > (shared_bundle.path / INT8).stat().st_size


@pytest.mark.parametrize("per_channel", [False, True])
def test_same_graph_gives_the_same_bytes(shared_bundle: Bundle, tmp_path: Path, per_channel: bool):
    for name in ("once.onnx", "twice.onnx"):
        quantise(shared_bundle.path / FP32, tmp_path / name, QuantiseConfig(embedding=True, per_channel=per_channel))
    assert (tmp_path / "once.onnx").read_bytes() == (tmp_path / "twice.onnx").read_bytes()


def test_inputs_and_outputs_stay_as_they_were(shared_bundle: Bundle):
    def types(path: Path) -> dict[str, int]:
        graph = onnx.load(path).graph
        return {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}

    assert types(shared_bundle.path / INT8) == types(shared_bundle.path / FP32)
