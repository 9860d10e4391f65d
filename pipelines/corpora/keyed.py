"""Labels of our own for texts that other corpora hold: rows keyed by a hash find their text here.

An annotation layer can be published where its texts can't; the texts come back when the corpora that hold them are in
the mixture.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
NO_TEXT = "its text is in no corpus of this mixture"


def key_sha256(text_key: str) -> str:
    """Return the sha256 (hex) under which an annotation is kept; `text_key` is the normalised text."""
    return hashlib.sha256(text_key.encode()).hexdigest()


def with_texts(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Give every keyed row the text, context, group and channel of the row it annotates.

    Returns:
        All rows in their order, keyed ones completed, and the keyed rows whose text is in no corpus here.
    """
    rows = list(rows)
    hosts = {row["host"] for row in rows if "host" in row}
    held = {(row["corpus"], key_sha256(row["text_key"])): row for row in rows if row["corpus"] in hosts}
    complete, missing = [], []
    for row in rows:
        if "host" not in row:
            complete.append(row)
        elif (row["host"], row["text_sha256"]) in held:
            complete.append(row | _of_host(held[row["host"], row["text_sha256"]]))
        else:
            missing.append(row)
    return complete, missing


def _of_host(host: Row) -> Row:
    return {name: host[name] for name in ("text", "context", "group", "channel", "text_key")}
