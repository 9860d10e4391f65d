"""Labelled comments in one canonical schema: the declarative reader, normalisation, leak-safe splits, label matrices.

Unknown is null here and never becomes 0. Adding a corpus is one YAML in `configs/corpus/` and one card in
`data_cards/`.
"""

from pipelines.corpora.prepared import PreparedData

__all__ = ["PreparedData"]
