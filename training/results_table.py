"""Measurements brought together: one result per row and set of scenes, over its seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from training.quality import QUALITY_NAMES
from training.referee import wilson_interval
from training.rows import ROWS
from training.run_log import RunLine, RunLog

__all__ = ["ResultRow", "collect", "curve_area"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One row of a table.

    Args:
        name: See `training.rows`.
        title: For people.
        group: Table it stands in.
        scenes: Which held-out scenes.
        step: Training steps at the end.
        num_clips: Clips trained on.
        num_scenes: Scenes per seed.
        seeds: Of the trainings.
        target_contact: Share of scenes in which the target is touched, over all seeds.
        wrong_target: Likewise another object.
        no_contact: Likewise none.
        interval: 95 % Wilson interval of `target_contact`, all seeds pooled. The scenes of all
            seeds are the same ones, so the interval says nothing about other scenes than these.
        seed_spread: Standard deviation of `target_contact` over seeds; NaN for one seed.
        attention_iou: Mean over seeds, or None.
        quality: Means over seeds by the names of `training.quality`, empty where not measured.
        curve: Pairs of step and target contact, mean over seeds, with the end.
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
    seed_spread: float
    attention_iou: float | None
    quality: Mapping[str, float]
    curve: tuple[tuple[int, float], ...]
    paper: float | None

    def to_json(self) -> dict[str, object]:
        """Give JSON values.

        Returns:
            All fields; NaN becomes None.
        """
        fields = dataclasses.asdict(self)
        fields["curve_area"] = curve_area(self)
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
            lines = [line for line in log.lines if (line.row, line.scenes) == (row.name, name)]
            if lines:
                found.append(_collect_row(log, row.name, name, lines))
    return found


def _collect_row(log: RunLog, name: str, scenes: str, lines: list[RunLine]) -> ResultRow:
    row, last_step = ROWS[name], max(line.step for line in lines)
    ends = [line for line in lines if line.step == last_step]
    # A curve point that was measured again on more scenes counts once, with the most scenes.
    num_scenes = max(line.num_scenes for line in ends)
    ends = [line for line in ends if line.num_scenes == num_scenes]
    rates = {
        key: [float(log.lines[line][key]) for line in ends]
        for key in ("target_contact", "wrong_target", "no_contact")
    }
    target = float(np.mean(rates["target_contact"]))
    total = num_scenes * len(ends)
    overlaps = [log.lines[line].get("attention_iou") for line in ends]
    overlaps = [overlap for overlap in overlaps if isinstance(overlap, (int, float))]
    return ResultRow(
        name=name,
        title=row.title,
        group=row.group,
        scenes=scenes,
        step=last_step,
        num_clips=ends[0].num_clips,
        num_scenes=num_scenes,
        seeds=tuple(sorted(line.seed for line in ends)),
        target_contact=round(target, 4),
        wrong_target=round(float(np.mean(rates["wrong_target"])), 4),
        no_contact=round(float(np.mean(rates["no_contact"])), 4),
        interval=tuple(round(b, 4) for b in wilson_interval(round(target * total), total)),
        seed_spread=float(np.std(rates["target_contact"], ddof=1)) if len(ends) > 1 else math.nan,
        attention_iou=float(np.mean(overlaps)) if overlaps else None,
        quality=_quality(log, ends),
        curve=_curve(log, lines),
        paper=row.paper,
    )


def _quality(log: RunLog, ends: list[RunLine]) -> dict[str, float]:
    found = [log.lines[line].get("quality") for line in ends]
    measured = [quality for quality in found if isinstance(quality, dict)]
    return {
        name: round(float(np.mean([quality[name] for quality in measured])), 4)
        for name in QUALITY_NAMES
        if measured and all(name in quality for quality in measured)
    }


def _curve(log: RunLog, lines: list[RunLine]) -> tuple[tuple[int, float], ...]:
    steps = sorted({line.step for line in lines})
    return tuple(
        (
            step,
            round(
                float(np.mean([log.lines[x]["target_contact"] for x in lines if x.step == step])),
                4,
            ),
        )
        for step in steps
    )


def curve_area(row: ResultRow) -> float | None:
    """Area under target contact against the logarithm of steps, as a share of the whole.

    Args:
        row: Of a trained model.

    Returns:
        0..1, the mean rate over the doublings of steps; None with fewer than two points.
    """
    if len(row.curve) < 2:
        return None
    steps, rates = (np.array(column, dtype=float) for column in zip(*row.curve, strict=True))
    places = np.log(steps)
    widths = np.diff(places)
    return float((widths * (rates[1:] + rates[:-1]) / 2).sum() / (places[-1] - places[0]))
