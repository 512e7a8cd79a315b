"""BEHAVE in its three forms becomes recordings that are joined by time."""

import contextlib
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tests.training.sources.drawn_touch import draw_touch, overlap, write_mask
from tests.training.sources.published_behave import (
    SEQUENCE,
    write_calibration,
    write_error_list,
    write_frame_folders,
    write_info,
    write_json,
    write_masks_30,
    write_objects,
    write_pack,
    write_params,
    write_videos,
)
from training.sources.behave.contact import spread_contact
from training.sources.behave.frames import parse_frame_time
from training.sources.behave.listing import list_sequence_jobs, read_error_sequences, read_split
from training.sources.behave.pack import list_pack_jobs
from training.sources.behave.sequence_name import SequenceName
from training.sources.npz_file import read_npz
from training.sources.recording import Recording, SourceNote

DRAWN = draw_touch(num_frames=150, contact=75)


def open_job(job):
    items = list(pickle.loads(pickle.dumps(job)).open())
    recordings = {item.name: item for item in items if isinstance(item, Recording)}
    return recordings, [item for item in items if isinstance(item, SourceNote)]


def open_sequence(root, **options):
    (job,) = list_sequence_jobs(root, options.pop("fps", 8.0), **options)
    return open_job(job)


def test_videos_with_masks_and_registrations_at_30_fps(tmp_path):
    write_calibration(tmp_path)
    write_videos(tmp_path / "videos", DRAWN, kinects=(0, 1))
    write_masks_30(tmp_path / "masks", DRAWN, kinects=(0, 1))
    # Registered are other frames than there are: from 20 on, with a hole, never one for one.
    write_params(tmp_path / "params", [i for i in range(20, 150) if not 60 <= i < 70])
    write_info(tmp_path / "params" / SEQUENCE, kinects=(0, 1))
    # Registrations may be unpacked beside the data set; their info.json means its calibration.
    elsewhere = tmp_path / "down" / "loads" / "params"
    elsewhere.parent.mkdir(parents=True)
    (tmp_path / "params").rename(elsewhere)
    folders = {"videos": tmp_path / "videos", "masks": tmp_path / "masks"}
    recordings, notes = open_sequence(tmp_path, params=elsewhere, **folders)
    assert notes == []
    assert sorted(recordings) == [f"{SEQUENCE}_k0_0", f"{SEQUENCE}_k1_0"]
    recording = recordings[f"{SEQUENCE}_k1_0"]
    assert recording.caption == "The person bends down to the chairwood and lifts it up.".replace(
        "chairwood", "wooden chair"
    )
    assert recording.num_frames == 40
    assert len(recording.target_masks) == len(recording.actor_masks) == 40
    assert recording.contact is None
    assert recording.camera.width == 128
    assert recording.camera.has_distortion is False
    # The lens is undone in masks too; near the middle little moves.
    assert overlap(recording.target_masks[8], DRAWN.target_masks[30]) > 0.8
    truth = recording.read_truth(0, 40)
    shift_m = truth["object_translation_camera_m"]
    assert np.isnan(shift_m[:5]).all()
    np.testing.assert_allclose(shift_m[8], [0.30, 0, 2.0], atol=1e-9)
    assert np.isnan(shift_m[17]).all()
    # Kinect 0 stands elsewhere: the same object in its own frame.
    other = recordings[f"{SEQUENCE}_k0_0"].read_truth(8, 9)["object_translation_camera_m"][0]
    config = json.loads((tmp_path / "calibs/Date03/config/0/config.json").read_text())
    turn = np.array(config["rotation"]).reshape(3, 3)
    np.testing.assert_allclose(turn @ other + config["translation"], [0.30, 0, 2.0], atol=1e-9)


def test_late_start_of_a_kinect(tmp_path):
    """One Kinect began 3.23 s late in the data set; its clock says so, an index would not."""
    write_videos(tmp_path / "videos", DRAWN, kinects=(1,), start_sec=3.23)
    late = draw_touch(num_frames=260, contact=75)
    write_masks_30(tmp_path / "masks", late, kinects=(1,))
    folders = {name: tmp_path / name for name in ("videos", "masks")}
    recordings, notes = open_sequence(tmp_path, **folders)
    (recording,) = recordings.values()
    # Without info.json four Kinects are expected; three videos are not there.
    assert [note.reason for note in notes] == ["camera that cannot be read"] * 3
    # The first moment on the grid of eighths is 3.25 s: mask 97 or 98 of the other clock.
    assert overlap(recording.target_masks[0], late.target_masks[98]) > 0.9
    assert recording.camera is None


def test_videos_with_annotations_at_1_fps_have_contact_from_meshes(tmp_path):
    write_calibration(tmp_path, kinects=(0,))
    write_videos(tmp_path / "videos", DRAWN, kinects=(0,))
    write_frame_folders(
        tmp_path, DRAWN, times_sec=range(5), kinects=(0,), form="meshes", name="chair"
    )
    recordings, _ = open_sequence(tmp_path, videos=tmp_path / "videos")
    (recording,) = recordings.values()
    # Free at 2 s, touching at 3 s (contact is at 2.5 s): in between counts as touching.
    assert recording.num_frames == 33
    assert np.nonzero(recording.contact)[0].tolist() == list(range(17, 33))
    assert list(recording.target_masks) == [0, 8, 16, 24, 32]


@pytest.mark.parametrize("name", ["chair", "chairwood"])
def test_contact_from_joints_and_pose_of_the_template(tmp_path, name):
    write_objects(tmp_path)
    write_videos(tmp_path / "videos", DRAWN, kinects=(0,))
    write_frame_folders(tmp_path, DRAWN, times_sec=range(5), kinects=(0,), form="joints", name=name)
    recordings, _ = open_sequence(tmp_path, videos=tmp_path / "videos")
    (recording,) = recordings.values()
    assert recording.contact.any()
    assert not recording.contact[:17].any()


def test_frame_folders_at_full_rate_with_hands(tmp_path):
    write_calibration(tmp_path, kinects=(2,))
    times = np.round(np.arange(0, 3, 1 / 30), 3)
    write_frame_folders(tmp_path, DRAWN, times_sec=times, kinects=(2,))
    write_info(tmp_path / "sequences" / SEQUENCE, kinects=(2,))
    recordings, notes = open_sequence(tmp_path)
    assert notes == []
    (recording,) = recordings.values()
    assert recording.contact is None
    seen = np.isfinite(recording.hand_pixels).all(axis=2)
    assert seen.sum(axis=1).tolist() == [1] * recording.num_frames
    hand = recording.hand_pixels[8][seen[8]][0]
    np.testing.assert_allclose(hand, DRAWN.hand_pixels[30], atol=3)
    assert recording.read_frames(0, 2).shape == (2, 96, 128, 3)


def test_frames_at_1_fps_alone_are_told_to_be_too_slow(tmp_path):
    write_frame_folders(tmp_path, DRAWN, times_sec=range(5), kinects=(0,))
    with pytest.raises(InputError, match="at least 8 frames per second, got 1"):
        open_sequence(tmp_path)
    recordings, _ = open_sequence(tmp_path, fps=1.0)
    assert next(iter(recordings.values())).num_frames == 5


def test_missing_pictures_and_cut_off_videos_are_noted(tmp_path):
    times = np.round(np.arange(0, 3, 1 / 30), 3)
    sequence = write_frame_folders(tmp_path, DRAWN, times_sec=times, kinects=(0, 1))
    (sequence / "t0001.000" / "k0.color.jpg").unlink()
    _, notes = open_sequence(tmp_path)
    assert [(note.reason, note.count) for note in notes] == [("frames missing", 1)]
    write_videos(tmp_path / "videos", DRAWN, kinects=(0,))
    video = tmp_path / "videos" / f"{SEQUENCE}.0.color.mp4"
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 3 // 4])
    recordings, notes = open_sequence(tmp_path, videos=tmp_path / "videos")
    assert notes[0].reason == "frames missing"
    assert notes[0].count > 10
    assert recordings[f"{SEQUENCE}_k0_0"].num_frames < 40


def test_a_broken_camera_leaves_the_others(tmp_path):
    write_videos(tmp_path / "videos", DRAWN, kinects=(0, 1))
    write_masks_30(tmp_path / "masks", DRAWN, kinects=(0, 1), every=15)
    write_info(tmp_path / "params" / SEQUENCE, kinects=(0, 1))
    (tmp_path / "videos" / f"{SEQUENCE}.0.time.json").write_text('{"color": ["soon"]}')
    folders = {name: tmp_path / name for name in ("videos", "masks", "params")}
    recordings, notes = open_sequence(tmp_path, **folders)
    assert list(recordings) == [f"{SEQUENCE}_k1_0"]
    assert "times of color in" in notes[0].detail
    assert "must be numbers" in notes[0].detail
    (tmp_path / "videos" / f"{SEQUENCE}.1.time.json").unlink()
    with pytest.raises(InputError, match=f"{SEQUENCE} must have a camera that can be read"):
        open_sequence(tmp_path, **folders)


def test_split_registrations_join_their_recording(tmp_path):
    write_calibration(tmp_path)
    write_videos(tmp_path / "videos", DRAWN, kinects=(1,))
    write_info(tmp_path / "params" / SEQUENCE, kinects=(1,))
    write_params(tmp_path / "params", range(40))
    write_params(tmp_path / "params", range(80, 150), sequence=f"{SEQUENCE}2")
    folders = {name: tmp_path / name for name in ("videos", "params")}
    recordings, _ = open_sequence(tmp_path, **folders)
    truth = recordings[f"{SEQUENCE}_k1_0"].read_truth(0, 40)["object_translation_camera_m"]
    known = np.isfinite(truth).all(axis=1)
    assert known[:10].all()
    assert known[23:].all()
    assert not known[12:20].any()


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"intrinsic": "/etc"}, r"path of info\.json must be a path that stays"),
        (
            {"intrinsic": "../../calibs/../../etc"},
            r"path of info\.json must be a path that stays",
        ),
        ({"cat": "../mug"}, "must name its object in cat"),
        ({"kinects": "all"}, "must list its kinects"),
    ],
)
def test_info_that_points_elsewhere_is_refused(tmp_path, fields, match):
    sequence = write_frame_folders(tmp_path, DRAWN, times_sec=[0, 0.1], kinects=(0,))
    write_info(sequence, **fields)
    with pytest.raises(InputError, match=match):
        open_sequence(tmp_path)


def test_hostile_pickle_fails_its_sequence_only(tmp_path):
    write_objects(tmp_path)
    sequence = write_frame_folders(
        tmp_path, DRAWN, times_sec=[0, 1], kinects=(0,), form="joints", name="chairwood"
    )
    fit = sequence / "t0000.000/chairwood/fit01/chairwood_fit.pkl"
    fit.write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(InputError, match="must be a pickle of arrays and plain containers"):
        open_sequence(tmp_path, fps=1.0)


def test_packs(tmp_path):
    write_pack(tmp_path / "train", DRAWN, truth_frames=140)
    (job,) = list_pack_jobs(tmp_path, 8.0)
    recordings, notes = open_job(job)
    (recording,) = recordings.values()
    assert notes == []
    assert recording.caption == "The person reaches for the large box and picks it up."
    assert len(recording.target_masks) == recording.num_frames == 40
    assert overlap(recording.actor_masks[16], DRAWN.actor_masks[60]) > 0.9
    truth = recording.read_truth(0, 40)["object_translation_camera_m"]
    np.testing.assert_allclose(truth[8], [0.30, 0, 2], atol=1e-6)
    assert np.isnan(truth[39]).all()


def test_packs_that_lack_files(tmp_path):
    write_pack(tmp_path, DRAWN)
    for name in ("v001_gt.pkl", "v001_metadata.pkl"):
        (tmp_path / name).unlink()
    ((recording,), _) = open_job(list_pack_jobs(tmp_path, 8.0)[0])[0].values(), None
    assert recording.read_truth is None
    assert "the object" in recording.caption
    (tmp_path / "v001_obj_mask.mp4").unlink()
    with pytest.raises(InputError, match=r"v001\.mp4 must have v001_obj_mask\.mp4 beside it"):
        list_pack_jobs(tmp_path, 8.0)
    with pytest.raises(InputError, match=r"packs must hold ID\.mp4"):
        list_pack_jobs(tmp_path / "none", 8.0)


def test_lists_of_names(tmp_path):
    write_json(tmp_path / "split.json", {"train": [SEQUENCE], "test": []})
    write_error_list(tmp_path / "errors.json", {SEQUENCE: ["t0003.000"]}, good=["other"])
    assert read_split(tmp_path, "train") == [SEQUENCE]
    assert read_error_sequences(tmp_path / "errors.json") == [SEQUENCE]
    write_json(tmp_path / "errors.json", {"good_quality": []})
    with pytest.raises(InputError, match=r"errors\.json must hold names under error_seqs"):
        read_error_sequences(tmp_path / "errors.json")
    write_frame_folders(tmp_path, DRAWN, times_sec=[0], kinects=(0,))
    assert len(list_sequence_jobs(tmp_path, 8.0)) == 1
    with pytest.raises(InputError, match="must hold sequences"):
        list_sequence_jobs(tmp_path, 8.0, leave_out=[SEQUENCE])


@pytest.mark.parametrize(
    ("text", "target", "action", "recorded"),
    [
        ("Date01_Sub01_backpack_back", "backpack", "back", "Date01_Sub01_backpack_back"),
        ("Date02_Sub02_monitor_move2", "monitor", "move", "Date02_Sub02_monitor_move"),
        ("Date03_Sub04_boxtiny_part2", "boxtiny", "", "Date03_Sub04_boxtiny"),
        ("Date07_Sub08_boxtiny", "boxtiny", "", "Date07_Sub08_boxtiny"),
    ],
)
def test_names_of_sequences(text, target, action, recorded):
    name = SequenceName.parse(text)
    assert (name.target, name.action, name.recorded_name) == (target, action, recorded)
    assert name.caption.startswith("The person ")


@given(text=st.text(max_size=40))
def test_any_name_is_parsed_or_none(text):
    name = SequenceName.parse(text)
    assert name is None or name.caption
    time = parse_frame_time(text)
    assert time is None or time >= 0


@given(
    touches=st.lists(st.booleans(), min_size=2, max_size=8),
    moments=st.lists(st.floats(-2, 10), min_size=1, max_size=30).map(sorted),
)
def test_free_moments_lie_between_free_frames(touches, moments):
    known_sec = np.arange(len(touches), dtype=float)
    contact, is_known = spread_contact(np.array(moments), known_sec, np.array(touches))
    for moment, touching, known in zip(moments, contact, is_known, strict=True):
        inside = -1e-6 <= moment <= known_sec[-1] + 1e-6
        assert known == inside or abs(moment) < 1e-5
        if known and not touching:
            around = [t for s, t in zip(known_sec, touches, strict=True) if abs(s - moment) < 0.999]
            assert not any(around)


def test_npz_with_objects_needs_no_unpickling(tmp_path):
    path = tmp_path / "fit.npz"
    np.savez(path, poses=np.ones((2, 3)), gender=np.array({"gender": "male"}, dtype=object))
    read = read_npz(path)
    np.testing.assert_array_equal(read["poses"], np.ones((2, 3)))
    assert read["gender"] == [{"gender": "male"}]
    write_params(tmp_path, [90])
    (contacts,) = read_npz(tmp_path / SEQUENCE / "contacts.npz")["arr_0"]
    assert contacts["t0003.000"]["is_contact"].tolist() == [False] * 5


@given(place=st.integers(0, 5000), value=st.integers(0, 255))
def test_damaged_npz_is_refused_or_read(tmp_path_factory, place, value):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    np.savez(path, poses=np.ones((2, 3)), names=np.array(["t0001.000"]))
    data = bytearray(path.read_bytes())
    data[place % len(data)] = value
    path.write_bytes(bytes(data))
    with contextlib.suppress(InputError):
        read_npz(path)


def test_mask_of_another_size_is_resized(tmp_path):
    write_videos(tmp_path / "videos", DRAWN, kinects=(0,))
    write_info(tmp_path / "params" / SEQUENCE, kinects=(0,))
    write_mask(
        tmp_path / "masks" / SEQUENCE / "t0000.000-k0.obj_mask.jpg", DRAWN.target_masks[0][::2, ::2]
    )
    folders = {name: tmp_path / name for name in ("videos", "masks", "params")}
    recordings, _ = open_sequence(tmp_path, **folders)
    (recording,) = recordings.values()
    assert overlap(recording.target_masks[0], DRAWN.target_masks[0]) > 0.8
