from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from toy_data import make_prepared, make_taxonomy
from transformers import PreTrainedTokenizerFast

from pipelines import teach
from pipelines.artifacts.folder import Slot
from pipelines.corpora import PreparedData
from pipelines.measure.baselines import BaselineConfig
from pipelines.models import Checkpoint
from pipelines.models.checkpoint import save_checkpoint
from pipelines.models.encoder import EncoderConfig, build_classifier
from pipelines.models.predict import predict_logits
from pipelines.models.tokenizer import TokenizerConfig, learn_tokenizer
from pipelines.settings.errors import UserError

CONFIG = teach.TeachConfig(2, 0.5, 4, BaselineConfig(2, 2, 3.0, 1e-3, 0, 5, 0.5))
TAXONOMY = make_taxonomy()
FIRST, SECOND = TAXONOMY.index("violation"), TAXONOMY.index("second")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    data = make_prepared(tmp_path_factory.mktemp("data") / "data")
    Dataset.from_dict({"text": ["天地人坏", "天地人行"]}).save_to_disk(str(data.path / "unlabelled"))
    return data


@pytest.fixture(scope="module")
def teachers(data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> list[Checkpoint]:
    vocabulary = TokenizerConfig(1, 0, False)
    tokenizer: PreTrainedTokenizerFast = learn_tokenizer(data.split("train")["text"], vocabulary, 16)
    size = EncoderConfig("toy", None, 1, 16, 2, 16, 16, 0.0, False, vocabulary)
    made = []
    for seed in (1, 2):
        slot = Slot(tmp_path_factory.mktemp("teacher") / "teacher", f"seed {seed}")
        with slot.fill(Checkpoint) as draft:
            save_checkpoint(draft.folder, build_classifier(size, tokenizer, TAXONOMY, seed), tokenizer, TAXONOMY)
        made.append(Checkpoint.open(slot.path))
    return made


def scores(data: PreparedData, teachers: list[Checkpoint], path: Path, **changes: float) -> dict[str, np.ndarray]:
    made = teach.run(replace(CONFIG, **changes), data, teachers, TAXONOMY, Slot(path, "scores"))
    assert not (made.path / "scratch").exists()
    return {split: made.of(split) for split in ("train", "validation", "test", "unlabelled")}


def test_without_ngrams_the_score_is_the_mean_of_the_teachers(
    data: PreparedData, teachers: list[Checkpoint], tmp_path: Path
) -> None:
    found = scores(data, teachers, tmp_path / "scores", ngram_share=0.0)
    for split, logits in found.items():
        texts = list(data.split(split)["text"])
        each = [predict_logits(teacher.model(), teacher.tokenizer(), texts) for teacher in teachers]
        np.testing.assert_allclose(logits, np.mean(each, axis=0), rtol=1e-5, atol=1e-6)


def test_ngrams_speak_on_a_corpuss_own_bit_and_nowhere_else(
    data: PreparedData, teachers: list[Checkpoint], tmp_path: Path
) -> None:
    plain = scores(data, teachers, tmp_path / "plain", ngram_share=0.0)
    mixed = scores(data, teachers, tmp_path / "mixed", ngram_share=1.0)
    for split in ("train", "validation", "test"):
        corpus = np.array(data.split(split)["corpus"])
        told = np.array(["坏" in text for text in data.split(split)["text"]])
        changed = plain[split] != mixed[split]
        own = {"news": FIRST, "forum": SECOND}
        for name in set(corpus):
            here = corpus == name
            assert changed[here].any(axis=0).tolist() == [index == own.get(name) for index in range(4)]
            if name in own:
                assert mixed[split][here & told, own[name]].mean() > mixed[split][here & ~told, own[name]].mean() + 0.5
    np.testing.assert_array_equal(plain["unlabelled"], mixed["unlabelled"])


def test_a_training_row_is_not_scored_by_its_own_label(
    data: PreparedData, teachers: list[Checkpoint], tmp_path: Path
) -> None:
    before = scores(data, teachers, tmp_path / "before", ngram_share=1.0)["train"]
    train = data.split("train")
    row = next(index for index, corpus in enumerate(train["corpus"]) if corpus == "news")
    bits = list(train["official"])
    bits[row] = 1 - bits[row]
    changed = make_prepared(tmp_path / "changed")
    Dataset.from_dict({"text": ["天地人坏"]}).save_to_disk(str(changed.path / "unlabelled"))
    columns = {name: list(train[name]) for name in train.column_names} | {"official": bits}
    (changed.path / "train").rename(changed.path / "old")
    Dataset.from_dict(columns, features=train.features).save_to_disk(str(changed.path / "train"))
    after = scores(changed, teachers, tmp_path / "after", ngram_share=1.0)["train"]
    assert after[row, FIRST] == before[row, FIRST]
    assert (after[:, FIRST] != before[:, FIRST]).any()


@pytest.mark.parametrize("wrong", [{"teachers": 0}, {"folds": 1}, {"ngram_share": 1.1}])
def test_values_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        teach.check(replace(CONFIG, **wrong))
