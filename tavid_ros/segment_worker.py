"""The child process that segments: `python -m tavid_ros.segment_worker`, started by the node.

It knows no ROS. GrabCut and networks take their time here, and the node stays quick.

Messages to it: load, mark, follow. It answers each with one: ready or load_failed; result, hidden
or failure.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError, NotReadyError
from tavid_core.segment import Segmenter, make_segmenter
from tavid_core.segment_detect import LabelDetector, make_detector
from tavid_core.segment_follow import TargetFollower
from tavid_core.segment_label import segment_label
from tavid_core.segment_prompt import Segmentation
from tavid_core.visualize import draw_overlay
from tavid_ros.child import connect_to_parent, describe_error
from tavid_ros.wire import Message, receive_message, send_message

__all__ = ["SegmentWorker", "main"]

_LOGGER = logging.getLogger("tavid.segment_worker")
Arrays = dict[str, NDArray[np.generic]]
Answer = tuple[dict[str, object], Arrays]


class SegmentWorker:
    """Answers the node at the other end of a socket.

    Args:
        connection: Connected stream socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._segmenter: Segmenter | None = None
        self._detector: LabelDetector | None = None
        self._image: NDArray[np.uint8] | None = None
        self._image_key: int | None = None
        self._is_embedded = False
        self._follower: TargetFollower | None = None

    def run(self) -> None:
        """Answer until the node is gone."""
        handlers = {"load": self._load, "mark": self._mark, "follow": self._follow}
        try:
            while (message := receive_message(self._connection)) is not None:
                header, arrays = handlers[message[0]["type"]](message)
                send_message(self._connection, header, arrays)
        except OSError as error:
            _LOGGER.warning("socket of the node broke: %s", error)

    def _load(self, message: Message) -> Answer:
        start_sec = time.monotonic()
        options: Mapping[str, str] = message[0]["options"]
        try:
            self._segmenter = make_segmenter(
                options["method"],
                checkpoint=options["checkpoint"],
                model_type=options["model_type"],
                device=options["device"],
            )
            if options["detector"]:
                self._detector = make_detector(
                    options["detector"],
                    device=options["device"],
                    min_score=float(options["detector_min_score"]),
                )
        except Exception as error:  # noqa: BLE001 - edge of the process, told to the node
            return {"type": "load_failed", **describe_error(error, _LOGGER)}, {}
        return {"type": "ready", "load_time_sec": time.monotonic() - start_sec}, {}

    def _mark(self, message: Message) -> Answer:
        header, arrays = message
        try:
            if "image" in arrays:
                self._image, self._image_key = arrays["image"], header["image_key"]
                self._is_embedded = False
            if self._image is None or self._image_key != header["image_key"]:
                raise NotReadyError("image must be sent before a click, got none. Click again.")
            found = self._segment(self._image, header)
            if header["is_followed"]:
                self._follower = TargetFollower(self._image, found.mask)
        except Exception as error:  # noqa: BLE001 - edge of the process, told to the node
            return {"type": "failure", **describe_error(error, _LOGGER)}, {}
        return _pack(found, self._image if header["has_overlay"] else None)

    def _segment(self, image: NDArray[np.uint8], header: Mapping[str, object]) -> Segmentation:
        if self._segmenter is None:
            raise NotReadyError("the segmenter must be loaded first, got a click. Load it.")
        points, box, label = header["points"], header["box"], header["label"]
        if label and (points or box):
            raise InputError(
                f"label must come without points and box, got {label!r} with one. Drop one."
            )
        detector = self._detector
        if label and detector is None:
            # Says what to set.
            detector = make_detector("")
        if not self._is_embedded:
            self._segmenter.set_image(image)
            self._is_embedded = True
        if label:
            return segment_label(self._segmenter, detector, image, label)
        return self._segmenter.segment(points, header["labels"] or None, box)

    def _follow(self, message: Message) -> Answer:
        header, arrays = message
        try:
            if self._follower is None:
                raise NotReadyError(
                    "a target must be marked before it can be followed, got none. Click again."
                )
            found = self._follower.follow(arrays["image"])
        except Exception as error:  # noqa: BLE001 - edge of the process, told to the node
            return {"type": "failure", **describe_error(error, _LOGGER)}, {}
        if found is None:
            return {"type": "hidden"}, {}
        return _pack(found, arrays["image"] if header["has_overlay"] else None)


def _pack(found: Segmentation, image: NDArray[np.uint8] | None) -> Answer:
    arrays: Arrays = {"mask": found.mask}
    if image is not None:
        arrays["overlay"] = draw_overlay(image, found.mask)
    words = {"score": found.score, "method": found.method, "note": found.note}
    return {"type": "result", **words}, arrays


def main(args: list[str] | None = None) -> int:
    """Serve one segmenter node until it ends.

    Args:
        args: Command line, without the program's name.

    Returns:
        The exit code.
    """
    SegmentWorker(connect_to_parent(args, str(main.__doc__))).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
