"""Messages that no honest node sends: each breaks one rule of its type.

    generator = MalformedMessages(seed=0)
    message = generator.make("image")        # a message, or bytes that are none
    publisher.publish(message)               # rclpy sends both

Each one is made from a good message of its topic, so that nothing but the flaw is refused.
"""

from __future__ import annotations

import math
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import Point, Point32, PointStamped, PolygonStamped
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header, String
from tavid.action import PlanInteraction

from tavid_ros import conversions

__all__ = ["PLANNER_TOPICS", "SEGMENTER_TOPICS", "MalformedMessages"]

PLANNER_TOPICS: dict[str, type] = {
    "image": Image,
    "target_mask": Image,
    "depth": Image,
    "camera_info": CameraInfo,
    "prompt": String,
}
SEGMENTER_TOPICS: dict[str, type] = {
    "image": Image,
    "clicked_point": PointStamped,
    "clicked_points": PolygonStamped,
    "clicked_box": RegionOfInterest,
    "clicked_label": String,
}

_HEIGHT, _WIDTH = 48, 64
_MAX_UINT32 = 2**32 - 1
_BOMB_SIDE_PX = 60_000
_NUMBERS = (math.nan, math.inf, -math.inf, 1e308, -1e308, -1.0, 0.0)
_TEXTS = ("", "\x01\x02\x1b[2J", "\u202egnp.exe\u202c", "\ufeff", "x" * 1_025, "\n" * 5_000)
# A prompt of 10 MB takes a tenth of a second to send; one in many is enough.
_LONG_TEXT_SHARE, _LONG_TEXT = 0.01, 10_000_000
_RAW_SHARE = 0.2


class MalformedMessages:
    """An endless source of flawed messages; the same seed gives the same ones.

    Args:
        seed: Of the choice of flaws.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - flaws, not secrets
        self._makers: dict[str, Callable[[], object]] = {
            "image": lambda: self._break_image(self._good_image()),
            "image/compressed": self._make_compressed,
            "target_mask": self._make_mask,
            "depth": self._make_depth,
            "camera_info": self._make_camera_info,
            "prompt": self._make_text,
            "clicked_point": self._make_point,
            "clicked_points": self._make_points,
            "clicked_box": self._make_box,
            "clicked_label": self._make_text,
        }

    def make(self, topic: str) -> object:
        """Make a message that its subscriber must refuse, or at least survive.

        Args:
            topic: Of `PLANNER_TOPICS`, `SEGMENTER_TOPICS`, or "image/compressed".

        Returns:
            A message of the topic's type, or bytes that do not hold one.
        """
        message = self._makers[topic]()
        if self._random.random() < _RAW_SHARE:
            return self._break_bytes(message)
        return message

    def make_goal(self) -> PlanInteraction.Goal:
        """Make a goal with one flaw; the other fields fit together.

        Returns:
            The goal.
        """
        header = self._header()
        goal = PlanInteraction.Goal(
            image=self._good_image(header), target_mask=self._good_mask(header), prompt="lift it"
        )
        choose = self._random.choice
        field = choose(("image", "target_mask", "actor_mask", "depth", "camera_info", "numbers"))
        if field == "numbers":
            goal.num_frames = choose((1, 8, 10, 2**31 - 1, -1))
            goal.num_inference_steps = choose((0, -1, 2**31 - 1))
            goal.guidance_scale = choose((math.nan, math.inf, -1.0, 31.0))
        else:
            makers = {"actor_mask": self._make_mask}
            setattr(
                goal, field, makers.get(field, self._makers[field.replace("actor", "target")])()
            )
        return goal

    # Images

    def _header(self) -> Header:
        stamp_ns = self._random.choice((0, 1, 10**9, 2**31 * 10**9 - 1))
        return conversions.header_from_stamp(
            stamp_ns, self._random.choice(("", "optical", "é" * 99))
        )

    def _good_image(self, header: Header | None = None) -> Image:
        pixels = np.full((_HEIGHT, _WIDTH, 3), 90, np.uint8)
        return conversions.message_from_image(pixels, header or self._header())

    def _good_mask(self, header: Header | None = None) -> Image:
        mask = np.zeros((_HEIGHT, _WIDTH), bool)
        mask[10:20, 10:20] = True
        return conversions.message_from_mask(mask, header or self._header())

    def _break_image(self, message: Image) -> Image:
        choose = self._random.choice
        flaw = choose(("data", "no data", "height", "width", "step", "encoding", "size"))
        if flaw == "data":
            message.data = bytes(message.data)[: choose((1, -1, -_WIDTH))]
        elif flaw == "no data":
            message.data = b""
        elif flaw == "size":
            message.height = message.width = choose((0, 65_536, _MAX_UINT32))
        elif flaw == "encoding":
            message.encoding = choose(("", "16UC3", "bayer_rggb8", "jpeg", "32FC4", "x" * 5_000))
        else:
            setattr(message, flaw, choose((0, 1, 2**31 - 1, _MAX_UINT32)))
        return message

    def _make_mask(self) -> Image:
        message = self._good_mask()
        if self._random.random() < 0.5:
            return self._break_image(message)
        labels = np.arange(_HEIGHT * _WIDTH, dtype=np.uint8)
        values = self._random.choice((labels, labels % 3 + 253, np.full_like(labels, 7)))
        message.data = values.tobytes()
        return message

    def _make_depth(self) -> Image:
        values = np.full((_HEIGHT, _WIDTH), 1.0, np.float32)
        message = conversions.message_from_depth(values, self._header())
        if self._random.random() < 0.5:
            return self._break_image(message)
        message.encoding = self._random.choice(("mono8", "rgb8", "16UC1", "64FC1"))
        return message

    def _make_compressed(self) -> CompressedImage:
        choose = self._random.choice
        good = bytes(
            conversions.compressed_from_image(
                np.full((_HEIGHT, _WIDTH, 3), 90, np.uint8), self._header()
            ).data
        )
        data = choose(
            (
                b"",
                b"GIF89a",
                good[: self._random.randrange(len(good))],
                _make_png_bomb(),
                _make_jpeg_bomb(good),
                good[:-2] + b"\xff\xda\x00\x02" * 5_000 + b"\xff\xd9",
                self._random.randbytes(500),
            )
        )
        return CompressedImage(header=self._header(), format=choose(("jpeg", "png", "")), data=data)

    # Others

    def _make_camera_info(self) -> CameraInfo:
        choose = self._random.choice
        message = CameraInfo(
            header=self._header(),
            height=_HEIGHT,
            width=_WIDTH,
            k=[60.0, 0.0, 32.0, 0.0, 60.0, 24.0, 0.0, 0.0, 1.0],
            distortion_model="plumb_bob",
        )
        flaw = choose(("k", "d", "roi", "binning", "size"))
        if flaw == "k":
            message.k[choose((0, 2, 4, 5))] = choose(_NUMBERS[:3])
        elif flaw == "d":
            message.d = [choose(_NUMBERS[:5])] * choose((1, 5, 8, 10_000))
        elif flaw == "roi":
            message.roi = RegionOfInterest(x_offset=_MAX_UINT32, width=_MAX_UINT32, height=1)
        elif flaw == "binning":
            message.binning_x = message.binning_y = _MAX_UINT32
        else:
            message.width = choose((0, _MAX_UINT32))
        return message

    def _make_text(self) -> String:
        if self._random.random() < _LONG_TEXT_SHARE:
            return String(data="x" * _LONG_TEXT)
        return String(data=self._random.choice(_TEXTS))

    def _make_point(self) -> PointStamped:
        numbers = [self._random.choice(_NUMBERS) for _ in range(3)]
        point = Point(x=numbers[0], y=numbers[1], z=numbers[2])
        return PointStamped(header=self._header(), point=point)

    def _make_points(self) -> PolygonStamped:
        message = PolygonStamped(header=self._header())
        for _ in range(self._random.choice((0, 1, 2_000))):
            x, y = (self._random.choice(_NUMBERS[:3]) for _ in range(2))
            message.polygon.points.append(Point32(x=x, y=y))
        return message

    def _make_box(self) -> RegionOfInterest:
        numbers = [self._random.choice((0, 2**31, _MAX_UINT32)) for _ in range(4)]
        x_offset, y_offset, width, height = numbers
        return RegionOfInterest(x_offset=x_offset, y_offset=y_offset, width=width, height=height)

    def _break_bytes(self, message: object) -> bytes:
        """Damage a message below the level of fields: what rclpy itself has to survive."""
        whole = serialize_message(message)[:4096]
        data = bytearray(whole[: self._random.randrange(4, len(whole) + 1)])
        for _ in range(self._random.randrange(8)):
            data[self._random.randrange(len(data))] = self._random.choice((0, 0x7F, 0xFF))
        # An invalid header of the encapsulation is dropped by DDS and would test nothing.
        data[:4] = whole[:4]
        return bytes(data)


def _make_png_bomb() -> bytes:
    """A PNG of a hundred bytes that claims 10 GB of pixels."""
    header = struct.pack(">IIBBBBB", _BOMB_SIDE_PX, _BOMB_SIDE_PX, 8, 2, 0, 0, 0)
    chunks = (b"IHDR" + header, b"IDAT" + zlib.compress(bytes(99)), b"IEND")
    parts = (
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _make_jpeg_bomb(good: bytes) -> bytes:
    """A JPEG whose frame header claims 10 GB of pixels."""
    start = good.index(b"\xff\xc0") + 5
    return good[:start] + struct.pack(">HH", _BOMB_SIDE_PX, _BOMB_SIDE_PX) + good[start + 4 :]
