"""What passes through a VAE: `python -m training.reconstruction VAE CLIPS`.

Recorded clips are encoded and decoded, nothing is imagined. A video can never be sharper than that,
whatever the transformer does. The parts are told apart because one figure over all pixels is that
of the walls.

Shapes: B batch (1), C channels, T frames, H x W pixels, N objects.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX
from numpy.typing import NDArray
from tqdm import tqdm

from tavid_core.errors import InputError, TavidError
from training.clip_check import check_limit
from training.clips import ClipRecord, read_frames, read_records, read_truth
from training.device import pick_device
from training.losses import MOTION_THRESHOLD
from training.mini import frames_to_tensor

__all__ = ["PARTS", "find_parts", "main", "measure_reconstruction"]

PARTS = ("still", "objects", "moving", "lifted", "first")
# Of the centre of an object, in pixels, before it counts as lifted.
MIN_LIFT_PX = 2.0


def find_parts(
    frames: NDArray[np.uint8], truth: Mapping[str, NDArray]
) -> dict[str, NDArray[np.bool_]]:
    """Tell the parts of a clip apart.

    Args:
        frames: RGB, uint8 (T, H, W, 3).
        truth: What `read_truth` gave; without objects in it there are only "still" and "moving".

    Returns:
        By name, bool (T, H, W): "still" (never changes, no object), "objects" (never changes),
        "moving" (changes at some time, in all frames), "lifted" (a disc of the target's size
        where its centre is, once that has left its place).
    """
    change_HW = np.abs(frames.astype(np.int16) - frames[0]).max(axis=(0, -1))
    moving_HW = change_HW > MOTION_THRESHOLD * 127.5
    parts = {"moving": np.broadcast_to(moving_HW, frames.shape[:3])}
    if not {"instance_masks", "target_index", "object_pixels"} <= set(truth):
        return {**parts, "still": ~parts["moving"]}
    masks_NHW = truth["instance_masks"].astype(bool)
    objects_HW = masks_NHW.any(axis=0) & ~moving_HW
    target = int(truth["target_index"])
    radius_px = math.sqrt(masks_NHW[target].sum() / math.pi)
    rows, columns = np.mgrid[: frames.shape[1], : frames.shape[2]]
    centres_T2 = truth["object_pixels"][:, target]
    lifted = [
        (np.hypot(columns - x, rows - y) <= radius_px)
        & (np.hypot(x - centres_T2[0, 0], y - centres_T2[0, 1]) > MIN_LIFT_PX)
        for x, y in centres_T2
    ]
    return {
        **parts,
        "still": np.broadcast_to(~moving_HW & ~objects_HW, frames.shape[:3]),
        "objects": np.broadcast_to(objects_HW, frames.shape[:3]),
        "lifted": np.stack(lifted),
    }


@torch.no_grad()
def measure_reconstruction(
    vae: AutoencoderKLCogVideoX, folder: Path, records: Sequence[ClipRecord]
) -> dict[str, float]:
    """Send clips through a VAE once.

    Args:
        vae: In eval mode, float32.
        folder: Clip folder.
        records: Clips of it.

    Returns:
        PSNR in dB by the names of `PARTS`, over all clips; "first" is frame 0 encoded alone, as
        the planner encodes its image. A part that no clip has is left out, and one without any
        error is infinite.

    Raises:
        ConfigError: If there is no clip.
        InputError: If one cannot be read.
    """
    check_limit("num_clips", len(records))
    errors = dict.fromkeys(PARTS, 0.0)
    counts = dict.fromkeys(PARTS, 0)

    def add(name: str, squares: NDArray[np.float64]) -> None:
        errors[name] += float(squares.sum())
        counts[name] += squares.size

    for record in tqdm(records, folder.name, unit="clip"):
        frames = read_frames(folder, record)
        truth = read_truth(folder, record) if record.truth_file else {}
        squares_THWC = _squared_errors(vae, frames)
        for name, part_THW in find_parts(frames, truth).items():
            add(name, squares_THWC[part_THW])
        add("first", _squared_errors(vae, frames[:1]))
    return {name: _psnr_db(errors[name] / counts[name]) for name in PARTS if counts[name]}


def _squared_errors(vae: AutoencoderKLCogVideoX, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    video_BCTHW = frames_to_tensor(torch.from_numpy(frames[None])).to(vae.device)
    output_BCTHW = vae.decode(vae.encode(video_BCTHW).latent_dist.mean).sample.clamp(-1, 1)
    error_CTHW = (127.5 * (output_BCTHW - video_BCTHW)[0]).double().cpu()
    return error_CTHW.square().permute(1, 2, 3, 0).numpy()


def _psnr_db(mean_square: float) -> float:
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)


def _load_vae(folder: Path) -> AutoencoderKLCogVideoX:
    if not (folder / "config.json").is_file():
        raise InputError(
            f"vae must be a diffusers folder of a VAE, got {folder}, which has no config.json. "
            "Name the vae folder inside of a model."
        )
    return AutoencoderKLCogVideoX.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True
    ).eval()


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a line per part, or one line of JSON.

    Args:
        arguments: Words after the command, or None for the process's own.

    Returns:
        The exit status: 0 done, 2 the input is unusable.
    """
    parser = argparse.ArgumentParser(
        prog="python -m training.reconstruction",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("vae", type=Path, help="diffusers folder of a VAE, e.g. tavid_core/assets/mini/vae")
    add("clips", type=Path, help="clip folder")
    add("--num-clips", type=int, default=24, metavar="N", help="the first ones [24]")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    add("--json", action="store_true", help="one line of JSON instead")
    options = parser.parse_args(arguments)
    try:
        check_limit("num_clips", options.num_clips)
        vae = _load_vae(options.vae).to(pick_device(options.device))
        records = read_records(options.clips)[: options.num_clips]
        found = measure_reconstruction(vae, options.clips, records)
    except TavidError as error:
        print(f"reconstruction: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({f"{name}_psnr_db": round(value, 2) for name, value in found.items()}))
        return 0
    for name, value in found.items():
        print(f"{name:>8} {value:6.2f} dB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
