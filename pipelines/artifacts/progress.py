"""Progress for anything that may take more than a few seconds: a bar with ETA on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")
_SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items`, showing how many are done and how long the rest will take. Writes to stderr only."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from _bar(items, description, total)
    else:
        yield from _lines(items, description, total)


def say(message: str) -> None:
    """Print one line about what is happening now, to stderr: stdout ends with the verb's JSON line."""
    print(message, file=sys.stderr, flush=True)


def _bar(items: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task)


def _lines(items: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            left = f", about {(now - start) / done * (total - done):.0f} s left" if total else ""
            say(f"{description}: {done}{f'/{total}' if total else ''}{left}")
