import numpy as np
import pytest

from qieval.numerics.instruments_sets import EMPTY, WHOLE_LINE, ConfidenceSet, quadratic_set, set_between

INF = np.inf


@pytest.mark.parametrize(
    ("intervals", "shape", "bounded", "text"),
    [
        ((), "empty", True, "empty"),
        (((1.0, 2.0),), "interval", True, "[1, 2]"),
        (((1.0, INF),), "ray", False, "[1, inf)"),
        (((-INF, INF),), "whole line", False, "(-inf, inf)"),
        (((-INF, 0.0), (2.0, INF)), "two rays", False, "(-inf, 0] or [2, inf)"),
        (((0.0, 1.0), (2.0, INF)), "several pieces", False, "[0, 1] or [2, inf)"),
        (((-INF, 0.0), (1.0, 2.0), (3.0, INF)), "several pieces", False, "(-inf, 0] or [1, 2] or [3, inf)"),
    ],
)
def test_shapes(intervals, shape, bounded, text):
    found = ConfidenceSet.of(intervals)
    assert (found.shape, found.bounded, str(found)) == (shape, bounded, text)


def test_pieces_that_touch_become_one():
    found = ConfidenceSet.of([(3.0, 4.0), (-1.0, 1.0), (1.0, 2.0), (3.5, 3.6)])
    assert found.intervals == ((-1.0, 2.0), (3.0, 4.0))
    assert (found.low, found.high) == (-1.0, 4.0)
    assert 0 in found and 2.5 not in found and np.isnan(EMPTY.low)
    assert found.union(WHOLE_LINE) == WHOLE_LINE
    with pytest.raises(ValueError, match="upwards"):
        ConfidenceSet.of([(2.0, 1.0)])
    with pytest.raises(ValueError, match="upwards"):
        ConfidenceSet.of([(np.nan, 1.0)])


def test_a_negative_factor_turns_the_set_round():
    found = ConfidenceSet.of([(-INF, -1.0), (2.0, 3.0)]).scaled(-2.0)
    assert found.intervals == ((-6.0, -4.0), (2.0, INF))
    with pytest.raises(ValueError, match="zero"):
        found.scaled(0.0)


@pytest.mark.parametrize(
    ("a", "h", "c", "wanted"),
    [
        (1.0, -1.5, 2.0, ((1.0, 2.0),)),
        (-1.0, 1.5, -2.0, ((-INF, 1.0), (2.0, INF))),
        (1.0, 0.0, 1.0, ()),
        (-1.0, 0.0, -1.0, ((-INF, INF),)),
        (0.0, 1.0, -4.0, ((-INF, 2.0),)),
        (0.0, -1.0, 4.0, ((2.0, INF),)),
        (0.0, 0.0, 1.0, ()),
        (0.0, 0.0, -1.0, ((-INF, INF),)),
        (2.0, 0.0, 0.0, ((0.0, 0.0),)),
    ],
)
def test_quadratic_inequalities(a, h, c, wanted):
    assert quadratic_set(a, h, c).intervals == wanted


def test_quadratic_roots_do_not_cancel():
    found = quadratic_set(1e-12, -0.5e4, 1.0)
    assert found.low == pytest.approx(1e-4, rel=1e-12)


def test_sets_between_roots():
    def excess(b):
        return (b + 2) * (b - 1) * (b - 3) * (b - 3.5)

    wanted = ((-2.0, 1.0), (3.0, 3.5))
    found = set_between([-2.0001, 1.0001, 2.0, 2.9, 3.6, np.inf], excess)
    assert np.ravel(found.intervals) == pytest.approx(np.ravel(wanted), rel=1e-12)
    turned = set_between([-2.0, 1.0, 3.0, 3.5], lambda b: -excess(b))
    assert turned.shape == "several pieces" and turned.high == INF
    assert set_between([], lambda b: -1.0) == WHOLE_LINE and set_between([], lambda b: 1.0) == EMPTY
    assert set_between([0.0], lambda b: b * b) == EMPTY, "a value that touches from above is left out"
