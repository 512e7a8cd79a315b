"""Tables and plots of everything that was measured: `python -m training.results`.

Reads the run log that `training.ablate` writes, and writes results.md, results.json and the plots
beside it. Nothing is trained.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from tavid_core.errors import InputError, TavidError
from training.quality import QUALITY_NAMES
from training.results_plot import draw_curves
from training.results_table import ResultRow, collect, curve_area
from training.rows import ROWS, SAME_RUN
from training.run_log import RunLog

__all__ = ["main", "write_results"]

GROUP_TITLES = {
    "main": "Main rows",
    "lambda": "Weight of the attention loss",
    "parts": "Parts",
    "blocks": "Which blocks are supervised",
    "direction": "Which way the attention is read",
    "clips": "How many clips",
}
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def write_results(log: RunLog, folder: Path) -> None:
    """Write results.json, the plots, and the tables into results.md between its marks.

    Args:
        log: The measurements.
        folder: Holds results.md, or will.

    Raises:
        InputError: If nothing was measured, or results.md lost its marks.
    """
    rows = collect(log)
    if not rows:
        raise InputError(
            f"log must hold measurements, got none in {log.path}. Run training.ablate."
        )
    page = folder / "results.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else f"# Results\n\n{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"results.md must hold {BEGIN} and {END}, got neither. Put them back.")
    scenes = list(dict.fromkeys(row.scenes for row in rows))
    plots = [draw_curves(rows, name, folder / "images" / f"results_{name}.png") for name in scenes]
    parts = [_tables(rows, name) for name in scenes]
    for name, plot in zip(scenes, plots, strict=True):
        if plot is not None:
            parts.append(
                f"![target contact against steps]({plot.relative_to(folder)})\n\n*{name}*\n"
            )
    body = "\n".join(parts)
    page.write_text(f"{before}{BEGIN}\n\n{body}\n{END}{after}", encoding="utf-8")
    document = json.dumps(_document(rows, scenes), indent=1)
    (folder / "results.json").write_text(document + "\n", encoding="utf-8")


def _tables(rows: Sequence[ResultRow], scenes: str) -> str:
    lines = [f"## Scenes: {scenes}", ""]
    for group, title in GROUP_TITLES.items():
        found = [row for row in rows if row.scenes == scenes and row.group == group]
        if not found:
            continue
        if group not in ("main", "parts"):
            found += [row for row in rows if row.scenes == scenes and row.name == "tavid"]
        lines += [f"### {title}", "", *_table(found), ""]
    measured = [row for row in rows if row.scenes == scenes and row.quality]
    if measured:
        lines += ["### Quality", "", *_quality_table(measured), ""]
    return "\n".join(lines)


def _table(rows: Sequence[ResultRow]) -> list[str]:
    head = (
        "| row | steps | clips | target | wrong | none | area under the curve | attention IoU | "
        "scenes x seeds | paper |"
    )
    lines = [head, "|" + "---|" * 10]
    for row in rows:
        low, high = row.interval
        area, iou = curve_area(row), row.attention_iou
        lines.append(
            f"| {row.title} | {row.step or '-'} | {row.num_clips or '-'} | "
            f"**{row.target_contact:.3f}** [{low:.3f}, {high:.3f}] | {row.wrong_target:.3f} | "
            f"{row.no_contact:.3f} | {_number(area)} | {_number(iou)} | "
            f"{row.num_scenes} x {len(row.seeds)} | {_number(row.paper)} |"
        )
    return lines


def _quality_table(rows: Sequence[ResultRow]) -> list[str]:
    names = " | ".join(name.replace("_", " ") for name in QUALITY_NAMES)
    lines = [f"| row | steps | {names} |", "|" + "---|" * (2 + len(QUALITY_NAMES))]
    for row in rows:
        values = " | ".join(_number(row.quality.get(name)) for name in QUALITY_NAMES)
        lines.append(f"| {row.title} | {row.step or '-'} | {values} |")
    return lines


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"


def _document(rows: Sequence[ResultRow], scenes: Sequence[str]) -> dict[str, object]:
    by_scenes = {
        name: {row.name: row.to_json() for row in rows if row.scenes == name} for name in scenes
    }
    for found in by_scenes.values():
        found |= {name: found[same] for name, same in SAME_RUN.items() if same in found}
    return {"rows": by_scenes[scenes[0]], "scenes": by_scenes, "known_rows": list(ROWS)}


def main(arguments: list[str] | None = None) -> int:
    """Write the results.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0 done, 2 the log is unusable.
    """
    parser = argparse.ArgumentParser(prog="python -m training.results", description=__doc__)
    parser.add_argument("--log", type=Path, default=Path("docs/results/runs.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of results.md")
    options = parser.parse_args(arguments)
    try:
        write_results(RunLog(options.log), options.out)
    except TavidError as error:
        print(f"results: {error}", file=sys.stderr)
        return 2
    print(options.out / "results.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
