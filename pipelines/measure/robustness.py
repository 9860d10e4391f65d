"""What is left of a candidate when texts are cloaked: violations missed, and harmless texts flagged.

Every cloak is applied to violations and to harmless texts alike, because a filter that flags whatever looks odd is not
robust. The same texts are compared plain and cloaked, so the drop is paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.artifacts.progress import track
from pipelines.corpora.cloaks import check, cloak
from pipelines.measure.accuracy import confusion, macro_f1
from pipelines.measure.predictor import Predictor
from pipelines.measure.statistics import Resamples, bootstrap, paired_difference, share
from pipelines.settings.errors import UserError

Scores = NDArray[np.float32]


@dataclass
class RobustnessConfig:
    """Which cloaks are measured, and on what.

    Attributes:
        corpora: of the mixture, those whose test rows are cloaked; empty skips the measurement.
        cloaks: names from `pipelines.corpora.cloaks`, or several joined by `+`.
        rate: share of the characters that a cloak rewrites.
        texts: at most this many test rows per corpus, spread evenly.
        seed: of the choice of characters.
    """

    corpora: list[str]
    cloaks: list[str]
    rate: float
    texts: int
    seed: int

    def check(self) -> None:
        """Raise UserError for an unknown cloak or a value out of range."""
        for names in self.cloaks:
            check(names, self.rate)
        if self.texts < 1:
            raise UserError(f"robustness.texts must be at least 1, got {self.texts}.")


def cloaked_figures(
    candidate: Predictor,
    texts: Sequence[str],
    contexts: Sequence[str | None],
    truth: Scores,
    groups: NDArray[np.int64],
    threshold: float,
    resample: tuple[int, int],
    config: RobustnessConfig,
) -> dict[str, Any]:
    """Return recall, false positive rate and macro-F1 of the root, plain and under every cloak.

    Args:
        candidate: what is measured.
        texts: n texts; only they are cloaked, not their contexts.
        contexts: n parent posts or None.
        truth: float32 `[n]`, the root, NaN = unknown (left out).
        groups: int64 `[n]`, see `group_codes`.
        threshold: score from which a text counts as flagged.
        resample: how many bootstrap resamples, and their seed.
        config: cloaks, rate, number of texts.

    Returns:
        Per cloak, `plain` first: `recall`, `false_positive_rate`, `macro_f1`, and `macro_f1_drop` (plain minus cloaked,
        paired).
    """
    known = np.flatnonzero(~np.isnan(truth))
    rows = known[np.linspace(0, len(known) - 1, min(config.texts, len(known)), dtype=np.int64)]
    chosen, parents = [texts[row] for row in rows], [contexts[row] for row in rows]
    own = np.unique(groups[rows], return_inverse=True)[1].astype(np.int64)
    resamples = Resamples.draw(own, *resample)
    positive, negative = truth[rows] == 1, truth[rows] == 0
    figures, plain = {}, None
    for name in track(["plain", *config.cloaks], "cloaks"):
        written = chosen if name == "plain" else [cloak(text, name, config.rate, config.seed) for text in chosen]
        flagged = candidate.predict(written, parents)[1][:, 0] >= threshold
        cells = confusion(truth[rows], flagged)
        plain = cells if plain is None else plain
        figures[name] = {
            "recall": share(resamples, flagged, positive).to_dict(),
            "false_positive_rate": share(resamples, flagged, negative).to_dict(),
            "macro_f1": bootstrap(resamples, cells, macro_f1).to_dict(),
            "macro_f1_drop": paired_difference(resamples, plain, cells, macro_f1).to_dict(),
        }
    return figures
