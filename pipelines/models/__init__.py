"""Encoders, their tokenizer, losses that respect what is unknown, and the folds that keep an exported model plain."""

from pipelines.models.checkpoint import Checkpoint

__all__ = ["Checkpoint"]
