"""The declarative reader: raw CSV, TSV, JSON or JSONL rows in, canonical rows and rejections out. No corpus has code of its own.

A bad row is reported with file, row number and reason, and never costs its neighbours; texts never appear in a report.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.corpora.normalise import text_key
from pipelines.corpora.schema import CorpusConfig, CorpusFile, LabelRule
from pipelines.corpora.source import CorporaConfig, locate, text_id
from pipelines.taxonomy import Taxonomy

Row = dict[str, Any]
csv.field_size_limit(1 << 27)


@dataclass(frozen=True)
class Rejection:
    """One row that was not read, without its text. `row` counts data rows from 1; 0 stands for the whole file."""

    corpus: str
    file: str
    row: int
    field: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for `rejected.jsonl`."""
        return asdict(self)


class _BadRow(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


def read_corpus(
    name: str, corpus: CorpusConfig, config: CorporaConfig, taxonomy: Taxonomy
) -> tuple[list[Row], list[Rejection]]:
    """Read every labelled file of a corpus.

    Returns:
        Canonical rows (with `file_split` still to be turned into `split`) and rejections, both in file order.
    """
    rows: list[Row] = []
    rejected: list[Rejection] = []
    joined = _read_join(corpus, config)
    for file in corpus.files:
        path = locate(corpus, file.path, file.sha256, config)
        needed = _needed_columns(corpus, file)
        for number, raw in _raw_rows(path, corpus.encoding):
            try:
                rows.append(_canonical(name, corpus, file, number, _checked(raw, needed), joined, config, taxonomy))
            except _BadRow as bad:
                rejected.append(Rejection(name, file.path, number, bad.field, bad.reason))
    return rows, rejected


def read_unlabelled(name: str, corpus: CorpusConfig, config: CorporaConfig) -> Iterator[Row]:
    """Yield `id`, `text`, `corpus`, `text_key` for every unlabelled text, long ones cut at `max_characters`."""
    for source in corpus.unlabelled:
        path = locate(corpus, source.path, source.sha256, config)
        for number, raw in _raw_rows(path, corpus.encoding):
            for column in source.columns:
                text = str((raw or {}).get(column) or "").strip()[: config.max_characters]
                if text and not _has_surrogates(text):
                    row_id = text_id(name, source.path, str(number), column)
                    yield {"id": row_id, "text": text, "corpus": name, "text_key": text_key(text)}


def _raw_rows(path: Path, encoding: str) -> Iterator[tuple[int, Any]]:
    """Yield `(row number, raw mapping or the reason it has none)`; undecodable bytes become surrogates, judged per row."""
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as stream:
        if path.suffix == ".json":
            try:
                yield from enumerate(json.load(stream), 1)
            except json.JSONDecodeError as error:
                yield 0, f"not valid JSON: {error}"
        elif path.suffix == ".jsonl":
            yield from ((number, _json_line(line)) for number, line in enumerate(stream, 1) if line.strip())
        else:
            reader = csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
            yield from enumerate(reader, 1)


def _json_line(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        return f"not valid JSON: {error}"


def _needed_columns(corpus: CorpusConfig, file: CorpusFile) -> set[str]:
    needed = set(corpus.columns.values())
    if corpus.join:
        needed -= set(corpus.join.columns)
        needed.add(corpus.join.key)
    if corpus.harm_list:
        needed.add(corpus.harm_list)
    else:
        needed |= {column for rule in _rules(corpus, file) for column in rule.when}
    if corpus.official:
        needed.add(corpus.official.column)
    return needed


def _checked(raw: Any, needed: set[str]) -> dict[str, Any]:
    if isinstance(raw, str):
        raise _BadRow("", raw)
    if not isinstance(raw, dict):
        raise _BadRow("", f"not an object but {type(raw).__name__}")
    missing = sorted(column for column in needed if column not in raw)
    if missing:
        raise _BadRow(missing[0], "missing column")
    if None in raw:
        raise _BadRow("", "malformed row: more fields than the header has")
    short = [column for column in raw if raw[column] is None and column in needed]
    if short and all(isinstance(value, str | None) for value in raw.values()) and list(raw)[-1] in short:
        raise _BadRow(short[0], "malformed row: fewer fields than the header has")
    return raw


def _canonical(
    name: str,
    corpus: CorpusConfig,
    file: CorpusFile,
    number: int,
    raw: dict[str, Any],
    joined: dict[str, dict[str, Any]],
    config: CorporaConfig,
    taxonomy: Taxonomy,
) -> Row:
    row: Row = dict.fromkeys(("context", "group", "channel", "target", "role", "severity", "stance", "slice", "official"))
    row |= dict.fromkeys(taxonomy.labels) | {"any_of": [], "target_attributes": []} | dict(corpus.constants)
    extra = joined.get(str(raw[corpus.join.key]), {}) if corpus.join else {}
    for column, source in corpus.columns.items():
        value = {**raw, **extra}.get(source)
        row[column] = value if value not in ("", None) else row[column]
    row["text"] = _text(row["text"], "text", config)
    if row["context"] is not None:
        row["context"] = _text(str(row["context"])[: config.max_characters], "context", config)
    _label(row, corpus, file, raw, taxonomy)
    _check_axes(row, taxonomy)
    if corpus.official:
        row["official"] = _official(corpus, raw)
    key = text_key(row["text"])
    row |= {"id": text_id(name, file.path, str(number)), "corpus": name, "text_key": key}
    row |= {"file": file.path, "row": number, "file_split": file.split}
    return row


def _text(value: Any, field: str, config: CorporaConfig) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _BadRow(field, "empty text")
    if len(value) > config.max_characters:
        raise _BadRow(field, f"longer than {config.max_characters} characters")
    if _has_surrogates(value):
        raise _BadRow(field, "bytes that are not valid in the file's encoding")
    return value.strip()


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _label(row: Row, corpus: CorpusConfig, file: CorpusFile, raw: dict[str, Any], taxonomy: Taxonomy) -> None:
    if corpus.harm_list:
        listed = raw[corpus.harm_list]
        unknown = [harm for harm in listed if harm not in taxonomy.harms] if isinstance(listed, list) else [str(listed)]
        if unknown:
            raise _BadRow(corpus.harm_list, f"unknown label value '{unknown[0]}'")
        row |= {harm: int(harm in listed) for harm in taxonomy.harms}
    else:
        rule = _matching_rule(_rules(corpus, file), raw)
        row |= {**rule.set, **rule.axes, "any_of": list(rule.any_of), "slice": rule.slice}
    try:
        row[taxonomy.root.id] = taxonomy.derive_root(row, row[taxonomy.root.id])
    except ValueError as error:
        raise _BadRow(taxonomy.root.id, f"contradictory labels: {error}") from None


def _rules(corpus: CorpusConfig, file: CorpusFile) -> list[LabelRule]:
    return [rule for rule in corpus.rules if rule.reading == file.reading]


def _matching_rule(rules: list[LabelRule], raw: dict[str, Any]) -> LabelRule:
    for rule in rules:
        if all(str(raw[column]).strip() in values for column, values in rule.when.items()):
            return rule
    columns = sorted({column for rule in rules for column in rule.when})
    values = ", ".join(f"{column}={str(raw[column])[:20]!r}" for column in columns)
    raise _BadRow(",".join(columns), f"unknown label value: {values}")


def _check_axes(row: Row, taxonomy: Taxonomy) -> None:
    for axis, values in taxonomy.axes.items():
        if row[axis] is not None and row[axis] not in values:
            raise _BadRow(axis, f"unknown value '{str(row[axis])[:20]}'")
    unknown = [name for name in row["target_attributes"] if name not in taxonomy.group_attributes]
    if unknown:
        raise _BadRow("target_attributes", f"unknown value '{str(unknown[0])[:20]}'")
    severity = row["severity"]
    if severity is not None and not (isinstance(severity, int) and 0 <= severity <= taxonomy.max_severity):
        raise _BadRow("severity", f"not an integer between 0 and {taxonomy.max_severity}")


def _official(corpus: CorpusConfig, raw: dict[str, Any]) -> int | None:
    assert corpus.official is not None
    value = str(raw[corpus.official.column]).strip()
    if value in corpus.official.positive:
        return 1
    return 0 if value in corpus.official.negative else None


def _read_join(corpus: CorpusConfig, config: CorporaConfig) -> dict[str, dict[str, Any]]:
    if corpus.join is None:
        return {}
    path = locate(corpus, corpus.join.path, corpus.join.sha256, config)
    wanted = corpus.join.columns
    table = {}
    for _, raw in _raw_rows(path, corpus.encoding):
        table[str(raw[corpus.join.key])] = {column: raw[source] for column, source in wanted.items()}
    return table
