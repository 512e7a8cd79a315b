"""Measurements brought together: one result per row and set of scenes, over its seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tavid_core.errors import InputError
from training.quality import QUALITY_NAMES
from training.referee import wilson_interval
from training.results_curve import Area, Curve, common_places, measure_area
from training.rows import ROWS
from training.run_log import RunLine, RunLog

__all__ = ["ResultRow", "at_common_step", "collect", "shared_steps", "table_areas"]

VERDICT_LETTERS = frozenset("twn")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One row of a table.

    Args:
        name: See `training.rows`.
        title: For people.
        group: Table it stands in.
        scenes: Which held-out scenes.
        step: Training steps after which the rates are; `collect` gives the last.
        num_clips: Clips trained on.
        num_scenes: Scenes per seed.
        seeds: Of the trainings.
        target_contact: Share of scenes in which the target is touched, over all seeds.
        wrong_target: Likewise another object.
        no_contact: Likewise none.
        interval: 95 % Wilson interval of `target_contact`. All seeds have the same scenes, so a
            scene counts once, by its mean: more seeds do not make it narrower.
        wrong_target_interval: Likewise of `wrong_target`.
        no_contact_interval: Likewise of `no_contact`.
        seed_spread: Standard deviation of `target_contact` over seeds; NaN for one seed.
        attention_iou: Mean over seeds, or None.
        quality: Means by the names of `training.quality`, over the seeds that have them; empty
            where none has.
        by_target_size: Per size of targets ("target_share" from and to, shares of the picture; and
            "num_scenes") the "target_contact", mean over the seeds that have it; else empty.
        curve: Pairs of step and target contact, mean over seeds, with the end.
        verdicts: See `Curve`; places are steps.
        paper: The paper's figure, or None.
    """

    name: str
    title: str
    group: str
    scenes: str
    step: int
    num_clips: int
    num_scenes: int
    seeds: tuple[int, ...]
    target_contact: float
    wrong_target: float
    no_contact: float
    interval: tuple[float, float]
    wrong_target_interval: tuple[float, float]
    no_contact_interval: tuple[float, float]
    seed_spread: float
    attention_iou: float | None
    quality: Mapping[str, float]
    by_target_size: tuple[Mapping[str, object], ...]
    curve: tuple[tuple[int, float], ...]
    verdicts: Mapping[int, Mapping[int, str]]
    paper: float | None

    def to_json(self, area: Area | None) -> dict[str, object]:
        """Give JSON values.

        Args:
            area: Under its curve, see `table_areas`.

        Returns:
            All fields but single verdicts, and the area's as "curve_area", "curve_area_interval"
            and "curve_area_steps"; NaN becomes None.
        """
        fields = dataclasses.asdict(self)
        del fields["verdicts"]
        fields["curve_area"] = None if area is None else area.value
        fields["curve_area_interval"] = None if area is None else area.interval
        fields["curve_area_steps"] = None if area is None else area.places
        return {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in fields.items()
        }


def collect(log: RunLog) -> list[ResultRow]:
    """Bring the log's lines together.

    Args:
        log: The measurements; rows that are no longer known are left out.

    Returns:
        In the order of `ROWS`, then of the scenes in the log.
    """
    scenes = list(dict.fromkeys(line.scenes for line in log.lines))
    found = []
    for row in ROWS.values():
        for name in scenes:
            steps = [line.step for line in _lines(log, row.name, name)]
            if steps:
                found.append(_collect_row(log, row.name, name, max(steps)))
    return found


def shared_steps(rows: Sequence[ResultRow]) -> set[int]:
    """List the steps that all trained rows of a table were measured at.

    Args:
        rows: Of the table; those without training have no steps and are left out.

    Returns:
        The steps; empty if no row is trained, or they share none.
    """
    steps = [{step for step, _ in row.curve} for row in rows if row.step]
    return set.intersection(*steps) if steps else set()


def at_common_step(log: RunLog, rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Bring the rows of one table to the last step that all of them were measured at.

    A row that was trained longer would look better for that alone.

    Args:
        log: That the rows were collected from.
        rows: Of the table.

    Returns:
        The rows, with whole curves; as they are if they share no step. Rows without training stay.
    """
    shared = shared_steps(rows)
    if not shared:
        return list(rows)
    return [
        row
        if row.step in (0, max(shared))
        else _collect_row(log, row.name, row.scenes, max(shared))
        for row in rows
    ]


def table_areas(rows: Sequence[ResultRow]) -> dict[str, Area | None]:
    """Measure the areas of one table, all over the steps that all its curves have.

    Args:
        rows: Of the table.

    Returns:
        By the rows' names; None for rows that are not trained or were measured once.
    """
    curves = {row.name: Curve(points=row.curve, verdicts=row.verdicts) for row in rows}
    steps = common_places(list(curves.values()))
    return {name: measure_area(curve, steps) for name, curve in curves.items()}


def _lines(log: RunLog, name: str, scenes: str) -> list[RunLine]:
    return [line for line in log.lines if (line.row, line.scenes) == (name, scenes)]


def _collect_row(log: RunLog, name: str, scenes: str, step: int) -> ResultRow:
    row, lines = ROWS[name], _lines(log, name, scenes)
    ends = _most_scenes(lines, step)
    num_scenes, curve = ends[0].num_scenes, _curve(log, lines)
    rates = {
        key: [float(log.lines[line][key]) for line in ends]
        for key in ("target_contact", "wrong_target", "no_contact")
    }
    means = {key: float(np.mean(values)) for key, values in rates.items()}
    intervals = {key: _interval(mean, num_scenes) for key, mean in means.items()}
    overlaps = [log.lines[line].get("attention_iou") for line in ends]
    overlaps = [overlap for overlap in overlaps if isinstance(overlap, (int, float))]
    return ResultRow(
        name=name,
        title=row.title,
        group=row.group,
        scenes=scenes,
        step=step,
        num_clips=ends[0].num_clips,
        num_scenes=num_scenes,
        seeds=tuple(sorted(line.seed for line in ends)),
        **{key: round(mean, 4) for key, mean in means.items()},
        interval=intervals["target_contact"],
        wrong_target_interval=intervals["wrong_target"],
        no_contact_interval=intervals["no_contact"],
        seed_spread=float(np.std(rates["target_contact"], ddof=1)) if len(ends) > 1 else math.nan,
        attention_iou=float(np.mean(overlaps)) if overlaps else None,
        quality=_quality(log, ends),
        by_target_size=_by_target_size(log, ends),
        curve=curve.points,
        verdicts=curve.verdicts,
        paper=row.paper,
    )


def _interval(rate: float, num_scenes: int) -> tuple[float, float]:
    low, high = wilson_interval(rate * num_scenes, num_scenes)
    return round(low, 4), round(high, 4)


def _quality(log: RunLog, ends: list[RunLine]) -> dict[str, float]:
    found = [log.lines[line].get("quality") for line in ends]
    measured = [quality for quality in found if isinstance(quality, dict)]
    # Some figures are younger than the first trainings: they are of the seeds that have them.
    values = {
        name: [float(quality[name]) for quality in measured if name in quality]
        for name in QUALITY_NAMES
    }
    return {name: round(float(np.mean(all_)), 4) for name, all_ in values.items() if all_}


def _by_target_size(log: RunLog, ends: list[RunLine]) -> tuple[Mapping[str, object], ...]:
    logged = [log.lines[line].get("by_target_size") for line in ends]
    found = [sizes for sizes in logged if isinstance(sizes, list)]
    # All seeds have the same scenes, so the same sizes.
    return tuple(
        {
            "target_share": tuple(same[0]["target_share"]),
            "num_scenes": same[0]["num_scenes"],
            "target_contact": round(float(np.mean([size["target_contact"] for size in same])), 4),
        }
        for same in zip(*found, strict=True)
    )


def _most_scenes(lines: list[RunLine], step: int) -> list[RunLine]:
    """Keep of a step what was measured on the most scenes: a place of a curve counts once."""
    here = [line for line in lines if line.step == step]
    num_scenes = max(line.num_scenes for line in here)
    return [line for line in here if line.num_scenes == num_scenes]


def _curve(log: RunLog, lines: list[RunLine]) -> Curve:
    """Take of each seed, at each step, what was measured on the most scenes."""
    rates: dict[int, dict[int, float]] = {}
    verdicts: dict[int, dict[int, str]] = {}
    for line in sorted(lines, key=lambda line: (line.step, line.num_scenes)):
        rates.setdefault(line.step, {})[line.seed] = float(log.lines[line]["target_contact"])
        letters = _verdicts(log, line)
        if letters is not None:
            verdicts.setdefault(line.seed, {})[line.step] = letters
    points = [(step, round(float(np.mean([*seeds.values()])), 4)) for step, seeds in rates.items()]
    return Curve(points=tuple(points), verdicts=verdicts)


def _verdicts(log: RunLog, line: RunLine) -> str | None:
    """Read the verdicts of single scenes; older measurements have none."""
    letters = log.lines[line].get("verdicts")
    if letters is None:
        return None
    is_text = isinstance(letters, str) and set(letters) <= VERDICT_LETTERS
    if not is_text or len(letters) != line.num_scenes:
        raise InputError(
            f"verdicts must be {line.num_scenes} letters of {''.join(sorted(VERDICT_LETTERS))}, "
            f"got {letters!r} for {line.row} at step {line.step}. Remove the line from the log."
        )
    return letters
