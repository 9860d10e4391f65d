"""The counts in a corpus's data card, taken from what `prepare` counted, so that a card can't drift from the data.

python -c "from pipelines.report.counts import refresh; refresh('artifacts/prepare/FOLDER')"
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines.corpora import PreparedData
from pipelines.corpora.schema import SPLITS

_REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"<!-- counts -->.*<!-- /counts -->", re.DOTALL)


def counts_block(corpus: Mapping[str, Any]) -> str:
    """Return the Markdown between a card's markers, from one corpus's entry in the manifest of PreparedData."""
    splits = corpus["splits"]
    labels = list(splits["train"]["labels"])
    rows = [("rows", *(str(splits[split]["rows"]) for split in SPLITS))]
    rows += [(f"`{label}`", *(_cell(splits[split]["labels"][label]) for split in SPLITS)) for label in labels]
    rows += [("at least one of a set", *(str(splits[split]["any_of"]) for split in SPLITS))]
    rejected = "; ".join(f"{count} {reason}" for reason, count in sorted(corpus["rejected"].items())) or "none"
    note = "Cells hold positive / negative / unknown."
    return f"{_table(('', *SPLITS), rows)}\n\n{note} Left out: {rejected}."


def with_counts(card: str, block: str) -> str:
    """Return the card with `block` between its `<!-- counts -->` markers."""
    return _BLOCK.sub(lambda _: f"<!-- counts -->\n{block}\n<!-- /counts -->", card)


def refresh(prepared: Path | str) -> None:
    """Write the counts of a prepared mixture into the cards of its corpora."""
    for corpus in PreparedData.open(prepared).manifest["corpora"].values():
        card = _REPOSITORY_ROOT / corpus["card"]
        card.write_text(with_counts(card.read_text(encoding="utf-8"), counts_block(corpus)), encoding="utf-8")


def _cell(counts: Mapping[str, int]) -> str:
    known = counts["positive"] + counts["negative"]
    return f"{counts['positive']} / {counts['negative']} / {counts['unknown']}" if known else "unknown"


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [header, ("---", *("---:" for _ in SPLITS)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
