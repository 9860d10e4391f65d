"""Percentiles that say how sure they are: order statistics with distribution-free intervals, and null where n is too
small.

Latencies have long tails and no known distribution, so nothing here assumes one.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from scipy.stats import binom

CONFIDENCE = 0.95
TAIL_CONFIDENCE = 0.99


@cache
def queries_needed(share: float, confidence: float = TAIL_CONFIDENCE) -> int:
    """Return the fewest samples that can carry the percentile `share` at `confidence`: 64 for p90, 662 for p99 at 99 %.

    The rule of MLPerf LoadGen's early stopping: with one sample allowed beyond the percentile, the chance of seeing
    that few although the true percentile lies beyond must be at most 1 - confidence (github.com/mlcommons/inference,
    loadgen).
    """
    n = 2
    while binom.cdf(1, n, 1 - share) > 1 - confidence:
        n += 1
    return n


def percentile(samples: Sequence[float], share: float) -> dict[str, Any]:
    """Return the figure of a percentile; `value` is null with a `reason` when there are fewer samples than
    `queries_needed`.

    Args:
        samples: n measurements, any order.
        share: 0.5 for the median, 0.99 for p99.
    """
    needed = queries_needed(share)
    if len(samples) >= needed:
        return order_statistic(samples, share)
    reason = f"needs {needed} samples for {TAIL_CONFIDENCE:.0%} confidence"
    return {"value": None, "low": None, "high": None, "n": len(samples), "reason": reason}


def order_statistic(samples: Sequence[float], share: float = 0.5) -> dict[str, Any]:
    """Return the sample at rank ⌈share·n⌉ and the two samples that enclose the true percentile with 95 % confidence.

    The ranks come from the binomial count of samples below the percentile (David & Nagaraja, *Order Statistics*, 3rd
    ed., §7.1). A bound that would lie outside the samples is null: the median of fewer than six has none.
    """
    ranked = sorted(samples)
    n = len(ranked)
    if n == 0:
        return {"value": None, "low": None, "high": None, "n": 0}
    tail = (1 - CONFIDENCE) / 2
    low, high = int(binom.ppf(tail, n, share)), int(binom.ppf(1 - tail, n, share)) + 1
    return {
        "value": ranked[max(1, math.ceil(share * n)) - 1],
        "low": ranked[low - 1] if low >= 1 else None,
        "high": ranked[high - 1] if high <= n else None,
        "n": n,
    }
