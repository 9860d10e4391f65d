"""How far two readers of our own rows agree, for the rows' data card.

Rows that were read twice keep both readings beside the settled labels. Cohen's kappa (Educational and Psychological
Measurement 20, 1960) corrects for agreement by chance, which is large where a harm is rare.

python -c "from pipelines.report.agreement import refresh; refresh()"
"""

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import cohen_kappa_score

_REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
_CARDS = _REPOSITORY_ROOT / "data_cards"
_BLOCK = re.compile(r"<!-- agreement -->.*<!-- /agreement -->", re.DOTALL)
_RESAMPLES = 500
ROWS = {
    "authored": "rows/*.jsonl",
    "natural": "rows.jsonl",
    "cv_check": "cases.jsonl",
}  # cards whose rows were read twice

Row = Mapping[str, Any]
Codes = NDArray[Any]


def read_rows(corpus: str) -> list[dict[str, Any]]:
    """Return the rows beside a card of our own, in file order."""
    files = sorted((_CARDS / corpus).glob(ROWS[corpus]))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def agreement_block(rows: Sequence[Row], harms: Sequence[str]) -> str:
    """Return the Markdown between a card's agreement markers.

    Args:
        rows: rows with `readings`: two of `{harms, target, severity, stance}`, and the settled `harms`.
        harms: in taxonomy order.
    """
    pairs = [(row["readings"][0], row["readings"][1], row) for row in rows]
    lines = ["| label | first reader | second reader | settled | kappa (95 % interval) |", "|---|---:|---:|---:|---|"]
    lines.append(_line("violation", pairs, lambda reading: bool(reading["harms"])))
    lines += [_line(harm, pairs, lambda reading, harm=harm: harm in reading["harms"]) for harm in harms]
    lines += ["", "| axis | kappa (95 % interval) |", "|---|---|"]
    lines.append(f"| `severity`, linear weights | {_kappa(*_codes(pairs, 'severity'), 'linear')} |")
    lines += [f"| `{axis}` | {_kappa(*_codes(pairs, axis))} |" for axis in ("target", "stance")]
    same = sum(set(one["harms"]) == set(other["harms"]) for one, other, _ in pairs)
    settled = sum(set(row["harms"]) != set(one["harms"]) for one, _, row in pairs)
    lines += [
        "",
        f"{len(pairs)} rows read twice; {same} with the same harms in both readings. A third reading settled the other"
        f" {len(pairs) - same}; the first reading's harms changed in {settled}. Counts are positives.",
    ]
    return "\n".join(lines)


def _line(label: str, pairs: Sequence[tuple[Row, Row, Row]], holds: Callable[..., bool]) -> str:
    first, second, settled = (np.array([holds(pair[i]) for pair in pairs], np.int64) for i in range(3))
    counts = f"{first.sum()} | {second.sum()} | {settled.sum()}"
    return f"| `{label}` | {counts} | {_kappa(first, second)} |"


def _codes(pairs: Sequence[tuple[Row, Row, Row]], axis: str) -> tuple[Codes, Codes]:
    one, other = (np.array([pair[i][axis] for pair in pairs]) for i in range(2))
    return one, other


def _kappa(first: Codes, second: Codes, weights: str | None = None) -> str:
    """Return kappa with its percentile bootstrap interval; a dash where neither reader ever said it."""
    codes = np.unique(np.concatenate([first, second]))
    if len(codes) < 2:
        return "–"
    generator = np.random.default_rng(0)
    draws = (generator.integers(0, len(first), len(first)) for _ in range(_RESAMPLES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # a resample in which nobody said it
        value = cohen_kappa_score(first, second, labels=codes, weights=weights)
        resampled = [cohen_kappa_score(first[d], second[d], labels=codes, weights=weights) for d in draws]
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return f"{value:.2f} ({low:.2f}–{high:.2f})"


def with_agreement(card: str, block: str) -> str:
    """Return the card with `block` between its `<!-- agreement -->` markers."""
    return _BLOCK.sub(lambda _: f"<!-- agreement -->\n{block}\n<!-- /agreement -->", card)


def refresh() -> None:
    """Write the agreement of every twice-read corpus of ours into its card."""
    taxonomy = yaml.safe_load((_REPOSITORY_ROOT / "configs" / "taxonomy" / "cyber_violence.yaml").read_text("utf-8"))
    for corpus in ROWS:
        card = _CARDS / corpus / "README.md"
        block = agreement_block(read_rows(corpus), list(taxonomy["harms"]))
        card.write_text(with_agreement(card.read_text(encoding="utf-8"), block), encoding="utf-8")
