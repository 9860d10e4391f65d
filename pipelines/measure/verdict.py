"""Verdict: what a gate decided, check by check, and the exit code that follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipelines.artifacts.folder import Artifact, read_json, write_json
from pipelines.measure.statistics import Figure

FILE = "verdict.json"
PASS, FAIL, UNDECIDED, SKIPPED = "pass", "fail", "undecided", "skipped"
_EXIT_CODES = {PASS: 0, FAIL: 1, UNDECIDED: 2}


@dataclass(frozen=True)
class Check:
    """One question the gate asked.

    Attributes:
        group: what it is about: `accuracy`, `floor`, `flips` or `latency`.
        name: which corpus, comparison or runtime.
        status: `pass`, `fail`, `undecided` (the interval contains the limit) or `skipped` (could not be asked).
        limit: the bound that was held against the figure; None for a skipped check.
        figure: what was measured, `{"value", "low", "high", "n"}`; None for a skipped check.
        detail: one sentence for people.
    """

    group: str
    name: str
    status: str
    limit: float | None
    figure: Mapping[str, Any] | None
    detail: str


class Verdict(Artifact):
    """What `gate` decided."""

    kind: ClassVar[str] = "verdict"

    @property
    def content(self) -> dict[str, Any]:
        """The content of `verdict.json`: `decision`, `candidate`, `baseline` and `checks`."""
        return dict(read_json(self.path / FILE))

    @property
    def decision(self) -> str:
        """`pass`, `fail` or `undecided`."""
        return str(self.content["decision"])

    @property
    def passed(self) -> bool:
        """Whether the candidate may replace the baseline."""
        return self.decision == PASS

    @property
    def exit_code(self) -> int:
        """0 for pass, 1 for fail, 2 for could not decide."""
        return _EXIT_CODES[self.decision]


def decide(checks: Sequence[Check]) -> str:
    """Return `fail` if any check failed, `undecided` if one could not be decided or none was asked, else `pass`."""
    statuses = {check.status for check in checks} - {SKIPPED} or {UNDECIDED}
    return next((status for status in (FAIL, UNDECIDED) if status in statuses), PASS)


def write_verdict(folder: Path, checks: Sequence[Check], candidate: str, baseline: str | None) -> dict[str, Any]:
    """Write `verdict.json` into a draft and return its content.

    Args:
        folder: the draft's folder.
        checks: everything that was asked.
        candidate: fingerprint of the candidate.
        baseline: fingerprint of the baseline, None without one.
    """
    content = {
        "decision": decide(checks),
        "candidate": candidate,
        "baseline": baseline,
        "checks": [asdict(check) for check in checks],
    }
    write_json(folder / FILE, content)
    return content


def at_least(group: str, name: str, figure: Figure, limit: float, detail: str) -> Check:
    """Return the check that a figure is at least `limit` over its whole interval; undecided while that contains it.

    This is non-inferiority by confidence interval (Piaggio et al., "Reporting of noninferiority and equivalence
    randomized trials", JAMA 308, 2012): with a 95 % interval, a candidate that sits exactly on the limit passes in 2.5
    % of cases and fails in 2.5 %.
    """
    return Check(group, name, _side(figure.low, figure.high, limit), limit, figure.to_dict(), detail)


def at_most(group: str, name: str, figure: Figure, limit: float, detail: str) -> Check:
    """Return the check that a figure is at most `limit` over its whole interval; see `at_least`."""
    return Check(group, name, _side(_minus(figure.high), _minus(figure.low), -limit), limit, figure.to_dict(), detail)


def floor(group: str, name: str, figure: Figure, limit: float, detail: str) -> Check:
    """Return the check that the figure itself is at least `limit`: absolute bounds decide every run, even the first."""
    return Check(group, name, _side(figure.value, figure.value, limit), limit, figure.to_dict(), detail)


def ceiling(group: str, name: str, figure: Figure, limit: float, detail: str) -> Check:
    """Return the check that the figure itself is at most `limit`; see `floor`."""
    value = _minus(figure.value)
    return Check(group, name, _side(value, value, -limit), limit, figure.to_dict(), detail)


def skipped(group: str, name: str, detail: str) -> Check:
    """Return a check that could not be asked, with the reason."""
    return Check(group, name, SKIPPED, None, None, detail)


def _side(low: float | None, high: float | None, limit: float) -> str:
    if low is None or high is None:
        return UNDECIDED
    if low >= limit:
        return PASS
    return FAIL if high < limit else UNDECIDED


def _minus(bound: float | None) -> float | None:
    return None if bound is None else -bound
