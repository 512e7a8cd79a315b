"""Curves of the measured rows, against steps and against clips."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.figure import start_figure
from training.results_clips import ClipsCurve
from training.results_table import ResultRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_clips_curves", "draw_curves"]


def draw_curves(rows: Sequence[ResultRow], scenes: str, path: Path) -> Path | None:
    """Draw target contact against training steps.

    Args:
        rows: Everything collected.
        scenes: Which held-out scenes to draw.
        path: PNG to write.

    Returns:
        The path, or None if no row has a curve on these scenes.

    Raises:
        MissingExtraError: If matplotlib is missing.
    """
    here = [row for row in rows if row.scenes == scenes]
    curves = [row for row in here if len(row.curve) > 1]
    if not curves:
        return None
    figure, axes = start_figure(9, 4.5)
    for number, row in enumerate(curves):
        steps, rates = zip(*row.curve, strict=True)
        style = {"linewidth": 2.5} if row.group == "main" else {"linewidth": 1, "linestyle": "--"}
        # The colours begin anew after ten.
        marker = "o" if number < 10 else "s"
        axes.plot(steps, rates, marker=marker, markersize=4, label=row.title, **style)
    untrained = [row for row in here if row.step == 0]
    # Told apart even where they lie on each other.
    styles = itertools.cycle((("black", ":"), ("grey", "-."), ("lightgrey", "-")))
    for row, (color, style) in zip(untrained, styles, strict=False):
        look = {"color": color, "linestyle": style, "zorder": 1 if style == "-" else 2}
        axes.axhline(row.target_contact, label=row.title, **look)
    steps = sorted({step for row in curves for step, _ in row.curve})
    return _finish(figure, axes, path, places=steps, label="training steps", title=scenes)


def draw_clips_curves(curves: Sequence[ClipsCurve], scenes: str, path: Path) -> Path | None:
    """Draw target contact against the number of training clips.

    Args:
        curves: Of these scenes, see `collect_clips_curves`.
        scenes: What they are called.
        path: PNG to write.

    Returns:
        The path, or None without curves.

    Raises:
        MissingExtraError: If matplotlib is missing.
    """
    if not curves:
        return None
    figure, axes = start_figure(8, 4.5)
    for curve in curves:
        clips, rates = zip(*curve.points, strict=True)
        axes.plot(clips, rates, marker="o", markersize=4, label=curve.title)
    places = sorted({number for curve in curves for number, _ in curve.points})
    title = f"{scenes}, after {curves[0].step:,} steps"
    return _finish(figure, axes, path, places=places, label="training clips", title=title)


def _finish(
    figure: Figure, axes: Axes, path: Path, *, places: Sequence[int], label: str, title: str
) -> Path:
    axes.set_xscale("log")
    axes.set_xticks(places, [f"{place:,}" for place in places])
    axes.minorticks_off()
    axes.set(xlabel=label, ylabel="target contact", ylim=(0, 1), title=title)
    # Beside the axes: there is no corner that a curve may not go through.
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path
