"""One take of Ego-Exo4D: a recording for each description of a touch that can be seen.

Annotations count frames of 30 per second; every camera of a take has the same frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError
from training.sources.egoexo4d.calibration import GoProLens, make_view, read_gopro_lenses
from training.sources.egoexo4d.descriptions import Description, write_caption
from training.sources.egoexo4d.hands import HAND_NAMES, parse_points
from training.sources.egoexo4d.lz_string import unpack_text
from training.sources.egoexo4d.onset import HandSight, MaskSight, find_onset
from training.sources.field_values import parse_index, shorten
from training.sources.json_file import read_json_file
from training.sources.lazy_masks import resize_mask
from training.sources.picture_view import PictureView, window_around
from training.sources.recording import Recording, SourceNote
from training.sources.run_lengths import decode_run_lengths
from training.sources.stretch import Mask, list_stretches
from training.sources.video_file import VideoFile

__all__ = ["LICENCE", "Event", "TakeJob", "decode_mask"]

LICENCE = "Ego-Exo4D licence agreement"
ANNOTATED_FPS = 30.0
TAIL_SEC = 1.0
MIN_PERSON_SHARE = 0.2
MIN_HAND_PX = 2.0


@dataclasses.dataclass(frozen=True)
class Event:
    """A description with the object that it names.

    Args:
        description: The sentence.
        target: Name of the object.
        masks: By frame of the camera: `width`, `height`, `encodedMask`.
    """

    description: Description
    target: str
    masks: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TakeJob:
    """A take with what is known about it.

    Args:
        name: Of the take.
        folder: `takes/<take_name>`.
        videos: By camera.
        events: Descriptions of touches that have masks.
        hands: `ego_pose/.../hand/annotation/<take_uid>.json`, or None.
        body: `ego_pose/.../body/annotation/<take_uid>.json`, or None.
        left_out: Descriptions that cannot be used, by reason.
        fps: Moments per second wanted.
        size_hw: Rows and columns of the clips.
        num_frames: Of the clips.
    """

    name: str
    folder: Path
    videos: Mapping[str, Path]
    events: tuple[Event, ...]
    hands: Path | None
    body: Path | None
    left_out: Mapping[str, int]
    fps: float
    size_hw: tuple[int, int]
    num_frames: int

    @property
    def calibration(self) -> Path:
        """Where the lenses of its cameras are written."""
        return self.folder / "trajectory" / "gopro_calibs.csv"

    def inputs(self) -> dict[str, object]:
        """Say what decides the recordings; see `RecordingJob`."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        # Other parts of the take may be downloaded meanwhile.
        return {**fields, "folder": self.calibration}

    def open(self) -> Iterator[Recording | SourceNote]:
        """Open the take.

        Yields:
            Recordings, and notes on descriptions that cannot be used.

        Raises:
            InputError: If calibration or annotations are damaged.
        """
        for reason, count in sorted(self.left_out.items()):
            yield SourceNote(reason, count, self.name, is_loss=False)
        lenses = read_gopro_lenses(self.calibration) if self.calibration.is_file() else {}
        documents = [read_json_file(p) if p else None for p in (self.hands, self.body)]
        for number, event in enumerate(self.events):
            yield from self._record(number, event, lenses, documents)

    def _record(
        self, number: int, event: Event, lenses: Mapping[str, GoProLens], documents: list[Any]
    ) -> Iterator[Recording | SourceNote]:
        camera, stamp_sec = event.description.camera, event.description.time_sec
        assert camera is not None
        where = f"{self.name} {camera} at {stamp_sec:.1f} s"
        path = self.videos.get(camera)
        if path is None:
            yield SourceNote("video of the best camera missing", 1, where)
            return
        if camera not in lenses:
            yield SourceNote("lens unknown, frames stay bent", 1, where, is_loss=False)
        video = VideoFile(path)
        view = make_view(lenses.get(camera), video.size_hw)
        length_sec = self.num_frames / self.fps
        span_sec = (stamp_sec - 3.5, stamp_sec + length_sec + TAIL_SEC)
        masks = self._list_masks(event, video, view, span_sec)
        scale = _annotation_scale(lenses.get(camera), video.size_hw)
        hand_points, body_points = (parse_points(d, camera) for d in documents)
        hands = _list_hands(hand_points, view, scale, span_sec)
        onset = find_onset(stamp_sec, masks, hands)
        if onset.contact_sec is None:
            yield SourceNote(onset.reason, 1, where, is_loss=False)
            return
        seen = [m for m in masks if m.time_sec in onset.free_sec]
        person = _box_of(body_points, view, scale, onset.free_sec[0])
        cut = self._cut_out(view, seen[0].mask, person)
        if person is not None and person[3] - person[1] < MIN_PERSON_SHARE * cut[2]:
            yield SourceNote("person too small", 1, where, is_loss=False)
            return
        view = make_view(lenses.get(camera), video.size_hw, cut)
        starts = list_stretches(video, self.fps, view, start_sec=onset.free_sec[0])
        for whole in starts:
            stretch = whole.part(0, int(np.ceil((span_sec[1] - onset.free_sec[0]) * self.fps)))
            crop = np.s_[cut[0] : cut[0] + cut[2], cut[1] : cut[1] + cut[3]]
            later = [m for m in masks if m.time_sec >= onset.contact_sec]
            yield Recording(
                name=f"{self.name}_{camera}_{number:03d}",
                fps=self.fps,
                num_frames=len(stretch),
                size_hw=view.size_hw,
                read_frames=stretch.read_frames,
                caption=write_caption(event.description.text),
                target_masks=_at_moments(
                    [(m.time_sec, m.mask[crop]) for m in [*seen, *later]], stretch.times_sec
                ),
                contact=stretch.times_sec >= onset.contact_sec - 1e-6,
                hand_pixels=_hands_at(hands, stretch.times_sec, cut),
                camera=view.camera,
                source="egoexo4d",
                licence=LICENCE,
            )
            return

    def _list_masks(
        self, event: Event, video: VideoFile, view: PictureView, span_sec: tuple[float, float]
    ) -> list[MaskSight]:
        sights = []
        named = {parse_index(key): fields for key, fields in event.masks.items()}
        for frame in sorted(index for index in named if index is not None):
            if frame >= len(video) or not span_sec[0] <= frame / ANNOTATED_FPS <= span_sec[1]:
                continue
            mask = view.apply_mask(decode_mask(named[frame], video.size_hw, event.target))
            if mask.any():
                sights.append(MaskSight(float(video.times_sec[frame]), mask))
        return sights

    def _cut_out(
        self, view: PictureView, target: Mask, person: NDArray[np.float64] | None
    ) -> tuple[int, int, int, int]:
        """Choose what of the wide picture is kept: person and target; else as much as fits."""
        rows, columns = np.nonzero(target)
        box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], dtype=np.float64)
        min_rows = view.size_hw[0]
        if person is not None:
            box = np.concatenate([np.minimum(box[:2], person[:2]), np.maximum(box[2:], person[2:])])
            min_rows = self.size_hw[0]
        limit = np.array([view.size_hw[1] - 1, view.size_hw[0] - 1] * 2)
        left, top, right, bottom = np.clip(box, 0, limit).tolist()
        aspect = self.size_hw[1] / self.size_hw[0]
        return window_around((left, top, right, bottom), view.size_hw, aspect, min_rows=min_rows)


def decode_mask(fields: Any, size_hw: tuple[int, int], name: str) -> Mask:
    """Decode an annotated mask.

    Args:
        fields: `width`, `height` and `encodedMask`.
        size_hw: Rows and columns of the video.
        name: Of the object, for the message.

    Returns:
        bool, shape `size_hw`.

    Raises:
        InputError: If it is damaged, or has another aspect than the video.
    """
    if not isinstance(fields, Mapping) or not isinstance(fields.get("encodedMask"), str):
        raise InputError(f"mask of {name} must hold encodedMask, got none. Download it again.")
    height, width = fields.get("height"), fields.get("width")
    if type(height) is not int or type(width) is not int:
        shown = shorten(f"{width}x{height}")
        raise InputError(f"mask of {name} must hold width and height, got {shown}. Download it.")
    mask = decode_run_lengths(unpack_text(fields["encodedMask"]), (height, width))
    return resize_mask(mask, size_hw, name)


def _annotation_scale(lens: GoProLens | None, size_hw: tuple[int, int]) -> float:
    """Points are annotated in the pixels of the calibration; the video may be a smaller one."""
    return 1.0 if lens is None else size_hw[0] / lens[0].height


def _list_hands(
    points: Mapping[int, Mapping[str, NDArray[np.float64]]],
    view: PictureView,
    scale: float,
    span_sec: tuple[float, float],
) -> list[HandSight]:
    sights = []
    for frame in sorted(points):
        time_sec = frame / ANNOTATED_FPS
        if not span_sec[0] <= time_sec <= span_sec[1]:
            continue
        named = np.full((len(HAND_NAMES), 2), np.nan)
        for index, name in enumerate(HAND_NAMES):
            named[index] = points[frame].get(name, named[index])
        seen = view.apply_points((named + 0.5) * scale - 0.5)
        half = len(HAND_NAMES) // 2
        reach_px = np.linalg.norm(
            seen.reshape(2, half, 2) - seen.reshape(2, half, 2)[:, :1], axis=-1
        )
        known = reach_px[np.isfinite(reach_px)]
        if len(known) and known.max() >= MIN_HAND_PX:
            sights.append(HandSight(time_sec, seen, float(known.max())))
    return sights


def _box_of(
    points: Mapping[int, Mapping[str, NDArray[np.float64]]],
    view: PictureView,
    scale: float,
    time_sec: float,
) -> NDArray[np.float64] | None:
    """Find the person's box in the annotated frame nearest to a moment, at most a second away."""
    frames = sorted(points, key=lambda frame: abs(frame / ANNOTATED_FPS - time_sec))
    if not frames or abs(frames[0] / ANNOTATED_FPS - time_sec) > 1.0:
        return None
    seen = view.apply_points((np.stack(list(points[frames[0]].values())) + 0.5) * scale - 0.5)
    if len(seen) < 4:
        return None
    return np.concatenate([seen.min(axis=0), seen.max(axis=0)])


def _at_moments(masks: list[tuple[float, Mask]], times_sec: NDArray[np.float64]) -> dict[int, Mask]:
    found = {}
    for time_sec, mask in masks:
        moment = int(np.argmin(np.abs(times_sec - time_sec)))
        # Within half a moment: annotated seconds lie on the grid of eighths.
        if abs(times_sec[moment] - time_sec) <= 0.5 / ANNOTATED_FPS + 1e-6:
            found[moment] = mask
    return found


def _hands_at(
    hands: list[HandSight], times_sec: NDArray[np.float64], cut: tuple[int, int, int, int]
) -> NDArray[np.float64] | None:
    if not hands:
        return None
    points = np.full((len(times_sec), len(HAND_NAMES), 2), np.nan)
    for hand in hands:
        moment = int(np.argmin(np.abs(times_sec - hand.time_sec)))
        if abs(times_sec[moment] - hand.time_sec) <= 0.1:
            points[moment] = hand.points - np.array([cut[1], cut[0]])
    return points
