"""Figures of a benchmark: percentiles of what was timed, and how they are printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["format_table", "summarize"]

Figure = float | int | str


def summarize(name: str, values_ms: Sequence[float]) -> dict[str, Figure]:
    """Sum up what was timed.

    Args:
        name: Of the figures.
        values_ms: At least one.

    Returns:
        NAME_n, NAME_median_ms, NAME_p99_ms and NAME_max_ms. Percentiles are values that occurred;
        of fewer than 100 the 99th is the largest.
    """
    median, p99, largest = np.quantile(values_ms, (0.5, 0.99, 1.0), method="higher")
    return {
        f"{name}_n": len(values_ms),
        f"{name}_median_ms": round(float(median), 3),
        f"{name}_p99_ms": round(float(p99), 3),
        f"{name}_max_ms": round(float(largest), 3),
    }


def format_table(figures: Mapping[str, Figure], limits: Mapping[str, str]) -> str:
    """Write figures for people.

    Args:
        figures: By name.
        limits: What a figure should be, as "<= 100" or ">= 0.999", by name.

    Returns:
        Lines of name, value, limit and whether it holds.
    """
    width = max(len(name) for name in figures)
    lines = []
    for name, value in figures.items():
        limit = limits.get(name, "")
        verdict = "" if not limit else "holds" if _holds(value, limit) else "MISSED"
        lines.append(f"{name:<{width}}  {_format(value):>12}  {limit:<10} {verdict}".rstrip())
    return "\n".join(lines)


def _format(value: Figure) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _holds(value: Figure, limit: str) -> bool:
    sign, number = limit.split()
    return float(value) <= float(number) if sign == "<=" else float(value) >= float(number)


def format_json(figures: Mapping[str, Figure]) -> str:
    """Write figures for programs.

    Args:
        figures: By name.

    Returns:
        One line of JSON.
    """
    return json.dumps(dict(figures))
