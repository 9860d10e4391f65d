"""The optimizer of our own sizes: Muon where a weight is a matrix of the encoder, AdamW for everything else.

Muon: Jordan et al., 2024; its update is scaled to AdamW's RMS as in Liu et al., "Muon is Scalable for LLM Training",
2025, so that both parts can share one schedule. On short budgets it learns a small encoder clearly faster (LOG.md).
"""

from typing import Any

from torch import nn
from torch.optim import AdamW, Muon, Optimizer


class MuonAdamW(Optimizer):
    """Two optimizers behind one interface; the schedule scales both learning rates alike."""

    def __init__(self, model: nn.Module, learning_rate: float, muon_learning_rate: float, weight_decay: float) -> None:
        matrices, vectors, others = _groups(model)
        self.parts: list[Optimizer] = [
            Muon(matrices, lr=muon_learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            AdamW(
                [{"params": others, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}],
                lr=learning_rate,
                betas=(0.9, 0.98),
            ),
        ]
        super().__init__([*matrices, *others, *vectors], {})
        self._share_groups()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update all parameters."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return both optimizers' states."""
        return {str(index): part.state_dict() for index, part in enumerate(self.parts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both optimizers' states."""
        for index, part in enumerate(self.parts):
            part.load_state_dict(state_dict[str(index)])
        self._share_groups()

    def _share_groups(self) -> None:
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def _groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Return the encoder's matrices, all vectors, and the remaining (embedding and head) matrices."""
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        group = vectors if parameter.ndim < 2 else matrices if "encoder.layer" in name else others
        group.append(parameter)
    return matrices, vectors, others
