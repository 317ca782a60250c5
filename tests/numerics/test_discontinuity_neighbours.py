import numpy as np
import pytest

from qieval.numerics.discontinuity_neighbours import Neighbours


def by_hand(score, a, wanted):
    """Grow each row's set of neighbours one distinct score at a time."""
    distinct = np.unique(score)
    out = np.empty(score.size)
    for i, here in enumerate(score):
        place = int(np.searchsorted(distinct, here))
        low = high = place
        while np.sum((score >= distinct[low]) & (score <= distinct[high])) - 1 < min(wanted, score.size - 1):
            left = here - distinct[low - 1] if low > 0 else np.inf
            right = distinct[high + 1] - here if high + 1 < distinct.size else np.inf
            equal = (
                abs(left - right) <= 1.5e-8 * max(left, right) if np.isfinite([left, right]).all() else False
            )
            low, high = low - (left < right or equal), high + (right < left or equal)
        inside = (score >= distinct[low]) & (score <= distinct[high])
        others = inside.sum() - 1
        mean = (a[inside].sum() - a[i]) / others
        out[i] = np.sqrt(others / (others + 1)) * (a[i] - mean)
    return out


def test_three_rows_by_hand():
    near = Neighbours(np.array([0.0, 1.0, 3.0]))
    a = np.array([1.0, 2.0, 6.0])
    # the nearest of 0 is 1, of 1 is 0, of 3 is 1
    assert near.residuals(a, 3, 1) == pytest.approx(np.array([-1.0, 1.0, 4.0]) * np.sqrt(1 / 2))


def test_equal_distances_take_both_sides_despite_rounding():
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    a = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    found = Neighbours(score).residuals(a, 5, 1)
    assert found[1] == pytest.approx(np.sqrt(2 / 3) * (2.0 - 2.5))
    assert found[2] == pytest.approx(np.sqrt(2 / 3) * (4.0 - 5.0))


@pytest.mark.parametrize("wanted", [1, 3, 7])
@pytest.mark.parametrize("step", [0.0, 0.25, 0.02])
def test_against_growing_one_by_one(wanted, step):
    rng = np.random.default_rng(8)
    score = np.sort(rng.uniform(0, 3, 120))
    if step:
        score = np.round(score / step) * step
    a = rng.normal(size=score.size)
    near = Neighbours(score)
    assert near.residuals(a, score.size, wanted) == pytest.approx(by_hand(score, a, wanted), abs=1e-12)
    mirrored = Neighbours(-score)
    assert mirrored.residuals(a, score.size, wanted) == pytest.approx(near.residuals(a, score.size, wanted))


def test_narrower_windows_look_no_farther():
    rng = np.random.default_rng(9)
    score = np.sort(np.round(rng.uniform(0, 4, 90), 1))
    a = rng.normal(size=90)
    near = Neighbours(score)
    near.residuals(a, 90, 3)
    for m in near.edges[2:]:
        assert near.residuals(a[:m], int(m), 3) == pytest.approx(by_hand(score[:m], a[:m], 3), abs=1e-12)


def test_distinct_counts_scores_within_rows():
    near = Neighbours(np.array([0.0, 0.0, 1.0, 2.0, 2.0]))
    assert [near.distinct(m) for m in (0, 2, 3, 5)] == [0, 1, 2, 3]
