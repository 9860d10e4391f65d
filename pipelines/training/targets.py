"""Everything the loss needs about a row, packed into the one float tensor that Trainer carries as `labels`.

Packing keeps Trainer's stock collation, gradient accumulation and evaluation; `unpack` gives the parts their names.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Targets(NamedTuple):
    """Parts of a batch's targets: `truth`, `any_of`, `teacher` are `[b, l]`; `weight` and `corpus` are `[b]`."""

    truth: Tensor
    any_of: Tensor
    teacher: Tensor
    weight: Tensor
    corpus: Tensor


def pack(
    truth: NDArray[np.float32],
    any_of: NDArray[np.bool_],
    teacher: NDArray[np.float32] | None,
    weight: NDArray[np.float32],
    corpus: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return float32 `[n, 3 * l + 2]`; a row without teacher logits carries NaN there."""
    soft = np.full_like(truth, np.nan) if teacher is None else teacher
    parts = [truth, any_of.astype(np.float32), soft, weight[:, None], corpus[:, None].astype(np.float32)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def unpack(packed: Tensor) -> Targets:
    """Return the parts of `packed` `[b, 3 * l + 2]`."""
    labels = (packed.shape[1] - 2) // 3
    truth, any_of, teacher = (packed[:, start * labels : (start + 1) * labels] for start in range(3))
    return Targets(truth, any_of > 0, teacher, packed[:, -2], packed[:, -1].long())


def unpack_array(packed: NDArray[np.float32]) -> Targets:
    """Return the parts of a packed numpy array, as tensors that share its memory."""
    return unpack(torch.from_numpy(np.ascontiguousarray(packed)))
