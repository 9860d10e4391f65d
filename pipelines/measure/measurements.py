"""Measurements: one JSON of figures, each `{"value", "low", "high", "n"}`, with what is needed to judge them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pipelines.artifacts.folder import Artifact, read_json, write_json

FILE = "measurements.json"


class Measurements(Artifact):
    """What `evaluate` or `benchmark` measured."""

    kind: ClassVar[str] = "measurements"

    @property
    def figures(self) -> dict[str, Any]:
        """The content of `measurements.json`."""
        return dict(read_json(self.path / FILE))


def write_figures(folder: Path, figures: Mapping[str, Any]) -> None:
    """Write `measurements.json` into a draft; NaN and infinity are refused, an undefined value is None."""
    write_json(folder / FILE, dict(figures))
