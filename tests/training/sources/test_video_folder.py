"""A folder of videos with masks becomes recordings."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tavid_core.frame_fit import FrameFit
from tests.training.sources.drawn_touch import (
    draw_touch,
    overlap,
    write_mask,
    write_mask_video,
    write_video,
)
from training.clips import read_mask, read_records
from training.sources.recording import Recording, SourceNote
from training.sources.video.captions import VideoNote, parse_notes, read_notes
from training.sources.video.command import main
from training.sources.video.folder import list_video_jobs

DRAWN = draw_touch(num_frames=90, contact=45)


@pytest.fixture
def folder(tmp_path):
    write_video(tmp_path / "lab" / "push.mp4", DRAWN.frames)
    write_mask(tmp_path / "lab" / "push_mask.png", DRAWN.target_masks[0])
    return tmp_path / "lab"


def open_one(folder, **options):
    (job,) = list_video_jobs(folder, 8.0, **{"caption": "A person pushes the disc.", **options})
    items = list(pickle.loads(pickle.dumps(job)).open())
    recordings = [item for item in items if isinstance(item, Recording)]
    return recordings, [item for item in items if isinstance(item, SourceNote)]


def test_first_mask_and_caption(folder):
    (recording,), notes = open_one(folder, source="lab", licence="CC-BY-4.0")
    assert notes == []
    assert (recording.name, recording.fps, recording.num_frames) == ("push_0", 8.0, 24)
    assert (recording.size_hw, recording.licence) == ((96, 128), "CC-BY-4.0")
    # The mask of the first frame holds until the disc is pushed, in frame 46.
    assert list(recording.target_masks) == list(range(13))
    assert overlap(recording.target_masks[0], DRAWN.target_masks[0]) == 1.0
    assert recording.camera is None
    assert recording.contact is None
    frames = recording.read_frames(0, 24)
    wanted = DRAWN.frames[np.rint(np.arange(24) / 8 * 30).astype(int)]
    assert np.abs(frames.astype(int) - wanted).mean() < 6


def test_mask_videos_are_joined_by_time(folder):
    (folder / "push_mask.png").unlink()
    write_mask_video(folder / "push_mask.mp4", DRAWN.target_masks[::3], 10)
    write_mask_video(folder / "push_actor.mp4", DRAWN.actor_masks, 30)
    (recording,), _ = open_one(folder)
    assert len(recording.actor_masks) == 24
    assert overlap(recording.actor_masks[16], DRAWN.actor_masks[60]) > 0.9
    # The last frame of the slower video stands for the time until the end.
    assert len(recording.target_masks) >= 23
    for moment in (0, 8, 16):
        source = 3 * round(moment / 8 * 10)
        assert overlap(recording.target_masks[moment], DRAWN.target_masks[source]) > 0.9


def test_numbered_masks_and_camera(folder):
    (folder / "push_mask.png").unlink()
    for index in (0, 30, 61):
        write_mask(folder / "push_mask" / f"{index:06d}.png", DRAWN.target_masks[index])
    fields = {"fx": 200, "fy": 200, "cx": 127.5, "cy": 95.5, "width": 256, "height": 192}
    (folder / "push.camera.json").write_text(json.dumps(fields))
    (recording,), _ = open_one(folder)
    assert list(recording.target_masks) == [0, 8, 16]
    assert recording.camera.width == 128
    assert recording.camera.fx == 100
    assert recording.camera.cx == 63.5


def test_contact_of_a_table(folder):
    table = folder / "captions.csv"
    table.write_text("file_name,text,contact_sec\npush.mp4,A person pushes the disc.,1.5\n")
    (recording,), _ = open_one(folder, notes=read_notes(table))
    assert recording.caption == "A person pushes the disc."
    assert np.nonzero(recording.contact)[0].min() == 12


def test_cut_off_video_is_noted(folder):
    data = (folder / "push.mp4").read_bytes()
    (folder / "push.mp4").write_bytes(data[: len(data) * 4 // 5])
    (recording,), notes = open_one(folder)
    assert recording.num_frames < 24
    assert recording.read_frames(recording.num_frames - 1, recording.num_frames).any()
    assert [note.reason for note in notes] == ["frames missing at the end"]
    assert notes[0].is_loss


def test_empty_mask_is_a_target_out_of_sight(folder):
    write_mask(folder / "push_mask.png", np.zeros((96, 128), bool))
    (recording,), _ = open_one(folder)
    assert not recording.target_masks[0].any()


def test_odd_sizes(tmp_path):
    drawn = draw_touch(num_frames=40, contact=20, size_hw=(98, 130))
    write_video(tmp_path / "odd.mp4", drawn.frames)
    write_mask(tmp_path / "odd_mask.png", drawn.target_masks[0][::2, ::2])
    (recording,), _ = open_one(tmp_path)
    assert recording.target_masks[0].shape == (98, 130)
    assert overlap(recording.target_masks[0], drawn.target_masks[0]) > 0.8


def test_names_from_subfolders_are_safe_and_differ(folder):
    for name in ("a b", "a-b", "a?b"):
        write_video(folder / "day 1" / f"{name}.mp4", DRAWN.frames[:10])
        write_mask(folder / "day 1" / f"{name}_mask.png", DRAWN.target_masks[0])
    jobs = list_video_jobs(folder, 8.0, caption="x")
    assert len({job.name for job in jobs}) == 4
    assert [name for job in jobs for name in job.name if name in " /?"] == []


def test_folders_that_lack_something_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"push\.mp4 must have a caption"):
        list_video_jobs(folder, 8.0)
    with pytest.raises(InputError, match=r"captions must name videos of .*got \['pull\.mp4'\]"):
        list_video_jobs(folder, 8.0, notes={"pull.mp4": VideoNote("x")})
    (folder / "push_mask.png").unlink()
    with pytest.raises(InputError, match=r"push\.mp4 must have a mask beside it"):
        list_video_jobs(folder, 8.0, caption="x")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="folder must hold videos"):
        list_video_jobs(tmp_path / "none", 8.0)
    with pytest.raises(InputError, match="folder must exist"):
        list_video_jobs(tmp_path / "nowhere", 8.0)


def test_masks_that_do_not_fit_are_refused(folder):
    write_mask(folder / "push_mask.png", np.ones((96, 96), bool))
    with pytest.raises(InputError, match=r"mask must have the aspect .*push_mask\.png"):
        open_one(folder)
    (folder / "push_mask.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="mask must be a PNG or JPEG"):
        open_one(folder)


def test_slow_videos_are_refused(folder):
    write_video(folder / "push.mp4", DRAWN.frames[:20], 5)
    with pytest.raises(InputError, match="at least 8 frames per second, got 5"):
        open_one(folder)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (".csv", 'file_name,text,contact_sec\na.mp4,"Lifts, slowly.",1.5\nb.mp4,Puts.,\n'),
        (
            ".jsonl",
            '{"file_name": "a.mp4", "text": "Lifts, slowly.", "contact_sec": 1.5}\n\n'
            '{"file_name": "b.mp4", "text": "Puts."}\n',
        ),
    ],
)
def test_kinds_of_captions(kind, text):
    wanted = {"a.mp4": VideoNote("Lifts, slowly.", 1.5), "b.mp4": VideoNote("Puts.")}
    assert parse_notes(text, kind) == wanted


def test_lines_of_captions():
    assert parse_notes("a.mp4\tLifts.\n", ".txt") == {"a.mp4": VideoNote("Lifts.")}


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (".jsonl", '{"file_name": "a.mp4", "text": "Lifts\u2028slowly."}'),
        (".txt", "a.mp4\tLifts\u2028slowly."),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""])
def test_a_caption_ends_where_its_line_does(kind, line, end):
    assert parse_notes(line + end, kind) == {"a.mp4": VideoNote("Lifts\u2028slowly.")}


@pytest.mark.parametrize(
    ("kind", "text", "match"),
    [
        (".csv", "name,text\na.mp4,x\n", "file_name must be text"),
        (".csv", "file_name,text\na.mp4,\n", "text must have 1 to"),
        (".csv", "file_name,text\na.mp4,x\na.mp4,y\n", "twice"),
        (".csv", "file_name,text,contact_sec\na.mp4,x,-1\n", "contact_sec must be seconds"),
        (".csv", "file_name,text,contact_sec\na.mp4,x,soon\n", "contact_sec must be seconds"),
        (".jsonl", "[1]\n", "must be a JSON object"),
        (".txt", "a.mp4 no tab\n", "must be a file name, a tab and a caption"),
        (".yaml", "", "captions must be one of"),
    ],
)
def test_bad_captions_are_refused(kind, text, match):
    with pytest.raises(InputError, match=match):
        parse_notes(text, kind)


@given(text=st.text(), kind=st.sampled_from([".csv", ".jsonl", ".txt"]))
def test_captions_parse_or_are_refused(text, kind):
    try:
        notes = parse_notes(text, kind)
    except InputError:
        return
    assert all(note.text for note in notes.values())


@pytest.fixture
def bare_folder(tmp_path):
    """A video without any mask, of which the actor is not there yet in the first frames."""
    drawn = draw_touch(num_frames=120, contact=60)
    still = np.repeat(drawn.frames[:1], 15, axis=0)
    write_video(tmp_path / "lab" / "push.mp4", np.concatenate([still, drawn.frames]))
    return tmp_path / "lab", drawn


@pytest.mark.parametrize("way", ["point", "box", "motion"])
def test_videos_without_masks_become_clips(bare_folder, tmp_path, way):
    folder, drawn = bare_folder
    column, row = drawn.target_pixels[0].round().astype(int).tolist()
    marks = {
        "point": f'"target": [[{column}, {row}]]',
        "box": f'"box": [{column - 15}, {row - 15}, {column + 15}, {row + 15}]',
    }
    words = ["--masks-from-motion"]
    if way in marks:
        clicks = tmp_path / "clicks.json"
        clicks.write_text(f'{{"push_0": [{{"frame": 1, {marks[way]}}}]}}')
        words = ["--clicks", str(clicks), "--allow-unknown-actor"]
        # The touch is known, since nobody marked the actor.
        table = tmp_path / "captions.csv"
        table.write_text("file_name,text,contact_sec\npush.mp4,A person pushes it.,2.5\n")
        words += ["--captions", str(table)]
    out = tmp_path / "clips"
    words += ["--caption", "A person pushes it.", "--workers", "0", "--out", str(out)]
    assert main([str(folder), "--preset", "mini", *words]) == 0
    (record,) = read_records(out)
    # 96 x 128 pixels become 64 x 96: the middle 85 rows, shrunk.
    fit = FrameFit((96, 128), (64, 96))
    found = read_mask(out, record.mask_file)
    assert overlap(found, fit.fit_mask(drawn.target_masks[0])) > 0.75


def test_videos_without_masks_need_somebody_who_makes_them(bare_folder, tmp_path, capsys):
    words = ["--caption", "x", "--out", str(tmp_path / "clips")]
    assert main([str(bare_folder[0]), *words]) == 2
    assert "or use --clicks or --masks-from-motion" in capsys.readouterr().err
