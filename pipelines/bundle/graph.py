"""The ONNX graph of a classifier: any sequence classifier in, one self-contained file out, the same bytes every time.

Root consistency, P(root) ≥ P(harm), is a Max inside the graph, so that every consumer in every language gets it.
Nothing of the
exporting machine stays in the file: stack traces and other exporter notes are dropped.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from onnx import GraphProto, ModelProto, NodeProto

from pipelines.settings.errors import UserError

INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("logits", "probabilities")

_MAX_BYTES = 2**31 - 2**20  # a protobuf message ends at 2 GiB; the graph itself needs far less than the spared 1 MiB


class ConsistentClassifier(torch.nn.Module):
    """A classifier with the two outputs of a bundle: raw `logits` and consistent `probabilities`."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map int64 `input_ids` and `attention_mask` [batch, sequence] to float32 logits and probabilities [batch,
        labels].
        """
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        scores = torch.sigmoid(logits)
        root = scores.amax(dim=1, keepdim=True)
        return logits, torch.cat([root, scores[:, 1:]], dim=1)


def export_graph(model: Any, path: Path, opset: int) -> None:
    """Write `model` as one fp32 ONNX file with both axes dynamic; the same weights and library versions give the same
    bytes.

    Args:
        model: an `AutoModelForSequenceClassification` in fp32 on the CPU. Its attention is switched to the eager
            implementation, which exports to a quarter fewer nodes than SDPA and runs about 5 % faster at small sizes.
        path: file to write; its folder exists.
        opset: ONNX operator set.

    Raises:
        UserError: the weights do not fit into one ONNX file.
    """
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    if size > _MAX_BYTES:
        raise UserError(
            f"{path}: {size / 2**30:.1f} GiB of weights do not fit into one ONNX file (2 GiB). Distil a smaller model."
        )
    model.set_attn_implementation("eager")
    # two tensors, not one twice: the exporter takes an aliased input for one and the same and drops the other
    examples = torch.ones(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64)
    axes = {0: "batch", 1: "sequence"}
    with _quiet():
        program = torch.onnx.export(
            ConsistentClassifier(model).eval(),
            examples,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=dict.fromkeys(INPUTS, axes),
            opset_version=opset,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    graph_model = program.model_proto
    strip(graph_model)
    path.write_bytes(graph_model.SerializeToString(deterministic=True))


def strip(model: ModelProto) -> None:
    """Drop what does not compute: exporter notes (stack traces with paths among them), doc strings, inferred shapes."""
    _forget(model)
    _strip_graph(model.graph)
    for function in model.functions:
        _forget(function)
        for node in function.node:
            _strip_node(node)


def _strip_graph(graph: GraphProto) -> None:
    _forget(graph)
    del graph.value_info[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        _forget(value)
    for node in graph.node:
        _strip_node(node)


def _strip_node(node: NodeProto) -> None:
    _forget(node)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            _strip_graph(attribute.g)


def _forget(message: Any) -> None:
    message.doc_string = ""
    del message.metadata_props[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks about packages that are not installed and axis names that are shared."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
