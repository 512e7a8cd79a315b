"""Measure who touches what: `python -m training.evaluate --model mini --scenes 200 --json`.

Every row imagines the same held-out scenes (look-alikes, seeds that no training split can draw)
through the pipeline that users run, several at a time, and the referee judges the frames.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tavid_core.errors import TavidError
from tavid_core.lifting.detector import HeatmapDetector
from tavid_core.lifting.keypoints import KeypointDetector
from tavid_core.planner import InteractionPlanner
from tavid_core.types import PlanRequest
from training.clips import (
    METADATA_NAME,
    ClipRecord,
    read_frames,
    read_mask,
    read_records,
    read_truth,
)
from training.measure import attention_iou
from training.quality import QUALITY_NAMES, measure_quality
from training.referee import Tally, judge, referee_accuracy
from training.rollouts import imagine_batches
from training.sloppy_masks import make_sloppy
from training.sources.sim.dataset import main as write_clips
from training.sources.sim.harder import ACTORS

__all__ = ["evaluate_row", "main"]

EXAMPLE = """\
examples:
  python -m training.evaluate --scenes 50
  python -m training.evaluate --world 1 --num-objects 5 --actor arm --scenes 100 --json
  python -m training.evaluate --world 1 --sloppy-masks --adapter runs/adapter --rows tavid
"""


def evaluate_row(
    planner: InteractionPlanner,
    folder: Path,
    detector: KeypointDetector,
    *,
    num_scenes: int,
    title: str,
    num_inference_steps: int | None = None,
    guidance_scale: float | None = None,
    batch_size: int = 4,
    sloppy_seed: int | None = None,
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
        batch_size: Scenes imagined at a time.
        sloppy_seed: Spoil the masks that the planner is shown (see `make_sloppy`), or None.
        rollouts_out: npz to keep the frames and verdicts in, or None.

    Returns:
        The rates of the row (see `Tally.summary`), "attention_iou" (None without a token) with
        the exact mask, and "quality": means by the names of `QUALITY_NAMES`.
    """
    records = read_records(folder)[:num_scenes]
    requests = [
        PlanRequest(
            image=read_frames(folder, record)[0],
            target_mask=_shown_mask(folder, record, index, sloppy_seed),
            prompt=record.text,
            seed=index,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
        )
        for index, record in enumerate(records)
    ]
    tally, kept, verdicts, overlaps, qualities = Tally(), [], [], [], []
    imagined = imagine_batches(planner.sampler, requests, batch_size=batch_size)
    bar = tqdm(imagined, desc=title, unit="scene", total=len(requests))
    for record, clip in zip(records, bar, strict=True):
        truth = read_truth(folder, record)
        masks, target = truth["instance_masks"], int(truth["target_index"])
        verdict = judge(clip.frames, masks, target, detector)
        tally.add(verdict)
        verdicts.append(verdict)
        kept.append(clip.frames)
        qualities.append(measure_quality(clip.frames))
        if clip.attention_map is not None:
            overlaps.append(attention_iou(clip.attention_map, masks[target]))
    if rollouts_out is not None:
        np.savez_compressed(rollouts_out, frames=np.stack(kept), verdicts=np.array(verdicts))
    iou = round(float(np.mean(overlaps)), 4) if overlaps else None
    return {**tally.summary(), "attention_iou": iou, "quality": _mean_of(qualities)}


def _mean_of(qualities: list[dict[str, float]]) -> dict[str, float]:
    return {n: round(float(np.mean([q[n] for q in qualities])), 4) for n in QUALITY_NAMES}


def _shown_mask(
    folder: Path, record: ClipRecord, index: int, sloppy_seed: int | None
) -> NDArray[np.bool_]:
    mask = read_mask(folder, record.mask_file)
    return mask if sloppy_seed is None else make_sloppy(mask, sloppy_seed, index)


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
            batch_size=options.batch_size,
            sloppy_seed=0 if options.sloppy_masks else None,
            rollouts_out=options.keep / f"{row}.npz" if options.keep else None,
        )
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
    words.append(f"background {rates['quality']['background_psnr_db']:.1f} dB")
    return "  ".join(words)


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
                write_clips(["--out", str(folder), *_scene_words(options)])
            result = _run(options, folder)
    except TavidError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result))
        return 0
    print(f"referee right on real clips: {result['referee_accuracy']:.3f}")
    for row in options.rows:
        print(f"{row:>6}: {_describe(result[row])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
