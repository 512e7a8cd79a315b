"""`tavid segment`: from a click on a picture to the mask that `tavid plan` wants."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.files import read_image
from tavid_core.segment import SEGMENT_METHODS, Segmentation, Segmenter, make_segmenter
from tavid_core.segment_detect import make_detector
from tavid_core.segment_label import segment_label
from tavid_core.segment_sam import MODEL_TYPES
from tavid_core.visualize import draw_overlay

__all__ = ["add_segment_command", "run_segment_command"]

EXAMPLE = """\
example:
  tavid segment --image kitchen.png --point 350 380 --out mug.png --overlay look.png
  Look at look.png. Too much marked? Add --not-point X Y there, or draw --box X0 Y0 X1 Y1.
  Too little? Add another --point X Y. Or name it, with a detector in a folder:
  hf download google/owlvit-base-patch32 --local-dir models/owlvit
  tavid segment --image kitchen.png --label "red mug" --detector models/owlvit --out mug.png
  Then:
  tavid plan --image kitchen.png --mask mug.png --prompt "..." --out plans/mug
"""


def add_segment_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command.

    Args:
        commands: Of the main parser.
    """
    parser = commands.add_parser(
        "segment",
        help="make a mask from a click, a box or a label",
        description="Mark the object under a click. Pixels are counted from the upper left corner, "
        "column first; any picture viewer shows them.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument_group("input and output").add_argument
    add("--image", type=Path, required=True, metavar="FILE", help="the scene, png or jpg")
    at = {"nargs": 2, "type": float, "metavar": ("X", "Y"), "action": "append", "default": []}
    add("--point", **at, help="a pixel on the target; may be given several times")
    add("--not-point", **at, help="a pixel beside the target that was marked by mistake")
    add(
        "--box",
        nargs=4,
        type=float,
        metavar=("X0", "Y0", "X1", "Y1"),
        help="a box around the target, instead of a point or with one",
    )
    add("--label", default="", metavar="WORDS", help="what to look for, instead of a point or box")
    add(
        "--out",
        type=Path,
        default=Path("mask.png"),
        metavar="FILE",
        help="mask to write, png, white = target [mask.png]",
    )
    add("--overlay", type=Path, metavar="FILE", help="picture to write for you to look at, png")
    add = parser.add_argument_group("method").add_argument
    add(
        "--method",
        default="auto",
        choices=SEGMENT_METHODS,
        help="grabcut needs no download; sam is made for photographs and needs a --checkpoint "
        "and pip install 'tavid[sam]'; auto is sam if there is a checkpoint [auto]",
    )
    add("--checkpoint", default="", metavar="FILE", help="weights of segment-anything, .pth")
    add("--model-type", default="vit_b", choices=MODEL_TYPES, help="of the checkpoint [vit_b]")
    add(
        "--detector",
        default="",
        metavar="FOLDER",
        help="finds a --label: folder of OWL-ViT, OWLv2 or Grounding DINO, or its name on the Hub",
    )
    add("--device", default="cpu", metavar="NAME", help="for the models: cpu, cuda, ... [cpu]")


def run_segment_command(options: argparse.Namespace) -> str:
    """Read the picture, mark the target, write the mask.

    Args:
        options: As parsed.

    Returns:
        One line that says what was marked, by which method, and where the mask is.

    Raises:
        TavidError: If something given is unusable, or nothing can be marked.
        OSError: If a file cannot be written.
    """
    image = read_image(options.image)
    for name in ("out", "overlay"):
        path = getattr(options, name)
        if path is not None:
            _check_output(path, options.image, name)
    segmenter = make_segmenter(
        options.method,
        checkpoint=options.checkpoint,
        model_type=options.model_type,
        device=options.device,
    )
    segmenter.set_image(image)
    found = _mark(segmenter, image, options)
    _write_png(options.out, found.mask.astype(np.uint8) * 255)
    if options.overlay is not None:
        _write_png(options.overlay, draw_overlay(image, found.mask)[..., ::-1])
    return f"{found.describe()}; mask in {options.out}"


def _mark(
    segmenter: Segmenter, image: NDArray[np.uint8], options: argparse.Namespace
) -> Segmentation:
    points = [*options.point, *options.not_point]
    if options.label and (points or options.box):
        raise InputError(
            f"label must come without points and box, got {options.label!r} with one. Drop one."
        )
    if options.label:
        detector = make_detector(options.detector, device=options.device)
        return segment_label(segmenter, detector, image, options.label)
    labels = [1] * len(options.point) + [0] * len(options.not_point)
    return segmenter.segment(points, labels, options.box)


def _check_output(path: Path, image_path: Path, name: str) -> None:
    if path.suffix.lower() != ".png":
        raise InputError(f"{name} must end with .png, got {path}. A mask must not be a jpg.")
    if path.absolute() == image_path.absolute():
        raise InputError(f"{name} must be another file than the image, got {path}. Rename it.")


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    is_encoded, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    assert is_encoded
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
