from xml.etree import ElementTree

from pipelines.measure.statistics import Figure
from pipelines.measure.verdict import at_least, floor, skipped
from pipelines.report.verdict import verdict_junit, verdict_markdown


def content(baseline="b" * 64):
    checks = [
        floor("floor", "toy", Figure(0.8, 0.7, 0.9, 50), 0.5, "must reach"),
        floor("floor", "low <&|>", Figure(0.4, 0.3, 0.5, 50), 0.5, "must | reach <it>"),
        at_least("accuracy", "toy", Figure(0.0, -0.02, 0.02, 50), -0.01, "may fall"),
        skipped("baseline", "none", "no baseline"),
    ]
    decision = "fail"
    return {
        "decision": decision,
        "candidate": "c" * 64,
        "baseline": baseline,
        "checks": [check.__dict__ for check in checks],
    }


def test_junit_counts_what_ci_systems_read():
    root = ElementTree.fromstring(verdict_junit(content()))
    suite = root.find("testsuite")
    assert root.tag == "testsuites"
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    cases = suite.findall("testcase")
    assert [case.get("classname") for case in cases] == ["gate.floor", "gate.floor", "gate.accuracy", "gate.baseline"]
    assert [case[0].tag for case in cases] == ["system-out", "failure", "error", "skipped"]
    assert cases[1].get("name") == "low <&|>"
    assert cases[1][0].get("message") == "must | reach <it>: 0.4000 (0.3000 to 0.5000), limit 0.5, n 50"
    assert cases[2][0].get("type") == "undecided"
    assert cases[3][0].get("message") == "no baseline"


def test_junit_is_the_same_bytes_every_time():
    assert verdict_junit(content()) == verdict_junit(content())
    assert verdict_junit(content()).startswith("<?xml")


def test_markdown_has_one_whole_row_per_check():
    lines = verdict_markdown(content()).splitlines()
    assert lines[0] == "# Gate: failed"
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert {row.replace("\\|", "").count("|") for row in rows} == {7}
    assert "could not decide" in rows[4]


def test_markdown_says_when_there_was_no_baseline():
    assert "without a baseline: absolute floors only" in verdict_markdown(content(baseline=None))
    assert "against baseline `bbbbbbbbbbbb`" in verdict_markdown(content())
