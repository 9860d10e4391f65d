"""The declarative reader: raw CSV, TSV, JSON or JSONL rows in, canonical rows and rejections out; no code per corpus.

A bad row is reported with file, row number and reason, and never costs its neighbours; texts never appear in a report.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.corpora.normalise import text_key
from pipelines.corpora.schema import RAW_COLUMNS, AttributeFlags, CorpusConfig, CorpusFile, Join, LabelRule
from pipelines.corpora.source import CorporaConfig, locate, text_id
from pipelines.settings.errors import did_you_mean
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


class _BadRowError(Exception):
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
    joined, rejected = _read_join(name, corpus, config)
    for file in corpus.files:
        path = locate(corpus, file.path, file.sha256, config)
        needed = _needed_columns(corpus, file)
        for number, raw in _raw_rows(path, corpus.encoding, file.under):
            try:
                rows.append(_canonical(name, corpus, file, number, _checked(raw, needed), joined, config, taxonomy))
            except _BadRowError as bad:
                rejected.append(Rejection(name, file.path, number, bad.field, bad.reason))
    return rows, rejected


def read_unlabelled(name: str, corpus: CorpusConfig, config: CorporaConfig) -> Iterator[Row]:
    """Yield `id`, `text`, `corpus`, `text_key`, `file`, `row` for every unlabelled text, cut at `max_characters`."""
    for source in corpus.unlabelled:
        path = locate(corpus, source.path, source.sha256, config)
        for number, raw in _raw_rows(path, corpus.encoding):
            for column in source.columns if isinstance(raw, dict) else ():
                text = str(raw.get(column) or "").strip()[: config.max_characters]
                if text and not _has_surrogates(text):
                    row_id = text_id(name, source.path, str(number), column)
                    place = {"id": row_id, "corpus": name, "file": source.path, "row": number}
                    yield {**place, "text": text, "text_key": text_key(text)}


def _raw_rows(path: Path, encoding: str, under: str | None = None) -> Iterator[tuple[int, Any]]:
    """Yield `(row number, what the row holds, or the _BadRowError that says why it can't be read)`.

    Bytes that are not valid in the encoding become surrogates, which are judged row by row.
    """
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as stream:
        if path.suffix == ".json":
            yield from _json_rows(stream.read(), under)
        elif path.suffix == ".jsonl":
            yield from ((number, _parsed(line)) for number, line in enumerate(stream, 1) if line.strip())
        else:
            yield from _table_rows(stream.readlines(), "\t" if path.suffix == ".tsv" else ",")


def _json_rows(text: str, under: str | None) -> Iterator[tuple[int, Any]]:
    content = _parsed(text)
    if under is not None and isinstance(content, dict):
        content = content.get(under, _BadRowError(under, "missing list of rows"))
    if isinstance(content, list):
        yield from enumerate(content, 1)
    elif isinstance(content, _BadRowError):
        yield 0, content
    else:
        yield 0, _BadRowError("", f"not a list of rows but {type(content).__name__}")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return _BadRowError("", f"not valid JSON: {error}")


def _table_rows(lines: list[str], delimiter: str) -> Iterator[tuple[int, Any]]:
    """Yield the records below the header; of a malformed record only the first line is given up.

    A quote that is never closed swallows the lines below it: reading on at the second line gets them back.
    """
    header, at = _record(lines, 0, delimiter)
    if not isinstance(header, list) or not header:
        yield 0, _BadRowError("", "no header")
        return
    number = 0
    while at < len(lines):
        fields, after = _record(lines, at, delimiter)
        if fields == []:  # a blank line
            at = after
            continue
        number += 1
        if isinstance(fields, list) and len(fields) == len(header):
            at = after
            yield number, dict(zip(header, fields, strict=True))
        else:
            at += 1
            many = f"{len(fields)} fields, the header has {len(header)}" if isinstance(fields, list) else fields
            yield number, _BadRowError("", f"malformed row: {many}")


def _record(lines: list[str], at: int, delimiter: str) -> tuple[list[str] | str, int]:
    """Return the fields of the record at line `at` (or what is wrong with it), and where the next record starts."""
    reader = csv.reader((lines[index] for index in range(at, len(lines))), delimiter=delimiter, strict=True)
    try:
        return next(reader, []), at + reader.line_num
    except csv.Error as error:
        return str(error), at + 1


def _columns(corpus: CorpusConfig, file: CorpusFile) -> dict[str, str]:
    return {**corpus.columns, **file.columns}


def _needed_columns(corpus: CorpusConfig, file: CorpusFile) -> set[str]:
    needed = set(_columns(corpus, file).values())
    if corpus.join:
        needed -= set(corpus.join.columns)
        needed |= {corpus.join.key} if corpus.join.key else set()
    if corpus.keyed_by and corpus.host:
        needed |= {corpus.keyed_by, corpus.host}
    if corpus.harm_list:
        needed.add(corpus.harm_list)
    else:
        needed |= {column for rule in _rules(corpus, file) for column in rule.when}
    if corpus.official:
        needed.add(corpus.official.column)
    if corpus.attribute_flags:
        needed.add(corpus.attribute_flags.column)
    return needed


def _checked(raw: Any, needed: set[str]) -> dict[str, Any]:
    if isinstance(raw, _BadRowError):
        raise raw
    if not isinstance(raw, dict):
        raise _BadRowError("", f"not an object but {type(raw).__name__}")
    missing = sorted(column for column in needed if column not in raw)
    if missing:
        raise _BadRowError(missing[0], "missing column")
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
    row: Row = dict.fromkeys((*RAW_COLUMNS, "official"))
    row |= dict.fromkeys(taxonomy.labels) | {"any_of": [], "target_attributes": []} | dict(corpus.constants)
    row["group"] = file.group
    extra = joined.get(_join_key(corpus.join, raw, number), {}) if corpus.join else {}
    for column, source in _columns(corpus, file).items():
        value = {**raw, **extra}.get(source)
        if value is not None and not (isinstance(value, str) and not value.strip()):
            row[column] = value
    if corpus.keyed_by is None:
        row["text"] = _text(row["text"], "text", config)
    if row["context"] is not None:
        row["context"] = _text(str(row["context"])[: config.max_characters], "context", config)
    if row["group"] is not None:
        row["group"] = _decoded(str(row["group"]), "group")
    _label(row, corpus, file, raw, taxonomy)
    _check_axes(row, taxonomy)
    if corpus.official:
        row["official"] = _official(corpus, raw)
    base = row.pop("base")
    row |= {"id": text_id(name, file.path, str(number)), "corpus": name, "file": file.path, "row": number}
    row |= {"file_split": file.split, "base_key": text_key(_decoded(str(base), "base")) if base else None}
    if corpus.keyed_by and corpus.host:
        return row | {"text_sha256": str(raw[corpus.keyed_by]), "host": str(raw[corpus.host])}
    return row | {"text_key": text_key(row["text"])}


def _text(value: Any, field: str, config: CorporaConfig) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _BadRowError(field, "empty text")
    if len(value) > config.max_characters:
        raise _BadRowError(field, f"longer than {config.max_characters} characters")
    return _decoded(value, field).strip()


def _decoded(value: str, field: str) -> str:
    if _has_surrogates(value):
        raise _BadRowError(field, "bytes that are not valid in the file's encoding")
    return value


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _label(row: Row, corpus: CorpusConfig, file: CorpusFile, raw: dict[str, Any], taxonomy: Taxonomy) -> None:
    if corpus.harm_list:
        listed = raw[corpus.harm_list]
        if not isinstance(listed, list):
            raise _BadRowError(corpus.harm_list, "not a list of harms")
        for harm in listed:
            if not isinstance(harm, str) or harm not in corpus.annotated:
                near = did_you_mean(str(harm), corpus.annotated)
                raise _BadRowError(corpus.harm_list, f"unknown label value {_shown(harm)}.{near}")
        row |= {harm: int(harm in listed) for harm in corpus.annotated}
        row |= {taxonomy.root.id: int(bool(listed))}
    else:
        rule = _matching_rule(_rules(corpus, file), raw)
        row |= {**rule.set, **rule.axes, "any_of": list(rule.any_of)}
        row["slice"] = rule.slice or row["slice"]
        row["target_attributes"] = [*row["target_attributes"], *rule.target_attributes]
        if corpus.attribute_flags and "target" in rule.axes:
            row["target_attributes"] += _flagged(corpus.attribute_flags, raw)
    try:
        row[taxonomy.root.id] = taxonomy.derive_root(row, row[taxonomy.root.id])
    except ValueError as error:
        raise _BadRowError(taxonomy.root.id, f"contradictory labels: {error}") from None


def _rules(corpus: CorpusConfig, file: CorpusFile) -> list[LabelRule]:
    return [rule for rule in corpus.rules if rule.reading == file.reading]


def _matching_rule(rules: list[LabelRule], raw: dict[str, Any]) -> LabelRule:
    for rule in rules:
        if all(str(raw[column]).strip() in values for column, values in rule.when.items()):
            return rule
    columns = sorted({column for rule in rules for column in rule.when})
    values = ", ".join(f"{column}={_shown(raw[column])}" for column in columns)
    raise _BadRowError(",".join(columns), f"unknown label value: {values}")


def _flagged(flags: AttributeFlags, raw: dict[str, Any]) -> list[str]:
    values = raw[flags.column]
    if not isinstance(values, list) or len(values) != len(flags.attributes) or not all(v in (0, 1) for v in values):
        raise _BadRowError(flags.column, f"not a list of {len(flags.attributes)} zeros and ones")
    return [name for name, value in zip(flags.attributes, values, strict=True) if value]


def _shown(value: Any) -> str:
    """Return a raw value for a report, or only its size where it might be a piece of somebody's text."""
    text = str(value)
    return repr(text) if len(text) <= 20 and text.isascii() and text.isprintable() else f"of {len(text)} characters"


def _check_axes(row: Row, taxonomy: Taxonomy) -> None:
    for axis, values in taxonomy.axes.items():
        if row[axis] is not None and row[axis] not in values:
            raise _BadRowError(axis, f"unknown value {_shown(row[axis])}.{did_you_mean(str(row[axis]), values)}")
    attributes = row["target_attributes"]
    if not isinstance(attributes, list):
        raise _BadRowError("target_attributes", "not a list")
    unknown = [name for name in attributes if name not in taxonomy.group_attributes]
    if unknown:
        near = did_you_mean(str(unknown[0]), taxonomy.group_attributes)
        raise _BadRowError("target_attributes", f"unknown value {_shown(unknown[0])}.{near}")
    severity = row["severity"]
    if severity is not None and not (type(severity) is int and 0 <= severity <= taxonomy.max_severity):
        raise _BadRowError("severity", f"not an integer between 0 and {taxonomy.max_severity}")


def _official(corpus: CorpusConfig, raw: dict[str, Any]) -> int | None:
    assert corpus.official is not None
    value = str(raw[corpus.official.column]).strip()
    if value in corpus.official.positive:
        return 1
    return 0 if value in corpus.official.negative else None


def _join_key(join: Join, raw: dict[str, Any], number: int) -> str:
    return str(raw[join.key]) if join.key else str(number)


def _read_join(
    name: str, corpus: CorpusConfig, config: CorporaConfig
) -> tuple[dict[str, dict[str, Any]], list[Rejection]]:
    """Return the second table by key; a bad row of it costs the first table's rows nothing but these columns."""
    if corpus.join is None:
        return {}, []
    join = corpus.join
    table: dict[str, dict[str, Any]] = {}
    rejected = []
    for number, raw in _raw_rows(locate(corpus, join.path, join.sha256, config), corpus.encoding):
        try:
            row = _checked(raw, {*join.columns.values()} | ({join.key} if join.key else set()))
            table[_join_key(join, row, number)] = {
                column: _decoded(str(row[source] or ""), source) for column, source in join.columns.items()
            }
        except _BadRowError as bad:
            rejected.append(Rejection(name, join.path, number, bad.field, bad.reason))
    return table, rejected
