"""The runtime that other deployments take: text in, scores and decisions out, with onnxruntime, tokenizers and numpy
alone.

Imports nothing of this project but the manifest's check, so the same file runs where torch and transformers are not
installed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from pipelines.bundle.manifest import BundleError, verify

FP32 = "onnx/model.onnx"
INT8 = "onnx/model_quantized.onnx"

# A text is cut to this many characters per token the model can read before it is tokenised: one of a million characters
# would otherwise take three seconds and 600 MB to tokenise, only to be cut afterwards.
_CHARACTERS_PER_TOKEN = 64


@dataclass(frozen=True)
class Predictions:
    """Scores of n texts, columns in the bundle's label order (root first).

    Attributes:
        logits: float32 [n, labels], before the root is made consistent.
        probabilities: float32 [n, labels], calibrated, column 0 at least as high as any other.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]


class Classifier:
    """One opened ONNX file of a bundle with its tokenizer and operating points.

    Example:
        >>> classifier = Classifier.load("bundle", threads=2)
        >>> predictions = classifier.predict(["今天天气真好"])
        >>> classifier.actions(predictions.probabilities)["remind"]
        array([False])
    """

    def __init__(
        self,
        session: Any,
        tokenizer: Any,
        labels: tuple[str, ...],
        pad_id: int,
        operating_points: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.session = session
        self.tokenizer = tokenizer
        self.labels = labels
        self.pad_id = pad_id
        self.operating_points = operating_points

    @classmethod
    def load(cls, folder: Path | str, file: str = INT8, threads: int = 1, check: bool = False) -> Self:
        """Open a bundle.

        Args:
            folder: the bundle.
            file: which ONNX file of it, relative to the folder.
            threads: threads of one forward pass. Explicit, because onnxruntime would size its pool to the host and not
                to the container. Tokenising is one call per text and uses the calling thread alone.
            check: compare every file with the manifest first.

        Raises:
            BundleError: a file is missing, can't be read, or (with `check`) differs from the manifest.
        """
        folder = Path(folder)
        if check:
            verify(folder)
        config = _json(folder, "config.json")
        tokenizer = _tokenizer(folder)
        labels = tuple(config["id2label"][str(column)] for column in range(len(config["id2label"])))
        points = _json(folder, "operating_points.json")["actions"]
        return cls(_session(folder, file, threads), tokenizer, labels, int(config["pad_token_id"] or 0), points)

    @property
    def max_length(self) -> int:
        """Tokens per text that the model can read, special tokens included."""
        return int(self.tokenizer.truncation["max_length"])

    def predict(
        self, texts: Sequence[str], contexts: Sequence[str | None] | None = None, batch_size: int = 32
    ) -> Predictions:
        """Score texts; the result keeps their order.

        Args:
            texts: n strings, any: empty, very long (cut at the model's length), control characters, lone surrogates.
            contexts: the post each text answers, or None for a text without one.
            batch_size: texts per forward pass. Texts of similar length share a pass, so little time goes into padding.

        Raises:
            ValueError: `contexts` has another length than `texts`, or `batch_size` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        rows = self.encode(texts, contexts)
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        logits = np.empty((len(rows), len(self.labels)), dtype=np.float32)
        probabilities = np.empty_like(logits)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            logits[batch], probabilities[batch] = self.forward([rows[row] for row in batch])
        return Predictions(logits, probabilities)

    def encode(self, texts: Sequence[str], contexts: Sequence[str | None] | None = None) -> list[list[int]]:
        """Return the token ids of every text (or pair of text and context), cut at the model's length, not padded."""
        if contexts is None:
            return [self.tokenizer.encode(self._readable(text)).ids for text in texts]
        if len(contexts) != len(texts):
            raise ValueError(f"{len(texts)} texts but {len(contexts)} contexts")
        return [
            self.tokenizer.encode(self._readable(text), None if context is None else self._readable(context)).ids
            for text, context in zip(texts, contexts, strict=True)
        ]

    def forward(
        self, rows: Sequence[Sequence[int]], length: int = 0
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run one batch: n rows of token ids, padded to the longest of them or to `length`, whichever is more.

        Returns:
            logits and probabilities, float32 [n, labels].
        """
        width = max(length, max(map(len, rows)))
        ids = np.full((len(rows), width), self.pad_id, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        logits, probabilities = self.session.run(
            ["logits", "probabilities"], {"input_ids": ids, "attention_mask": mask}
        )
        return logits, probabilities

    def actions(self, probabilities: NDArray[np.float32]) -> dict[str, NDArray[np.bool_] | None]:
        """Return for every action whether to take it, bool [n]: the score of its label reaches its threshold.

        An action whose operating point the data could not support is None: nobody may read a "no" out of a missing
        threshold.
        """
        return decide(probabilities, self.labels, self.operating_points)

    def _readable(self, text: str) -> str:
        return well_formed(text[: self.max_length * _CHARACTERS_PER_TOKEN])


def decide(
    probabilities: NDArray[np.float32], labels: Sequence[str], operating_points: Mapping[str, Mapping[str, Any]]
) -> dict[str, NDArray[np.bool_] | None]:
    """Apply operating points to probabilities [n, labels]; see `Classifier.actions`."""
    decisions: dict[str, NDArray[np.bool_] | None] = {}
    for action, point in operating_points.items():
        supported = point["status"] == "supported"
        decisions[action] = probabilities[:, labels.index(point["label"])] >= point["threshold"] if supported else None
    return decisions


def well_formed(text: str) -> str:
    """Return `text` with lone surrogates replaced by U+FFFD; they can't be encoded, and the tokenizer would raise on
    them.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _tokenizer(folder: Path) -> Any:
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises bare Exception for every cause
        raise BundleError(f"{path}: can't be opened as a tokenizer ({error}).") from None
    tokenizer.enable_truncation(
        int(_json(folder, "tokenizer_config.json")["model_max_length"]), strategy="longest_first"
    )
    tokenizer.no_padding()
    return tokenizer


def _session(folder: Path, file: str, threads: int) -> Any:
    path = folder / file
    if not path.is_file():
        raise BundleError(f"{path}: no such file in this bundle.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no narrower base
        raise BundleError(f"{path}: onnxruntime can't open it ({error}).") from None


def _json(folder: Path, name: str) -> Any:
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{folder / name}: no such file in this bundle.") from None
    except ValueError as error:
        raise BundleError(f"{folder / name}: not valid JSON ({error}).") from None
