import numpy as np
import pytest

from pipelines.measure.percentiles import order_statistic, percentile, queries_needed


@pytest.mark.parametrize(("share", "needed"), [(0.9, 64), (0.99, 662)])
def test_sample_sizes_are_those_of_mlperf(share: float, needed: int):
    assert queries_needed(share) == needed


def test_a_percentile_without_enough_samples_is_null_and_says_why():
    figure = percentile(list(range(661)), 0.99)
    assert figure["value"] is figure["low"] is figure["high"] is None
    assert figure["n"] == 661
    assert "662" in figure["reason"]
    assert percentile(list(range(662)), 0.99)["value"] == 655


def test_the_value_is_a_sample_and_the_interval_encloses_it():
    samples = np.random.default_rng(0).permutation(1000).astype(float).tolist()
    figure = percentile(samples, 0.5)
    assert figure == {"value": 499.0, "low": 468.0, "high": 531.0, "n": 1000}


def test_intervals_cover_the_true_percentile_as_often_as_they_say():
    generator = np.random.default_rng(1)
    truth = -np.log(1 - 0.9)  # p90 of the exponential distribution
    figures = [percentile(generator.exponential(size=200).tolist(), 0.9) for _ in range(400)]
    covered = np.mean([figure["low"] <= truth <= figure["high"] for figure in figures])
    assert covered >= 0.93


def test_few_samples_have_a_median_without_an_interval():
    assert order_statistic([3.0, 1.0, 2.0]) == {"value": 2.0, "low": None, "high": None, "n": 3}
    assert order_statistic([]) == {"value": None, "low": None, "high": None, "n": 0}
    assert order_statistic([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == {"value": 3.0, "low": 1.0, "high": 6.0, "n": 6}
