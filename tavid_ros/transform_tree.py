"""What /tf and /tf_static said, and which transform follows from it at some time.

tf2's own buffer is C++ and not on PyPI. This is the part of it that a plan needs: one look-up per
goal, in a tree of frames, at the stamp of an image.
"""

from __future__ import annotations

import bisect
import threading

from geometry_msgs.msg import TransformStamped

from tavid_core.errors import ErrorCode, InputError, TavidError
from tavid_ros.conversions.frames import transform_from_message
from tavid_ros.conversions.times import nanoseconds_from_time
from tavid_ros.rigid_transform import RigidTransform

__all__ = ["MissingTransformError", "TransformTree"]

_HISTORY_NS = 10_000_000_000
_MAX_SAMPLES = 4096
_NS_PER_SECOND = 1_000_000_000

_Sample = tuple[int, str, RigidTransform]


class MissingTransformError(TavidError):
    """No transform between two frames is known at the wanted time."""

    code = ErrorCode.STALE_INPUT


class TransformTree:
    """A thread-safe store of the last ten seconds of transforms."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._static: dict[str, _Sample] = {}
        self._moving: dict[str, list[_Sample]] = {}

    def put(self, message: TransformStamped, *, is_static: bool) -> None:
        """Remember a transform.

        A stamp more than ten seconds before the last one of its frame means that the clock jumped
        back, and forgets what came before.

        Args:
            message: The pose of `child_frame_id` in `header.frame_id`.
            is_static: Whether it came on /tf_static and holds for all times.

        Raises:
            InputError: If a frame has no name, both are one, or a number is not finite.
        """
        parent, child = (
            name.lstrip("/") for name in (message.header.frame_id, message.child_frame_id)
        )
        if not parent or not child or parent == child:
            raise InputError(
                f"a transform must have two frames, got '{parent[:64]}' and '{child[:64]}'. "
                "Check who publishes it."
            )
        stamp_ns = nanoseconds_from_time(message.header.stamp)
        sample = (stamp_ns, parent, transform_from_message(message.transform))
        with self._lock:
            if is_static:
                self._static[child] = sample
                return
            samples = self._moving.setdefault(child, [])
            if samples and stamp_ns < samples[-1][0] - _HISTORY_NS:
                samples.clear()
            bisect.insort(samples, sample, key=lambda item: item[0])
            first_ns = samples[-1][0] - _HISTORY_NS
            num_old = bisect.bisect_left(samples, first_ns, key=lambda item: item[0])
            del samples[: max(num_old, len(samples) - _MAX_SAMPLES)]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._static.clear()
            self._moving.clear()

    def look_up(
        self, target_frame: str, source_frame: str, stamp_ns: int, tolerance_sec: float
    ) -> RigidTransform:
        """Find how to turn coordinates in one frame into those in another.

        Between two samples it interpolates. Beyond the first or last one it takes that one, if it
        is near enough.

        Args:
            target_frame: Whose coordinates are wanted.
            source_frame: Whose coordinates are known.
            stamp_ns: When; 0 = the last known.
            tolerance_sec: How far beyond the known time the stamp may lie.

        Returns:
            target_from_source.

        Raises:
            MissingTransformError: If the frames are not connected, or were not at that time.
        """
        target, source = target_frame.lstrip("/"), source_frame.lstrip("/")
        tolerance_ns = round(tolerance_sec * _NS_PER_SECOND)
        with self._lock:
            from_source, gap = self._climb(source, stamp_ns, tolerance_ns)
            from_target, other_gap = self._climb(target, stamp_ns, tolerance_ns)
        for ancestor, ancestor_from_source in from_source.items():
            if ancestor in from_target:
                return from_target[ancestor].invert() @ ancestor_from_source
        if gap or other_gap:
            raise MissingTransformError(gap or other_gap)
        known = ", ".join(sorted({*self._static, *self._moving})[:20]) or "none"
        raise MissingTransformError(
            f"a transform from '{source}' to '{target}' must be on /tf or /tf_static, got none "
            f"(frames that have a parent: {known}). Publish it, or change target_frame."
        )

    def _climb(
        self, frame: str, stamp_ns: int, tolerance_ns: int
    ) -> tuple[dict[str, RigidTransform], str]:
        """Map the frame and its ancestors, nearest first, to ancestor_from_frame.

        The text says why it ends before the root; "" = it does not.
        """
        climbed = {frame: RigidTransform.identity()}
        while True:
            if frame in self._static:
                _, parent, parent_from_frame = self._static[frame]
            elif samples := self._moving.get(frame):
                offset_sec, parent, parent_from_frame = _find_sample(samples, stamp_ns)
                if abs(offset_sec) * _NS_PER_SECOND > tolerance_ns:
                    return climbed, (
                        f"the transform of '{frame}' must be within "
                        f"{tolerance_ns / _NS_PER_SECOND:g} s of the image, got one "
                        f"{offset_sec:+.2f} s from it. Has its publisher stopped? Or raise "
                        "transform_tolerance_sec."
                    )
            else:
                return climbed, ""
            # A loop is nobody's ancestor; it must not be walked for ever.
            if parent in climbed:
                return climbed, ""
            climbed[parent] = parent_from_frame @ climbed[frame]
            frame = parent


def _find_sample(samples: list[_Sample], stamp_ns: int) -> tuple[float, str, RigidTransform]:
    """Find the transform at a time; seconds say how far from it the nearest sample is."""
    if stamp_ns == 0:
        return (0.0, *samples[-1][1:])
    after = bisect.bisect_left(samples, stamp_ns, key=lambda item: item[0])
    if 0 < after < len(samples) and samples[after - 1][1] == samples[after][1]:
        (start_ns, parent, start), (end_ns, _, end) = samples[after - 1 : after + 1]
        return 0.0, parent, start.interpolate(end, (stamp_ns - start_ns) / (end_ns - start_ns))
    nearest_ns, parent, transform = samples[min(after, len(samples) - 1)]
    return (nearest_ns - stamp_ns) / _NS_PER_SECOND, parent, transform
