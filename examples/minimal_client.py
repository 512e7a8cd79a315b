"""Ask for one plan about what the camera sees now; the shortest robot program."""

import rclpy
from tavid.action import PlanInteraction

from tavid_ros.client import PlanClient

rclpy.init()
node = rclpy.create_node("minimal_client")
client = PlanClient(node)
client.wait_for_planner(timeout_sec=600.0)
# An empty goal means: the latest image, mask and prompt on the topics.
result = client.request_plan(PlanInteraction.Goal(), timeout_sec=600.0)
for point in result.motion.points:
    place = dict(zip(result.motion.joint_names, point.transforms, strict=True))["target"]
    print(point.time_from_start.nanosec * 1e-9 + point.time_from_start.sec, place.translation)
client.destroy()
rclpy.shutdown()
