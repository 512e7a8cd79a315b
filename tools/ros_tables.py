"""Write the tables of docs/ros2.md from the code: parameters of every node, and error codes.

    .venv/bin/python tools/ros_env.py python tools/ros_tables.py

A test fails while the document says something else.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

from tavid_core.errors import ErrorCode
from tavid_ros.parameters import CameraParameters, PlannerParameters, SegmenterParameters
from tavid_ros.recorder_parameters import RecorderParameters

__all__ = ["insert_tables", "make_tables"]

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "ros2.md"
ACTION = ROOT / "action" / "PlanInteraction.action"
NODES = {
    "planner_node": PlannerParameters,
    "segmenter_node": SegmenterParameters,
    "camera_node": CameraParameters,
    "recorder_node": RecorderParameters,
}
ADVICE = {
    ErrorCode.NONE: "Use the plan, with its confidences.",
    ErrorCode.UNKNOWN: "Read the node's log; it has the traceback.",
    ErrorCode.INVALID_INPUT: "Repair what `error_msg` names.",
    ErrorCode.BUSY: "Wait for the other goal or cancel it; or set `goal_policy`.",
    ErrorCode.CANCELED: "Nothing; ask again when you want to.",
    ErrorCode.TIMEOUT: "Ask for fewer steps, or raise `goal_time_limit_sec`.",
    ErrorCode.NO_ACTOR: "Look at the pictures in `plan_uri`; try another seed, prompt or view.",
    ErrorCode.OUT_OF_MEMORY: "Set `offload` and `vae_tiling`, or take a smaller preset.",
    ErrorCode.MODEL_ERROR: "Check `model` and `adapter`; fetch the weights again.",
    ErrorCode.NON_FINITE: "Try another seed; with `dtype` float16 take bfloat16.",
    ErrorCode.STALE_INPUT: "Is the camera running? See `pair_max_offset_sec`, `input_max_age_sec`.",
    ErrorCode.NOT_READY: "Configure and activate the node; install the extra that is named.",
    ErrorCode.SHUTTING_DOWN: "Ask again when the node is back.",
    ErrorCode.WORKER_DIED: "Ask again in some seconds; the node starts its worker anew.",
    ErrorCode.SUPERSEDED: "Nothing; the newer goal is being served.",
    ErrorCode.CLIENT_LOST: "Spin the client's node, or set a longer `keep_alive_sec`.",
}


def make_tables() -> dict[str, str]:
    """Write every table.

    Returns:
        Markdown by the name of its place in the document.
    """
    tables = {name: _parameter_table(kind) for name, kind in NODES.items()}
    return {**tables, "error_codes": _error_table(ACTION.read_text(encoding="utf-8"))}


def insert_tables(text: str) -> str:
    """Put the tables into a document.

    Args:
        text: With `<!-- NAME:begin -->` and `<!-- NAME:end -->` around the place of each.

    Returns:
        The document with what the code says.

    Raises:
        ValueError: If a place is missing.
    """
    for name, table in make_tables().items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"the document must have '{begin}' and '{end}' once. Add them.")
        text = pattern.sub(lambda _, parts=(begin, table, end): "\n".join(parts), text)
    return text


def _parameter_table(parameters_type: type) -> str:
    rows = ["| parameter | default | range | at run time | what |", "|---|---|---|---|---|"]
    for field in dataclasses.fields(parameters_type):
        when = "fixed" if field.metadata["is_fixed"] else "yes"
        cells = (
            f"`{field.name}`",
            _show(field.default),
            _show_range(field.metadata),
            when,
            field.metadata["description"],
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _show(value: object) -> str:
    if value == "":
        return "empty"
    if isinstance(value, tuple):
        return ", ".join(f"`{word}`" for word in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _show_range(metadata: Any) -> str:
    if metadata["choices"]:
        return ", ".join(word or "empty" for word in metadata["choices"])
    if metadata["low"] is None:
        return ""
    return f"{metadata['low']:g} to {metadata['high']:g}"


def _error_table(action: str) -> str:
    meanings = _read_meanings(action)
    rows = ["| code | name | goal ends | what happened | what to do |", "|---|---|---|---|---|"]
    ends = {"NONE": "SUCCEEDED", "CANCELED": "CANCELED", "BUSY": "rejected"}
    for code in ErrorCode:
        end = ends.get(code.name, "ABORTED")
        rows.append(
            f"| {int(code)} | `{code.name}` | {end} | {meanings[code.name]} | {ADVICE[code]} |"
        )
    return "\n".join(rows)


def _read_meanings(action: str) -> dict[str, str]:
    """Read the comment above each constant; a constant without one is known by its name."""
    meanings: dict[str, str] = {}
    comment: list[str] = []
    for line in action.split("\n---\n")[1].splitlines():
        constant = re.match(r"uint16 ([A-Z_]+)=\d+", line)
        if line.startswith("#"):
            comment.append(line.lstrip("# "))
            continue
        if constant:
            own = "The plan is there." if constant[1] == "NONE" else " ".join(comment)
            meanings[constant[1]] = own or f"{constant[1].replace('_', ' ').capitalize()}."
        comment = []
    return meanings


def main() -> int:
    """Write the tables into the document.

    Returns:
        0.
    """
    DOCUMENT.write_text(insert_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
