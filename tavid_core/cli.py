"""The `tavid` command: mark a target, plan from files, show a plan.

Exit codes: 0 done, 1 failed, 2 the input is unusable, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from tqdm import tqdm

from tavid_core.errors import ErrorCode, TavidError
from tavid_core.files import read_camera, read_depth, read_image, read_mask
from tavid_core.io import check_plan_folder, load_plan, save_plan
from tavid_core.segment_command import add_segment_command, run_segment_command
from tavid_core.summary import describe_outcome, summarize_plan
from tavid_core.types import InteractionPlan, PlanProgress, PlanRequest

__all__ = ["main"]

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130
EXAMPLE = """\
example:
  tavid segment --image kitchen.png --point 350 380 --out left_mug.png
  tavid plan --image kitchen.png --mask left_mug.png --out plans/left_mug \\
      --prompt "The woman picks up the left mug."
  then open plans/left_mug/plan.html, or: tavid show plans/left_mug
"""


class Planner(Protocol):
    """What the command needs of a planner; see `tavid_core.planner.InteractionPlanner`."""

    def plan(
        self, request: PlanRequest, on_progress: Callable[[PlanProgress], None]
    ) -> InteractionPlan:
        """Answer a request."""


PlannerFactory = Callable[[argparse.Namespace], Planner]


def main(arguments: Sequence[str] | None = None, make_planner: PlannerFactory | None = None) -> int:
    """Run the command.

    Args:
        arguments: Words after `tavid`, or None for the process's own.
        make_planner: Loads the model; the real one if None.

    Returns:
        The exit code.
    """
    options = _make_parser().parse_args(arguments)
    try:
        if options.command == "show":
            print(summarize_plan(load_plan(options.folder)))
        elif options.command == "segment":
            print(run_segment_command(options))
        else:
            _plan(options, make_planner or _load_planner)
    except TavidError as error:
        print(f"tavid: {_one_line(error)}", file=sys.stderr)
        return EXIT_BAD_INPUT if error.code is ErrorCode.INVALID_INPUT else EXIT_FAILED
    except OSError as error:
        print(f"tavid: {_one_line(error)}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("tavid: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _plan(options: argparse.Namespace, make_planner: PlannerFactory) -> None:
    request = _read_request(options)
    options.out.absolute().parent.mkdir(parents=True, exist_ok=True)
    # Before minutes of planning, not after them.
    check_plan_folder(options.out)
    with _ProgressBar() as bar:
        plan = make_planner(options).plan(request, bar.show)
        bar.name("save")
        save_plan(plan, options.out)
    print(f"{describe_outcome(plan)}; plan in {options.out}, open {options.out / 'plan.html'}")


def _read_request(options: argparse.Namespace) -> PlanRequest:
    image = read_image(options.image)
    size_hw = image.shape[:2]
    actor_mask = options.actor_mask and read_mask(options.actor_mask, size_hw, "actor mask")
    return PlanRequest(
        image=image,
        target_mask=read_mask(options.mask, size_hw),
        prompt=options.prompt,
        actor_mask=actor_mask,
        depth_m=None if options.depth is None else read_depth(options.depth),
        intrinsics=None if options.camera is None else read_camera(options.camera),
        seed=options.seed,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        num_frames=options.frames,
    )


def _load_planner(options: argparse.Namespace) -> Planner:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    from tavid_core.planner import InteractionPlanner

    # One bar is enough: the command's own.
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    return InteractionPlanner.from_pretrained(
        options.model,
        None if options.adapter == "none" else options.adapter,
        device=options.device,
        dtype=options.dtype,
        offload=options.offload,
    )


class _ProgressBar:
    """One bar on the terminal that follows the stages; silent where there is no terminal."""

    def __init__(self) -> None:
        # disable=None: off when the output goes to a file or a pipe.
        self._bar: Any = tqdm(total=1, desc="load", leave=False, disable=None, unit="step")
        self._stage = "load"

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def name(self, stage: str, total: int = 1) -> None:
        """Begin a stage."""
        self._stage = stage
        self._bar.set_description_str(stage, refresh=False)
        self._bar.reset(total=total)

    def show(self, progress: PlanProgress) -> None:
        """Follow the planner."""
        if progress.stage != self._stage:
            self.name(progress.stage, progress.total_steps)
        self._bar.n = progress.step
        if progress.remaining_sec is not None:
            self._bar.set_postfix_str(f"{progress.remaining_sec:.0f} s left", refresh=False)
        self._bar.refresh()


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tavid",
        description="Point at an object and see it happen: from an image, a mask and a sentence "
        "to an imagined video and a 3D motion.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tavid {_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="plan | segment | show")
    show = commands.add_parser("show", help="print what a saved plan holds")
    show.add_argument("folder", type=Path, help="folder that `tavid plan` wrote")
    plan = commands.add_parser(
        "plan",
        help="make a plan from files",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_inputs(plan)
    _add_settings(plan)
    add_segment_command(commands)
    return parser


def _add_inputs(plan: argparse.ArgumentParser) -> None:
    inputs = plan.add_argument_group("input and output")
    add = inputs.add_argument
    add("--image", type=Path, required=True, metavar="FILE", help="the scene, png or jpg")
    add(
        "--mask",
        type=Path,
        required=True,
        metavar="FILE",
        help="the target, png of the image's aspect; bright and opaque pixels are marked "
        "(with one colour only, the alpha channel is the mask)",
    )
    add("--prompt", required=True, metavar="TEXT", help="what should happen, one sentence")
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder to write; an earlier plan there is replaced",
    )
    add("--actor-mask", type=Path, metavar="FILE", help="where the person or arm is, as --mask")
    add("--depth", type=Path, metavar="FILE", help="16-bit png in millimetres, or npy in metres")
    add("--camera", type=Path, metavar="FILE", help="json: fx fy cx cy width height, pixels")


def _add_settings(plan: argparse.ArgumentParser) -> None:
    settings = plan.add_argument_group("model")
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
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda, cuda:1, ... [cpu]")
    add("--dtype", default="float32", help="float32, bfloat16 or float16 [float32]")
    add("--offload", default="none", help="none, model or sequential: less GPU memory [none]")


def _version() -> str:
    try:
        return importlib.metadata.version("tavid")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
