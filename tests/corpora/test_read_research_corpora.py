"""Corpora beyond `public`: the unlicensed one and those that are never trained on, in small files of their formats."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_corpora import CONFIGS, Setting, copy_configs, make_setting, write_table

from pipelines.corpora.normalise import text_key
from pipelines.settings.errors import UserError

TEXT = "这句样例是自己写的"
CHNCI_FILES = "dataset/cyberbullying/一件事.csv", "dataset/non-cyberbullying/另一件事.csv"
HARMFUL = ["insult", "mockery", "discrimination", "hate_incitement"]
HATE_FUNCTIONS = [
    "derog_neg_emote_h",
    "derog_neg_attrib_h",
    "derog_dehum_h",
    "derog_impl_h",
    "slur_h",
    "profanity_h",
    "ref_subs_clause_h",
    "ref_subs_sent_h",
    "negate_pos_h",
    "phrase_question_h",
    "phrase_opinion_h",
    "spell_homoph_h",
    "spell_pinyin_h",
    "spell_char_comp_h",
]


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_configs(tmp_path_factory.mktemp("configs"))


@pytest.fixture
def configure(configs: Path, tmp_path: Path) -> Callable[..., Setting]:
    return lambda *overrides: make_setting(configs, "corpora.verify=false", *overrides).at(tmp_path)


def write_chnci(root: Path, *labels: tuple[str, str, str]) -> None:
    for path in CHNCI_FILES:
        target = root / "CHNCI" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = [f"2024-10-01,dy,{one},{two},{three},0,{TEXT}{n}" for n, (one, two, three) in enumerate(labels)]
        header = "timestamp,platform,label1,label2,label3,diff,content"
        target.write_text("\n".join([header, *rows]) + "\n", encoding="gb18030")


def chnci(configure: Callable[..., Setting]) -> Setting:
    named = [
        f'{{path: "{path}", group: "{Path(path).stem}", split: {split}, sha256: ""}}'
        for path, split in zip(CHNCI_FILES, ("train", "test"), strict=True)
    ]
    return configure("mixture=research", f"corpus.chnci.files=[{','.join(named)}]")


def test_chnci_knows_only_what_three_readings_call_harmless(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    write_chnci(tmp_path, ("0", "0", "0.0"), ("0", "1", "0"), ("1", "1", "1"))
    setting = chnci(configure)

    rows, rejected = setting.read("chnci")

    assert rejected == []
    assert [row["violation"] for row in rows[:3]] == [0, None, None]
    assert [row["slice"] for row in rows[:3]] == ["0", "1", "1"]
    assert all(row[harm] is None for row in rows for harm in setting.taxonomy.harms)
    assert [(row["group"], row["file_split"]) for row in rows[::3]] == [("一件事", "train"), ("另一件事", "test")]


def test_chnci_splits_its_incidents_by_their_hash() -> None:
    from hashlib import sha256

    import yaml

    files = yaml.safe_load((CONFIGS / "corpus" / "chnci.yaml").read_text(encoding="utf-8"))["files"]
    assert len(files) == 95
    for file in files:
        incident = Path(file["path"]).name.removesuffix(".csv")
        is_test = int(sha256(incident.encode()).hexdigest(), 16) % 5 == 0
        assert (file["group"], file["split"]) == (incident, "test" if is_test else "train")


def write_hatecheck(root: Path, functionality: str, gold: str = "hateful") -> None:
    path = root / "multilingual-hatecheck" / "MHC Final Cases" / "hatecheck_cases_final_mandarin.csv"
    header = ("mhc_case_id", "functionality", "test_case", "label_gold", "target_ident", "templ_id")
    write_table(path, header, [("mandarin-1", functionality, TEXT, gold, "women", "7")])


@pytest.mark.parametrize(
    ("functionality", "root", "others"),
    [
        ("target_indiv_nh", 1, {"any_of": ["insult", "mockery"], "target": "individual"}),
        ("target_group_nh", 1, {"any_of": HARMFUL, "target": "group"}),
        ("target_obj_nh", 0, {"target": "object"}),
        ("counter_quote_nh", 0, {"stance": "counter_speech"}),
        ("counter_ref_nh", 0, {"stance": "counter_speech"}),
        *((name, 0, {}) for name in ("profanity_nh", "negate_neg_nh", "ident_neutral_nh", "ident_pos_nh")),
        *((name, 1, {"any_of": ["hate_incitement", "threat"]}) for name in ("threat_dir_h", "threat_norm_h")),
        *((name, 1, {"any_of": HARMFUL, "target": "group"}) for name in HATE_FUNCTIONS),
    ],
)
def test_hatecheck_is_read_by_functionality(
    functionality: str, root: int, others: dict[str, Any], tmp_path: Path, configure: Callable[..., Setting]
) -> None:
    write_hatecheck(tmp_path, functionality)
    ((row,), rejected) = configure("mixture=research").read("hatecheck_zh")
    assert rejected == []
    assert row["violation"] == root
    assert (row["slice"], row["file_split"]) == (functionality, "test")
    assert {name: row[name] for name in others} == others


def test_an_unknown_functionality_is_rejected(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    write_hatecheck(tmp_path, "brand_new_h")
    rows, (bad,) = configure("mixture=research").read("hatecheck_zh")
    assert rows == []
    assert "brand_new_h" in bad.reason


def write_toxicloak(root: Path) -> None:
    folder = root / "ToxiCloakCN" / "Datasets"
    for path, names in (
        ("base_data.tsv", ("content", "toxic")),
        ("Full_Perturbation/homo_full.tsv", ("content", "toxic")),
        ("Full_Perturbation/emoji_full.tsv", ("content", "toxic")),
        ("Only_Keywords/homo_keyword.csv", ("text", "label")),
        ("Only_Keywords/emoji_keyword.csv", ("text", "label")),
    ):
        kind = "" if path.startswith("base") else Path(path).stem
        write_table(folder / path, names, [(f"原句甲{kind}", 1), (f"原句乙{kind}", 0)], bom=False)


def test_toxicloakcn_knows_the_original_of_every_copy(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    write_toxicloak(tmp_path)
    rows, rejected = configure("mixture=cloaked").read("toxicloakcn")
    assert rejected == []
    assert len(rows) == 10
    assert {row["slice"] for row in rows} == {"base", "homophone", "emoji", "homophone_keyword", "emoji_keyword"}
    assert [row["base_key"] for row in rows] == [text_key("原句甲"), text_key("原句乙")] * 5
    assert [row["violation"] for row in rows] == [1, 0] * 5
    assert {row["file_split"] for row in rows} == {"test"}


def write_toxibench(root: Path, setting: Setting) -> None:
    for file in setting.config.corpus["toxibenchcn"].files:
        row: dict[str, Any] = {"sentence_id": 1, "original_text": "原句", "is_toxic": "non_toxic" not in file.path}
        if file.under:
            row["perturbed_text"] = f"改写{file.reading}"
        target = root / "ToxiBenchCN" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({file.under: [row]} if file.under else [row]), encoding="utf-8")


def test_toxibenchcn_has_eight_perturbations_of_toxic_texts(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    setting = configure("mixture=cloaked")
    write_toxibench(tmp_path, setting)
    rows, rejected = setting.read("toxibenchcn")
    assert rejected == []
    assert [row["violation"] for row in rows] == [1, 0] + [1] * 8
    assert len({row["slice"] for row in rows}) == 10
    assert {row["base_key"] for row in rows} == {"原句"}


def test_a_file_without_its_list_of_rows_is_said(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    setting = configure("mixture=cloaked")
    write_toxibench(tmp_path, setting)
    file = next(file for file in setting.config.corpus["toxibenchcn"].files if file.under)
    (tmp_path / "ToxiBenchCN" / file.path).write_text('{"other": []}', encoding="utf-8")
    _, (bad,) = setting.read("toxibenchcn")
    assert (bad.row, bad.field) == (0, "results")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("mixture.weights={authored: 1.0, cv_check: 1.0}",), "mixture.evaluation"),
        (("mixture.evaluation=[authored]",), "mixture.weights"),
        (("mixture.evaluation=[cv_chek]",), "cv_check"),
        (("corpus.cv_check.files=[{path: cases.jsonl, split: train, sha256: x}]",), "split: test"),
        (("corpus.natural.host=null",), "host"),
        (("corpus.natural.keyed_by=null", "corpus.natural.host=null"), "keyed_by"),
    ],
)
def test_a_mixture_that_would_train_on_a_test_is_refused(
    overrides: tuple[str, ...], message: str, configure: Callable[..., Setting]
) -> None:
    from pipelines.prepare import select

    setting = configure(*(override for override in overrides if not override.startswith("mixture.weights")))
    if overrides[0].startswith("mixture.weights"):
        setting.config.mixture.weights["cv_check"] = 1.0
    with pytest.raises(UserError, match=message):
        select(setting.config.mixture, setting.config.corpus, setting.taxonomy)
