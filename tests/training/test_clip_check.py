"""Each defect of a clip is found, with its line and in words."""

import dataclasses
import json

import av
import cv2
import numpy as np
import pytest

from tavid_core.errors import InputError, PromptError
from training.clip_check import ClipDemands, check_clips
from training.clips import METADATA_NAME, ClipRecord, write_frames

HEIGHT, WIDTH, NUM_FRAMES = 32, 48, 9


def refuse_long(text):
    if len(text) > 30:
        raise PromptError("prompt must be short, got a long one. Shorten it.")


DEMANDS = ClipDemands(
    num_frames=NUM_FRAMES, size_hw=(HEIGHT, WIDTH), num_slots=1, check_caption=refuse_long
)


@pytest.fixture
def folder(tmp_path):
    frames = np.zeros((NUM_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    for name in ("good", "other"):
        write_frames(tmp_path / f"{name}.mp4", frames, 8.0)
    write_frames(tmp_path / "short.mp4", frames[:5], 8.0)
    write_frames(tmp_path / "wide.mp4", np.zeros((NUM_FRAMES, HEIGHT, 64, 3), np.uint8), 8.0)
    (tmp_path / "noise.mp4").write_bytes(b"not a video at all" * 50)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.imwrite(str(tmp_path / "empty.png"), mask)
    cv2.imwrite(str(tmp_path / "all.png"), mask + 255)
    cv2.imwrite(str(tmp_path / "small.png"), mask[:10] + 255)
    mask[5:10, 5:10] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    return tmp_path


def write(folder, *changes):
    record = ClipRecord(
        file_name="good.mp4",
        text="Lift it.",
        fps=8.0,
        mask_file="mask.png",
        contact_frame=4,
        source="test",
        licence="CC0-1.0",
    )
    lines = [
        change if isinstance(change, str) else dataclasses.replace(record, **change).to_json()
        for change in changes
    ]
    (folder / METADATA_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"file_name": "none.mp4"}, "line 2 none.mp4: the video is missing"),
        ({"file_name": "noise.mp4"}, "line 2 noise.mp4: the video cannot be read"),
        ({"file_name": "short.mp4"}, "the video has 5 frames, 9 are needed"),
        ({"file_name": "wide.mp4"}, "the video is 64 x 32 pixels, 48 x 32 pixels is needed"),
        ({"mask_file": "none.png"}, "the mask none.png is missing or cannot be read"),
        ({"mask_file": "empty.png"}, "the mask is empty"),
        ({"mask_file": "all.png"}, "the mask marks everything"),
        ({"mask_file": "small.png"}, "the mask is 48 x 10 pixels"),
        ({"text": "much too long a caption for the model"}, "the caption does not fit"),
        ({"contact_frame": 0}, "touches the target in the first frame already"),
        ({"contact_frame": 9}, "does not touch the target"),
        ("{broken", "line 2: metadata line must be JSON"),
        ('{"text": "x"}', "line 2: source must be text"),
    ],
)
def test_each_defect_is_told(folder, change, reason):
    write(folder, {}, change, {"file_name": "other.mp4"})
    report = check_clips(folder, DEMANDS)
    assert [record.file_name for record in report.records] == ["good.mp4", "other.mp4"]
    assert len(report.problems) == 1
    assert reason in str(report.problems[0])
    with pytest.raises(InputError, match="got 1 of 3 that are not"):
        report.require_good(skip_bad=False)
    assert len(report.require_good(skip_bad=True)) == 2


def test_several_defects_of_one_clip_are_all_told(folder):
    write(folder, {"file_name": "none.mp4", "mask_file": "empty.png", "contact_frame": 0})
    report = check_clips(folder, DEMANDS)
    assert len(report.problems) == 3
    with pytest.raises(InputError, match="got 1 of 1 that are not"):
        report.require_good(skip_bad=True)


def test_second_slot_needs_an_actor_mask(folder):
    write(folder, {}, {"actor_mask_file": "mask.png"})
    report = check_clips(folder, dataclasses.replace(DEMANDS, num_slots=2))
    assert [str(problem) for problem in report.problems] == [
        "line 1 good.mp4: there is no actor mask"
    ]


def test_unknown_contact_is_no_defect(folder):
    write(folder, {"contact_frame": None})
    assert check_clips(folder, DEMANDS).problems == ()


def test_folder_without_metadata_is_refused(tmp_path):
    with pytest.raises(InputError, match="clip folder must hold a readable"):
        check_clips(tmp_path, DEMANDS)


def test_limit_looks_at_the_first_only(folder):
    write(folder, {}, "{broken")
    assert check_clips(folder, DEMANDS, 1).problems == ()
    assert json.loads((folder / METADATA_NAME).read_text().splitlines()[0])["fps"] == 8.0


def test_a_video_damaged_in_the_middle_is_told(folder):
    """Its header and first frames are whole; it used to end the run while latents were computed."""
    noise = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    path = folder / "torn.mp4"
    write_frames(path, noise, 8.0)
    content = path.read_bytes()
    start = content.index(b"mdat")
    middle = start + (len(content) - start) // 2
    path.write_bytes(content[:middle] + b"\0" * 4000 + content[middle + 4000 :])
    with av.open(str(path)) as video:
        assert next(video.decode(video=0)).height == HEIGHT
    write(folder, {}, {"file_name": "torn.mp4"})
    (problem,) = check_clips(folder, DEMANDS).problems
    assert (problem.line, problem.file_name) == (2, "torn.mp4")
    assert "the video cannot be read" in problem.reason
