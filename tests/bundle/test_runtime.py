import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_bundle import CHARACTERS, LABELS, make_texts

from pipelines.bundle.bundle import Bundle
from pipelines.bundle.manifest import BundleError
from pipelines.bundle.runtime import FP32, Classifier
from pipelines.settings.errors import UserError

HEAVY = ("torch", "transformers", "datasets", "omegaconf", "hydra", "scipy", "sklearn", "pipelines.settings")


@pytest.fixture(scope="module")
def classifier(shared_bundle: Bundle) -> Classifier:
    return shared_bundle.classifier(FP32)


def test_order_and_scores_do_not_depend_on_the_batch_size(classifier: Classifier):
    texts = make_texts(30)
    alone = np.concatenate([classifier.predict([text]).logits for text in texts])
    for batch_size in (1, 7, 64):
        np.testing.assert_allclose(classifier.predict(texts, batch_size=batch_size).logits, alone, atol=1e-4)


def test_no_texts_give_no_rows(classifier: Classifier):
    predictions = classifier.predict([])
    assert predictions.logits.shape == predictions.probabilities.shape == (0, len(LABELS))
    assert classifier.actions(predictions.probabilities)["fold"].shape == (0,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00\x07\x1b[31m",
        "\ud800",
        "好\udfff好",
        "\ud83d\ude00",
        "\u202e\u200b",
        "好" * 100_000,
        "a" * 100_000,
        "👨‍👩‍👧‍👦" * 50,
    ],
)
def test_any_string_gets_finite_scores(classifier: Classifier, text: str):
    probabilities = classifier.predict([text], [text]).probabilities
    assert np.isfinite(probabilities).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(codec=None, categories=None), max_size=60), max_size=4))
def test_the_root_is_consistent_for_any_texts(classifier: Classifier, texts: list[str]):
    probabilities = classifier.predict(texts).probabilities
    assert probabilities.shape == (len(texts), len(LABELS))
    assert (probabilities[:, :1] >= probabilities).all()


def test_a_surrogate_pair_is_the_character_it_stands_for(classifier: Classifier):
    assert classifier.encode(["\ud83d\ude00好"]) == classifier.encode(["😀好"])


def test_a_context_changes_the_answer_and_its_absence_does_not(classifier: Classifier):
    text, context = CHARACTERS[:6], CHARACTERS[10:20]
    plain = classifier.predict([text]).logits
    mixed = classifier.predict([text, text], [None, context]).logits
    np.testing.assert_allclose(mixed[0], plain[0], atol=1e-4)
    assert np.abs(mixed[1] - plain[0]).max() > 1e-3


def test_a_long_pair_keeps_some_of_both(classifier: Classifier):
    (ids,) = classifier.encode([CHARACTERS * 2], [CHARACTERS * 2])
    separators = [position for position, token in enumerate(ids) if token == classifier.tokenizer.token_to_id("[SEP]")]
    assert len(ids) == 48
    assert min(separators[0] - 1, separators[1] - separators[0] - 1) >= 20


def test_wrong_arguments_are_refused(classifier: Classifier):
    with pytest.raises(ValueError, match="2 texts but 1 contexts"):
        classifier.predict(["好", "好"], [None])
    with pytest.raises(ValueError, match="batch_size"):
        classifier.predict(["好"], batch_size=0)


def test_actions_follow_the_threshold_and_never_guess(classifier: Classifier):
    probabilities = np.array([[0.79, 0, 0, 0], [0.81, 0, 0, 0]], dtype=np.float32)
    actions = classifier.actions(probabilities)
    assert actions["fold"].tolist() == [False, True]
    assert actions["ban"] is None


def test_threads_are_what_the_caller_asked_for(shared_bundle: Bundle):
    for threads in (1, 2):
        options = shared_bundle.classifier(FP32, threads).session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)


def test_check_finds_a_changed_file_before_opening_it(own_bundle: Bundle):
    Classifier.load(own_bundle.path, check=True)
    with (own_bundle.path / FP32).open("ab") as stream:
        stream.write(b"\x00")
    with pytest.raises(BundleError, match=r"onnx/model\.onnx: differs"):
        Classifier.load(own_bundle.path, check=True)


@pytest.mark.parametrize(
    "name", [FP32, "config.json", "tokenizer.json", "tokenizer_config.json", "operating_points.json"]
)
def test_a_missing_or_broken_file_is_named(own_bundle: Bundle, name: str):
    for damage in (lambda path: path.write_bytes(b"broken"), lambda path: path.unlink()):
        damage(own_bundle.path / name)
        with pytest.raises(BundleError, match=Path(name).name):
            Classifier.load(own_bundle.path, FP32)
    with pytest.raises(UserError, match=Path(name).name):
        own_bundle.classifier(FP32)


def test_runs_where_the_training_libraries_are_not_installed(shared_bundle: Bundle):
    program = f"""
import sys
for name in {HEAVY}:
    sys.modules[name] = None  # importing it now raises ImportError
from pipelines.bundle.runtime import Classifier
predictions = Classifier.load({str(shared_bundle.path)!r}, threads=1, check=True).predict(["你好", "好"])
print(predictions.probabilities.shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == f"(2, {len(LABELS)})", done.stderr
