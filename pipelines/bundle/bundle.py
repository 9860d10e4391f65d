"""The bundle as an artifact: the folder that other deployments take, opened here with typed access to what it says."""

from pathlib import Path
from typing import Any, ClassVar, Self

from pipelines.artifacts.fingerprint import file_sha256
from pipelines.artifacts.folder import Artifact, read_json
from pipelines.bundle.manifest import MANIFEST, BundleError, read_manifest, verify
from pipelines.bundle.runtime import INT8, Classifier
from pipelines.settings.errors import UserError


class Bundle(Artifact):
    """ONNX files, tokenizer, taxonomy, operating points and measured evidence in one folder."""

    kind: ClassVar[str] = "bundle"

    @classmethod
    def at(cls, folder: Path | str) -> Self:
        """Open a bundle from anywhere (a download, another team's release): verified, identified by its manifest."""
        bundle = cls(Path(folder), file_sha256(Path(folder) / MANIFEST) if (Path(folder) / MANIFEST).is_file() else "")
        bundle.verify()
        return bundle

    @property
    def manifest(self) -> dict[str, Any]:
        """What the bundle is and the sha256 of its files; UserError when it can't be read."""
        try:
            return read_manifest(self.path)
        except BundleError as error:
            raise UserError(str(error)) from None

    @property
    def taxonomy_dict(self) -> dict[str, Any]:
        """The taxonomy the columns follow."""
        return dict(read_json(self.path / "taxonomy.json"))

    @property
    def operating_points(self) -> dict[str, Any]:
        """Threshold and measured figures of every action, by its name."""
        return dict(read_json(self.path / "operating_points.json")["actions"])

    @property
    def calibration(self) -> dict[str, Any]:
        """Scale and bias folded in per label, and whether they were fitted."""
        return dict(read_json(self.path / "calibration.json"))

    @property
    def parity(self) -> dict[str, Any]:
        """Measured distance of each ONNX file from its source."""
        return dict(read_json(self.path / "parity.json"))

    def classifier(self, file: str = INT8, threads: int = 1) -> Classifier:
        """Open one ONNX file of the bundle for scoring; UserError when it is missing or broken."""
        try:
            return Classifier.load(self.path, file, threads)
        except BundleError as error:
            raise UserError(str(error)) from None

    def verify(self) -> None:
        """Compare every file with the manifest; UserError naming each that differs, is missing or is not listed."""
        try:
            verify(Path(self.path))
        except BundleError as error:
            raise UserError(f"{error} Export it again, or fetch it anew.") from None
