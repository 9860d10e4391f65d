import numpy as np
import pytest
from tiny_bundle import make_texts

from pipelines.bundle.bundle import Bundle
from pipelines.bundle.runtime import FP32
from pipelines.measure.predictor import BundlePredictor, CheckpointPredictor
from pipelines.models import Checkpoint
from pipelines.settings.errors import UserError


def test_a_checkpoint_and_its_bundle_say_the_same_in_the_order_of_the_texts(bundle: Bundle):
    checkpoint = CheckpointPredictor(Checkpoint.open(bundle.path.parent / "checkpoint"))
    exported = BundlePredictor(bundle, FP32)
    texts = make_texts(12)
    contexts = [text if number % 3 == 0 else None for number, text in enumerate(reversed(texts))]
    for ours, theirs in zip(checkpoint.predict(texts, contexts), exported.predict(texts, contexts), strict=True):
        assert ours.dtype == theirs.dtype == np.float32
        assert ours == pytest.approx(theirs, abs=1e-4)
    backwards = exported.predict(texts[::-1], contexts[::-1])[1]
    assert backwards[::-1] == pytest.approx(exported.predict(texts, contexts)[1], abs=1e-5)
    probabilities = checkpoint.predict(texts, contexts)[1]
    assert (probabilities[:, 0] >= probabilities[:, 1:].max(axis=1)).all()


def test_a_missing_onnx_file_is_named(bundle: Bundle):
    with pytest.raises(UserError, match=r"onnx/other\.onnx"):
        BundlePredictor(bundle, "onnx/other.onnx").predict(["a"], [None])
