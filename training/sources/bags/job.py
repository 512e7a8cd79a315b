"""One bag as a job of the cutter."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.image_fields import read_depth
from training.sources.bags.reader import read_in_process
from training.sources.bags.settings import BagSettings
from training.sources.bags.spool import (
    RawFields,
    SpooledFrames,
    SpooledMasks,
    SpoolIndex,
)
from training.sources.recording import Recording, SourceNote, SourceProgress
from training.sources.still_target import hold_masks

__all__ = ["BagJob"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BagJob:
    """Reads one bag; a `RecordingJob`.

    Args:
        name: Unique among the bags of a call; begins the names of the recordings.
        bag: Folder or file.
        settings: How it is read.
        licence: Under which licence the bag may be used.
        spool_folder: Where the frames of one recording lie while it is cut; None = the system's
            folder for temporary files.
    """

    name: str
    bag: Path
    settings: BagSettings
    licence: str = "unknown"
    spool_folder: Path | None = None

    def inputs(self) -> tuple[object, ...]:
        """Say what decides the recordings; see `RecordingJob`."""
        return self.bag, self.settings, self.licence

    def open(self) -> Iterator[Recording | SourceNote | SourceProgress]:
        """Read the bag in a process of its own.

        Yields:
            Recordings in the order in which they end, then notes of what was read and lost;
            and now and then how much is read.

        Raises:
            InputError: If the bag cannot be read.
        """
        with tempfile.TemporaryDirectory(prefix="tavid-bag-", dir=self.spool_folder) as name:
            folder = Path(name)
            for event in read_in_process(self.bag, self.name, self.settings, folder):
                kind = event.pop("event")
                if kind != "recording":
                    yield SourceNote(**event) if kind == "note" else SourceProgress(**event)
                    continue
                index_path = folder / event["index"]
                yield self._make_recording(index_path)
                for path in folder.glob(f"{index_path.stem}.*"):
                    path.unlink()

    def _make_recording(self, index_path: Path) -> Recording:
        index = SpoolIndex.load(index_path)
        masks = index_path.with_suffix(".masks")
        contact = None if index.contact is None else np.array(index.contact, bool)
        read_frames = SpooledFrames(index_path.with_suffix(".images"), index)
        target_masks = SpooledMasks(masks, index.target_masks)
        return Recording(
            name=index.name,
            fps=index.fps,
            num_frames=len(index.frames),
            size_hw=index.model_size_hw,
            read_frames=read_frames,
            caption=index.caption,
            target_masks=hold_masks(read_frames, len(index.frames), target_masks),
            actor_masks=SpooledMasks(masks, index.actor_masks),
            contact=contact,
            camera=index.make_view().intrinsics,
            source="bags",
            licence=self.licence,
            read_truth=_TruthReader(index_path.with_suffix(".raw"), index)
            if index.depths
            else None,
        )


class _TruthReader:
    """Gives the depth of a clip's first frame."""

    def __init__(self, file: Path, index: SpoolIndex) -> None:
        self._file, self._index = file, index

    def __call__(self, start: int, _stop: int) -> Mapping[str, NDArray[np.generic]]:
        span = self._index.depths.get(start)
        if span is None:
            return {}
        with self._file.open("rb") as file:
            file.seek(span[0])
            layout, _, data = file.read(span[1]).partition(b"\n")
        depth_m = read_depth(RawFields(**json.loads(layout), data=data))
        return {"depth_m": self._index.make_view().view_depth(depth_m)}
