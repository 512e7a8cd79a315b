"""Recordings and jobs of drawn videos; importable, so that worker processes can open them."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics
from tests.drawn import CONTACT_FRAME, draw_reach
from training.sources.job_state import read_progress
from training.sources.recording import Recording, SourceNote, SourceProgress

CAMERA = CameraIntrinsics(fx=90, fy=90, cx=47.5, cy=31.5, width=96, height=64)


def draw_recording(name="take", *, target=1, num_frames=25, pause=6, scale=1, **changes):
    """A drawn reach after a pause; contact in frame CONTACT_FRAME + pause."""
    clip = draw_reach(target, scale=scale, num_frames=num_frames - pause)
    frames = np.concatenate([np.repeat(clip.frames[:1], pause, axis=0), clip.frames])
    hands = np.concatenate([np.repeat(clip.hand_pixels[:1], pause, axis=0), clip.hand_pixels])
    objects = np.repeat(clip.object_pixels[:1, target], pause, axis=0)
    objects = np.concatenate([objects, clip.object_pixels[:, target]])
    height, width = frames.shape[1:3]
    rows, columns = np.mgrid[:height, :width]
    radius = 5 * scale
    targets = {t: np.hypot(columns - x, rows - y) <= radius for t, (x, y) in enumerate(objects)}
    actors = {t: np.hypot(columns - x, rows - y) <= 1.2 * radius for t, (x, y) in enumerate(hands)}
    fields = {
        "name": name,
        "fps": 8.0,
        "num_frames": num_frames,
        "size_hw": (height, width),
        "read_frames": lambda start, stop: frames[start:stop],
        "caption": "A hand lifts a disc.",
        "target_masks": targets,
        "actor_masks": actors,
        "contact": np.arange(num_frames) >= CONTACT_FRAME + pause,
        "hand_pixels": hands[:, None],
        "camera": CAMERA if scale == 1 else None,
        "source": "drawn",
        "licence": "CC0-1.0",
    }
    return Recording(**{**fields, **changes})


@dataclasses.dataclass(frozen=True)
class DrawnJob:
    """One drawn file; `trouble` says what is wrong with it."""

    name: str
    target: int = 1
    trouble: str = ""
    path: Path | None = None

    def open(self):
        if self.trouble == "unreadable":
            raise InputError("file must be whole, got a torn one. Copy it again.")
        if self.trouble == "deadly":
            os._exit(9)
        if self.trouble == "bug":
            raise ZeroDivisionError("a bug of a source")
        lacks = {"unmarked": {"target_masks": {}}, "silent": {"caption": " "}}
        yield draw_recording("take", target=self.target, **lacks.get(self.trouble, {}))
        if self.trouble == "twice":
            yield draw_recording("take", target=self.target)
        if self.trouble == "slow":
            yield SourceProgress(0.5)
            yield SourceNote(f"told so far: {read_progress(self.path, self.name)}", is_loss=False)
        if self.trouble == "lossy":
            yield SourceNote("frames lost", 3, "at 1.2 s")
        yield draw_recording("still", contact=np.zeros(25, dtype=bool))
        if self.trouble == "torn":
            raise InputError("file must be whole, got a torn one. Copy it again.")
        yield SourceNote("topics ignored", 2, is_loss=False)
