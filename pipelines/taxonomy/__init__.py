"""The refined cyber-violence taxonomy: the only place that knows label names, their order and what they mean.

`configs/taxonomy/*.yaml` is the single source; `load` turns it into a validated, immutable `Taxonomy`.
"""

from pipelines.taxonomy.taxonomy import Action, Harm, Taxonomy, TaxonomyConfig, load

__all__ = ["Action", "Harm", "Taxonomy", "TaxonomyConfig", "load"]
