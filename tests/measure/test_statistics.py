import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipelines.measure.statistics import (
    Figure,
    Resamples,
    bootstrap,
    group_codes,
    paired_difference,
    percentile_interval,
    proportion,
    share,
)
from pipelines.settings.errors import UserError


def mean_of(sums):
    return sums[..., 0] / sums[..., 1]


def with_counts(values):
    return np.stack([values, np.ones(len(values))], axis=1)


@pytest.mark.parametrize(
    ("method", "successes", "trials", "low", "high"),
    [
        ("wilson", 10, 20, 0.2992980, 0.7007020),
        ("wilson", 0, 20, 0.0, 0.1611252),
        ("exact", 10, 20, 0.2719578, 0.7280422),
        ("exact", 0, 20, 0.0, 0.1684335),
        ("exact", 20, 20, 0.8315665, 1.0),
    ],
)
def test_proportion_has_the_published_intervals(method, successes, trials, low, high):
    figure = proportion(successes, trials, method)
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=1e-6)
    assert (figure.value, figure.n) == (successes / trials, trials)


def test_no_trials_is_undefined_and_not_zero():
    assert proportion(0, 0).to_dict() == {"value": None, "low": None, "high": None, "n": 0}


def test_a_figure_is_json_without_nan():
    figure = Figure.of(math.nan, -math.inf, 0.5, 3)
    assert json.dumps(figure.to_dict(), allow_nan=False) == '{"value": null, "low": null, "high": 0.5, "n": 3}'


def test_bootstrap_of_a_mean_agrees_with_scipy():
    values = np.random.default_rng(1).exponential(size=300)
    ours = bootstrap(Resamples.draw(np.arange(300), 4000, 0), with_counts(values), mean_of)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", random_state=0)
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


def test_a_95_percent_interval_covers_the_truth_about_95_times_in_100():
    generator = np.random.default_rng(2)
    covered = 0
    for draw in range(300):
        values = generator.normal(size=80)
        figure = bootstrap(Resamples.draw(np.arange(80), 400, draw), with_counts(values), mean_of)
        covered += figure.low <= 0.0 <= figure.high
    assert 0.91 <= covered / 300 <= 0.98


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = with_counts(np.random.default_rng(3).normal(size=50))
    first, second, third = (bootstrap(Resamples.draw(np.arange(50), 200, seed), values, mean_of) for seed in (1, 1, 2))
    assert first == second
    assert first != third


def test_copies_of_a_text_in_one_group_add_no_certainty():
    values = np.random.default_rng(4).normal(size=100)
    alone = bootstrap(Resamples.draw(np.arange(100), 2000, 0), with_counts(values), mean_of)
    copied = with_counts(np.repeat(values, 4))
    by_group = bootstrap(Resamples.draw(np.repeat(np.arange(100), 4), 2000, 0), copied, mean_of)
    by_row = bootstrap(Resamples.draw(np.arange(400), 2000, 0), copied, mean_of)
    assert by_group.high - by_group.low == pytest.approx(alone.high - alone.low, rel=1e-9)
    assert by_row.high - by_row.low < 0.6 * (by_group.high - by_group.low)


def test_two_models_on_the_same_texts_are_compared_more_sharply_than_apart():
    generator = np.random.default_rng(5)
    difficulty = generator.normal(size=400)
    first = with_counts(difficulty + 0.1 * generator.normal(size=400) + 0.1)
    second = with_counts(difficulty + 0.1 * generator.normal(size=400))
    resamples = Resamples.draw(np.arange(400), 1000, 0)
    paired = paired_difference(resamples, first, second, mean_of)
    apart = bootstrap(resamples, first, mean_of)
    assert paired.value == pytest.approx(0.1, abs=0.02)
    assert paired.low > 0
    assert paired.high - paired.low < 0.3 * (apart.high - apart.low)


def test_a_model_against_itself_differs_by_exactly_nothing():
    values = with_counts(np.random.default_rng(6).normal(size=40))
    figure = paired_difference(Resamples.draw(np.arange(40), 100, 0), values, values, mean_of)
    assert figure.to_dict() == {"value": 0.0, "low": 0.0, "high": 0.0, "n": 40}


def test_an_undefined_statistic_is_null_with_its_n():
    figure = bootstrap(Resamples.draw(np.arange(5), 100, 0), np.zeros((5, 2)), lambda sums: sums[..., 0] * np.nan)
    assert figure == Figure.undefined(5)
    assert all(math.isnan(bound) for bound in percentile_interval(np.full(10, np.nan)))


def test_rows_without_a_group_stand_alone():
    assert group_codes(["a", None, "a", None, "b"]).tolist() == [0, 1, 0, 2, 3]


def test_a_share_of_grouped_texts_is_never_surer_than_of_independent_ones():
    hit, among = np.zeros(40, bool), np.ones(40, bool)
    grouped = Resamples.draw(np.repeat(np.arange(10), 4), 500, 0)
    assert share(grouped, hit, among).to_dict() == proportion(0, 40).to_dict()
    hit[:8] = True
    clustered, simple = share(grouped, hit, among), proportion(8, 40)
    assert clustered.value == simple.value
    assert clustered.high - clustered.low > simple.high - simple.low


def test_too_few_resamples_are_refused():
    with pytest.raises(UserError, match="at least 100"):
        Resamples.draw(np.arange(5), 20, 0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 1000))
def test_sums_and_weights_tell_the_same_of_every_resample(names, seed):
    resamples = Resamples.draw(group_codes([str(name) for name in names]), 100, seed)
    values = np.random.default_rng(seed).integers(0, 9, (len(names), 2))
    weights = np.concatenate(list(resamples.weights(np.arange(len(names)))))
    assert (resamples.counts.sum(axis=1) == len(set(names))).all()
    assert np.array_equal(weights @ values, resamples.sums(values))
