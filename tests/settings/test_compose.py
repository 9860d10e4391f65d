"""A wrong override is refused before anything runs, and the message says what was meant."""

from pathlib import Path

import pytest
from tiny_corpora import Config, copy_configs

from pipelines.settings.compose import compose, documented_keys
from pipelines.settings.errors import UserError, did_you_mean


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_configs(tmp_path_factory.mktemp("configs"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("corpora.rot=x", "corpora has no 'rot'. Did you mean 'root'?"),
        ("+corpora.rot=x", "corpora has no 'rot'. Did you mean 'root'?"),
        ("++corpora.rot=x", "corpora has no 'rot'. Did you mean 'root'?"),
        ("~corpora.rot", "corpora has no 'rot'. Did you mean 'root'?"),
        ("corpora.rot=x,y", "corpora has no 'rot'. Did you mean 'root'?"),
        ("+outptu=x", "the configuration has no 'outptu'. Did you mean 'output'?"),
        ("mixure=public", "the configuration has no 'mixure'. Did you mean 'mixture'?"),
        ("+taxonmy=cyber_violence", "the configuration has no 'taxonmy'. Did you mean 'taxonomy'?"),
        ("taxonomy.harms.insult.tire=x", "taxonomy.harms.insult has no 'tire'. Did you mean 'tier'?"),
        ("corpora.root.deep=1", "'corpora.root' is a plain value and has no 'deep'"),
        ("corpus.clod.title=x", "'corpus.clod': no such key yet. Did you mean 'cold'?"),
        ("mixture.weights.panada=1", "Did you mean 'panda'? To add it, write +mixture.weights.panada=VALUE"),
        ("corpus.cold.files=[{path: a, sha: b}]", "'sha': no such key. Did you mean 'sha256'?"),
        ("hydra.jb.chdir=true", "'hydra.jb': no such key. Did you mean 'job'?"),
        ("corpora.max_characters=many", "'corpora.max_characters': Value 'many' of type 'str' could not be converted"),
        ("corpora.max_bad_share=[1, 2]", "'corpora.max_bad_share': Value '[1, 2]' of type 'list'"),
        ("corpora.verify=perhaps", "'corpora.verify': Value 'perhaps' is not a valid bool"),
        ("corpora.max_bad_share=null", "'corpora.max_bad_share'"),
        ("corpora.root=???", "'corpora.root' has no value. Set it as corpora.root=VALUE"),
        ("corpora.root=${nothing}", "'corpora.root': Interpolation key 'nothing' not found"),
        ("mixture=pubic", "configuration group 'mixture' has no option 'pubic'. Did you mean 'public'?"),
        ("mixture=pubic,authored", "configuration group 'mixture' has no option 'pubic'. Did you mean 'public'?"),
        ("mixture=null", "Config group override must be a string or a list"),
        ("corpora", "override 'corpora'"),
        ("corpora.root='", "override 'corpora.root='"),
    ],
)
def test_wrong_override(override: str, message: str, configs: Path) -> None:
    with pytest.raises(UserError) as caught:
        compose(Config, configs, [override])
    assert message in str(caught.value)


def test_right_overrides_reach_the_typed_object(configs: Path) -> None:
    overrides = [
        "mixture=authored",
        "corpora.root=a folder",
        "corpora.max_bad_share=1",
        "+corpus.authored.constants.role=none",
    ]
    config = compose(Config, configs, overrides)
    assert isinstance(config, Config)
    assert list(config.corpus) == ["authored", "cv_check"]
    assert (config.corpora.root, config.corpora.max_bad_share) == ("a folder", 1.0)
    assert config.corpora.cache == "artifacts/downloads"
    assert config.corpus["authored"].constants == {"role": "none"}


@pytest.mark.parametrize(
    ("sweep", "first"),
    [
        ("corpora.max_characters=7,8", 7),
        ("corpora.max_characters=choice(7, 8)", 7),
        ("corpora.max_characters=range(7, 9)", 7),
        ("corpora.max_characters=interval(7, 9)", 5000),
        ("mixture=glob(*)", 5000),
        ("++corpora.max_characters=7,8", 7),
    ],
)
def test_sweep_is_checked_before_its_first_job(sweep: str, first: int, configs: Path) -> None:
    assert compose(Config, configs, [sweep]).corpora.max_characters == first


def test_composing_twice_gives_the_same(configs: Path) -> None:
    assert compose(Config, configs) == compose(Config, configs)


def test_help_lists_every_key_with_type_and_value(configs: Path) -> None:
    listed = {key: (kind, value) for key, kind, value in documented_keys(Config, compose(Config, configs))}
    assert listed["corpora.max_characters"] == ("int", 5000)
    assert listed["corpora.root"] == ("str | None", None)
    assert listed["mixture.name"] == ("str", "public")


def test_far_name_lists_what_is_valid() -> None:
    assert did_you_mean("zzz", ["one", "two", "one"]) == " Valid: one, two."
    assert did_you_mean("zzz", []) == ""
