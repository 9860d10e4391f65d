"""From labelled comments to a published bundle: every step in order, skipped when its fingerprint is already there.

`Release` is the whole graph. Asking it for one artifact makes what that artifact needs and nothing else, so
`pipeline=evaluate` alone and `pipeline=release` run the same code; `inputs.VERB=FOLDER` puts another artifact in a
step's place.
    python train.py                                   everything, on the embedded authored corpus
    python train.py experiment=public corpora.root=../shared/corpora
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pipelines import (
    benchmark,
    calibrate,
    debug_data,
    distill,
    evaluate,
    export,
    finetune,
    gate,
    prepare,
    pretrain,
    publish,
    teach,
)
from pipelines.artifacts.fingerprint import code_fingerprint, fingerprint
from pipelines.artifacts.folder import Artifact, Slot
from pipelines.artifacts.progress import say
from pipelines.bundle.bundle import Bundle
from pipelines.bundle.runtime import FP32, INT8
from pipelines.corpora import PreparedData
from pipelines.corpora.schema import CorpusConfig
from pipelines.corpora.source import CorporaConfig
from pipelines.measure.data import DataReport, DebugDataConfig
from pipelines.measure.evaluation import SERVED, Scored
from pipelines.measure.measurements import Measurements
from pipelines.measure.predictor import BundlePredictor, CheckpointPredictor, Predictor
from pipelines.measure.verdict import Verdict
from pipelines.models import Checkpoint
from pipelines.models.encoder import EncoderConfig, source_hashes
from pipelines.models.predict import probabilities
from pipelines.models.pretrained import PretrainedEncoder
from pipelines.settings.errors import UserError, did_you_mean
from pipelines.taxonomy import Taxonomy, TaxonomyConfig, load
from pipelines.tracking import store
from pipelines.tracking.store import TrackingConfig
from pipelines.training.teacher import TeacherScores
from pipelines.training.trainer import check_training

Made = TypeVar("Made", bound=Artifact)


@dataclass
class InputsConfig:
    """A finished artifact to use in place of what a verb would make; null makes it (or finds it made)."""

    prepare: str | None
    pretrain: str | None
    finetune: str | None
    teach: str | None
    distill: str | None
    calibrate: str | None
    export: str | None
    evaluate: str | None
    benchmark: str | None
    gate: str | None


@dataclass
class Config:
    """Everything `configs/train.yaml` composes. Values live in `configs/`, types and checks here.

    Attributes:
        pipeline: the verb to run.
        output: folder of all artifacts.
        threads: processor threads for training and scoring; 0 takes all that this process may use.
        objective: the verb's metric that a search (`hydra/sweeper=optuna`) goes by.
    """

    pipeline: str
    output: str
    seed: int
    threads: int
    objective: str
    inputs: InputsConfig
    taxonomy: TaxonomyConfig
    corpora: CorporaConfig
    corpus: dict[str, CorpusConfig]
    mixture: prepare.MixtureConfig
    debug_data: DebugDataConfig
    encoder: EncoderConfig
    student: EncoderConfig
    pretrain: pretrain.PretrainConfig
    finetune: finetune.FinetuneConfig
    teach: teach.TeachConfig
    distill: distill.DistillConfig
    calibrate: calibrate.CalibrateConfig
    export: export.ExportConfig
    evaluate: evaluate.EvaluateConfig
    benchmark: benchmark.BenchmarkConfig
    gate: gate.GateConfig
    publish: publish.PublishConfig
    tracking: TrackingConfig


class Release:
    """The steps of one configuration. Each property is a finished artifact, made on first use."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.taxonomy: Taxonomy = load(config.taxonomy)
        self._check()
        self.output = Path(config.output)

    @cached_property
    def prepare(self) -> PreparedData:
        """Corpora in the canonical schema, split without leaks."""
        if given := self._given(PreparedData, "prepare"):
            return given
        c = self.config
        corpora = prepare.select(c.mixture, c.corpus, self.taxonomy)
        limits = {"max_bad_share": c.corpora.max_bad_share, "max_characters": c.corpora.max_characters}
        files = prepare.content_hashes(corpora, c.corpora)
        return self._step(
            PreparedData,
            "prepare",
            {"mixture": c.mixture, "corpora": corpora, "limits": limits, "files": files},
            {},
            lambda slot: prepare.run(c.mixture, c.corpora, c.corpus, self.taxonomy, slot),
        )

    @cached_property
    def debug_data(self) -> DataReport:
        """What is wrong with the mixture."""
        c = self.config
        return self._step(
            DataReport,
            "debug_data",
            {"debug_data": c.debug_data, "max_length": c.encoder.max_length},
            {"data": self.prepare},
            lambda slot: debug_data.run(c.debug_data, self.prepare, c.encoder.max_length, self.taxonomy, slot),
        )

    @cached_property
    def pretrain(self) -> PretrainedEncoder | None:
        """An encoder pre-trained on running text, from nothing or from `encoder.source`; None without a budget."""
        if given := self._given(PretrainedEncoder, "pretrain"):
            return given
        c = self.config
        if c.pretrain.million_tokens == 0:
            return None
        return self._step(
            PretrainedEncoder,
            "pretrain",
            {"pretrain": c.pretrain, "encoder": c.encoder, "source": source_hashes(c.encoder), "seed": c.seed},
            {"data": self.prepare},
            lambda slot: pretrain.run(c.pretrain, c.encoder, self.prepare, c.seed, slot),
        )

    @cached_property
    def finetune(self) -> Checkpoint:
        """The teacher, the first one where there are several."""
        return self._given(Checkpoint, "finetune") or self._teacher(self.config.seed)

    @cached_property
    def teach(self) -> TeacherScores:
        """What the teachers say of every text."""
        if given := self._given(TeacherScores, "teach"):
            return given
        c = self.config
        others = [self._teacher(c.seed + offset) for offset in range(1, c.teach.teachers)]
        teachers = [self.finetune, *others]
        roles = {f"teacher {number}": teacher for number, teacher in enumerate(teachers, start=1)}
        return self._step(
            TeacherScores,
            "teach",
            {"teach": c.teach},
            {"data": self.prepare, **roles},
            lambda slot: teach.run(c.teach, self.prepare, teachers, self.taxonomy, slot),
        )

    @cached_property
    def distill(self) -> Checkpoint:
        """The student."""
        if given := self._given(Checkpoint, "distill"):
            return given
        c = self.config
        weights = c.mixture.weights
        return self._step(
            Checkpoint,
            "distill",
            {"distill": c.distill, "student": c.student, "weights": weights, "seed": c.seed},
            {"data": self.prepare, "teacher": self.finetune, "scores": self.teach},
            lambda slot: distill.run(
                c.distill, c.student, self.prepare, self.finetune, self.teach, weights, self.taxonomy, c.seed, slot
            ),
        )

    @cached_property
    def calibrate(self) -> Checkpoint:
        """The student with calibrated scores and operating points."""
        if given := self._given(Checkpoint, "calibrate"):
            return given
        c = self.config
        return self._step(
            Checkpoint,
            "calibrate",
            {"calibrate": c.calibrate, "seed": c.seed},
            {"data": self._trained_on(self.distill), "checkpoint": self.distill},
            lambda slot: calibrate.run(c.calibrate, self.prepare, self.distill, self.taxonomy, c.seed, slot),
        )

    @cached_property
    def export(self) -> Bundle:
        """The student as ONNX, with its parity figures."""
        if given := self._given(Bundle, "export"):
            return given
        c = self.config
        return self._step(
            Bundle,
            "export",
            {"export": c.export},
            {"data": self._trained_on(self.calibrate), "checkpoint": self.calibrate},
            lambda slot: export.run(c.export, self.calibrate, self._texts("validation"), self.prepare.provenance, slot),
        )

    @cached_property
    def evaluate(self) -> Measurements:
        """Accuracy of teacher, student and int8 student beside the baselines, per corpus."""
        if given := self._given(Measurements, "evaluate"):
            return given
        c = self.config

        def make(slot: Slot) -> Measurements:
            recorded = {"teacher": Scored(*(probabilities(self.teach.of(split)) for split in ("test", "validation")))}
            candidates: dict[str, Predictor] = {
                "one teacher encoder": CheckpointPredictor(self.finetune),
                "student fp32": BundlePredictor(self.export, FP32),
                SERVED: BundlePredictor(self.export, INT8),
            }
            points = self.export.operating_points
            return evaluate.run(c.evaluate, self.prepare, candidates, recorded, points, self.taxonomy, slot)

        inputs = {"data": self.prepare, "teacher": self.finetune, "scores": self.teach, "bundle": self.export}
        return self._step(Measurements, "evaluate", {"evaluate": c.evaluate}, inputs, make)

    @cached_property
    def benchmark(self) -> Measurements:
        """Latency and throughput of the bundle's runtimes."""
        if given := self._given(Measurements, "benchmark"):
            return given
        c = self.config
        return self._step(
            Measurements,
            "benchmark",
            {"benchmark": c.benchmark},
            {"data": self.prepare, "bundle": self.export},
            lambda slot: benchmark.run(c.benchmark, self.export, self._texts("test"), slot),
        )

    @cached_property
    def gate(self) -> Verdict:
        """Whether the bundle may replace the baseline."""
        if given := self._given(Verdict, "gate"):
            return given
        c = self.config
        baseline = self._baseline()
        if earlier := self._own_verdict(baseline):
            return earlier
        return self._step(
            Verdict,
            "gate",
            {"gate": c.gate},
            {"data": self.prepare, "candidate": self.export, "baseline": baseline},
            lambda slot: gate.run(c.gate, self.export, baseline, self.prepare, slot),
        )

    @cached_property
    def publish(self) -> Bundle:
        """The published bundle: model card, measurements, registry version."""
        c = self.config
        return self._step(
            Bundle,
            "publish",
            {"publish": c.publish},
            {"bundle": self.export, "accuracy": self.evaluate, "latency": self.benchmark, "verdict": self.gate},
            lambda slot: publish.run(
                c.publish, self.export, self.prepare, self.evaluate, self.benchmark, self.gate, slot
            ),
        )

    def _teacher(self, seed: int) -> Checkpoint:
        c = self.config
        return self._step(
            Checkpoint,
            "finetune",
            {
                "finetune": c.finetune,
                "encoder": c.encoder,
                "source": source_hashes(c.encoder),
                "weights": c.mixture.weights,
                "seed": seed,
            },
            {"data": self.prepare, "start": self.pretrain},
            lambda slot: finetune.run(
                c.finetune, c.encoder, self.prepare, self.pretrain, c.mixture.weights, self.taxonomy, seed, slot
            ),
        )

    def _check(self) -> None:
        """Raise UserError for what any verb would refuse, before the first one has worked for an hour."""
        c = self.config
        check_verb(c.pipeline)
        prepare.select(c.mixture, c.corpus, self.taxonomy)
        c.debug_data.check()
        pretrain.check(c.pretrain, c.encoder)
        check_training(c.finetune.training, "finetune")
        teach.check(c.teach)
        distill.check(c.distill, c.student)
        export.check(c.export)
        evaluate.check(c.evaluate)
        benchmark.check(c.benchmark)
        gate.check(c.gate)
        publish.check(c.publish)

    def _given(self, kind: type[Made], verb: str) -> Made | None:
        """Open the artifact that `inputs` names in place of a verb's, before anything that verb would need is made."""
        folder = getattr(self.config.inputs, verb)
        return None if folder is None else kind.open(folder)

    def _identity(self, verb: str, settings: Mapping[str, Any], made_from: Mapping[str, str]) -> str:
        return fingerprint(settings, made_from, self.taxonomy.to_dict(), code_fingerprint(verb))

    def _step(
        self,
        kind: type[Made],
        verb: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, Artifact | None],
        make: Callable[[Slot], Made],
    ) -> Made:
        """Open the artifact that was already made; make it otherwise, in an MLflow run of its own."""
        made_from = {role: artifact.fingerprint for role, artifact in inputs.items() if artifact is not None}
        identity = self._identity(verb, settings, made_from)
        slot = Slot(self.output / verb / identity[:12], identity, made_from)
        if slot.finished:
            say(f"{verb}: already made, {slot.path}")
            return kind.open(slot.path)
        say(f"{verb}: starting")
        with store.run(verb, plain(settings), nested=True):
            artifact = make(slot)
            store.log(artifact.metrics, artifact.path)
        say(f"{verb}: done, {artifact.path}")
        return artifact

    def _trained_on(self, checkpoint: Checkpoint) -> PreparedData:
        """Return the prepared data, refusing a checkpoint of other data: licence and test texts would be wrong."""
        if checkpoint.inputs.get("data") != self.prepare.fingerprint:
            raise UserError(
                f"{checkpoint.path}: trained on other prepared data than this configuration's {self.prepare.path}. "
                "Give the mixture it was trained on, or inputs.prepare=FOLDER."
            )
        return self.prepare

    def _own_verdict(self, baseline: Bundle | None) -> Verdict | None:
        """Return the verdict that made this very bundle the baseline, if the gate would be asked the same today."""
        if baseline is None or baseline.manifest.get("export") != self.export.fingerprint:
            return None
        folder = self.output / "gate" / str(baseline.manifest["gate"])[:12]
        if not (folder / "artifact.json").is_file():
            return None
        earlier = Verdict.open(folder)
        if earlier.fingerprint != self._identity("gate", {"gate": self.config.gate}, earlier.inputs):
            return None
        say(f"gate: this bundle is the baseline itself; {folder} stands")
        return earlier

    def _texts(self, split: str) -> list[str]:
        return list(self.prepare.split(split)["text"])

    def _baseline(self) -> Bundle | None:
        reference = self.config.gate.baseline
        if reference is None:
            return None
        if Path(reference).is_dir():
            return Bundle.at(reference)
        found = store.find_bundle(reference, self.output / "baselines")
        if found is None:
            say(f"gate: nothing is registered as {reference} yet; absolute floors only")
            return None
        return Bundle.at(found)


def check_verb(name: str) -> str:
    """Return `name` if it is a verb; raise UserError with the nearest one otherwise."""
    if name not in VERBS:
        raise UserError(f"pipeline={name}: no such verb.{did_you_mean(name, VERBS)}")
    return name


VERBS = ("release", *(field.name for field in fields(InputsConfig)), "publish", "debug_data")


def run(config: Config) -> tuple[Artifact, int]:
    """Make the artifact of `config.pipeline` and everything it needs, inside one MLflow parent run.

    Returns:
        The artifact, and the exit code: the gate's where the verb includes it, debug_data's own, else 0.

    Raises:
        UserError: whatever a user can mend; finished steps stay finished.
    """
    release = Release(config)
    store.connect(config.tracking, release.output)
    verb = "publish" if config.pipeline == "release" else config.pipeline
    with store.run(config.pipeline, {"seed": config.seed, "mixture": config.mixture.name}, nested=False):
        artifact: Artifact | None = getattr(release, verb)
        if artifact is None:
            raise UserError("pretrain: nothing to do: pretrain.million_tokens is 0.")
        store.log(artifact.metrics)
    judged: Verdict | DataReport | None = release.gate if verb in ("gate", "publish") else None
    judged = release.debug_data if verb == "debug_data" else judged
    return artifact, judged.exit_code if judged is not None else 0


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as plain nested data for tracking."""
    return {
        key: asdict(value) if hasattr(value, "__dataclass_fields__") else value  # type: ignore[call-overload]
        for key, value in settings.items()
        if key not in ("corpora", "files")
    }
