"""A clip folder of noise at the tiny world's size."""

from __future__ import annotations

import cv2
import numpy as np

from tests.tiny import NUM_FRAMES, make_image, make_mask
from training.clips import METADATA_NAME, ClipRecord, write_frames


def write_clips(folder, num_clips=3):
    lines = []
    for part in ("clips", "masks"):
        (folder / part).mkdir(parents=True)
    for index in range(num_clips):
        frames = np.stack([make_image(100 * index + t) for t in range(NUM_FRAMES)])
        write_frames(folder / f"clips/{index}.mp4", frames, 8.0)
        mask = make_mask(left=index % 2 == 0).astype(np.uint8) * 255
        cv2.imwrite(str(folder / f"masks/{index}.png"), mask)
        record = ClipRecord(
            file_name=f"clips/{index}.mp4",
            text="A person lifts the red mug.",
            fps=8.0,
            mask_file=f"masks/{index}.png",
            actor_mask_file=f"masks/{(index + 1) % num_clips}.png",
            extra_mask_files=(f"masks/{index}.png",),
            source="test",
            licence="CC0-1.0",
        )
        lines.append(record.to_json())
    (folder / METADATA_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
