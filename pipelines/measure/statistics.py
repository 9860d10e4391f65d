"""Intervals for everything that is measured: bootstrap over texts or groups of texts, exact and Wilson intervals for
shares.

All figures of one corpus share one set of resamples, so that differences between two models are paired by construction.
Stands below every other module of `measure`; knows nothing of labels, corpora or models.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from pipelines.settings.errors import UserError

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
_CELLS = 1 << 22  # at most this many weights are held as floats at once (32 MB)


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        value: the point estimate; None where it is undefined.
        low, high: bounds of its 95 % interval; None where there is none.
        n: how many texts (or other units) it rests on.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    @classmethod
    def undefined(cls, n: int) -> "Figure":
        """Return the figure that `n` units could not define."""
        return cls(None, None, None, n)

    @classmethod
    def of(cls, value: float, low: float, high: float, n: int) -> "Figure":
        """Return a figure whose non-finite parts are None."""
        finite = [float(part) if math.isfinite(part) else None for part in (value, low, high)]
        return cls(finite[0], finite[1], finite[2], int(n))

    def to_dict(self) -> dict[str, Any]:
        """Return `{"value", "low", "high", "n"}`."""
        return asdict(self)


@dataclass(frozen=True)
class Resamples:
    """How often each group is drawn in each bootstrap resample.

    Resampling whole groups keeps texts of one thread or one minimal pair together, because they are not independent
    (the cluster bootstrap: Field and Welsh, "Bootstrapping clustered data", JRSS B 69, 2007).

    Attributes:
        codes: int64 `[n]`, the group of each row, 0 … groups - 1.
        counts: uint16 `[resamples, groups]`; every row sums to the number of groups.
    """

    codes: NDArray[np.int64]
    counts: NDArray[np.uint16]

    @classmethod
    def draw(cls, codes: NDArray[np.int64], resamples: int, seed: int) -> "Resamples":
        """Draw with replacement, the same for the same arguments.

        Args:
            codes: int64 `[n]` from `group_codes` (or `np.arange(n)` for independent rows).
            resamples: how many; 1,000 settle a 95 % interval to about a twentieth of its width.
            seed: of the generator.
        """
        if resamples < 100:
            raise UserError(f"resamples must be at least 100 for a 95 % interval, got {resamples}.")
        groups = int(codes.max()) + 1 if len(codes) else 0
        generator = np.random.default_rng(seed)
        counts = np.zeros((resamples, groups), np.uint16)
        for row in counts:
            row[:] = np.bincount(generator.integers(0, max(groups, 1), groups), minlength=groups)
        return cls(codes, counts)

    @property
    def grouped(self) -> bool:
        """Whether some group has more than one row."""
        return len(self.codes) > self.counts.shape[1]

    def sums(self, values: NDArray[Any]) -> Floats:
        """Return the column sums of `values` `[n, k]` in every resample, float64 `[resamples, k]`."""
        per_group = np.zeros((self.counts.shape[1], values.shape[1]))
        np.add.at(per_group, self.codes, values)
        step = max(1, _CELLS // max(1, len(per_group)))
        chunks = [self.counts[start : start + step] @ per_group for start in range(0, len(self.counts), step)]
        return np.concatenate(chunks)

    def weights(self, rows: NDArray[np.int64]) -> Iterator[Floats]:
        """Yield how often each of `rows` `[m]` counts, float64 `[some resamples, m]`, until all resamples are done."""
        step = max(1, _CELLS // max(1, len(rows)))
        columns = self.codes[rows]
        for start in range(0, len(self.counts), step):
            yield self.counts[start : start + step][:, columns].astype(np.float64)


def group_codes(groups: Sequence[str | None]) -> NDArray[np.int64]:
    """Return int64 `[n]`: rows with the same name share a number, a row without one has a number of its own."""
    known: dict[str | int, int] = {}
    keys = (row if name is None else name for row, name in enumerate(groups))
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)


def percentile_interval(resampled: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the percentile bootstrap interval of `resampled` `[resamples]`, undefined resamples left out.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. (NaN, NaN) where every resample is
    undefined.
    """
    defined = resampled[np.isfinite(resampled)]
    if not len(defined):
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    return float(low), float(high)


def bootstrap(
    resamples: Resamples,
    values: NDArray[Any],
    statistic: Callable[[Floats], Floats],
    n: int | None = None,
    confidence: float = CONFIDENCE,
) -> Figure:
    """Return a statistic of column sums with its percentile bootstrap interval.

    Args:
        resamples: over the same rows as `values`.
        values: `[n, k]`, one row per text; counts of a confusion matrix, for instance. A row left out is a row of
            zeros.
        statistic: maps sums `[..., k]` to figures `[...]`, NaN where undefined.
        n: reported sample size; by default the number of rows.
        confidence: of the interval.
    """
    value = float(statistic(values.sum(axis=0, dtype=np.float64)))
    size = len(values) if n is None else n
    if not math.isfinite(value):
        return Figure.undefined(size)
    return Figure.of(value, *percentile_interval(statistic(resamples.sums(values)), confidence), size)


def paired_difference(
    resamples: Resamples,
    first: NDArray[Any],
    second: NDArray[Any],
    statistic: Callable[[Floats], Floats],
    n: int | None = None,
    confidence: float = CONFIDENCE,
) -> Figure:
    """Return `statistic(first) - statistic(second)` with the interval of the paired bootstrap.

    Both are measured on the same texts and every resample draws the same texts for both, so what makes a text hard for
    both cancels out (Koehn, "Statistical significance tests for machine translation evaluation", EMNLP 2004;
    Berg-Kirkpatrick et al., "An empirical investigation of statistical significance in NLP", EMNLP 2012).

    Args:
        resamples: over the n texts.
        first: `[n, k]`, as for `bootstrap`.
        second: `[n, k]`, of the same texts in the same order.
        statistic: maps sums `[..., k]` to figures `[...]`.
        n: reported sample size; by default the number of rows.
        confidence: of the interval.
    """
    k = first.shape[1]
    both = np.concatenate([first, second], axis=1)
    return bootstrap(resamples, both, lambda sums: statistic(sums[..., :k]) - statistic(sums[..., k:]), n, confidence)


def proportion(successes: int, trials: int, method: str = "wilson", confidence: float = CONFIDENCE) -> Figure:
    """Return a share of independent trials with its interval; undefined without trials.

    Args:
        successes: how many of the trials.
        trials: how many there were.
        method: `wilson` (Wilson, JASA 22, 1927; recommended by Brown, Cai and DasGupta, Statistical Science 16, 2001),
            or `exact` (Clopper and Pearson, Biometrika 26, 1934), which never covers less than it says: for limits to
            be held.
        confidence: of the interval.
    """
    if not trials:
        return Figure.undefined(0)
    interval = binomtest(int(successes), int(trials)).proportion_ci(confidence, method=method)
    return Figure.of(successes / trials, interval.low, interval.high, trials)


def share(
    resamples: Resamples,
    hit: NDArray[np.bool_],
    among: NDArray[np.bool_],
    method: str = "wilson",
    confidence: float = CONFIDENCE,
) -> Figure:
    """Return the share of `among` that is also `hit`, both bool `[n]`, n being the size of `among`.

    Independent texts get the interval of `proportion`. Grouped texts get the cluster bootstrap, widened to that
    interval: a bootstrap can't see a rate it never met, and calls 0 of 20 certain.
    """
    successes, trials = int(np.sum(hit & among)), int(np.sum(among))
    simple = proportion(successes, trials, method, confidence)
    if not resamples.grouped or simple.value is None or simple.low is None or simple.high is None:
        return simple
    sums = resamples.sums(np.stack([hit & among, among], axis=1))
    low, high = percentile_interval(ratio(sums[:, 0], sums[:, 1]), confidence)
    return Figure.of(simple.value, min(low, simple.low), max(high, simple.high), trials)


def ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Floats:
    """Return `numerator / denominator` element by element, NaN where the denominator is 0."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(top, bottom, out=np.full(np.broadcast_shapes(top.shape, bottom.shape), np.nan), where=bottom != 0)
