import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tavid_core.types import CameraIntrinsics
from tests.source_tree import ROOT
from training.clip_check import ClipDemands, check_clips
from training.clips import (
    METADATA_NAME,
    ClipRecord,
    parse_record,
    read_frames,
    read_records,
    write_frames,
)

CAMERA = CameraIntrinsics(fx=90.0, fy=90.0, cx=47.5, cy=31.5, width=96, height=64)
RECORD = ClipRecord(
    file_name="clips/a.mp4",
    text="A person lifts the mug.",
    fps=8.0,
    mask_file="masks/a.png",
    contact_frame=8,
    camera=CAMERA,
    source="sim",
    licence="CC0-1.0",
)

json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_record_survives_a_round_trip():
    assert parse_record(RECORD.to_json()) == RECORD


@given(st.text())
def test_any_text_gives_a_record_or_a_typed_error(line):
    try:
        parse_record(line)
    except InputError:
        return


@given(st.sampled_from([f.name for f in dataclasses.fields(ClipRecord)]), json_values)
def test_any_value_in_any_field_gives_a_record_or_a_typed_error(name, value):
    fields = {**dataclasses.asdict(RECORD), name: value}
    try:
        record = parse_record(json.dumps(fields))
    except InputError:
        return
    assert ".." not in record.file_name.split("/")
    assert not record.mask_file.startswith("/")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.mp4", "a/../../x.mp4", "a\\b", ""])
def test_paths_that_leave_the_folder_are_refused(name):
    line = json.dumps({**dataclasses.asdict(RECORD), "file_name": name})
    with pytest.raises(InputError, match="file_name must be a path inside the clip folder"):
        parse_record(line)


@given(st.text(), st.text())
@example("a mug\u2028a cup", "one line\x85another\x0bone\x1cmore")
def test_whatever_a_caption_holds_the_file_is_read_again(tmp_path_factory, caption, source):
    """Some characters end a line for `str.splitlines`, but not for whoever writes JSON lines."""
    folder = tmp_path_factory.mktemp("clips")
    records = [dataclasses.replace(RECORD, text=caption, source=source), RECORD]
    lines = "".join(record.to_json() + "\n" for record in records)
    (folder / METADATA_NAME).write_text(lines, encoding="utf-8")
    assert read_records(folder) == records
    demands = ClipDemands(num_frames=9, size_hw=(64, 96), num_slots=1, check_caption=len)
    told = {(found.line, found.file_name) for found in check_clips(folder, demands).problems}
    assert told == {(1, RECORD.file_name), (2, RECORD.file_name)}


def test_a_bad_line_is_named(tmp_path):
    (tmp_path / METADATA_NAME).write_text(RECORD.to_json() + "\n{}\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 2: text must be text"):
        read_records(tmp_path)


def test_a_folder_without_metadata_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"must hold metadata\.jsonl"):
        read_records(tmp_path)


def test_frames_keep_small_coloured_things(tmp_path):
    frames = np.full((9, 64, 96, 3), 120, np.uint8)
    for t in range(9):
        frames[t, 30:36, 10 + 4 * t : 16 + 4 * t] = (220, 30, 40)
    (tmp_path / "clips").mkdir()
    write_frames(tmp_path / RECORD.file_name, frames, 8.0)
    read = read_frames(tmp_path, RECORD)
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).mean() < 3.0


def test_a_clip_has_the_same_bytes_however_many_cores_write_it(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (9, 64, 96, 3), np.uint8)
    code = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "import numpy as np; from pathlib import Path; from training.clips import write_frames;"
        "write_frames(Path(sys.argv[2]), np.load(sys.argv[1]), 8.0)"
    )
    np.save(tmp_path / "frames.npy", frames)
    words = [str(tmp_path / "frames.npy"), str(tmp_path / "one.mp4")]
    subprocess.run([sys.executable, "-c", code, *words], check=True, cwd=ROOT)
    write_frames(tmp_path / "all.mp4", frames, 8.0)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "all.mp4").read_bytes()


def test_a_broken_video_is_refused(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / RECORD.file_name).write_bytes(b"not a video")
    with pytest.raises(InputError, match="must be a readable video"):
        read_frames(tmp_path, RECORD)
