"""The encoder that comes with the package is whole, small, and knows some Chinese."""

import json

import torch
from safetensors import safe_open
from tiny_data import make_taxonomy
from transformers import AutoModelForMaskedLM, AutoTokenizer

from pipelines.models.encoder import EMBEDDED, load_classifier
from pipelines.models.folded import share


def test_it_is_small_safe_and_has_a_card() -> None:
    files = {path.name: path.stat().st_size for path in EMBEDDED.iterdir()}
    assert set(files) == {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert sum(files.values()) < 16e6
    with safe_open(EMBEDDED / "model.safetensors", "pt") as weights:
        assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.float16}  # noqa: SIM118
    card = (EMBEDDED / "README.md").read_text(encoding="utf-8")
    assert all(told in card for told in ("tokens learnt from", "held-out loss", "Limits", "licence"))


def test_it_fits_its_tokenizer_and_reads_cloaked_text_like_plain_text() -> None:
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    assert len(tokenizer) == json.loads((EMBEDDED / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    plain = tokenizer("傻逼滚开")["input_ids"]
    assert tokenizer("傻*逼\u200b滚 开")["input_ids"] == plain
    assert tokenizer.unk_token_id not in tokenizer("傻逼滚開，shabi 4 😂")["input_ids"]


def test_it_fills_in_what_everybody_would() -> None:
    model, tokenizer = (
        AutoModelForMaskedLM.from_pretrained(EMBEDDED).float().eval(),
        AutoTokenizer.from_pretrained(EMBEDDED),
    )
    for text, hidden in (("我不知[MASK]怎么办", "道"), ("为什[MASK]会这样", "么"), ("今天天气真[MASK]", "好")):
        ids = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            best = model(**ids).logits[0, ids["input_ids"][0].tolist().index(tokenizer.mask_token_id)].argmax()
        assert tokenizer.convert_ids_to_tokens(int(best)) == hidden


def test_traditional_forms_share_their_rows_and_homophones_resemble_each_other() -> None:
    model, tokenizer = load_classifier("embedded", make_taxonomy(), 128, 0.1, 1)
    matrix, vocabulary = model.get_input_embeddings().weight, tokenizer.get_vocab()
    assert torch.equal(matrix[vocabulary["馬"]], matrix[vocabulary["马"]])
    before = matrix.detach().clone()
    share(model, tokenizer)
    changed = (model.get_input_embeddings().weight - before).abs().amax(dim=1) > 1e-5
    assert changed.sum() < 0.01 * len(before)  # going on to share changes only what is read in two ways
    unit = torch.nn.functional.normalize(before - before.mean(dim=0), dim=1)

    def alike(one: str, other: str) -> float:
        return float(unit[vocabulary[one]] @ unit[vocabulary[other]])

    assert alike("傻", "煞") > alike("傻", "林")
    assert alike("逼", "比") > alike("逼", "山")


def test_it_starts_a_classifier_of_the_taxonomy() -> None:
    model, tokenizer = load_classifier("embedded", make_taxonomy(), 64, 0.1, 1)
    assert tokenizer.model_max_length == 64
    assert model.config.num_labels == len(make_taxonomy().labels)
    assert model.get_input_embeddings().weight.dtype == torch.float32
