"""Whatever the files of a data set hold, they are read right or refused with a typed error.

Published layouts are copied in small, and one file at a time is changed: values, keys, depth, and
numbers that no float holds. The suite tries a hundred examples each; `pytest
--hypothesis-profile=release` tries 5,000.
"""

import copy
import functools
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tests.training.sources.drawn_touch import draw_touch
from tests.training.sources.published_behave import (
    SEQUENCE,
    write_calibration,
    write_frame_folders,
    write_objects,
    write_pack,
    write_params,
    write_pickle,
    write_videos,
)
from tests.training.sources.published_egoexo4d import (
    UID,
    describe,
    encode_mask,
    write_egoexo4d,
)
from tests.training.sources.published_lerobot import write_lerobot
from training.sources.behave import annotations, calibration, contact, frames, listing, pack
from training.sources.cut_rules import CutRules
from training.sources.egoexo4d.listing import list_take_jobs
from training.sources.egoexo4d.take import decode_mask
from training.sources.field_values import find_inside, parse_index, pick, read_numbers
from training.sources.job_stamp import stamp_job
from training.sources.lerobot.dataset import read_info

# 5,000 examples of some of these take minutes.
pytestmark = pytest.mark.timeout(3600)

DRAWN = draw_touch(num_frames=40, contact=20)
TOUCH = draw_touch(num_frames=180, contact=90)
RULES = CutRules(num_frames=17, size_hw=(64, 96))
TEXTS = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF), max_size=12)
# What JSON can say and a program does not expect: larger than any float, not finite, too long.
ODD = [1e400, -1e400, float("nan"), 10**400, -(10**400), 1e300, -0.0, 2**63, True, "9" * 5000]
ODD += ["../../etc", "/etc", "a\0b", "\ud800", "x/../../y", "²", "", None, [], {}, [[]], [None]]
ODD += [[1] * 6, [1.0] * 7, [0] * 10, [1] * 18, {"min": 1}, "a" * 300, "a/" * 600]
LEAVES = st.integers(0, len(ODD) - 1).map(lambda place: copy.deepcopy(ODD[place]))
LEAVES |= st.none() | st.booleans() | st.floats() | st.integers() | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["²", "-1", "9" * 20, "1" * 5000, "../x", "", "0"]) | TEXTS


def list_ways(document, way=()):
    """List the ways to all values in a document."""
    items = document.items() if isinstance(document, dict) else ()
    items = enumerate(document) if isinstance(document, list) else items
    for key, value in items:
        yield (*way, key)
        yield from list_ways(value, (*way, key))


def change(document, way, kind, key, value):
    """Change one value of a document, unless an earlier change has taken it away."""
    *outer, last = way
    holder = pick(document, *outer)
    if pick(holder, last) is None:
        return
    if kind == "remove":
        del holder[last]
    elif kind == "key" and isinstance(holder, dict):
        holder[key] = holder[last]
    elif kind == "grow" and isinstance(holder[last], list):
        holder[last] = [*holder[last], *holder[last], value]
    else:
        holder[last] = value


KINDS = st.sampled_from(["value", "value", "value", "remove", "key", "grow"])


class Published:
    """A file of a miniature copy, whose content is another one while an example looks at it."""

    def __init__(self, path):
        self.path, self.whole = path, path.read_bytes()
        ways = st.sampled_from(list(list_ways(json.loads(self.whole))))
        self.changes = st.lists(st.tuples(ways, KINDS, KEYS, VALUES), min_size=1, max_size=3)

    def check(self, data, read):
        """Change it and read it; gives None for a typed error and lets any other through."""
        document = json.loads(self.whole)
        for way, kind, key, value in data.draw(self.changes):
            change(document, way, kind, key, value)
        if not data.draw(st.integers(0, 19)):
            document = data.draw(VALUES)
        self.path.write_text(json.dumps(document), encoding="utf-8")
        try:
            return read_or_refuse(read)
        finally:
            self.path.write_bytes(self.whole)


def read_or_refuse(read):
    """Return what was read, or None for a typed error; let any other exception through."""
    try:
        return read()
    except InputError as error:
        message = str(error)
    assert 20 < len(message) < 800
    return None


@functools.cache
def published(path):
    return Published(path)


def check_with_any_change(data, path, read):
    return published(path).check(data, read)


@pytest.fixture(scope="module")
def behave():
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_calibration(root, kinects=(0,))
        write_objects(root)
        write_frame_folders(root, DRAWN, times_sec=[0], kinects=(0,), form="joints")
        write_videos(root / "videos", DRAWN, kinects=(0,))
        (root / "split.json").write_text(json.dumps({"train": [SEQUENCE], "test": []}))
        errors = {"error_seqs": {SEQUENCE: ["t0003.000"]}, "good_quality": ["x"]}
        (root / "errors.json").write_text(json.dumps(errors))
        yield root


@given(data=st.data())
def test_info_of_a_sequence(behave, data):
    path = behave / "sequences" / SEQUENCE / "info.json"
    info = check_with_any_change(data, path, lambda: calibration.read_sequence_info(path, behave))
    if info is not None:
        assert info.kinects
        assert all(type(number) is int for number in info.kinects)
        for folder in (info.intrinsics, info.config):
            assert folder is None or folder.resolve().is_relative_to(behave.resolve())


@given(data=st.data())
def test_calibration(behave, data):
    folder = behave / "calibs" / "intrinsics"
    view = check_with_any_change(
        data,
        folder / "0" / "calibration.json",
        lambda: calibration.make_view(folder, 0, (96, 128)),
    )
    if view is not None:
        assert np.isfinite([view.camera.fx, view.camera.cx]).all()


@given(data=st.data())
def test_poses_of_the_kinects(behave, data):
    folder = behave / "calibs" / "Date03" / "config"
    camera_from_world = check_with_any_change(
        data,
        folder / "0" / "config.json",
        lambda: calibration.read_camera_from_world(folder, 0),
    )
    if camera_from_world is not None:
        assert np.isfinite(camera_from_world).all()


@given(data=st.data())
def test_keypoints(behave, data):
    frame = behave / "sequences" / SEQUENCE / "t0000.000"
    hands = check_with_any_change(
        data,
        frame / "k0.color.json",
        lambda: annotations.read_hands([(0.0, frame)], 0, np.array([0.0])),
    )
    if hands is not None:
        assert hands.shape == (1, 44, 2)


@given(data=st.data())
def test_joints_in_metres(behave, data):
    frame = behave / "sequences" / SEQUENCE / "t0000.000"
    touches = check_with_any_change(
        data,
        frame / "person" / "person_J3d.json",
        lambda: contact.measure_contact(frame, "chairwood", behave / "objects"),
    )
    assert touches in (None, True, False)


@given(angle=VALUES, translation_m=VALUES)
def test_pose_of_the_object(behave, angle, translation_m):
    frame = behave / "sequences" / SEQUENCE / "t0000.000"
    path = frame / "chair" / "fit01" / "chair_fit.pkl"
    whole = path.read_bytes()
    write_pickle(path, {"angle": angle, "trans": translation_m})
    try:
        read_or_refuse(lambda: contact.measure_contact(frame, "chairwood", behave / "objects"))
    finally:
        path.write_bytes(whole)


@given(data=st.data())
def test_clock_of_a_video(behave, data):
    folder = behave / "videos"
    video, clock = (folder / f"{SEQUENCE}.0.{end}" for end in ("color.mp4", "time.json"))
    timed = check_with_any_change(data, clock, lambda: frames.TimedVideo(video, clock))
    if timed is not None:
        assert np.isfinite(timed.times_sec).all()
        assert (np.diff(timed.times_sec) > 0).all()


@given(data=st.data())
def test_lists_of_sequences(behave, data):
    names = check_with_any_change(
        data, behave / "split.json", lambda: listing.read_split(behave, "train")
    )
    wrong = check_with_any_change(
        data, behave / "errors.json", lambda: listing.read_error_sequences(behave / "errors.json")
    )
    for found in (names, wrong):
        assert all(isinstance(name, str) for name in found or ())


ARRAYS = st.sampled_from(
    [
        np.zeros((3, 3)),
        np.full((3, 3), np.nan),
        np.full((3, 3), 1e300),
        np.array([[np.inf, 0, 0]] * 3),
        np.zeros((2, 3)),
        np.zeros(0),
        np.array(["t0003.000", "t0003.033", "t0003.067"]),
        np.array(["t0003.000", "soon", "t0003.067"]),
        np.array([3.0, 3.1, 3.2]),
        np.array([10**400, None, [1]], dtype=object),
        np.array([{"a": 1}], dtype=object),
        np.array("t0003.000"),
        np.zeros((3, 3), dtype=np.complex64),
        np.zeros((3, 3), dtype=bool),
    ]
)


@given(
    arrays=st.dictionaries(st.sampled_from(["angles", "trans", "frame_times", "arr_0"]), ARRAYS),
)
def test_registrations(tmp_path_factory, arrays):
    folder = tmp_path_factory.getbasetemp() / "registrations"
    write_params(folder, [90, 91, 92])
    path = folder / SEQUENCE / "object_fit_all.npz"
    with np.load(path) as sound:
        np.savez(path, **{**sound, **arrays})
    found = read_or_refuse(lambda: annotations.read_object_path([path.parent]))
    if found is not None:
        read_truth = found.reader(np.array([3.0, 3.125]), np.eye(4))
        assert read_truth(0, 2)["object_rotation_camera"].shape == (2, 3, 3)


@given(rotations=VALUES | ARRAYS, translations_m=VALUES | ARRAYS)
def test_truth_of_a_pack(packs, rotations, translations_m):
    write_pickle(packs / "v001_gt.pkl", {"obj_rot": rotations, "obj_trans": translations_m})
    (job,) = pack.list_pack_jobs(packs, 8.0)
    read_or_refuse(lambda: next(job.open()).read_truth(0, 3))


@pytest.fixture(scope="module")
def packs():
    with tempfile.TemporaryDirectory() as name:
        write_pack(Path(name), draw_touch(num_frames=12, contact=6))
        yield Path(name)


@pytest.fixture(scope="module")
def egoexo4d():
    with tempfile.TemporaryDirectory() as name:
        write_egoexo4d(Path(name), TOUCH, descriptions=[describe(timestamp=3.0)])
        yield Path(name)


def list_takes(root):
    jobs = list_take_jobs(root, RULES)
    assert all(len(stamp_job(job)) == 16 for job in jobs)
    return jobs


@given(data=st.data())
def test_takes(egoexo4d, data):
    check_with_any_change(data, egoexo4d / "takes.json", lambda: list_takes(egoexo4d))


@given(data=st.data())
def test_descriptions(egoexo4d, data):
    path = egoexo4d / "annotations" / "atomic_descriptions_train.json"
    check_with_any_change(data, path, lambda: list_takes(egoexo4d))


@given(data=st.data())
def test_relations(egoexo4d, data):
    path = egoexo4d / "annotations" / "relations_train.json"
    check_with_any_change(data, path, lambda: list_takes(egoexo4d))


@given(key=st.sampled_from(["width", "height", "encodedMask"]), value=VALUES, place=st.integers(0))
def test_masks(key, value, place):
    sound = encode_mask(DRAWN.target_masks[0])
    packed = sound["encodedMask"]
    place %= len(packed)
    torn = {**sound, "encodedMask": packed[:place] + "B" + packed[place + 1 :]}
    for fields in ({**sound, key: value}, torn, value):
        mask = read_or_refuse(functools.partial(decode_mask, fields, (96, 128), "disc"))
        assert mask is None or mask.shape == (96, 128)


@given(data=st.data(), kind=st.sampled_from(["hand", "body", "relations"]))
def test_a_take_with_any_change_is_opened_or_refused(egoexo4d, data, kind):
    path = egoexo4d / "annotations" / f"ego_pose/train/{kind}/annotation/{UID}.json"
    if kind == "relations":
        path = egoexo4d / "annotations" / "relations_train.json"
    check_with_any_change(
        data, path, lambda: [list(job.open()) for job in list_take_jobs(egoexo4d, RULES)]
    )


@pytest.fixture(scope="module")
def lerobot():
    with tempfile.TemporaryDirectory() as name:
        write_lerobot(Path(name), [DRAWN])
        yield Path(name)


@given(data=st.data(), name=st.sampled_from(["info", "stats"]))
def test_lerobot(lerobot, data, name):
    info = check_with_any_change(
        data, lerobot / "meta" / f"{name}.json", lambda: read_info(lerobot)
    )
    if info is not None:
        assert np.isfinite(info.fps)
        assert info.gripper is None or np.isfinite(info.gripper.closed_value)


@given(VALUES, st.lists(st.integers(-1, 4), max_size=3).map(tuple), st.booleans())
def test_numbers_of_any_value(values, shape, allows_nan):
    try:
        numbers = read_numbers(values, shape, "numbers of a file", allows_nan=allows_nan)
    except InputError:
        return
    assert numbers.dtype == np.float64
    assert allows_nan or np.isfinite(numbers).all()


@given(VALUES | KEYS)
def test_paths_and_indices_of_any_value(value):
    index = parse_index(value)
    assert index is None or str(index) == value.lstrip("0") or index == 0
    folder = Path("/data/set")
    try:
        path = find_inside(folder, value, "path of a file")
    except InputError:
        return
    assert path == folder or folder in path.parents
    assert ".." not in path.parts
    assert not path.is_file()
