"""No text in two splits, official tests whole, groups whole, and no corpus moves another's rows."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_corpora import Setting

from pipelines.corpora.normalise import text_key
from pipelines.corpora.schema import CorpusConfig
from pipelines.corpora.split import assign_splits, drop_leaks

Row = dict[str, Any]
NAMES = ("one", "two", "three")
VARIANTS = ("甲{}", "甲{}！", "甲 {}", "Ａ{}", "a{}", "們{}", "们{}")  # of which several have the same key

texts = st.builds(lambda form, number: form.format(number), st.sampled_from(VARIANTS), st.integers(0, 9))
shares = st.sampled_from([(0.0, 0.0), (0.2, 0.0), (0.0, 0.3), (0.3, 0.3)])


def corpus(shares: tuple[float, float], overrides: list[str]) -> CorpusConfig:
    options = {"validation_share": shares[0], "test_share": shares[1], "overrides": overrides}
    return CorpusConfig("a corpus", "folder", "MIT", True, "card.md", {"text": "text"}, [], **options)


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[dict[str, CorpusConfig], list[Row]]:
    """Return corpora with official and hashed files, groups, duplicates within and between them, and overrides."""
    names = NAMES[: draw(st.integers(1, 3))]
    corpora = {}
    rows = []
    for name in names:
        overrides = [other for other in NAMES if other > name and draw(st.booleans())]  # never in a circle
        corpora[name] = corpus(draw(shares), overrides)
        files = draw(
            st.sampled_from([(None,), ("train", "test"), ("train", "validation", "test"), ("train",), ("test",)])
        )
        group = st.sampled_from([None, "g1", "g2", "g3", "g4"])
        for number, text in enumerate(draw(st.lists(texts, max_size=25))):
            split, label = draw(st.sampled_from(files)), draw(st.sampled_from([0, 1, None]))
            row = {"id": f"{name}{number}", "corpus": name, "text": text, "text_key": text_key(text), "context": None}
            row |= {
                "group": draw(group),
                "file_split": split,
                "violation": label,
                "file": "f",
                "row": number,
                "channel": None,
                "base_key": draw(st.sampled_from([None, "甲1", "甲2"])) if split == "test" else None,
            }
            rows.append(row)
    return corpora, rows


def split(rows: list[Row], corpora: dict[str, CorpusConfig]) -> tuple[list[Row], list[tuple[Row, str]]]:
    copies = [dict(row) for row in rows]
    assign_splits(copies, corpora)
    return drop_leaks(copies, corpora)


@settings(max_examples=200)
@given(mixtures())
def test_no_text_is_in_two_splits(mixture: tuple[dict[str, CorpusConfig], list[Row]]) -> None:
    kept, _ = split(mixture[1], mixture[0])
    found = defaultdict(set)
    for row in kept:
        found[row["text_key"]].add(row["split"])
    assert all(len(splits) == 1 for splits in found.values())


@given(mixtures())
def test_nothing_is_trained_on_that_a_test_perturbs(mixture: tuple[dict[str, CorpusConfig], list[Row]]) -> None:
    kept, _ = split(mixture[1], mixture[0])
    perturbed = {row["base_key"] for row in kept if row["split"] == "test"}
    assert perturbed.isdisjoint(row["text_key"] for row in kept if row["split"] != "test")


@given(mixtures())
def test_every_row_is_kept_or_left_out_with_a_reason(mixture: tuple[dict[str, CorpusConfig], list[Row]]) -> None:
    kept, dropped = split(mixture[1], mixture[0])
    assert sorted(row["id"] for row in [*kept, *(row for row, _ in dropped)]) == sorted(row["id"] for row in mixture[1])
    assert {reason for _, reason in dropped} <= {"leak", "overridden", "duplicate", "contradictory_duplicate"}


@given(mixtures())
def test_official_tests_stay_whole(mixture: tuple[dict[str, CorpusConfig], list[Row]]) -> None:
    kept, _ = split(mixture[1], mixture[0])
    tested = {row["id"] for row in kept if row["split"] == "test"}
    assert {row["id"] for row in mixture[1] if row["file_split"] == "test"} <= tested


@given(mixtures())
def test_no_text_is_lost_but_the_originals_of_perturbed_ones(
    mixture: tuple[dict[str, CorpusConfig], list[Row]],
) -> None:
    corpora, rows = mixture
    kept, _ = split(rows, corpora)
    lost = {row["text_key"] for row in rows} - {row["text_key"] for row in kept}
    assert lost <= {row["base_key"] for row in rows}


@given(mixtures())
def test_groups_stay_whole_within_a_corpus(mixture: tuple[dict[str, CorpusConfig], list[Row]]) -> None:
    corpora, rows = mixture
    kept, _ = split(rows, corpora)
    found = defaultdict(set)
    for row in kept:
        if row["group"]:
            found[row["corpus"], row["group"], row["file_split"]].add(row["split"])
    assert all(len(splits) == 1 for splits in found.values())


@given(mixtures())
def test_another_corpus_moves_no_row(mixture: tuple[dict[str, CorpusConfig], list[Row]]) -> None:
    corpora, rows = mixture
    assume(len(corpora) > 1)
    without = {name: config for name, config in corpora.items() if name != NAMES[0]}
    before, _ = split([row for row in rows if row["corpus"] in without], without)
    after, _ = split(rows, corpora)
    here = {row["id"]: row["split"] for row in after}
    assert all(here.get(row["id"], row["split"]) == row["split"] for row in before)


@given(mixtures())
def test_splits_do_not_depend_on_the_order_of_rows(mixture: tuple[dict[str, CorpusConfig], list[Row]]) -> None:
    corpora, rows = mixture
    kept, _ = split(rows, corpora)
    again, _ = split(rows[::-1], corpora)
    assert {row["text_key"]: row["split"] for row in kept} == {row["text_key"]: row["split"] for row in again}


def row(name: str, text: str, label: int | None, split: str | None, number: int = 0) -> Row:
    key = {"id": f"{name}{number}{split}", "corpus": name, "text": text, "text_key": text_key(text), "context": None}
    key |= {"group": None, "file_split": split, "violation": label, "file": "f", "row": number, "channel": None}
    return key | {"base_key": None}


def test_the_second_reading_wins_except_in_an_official_test() -> None:
    corpora = {"one": corpus((0.0, 0.0), []), "two": corpus((0.0, 0.0), ["one"])}
    rows = [row("one", "甲", 1, "train"), row("one", "乙", 1, "validation"), row("one", "丙", 1, "test")]
    rows += [row("two", text, 0, None, number) for number, text in enumerate("甲乙丙")]

    kept, dropped = split(rows, corpora)

    assert {(r["corpus"], r["text"], r["split"]) for r in kept} == {
        ("two", "甲", "train"),
        ("two", "乙", "train"),
        ("one", "丙", "test"),
    }
    assert [(r["corpus"], r["text"], why) for r, why in dropped] == [
        ("one", "甲", "overridden"),
        ("one", "乙", "overridden"),
        ("two", "丙", "leak"),
    ]


def test_duplicates_are_told_from_contradictions() -> None:
    corpora = {"one": corpus((0.0, 0.0), [])}
    rows = [
        row("one", "同一句", 1, "train", 1),
        row("one", "同一句！", 1, "train", 2),
        row("one", "同 一句", 0, "train", 3),
    ]
    kept, dropped = split(rows, corpora)
    assert [r["row"] for r in kept] == [1]
    assert [(r["row"], why) for r, why in dropped] == [(2, "duplicate"), (3, "contradictory_duplicate")]


def test_the_same_text_under_another_post_is_no_duplicate() -> None:
    corpora = {"one": corpus((0.0, 0.0), [])}
    rows = [row("one", "说得对", 1, "train", 1), row("one", "说得对", 0, "train", 2) | {"context": "上文"}]
    kept, _ = split(rows, corpora)
    assert len(kept) == 2


def test_hashed_shares_are_about_as_large_as_asked(compose_once: Callable[..., Setting]) -> None:
    panda = compose_once().config.corpus["panda"]
    rows = [row("panda", f"第{number}句", 0, None, number) for number in range(4000)]
    assign_splits(rows, {"panda": panda})
    for name, share in (("validation", panda.validation_share), ("test", panda.test_share)):
        assert abs(sum(r["split"] == name for r in rows) / len(rows) - share) < 0.03
