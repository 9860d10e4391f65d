"""A toy taxonomy and prepared data built from nothing, with the labels of `tiny_bundle`: to test measuring on."""

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from pipelines.artifacts.folder import Slot, write_json
from pipelines.corpora import PreparedData
from pipelines.corpora.schema import SPLITS, features
from pipelines.taxonomy import Taxonomy
from pipelines.taxonomy.taxonomy import Action, Harm, MinimalPair, Root

Row = dict[str, Any]


def make_taxonomy(**actions: Action) -> Taxonomy:
    """Return three harms under one root, with `actions`."""

    def harm(name: str) -> Harm:
        return Harm(name, name, "harmful", "does harm", "does none", MinimalPair("yes", "no"), "a rule")

    return Taxonomy(
        name="toy",
        version=3,
        root=Root("violation", "违规", "violation", "any harm"),
        tiers={"harmful": "harmful"},
        harms={name: harm(name) for name in ("first", "second", "third")},
        axes={"stance": ("none", "quote")},
        max_severity=3,
        group_attributes=(),
        actions=actions,
        priors=(0.2, 0.01),
    )


def make_rows(corpus: str, split: str, count: int, seed: int = 0) -> list[Row]:
    """Return rows of one corpus, half of them violations, which contain 坏 four times in five.

    - `authored` knows every label, in pairs, with stances.
    - `news` knows the root and `first`, and has a bit and slices of its own.
    - `forum` knows `second` alone, as its own bit; its root is known where it holds.
    """
    generator = np.random.default_rng([seed, len(corpus), len(split)])
    rows = []
    for number in range(count):
        bad = number % 2
        told = bad if generator.random() < 0.8 else 1 - bad
        text = "".join(generator.choice(list("天地人你我他好大小上下来去"), 8)) + ("坏" if told else "行")
        row: Row = dict.fromkeys(features(make_taxonomy()))
        row |= {"id": f"{corpus}-{split}-{number}", "text": text, "text_key": text, "corpus": corpus, "split": split}
        row |= {"any_of": [], "target_attributes": []}
        if corpus == "authored":
            row |= {"violation": bad, "first": 0, "second": 0, "third": bad, "group": f"pair-{number // 2}"}
            row |= {"stance": "none" if bad or number % 4 else "quote"}
        elif corpus == "news":
            row |= {"violation": bad, "first": bad, "official": bad, "slice": "hard" if number % 3 else "easy"}
        else:
            row |= {"violation": bad or None, "second": bad, "official": bad}
        rows.append(row)
    return rows


def make_prepared(
    folder: Path, corpora: tuple[str, ...] = ("authored", "news", "forum"), count: int = 60
) -> PreparedData:
    """Write prepared data with `count` rows per corpus and split; `forum` has no validation rows."""
    schema = features(make_taxonomy())
    labels = {"authored": None, "news": "violation", "forum": "second"}
    with Slot(folder, "fingerprint-of-the-data").fill(PreparedData) as draft:
        for split in SPLITS:
            rows = [
                row
                for corpus in corpora
                if (corpus, split) != ("forum", "validation")
                for row in make_rows(corpus, split, count)
            ]
            columns = {name: [row[name] for row in rows] for name in schema}
            Dataset.from_dict(columns, features=schema).save_to_disk(str(draft.folder / split))
        manifest = {
            corpus: {"authored": corpus == "authored", "official_label": labels[corpus], "evaluation_only": False}
            for corpus in corpora
        }
        write_json(draft.folder / "manifest.json", {"mixture": "toy", "corpora": manifest, "overlaps": []})
    return PreparedData.open(folder)
