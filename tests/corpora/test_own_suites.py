"""What CV-Check and the annotation layer promise: cells that are full, twins that differ, no text where none may be."""

from collections import Counter, defaultdict

import pytest
from tiny_data import make_taxonomy

from pipelines.corpora.inspect import near_duplicates
from pipelines.corpora.normalise import text_key
from pipelines.report.agreement import read_rows

CASES, NATURAL, AUTHORED = read_rows("cv_check"), read_rows("natural"), read_rows("authored")
TAXONOMY = make_taxonomy()


def test_every_cell_has_thirty_cases() -> None:
    cells = Counter(case["cell"] for case in CASES)
    assert len(cells) >= 45
    assert {cell: count for cell, count in cells.items() if count < 30} == {}


def test_twins_are_a_violation_and_a_harmless_text() -> None:
    twins = defaultdict(list)
    for case in CASES:
        if case["twin"]:
            twins[case["twin"]].append(bool(case["harms"]))
    assert len(twins) >= 500
    assert {name for name, members in twins.items() if set(members) != {True, False}} == set()


def test_members_of_a_swap_set_have_one_label() -> None:
    swaps = defaultdict(list)
    for case in CASES:
        if case["swap"]:
            swaps[case["swap"]].append((case["cell"], tuple(case["harms"])))
    assert len(swaps) >= 20
    assert all(len(members) > 1 and len(set(members)) == 1 for members in swaps.values())


def test_no_case_stands_in_the_training_rows() -> None:
    """Short replies whose parent post decides are generic by design; a longer text must be new."""
    cases = [case for case in CASES if len(case["text"]) > 8]
    near = near_duplicates([text_key(case["text"]) for case in cases], 0.5, [text_key(row["text"]) for row in AUTHORED])
    assert [(cases[pair.first]["text"], AUTHORED[pair.second]["text"]) for pair in near] == []


@pytest.mark.parametrize("harm", TAXONOMY.harms)
def test_every_harm_is_tested(harm: str) -> None:
    assert sum(harm in case["harms"] for case in CASES) >= 50


def test_the_annotation_layer_holds_hashes_and_no_text() -> None:
    assert len(NATURAL) >= 3000
    columns = [
        "corpus",
        "text_sha256",
        "chosen",
        "harms",
        "target",
        "target_attributes",
        "role",
        "severity",
        "stance",
        "readings",
    ]
    assert all(list(row) == columns for row in NATURAL)
    assert all(len(row["text_sha256"]) == 64 and set(row["text_sha256"]) <= set("0123456789abcdef") for row in NATURAL)
    assert len({row["text_sha256"] for row in NATURAL}) == len(NATURAL)


def test_the_annotation_layer_covers_four_corpora_and_every_harm() -> None:
    assert {row["corpus"] for row in NATURAL} == {"cold", "toxicn", "swsr", "chnci"}
    assert {row["chosen"] for row in NATURAL} == {"random", "uncertain", "cue", "model", "counter"}
    assert {harm for row in NATURAL for harm in row["harms"]} == set(TAXONOMY.harms)


@pytest.mark.parametrize("rows", [CASES, NATURAL], ids=["cv_check", "natural"])
def test_severity_follows_from_the_harms(rows: list[dict[str, object]]) -> None:
    assert all((row["severity"] == 0) == (not row["harms"]) for row in rows)
