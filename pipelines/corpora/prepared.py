"""PreparedData: what `prepare` writes and everything that trains or measures reads."""

from functools import cached_property
from typing import Any, ClassVar

from datasets import Dataset, load_from_disk

from pipelines.artifacts.folder import Artifact, read_json
from pipelines.settings.errors import UserError


class PreparedData(Artifact):
    """Arrow datasets in the canonical schema, one per split, plus unlabelled text and a manifest of what was read."""

    kind: ClassVar[str] = "prepared_data"

    def split(self, name: str) -> Dataset:
        """Return one of `train`, `validation`, `test`, `unlabelled` (memory-mapped)."""
        folder = self.path / name
        if not folder.is_dir():
            raise UserError(f"{self.path}: no split '{name}'.")
        return load_from_disk(str(folder))

    @property
    def provenance(self) -> dict[str, Any]:
        """Return what a model trained on this may be used for: mixture, licences, whether commercial use is allowed."""
        notes = [
            f"{corpus['title']}: {corpus['licence']}" + ("" if corpus["commercial_use"] else " (non-commercial)")
            for corpus in self.manifest["corpora"].values()
            if not corpus["evaluation_only"]
        ]
        commercial = bool(self.manifest["commercial_use"])
        return {"mixture": self.manifest["mixture"], "commercial_use": commercial, "licence_notes": notes}

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Return counts per corpus, split and label, and every rejection counted by reason."""
        content: dict[str, Any] = read_json(self.path / "manifest.json")
        return content
