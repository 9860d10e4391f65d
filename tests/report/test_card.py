"""The model card renders for every kind of corpus, from what a release leaves behind."""

import numpy as np
import pytest
from tiny_bundle import PROVENANCE, make_bundle
from toy_data import make_prepared, make_taxonomy

from pipelines.artifacts.folder import Slot, write_json
from pipelines.evaluate import EvaluateConfig, run
from pipelines.measure.accuracy import AccuracyConfig
from pipelines.measure.baselines import BaselineConfig
from pipelines.measure.evaluation import SERVED
from pipelines.measure.robustness import RobustnessConfig
from pipelines.report.card import render_card
from pipelines.taxonomy import Action

NOTHING = {"value": None, "low": None, "high": None, "n": 3}
MEASURED = {"value": 1.5, "low": 1.2, "high": 1.8, "n": 700}
TAXONOMY = make_taxonomy(fold=Action("折叠", "recall", min_precision=0.8), ban=Action("拦截", "recall", min_recall=0.9))
POINTS = {
    "fold": {"status": "supported", "reason": None, "threshold": 0.8, "n": 9}
    | dict.fromkeys(("precision", "recall", "false_positive_rate"), MEASURED),
    "ban": {"status": "unsupported", "reason": "too few texts", "threshold": None, "n": 9},
}


class Flags:
    """A candidate that flags the texts with a 坏."""

    def predict(self, texts, contexts):
        scores = np.tile([[0.9 if "坏" in text else 0.2] for text in texts], (1, 4)).astype(np.float32)
        return np.log(scores / (1 - scores)), scores


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("card")
    data = make_prepared(folder / "data")
    config = EvaluateConfig(
        AccuracyConfig(0.5, 5, 100, 0),
        BaselineConfig(2, 2, 3.0, 1e-3, 0, 5, 0.5),
        RobustnessConfig(["authored"], ["homophone"], 0.5, 20, 0),
    )
    accuracy = run(config, data, {SERVED: Flags()}, {}, POINTS, TAXONOMY, Slot(folder / "measured", "f")).figures
    bundle = make_bundle(folder)
    write_json(bundle.path / "taxonomy.json", TAXONOMY.to_dict())
    write_json(bundle.path / "operating_points.json", {"actions": POINTS})
    return render_card(header(), manifest(), {"accuracy": accuracy, "latency": latency(), "gate": verdict()}, bundle)


def header() -> dict[str, object]:
    return {"name": "toy", "version": "1.2.3+abc", "licence": "CC-BY-NC-4.0", **PROVENANCE, "commercial_use": False}


def manifest() -> dict[str, object]:
    splits = {split: {"rows": 60} for split in ("train", "validation", "test")}
    news = {"title": "News", "licence": "X", "commercial_use": False, "evaluation_only": False, "splits": splits}
    return {"corpora": {"news": news, "tests": news | {"title": "Tests", "evaluation_only": True}}}


def latency() -> dict[str, object]:
    figures = {
        "single_stream": {"p50_ms": MEASURED, "p90_ms": MEASURED, "p99_ms": NOTHING},
        "offline": {"texts_per_second": MEASURED},
        "load_seconds": MEASURED,
        "peak_memory_mib": MEASURED,
    }
    return {
        "environment": {"cpu": {"model": "a processor"}},
        "settings": {"latency": {"threads": 1}},
        "reference": "torch",
        "runtimes": {"torch": figures, "int8": figures},
        "ratios": {"int8": MEASURED},
    }


def verdict() -> dict[str, object]:
    return {"decision": "pass", "baseline": None}


def test_a_restricted_corpus_is_the_first_thing_said(card: str):
    assert "license: cc-by-nc-4.0" in card
    assert "**Not for commercial use**" in card


def test_figures_of_a_corpus_with_a_bit_of_its_own_stand_beside_the_others(card: str):
    rows = [line for line in card.splitlines() if line.startswith("| news (60 texts)")]
    assert len(rows) == 5  # the candidate and four baselines
    served = next(line for line in rows if SERVED in line)
    assert served.count("–") >= 3  # three figures, each with its interval
    authored = next(line for line in card.splitlines() if line.startswith("| authored (60 texts)") and SERVED in line)
    assert authored.endswith("| – | – |")


def test_operating_points_are_shown_on_test_or_said_to_be_unsupported(card: str):
    assert "unsupported: too few texts" in card
    assert any(line.startswith("| news | `fold` |") for line in card.splitlines())
    assert not any(line.startswith("| forum | `fold` |") for line in card.splitlines())  # it knows no harmless text


def test_what_was_not_validated_or_not_calibrated_is_said(card: str):
    third = next(line for line in card.splitlines() if line.startswith("| `third`"))
    assert "authored data only" in third
    assert "not calibrated" in third


def test_pairs_stances_and_cloaks_are_shown_as_shipped(card: str):
    assert any(line.startswith(f"| authored | {SERVED} |") for line in card.splitlines())
    assert any(line.startswith("| authored | quote |") for line in card.splitlines())
    assert any(line.startswith("| homophone |") for line in card.splitlines())


def test_an_evaluation_only_corpus_is_said_to_be_one(card: str):
    assert "| Tests, evaluation only |" in card
