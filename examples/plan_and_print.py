"""A robot program: see, point at a target, have it planned, read the plan. Ctrl-C cancels.

    python examples/plan_and_print.py                      # the target is what target_mask says
    python examples/plan_and_print.py --click 350 380      # the target is what lies at this pixel

It needs a camera and a planner, as `ros2 launch tavid demo.launch.py` starts them; a click needs
segmenter_node too. What it prints is advice: check it before a robot follows it.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import rclpy
from geometry_msgs.msg import PointStamped
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

from tavid_core.errors import CanceledError, TavidError
from tavid_core.types import InteractionPlan
from tavid_ros import conversions
from tavid_ros.client import CancelOnSignal, PlanClient
from tavid_ros.progress_bar import ProgressBar

CAMERA_TIMEOUT_SEC = 60.0
CLICK_PERIOD_SEC = 2.0
NUM_REMEMBERED = 30
APPROACH_M = 0.10


class Camera:
    """The latest images, and the mask of one of them.

    Args:
        node: Of the program, spun here while it waits.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._images: dict[int, Image] = {}
        self._masks: dict[int, Image] = {}
        self.calibration: CameraInfo | None = None
        qos = qos_profile_sensor_data
        node.create_subscription(Image, "image", lambda m: self._keep(self._images, m), qos)
        node.create_subscription(Image, "target_mask", lambda m: self._keep(self._masks, m), qos)
        node.create_subscription(CameraInfo, "camera_info", self._calibrate, qos)
        self._clicks = node.create_publisher(PointStamped, "clicked_point", 1)

    def wait_for_target(self, click: tuple[float, float] | None) -> tuple[Image, Image]:
        """Wait until there is an image with a mask of the same moment.

        Args:
            click: Column and row of the target, pixels, for segmenter_node; None = somebody else
                publishes the mask.

        Returns:
            Image and mask.

        Raises:
            TimeoutError: If they do not come.
        """
        start_sec = time.monotonic()
        first_stamp, next_click_sec = 0, start_sec
        while time.monotonic() - start_sec < CAMERA_TIMEOUT_SEC:
            rclpy.spin_once(self._node, timeout_sec=0.1)
            if click and self._images and time.monotonic() >= next_click_sec:
                next_click_sec = time.monotonic() + CLICK_PERIOD_SEC
                newest = max(self._images)
                # A mask of before the first click is of another target.
                first_stamp = first_stamp or newest
                message = PointStamped(header=self._images[newest].header)
                message.point.x, message.point.y = click
                self._clicks.publish(message)
            ready = [stamp for stamp in self._masks if stamp in self._images]
            ready = [
                stamp for stamp in ready if stamp >= first_stamp and (first_stamp or not click)
            ]
            if ready:
                return self._images[max(ready)], self._masks[max(ready)]
        raise TimeoutError(
            f"image and target_mask must come within {CAMERA_TIMEOUT_SEC:g} s with one stamp, got "
            f"{len(self._images)} images and {len(self._masks)} masks. Is a camera running"
            f"{', and segmenter_node' if click else ''}?"
        )

    @staticmethod
    def _keep(messages: dict[int, Image], message: Image) -> None:
        messages[conversions.nanoseconds_from_time(message.header.stamp)] = message
        while len(messages) > NUM_REMEMBERED:
            del messages[min(messages)]

    def _calibrate(self, message: CameraInfo) -> None:
        self.calibration = message


def describe_approach(plan: InteractionPlan) -> str:
    """Say how the hand comes to the target.

    Args:
        plan: As it came.

    Returns:
        Who touches it when and where, and along which line the last ten centimetres lead there.
    """
    contact, fps = plan.motion.contact, plan.rollout.fps
    if not contact.touches_target or contact.start_frame is None:
        return "the target is not touched: nothing to grasp"
    path_m = find_hand(plan)
    end_m = path_m[contact.start_frame]
    far = np.linalg.norm(path_m[: contact.start_frame] - end_m, axis=1) >= APPROACH_M
    first = int(np.flatnonzero(far)[-1]) if far.any() else 0
    step_m = end_m - path_m[first]
    length_m = float(np.linalg.norm(step_m))
    direction = step_m / length_m if length_m > 0.0 else step_m
    return (
        f"the {str(contact.hand).replace('_', ' ')} touches the target after "
        f"{contact.start_frame / fps:.2f} s at {format_point(end_m)} m, "
        f"confidence {contact.confidence:.2f}\n"
        f"grasp approach: from {format_point(path_m[first])} m along {format_point(direction)}, "
        f"{length_m:.3f} m in {(contact.start_frame - first) / fps:.2f} s"
    )


def find_hand(plan: InteractionPlan) -> NDArray[np.float32]:
    """Find the path of the hand that acts.

    Args:
        plan: With at least one hand.

    Returns:
        Metres in the camera's optical frame, float32 (T, 3); NaN where the hand was lost.
    """
    hands = {track.name: track for track in plan.motion.hands}
    track = hands.get(plan.motion.contact.hand) or plan.motion.hands[0]
    return track.positions_camera_m


def format_table(plan: InteractionPlan) -> str:
    """Write the path of the hand as a table.

    Args:
        plan: As it came.

    Returns:
        One line per frame: seconds from the image, metres in its optical frame.
    """
    lines = [
        f"hand path in {plan.request.frame_id or 'the optical frame'}: x right, y down, z ahead"
    ]
    lines.append(f"{'t s':>8}{'x m':>10}{'y m':>10}{'z m':>10}")
    for frame, (x, y, z) in enumerate(find_hand(plan)):
        lines.append(f"{frame / plan.rollout.fps:8.3f}{x:10.3f}{y:10.3f}{z:10.3f}")
    return "\n".join(lines)


def format_point(point: NDArray[np.float32]) -> str:
    """Write a point.

    Args:
        point: Three numbers.

    Returns:
        As "(0.120, -0.031, 0.850)".
    """
    return "({:.3f}, {:.3f}, {:.3f})".format(*point)


def ask(node: Node, client: PlanClient, words: argparse.Namespace) -> InteractionPlan:
    """Wait for camera and planner, and have what the camera sees planned.

    Args:
        node: Of the program.
        client: On that node.
        words: Of the command line.

    Returns:
        The plan.
    """
    print("waiting for the planner ...", flush=True)
    client.wait_for_planner(words.timeout)
    print("waiting for the camera ...", flush=True)
    camera = Camera(node)
    image, mask = camera.wait_for_target(words.click)
    info = camera.calibration
    print(f"planning: {words.prompt!r}", flush=True)
    with CancelOnSignal(client.cancel), ProgressBar(sys.stderr) as bar:
        return client.plan(
            conversions.image_from_message(image),
            conversions.mask_from_message(mask),
            words.prompt,
            words.timeout,
            on_progress=bar.show,
            intrinsics=None if info is None else conversions.intrinsics_from_message(info),
            stamp_ns=conversions.nanoseconds_from_time(image.header.stamp),
            frame_id=image.header.frame_id,
            num_inference_steps=words.steps,
        )


def main(args: list[str] | None = None) -> int:
    """Run the program.

    Args:
        args: Command line, without the program's name; None = that of the process.

    Returns:
        0 with a plan, 1 without, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prompt", default="A person picks up the object.", help="one sentence")
    parser.add_argument(
        "--click", nargs=2, type=float, metavar=("COLUMN", "ROW"), help="pixel of the target"
    )
    parser.add_argument("--steps", type=int, help="denoising steps [the planner's]")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds, per wait [600]")
    words = parser.parse_args(args)
    # rclpy's own handler would close the context before the cancel is sent.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("plan_and_print")
    client = PlanClient(node, keep_alive_sec=5.0)
    try:
        plan = ask(node, client, words)
        print(describe_approach(plan))
        print(format_table(plan))
    except (CanceledError, KeyboardInterrupt):
        print("canceled", file=sys.stderr)
        return 130
    except (TavidError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        client.destroy()
        node.destroy_node()
        rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
