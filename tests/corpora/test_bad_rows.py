"""Every kind of bad input: reported with file, row, field, reason; it costs no good row, and no text leaks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_corpora import (
    COLD,
    COLD_HEADER,
    PANDA,
    PANDA_HEADER,
    SWSR,
    TOXICN,
    Setting,
    authored_row,
    toxicn_row,
    write_authored,
    write_cold,
    write_panda,
    write_swsr,
    write_table,
    write_toxicn,
)

Configure = Callable[..., Setting]
SECRET = "这段文字不许出现在报告里"
GOOD = ["第一句好的", "第二句好的"]


def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


def cold_lines(root: Path, *lines: bytes, header: bytes = b",split,topic,label,TEXT") -> None:
    """Write COLD's train file byte by byte between two good rows; dev and test stay empty."""
    write_cold(root)
    first, last = (f"{n},train,race,0,{text}".encode() for n, text in enumerate(GOOD))
    (root / COLD.format("train")).write_bytes(b"\xef\xbb\xbf" + b"\n".join([header, first, *lines, last]) + b"\n")


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (b"1,train,race,1,\xff\xfe" + SECRET.encode(), "text", "not valid in the file's encoding"),
        (f"1,train,race,1,{SECRET}".encode("gbk"), "text", "not valid in the file's encoding"),
        (b"1,train,race,1,", "text", "empty text"),
        (b"1,train,race,1,   ", "text", "empty text"),
        (b"1,train,race,1," + "长".encode() * 350_000, "text", "longer than 5000 characters"),
        (f"1,train,race,1,{SECRET},多一栏".encode(), "", "6 fields, the header has 5"),
        (f"1,train,{SECRET}".encode(), "", "3 fields, the header has 5"),
        (b"1,train,race,1", "", "4 fields, the header has 5"),
        (f'1,train,race,1,"{SECRET}'.encode(), "", "malformed row"),
        (f'1,train,race,1,"{SECRET}"后面还有'.encode(), "", "malformed row"),
        (f"1,train,race,2,{SECRET}".encode(), "label", "unknown label value: label='2'"),
        (f"1,train,race,,{SECRET}".encode(), "label", "unknown label value: label=''"),
        (f"1,train,race,{SECRET},1".encode(), "label", "unknown label value: label=of 12 characters"),
        (b"1,train,race,\xff,1", "label", "unknown label value"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
def test_bad_csv_row(line: bytes, field: str, reason: str, tmp_path: Path, configure: Configure) -> None:
    cold_lines(tmp_path, line)

    rows, rejected = configure().read("cold")

    assert texts(rows) == GOOD
    (rejection,) = rejected
    assert (rejection.corpus, rejection.file, rejection.row) == ("cold", "COLDataset/train.csv", 2)
    assert rejection.field == field
    assert reason in rejection.reason
    assert SECRET[:4] not in json.dumps(rejection.to_dict(), ensure_ascii=False)


def test_open_quote_costs_no_row_below_it(tmp_path: Path, configure: Configure) -> None:
    good = b'7,train,race,1,"quoted, with a comma"'
    cold_lines(
        tmp_path, f'1,train,race,1,"{SECRET}'.encode(), good, good.replace(b"7", b"8").replace(b"quoted", b"other")
    )
    rows, rejected = configure().read("cold")
    assert texts(rows) == [GOOD[0], "quoted, with a comma", "other, with a comma", GOOD[1]]
    assert [rejection.row for rejection in rejected] == [2]


def test_open_quote_that_a_good_row_seems_to_close(tmp_path: Path, configure: Configure) -> None:
    cold_lines(tmp_path, f'1,train,"{SECRET}'.encode(), '7,train,race,1,屏幕6"'.encode())
    rows, rejected = configure().read("cold")
    assert texts(rows) == [GOOD[0], '屏幕6"', GOOD[1]]
    assert [rejection.row for rejection in rejected] == [2]


def test_text_over_several_lines_is_one_row(tmp_path: Path, configure: Configure) -> None:
    cold_lines(tmp_path, '1,train,race,1,"上一行\n\n下一行"'.encode(), b"")
    rows, rejected = configure().read("cold")
    assert texts(rows) == [GOOD[0], "上一行\n\n下一行", GOOD[1]]
    assert rejected == []


def test_missing_column_is_named_in_every_row_and_other_files_are_read(tmp_path: Path, configure: Configure) -> None:
    write_cold(tmp_path, dev=[(0, GOOD[0])])
    header = ["LABEL" if column == "label" else column for column in COLD_HEADER]
    write_table(tmp_path / COLD.format("train"), header, [(n, "train", "race", 1, SECRET) for n in range(3)])

    rows, rejected = configure().read("cold")

    assert texts(rows) == [GOOD[0]]
    assert [(r.file, r.row, r.field, r.reason) for r in rejected] == [
        ("COLDataset/train.csv", row, "label", "missing column") for row in (1, 2, 3)
    ]


def test_empty_file_is_reported_as_a_whole(tmp_path: Path, configure: Configure) -> None:
    write_cold(tmp_path, dev=[(0, GOOD[0])])
    (tmp_path / COLD.format("train")).write_bytes(b"")
    rows, rejected = configure().read("cold")
    assert texts(rows) == [GOOD[0]]
    assert [(r.file, r.row, r.reason) for r in rejected] == [("COLDataset/train.csv", 0, "no header")]


def test_file_in_another_encoding_gives_no_garbled_text(tmp_path: Path, configure: Configure) -> None:
    write_cold(tmp_path, train=[(0, text) for text in GOOD])
    path = tmp_path / COLD.format("train")
    path.write_bytes(path.read_text(encoding="utf-8-sig").encode("gbk"))
    rows, rejected = configure().read("cold")
    assert rows == []
    assert {r.field for r in rejected} == {"text"}
    rows, rejected = configure("corpus.cold.encoding=gbk").read("cold")
    assert (texts(rows), rejected) == (GOOD, [])


def test_tsv_row_with_a_stray_tab(tmp_path: Path, configure: Configure) -> None:
    write_panda(tmp_path, [(GOOD[0], 0, "回复"), (GOOD[1], 1, "回复")])
    path = tmp_path / PANDA
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text(
        "\n".join([*lines[:2], f"{SECRET}\t被制表符切开" + "\t1" * len(PANDA_HEADER), *lines[2:]]), encoding="utf-8"
    )
    rows, rejected = configure().read("panda")
    assert texts(rows) == GOOD
    assert [(r.row, r.field) for r in rejected] == [(2, "")]


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        (SECRET, "", "not an object but str"),
        (7, "", "not an object but int"),
        (None, "", "not an object but NoneType"),
        ([SECRET], "", "not an object but list"),
        ({"content": SECRET}, "expression", "missing column"),
        (toxicn_row(SECRET, 1, 2, 4), "expression,toxic,toxic_type", "expression='4'"),
        (toxicn_row(SECRET, 1, 2, 1, [1, 0]), "target", "not a list of 5 zeros and ones"),
        (toxicn_row(SECRET, 1, 2, 1, ["x", 0, 0, 0, 0]), "target", "not a list of 5 zeros and ones"),
        (toxicn_row("", 0), "text", "empty text"),
        (toxicn_row("\ud83d" + SECRET, 0), "text", "not valid in the file's encoding"),
        (toxicn_row(SECRET, 0) | {"content": [SECRET]}, "text", "empty text"),
    ],
    ids=range(11),
)
def test_bad_json_row(bad: Any, field: str, reason: str, tmp_path: Path, configure: Configure) -> None:
    write_toxicn(tmp_path)
    rows = [toxicn_row(GOOD[0]), bad, toxicn_row(GOOD[1])]
    (tmp_path / TOXICN.format("train")).write_text(json.dumps(rows), encoding="utf-8")

    read, rejected = configure().read("toxicn")

    assert texts(read) == GOOD
    (rejection,) = rejected
    assert (rejection.file, rejection.row, rejection.field) == ("ToxiCN_ex/ToxiCN/data/train.json", 2, field)
    assert reason in rejection.reason
    assert SECRET[:4] not in rejection.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f'[{{"content": "{SECRET}"', "not valid JSON"),
        (f'{{"data": "{SECRET}"}}', "not a list of rows but dict"),
        (f'"{SECRET}"', "not a list of rows but str"),
        ("[" * 100_000, "not valid JSON"),
        ("", "not valid JSON"),
    ],
    ids=range(5),
)
def test_broken_json_file_costs_no_other_file(content: str, reason: str, tmp_path: Path, configure: Configure) -> None:
    write_toxicn(tmp_path, test=[toxicn_row(text) for text in GOOD])
    (tmp_path / TOXICN.format("train")).write_text(content, encoding="utf-8")
    rows, rejected = configure().read("toxicn")
    assert texts(rows) == GOOD
    (rejection,) = rejected
    assert (rejection.file, rejection.row, rejection.field) == ("ToxiCN_ex/ToxiCN/data/train.json", 0, "")
    assert reason in rejection.reason
    assert SECRET[:4] not in rejection.reason


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        (f'{{"text": "{SECRET}", ', "", "not valid JSON"),
        (f'"{SECRET}"', "", "not an object but str"),
        (authored_row(SECRET, ["thraet"]), "harms", "unknown label value 'thraet'. Did you mean 'threat'?"),
        (authored_row(SECRET, [SECRET]), "harms", "unknown label value of 12 characters"),
        (authored_row(SECRET, [["threat"]]), "harms", "unknown label value"),
        (authored_row(SECRET) | {"harms": SECRET}, "harms", "not a list of harms"),
        (authored_row(SECRET) | {"harms": None}, "harms", "not a list of harms"),
        ({"text": SECRET, "harms": []}, "channel", "missing column"),
        (authored_row(SECRET, stance="quoted"), "stance", "unknown value 'quoted'. Did you mean 'quote'?"),
        (authored_row(SECRET, target=SECRET), "target", "unknown value of 12 characters"),
        (authored_row(SECRET, channel=["comment"]), "channel", "unknown value"),
        (authored_row(SECRET, severity=4), "severity", "not an integer between 0 and 3"),
        (authored_row(SECRET, severity="2"), "severity", "not an integer between 0 and 3"),
        (authored_row(SECRET, severity=True), "severity", "not an integer between 0 and 3"),
        (authored_row(SECRET, target_attributes=["gneder"]), "target_attributes", "Did you mean 'gender'?"),
        (authored_row(SECRET, target_attributes="gender"), "target_attributes", "not a list"),
        (authored_row(SECRET, target_attributes=[["gender"]]), "target_attributes", "unknown value"),
        (authored_row(SECRET, pair="\udcff"), "group", "not valid in the file's encoding"),
        (authored_row(SECRET, context="\udcff"), "context", "not valid in the file's encoding"),
        (authored_row(None), "text", "empty text"),
        (authored_row(5), "text", "empty text"),
    ],
    ids=range(21),
)
def test_bad_jsonl_row(bad: Any, field: str, reason: str, tmp_path: Path, configure: Configure) -> None:
    write_authored(tmp_path, [])
    lines = [authored_row(GOOD[0]), bad, authored_row(GOOD[1])]
    content = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (tmp_path / "own" / "rows.jsonl").write_text(content, encoding="utf-8")

    rows, rejected = configure().read("authored")

    assert texts(rows) == GOOD
    (rejection,) = rejected
    assert (rejection.row, rejection.field) == (2, field)
    assert reason in rejection.reason
    assert SECRET[:4] not in rejection.reason


def test_bad_post_costs_its_comments_only_the_context(tmp_path: Path, configure: Configure) -> None:
    write_swsr(tmp_path, [("w1", GOOD[0], 0, "", ""), ("w2", GOOD[1], 0, "", "")], {"w1": "坏的原帖", "w2": "好的原帖"})
    path = tmp_path / SWSR.format("SexWeibo")
    path.write_bytes(path.read_bytes().replace("坏".encode(), b"\xff"))

    rows, rejected = configure().read("swsr")

    assert [(row["text"], row["context"]) for row in rows] == [(GOOD[0], None), (GOOD[1], "好的原帖")]
    (rejection,) = rejected
    assert (rejection.file, rejection.row, rejection.field) == ("SWSR/SexWeibo.csv", 1, "weibo_text")


def test_number_as_group_is_read_as_its_digits(tmp_path: Path, configure: Configure) -> None:
    write_authored(tmp_path, [authored_row("数字组", pair=7)])
    rows, rejected = configure().read("authored")
    assert (rows[0]["group"], rejected) == ("7", [])
