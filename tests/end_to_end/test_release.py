"""The whole chain as a user runs it: one command, one bundle; killed, run again, opened by others."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import onnxruntime
import pytest
import tokenizers
from transformers import pipeline

from pipelines.bundle.manifest import verify
from pipelines.bundle.runtime import Classifier

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("experiment=quick", "output=out")

pytestmark = pytest.mark.slow


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *QUICK, *arguments]


def train(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=900, check=False)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a release was killed while fine-tuning and then run again to its end."""
    folder = tmp_path_factory.mktemp("release")
    running = subprocess.Popen(command(), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(folder.glob("out/finetune/*.partial/scratch/checkpoint-*/trainer_state.json")):
        assert running.poll() is None, "the release ended before it could be killed"
        assert time.monotonic() < deadline, "fine-tuning wrote no checkpoint"
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not list(folder.glob("out/finetune/*/artifact.json")), "a killed step must not look finished"
    done = train(folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout, encoding="utf-8")
    (folder / "stderr").write_text(done.stderr, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bundle(workspace: Path) -> Path:
    told = json.loads((workspace / "stdout").read_text(encoding="utf-8").splitlines()[-1])
    assert told["verb"] == "release"
    assert told["metrics"]["alias"] == "champion"
    return workspace / told["artifact"]


def test_a_killed_run_continues_and_repeats_nothing_finished(workspace: Path) -> None:
    told = (workspace / "stderr").read_text(encoding="utf-8")
    assert "prepare: already made" in told
    assert "finetune: starting" in told
    first_evaluation = next(line for line in told.splitlines() if line.startswith("finetune: epoch"))
    assert not first_evaluation.startswith("finetune: epoch 1.00"), "it began anew instead of at its checkpoint"


def test_a_second_run_has_nothing_to_do(workspace: Path, bundle: Path) -> None:
    again = train(workspace)
    assert again.returncode == 0, again.stderr
    assert "starting" not in again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["artifact"] == str(bundle.relative_to(workspace))


def test_the_bundle_is_whole_and_says_what_it_is(bundle: Path) -> None:
    manifest = verify(bundle)
    assert manifest["mixture"] == "authored"
    assert manifest["commercial_use"] is True
    for name in ("README.md", "measurements.json", "onnx/model.onnx", "onnx/model_quantized.onnx", "taxonomy.json"):
        assert name in manifest["files"]
    card = (bundle / "README.md").read_text(encoding="utf-8")
    assert "authored data only" in card
    config = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    taxonomy = json.loads((bundle / "taxonomy.json").read_text(encoding="utf-8"))
    assert [config["id2label"][str(index)] for index in range(len(taxonomy["labels"]))] == taxonomy["labels"]


def test_four_readers_give_the_same_scores(bundle: Path) -> None:
    texts = ["你就是个废物", "这破手机就是个废物", "家人们别去他评论区刷屏"]
    ours = Classifier.load(bundle, file="onnx/model.onnx").predict(texts)
    session = onnxruntime.InferenceSession(str(bundle / "onnx/model.onnx"), providers=["CPUExecutionProvider"])
    tokenizer = tokenizers.Tokenizer.from_file(str(bundle / "tokenizer.json"))
    for text, expected in zip(texts, ours.probabilities, strict=True):
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        (found,) = session.run(["probabilities"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        np.testing.assert_allclose(found[0], expected, atol=1e-5)
    classify = pipeline("text-classification", model=str(bundle), top_k=None, function_to_apply="sigmoid")
    labels = json.loads((bundle / "taxonomy.json").read_text(encoding="utf-8"))["labels"]
    for scores, logits in zip(classify(texts), ours.logits, strict=True):
        by_label = {score["label"]: score["score"] for score in scores}
        np.testing.assert_allclose([by_label[label] for label in labels], 1 / (1 + np.exp(-logits)), atol=1e-4)
    assert (ours.probabilities[:, :1] >= ours.probabilities[:, 1:]).all()


def test_the_run_and_the_model_are_in_mlflow(workspace: Path) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{workspace / 'out' / 'mlflow.db'}")
    runs = mlflow.search_runs(experiment_names=["qinglang"], output_format="list")
    parents = [
        run for run in runs if run.data.tags.get("mlflow.runName") == "release" and run.info.status == "FINISHED"
    ]
    steps = {run.data.tags["mlflow.runName"] for run in runs if "mlflow.parentRunId" in run.data.tags}
    assert parents
    assert {
        "prepare",
        "finetune",
        "distill",
        "calibrate",
        "export",
        "evaluate",
        "benchmark",
        "gate",
        "publish",
    } <= steps
    assert str(mlflow.MlflowClient().get_model_version_by_alias("qinglang-quick", "champion").version) == "1"


def test_a_worse_candidate_fails_the_gate_and_stays_a_candidate(workspace: Path) -> None:
    done = train(workspace, "gate.accuracy.floors={authored: 0.99}", "publish.version=0.1.1")
    assert done.returncode == 1
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["metrics"]["alias"] == "candidate"
    mlflow.set_tracking_uri(f"sqlite:///{workspace / 'out' / 'mlflow.db'}")
    assert str(mlflow.MlflowClient().get_model_version_by_alias("qinglang-quick", "champion").version) == "1"


def test_an_artifact_from_elsewhere_can_take_a_steps_place(workspace: Path, tmp_path: Path) -> None:
    made = next(path.parent for path in (workspace / "out" / "calibrate").glob("*/artifact.json"))
    done = train(tmp_path, "pipeline=export", f"inputs.calibrate={made}")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out" / "finetune").exists()
    assert (tmp_path / json.loads(done.stdout)["artifact"] / "manifest.json").is_file()
