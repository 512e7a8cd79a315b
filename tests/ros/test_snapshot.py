"""A client's snapshot pairs a mask that comes late, and knows a rectified image by its topic."""

from __future__ import annotations

import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from tavid.action import PlanInteraction

from tavid_ros import conversions
from tavid_ros.snapshot import Snapshot
from tests.ros.input_graph import LATCHED, header_at
from tests.ros.messages import make_request
from tests.ros.test_input_topics import K


@pytest.fixture
def nodes():
    """The camera, and a client whose images are rectified ones."""
    context = rclpy.Context()
    arguments = ["--ros-args", "-r", "__ns:=/snapshot", "--disable-rosout-logs"]
    rclpy.init(args=arguments, context=context)
    made = [
        rclpy.create_node("camera", context=context),
        rclpy.create_node(
            "client", context=context, cli_args=["--ros-args", "-r", "image:=image_rect"]
        ),
    ]
    yield made
    for node in made:
        node.destroy_node()
    rclpy.shutdown(context=context)


def test_late_latched_mask_is_paired_with_its_image(nodes):
    camera, client = nodes
    # All of it is published before the client listens, and the mask is not of the newest image.
    publishers = {
        kind_topic: camera.create_publisher(*kind_topic, LATCHED)
        for kind_topic in (
            (Image, "image_rect"),
            (Image, "target_mask"),
            (CameraInfo, "camera_info"),
            (String, "prompt"),
        )
    }
    mask = conversions.message_from_mask(make_request().target_mask, header_at(1.0))
    info = CameraInfo(header=header_at(1.0), height=48, width=64, k=K, d=[0.1] * 5)
    info.distortion_model = "plumb_bob"
    info.p = [50.0, 0.0, 31.0, 0.0, 0.0, 51.0, 23.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    publishers[Image, "target_mask"].publish(mask)
    publishers[CameraInfo, "camera_info"].publish(info)
    publishers[String, "prompt"].publish(String(data="lift it"))
    snapshot, goal = Snapshot(client), PlanInteraction.Goal()
    images = [
        conversions.message_from_image(np.zeros((48, 64, 3), np.uint8), header_at(seconds))
        for seconds in (1.0, 2.0)
    ]
    for image in images:
        snapshot._put("image", image)
    snapshot.fill(goal, timeout_sec=30.0)
    snapshot.destroy()
    assert goal.image == images[0]
    assert goal.target_mask == mask
    assert goal.prompt == "lift it"
    intrinsics = conversions.intrinsics_from_message(goal.camera_info)
    assert (intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy) == (50.0, 51.0, 31.0, 23.0)
    assert conversions.distortion_from_message(goal.camera_info) is None
