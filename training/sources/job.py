"""Convert one file: cut its recordings, write the clips, and keep what became of each window."""

from __future__ import annotations

import shutil
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tavid_core.errors import InputError, TavidError
from training.sources.clip_writer import (
    ACTORS,
    CLIPS,
    MASKS,
    TRUTH,
    draw_clip,
    draw_rejected,
    write_clip,
    write_picture,
)
from training.sources.cut_rules import CutRules
from training.sources.cutter import RejectedWindow, Window, cut
from training.sources.job_stamp import stamp_job
from training.sources.job_state import (
    STATE,
    JobResult,
    KeptClip,
    RejectedEntry,
    progress_path,
    result_path,
    write_result,
)
from training.sources.recording import Recording, RecordingJob, SourceNote, SourceProgress

__all__ = ["PARTS", "run_job"]

PICTURES = f"{STATE}/pictures"
UNMARKED = f"{STATE}/unmarked"
PARTS = (CLIPS, MASKS, ACTORS, TRUTH, PICTURES, UNMARKED)
MAX_PICTURES_PER_REASON = 2


class _Collector:
    """Gathers what becomes of a job, and writes clips and pictures on the way."""

    def __init__(self, name: str, out: Path, rules: CutRules) -> None:
        self.name, self.out, self.rules = name, out, rules
        self.clips: list[KeptClip] = []
        self.rejected: list[RejectedEntry] = []
        self.notes: list[SourceNote] = []
        self._num_pictures: Counter[str] = Counter()

    def take(self, found: Window | RejectedWindow) -> None:
        stem = f"{PICTURES}/{self.name}/{found.recording.name}_{found.start:06d}"
        if isinstance(found, Window):
            record = write_clip(found, self.out, self.name)
            self._write(f"{stem}.jpg", draw_clip(found))
            self.clips.append(KeptClip(record, f"{stem}.jpg"))
            return
        reason = found.reason.value
        picture = ""
        if self._num_pictures[reason] < MAX_PICTURES_PER_REASON:
            drawn = draw_rejected(found, self.rules.size_hw)
            if drawn is not None:
                self._num_pictures[reason] += 1
                picture = f"{stem}_rejected_{len(self.rejected)}.jpg"
                self._write(picture, drawn)
        self.rejected.append(
            RejectedEntry(found.recording.name, found.start, reason, found.detail, picture)
        )

    def tell(self, share: float) -> None:
        """Say to whoever waits how much of the file is read."""
        path = progress_path(self.out, self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{share:.3f}", encoding="ascii")

    def show_unmarked(self, recording: Recording) -> None:
        """Keep the first frame of a recording without masks, for a user to click on."""
        name = f"{UNMARKED}/{self.name}/{recording.name}.jpg"
        self._write(name, recording.read_frames(0, 1)[0])
        self.notes.append(SourceNote("recordings without a mask of the target", 1, name, False))

    def _write(self, name: str, picture: NDArray[np.uint8]) -> None:
        (self.out / name).parent.mkdir(parents=True, exist_ok=True)
        write_picture(self.out / name, picture)


def run_job(job: RecordingJob, out: Path, rules: CutRules) -> int:
    """Convert one file and keep the result, whatever becomes of it.

    Args:
        job: The file.
        out: The clip folder.
        rules: What makes a clip.

    Returns:
        Clips kept.
    """
    # An earlier try may have been interrupted, and the file may have been another.
    result_path(out, job.name).unlink(missing_ok=True)
    for part in PARTS:
        shutil.rmtree(out / part / job.name, ignore_errors=True)
    collector = _Collector(job.name, out, rules)
    error = stamp = ""
    try:
        # Before it is read: what changes while it is read is then seen as changed.
        stamp = stamp_job(job)
        _work_through(job, collector)
    except TavidError as problem:
        error = str(problem)
    except Exception as problem:  # noqa: BLE001 - a process edge: one file shall not end the others
        line = traceback.extract_tb(problem.__traceback__)[-1]
        place = f"{Path(line.filename).name}:{line.lineno}"
        error = f"unexpected {type(problem).__name__} at {place}: {problem}"
    finally:
        progress_path(out, job.name).unlink(missing_ok=True)
    write_result(
        out,
        JobResult(
            name=job.name,
            stamp=stamp,
            clips=tuple(collector.clips),
            rejected=tuple(collector.rejected),
            notes=tuple(collector.notes),
            error=error,
        ),
    )
    return len(collector.clips)


def _work_through(job: RecordingJob, collector: _Collector) -> None:
    names: set[str] = set()
    for item in job.open():
        if isinstance(item, SourceNote):
            collector.notes.append(item)
            continue
        if isinstance(item, SourceProgress):
            collector.tell(item.share)
            continue
        if item.name in names:
            raise InputError(
                f"recording names must differ within a file, got {item.name!r} twice. Number them."
            )
        names.add(item.name)
        if not item.caption.strip():
            reason = "recordings without a caption (--prompt, or python -m training.caption)"
            collector.notes.append(SourceNote(reason, 1, item.name, is_loss=False))
        if not item.target_masks:
            collector.show_unmarked(item)
        for found in cut(item, collector.rules):
            collector.take(found)
