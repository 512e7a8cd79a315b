"""Point the segmenter at a target from a terminal: `ros2 run tavid click 350 380`."""

from __future__ import annotations

import argparse
import sys
import time

import rclpy
from geometry_msgs.msg import Point32
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import RegionOfInterest
from tavid.srv import SegmentTarget

__all__ = ["main"]

_RETRY_SEC = 0.5
EXAMPLE = """\
examples:
  ros2 run tavid click 350 380
  ros2 run tavid click --label "red mug"
  ros2 run tavid click --box 186 330 288 415 --ros-args -r __ns:=/robot1
"""


def _parse(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="click",
        description="Mark the target on the segmenter's latest image, and say what was marked.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "point",
        nargs="*",
        type=float,
        metavar="X Y",
        help="pixel on the target, from the upper left corner",
    )
    add("--box", nargs=4, type=int, metavar=("X0", "Y0", "X1", "Y1"), help="a box around it")
    add("--label", default="", metavar="WORDS", help="what to look for; needs a detector")
    add(
        "--timeout",
        type=float,
        default=60.0,
        metavar="S",
        help="longest wait for a segmenter and an image, seconds [60]",
    )
    options = parser.parse_args(remove_ros_args(sys.argv if args is None else ["", *args])[1:])
    if len(options.point) not in (0, 2):
        parser.error("give one pixel, X Y")
    if not (options.point or options.box or options.label):
        parser.error("give a pixel, --box or --label")
    x0, y0, x1, y1 = options.box or (0, 0, 1, 1)
    if not (0 <= x0 < x1 and 0 <= y0 < y1):
        parser.error("a box goes from X0 Y0 to X1 Y1, to the right and down")
    return options


def _make_request(options: argparse.Namespace) -> SegmentTarget.Request:
    request = SegmentTarget.Request(label=options.label)
    if options.point:
        x, y = options.point
        request.points = [Point32(x=x, y=y)]
    if options.box:
        x0, y0, x1, y1 = options.box
        request.box = RegionOfInterest(x_offset=x0, y_offset=y0, width=x1 - x0, height=y1 - y0)
    return request


def _ask(node: Node, request: SegmentTarget.Request, timeout_sec: float) -> tuple[bool, str]:
    """Ask until there is an image to click on."""
    deadline_sec = time.monotonic() + timeout_sec
    client = node.create_client(SegmentTarget, "segmenter/segment")
    if not client.wait_for_service(timeout_sec):
        return False, (
            f"a segmenter must be there within {timeout_sec:g} s, got none at "
            f"{client.srv_name}. Start segmenter_node, or check the namespace."
        )
    while True:
        future = client.call_async(request)
        rclpy.spin_until_future_complete(
            node, future, timeout_sec=max(_RETRY_SEC, deadline_sec - time.monotonic())
        )
        if not future.done():
            return False, f"an answer must come within {timeout_sec:g} s, got none. Ask again."
        answer = future.result()
        # The camera may start after us.
        is_early = answer.message.startswith("STALE_INPUT")
        if not is_early or time.monotonic() + _RETRY_SEC > deadline_sec:
            return answer.success, answer.message
        time.sleep(_RETRY_SEC)


def main(args: list[str] | None = None) -> int:
    """Mark one target.

    Args:
        args: Command line; None = that of the process.

    Returns:
        0 if something was marked, else 1.
    """
    options = _parse(args)
    rclpy.init(args=args)
    node = rclpy.create_node("click")
    try:
        is_marked, message = _ask(node, _make_request(options), options.timeout)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        is_marked, message = False, "interrupted"
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    print(message if is_marked else f"error: {message}", file=None if is_marked else sys.stderr)
    return 0 if is_marked else 1


if __name__ == "__main__":
    sys.exit(main())
