import shutil

import numpy as np
import pytest
from tiny_bundle import make_texts

from pipelines.bundle.bundle import Bundle
from pipelines.bundle.parity import ParityConfig, measure_parity
from pipelines.bundle.runtime import FP32, INT8
from pipelines.models import Checkpoint
from pipelines.models.predict import predict_logits
from pipelines.settings.errors import UserError

CONFIG = ParityConfig(texts=20, neighbours=3, padding=8, max_logit_difference=1e-3)


def test_fp32_is_faithful_and_fair(shared_bundle: Bundle):
    parity = shared_bundle.parity["files"][FP32]
    assert parity["source"] == "checkpoint"
    for comparison in ("against_source", "batch_mates", "padding"):
        assert 0 <= parity[comparison]["mean_logit_difference"] <= parity[comparison]["max_logit_difference"] < 1e-4
        assert parity[comparison]["flips"]["fold"]["count"] == 0


def test_int8_is_compared_with_fp32_and_its_neighbours_show(shared_bundle: Bundle):
    parity = shared_bundle.parity["files"][INT8]
    assert parity["source"] == FP32
    for comparison in ("against_source", "batch_mates", "padding"):
        assert parity[comparison]["max_logit_difference"] > 1e-4


def test_flips_carry_their_share_and_unsupported_actions_are_null(shared_bundle: Bundle):
    flips = shared_bundle.parity["files"][INT8]["against_source"]["flips"]
    assert flips["ban"] is None
    share = flips["fold"]["share"]
    assert share["n"] == shared_bundle.parity["texts"] == 20
    assert share["value"] == flips["fold"]["count"] / 20
    assert share["low"] <= share["value"] <= share["high"]
    assert share["high"] > 0, "no flip among twenty texts does not prove that there are none"


def test_texts_that_fill_the_model_leave_no_room_for_padding(shared_bundle: Bundle, checkpoint: Checkpoint):
    texts = ["的" * 200, "了" * 46]
    reference = predict_logits(checkpoint.model(), checkpoint.tokenizer(), texts)
    parity = measure_parity(shared_bundle.path, reference, texts, CONFIG)
    assert parity.files[INT8].padding.max_logit_difference == 0


def test_flips_count_decisions_that_differ(shared_bundle: Bundle):
    texts = make_texts(20)
    logits = shared_bundle.classifier(FP32).predict(texts).logits
    mirrored = np.full_like(logits, -20.0)
    mirrored[logits.max(axis=1) < np.log(0.8 / 0.2)] = 20.0
    config = ParityConfig(texts=20, neighbours=1, padding=1, max_logit_difference=1e6)
    parity = measure_parity(shared_bundle.path, mirrored, texts, config)
    assert parity.files[FP32].against_source.flips["fold"]["count"] == 20


@pytest.mark.parametrize("damage", [0.01, np.nan])
def test_a_graph_that_says_something_else_is_not_shipped(shared_bundle: Bundle, checkpoint: Checkpoint, damage: float):
    texts = make_texts(8)
    reference = predict_logits(checkpoint.model(), checkpoint.tokenizer(), texts)
    measure_parity(shared_bundle.path, reference, texts, CONFIG)
    reference[3, 1] += damage
    with pytest.raises(UserError, match="differs from the checkpoint"):
        measure_parity(shared_bundle.path, reference, texts, CONFIG)


def test_int8_in_the_place_of_fp32_is_caught(own_bundle: Bundle, checkpoint: Checkpoint):
    shutil.copyfile(own_bundle.path / INT8, own_bundle.path / FP32)
    texts = make_texts(8)
    reference = predict_logits(checkpoint.model(), checkpoint.tokenizer(), texts)
    with pytest.raises(UserError, match="differs from the checkpoint"):
        measure_parity(own_bundle.path, reference, texts, CONFIG)
