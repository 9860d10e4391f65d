"""Small corpora of our own, in the real corpora's formats, read through the real `configs/corpus/*.yaml`."""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.corpora.keyed import key_sha256
from pipelines.corpora.normalise import text_key
from pipelines.corpora.read import Rejection, read_corpus
from pipelines.corpora.schema import CorpusConfig
from pipelines.corpora.source import CorporaConfig
from pipelines.prepare import MixtureConfig
from pipelines.settings.compose import compose
from pipelines.taxonomy import Taxonomy, TaxonomyConfig, load

REPOSITORY = Path(__file__).resolve().parent.parent
CONFIGS = REPOSITORY / "configs"
SHARED = REPOSITORY.parent / "shared" / "corpora"

COLD = "COLDataset/COLDataset/{}.csv"
TOXICN = "ToxiCN/ToxiCN_ex/ToxiCN/data/{}.json"
SWSR = "SWSR/SWSR/{}.csv"
PANDA = "PANDA/panda_dataset.tsv"
OWN_ROWS = 'corpus.authored.files=[{path:rows.jsonl,sha256:""}]'

OWN = {"authored": "own", "natural": "natural", "cv_check": "cv_check"}

COLD_HEADER = ("", "split", "topic", "label", "TEXT")
COLD_TEST_HEADER = ("", "split", "topic", "label", "fine-grained-label", "TEXT")
COMMENT_HEADER = (
    "index",
    "weibo_id",
    "comment_text",
    "gender",
    "location",
    "like",
    "date",
    "label",
    "category",
    "target",
)
WEIBO_HEADER = ("weibo_id", "weibo_text", "keyword", "user_gender", "weibo_date")
PANDA_HEADER = ("hatespeech", "hateScore", "userEnteredResponse", *(f"generatedResponse{n}" for n in range(1, 5)))

Row = dict[str, Any]


@dataclass
class Config:
    """The part of the configuration that prepares data."""

    output: str
    taxonomy: TaxonomyConfig
    corpora: CorporaConfig
    corpus: dict[str, CorpusConfig]
    mixture: MixtureConfig


@dataclass
class Setting:
    """One composed configuration and its taxonomy."""

    config: Config
    taxonomy: Taxonomy

    def at(self, root: Path) -> "Setting":
        """Return the same with the corpora below `root`, those of this repository too."""
        known = {
            name: corpus if corpus.repository else replace(corpus, folder=str(root / OWN[name]))
            for name, corpus in self.config.corpus.items()
        }
        corpora = replace(self.config.corpora, root=str(root))
        return Setting(replace(self.config, corpora=corpora, corpus=known), self.taxonomy)

    def read(self, name: str) -> tuple[list[Row], list[Rejection]]:
        """Read one corpus of it."""
        return read_corpus(name, self.config.corpus[name], self.config.corpora, self.taxonomy)


def copy_configs(folder: Path, mixture: str = "public") -> Path:
    """Copy the configuration groups that `prepare` needs, with a table of contents that names only them."""
    for group in ("taxonomy", "corpora", "corpus", "mixture"):
        shutil.copytree(CONFIGS / group, folder / group)
    groups = f"{{taxonomy: cyber_violence}}, {{mixture: {mixture}}}, {{corpora: default}}"
    (folder / "train.yaml").write_text(f"defaults: [schema, {groups}, _self_]\noutput: artifacts\n", encoding="utf-8")
    return folder


def make_setting(configs: Path, *overrides: str) -> Setting:
    """Compose what `copy_configs` copied."""
    config = compose(Config, configs, overrides)
    return Setting(config, load(config.taxonomy))


def make_tiny_setting(configs: Path, root: Path, *overrides: str) -> Setting:
    """Compose for the corpora that this module wrote below `root`, hashes unchecked."""
    setting = make_setting(configs, "corpora.verify=false", OWN_ROWS, *overrides)
    return setting.at(root)


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]], bom: bool = True) -> None:
    """Write a CSV (or TSV, by its name) as the real corpora's are: with a byte order mark, quoted where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([header, *rows])


def write_cold(
    root: Path,
    train: Sequence[tuple[Any, str]] = (),
    dev: Sequence[tuple[Any, str]] = (),
    test: Sequence[tuple[Any, Any, str]] = (),
) -> None:
    """Write COLD's three files: rows are (label, text), test rows (label, fine-grained label, text)."""
    for split, rows in (("train", train), ("dev", dev)):
        table = [(number, split, "race", label, text) for number, (label, text) in enumerate(rows)]
        write_table(root / COLD.format(split), COLD_HEADER, table)
    table = [(number, "test", "race", *row) for number, row in enumerate(test)]
    write_table(root / COLD.format("test"), COLD_TEST_HEADER, table)


def toxicn_row(text: str, toxic: int = 0, toxic_type: int = 0, expression: int = 0, target: Sequence[int] = ()) -> Row:
    """Return one row as ToxiCN's JSON holds it."""
    labels = {"toxic": toxic, "toxic_type": toxic_type, "expression": expression, "target": list(target) or [0] * 5}
    return {"platform": "tieba", "topic": "region", "content": text, "length": len(text)} | labels


def write_toxicn(root: Path, train: Sequence[Row] = (), test: Sequence[Row] = ()) -> None:
    """Write ToxiCN's two JSON files."""
    for split, rows in (("train", train), ("test", test)):
        path = root / TOXICN.format(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def write_swsr(root: Path, comments: Sequence[tuple[str, str, Any, str, str]], weibos: Mapping[str, str]) -> None:
    """Write SWSR's pair of files: comments are (weibo id, text, label, category, target)."""
    table = [
        (number, weibo, text, "女", "北京", 0, "01/01/2020 10:00", label, category, target)
        for number, (weibo, text, label, category, target) in enumerate(comments)
    ]
    write_table(root / SWSR.format("SexComment"), COMMENT_HEADER, table)
    posts = [(weibo, text, "", "男", "2020-01-01") for weibo, text in weibos.items()]
    write_table(root / SWSR.format("SexWeibo"), WEIBO_HEADER, posts)


def write_panda(root: Path, rows: Sequence[tuple[str, Any, str]]) -> None:
    """Write PANDA's TSV: rows are (text, score, reply)."""
    table = [(text, score, reply, *(f"{reply}{n}" for n in range(1, 5))) for text, score, reply in rows]
    write_table(root / PANDA, PANDA_HEADER, table, bom=False)


def authored_row(text: Any, harms: Any = (), **others: Any) -> Row:
    """Return one row as the authored files hold it."""
    row = {
        "text": text,
        "context": None,
        "channel": "comment",
        "harms": list(harms),
        "implicit": False,
        "target": "none",
    }
    row |= {"target_attributes": [], "role": "none", "severity": 0, "stance": "none", "pair": None}
    return row | others


def write_authored(root: Path, rows: Sequence[Row]) -> None:
    """Write one authored file, which `OWN_ROWS` reads instead of the repository's own."""
    (root / "own").mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (root / "own" / "rows.jsonl").write_text("".join(lines), encoding="utf-8")


def write_lines(path: Path, rows: Sequence[Row]) -> None:
    """Write JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def natural_row(host: str, text: str, harms: Sequence[str] = (), **others: Any) -> Row:
    """Return one annotation of a text that the corpus `host` holds, as the natural layer keeps it: without the text."""
    row = {"corpus": host, "text_sha256": key_sha256(text_key(text)), "chosen": "random", "harms": list(harms)}
    row |= {"target": "individual" if harms else "none", "target_attributes": [], "role": "none", "stance": "none"}
    return row | {"severity": 2 if harms else 0} | others


def write_natural(root: Path, rows: Sequence[Row]) -> None:
    """Write the annotation layer."""
    write_lines(root / "natural" / "rows.jsonl", rows)


def write_cases(root: Path, rows: Sequence[Row]) -> None:
    """Write the functional suite: authored rows with `cell`, `twin` and `swap` in place of `pair`."""
    defaults = {"cell": "plain", "twin": None, "swap": None}
    write_lines(root / "cv_check" / "cases.jsonl", [defaults | row for row in rows])


def write_public(root: Path, size: int = 8) -> None:
    """Write every corpus of the mixture `public` with `size` rows per file, every text different.

    The annotation layer is empty: `write_natural` fills it.
    """
    texts = (f"自拟样句第{number}号" for number in range(10_000))
    write_natural(root, [])
    write_cases(root, [authored_row(next(texts), ["threat"] * (n % 2)) for n in range(size)])
    write_cold(
        root,
        train=[(n % 2, next(texts)) for n in range(size)],
        dev=[(n % 2, next(texts)) for n in range(size)],
        test=[(int(n % 4 in (1, 2)), n % 4, next(texts)) for n in range(size)],
    )
    kinds = [(0, 0, 0), (1, 1, 0), (1, 2, 1), (1, 2, 2), (1, 2, 3)]
    rows = [toxicn_row(next(texts), *kinds[n % 5]) for n in range(2 * size)]
    write_toxicn(root, rows[:size], rows[size:])
    labels = [(0, "", ""), (1, "SO", "I"), (1, "SA", "G")]
    comments = [(f"w{n // 2}", next(texts), *labels[n % 3]) for n in range(size)]
    write_swsr(root, comments, {f"w{n}": next(texts) for n in range(size // 2)})
    write_panda(root, [(next(texts), n % 3 - 1, next(texts)) for n in range(size)])
    write_authored(root, [authored_row(next(texts), ["threat"] * (n % 2)) for n in range(size)])
