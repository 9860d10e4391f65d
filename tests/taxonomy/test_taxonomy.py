"""The shipped taxonomy is complete, a broken one is refused, and the root follows from the harms."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tiny_corpora import copy_configs, make_setting

from pipelines.settings.errors import UserError
from pipelines.taxonomy import Taxonomy, TaxonomyConfig, load


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> TaxonomyConfig:
    return make_setting(copy_configs(tmp_path_factory.mktemp("configs"))).config.taxonomy


def test_shipped_labels_are_the_root_and_ten_harms_in_order(shipped: TaxonomyConfig) -> None:
    taxonomy = load(shipped)
    harms = "insult defamation hate_incitement threat doxxing sexual_harassment self_harm_incitement mobilisation"
    assert taxonomy.labels == ("violation", *harms.split(), "mockery", "discrimination")
    assert [taxonomy.index(label) for label in taxonomy.labels] == list(range(11))
    assert {harm.tier for harm in taxonomy.harms.values()} == set(taxonomy.tiers)
    assert set(taxonomy.actions) == {"remind", "filter", "demote", "remove", "escalate", "warn"}
    assert taxonomy.priors == (0.2, 0.01, 0.0003)


def test_names_in_both_languages(shipped: TaxonomyConfig) -> None:
    taxonomy = load(shipped)
    assert taxonomy.harms["insult"].zh == "侮辱谩骂"
    assert taxonomy.root.en == "cyber-violence"
    with pytest.raises(UserError, match=r"no label 'insutl'\. Did you mean 'insult'\?"):
        taxonomy.index("insutl")


def test_plain_data_keeps_order_and_everything(shipped: TaxonomyConfig) -> None:
    plain = load(shipped).to_dict()
    assert plain["labels"] == ["violation", *shipped.harms]
    assert plain["harms"]["insult"]["zh"] == shipped.harms["insult"].zh
    assert plain["actions"]["remove"]["max_false_positive_rate"] == 0.0001
    assert plain["axes"]["stance"][0] == "none"


values = st.sampled_from([None, 0, 1])


def test_root_follows_from_the_harms(shipped: TaxonomyConfig) -> None:
    taxonomy = load(shipped)

    @given(st.fixed_dictionaries(dict.fromkeys(taxonomy.harms, values)), values)
    def check(harms: dict[str, int | None], stated: int | None) -> None:
        assume(not (stated == 0 and 1 in harms.values()))
        root = taxonomy.derive_root(harms, stated)
        if 1 in harms.values():
            assert root == 1
        elif stated is not None:
            assert root == stated
        else:
            assert root == (0 if set(harms.values()) == {0} else None)  # one unknown harm leaves the root unknown

    check()


def test_harm_named_nowhere_is_unknown(shipped: TaxonomyConfig) -> None:
    assert load(shipped).derive_root({"insult": 0}) is None
    assert load(shipped).derive_root({}) is None
    assert load(shipped).derive_root({"insult": 1}) == 1


def test_no_violation_with_a_harm_is_a_contradiction(shipped: TaxonomyConfig) -> None:
    with pytest.raises(ValueError, match="violation is 0 but a harm is 1"):
        load(shipped).derive_root({"threat": 1}, stated=0)


def spoil(change: Callable[[TaxonomyConfig], object]) -> Callable[[TaxonomyConfig], Taxonomy]:
    def attempt(shipped: TaxonomyConfig) -> Taxonomy:
        config = copy.deepcopy(shipped)
        change(config)
        return load(config)

    return attempt


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (
            spoil(lambda c: setattr(c.harms["insult"], "tier", "harmfull")),
            "harm 'insult': unknown tier 'harmfull'. Did you",
        ),
        (spoil(lambda c: setattr(c.harms["insult"], "definition", " ")), "harm 'insult': 'definition' is empty"),
        (spoil(lambda c: setattr(c.harms["threat"].minimal_pair, "harmless", "")), "'minimal_pair.harmless' is empty"),
        (spoil(lambda c: c.harms.update({"two words": c.harms["insult"]})), "must be an identifier"),
        (spoil(lambda c: c.harms.update({"violation": c.harms["insult"]})), "differ from the root's"),
        (spoil(lambda c: c.harms.clear()), "it has no harms"),
        (spoil(lambda c: setattr(c.actions["remind"], "maximise", "f1")), "maximise must be recall or precision"),
        (spoil(lambda c: setattr(c.actions["remind"], "min_precision", None)), "give at least one of"),
        (spoil(lambda c: setattr(c.actions["remove"], "prior", 1.5)), "must lie between 0 and 1"),
        (spoil(lambda c: c.priors.append(0.0)), "priors must lie between 0 and 1"),
    ],
    ids=range(10),
)
def test_broken_taxonomy_is_refused(
    attempt: Callable[[TaxonomyConfig], Taxonomy], message: str, shipped: TaxonomyConfig
) -> None:
    with pytest.raises(UserError) as caught:
        attempt(shipped)
    assert message in str(caught.value)


def test_missing_text_of_a_harm_is_named(tmp_path: Path) -> None:
    configs = copy_configs(tmp_path)
    path = configs / "taxonomy" / "cyber_violence.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("    en: insult\n", "", 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"taxonomy\.harms\.insult\.en' has no value"):
        make_setting(configs)
