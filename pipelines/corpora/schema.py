"""The canonical row and the schema of `configs/corpus/*.yaml`: what a corpus says, declared, not programmed."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from datasets import Features, List, Value

from pipelines.settings.errors import UserError, did_you_mean
from pipelines.taxonomy import Taxonomy

SPLITS = ("train", "validation", "test")
AXES_AND_CHANNEL = ("channel", "target", "target_attributes", "role", "severity", "stance")
DIRECT_COLUMNS = ("text", "context", "group", "swap", "slice", *AXES_AND_CHANNEL)
RAW_COLUMNS = (*DIRECT_COLUMNS, "base")  # a perturbed text's original is read for its key alone


@dataclass
class LabelRule:
    """The first rule whose `when` holds decides a row's labels; a row that meets none is rejected.

    Attributes:
        when: raw column → accepted raw values, all of which must hold.
        set: label → 1 or 0; a label not named stays unknown.
        any_of: harms of which at least one holds.
        axes: fixed values of other axes (target, stance, …).
        target_attributes: what the hit group is hit for.
        slice: the corpus's own fine label, reported separately.
        reading: files of the same reading are labelled by this rule (a test file may be annotated more finely).
    """

    when: dict[str, list[str]] = field(default_factory=dict)
    set: dict[str, int] = field(default_factory=dict)
    any_of: list[str] = field(default_factory=list)
    axes: dict[str, str] = field(default_factory=dict)
    target_attributes: list[str] = field(default_factory=list)
    slice: str | None = None
    reading: str = "default"


@dataclass
class CorpusFile:
    """One file of a corpus.

    Attributes:
        split: official split of its rows; null assigns them by hash.
        reading: which rules label it.
        columns: what differs here from the corpus's own `columns`.
        group: incident or thread that all its rows belong to.
        under: in a JSON file, the key whose value is the list of rows.
    """

    path: str
    sha256: str
    split: str | None = None
    reading: str = "default"
    columns: dict[str, str] = field(default_factory=dict)
    group: str | None = None
    under: str | None = None


@dataclass
class Join:
    """A second table whose columns are looked up: parent posts by a shared key, or originals by row number.

    Attributes:
        key: the column both tables share; null matches the row numbers.
        columns: name under which `CorpusConfig.columns` finds a value → column of this table.
    """

    path: str
    sha256: str
    columns: dict[str, str]
    key: str | None = None


@dataclass
class Unlabelled:
    """Text without labels, for pre-training and distillation."""

    path: str
    sha256: str
    columns: list[str]


@dataclass
class AttributeFlags:
    """A raw column that holds one 0 or 1 per group attribute, in this order; read where the rule states a target."""

    column: str
    attributes: list[str]


@dataclass
class Official:
    """The corpus's own binary label, kept for comparison with published figures; `label` is our score for it."""

    column: str
    label: str
    positive: list[str]
    negative: list[str]


@dataclass
class CorpusConfig:
    """Schema of one corpus.

    Attributes:
        folder: name below `corpora.root`, laid out like a clone; in this repository where `repository` is null.
        columns: canonical column → raw column, for the columns a corpus states directly.
        authored: written for this project; its rows lie beside their card, and what only they cover is not validated.
        evaluation_only: never trained or tuned on; every row is a test row.
        keyed_by: raw column with the sha256 of a normalised text. Such a corpus has labels of its own for texts of
            the mixture's other corpora and holds no text; `host` is then the raw column that names the other corpus.
        harm_list: raw column that lists the harms of a row; every other one of `annotated` is 0, the rest unknown.
        overrides: corpora whose rows with the same text give way to this corpus's (outside official test sets).
        validation_share, test_share: hashed shares where the corpus has no official split.
    """

    title: str
    folder: str
    licence: str
    commercial_use: bool
    card: str
    columns: dict[str, str]
    files: list[CorpusFile]
    repository: str | None = None
    commit: str | None = None
    encoding: str = "utf-8-sig"
    constants: dict[str, str] = field(default_factory=dict)
    rules: list[LabelRule] = field(default_factory=list)
    authored: bool = False
    evaluation_only: bool = False
    keyed_by: str | None = None
    host: str | None = None
    harm_list: str | None = None
    annotated: list[str] = field(default_factory=list)
    attribute_flags: AttributeFlags | None = None
    join: Join | None = None
    unlabelled: list[Unlabelled] = field(default_factory=list)
    official: Official | None = None
    overrides: list[str] = field(default_factory=list)
    validation_share: float = 0.0
    test_share: float = 0.0


def features(taxonomy: Taxonomy) -> Features:
    """Return the Arrow types of the canonical row: one nullable int8 column for the root and for every harm."""
    types = {name: Value("string") for name in ("id", "corpus", "split", *DIRECT_COLUMNS, "text_key", "base_key")}
    types |= {name: Value("int8") for name in (*taxonomy.labels, "severity", "official")}
    types |= {name: List(Value("string")) for name in ("any_of", "target_attributes")}
    return Features(types)


def check(name: str, corpus: CorpusConfig, taxonomy: Taxonomy) -> None:
    """Raise UserError where a corpus names a label, axis value, column or rule set that does not exist."""
    where = f"configs/corpus/{name}.yaml"
    for column in (*corpus.columns, *corpus.constants, *(name for file in corpus.files for name in file.columns)):
        if column not in RAW_COLUMNS:
            raise UserError(f"{where}: no canonical column '{column}'.{did_you_mean(column, RAW_COLUMNS)}")
    if (corpus.keyed_by is None) == ("text" not in corpus.columns):
        raise UserError(f"{where}: either columns says which raw column is the text, or keyed_by which is its hash.")
    if (corpus.keyed_by is None) != (corpus.host is None):
        raise UserError(f"{where}: keyed_by needs host, the raw column that names the corpus with the text.")
    for file in corpus.files:
        if corpus.evaluation_only and file.split != "test":
            raise UserError(f"{where}: {file.path}: an evaluation_only corpus has split: test in every file.")
        if file.split is not None and file.split not in SPLITS:
            raise UserError(f"{where}: {file.path}: unknown split '{file.split}'.{did_you_mean(file.split, SPLITS)}")
        readings = {rule.reading for rule in corpus.rules}
        if corpus.harm_list is None and file.reading not in readings:
            near = did_you_mean(file.reading, readings)
            raise UserError(f"{where}: {file.path}: no rules for reading '{file.reading}'.{near}")
    _check_attributes(where, corpus.attribute_flags.attributes if corpus.attribute_flags else (), taxonomy)
    for rule in corpus.rules:
        _check_rule(where, rule, taxonomy)
    if corpus.harm_list and not corpus.annotated:
        raise UserError(f"{where}: annotated must list the harms that {corpus.harm_list} was filled in for.")
    for harm in corpus.annotated:
        if harm not in taxonomy.harms:
            raise UserError(f"{where}: annotated: no harm '{harm}'.{did_you_mean(harm, taxonomy.harms)}")
    if corpus.official:
        taxonomy.index(corpus.official.label)
    if not 0 <= corpus.validation_share + corpus.test_share < 1:
        raise UserError(f"{where}: validation_share + test_share must be at least 0 and below 1.")


def _check_attributes(where: str, names: Iterable[str], taxonomy: Taxonomy) -> None:
    for name in names:
        if name not in taxonomy.group_attributes:
            raise UserError(f"{where}: no group attribute '{name}'.{did_you_mean(name, taxonomy.group_attributes)}")


def _check_rule(where: str, rule: LabelRule, taxonomy: Taxonomy) -> None:
    for label, known in rule.set.items():
        taxonomy.index(label)
        if known not in (0, 1):
            raise UserError(f"{where}: set.{label} must be 1 or 0 (leave a label out when it is unknown), got {known}.")
    for label in rule.any_of:
        if label not in taxonomy.harms:
            raise UserError(f"{where}: any_of: no harm '{label}'.{did_you_mean(label, taxonomy.harms)}")
    _check_attributes(where, rule.target_attributes, taxonomy)
    for axis, value in rule.axes.items():
        if axis not in taxonomy.axes:
            raise UserError(f"{where}: no axis '{axis}'.{did_you_mean(axis, taxonomy.axes)}")
        if value not in taxonomy.axes[axis]:
            raise UserError(f"{where}: {axis}: no value '{value}'.{did_you_mean(value, taxonomy.axes[axis])}")
