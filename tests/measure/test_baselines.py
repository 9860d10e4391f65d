import numpy as np
import pytest
from datasets import Dataset
from scipy.sparse import csr_matrix
from toy_data import make_rows, make_taxonomy

from pipelines.corpora.schema import features
from pipelines.measure.baselines import BaselineConfig, NgramBaseline, NgramFeatures, fit_baselines
from pipelines.settings.errors import UserError

CONFIG = BaselineConfig(
    longest=2, min_texts=2, inverse_regularisation=3.0, tolerance=1e-3, seed=0, epochs=5, learning_rate=0.5
)
TAXONOMY = make_taxonomy()


def dataset(*corpora):
    rows = [row for corpus in corpora for row in make_rows(corpus, "train", 200)]
    return Dataset.from_list(rows, features=features(TAXONOMY))


def test_majority_says_how_frequent_each_label_is_among_rows_that_know_it():
    _, scores = fit_baselines(dataset("authored", "forum"), TAXONOMY, CONFIG).majority.predict(["a", "b"], [None, None])
    # the root is known in every authored row (half of them 1) and where forum holds (all 1)
    assert scores[0] == pytest.approx([200 / 300, 0.0, 100 / 400, 0.5], abs=1e-5)
    assert np.array_equal(scores[0], scores[1])


@pytest.mark.parametrize("kind", ["ngram", "naive_bayes", "fasttext"])
def test_all_learn_what_tells_the_classes_apart(kind):
    fitted = getattr(fit_baselines(dataset("authored", "news"), TAXONOMY, CONFIG), kind)
    logits, scores = fitted.predict(["天地人坏", "天地人行"], [None, None])
    assert scores[0, 0] > 0.6 > 0.4 > scores[1, 0]
    assert scores.dtype == logits.dtype == np.float32
    assert scores == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-5)


def test_naive_bayes_scales_by_the_log_count_ratio():
    matrix = csr_matrix(np.array([[1, 0, 2], [3, 0, 0], [0, 1, 1], [0, 1, 0]], np.float32))
    fitted = NgramBaseline.fit(
        NgramFeatures(None), matrix, np.array([[1], [1], [0], [0]], np.float32), CONFIG, naive_bayes=True
    )
    # of 6 smoothed counts each: 3, 1, 2 in positives and 1, 3, 2 in negatives
    assert fitted.columns[0].scale == pytest.approx(np.log([3, 1 / 3, 1]), abs=1e-6)


@pytest.mark.parametrize("kind", ["ngram", "naive_bayes", "fasttext"])
def test_a_label_without_both_classes_keeps_its_prevalence(kind):
    _, scores = getattr(fit_baselines(dataset("authored"), TAXONOMY, CONFIG), kind).predict(["坏"], [None])
    assert scores[0, 1] == pytest.approx(0.0, abs=1e-5)
    assert np.isfinite(scores).all()


def test_a_corpus_with_a_bit_of_its_own_gets_a_model_of_its_own():
    fitted = fit_baselines(dataset("authored", "news", "forum"), TAXONOMY, CONFIG)
    assert list(fitted.official) == ["forum", "news"]
    _, scores = fitted.official["forum"].predict(["坏", "行"], [None, None])
    assert scores.shape == (2, 1)
    assert scores[0, 0] > scores[1, 0]


@pytest.mark.parametrize("kind", ["ngram", "naive_bayes", "fasttext"])
def test_the_same_rows_give_the_same_scores(kind):
    both = [getattr(fit_baselines(dataset("news"), TAXONOMY, CONFIG), kind) for _ in "ab"]
    first, second = (fitted.predict(["坏人", "", "a\nb\ud800"], [None] * 3)[1] for fitted in both)
    assert np.array_equal(first, second)


def test_no_training_rows_and_senseless_settings_are_refused():
    with pytest.raises(UserError, match="training split is empty"):
        fit_baselines(dataset("news").select([]), TAXONOMY, CONFIG)
    with pytest.raises(UserError, match="longest"):
        BaselineConfig(0, 2, 1.0, 1e-3, 0, 5, 0.5).check()
    with pytest.raises(UserError, match="inverse_regularisation"):
        BaselineConfig(2, 2, 0.0, 1e-3, 0, 5, 0.5).check()
