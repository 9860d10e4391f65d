"""From corpus files to PreparedData: schema, splits, manifest, rejections, and what stops it."""

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import load_from_disk
from tiny_corpora import (
    CONFIGS,
    SHARED,
    Setting,
    authored_row,
    copy_configs,
    make_setting,
    make_tiny_setting,
    toxicn_row,
    write_authored,
    write_cold,
    write_natural,
    write_panda,
    write_public,
    write_swsr,
    write_toxicn,
)

from pipelines import prepare
from pipelines.artifacts.folder import Slot
from pipelines.corpora import PreparedData
from pipelines.corpora.labels import label_matrix
from pipelines.corpora.schema import SPLITS, features
from pipelines.models.encoder import EncoderConfig, build_classifier
from pipelines.models.tokenizer import TokenizerConfig, learn_tokenizer
from pipelines.report.counts import counts_block, with_counts
from pipelines.settings.errors import UserError

SECRET = "这段文字不许出现在报告里"
REAL = ("cold", "toxicn", "swsr", "panda")


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_configs(tmp_path_factory.mktemp("configs"))


@pytest.fixture(scope="module")
def composed(configs: Path) -> Setting:
    return make_tiny_setting(configs, configs)


def run(setting: Setting, path: Path) -> PreparedData:
    config = setting.config
    return prepare.run(config.mixture, config.corpora, config.corpus, setting.taxonomy, Slot(path, "f"))


def rejections(prepared: PreparedData) -> list[dict[str, object]]:
    lines = (prepared.path / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def rows(prepared: PreparedData, split: str, corpus: str) -> list[str]:
    return [row["text"] for row in prepared.split(split) if row["corpus"] == corpus]


def crossing(prepared: PreparedData) -> set[str]:
    splits = defaultdict(set)
    for split in SPLITS:
        for key in prepared.split(split)["text_key"]:
            splits[key].add(split)
    return {key for key, found in splits.items() if len(found) > 1}


def test_all_five_corpora_in_one_schema(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path, size=12)
    prepared = run(composed.at(tmp_path), tmp_path / "out")

    schema = features(composed.taxonomy)
    assert all(prepared.split(split).features == schema for split in SPLITS)
    assert sum(prepared.metrics[split] for split in SPLITS) == 12 * 3 + 12 * 2 + 12 + 12 + 12 + 12
    assert prepared.metrics["rejected"] == 0
    assert len(rows(prepared, "test", "cold")) == len(rows(prepared, "validation", "cold")) == 12
    assert len(rows(prepared, "test", "toxicn")) == 12
    ids = [row_id for split in SPLITS for row_id in prepared.split(split)["id"]]
    assert len(set(ids)) == len(ids)
    assert crossing(prepared) == set()
    with pytest.raises(UserError, match="no split 'dev'"):
        prepared.split("dev")


def test_unknown_stays_unknown_down_to_the_matrix(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path)
    prepared = run(composed.at(tmp_path), tmp_path / "out")
    taxonomy = composed.taxonomy
    for split in SPLITS:
        data = prepared.split(split)
        known = ~np.isnan(label_matrix(data, taxonomy))
        authored = np.array([corpus in ("authored", "cv_check") for corpus in data["corpus"]])
        assert known[authored].all()
        threat = taxonomy.index("threat")
        assert not known[~authored, threat].any()  # no public corpus annotates it
    reporting = [row for split in SPLITS for row in prepared.split(split) if row["slice"] == "reporting"]
    assert reporting
    assert all(row[label] is None for row in reporting for label in taxonomy.labels)


def test_same_input_gives_the_same_bytes(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path)
    one, other = (run(composed.at(tmp_path), tmp_path / name).path for name in ("one", "other"))
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert [str(file) for file in files if (one / file).read_bytes() != (other / file).read_bytes()] == []


def test_manifest_counts_what_the_splits_hold(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path)
    prepared = run(composed.at(tmp_path), tmp_path / "out")
    manifest = prepared.manifest
    assert (manifest["mixture"], manifest["commercial_use"]) == ("public", False)  # ToxiCN forbids it
    for name, corpus in manifest["corpora"].items():
        for split in SPLITS:
            data = [row for row in prepared.split(split) if row["corpus"] == name]
            assert corpus["splits"][split]["rows"] == len(data)
            assert corpus["splits"][split]["any_of"] == sum(bool(row["any_of"]) for row in data)
            for label, counts in corpus["splits"][split]["labels"].items():
                values = [row[label] for row in data]
                assert [counts[key] for key in ("positive", "negative", "unknown")] == [
                    values.count(value) for value in (1, 0, None)
                ]


def test_bad_rows_are_counted_and_reported_without_their_text(tmp_path: Path, configs: Path) -> None:
    write_public(tmp_path, size=20)
    write_cold(
        tmp_path,
        train=[(0, "好的一句"), (2, SECRET), (0, "")],
        dev=[(1, SECRET + "长" * 6000)],
    )
    write_panda(tmp_path, [("同一句", 0, "回复"), ("同一句！", 1, "回复"), ("同一句", 0, "回复")])
    setting = make_tiny_setting(configs, tmp_path, "corpora.max_bad_share=0.9")

    prepared = run(setting, tmp_path / "out")

    assert [(r["corpus"], r["file"], r["row"], r["field"], r["reason"]) for r in rejections(prepared)] == [
        ("cold", "COLDataset/train.csv", 2, "label", "unknown label value: label='2'"),
        ("cold", "COLDataset/train.csv", 3, "text", "empty text"),
        ("cold", "COLDataset/dev.csv", 1, "text", "longer than 5000 characters"),
        ("panda", "panda_dataset.tsv", 2, "text", "contradictory_duplicate"),
        ("panda", "panda_dataset.tsv", 3, "text", "duplicate"),
    ]
    assert prepared.metrics["rejected"] == 5
    counted = prepared.manifest["corpora"]["cold"]["rejected"]
    assert counted == {"unknown label value: label='2'": 1, "empty text": 1, "longer than 5000 characters": 1}
    assert prepared.manifest["corpora"]["panda"]["rejected"] == {"contradictory_duplicate": 1, "duplicate": 1}
    report = (prepared.path / "rejected.jsonl").read_text(encoding="utf-8")
    assert SECRET[:4] not in report + json.dumps(prepared.manifest, ensure_ascii=False)
    assert rows(prepared, "train", "cold") == ["好的一句"]


def test_too_many_bad_rows_stop_it_and_say_which(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path)
    write_cold(tmp_path, train=[(7, SECRET)] * 3 + [(0, "好的一句")] * 4, dev=[(0, "又一句")] * 13)
    with pytest.raises(UserError) as caught:
        run(composed.at(tmp_path), tmp_path / "out")
    message = str(caught.value)
    assert "corpus 'cold': 3 of 20 rows are bad, more than corpora.max_bad_share=0.05" in message
    assert "First: COLDataset/train.csv, row 1: label: unknown label value: label='7'" in message
    assert "3 × COLDataset/train.csv: label: unknown label value: label='7'" in message
    assert SECRET[:4] not in message
    assert not (tmp_path / "out").exists()


def test_bad_rows_up_to_the_share_do_not_stop_it(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path)
    write_cold(tmp_path, train=[(7, "坏的"), *((0, f"好的第{n}句") for n in range(19))])
    assert run(composed.at(tmp_path), tmp_path / "out").metrics["rejected"] == 1


def test_second_reading_overrides_the_first(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path)
    write_cold(tmp_path, train=[(1, "甲句")], dev=[(1, "乙句！")], test=[(1, 2, "丙句")])
    write_panda(tmp_path, [("甲 句", 0, ""), ("乙句", -1, ""), ("丙句", 0, "")])
    prepared = run(composed.at(tmp_path), tmp_path / "out")
    found = {(row["corpus"], row["text_key"]): row for split in SPLITS for row in prepared.split(split)}
    assert ("cold", "甲句") not in found
    assert ("cold", "乙句") not in found
    assert found["panda", "甲句"]["violation"] == found["panda", "乙句"]["violation"] == 0
    assert (found["cold", "丙句"]["split"], found["cold", "丙句"]["violation"]) == ("test", 1)  # as published


def test_a_text_tested_by_one_corpus_is_trained_on_by_none(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path)
    write_cold(tmp_path, train=[(0, "網絡，一句"), (0, "别的一句")], test=[(0, 0, "另外一句")])
    write_toxicn(tmp_path, test=[toxicn_row("网络一句"), toxicn_row("另外一句")])
    prepared = run(composed.at(tmp_path), tmp_path / "out")
    assert crossing(prepared) == set()
    assert rows(prepared, "train", "cold") == ["别的一句"]
    assert rows(prepared, "test", "cold") == ["另外一句"]
    assert rows(prepared, "test", "toxicn") == ["网络一句", "另外一句"]


def test_a_corpus_that_is_held_out_is_only_tested_on(tmp_path: Path, composed: Setting) -> None:
    def counts(prepared: PreparedData) -> dict[str, list[int]]:
        return {name: [len(rows(prepared, split, name)) for split in SPLITS] for name in ("cold", "toxicn")}

    def held(out: list[str]) -> Setting:
        mixture = replace(setting.config.mixture, held_out=out)
        return Setting(replace(setting.config, mixture=mixture), setting.taxonomy)

    write_public(tmp_path)
    setting = composed.at(tmp_path)
    everything = counts(run(setting, tmp_path / "all"))
    without = run(held(["cold"]), tmp_path / "without")
    assert counts(without) == {"cold": [0, 0, everything["cold"][2]], "toxicn": everything["toxicn"]}
    assert sum(row["reason"] == "held_out" for row in rejections(without)) == sum(everything["cold"][:2])
    with pytest.raises(UserError, match=r"held_out: 'cald' is not in mixture\.weights.*cold"):
        run(held(["cald"]), tmp_path / "wrong")


def test_unlabelled_text_holds_nothing_that_is_measured(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path)
    write_cold(tmp_path, dev=[(0, "验证的一句")], test=[(0, 0, "测试的一句")])
    write_panda(
        tmp_path, [("反驳的对象", 1, "测试的，一句"), ("又一个对象", 1, "自由的一句"), ("再一个对象", 1, "自由的一句")]
    )
    write_swsr(tmp_path, [("w1", "评论", 0, "", "")], {"w1": "验证的一句！", "w2": "", "w3": "长" * 6000})
    prepared = run(composed.at(tmp_path), tmp_path / "out")

    free = prepared.split("unlabelled")

    assert len(free) == prepared.metrics["unlabelled"] == prepared.manifest["unlabelled"]
    keys = list(free["text_key"])
    assert len(set(keys)) == len(keys)
    assert "自由的一句" in keys
    assert max(map(len, free["text"])) == 5000
    measured = {key for split in ("validation", "test") for key in prepared.split(split)["text_key"]}
    assert measured.isdisjoint(keys)


def test_missing_corpus_names_the_remedy(tmp_path: Path, composed: Setting) -> None:
    write_authored(tmp_path, [authored_row("一句")])
    write_natural(tmp_path, [])
    with pytest.raises(
        UserError, match=r"COLDataset.*no such file\. corpora\.root=.* must hold a clone of thu-coai/COLD"
    ):
        run(composed.at(tmp_path), tmp_path / "out")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"cald": 1.0}, "mixture.weights: no corpus 'cald'. Did you mean 'cold'?"),
        ({"cold": 0.0}, "mixture.weights.cold must be above 0"),
    ],
)
def test_wrong_mixture(weights: dict[str, float], message: str, composed: Setting) -> None:
    mixture = replace(composed.config.mixture, weights=weights)
    with pytest.raises(UserError) as caught:
        prepare.select(mixture, composed.config.corpus, composed.taxonomy)
    assert message in str(caught.value)


def test_content_hashes_follow_the_bytes_unless_they_are_pinned(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path)
    config = composed.at(tmp_path).config
    before = prepare.content_hashes(config.corpus, config.corpora)
    write_panda(tmp_path, [("改过的一句", 0, "回复")])
    after = prepare.content_hashes(config.corpus, config.corpora)
    assert {name for name in before if before[name] != after[name]} == {"panda/panda_dataset.tsv"}
    pinned = prepare.content_hashes({"panda": config.corpus["panda"]}, replace(config.corpora, verify=True, root=None))
    assert pinned == {"panda/panda_dataset.tsv": config.corpus["panda"].files[0].sha256}  # nothing had to be there


def test_a_new_harm_needs_one_entry_in_the_taxonomy(tmp_path: Path) -> None:
    configs = copy_configs(tmp_path / "configs")
    path = configs / "taxonomy" / "cyber_violence.yaml"
    entry = (
        "  impersonation:\n    zh: 冒充他人\n    en: impersonation\n    tier: harmful\n    definition: 冒充\n"
        "    exclusion: 无\n    minimal_pair: {violation: 甲, harmless: 乙}\n    source: 某条\naxes:\n"
    )
    path.write_text(path.read_text(encoding="utf-8").replace("axes:\n", entry), encoding="utf-8")
    write_public(tmp_path)
    write_authored(tmp_path, [authored_row("骂人的一句", ["insult"]), authored_row("普通的一句")])
    setting = make_tiny_setting(configs, tmp_path)

    prepared = run(setting, tmp_path / "out")

    column = setting.taxonomy.index("impersonation")
    assert column == 11
    found, roots = {}, {}
    for split in SPLITS:
        data = prepared.split(split)
        assert "impersonation" in data.features
        found |= dict(zip(data["text"], label_matrix(data, setting.taxonomy)[:, column], strict=True))
        roots |= dict(zip(data["text"], label_matrix(data, setting.taxonomy)[:, 0], strict=True))
    assert np.isnan(list(found.values())).all()  # nobody annotated it yet: unknown, not 0
    assert (roots["骂人的一句"], roots["普通的一句"]) == (1.0, 0.0)
    tokenizer = TokenizerConfig(min_count=1, words=10, cloaked_forms=False)
    encoder = EncoderConfig("toy", None, 1, 16, 2, 16, 16, 0.0, False, tokenizer)
    model = build_classifier(encoder, learn_tokenizer(list("一句"), tokenizer, 16), setting.taxonomy, 0)
    assert model.config.id2label[column] == "impersonation"
    assert model.config.num_labels == 12


@pytest.mark.parametrize("mixture", ["research", "cloaked"])
def test_every_card_exists_and_states_licence_and_source(configs: Path, mixture: str) -> None:
    for name, corpus in make_setting(configs, f"mixture={mixture}").config.corpus.items():
        card = (CONFIGS.parent / corpus.card).read_text(encoding="utf-8")
        assert card.startswith("---\n"), f"{corpus.card}: no front matter"
        assert corpus.licence.lower() in card.lower(), f"{corpus.card}: the licence of {name} is missing"
        assert corpus.repository is None or (corpus.repository in card and corpus.commit in card)
        assert card.count("<!-- counts -->") == card.count("<!-- /counts -->") == 1


def test_authored_card_counts_what_is_there(tmp_path: Path) -> None:
    prepared = run(make_setting(copy_configs(tmp_path / "configs", "authored")), tmp_path / "out")
    check_card(prepared, "authored")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, configs: Path) -> PreparedData:
    """The public mixture of the real corpora."""
    if not SHARED.is_dir():
        pytest.skip("the real corpora are not beside this checkout")
    return run(make_setting(configs, f"corpora.root={SHARED}"), tmp_path_factory.mktemp("real") / "out")


def test_real_corpora_hold_what_is_published(real: PreparedData) -> None:
    kept = {name: {split: real.manifest["corpora"][name]["splits"][split]["rows"] for split in SPLITS} for name in REAL}
    left_out = {name: sum(real.manifest["corpora"][name]["rejected"].values()) for name in REAL}
    totals = {name: sum(kept[name].values()) + left_out[name] for name in REAL}
    assert totals == {"cold": 37_480, "toxicn": 12_011, "swsr": 8_969, "panda": 789}
    assert (kept["cold"]["test"], kept["toxicn"]["test"]) == (5_323, 2_411)  # official tests, whole
    relabelled = {name: real.manifest["corpora"][name]["rejected"].get("overridden", 0) for name in REAL}
    assert all(left_out[name] - relabelled[name] < 0.03 * totals[name] for name in ("cold", "toxicn", "swsr"))
    assert all(0.05 < kept["swsr"][split] / 8_969 < 0.35 for split in ("validation", "test"))


def test_real_corpora_share_no_text_between_splits(real: PreparedData) -> None:
    assert crossing(real) == set()
    measured = {key for split in ("validation", "test") for key in real.split(split)["text_key"]}
    assert measured.isdisjoint(real.split("unlabelled")["text_key"])


def test_real_weibos_are_whole(real: PreparedData) -> None:
    splits = defaultdict(set)
    for split in SPLITS:
        for row in real.split(split).select_columns(["corpus", "group"]):
            if row["corpus"] == "swsr":
                splits[row["group"]].add(split)
    assert max(map(len, splits.values())) == 1


@pytest.mark.parametrize("name", [*REAL, "natural"])
def test_card_of_a_real_corpus_counts_what_is_there(name: str, real: PreparedData) -> None:
    check_card(real, name)


def test_card_of_a_perturbed_corpus_counts_what_is_there(tmp_path: Path, configs: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("the real corpora are not beside this checkout")
    setting = make_setting(configs, "mixture=cloaked", f"corpora.root={SHARED}")
    mixture = prepare.MixtureConfig("perturbed", {"authored": 1.0}, ["toxibenchcn"], [])
    check_card(run(replace(setting, config=replace(setting.config, mixture=mixture)), tmp_path / "out"), "toxibenchcn")


def check_card(prepared: PreparedData, name: str) -> None:
    corpus = prepared.manifest["corpora"][name]
    card = (CONFIGS.parent / corpus["card"]).read_text(encoding="utf-8")
    hint = f"{corpus['card']}: refresh(PREPARED) of pipelines/report/counts.py brings the counts up to date"
    assert card == with_counts(card, counts_block(corpus)), hint


def test_prepared_folder_opens_with_datasets_alone(tmp_path: Path, composed: Setting) -> None:
    write_public(tmp_path)
    prepared = run(composed.at(tmp_path), tmp_path / "out")
    assert load_from_disk(str(prepared.path / "train")).num_rows == prepared.metrics["train"]
