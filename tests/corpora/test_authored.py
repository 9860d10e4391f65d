"""What the embedded corpus promises: enough of everything, no word that gives a harm away, nothing written twice."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_data import make_taxonomy

from pipelines.corpora.inspect import near_duplicates, shortcuts
from pipelines.corpora.normalise import text_key

FOLDER = Path(__file__).resolve().parents[2] / "data_cards" / "authored" / "rows"
ROWS: list[dict[str, Any]] = [
    json.loads(line)
    for path in sorted(FOLDER.glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]
KEYS = [text_key(row["text"]) for row in ROWS]
TAXONOMY = make_taxonomy()
SHORT = 15  # characters: a danmaku at most


def share(rows: list[dict[str, Any]], among: list[dict[str, Any]]) -> float:
    return len(rows) / len(among)


def test_there_are_rows_enough_and_both_kinds() -> None:
    assert len(ROWS) >= 5000
    violations = sum(bool(row["harms"]) for row in ROWS)
    assert 0.3 < violations / len(ROWS) < 0.7


@pytest.mark.parametrize("harm", TAXONOMY.harms)
def test_every_harm_is_there_in_all_its_forms(harm: str) -> None:
    positives = [row for row in ROWS if harm in row["harms"]]
    assert len(positives) >= 250
    assert share([row for row in positives if row["implicit"]], positives) >= 0.40
    assert share([row for row in positives if len(row["text"]) <= SHORT], positives) >= 0.15
    assert share([row for row in positives if len(row["harms"]) > 1], positives) >= 0.15


def pairs() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in ROWS:
        if row["pair"]:
            found.setdefault(row["pair"], []).append(row)
    return found


@pytest.mark.parametrize("harm", TAXONOMY.harms)
def test_every_harm_has_minimal_pairs(harm: str) -> None:
    members = [rows for rows in pairs().values() if any(harm in row["harms"] for row in rows)]
    assert sum(harm not in row["harms"] for rows in members for row in rows) >= 150


def test_members_of_a_pair_differ_in_their_harms() -> None:
    alike = [name for name, rows in pairs().items() if len({tuple(row["harms"]) for row in rows}) < 2]
    assert alike == []


@pytest.mark.parametrize("axis", ["stance", "channel", "target", "role"])
def test_every_value_of_every_axis_occurs(axis: str) -> None:
    assert {row[axis] for row in ROWS} == set(TAXONOMY.axes[axis])


@pytest.mark.parametrize("stance", [stance for stance in TAXONOMY.axes["stance"] if stance != "none"])
def test_every_stance_has_harmless_rows(stance: str) -> None:
    assert sum(row["stance"] == stance and not row["harms"] for row in ROWS) >= 200


def test_there_are_ordinary_comments_and_rows_with_a_parent_post() -> None:
    assert sum(not row["harms"] and row["stance"] == "none" and not row["pair"] for row in ROWS) >= 600
    assert sum(row["context"] is not None for row in ROWS) >= 300


def test_severity_follows_from_the_harms() -> None:
    assert all((row["severity"] == 0) == (not row["harms"]) for row in ROWS)


def test_nothing_is_written_twice() -> None:
    """Near-duplicates are minimal pairs, or the same reply under two posts."""
    near = near_duplicates(KEYS, 0.6)
    strangers = [
        (ROWS[pair.first]["text"], ROWS[pair.second]["text"])
        for pair in near
        if (ROWS[pair.first]["pair"] is None or ROWS[pair.first]["pair"] != ROWS[pair.second]["pair"])
        and ROWS[pair.first]["context"] == ROWS[pair.second]["context"]
    ]
    assert strangers == []


@pytest.mark.parametrize("label", TAXONOMY.labels)
def test_no_n_gram_gives_a_label_away(label: str) -> None:
    positive = np.array([bool(row["harms"]) if label == TAXONOMY.root.id else label in row["harms"] for row in ROWS])
    assert shortcuts(KEYS, positive, np.ones(len(ROWS), bool), 0.95, 0.10) == []


def test_every_row_was_read_twice() -> None:
    assert all(len(row["readings"]) == 2 for row in ROWS)
    counted = Counter(len({tuple(sorted(reading["harms"])) for reading in row["readings"]}) for row in ROWS)
    assert counted[2] > 0  # two readers who never disagree did not read apart
