"""Images of one camera without a gap, on their way to become one recording."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable
from pathlib import Path

from tavid_core.distortion import LensDistortion
from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics
from training.sources.bags.camera_view import CameraView
from training.sources.bags.mask_bits import decode_mask, encode_mask
from training.sources.bags.report import BagReport
from training.sources.bags.spool import RawLayout, Span, SpoolIndex, check_image

__all__ = ["Camera", "Companion", "ImageFile", "Stretch"]

# The newest image of each of many cameras may wait in memory; larger ones wait on disk.
_MAX_HELD_BYTES = 4 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Camera:
    """What camera_info says, as far as it is used.

    Args:
        intrinsics: Of the images in the bag.
        distortion: To be undone, or None.
    """

    intrinsics: CameraIntrinsics
    distortion: LensDistortion | None


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image as the bag has it.

    Args:
        topic: Where it came from.
        stamp_ns: When it was taken.
        data: JPEG, PNG, or the bytes of an uncompressed image.
        size_hw: Rows and columns, pixels.
        layout: Of uncompressed bytes; None for JPEG and PNG.
    """

    topic: str
    stamp_ns: int
    data: bytes
    size_hw: tuple[int, int]
    layout: RawLayout | None


@dataclasses.dataclass(frozen=True)
class Companion:
    """A mask or a depth image that waits for its image.

    Args:
        role: target_mask, actor_mask or depth.
        topic: Where it came from.
        stamp_ns: When it was taken.
        data: A mask as PNG, or the file of a depth image.
    """

    role: str
    topic: str
    stamp_ns: int
    data: bytes


class Stretch:
    """Writes the frames of one recording to disk and ends as its index.

    Args:
        folder: For the files; `name` goes into theirs.
        name: Of the recording.
        first: The first image; it decides size and encoding.
        report: Counts damaged images.
        max_age_ns: How long an image may stand in for a damaged one.
    """

    def __init__(
        self, folder: Path, name: str, first: ImageFile, report: BagReport, max_age_ns: int
    ) -> None:
        self._folder, self._name, self._report = folder, name, report
        self._max_age_ns = max_age_ns
        self._size_hw, self._layout = first.size_hw, first.layout
        self._images = (folder / f"{name}.images").open("w+b")
        # Frames end here; a large image that is no frame yet lies behind.
        self._end = self._num_behind = 0
        self._raw = (folder / f"{name}.raw").open("w+b")
        self._companions: dict[str, list[tuple[int, Span, str]]] = {}
        self._frames: list[Span] = []
        self._stamps_ns: list[int] = []
        self._image = first
        self._written: tuple[ImageFile, Span] | None = None
        self.camera: Camera | None = None
        self.caption = ""
        self.contact: list[tuple[int, bool]] = []

    @property
    def image(self) -> ImageFile:
        """The newest one; its bytes may lie on disk only."""
        return self._image

    @property
    def last_stamp_ns(self) -> int:
        """Of the newest image."""
        return self._image.stamp_ns

    def fits(self, image: ImageFile) -> bool:
        """Tell whether an image has the size and encoding of this stretch.

        Args:
            image: The next one.

        Returns:
            True if it may follow.
        """
        return (image.size_hw, image.layout) == (self._size_hw, self._layout)

    def advance(self, image: ImageFile) -> None:
        """Let the next image stand for the moments to come.

        Args:
            image: It fits.
        """
        self._num_behind = 0
        if len(image.data) > _MAX_HELD_BYTES:
            self._write_behind(image.data)
            self._num_behind = len(image.data)
            image = dataclasses.replace(image, data=b"")
        self._image = image

    def _write_behind(self, data: bytes) -> None:
        self._images.seek(self._end)
        self._images.write(data)

    def _read_newest(self) -> bytes:
        if not self._num_behind:
            return self._image.data
        self._images.seek(self._end)
        return self._images.read(self._num_behind)

    def write_frame(self) -> bool:
        """Let the present image be the next frame.

        Returns:
            False if it is damaged, and none before it can stand in.
        """
        image = self._image
        if self._written is None or self._written[0] is not image:
            data = self._read_newest()
            try:
                check_image(data, image.layout)
            except InputError as error:
                self._report.spoil(image.topic, "cannot be decoded", str(error))
                before = self._written
                if before is None or image.stamp_ns - before[0].stamp_ns > self._max_age_ns:
                    return False
                # It is told once, and the image before it takes its place.
                self._image = before[0]
            else:
                if not self._num_behind:
                    self._write_behind(data)
                self._written = (image, (self._end, len(data)))
                self._end += len(data)
        written, span = self._written
        self._frames.append(span)
        self._stamps_ns.append(written.stamp_ns)
        return True

    def add(self, companion: Companion) -> None:
        """Keep a mask or depth image until its image is found.

        Args:
            companion: Of this camera.
        """
        span = (self._raw.tell(), len(companion.data))
        self._raw.write(companion.data)
        entries = self._companions.setdefault(companion.role, [])
        entries.append((companion.stamp_ns, span, companion.topic))

    def finish(
        self,
        fps: float,
        model_size_hw: tuple[int, int],
        max_offset_ns: int,
        on_work: Callable[[], None] = lambda: None,
    ) -> Path | None:
        """Pair what belongs together and write the index.

        Args:
            fps: Of the frames.
            model_size_hw: Of the frames that come out.
            max_offset_ns: A mask belongs to an image whose stamp is at most so far away.
            on_work: Called between masks, of which a long recording has very many.

        Returns:
            The index file, or None if there is no frame; then no file is left.
        """
        self._images.truncate(self._end)
        self._images.close()
        index = SpoolIndex(
            name=self._name, fps=fps, caption=self.caption, image_size_hw=self._size_hw,
            model_size_hw=model_size_hw, layout=self._layout, frames=self._frames,
        )  # fmt: skip
        if self.camera is not None:
            index.intrinsics = self.camera.intrinsics
            index.distortion = self.camera.distortion
        if not self._frames:
            self._raw.close()
            for suffix in (".images", ".raw"):
                (self._folder / f"{self._name}{suffix}").unlink()
            return None
        self._write_masks(index, max_offset_ns, on_work)
        index.depths = {frame: entry[1] for frame, entry in self._pair("depth", max_offset_ns)}
        index.contact = self._find_contact()
        self._raw.close()
        path = self._folder / f"{self._name}.json"
        index.save(path)
        return path

    def _write_masks(
        self, index: SpoolIndex, max_offset_ns: int, on_work: Callable[[], None]
    ) -> None:
        try:
            view = index.make_view()
        except InputError as error:
            self._report.note("a distortion that cannot be undone", str(error), is_loss=False)
            index.intrinsics = index.distortion = None
            view = index.make_view()
        roles = {"target_mask": index.target_masks, "actor_mask": index.actor_masks}
        with (self._folder / f"{self._name}.masks").open("wb") as file:
            for role, spans in roles.items():
                done: dict[Span, Span | None] = {}
                for frame, entry in self._pair(role, max_offset_ns):
                    on_work()
                    raw_span = entry[1]
                    if raw_span not in done:
                        png = self._view_mask(view, role, entry)
                        done[raw_span] = (file.tell(), len(png)) if png else None
                        file.write(png)
                    if done[raw_span] is not None:
                        spans[frame] = done[raw_span]

    def _pair(self, role: str, max_offset_ns: int) -> list[tuple[int, tuple[int, Span, str]]]:
        entries = sorted(self._companions.get(role, []))
        stamps_ns = [entry[0] for entry in entries]
        pairs = []
        for frame, stamp_ns in enumerate(self._stamps_ns):
            later = bisect.bisect_left(stamps_ns, stamp_ns)
            around = entries[max(0, later - 1) : later + 1]
            nearest = min(around, key=lambda entry: abs(entry[0] - stamp_ns), default=None)
            if nearest is not None and abs(nearest[0] - stamp_ns) <= max_offset_ns:
                pairs.append((frame, nearest))
        return pairs

    def _view_mask(self, view: CameraView, role: str, entry: tuple[int, Span, str]) -> bytes:
        _, (offset, length), topic = entry
        self._raw.seek(offset)
        mask = decode_mask(self._raw.read(length))
        try:
            fitted = view.view_mask(mask, name=role, may_be_cut=role == "actor_mask")
        except InputError as error:
            self._report.spoil(topic, "does not fit its image", str(error))
            return b""
        return b"" if fitted is None else encode_mask(fitted)

    def _find_contact(self) -> list[bool] | None:
        if not self.contact:
            return None
        told = sorted(self.contact)
        stamps_ns = [stamp_ns for stamp_ns, _ in told]
        before = [bisect.bisect_right(stamps_ns, stamp_ns) - 1 for stamp_ns in self._stamps_ns]
        return [index >= 0 and told[index][1] for index in before]
