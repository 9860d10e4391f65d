"""The bundle as those open it who know nothing of this project: transformers, its pipeline, plain onnxruntime."""

import numpy as np
import onnxruntime
import torch
import transformers
from tiny_bundle import LABELS, make_texts
from tokenizers import Tokenizer

from pipelines.bundle.bundle import Bundle
from pipelines.bundle.runtime import FP32, INT8


def test_transformers_gives_the_same_logits(shared_bundle: Bundle):
    texts = make_texts(12)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(shared_bundle.path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(shared_bundle.path)
    with torch.inference_mode():
        logits = model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits.numpy()
    np.testing.assert_allclose(shared_bundle.classifier(FP32).predict(texts).logits, logits, atol=1e-4)


def test_the_transformers_pipeline_names_and_scores_every_label(shared_bundle: Bundle):
    texts = make_texts(5)
    pipe = transformers.pipeline("text-classification", model=str(shared_bundle.path), top_k=None)
    logits = shared_bundle.classifier(FP32).predict(texts).logits
    for row, results in enumerate(pipe(texts)):
        scores = {result["label"]: result["score"] for result in results}
        assert set(scores) == set(LABELS)
        np.testing.assert_allclose([scores[label] for label in LABELS], 1 / (1 + np.exp(-logits[row])), atol=1e-4)


def test_plain_onnxruntime_and_tokenizers_are_enough(shared_bundle: Bundle):
    (text,) = make_texts(1)
    ids = np.array([Tokenizer.from_file(str(shared_bundle.path / "tokenizer.json")).encode(text).ids])
    for file in (FP32, INT8):
        session = onnxruntime.InferenceSession(str(shared_bundle.path / file), providers=["CPUExecutionProvider"])
        outputs = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        ours = shared_bundle.classifier(file).predict([text])
        np.testing.assert_array_equal(outputs[0], ours.logits)
        np.testing.assert_array_equal(outputs[1], ours.probabilities)


def test_has_the_layout_others_look_for(shared_bundle: Bundle):
    files = set(shared_bundle.manifest["files"])
    assert files >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        "taxonomy.json",
        "operating_points.json",
        "parity.json",
    }
    assert shared_bundle.taxonomy_dict["labels"] == LABELS
    assert shared_bundle.operating_points["fold"]["threshold"] == 0.8
