"""Annotations without texts: they meet their texts again at prepare, and win over the corpus's own label there."""

import json
from pathlib import Path

import pytest
from tiny_corpora import (
    copy_configs,
    make_tiny_setting,
    natural_row,
    toxicn_row,
    write_natural,
    write_public,
    write_toxicn,
)

from pipelines import prepare
from pipelines.artifacts.folder import Slot
from pipelines.corpora import PreparedData
from pipelines.corpora.keyed import NO_TEXT, key_sha256, with_texts
from pipelines.corpora.normalise import text_key


def test_a_keyed_row_gets_the_text_and_its_surroundings() -> None:
    host = {"corpus": "a", "text": "甲！", "text_key": "甲", "context": "原帖", "group": "g", "channel": "post"}
    keyed = {"corpus": "n", "host": "a", "text_sha256": key_sha256("甲"), "text": None, "insult": 1}
    complete, missing = with_texts([keyed, host])
    assert missing == []
    assert complete[0] == keyed | {name: host[name] for name in ("text", "text_key", "context", "group", "channel")}
    assert complete[1] == host


def test_a_text_of_another_corpus_is_not_taken() -> None:
    host = {"corpus": "a", "text": "甲", "text_key": "甲", "context": None, "group": None, "channel": None}
    keyed = {"corpus": "n", "host": "b", "text_sha256": key_sha256("甲")}
    assert with_texts([host, keyed]) == ([host], [keyed])


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedData:
    write_public(tmp_path)
    write_toxicn(tmp_path, train=[toxicn_row("同一句话", 0), toxicn_row("另一句话", 0)], test=[toxicn_row("考题", 0)])
    annotated = [
        natural_row("toxicn", "同一句话！", ["insult", "threat"], severity=3),
        natural_row("toxicn", "考题", ["insult"]),
        natural_row("cold", "没有这句", ["insult"]),
    ]
    write_natural(tmp_path, annotated)
    config = make_tiny_setting(copy_configs(tmp_path / "configs"), tmp_path)
    c = config.config
    return prepare.run(c.mixture, c.corpora, c.corpus, config.taxonomy, Slot(tmp_path / "out", "f"))


def test_the_annotation_replaces_the_corpus_s_own_label(prepared: PreparedData) -> None:
    rows = [row for split in ("train", "validation", "test") for row in prepared.split(split)]
    (row,) = [row for row in rows if row["text_key"] == text_key("同一句话")]
    assert (row["corpus"], row["text"]) == ("natural", "同一句话")
    assert (row["insult"], row["threat"], row["mockery"], row["violation"], row["severity"]) == (1, 1, 0, 1, 3)


def test_an_official_test_text_stays_its_corpus_s(prepared: PreparedData) -> None:
    (row,) = [row for row in prepared.split("test") if row["text"] == "考题"]
    assert (row["corpus"], row["violation"]) == ("toxicn", 0)


def test_an_annotation_without_its_text_is_counted(prepared: PreparedData) -> None:
    rejected = [json.loads(line) for line in (prepared.path / "rejected.jsonl").open(encoding="utf-8")]
    assert [(r["corpus"], r["reason"]) for r in rejected if r["corpus"] == "natural"] == [
        ("natural", NO_TEXT),
        ("natural", "leak"),
    ]
