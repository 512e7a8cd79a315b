"""Words of the command line that choose the model, and the planner that they choose."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Protocol

from tavid_core.lifting.sources import BODY_FITS
from tavid_core.types import InteractionPlan, PlanProgress, PlanRequest

__all__ = ["CommandPlanner", "PlannerFactory", "add_planner_options", "load_planner"]


class CommandPlanner(Protocol):
    """What a command needs of a planner; see `tavid_core.planner.InteractionPlanner`."""

    def plan(
        self, request: PlanRequest, on_progress: Callable[[PlanProgress], None]
    ) -> InteractionPlan:
        """Answer a request."""


PlannerFactory = Callable[[argparse.Namespace], CommandPlanner]


def add_planner_options(parser: argparse.ArgumentParser) -> None:
    """Describe the words that choose the model.

    Args:
        parser: Of a command that plans.
    """
    settings = parser.add_argument_group("model")
    add = settings.add_argument
    add("--model", default="mini", metavar="NAME", help='"mini", a folder or a Hub id [mini]')
    add(
        "--adapter",
        default="default",
        metavar="NAME",
        help='an adapter folder, "default" or "none" [default]',
    )
    add("--seed", type=int, default=0, metavar="N", help="same seed, same plan [0]")
    add("--steps", type=int, metavar="N", help="denoising steps [the model's]")
    add("--guidance", type=float, metavar="X", help="classifier-free guidance [the model's]")
    add("--frames", type=int, metavar="N", help="frames of the video, 8n+1 [the model's]")
    add(
        "--candidates",
        type=int,
        default=1,
        metavar="N",
        help="imagine N videos, seeds --seed and up, and keep the best; N times as long [1]",
    )
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda, cuda:1, ... [cpu]")
    add("--dtype", default="float32", help="float32, bfloat16 or float16 [float32]")
    add("--offload", default="none", help="none, model or sequential: less GPU memory [none]")
    add(
        "--keypoints",
        default="mini",
        metavar="NAME",
        help="who finds the actor: mini, mediapipe (real people), or a .json or .npz file [mini]",
    )
    add(
        "--body-fit",
        default="none",
        choices=BODY_FITS,
        help="joints: fit a body with the joints of SMPL-X to the actor; mesh: and save its "
        "surface as motion.glb, which Blender and other 3D programs open [none]",
    )
    add("--mesh", dest="body_fit", action="store_const", const="mesh", help="= --body-fit mesh")
    add("--body-model", metavar="FILE", help="SMPLX_NEUTRAL.npz of yours [the stand-in]")
    add("--vae-tiling", action="store_true", help="decode in tiles: less memory, a little slower")


def load_planner(options: argparse.Namespace) -> CommandPlanner:
    """Load the model.

    Args:
        options: As parsed.

    Returns:
        The planner.

    Raises:
        TavidError: If the model or its adapter cannot be loaded.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from tavid_core.lifting.sources import load_detector, load_lifter
    from tavid_core.planner import InteractionPlanner

    # Before the model, which may take minutes.
    detector = load_detector(options.keypoints)
    lifter = load_lifter(options.body_fit, options.body_model)
    # One bar is enough: the command's own.
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    return InteractionPlanner.from_pretrained(
        options.model,
        None if options.adapter == "none" else options.adapter,
        device=options.device,
        dtype=options.dtype,
        offload=options.offload,
        vae_tiling=options.vae_tiling,
        detector=detector,
        lifter=lifter,
    )
