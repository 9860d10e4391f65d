from pathlib import Path

import pytest
import torch
from tiny_data import make_config, make_taxonomy
from transformers import AutoModelForSequenceClassification, BertForSequenceClassification, PreTrainedTokenizerFast

from pipelines.models.checkpoint import save_checkpoint
from pipelines.models.encoder import build_classifier
from pipelines.models.folded import canonical, confusions, fold, looks_like, share, sounds_like
from pipelines.models.tokenizer import TokenizerConfig, learn_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return learn_tokenizer(["傻杀马吗请清情青好 ok 4 b"], TokenizerConfig(1, 10, True), 16)


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast) -> BertForSequenceClassification:
    return build_classifier(make_config().encoder, tokenizer, make_taxonomy(), seed=3).eval()


def row(model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast, token: str) -> torch.Tensor:
    return model.get_input_embeddings().weight[tokenizer.get_vocab()[token]].detach().clone()


def test_cloaked_forms_have_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.tokenize("馬嗎請shabi") == ["馬", "嗎", "請", "sha", "##bi"]


@pytest.mark.parametrize(
    ("token", "sound"),
    [("傻", "sha"), ("杀", "sha"), ("sha", "sha"), ("##sha", "sha"), ("4", "si"), ("b", "bi"), ("ok", None)],
)
def test_what_a_token_sounds_like(token: str, sound: str | None) -> None:
    assert sounds_like(token) == sound


def test_look_alikes_share_their_telling_component() -> None:
    assert {looks_like(token) for token in "请清情青請"} == {"青"}
    assert looks_like("ok") is None


def test_a_traditional_form_has_its_simplified_forms_row(tokenizer: PreTrainedTokenizerFast) -> None:
    vocabulary = tokenizer.get_vocab()
    assert canonical("馬", vocabulary) == canonical("马", vocabulary) == vocabulary["马"]
    assert canonical("嗎", {"嗎": 7}) == 7  # a vocabulary without the simplified form keeps its own
    assert canonical("ok", vocabulary) == vocabulary["ok"]


def test_sharing_and_folding_back_changes_nothing_but_traditional_forms(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = torch.tensor([tokenizer("傻sha请好")["input_ids"]])
    before, names = model(ids).logits, list(model.state_dict())
    traditional = row(model, tokenizer, "馬")
    share(model, tokenizer)
    torch.testing.assert_close(model(ids).logits, before)
    fold(model)
    torch.testing.assert_close(model(ids).logits, before)
    assert sorted(model.state_dict()) == sorted(names)
    assert torch.equal(row(model, tokenizer, "馬"), row(model, tokenizer, "马"))
    assert not torch.equal(row(model, tokenizer, "馬"), traditional)
    fold(model)  # nothing left to fold


def test_learning_moves_homophones_and_look_alikes_together(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast
) -> None:
    share(model, tokenizer)
    before = {
        token: row(model, tokenizer, token) for token in ("傻", "杀", "sha", "马", "馬", "请", "清", "好", "[PAD]")
    }
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    ids = torch.tensor([tokenizer("傻请馬")["input_ids"]])
    model(ids).logits.square().sum().backward()
    optimizer.step()
    moved = {token: not torch.equal(old, row(model, tokenizer, token)) for token, old in before.items()}
    assert moved == dict.fromkeys(("傻", "杀", "sha", "马", "馬", "请", "清"), True) | {"好": False, "[PAD]": False}


def test_a_folded_model_is_a_plain_one(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    share(model, tokenizer)
    with torch.no_grad():
        model.get_input_embeddings().parametrizations.weight[0].sound.weight.normal_()
    ids = torch.tensor([tokenizer("傻sha好")["input_ids"]])
    expected = model(ids).logits
    fold(model)
    save_checkpoint(tmp_path, model, tokenizer, make_taxonomy())
    torch.testing.assert_close(
        AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()(ids).logits, expected
    )


def test_confusions_sound_or_look_like_the_token_and_are_the_same_every_time(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    table = confusions(tokenizer, len(tokenizer), 8, seed=0)
    assert torch.equal(table, confusions(tokenizer, len(tokenizer), 8, seed=0))
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    for token, others in zip(tokens, table.tolist(), strict=True):
        named = [tokens[other] for other in others]
        assert not set(named) & {"[PAD]", "[MASK]", "[CLS]"}
        if token == "sha":
            assert all(sounds_like(other) == "sha" and other != token for other in named)
    both = [tokens[other] for other in table[tokens.index("请")].tolist()]
    assert {sounds_like(other) for other in both[:4]} == {"qing"}
    assert {looks_like(other) for other in both[4:]} == {"青"}
