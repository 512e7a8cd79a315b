"""Plan folders: whole or not at all, exact when read back, and nothing foreign trusted."""

import copy
import dataclasses
import io
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tavid_core.io import PLAN_FILES, load_plan, save_plan
from tavid_core.motion_parts import motion_arrays
from tavid_core.plan_json import parse_plan_json, plan_to_json
from tavid_core.types import Contact
from tests.drawn import draw_plan, fill_plan

PLAN = draw_plan()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("plans") / "one"
    save_plan(PLAN, path)
    return path


@pytest.fixture(scope="module")
def full_folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("full_plans") / "one"
    save_plan(fill_plan(PLAN), path)
    return path


def assert_same(got, want, path="plan"):
    if dataclasses.is_dataclass(want):
        for field in dataclasses.fields(want):
            name = field.name
            assert_same(getattr(got, name), getattr(want, name), f"{path}.{name}")
    elif isinstance(want, dict):
        assert got.keys() == want.keys(), path
        for key in want:
            assert_same(got[key], want[key], f"{path}.{key}")
    elif isinstance(want, tuple):
        assert len(got) == len(want), path
        for index, pair in enumerate(zip(got, want, strict=True)):
            assert_same(*pair, f"{path}[{index}]")
    elif isinstance(want, np.ndarray):
        assert got.dtype == want.dtype, path
        np.testing.assert_array_equal(got, want, err_msg=path)
    else:
        assert got == want, path


def test_plan_comes_back_bit_for_bit(folder):
    assert_same(load_plan(folder), PLAN)


def test_plan_with_every_part_comes_back_bit_for_bit(tmp_path):
    plan = fill_plan(PLAN)
    save_plan(plan, tmp_path / "plan")
    assert_same(load_plan(tmp_path / "plan"), plan)


def test_plan_of_format_1_is_read(folder, tmp_path):
    document = json.loads((folder / "plan.json").read_text())
    document["format_version"] = 1
    for key in ("actor_kind", "contacts", "segments", "body_model", "apertures_m"):
        del document["motion"][key]
    for key in ("touches_other", "point_target_m"):
        del document["motion"]["contact"][key]
    copied = damage(folder, tmp_path, "plan.json", json.dumps(document).encode())
    contact = dataclasses.replace(PLAN.motion.contact, point_target_m=None)
    motion = dataclasses.replace(
        PLAN.motion, contact=contact, contacts=(), segments=(), apertures_m={}
    )
    assert_same(load_plan(copied), dataclasses.replace(PLAN, motion=motion))


def test_plan_without_actor_depth_and_attention_comes_back(tmp_path):
    plan = draw_plan(hand_confidence=0.0, depth_m=None, intrinsics=None)
    rollout = dataclasses.replace(plan.rollout, attention_map=None)
    plan = dataclasses.replace(plan, rollout=rollout)
    save_plan(plan, tmp_path / "plan")
    assert_same(load_plan(tmp_path / "plan"), plan)


def test_lost_points_come_back_as_lost(tmp_path):
    target = PLAN.motion.target
    positions = target.positions_camera_m.copy()
    positions[3] = np.nan
    target = dataclasses.replace(target, positions_camera_m=positions)
    plan = dataclasses.replace(PLAN, motion=dataclasses.replace(PLAN.motion, target=target))
    save_plan(plan, tmp_path / "plan")
    assert_same(load_plan(tmp_path / "plan"), plan)
    document = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert document["motion"]["target"]["positions_camera_m"][3] is None


def test_folder_holds_the_promised_files_and_no_leftovers(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(PLAN_FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_json_is_strict_and_says_when_the_target_is_touched(folder):
    def refuse(constant):
        raise AssertionError(constant)

    text = (folder / "plan.json").read_text()
    document = json.loads(text, parse_constant=refuse)
    assert document["motion"]["contact"]["start_frame"] == PLAN.motion.contact.start_frame
    assert document["request"]["prompt"] == PLAN.request.prompt
    assert len(document["motion"]["target"]["pixels"]) == 17


def test_video_plays_at_the_right_size_and_rate(folder):
    with av.open(str(folder / "rollout.mp4")) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert stream.codec_context.name == "h264"
    assert stream.codec_context.pix_fmt == "yuv420p"
    assert stream.average_rate == 8
    assert np.stack(frames).shape == (17, 256, 384, 3)
    small = cv2.resize(frames[16], (96, 64), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(small - PLAN.rollout.frames[16]).mean() < 6


def test_overlay_is_a_readable_picture(folder):
    overlay = cv2.imread(str(folder / "overlay.png"))
    assert overlay.shape == (512, 768, 3)


def test_motion_has_times_and_every_track(folder):
    with np.load(folder / "motion.npz", allow_pickle=False) as motion:
        assert motion["time_sec"][-1] == 2.0
        assert {"target.pixels", "right_hand.positions_camera_m"} <= set(motion.files)


def test_earlier_plan_is_replaced(tmp_path):
    save_plan(PLAN, tmp_path / "plan")
    save_plan(dataclasses.replace(PLAN, planning_time_sec=9.0), tmp_path / "plan")
    assert load_plan(tmp_path / "plan").planning_time_sec == 9.0
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]


def test_empty_folder_is_used(tmp_path):
    (tmp_path / "plan").mkdir()
    save_plan(PLAN, tmp_path / "plan")
    assert (tmp_path / "plan" / "plan.json").exists()


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="folder must be new, empty, or an earlier plan"):
        save_plan(PLAN, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_left_alone(tmp_path, kind):
    place = tmp_path / "plan"
    place.write_text("x") if kind == "file" else place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="folder must be new, empty"):
        save_plan(PLAN, place)


def test_missing_parent_is_named(tmp_path):
    with pytest.raises(InputError, match=r"Create .*missing first"):
        save_plan(PLAN, tmp_path / "missing" / "plan")


def test_failure_leaves_nothing_behind(tmp_path):
    plan = dataclasses.replace(PLAN, provenance={"path": tmp_path})
    with pytest.raises(InputError, match="provenance must hold JSON values only"):
        save_plan(plan, tmp_path / "plan")
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_the_earlier_plan(tmp_path):
    save_plan(PLAN, tmp_path / "plan")
    with pytest.raises(InputError):
        save_plan(dataclasses.replace(PLAN, provenance={"nan": float("nan")}), tmp_path / "plan")
    assert_same(load_plan(tmp_path / "plan"), PLAN)


def damage(folder, tmp_path, name, data):
    copied = tmp_path / "damaged"
    copied.mkdir()
    for path in folder.iterdir():
        (copied / path.name).write_bytes(path.read_bytes())
    (copied / name).unlink()
    if data is not None:
        (copied / name).write_bytes(data)
    return copied


@pytest.mark.parametrize("name", ["plan.json", "rollout.npz", "request.npz", "motion.npz"])
@pytest.mark.parametrize("data", [None, b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
def test_missing_or_damaged_file_is_named(folder, tmp_path, name, data):
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        load_plan(damage(folder, tmp_path, name, data))


def test_cut_off_archive_is_named(folder, tmp_path):
    whole = (folder / "rollout.npz").read_bytes()
    with pytest.raises(InputError, match=r"rollout\.npz must be an npz"):
        load_plan(damage(folder, tmp_path, "rollout.npz", whole[: len(whole) // 2]))


def test_pickles_are_refused(folder, tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, frames=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"rollout\.npz must be an npz file of plain arrays"):
        load_plan(damage(folder, tmp_path, "rollout.npz", buffer.getvalue()))


def test_arrays_of_another_type_are_refused(folder, tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, frames=PLAN.rollout.frames.astype(np.float32))
    with pytest.raises(InputError, match="array frames must be uint8, got float32"):
        load_plan(damage(folder, tmp_path, "rollout.npz", buffer.getvalue()))


def test_motion_of_another_length_is_refused(folder, tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, frames=PLAN.rollout.frames[:9])
    with pytest.raises(InputError, match=r"must have 9 frames|must lie in|must have shape"):
        load_plan(damage(folder, tmp_path, "rollout.npz", buffer.getvalue()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_frame": 99}, r"must lie in 0\.\.16"),
        ({"start_frame": None}, r"must lie in 0\.\.16"),
        ({"hand": "third_hand"}, "hand must be one of"),
        ({"point_camera_m": [1, 2]}, "three metres"),
        ({"touches_target": 1}, "touches_target must be bool"),
        ({"confidence": "high"}, "confidence must be float"),
    ],
)
def test_contact_that_does_not_fit_is_refused(folder, tmp_path, change, message):
    document = json.loads((folder / "plan.json").read_text())
    document["motion"]["contact"].update(change)
    copied = damage(folder, tmp_path, "plan.json", json.dumps(document).encode())
    with pytest.raises(InputError, match=message):
        load_plan(copied)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "does not parse"),
        ("[]", "must be an object with format"),
        ('{"format": "tavid_plan", "format_version": 3}', "format_version 1 or 2, got 3"),
        ('{"format": "tavid_plan", "format_version": true}', "version 1 or 2, got True"),
    ],
)
def test_foreign_documents_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_plan_json(text)


def paths_of(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from paths_of(inner, (*path, key))


DOCUMENT = plan_to_json(fill_plan(PLAN))
JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JUNK |= st.lists(st.integers() | st.none(), max_size=3) | st.dictionaries(st.text(max_size=3), JUNK)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(sorted(paths_of(DOCUMENT))), junk=JUNK, is_removed=st.booleans())
def test_any_changed_value_gives_a_plan_or_a_typed_error(full_folder, path, junk, is_removed):
    document = copy.deepcopy(DOCUMENT)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    if is_removed:
        del parent[path[-1]]
    else:
        parent[path[-1]] = junk
    original = (full_folder / "plan.json").read_bytes()
    try:
        (full_folder / "plan.json").write_text(json.dumps(document))
        plan = load_plan(full_folder)
    except InputError:
        return
    finally:
        (full_folder / "plan.json").write_bytes(original)
    assert isinstance(plan.motion.contact, Contact)
    assert plan.rollout.frames.shape == PLAN.rollout.frames.shape


def test_documentation_names_every_file_array_and_key(folder):
    text = (Path(__file__).parents[2] / "docs" / "plan_files.md").read_text(encoding="utf-8")
    names = set(PLAN_FILES)
    for path in paths_of(DOCUMENT):
        if path[0] != "provenance":
            names.add(path[-1])
    names.update(name.split(".")[-1] for name in motion_arrays(fill_plan(PLAN).motion))
    for name in ("rollout.npz", "request.npz"):
        with np.load(folder / name, allow_pickle=False) as arrays:
            names.update(arrays.files)
    assert sorted(name for name in names if name not in text) == []
