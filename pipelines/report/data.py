"""What `debug_data` found, for the terminal and as one HTML page without scripts."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from rich import box
from rich.table import Table


def data_table(content: Mapping[str, Any]) -> Table:
    """Return the findings of `data.json` as a table, errors first."""
    table = Table(title=f"mixture {content['mixture']}", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "check", "where", "finding"):
        table.add_column(heading, overflow="fold")
    for finding in content["findings"]:
        kind = "[red]error[/red]" if finding["error"] else "warning"
        table.add_row(kind, finding["check"], finding["where"], finding["message"])
    if not content["findings"]:
        table.add_row("", "", "", "nothing wrong found")
    return table


def data_html(content: Mapping[str, Any]) -> str:
    """Return `data.json` as a page: findings, labels per corpus and split, lengths, overlaps."""
    environment = Environment(
        loader=PackageLoader("pipelines.report", "."), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    return environment.get_template("data.html.j2").render(content)
