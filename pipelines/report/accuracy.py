"""Accuracy for the terminal: one line per corpus and candidate, narrow enough for 80 columns."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table


def accuracy_table(figures: Mapping[str, Any]) -> Table:
    """Return a table of what `evaluate` wrote: each corpus's headline label, then macro-F1 against its own bit."""
    table = Table(title="test splits, in percent, ± half of the 95 % interval", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("macro-F1", "average\nprecision", "calibration\nerror", "official\nmacro-F1"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, corpus in figures["corpora"].items():
        table.add_section()
        _add_corpus(table, name, corpus)
    return table


def percent(figure: Mapping[str, Any] | None) -> str:
    """Return a share as percent with its interval, `81.2 (79.9–82.5)`; a dash where it is undefined."""
    if figure is None or figure["value"] is None:
        return "–"
    if figure["low"] is None or figure["high"] is None:
        return f"{100 * figure['value']:.1f}"
    return f"{100 * figure['value']:.1f} ({100 * figure['low']:.1f}–{100 * figure['high']:.1f})"


def _add_corpus(table: Table, name: str, corpus: Mapping[str, Any]) -> None:
    label = corpus["headline_label"]
    official = corpus["official"]["candidates"] if corpus["official"] else {}
    table.add_row(f"{name}: {label or '–'}", f"n {corpus['rows']}", style="bold")
    for candidate in dict.fromkeys([*corpus["candidates"], *official]):
        measured = corpus["candidates"].get(candidate, {"labels": {}})["labels"].get(label, {})
        columns = (measured.get("macro_f1"), measured.get("average_precision"), measured.get("calibration_error"))
        own = official.get(candidate, {}).get("macro_f1")
        table.add_row(f"  {candidate}", *(_narrow(figure) for figure in (*columns, own)))


def _narrow(figure: Mapping[str, Any] | None) -> str:
    """Return a share as percent with half the width of its interval, `81.2 ±1.3`."""
    if figure is None or figure["value"] is None:
        return "–"
    return f"{100 * figure['value']:.1f} ±{50 * (figure['high'] - figure['low']):.1f}"
