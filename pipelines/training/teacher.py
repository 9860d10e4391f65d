"""TeacherScores: what `teach` leaves for `distill` to learn from and for `evaluate` to compare the student with."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.artifacts.folder import Artifact

SPLITS = ("train", "validation", "test", "unlabelled")


class TeacherScores(Artifact):
    """One logit per text and label of every split, in the order of the prepared rows."""

    kind: ClassVar[str] = "teacher_scores"

    def of(self, split: str) -> NDArray[np.float32]:
        """Return the logits of one of SPLITS, float32 `[n, labels]`."""
        logits: NDArray[np.float32] = np.load(self.path / f"{split}.npy", allow_pickle=False)
        return logits
