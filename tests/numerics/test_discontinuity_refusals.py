from dataclasses import replace

import numpy as np
import pytest

from qieval.errors import EstimationError
from qieval.numerics.discontinuity import Local, Scored, bandwidths, discontinuity


def plain(n=500):
    rng = np.random.default_rng(3)
    score = rng.uniform(-1, 1, n)
    return Scored(score=score, y=3 + score + (score >= 0) + rng.normal(size=n))


def whole(distinct, n=800):
    rng = np.random.default_rng(1)
    score = rng.integers(-distinct, distinct, n).astype(float)
    return Scored(score=score, y=0.2 * score + 2 * (score >= 0) + rng.normal(size=n))


@pytest.mark.parametrize("distinct", [2, 3, 4, 5, 11, 30])
def test_few_support_points_give_the_answer_or_say_why(distinct):
    rows = whole(distinct)
    enough = {"chosen": 30, "given": 3}  # distinct scores a side from which an answer is owed
    for local in (Local(), Local(mass_points="off"), Local(h=distinct + 0.5), Local(h=distinct + 0.1, p=0)):
        try:
            found = discontinuity(rows, local)
        except EstimationError as refusal:
            assert "Different scores" in str(refusal)
            assert distinct < enough["given" if local.h and local.p else "chosen"]
            continue
        assert np.isfinite([found.estimate, found.std_error, found.low, found.high]).all()
        assert abs(found.estimate[2] - 2) < 4 * found.std_error[2] and distinct > 2 - (local.p == 0)
    assert list(bandwidths(rows, Local(h=9.0)).support) == [distinct, distinct]
    assert bandwidths(rows, Local(h=9.0)).mass_points


def refused(rows, local=None):
    with pytest.raises(EstimationError) as told:
        discontinuity(rows, local or Local())
    return str(told.value)


def test_what_cannot_be_estimated_is_refused():
    rows = plain()
    flat = np.where(np.abs(rows.score) < 0.8, 1.0, rows.y)
    assert "same for everybody" in refused(replace(rows, y=np.full(500, 2.5)))
    assert "same for everybody near" in refused(replace(rows, y=flat), Local(h=0.5))
    assert "hardly varies" in refused(replace(rows, y=flat))
    assert "does not vary around" in refused(replace(rows, y=(rows.score >= 0) * 1.0), Local(h=0.5))
    assert "above the cutoff" in refused(replace(rows, cutoff=2.0))
    assert "below the cutoff" in refused(replace(rows, cutoff=-2.0))
    assert "0. At least 2" in refused(rows, Local(h=1e-6))
    assert "one cluster" in refused(replace(rows, clusters=np.zeros(500, dtype=int)))
    assert "too few to choose" in refused(Scored(score=rows.score[:15], y=rows.y[:15]))
    assert "Uptake is the same" in refused(replace(rows, uptake=np.ones(500)))
    late = ((np.abs(rows.score) > 0.8) & (rows.y > 3)).astype(float)
    assert "does not jump" in refused(replace(rows, uptake=late), Local(h=0.5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kernel": "gaussian"},
        {"rule": "ik"},
        {"variance": "robust"},
        {"p": 1, "q": 1},
        {"deriv": 2},
        {"level": 95},
        {"h": -1.0},
        {"b": 1.0},
        {"neighbours": 0},
    ],
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must|needs"):
        Local(**wrong)
