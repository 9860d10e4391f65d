"""Artifacts: typed folders with an `artifact.json`, written beside their final place and renamed into it.

A verb receives a `Slot` (where its result goes and what identifies it), fills it, returns the artifact. A killed verb
leaves `NAME.partial`, which the same verb finds again and resumes from; it is never taken for a whole artifact.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from pipelines.artifacts.fingerprint import package_versions
from pipelines.settings.errors import UserError

Metrics = dict[str, float | int | str | bool | None]


def write_json(path: Path, content: Any) -> None:
    """Write `content` as UTF-8 JSON beside `path` and rename, so a reader never sees half a file."""
    draft = path.with_name(path.name + ".partial")
    draft.write_text(json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(path)


def read_json(path: Path) -> Any:
    """Read a JSON file; raise UserError naming the file when it is absent or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON ({error}).") from None


@dataclass(frozen=True)
class Artifact:
    """A finished artifact on disk. Subclasses live beside the noun that reads them and add typed access.

    Attributes:
        path: the folder.
        fingerprint: hex digest of configuration, inputs and code that made it.
        inputs: fingerprint of every artifact it was made from, by role.
        metrics: the few figures worth a line; the whole evidence is in the folder's own files.
    """

    kind: ClassVar[str] = "artifact"

    path: Path
    fingerprint: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open the folder at `path`; raise UserError when it is missing or another kind of artifact."""
        folder = Path(path)
        if not (folder / "artifact.json").is_file():
            raise UserError(f"{folder}: no finished {cls.kind} (no artifact.json). Run the verb that makes it first.")
        record = read_json(folder / "artifact.json")
        if record["kind"] != cls.kind:
            raise UserError(f"{folder}: this is a {record['kind']}, but a {cls.kind} is needed here.")
        return cls(folder, record["fingerprint"], record["inputs"], record["metrics"])


@dataclass(frozen=True)
class Draft:
    """An artifact being written: put files into `folder`, figures into `metrics`."""

    folder: Path
    metrics: Metrics


@dataclass(frozen=True)
class Slot:
    """Where an artifact will stand and what identifies it."""

    path: Path
    fingerprint: str
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the artifact already stands here."""
        return (self.path / "artifact.json").is_file()

    @contextmanager
    def fill(self, kind: type[Artifact]) -> Iterator[Draft]:
        """Yield a draft folder; on success write artifact.json and rename the folder into place.

        The draft keeps what an earlier, killed attempt left in it: a verb that can resume does, any other overwrites.
        Files under `scratch/` are dropped before the rename.
        """
        draft = Draft(self.path.with_name(self.path.name + ".partial"), {})
        draft.folder.mkdir(parents=True, exist_ok=True)
        yield draft
        shutil.rmtree(draft.folder / "scratch", ignore_errors=True)
        record = {
            "kind": kind.kind,
            "fingerprint": self.fingerprint,
            "inputs": dict(self.inputs),
            "metrics": draft.metrics,
            "versions": package_versions(),
        }
        write_json(draft.folder / "artifact.json", record)
        if self.path.exists():
            shutil.rmtree(self.path)
        draft.folder.replace(self.path)
