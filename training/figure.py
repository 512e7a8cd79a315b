"""An empty figure of matplotlib, which is an extra."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tavid_core.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["start_figure"]


def start_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure with one plot, without a display.

    Args:
        width: Inches.
        height: Inches.

    Returns:
        The figure and its axes.

    Raises:
        MissingExtraError: If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("matplotlib", "viz") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
