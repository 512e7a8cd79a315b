"""Tables and plots of everything that was measured: `python -m training.results`.

Reads the run log that `training.ablate` writes, and writes results.md, results.json and the plots
beside it. Nothing is trained. `--take RUNS.jsonl` first puts another log in its place.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tavid_core.errors import InputError, TavidError
from training.quality import QUALITY_NAMES
from training.results_clips import ClipsCurve, collect_clips_curves
from training.results_curve import Area
from training.results_difference import compare
from training.results_plot import draw_clips_curves, draw_curves
from training.results_table import (
    ResultRow,
    at_common_step,
    collect,
    shared_steps,
    table_areas,
)
from training.rows import ROWS, SAME_RUN, SAME_RUN_GROUPS
from training.run_log import RunLog

__all__ = ["main", "take_log", "write_results"]

GROUP_TITLES = {
    "main": "Main rows",
    "lambda": "Weight of the attention loss",
    "parts": "Parts",
    "blocks": "Which blocks are supervised",
    "direction": "Which way the attention is read",
    "clips": "How many clips",
}
# Scenes that the figures of a row mean where no others are named.
MAIN_SCENES = "four_look_alikes"
# What all others are compared with.
OURS = "tavid"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def write_results(log: RunLog, folder: Path) -> None:
    """Write results.json, the plots, and the tables into results.md between its marks.

    Args:
        log: The measurements.
        folder: Holds results.md, or will.

    Raises:
        InputError: If nothing was measured, or on the same scenes with several base models, or
            results.md lost its marks.
    """
    rows = collect(log)
    if not rows:
        raise InputError(
            f"log must hold measurements, got none in {log.path}. Run training.ablate."
        )
    scenes = list(dict.fromkeys(row.scenes for row in rows))
    bases = {name: _base_of(log, name) for name in scenes}
    page = folder / "results.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else f"# Results\n\n{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"results.md must hold {BEGIN} and {END}, got neither. Put them back.")
    num_rows = Counter(row.scenes for row in rows)
    compared = [name for name in scenes if num_rows[name] > 1]
    clips = {name: collect_clips_curves(log, rows, name) for name in scenes}
    tables = [_tables(log, rows, name, bases[name], clips[name]) for name in compared]
    lone = _lone_table([row for row in rows if row.scenes not in compared], bases)
    body = "\n".join([*tables, *lone, *_plots(rows, clips, folder)])
    page.write_text(f"{before}{BEGIN}\n\n{body}\n{END}{after}", encoding="utf-8")
    document = json.dumps({**_document(log, rows, clips), "bases": bases}, indent=1)
    (folder / "results.json").write_text(document + "\n", encoding="utf-8")


def take_log(new: Path, committed: Path, *, may_be_smaller: bool = False) -> None:
    """Put a log of measurements in the place of another.

    Args:
        new: The log to take; it stays where it is.
        committed: The log that tables are made of; it need not exist.
        may_be_smaller: Whether to take a log with fewer measurements.

    Raises:
        InputError: If a log cannot be read, or the new one holds fewer measurements.
    """
    num_new, num_old = len(RunLog(new).lines), len(RunLog(committed).lines)
    if num_new == 0 or (num_new < num_old and not may_be_smaller):
        raise InputError(
            f"{new} must hold at least the {num_old} measurements of {committed}, got {num_new}. "
            "Measure the rest, or take it with --take-smaller."
        )
    committed.parent.mkdir(parents=True, exist_ok=True)
    part = committed.with_name(committed.name + ".part")
    part.write_bytes(new.read_bytes())
    part.replace(committed)


def _plots(
    rows: Sequence[ResultRow], clips: Mapping[str, Sequence[ClipsCurve]], folder: Path
) -> list[str]:
    parts, images = [], folder / "images"
    for name, curves in clips.items():
        plots = {
            "steps": draw_curves(rows, name, images / f"results_{name}.png"),
            "clips": draw_clips_curves(curves, name, images / f"results_{name}_clips.png"),
        }
        parts += [
            f"![target contact against {what}]({plot.relative_to(folder)})\n\n*{name}*\n"
            for what, plot in plots.items()
            if plot is not None
        ]
    return parts


def _base_of(log: RunLog, scenes: str) -> str:
    bases = log.bases(scenes)
    if len(bases) > 1:
        raise InputError(
            f"log must hold rows of one base model for {scenes}, got {bases} in {log.path}. Keep "
            "the lines of one."
        )
    return bases[0]


def _tables(
    log: RunLog,
    rows: Sequence[ResultRow],
    scenes: str,
    base: str,
    clips: Sequence[ClipsCurve],
) -> str:
    lines = [f"## Scenes: {scenes}", ""]
    lines += [f"Base model, first digits of its SHA-256: `{base or 'not logged'}`.", ""]
    for group, title in GROUP_TITLES.items():
        found = at_common_step(log, _find_group(rows, scenes, group))
        if found:
            lines += [f"### {title}", "", *_table(found), ""]
    if clips:
        lines += ["### Target contact against clips", "", *_clips_table(clips), ""]
    sized = [row for row in rows if row.scenes == scenes and row.by_target_size]
    if sized:
        lines += ["### Target contact by size of the target", "", *_size_table(sized), ""]
    measured = [row for row in rows if row.scenes == scenes and row.quality]
    if measured:
        lines += ["### Quality", "", *_quality_table(measured), ""]
    return "\n".join(lines)


def _lone_table(rows: Sequence[ResultRow], bases: Mapping[str, str]) -> list[str]:
    """Write the scenes that one row only was measured on: nothing is compared there."""
    if not rows:
        return []
    lines = ["## Scenes of a single row", ""]
    lines += ["| scenes | base model | row | steps | target | wrong | none | scenes x seeds |"]
    lines += ["|" + "---|" * 8]
    for row in rows:
        lines.append(
            f"| {row.scenes} | `{bases[row.scenes] or 'not logged'}` | {row.title} | "
            f"{row.step or '-'} | {row.target_contact:.3f} {_range(row.interval)} | "
            f"{row.wrong_target:.3f} | {row.no_contact:.3f} | {row.num_scenes} x {len(row.seeds)} |"
        )
    return [*lines, ""]


def _find_group(rows: Sequence[ResultRow], scenes: str, group: str) -> list[ResultRow]:
    """Find the rows of a table; those of the ablations end with what they are compared to."""
    here = [row for row in rows if row.scenes == scenes]
    found = [row for row in here if row.group == group]
    compared = {"main": ("lambda_0",), "parts": (OURS, "lambda_0"), "clips": (OURS, "lambda_0")}
    if found:
        names = compared.get(group, (OURS,))
        # The mask alone is the main question, but the main rows end where they end without it.
        shared = shared_steps(found) if group == "main" else set()
        found += [row for row in here if row.name in names and shared <= shared_steps([row])]
    return found


def _table(rows: Sequence[ResultRow]) -> list[str]:
    areas = table_areas(rows)
    steps = next((f", {a.places[0]:,} to {a.places[1]:,} steps" for a in areas.values() if a), "")
    head = (
        "| row | steps | clips | target | difference to ours | wrong | none | "
        f"area under the curve{steps} | attention IoU | scenes x seeds (which) | over seeds | "
        "paper |"
    )
    lines = [head, "|" + "---|" * 12]
    ours = next((row for row in rows if row.name == OURS), None)
    for row in rows:
        difference = None if ours is None else compare(row, ours)
        cells = [
            row.title,
            str(row.step or "-"),
            str(row.num_clips or "-"),
            f"**{row.target_contact:.3f}** {_range(row.interval)}",
            f"{difference.value:+.3f} {_range(difference.interval)}" if difference else "",
            f"{row.wrong_target:.3f} {_range(row.wrong_target_interval)}",
            f"{row.no_contact:.3f} {_range(row.no_contact_interval)}",
            _area(areas[row.name]),
            _number(row.attention_iou),
            f"{row.num_scenes} x {len(row.seeds)} ({', '.join(map(str, row.seeds))})",
            _number(row.seed_spread),
            _number(row.paper),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _clips_table(curves: Sequence[ClipsCurve]) -> list[str]:
    numbers = sorted({number for curve in curves for number, _ in curve.points})
    area = next((curve.area for curve in curves if curve.area), None)
    clips = f", {area.places[0]:,} to {area.places[1]:,} clips" if area else ""
    head = " | ".join(f"{number:,}" for number in numbers)
    lines = [f"| row | steps | {head} | area under the curve{clips} |"]
    lines.append("|" + "---|" * (3 + len(numbers)))
    for curve in curves:
        rates = " | ".join(_number(dict(curve.points).get(number)) for number in numbers)
        lines.append(f"| {curve.title} | {curve.step:,} | {rates} | {_area(curve.area)} |")
    return lines


def _size_table(rows: Sequence[ResultRow]) -> list[str]:
    shares = sorted({size["target_share"] for row in rows for size in row.by_target_size})
    names = " | ".join(f"{low:.1%} to {high:.1%}" for low, high in shares)
    lines = [f"| row | steps | {names} |", "|" + "---|" * (2 + len(shares))]
    for row in rows:
        sizes = {size["target_share"]: size for size in row.by_target_size}
        cells = [
            f"{sizes[share]['target_contact']:.3f} of {sizes[share]['num_scenes']}"
            if share in sizes
            else ""
            for share in shares
        ]
        lines.append(f"| {row.title} | {row.step or '-'} | {' | '.join(cells)} |")
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


def _range(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def _area(area: Area | None) -> str:
    if area is None:
        return ""
    return f"{area.value:.3f}" + (f" {_range(area.interval)}" if area.interval else "")


def _document(
    log: RunLog, rows: Sequence[ResultRow], clips: Mapping[str, Sequence[ClipsCurve]]
) -> dict[str, object]:
    by_scenes = {name: _document_rows(log, rows, name) for name in clips}
    main = MAIN_SCENES if MAIN_SCENES in clips else next(iter(clips))
    return {
        "rows": by_scenes[main],
        "rows_scenes": main,
        "rows_at_last_step": _at_last_step(rows, main),
        "scenes": by_scenes,
        "clips_curves": {
            name: {curve.name: curve.to_json() for curve in curves}
            for name, curves in clips.items()
        },
        "known_rows": list(ROWS),
    }


def _document_rows(log: RunLog, rows: Sequence[ResultRow], scenes: str) -> dict[str, object]:
    """Give every row under each of its names, as it stands in the table that the name is from."""
    documents: dict[str, object] = {}
    for group in GROUP_TITLES:
        found = at_common_step(log, _find_group(rows, scenes, group))
        found = {row.name: row for row in found}
        areas = table_areas(list(found.values()))
        runs = {name: name for name, row in found.items() if row.group == group}
        runs |= {name: same for name, same in SAME_RUN.items() if SAME_RUN_GROUPS[name] == group}
        for name, same in runs.items():
            if same in found:
                documents[name] = _document_row(found[same], areas[same], found.get(OURS))
    # Of tables that nothing else is in yet.
    alone = {name: documents[same] for name, same in SAME_RUN.items() if same in documents}
    return {**alone, **documents}


def _document_row(row: ResultRow, area: Area | None, ours: ResultRow | None) -> dict[str, object]:
    difference = None if ours is None else compare(row, ours)
    told = None if difference is None else difference.to_json()
    return {**row.to_json(area), "difference_to_ours": told}


def _at_last_step(rows: Sequence[ResultRow], scenes: str) -> dict[str, object]:
    """Give each row as far as it was trained, which its table may not be."""
    told = {
        row.name: {
            "step": row.step,
            "target_contact": row.target_contact,
            "interval": row.interval,
            "num_scenes": row.num_scenes,
            "seeds": row.seeds,
        }
        for row in rows
        if row.scenes == scenes
    }
    return told | {name: told[same] for name, same in SAME_RUN.items() if same in told}


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
    parser.add_argument("--take", type=Path, metavar="FILE", help="put this log in --log's place")
    parser.add_argument(
        "--take-smaller", action="store_true", help="even if it holds fewer measurements"
    )
    options = parser.parse_args(arguments)
    try:
        if options.take is not None:
            take_log(options.take, options.log, may_be_smaller=options.take_smaller)
        write_results(RunLog(options.log), options.out)
    except TavidError as error:
        print(f"results: {error}", file=sys.stderr)
        return 2
    print(options.out / "results.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
