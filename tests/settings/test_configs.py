"""Every YAML in `configs/` composes, found by walking the folder: a new file can't be forgotten."""

from pathlib import Path

import pytest
from tiny_corpora import CONFIGS, copy_configs
from tiny_corpora import Config as PrepareConfig

from pipelines.corpora.schema import check
from pipelines.release import Config
from pipelines.settings.compose import compose
from pipelines.settings.errors import UserError
from pipelines.taxonomy import load

FILES = sorted(path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.rglob("*.yaml"))
OPTIONS = [file for file in FILES if "/" in file]
MEMBERS = ("corpus", "runtime")  # groups of which a run takes several, so they are added, not chosen


def selecting(file: str) -> str:
    """Return the override that puts one file of a group into the configuration."""
    group, option = file.rsplit("/", 1)
    return f"+{group}={option}" if group in MEMBERS else f"{group}={option}"


def test_the_table_of_contents_is_the_only_file_outside_a_group() -> None:
    assert [file for file in FILES if "/" not in file] == ["train"]


def test_default_configuration() -> None:
    config = compose(Config, CONFIGS)
    assert config.pipeline == "release"
    assert set(config.mixture.weights) == {"authored"}  # nothing to download


@pytest.mark.parametrize("file", OPTIONS)
def test_option_composes_to_sound_values(file: str) -> None:
    overrides = [selecting(file)]
    if file.startswith("corpus/"):
        overrides = [f"corpus={file.split('/')[1]}"]
    config = compose(Config, CONFIGS, overrides)
    taxonomy = load(config.taxonomy)
    for name, corpus in config.corpus.items():
        check(name, corpus, taxonomy)
    group, option = file.split("/")
    if group == "corpus":
        assert list(config.corpus) == [option]
    if group == "runtime":
        assert option in config.benchmark.runtimes
    if group == "mixture":
        assert config.mixture.name == option
        assert {*config.mixture.weights, *config.mixture.evaluation} == set(config.corpus)


@pytest.mark.parametrize("file", [file for file in OPTIONS if file.startswith("experiment/")])
def test_experiment_opens_with_its_command(file: str) -> None:
    head = (CONFIGS / f"{file}.yaml").read_text(encoding="utf-8").splitlines()[:8]
    assert any(line.startswith("#") and f"experiment={file.split('/')[1]}" in line for line in head)


@pytest.mark.parametrize("file", OPTIONS)
def test_nearest_option_is_named(file: str) -> None:
    group, option = file.split("/")
    with pytest.raises(UserError) as caught:
        compose(Config, CONFIGS, [f"{selecting(file)}x"])
    assert f"group '{group}' has no option '{option}x'" in str(caught.value)
    assert "Did you mean" in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("finetune.training.epohcs=1", "finetune.training has no 'epohcs'. Did you mean 'epochs'?"),
        ("+encoder.hiden=1", "encoder has no 'hiden'. Did you mean 'hidden'?"),
        ("pipelin=prepare", "has no 'pipelin'. Did you mean 'pipeline'?"),
        ("seed=abc", "'seed': Value 'abc' of type 'str' could not be converted to Integer"),
        ("inputs.prepar=x", "inputs has no 'prepar'. Did you mean 'prepare'?"),
    ],
)
def test_wrong_override_of_the_real_configuration(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        compose(Config, CONFIGS, [override])
    assert message in str(caught.value)


def test_no_file_can_make_code_run() -> None:
    for file in FILES:
        assert "_target_" not in (CONFIGS / f"{file}.yaml").read_text(encoding="utf-8")


def test_every_file_has_a_comment() -> None:
    for file in FILES:
        assert "#" in (CONFIGS / f"{file}.yaml").read_text(encoding="utf-8"), f"configs/{file}.yaml has no comment"


def test_a_new_corpus_needs_one_file(tmp_path: Path) -> None:
    configs = copy_configs(tmp_path, "authored")
    text = (configs / "corpus" / "panda.yaml").read_text(encoding="utf-8")
    (configs / "corpus" / "another.yaml").write_text(text.replace("corpus.panda", "corpus.another"), encoding="utf-8")
    config = compose(PrepareConfig, configs, ["+corpus=another", "+mixture.weights.another=1"])
    assert set(config.corpus) == {"authored", "cv_check", "another"}
