"""Rows are trained, measured and logged once, with a tiny base on clips of noise."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from tavid_core.errors import ConfigError
from tavid_core.model_card import MODEL_CARD_FILE
from tests.tiny import NUM_FRAMES, make_image, make_mask, make_pipeline
from training import ablate
from training.ablate import Ablation, main, run
from training.clips import METADATA_NAME, ClipRecord, write_frames
from training.rows import ROWS


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny base model that samples in two steps."""
    folder = tmp_path_factory.mktemp("base")
    make_pipeline().save_pretrained(folder, safe_serialization=True)
    card = {"name": "tiny", "num_frames": NUM_FRAMES, "num_inference_steps": 2}
    (folder / MODEL_CARD_FILE).write_text(json.dumps(card), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two clips of noise with truth; they serve as scenes too."""
    folder = tmp_path_factory.mktemp("clips")
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
    return folder


def make_ablation(base, clips, tmp_path, **changes):
    settings = {
        "base": base,
        "clips": clips,
        "scenes": {"drawn": clips},
        "validation": clips,
        "out": tmp_path / "runs",
        "log": tmp_path / "runs.jsonl",
        "rows": tuple(
            dataclasses.replace(ROWS[name], num_clips=1)
            for name in ("base", "attention_modulation", "tavid")
        ),
        "steps": (1, 2),
        "num_scenes": 1,
        "num_curve_scenes": 1,
        "settings": ("batch_size=1", "attention_blocks=0,1", "lora_rank=2"),
    }
    return Ablation(**{**settings, **changes})


def test_rows_are_measured_once(base, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(ablate, "STRENGTHS", (1.0,))
    ablation = make_ablation(base, clips, tmp_path)
    run(ablation)
    lines = [json.loads(line) for line in ablation.log.read_text().splitlines()]
    found = [(line["row"], line["step"], line["num_scenes"]) for line in lines]
    assert found == [
        ("base", 0, 1),
        ("attention_modulation", 0, 1),
        ("tavid", 1, 1),
        ("tavid", 2, 1),
    ]
    assert all(line["attention_iou"] is not None for line in lines if line["row"] == "tavid")
    assert lines[1]["strength"] == 1.0
    manifest = json.loads((tmp_path / "runs" / "tavid_seed0" / "tavid_adapter.json").read_text())
    assert manifest["training_step"] == 2
    before = ablation.log.read_text()
    monkeypatch.setattr(ablate, "finetune", None)
    monkeypatch.setattr(ablate, "measure", None)
    run(ablation)
    assert ablation.log.read_text() == before


def test_what_cannot_be_run_is_refused_before_training(base, clips, tmp_path, capsys):
    with pytest.raises(ConfigError, match="clips must hold 1290 clips for these rows, got 2"):
        run(make_ablation(base, clips, tmp_path, rows=(ROWS["tavid"],)))
    with pytest.raises(ConfigError, match="steps must grow from 1 on"):
        make_ablation(base, clips, tmp_path, steps=(5, 3))
    with pytest.raises(ConfigError, match="must not be empty"):
        make_ablation(base, clips, tmp_path, rows=())
    rows = (ROWS["attention_modulation"],)
    with pytest.raises(ConfigError, match="validation must be given"):
        run(make_ablation(base, clips, tmp_path, rows=rows, validation=None))
    arguments = ["--clips", str(clips), "--scenes", f"drawn={clips}", "--out", str(tmp_path)]
    assert main([*arguments, "--rows", "nonsense"]) == 2
    assert "row must be one of" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--clips", str(clips), "--scenes", "nameless", "--out", str(tmp_path)])
    assert "scenes must be NAME=FOLDER" in capsys.readouterr().err
