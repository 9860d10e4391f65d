"""Losses that respect partial labels: an unknown label is not 0, a set-valued positive asks for one of its members.

Shapes: `b` rows, `l` labels (root first). Probabilities are sigmoid(logits); labels are independent.
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid, softplus

_TINY = torch.finfo(torch.float32).tiny


def partial_label_loss(
    logits: Tensor, truth: Tensor, any_of: Tensor, label_weight: Tensor, positive_weight: Tensor
) -> Tensor:
    """Return the loss per row, float32 `[b]`.

    An unknown label gives no gradient, with one exception that follows from the root being "any harm": on a text known
    to be no violation the most probable harm is pushed down. Without it a set-valued positive is satisfied by whichever
    member the corpus never denies, on every text of that corpus, and with it the served root, which is at least every
    harm (LOG.md).

    Args:
        logits: `[b, l]`.
        truth: `[b, l]`, 1, 0 or NaN for unknown.
        any_of: `[b, l]`, True for members of a set of which at least one holds: −log(1 − ∏(1 − pᵢ)), the likelihood of
            a disjunctive (superset) label as in Cour, Sapp & Taskar, "Learning from Partial Labels" (JMLR 2011).
        label_weight: `[l]`, how much each label counts.
        positive_weight: `[l]`, how much more a positive counts than a negative (class imbalance).
    """
    logits = logits.float()
    known = ~torch.isnan(truth)
    target = torch.where(known, truth, torch.zeros_like(truth))
    per_label = binary_cross_entropy_with_logits(logits, target, pos_weight=positive_weight, reduction="none")
    loss = (per_label * known * label_weight).sum(dim=1)
    harm_weight = label_weight[1:].mean()
    harmless = (truth[:, 0] == 0) * softplus(logits[:, 1:].amax(dim=1))
    return loss + (_disjunction(logits, any_of) + harmless) * harm_weight


def soft_target_loss(logits: Tensor, teacher_logits: Tensor, label_weight: Tensor, temperature: float) -> Tensor:
    """Return the distillation loss per row, float32 `[b]`: cross-entropy to the teacher's softened probabilities.

    Rows or labels whose teacher logit is NaN are masked. Scaled by temperature² so that gradients keep their size
    (Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015), binary per label.
    """
    known = ~torch.isnan(teacher_logits)
    target = torch.sigmoid(torch.where(known, teacher_logits, torch.zeros_like(teacher_logits)) / temperature)
    per_label = binary_cross_entropy_with_logits(logits.float() / temperature, target, reduction="none")
    return (per_label * known * label_weight).sum(dim=1) * temperature**2


def _disjunction(logits: Tensor, any_of: Tensor) -> Tensor:
    """Return −log P(at least one member) per row, 0 for rows without a set; stable for probabilities near 0 and 1."""
    log_none = (logsigmoid(-logits) * any_of).sum(dim=1)
    has_set = any_of.any(dim=1)
    # only what underflows is clamped: a set that the model firmly denies is the one that must keep its gradient
    log_none = torch.where(has_set, log_none, torch.full_like(log_none, -1.0)).clamp(max=-_TINY)
    return -torch.log(-torch.expm1(log_none)) * has_set
