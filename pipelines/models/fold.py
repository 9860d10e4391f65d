"""Fold what was learnt beside the model into its ordinary weights, so that every consumer gets it for free."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pipelines.settings.errors import UserError


def fold_calibration(model: PreTrainedModel, scale: Tensor, bias: Tensor) -> None:
    """Calibrate the last linear layer in place: logits become `scale * logits + bias`, both `[l]`."""
    head = output_layer(model)
    with torch.no_grad():
        head.weight.mul_(scale[:, None])
        if head.bias is None:
            head.bias = nn.Parameter(torch.zeros_like(scale))
        head.bias.mul_(scale).add_(bias)


def output_layer(model: PreTrainedModel) -> nn.Linear:
    """Return the linear layer that makes the logits (whatever the architecture calls it)."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    heads = [layer for layer in layers if layer.out_features == model.config.num_labels]
    if not heads:
        raise UserError(f"{type(model).__name__}: no linear layer with {model.config.num_labels} outputs to calibrate.")
    return heads[-1]
