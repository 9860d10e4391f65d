import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipelines.models.losses import partial_label_loss, soft_target_loss

NAN = math.nan
LN2 = math.log(2)
LOGITS = st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3)


def hard(
    logits: list[float],
    truth: list[float],
    members: list[bool] | None = None,
    weight: list[float] | None = None,
    positive: list[float] | None = None,
) -> tuple[float, Tensor]:
    """Return the loss of one row and its gradient."""
    z = torch.tensor([logits], requires_grad=True)
    count = len(logits)
    loss = partial_label_loss(
        z,
        torch.tensor([truth]),
        torch.tensor([members or [False] * count]),
        torch.tensor(weight or [1.0] * count),
        torch.tensor(positive or [1.0] * count),
    )
    assert loss.shape == (1,)
    loss.sum().backward()
    assert z.grad is not None
    return loss.item(), z.grad[0]


def test_known_labels_cost_their_cross_entropy() -> None:
    value, gradient = hard([0.0, 0.0, math.log(3)], [1.0, 0.0, 1.0])
    assert value == pytest.approx(2 * LN2 + math.log(4 / 3))  # sigmoid(ln 3) = 3/4
    assert gradient.tolist() == pytest.approx([-0.5, 0.5, -0.25])


def test_unknown_labels_have_no_gradient() -> None:
    value, gradient = hard([1.0, -2.0, 7.0], [NAN, NAN, 0.0])
    assert value == pytest.approx(math.log1p(math.exp(7)))
    assert gradient[:2].tolist() == [0.0, 0.0]


def test_a_row_that_knows_nothing_costs_nothing() -> None:
    value, gradient = hard([3.0, -3.0, 50.0], [NAN, NAN, NAN])
    assert value == 0.0
    assert gradient.tolist() == [0.0, 0.0, 0.0]


def test_on_a_known_harmless_text_the_most_probable_harm_is_pushed_down() -> None:
    # root 0 at logit 0, harms at 2 (most probable, unknown) and -1 (unknown): ln 2 + ln(1 + e^2)
    value, gradient = hard([0.0, 2.0, -1.0], [0.0, NAN, NAN])
    assert value == pytest.approx(LN2 + math.log1p(math.exp(2)))
    assert gradient.tolist() == pytest.approx([0.5, 1 / (1 + math.exp(-2)), 0.0])


def test_a_set_is_not_satisfied_by_its_undenied_member_everywhere() -> None:
    """A corpus that says "one of these two" or "not the first": the second must not be the way out on every text."""
    torch.manual_seed(0)
    bad = torch.arange(64) % 2
    texts = torch.stack([bad.float(), torch.ones(64)], dim=1)
    truth = torch.full((64, 3), NAN)
    truth[:, 0], truth[bad == 0, 1] = bad.float(), 0.0
    members = torch.zeros(64, 3, dtype=torch.bool)
    members[bad == 1, 1:] = True
    head = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        partial_label_loss(head(texts), truth, members, torch.ones(3), torch.ones(3)).mean().backward()
        optimizer.step()
    served = head(texts).amax(dim=1) > 0
    assert torch.equal(served, bad == 1)


def test_one_of_a_set_is_minus_log_of_not_none() -> None:
    # p = 1/2 and 3/4: -log(1 - 1/2 * 1/4) = log(8/7); gradient -(prod / (1 - prod)) * p
    value, gradient = hard([5.0, 0.0, math.log(3)], [NAN, NAN, NAN], [False, True, True])
    assert value == pytest.approx(math.log(8 / 7))
    assert gradient.tolist() == pytest.approx([0.0, -1 / 14, -3 / 28])


def test_a_set_of_one_is_a_positive() -> None:
    as_set, gradient = hard([0.0, -1.5], [NAN, NAN], [False, True])
    as_label, expected = hard([0.0, -1.5], [NAN, 1.0])
    assert as_set == pytest.approx(as_label)
    assert gradient.tolist() == pytest.approx(expected.tolist())


def test_weights_count_labels_positives_and_sets() -> None:
    value, _ = hard([0.0, 0.0, 0.0], [1.0, 0.0, 1.0], weight=[1.0, 0.5, 0.25], positive=[1.0, 9.0, 4.0])
    assert value == pytest.approx((1 + 0.5 + 0.25 * 4) * LN2)
    value, _ = hard([0.0, 0.0, 0.0], [NAN, NAN, NAN], [False, True, True], weight=[1.0, 0.5, 0.5])
    assert value == pytest.approx(0.5 * math.log(4 / 3))


@pytest.mark.parametrize("logit", [50.0, -50.0, 80.0, -80.0])
def test_extremes_stay_finite_and_keep_their_direction(logit: float) -> None:
    value, gradient = hard([logit] * 3, [1.0, 0.0, NAN], [False, False, True])
    assert math.isfinite(value)
    assert gradient.isfinite().all()
    assert gradient[0] == pytest.approx(-1.0 if logit < 0 else 0.0)
    assert gradient[2] == pytest.approx(-1.0 if logit < 0 else 0.0)  # a set the model denies must still pull


@settings(max_examples=200, deadline=None)
@given(LOGITS, st.lists(st.booleans(), min_size=3, max_size=3))
def test_the_set_term_agrees_with_its_definition(logits: list[float], members: list[bool]) -> None:
    value, gradient = hard(logits, [NAN] * 3, members)
    z = torch.tensor(logits, dtype=torch.float64)
    inside = torch.tensor(members)
    nothing = -torch.nn.functional.softplus(z[inside]).sum()
    expected = float(-torch.log(-torch.expm1(nothing))) if inside.any() else 0.0
    assert value == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert (gradient <= 0).all()
    assert gradient[~inside].eq(0).all()


@settings(max_examples=50, deadline=None)
@given(LOGITS, LOGITS)
def test_rows_do_not_influence_each_other(one: list[float], two: list[float]) -> None:
    truth, members = torch.tensor([[1.0, NAN, 0.0], [NAN, 0.0, NAN]]), torch.tensor([[False] * 3, [False, True, True]])
    ones = torch.ones(3)
    both = partial_label_loss(torch.tensor([one, two]), truth, members, ones, ones)
    alone = [
        partial_label_loss(torch.tensor([row]), truth[i : i + 1], members[i : i + 1], ones, ones)
        for i, row in enumerate((one, two))
    ]
    assert both.tolist() == pytest.approx(torch.cat(alone).tolist(), rel=1e-6)


def test_half_precision_logits_are_scored_in_float32() -> None:
    loss = partial_label_loss(
        torch.zeros(1, 2, dtype=torch.bfloat16),
        torch.ones(1, 2),
        torch.zeros(1, 2, dtype=torch.bool),
        torch.ones(2),
        torch.ones(2),
    )
    assert loss.dtype == torch.float32


def soft(
    logits: list[float], teacher: list[float], temperature: float, weight: list[float] | None = None
) -> tuple[float, Tensor]:
    z = torch.tensor([logits], requires_grad=True)
    loss = soft_target_loss(z, torch.tensor([teacher]), torch.tensor(weight or [1.0] * len(logits)), temperature)
    loss.sum().backward()
    assert z.grad is not None
    return loss.item(), z.grad[0]


def test_soft_targets_at_temperature_one() -> None:
    value, gradient = soft([0.0], [math.log(3)], 1.0)
    assert value == pytest.approx(LN2)
    assert gradient.tolist() == pytest.approx([0.5 - 0.75])


def test_temperature_softens_both_sides_and_keeps_the_size_of_gradients() -> None:
    value, gradient = soft([0.0], [2 * math.log(3)], 2.0)  # softened teacher probability 3/4
    assert value == pytest.approx(4 * LN2)
    assert gradient.tolist() == pytest.approx([2 * (0.5 - 0.75)])


def test_soft_targets_are_weighted_and_masked() -> None:
    value, gradient = soft([0.0, 0.0, 9.0], [math.log(3), 0.0, NAN], 1.0, [1.0, 0.5, 1.0])
    assert value == pytest.approx(1.5 * LN2)
    assert gradient.tolist() == pytest.approx([-0.25, 0.0, 0.0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_an_agreeing_student_has_no_gradient_and_extremes_are_finite(temperature: float) -> None:
    _, gradient = soft([50.0, -50.0, 1.5], [50.0, -50.0, 1.5], temperature)
    assert gradient.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    value, gradient = soft([50.0, -50.0], [-50.0, 50.0], temperature)
    assert math.isfinite(value)
    assert gradient.isfinite().all()
