"""A recorded message becomes the frame, mask and camera that the planner makes of the live one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mcap.writer import Writer
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage
from tavid.action import PlanInteraction

from tavid_core.errors import InputError
from tavid_core.frame_fit import FrameFit
from tavid_ros.inputs import LatestInputs
from tavid_ros.parameters import PlannerParameters
from tests.ros.messages import make_image_message
from tests.training.sources.bags.bag_helpers import CAMERA, RAW_CAMERA
from training.sources.bags.job import BagJob
from training.sources.bags.settings import BagSettings
from training.sources.bags.topic_map import TopicMap
from training.sources.recording import Recording, SourceProgress

MODEL_HW = (64, 96)
STAMP_SEC = 1_700_000_000
LENSES = {
    "straight": ("plumb_bob", [0.0] * 5),
    "bent": ("plumb_bob", [-0.21, 0.06, 0.001, -0.001, 0.0]),
    "wide": ("rational_polynomial", [0.4, -0.1, 0.0, 0.0, 0.01, 0.7, -0.05, 0.0]),
    "fisheye": ("equidistant", [0.02, -0.004, 0.001, 0.0]),
}


def make_messages(size_hw, lens, encoding):
    """One moment of a camera, as its driver publishes it."""
    height, width = size_hw
    rng = np.random.default_rng(4)
    smooth = cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), (width, height))
    mask = np.zeros(size_hw, np.uint8)
    mask[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5] = 255
    actor = np.zeros(size_hw, np.uint8)
    actor[height // 3 :, : width // 3] = 255
    depth_mm = rng.integers(0, 3000, size_hw, dtype=np.uint16)
    model, d = LENSES[lens]
    focal_px, cx, cy = 0.8 * width, width / 2 - 3.5, height / 2 + 1.5
    info = CameraInfo(height=height, width=width, distortion_model=model, d=d)
    info.k = [focal_px, 0.0, cx, 0.0, focal_px * 1.01, cy, 0.0, 0.0, 1.0]
    info.p = [focal_px, 0.0, cx, 0.0, 0.0, focal_px, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    if encoding == "jpeg":
        image = CompressedImage(format="jpeg", data=cv2.imencode(".jpg", smooth)[1].tobytes())
    else:
        pixels = smooth[:, :, 0] if encoding == "mono8" else smooth
        image = make_image_message(pixels, encoding, padding=3)
    messages = {
        "image": image,
        "camera_info": info,
        "target_mask": make_image_message(mask, "mono8", padding=1),
        "actor_mask": make_image_message(actor, "mono8"),
        "depth": make_image_message(depth_mm, "16UC1", is_bigendian=True),
    }
    for message in messages.values():
        message.header.frame_id = "camera"
        message.header.stamp.sec = STAMP_SEC
    return messages


def record(path, messages, topics):
    """Write the messages as they lie on the wire, and without definitions, as a recorder may."""
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start("ros2", "test")
        for role, message in messages.items():
            type_name = f"sensor_msgs/msg/{type(message).__name__}"
            schema = writer.register_schema(type_name, "ros2msg", b"")
            channel = writer.register_channel(getattr(topics, role), "cdr", schema)
            time_ns = STAMP_SEC * 10**9 + 10**6
            writer.add_message(channel, time_ns, serialize_message(message), time_ns)
        writer.finish()


def plan_request(messages):
    """What the planner node makes of the live messages."""
    inputs = LatestInputs()
    goal = PlanInteraction.Goal(prompt="a person lifts the mug", actor_mask=messages["actor_mask"])
    for topic in ("image", "camera_info", "target_mask", "depth"):
        inputs.put(topic, messages[topic])
    return inputs.make_request(goal, PlannerParameters(input_max_age_sec=1e12, num_frames=0))


# Wider and higher than the model's picture, of its size, and smaller.
@pytest.mark.parametrize(
    ("encoding", "size_hw", "lens"),
    [
        ("bgr8", (90, 200), "straight"),
        ("bgr8", (90, 200), "bent"),
        ("jpeg", (160, 120), "fisheye"),
        ("rgba8", (64, 96), "straight"),
        ("mono8", (40, 60), "wide"),
    ],
)
def test_a_recorded_moment_is_seen_as_the_live_one(tmp_path, encoding, size_hw, lens):
    if encoding == "rgba8":
        messages = make_messages(size_hw, lens, "bgr8")
        bgr = np.frombuffer(bytes(messages["image"].data), np.uint8).reshape(size_hw[0], -1)
        pixels = bgr[:, : 3 * size_hw[1]].reshape(*size_hw, 3)
        rgba = np.concatenate([pixels[:, :, ::-1], np.full((*size_hw, 1), 7, np.uint8)], axis=2)
        image = make_image_message(rgba, "rgba8")
        image.header = messages["image"].header
        messages["image"] = image
    else:
        messages = make_messages(size_hw, lens, encoding)
    request = plan_request(messages)
    fit = FrameFit(request.image.shape[:2], MODEL_HW)

    topics = CAMERA if encoding == "jpeg" else RAW_CAMERA
    if topics.depth is None:
        del messages["depth"]
    record(tmp_path / "bag.mcap", messages, topics)
    settings = BagSettings(topic_map=TopicMap(cameras={"front": topics}), size_hw=MODEL_HW)
    job = BagJob(name="bag", bag=tmp_path / "bag.mcap", settings=settings)
    items = (item for item in job.open() if not isinstance(item, SourceProgress))
    recording = next(items)
    assert isinstance(recording, Recording)

    np.testing.assert_array_equal(recording.read_frames(0, 1)[0], fit.fit_image(request.image))
    np.testing.assert_array_equal(recording.target_masks[0], fit.fit_mask(request.target_mask))
    np.testing.assert_array_equal(
        recording.actor_masks[0], fit.fit_mask(request.actor_mask, name="a", may_be_cut=True)
    )
    assert recording.camera == fit.fit_intrinsics(request.intrinsics)
    if topics.depth is not None:
        np.testing.assert_array_equal(
            recording.read_truth(0, 1)["depth_m"], fit.fit_depth(request.depth_m)
        )
    assert not any(note.is_loss for note in items)


def test_a_cut_off_target_is_refused_by_both(tmp_path):
    messages = make_messages((64, 200), "straight", "bgr8")
    mask = np.zeros((64, 200), np.uint8)
    mask[20:40, :30] = 255
    messages["target_mask"] = make_image_message(mask, "mono8")
    messages["target_mask"].header = messages["image"].header
    request = plan_request(messages)
    with pytest.raises(InputError, match="target_mask must lie within columns"):
        FrameFit(request.image.shape[:2], MODEL_HW).fit_mask(request.target_mask)
    record(tmp_path / "bag.mcap", messages, RAW_CAMERA)
    settings = BagSettings(topic_map=TopicMap(cameras={"front": RAW_CAMERA}), size_hw=MODEL_HW)
    job = BagJob(name="bag", bag=tmp_path / "bag.mcap", settings=settings)
    recording, *notes = (item for item in job.open() if not isinstance(item, SourceProgress))
    assert not recording.target_masks
    lost = [note for note in notes if note.is_loss]
    assert "target_mask must lie within columns" in lost[0].detail
