"""Measure who touches what: `python -m training.evaluate --model mini --scenes 200 --json`.

Every row imagines the same held-out scenes (look-alikes, seeds that no training split can draw)
through the pipeline that users run, several at a time, and the referee judges the frames.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from tavid_core.errors import TavidError
from tavid_core.lifting.detector import HeatmapDetector
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from training.measure import RequestChange, measure
from training.referee import check_referee
from training.sloppy_masks import make_sloppy
from training.sources.sim.dataset import main as write_clips
from training.sources.sim.harder import ACTORS

__all__ = ["main"]

EXAMPLE = """\
examples:
  python -m training.evaluate --scenes 50
  python -m training.evaluate --world 1 --num-objects 5 --actor arm --scenes 100 --json
  python -m training.evaluate --world 1 --sloppy-masks --adapter runs/adapter --rows tavid
"""


def _change(options: argparse.Namespace) -> RequestChange:
    def change(index: int, request: PlanRequest) -> PlanRequest:
        mask = request.target_mask
        return dataclasses.replace(
            request,
            target_mask=make_sloppy(mask, 0, index) if options.sloppy_masks else mask,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
        )

    return change


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="mini", help='"mini" or a diffusers folder')
    parser.add_argument("--adapter", default="default", help='"default" or an adapter folder')
    parser.add_argument("--rows", nargs="+", choices=("base", "tavid"), default=["base", "tavid"])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--clips", type=Path, help="held-out clip folder; drawn when not given")
    parser.add_argument("--world", choices=("0", "1"), default="0", help="of drawn clips [0]")
    parser.add_argument(
        "--num-objects", type=int, choices=range(2, 7), default=3, help="look-alikes [3]"
    )
    parser.add_argument("--actor", choices=ACTORS, help="world 1: who reaches [drawn]")
    parser.add_argument(
        "--unseen-kinds", action="store_true", help="world 1: kinds that training never shows"
    )
    parser.add_argument(
        "--sloppy-masks", action="store_true", help="show the planner masks as people give them"
    )
    parser.add_argument("--batch-size", type=int, default=4, help="scenes imagined at a time [4]")
    parser.add_argument("--steps", type=int, help="denoising steps; default of the model")
    parser.add_argument("--guidance", type=float, help="guidance scale; default of the model")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--keep", type=Path, help="folder to keep the imagined frames in")
    parser.add_argument(
        "--no-referee-check",
        action="store_true",
        help="do not judge the real clips first, when it is known how often the referee is right",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON last")
    return parser.parse_args(arguments)


def _scene_words(options: argparse.Namespace) -> list[str]:
    """Write the options of the held-out scenes as the simulator takes them."""
    words = ["--num-clips", str(options.scenes), "--split", "held_out", "--look-alikes"]
    words += ["--world", options.world, "--num-objects", str(options.num_objects)]
    words += ["--actor", options.actor] if options.actor else []
    return words + (["--unseen-kinds"] if options.unseen_kinds else [])


def _run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    detector = HeatmapDetector.from_pretrained()
    result: dict[str, object] = {"model": str(options.model)}
    if not options.no_referee_check:
        accuracy, false_touch = check_referee(folder, detector, options.scenes)
        result["referee_accuracy"] = round(accuracy, 4)
        if false_touch is not None:
            result["referee_false_touch"] = round(false_touch, 4)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    for row in options.rows:
        adapter = None if row == "base" else options.adapter
        planner = InteractionPlanner.from_pretrained(
            options.model, adapter=adapter, device=options.device
        )
        result[row] = measure(
            planner.sampler,
            folder,
            detector,
            num_scenes=options.scenes,
            title=row,
            batch_size=options.batch_size,
            change=_change(options),
            rollouts_out=options.keep / f"{row}.npz" if options.keep else None,
        ).to_json()
    return result


def _describe(rates: dict) -> str:
    words = []
    for title, name in (
        ("target", "target_contact"),
        ("wrong", "wrong_target"),
        ("none", "no_contact"),
    ):
        low, high = rates[f"{name}_interval"]
        words.append(f"{title} {rates[name]:.3f} [{low:.3f}, {high:.3f}]")
    if rates["attention_iou"] is not None:
        words.append(f"attention IoU {rates['attention_iou']:.2f}")
    words.append(f"background {rates['quality']['background_psnr_real_db']:.1f} dB")
    return "  ".join(words)


def _describe_sizes(rates: dict) -> list[str]:
    lines = []
    for size in rates["by_target_size"]:
        (low, high), (least, most) = size["target_share"], size["target_contact_interval"]
        lines.append(
            f"        of targets of {low:.1%} to {high:.1%} of the picture: "
            f"{size['target_contact']:.3f} [{least:.3f}, {most:.3f}] of {size['num_scenes']}"
        )
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Evaluate the rows and print a table, or one line of JSON.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status.
    """
    options = parse_arguments(arguments)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.clips or Path(temporary) / "held_out"
            if options.clips is None:
                write_clips(["--out", str(folder), *_scene_words(options)])
            result = _run(options, folder)
    except TavidError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result))
        return 0
    if "referee_accuracy" in result:
        print(f"referee right on real clips: {result['referee_accuracy']:.3f}")
    if "referee_false_touch" in result:
        print(f"sees a touch where they halt before it: {result['referee_false_touch']:.3f}")
    for row in options.rows:
        print("\n".join([f"{row:>6}: {_describe(result[row])}", *_describe_sizes(result[row])]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
