"""Connect to MLflow, log a run per step, register bundles and find them again by alias."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from pipelines.settings.errors import UserError

_BUNDLE = "bundle"
_ABSENT = {
    "RESOURCE_DOES_NOT_EXIST",
    "INVALID_PARAMETER_VALUE",
}  # MLflow's codes for an unknown model and an unknown alias


@dataclass
class TrackingConfig:
    """Where runs are logged.

    Attributes:
        uri: tracking server or database; null keeps a sqlite store in the output folder.
        experiment: MLflow experiment name.
    """

    uri: str | None
    experiment: str


def connect(config: TrackingConfig, output: Path) -> None:
    """Point MLflow at the configured store and experiment; raise UserError when it can't be reached."""
    output.mkdir(parents=True, exist_ok=True)
    uri = config.uri or f"sqlite:///{output.resolve() / 'mlflow.db'}"
    place = None if config.uri else (output / "mlartifacts").resolve().as_uri()
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout belongs to the verb's JSON line
    try:
        mlflow.set_tracking_uri(uri)
        if mlflow.get_experiment_by_name(config.experiment) is None:
            mlflow.create_experiment(config.experiment, artifact_location=place)
        mlflow.set_experiment(config.experiment)
    except (MlflowException, OSError, ImportError) as error:  # ImportError: a database whose driver is not installed
        raise UserError(f"tracking.uri={uri}: MLflow can't use it ({str(error).splitlines()[0]}).") from None


@contextmanager
def run(name: str, parameters: Mapping[str, Any], nested: bool) -> Iterator[None]:
    """Open an MLflow run with `parameters` as dotted keys; nested runs belong to the run around them."""
    with mlflow.start_run(run_name=name, nested=nested):
        mlflow.log_params(_dotted(parameters))
        yield


def log(metrics: Mapping[str, Any], folder: Path | None = None) -> None:
    """Log the numeric `metrics` and the small JSON, XML and Markdown files of `folder` to the current run."""
    mlflow.log_metrics({name: float(value) for name, value in metrics.items() if isinstance(value, int | float)})
    if folder is not None:
        for path in sorted(folder.iterdir()):
            if path.suffix in {".json", ".xml", ".md"}:
                mlflow.log_artifact(str(path))


def register(bundle: Path, model_file: str, name: str, tags: Mapping[str, str]) -> str:
    """Log the bundle and its model to the current run, register it as a new version and return the version number."""
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.int64), (-1, -1), key) for key in ("input_ids", "attention_mask")]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, -1), key) for key in ("logits", "probabilities")]),
    )
    mlflow.log_artifacts(str(bundle), _BUNDLE)
    info = mlflow.onnx.log_model(
        onnx.load(str(bundle / model_file)),
        name="model",
        signature=signature,
        pip_requirements=["onnxruntime", "tokenizers", "numpy"],
        onnx_execution_providers=["CPUExecutionProvider"],
    )
    current = mlflow.active_run()
    assert current is not None
    version = mlflow.register_model(info.model_uri, name, tags={**tags, "run_id": current.info.run_id}).version
    return str(version)


def set_alias(name: str, alias: str, version: str) -> None:
    """Let `models:/name@alias` mean `version`."""
    mlflow.MlflowClient().set_registered_model_alias(name, alias, version)


def find_bundle(reference: str, cache: Path) -> Path | None:
    """Return the folder of the bundle registered as `models:/NAME@ALIAS`, or None when nothing has that alias yet.

    Raises:
        UserError: the reference has another form, the store does not answer, or what it names is no bundle.
    """
    name, _, alias = reference.removeprefix("models:/").partition("@")
    if not reference.startswith("models:/") or not name or not alias:
        raise UserError(f"'{reference}': expected a bundle folder or models:/NAME@ALIAS.")
    client = mlflow.MlflowClient()
    try:
        version = client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise UserError(f"{reference}: MLflow can't look it up ({str(error).splitlines()[0]}).") from None
    if "run_id" not in version.tags:
        raise UserError(f"{reference}: version {version.version} was not registered by `publish` and has no bundle.")
    target = cache / f"{name}-{version.version}"
    target.mkdir(parents=True, exist_ok=True)
    try:
        return Path(client.download_artifacts(version.tags["run_id"], _BUNDLE, str(target)))
    except (MlflowException, OSError) as error:
        raise UserError(f"{reference}: its bundle can't be fetched ({str(error).splitlines()[0]}).") from None


def _dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
