"""The model card: what the bundle is, what was measured and what was not, rendered from the measurements alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipelines.bundle.bundle import Bundle
from pipelines.measure.evaluation import SERVED
from pipelines.report.accuracy import percent


def render_card(
    header: Mapping[str, Any],
    data: Mapping[str, Any],
    measured: Mapping[str, Any],
    bundle: Bundle,
) -> str:
    """Return the card as Markdown with Hugging Face front matter.

    Args:
        header: the manifest's own fields: name, version, licence, mixture.
        data: the prepared data's manifest.
        measured: `accuracy` and `latency` measurements and the `gate` verdict.
        bundle: the exported bundle: its taxonomy, operating points, parity and calibration.
    """
    folder = Path(__file__).resolve().parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters["percent"] = percent
    environment.filters["plain"] = plain
    return environment.get_template("card.md.j2").render(
        header=header,
        data=data,
        accuracy=measured["accuracy"],
        latency=measured["latency"],
        gate=measured["gate"],
        parity=bundle.parity,
        taxonomy=bundle.taxonomy_dict,
        points=bundle.operating_points,
        calibration=bundle.calibration,
        shipped=SERVED,
    )


def plain(figure: Mapping[str, Any] | None, digits: int = 2) -> str:
    """Return a figure with its interval, or a dash where it is undefined."""
    if figure is None or figure["value"] is None:
        return "–"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['value']:.{digits}f}"
    return f"{figure['value']:.{digits}f} ({figure['low']:.{digits}f}–{figure['high']:.{digits}f})"
