"""The latest messages on the input topics, and how a goal and they become a request."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable

from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, TavidError
from tavid_core.types import PlanRequest
from tavid_ros import conversions
from tavid_ros.parameters import PlannerParameters

__all__ = ["LatestInputs", "StaleInputError"]

AnyImage = Image | CompressedImage
AnyInput = AnyImage | CameraInfo | String

_NUM_REMEMBERED_IMAGES = 8
_MAX_REMEMBERED_BYTES = 64 * 1024 * 1024
_NS_PER_SECOND = 1_000_000_000


class StaleInputError(TavidError):
    """An input is missing, too old, or belongs to another one."""

    code = ErrorCode.STALE_INPUT


@dataclasses.dataclass(frozen=True)
class _Received:
    message: AnyInput
    arrival_sec: float

    @property
    def stamp_ns(self) -> int:
        return conversions.nanoseconds_from_time(self.message.header.stamp)


class LatestInputs:
    """A thread-safe store of what came last on each topic.

    Messages are checked when they come and decoded when a goal needs them. A malformed one is
    refused and leaves the one before in place.

    Args:
        clock_sec: Steady clock, seconds.
    """

    def __init__(self, clock_sec: Callable[[], float] = time.monotonic) -> None:
        self._clock_sec = clock_sec
        self._lock = threading.Lock()
        self._latest: dict[str, _Received] = {}
        self._images: collections.deque[_Received] = collections.deque(
            maxlen=_NUM_REMEMBERED_IMAGES
        )

    def put(self, topic: str, message: AnyInput) -> None:
        """Remember a message.

        Args:
            topic: "image", "target_mask", "depth", "camera_info" or "prompt".
            message: As received.

        Raises:
            TavidError: If it is malformed.
        """
        if topic == "image":
            conversions.check_image_message(message)
        elif topic == "target_mask":
            conversions.check_mask_message(message)
        elif topic == "depth":
            conversions.check_depth_message(message)
        elif topic == "camera_info":
            conversions.intrinsics_from_message(message)
        elif topic == "prompt":
            conversions.clean_prompt(message.data)
        received = _Received(message, self._clock_sec())
        with self._lock:
            self._latest[topic] = received
            if topic == "image":
                self._images.append(received)
                self._forget_images()

    def _forget_images(self) -> None:
        while len(self._images) > 1 and (
            sum(len(image.message.data) for image in self._images) > _MAX_REMEMBERED_BYTES
        ):
            self._images.popleft()

    def ages_sec(self) -> dict[str, float]:
        """Tell how long ago each topic spoke.

        Returns:
            Seconds by topic; topics that never spoke are missing.
        """
        now = self._clock_sec()
        with self._lock:
            return {topic: now - item.arrival_sec for topic, item in self._latest.items()}

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._latest.clear()
            self._images.clear()

    def make_request(
        self, goal: PlanInteraction.Goal, parameters: PlannerParameters
    ) -> PlanRequest:
        """Complete a goal with the latest inputs and the node's defaults.

        What the goal brings is used as it is. An image from the topic is the one whose stamp the
        mask names, if it is still remembered, else the latest. Depth and camera info from the
        topics go with an image of the goal only if they fit it (stamp, frame, size).

        Args:
            goal: As received.
            parameters: Snapshot for this goal.

        Returns:
            The question.

        Raises:
            TavidError: If an input is missing, stale, malformed or contradicts another.
        """
        with self._lock:
            latest, images = dict(self._latest), list(self._images)
        picker = _Picker(goal, parameters, latest, images, self._clock_sec())
        mask_message = picker.pick_mask()
        image_message = picker.pick_image(mask_message)
        if not picker.has_own_pair:
            picker.check_pair("target_mask", mask_message, image_message)
        image = conversions.image_from_message(image_message)
        size_hw = image.shape[:2]
        depth_message = picker.pick_depth(image_message, size_hw)
        camera_info = picker.pick_camera_info(image_message, size_hw)
        actor_mask = None
        if not conversions.is_empty_image(goal.actor_mask):
            actor_mask = conversions.mask_from_message(goal.actor_mask, "actor_mask")
        return PlanRequest(
            image=image,
            target_mask=conversions.mask_from_message(mask_message),
            prompt=picker.pick_prompt(),
            actor_mask=actor_mask,
            depth_m=depth_message and conversions.depth_from_message(depth_message),
            intrinsics=camera_info and conversions.intrinsics_from_message(camera_info),
            stamp_ns=conversions.nanoseconds_from_time(image_message.header.stamp),
            frame_id=image_message.header.frame_id,
            **dataclasses.asdict(
                conversions.numbers_from_goal(
                    goal,
                    conversions.GoalNumbers(
                        seed=parameters.seed,
                        num_inference_steps=parameters.num_inference_steps or None,
                        guidance_scale=parameters.guidance_scale or None,
                        num_frames=parameters.num_frames or None,
                    ),
                )
            ),
        )


@dataclasses.dataclass(frozen=True)
class _Picker:
    """Chooses between what a goal brings and what came on the topics."""

    goal: PlanInteraction.Goal
    parameters: PlannerParameters
    latest: dict[str, _Received]
    images: list[_Received]
    now_sec: float

    @property
    def has_own_image(self) -> bool:
        return not conversions.is_empty_image(self.goal.image)

    @property
    def has_own_pair(self) -> bool:
        return self.has_own_image and not conversions.is_empty_image(self.goal.target_mask)

    def pick_mask(self) -> Image:
        if not conversions.is_empty_image(self.goal.target_mask):
            return self.goal.target_mask
        return self._fresh("target_mask").message

    def pick_image(self, mask: Image) -> AnyImage:
        if self.has_own_image:
            return self.goal.image
        latest = self._fresh("image")
        mask_stamp_ns = conversions.nanoseconds_from_time(mask.header.stamp)
        for image in self.images:
            if mask_stamp_ns and image.stamp_ns == mask_stamp_ns:
                return image.message
        return latest.message

    def check_pair(self, name: str, message: Image, image: AnyImage) -> None:
        """Refuse a message whose stamp says that it is for another image."""
        offset_sec = self._offset_sec(message, image)
        limit_sec = self.parameters.pair_max_offset_sec
        if abs(offset_sec) > limit_sec:
            raise StaleInputError(
                f"{name} must be within {limit_sec:g} s of the image, got {offset_sec:+.3f} s. "
                "Stamp it like the image it is for, or raise pair_max_offset_sec."
            )

    def pick_depth(self, image: AnyImage, size_hw: tuple[int, int]) -> Image | None:
        if not conversions.is_empty_image(self.goal.depth):
            return self.goal.depth
        if "depth" not in self.latest:
            return None
        if not self.has_own_image:
            depth = self._fresh("depth").message
            self.check_pair("depth", depth, image)
            return depth
        depth = self.latest["depth"].message
        fits = (
            (depth.height, depth.width) == size_hw
            and depth.header.frame_id == image.header.frame_id
            and conversions.nanoseconds_from_time(depth.header.stamp)
            == conversions.nanoseconds_from_time(image.header.stamp)
            != 0
        )
        return depth if fits else None

    def pick_camera_info(self, image: AnyImage, size_hw: tuple[int, int]) -> CameraInfo | None:
        if self.goal.camera_info.width:
            return self.goal.camera_info
        if "camera_info" not in self.latest:
            return None
        camera_info = self.latest["camera_info"].message
        if not self.has_own_image:
            return camera_info
        fits = (
            camera_info.height,
            camera_info.width,
        ) == size_hw and camera_info.header.frame_id == image.header.frame_id
        return camera_info if fits else None

    def pick_prompt(self) -> str:
        topic = self.latest.get("prompt")
        candidates = (
            self.goal.prompt,
            "" if topic is None else topic.message.data,
            self.parameters.default_prompt,
        )
        for candidate in candidates:
            if prompt := conversions.clean_prompt(candidate):
                return prompt
        return ""

    def _fresh(self, topic: str) -> _Received:
        received, limit_sec = self.latest.get(topic), self.parameters.input_max_age_sec
        if received is None:
            raise StaleInputError(
                f"{topic} must come with the goal or on its topic, got none since the start. "
                "Check the topic's name and that somebody publishes it."
            )
        age_sec = self.now_sec - received.arrival_sec
        if limit_sec and age_sec > limit_sec:
            raise StaleInputError(
                f"{topic} must be at most {limit_sec:g} s old, got {age_sec:.1f} s. "
                "Has its publisher stopped? Or raise input_max_age_sec."
            )
        return received

    @staticmethod
    def _offset_sec(message: Image, image: AnyImage) -> float:
        stamp_ns = conversions.nanoseconds_from_time(message.header.stamp)
        image_stamp_ns = conversions.nanoseconds_from_time(image.header.stamp)
        # A stamp of 0 was never set and says nothing.
        if not stamp_ns or not image_stamp_ns:
            return 0.0
        return (stamp_ns - image_stamp_ns) / _NS_PER_SECOND
