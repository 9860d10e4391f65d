"""Publish a bundle: version, model card filled from the measurements, final manifest, MLflow registry and aliases.

Reads the exported Bundle, its Measurements and the gate's Verdict; returns the published Bundle. Every published
version is a `candidate`; one that passed the gate becomes `champion`.
    python train.py pipeline=publish publish.version=0.2.0
"""

import re
import shutil
from dataclasses import dataclass

from pipelines.artifacts.folder import Slot, write_json
from pipelines.artifacts.progress import say
from pipelines.bundle.bundle import Bundle
from pipelines.bundle.manifest import write_manifest
from pipelines.bundle.runtime import INT8
from pipelines.corpora import PreparedData
from pipelines.measure.measurements import Measurements
from pipelines.measure.verdict import Verdict
from pipelines.report.card import render_card
from pipelines.settings.errors import UserError
from pipelines.tracking import store


@dataclass
class PublishConfig:
    """Under which name and version a bundle is published.

    Attributes:
        name: of the bundle and of the registered model.
        version: semantic version; the first digits of the content's fingerprint are appended.
    """

    name: str
    version: str


def run(
    config: PublishConfig,
    bundle: Bundle,
    data: PreparedData,
    accuracy: Measurements,
    latency: Measurements,
    verdict: Verdict,
    slot: Slot,
) -> Bundle:
    """Write the published folder, register it in MLflow (inside the current run) and set its aliases.

    Raises:
        UserError: a bad name or version, or evidence that was measured on another bundle or other data.
    """
    check(config)
    _same_release(bundle, data, latency, verdict)
    version = f"{config.version}+{slot.fingerprint[:8]}"
    measured = {
        "accuracy": accuracy.figures,
        "latency": latency.figures,
        "gate": verdict.content,
    }
    header = {
        "name": config.name,
        "version": version,
        **{key: value for key, value in bundle.manifest.items() if key != "files"},
        "export": bundle.fingerprint,
        "gate": verdict.fingerprint,
    }
    with slot.fill(Bundle) as draft:
        shutil.rmtree(draft.folder)
        shutil.copytree(bundle.path, draft.folder, ignore=shutil.ignore_patterns("artifact.json", "manifest.json"))
        write_json(draft.folder / "measurements.json", measured)
        card = render_card(header, data.manifest, measured, bundle)
        (draft.folder / "README.md").write_text(card, encoding="utf-8")
        write_manifest(draft.folder, header)
        tags = {
            "bundle_version": version,
            "fingerprint": slot.fingerprint,
            "commercial_use": str(header["commercial_use"]),
        }
        registered = store.register(draft.folder, INT8, config.name, tags)
        store.set_alias(config.name, "candidate", registered)
        if verdict.passed:
            store.set_alias(config.name, "champion", registered)
        say(f"publish: {config.name} {version} is registry version {registered}, alias {_alias(verdict)}")
        draft.metrics.update(version=version, registry_version=int(registered), alias=_alias(verdict))
    return Bundle.open(slot.path)


def check(config: PublishConfig) -> None:
    """Raise UserError for a name or version that can't be published."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", config.name):
        raise UserError(f"publish.name={config.name}: use lower-case letters, digits and single hyphens.")
    if not re.fullmatch(r"\d+\.\d+\.\d+", config.version):
        raise UserError(f"publish.version={config.version}: expected MAJOR.MINOR.PATCH, for instance 0.1.0.")


def _same_release(bundle: Bundle, data: PreparedData, latency: Measurements, verdict: Verdict) -> None:
    found = {
        "the gate's verdict": (verdict.content["candidate"], bundle.fingerprint),
        "the benchmark": (latency.figures["bundle"], bundle.fingerprint),
        "the prepared data": (data.fingerprint, bundle.inputs.get("data")),
    }
    for what, (theirs, ours) in found.items():
        if theirs != ours:
            raise UserError(f"publish: {what} does not belong to the bundle {bundle.path}; make them in one release.")


def _alias(verdict: Verdict) -> str:
    return "champion" if verdict.passed else "candidate"
