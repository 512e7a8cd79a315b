"""The area under a learning curve, and how sure it is.

Shapes: K draws, P places of a curve, N scenes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from training.scene_hits import SAME_DIGITS, draw_means, scene_hits

__all__ = ["Area", "Curve", "common_places", "measure_area"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """Target contact against steps or clips.

    Args:
        points: Pairs of place (steps or clips, 1 or more, growing) and rate (0..1).
        verdicts: By seed, by place, the first letters of the referee's verdicts, scene by scene;
            places that the log holds rates of only are left out.
    """

    points: tuple[tuple[int, float], ...]
    verdicts: Mapping[int, Mapping[int, str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Area:
    """Area under a curve, as a share of the whole.

    Args:
        value: The mean rate over the doublings of places, 0..1. Where verdicts of single scenes
            are known, of the scenes that all places have, and of the seeds that have all places:
            further scenes at the last place would bend the curve.
        interval: 95 % by bootstrap over these scenes, seeds taken as they are; None where verdicts
            are missing.
        places: From where to where.
    """

    value: float
    interval: tuple[float, float] | None
    places: tuple[int, int]


def common_places(curves: Sequence[Curve]) -> tuple[int, ...]:
    """Find the places at which curves can be compared.

    Args:
        curves: Those of one table or plot; curves of a single point count as none.

    Returns:
        All places that all of them have, growing; empty if there are not two.
    """
    places = [{place for place, _ in curve.points} for curve in curves if len(curve.points) > 1]
    shared = sorted(set.intersection(*places)) if places else []
    return tuple(shared) if len(shared) > 1 else ()


def measure_area(curve: Curve, places: Sequence[int]) -> Area | None:
    """Measure the area under a part of a curve, over the logarithm of its places.

    Places that other curves lack are left out, also between the first and the last: learning
    curves bend, and one that is known at more places would lie lower or higher for that alone.

    Args:
        curve: Of one row.
        places: What `common_places` gave, so that rows that were trained longer are not better off.

    Returns:
        The area; None for a curve of a single point, or without places.
    """
    if not places or len(curve.points) < 2:
        return None
    part = [point for point in curve.points if point[0] in places]
    at_P, rates_P = (np.array(column, dtype=float) for column in zip(*part, strict=True))
    ends = (places[0], places[-1])
    known = _known(curve, [place for place, _ in part])
    if not known:
        return Area(value=float(_areas(at_P, rates_P[None])[0]), interval=None, places=ends)
    hits_PN = np.stack([scene_hits(seeds) for seeds in zip(*known, strict=True)])
    low, high = np.percentile(_areas(at_P, draw_means(hits_PN)), [2.5, 97.5])
    return Area(
        value=float(_areas(at_P, hits_PN.mean(1)[None])[0]),
        interval=(round(float(low), SAME_DIGITS), round(float(high), SAME_DIGITS)),
        places=ends,
    )


def _known(curve: Curve, places: Sequence[int]) -> list[list[str]]:
    """List, of each seed that has them all, the verdicts at some places, of equally many scenes."""
    known = [
        [seed[place] for place in places]
        for seed in curve.verdicts.values()
        if all(place in seed for place in places)
    ]
    num_scenes = min((len(letters) for seed in known for letters in seed), default=0)
    return [[letters[:num_scenes] for letters in seed] for seed in known]


def _areas(at_P: NDArray[np.float64], rates_KP: NDArray[np.float64]) -> NDArray[np.float64]:
    logs = np.log(at_P)
    means_KP = (rates_KP[:, 1:] + rates_KP[:, :-1]) / 2
    return (means_KP @ np.diff(logs) / (logs[-1] - logs[0])).round(SAME_DIGITS)
