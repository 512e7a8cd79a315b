"""Makes small bags with the same scene, through other writers than our recorder.

A disc (the hand) comes to a square (the target) on a spotted table and carries it away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_typestore

__all__ = ["BagScene", "Entry", "fill_mcap", "make_messages", "shift_entry", "write_mcap"]

STORE = get_typestore(Stores.ROS2_JAZZY)
START_NS = 1_700_000_000_000_000_000
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
TYPES = {
    "/camera/image": IMAGE,
    "/camera/image/compressed": COMPRESSED,
    "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
    "/camera/depth": IMAGE,
    "/camera/target_mask": IMAGE,
    "/camera/actor_mask": IMAGE,
    "/prompt": "std_msgs/msg/String",
    "/joint_states": "sensor_msgs/msg/JointState",
    "/episode": "std_msgs/msg/Bool",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class BagScene:
    """What the camera of a bag sees.

    Args:
        size_hw: Of its images, pixels.
        num_images: How many.
        rate_hz: How often.
        is_compressed: JPEG instead of uncompressed images.
        prompt: On /prompt.
        with_depth: Whether there is depth.
        stamp_offset_ns: Of the header stamps against the time of receiving.
        focal_px: Of the camera, both ways, pixels; None = as many as the image is wide.
        noise: Of the camera, standard deviation, grey levels.
    """

    size_hw: tuple[int, int] = (64, 96)
    num_images: int = 60
    rate_hz: float = 20.0
    is_compressed: bool = True
    prompt: str = "A person moves the box."
    with_depth: bool = False
    stamp_offset_ns: int = 0
    focal_px: float | None = None
    noise: float = 0.0

    @property
    def contact_image(self) -> int:
        """The first image in which the hand touches the target."""
        return self.num_images // 2

    def draw(self, index: int) -> NDArray[np.uint8]:
        """Draw an image.

        Args:
            index: Which one.

        Returns:
            RGB, uint8 (H, W, 3).
        """
        height, width = self.size_hw
        noise = np.random.default_rng(3).integers(90, 140, (height // 8, width // 8, 3))
        image = cv2.resize(noise.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
        image[self.target_mask(index)] = (200, 60, 40)
        image[self.actor_mask(index)] = (225, 185, 150)
        if self.noise:
            noise = np.random.default_rng(index).normal(0, self.noise, image.shape)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        return image

    def target_mask(self, index: int) -> NDArray[np.bool_]:
        """Draw the target, bool (H, W)."""
        height, width = self.size_hw
        carried_px = max(0, index - self.contact_image) * width // (3 * self.num_images)
        mask = np.zeros(self.size_hw, bool)
        top, left = height // 3, width // 2 + carried_px
        mask[top : top + height // 4, left : left + height // 4] = True
        return mask

    def actor_mask(self, index: int) -> NDArray[np.bool_]:
        """Draw the hand, bool (H, W)."""
        height, width = self.size_hw
        radius = height // 7
        # At contact its edge is one pixel inside the target's.
        end = width // 2 - radius + 1
        share = min(1.0, index / self.contact_image)
        column = round(radius + (end - radius) * share)
        column += max(0, index - self.contact_image) * width // (3 * self.num_images)
        mask = np.zeros(self.size_hw, np.uint8)
        return cv2.circle(mask, (column, height // 3 + height // 8), radius, 1, -1) > 0


@dataclasses.dataclass(frozen=True)
class Entry:
    """One message.

    Args:
        topic: Where.
        received_ns: When.
        message: An object of the type store.
    """

    topic: str
    received_ns: int
    message: object

    def serialize(self) -> bytes:
        """Write the message as CDR."""
        return bytes(STORE.serialize_cdr(self.message, TYPES[self.topic]))


def make_messages(scene: BagScene) -> Iterator[Entry]:
    """Make the messages of a scene, one after the other.

    Args:
        scene: What the camera sees.

    Yields:
        Messages in the order in which they are received.
    """
    types = STORE.types
    yield Entry("/prompt", START_NS, types["std_msgs/msg/String"](data=scene.prompt))
    for index in range(scene.num_images):
        received_ns = START_NS + round(index * 1e9 / scene.rate_hz)
        header = _make_header(received_ns + scene.stamp_offset_ns)
        yield Entry("/camera/camera_info", received_ns, _make_camera_info(scene, header))
        target, actor = scene.target_mask(index), scene.actor_mask(index)
        yield Entry("/camera/target_mask", received_ns, _make_image(target, "mono8", header))
        yield Entry("/camera/actor_mask", received_ns, _make_image(actor, "mono8", header))
        if scene.with_depth:
            depth_mm = np.full(scene.size_hw, 1000 + index, np.uint16)
            yield Entry("/camera/depth", received_ns, _make_image(depth_mm, "16UC1", header))
        position = 0.01 if index >= scene.contact_image else 0.04
        joints = types["sensor_msgs/msg/JointState"](
            header=header, name=["arm", "finger"], position=np.array([0.5, position]),
            velocity=np.zeros(0), effort=np.zeros(0),
        )  # fmt: skip
        yield Entry("/joint_states", received_ns, joints)
        image = scene.draw(index)
        if scene.is_compressed:
            jpeg = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
            message = types[COMPRESSED](header=header, format="jpeg", data=jpeg.ravel())
            yield Entry("/camera/image/compressed", received_ns, message)
        else:
            yield Entry("/camera/image", received_ns, _make_image(image, "rgb8", header))


def shift_entry(entry: Entry, offset_ns: int) -> Entry:
    """Make a message as if it had been taken and received later.

    Args:
        entry: The message.
        offset_ns: How much later; may be negative.

    Returns:
        Another message.
    """
    message = entry.message
    if hasattr(message, "header"):
        stamp = message.header.stamp
        total_ns = stamp.sec * 1_000_000_000 + stamp.nanosec + offset_ns
        message = dataclasses.replace(message, header=_make_header(total_ns))
    return Entry(entry.topic, entry.received_ns + offset_ns, message)


def _make_header(stamp_ns: int) -> object:
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")


def _make_image(values: NDArray[np.generic], encoding: str, header: object) -> object:
    values = values.astype(np.uint8) * 255 if values.dtype == bool else values
    return STORE.types[IMAGE](
        header=header, height=values.shape[0], width=values.shape[1], encoding=encoding,
        is_bigendian=0, step=values.nbytes // values.shape[0],
        data=np.frombuffer(values.tobytes(), np.uint8),
    )  # fmt: skip


def _make_camera_info(scene: BagScene, header: object) -> object:
    height, width = scene.size_hw
    focal_px = scene.focal_px or width
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    k = np.array([focal_px, 0, center_x, 0, focal_px, center_y, 0, 0, 1], np.float64)
    p = np.array([*k[:3], 0, *k[3:6], 0, *k[6:], 0], np.float64)
    region = STORE.types["sensor_msgs/msg/RegionOfInterest"](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    return STORE.types["sensor_msgs/msg/CameraInfo"](
        header=header, height=height, width=width, distortion_model="plumb_bob",
        d=np.zeros(5), k=k, r=np.eye(3).ravel(), p=p, binning_x=0, binning_y=0, roi=region,
    )  # fmt: skip


def write_mcap(
    path: Path,
    entries: Iterator[Entry],
    *,
    compression: CompressionType = CompressionType.ZSTD,
    chunk_bytes: int = 256 * 1024,
    prompt: str = "",
) -> int:
    """Write an MCAP file with checksums.

    Args:
        path: Where to.
        entries: The messages.
        compression: Of the chunks.
        chunk_bytes: How large a chunk grows.
        prompt: For the bag's metadata.

    Returns:
        How many messages were written.
    """
    with path.open("wb") as stream:
        writer = McapWriter(stream, chunk_size=chunk_bytes, compression=compression)
        return fill_mcap(writer, entries, prompt=prompt)


def fill_mcap(writer: McapWriter, entries: Iterator[Entry], *, prompt: str = "") -> int:
    """Write messages with any writer of MCAP.

    Args:
        writer: Not yet started; finished afterwards.
        entries: The messages.
        prompt: For the bag's metadata.

    Returns:
        How many messages were written.
    """
    num_messages = 0
    writer.start(profile="ros2", library="test")
    channels: dict[str, int] = {}
    for entry in entries:
        if entry.topic not in channels:
            type_name = TYPES[entry.topic]
            text, _ = STORE.generate_msgdef(type_name, ros_version=2)
            schema = writer.register_schema(type_name, "ros2msg", text.encode())
            channels[entry.topic] = writer.register_channel(entry.topic, "cdr", schema)
        writer.add_message(
            channels[entry.topic], entry.received_ns, entry.serialize(), entry.received_ns
        )
        num_messages += 1
    if prompt:
        writer.add_metadata("tavid", {"prompt": prompt})
    writer.finish()
    return num_messages
