"""Honest bounds against the R package HonestDiD 0.2.6.

R draws 1,000 times for a 99.5% quantile, simulates the folded normal quantile and tests on a grid of 1,000
null values, hence the tolerances (those of the reference file).
"""

import json
from pathlib import Path

import numpy as np
import pytest

from qieval.numerics.trend_bounds import EventStudy, Restriction, conventional_interval, trend_bounds

SHARED = Path(__file__).resolve().parents[3] / "shared"
CASES = ("mpdta_honest_cs_first", "mpdta_honest_cs_average", "bc_honest_first")

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "did.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    held = json.loads((SHARED / "reference" / "did.json").read_text(encoding="utf-8"))
    return next(case for case in held["cases"] if case["id"] == request.param)


def study_of(case) -> EventStudy:
    given = case["inputs"]
    estimate = np.array(given["betahat"])
    return EventStudy(
        estimate,
        np.array(given["sigma"]),
        np.arange(estimate.size) < given["numPrePeriods"],
        np.array(given["l_vec"], dtype=float),
    )


def compared(case, block, restriction, method):
    """(own low, own high, R low, R high) for every magnitude; R's bounds may be withheld (None)."""
    held = case["expected"][block]
    magnitudes = held.get("Mbar") or held["M"]
    found = trend_bounds(study_of(case), restriction, magnitudes, method)
    return [(b.low, b.high, low, high) for b, low, high in zip(found, held["lb"], held["ub"], strict=True)]


def test_conventional(case):
    found, held = conventional_interval(study_of(case)), case["expected"]["original"]
    assert (found.low, found.high) == pytest.approx((held["lb"], held["ub"]), abs=1e-12)


@pytest.mark.parametrize("block", ["relative_magnitudes", "smoothness_CLF"])
def test_conditional(case, block):
    restriction = Restriction() if block == "relative_magnitudes" else Restriction("smoothness")
    for low, high, r_low, r_high in compared(case, block, restriction, "conditional"):
        allowed = 0.03 * ((high if r_high is None else r_high) - r_low)
        assert low == pytest.approx(r_low, abs=allowed)
        assert r_high is None or high == pytest.approx(r_high, abs=allowed)


def test_fixed_length(case):
    for low, high, r_low, r_high in compared(case, "smoothness_FLCI", Restriction("smoothness"), "auto"):
        length = r_high - r_low
        assert high - low == pytest.approx(length, rel=0.003)
        assert (low, high) == pytest.approx((r_low, r_high), abs=0.015 * length)
