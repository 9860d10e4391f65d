"""Scores of a torch model for many texts, length-bucketed so that short texts don't pay for long neighbours."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pipelines.artifacts.progress import track
from pipelines.models.tokenizer import encode


def predict_logits(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    contexts: Sequence[str | None] | None = None,
    batch_size: int = 64,
) -> NDArray[np.float32]:
    """Return float32 logits `[n, l]` in the order of `texts`."""
    ids = encode(tokenizer, list(texts), list(contexts) if contexts is not None else None)
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    logits = np.zeros((len(ids), model.config.num_labels), np.float32)
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    device = model.device
    model.eval()
    with torch.inference_mode():
        for batch in track(batches, "scoring"):
            padded = tokenizer.pad({"input_ids": [ids[index] for index in batch]}, return_tensors="pt").to(device)
            logits[batch] = model(**padded).logits.float().cpu().numpy()
    return logits


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 `[n, l]`: sigmoid, with the root raised to at least its most probable harm."""
    scores = expit(logits.astype(np.float64))
    if len(scores):
        scores[:, 0] = scores.max(axis=1)
    return scores.astype(np.float32)
