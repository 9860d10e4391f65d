"""The command line: what a person sees on a typo, a missing corpus, `--help`, and what a machine reads on stdout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def train(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["finetune.training.learning_rat=1"], "Did you mean 'learning_rate'?"),
        (["+gate.accuracy.marginpoints=1"], "Did you mean 'margin_points'?"),
        (["experimnt=public"], "Did you mean 'experiment'?"),
        (["experiment=publik"], "Did you mean 'public'?"),
        (["pipeline=finetuen"], "Did you mean 'finetune'?"),
        (["finetune.training.epochs=many"], "'many'"),
        (["publish.version=one"], "MAJOR.MINOR.PATCH"),
        (["mixture.weights={cold: 1}"], "no corpus 'cold'"),
    ],
)
def test_a_mistake_is_named_at_once_with_the_remedy(arguments: list[str], expected: str, tmp_path: Path) -> None:
    done = train(*arguments, f"output={tmp_path / 'out'}")
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out" / "prepare").exists()


def test_a_missing_corpus_says_what_to_clone_and_where(tmp_path: Path) -> None:
    done = train("pipeline=prepare", "mixture=public", f"corpora.root={tmp_path}", f"output={tmp_path / 'out'}")
    assert done.returncode == 2
    assert "thu-coai/COLDataset" in done.stderr
    assert "corpora.root" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["release", "prepare", "finetune", "gate", "publish"])
def test_help_tells_what_a_verb_does_and_its_options(verb: str) -> None:
    done = train(f"pipeline={verb}", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{verb}: ")
    assert "python train.py" in done.stdout
    assert "corpora.root" in done.stdout
    assert "experiment: hub, public, quick" in done.stdout


def test_a_verb_alone_ends_with_its_json_line(tmp_path: Path) -> None:
    done = train("pipeline=prepare", "output=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    told = json.loads(line)
    assert line == json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    assert told["verb"] == "prepare"
    assert told["metrics"]["train"] > 1000
    assert (tmp_path / told["artifact"] / "artifact.json").is_file()
    assert not os.path.isabs(told["artifact"])


def test_a_step_that_stands_is_not_made_again(tmp_path: Path) -> None:
    first = train("pipeline=prepare", "output=out", cwd=tmp_path)
    second = train("pipeline=prepare", "output=out", cwd=tmp_path)
    other = train("pipeline=prepare", "output=out", "corpora.max_characters=100", cwd=tmp_path)
    assert "already made" in second.stderr
    assert first.stdout == second.stdout
    assert "starting" in other.stderr
    assert json.loads(other.stdout)["artifact"] != json.loads(first.stdout)["artifact"]


def test_a_sweep_runs_every_job(tmp_path: Path) -> None:
    done = train("--multirun", "pipeline=prepare", "output=out", "corpora.max_characters=100,200", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("{")]) == 2
