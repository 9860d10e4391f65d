from collections.abc import Callable

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from pipelines.models.fold import fold_calibration, output_layer
from pipelines.settings.errors import UserError

LABELS = 5
SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
DISTIL = {"vocab_size": 40, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
MAKERS: dict[str, Callable[[int], PreTrainedModel]] = {
    "bert": lambda labels: BertForSequenceClassification(BertConfig(num_labels=labels, **SIZES)),
    "roberta": lambda labels: RobertaForSequenceClassification(RobertaConfig(num_labels=labels, **SIZES)),
    "electra": lambda labels: ElectraForSequenceClassification(ElectraConfig(num_labels=labels, **SIZES)),
    "distilbert": lambda labels: DistilBertForSequenceClassification(DistilBertConfig(num_labels=labels, **DISTIL)),
}


@pytest.mark.parametrize("architecture", list(MAKERS))
@pytest.mark.parametrize("labels", [LABELS, 16])  # 16: as many labels as hidden units, where layers look alike
def test_folding_is_an_affine_map_of_the_logits(architecture: str, labels: int) -> None:
    torch.manual_seed(2)
    model = MAKERS[architecture](labels).eval()
    ids = torch.randint(5, 40, (3, 9))
    scale, bias = torch.rand(labels) * 3, torch.randn(labels)
    with torch.no_grad():
        expected = model(ids).logits * scale + bias
        fold_calibration(model, scale, bias)
        assert torch.allclose(model(ids).logits, expected, atol=1e-6)


def test_a_head_without_bias_gets_one() -> None:
    model = MAKERS["bert"](LABELS).eval()
    output_layer(model).bias = None
    ids = torch.randint(5, 40, (3, 9))
    scale, bias = torch.full((LABELS,), 2.0), torch.arange(5.0)
    with torch.no_grad():
        expected = model(ids).logits * scale + bias
        fold_calibration(model, scale, bias)
        assert torch.allclose(model(ids).logits, expected, atol=1e-6)


def test_a_model_without_a_head_is_refused() -> None:
    model = MAKERS["bert"](LABELS)
    model.classifier = torch.nn.Identity()
    with pytest.raises(UserError, match="no linear layer with 5 outputs"):
        output_layer(model)
