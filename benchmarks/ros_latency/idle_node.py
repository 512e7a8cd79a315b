"""A node with nothing to do but one service: `python -m benchmarks.ros_latency.idle_node`.

What its service takes is what the machine, DDS and rclpy take, without any of ours.
"""

from __future__ import annotations

import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from std_srvs.srv import Trigger

__all__ = ["main"]


def main() -> int:
    """Serve `idle/noop` until SIGINT or SIGTERM.

    Returns:
        0.
    """
    rclpy.init()
    node = rclpy.create_node("idle")
    node.create_service(Trigger, "~/noop", lambda _, response: response)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
