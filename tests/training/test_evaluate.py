"""The table of who touches what: the referee's verdicts, and the evaluation as it is run."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from tests.drawn import CONTACT_FRAME, draw_reach
from training import evaluate
from training.clips import METADATA_NAME, ClipRecord, read_records, write_frames
from training.measure import Measured
from training.quality import QUALITY_NAMES
from training.referee import Tally, check_referee, judge
from training.sources.sim import dataset

VERDICTS = ("target_contact", "wrong_target", "no_contact")
REACHES = (1, 0)  # which disc the hand of each clip lifts


def write_clip(folder, name, clip, target):
    """Write a drawn clip with its truth; returns its line of metadata."""
    write_frames(folder / f"{name}.mp4", clip.frames, 8.0)
    cv2.imwrite(str(folder / f"{name}.png"), clip.masks[target].astype(np.uint8) * 255)
    truth = {"instance_masks": np.stack(clip.masks), "target_index": np.array(target)}
    np.savez_compressed(folder / f"{name}.npz", **truth)
    return ClipRecord(
        file_name=f"{name}.mp4",
        text="A person lifts the blue disc.",
        fps=8.0,
        mask_file=f"{name}.png",
        contact_frame=CONTACT_FRAME,
        source="drawn",
        licence="CC0-1.0",
        truth_file=f"{name}.npz",
    ).to_json()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two clips, in each of which the hand lifts the masked disc."""
    made = tmp_path_factory.mktemp("clips")
    lines = [write_clip(made, f"clip_{index}", draw_reach(index), index) for index in REACHES]
    (made / METADATA_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


class KnownHands:
    """Sees the drawn hands where they are; the clips come in the folder's order."""

    def __init__(self, *clips):
        self.clips = iter(clips)

    def __call__(self, frames):
        return next(self.clips).keypoints()


def judge_drawn(clip, target):
    return judge(clip.frames, np.stack(clip.masks), target, KnownHands(clip))


def test_the_referee_tells_the_three_verdicts_apart():
    assert judge_drawn(draw_reach(1), 1) == "target_contact"
    assert judge_drawn(draw_reach(1), 2) == "wrong_target"
    assert judge_drawn(draw_reach(1, reach=0.0), 1) == "no_contact"


def test_what_moved_away_counts_though_no_hand_is_seen():
    moved, unseen = draw_reach(1), draw_reach(1, reach=0.0)
    for target, verdict in ((1, "target_contact"), (2, "wrong_target")):
        found = judge(moved.frames, np.stack(moved.masks), target, KnownHands(unseen))
        assert found == verdict


def test_what_fades_away_by_itself_was_not_taken():
    clip = draw_reach(1, reach=0.0)
    frames = clip.frames.copy()
    frames[len(frames) // 2 :, clip.masks[1]] = frames[0, 0, 0]
    assert judge(frames, np.stack(clip.masks), 1, KnownHands(clip)) == "no_contact"


def with_halted(clips, *, at=CONTACT_FRAME // 2):
    """Give each clip, and then the same one that stands still from a frame on."""
    for clip in clips:
        halted = np.minimum(np.arange(len(clip.frames)), at)
        yield from (clip, dataclasses.replace(clip, hand_pixels=clip.hand_pixels[halted]))


def test_the_referee_is_checked_on_real_clips_and_on_halted_ones(folder, tmp_path):
    clips = [draw_reach(index) for index in REACHES]
    assert check_referee(folder, KnownHands(*with_halted(clips))) == (1.0, 0.0)
    # The truth of the first is a lie: the hand lifts another disc than it says.
    lines = [
        write_clip(tmp_path, f"clip_{index}", clip, target)
        for index, (clip, target) in enumerate(zip(clips, (2, REACHES[1]), strict=True))
    ]
    (tmp_path / METADATA_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert check_referee(tmp_path, KnownHands(*with_halted(clips))) == (0.5, 0.0)
    assert check_referee(tmp_path, KnownHands(*with_halted(clips)), limit=1) == (0.0, 0.0)
    # Halted after the contact that it really has, and one whose contact nobody knows.
    for contact, at, wanted in ((16, 8, 1.0), (None, 0, None)):
        line = dataclasses.replace(read_records(tmp_path)[0], contact_frame=contact).to_json()
        (tmp_path / METADATA_NAME).write_text(line + "\n", encoding="utf-8")
        assert check_referee(tmp_path, KnownHands(*with_halted(clips, at=at))) == (0.0, wanted)


def check_row(row):
    intervals = {f"{name}_interval" for name in VERDICTS}
    more = {"num_scenes", "attention_iou", "quality", "by_target_size"}
    assert set(row) == {*more, *VERDICTS, *intervals}
    assert set(row["quality"]) == set(QUALITY_NAMES)
    assert row["num_scenes"] == 2
    assert sum(row[name] for name in VERDICTS) == pytest.approx(1.0)
    assert sum(size["num_scenes"] for size in row["by_target_size"]) == row["num_scenes"]
    for name in VERDICTS:
        low, high = row[f"{name}_interval"]
        assert 0.0 <= low <= row[name] <= high <= 1.0


def test_both_rows_are_measured_with_the_shipped_model(folder, tmp_path, capsys):
    words = ["--clips", str(folder), "--scenes", "2", "--steps", "2", "--guidance", "1", "--json"]
    assert evaluate.main([*words, "--keep", str(tmp_path / "kept")]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result) == {"model", "referee_accuracy", "referee_false_touch", "base", "tavid"}
    assert result["model"] == "mini"
    assert 0.0 <= result["referee_accuracy"] <= 1.0
    assert 0.0 <= result["referee_false_touch"] <= 1.0
    for name in ("base", "tavid"):
        check_row(result[name])
        with np.load(tmp_path / "kept" / f"{name}.npz", allow_pickle=False) as kept:
            assert kept["frames"].shape == (2, 17, 64, 96, 3)
            counts = [np.mean(kept["verdicts"] == verdict) for verdict in VERDICTS]
        assert counts == pytest.approx([result[name][verdict] for verdict in VERDICTS])


def test_the_referee_need_not_be_checked_again(folder, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "check_referee", lambda *_: pytest.fail("checked again"))
    tally = Tally(target_contact=1, no_contact=1)
    quality = dict.fromkeys(QUALITY_NAMES, 0.0)
    measured = Measured(tally=tally, attention_iou=None, quality=quality)
    monkeypatch.setattr(evaluate, "measure", lambda *_, **__: measured)
    words = ["--clips", str(folder), "--rows", "tavid", "--no-referee-check", "--json"]
    assert evaluate.main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"model", "tavid"}
    assert result["tavid"]["target_contact"] == 0.5


def test_scenes_are_drawn_as_asked():
    words = ["--world", "1", "--num-objects", "5", "--actor", "arm", "--scenes", "7"]
    drawn = dataset.parse_arguments(
        ["--out", "x", *evaluate._scene_words(evaluate.parse_arguments(words))]
    )
    assert (drawn.world, drawn.num_objects, drawn.actor, drawn.num_clips) == ("1", 5, "arm", 7)
    assert (drawn.split, drawn.look_alikes, drawn.unseen_kinds) == ("held_out", True, False)


def test_a_clip_folder_that_is_not_there_is_told_and_not_drawn(tmp_path, capsys):
    assert evaluate.main(["--clips", str(tmp_path / "none"), "--scenes", "1"]) == 2
    assert "evaluate: " in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_clips_that_cannot_be_read_end_with_one_line(tmp_path, capsys):
    (tmp_path / METADATA_NAME).write_text("{}\n", encoding="utf-8")
    assert evaluate.main(["--clips", str(tmp_path), "--scenes", "1"]) == 2
    assert "line 1" in capsys.readouterr().err
