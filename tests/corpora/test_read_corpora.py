"""Every label rule of every corpus: a row of our own in its format, and the canonical row it must give."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_corpora import (
    CONFIGS,
    PANDA,
    PANDA_HEADER,
    SHARED,
    Setting,
    authored_row,
    copy_configs,
    make_setting,
    toxicn_row,
    write_authored,
    write_cold,
    write_panda,
    write_swsr,
    write_toxicn,
)

TEXT = "这句样例是自己写的，“引号”和逗号都有"
HARMLESS = {"violation": 0, "insult": 0, "discrimination": 0, "hate_incitement": 0}
HATE = {"violation": 1, "discrimination": 1}
FLAGS = {0: "lgbt", 1: "region", 2: "gender", 3: "ethnicity", 4: "other"}


def cold(label: int) -> Callable[[Path], None]:
    return lambda root: write_cold(root, train=[(label, TEXT)])


def cold_test(label: int, fine: int) -> Callable[[Path], None]:
    return lambda root: write_cold(root, test=[(label, fine, TEXT)])


def toxicn(*labels: Any) -> Callable[[Path], None]:
    return lambda root: write_toxicn(root, train=[toxicn_row(TEXT, *labels)])


def swsr(label: int, category: str, target: str) -> Callable[[Path], None]:
    return lambda root: write_swsr(root, [("w1", TEXT, label, category, target)], {"w1": "原帖"})


def panda(score: int) -> Callable[[Path], None]:
    return lambda root: write_panda(root, [(TEXT, score, "一句回复")])


# (corpus, number of its rule): how the row is written, its known labels, everything else that is not null
RULES: dict[tuple[str, int], tuple[Callable[[Path], None], dict[str, int], dict[str, Any]]] = {
    ("cold", 0): (
        cold(1),
        {"violation": 1},
        {"any_of": ["insult", "discrimination", "hate_incitement", "mockery"], "official": 1},
    ),
    ("cold", 1): (cold(0), HARMLESS, {"official": 0}),
    ("cold", 2): (
        cold_test(1, 1),
        {"violation": 1},
        {"any_of": ["insult", "mockery"], "target": "individual", "slice": "attack_individual", "official": 1},
    ),
    ("cold", 3): (cold_test(1, 2), HATE, {"target": "group", "slice": "attack_group", "official": 1}),
    ("cold", 4): (cold_test(0, 3), HARMLESS, {"stance": "counter_speech", "slice": "anti_bias", "official": 0}),
    ("cold", 5): (cold_test(0, 0), HARMLESS, {"slice": "other_non_offensive", "official": 0}),
    ("toxicn", 0): (toxicn(0), HARMLESS, {"slice": "non_toxic", "official": 0}),
    ("toxicn", 1): (
        toxicn(1, 1),
        {"violation": 1, "insult": 1, "discrimination": 0, "hate_incitement": 0},
        {"slice": "general_offensive", "official": 1},
    ),
    ("toxicn", 2): (
        toxicn(1, 2, 1, [0, 0, 1, 1, 0]),
        HATE,
        {"target": "group", "target_attributes": ["gender", "ethnicity"], "slice": "explicit_hate", "official": 1},
    ),
    ("toxicn", 3): (
        toxicn(1, 2, 2, [1, 0, 0, 0, 0]),
        HATE,
        {"target": "group", "target_attributes": ["lgbt"], "slice": "implicit_hate", "official": 1},
    ),
    ("toxicn", 4): (toxicn(1, 2, 3, [0, 1, 0, 0, 0]), {}, {"stance": "report", "slice": "reporting", "official": 1}),
    ("swsr", 0): (
        swsr(1, "SO", "I"),
        HATE | {"sexual_harassment": 1},
        {"target": "individual", "target_attributes": ["gender"], "slice": "sexual_offense", "official": 1},
    ),
    ("swsr", 1): (
        swsr(1, "SO", "G"),
        HATE | {"sexual_harassment": 1},
        {"target": "group", "target_attributes": ["gender"], "slice": "sexual_offense", "official": 1},
    ),
    ("swsr", 2): (
        swsr(1, "MA", "I"),
        HATE,
        {"target": "individual", "target_attributes": ["gender"], "slice": "sexist", "official": 1},
    ),
    ("swsr", 3): (
        swsr(1, "SCB", "G"),
        HATE,
        {"target": "group", "target_attributes": ["gender"], "slice": "sexist", "official": 1},
    ),
    ("swsr", 4): (swsr(0, "", ""), {"discrimination": 0}, {"slice": "not_sexist", "official": 0}),
    ("panda", 0): (
        panda(-1),
        {"violation": 0, "discrimination": 0},
        {"stance": "counter_speech", "slice": "counter_speech", "official": 0},
    ),
    ("panda", 1): (panda(0), {"violation": 0, "discrimination": 0}, {"slice": "neither", "official": 0}),
    ("panda", 2): (panda(1), HATE, {"slice": "hate", "official": 1}),
}
CONSTANTS = {
    "cold": {"channel": "comment"},
    "toxicn": {"channel": "post"},
    "swsr": {"channel": "comment", "context": "原帖", "group": "w1"},
    "panda": {"channel": "comment"},
}
OTHERS = ("chnci", "hatecheck_zh", "toxicloakcn", "toxibenchcn")  # in test_read_research_corpora.py
AXES = ("context", "group", "channel", "target", "role", "severity", "stance", "slice", "official")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule[0]}-{rule[1]}")
def test_rule_gives_the_canonical_row(rule: tuple[str, int], tmp_path: Path, configure: Callable[..., Setting]) -> None:
    write, labels, others = RULES[rule]
    write(tmp_path)
    setting = configure()

    rows, rejected = setting.read(rule[0])

    assert rejected == []
    (row,) = rows
    assert row["text"] == TEXT
    assert {label: row[label] for label in setting.taxonomy.labels} == dict.fromkeys(setting.taxonomy.labels) | labels
    expected = dict.fromkeys(AXES) | CONSTANTS[rule[0]] | {"any_of": [], "target_attributes": []} | others
    assert {key: row[key] for key in expected} == expected


def test_every_rule_of_every_corpus_has_an_example(configure: Callable[..., Setting]) -> None:
    known = configure().config.corpus
    assert {path.stem for path in (CONFIGS / "corpus").glob("*.yaml")} == set(known) | set(OTHERS)
    assert set(RULES) == {(name, n) for name, corpus in known.items() for n in range(len(corpus.rules))}


@pytest.mark.parametrize("index", FLAGS)
def test_each_flag_names_its_attribute(index: int, tmp_path: Path, configure: Callable[..., Setting]) -> None:
    flags = [int(index == position) for position in range(5)]
    write_toxicn(tmp_path, train=[toxicn_row(TEXT, 1, 2, 1, flags)])
    (row,), _ = configure().read("toxicn")
    assert row["target_attributes"] == [FLAGS[index]]


def test_files_of_an_official_split_say_so(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    write_cold(tmp_path, train=[(0, "甲")], dev=[(0, "乙")], test=[(0, 0, "丙")])
    rows, _ = configure().read("cold")
    assert {row["text"]: row["file_split"] for row in rows} == {"甲": "train", "乙": "validation", "丙": "test"}


def test_comment_without_its_post_has_no_context(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    write_swsr(tmp_path, [("w1", "有原帖", 0, "", ""), ("w2", "没有原帖", 0, "", "")], {"w1": "原帖", "w3": "   "})
    rows, rejected = configure().read("swsr")
    assert [row["context"] for row in rows] == ["原帖", None]
    assert [row["group"] for row in rows] == ["w1", "w2"]
    assert rejected == []


def test_long_context_is_cut_not_rejected(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    write_swsr(tmp_path, [("w1", "评论", 0, "", "")], {"w1": "长" * 100})
    rows, _ = configure("corpora.max_characters=20").read("swsr")
    assert rows[0]["context"] == "长" * 20


def test_quotes_as_panda_writes_them(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    path = tmp_path / PANDA
    path.parent.mkdir(parents=True)
    lines = [
        "\t".join(PANDA_HEADER),
        '"""""开头两个引号，中间""一对""，第二行\n还在"\t1' + "\t回复" * 5,
        '句中"引号"不转义\t0' + "\t回复" * 5,
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    rows, rejected = configure().read("panda")

    assert [row["text"] for row in rows] == ['""开头两个引号，中间"一对"，第二行\n还在', '句中"引号"不转义']
    assert rejected == []


def test_authored_row_keeps_every_axis(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    axes = {"target": "group", "target_attributes": ["gender"], "role": "incite", "severity": 3, "stance": "quote"}
    row = authored_row("自拟", ["threat", "insult"], context="上文", channel="danmaku", pair="p-01", **axes)
    write_authored(tmp_path, [row])
    setting = configure()

    (read,), rejected = setting.read("authored")

    assert rejected == []
    expected = dict.fromkeys(setting.taxonomy.harms, 0) | {"violation": 1, "threat": 1, "insult": 1}
    assert {label: read[label] for label in setting.taxonomy.labels} == expected
    assert {key: read[key] for key in axes} == axes
    assert (read["context"], read["group"], read["channel"], read["any_of"]) == ("上文", "p-01", "danmaku", [])


def test_authored_row_without_a_harm_is_no_violation(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    write_authored(tmp_path, [authored_row("今天天气不错")])
    setting = configure()
    (row,), _ = setting.read("authored")
    assert {row[label] for label in setting.taxonomy.labels} == {0}


def test_the_repositorys_own_rows_are_all_good(tmp_path: Path) -> None:
    setting = make_setting(copy_configs(tmp_path, "authored"))
    rows, rejected = setting.read("authored")
    assert rejected == []
    assert len(rows) >= 1500
    assert all(sum(row[harm] == 1 for row in rows) >= 60 for harm in setting.taxonomy.harms)
    stances = {row["stance"] for row in rows}
    assert stances == set(setting.taxonomy.axes["stance"])


def test_reading_twice_gives_the_same_rows(tmp_path: Path, configure: Callable[..., Setting]) -> None:
    write_panda(tmp_path, [(f"第{n}句", n % 3 - 1, "回复") for n in range(9)])
    assert configure().read("panda") == configure().read("panda")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real corpora are not beside this checkout")
@pytest.mark.parametrize("name", ["cold", "toxicn", "swsr", "panda"])
def test_real_corpus_is_the_pinned_one_and_has_no_bad_row(name: str, tmp_path: Path) -> None:
    setting = make_setting(copy_configs(tmp_path), f"corpora.root={SHARED}")
    rows, rejected = setting.read(name)
    assert rejected == []
    assert len(rows) == {"cold": 37_480, "toxicn": 12_011, "swsr": 8_969, "panda": 789}[name]
