"""Load and validate the taxonomy; derive the root from the harms. Stands near the bottom: most nouns read it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.settings.errors import UserError, did_you_mean


@dataclass
class MinimalPair:
    """Two nearly identical texts on either side of the border."""

    violation: str
    harmless: str


@dataclass
class Root:
    """The derived label: any harm."""

    id: str
    zh: str
    en: str
    definition: str


@dataclass
class Harm:
    """One leaf label: what it means, what it excludes, and the rule it comes from."""

    zh: str
    en: str
    tier: str
    definition: str
    exclusion: str
    minimal_pair: MinimalPair
    source: str


@dataclass
class Action:
    """What a platform does at a score, with the constraints its threshold must meet.

    Attributes:
        maximise: the figure to maximise among thresholds that meet the constraints.
        unit: what is scored; only `text` can be calibrated from labelled texts.
        prior: prevalence at which precision is required; null means as found in the data.
    """

    zh: str
    maximise: str
    unit: str = "text"
    min_precision: float | None = None
    min_recall: float | None = None
    max_false_positive_rate: float | None = None
    prior: float | None = None


@dataclass
class TaxonomyConfig:
    """Schema of `configs/taxonomy/*.yaml`."""

    name: str
    version: int
    root: Root
    tiers: dict[str, str]
    harms: dict[str, Harm]
    axes: dict[str, list[str]]
    max_severity: int
    group_attributes: list[str]
    actions: dict[str, Action]
    priors: list[float]


@dataclass(frozen=True)
class Taxonomy:
    """The validated taxonomy. `labels` is the column order of every model, report and bundle: root first."""

    name: str
    version: int
    root: Root
    tiers: Mapping[str, str]
    harms: Mapping[str, Harm]
    axes: Mapping[str, tuple[str, ...]]
    max_severity: int
    group_attributes: tuple[str, ...]
    actions: Mapping[str, Action]
    priors: tuple[float, ...]
    labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", (self.root.id, *self.harms))

    def index(self, label: str) -> int:
        """Return the column of `label`; raise UserError with the nearest name when it does not exist."""
        if label not in self.labels:
            raise UserError(f"taxonomy {self.name}: no label '{label}'.{did_you_mean(label, self.labels)}")
        return self.labels.index(label)

    def derive_root(self, harms: Mapping[str, int | None], stated: int | None = None) -> int | None:
        """Return the root value for one row: 1 if any harm is 1, 0 if all are known to be 0, else what was `stated`.

        Raises:
            ValueError: the row states no violation but carries a harm.
        """
        values = [harms.get(name) for name in self.harms]
        if 1 in values:
            if stated == 0:
                raise ValueError(f"{self.root.id} is 0 but a harm is 1")
            return 1
        if stated is None and all(value == 0 for value in values):
            return 0
        return stated

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for `taxonomy.json`; label order is explicit because JSON objects promise none."""
        plain = asdict(self)
        plain["labels"] = list(self.labels)
        plain["axes"] = {name: list(values) for name, values in self.axes.items()}
        plain["group_attributes"] = list(self.group_attributes)
        plain["priors"] = list(self.priors)
        return plain


def load(config: TaxonomyConfig) -> Taxonomy:
    """Validate `config` and return the taxonomy.

    Raises:
        UserError: a name is not an identifier, a tier is unknown, a text is empty, or an action can't be calibrated.
    """
    for name, harm in config.harms.items():
        _check_harm(config, name, harm)
    if not config.harms:
        raise UserError(f"taxonomy {config.name}: it has no harms.")
    for name, action in config.actions.items():
        _check_action(config, name, action)
    if any(not 0 < prior < 1 for prior in config.priors):
        raise UserError(f"taxonomy {config.name}: priors must lie between 0 and 1, got {config.priors}.")
    return Taxonomy(
        name=config.name,
        version=config.version,
        root=config.root,
        tiers=dict(config.tiers),
        harms=dict(config.harms),
        axes={name: tuple(values) for name, values in config.axes.items()},
        max_severity=config.max_severity,
        group_attributes=tuple(config.group_attributes),
        actions=dict(config.actions),
        priors=tuple(config.priors),
    )


def _check_harm(config: TaxonomyConfig, name: str, harm: Harm) -> None:
    where = f"taxonomy {config.name}, harm '{name}'"
    if not name.isidentifier() or name == config.root.id:
        raise UserError(f"{where}: a harm's id must be an identifier and differ from the root's.")
    if harm.tier not in config.tiers:
        raise UserError(f"{where}: unknown tier '{harm.tier}'.{did_you_mean(harm.tier, config.tiers)}")
    texts = {key: getattr(harm, key) for key in ("zh", "en", "definition", "exclusion", "source")}
    texts |= {f"minimal_pair.{key}": getattr(harm.minimal_pair, key) for key in ("violation", "harmless")}
    for key, text in texts.items():
        if not text.strip():
            raise UserError(f"{where}: '{key}' is empty.")


def _check_action(config: TaxonomyConfig, name: str, action: Action) -> None:
    where = f"taxonomy {config.name}, action '{name}'"
    if action.maximise not in ("recall", "precision"):
        raise UserError(f"{where}: maximise must be recall or precision, got '{action.maximise}'.")
    limits = (action.min_precision, action.min_recall, action.max_false_positive_rate)
    if all(limit is None for limit in limits):
        raise UserError(f"{where}: give at least one of min_precision, min_recall, max_false_positive_rate.")
    for value in (*limits, action.prior):
        if value is not None and not 0 < value < 1:
            raise UserError(f"{where}: limits and prior must lie between 0 and 1, got {value}.")
