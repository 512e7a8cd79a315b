"""The whole path over real ROS 2: camera, planner and client, three processes.

    python -m tavid_ros.demo [--image FILE --mask FILE --prompt TEXT] [--out FOLDER]

Without a picture of your own a shipped scene is used.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, InputError, TavidError
from tavid_core.files import read_image, read_mask
from tavid_core.types import InteractionPlan
from tavid_ros.client import PlanClient, PlanFailedError, PlanTimeoutError, path_from_uri
from tavid_ros.client_errors import check_saved
from tavid_ros.processes import NodeProcess
from tavid_ros.progress_bar import ProgressBar
from tavid_ros.ros_domain import RosDomain
from tavid_ros.snapshot import Snapshot
from tavid_ros.sources import find_scene, list_scenes

__all__ = ["DemoOptions", "main", "own_domain", "run_demo"]

_START_TIMEOUT_SEC = 600.0
_CAMERA_TIMEOUT_SEC = 60.0
_PLAN_TIMEOUT_SEC = 1800.0
_POLL_SEC = 0.5
_DEFAULT_OUT = "out/demo"
_LOW_CONFIDENCE = 0.5
# The plan's own and, of a run that got no plan, the first log.
_OWN_FILES = frozenset({"plan.json", "planner_node.log"})


class DemoError(TavidError):
    """A process of the demo did not do its part."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the demo shows.

    Args:
        image: The user's picture, or None for a shipped scene.
        mask: The user's mask for it.
        prompt: What should happen; "" = the scene's own.
        scene: Name or folder of a scene, "" = `DEFAULT_SCENE`.
        out: Where the plan goes.
        backend: Of the planner node: "tavid" or "fake".
        model: Of the planner node: "mini" or a folder.
        adapter: Of the planner node: "default", a folder, or "" for none.
        num_inference_steps: 0 = the model's default.
    """

    image: Path | None = None
    mask: Path | None = None
    prompt: str = ""
    scene: str = ""
    out: Path = Path(_DEFAULT_OUT)
    backend: str = "tavid"
    model: str = "mini"
    adapter: str = "default"
    num_inference_steps: int = 0

    def check(self) -> None:
        """Read the user's files once, so that a wrong one is told before anything starts.

        Raises:
            InputError: If a file or a word is missing or unusable, or `out` holds other things.
        """
        _check_out(self.out)
        if self.image is None:
            if self.mask is not None:
                raise InputError("mask must come with an image, got a mask only. Give IMAGE too.")
            find_scene(self.scene)
            return
        if self.mask is None or not self.prompt.strip():
            missing = "MASK" if self.mask is None else "PROMPT"
            raise InputError(
                f"image must come with a mask and a prompt, got no {missing}. The mask is a "
                "picture of the same size, white where the target is; the prompt says what should "
                "happen."
            )
        read_mask(self.mask, read_image(self.image).shape[:2])

    def make_camera_parameters(self) -> dict[str, bool | int | float | str]:
        """Say what the camera shall publish.

        Returns:
            Parameters of camera_node.
        """
        if self.image is None:
            return {"source": "scene", "path": str(find_scene(self.scene)), "prompt": self.prompt}
        return {
            "source": "image",
            "path": str(self.image.absolute()),
            "mask_path": str(self.mask.absolute()),
            "prompt": self.prompt,
        }


def _check_out(out: Path) -> None:
    """Refuse a folder that the plan's files would mix with; an earlier run's is fine."""
    if out.is_dir():
        names = {path.name for path in out.iterdir()}
        is_ours = not names or bool(names & _OWN_FILES)
    else:
        is_ours = not out.exists()
    if not is_ours:
        raise InputError(
            f"out must be new, empty, or of an earlier demo, got {out} with something else in it. "
            "Choose another name."
        )


def _parse(args: list[str] | None, environment: Mapping[str, str]) -> DemoOptions:
    def default(name: str) -> str | None:
        return environment.get(f"TAVID_DEMO_{name}") or None

    parser = argparse.ArgumentParser(
        prog="python -m tavid_ros.demo", description="Plan one interaction over real ROS 2."
    )
    parser.add_argument("--image", type=Path, default=default("IMAGE"), help="your picture")
    parser.add_argument("--mask", type=Path, default=default("MASK"), help="white = the target")
    parser.add_argument("--prompt", default=default("PROMPT") or "", help="what should happen")
    parser.add_argument("--out", type=Path, default=default("OUT") or _DEFAULT_OUT)
    scenes = ", ".join(list_scenes()) or "none shipped"
    parser.add_argument(
        "--scene",
        default=default("SCENE") or "",
        help=f"instead of a picture: a folder, or one of {scenes}",
    )
    parser.add_argument("--backend", choices=("tavid", "fake"), default="tavid")
    parser.add_argument("--model", default="mini", help="mini, or a diffusers folder")
    parser.add_argument("--adapter", default="default", help="default, a folder, or '' for none")
    parser.add_argument("--steps", type=int, default=0, help="denoising steps, 0 = default")
    words = vars(parser.parse_args(args))
    return DemoOptions(num_inference_steps=words.pop("steps"), **words)


@contextmanager
def own_domain() -> Iterator[None]:
    """Keep the demo among itself, unless the user says where it belongs."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if "ROS_DOMAIN_ID" in os.environ:
        yield
        return
    with RosDomain() as domain:
        os.environ["ROS_DOMAIN_ID"] = str(domain.number)
        try:
            yield
        finally:
            del os.environ["ROS_DOMAIN_ID"]


@contextmanager
def _make_node() -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("demo", context=context)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def _wait_for_planner(client: PlanClient, nodes: list[NodeProcess]) -> None:
    deadline_sec = time.monotonic() + _START_TIMEOUT_SEC
    while True:
        _check_alive(nodes)
        try:
            return client.wait_for_planner(_POLL_SEC)
        except PlanTimeoutError as error:
            if time.monotonic() > deadline_sec:
                raise DemoError(
                    f"the model must be loaded within {_START_TIMEOUT_SEC:g} s, got no planner. "
                    f"The planner said last:\n{nodes[0].read_log_tail() or '(nothing)'}"
                ) from error


def _check_alive(nodes: list[NodeProcess]) -> None:
    for node in nodes:
        if node.exit_status is not None:
            raise DemoError(
                f"{node.log_path.stem} must keep running, got exit status {node.exit_status}. "
                f"It said last:\n{node.read_log_tail()}"
            )


def _ask(node: Node, options: DemoOptions, nodes: list[NodeProcess]) -> tuple[ErrorCode, str]:
    """Send the goal; returns the outcome and the plan's URI."""
    client = PlanClient(node)
    try:
        print("waiting for the planner to load its model ...", flush=True)
        _wait_for_planner(client, nodes)
        print("waiting for the camera ...", flush=True)
        goal = PlanInteraction.Goal(num_inference_steps=options.num_inference_steps)
        snapshot = Snapshot(node)
        snapshot.fill(goal, timeout_sec=_CAMERA_TIMEOUT_SEC)
        snapshot.destroy()
        print(f"planning: {goal.prompt!r}", flush=True)
        with ProgressBar(sys.stderr) as bar:
            result = client.request_plan(goal, _PLAN_TIMEOUT_SEC, on_progress=bar.show)
        check_saved(result.plan_uri, result.error_msg)
        return ErrorCode.NONE, result.plan_uri
    except PlanFailedError as error:
        if error.code is not ErrorCode.NO_ACTOR:
            raise
        check_saved(error.plan_uri, str(error))
        return error.code, error.plan_uri
    finally:
        client.destroy()


def _describe(plan: InteractionPlan, code: ErrorCode, out: Path) -> str:
    contact = plan.motion.contact
    where = f"plan in {out}, look at {out / 'plan.html'}"
    if code is ErrorCode.NO_ACTOR:
        reason = plan.motion.reasons.get("actor", "no hand was found")
        return f"NO_ACTOR: no motion to follow ({reason}); target not touched; {where}"
    if contact.touches_target:
        when_sec = (contact.start_frame or 0) / plan.rollout.fps
        hand = (contact.hand or "a hand").replace("_", " ")
        verdict = f"target touched by the {hand} after {when_sec:.1f} s"
    else:
        verdict = "target not touched"
    return f"{verdict} (confidence {contact.confidence:.2f}); {where}"


def run_demo(options: DemoOptions) -> str:
    """Run the three processes to a result.

    Args:
        options: What to show.

    Returns:
        One line that says where the plan is and whether the target was touched.

    Raises:
        TavidError: If anything failed; the message says what to do.
    """
    options.check()
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    camera_parameters = options.make_camera_parameters()
    with ExitStack() as stack:
        stack.enter_context(own_domain())
        print(f"ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']}; logs in {out}", flush=True)
        # Of a new name, because whatever has a name in there may be the user's.
        incoming = stack.enter_context(
            tempfile.TemporaryDirectory(prefix=".incoming-", dir=out, ignore_cleanup_errors=True)
        )
        planner_parameters = {
            "output_dir": incoming,
            **{name: getattr(options, name) for name in ("backend", "model", "adapter")},
        }
        planner = NodeProcess("tavid_ros.planner_node", planner_parameters, out)
        stack.enter_context(planner)
        camera = stack.enter_context(NodeProcess("tavid_ros.camera_node", camera_parameters, out))
        node = stack.enter_context(_make_node())
        try:
            code, plan_uri = _ask(node, options, [planner, camera])
        except TavidError:
            _check_alive([planner, camera])
            raise
        plan = PlanClient.load(plan_uri)
        shutil.copytree(path_from_uri(plan_uri), out, dirs_exist_ok=True)
    for channel, value in sorted(plan.motion.confidence.items()):
        reason = plan.motion.reasons.get(channel, "")
        # A target of a few pixels never shows its turn: no news, and plan.html says so.
        is_news = channel != "rotation" or plan.motion.target_dof == 6
        if is_news and (value < _LOW_CONFIDENCE or reason):
            print(f"  trust in {channel}: {value:.2f}{reason and ', ' + reason}")
    return _describe(plan, code, options.out)


def _end(*_: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def main(args: list[str] | None = None) -> int:
    """Run the demo.

    Args:
        args: Command line, without the program's name; None = that of the process.

    Returns:
        0 with a plan (also with one that shows no actor), 1 without.
    """
    signal.signal(signal.SIGTERM, _end)
    try:
        print(run_demo(_parse(args, os.environ)))
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
