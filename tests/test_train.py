"""The command line: what a person sees on a typo, a missing corpus, `--help`, and what a machine reads on stdout."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import train as entry

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path):
    """Run the entry point in this process, from an empty working directory; return code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        code = 0
        try:
            entry.main()
        except SystemExit as leaving:
            code = leaving.code
        told = capfd.readouterr()
        return SimpleNamespace(returncode=code, stdout=told.out, stderr=told.err)

    return run


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
        (["+mixture.weights.cold=1"], "no corpus 'cold'"),
    ],
)
def test_a_mistake_is_named_at_once_with_the_remedy(train, arguments: list[str], expected: str, tmp_path: Path) -> None:
    done = train(*arguments, "output=out")
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out" / "prepare").exists()


def test_a_missing_corpus_says_what_to_clone_and_where(train, tmp_path: Path) -> None:
    done = train("pipeline=prepare", "mixture=public", f"corpora.root={tmp_path}", "output=out")
    assert done.returncode == 2
    assert "thu-coai/COLDataset" in done.stderr
    assert "corpora.root" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", ["release", "prepare", "finetune", "gate", "publish"])
def test_help_tells_what_a_verb_does_and_its_options(train, verb: str) -> None:
    done = train(f"pipeline={verb}", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{verb}: ")
    assert "python train.py" in done.stdout
    assert "corpora.root" in done.stdout
    assert "experiment: embedded, hub, public, quick" in done.stdout


def test_a_verb_alone_ends_with_its_json_line(train, tmp_path: Path) -> None:
    done = train("pipeline=prepare", "output=out")
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    told = json.loads(line)
    assert line == json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    assert told["verb"] == "prepare"
    assert told["metrics"]["train"] > 1000
    assert (tmp_path / told["artifact"] / "artifact.json").is_file()
    assert not Path(told["artifact"]).is_absolute()


def test_a_step_that_stands_is_not_made_again(train, tmp_path: Path) -> None:
    first = train("pipeline=prepare", "output=out")
    second = train("pipeline=prepare", "output=out")
    other = train("pipeline=prepare", "output=out", "corpora.max_characters=100")
    assert "already made" in second.stderr
    assert first.stdout == second.stdout
    assert "starting" in other.stderr
    assert json.loads(other.stdout)["artifact"] != json.loads(first.stdout)["artifact"]


def test_the_script_itself_stops_with_2_and_no_traceback(train) -> None:
    command = [sys.executable, str(ROOT / "train.py"), "pipelin=prepare"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: 'pipelin'")


def test_a_sweep_runs_every_job(train, tmp_path: Path) -> None:
    done = train("--multirun", "pipeline=prepare", "output=out", "corpora.max_characters=100,200")
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("{")]) == 2


def test_a_search_resumes_and_its_best_becomes_an_experiment(
    train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(entry.CONFIGS, configs)
    monkeypatch.setattr(entry, "CONFIGS", configs)
    search = [
        "--multirun",
        "hydra/sweeper=optuna",
        "pipeline=prepare",
        "output=out",
        "objective=rejected",
        "hydra.sweeper.direction=minimize",
        "hydra.sweeper.study=study.journal",
        "hydra.sweeper.save=best",
        "corpora.max_bad_share=1.0",
        "corpora.max_characters=choice(20,5000)",
    ]

    def runs(done: SimpleNamespace) -> int:
        return len([line for line in done.stdout.splitlines() if line.startswith("{")])

    first = train(*search, "hydra.sweeper.trials=2")
    assert first.returncode == 0, first.stderr
    assert runs(first) == 2
    assert runs(train(*search, "hydra.sweeper.trials=2")) == 0
    assert runs(train(*search, "hydra.sweeper.trials=5")) == 3
    best = yaml.safe_load((configs / "experiment" / "best.yaml").read_text(encoding="utf-8"))
    assert best["corpora"] == {"max_bad_share": 1.0, "max_characters": 5000}
    assert train("experiment=best", "--help").returncode == 0


def test_a_search_says_what_it_lacks(train, tmp_path: Path) -> None:
    common = ["--multirun", "hydra/sweeper=optuna", "pipeline=prepare", "output=out"]
    nothing = train(*common)
    assert nothing.returncode != 0
    assert "nothing to search over" in nothing.stderr
    no_such = train(*common, "objective=accuracy", "corpora.max_characters=range(100,300)", "hydra.sweeper.trials=1")
    assert no_such.returncode != 0
    assert "set objective=NAME" in no_such.stderr
