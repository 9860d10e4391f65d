import numpy as np
import pytest
import torch
from tiny_data import make_config, make_taxonomy, make_texts
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from pipelines.models.encoder import build_classifier
from pipelines.models.predict import predict_logits, probabilities
from pipelines.models.tokenizer import encode, learn_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    config = make_config().encoder
    return learn_tokenizer(make_texts(30), config.tokenizer, config.max_length)


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    return build_classifier(make_config().encoder, tokenizer, make_taxonomy(), seed=1)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_scores_keep_the_order_of_texts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, batch_size: int
) -> None:
    texts = ["", *make_texts(9), "天" * 100]
    contexts = [None, "上文", *[None] * 9]
    found = predict_logits(model.train(), tokenizer, texts, contexts, batch_size)
    model.eval()
    with torch.no_grad():
        alone = [model(torch.tensor([row])).logits.numpy() for row in encode(tokenizer, texts, contexts)]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.concatenate(alone), atol=1e-5)


def test_no_texts_have_no_scores(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    assert predict_logits(model, tokenizer, []).shape == (0, len(make_taxonomy().labels))


def test_the_root_is_at_least_its_most_probable_harm() -> None:
    found = probabilities(np.array([[-1.0, 0.0, -50.0], [2.0, 0.0, -1.0], [-900.0, -900.0, -900.0]], np.float32))
    assert found[0].tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert found[1, 0] == pytest.approx(1 / (1 + np.exp(-2)))
    assert found[2].tolist() == [0.0, 0.0, 0.0]
    assert probabilities(np.zeros((0, 3), np.float32)).shape == (0, 3)
