"""A corpus file that names what does not exist is refused with the nearest valid name, before a row is read."""

from collections.abc import Callable

import pytest
from tiny_corpora import Setting

from pipelines.corpora.schema import check
from pipelines.settings.errors import UserError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+corpus.panda.columns.txet=hatespeech", "no canonical column 'txet'. Did you mean 'text'?"),
        (
            "~corpus.panda.columns.text",
            "either columns says which raw column is the text, or keyed_by which is its hash",
        ),
        ("+corpus.panda.constants.chanel=post", "no canonical column 'chanel'. Did you mean 'channel'?"),
        ("corpus.panda.files=[{path: a.tsv, sha256: x, split: dev}]", "unknown split 'dev'"),
        ("corpus.panda.files=[{path: a.tsv, sha256: x, reading: fine}]", "no rules for reading 'fine'"),
        ("corpus.panda.rules=[{set: {violatoin: 1}}]", "no label 'violatoin'. Did you mean 'violation'?"),
        ("corpus.panda.rules=[{set: {violation: 2}}]", "set.violation must be 1 or 0"),
        ("corpus.panda.rules=[{any_of: [mocery]}]", "no harm 'mocery'. Did you mean 'mockery'?"),
        ("corpus.panda.rules=[{any_of: [violation]}]", "no harm 'violation'"),
        ("corpus.panda.rules=[{axes: {stanse: quote}}]", "no axis 'stanse'. Did you mean 'stance'?"),
        ("corpus.panda.rules=[{axes: {stance: qoute}}]", "no value 'qoute'. Did you mean 'quote'?"),
        ("corpus.panda.rules=[{target_attributes: [gneder]}]", "no group attribute 'gneder'. Did you mean 'gender'?"),
        ("corpus.toxicn.attribute_flags.attributes=[lgtb]", "no group attribute 'lgtb'. Did you mean 'lgbt'?"),
        ("corpus.panda.official.label=discriminaton", "no label 'discriminaton'. Did you mean 'discrimination'?"),
        ("corpus.panda.test_share=0.95", "validation_share + test_share must be at least 0 and below 1"),
    ],
)
def test_wrong_name_in_a_corpus(override: str, message: str, compose_once: Callable[..., Setting]) -> None:
    setting = compose_once(override)
    name = "toxicn" if "toxicn" in override else "panda"
    with pytest.raises(UserError) as caught:
        check(name, setting.config.corpus[name], setting.taxonomy)
    assert message in str(caught.value)


def test_every_corpus_in_the_repository_is_sound(compose_once: Callable[..., Setting]) -> None:
    setting = compose_once()
    for name, corpus in setting.config.corpus.items():
        check(name, corpus, setting.taxonomy)
