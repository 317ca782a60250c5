import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import minimize

from qieval.numerics.calibration import Null, calibrate, calibrated_p, fit_null, leave_one_out, plain_p


def controls(n=40, mean=0.3, sd=0.2, seed=0):
    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.05, 0.5, n)
    return rng.normal(mean, np.sqrt(sd**2 + errors**2)), errors


def likelihood(parameters, estimates, errors):
    mean, sd = parameters[0], np.exp(parameters[1])
    return -stats.norm.logpdf(estimates, mean, np.sqrt(sd**2 + errors**2)).sum()


@pytest.mark.parametrize("seed", range(5))
def test_the_null_is_the_maximum_of_the_likelihood(seed):
    estimates, errors = controls(seed=seed)
    null = fit_null(estimates, errors)
    found = min(
        (
            minimize(likelihood, [start, spread], args=(estimates, errors), method="Nelder-Mead", tol=1e-12)
            for start in (0.0, 1.0)
            for spread in (-4.0, 0.0)
        ),
        key=lambda one: one.fun,
    )
    assert null.converged
    assert null.log_likelihood == pytest.approx(-found.fun, abs=1e-9)
    assert null.mean == pytest.approx(found.x[0], abs=1e-5)
    assert null.sd == pytest.approx(np.exp(found.x[1]), abs=1e-4)


def test_equal_errors_have_a_closed_form():
    estimates = np.array([0.0, 1.0, 2.0, 5.0])
    null = fit_null(estimates, np.full(4, 0.5))
    assert null.mean == pytest.approx(2.0)
    assert null.sd == pytest.approx(np.sqrt(estimates.var() - 0.25), rel=1e-12)


def test_controls_that_vary_no_more_than_chance_have_no_spread():
    null = fit_null(np.array([0.1, 0.2, 0.15]), np.full(3, 1.0))
    assert null.sd == 0 and null.converged and null.mean == pytest.approx(0.15)
    same = fit_null(np.full(3, 0.4), np.array([0.1, 0.2, 0.3]))
    assert same.sd == 0 and same.expected_error == pytest.approx(0.4)


def test_units_do_not_matter():
    estimates, errors = controls()
    one, other = fit_null(estimates, errors), fit_null(1e6 * estimates, 1e6 * errors)
    assert (other.mean, other.sd) == pytest.approx((1e6 * one.mean, 1e6 * one.sd), rel=1e-9)


@pytest.mark.parametrize(("mean", "sd"), [(0.8, 0.3), (-0.1, 0.5), (0.0, 1.0)])
def test_expected_error_is_an_integral(mean, sd):
    expected = quad(lambda x: abs(x) * stats.norm.pdf(x, mean, sd), -8, 8, points=[0, mean])[0]
    assert Null(mean, sd, 9, 0.0, True).expected_error == pytest.approx(expected, rel=1e-8)


def test_a_null_without_error_changes_nothing():
    nothing = Null(0.0, 0.0, 9, 0.0, True)
    assert calibrated_p(nothing, 0.5, 0.2) == pytest.approx(2 * stats.norm.sf(2.5))
    assert plain_p(0.5, 0.2) == calibrated_p(nothing, 0.5, 0.2)
    found = calibrate(nothing, 0.5, 0.2, level=0.9)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.9, 0.5, 0.2))


def test_p_and_interval_agree():
    null = Null(0.3, 0.2, 9, 0.0, True)
    found = calibrate(null, 0.9, 0.25)
    edge = calibrated_p(null, 0.9 - found.low, 0.25)
    assert edge == pytest.approx(0.05)


def test_leaving_one_out():
    estimates, errors = controls(8)
    found = leave_one_out(estimates, errors)
    others = fit_null(np.delete(estimates, 2), np.delete(errors, 2))
    assert (found.mean[2], found.sd[2]) == (others.mean, others.sd)
    assert found.p[2] == calibrated_p(others, estimates[2], errors[2])
    assert found.expected_error[2] == others.expected_error


@pytest.mark.slow
def test_calibrated_intervals_of_left_out_controls_cover():
    covered = []
    for seed in range(20):
        estimates, errors = controls(50, 0.4, 0.3, seed)
        found = leave_one_out(estimates, errors)
        covered.append(((found.low <= 0) & (found.high >= 0)).mean())
    assert np.mean(covered) == pytest.approx(0.94, abs=0.02)
