"""Target contact against the number of training clips, out of the rows that differ in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from training.results_curve import Area, Curve, common_places, measure_area
from training.results_table import ResultRow, at_common_step, shared_steps
from training.rows import CLIP_CURVES, ROWS
from training.run_log import RunLog

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


def collect_clips_curves(log: RunLog, rows: Sequence[ResultRow], scenes: str) -> list[ClipsCurve]:
    """Bring the rows that differ in their clips together.

    Args:
        log: That the rows were collected from.
        rows: Everything collected.
        scenes: Which held-out scenes.

    Returns:
        One per entry of `CLIP_CURVES` with two rows or more, at the last step that all rows of
        these curves were measured at, on the scenes that the tables show; none if there is no such
        step.
    """
    here = {row.name: row for row in rows if row.scenes == scenes}
    found = {
        name: [here[each] for each in members if each in here]
        for name, members in CLIP_CURVES.items()
    }
    found = {name: members for name, members in found.items() if len(members) > 1}
    together = [row for members in found.values() for row in members]
    steps = shared_steps(together)
    if not steps:
        return []
    at_step = {row.name: row for row in at_common_step(log, together)}
    curves = {
        name: _curve([at_step[row.name] for row in members], max(steps))
        for name, members in found.items()
    }
    places = common_places(list(curves.values()))
    return [
        ClipsCurve(
            name=name,
            title=ROWS[name].title,
            step=max(steps),
            points=curve.points,
            area=measure_area(curve, places),
        )
        for name, curve in curves.items()
    ]


def _curve(members: Sequence[ResultRow], step: int) -> Curve:
    ordered = sorted(members, key=lambda row: row.num_clips)
    verdicts: dict[int, dict[int, str]] = {}
    for row in ordered:
        # Other seeds may have this step as a place of a curve, on fewer scenes.
        for seed in row.seeds:
            if step in row.verdicts.get(seed, {}):
                verdicts.setdefault(seed, {})[row.num_clips] = row.verdicts[seed][step]
    points = tuple((row.num_clips, row.target_contact) for row in ordered)
    return Curve(points=points, verdicts=verdicts)
