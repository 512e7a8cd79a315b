"""Target contact against the number of training clips, out of the rows that differ in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from training.results_curve import Area, Curve, common_range, measure_area
from training.results_table import ResultRow
from training.rows import CLIP_CURVES, ROWS

__all__ = ["ClipsCurve", "collect_clips_curves"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipsCurve:
    """One curve.

    Args:
        name: Row that it is named after.
        title: For people.
        step: Training steps of all its points.
        points: Pairs of clips and target contact, mean over seeds.
        area: Over the clips that all curves of these scenes have, or None.
    """

    name: str
    title: str
    step: int
    points: tuple[tuple[int, float], ...]
    area: Area | None

    def to_json(self) -> dict[str, object]:
        """Give JSON values.

        Returns:
            The fields; the area's as "curve_area", "curve_area_interval", "curve_area_clips".
        """
        area = self.area
        return {
            "title": self.title,
            "step": self.step,
            "points": self.points,
            "curve_area": None if area is None else area.value,
            "curve_area_interval": None if area is None else area.interval,
            "curve_area_clips": None if area is None else area.places,
        }


def collect_clips_curves(rows: Sequence[ResultRow], scenes: str) -> list[ClipsCurve]:
    """Bring the rows that differ in their clips together.

    Args:
        rows: Everything collected.
        scenes: Which held-out scenes.

    Returns:
        One per entry of `CLIP_CURVES` with two rows or more, at the last step that all rows of
        these curves were measured at; none if there is no such step.
    """
    here = {row.name: row for row in rows if row.scenes == scenes}
    found = {
        name: [here[each] for each in members if each in here]
        for name, members in CLIP_CURVES.items()
    }
    found = {name: members for name, members in found.items() if len(members) > 1}
    measured = [{step for step, _ in row.curve} for members in found.values() for row in members]
    steps = set.intersection(*measured) if measured else set()
    if not steps:
        return []
    step = max(steps)
    curves = {name: _curve(members, step) for name, members in found.items()}
    places = common_range(list(curves.values()))
    return [
        ClipsCurve(
            name=name,
            title=ROWS[name].title,
            step=step,
            points=curve.points,
            area=measure_area(curve, places),
        )
        for name, curve in curves.items()
    ]


def _curve(members: Sequence[ResultRow], step: int) -> Curve:
    ordered = sorted(members, key=lambda row: row.num_clips)
    seeds = sorted({seed for row in ordered for seed in row.verdicts})
    return Curve(
        points=tuple((row.num_clips, dict(row.curve)[step]) for row in ordered),
        verdicts={
            seed: {
                row.num_clips: row.verdicts[seed][step]
                for row in ordered
                if step in row.verdicts.get(seed, {})
            }
            for seed in seeds
        },
    )
