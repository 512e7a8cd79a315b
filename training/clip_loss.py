"""How well a model predicts clips: `python -m training.clip_loss MODEL CLIPS [CLIPS ...]`.

The loss that training minimises, without the attention loss and without anything left out at
random, on clips that the model has seen and on clips that it has not: the gap between them is what
more clips would close. Every clip is noised once in each quarter of the timesteps, the same way for
every model.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from tavid_core.adapter import load_adapter
from tavid_core.adapter_manifest import AdapterManifest
from tavid_core.errors import TavidError
from tavid_core.model_folder import find_adapter_folder, find_model_folder, load_pipeline
from tavid_core.pipeline import TargetAwarePipeline
from training.clip_check import check_limit
from training.clips import ClipRecord, read_frames, read_records, read_slot_masks
from training.device import pick_device
from training.losses import diffusion_loss
from training.noised_clip import ClipNoiser

__all__ = ["ClipLoss", "main", "measure_loss"]

# A few timesteps decide what happens in a clip, others how sharp it is; one mean hides which.
NUM_QUARTERS = 4
EXAMPLE = """\
examples:
  python -m training.clip_loss mini runs/data/train runs/data/validation --adapter none
  python -m training.clip_loss runs/mini/base runs/data/validation --adapter runs/mini/adapter
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipLoss:
    """The diffusion loss over the clips of a folder.

    Args:
        by_quarter: Means over the clips, by quarter of the timesteps, the least noise first;
            float64 (4,).
        standard_error: Of their mean, over clips.
        num_clips: Clips that were looked at.
    """

    by_quarter: NDArray[np.float64]
    standard_error: float
    num_clips: int

    @property
    def mean(self) -> float:
        """The loss over all timesteps."""
        return float(self.by_quarter.mean())

    def to_json(self) -> dict[str, object]:
        """Give JSON values.

        Returns:
            "loss", "standard_error", "by_quarter", "num_clips".
        """
        return {
            "loss": round(self.mean, 5),
            "standard_error": round(self.standard_error, 5),
            "by_quarter": self.by_quarter.round(5).tolist(),
            "num_clips": self.num_clips,
        }


def measure_loss(
    pipeline: TargetAwarePipeline,
    manifest: AdapterManifest | None,
    folder: Path,
    records: Sequence[ClipRecord],
) -> ClipLoss:
    """Measure the diffusion loss on recorded clips.

    Args:
        pipeline: The model, with an adapter or without; weights in float32.
        manifest: Of the adapter, or None.
        folder: Clip folder.
        records: Clips of it; each has its own noise, by its place among them.

    Returns:
        The loss.

    Raises:
        ConfigError: If there is no clip.
        InputError: If a clip is of another size than the model's, or lacks the mask of a slot.

    References:
        TAViD (arXiv 2503.18950), training objective.
    """
    check_limit("num_clips", len(records))
    noiser, num_slots = ClipNoiser(pipeline, manifest), pipeline.num_mask_slots
    scheduler = pipeline.scheduler
    quarter = scheduler.config.num_train_timesteps // NUM_QUARTERS
    losses = np.zeros((len(records), NUM_QUARTERS))
    for index, record in enumerate(tqdm(records, folder.name, unit="clip")):
        masks = read_slot_masks(folder, record, num_slots) if num_slots else ()
        clip = noiser.encode(read_frames(folder, record), masks, record.text)
        generator = torch.Generator().manual_seed(index)
        for number in range(NUM_QUARTERS):
            draw = int(torch.randint(quarter, (), generator=generator))
            done = noiser.predict(clip, number * quarter + draw, generator)
            losses[index, number] = diffusion_loss(
                scheduler,
                done.prediction_BFCHW,
                done.noisy_BFCHW,
                clip.latents_BFCHW,
                done.timestep_B,
            )
    return ClipLoss(
        by_quarter=losses.mean(axis=0),
        standard_error=float(losses.mean(axis=1).std() / np.sqrt(len(records))),
        num_clips=len(records),
    )


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.clip_loss",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", help='"mini", or a diffusers folder')
    add("clips", type=Path, nargs="+", help="clip folders, of the model's size and length")
    add("--adapter", default="default", help='a folder, "default" (of mini) or "none" [default]')
    add("--num-clips", type=int, default=200, metavar="N", help="of each folder, its first [200]")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    add("--json", action="store_true", help="one line of JSON instead of the table")
    return parser


def _table(found: dict[str, ClipLoss]) -> str:
    quarters = ("least noise", "second", "third", "most noise")
    lines = [f"{'loss':>8} {'+/-':>7} " + " ".join(f"{name:>11}" for name in quarters) + "  clips"]
    for name, loss in found.items():
        shares = " ".join(f"{value:>11.4f}" for value in loss.by_quarter)
        lines.append(
            f"{loss.mean:>8.4f} {loss.standard_error:>7.4f} {shares}  {loss.num_clips} of {name}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure each folder and print a table, or one line of JSON.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0 done, 2 the input is unusable.
    """
    options = _make_parser().parse_args(arguments)
    try:
        check_limit("num_clips", options.num_clips)
        adapter = find_adapter_folder(options.model, options.adapter)
        # As stored, in half precision, weights would not mix with the latents.
        pipeline = load_pipeline(find_model_folder(options.model), torch.float32)
        pipeline = pipeline.to(pick_device(options.device))
        manifest = None if adapter is None else load_adapter(pipeline, adapter)
        found = {}
        for folder in options.clips:
            records = read_records(folder)[: options.num_clips]
            found[str(folder)] = measure_loss(pipeline, manifest, folder, records)
    except TavidError as error:
        print(f"clip_loss: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({name: loss.to_json() for name, loss in found.items()}))
    else:
        print(_table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
