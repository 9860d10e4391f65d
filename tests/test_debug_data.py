"""What `debug_data` finds in data that is wrong in known ways, and its silence where nothing is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from toy_data import make_prepared, make_taxonomy

from pipelines import debug_data
from pipelines.artifacts.folder import Slot, read_json, write_json
from pipelines.corpora import PreparedData
from pipelines.corpora.schema import SPLITS, features
from pipelines.measure.data import DataReport, DebugDataConfig
from pipelines.settings.errors import UserError

CONFIG = DebugDataConfig(
    min_positives=5,
    max_unknown=0.9,
    shortcut_precision=0.95,
    shortcut_recall=0.1,
    near_duplicate=0.9,
    max_near_duplicates=0.5,
    max_cut=0.5,
    max_contradictions=0.1,
)
ALPHABET = [chr(code) for code in range(0x4E00, 0x4E00 + 40)]


def sound_rows(split: str, count: int = 200) -> list[dict[str, Any]]:
    """Return fully annotated rows whose characters say nothing about their labels."""
    generator = np.random.default_rng(len(split))
    rows = []
    for number in range(count):
        text = "".join(generator.choice(ALPHABET, 12))
        row: dict[str, Any] = dict.fromkeys(features(make_taxonomy()))
        row |= {"id": f"{split}{number}", "text": text, "text_key": text, "corpus": "news", "split": split}
        harms = dict(zip(("first", "second", "third"), (generator.random(3) < 0.3).astype(int).tolist(), strict=True))
        rows.append(row | harms | {"violation": int(any(harms.values())), "any_of": [], "target_attributes": []})
    return rows


def prepared(folder: Path, overlaps: tuple[dict[str, Any], ...] = (), **changes: Any) -> PreparedData:
    """Write sound rows, and per split what `changes` (a function of its rows) makes of them."""
    schema = features(make_taxonomy())
    with Slot(folder, "data").fill(PreparedData) as draft:
        for split in SPLITS:
            rows = sound_rows(split)
            rows = changes[split](rows) if split in changes else rows
            columns = {name: [row[name] for row in rows] for name in schema}
            Dataset.from_dict(columns, features=schema).save_to_disk(str(draft.folder / split))
        manifest = {"mixture": "toy", "corpora": {"news": {}}, "overlaps": list(overlaps)}
        write_json(draft.folder / "manifest.json", manifest)
    return PreparedData.open(folder)


def inspect(data: PreparedData, folder: Path) -> tuple[DataReport, list[tuple[bool, str, str]]]:
    report = debug_data.run(CONFIG, data, 64, make_taxonomy(), Slot(folder / "report", "f"))
    found = read_json(report.path / "data.json")["findings"]
    return report, [(finding["error"], finding["check"], finding["where"]) for finding in found]


def test_sound_data_has_no_findings(tmp_path: Path) -> None:
    report, found = inspect(prepared(tmp_path / "data"), tmp_path)
    assert found == []
    assert report.exit_code == 0
    assert "Nothing wrong found" in (report.path / "report.html").read_text(encoding="utf-8")


def test_a_text_in_two_splits_is_an_error(tmp_path: Path) -> None:
    stolen = sound_rows("train")[0]["text_key"]
    data = prepared(tmp_path / "data", test=lambda rows: [rows[0] | {"text_key": stolen}, *rows[1:]])
    report, found = inspect(data, tmp_path)
    assert (True, "leak", "train and test") in found
    assert report.exit_code == 1


def test_training_on_the_original_of_a_test_text_is_an_error(tmp_path: Path) -> None:
    base = sound_rows("train")[3]["text_key"]
    data = prepared(tmp_path / "data", test=lambda rows: [rows[0] | {"base_key": base}, *rows[1:]])
    assert (True, "leak", "train and test") in inspect(data, tmp_path)[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"violation": 0, "first": 1},
        {"violation": 0, "first": None, "second": None, "third": None, "any_of": ["first"]},
        {"violation": 1, "first": 0, "second": 0, "third": 1, "any_of": ["first", "second"]},
    ],
)
def test_a_row_that_contradicts_itself_is_an_error(wrong: dict[str, Any], tmp_path: Path) -> None:
    data = prepared(tmp_path / "data", train=lambda rows: [rows[0] | wrong, *rows[1:]])
    assert (True, "contradiction", "train") in inspect(data, tmp_path)[1]


def test_a_tiny_class_is_an_error_in_training_and_a_warning_elsewhere(tmp_path: Path) -> None:
    def without(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row | {"second": 0, "violation": int(row["first"] or row["third"])} for row in rows]

    assert (True, "tiny class", "second") in inspect(prepared(tmp_path / "a", train=without), tmp_path / "1")[1]
    assert (False, "tiny class", "second") in inspect(prepared(tmp_path / "b", test=without), tmp_path / "2")[1]


def test_an_unknown_label_a_shortcut_and_long_texts_are_warnings(tmp_path: Path) -> None:
    def spoil(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        spoilt = [row | {"third": None if number > 2 else row["third"]} for number, row in enumerate(rows)]
        return [row | {"text_key": row["text_key"] + "冲" * (row["first"] or 0), "text": "长" * 99} for row in spoilt]

    data = prepared(tmp_path / "data", train=spoil)
    _, found = inspect(data, tmp_path)
    warnings = {(check, where) for error, check, where in found if not error}
    assert {("unknown", "third"), ("shortcut", "first"), ("length", "news, train")} <= warnings


def test_near_duplicates_between_test_and_training_are_a_warning(tmp_path: Path) -> None:
    keys = [row["text_key"] for row in sound_rows("train")]
    data = prepared(
        tmp_path / "data",
        test=lambda rows: [r | {"text_key": k * 4 + "。"} for r, k in zip(rows, keys, strict=True)],
        train=lambda rows: [r | {"text_key": r["text_key"] * 4} for r in rows],
    )
    assert (False, "near-duplicate", "news") in inspect(data, tmp_path)[1]


def test_corpora_that_label_the_same_text_differently_are_a_warning(tmp_path: Path) -> None:
    pair = {"first": "a", "second": "b", "texts": 10, "labels": {"violation": {"both_know": 10, "differ": 4}}}
    report, found = inspect(prepared(tmp_path / "data", overlaps=(pair,)), tmp_path)
    assert found == [(False, "disagreement", "a and b")]
    assert report.exit_code == 0
    assert "a, b" in (report.path / "report.html").read_text(encoding="utf-8")


def test_counts_are_those_of_the_rows(tmp_path: Path) -> None:
    data = make_prepared(tmp_path / "data")
    report = debug_data.run(CONFIG, data, 5, make_taxonomy(), Slot(tmp_path / "report", "f"))
    content = read_json(report.path / "data.json")
    (row,) = [r for r in content["labels"] if (r["corpus"], r["split"], r["label"]) == ("news", "test", "first")]
    assert (row["positive"], row["negative"], row["unknown"], row["prevalence"]) == (30, 30, 0, 0.5)
    (length,) = [r for r in content["lengths"] if (r["corpus"], r["split"]) == ("news", "test")]
    assert (length["texts"], length["mean"], length["max"], length["cut"]) == (60, 9.0, 9, 1.0)


def test_a_value_out_of_range_is_said(tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(UserError, match="max_cut must be above 0"):
        replace(CONFIG, max_cut=0.0).check()
