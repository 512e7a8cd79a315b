"""Each data set's command, from its published layout to a clip folder that training reads."""

import pytest

from tests.training.sources.drawn_touch import (
    draw_touch,
    overlap,
    write_mask,
    write_mask_video,
    write_video,
)
from tests.training.sources.published_behave import (
    SEQUENCE,
    write_calibration,
    write_error_list,
    write_frame_folders,
    write_info,
    write_masks_30,
    write_pack,
    write_videos,
)
from tests.training.sources.published_egoexo4d import describe, write_egoexo4d
from tests.training.sources.published_lerobot import write_lerobot
from training.clip_check import ClipDemands, check_clips
from training.clips import read_frames, read_mask, read_records
from training.sources.behave import command as behave_command
from training.sources.egoexo4d import command as egoexo4d_command
from training.sources.lerobot import command as lerobot_command
from training.sources.video import command as video_command

SIZE_HW = (192, 288)


@pytest.fixture(scope="module")
def drawn():
    return draw_touch(num_frames=120, contact=60, size_hw=SIZE_HW)


def check_for_training(folder, num_slots=2):
    """As training does before its first step; the second slot is the actor's."""
    demands = ClipDemands(num_frames=17, size_hw=(64, 96), num_slots=num_slots, check_caption=len)
    assert check_clips(folder, demands).problems == ()


def read_only_clip(folder, num_slots=2):
    check_for_training(folder, num_slots)
    (record,) = read_records(folder)
    frames = read_frames(folder, record)
    assert frames.shape == (17, 64, 96, 3)
    assert read_mask(folder, record.mask_file).any()
    return record, frames


def test_video_command(drawn, tmp_path, capsys):
    write_video(tmp_path / "lab" / "push.mp4", drawn.frames)
    write_mask(tmp_path / "lab" / "push_mask.png", drawn.target_masks[0])
    write_mask_video(tmp_path / "lab" / "push_actor.mp4", drawn.actor_masks)
    arguments = [str(tmp_path / "lab"), "--out", str(tmp_path / "clips"), "--preset", "mini"]
    arguments += ["--workers", "0", "--caption", "A person pushes the disc."]
    assert video_command.main([*arguments, "--licence", "CC0-1.0"]) == 0
    record, _ = read_only_clip(tmp_path / "clips")
    assert record.text == "A person pushes the disc."
    assert (record.licence, record.source) == ("CC0-1.0", "video")
    # The arm touches the disc in frame 60 of 30 per second: moment 16.
    start = int(record.file_name.split("_")[-1].removesuffix(".mp4"))
    assert abs(start + record.contact_frame - 16) <= 1
    mask = read_mask(tmp_path / "clips", record.mask_file)
    assert overlap(mask, drawn.target_masks[0][1::3, 1::3]) > 0.9
    assert "1 clips from 1 files" in capsys.readouterr().out


def test_video_command_tells_what_is_wrong(tmp_path, capsys):
    arguments = [str(tmp_path), "--out", str(tmp_path / "clips")]
    assert video_command.main(arguments) == 2
    assert "error: folder must hold videos" in capsys.readouterr().err
    assert video_command.main([*arguments, "--captions", str(tmp_path / "none.csv")]) == 2
    assert "captions must be a readable UTF-8 file" in capsys.readouterr().err


def test_behave_command(drawn, tmp_path):
    """Two Kinects, contact from the masks; a broken sequence is named and the others go on."""
    write_calibration(tmp_path, size_hw=SIZE_HW)
    write_videos(tmp_path / "videos", drawn, kinects=(0, 1))
    write_masks_30(tmp_path / "masks", drawn, kinects=(0, 1), every=2)
    write_info(tmp_path / "params" / SEQUENCE, kinects=(0, 1))
    (tmp_path / "sequences" / "Date03_Sub05_boxtiny").mkdir(parents=True)
    arguments = [str(tmp_path), "--out", str(tmp_path / "clips"), "--preset", "mini"]
    arguments += ["--workers", "0"]
    for name in ("videos", "masks", "params"):
        arguments += [f"--{name}", str(tmp_path / name)]
    assert behave_command.main(arguments) == 3
    check_for_training(tmp_path / "clips")
    records = read_records(tmp_path / "clips")
    assert [record.source for record in records] == ["behave", "behave"]
    assert "non-commercial" in records[0].licence
    assert records[0].camera.width == 96
    assert "Date03_Sub05_boxtiny" in (tmp_path / "clips" / "report.json").read_text()


def test_behave_command_with_masks_that_came_later(drawn, tmp_path, capsys):
    """What was cut without them is not taken for the result with them."""
    write_videos(tmp_path / "videos", drawn, kinects=(1,))
    write_info(tmp_path / "params" / SEQUENCE, kinects=(1,))
    arguments = [str(tmp_path), "--out", str(tmp_path / "clips"), "--preset", "mini"]
    arguments += ["--workers", "0", "--videos", str(tmp_path / "videos")]
    arguments += ["--params", str(tmp_path / "params")]
    assert behave_command.main(arguments) == 2
    write_masks_30(tmp_path / "masks", drawn, kinects=(1,), every=2)
    arguments += ["--masks", str(tmp_path / "masks")]
    assert behave_command.main(arguments) == 2
    assert "another value of settings" in capsys.readouterr().err
    assert behave_command.main([*arguments, "--restart"]) == 0
    read_only_clip(tmp_path / "clips")


def test_behave_command_says_on_stderr_what_it_leaves_out(drawn, tmp_path, capsys):
    write_videos(tmp_path / "videos", drawn, kinects=(1,))
    write_info(tmp_path / "params" / SEQUENCE, kinects=(1,))
    write_error_list(tmp_path / "errors.json", {SEQUENCE: ["t0003.000"]})
    arguments = [str(tmp_path), "--out", str(tmp_path / "clips"), "--preset", "mini"]
    arguments += ["--workers", "0", "--error-list", str(tmp_path / "errors.json")]
    for name in ("videos", "params"):
        arguments += [f"--{name}", str(tmp_path / name)]
    assert behave_command.main(arguments) == 2
    told = capsys.readouterr()
    assert f"left out for wrong registrations: {SEQUENCE}" in told.err
    assert "left out for" not in told.out


def test_behave_command_with_contact_in_metres(drawn, tmp_path):
    write_videos(tmp_path / "videos", drawn, kinects=(1,))
    write_frame_folders(tmp_path, drawn, times_sec=range(4), kinects=(1,), form="meshes")
    arguments = [str(tmp_path), "--videos", str(tmp_path / "videos"), "--preset", "mini"]
    assert behave_command.main([*arguments, "--workers", "0", "--out", str(tmp_path / "c")]) == 0
    record, _ = read_only_clip(tmp_path / "c")
    # Free at 1 s, touching at 2 s: moment 9 is the first that may touch.
    start = int(record.file_name.split("_")[-1].removesuffix(".mp4"))
    assert start + record.contact_frame == 9


def test_behave_command_with_packs(drawn, tmp_path):
    write_pack(tmp_path / "packs", drawn)
    arguments = ["--packs", str(tmp_path / "packs"), "--preset", "mini", "--workers", "0"]
    assert behave_command.main([*arguments, "--out", str(tmp_path / "clips")]) == 0
    record, _ = read_only_clip(tmp_path / "clips")
    assert record.truth_file is not None


def test_egoexo4d_command(tmp_path):
    drawn = draw_touch(num_frames=240, contact=120, size_hw=SIZE_HW)
    write_egoexo4d(tmp_path / "set", drawn, descriptions=[describe(timestamp=4.0)], poses=False)
    arguments = [str(tmp_path / "set"), "--out", str(tmp_path / "clips"), "--preset", "mini"]
    # Nobody's hands are annotated, and this drawing holds no person that could be.
    arguments += ["--workers", "0", "--allow-unknown-actor"]
    assert egoexo4d_command.main(arguments) == 0
    record, _ = read_only_clip(tmp_path / "clips", num_slots=1)
    assert record.text == "The person picks up the red disc with his hand."
    assert record.camera.width == 96
    assert 0 < record.contact_frame <= 16
    assert record.source == "egoexo4d"


def test_lerobot_command_with_clicks(drawn, tmp_path):
    write_lerobot(tmp_path / "set", [drawn])
    column, row = drawn.target_pixels[0].tolist()
    clicks = tmp_path / "clicks.csv"
    clicks.write_text(
        "recording,frame,kind,x,y,x1,y1\n"
        f"*,0,box,{column - 27:.0f},{row - 27:.0f},{column + 27:.0f},{row + 27:.0f}\n"
    )
    arguments = [str(tmp_path / "set"), "--out", str(tmp_path / "clips"), "--preset", "mini"]
    arguments += ["--workers", "0", "--clicks", str(clicks), "--segmenter", "grabcut"]
    assert lerobot_command.main(arguments) == 0
    record, _ = read_only_clip(tmp_path / "clips", num_slots=1)
    assert record.text == "A robot arm carries out the task: Pick up the red disc."
    assert (
        overlap(read_mask(tmp_path / "clips", record.mask_file), drawn.target_masks[0][1::3, 1::3])
        > 0.8
    )


def test_lerobot_command_with_motion(drawn, tmp_path):
    write_lerobot(tmp_path / "set", [drawn])
    arguments = [str(tmp_path / "set"), "--out", str(tmp_path / "clips"), "--preset", "mini"]
    assert lerobot_command.main([*arguments, "--workers", "0", "--masks-from-motion"]) == 0
    record, _ = read_only_clip(tmp_path / "clips")
    assert (
        overlap(read_mask(tmp_path / "clips", record.mask_file), drawn.target_masks[0][1::3, 1::3])
        > 0.6
    )
