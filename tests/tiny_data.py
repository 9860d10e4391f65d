"""A small corpus of our own, prepared by the real reader, and the real configurations cut down to seconds."""

import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from pipelines import prepare
from pipelines.artifacts.folder import Slot
from pipelines.corpora import PreparedData
from pipelines.corpora.schema import CorpusConfig, CorpusFile, LabelRule, Unlabelled
from pipelines.corpora.source import CorporaConfig
from pipelines.distill import DistillConfig
from pipelines.evaluate import EvaluateConfig
from pipelines.finetune import FinetuneConfig
from pipelines.models.encoder import EncoderConfig
from pipelines.pretrain import PretrainConfig
from pipelines.settings.compose import compose
from pipelines.taxonomy import Taxonomy, TaxonomyConfig, load
from pipelines.teach import TeachConfig

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
WEIGHTS = {"full": 1.0, "partial": 0.5}
FILLER = "天地人你我山水风云花鸟日月星江河湖海春夏秋冬东西南北"
GOOD, BAD = ("甲", "乙"), ("丙", "丁")  # which of these a text contains is all there is to learn
_TINY = [
    "encoder=tiny",
    *(f"{role}.{size}" for role in ("encoder", "student") for size in ("hidden=32", "heads=2", "intermediate=64")),
    *(f"{role}.max_length=32" for role in ("encoder", "student")),
    "encoder.tokenizer.min_count=1",
    "student.layers=1",
    "pretrain.million_tokens=0.005",
    "pretrain.held_out=8",
    "pretrain.training.rows_per_batch=4",
    *(
        f"{verb}.training.{value}"
        for verb in ("finetune", "distill")
        for value in ("epochs=3", "batch_size=8", "bf16=false")
    ),
]


@dataclass
class Config:
    """The part of the configuration that trains."""

    seed: int
    taxonomy: TaxonomyConfig
    encoder: EncoderConfig
    student: EncoderConfig
    pretrain: PretrainConfig
    finetune: FinetuneConfig
    teach: TeachConfig
    distill: DistillConfig
    evaluate: EvaluateConfig


@cache
def make_config(*overrides: str) -> Config:
    """Compose the real configuration groups, sizes and epochs cut down, plus `overrides`."""
    groups = (
        "taxonomy: cyber_violence",
        "encoder: small",
        "student: tiny",
        "pretrain: short",
        "finetune: scratch",
        "teach: default",
        "distill: default",
        "evaluate: default",
    )
    with TemporaryDirectory() as folder:
        configs = Path(folder) / "configs"
        shutil.copytree(CONFIGS, configs)
        lines = ["defaults:", "  - schema", *(f"  - {group}" for group in groups), "  - _self_", "seed: 17"]
        (configs / "train.yaml").write_text("\n".join(lines), encoding="utf-8")
        return compose(Config, configs, [*_TINY, *overrides])


@cache
def make_taxonomy() -> Taxonomy:
    """Return the project's taxonomy."""
    return load(make_config().taxonomy)


def make_texts(count: int, seed: int = 5) -> list[str]:
    """Return `count` different texts, every second one with a bad mark in it."""
    random = np.random.default_rng(seed)
    texts = []
    for index in range(count):
        marks = BAD if index % 2 else GOOD
        body = list(random.choice(list(FILLER), size=random.integers(4, 12)))
        body.insert(int(random.integers(len(body))), str(random.choice(marks)))
        texts.append("".join(body) + f" {index}")
    return texts


def make_data(folder: Path, full: int = 60, partial: int = 24, unlabelled: int = 20) -> PreparedData:
    """Prepare two corpora: one with every harm annotated, one that knows the root and "one of two harms"."""
    taxonomy = make_taxonomy()
    first, second = list(taxonomy.harms)[:2]
    source = folder / "source"
    source.mkdir(parents=True)
    texts = make_texts(full + partial + unlabelled)
    rows = [
        {"text": text, "harms": [first] if index % 2 else [], "context": "上文" if index % 5 == 0 else None}
        for index, text in enumerate(texts[:full])
    ]
    marks = ["0", "1", "0", "1", "0", "?"]
    weak = [{"text": text, "mark": marks[index % 6]} for index, text in enumerate(texts[full : full + partial])]
    _write(source / "full.jsonl", rows)
    _write(source / "partial.jsonl", weak)
    _write(source / "more.jsonl", [{"text": text} for text in texts[full + partial :]])
    rules = [
        LabelRule(when={"mark": ["1"]}, set={taxonomy.root.id: 1}, any_of=[first, second]),
        LabelRule(when={"mark": ["0"]}, set={first: 0}),
        LabelRule(when={"mark": ["?"]}),
    ]
    known = {
        "full": _corpus(
            source, "full.jsonl", {"text": "text", "context": "context"}, harm_list="harms", annotated=[*taxonomy.harms]
        ),
        "partial": _corpus(source, "partial.jsonl", {"text": "text"}, rules=rules),
    }
    known["full"].unlabelled.append(Unlabelled("more.jsonl", "", ["text"]))
    corpora = CorporaConfig(None, str(folder / "cache"), "", verify=True, max_bad_share=0.0, max_characters=500)
    mixture = prepare.MixtureConfig("tiny", WEIGHTS, [], [])
    return prepare.run(mixture, corpora, known, taxonomy, Slot(folder / "prepared", "prepared"))


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors a saved model consists of."""
    return load_file(folder / "model.safetensors")


def same_weights(left: PreTrainedModel, right: PreTrainedModel) -> bool:
    """Return whether two models agree in every bit."""
    ours, theirs = left.state_dict(), right.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def _corpus(source: Path, file: str, columns: dict[str, str], **labels: object) -> CorpusConfig:
    return CorpusConfig(
        title=file,
        folder=str(source),
        licence="Apache-2.0",
        commercial_use=True,
        card="",
        columns=columns,
        files=[CorpusFile(file, "")],
        encoding="utf-8",
        authored=True,
        validation_share=0.25,
        test_share=0.2,
        **labels,  # type: ignore[arg-type]
    )


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
