import pytest
from tiny_data import make_taxonomy

from pipelines.report.agreement import _CARDS, ROWS, agreement_block, read_rows, with_agreement


def reading(*harms: str, severity: int = 0, stance: str = "none") -> dict[str, object]:
    return {"harms": list(harms), "target": "individual" if harms else "none", "severity": severity, "stance": stance}


def row(first: dict[str, object], second: dict[str, object], *settled: str) -> dict[str, object]:
    return {"harms": list(settled), "readings": [first, second]}


def test_kappa_is_the_textbook_s_and_counts_are_positives() -> None:
    insult, none = reading("insult", severity=2), reading()
    rows = [row(insult, insult, "insult")] * 20 + [row(insult, none)] * 5 + [row(none, insult, "insult")] * 10
    rows += [row(none, none)] * 15
    block = agreement_block(rows, ["insult", "threat"])
    # Cohen 1960 by hand: agreement 35/50, by chance .5 * .6 + .5 * .4 = .5, kappa .4
    assert "| `insult` | 25 | 30 | 30 | 0.40 (" in block
    assert "| `threat` | 0 | 0 | 0 | – |" in block
    assert "50 rows read twice; 35 with the same harms" in block
    assert "settled the other 15; the first reading's harms changed in 15" in block


def test_perfect_agreement_is_one() -> None:
    rows = [row(reading("threat", severity=3), reading("threat", severity=3), "threat"), row(reading(), reading())] * 5
    assert "| `threat` | 5 | 5 | 5 | 1.00 (1.00–1.00) |" in agreement_block(rows, ["threat"])


@pytest.mark.parametrize("corpus", ROWS)
def test_the_card_says_what_the_rows_say(corpus: str) -> None:
    rows = read_rows(corpus)
    assert all(len(row["readings"]) == 2 for row in rows)
    card = (_CARDS / corpus / "README.md").read_text(encoding="utf-8")
    hint = "pipelines.report.agreement.refresh() brings it up to date"
    assert card == with_agreement(card, agreement_block(rows, list(make_taxonomy().harms))), hint
