"""One camera of a bag: its images, masks, depth and calibration become recordings."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from pathlib import Path

from tavid_core.camera_info import (
    fit_intrinsics,
    is_rectified_topic,
    read_distortion,
    read_intrinsics,
)
from tavid_core.errors import InputError
from training.sources.bags.bag import Bag
from training.sources.bags.resample import Pick, Resampler
from training.sources.bags.settings import BagSettings
from training.sources.bags.stretch import Camera, Companion, ImageFile, Stretch

__all__ = ["CameraRecorder", "Situation"]

_NS_PER_SECOND = 1_000_000_000
# Stamps that go back by more are those of a clock that was set, or of a simulation begun anew.
_CLOCK_STEP_NS = _NS_PER_SECOND
# Masks and depth that came just before the first image of a recording.
_MAX_EARLY_COMPANIONS = 16


class Situation:
    """What holds for all cameras of a bag at the present message.

    Attributes:
        episode: Number of the episode.
        is_on: Whether an episode goes on.
        prompt: What happens.
    """

    def __init__(self, *, is_on: bool, prompt: str = "") -> None:
        self.episode = 0
        self.is_on = is_on
        self.prompt = prompt


class CameraRecorder:
    """Turns the messages of one camera into recordings.

    Args:
        name: Of the bag and the camera; begins the names of the recordings.
        folder: For the files of the recordings.
        settings: How the bag is read.
        bag: Whose report counts what cannot be used, and which is told that work goes on.
        situation: Changed by the messages that concern all cameras.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        settings: BagSettings,
        bag: Bag,
        situation: Situation,
    ) -> None:
        self._name, self._folder, self._settings = name, folder, settings
        self._bag, self._report, self._situation = bag, bag.report, situation
        self._stretch: Stretch | None = None
        self._resampler = self._make_resampler()
        self._early: collections.deque[Companion] = collections.deque(maxlen=_MAX_EARLY_COMPANIONS)
        num_cameras = len(settings.topic_map.cameras)
        self._max_early_bytes = settings.limits.max_waiting_bytes // num_cameras
        self._camera_info: object | None = None
        self._camera: Camera | None = None
        self._num_gaps = 0
        self._num_recordings = 0
        self._contact: tuple[int, bool] | None = None
        self._told: set[str] = set()

    def _make_resampler(self) -> Resampler:
        topic_map = self._settings.topic_map
        return Resampler(self._settings.fps, topic_map.resample, topic_map.max_age_sec)

    def put_image(self, image: ImageFile) -> Iterator[Path]:
        """Take the next image.

        Args:
            image: Checked, but not decoded.

        Yields:
            The index files of recordings that end here.
        """
        if not self._situation.is_on:
            return
        stretch = self._stretch
        if stretch is not None and image.stamp_ns <= stretch.last_stamp_ns:
            if stretch.last_stamp_ns - image.stamp_ns < _CLOCK_STEP_NS:
                self._report.spoil(image.topic, "stamped before the image that came before it")
                return
            self._report.note("a clock that went back", image.topic, is_loss=False)
            yield from self.finish()
        elif stretch is not None and not stretch.fits(image):
            self._report.note("an image of another size", image.topic, is_loss=False)
            yield from self.finish()
        elif stretch is not None and self._reads_other_camera(image):
            self._report.note("another calibration", image.topic, is_loss=False)
            yield from self.finish()
        is_broken = False
        before_ns = self._stretch.last_stamp_ns if self._stretch else None
        for pick in self._resampler.push(image.stamp_ns):
            is_broken = is_broken or pick is Pick.GAP or not self._stretch.write_frame()
        if is_broken:
            self._tell_gap(image, before_ns)
            yield from self._end_stretch()
            self._resampler = self._make_resampler()
            collections.deque(self._resampler.push(image.stamp_ns), maxlen=0)
        if self._stretch is None:
            self._begin(image)
        self._stretch.advance(image)

    def _tell_gap(self, image: ImageFile, before_ns: int) -> None:
        gap_sec = (image.stamp_ns - before_ns) / _NS_PER_SECOND
        detail = f"{gap_sec:.2f} s before {image.stamp_ns / _NS_PER_SECOND:.2f} s"
        self._report.note(f"gaps in {image.topic}", detail, is_loss=False)
        topic_map = self._settings.topic_map
        if topic_map.episodes == "gap" and gap_sec >= topic_map.gap_sec:
            self._num_gaps += 1

    def _begin(self, image: ImageFile) -> None:
        topic_map = self._settings.topic_map
        name = (
            f"{self._name}-e{self._situation.episode + self._num_gaps:03d}"
            f"-{self._num_recordings:03d}"
        )
        max_age_ns = round(topic_map.max_age_sec * _NS_PER_SECOND)
        self._stretch = Stretch(self._folder, name, image, self._report, max_age_ns)
        self._num_recordings += 1
        self._stretch.caption = self._situation.prompt
        self._camera = self._stretch.camera = self._read_camera(image)
        if self._contact is not None:
            self._stretch.contact.append(self._contact)
        earliest_ns = image.stamp_ns - round(topic_map.pair_max_offset_sec * _NS_PER_SECOND)
        for companion in self._early:
            # Others were of the recording before this one, maybe on another clock.
            if earliest_ns <= companion.stamp_ns <= image.stamp_ns + _CLOCK_STEP_NS:
                self._stretch.add(companion)

    def put_companion(self, companion: Companion) -> None:
        """Take a mask or a depth image.

        Args:
            companion: Whole; its image may have come or not.
        """
        self._early.append(companion)
        while sum(len(early.data) for early in self._early) > self._max_early_bytes:
            self._early.popleft()
        if self._stretch is not None:
            self._stretch.add(companion)

    def put_camera_info(self, camera_info: object) -> None:
        """Take a calibration.

        Args:
            camera_info: The decoded message.
        """
        self._camera_info = camera_info

    def put_contact(self, stamp_ns: int | None, is_contact: bool) -> None:
        """Take whether the actor touches the target.

        Args:
            stamp_ns: Since when; None = since the next image, for messages without a stamp.
            is_contact: Whether it does.
        """
        if stamp_ns is None:
            stamp_ns = 0 if self._stretch is None else self._stretch.last_stamp_ns + 1
        self._contact = (stamp_ns, is_contact)
        if self._stretch is not None:
            self._stretch.contact.append(self._contact)

    def put_prompt(self, prompt: str) -> None:
        """Name what happens, where the recording began without that.

        Args:
            prompt: Cleaned.
        """
        if self._stretch is not None and not self._stretch.caption:
            self._stretch.caption = prompt

    def finish(self) -> Iterator[Path]:
        """End the present recording.

        Yields:
            Its index file, if it has frames.
        """
        if self._stretch is not None:
            for _ in self._resampler.finish():
                if not self._stretch.write_frame():
                    break
            yield from self._end_stretch()
        self._resampler = self._make_resampler()

    def _end_stretch(self) -> Iterator[Path]:
        settings, stretch = self._settings, self._stretch
        self._stretch = None
        if stretch.camera is None:
            # It may come just behind the only image.
            stretch.camera = self._read_camera(stretch.image)
        offset_ns = round(settings.topic_map.pair_max_offset_sec * _NS_PER_SECOND)
        path = stretch.finish(settings.fps, settings.size_hw, offset_ns, self._bag.tell)
        if path is not None:
            yield path

    def _reads_other_camera(self, image: ImageFile) -> bool:
        """Take over a calibration that came late; tell whether one took the place of another."""
        camera = self._read_camera(image)
        if camera == self._camera:
            return False
        is_other = self._camera is not None
        if not is_other:
            self._camera = self._stretch.camera = camera
        return is_other

    def _read_camera(self, image: ImageFile) -> Camera | None:
        message = self._camera_info
        if message is None:
            return None
        topic_map = self._settings.topic_map
        is_rectified = topic_map.rectify == "auto" and is_rectified_topic(image.topic)
        try:
            intrinsics = read_intrinsics(message, is_rectified=is_rectified)
            if intrinsics is None:
                return None
            intrinsics = fit_intrinsics(intrinsics, image.size_hw)
            distortion = None if is_rectified else read_distortion(message)
        except InputError as error:
            self._tell_once("a camera_info that cannot be used", str(error))
            return None
        if distortion is not None and (topic_map.rectify == "never" or not distortion.is_known):
            self._tell_once("a distortion that is not undone", distortion.model[:32])
            return None
        return Camera(intrinsics, distortion)

    def _tell_once(self, reason: str, detail: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self._report.note(reason, detail, is_loss=False)
