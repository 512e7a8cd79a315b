"""The one clip format of every source: a folder with `metadata.jsonl`, mp4 clips and png masks.

The layout follows the Hugging Face `videofolder` convention, so other tools open it too. Each
line of `metadata.jsonl` is one clip; all paths in it are relative to the folder and stay in it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path, PurePosixPath

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics
from training.text_lines import split_lines

__all__ = [
    "METADATA_NAME",
    "ClipRecord",
    "has_instances",
    "parse_record",
    "read_frames",
    "read_instances",
    "read_mask",
    "read_records",
    "read_slot_masks",
    "read_truth",
    "write_frames",
]

METADATA_NAME = "metadata.jsonl"
INSTANCE_ARRAYS = ("instance_masks", "target_index")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipRecord:
    """One line of `metadata.jsonl`.

    Args:
        file_name: The mp4, relative to the folder; likewise the other files.
        text: The caption, without any target sentence (training adds it).
        fps: Frames per second.
        mask_file: Target mask of frame 0, png 0/255.
        actor_mask_file: Actor mask of frame 0, or None.
        contact_frame: First frame in which the actor touches the target, or None if unknown.
        camera: Intrinsics for the clip's size, or None if unknown.
        source: Which data set it came from.
        licence: Under which licence.
        truth_file: npz with ground truth, or None.
        extra_mask_files: Masks of further targets in frame 0, in the order of their slots.
    """

    file_name: str
    text: str
    fps: float
    mask_file: str
    actor_mask_file: str | None = None
    contact_frame: int | None = None
    camera: CameraIntrinsics | None = None
    source: str
    licence: str
    truth_file: str | None = None
    extra_mask_files: tuple[str, ...] = ()

    def mask_names(self, num_slots: int) -> tuple[str | None, ...]:
        """List the masks of the slots: target, actor, further targets.

        Args:
            num_slots: How many are wanted.

        Returns:
            Files, None where there is none.
        """
        names = (self.mask_file, self.actor_mask_file, *self.extra_mask_files)
        return (*names, *(None,) * num_slots)[:num_slots]

    def to_json(self) -> str:
        """Write the record as one line of JSON.

        Returns:
            The line, without a newline.
        """
        fields = dataclasses.asdict(self)
        if self.camera is not None:
            # Clips are undistorted: whoever cuts them does that.
            del fields["camera"]["has_distortion"]
        return json.dumps(fields, ensure_ascii=False, allow_nan=False)


def _relative_path(value: object, key: str) -> str:
    path = PurePosixPath(value) if isinstance(value, str) and value else None
    if path is None or path.is_absolute() or ".." in path.parts or "\\" in str(value):
        raise InputError(
            f"{key} must be a path inside the clip folder, got {value!r}. Use a relative path."
        )
    return str(path)


def _number(value: object, key: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise InputError(f"{key} must be a finite number, got {value!r}. Correct the line.")
    return float(value)


def _camera(value: object) -> CameraIntrinsics | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InputError(f"camera must be an object, got {value!r}. Give fx, fy, cx, cy, ...")
    numbers = {key: _number(value.get(key), f"camera.{key}") for key in ("fx", "fy", "cx", "cy")}
    sizes = {key: int(_number(value.get(key), f"camera.{key}")) for key in ("width", "height")}
    return CameraIntrinsics(**numbers, **sizes, is_assumed=value.get("is_assumed") is True)


def parse_record(line: str) -> ClipRecord:
    """Read one line of `metadata.jsonl`.

    Args:
        line: One JSON object.

    Returns:
        The record, with every path checked to stay inside the folder.

    Raises:
        InputError: If the line is no JSON object, a field is missing, or a path leaves the folder.
    """
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"metadata line must be JSON, got {line[:80]!r}. Rewrite it.") from error
    if not isinstance(fields, dict):
        raise InputError(f"metadata line must be a JSON object, got {line[:80]!r}. Rewrite it.")
    for key in ("text", "source", "licence"):
        if not isinstance(fields.get(key), str):
            raise InputError(f"{key} must be text, got {fields.get(key)!r}. Add it to the line.")
    fps = _number(fields.get("fps"), "fps")
    if fps <= 0:
        raise InputError(f"fps must be positive, got {fps}. CogVideoX uses 8.")
    optional = {
        key: None if fields.get(key) is None else _relative_path(fields[key], key)
        for key in ("actor_mask_file", "truth_file")
    }
    extras = fields.get("extra_mask_files") or ()
    if not isinstance(extras, list | tuple):
        raise InputError(f"extra_mask_files must be a list, got {extras!r}. Correct the line.")
    contact = fields.get("contact_frame")
    return ClipRecord(
        file_name=_relative_path(fields.get("file_name"), "file_name"),
        text=fields["text"],
        fps=fps,
        mask_file=_relative_path(fields.get("mask_file"), "mask_file"),
        contact_frame=None if contact is None else int(_number(contact, "contact_frame")),
        camera=_camera(fields.get("camera")),
        source=fields["source"],
        licence=fields["licence"],
        extra_mask_files=tuple(_relative_path(name, "extra_mask_files") for name in extras),
        **optional,
    )


def read_records(folder: Path) -> list[ClipRecord]:
    """Read all records of a clip folder.

    Args:
        folder: Holds `metadata.jsonl`.

    Returns:
        The records in the file's order.

    Raises:
        InputError: If the file is missing, empty or has a bad line; the message names the line.
    """
    path = folder / METADATA_NAME
    if not path.is_file():
        raise InputError(
            f"clip folder must hold {METADATA_NAME}, got {folder}. "
            "Make one with python -m training.sources.sim --out FOLDER."
        )
    records = []
    for number, line in enumerate(split_lines(path.read_text(encoding="utf-8")), start=1):
        if not line.strip():
            continue
        try:
            records.append(parse_record(line))
        except InputError as error:
            raise InputError(f"{path.name} line {number}: {error}") from error
    if not records:
        raise InputError(
            f"clip folder must hold at least one clip, got none in {folder}. Add some."
        )
    return records


# In small pictures each pixel counts. In large ones a camera's noise makes thorough coding several
# times slower, to write and to read, for a tenth of the size at the same quality.
_SMALL_PIXELS = 100_000
_SMALL_CODING = {"crf": "6", "preset": "fast"}
_LARGE_CODING = {"crf": "4", "preset": "veryfast", "coder": "0"}


def write_frames(path: Path, frames: NDArray[np.uint8], fps: float) -> None:
    """Write an mp4 (H.264, 4:4:4, visually lossless).

    Full chroma is kept because small pictures lose whole objects to 4:2:0.

    Args:
        path: Where to.
        frames: RGB, uint8 (T, H, W, 3).
        fps: Frames per second.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p"
        is_small = frames.shape[1] * frames.shape[2] < _SMALL_PIXELS
        # One thread: the same bytes on every machine; conversions run in several processes.
        stream.options = {"threads": "1", **(_SMALL_CODING if is_small else _LARGE_CODING)}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def read_frames(folder: Path, record: ClipRecord) -> NDArray[np.uint8]:
    """Decode a clip.

    Args:
        folder: The clip folder.
        record: Which clip.

    Returns:
        RGB, uint8 (T, H, W, 3).

    Raises:
        InputError: If the video is missing or cannot be decoded.
    """
    try:
        # One for all frames: to set it up, with its threads, costs more than a small frame.
        to_rgb = VideoReformatter()
        with av.open(str(folder / record.file_name)) as container:
            frames = [
                to_rgb.reformat(frame, format="rgb24").to_ndarray()
                for frame in container.decode(video=0)
            ]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise InputError(
            f"{record.file_name} must be a readable video, got {error}. Cut the clip again."
        ) from error
    if not frames:
        raise InputError(f"{record.file_name} must hold frames, got none. Cut the clip again.")
    return np.stack(frames)


def read_mask(folder: Path, name: str) -> NDArray[np.bool_]:
    """Read a mask.

    Args:
        folder: The clip folder.
        name: The png, relative.

    Returns:
        bool (H, W), true where the png is at least 128.

    Raises:
        InputError: If it cannot be read.
    """
    image = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InputError(f"{name} must be a readable png, got none. Write the mask again.")
    return image >= 128


def read_slot_masks(folder: Path, record: ClipRecord, num_slots: int) -> list[NDArray[np.bool_]]:
    """Read the masks of the slots: target, actor, further targets.

    Args:
        folder: The clip folder.
        record: Which clip.
        num_slots: How many are wanted.

    Returns:
        Masks, bool (H, W).

    Raises:
        InputError: If the clip has none for a slot, or one cannot be read.
    """
    names = record.mask_names(num_slots)
    if None in names:
        missing = "actor_mask_file" if names.index(None) == 1 else "extra_mask_files"
        raise InputError(
            f"{record.file_name} must have masks for {num_slots} slots, got no {missing}. "
            "Add them to its line, or use other clips."
        )
    return [read_mask(folder, name) for name in names]


def read_truth(folder: Path, record: ClipRecord) -> dict[str, NDArray[np.generic]]:
    """Read the ground truth of a clip.

    Args:
        folder: The clip folder.
        record: Which clip; it must have a truth file.

    Returns:
        Arrays by name (see `training.sources.sim`).

    Raises:
        InputError: If the clip has none.
    """
    if record.truth_file is None:
        raise InputError(
            f"{record.file_name} must have ground truth, got none. Use simulated clips."
        )
    with np.load(folder / record.truth_file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def has_instances(folder: Path, record: ClipRecord) -> bool:
    """Say whether a clip's ground truth tells which object is which, as a referee needs it.

    Args:
        folder: The clip folder.
        record: Which clip; the truth of recorded ones may hold depth or poses only.

    Returns:
        Whether `read_instances` can read it.
    """
    if record.truth_file is None:
        return False
    with np.load(folder / record.truth_file, allow_pickle=False) as arrays:
        return set(INSTANCE_ARRAYS) <= set(arrays.files)


def read_instances(folder: Path, record: ClipRecord) -> tuple[NDArray[np.bool_], int]:
    """Read which objects there are in frame 0, and which is the target.

    Args:
        folder: The clip folder.
        record: Which clip; see `has_instances`.

    Returns:
        Masks of all objects, bool (N, H, W), and the target's index.

    Raises:
        InputError: If the clip has no ground truth, or one that does not tell.
    """
    truth = read_truth(folder, record)
    if not set(INSTANCE_ARRAYS) <= set(truth):
        raise InputError(
            f"{record.file_name} must have {' and '.join(INSTANCE_ARRAYS)} in its ground truth, "
            f"got {', '.join(truth) or 'nothing'}. Judge simulated clips."
        )
    masks, target = (truth[name] for name in INSTANCE_ARRAYS)
    return masks.astype(bool), int(target)


def iterate_frames(folder: Path) -> Iterator[tuple[ClipRecord, NDArray[np.uint8]]]:
    """Decode all clips of a folder, one after another.

    Args:
        folder: The clip folder.

    Yields:
        Each record with its frames.
    """
    for record in read_records(folder):
        yield record, read_frames(folder, record)
