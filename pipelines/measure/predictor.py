"""What `evaluate` and `gate` measure: anything that turns texts into logits and probabilities in taxonomy order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.bundle.bundle import Bundle
from pipelines.models.checkpoint import Checkpoint
from pipelines.models.predict import predict_logits, probabilities

Scores = NDArray[np.float32]


class Predictor(Protocol):
    """A candidate."""

    def predict(self, texts: Sequence[str], contexts: Sequence[str | None]) -> tuple[Scores, Scores]:
        """Return logits and probabilities, float32 `[n, labels]` each, in the order of `texts`."""
        ...


@dataclass(frozen=True)
class CheckpointPredictor:
    """A torch checkpoint as a candidate."""

    checkpoint: Checkpoint

    def predict(self, texts: Sequence[str], contexts: Sequence[str | None]) -> tuple[Scores, Scores]:
        """Return logits and probabilities, float32 `[n, labels]` each."""
        model, tokenizer = self.checkpoint.model(), self.checkpoint.tokenizer()
        logits = predict_logits(model, tokenizer, texts, contexts)
        return logits, probabilities(logits)


@dataclass(frozen=True)
class BundlePredictor:
    """One ONNX file of a bundle as a candidate, scored by the runtime that other deployments use."""

    bundle: Bundle
    file: str

    def predict(self, texts: Sequence[str], contexts: Sequence[str | None]) -> tuple[Scores, Scores]:
        """Return logits and probabilities, float32 `[n, labels]` each."""
        predictions = self.bundle.classifier(self.file).predict(texts, contexts)
        return predictions.logits, predictions.probabilities
