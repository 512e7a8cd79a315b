"""The latest messages on the input topics, and how a goal and they become a request."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

from sensor_msgs.msg import CameraInfo
from tavid.action import PlanInteraction

from tavid_core.distortion import LensDistortion, rectify_request
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics, PlanRequest
from tavid_ros import conversions
from tavid_ros.input_choice import (
    ChosenInputs,
    InputChooser,
    StaleInputError,
    measure_offset_sec,
)
from tavid_ros.parameters import PlannerParameters
from tavid_ros.topic_memory import AnyInput, Received, TopicMemory

__all__ = ["INPUT_TOPICS", "LatestInputs", "StaleInputError"]

INPUT_TOPICS = ("image", "target_mask", "depth", "camera_info", "prompt")
# What has no stamp to pair it by, or needs none, stays when the clock jumps.
_PAIRED_TOPICS = ("image", "target_mask", "depth")
_MEBIBYTE = 1024 * 1024
_POLL_SEC = 0.03


def _check_camera_info(message: CameraInfo) -> None:
    conversions.intrinsics_from_message(message)
    conversions.distortion_from_message(message)


_CHECKS: dict[str, Callable[[AnyInput], object]] = {
    "image": conversions.check_image_message,
    "target_mask": conversions.check_mask_message,
    "depth": conversions.check_depth_message,
    "camera_info": _check_camera_info,
    "prompt": lambda message: conversions.clean_prompt(message.data),
}


class LatestInputs:
    """A thread-safe store of what came last on each topic.

    Messages are checked when they come and decoded when a goal needs them. A malformed one is
    refused and leaves the ones before in place. A few are remembered of what is paired by stamps,
    since on a busy machine the newest ones do not belong together.

    Args:
        clock_sec: Steady clock, seconds.
        tell: Called with one line per request that says what it was made of, for the log.
    """

    def __init__(
        self,
        clock_sec: Callable[[], float] = time.monotonic,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        self._clock_sec = clock_sec
        self._tell = tell
        self._lock = threading.Lock()
        self._memories = {
            "image": TopicMemory(32, 64 * _MEBIBYTE),
            "target_mask": TopicMemory(16, 16 * _MEBIBYTE),
            "depth": TopicMemory(32, 48 * _MEBIBYTE),
            "camera_info": TopicMemory(),
            "prompt": TopicMemory(),
        }
        self._is_rectified = False

    def set_image_topic(self, name: str) -> None:
        """Say which topic the images come from; its name tells whether they are rectified.

        Args:
            name: Fully qualified, after remapping.
        """
        self._is_rectified = conversions.is_rectified_topic(name)

    def put(self, topic: str, message: AnyInput) -> None:
        """Remember a message.

        Args:
            topic: One of `INPUT_TOPICS`.
            message: As received.

        Raises:
            TavidError: If it is malformed.
        """
        _CHECKS[topic](message)
        received = Received(message, self._clock_sec())
        with self._lock:
            self._memories[topic].put(received)

    def ages_sec(self) -> dict[str, float]:
        """Tell how long ago each topic spoke.

        Returns:
            Seconds by topic, never negative; topics that never spoke are missing.
        """
        now_sec = self._clock_sec()
        with self._lock:
            latest = {topic: memory.latest for topic, memory in self._memories.items()}
        return {
            topic: max(0.0, now_sec - received.arrival_sec)
            for topic, received in latest.items()
            if received is not None
        }

    def rates_hz(self) -> dict[str, float]:
        """Tell how often each topic speaks.

        Returns:
            Messages per second over the last 5 s, by topic; silent topics are missing.
        """
        now_sec = self._clock_sec()
        with self._lock:
            rates = {topic: memory.rate_hz(now_sec) for topic, memory in self._memories.items()}
        return {topic: rate for topic, rate in rates.items() if rate}

    def find_gap_sec(self, topic: str, max_offset_sec: float) -> float | None:
        """Tell how far a topic's stamps are from those of the images when none of them fits.

        Args:
            topic: "target_mask" or "depth".
            max_offset_sec: What still fits.

        Returns:
            Seconds from the nearest image to the topic's newest message, or None if a remembered
            one fits or there is nothing to compare.
        """
        with self._lock:
            images = [received.message for received in self._memories["image"].newest_first]
            others = [received.message for received in self._memories[topic].newest_first]
        if not images or not others:
            return None
        nearest: float | None = None
        for other in others:
            offset_sec = min((measure_offset_sec(other, image) for image in images), key=abs)
            if abs(offset_sec) <= max_offset_sec:
                return None
            nearest = offset_sec if nearest is None else nearest
        return nearest

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            for memory in self._memories.values():
                memory.clear()

    def clear_paired(self) -> None:
        """Forget images, masks and depth: their stamps are of a time that has not been yet."""
        with self._lock:
            for topic in _PAIRED_TOPICS:
                self._memories[topic].clear()

    def wait_request(
        self,
        goal: PlanInteraction.Goal,
        parameters: PlannerParameters,
        is_over: Callable[[], object],
    ) -> PlanRequest | None:
        """Do as `make_request`, and wait up to `input_wait_sec` for inputs that it lacks.

        Args:
            goal: As received.
            parameters: Snapshot for this goal.
            is_over: Asked often; something true ends the wait.

        Returns:
            The question, or None if `is_over` ended the wait.

        Raises:
            TavidError: As `make_request`.
        """
        deadline_sec = self._clock_sec() + parameters.input_wait_sec
        while True:
            try:
                return self.make_request(goal, parameters)
            except StaleInputError:
                left_sec = deadline_sec - self._clock_sec()
                if left_sec <= 0:
                    raise
            if is_over():
                return None
            # Not at every message: at 30 Hz the search itself would keep a core busy.
            time.sleep(min(left_sec, _POLL_SEC))

    def make_request(
        self, goal: PlanInteraction.Goal, parameters: PlannerParameters
    ) -> PlanRequest:
        """Complete a goal with the latest inputs and the node's defaults.

        What the goal brings is used as it is. Of the topics, messages are taken that belong
        together by their stamps. Depth and camera info from the topics go with an image of the goal
        only if they fit it (stamp, frame, size). Lens distortion is undone in all of them as
        `rectify` says; the request is then in the pixels of the rectified image.

        Args:
            goal: As received.
            parameters: Snapshot for this goal.

        Returns:
            The question.

        Raises:
            TavidError: If an input is missing, stale, malformed or contradicts another.
        """
        with self._lock:
            remembered = {topic: memory.newest_first for topic, memory in self._memories.items()}
        chosen = InputChooser(goal, parameters, remembered, self._clock_sec()).choose()
        _check_frames(chosen, goal)
        image = conversions.image_from_message(chosen.image)
        camera = self._read_camera(chosen.camera_info, image.shape[:2], goal, parameters)
        actor_mask = None
        if not conversions.is_empty_image(goal.actor_mask):
            actor_mask = conversions.mask_from_message(goal.actor_mask, "actor_mask")
        request = PlanRequest(
            image=image,
            target_mask=conversions.mask_from_message(chosen.target_mask),
            prompt=chosen.prompt,
            actor_mask=actor_mask,
            depth_m=chosen.depth and conversions.depth_from_message(chosen.depth),
            intrinsics=camera.intrinsics,
            stamp_ns=conversions.nanoseconds_from_time(chosen.image.header.stamp),
            frame_id=chosen.image.header.frame_id,
            **_fill_numbers(goal, parameters),
        )
        if self._tell is not None:
            self._tell(_describe(request, chosen, camera))
        if camera.bend is not None:
            request = rectify_request(request, camera.bend)
        return request

    def _read_camera(
        self,
        camera_info: CameraInfo | None,
        size_hw: tuple[int, int],
        goal: PlanInteraction.Goal,
        parameters: PlannerParameters,
    ) -> _Camera:
        if camera_info is None:
            return _Camera(None, None, "none")
        # What a goal brings along is of its image; only of a topic its name is known.
        is_rectified = self._is_rectified and camera_info is not goal.camera_info
        if parameters.rectify != "auto":
            is_rectified = parameters.rectify == "done"
        intrinsics = conversions.intrinsics_from_message(camera_info, is_rectified=is_rectified)
        if intrinsics is None:
            return _Camera(None, None, "uncalibrated")
        intrinsics = conversions.fit_intrinsics(intrinsics, size_hw)
        bend = conversions.distortion_from_message(camera_info)
        if bend is None or is_rectified:
            return _Camera(intrinsics, None, "calibrated")
        if parameters.rectify == "never" or not bend.is_known:
            intrinsics = dataclasses.replace(intrinsics, has_distortion=True)
            return _Camera(intrinsics, None, f"calibrated, {bend.model} distortion left as it is")
        return _Camera(intrinsics, bend, f"calibrated, {bend.model} distortion undone")


@dataclasses.dataclass(frozen=True)
class _Camera:
    """Intrinsics of the image as it came, the bend to undo, and both in words."""

    intrinsics: CameraIntrinsics | None
    bend: LensDistortion | None
    words: str


def _check_frames(chosen: ChosenInputs, goal: PlanInteraction.Goal) -> None:
    """Refuse what says of itself that another camera took it; an empty frame says nothing."""
    image_frame = chosen.image.header.frame_id.strip("/")
    for name in ("target_mask", "depth", "camera_info"):
        message = getattr(chosen, name)
        # Who sends both knows that they belong together.
        is_own = chosen.image is goal.image and message is getattr(goal, name)
        frame = "" if message is None or is_own else message.header.frame_id.strip("/")
        if image_frame and frame and frame != image_frame:
            raise InputError(
                f"{name} must be in the frame of its image, {image_frame[:64]!r}, got "
                f"{frame[:64]!r}. Is it of another camera? Register depth to the image."
            )


def _fill_numbers(
    goal: PlanInteraction.Goal, parameters: PlannerParameters
) -> dict[str, int | float | None]:
    defaults = conversions.GoalNumbers(
        seed=parameters.seed,
        num_inference_steps=parameters.num_inference_steps or None,
        guidance_scale=parameters.guidance_scale or None,
        num_frames=parameters.num_frames or None,
        num_candidates=parameters.num_candidates,
    )
    return dataclasses.asdict(conversions.numbers_from_goal(goal, defaults))


def _describe(request: PlanRequest, chosen: ChosenInputs, camera: _Camera) -> str:
    height, width = request.image.shape[:2]
    num_marked = int(request.target_mask.sum())
    mask_sec = measure_offset_sec(chosen.target_mask, chosen.image)
    depth = "none"
    if chosen.depth is not None:
        depth = f"{measure_offset_sec(chosen.depth, chosen.image):+.3f} s"
    return (
        f"planning on a {width}x{height} image: target_mask marks {num_marked} pixels "
        f"({num_marked / (width * height):.1%}), {mask_sec:+.3f} s from the image; depth {depth}; "
        f"camera {camera.words}"
    )
