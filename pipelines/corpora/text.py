"""Running text without labels from anywhere, streamed: forum archives, text, Arrow and Parquet files, hub datasets.

What pre-training reads and distillation scores. Nothing is held in memory but one text and a fixed-size record of what
was seen, so memory does not grow with the source.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from datasets import load_dataset

from pipelines.corpora.forum import posts
from pipelines.settings.errors import UserError, did_you_mean

_FILES = ("text", "json", "csv", "parquet", "arrow")  # builders of `datasets`
FORMATS = (*_FILES, "forum", "hub")
_SEEN_BITS = 1 << 30


@dataclass
class TextSource:
    """Where text comes from.

    Attributes:
        format: `text` (a text per line), `json`, `csv`, `parquet`, `arrow`; `forum`, Markdown threads as `forum` reads
            them; `hub`, a dataset of the hub.
        path: folder of the files; the hub dataset's name.
        files: which files below the folder, as a glob; the hub dataset's split.
        column: which column is the text; for `text` files and forums it is always `text`.
    """

    format: str
    path: str
    files: str
    column: str


def check_source(name: str, source: TextSource) -> None:
    """Raise UserError for a format nobody reads."""
    if source.format not in FORMATS:
        near = did_you_mean(source.format, FORMATS)
        raise UserError(f"pretrain.sources.{name}.format={source.format}: no such format.{near}")


def stream(name: str, source: TextSource) -> Iterator[str]:
    """Yield the texts of one source, one by one; files come in an order drawn from their names, so that the first part
    of a large archive is a sample of all of it.

    Raises:
        UserError: no file matches, the column is absent, or the hub dataset can't be reached.
    """
    if source.format == "hub":
        yield from _column(name, source, {"path": source.path, "split": source.files})
        return
    files = sorted(Path(source.path).glob(source.files), key=lambda path: _digest(str(path.relative_to(source.path))))
    if not files:
        raise UserError(f"pretrain.sources.{name}: no file matches {source.path}/{source.files}.")
    if source.format == "forum":
        for file in files:
            yield from posts(file)
    else:
        yield from _column(name, source, {"path": source.format, "data_files": list(map(str, files)), "split": "train"})


def distinct(texts: Iterable[str]) -> Iterator[str]:
    """Yield each text once.

    Texts are remembered by one bit each in 128 MiB, whatever their number: among ten million texts about one in a
    hundred is taken for a repetition and lost, which running text can afford.
    """
    seen = bytearray(_SEEN_BITS // 8)
    for text in texts:
        at = int.from_bytes(_digest(text)[:8], "little") % _SEEN_BITS
        bit = 1 << (at & 7)
        if not seen[at >> 3] & bit:
            seen[at >> 3] |= bit
            yield text


def _column(name: str, source: TextSource, options: dict[str, object]) -> Iterator[str]:
    try:
        rows = load_dataset(streaming=True, **options)
        for row in rows:
            if source.column not in row:
                raise UserError(f"pretrain.sources.{name}: no column '{source.column}', only {', '.join(row)}.")
            if row[source.column]:
                yield str(row[source.column])
    except (OSError, ValueError) as error:
        raise UserError(
            f"pretrain.sources.{name}: {source.path} can't be read ({str(error).splitlines()[0]})."
        ) from None


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
