"""The command that turns a LeRobot data set into clips."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tavid_core.errors import TavidError
from training.sources.cut_rules import CutRules
from training.sources.lerobot.episode import list_episode_jobs
from training.sources.mask_options import add_mask_options, add_masks, read_mask_maker
from training.sources.options import add_conversion_options, run_conversion
from training.sources.recording import RecordingJob

__all__ = ["main"]

DESCRIPTION = """Turn a LeRobot data set (format v3) into clips with a robot arm as the actor.

A closing gripper is the contact. The data set has no masks: point at the target once per episode
(--clicks), or take what the arm moves (--masks-from-motion, for cameras that stand still).
"""

EXAMPLES = """examples:
  python -m training.sources.lerobot DATA --masks-from-motion --out CLIPS --licence apache-2.0
  python -m training.sources.lerobot DATA --cameras observation.images.front \\
      --clicks clicks.json --out CLIPS

clicks.json, by recording (EPISODE_CAMERA_PART):
  {"episode_000012_front_0": [{"frame": 0, "target": [[310, 242]]}]}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m training.sources.lerobot`.

    Args:
        arguments: Of the command line; those of the process if None.

    Returns:
        The exit code.
    """
    options = _parse(arguments)
    try:
        maker = read_mask_maker(options)
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    def list_jobs(rules: CutRules) -> list[RecordingJob]:
        jobs = list_episode_jobs(
            options.root,
            rules.fps,
            cameras=options.cameras,
            closed=options.gripper_closed,
            caption=options.caption,
            source=options.source,
            licence=options.licence,
        )
        return add_masks(jobs, maker)

    settings = {
        key: getattr(options, key)
        for key in ("cameras", "gripper_closed", "caption", "source", "licence")
    }
    return run_conversion(options, list_jobs, {**settings, "masks": maker.settings()})


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m training.sources.lerobot", description=DESCRIPTION, epilog=EXAMPLES
    )
    parser.add_argument("root", type=Path, metavar="DATA", help="with meta, data and videos")
    parser.add_argument(
        "--cameras", nargs="+", metavar="KEY", help="such as observation.images.front; default all"
    )
    parser.add_argument(
        "--gripper-closed",
        choices=("auto", "low", "high"),
        default="auto",
        help="which end of its values a closed gripper has; auto: high for Franka arms, else low",
    )
    parser.add_argument(
        "--caption",
        default="A robot arm carries out the task: {task}.",
        metavar="TEXT",
        help="caption, with {task} for what the episode does",
    )
    parser.add_argument("--source", default="lerobot", metavar="NAME", help="name of the data set")
    parser.add_argument("--licence", default="unknown", metavar="NAME", help="of the data set")
    add_mask_options(parser)
    add_conversion_options(parser)
    # Nobody marks the arm, and it is there in every frame.
    parser.set_defaults(allow_unknown_actor=True)
    return parser.parse_args(arguments)
