"""Measure who touches what: `python -m training.evaluate --model mini --scenes 200 --json`.

Every row imagines the same held-out scenes (three look-alikes each, seeds that no training split
can draw) through the planner that users run, and the referee judges the frames.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tavid_core.errors import TavidError
from tavid_core.lifting.detector import HeatmapDetector
from tavid_core.lifting.keypoints import KeypointDetector
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from training.clips import METADATA_NAME, read_frames, read_mask, read_records, read_truth
from training.referee import Tally, judge, referee_accuracy
from training.sources.sim.dataset import main as write_clips

__all__ = ["evaluate_row", "main"]


def evaluate_row(
    planner: InteractionPlanner,
    folder: Path,
    detector: KeypointDetector,
    *,
    num_scenes: int,
    title: str,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    rollouts_out: Path | None = None,
) -> dict[str, object]:
    """Imagine and judge the scenes of a clip folder with one planner.

    Args:
        planner: Of the row.
        folder: Held-out clips; only frame 0, mask and caption are shown to the planner.
        detector: The referee's eyes.
        num_scenes: How many of them.
        title: Of the progress bar.
        num_inference_steps: Denoising steps, or None for the model's default.
        guidance_scale: Classifier-free guidance, or None for the model's default.
        rollouts_out: npz to keep the frames and verdicts in, or None.

    Returns:
        The rates of the row (see `Tally.summary`).
    """
    tally, kept, verdicts = Tally(), [], []
    for index, record in enumerate(
        tqdm(read_records(folder)[:num_scenes], desc=title, unit="scene")
    ):
        truth = read_truth(folder, record)
        request = PlanRequest(
            image=read_frames(folder, record)[0],
            target_mask=read_mask(folder, record.mask_file),
            prompt=record.text,
            seed=index,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
        )
        frames = planner.imagine(request).frames
        verdict = judge(frames, truth["instance_masks"], int(truth["target_index"]), detector)
        tally.add(verdict)
        kept.append(frames)
        verdicts.append(verdict)
    if rollouts_out is not None:
        np.savez_compressed(rollouts_out, frames=np.stack(kept), verdicts=np.array(verdicts))
    return tally.summary()


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__)
    parser.add_argument("--model", default="mini", help='"mini" or a diffusers folder')
    parser.add_argument("--adapter", default="default", help='"default" or an adapter folder')
    parser.add_argument("--rows", nargs="+", choices=("base", "tavid"), default=["base", "tavid"])
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--clips", type=Path, help="held-out clip folder; drawn when not given")
    parser.add_argument("--steps", type=int, help="denoising steps; default of the model")
    parser.add_argument("--guidance", type=float, help="guidance scale; default of the model")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--keep", type=Path, help="folder to keep the imagined frames in")
    parser.add_argument("--json", action="store_true", help="print one line of JSON last")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    detector = HeatmapDetector.from_pretrained()
    result: dict[str, object] = {
        "model": str(options.model),
        "referee_accuracy": round(referee_accuracy(folder, detector, options.scenes), 4),
    }
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    for row in options.rows:
        adapter = None if row == "base" else options.adapter
        result[row] = evaluate_row(
            InteractionPlanner.from_pretrained(
                options.model, adapter=adapter, device=options.device
            ),
            folder,
            detector,
            num_scenes=options.scenes,
            title=row,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance,
            rollouts_out=options.keep / f"{row}.npz" if options.keep else None,
        )
    return result


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
            if not (folder / METADATA_NAME).is_file():
                scenes = ["--num-clips", str(options.scenes), "--split", "held_out"]
                write_clips(["--out", str(folder), *scenes, "--num-objects", "3", "--look-alikes"])
            result = _run(options, folder)
    except TavidError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result))
        return 0
    print(f"referee right on real clips: {result['referee_accuracy']:.3f}")
    for row in options.rows:
        rates = result[row]
        low, high = rates["target_contact_interval"]
        print(
            f"{row:>6}: target {rates['target_contact']:.3f} [{low:.3f}, {high:.3f}]  "
            f"wrong {rates['wrong_target']:.3f}  none {rates['no_contact']:.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
