"""Accuracy for the terminal: one line per corpus and candidate, each figure with its interval."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table


def accuracy_table(figures: Mapping[str, Any]) -> Table:
    """Return a table of what `evaluate` wrote: each corpus's headline label, then macro-F1 against its own bit."""
    table = Table(title="accuracy on each corpus's test split, 95 % intervals")
    for heading in ("corpus", "label", "candidate"):
        table.add_column(heading, no_wrap=True)
    for heading in ("macro-F1", "avg. precision", "calib. error", "official F1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, corpus in figures["corpora"].items():
        table.add_section()
        _add_corpus(table, name, corpus)
    return table


def percent(figure: Mapping[str, Any] | None) -> str:
    """Return a share as percent with its interval, `81.2 (79.9–82.5)`; a dash where it is undefined."""
    if figure is None or figure["value"] is None:
        return "–"
    value, low, high = (100 * figure[part] for part in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f}–{high:.1f})"


def _add_corpus(table: Table, name: str, corpus: Mapping[str, Any]) -> None:
    label = corpus["headline_label"]
    official = corpus["official"]["candidates"] if corpus["official"] else {}
    heading = f"{name}, {corpus['rows']} texts"
    for candidate in dict.fromkeys([*corpus["candidates"], *official]):
        measured = corpus["candidates"].get(candidate, {"labels": {}})["labels"].get(label, {})
        columns = (measured.get("macro_f1"), measured.get("average_precision"), measured.get("calibration_error"))
        own = official.get(candidate, {}).get("macro_f1")
        table.add_row(heading, label or "–", candidate, *(percent(figure) for figure in (*columns, own)))
        heading = ""
