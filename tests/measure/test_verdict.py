from pathlib import Path

import pytest

from pipelines.artifacts.folder import Slot
from pipelines.measure.statistics import Figure
from pipelines.measure.verdict import Check, Verdict, at_least, at_most, ceiling, decide, floor, skipped, write_verdict


def check(status):
    return Check("accuracy", "toy", status, 0.0, None, "")


@pytest.mark.parametrize(
    ("statuses", "decision"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "skipped"], "pass"),
        (["pass", "undecided"], "undecided"),
        (["undecided", "fail", "pass"], "fail"),
    ],
)
def test_one_failure_fails_and_doubt_is_not_a_pass(statuses, decision):
    assert decide([check(status) for status in statuses]) == decision


@pytest.mark.parametrize(
    ("low", "high", "least", "most"),
    [
        (0.0, 0.03, "pass", "fail"),
        (-0.01, 0.03, "pass", "undecided"),
        (-0.05, -0.02, "fail", "pass"),
        (-0.03, 0.01, "undecided", "undecided"),
        (None, None, "undecided", "undecided"),
    ],
)
def test_the_whole_interval_is_held_against_the_limit(low, high, least, most):
    figure = Figure(None if low is None else (low + high) / 2, low, high, 10)
    assert at_least("g", "n", figure, -0.01, "").status == least
    assert at_most("g", "n", figure, -0.01, "").status == most


def test_an_absolute_bound_is_held_against_the_figure_itself():
    figure = Figure(0.5, 0.3, 0.7, 10)
    assert [floor("g", "n", figure, limit, "").status for limit in (0.5, 0.51)] == ["pass", "fail"]
    assert [ceiling("g", "n", figure, limit, "").status for limit in (0.5, 0.49)] == ["pass", "fail"]
    assert floor("g", "n", Figure.undefined(3), 0.5, "").status == "undecided"


@pytest.mark.parametrize(("status", "code"), [("pass", 0), ("fail", 1), ("undecided", 2)])
def test_the_exit_code_follows_from_the_decision(tmp_path: Path, status: str, code: int):
    slot = Slot(tmp_path / "verdict", "f")
    with slot.fill(Verdict) as draft:
        write_verdict(draft.folder, [check(status), skipped("baseline", "none", "no baseline")], "c", None)
    verdict = Verdict.open(slot.path)
    assert (verdict.decision, verdict.exit_code, verdict.passed) == (status, code, code == 0)
    assert verdict.content["baseline"] is None
    assert [entry["status"] for entry in verdict.content["checks"]] == [status, "skipped"]
