"""Weights from a score: hand numbers, invariance, cutting and trimming."""

import numpy as np
import pytest

from qieval.numerics.balancing_weights import (
    crump_bound,
    inside,
    probability_weights,
    score_weights,
    stabilised,
    truncated,
)

ESTIMANDS = ("ATE", "ATT", "ATC", "ATO", "ATM")


def sample(seed=1, n=300, k=3):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, k))
    treated = rng.random(n) < 1 / (1 + np.exp(-x[:, 0] + 0.5 * x[:, 1] + 0.3))
    return x, treated, rng


@pytest.mark.parametrize(
    ("estimand", "expected"),
    [
        # four people with x = 0 (one treated), four with x = 1 (three treated): scores 1/4 and 3/4
        ("ATE", (4, 4 / 3, 4 / 3, 4)),
        ("ATT", (1, 1 / 3, 1, 3)),
        ("ATC", (3, 1, 1 / 3, 1)),
        ("ATO", (3 / 4, 1 / 4, 1 / 4, 3 / 4)),
        ("ATM", (1, 1 / 3, 1 / 3, 1)),
    ],
)
def test_hand_numbers(estimand, expected):
    x = np.repeat([0.0, 1.0], 4)[:, None]
    treated = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    found = score_weights(x, treated, estimand)
    assert found.converged
    np.testing.assert_allclose(found.weights[[0, 1, 4, 7]], expected, rtol=1e-9)
    np.testing.assert_allclose(
        probability_weights(np.repeat([0.25, 0.75], 4), treated, estimand).weights, found.weights
    )


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_units_and_repeated_columns_do_not_matter(estimand):
    x, treated, _ = sample()
    changed = np.column_stack(
        [x[:, 0] * 1e6 + 2e9, x[:, 1] * 1e-7, x[:, 2], x[:, 0] + x[:, 1], np.ones(len(x))]
    )
    np.testing.assert_allclose(
        score_weights(changed, treated, estimand).weights,
        score_weights(x, treated, estimand).weights,
        rtol=1e-7,
    )


def test_sampling_weights_are_repeated_rows():
    x, treated, rng = sample()
    times = rng.integers(0, 4, len(x))
    rows = np.repeat(np.arange(len(x)), times)
    weighted = score_weights(x, treated, "ATE", times.astype(float))
    np.testing.assert_allclose(
        weighted.weights[rows], score_weights(x[rows], treated[rows]).weights, rtol=1e-9
    )


def test_separation_is_said():
    x = np.arange(20.0)[:, None]
    assert score_weights(x, x[:, 0] > 9).status == "separated"


def test_unusable_input_is_refused():
    x, treated, _ = sample()
    with pytest.raises(ValueError, match="treated and control"):
        score_weights(x, np.ones(len(x), bool))
    with pytest.raises(ValueError, match="finite"):
        score_weights(np.where(x > 2, np.nan, x), treated)
    with pytest.raises(ValueError, match="infinite"):
        probability_weights(treated * 0.0, treated)
    with pytest.raises(ValueError, match="unknown estimand"):
        score_weights(x, treated, "ATX")


def test_stabilised_weights_average_about_one():
    x, treated, _ = sample(n=5000)
    found = stabilised(score_weights(x, treated, "ATE"))
    plain = score_weights(x, treated, "ATE").weights
    np.testing.assert_allclose(found.weights, plain * np.where(treated, treated.mean(), 1 - treated.mean()))
    assert abs(found.weights.mean() - 1) < 0.05


def test_truncation_cuts_at_an_order_statistic():
    x, treated, _ = sample(n=100)
    plain = score_weights(x, treated, "ATE")
    cut = truncated(plain, 0.95)
    assert cut.weights.max() == np.sort(plain.weights)[94]  # the 95th of 100
    np.testing.assert_array_equal(cut.weights, np.minimum(plain.weights, np.sort(plain.weights)[94]))
    assert (cut.blocks[0].slope[cut.weights < plain.weights] == 0).all()
    both = truncated(plain, 0.95, lower=True)
    assert both.weights.min() == np.sort(plain.weights)[4]  # the fifth: nearest to 4.5 from above
    att = truncated(score_weights(x, treated, "ATT"), 0.9)
    assert (att.weights[treated] == 1).all()
    assert np.count_nonzero(att.weights[~treated] == att.weights[~treated].max()) > 1
    with pytest.raises(ValueError, match="quantile"):
        truncated(plain, 0.4)


def test_truncation_counts_whole_base_weights_as_repeated_rows():
    x, treated, rng = sample()
    times = rng.integers(0, 4, len(x))
    rows = np.repeat(np.arange(len(x)), times)
    for estimand in ("ATE", "ATT"):
        weighted = truncated(score_weights(x, treated, estimand, times.astype(float)), 0.9, lower=True)
        repeated = truncated(score_weights(x[rows], treated[rows], estimand), 0.9, lower=True)
        np.testing.assert_allclose(weighted.weights[rows], repeated.weights, rtol=1e-8)


def test_fractional_base_weights_give_a_weighted_quantile():
    x, treated, rng = sample()
    base = rng.uniform(0.1, 1, len(x)) / 1000
    plain = score_weights(x, treated, "ATE", base)
    cut = truncated(plain, 0.9).weights.max()
    assert base[plain.weights <= cut].sum() >= 0.9 * base.sum() > base[plain.weights < cut].sum()


def test_rows_inside():
    p = np.array([0.05, 0.1, 0.5, 0.9, 0.95])
    assert inside(p, 0.1).tolist() == [False, True, True, True, False]
    assert inside(p, 0.1, 0.6).tolist() == [False, True, True, False, False]


@pytest.mark.parametrize("seed", range(5))
def test_crump_bound_minimises_the_variance(seed):
    p = np.random.default_rng(seed).beta(0.5, 0.6, 400)
    inverse = 1 / (p * (1 - p))
    alpha = crump_bound(p)
    grid = np.linspace(0, 0.49, 2000)
    kept = [(p >= a) & (p <= 1 - a) for a in (alpha, *grid)]
    variance = [inverse[rows].mean() / rows.mean() if rows.any() else np.inf for rows in kept]
    assert alpha > 0
    assert variance[0] <= min(variance) * (1 + 1e-12)
