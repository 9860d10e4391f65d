"""Parity: how far each ONNX file of a bundle is from what it was made from, on real texts, and what that does to
decisions.

Three comparisons per file: against its source (the checkpoint for fp32, fp32 for int8), with neighbours in the batch
against alone, and padded against alone. The last two are zero for a fair classifier; dynamic int8 shares one scale per
batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from pipelines.artifacts.progress import track
from pipelines.bundle.runtime import FP32, INT8, Classifier, decide
from pipelines.models.predict import probabilities
from pipelines.settings.errors import UserError

Logits = NDArray[np.float32]
Probabilities = NDArray[np.float32]


@dataclass
class ParityConfig:
    """How parity is measured and when it fails.

    Attributes:
        texts: at most this many texts are compared, spread evenly over those given.
        neighbours: other texts that share the batch when their influence is measured.
        padding: padding tokens added, up to the model's length, when their influence is measured.
        max_logit_difference: largest |Δlogit| between the checkpoint and the fp32 file that still passes.
    """

    texts: int
    neighbours: int
    padding: int
    max_logit_difference: float


@dataclass(frozen=True)
class Drift:
    """How far one set of scores is from another over the same n texts.

    Attributes:
        max_logit_difference: largest |Δlogit| over all texts and labels.
        mean_logit_difference: mean |Δlogit| over all texts and labels.
        flips: per action, how many decisions differ: count and share with its 95 % Wilson interval; None when
            unsupported.
    """

    max_logit_difference: float
    mean_logit_difference: float
    flips: Mapping[str, Mapping[str, Any] | None]


@dataclass(frozen=True)
class FileParity:
    """The three comparisons of one ONNX file; `source` says what it was compared with."""

    source: str
    against_source: Drift
    batch_mates: Drift
    padding: Drift


@dataclass(frozen=True)
class Parity:
    """Parity of every ONNX file, by its path in the bundle, over `texts` texts."""

    texts: int
    neighbours: int
    padding: int
    files: Mapping[str, FileParity]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for `parity.json`."""
        return asdict(self)


def measure_parity(folder: Path, reference: Logits, texts: Sequence[str], config: ParityConfig) -> Parity:
    """Compare the fp32 and int8 files of the bundle at `folder`.

    Args:
        folder: the bundle, or its draft.
        reference: the checkpoint's own logits on `texts`, float32 [n, labels].
        texts: n real texts.
        config: how many neighbours and how much padding; the tolerance of fp32.

    Raises:
        UserError: there are no texts, or the fp32 file differs from the checkpoint by more than the tolerance.
    """
    if not texts:
        raise UserError("export: no texts to measure parity on. Give validation texts.")
    fp32 = _Scores.measure(Classifier.load(folder, FP32), texts, config)
    fp32_parity = fp32.parity("checkpoint", reference, probabilities(reference))
    _require_parity(fp32_parity.against_source, config)
    int8 = _Scores.measure(Classifier.load(folder, INT8), texts, config)
    int8_parity = int8.parity(FP32, *fp32.alone)
    return Parity(len(texts), config.neighbours, config.padding, {FP32: fp32_parity, INT8: int8_parity})


@dataclass(frozen=True)
class _Scores:
    """Logits and probabilities of the same texts alone, among neighbours and padded."""

    classifier: Classifier
    alone: tuple[Logits, Probabilities]
    among: tuple[Logits, Probabilities]
    padded: tuple[Logits, Probabilities]

    @classmethod
    def measure(cls, classifier: Classifier, texts: Sequence[str], config: ParityConfig) -> "_Scores":
        rows = classifier.encode(texts)
        alone, among, padded = [], [], []
        for index, row in enumerate(track(rows, "export: parity")):
            alone.append(classifier.forward([row]))
            among.append(classifier.forward([row, *_neighbours(rows, index, config.neighbours)]))
            padded.append(classifier.forward([row], length=min(len(row) + config.padding, classifier.max_length)))
        return cls(classifier, _first_rows(alone), _first_rows(among), _first_rows(padded))

    def parity(self, source: str, logits: Logits, scores: Probabilities) -> FileParity:
        return FileParity(
            source,
            against_source=self._drift(self.alone, (logits, scores)),
            batch_mates=self._drift(self.among, self.alone),
            padding=self._drift(self.padded, self.alone),
        )

    def _drift(self, ours: tuple[Logits, Probabilities], theirs: tuple[Logits, Probabilities]) -> Drift:
        difference = np.abs(ours[0] - theirs[0])
        points = self.classifier.operating_points
        before = decide(theirs[1], self.classifier.labels, points)
        after = decide(ours[1], self.classifier.labels, points)
        flips = {action: _flips(before[action], after[action]) for action in points}
        return Drift(float(difference.max()), float(difference.mean(dtype=np.float64)), flips)


def _neighbours(rows: Sequence[Sequence[int]], index: int, count: int) -> list[list[int]]:
    """Return the next texts' tokens, cut or repeated to this text's length, so that neighbours bring no padding with
    them.
    """
    length = len(rows[index])
    others = (rows[(index + step) % len(rows)] for step in range(1, count + 1))
    return [np.resize(np.asarray(other), length).tolist() for other in others]


def _first_rows(results: Sequence[tuple[Logits, Probabilities]]) -> tuple[Logits, Probabilities]:
    return np.stack([logits[0] for logits, _ in results]), np.stack([scores[0] for _, scores in results])


def _flips(before: NDArray[np.bool_] | None, after: NDArray[np.bool_] | None) -> dict[str, Any] | None:
    if before is None or after is None:
        return None
    count, n = int(np.sum(before != after)), len(before)
    interval = binomtest(count, n).proportion_ci(0.95, method="wilson")
    share = {"value": count / n, "low": float(interval.low), "high": float(interval.high), "n": n}
    return {"count": count, "share": share}


def _require_parity(drift: Drift, config: ParityConfig) -> None:
    # not (a <= b): a NaN must fail too
    if not drift.max_logit_difference <= config.max_logit_difference:
        raise UserError(
            f"export: {FP32} differs from the checkpoint by {drift.max_logit_difference:.2e} in a logit, over "
            f"export.parity.max_logit_difference={config.max_logit_difference:.0e}. The graph or the tokenizer does "
            "not say what the checkpoint says; do not ship it."
        )
