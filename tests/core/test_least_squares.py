"""The solver against problems with a known answer."""

import numpy as np
import pytest

from tavid_core.lifting.least_squares import Rows, minimize


def measurements(values, is_robust=False, sigma=0.5):
    index = np.zeros((len(values), 1), dtype=np.int64)

    def make_rows(x):
        return [Rows(index, np.full(index.shape, 1 / sigma), (x[0] - values) / sigma, is_robust)]

    return make_rows


def test_mean_and_its_variance():
    fit = minimize(measurements(np.array([1.0, 2.0, 6.0])), np.zeros(1))
    assert fit.is_converged
    assert fit.values[0] == pytest.approx(3.0)
    assert fit.variance[0] == pytest.approx(0.25 / 3)


def test_outliers_lose_their_say():
    values = np.array([1.0, 1.1, 0.9, 1.0, 50.0])
    assert minimize(measurements(values, is_robust=True), np.zeros(1)).values[0] == pytest.approx(
        1.0, abs=0.1
    )


def test_circle_through_points():
    angle = np.linspace(0, 5, 20)
    points = np.array([2.0, -1.0]) + 3.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def make_rows(x):
        away = x[:2] - points
        distance = np.linalg.norm(away, axis=1)
        jacobian = np.concatenate([away / distance[:, None], -np.ones((20, 1))], axis=1)
        return [Rows(np.tile([0, 1, 2], (20, 1)), jacobian, distance - x[2])]

    fit = minimize(make_rows, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(fit.values, [2.0, -1.0, 3.0], atol=1e-3)


def test_variable_that_nothing_speaks_for_is_told_to_be_unknown():
    fit = minimize(measurements(np.array([1.0])), np.zeros(2))
    assert fit.variance[1] > 1e3


def test_values_and_variances_are_those_of_the_dense_problem():
    rng = np.random.default_rng(0)
    # A chain, as frames in time are, of which every row also knows the one variable at the end.
    index = np.stack([np.arange(39), np.arange(1, 40), np.full(39, 40)], axis=1)
    index = np.concatenate([index, np.stack([np.arange(39), np.zeros(39, int), index[:, 2]], 1)])
    index = np.concatenate([index[index[:, 0] != index[:, 1]], [[39, 0, 40]]])
    jacobian, measured = rng.normal(size=index.shape), rng.normal(size=len(index))

    def make_rows(x):
        return [Rows(index, jacobian, (jacobian * x[index]).sum(1) - measured)]

    dense = np.zeros((len(index), 41))
    np.put_along_axis(dense, index, jacobian, axis=1)
    fit = minimize(make_rows, np.zeros(41), tolerance=1e-12)
    np.testing.assert_allclose(fit.values, np.linalg.lstsq(dense, measured)[0], atol=1e-4)
    variance = np.diag(np.linalg.inv(dense.T @ dense + 1e-6 * np.eye(41)))
    np.testing.assert_allclose(fit.variance, variance, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_derivatives_that_are_no_numbers_leave_the_start(value):
    def make_rows(x):
        return [Rows(np.array([[0, 1]]), np.full((1, 2), value), np.ones(1))]

    fit = minimize(make_rows, np.array([3.0, 4.0]))
    assert fit.values.tolist() == [3.0, 4.0]
    assert np.isnan(fit.variance).all()
