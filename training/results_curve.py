"""The area under a learning curve, and how sure it is.

Shapes: K draws, P places of a curve, S seeds, N scenes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Area", "Curve", "common_range", "measure_area"]

NUM_DRAWS = 2000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """Target contact against steps or clips.

    Args:
        points: Pairs of place (steps or clips, 1 or more, growing) and rate (0..1).
        verdicts: By place, of each seed the first letters of the referee's verdicts, scene by
            scene; a place that the log holds rates of only is left out.
    """

    points: tuple[tuple[int, float], ...]
    verdicts: Mapping[int, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Area:
    """Area under a curve, as a share of the whole.

    Args:
        value: The mean rate over the doublings of places, 0..1.
        interval: 95 % by bootstrap over scenes, seeds taken as they are; None where verdicts of
            single scenes are missing.
        places: From where to where.
    """

    value: float
    interval: tuple[float, float] | None
    places: tuple[int, int]


def common_range(curves: Sequence[Curve]) -> tuple[int, int] | None:
    """Find between which places curves can be compared.

    Args:
        curves: Those of one table or plot; curves of a single point count as none.

    Returns:
        First and last place that all of them have; None if there are not two.
    """
    places = [{place for place, _ in curve.points} for curve in curves if len(curve.points) > 1]
    shared = sorted(set.intersection(*places)) if places else []
    return (shared[0], shared[-1]) if len(shared) > 1 else None


def measure_area(curve: Curve, places: tuple[int, int] | None) -> Area | None:
    """Measure the area under a part of a curve, over the logarithm of its places.

    Args:
        curve: Of one row.
        places: What `common_range` gave, so that rows that were trained longer are not better off.

    Returns:
        The area; None for a curve of a single point, or without a range.
    """
    if places is None or len(curve.points) < 2:
        return None
    part = [point for point in curve.points if places[0] <= point[0] <= places[1]]
    at_P, rates_P = (np.array(column, dtype=float) for column in zip(*part, strict=True))
    return Area(
        value=float(_areas(at_P, rates_P[None])[0]), interval=_interval(curve, at_P), places=places
    )


def _areas(at_P: NDArray[np.float64], rates_KP: NDArray[np.float64]) -> NDArray[np.float64]:
    logs = np.log(at_P)
    means_KP = (rates_KP[:, 1:] + rates_KP[:, :-1]) / 2
    return means_KP @ np.diff(logs) / (logs[-1] - logs[0])


def _interval(curve: Curve, at_P: NDArray[np.float64]) -> tuple[float, float] | None:
    """Draw scenes again and again; a scene keeps what it has at all places, for they are the same.

    Some places are measured on the first scenes only. Those are drawn among themselves, and the
    further ones too, so that every draw has as many scenes as each place has.
    """
    found = [curve.verdicts.get(int(place)) for place in at_P]
    if not all(found):
        return None
    hits = [
        np.array([[letter == "t" for letter in one] for one in seeds]).mean(0) for seeds in found
    ]
    rng = np.random.default_rng(0)
    sizes = [0, *sorted({len(hits_N) for hits_N in hits})]
    drawn_KN = np.concatenate(
        [
            rng.integers(first, end, (NUM_DRAWS, end - first))
            for first, end in itertools.pairwise(sizes)
        ],
        axis=1,
    )
    rates_KP = np.stack([hits_N[drawn_KN[:, : len(hits_N)]].mean(1) for hits_N in hits], axis=1)
    low, high = np.percentile(_areas(at_P, rates_KP), [2.5, 97.5])
    return float(low), float(high)
