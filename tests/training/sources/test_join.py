"""Clip folders of several sources become one."""

import cv2
import numpy as np
import pytest

from tavid_core.errors import InputError
from training.clips import ClipRecord, read_frames, read_mask, read_records, write_frames
from training.sources.join import join_clips, main


@pytest.fixture
def folders(tmp_path):
    made = []
    for source, num_clips in (("behave", 3), ("egoexo4d", 2)):
        folder = tmp_path / source
        for part in ("clips", "masks"):
            (folder / part).mkdir(parents=True)
        lines = []
        for number in range(num_clips):
            frames = np.full((9, 32, 48, 3), 40 * number, np.uint8)
            write_frames(folder / f"clips/{number}.mp4", frames, 8.0)
            mask = np.zeros((32, 48), np.uint8)
            mask[: number + 1] = 255
            cv2.imwrite(str(folder / f"masks/{number}.png"), mask)
            record = ClipRecord(
                file_name=f"clips/{number}.mp4", text=f"{source} {number}", fps=8.0,
                mask_file=f"masks/{number}.png", source=source, licence="none",
                extra_mask_files=(f"masks/{number}.png",),
            )  # fmt: skip
            lines.append(record.to_json())
        (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")
        made.append(folder)
    return made


def test_all_clips_come_under_the_names_of_their_folders(folders, tmp_path):
    out = tmp_path / "all"
    assert main([*map(str, folders), "--out", str(out)]) == 0
    records = read_records(out)
    assert [record.text for record in records] == [
        "behave 0", "behave 1", "behave 2", "egoexo4d 0", "egoexo4d 1",
    ]  # fmt: skip
    assert records[3].extra_mask_files == ("egoexo4d/masks/0.png",)
    assert read_mask(out, records[2].mask_file).sum() == 3 * 48
    assert abs(int(read_frames(out, records[2]).mean()) - 80) <= 2


def test_a_draw_is_the_same_each_time(folders, tmp_path):
    drawn = [join_clips(folders, tmp_path / name, num_clips=3, seed=1) for name in ("a", "b")]
    assert drawn[0] == drawn[1]
    assert len(read_records(tmp_path / "a")) == 3


def test_what_cannot_be_joined_is_refused(folders, tmp_path, capsys):
    with pytest.raises(InputError, match=r"num_clips must be in 1\.\.5, got 6"):
        join_clips(folders, tmp_path / "all", num_clips=6)
    with pytest.raises(InputError, match="folders must have different names"):
        join_clips([folders[0], folders[0]], tmp_path / "all")
    with pytest.raises(InputError, match="out must be new or empty"):
        join_clips(folders, folders[0])
    (folders[1] / "clips" / "1.mp4").unlink()
    assert main([*map(str, folders), "--out", str(tmp_path / "all")]) == 2
    assert "clips/1.mp4 must be readable" in capsys.readouterr().err
    assert not (tmp_path / "all" / "metadata.jsonl").exists()
