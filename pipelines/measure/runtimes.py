"""The runtimes that a benchmark can put on the clock, by name. Adding one is a small class here and a YAML in
`configs/runtime`.

Each imports its library when it is opened, so that load time and memory of one are not paid by another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.settings.errors import UserError, did_you_mean


@dataclass
class RuntimeConfig:
    """One way to run a bundle: schema of `configs/runtime/*.yaml`.

    Attributes:
        engine: name in `ENGINES`.
        file: the weights it opens, relative to the bundle.
    """

    engine: str
    file: str


class Runtime(Protocol):
    """Text in, probabilities out, tokenisation included."""

    def predict(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        """Return probabilities, float32 [n, labels], in the order of `texts`."""
        ...


class OnnxRuntime:
    """onnxruntime on the CPU, through the bundle's own torch-free classifier."""

    def __init__(self, bundle: Path, file: str, threads: int) -> None:
        from pipelines.bundle.runtime import Classifier

        self._classifier = Classifier.load(bundle, file, threads)

    def predict(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        """See `Runtime.predict`."""
        return self._classifier.predict(texts, batch_size=batch_size).probabilities


class TorchEager:
    """PyTorch as the model was trained: transformers' model and tokenizer, no graph, fp32 on the CPU."""

    def __init__(self, bundle: Path, file: str, threads: int) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        from pipelines.models.predict import predict_logits, probabilities

        torch.set_num_threads(threads)
        folder = (bundle / file).parent
        self._model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._predict_logits, self._probabilities = predict_logits, probabilities

    def predict(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        """See `Runtime.predict`."""
        logits = self._predict_logits(self._model, self._tokenizer, texts, batch_size=batch_size)
        return self._probabilities(logits)


ENGINES: dict[str, type[OnnxRuntime] | type[TorchEager]] = {"onnxruntime": OnnxRuntime, "torch": TorchEager}


def check_runtime(name: str, config: RuntimeConfig, bundle: Path) -> None:
    """Raise UserError when the engine does not exist or the bundle lacks the file, before any process is started."""
    if config.engine not in ENGINES:
        raise UserError(f"runtime {name}: no engine '{config.engine}'.{did_you_mean(config.engine, ENGINES)}")
    if not (bundle / config.file).is_file():
        raise UserError(f"runtime {name}: {bundle} has no '{config.file}'.")


def open_runtime(bundle: Path, config: RuntimeConfig, threads: int) -> Runtime:
    """Open the weights that `config` names, on `threads` threads."""
    return ENGINES[config.engine](bundle, config.file, threads)
