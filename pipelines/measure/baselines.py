"""What any model must beat: the majority answer, linear models on character n-grams, fastText. No context, seconds to
fit.

Logistic regression on TF-IDF of characters is the strong simple baseline for short Chinese comments: trained on one
corpus it reaches a macro-F1 of about 79 on COLD's test and 75 on ToxiCN's, where fine-tuned encoders reach 82 to 84.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import floret
import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from scipy.special import logit, softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from pipelines.artifacts.progress import track
from pipelines.corpora.labels import label_matrix
from pipelines.measure.accuracy import known_values
from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy

Scores = NDArray[np.float32]
_CERTAIN = 1e-6  # probabilities stay this far from 0 and 1, so that logits are finite


@dataclass
class BaselineConfig:
    """How the character n-gram baseline is fitted.

    Attributes:
        longest: n-grams of 1 to this many characters.
        min_texts: an n-gram in fewer training texts is left out.
        inverse_regularisation: scikit-learn's C.
        tolerance: at which the solver stops.
        seed: of the solver.
        epochs: of fastText.
        learning_rate: of fastText.
    """

    longest: int
    min_texts: int
    inverse_regularisation: float
    tolerance: float
    seed: int
    epochs: int
    learning_rate: float

    def check(self) -> None:
        """Raise UserError for a value out of range."""
        if self.longest < 1 or self.min_texts < 1:
            raise UserError("baselines.longest and baselines.min_texts must be at least 1.")
        if self.inverse_regularisation <= 0 or self.tolerance <= 0:
            raise UserError("baselines.inverse_regularisation and baselines.tolerance must be above 0.")
        if self.epochs < 1 or self.learning_rate <= 0:
            raise UserError("baselines.epochs must be at least 1 and baselines.learning_rate above 0.")


@dataclass(frozen=True)
class MajorityBaseline:
    """Says for every text how frequent each label is among the training rows that know it: float32 `[labels]`."""

    prevalence: Scores

    @classmethod
    def fit(cls, truth: Scores) -> Self:
        """Fit on truth float32 `[n, labels]`, NaN = unknown."""
        return cls(np.array([_prevalence(column) for column in truth.T], np.float32))

    def predict(self, texts: Sequence[str], contexts: Sequence[str | None]) -> tuple[Scores, Scores]:
        """Return logits and probabilities, float32 `[n, labels]`, equal in every row."""
        return _with_logits(np.tile(self.prevalence, (len(texts), 1)))


@dataclass(frozen=True)
class NgramFeatures:
    """Character n-grams with sublinear TF-IDF (Salton and Buckley, 1988), learnt from all training texts once."""

    vectoriser: Any

    @classmethod
    def fit(cls, texts: Sequence[str], config: BaselineConfig) -> tuple[Self, Any]:
        """Return the features and the sparse float32 matrix `[n, n-grams]` of `texts`."""
        vectoriser = TfidfVectorizer(
            analyzer="char",
            ngram_range=(1, config.longest),
            min_df=config.min_texts,
            sublinear_tf=True,
            dtype=np.float32,
        )
        matrix = vectoriser.fit_transform(texts)
        return cls(vectoriser), matrix

    def of(self, texts: Sequence[str]) -> Any:
        """Return the sparse float32 matrix `[n, n-grams]` of other texts."""
        return self.vectoriser.transform(texts)


@dataclass(frozen=True)
class Column:
    """One fitted column: a logistic regression, and by what its features are scaled (float32 `[n-grams]`), or None."""

    model: LogisticRegression
    scale: Scores | None

    def score(self, matrix: Any) -> Scores:
        """Return probabilities, float32 `[n]`."""
        scaled = matrix if self.scale is None else matrix.multiply(self.scale).tocsr()
        return np.asarray(self.model.predict_proba(scaled)[:, 1], np.float32)


@dataclass(frozen=True)
class NgramBaseline:
    """One logistic regression per column on shared features; a column without both classes keeps its training
    prevalence.

    With naive Bayes, features are scaled by their log-count ratio first (Wang and Manning, "Baselines and Bigrams",
    2012, with logistic loss in place of the hinge, so that scores are probabilities). The columns stand alone: the root
    is not raised to the harms, because a linear model of a harm that is known nearly only where it holds would drag the
    root with it.
    """

    features: NgramFeatures
    columns: Sequence[Column | float]

    @classmethod
    def fit(
        cls, features: NgramFeatures, matrix: Any, truth: Scores, config: BaselineConfig, naive_bayes: bool = False
    ) -> Self:
        """Fit every column of `truth` float32 `[n, columns]` on the rows of `matrix` that know it."""
        progress = track(truth.T, "baselines: character n-grams", total=truth.shape[1])
        return cls(features, [_fit_column(matrix, column, config, naive_bayes) for column in progress])

    def predict(self, texts: Sequence[str], contexts: Sequence[str | None]) -> tuple[Scores, Scores]:
        """Return logits and probabilities, float32 `[n, columns]`."""
        return self.score(self.features.of(texts))

    def score(self, matrix: Any) -> tuple[Scores, Scores]:
        """Return the same for texts whose features `[n, n-grams]` are at hand."""
        scores = np.empty((matrix.shape[0], len(self.columns)), np.float32)
        for i, column in enumerate(self.columns):
            scores[:, i] = column if isinstance(column, float) else column.score(matrix)
        return _with_logits(scores)


@dataclass(frozen=True)
class FastTextBaseline:
    """One fastText classifier per column over characters and their n-grams (Joulin et al., 2017)."""

    columns: Sequence[Any]

    @classmethod
    def fit(cls, texts: Sequence[str], truth: Scores, config: BaselineConfig) -> Self:
        """Fit every column of `truth` float32 `[n, columns]` on the texts that know it."""
        progress = track(truth.T, "baselines: fastText", total=truth.shape[1])
        return cls([_fit_fasttext(texts, column, config) for column in progress])

    def predict(self, texts: Sequence[str], contexts: Sequence[str | None]) -> tuple[Scores, Scores]:
        """Return logits and probabilities, float32 `[n, columns]`."""
        scores = np.empty((len(texts), len(self.columns)), np.float32)
        lines = [_spaced(text) for text in texts]
        for i, column in enumerate(self.columns):
            scores[:, i] = column if isinstance(column, float) else _fasttext_scores(column, lines)
        return _with_logits(scores)


@dataclass(frozen=True)
class Baselines:
    """All baselines fitted on one training split.

    Attributes:
        majority: prevalence of each label.
        ngram: labels of the taxonomy, learnt from all corpora together like any candidate.
        naive_bayes: the same with features scaled by naive Bayes.
        fasttext: the same labels and rows.
        official: by corpus, one column: the corpus's own binary label learnt from its own rows alone, which is what
            published baselines report.
    """

    majority: MajorityBaseline
    ngram: NgramBaseline
    naive_bayes: NgramBaseline
    fasttext: FastTextBaseline
    official: Mapping[str, NgramBaseline]


def fit_baselines(rows: Dataset, taxonomy: Taxonomy, config: BaselineConfig) -> Baselines:
    """Fit on the training split; raise UserError when it is empty or the configuration is out of range."""
    config.check()
    if not len(rows):
        raise UserError("baselines: the training split is empty. Prepare data with training rows.")
    truth = label_matrix(rows, taxonomy)
    features, matrix = NgramFeatures.fit(list(rows["text"]), config)
    official = known_values(rows["official"])
    corpora = np.array(rows["corpus"])
    return Baselines(
        MajorityBaseline.fit(truth),
        NgramBaseline.fit(features, matrix, truth, config),
        NgramBaseline.fit(features, matrix, truth, config, naive_bayes=True),
        FastTextBaseline.fit(list(rows["text"]), truth, config),
        {
            name: NgramBaseline.fit(features, matrix, np.where(corpora == name, official, np.nan)[:, None], config)
            for name in sorted(set(corpora[~np.isnan(official)]))
        },
    )


def _fit_column(matrix: Any, truth: Scores, config: BaselineConfig, naive_bayes: bool) -> Column | float:
    known = np.flatnonzero(~np.isnan(truth))
    if len(np.unique(truth[known])) < 2:
        return _prevalence(truth)
    rows, scale = matrix[known], None
    if naive_bayes:
        scale = _log_count_ratio(rows, truth[known])
        rows = rows.multiply(scale).tocsr()
    model = LogisticRegression(
        C=config.inverse_regularisation, solver="liblinear", tol=config.tolerance, random_state=config.seed
    )
    return Column(model.fit(rows, truth[known]), scale)


def _log_count_ratio(rows: Any, truth: Scores) -> Scores:
    """Return log of how much more often an n-gram stands in positives than in negatives, float32 `[n-grams]`."""
    there = rows > 0
    shares = []
    for value in (1, 0):
        counts = 1 + np.asarray(there[truth == value].sum(axis=0), np.float64).ravel()
        shares.append(counts / counts.sum())
    return np.log(shares[0] / shares[1]).astype(np.float32)


def _fit_fasttext(texts: Sequence[str], truth: Scores, config: BaselineConfig) -> Any:
    known = np.flatnonzero(~np.isnan(truth)).tolist()
    if len(np.unique(truth[known])) < 2:
        return _prevalence(truth)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        lines = (f"__label__{int(truth[row])} {_spaced(texts[row])}\n" for row in known)
        file.write_text("".join(lines), encoding="utf-8", errors="replace")
        return floret.train_supervised(
            input=str(file),
            lr=config.learning_rate,
            epoch=config.epochs,
            wordNgrams=config.longest,
            minCount=config.min_texts,
            dim=50,
            bucket=500_000,
            thread=1,  # more would race for the weights, and no two runs be alike
            verbose=0,
        )


def _fasttext_scores(model: Any, lines: Sequence[str]) -> Scores:
    """Return the probability of label 1, float32 `[n]`, from the vectors: floret's own `predict` is not for numpy 2."""
    hidden = np.stack([model.get_sentence_vector(line) for line in lines]) if lines else np.zeros((0, 50), np.float32)
    outputs = softmax(hidden @ model.get_output_matrix().T, axis=1)
    return np.asarray(outputs[:, model.get_labels().index("__label__1")], np.float32)


def _spaced(text: str) -> str:
    """Return the characters of a text as fastText's words."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split()).replace("", " ").strip()


def _prevalence(truth: Scores) -> float:
    known = truth[~np.isnan(truth)]
    return float(known.mean()) if len(known) else 0.0


def _with_logits(scores: Scores) -> tuple[Scores, Scores]:
    clipped = np.clip(scores, _CERTAIN, 1 - _CERTAIN).astype(np.float32)
    return logit(clipped).astype(np.float32), clipped
