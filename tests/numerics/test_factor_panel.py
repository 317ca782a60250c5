import numpy as np
import pytest

from qieval.numerics.factor_panel import Additive, FactorPanel, leading, pseudo_inverse


def dummies(n, t, force):
    unit, time = np.divmod(np.arange(n * t), t)
    blocks = [np.zeros((n * t, 0))]
    blocks += [np.eye(n)[unit]] if force in ("unit", "two-way") else []
    blocks += [np.eye(t)[time]] if force in ("time", "two-way") else []
    return np.hstack(blocks)


@pytest.mark.parametrize("force", ["none", "unit", "time", "two-way"])
@pytest.mark.parametrize("shape", [(9, 6), (6, 9)])
@pytest.mark.parametrize(("covariates", "filled"), [(0, 0.7), (2, 0.7), (1, 1.0)])
def test_additive_model_equals_regression_on_dummies(force, shape, covariates, filled):
    rng = np.random.default_rng(3)
    mask, y = rng.random(shape) < filled, rng.standard_normal(shape) * 5 + 100
    x = rng.standard_normal((covariates, *shape))
    columns = np.hstack([dummies(*shape, force), x.reshape(covariates, mask.size).T])[mask.ravel()]
    coefficients = np.linalg.lstsq(columns, y[mask], rcond=None)[0]
    additive = Additive(mask, force, x)
    residual = additive.residual(y)
    assert residual[mask] == pytest.approx(y[mask] - columns @ coefficients, abs=1e-9)
    assert (residual[~mask] == 0).all()
    beta = additive.coefficients(y)
    assert beta == pytest.approx(coefficients[columns.shape[1] - covariates :], abs=1e-9)
    unit, time = additive.effects(y - np.tensordot(beta, x, axes=1))
    fitted = unit[:, None] + time + np.tensordot(beta, x, axes=1)
    assert (y - fitted)[mask] == pytest.approx(residual[mask], abs=1e-9)


def test_separate_blocks_and_empty_units_are_fitted_block_by_block():
    mask = np.zeros((5, 6), dtype=bool)
    mask[:2, :3] = mask[2:4, 3:] = True
    y = np.add.outer(np.arange(5.0), np.arange(6.0) ** 2)
    assert np.abs(Additive(mask, "two-way").residual(y)).max() < 1e-12


def test_covariates_that_effects_or_others_explain_get_small_coefficients():
    rng = np.random.default_rng(0)
    mask, one = np.ones((8, 5), dtype=bool), rng.standard_normal((8, 5))
    constant_over_time = np.repeat(rng.standard_normal((8, 1)), 5, axis=1) * 1e6
    beta = Additive(mask, "two-way", np.array([one, constant_over_time, one])).coefficients(4 * one)
    assert beta == pytest.approx([2, 0, 2], abs=1e-9)


def test_leading_singular_vectors_of_wide_and_tall_matrices():
    rng = np.random.default_rng(1)
    for matrix in (rng.standard_normal((12, 7)), rng.standard_normal((7, 12))):
        exact = np.linalg.svd(matrix)[2][:3].T
        assert np.abs(np.sum(exact * leading(matrix, 3), axis=0)) == pytest.approx(1)
    assert leading(np.eye(3), 0).shape == (3, 0)


def test_pseudo_inverse_leaves_out_what_is_not_identified():
    gram = np.array([[2.0, 2.0], [2.0, 2.0]])
    assert pseudo_inverse(gram) == pytest.approx(np.linalg.pinv(gram))
    assert pseudo_inverse(np.zeros((2, 2))) == pytest.approx(np.zeros((2, 2)))


def test_cells_of_a_panel():
    start = np.array([2, 4, 1])
    y = np.arange(12.0).reshape(3, 4)
    y[0, 3] = np.nan
    panel = FactorPanel(y, np.arange(4) < start[:, None], start)
    assert panel.controls.tolist() == [False, True, False]
    assert panel.treated_cells.sum(axis=1).tolist() == [1, 0, 3]
    assert panel.pre_cells.sum(axis=1).tolist() == [2, 0, 1]
    earlier = panel.starting(np.array([1, 4, 1]))
    assert earlier.untreated.sum(axis=1).tolist() == [1, 4, 1]
    taken = panel.take(np.array([2, 2]))
    assert taken.y.tolist() == [y[2].tolist()] * 2 and taken.controls.tolist() == [False, False]
