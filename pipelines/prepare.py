"""Read the mixture's corpora into the canonical schema and split them without leaks.

Reads corpus files, returns PreparedData: train, validation, test and unlabelled text, a manifest and the rejections.
    python train.py pipeline=prepare mixture=public corpora.root=../shared/corpora
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value

from pipelines.artifacts.fingerprint import file_sha256
from pipelines.artifacts.folder import Slot, write_json
from pipelines.artifacts.progress import say
from pipelines.corpora import PreparedData
from pipelines.corpora.inspect import overlaps
from pipelines.corpora.keyed import NO_TEXT, with_texts
from pipelines.corpora.normalise import text_key
from pipelines.corpora.read import Rejection, Row, read_corpus, read_unlabelled
from pipelines.corpora.schema import SPLITS, CorpusConfig, CorpusFile, Join, Unlabelled, check, features
from pipelines.corpora.source import CorporaConfig, locate
from pipelines.corpora.split import assign_splits, drop_leaks
from pipelines.settings.errors import UserError, did_you_mean
from pipelines.taxonomy import Taxonomy


@dataclass
class MixtureConfig:
    """Which corpora are learnt from, and which are only tested on.

    Attributes:
        weights: how much one row of each corpus counts in the training loss.
        evaluation: `evaluation_only` corpora, measured beside them; what they hold or perturb is not trained on.
        held_out: corpora of `weights` that this time are only tested on: leave-one-corpus-out.
    """

    name: str
    weights: dict[str, float]
    evaluation: list[str]
    held_out: list[str]


def run(
    config: MixtureConfig, corpora: CorporaConfig, known: Mapping[str, CorpusConfig], taxonomy: Taxonomy, slot: Slot
) -> PreparedData:
    """Prepare the mixture; raise UserError when a corpus is missing or too many of its rows are bad."""
    chosen = select(config, known, taxonomy)
    rows: list[Row] = []
    rejected: list[Rejection] = []
    for name, corpus in chosen.items():
        good, bad = read_corpus(name, corpus, corpora, taxonomy)
        say(f"prepare: {name}: {len(good)} rows read, {len(bad)} rejected")
        _refuse_if_too_bad(name, good, bad, corpora.max_bad_share)
        rows += good
        rejected += bad
    rows, textless = with_texts(rows)
    rejected += [Rejection(r["corpus"], r["file"], r["row"], "text", NO_TEXT) for r in textless]
    shared = overlaps(rows, taxonomy.labels)
    assign_splits(rows, chosen)
    kept, dropped = drop_leaks(rows, chosen, config.held_out)
    rejected += [Rejection(r["corpus"], r["file"], r["row"], "text", why) for r, why in dropped]
    with slot.fill(PreparedData) as draft:
        _write_splits(draft.folder, kept, taxonomy)
        unlabelled = _write_unlabelled(draft.folder, chosen, corpora, kept)
        _write_rejections(draft.folder / "rejected.jsonl", rejected)
        manifest = _manifest(config, chosen, kept, rejected, taxonomy)
        write_json(draft.folder / "manifest.json", manifest | {"unlabelled": unlabelled, "overlaps": shared})
        draft.metrics.update({split: sum(r["split"] == split for r in kept) for split in SPLITS})
        draft.metrics.update(rejected=len(rejected), unlabelled=unlabelled)
    return PreparedData.open(slot.path)


def select(config: MixtureConfig, known: Mapping[str, CorpusConfig], taxonomy: Taxonomy) -> dict[str, CorpusConfig]:
    """Return the mixture's corpora, each checked against the taxonomy; raise UserError for an unknown name."""
    for key, names in (("weights", config.weights), ("evaluation", config.evaluation)):
        for name in names:
            if name not in known:
                raise UserError(f"mixture.{key}: no corpus '{name}'.{did_you_mean(name, known)}")
            if known[name].evaluation_only != (key == "evaluation"):
                other = "evaluation" if key == "weights" else "weights"
                raise UserError(f"mixture.{key}: '{name}' belongs under mixture.{other} (see evaluation_only of it).")
            check(name, known[name], taxonomy)
    for name in config.held_out:
        if name not in config.weights:
            raise UserError(
                f"mixture.held_out: '{name}' is not in mixture.weights.{did_you_mean(name, config.weights)}"
            )
    for name, weight in config.weights.items():
        if weight <= 0:
            raise UserError(f"mixture.weights.{name} must be above 0, got {weight}; leave a corpus out to drop it.")
    return {name: known[name] for name in (*config.weights, *config.evaluation)}


def content_hashes(chosen: Mapping[str, CorpusConfig], corpora: CorporaConfig) -> dict[str, str]:
    """Return the sha256 of every file that will be read: the pinned one where it is enforced, else of what is there."""
    hashes = {}
    for name, corpus in chosen.items():
        sources: list[CorpusFile | Unlabelled | Join] = [*corpus.files, *corpus.unlabelled]
        sources += [corpus.join] if corpus.join else []
        for source in sources:
            pinned = source.sha256 if corpora.verify else ""
            found = pinned or file_sha256(locate(corpus, source.path, source.sha256, corpora))
            hashes[f"{name}/{source.path}"] = found
    return hashes


def _refuse_if_too_bad(name: str, good: list[Row], bad: list[Rejection], limit: float) -> None:
    if not bad or len(bad) <= limit * (len(good) + len(bad)):
        return
    reasons = Counter(f"{b.file}: {b.field + ': ' if b.field else ''}{b.reason}" for b in bad)
    first = bad[0]
    raise UserError(
        f"corpus '{name}': {len(bad)} of {len(good) + len(bad)} rows are bad, more than corpora.max_bad_share={limit}. "
        f"First: {first.file}, row {first.row}: {first.field + ': ' if first.field else ''}{first.reason}. "
        + "; ".join(f"{count} × {reason}" for reason, count in reasons.most_common(5))
    )


def _write_splits(folder: Path, rows: list[Row], taxonomy: Taxonomy) -> None:
    schema = features(taxonomy)
    for split in SPLITS:
        columns = {name: [row[name] for row in rows if row["split"] == split] for name in schema}
        Dataset.from_dict(columns, features=schema).save_to_disk(str(folder / split), num_shards=1)


def _write_unlabelled(folder: Path, chosen: Mapping[str, CorpusConfig], corpora: CorporaConfig, kept: list[Row]) -> int:
    """Write every text that may be learnt from without a label.

    Left out is what validation or test will measure, the parent posts of those rows, and texts (replies, for instance)
    that stand in the same row of the same file.
    """
    held_back = [row for row in kept if row["split"] != "train"]
    seen = {row["text_key"] for row in held_back} | {
        text_key(post) for post in {r["context"] for r in held_back} if post
    }
    places = {(row["corpus"], row["file"], row["row"]) for row in held_back}

    def fresh() -> Iterator[Row]:
        for name, corpus in chosen.items():
            for row in read_unlabelled(name, corpus, corpora):
                if row["text_key"] not in seen and (name, row["file"], row["row"]) not in places:
                    seen.add(row["text_key"])
                    yield row

    names = ("id", "text", "corpus", "text_key")
    rows = list(fresh())
    schema = Features({name: Value("string") for name in names})
    Dataset.from_dict({name: [row[name] for row in rows] for name in names}, features=schema).save_to_disk(
        str(folder / "unlabelled"),
        num_shards=1,  # an empty dataset needs its one shard to be opened again
    )
    return len(rows)


def _write_rejections(path: Path, rejected: list[Rejection]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(rejection.to_dict(), ensure_ascii=False) + "\n" for rejection in rejected)


def _manifest(
    config: MixtureConfig,
    chosen: Mapping[str, CorpusConfig],
    kept: list[Row],
    rejected: list[Rejection],
    taxonomy: Taxonomy,
) -> dict[str, Any]:
    return {
        "mixture": config.name,
        "taxonomy": {"name": taxonomy.name, "version": taxonomy.version},
        "commercial_use": all(corpus.commercial_use for corpus in chosen.values() if not corpus.evaluation_only),
        "corpora": {
            name: {
                "title": corpus.title,
                "authored": corpus.authored,
                "evaluation_only": corpus.evaluation_only,
                "repository": corpus.repository,
                "commit": corpus.commit,
                "licence": corpus.licence,
                "commercial_use": corpus.commercial_use,
                "card": corpus.card,
                "weight": config.weights.get(name),
                "official_label": corpus.official.label if corpus.official else None,
                "rejected": dict(Counter(r.reason for r in rejected if r.corpus == name)),
                "splits": {
                    split: _counts([r for r in kept if r["corpus"] == name and r["split"] == split], taxonomy)
                    for split in SPLITS
                },
            }
            for name, corpus in chosen.items()
        },
    }


def _counts(rows: list[Row], taxonomy: Taxonomy) -> dict[str, Any]:
    """Return rows, and per label how many are 1, 0 and unknown."""
    labels = {
        label: {
            "positive": sum(row[label] == 1 for row in rows),
            "negative": sum(row[label] == 0 for row in rows),
            "unknown": sum(row[label] is None for row in rows),
        }
        for label in taxonomy.labels
    }
    return {"rows": len(rows), "any_of": sum(bool(row["any_of"]) for row in rows), "labels": labels}
