"""The options of sources that can make masks themselves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tavid_core.segment import SEGMENT_METHODS
from training.sources.masks import MaskedJob, MaskMaker
from training.sources.recording import RecordingJob

__all__ = ["add_mask_options", "add_masks", "read_mask_maker"]


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a source's parser.

    Args:
        parser: Of the source.
    """
    group = parser.add_argument_group("masks, where the recording has none")
    group.add_argument(
        "--clicks", type=Path, metavar="FILE", help="your clicks or boxes, .json or .csv"
    )
    group.add_argument(
        "--masks-from-motion",
        action="store_true",
        help="take the thing that the actor moves; one in a recording of at most a minute",
    )
    group.add_argument("--segmenter", choices=SEGMENT_METHODS, default="auto")
    group.add_argument(
        "--sam-checkpoint", default="", metavar="FILE.pth", help="weights of segment-anything"
    )
    group.add_argument("--sam-model", default="vit_b", metavar="TYPE", help="of the checkpoint")
    group.add_argument("--sam-device", default="cpu", metavar="DEVICE")


def read_mask_maker(options: argparse.Namespace) -> MaskMaker:
    """Read them.

    Args:
        options: Of a parser with `add_mask_options`.

    Returns:
        How masks are made.

    Raises:
        ConfigError: If the segmenter cannot be had.
        InputError: If the clicks cannot be read.
    """
    return MaskMaker(
        clicks_file=options.clicks,
        from_motion=options.masks_from_motion,
        method=options.segmenter,
        checkpoint=options.sam_checkpoint,
        model_type=options.sam_model,
        device=options.sam_device,
    )


def add_masks(jobs: Sequence[RecordingJob], maker: MaskMaker) -> list[RecordingJob]:
    """Let the recordings of jobs get masks where they have none.

    Args:
        jobs: Of a source.
        maker: How masks are made; without clicks and motion the jobs stay as they are.

    Returns:
        The jobs.
    """
    return [MaskedJob(job, maker) for job in jobs] if maker.makes_any else list(jobs)
