"""`tavid retarget`: a saved plan as a gripper's path, and whether an arm reaches it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.export import write_gripper_csv
from tavid_core.gripper_path import PHASES, GripperLimits, GripperPath
from tavid_core.io import load_plan
from tavid_core.reach import check_reach
from tavid_core.retarget import retarget_to_gripper

__all__ = ["add_retarget_command", "run_retarget_command"]

EXAMPLE = """\
example:
  tavid retarget plans/mug --out mug_gripper.csv
  tavid retarget plans/mug --out mug_gripper.csv --base-from-camera camera_pose.json \\
      --robot arm.xml --end-effector gripper_site
  camera_pose.json holds the camera's optical frame in the robot's base: a 4 x 4 matrix, rows in
  a list, metres.
"""


def add_retarget_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command.

    Args:
        commands: Of the main parser.
    """
    limits = GripperLimits()
    parser = commands.add_parser(
        "retarget",
        help="turn a plan into a gripper's path; check that an arm reaches it",
        description="The gripper follows the hand to a point before the target, goes straight to "
        "it, closes, and moves as the target does. z points out of its palm, its fingers close "
        "along y.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", type=Path, help="folder that `tavid plan` wrote")
    add("--out", type=Path, required=True, metavar="FILE", help="csv to write")
    add("--rate", type=float, default=50.0, metavar="HZ", help="poses per second [50]")
    add("--base-from-camera", type=Path, metavar="FILE", help="json, see below [camera's frame]")
    for name, words in (
        ("max_speed_m_s", "fastest motion"),
        ("max_acceleration_m_s2", "largest acceleration"),
        ("max_turn_rad_s", "fastest turn"),
        ("max_width_m", "opening of the gripper"),
        ("pre_grasp_distance_m", "length of the straight approach"),
    ):
        option = "--" + name.replace("_", "-")
        default = getattr(limits, name)
        add(option, type=float, default=default, metavar="X", help=f"{words} [{default:g}]")
    add = parser.add_argument_group("reach (needs pip install 'tavid[arm]')").add_argument
    add("--robot", type=Path, metavar="FILE", help="MJCF or URDF of the arm")
    add("--end-effector", default="gripper", metavar="NAME", help="its site or body [gripper]")


def run_retarget_command(options: argparse.Namespace) -> str:
    """Read the plan, write the path, check the reach.

    Args:
        options: As parsed.

    Returns:
        What was written, the phases, and what is reached.

    Raises:
        TavidError: If something given is unusable, or the plan has no contact.
        OSError: If the file cannot be written.
    """
    plan = load_plan(options.folder)
    pose = None if options.base_from_camera is None else _read_pose(options.base_from_camera)
    names = (
        "max_speed_m_s",
        "max_acceleration_m_s2",
        "max_turn_rad_s",
        "max_width_m",
        "pre_grasp_distance_m",
    )
    path = retarget_to_gripper(
        plan.motion,
        plan.rollout.fps,
        limits=GripperLimits(**{name: getattr(options, name) for name in names}),
        rate_hz=options.rate,
        reference_from_camera=pose,
        frame_id=plan.request.frame_id if pose is None else "base",
    )
    options.out.absolute().parent.mkdir(parents=True, exist_ok=True)
    write_gripper_csv(path, options.out)
    lines = [_describe(path), f"path in {options.out}"]
    if options.robot is not None:
        report = check_reach(path, options.robot, options.end_effector, show_progress=True)
        lines.append(report.describe())
    return "\n".join(lines)


def _describe(path: GripperPath) -> str:
    spans = [(phase, path.span_sec(phase)) for phase in PHASES]
    told = [f"{phase} {span[0]:.2f} to {span[1]:.2f} s" for phase, span in spans if span]
    direction = ", ".join(f"{value:+.2f}" for value in path.approach_direction)
    lines = [
        f"{len(path.times_sec)} poses in {path.frame_id}: {'; '.join(told)}",
        f"approach along ({direction}), {path.slowdown:.1f} times slower than imagined, "
        f"confidence {path.confidence:.2f}",
    ]
    lines += [f"{name}: {reason}" for name, reason in path.reasons.items()]
    return "\n".join(lines)


def _read_pose(path: Path) -> NDArray[np.float64]:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        pose = np.array(values, dtype=np.float64)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"base-from-camera must be a JSON matrix, got {error}: {path}. "
            "Write four lists of four numbers."
        ) from error
    if pose.shape != (4, 4):
        raise InputError(
            f"base-from-camera must be 4 x 4, got shape {pose.shape}: {path}. "
            "Write four lists of four numbers."
        )
    return pose
