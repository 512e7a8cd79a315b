"""Learning curves of the measured rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from tavid_core.errors import MissingExtraError
from training.results_table import ResultRow

__all__ = ["draw_curves"]


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
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            f"draw_curves must have matplotlib, got {error}. pip install 'tavid[viz]'"
        ) from error
    here = [row for row in rows if row.scenes == scenes]
    curves = [row for row in here if len(row.curve) > 1]
    if not curves:
        return None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for row in curves:
        steps, rates = zip(*row.curve, strict=True)
        style = {"linewidth": 2.5} if row.group == "main" else {"linewidth": 1, "linestyle": "--"}
        axes.plot(steps, rates, marker="o", markersize=4, label=row.title, **style)
    untrained = [row for row in here if row.step == 0]
    for row, style in zip(untrained, itertools.cycle((":", "-.")), strict=False):
        axes.axhline(row.target_contact, color="grey", linestyle=style, label=row.title)
    steps = sorted({step for row in curves for step, _ in row.curve})
    axes.set_xscale("log")
    axes.set_xticks(steps, [f"{step:,}" for step in steps])
    axes.minorticks_off()
    axes.set(xlabel="training steps", ylabel="target contact", ylim=(0, 1), title=scenes)
    axes.legend(fontsize=7, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path
