"""What the embedded corpus promises: enough of everything for a first model of the whole taxonomy."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tiny_data import make_taxonomy

from pipelines.corpora.normalise import text_key

FOLDER = Path(__file__).resolve().parents[2] / "data_cards" / "authored" / "rows"
ROWS: list[dict[str, Any]] = [
    json.loads(line)
    for path in sorted(FOLDER.glob("*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
]
TAXONOMY = make_taxonomy()


def test_there_are_rows_enough_and_both_kinds() -> None:
    assert len(ROWS) >= 1500
    violations = sum(bool(row["harms"]) for row in ROWS)
    assert 0.3 < violations / len(ROWS) < 0.7


@pytest.mark.parametrize("harm", TAXONOMY.harms)
def test_every_harm_has_sixty_positives_and_a_third_of_them_are_implicit(harm: str) -> None:
    positives = [row for row in ROWS if harm in row["harms"]]
    assert len(positives) >= 60
    assert sum(row["implicit"] for row in positives) >= len(positives) / 3


@pytest.mark.parametrize("axis", ["stance", "channel", "target", "role"])
def test_every_value_of_every_axis_occurs_among_harmless_or_harmful_rows(axis: str) -> None:
    assert {row[axis] for row in ROWS} == set(TAXONOMY.axes[axis])


def test_every_stance_has_harmless_rows() -> None:
    harmless = Counter(row["stance"] for row in ROWS if not row["harms"])
    assert min(harmless[stance] for stance in TAXONOMY.axes["stance"]) >= 50


def test_every_pair_has_a_violation_and_a_harmless_twin() -> None:
    pairs: dict[str, list[bool]] = {}
    for row in ROWS:
        if row["pair"]:
            pairs.setdefault(row["pair"], []).append(bool(row["harms"]))
    assert len(pairs) >= 150
    assert [name for name, members in pairs.items() if len(set(members)) != 2] == []


def test_severity_follows_from_the_harms_and_no_row_is_written_twice() -> None:
    assert all((row["severity"] == 0) == (not row["harms"]) for row in ROWS)
    seen = Counter((text_key(row["text"]), text_key(row["context"] or "")) for row in ROWS)
    assert [key for key, count in seen.items() if count > 1] == []
