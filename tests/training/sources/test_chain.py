"""From recordings of the simulated world to an adapter: convert, check, fine-tune."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import HEIGHT, NUM_FRAMES, WIDTH, make_pipeline
from training.clips import read_frames, read_mask, read_records, read_truth
from training.finetune import main as finetune_main
from training.sources.conversion import convert
from training.sources.cut_rules import CutRules
from training.sources.recording import Recording
from training.sources.sim.dataset import main as sim_main


@dataclasses.dataclass(frozen=True)
class ClipFolderJob:
    """A clip folder as a source: every clip a recording with known contact."""

    folder: Path
    name: str = "sim"

    def open(self):
        for number, record in enumerate(read_records(self.folder)):
            frames = read_frames(self.folder, record)
            yield Recording(
                name=f"clip_{number}",
                fps=record.fps,
                num_frames=len(frames),
                size_hw=frames.shape[1:3],
                read_frames=lambda start, stop, frames=frames: frames[start:stop],
                caption=record.text,
                # The target stands still until it is touched.
                target_masks=dict.fromkeys(
                    range(record.contact_frame), read_mask(self.folder, record.mask_file)
                ),
                actor_masks=dict.fromkeys(
                    range(record.contact_frame), read_mask(self.folder, record.actor_mask_file)
                ),
                contact=np.arange(len(frames)) >= record.contact_frame,
                camera=record.camera,
                source=record.source,
                licence=record.licence,
                read_truth=lambda start, stop, record=record: {
                    "object_pixels": read_truth(self.folder, record)["object_pixels"][start:stop]
                },
            )


@pytest.mark.render
def test_recordings_of_the_simulated_world_train_an_adapter(tmp_path):
    sim, clips = tmp_path / "sim", tmp_path / "clips"
    assert sim_main(["--out", str(sim), "--num-clips", "3", "--workers", "1"]) == 0
    rules = CutRules(num_frames=NUM_FRAMES, size_hw=(HEIGHT, WIDTH))
    report = convert([ClipFolderJob(sim)], clips, rules, workers=0)
    assert (report.num_clips, report.exit_code) == (3, 0), report.describe()
    record = read_records(clips)[0]
    assert record.camera.width == WIDTH
    assert read_truth(clips, record)["object_pixels"].shape[0] == NUM_FRAMES
    make_pipeline().save_pretrained(tmp_path / "base", safe_serialization=True)
    words = ["debug_cpu", "--base", tmp_path / "base", "--clips", clips]
    words += ["--out", tmp_path / "adapter", "--set", "steps=2"]
    assert finetune_main([str(word) for word in words]) == 0
    assert (tmp_path / "adapter/tavid_adapter.json").is_file()
