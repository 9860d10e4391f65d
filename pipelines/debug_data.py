"""Look at a mixture before money is spent on it: leaks, contradictions, tiny classes, shortcuts, what is unknown.

Reads PreparedData, returns a DataReport (JSON and HTML) whose exit code is 1 when it found an error, else 0.
    python train.py pipeline=debug_data mixture=public corpora.root=../shared/corpora
"""

from rich.console import Console

from pipelines.artifacts.folder import Slot, write_json
from pipelines.artifacts.progress import say
from pipelines.corpora import PreparedData
from pipelines.measure.data import DataReport, DebugDataConfig, findings, tables
from pipelines.report.data import data_html, data_table
from pipelines.taxonomy import Taxonomy


def run(config: DebugDataConfig, data: PreparedData, max_length: int, taxonomy: Taxonomy, slot: Slot) -> DataReport:
    """Inspect a prepared mixture.

    Args:
        config: what counts as wrong.
        data: the mixture.
        max_length: tokens that the encoder reads of a text; longer ones are cut.
        taxonomy: the labels.
        slot: where the report goes.

    Raises:
        UserError: a value of the configuration is out of range.
    """
    config.check()
    say("debug_data: counting")
    counted = tables(data, max_length, taxonomy)
    found = findings(config, data, counted, taxonomy)
    with slot.fill(DataReport) as draft:
        content = {"mixture": data.manifest["mixture"], "findings": [f.to_dict() for f in found], **counted}
        write_json(draft.folder / "data.json", content)
        (draft.folder / "report.html").write_text(data_html(content), encoding="utf-8")
        draft.metrics.update(errors=sum(f.error for f in found), warnings=sum(not f.error for f in found))
    Console(stderr=True).print(data_table(content))
    return DataReport.open(slot.path)
