"""Ask a planner node for plans from a robot program.

    rclpy.init()
    node = rclpy.create_node("my_robot")
    client = PlanClient(node)
    plan = client.plan(image, mask, "the person lifts the mug", timeout_sec=60.0)
    client.destroy()

In callbacks and coroutines, of rclpy or asyncio:

    plan = await client.plan_async(image, mask, "the person lifts the mug", timeout_sec=60.0)

Every way in which a plan can fail is its own exception, and no call waits without end.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import rclpy
from rclpy.utilities import remove_ros_args
from std_msgs.msg import Header
from tavid.action import PlanInteraction

from tavid_core.errors import TavidError
from tavid_core.files import read_image, read_mask
from tavid_ros import conversions
from tavid_ros.cancel_on_signal import CancelOnSignal
from tavid_ros.client_errors import (
    SAVING_IS_OFF,
    PlanFailedError,
    PlanRejectedError,
    PlanTimeoutError,
    PlanUnreachableError,
    ServerLostError,
    path_from_uri,
)
from tavid_ros.plan_client import PlanClient
from tavid_ros.plan_future import PlanFuture
from tavid_ros.progress_bar import ProgressBar

__all__ = [
    "CancelOnSignal",
    "PlanClient",
    "PlanFailedError",
    "PlanFuture",
    "PlanRejectedError",
    "PlanTimeoutError",
    "PlanUnreachableError",
    "ServerLostError",
    "path_from_uri",
]

_KEEP_ALIVE_SEC = 5.0
_EXAMPLES = """\
examples:
  ros2 run tavid client                                  # what the camera's topics show
  ros2 run tavid client --prompt "A person lifts the mug." --seed 7
  ros2 run tavid client --image me.jpg --mask mug.png --prompt "A person lifts the mug."
  ros2 run tavid client --ros-args -r __ns:=/left        # of the planner in that namespace
"""


def _parse(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="client",
        description="Ask the planner for one plan and say where it is. Ctrl-C cancels.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--prompt", default="", help="empty = the prompt topic's or the node's")
    parser.add_argument("--image", type=Path, help="JPEG or PNG; without it the topics are used")
    parser.add_argument("--mask", type=Path, help="of the image, white = target")
    parser.add_argument("--steps", type=int, default=0, help="denoising steps, 0 = default")
    parser.add_argument("--seed", type=int, default=0, help="0 = the node's default")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds")
    words = parser.parse_args(remove_ros_args(args)[1:] if args is None else args)
    if (words.image is None) != (words.mask is None):
        parser.error("--image and --mask go together")
    return words


def _make_goal(words: argparse.Namespace) -> PlanInteraction.Goal:
    goal = PlanInteraction.Goal(
        prompt=words.prompt, num_inference_steps=words.steps, seed=words.seed
    )
    if words.image is not None:
        image = read_image(words.image)
        mask = read_mask(words.mask, image.shape[:2])
        header = Header(frame_id="camera_optical_frame")
        goal.image = conversions.message_from_image(image, header)
        goal.target_mask = conversions.message_from_mask(mask, header)
    return goal


def main(args: list[str] | None = None) -> int:
    """Ask for one plan from the command line.

    Args:
        args: Command line, without the program's name; None = that of the process.

    Returns:
        0 with a plan, 1 without, 130 after a second Ctrl-C.
    """
    words = _parse(args)
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("plan_client", context=context)
    client = PlanClient(node, keep_alive_sec=_KEEP_ALIVE_SEC)
    try:
        # Who ends the program does not leave its goal behind.
        with CancelOnSignal(client.cancel), ProgressBar(sys.stderr) as bar:
            client.wait_for_planner(words.timeout)
            result = client.request_plan(_make_goal(words), words.timeout, on_progress=bar.show)
    except TavidError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        client.destroy()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
    verdict = "target touched" if result.touches_target else "target not touched"
    unsaved = f"not saved: {result.error_msg or SAVING_IS_OFF}"
    print(f"{verdict}; plan {f'in {result.plan_uri}' if result.plan_uri else unsaved}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
