from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from tiny_data import WEIGHTS, make_config, make_data, make_taxonomy

from pipelines.corpora import PreparedData
from pipelines.corpora.labels import any_of_matrix, label_matrix
from pipelines.models.tokenizer import encode, learn_tokenizer
from pipelines.settings.errors import UserError
from pipelines.training.data import (
    CloakingConfig,
    check_cloaking,
    informative,
    labelled,
    learnable,
    positive_weights,
    unlabelled,
    with_cloaked_copies,
)
from pipelines.training.targets import unpack_array


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return make_data(tmp_path_factory.mktemp("data"))


def labels(columns: dict[str, list[int | None]], sets: list[list[str]]) -> Dataset:
    """Return rows that know nothing but `columns` and `sets`."""
    empty = {label: [None] * len(sets) for label in make_taxonomy().labels}
    own = {"any_of": sets, "number": list(range(len(sets))), "corpus": [f"c{n % 2}" for n in range(len(sets))]}
    return Dataset.from_dict({**empty, **own, **columns})


def test_rows_that_say_nothing_are_left_out() -> None:
    root, harm, *_ = make_taxonomy().labels
    rows = labels(
        {root: [None, 0, 1, None, None, None], harm: [None, None, None, None, 1, None]}, [[]] * 3 + [[harm]] + [[]] * 2
    )
    rows = rows.remove_columns("corpus").add_column("corpus", ["a"] * 6)
    assert list(informative(rows, make_taxonomy())["number"]) == [1, 2, 3, 4]
    assert len(informative(labels({}, [[], []]), make_taxonomy())) == 0


def test_a_root_that_a_corpus_knows_in_one_class_only_teaches_nothing() -> None:
    root, harm, *_ = make_taxonomy().labels
    columns = {root: [1, 1, 1, 0, None, None], harm: [1, 0, 1, None, 0, None], "corpus": ["a", "b", "a", "b", "a", "c"]}
    rows = labels(columns, [[]] * 6)
    truth = learnable(rows, make_taxonomy())
    assert np.array_equal(truth[:, 0], [np.nan, 1, np.nan, 0, np.nan, np.nan], equal_nan=True)
    assert np.array_equal(truth[:, 1], label_matrix(rows, make_taxonomy())[:, 1], equal_nan=True)
    assert list(informative(rows, make_taxonomy())["number"]) == [0, 1, 2, 3, 4]


def test_rare_positives_weigh_more_within_limits() -> None:
    root, first, second, third, *rest = make_taxonomy().labels
    columns = {
        root: [1] * 2 + [0] * 8,  # sqrt(8 / 2)
        first: [1] * 8 + [0] * 2,  # common positives never weigh less than negatives
        second: [1] + [0] * 9,  # sqrt(9) is over the limit
        third: [0] * 10,  # nothing to weigh
    }
    found = positive_weights(labels(columns, [[]] * 10), make_taxonomy(), limit=2.5)
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([2.0, 1.0, 2.5, 1.0, *[1.0] * len(rest)])
    assert positive_weights(labels(columns, [[]] * 10), make_taxonomy(), limit=1.0).tolist() == [1.0] * (4 + len(rest))


def test_prepared_rows_become_ids_and_targets(data: PreparedData) -> None:
    config, taxonomy, rows = make_config(), make_taxonomy(), data.split("train")
    tokenizer = learn_tokenizer(rows["text"], config.encoder.tokenizer, 32)
    teacher = np.arange(len(rows) * len(taxonomy.labels), dtype=np.float32).reshape(len(rows), -1)
    found = labelled(rows, tokenizer, taxonomy, WEIGHTS, teacher).with_format("numpy")
    assert [list(ids) for ids in found["input_ids"]] == encode(tokenizer, list(rows["text"]), list(rows["context"]))
    assert list(found["length"]) == [len(ids) for ids in found["input_ids"]]
    targets = unpack_array(np.stack(list(found["labels"])))
    np.testing.assert_array_equal(targets.truth.numpy(), learnable(rows, taxonomy))
    np.testing.assert_array_equal(targets.any_of.numpy(), any_of_matrix(rows, taxonomy))
    np.testing.assert_array_equal(targets.teacher.numpy(), teacher)
    assert targets.any_of.any()
    assert targets.truth.isnan().any()
    assert targets.weight.tolist() == [WEIGHTS[name] for name in rows["corpus"]]
    assert targets.corpus.tolist() == [list(WEIGHTS).index(name) for name in rows["corpus"]]


def test_unlabelled_text_knows_the_teacher_alone(data: PreparedData) -> None:
    config, rows = make_config(), data.split("unlabelled")
    tokenizer = learn_tokenizer(rows["text"], config.encoder.tokenizer, 32)
    teacher = np.ones((len(rows), len(make_taxonomy().labels)), np.float32)
    targets = unpack_array(np.stack(list(unlabelled(rows, tokenizer, teacher, 0.25).with_format("numpy")["labels"])))
    assert targets.truth.isnan().all()
    assert not targets.any_of.any()
    assert targets.teacher.eq(1).all()
    assert targets.weight.tolist() == [0.25] * len(rows)


def test_a_corpus_without_a_weight_is_named(data: PreparedData) -> None:
    rows = data.split("train")
    tokenizer = learn_tokenizer(rows["text"], make_config().encoder.tokenizer, 32)
    with pytest.raises(UserError, match="partial"):
        labelled(rows, tokenizer, make_taxonomy(), {"full": 1.0})


CLOAKING = CloakingConfig(0.5, ["homophone", "traditional"], 0.2, 0.6)


def test_cloaked_copies_follow_the_rows_and_name_their_origin(data: PreparedData) -> None:
    rows = data.split("train")
    more, origin = with_cloaked_copies(rows, CLOAKING, seed=3)
    count = len(rows)
    assert more[:count] == rows[:]
    assert origin[:count].tolist() == list(range(count))
    assert len(more) == len(origin) == count + round(count / 2)
    assert len(set(origin[count:].tolist())) == len(origin) - count  # one copy each
    changed = 0
    for copy, at in zip(more.select(range(count, len(more))), origin[count:].tolist(), strict=True):
        plain = rows[at]
        changed += copy["text"] != plain["text"]
        assert {**copy, "text": ""} == {**plain, "text": ""}
    assert changed > 0.8 * (len(more) - count)
    again, _ = with_cloaked_copies(rows, CLOAKING, seed=3)
    assert again["text"][:] == more["text"][:]


def test_no_copies_are_made_where_none_are_wanted(data: PreparedData) -> None:
    rows = data.split("train")
    more, origin = with_cloaked_copies(rows, replace(CLOAKING, share=0.0), seed=3)
    assert more is rows
    assert len(origin) == len(rows)


@pytest.mark.parametrize(
    "wrong", [{"share": 1.5}, {"least": 0.0}, {"most": 0.1}, {"names": []}, {"names": ["homofone"]}]
)
def test_senseless_cloaking_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="cloak"):
        check_cloaking(replace(CLOAKING, **wrong), "finetune.training")
