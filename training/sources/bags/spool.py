"""Frames of one recording on disk, as small as the bag had them, and how they are read.

The process that reads a bag writes them; the one that cuts clips reads what it needs. So a long
recording never lies in memory whole.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.distortion import LensDistortion
from tavid_core.errors import InputError
from tavid_core.image_fields import check_color_fields, read_color
from tavid_core.picture_codecs import check_picture, decode_picture
from tavid_core.types import CameraIntrinsics
from training.sources.bags.camera_view import CameraView
from training.sources.bags.mask_bits import decode_mask

__all__ = [
    "RawFields",
    "RawLayout",
    "Span",
    "SpoolIndex",
    "SpooledFrames",
    "SpooledMasks",
    "check_image",
    "decode_image",
]

Span = tuple[int, int]
"""Offset and length in a spool file, bytes."""


@dataclasses.dataclass
class RawLayout:
    """The fields of an uncompressed image but for its bytes."""

    height: int
    width: int
    step: int
    encoding: str
    is_bigendian: int


@dataclasses.dataclass(kw_only=True)
class SpoolIndex:
    """What the reading process tells about one recording; plain JSON.

    Args:
        name: Of the recording.
        fps: Its rate.
        caption: What happens.
        image_size_hw: Of the images in the bag.
        model_size_hw: Of the frames that come out.
        layout: Of uncompressed images; None for JPEG and PNG.
        intrinsics: Of the images in the bag, or None.
        distortion: Model and coefficients, to be undone, or None.
        frames: Where each frame's image lies in the file of images.
        target_masks: Where the mask of a frame lies in the file of masks, by frame.
        actor_masks: The actor, likewise.
        depths: Depth, likewise.
        contact: By frame, or None.
    """

    name: str
    fps: float
    caption: str
    image_size_hw: tuple[int, int]
    model_size_hw: tuple[int, int]
    layout: RawLayout | None
    intrinsics: CameraIntrinsics | None = None
    distortion: LensDistortion | None = None
    frames: list[Span] = dataclasses.field(default_factory=list)
    target_masks: dict[int, Span] = dataclasses.field(default_factory=dict)
    actor_masks: dict[int, Span] = dataclasses.field(default_factory=dict)
    depths: dict[int, Span] = dataclasses.field(default_factory=dict)
    contact: list[bool] | None = None

    def save(self, path: Path) -> None:
        """Write the index.

        Args:
            path: Where to.
        """
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> SpoolIndex:
        """Read an index.

        Args:
            path: As `save` wrote it.

        Returns:
            The index.
        """
        fields = json.loads(path.read_text(encoding="utf-8"))
        for key in ("target_masks", "actor_masks", "depths"):
            fields[key] = {int(frame): tuple(span) for frame, span in fields[key].items()}
        fields["frames"] = [tuple(span) for span in fields["frames"]]
        for key in ("image_size_hw", "model_size_hw"):
            fields[key] = tuple(fields[key])
        if fields["layout"] is not None:
            fields["layout"] = RawLayout(**fields["layout"])
        if fields["intrinsics"] is not None:
            fields["intrinsics"] = CameraIntrinsics(**fields["intrinsics"])
        if fields["distortion"] is not None:
            bend = fields["distortion"]
            fields["distortion"] = LensDistortion(
                model=bend["model"], coefficients=tuple(bend["coefficients"])
            )
        return cls(**fields)

    def make_view(self) -> CameraView:
        """Prepare what happens to every image.

        Returns:
            The view of the recording's camera.
        """
        return CameraView(self.image_size_hw, self.model_size_hw, self.intrinsics, self.distortion)


def check_image(data: bytes, layout: RawLayout | None) -> None:
    """Find out whether `decode_image` would decode an image.

    Args:
        data: A JPEG or PNG, or the bytes of an uncompressed image.
        layout: Of uncompressed bytes; None for JPEG and PNG.

    Raises:
        InputError: If it is damaged.
    """
    if layout is None:
        check_picture("image", data)
    else:
        check_color_fields(RawFields(**dataclasses.asdict(layout), data=data))


def decode_image(data: bytes, layout: RawLayout | None) -> NDArray[np.uint8]:
    """Decode an image as the nodes do.

    Args:
        data: A JPEG or PNG, or the bytes of an uncompressed image.
        layout: Of uncompressed bytes; None for JPEG and PNG.

    Returns:
        RGB, uint8 (H, W, 3).

    Raises:
        InputError: If it is damaged.
    """
    if layout is None:
        return decode_picture("image", data)
    return read_color(RawFields(**dataclasses.asdict(layout), data=data))


@dataclasses.dataclass
class RawFields(RawLayout):
    """An uncompressed image: its layout and its bytes."""

    data: bytes = b""


class SpooledFrames:
    """Reads frames start to stop - 1 of a recording, decoding on demand.

    Args:
        file: Images.
        index: Of the recording.
    """

    def __init__(self, file: Path, index: SpoolIndex) -> None:
        self._file, self._index, self._view = file, index, index.make_view()

    def __call__(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Read frames.

        Args:
            start: First frame.
            stop: Frame behind the last one.

        Returns:
            RGB, uint8 (stop - start, h, w, 3).

        Raises:
            InputError: If the recording has not so many.
        """
        if not 0 <= start < stop <= len(self._index.frames):
            raise InputError(
                f"frames must lie in 0..{len(self._index.frames)}, got {start}..{stop}. Ask again."
            )
        frames = np.empty((stop - start, *self._index.model_size_hw, 3), np.uint8)
        before: Span | None = None
        with self._file.open("rb") as file:
            for number, span in enumerate(self._index.frames[start:stop]):
                # A slow camera's image stands for several moments.
                if span == before:
                    frames[number] = frames[number - 1]
                    continue
                file.seek(span[0])
                image = decode_image(file.read(span[1]), self._index.layout)
                frames[number] = self._view.view_image(image)
                before = span
        return frames


class SpooledMasks(Mapping[int, NDArray[np.bool_]]):
    """Masks by frame, loaded on demand.

    Args:
        file: One after the other as `encode_mask` gave them, already of the frames' size.
        spans: Where the mask of each frame lies.
    """

    def __init__(self, file: Path, spans: Mapping[int, Span]) -> None:
        self._file, self._spans = file, dict(spans)

    def __getitem__(self, frame: int) -> NDArray[np.bool_]:
        """Load a mask, bool (h, w)."""
        offset, length = self._spans[frame]
        with self._file.open("rb") as file:
            file.seek(offset)
            return decode_mask(file.read(length))

    def __iter__(self) -> Iterator[int]:
        """List the frames that have one."""
        return iter(self._spans)

    def __len__(self) -> int:
        """Count the masks."""
        return len(self._spans)
