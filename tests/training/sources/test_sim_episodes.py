"""Episodes of the simulated world as videos: what is in the files, and that clips come of them."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from training.clips import read_mask, read_records
from training.sources.sim import episodes
from training.sources.sim.harder import HarderOptions
from training.sources.sim.harder_render import HarderRenderer
from training.sources.sim.scene import Scene
from training.sources.video.command import main as convert_videos
from training.sources.video_file import VideoFile

pytestmark = pytest.mark.render


def draw(seed) -> tuple[Scene, np.ndarray, np.ndarray, np.ndarray]:
    with HarderRenderer(96, 64) as renderer:
        scene = renderer.usable_scene(seed, HarderOptions(actor="arm", camera="low"))
        clip = renderer.render(scene, episodes.NUM_FRAMES)
        return scene, clip.frames, *renderer.render_masks(scene, episodes.NUM_FRAMES)


def test_files_hold_the_scene_and_become_a_clip(tmp_path):
    lab = tmp_path / "lab"
    words = ["--out", str(lab), "--num-episodes", "1", "--camera", "low", "--actor", "arm"]
    assert episodes.main(words) == 0
    scene, frames, targets, actors = draw(0)
    video = VideoFile(lab / "episode_0000.mp4")
    every = list(range(episodes.NUM_FRAMES))
    assert np.abs(np.stack(video.read(every)).astype(int) - frames).mean() < 3
    for ending, truth in (("_mask", targets), ("_actor", actors)):
        read = np.stack(VideoFile(lab / f"episode_0000{ending}.mp4").read(every))
        np.testing.assert_array_equal(read.max(-1) > 127, truth)
    with (lab / episodes.CAPTIONS_NAME).open() as stream:
        (row,) = csv.DictReader(stream)
    assert row["text"] == scene.caption
    assert float(row["contact_sec"]) * episodes.FPS == scene.contact_frame

    before = {path.name: path.stat().st_mtime_ns for path in lab.glob("*.mp4")}
    assert episodes.main(words) == 0
    assert {path.name: path.stat().st_mtime_ns for path in lab.glob("*.mp4")} == before

    words = [lab, "--captions", lab / episodes.CAPTIONS_NAME, "--out", tmp_path / "clips"]
    assert convert_videos([str(word) for word in [*words, "--preset", "mini"]]) == 0
    (record,) = read_records(tmp_path / "clips")
    start = scene.contact_frame - record.contact_frame
    np.testing.assert_array_equal(read_mask(tmp_path / "clips", record.mask_file), targets[start])


def test_a_wrong_number_is_told(capsys):
    with pytest.raises(SystemExit):
        episodes.main(["--out", "x", "--num-episodes", "0"])
    assert "--num-episodes must be at least 1, got 0" in capsys.readouterr().err
