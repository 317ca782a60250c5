import numpy as np
import pytest
import statsmodels.api as sm

from qieval.errors import EstimationError
from qieval.numerics.instruments_exclusion import exclusion
from qieval.numerics.means import covariance
from qieval.numerics.residual_inclusion import Stages, fit_stage, residual_inclusion

FAMILIES = {
    "linear": sm.families.Gaussian(),
    "logistic": sm.families.Binomial(),
    "probit": sm.families.Binomial(sm.families.links.Probit()),
    "poisson": sm.families.Poisson(),
}
PAIRS = [
    ("logistic", "logistic"),
    ("probit", "probit"),
    ("linear", "poisson"),
    ("logistic", "poisson"),
    ("linear", "linear"),
    ("probit", "linear"),
]


def sample(seed=0, n=400, outcome="binary"):
    """The residual of the first stage is the unobserved cause itself only in the linear model."""
    rng = np.random.default_rng(seed)
    w = np.column_stack([np.ones(n), rng.normal(size=n)])
    z = rng.normal(size=(n, 2))
    hidden = rng.normal(size=n)
    x = (z @ [1.0, 0.5] + 0.4 * w[:, 1] + hidden > 0).astype(float)
    linear = -0.3 + 0.6 * x + 0.3 * w[:, 1] + 0.5 * hidden
    time = rng.uniform(0.5, 4.0, n)
    if outcome == "binary":
        y = (rng.random(n) < 1 / (1 + np.exp(-linear))).astype(float)
    else:
        y = rng.poisson(time * np.exp(linear)).astype(float)
    return {"y": y, "x": x, "z": z, "w": w}, time


def difference(found, clusters=None):
    v = covariance(found.means, clusters)
    return found.means.mean1 - found.means.mean0, np.sqrt(v[0, 0] + v[1, 1] - 2 * v[0, 1])


def stages_for(first, second, time):
    return Stages(first=first, second=second, person_time=time if second == "poisson" else None)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_both_stages_and_the_means_against_glm(first, second):
    rows, time = sample(outcome="count" if second == "poisson" else "binary")
    y, x, z, w = rows.values()
    found = residual_inclusion(**rows, stages=stages_for(first, second, time))
    one = sm.GLM(x, np.column_stack([w, z]), FAMILIES[first]).fit(tol=1e-13, maxiter=200)
    design = np.column_stack([x, w, x - one.fittedvalues])
    exposure = time if second == "poisson" else None
    two = sm.GLM(y, design, FAMILIES[second], exposure=exposure).fit(tol=1e-13, maxiter=200)
    assert found.first.beta == pytest.approx(one.params, rel=1e-7, abs=1e-9)
    assert found.second.beta == pytest.approx(two.params, rel=1e-7, abs=1e-8)
    assert found.converged
    weight = time / time.sum() if second == "poisson" else np.full(len(y), 1 / len(y))
    for level, mean in ((1.0, found.means.mean1), (0.0, found.means.mean0)):
        held = np.column_stack([np.full(len(y), level), design[:, 1:]])
        assert mean == pytest.approx(weight @ two.model.family.link.inverse(held @ two.params), rel=1e-8)


def numbers(found):
    return np.array([found.means.mean1, found.means.mean0, *found.second.beta])


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_influence_against_the_derivative_by_each_row_s_weight(first, second):
    rows, time = sample(n=80, outcome="count" if second == "poisson" else "binary")
    stages = stages_for(first, second, time)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 80)
    found = residual_inclusion(**rows, stages=stages, weights=weights)
    ours = np.column_stack([found.means.influence, found.influence])
    some = range(0, 80, 7)
    slow = np.empty((len(some), ours.shape[1]))
    for place, i in enumerate(some):
        step = np.where(np.arange(80) == i, 1e-4, 0.0)
        up, down = (
            numbers(residual_inclusion(**rows, stages=stages, weights=weights + s * step)) for s in (1, -1)
        )
        slow[place] = weights[i] * (up - down) / 2e-4
    assert ours[some] == pytest.approx(slow, rel=1e-5, abs=1e-6 * np.abs(slow).max())


def test_a_linear_model_throughout_is_two_stage_least_squares():
    rows, _ = sample()
    rows["z"] = rows["z"][:, :1]
    found = residual_inclusion(**rows, stages=Stages(first="linear", second="linear"))
    iv = exclusion(rows["y"], rows["x"], rows["z"], rows["w"])
    n, k = 400, 3
    value, error = difference(found)
    assert value == pytest.approx(iv.beta, rel=1e-9)
    assert error * np.sqrt(n / (n - k)) == pytest.approx(np.sqrt(iv.form[0, 0]), rel=1e-9)
    assert found.covariance()[0, 0] == pytest.approx(error**2, rel=1e-9)


def test_clusters_add_up_within():
    rows, _ = sample()
    twice = {name: np.concatenate([v, v]) for name, v in rows.items()}
    single, paired = residual_inclusion(**rows), residual_inclusion(**twice)
    codes = np.tile(np.arange(400), 2)
    assert difference(paired, codes) == pytest.approx(difference(single), rel=1e-8)
    assert paired.residual_test(codes)[:2] == pytest.approx(single.residual_test()[:2], rel=1e-8)


def test_shift_of_a_continuous_treatment():
    rows, time = sample(outcome="count")
    rows["x"] = rows["x"] + rows["z"][:, 0]
    stages = Stages(first="linear", second="poisson", person_time=time, shift=0.5)
    found = residual_inclusion(**rows, stages=stages)
    ratio = found.means.mean1 / found.means.mean0
    assert ratio == pytest.approx(np.exp(0.5 * found.second.beta[0]), rel=1e-10)
    assert found.means.mean0 == pytest.approx(rows["y"].sum() / time.sum(), rel=1e-8)


def test_units_and_order_do_not_matter():
    rows, _ = sample()
    order = np.random.default_rng(0).permutation(400)
    moved = {name: v[order] for name, v in rows.items()}
    moved["z"] = moved["z"] * [1e5, 1e-5]
    moved["w"] = np.column_stack([moved["w"][:, 0], 1e4 * moved["w"][:, 1] + 1e5])
    for stages in (Stages(), Stages(first="probit", second="probit")):
        one, other = residual_inclusion(**rows, stages=stages), residual_inclusion(**moved, stages=stages)
        assert difference(one) == pytest.approx(difference(other), rel=1e-6)


def test_rows_without_weight_are_not_used():
    rows, _ = sample()
    weights = (np.arange(400) >= 50).astype(float)
    kept = {name: v[50:] for name, v in rows.items()}
    rows["y"] = np.where(weights == 0, np.nan, rows["y"])
    for stages in (Stages(), Stages(first="probit", second="probit")):
        found = residual_inclusion(**rows, stages=stages, weights=weights)
        assert difference(found) == pytest.approx(
            difference(residual_inclusion(**kept, stages=stages)), rel=1e-8
        )


def test_probit_stage_has_the_covariance_of_the_observed_information():
    rows, _ = sample()
    design = np.column_stack([rows["z"], 2 * rows["w"][:, 0], rows["z"][:, 0] + 1, rows["w"][:, 1]])
    fit = fit_stage(design, rows["x"], np.ones(400), "probit")
    kept = [0, 1, 2, 4]
    peer = sm.Probit(rows["x"], design[:, kept]).fit(disp=0, tol=1e-12)
    assert fit.aliased.tolist() == [False, False, False, True, False]
    assert fit.beta[kept] == pytest.approx(peer.params, rel=1e-6)
    assert fit.bread[np.ix_(kept, kept)] == pytest.approx(peer.cov_params(), rel=1e-5, abs=1e-9)


@pytest.mark.slow
def test_the_interval_covers_where_the_model_holds():
    """Linear treatment and a Poisson outcome whose unobserved cause is the first-stage error."""
    covered, repeats = 0, 150
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        n = 600
        w, z, hidden = np.ones((n, 1)), rng.normal(size=(n, 1)), rng.normal(size=n)
        x = 0.7 * z[:, 0] + hidden
        y = rng.poisson(np.exp(0.2 + 0.3 * x + 0.4 * hidden)).astype(float)
        found = residual_inclusion(y, x, z, w, Stages(first="linear", second="poisson"))
        error = np.sqrt(found.covariance()[0, 0])
        covered += abs(found.second.beta[0] - 0.3) < 1.96 * error
    assert abs(covered / repeats - 0.95) < 3 * np.sqrt(0.05 * 0.95 / repeats)


def test_what_cannot_be_estimated_is_an_error():
    rows, time = sample()
    with pytest.raises(EstimationError, match="first stage predicts"):
        residual_inclusion(**(rows | {"z": rows["x"][:, None] + 0.0}))
    with pytest.raises(EstimationError, match="no instrument varies"):
        residual_inclusion(**(rows | {"z": np.full((400, 1), 4.0)}))
    with pytest.raises(EstimationError, match="nothing to include"):
        residual_inclusion(**(rows | {"z": rows["x"][:, None]}), stages=Stages(first="linear"))
    with pytest.raises(ValueError, match="person-time"):
        residual_inclusion(**rows, stages=Stages(person_time=time))
    with pytest.raises(ValueError, match="between 0 and 1"):
        residual_inclusion(**(rows | {"y": rows["y"] * 3}))
    with pytest.raises(ValueError, match="0 or 1"):
        residual_inclusion(**(rows | {"x": rows["x"] * 3}), stages=Stages(first="probit"))
