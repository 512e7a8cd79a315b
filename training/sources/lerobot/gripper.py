"""Contact from a gripper: it closes on something, and opens to let it go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_grasps"]

# Shares of the gripper's whole way. It stops early on something thick, so the end is no sign.
CLOSING_SHARE = 0.2
OPENING_SHARE = 0.2
CLOSED_AT_START = 0.75


def find_grasps(closed_share: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell when the gripper holds something.

    Args:
        closed_share: float (T,), 0 open to 1 closed; NaN is taken as the value before.

    Returns:
        bool (T,): from when it has closed by a fifth of its way to when it has opened by a fifth.
        A gripper that is closed at the start holds until it opens: nobody knows what is in it.
    """
    holds = np.zeros(len(closed_share), dtype=bool)
    is_holding, extreme, last = None, 0.0, 0.0
    for place, value in enumerate(closed_share):
        value = last if np.isnan(value) else float(value)
        if is_holding is None:
            is_holding, extreme = value > CLOSED_AT_START, value
        elif is_holding:
            extreme = max(extreme, value)
            if value < extreme - OPENING_SHARE:
                is_holding, extreme = False, value
        else:
            extreme = min(extreme, value)
            if value > extreme + CLOSING_SHARE:
                is_holding, extreme = True, value
        holds[place], last = is_holding, value
    return holds
