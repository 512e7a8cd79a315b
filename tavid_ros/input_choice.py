"""Which messages a goal is planned with: what it brings itself, and what goes with that."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from sensor_msgs.msg import CameraInfo, Image
from tavid.action import PlanInteraction

from tavid_core.errors import ErrorCode, InputError, TavidError
from tavid_ros import conversions
from tavid_ros.parameters import PlannerParameters
from tavid_ros.topic_memory import AnyImage, Received

__all__ = ["ChosenInputs", "InputChooser", "StaleInputError", "measure_offset_sec"]

_NS_PER_SECOND = 1_000_000_000
# Gap of the stamps in seconds, mask, image.
_Pair = tuple[float, Image, AnyImage]


class StaleInputError(TavidError):
    """An input is missing, too old, or belongs to another one."""

    code = ErrorCode.STALE_INPUT


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChosenInputs:
    """Messages that belong together.

    Args:
        image: Raw or compressed.
        target_mask: For this image.
        depth: For this image, or None.
        camera_info: Of the camera, or None.
        prompt: Cleaned; maybe empty.
    """

    image: AnyImage
    target_mask: Image
    depth: Image | None
    camera_info: CameraInfo | None
    prompt: str


def measure_offset_sec(message: Image, image: AnyImage) -> float:
    """Tell how far two stamps are apart.

    Args:
        message: A mask or depth.
        image: What it may be for.

    Returns:
        Seconds from the image to the message; 0 if one of the stamps was never set, which says
        nothing.
    """
    stamp_ns = conversions.nanoseconds_from_time(message.header.stamp)
    image_stamp_ns = conversions.nanoseconds_from_time(image.header.stamp)
    if not stamp_ns or not image_stamp_ns:
        return 0.0
    return (stamp_ns - image_stamp_ns) / _NS_PER_SECOND


@dataclasses.dataclass(frozen=True)
class InputChooser:
    """Chooses between what a goal brings and what is remembered of the topics.

    What the goal brings is used as it is. Of the topics the newest mask is taken that has an image,
    and depth where there is a topic of depth, within `pair_max_offset_sec`. A set with smaller gaps
    goes before it if it is no more than that older, so that equal stamps win.

    Args:
        goal: As received.
        parameters: Snapshot for this goal.
        remembered: Messages by topic, newest first; topics without any may be missing.
        now_sec: Steady clock.
    """

    goal: PlanInteraction.Goal
    parameters: PlannerParameters
    remembered: Mapping[str, Sequence[Received]]
    now_sec: float

    @property
    def has_own_image(self) -> bool:
        """Whether the goal brings its image."""
        return not conversions.is_empty_image(self.goal.image)

    def choose(self) -> ChosenInputs:
        """Find a set that is fresh and belongs together.

        Returns:
            The messages.

        Raises:
            StaleInputError: If there is none; the message says what is missing, too old or apart.
            InputError: If the prompt is malformed.
        """
        own_mask = not conversions.is_empty_image(self.goal.target_mask)
        masks = [self.goal.target_mask] if own_mask else self._find_fresh("target_mask")
        images = [self.goal.image] if self.has_own_image else self._find_fresh("image")
        # Who sends both together knows that they belong together.
        if own_mask and self.has_own_image:
            pairs = iter([(0.0, masks[0], images[0])])
        else:
            pairs = self._find_pairs(masks, images)
        best = next(pairs, None)
        if best is None:
            nearest = _sort_by_offset(masks[0], images)[0]
            raise self._explain_gap("target_mask", masks[0], nearest)
        mask, image, depth = self._pick_set(best, pairs)
        return ChosenInputs(
            image=image,
            target_mask=mask,
            depth=depth,
            camera_info=self._pick_camera_info(image),
            prompt=self._pick_prompt(),
        )

    def _find_pairs(self, masks: Sequence[Image], images: Sequence[AnyImage]) -> Iterator[_Pair]:
        """Go through the pairs that are near enough: the newest mask first, its nearest image."""
        for mask in masks:
            for image in _sort_by_offset(mask, images):
                if self._is_near(mask, image):
                    yield abs(measure_offset_sec(mask, image)), mask, image

    def _pick_set(
        self, best: _Pair, others: Iterator[_Pair]
    ) -> tuple[Image, AnyImage, Image | None]:
        """Pick the pair with the smallest gaps, depth's included, of those as new as the best."""
        has_own_depth = not conversions.is_empty_image(self.goal.depth)
        if has_own_depth or self.has_own_image or not self.remembered.get("depth"):
            depths = []
        else:
            depths = self._find_fresh("depth")
        nearest: dict[int, Image] = {}
        picked, picked_gap_sec = None, math.inf
        for gap_sec, mask, image in itertools.chain([best], others):
            if picked is not None and not (picked_gap_sec and self._is_near(mask, best[1])):
                break
            if depths:
                depth = nearest.get(id(image))
                if depth is None:
                    depth = nearest[id(image)] = _sort_by_offset(image, depths)[0]
                if not self._is_near(depth, image):
                    continue
                gap_sec += abs(measure_offset_sec(depth, image))
            if gap_sec < picked_gap_sec:
                picked, picked_gap_sec = (mask, image), gap_sec
        if picked is None:
            raise self._explain_gap("depth", _sort_by_offset(best[2], depths)[0], best[2])
        if has_own_depth:
            return *picked, self.goal.depth
        if self.has_own_image:
            return *picked, self._find_depth_of_own_image()
        return *picked, nearest.get(id(picked[1]))

    def _find_depth_of_own_image(self) -> Image | None:
        """Find depth that is surely of the goal's image: its stamp, frame and size."""
        image = self.goal.image
        stamp_ns = conversions.nanoseconds_from_time(image.header.stamp)
        for received in self.remembered.get("depth", ()):
            depth = received.message
            if (
                received.stamp_ns == stamp_ns != 0
                and depth.header.frame_id == image.header.frame_id
                and (depth.height, depth.width) == (image.height, image.width)
            ):
                return depth
        return None

    def _pick_camera_info(self, image: AnyImage) -> CameraInfo | None:
        if self.goal.camera_info.width:
            return self.goal.camera_info
        remembered = self.remembered.get("camera_info")
        if not remembered:
            return None
        camera_info = remembered[0].message
        is_of_image = not self.has_own_image or (
            camera_info.header.frame_id == image.header.frame_id and _fits(camera_info, image)
        )
        return camera_info if is_of_image else None

    def _pick_prompt(self) -> str:
        topic = self.remembered.get("prompt")
        candidates = (
            self.goal.prompt,
            topic[0].message.data if topic else "",
            self.parameters.default_prompt,
        )
        for candidate in candidates:
            if prompt := conversions.clean_prompt(candidate):
                return prompt
        return ""

    def _find_fresh(self, topic: str) -> list[AnyImage]:
        remembered, limit_sec = self.remembered.get(topic), self.parameters.input_max_age_sec
        if not remembered:
            raise StaleInputError(
                f"{topic} must come with the goal or on its topic, got none since the start. "
                "Check the topic's name and that somebody publishes it."
            )
        ages_sec = [self.now_sec - received.arrival_sec for received in remembered]
        if limit_sec and ages_sec[0] > limit_sec:
            raise StaleInputError(
                f"{topic} must be at most {limit_sec:g} s old, got {ages_sec[0]:.1f} s. "
                "Has its publisher stopped? Or raise input_max_age_sec."
            )
        return [
            received.message
            for received, age_sec in zip(remembered, ages_sec, strict=True)
            if not limit_sec or age_sec <= limit_sec
        ]

    def _is_near(self, message: Image, image: AnyImage) -> bool:
        return abs(measure_offset_sec(message, image)) <= self.parameters.pair_max_offset_sec

    def _explain_gap(self, name: str, message: Image, image: AnyImage) -> StaleInputError:
        limit_sec = self.parameters.pair_max_offset_sec
        return StaleInputError(
            f"{name} must be within {limit_sec:g} s of the image, got "
            f"{measure_offset_sec(message, image):+.3f} s. "
            "Stamp it like the image it is for, or raise pair_max_offset_sec."
        )


def _sort_by_offset(message: AnyImage, others: Sequence[AnyImage]) -> list[AnyImage]:
    stamp_ns = conversions.nanoseconds_from_time(message.header.stamp)

    def measure_gap_ns(other: AnyImage) -> int:
        other_ns = conversions.nanoseconds_from_time(other.header.stamp)
        return abs(stamp_ns - other_ns) if stamp_ns and other_ns else 0

    # Stable: of those at the same distance the newest stays first.
    return sorted(others, key=measure_gap_ns)


def _fits(camera_info: CameraInfo, image: Image) -> bool:
    intrinsics = conversions.intrinsics_from_message(camera_info)
    try:
        return intrinsics is not None and bool(
            conversions.fit_intrinsics(intrinsics, (image.height, image.width))
        )
    except InputError:
        return False
