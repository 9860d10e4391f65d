"""A verdict for others to read: JUnit XML for CI systems, Markdown for people.

Both render what `verdict.json` says and add nothing to it.
"""

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

_WORDS = {"pass": "passed", "fail": "failed", "undecided": "could not decide", "skipped": "not checked"}


def verdict_junit(content: Mapping[str, Any]) -> str:
    """Return JUnit XML: one test case per check; a failed one has `failure`, an undecided one `error`, one not asked
    `skipped`.

    These are the elements that CI systems agree on (the Ant JUnit schema): an error is a test that came to no result.
    """
    suites = ElementTree.Element("testsuites", name="gate")
    counts = _counts(content)
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        name="gate",
        tests=str(len(content["checks"])),
        failures=str(counts["fail"]),
        errors=str(counts["undecided"]),
        skipped=str(counts["skipped"]),
        time="0",
    )
    elements = {"fail": "failure", "undecided": "error", "skipped": "skipped"}
    for check in content["checks"]:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"gate.{check['group']}", name=check["name"], time="0"
        )
        if check["status"] in elements:
            outcome = ElementTree.SubElement(case, elements[check["status"]], message=_sentence(check))
            if check["status"] != "skipped":
                outcome.set("type", check["status"])
        else:
            ElementTree.SubElement(case, "system-out").text = _sentence(check)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def verdict_markdown(content: Mapping[str, Any]) -> str:
    """Return the verdict as Markdown: the decision, what was compared, one table row per check."""
    baseline = content["baseline"]
    against = f"against baseline `{baseline[:12]}`" if baseline else "without a baseline: absolute floors only"
    lines = [
        f"# Gate: {_WORDS[content['decision']]}",
        "",
        f"Candidate `{content['candidate'][:12]}`, {against}.",
        "",
        "| check | result | measured (95 % interval) | limit | n | what |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(_cell(part) for part in _row(check))} |" for check in content["checks"]]
    return "\n".join(lines) + "\n"


def _counts(content: Mapping[str, Any]) -> dict[str, int]:
    return {status: sum(check["status"] == status for check in content["checks"]) for status in _WORDS}


def _row(check: Mapping[str, Any]) -> list[str]:
    figure = check["figure"]
    limit = "–" if check["limit"] is None else f"{check['limit']:.4g}"
    name = f"{check['group']}: {check['name']}"
    n = "–" if figure is None else str(figure["n"])
    return [name, _WORDS[check["status"]], _figure(figure), limit, n, check["detail"]]


def _sentence(check: Mapping[str, Any]) -> str:
    if check["figure"] is None:
        return str(check["detail"])
    return f"{check['detail']}: {_figure(check['figure'])}, limit {check['limit']:.4g}, n {check['figure']['n']}"


def _figure(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.4f}"
    return f"{figure['value']:.4f} ({figure['low']:.4f} to {figure['high']:.4f})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
