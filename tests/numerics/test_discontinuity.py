import math
from dataclasses import replace

import numpy as np
import pytest

from qieval.errors import EstimationError
from qieval.numerics.discontinuity import Local, Scored, bandwidths, discontinuity, discontinuity_many


def drawn(seed=3, n=500, tied=False):
    rng = np.random.default_rng(seed)
    score = rng.uniform(-1, 1, n)
    if tied:
        score = np.round(score * 12) / 12
    uptake = (rng.random(n) < np.where(score >= 0, 0.8, 0.25)).astype(float)
    covariates = rng.normal(size=(n, 2)) * [1.0, 40.0] + [0.0, 2000.0]
    y = 3 + score + 0.5 * score**2 + 0.9 * uptake + 0.3 * covariates[:, 0] + rng.normal(size=n)
    clusters = rng.integers(0, 25, n)
    return Scored(
        score=score,
        y=y,
        uptake=uptake,
        covariates=covariates,
        clusters=clusters,
        weights=rng.uniform(0.5, 2, n),
    )


def sharp(rows, **kept):
    empty = {"uptake": None, "covariates": None, "clusters": None, "weights": None}
    return replace(rows, **{**empty, **kept})


def triangular(distance, width):
    return np.maximum(1 - np.abs(distance) / width, 0) / width


def line(x, y, w, order):
    """Coefficients, and the matrix that makes them of y."""
    design = np.vander(x, order + 1, increasing=True)
    maker = np.linalg.solve(design.T @ (design * w[:, None]), (design * w[:, None]).T)
    return maker @ y, maker, design


def slow(rows, local, h, b):
    """Estimates and standard errors of a sharp jump with the triangular kernel, by matrices of n x n."""
    value, variances = np.zeros(2), np.zeros(2)
    for sign in (-1, 1):
        side = (rows.score >= 0) == (sign > 0)
        near = side & (np.abs(rows.score) < max(h, b))
        x, y = rows.score[near], rows.y[near]
        extra = np.ones(x.size) if rows.weights is None else rows.weights[near]
        narrow, makes_p, at_p = line(x, y, triangular(x, h) * extra, local.p)
        wide, makes_q, at_q = line(x, y, triangular(x, b) * extra, local.p + 1)
        omega = math.factorial(local.deriv) * makes_p[local.deriv]
        corrected = omega - (omega @ x ** (local.p + 1)) * makes_q[local.p + 1]
        value += sign * np.array([omega @ y, corrected @ y])
        for j, (weight, fitted, hat, k) in enumerate(
            (
                (omega, at_p @ narrow, at_p @ makes_p, local.p + 1),
                (corrected, at_q @ wide, at_q @ makes_q, local.p + 2),
            )
        ):
            e, n = y - fitted, x.size
            if rows.clusters is None:
                leverage = np.diag(hat)
                scale = {
                    "hc0": 1.0,
                    "hc1": np.sqrt(n / (n - k)),
                    "hc2": 1 / np.sqrt(1 - leverage),
                    "hc3": 1 / (1 - leverage),
                }
                variances[j] += np.sum((weight * e * scale[local.variance]) ** 2)
            else:
                variances[j] += clustered(rows.clusters[near], weight, e, hat, local.variance, k)
    return value, np.sqrt(variances)


def clustered(codes, weight, e, hat, variance, k):
    groups = np.unique(codes)
    total = 0.0
    for group in groups:
        mine = codes == group
        left = e[mine]
        if variance == "cr3":  # the residuals without this cluster
            left = np.linalg.solve(np.eye(mine.sum()) - hat[np.ix_(mine, mine)], left)
        total += (weight[mine] @ left) ** 2
    n, g = codes.size, groups.size
    return total * ((n - 1) / (n - k) * g / (g - 1) if variance == "cr1" else 1.0)


@pytest.mark.parametrize("variance", ["hc0", "hc1", "hc2", "hc3", "cr1", "cr3"])
@pytest.mark.parametrize(("p", "deriv"), [(0, 0), (1, 0), (1, 1), (2, 1), (3, 0)])
def test_against_full_matrices(variance, p, deriv):
    rows = drawn()
    kept = {"clusters": rows.clusters} if variance.startswith("cr") else {"weights": rows.weights}
    rows = sharp(rows, **kept)
    local = Local(p=p, deriv=deriv, variance=variance, h=0.6, b=0.8)
    found = discontinuity(rows, local)
    value, error = slow(rows, local, 0.6, 0.8)
    assert found.estimate == pytest.approx([value[0], value[1], value[1]], rel=1e-9)
    assert found.std_error == pytest.approx([error[0], error[0], error[1]], rel=1e-9)


def slow_bandwidth(rows, p=1):
    """mserd with hc0 for a sharp jump, step by step from the formulas."""
    x, y = rows.score, rows.y
    q, n = p + 1, x.size
    first, last = np.quantile(x, [0.25, 0.75], method="averaged_inverted_cdf")
    c = 2.576 * min(np.std(x, ddof=1), (last - first) / 1.349) * n ** (-1 / 5)

    def parts(side, order, derivative, above, wider):
        xs, ys = x[side], y[side]
        near = np.abs(xs) < c
        coefficients, maker, design = line(xs[near], ys[near], triangular(xs[near], c), order)
        e = ys[near] - design @ coefficients
        variance = np.sum((maker[derivative] * e) ** 2)
        constant = c**derivative * (maker[derivative] @ (xs[near] / c) ** (order + 1))
        near = np.abs(xs) < wider
        coefficients, maker, design = line(xs[near], ys[near], triangular(xs[near], wider), above)
        e = ys[near] - design @ coefficients
        doubt = np.sum((maker[order + 1] * e) ** 2)
        steps = order + 1 - derivative
        return (
            (2 * derivative + 1) * c ** (2 * derivative + 1) * variance,
            np.sqrt(2 * steps) * constant * coefficients[order + 1],
            6 * steps * constant**2 * doubt,
        )

    def step(order, derivative, above, wider, regularise):
        left = parts(x < 0, order, derivative, above, wider[0])
        right = parts(x >= 0, order, derivative, above, wider[1])
        v, bias, r = left[0] + right[0], right[1] - left[1], left[2] + right[2]
        return min((v / (bias**2 + regularise * r)) ** (1 / (2 * order + 3)), np.abs(x).max())

    d = step(q + 1, q + 1, q + 2, (-x.min(), x.max()), 0)
    b = step(q, p + 1, q + 1, (d, d), 1)
    return step(p, 0, q, (b, b), 1), b


@pytest.mark.parametrize("p", [0, 1, 2])
def test_bandwidth_step_by_step(p):
    rows = sharp(drawn())
    found = bandwidths(rows, Local(p=p, variance="hc0"))
    h, b = slow_bandwidth(rows, p)
    assert [*found.h, *found.b] == pytest.approx([h, h, b, b], rel=1e-9)
    shorter = bandwidths(rows, Local(p=p, variance="hc0", rule="cerrd"))
    assert shorter.h == pytest.approx(found.h * 500 ** (-p / ((3 + p) * (3 + 2 * p))))
    assert shorter.b == pytest.approx(found.b)


def test_rules_are_put_together_from_three():
    rows = sharp(drawn())
    h = {rule: bandwidths(rows, Local(rule=rule)).h for rule in ("mserd", "msesum", "msetwo")}
    assert bandwidths(rows, Local(rule="msecomb1")).h == pytest.approx(np.minimum(h["mserd"], h["msesum"]))
    assert bandwidths(rows, Local(rule="msecomb2")).h == pytest.approx(np.median(list(h.values()), axis=0))


def test_two_lines_by_hand():
    score = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0])
    y = np.array([1.0, 2.0, 4.0, 10.0, 11.0, 13.0])
    found = discontinuity(Scored(score=score, y=y), Local(p=1, h=5.0, kernel="uniform"))
    # least squares: left 1.5 a step to 5.33 at zero, right 1.5 from 9.83
    assert found.estimate[0] == pytest.approx(9.8333333333 - 5.3333333333)
    assert found.sides.value[0] == pytest.approx([16 / 3, 59 / 6])
    assert found.sides.polynomials[0] == pytest.approx(np.array([[16 / 3, 1.5], [59 / 6, 1.5]]))
    assert found.std_error[0] > 0 and list(found.n_h) == list(found.support_h) == [3, 3]


@pytest.mark.parametrize("tied", [False, True])
def test_covariates_are_partialled_out(tied):
    """The slope is that of the weighted regression with both polynomials in it."""
    rows = drawn(tied=tied)
    rows = sharp(rows, covariates=rows.covariates)
    found = discontinuity(rows, Local(h=0.7))
    x, right = rows.score, (rows.score >= 0).astype(float)
    design = np.column_stack(
        [1 - right, right, x * (1 - right), x * right, rows.covariates - rows.covariates[0]]
    )
    root = np.sqrt(triangular(x, 0.7))
    slopes = np.linalg.lstsq(design * root[:, None], rows.y * root, rcond=None)[0]
    assert found.covariates[:, 0] == pytest.approx(slopes[4:], rel=1e-7)
    assert found.estimate[0] == pytest.approx(slopes[1] - slopes[0], rel=1e-9)
    held = discontinuity(sharp(rows, y=rows.y - rows.covariates @ slopes[4:]), Local(h=0.7))
    assert found.std_error == pytest.approx(held.std_error, rel=1e-7)


def test_limits_are_those_of_average_covariates():
    rows = drawn()
    rows = sharp(rows, covariates=rows.covariates)
    found = discontinuity(rows, Local(h=0.7))
    plain = discontinuity(sharp(rows), Local(h=0.7))
    assert found.sides.value[0] == pytest.approx(plain.sides.value[0], abs=0.3)
    assert found.sides.jump[0] == pytest.approx(found.estimate[0])


def test_collinear_covariates_are_dropped_in_the_callers_order():
    rows = drawn()
    first, second = rows.covariates.T
    many = np.column_stack([np.full(500, 7.0), first, 2 * first - 1, rows.score, second, first * 1e-9])
    found = discontinuity(sharp(rows, covariates=many), Local(h=0.7))
    two = discontinuity(sharp(rows, covariates=rows.covariates), Local(h=0.7))
    assert list(found.kept) == [False, True, False, False, True, False]
    assert np.array_equal(np.isnan(found.covariates[:, 0]), ~found.kept)
    assert found.covariates[found.kept] == pytest.approx(two.covariates, rel=1e-6)
    assert found.std_error == pytest.approx(two.std_error, rel=1e-7)


@pytest.mark.parametrize("fuzzy", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_units_and_order_do_not_matter(fuzzy, tied):
    rows = drawn(tied=tied)
    rows = replace(rows, uptake=rows.uptake if fuzzy else None)
    local = Local(variance="nn", mass_points="adjust")
    found = discontinuity(replace(rows, clusters=None), local)
    order = np.random.default_rng(0).permutation(500)
    other = Scored(
        score=(rows.score[order]) * 2.0**30 + 2.0**33,
        cutoff=2.0**33,
        y=rows.y[order] * 1e-9,
        uptake=None if rows.uptake is None else rows.uptake[order],
        covariates=rows.covariates[order] * [1e6, 1e-6],
        weights=rows.weights[order] * 1e5,
    )
    scaled = discontinuity(other, local)
    assert scaled.h == pytest.approx(found.h * 2.0**30, rel=1e-7)
    assert scaled.estimate * 1e9 == pytest.approx(found.estimate, rel=1e-6)
    assert scaled.std_error * 1e9 == pytest.approx(found.std_error, rel=1e-6)


def test_clusters_of_one_row_are_hc1_but_for_its_factor():
    rows = sharp(drawn(), clusters=np.arange(500) * 10**12)
    single = discontinuity(rows, Local(variance="cr1", h=0.5))
    plain = discontinuity(sharp(rows), Local(variance="hc0", h=0.5))
    assert single.variance == "cr1" and list(single.groups) == list(single.n_h)
    assert single.std_error == pytest.approx(plain.std_error, rel=0.02)
    jackknife = discontinuity(rows, Local(variance="cr3", h=0.5))
    assert jackknife.std_error == pytest.approx(
        discontinuity(sharp(rows), Local(variance="hc3", h=0.5)).std_error
    )


@pytest.mark.parametrize(("asked", "used"), [("nn", "cr1"), ("hc2", "cr2"), ("hc3", "cr3"), ("cr2", "cr2")])
def test_clusters_decide_between_the_variances(asked, used):
    local = Local(variance=asked, h=0.5)
    assert discontinuity(drawn(), local).variance == used
    without = discontinuity(sharp(drawn()), local).variance
    assert without == (asked if asked != "cr2" else "hc2")


def test_many_outcomes_are_those_one_by_one():
    rows = sharp(drawn())
    ys = np.column_stack([rows.y, np.ones(500), rows.score**2 + rows.y])
    found = list(discontinuity_many(rows, ys, Local()))
    assert isinstance(found[1], EstimationError)
    for j in (0, 2):
        alone = discontinuity(replace(rows, y=ys[:, j]), Local())
        assert found[j].estimate == pytest.approx(alone.estimate, rel=1e-12)
        assert found[j].std_error == pytest.approx(alone.std_error, rel=1e-12)


def test_high_orders_stay_accurate():
    """A polynomial of the fitted order is met exactly, at any order."""
    rng = np.random.default_rng(5)
    score = rng.uniform(-1, 1, 4000)
    noise = 1e-3 * rng.normal(size=4000)
    y = 1 + score - 2 * score**5 + 0.7 * (score >= 0)
    exact = discontinuity(Scored(score=score, y=y + noise), Local(p=6, h=1.0, variance="hc0"))
    only = discontinuity(Scored(score=score, y=noise), Local(p=6, h=1.0, variance="hc0"))
    assert exact.estimate - only.estimate == pytest.approx(0.7, abs=1e-10)


def test_level_and_pairs_of_bandwidths():
    rows = sharp(drawn())
    wide, narrow = (discontinuity(rows, Local(h=(0.4, 0.7), b=0.8, level=level)) for level in (0.99, 0.8))
    assert list(wide.h) == [0.4, 0.7] and list(wide.b) == [0.8, 0.8] and wide.rule == "manual"
    ratio = (wide.high - wide.low) / (narrow.high - narrow.low)
    assert ratio == pytest.approx(2.5758293 / 1.2815516)
    assert discontinuity(rows, Local(h=0.4, rho=0.5)).b == pytest.approx([0.8, 0.8])
