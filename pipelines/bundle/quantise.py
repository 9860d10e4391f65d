"""Dynamic int8: weights stored as signed bytes, activations quantised on the fly, float in and out.

Signed weights are what x86 with VNNI multiplies fast. One scale per activation tensor means that a text's neighbours in
the batch can move its answer a little; `parity` measures by how much.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from pipelines.bundle.graph import strip


@dataclass
class QuantiseConfig:
    """What becomes int8.

    Attributes:
        embedding: also store the embedding tables as int8: a small model's size is mostly its vocabulary.
        per_channel: one scale per output column of a weight matrix instead of one per matrix.
    """

    embedding: bool
    per_channel: bool


def quantise(source: Path, target: Path, config: QuantiseConfig) -> None:
    """Write the int8 form of the fp32 graph `source` to `target`; the same bytes in give the same bytes out.

    The matrix that makes the logits stays fp32: it costs next to nothing and its error would reach the scores undamped.
    """
    model = onnx.load(source)
    strip(model)  # the quantiser fails on the shapes that the exporter records
    last = _last_matrix(model.graph)
    operators = ["MatMul", "Gather"] if config.embedding else ["MatMul"]
    with _quiet():
        quantize_dynamic(
            model,
            target,
            op_types_to_quantize=operators,
            per_channel=config.per_channel,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[last, f"{last}_MatMul"],  # the quantiser renames a Gemm that it takes apart
        )
    quantised = onnx.load(target)
    strip(quantised)
    target.write_bytes(quantised.SerializeToString(deterministic=True))


def _last_matrix(graph: onnx.GraphProto) -> str:
    """Return the name of the matrix product nearest to the output `logits`."""
    producers = {output: node for node in graph.node for output in node.output}
    node = producers["logits"]
    while node.op_type not in ("MatMul", "Gemm"):
        node = next(producers[name] for name in node.input if name in producers)
    return str(node.name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the quantiser's advice to pre-process: fusing costs speed here (measured: 5–20 % in int8)."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)
