"""A tiny base model, and scenes of noise with truth that it can be trained and measured on."""

from __future__ import annotations

import dataclasses
import json

import cv2
import numpy as np

from tavid_core.model_card import MODEL_CARD_FILE
from tests.tiny import NUM_FRAMES, make_image, make_mask, make_pipeline
from training.ablation import Ablation
from training.clips import METADATA_NAME, ClipRecord, write_frames
from training.rows import ROWS


def write_base(folder):
    """A base model that samples in two steps."""
    make_pipeline().save_pretrained(folder, safe_serialization=True)
    card = {"name": "tiny", "num_frames": NUM_FRAMES, "num_inference_steps": 2}
    (folder / MODEL_CARD_FILE).write_text(json.dumps(card), encoding="utf-8")


def write_scenes(folder):
    """Two clips of noise with truth; they serve as clips to train on too."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(2):
        name, mask = f"clip_{index}", make_mask(left=index == 0)
        frames = np.stack([make_image(10 * index + frame) for frame in range(NUM_FRAMES)])
        write_frames(folder / f"{name}.mp4", frames, 8.0)
        cv2.imwrite(str(folder / f"{name}.png"), mask.astype(np.uint8) * 255)
        truth = {"instance_masks": mask[None], "target_index": np.array(0)}
        np.savez_compressed(folder / f"{name}.npz", **truth)
        record = ClipRecord(
            file_name=f"{name}.mp4",
            text="the hand lifts the red mug.",
            fps=8.0,
            mask_file=f"{name}.png",
            contact_frame=4,
            source="drawn",
            licence="CC0-1.0",
            truth_file=f"{name}.npz",
        )
        lines.append(record.to_json())
    (folder / METADATA_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_ablation(base, clips, folder, **changes):
    """Three rows, one of each kind, at one and two steps."""
    names = ("base", "attention_modulation", "tavid")
    settings = {
        "base": base,
        "clips": clips,
        "scenes": {"drawn": clips},
        "validation": clips,
        "out": folder / "runs",
        "log": folder / "runs.jsonl",
        "rows": tuple(dataclasses.replace(ROWS[name], num_clips=1) for name in names),
        "steps": (1, 2),
        "num_scenes": 1,
        "num_curve_scenes": 1,
        "settings": ("batch_size=1", "attention_blocks=0,1", "lora_rank=2"),
    }
    return Ablation(**{**settings, **changes})
