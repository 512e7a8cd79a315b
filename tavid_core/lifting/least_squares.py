"""Small robust least squares with few variables per row: Levenberg-Marquardt on sparse matrices.

Shape suffixes: R rows of one kind, M variables that a row depends on, N all variables.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array, diags_array, eye_array
from scipy.sparse.linalg import splu

__all__ = ["LeastSquaresFit", "Rows", "minimize"]

# In standard deviations: a row that is off by more is an outlier and loses its say.
OUTLIER_SIGMAS = 3.0
MAX_DAMPING = 1e8
RIDGE = 1e-6


@dataclasses.dataclass(frozen=True)
class Rows:
    """Residuals of one kind, in standard deviations, with their derivatives.

    Args:
        variables: Which variables each row depends on, int (R, M).
        jacobian: Derivatives by them, float64 (R, M).
        residual: float64 (R,).
        is_robust: Whether outliers are to be expected (Cauchy weights).
    """

    variables: NDArray[np.int64]
    jacobian: NDArray[np.float64]
    residual: NDArray[np.float64]
    is_robust: bool = False

    @property
    def cost(self) -> float:
        """Half the sum of squares, or its robust stand-in."""
        squares = self.residual**2
        if self.is_robust:
            squares = OUTLIER_SIGMAS**2 * np.log1p(squares / OUTLIER_SIGMAS**2)
        return 0.5 * float(squares.sum())

    @property
    def weight(self) -> NDArray[np.float64]:
        """Weight of each row in the normal equations, float64 (R,)."""
        if not self.is_robust:
            return np.ones(len(self.residual))
        return 1.0 / (1.0 + (self.residual / OUTLIER_SIGMAS) ** 2)


@dataclasses.dataclass(frozen=True)
class LeastSquaresFit:
    """Where the sum of squares is smallest.

    Args:
        values: float64 (N,).
        variance: Of each variable if the stated standard deviations are right, float64 (N,).
        cost: Half the robust sum of squares there.
        num_iterations: Steps that were tried.
        is_converged: Whether the last steps changed next to nothing.
    """

    values: NDArray[np.float64]
    variance: NDArray[np.float64]
    cost: float
    num_iterations: int
    is_converged: bool


def minimize(
    make_rows: Callable[[NDArray[np.float64]], Sequence[Rows]],
    start: NDArray[np.float64],
    *,
    max_iterations: int = 30,
    tolerance: float = 1e-4,
) -> LeastSquaresFit:
    """Minimise a sum of squares by damped Gauss-Newton steps.

    Args:
        make_rows: Gives all residuals at a point; every variable must occur in some row.
        start: Where to begin, float64 (N,).
        max_iterations: Steps at most.
        tolerance: A relative decrease of the cost below this ends the search.

    Returns:
        The fit; the start itself where no step was better.
    """
    values, damping = start.astype(np.float64), 1e-3
    rows = make_rows(values)
    cost = sum(row.cost for row in rows)
    is_converged, iteration = False, 0
    normal, gradient = _normal_equations(rows, len(values))
    while not is_converged and iteration < max_iterations and damping < MAX_DAMPING:
        iteration += 1
        damped = normal + diags_array(damping * (normal.diagonal() + 1e-9))
        candidate = values - _solve(damped, gradient)
        new_rows = make_rows(candidate)
        new_cost = sum(row.cost for row in new_rows)
        # Written so that NaN counts as worse.
        if not new_cost < cost:
            damping *= 8.0
            continue
        is_converged = cost - new_cost < tolerance * max(cost, 1e-9)
        values, rows, cost, damping = candidate, new_rows, new_cost, damping / 5.0
        normal, gradient = _normal_equations(rows, len(values))
    # A step that cannot be bettered is a minimum too.
    is_converged = is_converged or damping >= MAX_DAMPING
    # The ridge keeps a variable that no row pins down from stopping everything: it gets a variance
    # so large that nobody trusts it.
    ridged = normal + RIDGE * eye_array(len(values))
    variance = np.diag(_solve(ridged, np.eye(len(values))))
    return LeastSquaresFit(values, np.maximum(variance, 0.0), cost, iteration, is_converged)


def _normal_equations(
    rows: Sequence[Rows], num_values: int
) -> tuple[csc_array, NDArray[np.float64]]:
    cells, products = [], []
    gradient = np.zeros(num_values)
    for kind in rows:
        weighted = kind.jacobian * kind.weight[:, None]
        pairs = np.broadcast_arrays(kind.variables[:, :, None], kind.variables[:, None, :])
        cells.append(np.stack([side.ravel() for side in pairs]))
        products.append((weighted[:, :, None] * kind.jacobian[:, None, :]).ravel())
        pull = weighted * kind.residual[:, None]
        np.add.at(gradient, kind.variables.ravel(), pull.ravel())
    places = np.concatenate(cells, axis=1)
    normal = coo_array((np.concatenate(products), tuple(places)), shape=(num_values, num_values))
    return normal.tocsc(), gradient


def _solve(matrix: csc_array, right_side: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve a symmetric positive definite system; NaN where the matrix is singular.

    A dense solver of numpy would wake a thread per core for it, and on a robot whose cores have
    other work these wait for each other for longer than one of them needs alone.
    """
    try:
        factors = splu(
            matrix.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError:
        # What SuperLU says of a singular matrix, and of one that holds NaN or infinity.
        return np.full_like(right_side, np.nan)
    return factors.solve(right_side)
