"""Checkpoint: a plain Hugging Face folder that `AutoModelForSequenceClassification` opens, and what its scores mean."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from pipelines.artifacts.folder import Artifact, read_json, write_json
from pipelines.models.tokenizer import save_tokenizer
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy


class Checkpoint(Artifact):
    """A trained classifier. After `calibrate` it also carries its operating points."""

    kind: ClassVar[str] = "checkpoint"

    def model(self) -> PreTrainedModel:
        """Return the model in evaluation mode, float32."""
        return AutoModelForSequenceClassification.from_pretrained(self.path, use_safetensors=True).eval()

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the tokenizer; raise UserError when it has other tokens than the model has embeddings for."""
        tokenizer = AutoTokenizer.from_pretrained(self.path)
        vocabulary = read_json(self.path / "config.json")["vocab_size"]
        if len(tokenizer) > vocabulary:
            raise UserError(
                f"{self.path}: {len(tokenizer)} tokens but {vocabulary} embeddings; the folder mixes two models."
            )
        return tokenizer

    @property
    def taxonomy_dict(self) -> dict[str, Any]:
        """Return the taxonomy the model was trained for, as plain data."""
        content: dict[str, Any] = read_json(self.path / "taxonomy.json")
        return content

    @property
    def operating_points(self) -> Mapping[str, Any] | None:
        """Return the operating points, or None before `calibrate`."""
        path = self.path / "operating_points.json"
        return read_json(path) if path.is_file() else None


def save_checkpoint(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, taxonomy: Taxonomy
) -> None:
    """Write model, tokenizer and taxonomy into `folder`."""
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    write_json(folder / "taxonomy.json", taxonomy.to_dict())
