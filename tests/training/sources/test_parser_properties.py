"""Whatever the files of a data set hold, they are read right or refused with a typed error.

Published layouts are copied in small, and one file at a time is changed: values, keys, lengths, and
numbers that no float holds. Every value is once replaced by everything odd; beyond that the suite
tries a hundred changes of each file, and `pytest --hypothesis-profile=release` 5,000.
"""

import copy
import functools
import itertools
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
    write_error_list,
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
from training.sources.egoexo4d.hands import parse_points
from training.sources.egoexo4d.listing import list_take_jobs
from training.sources.egoexo4d.take import decode_mask
from training.sources.field_values import find_inside, parse_index, pick, read_numbers
from training.sources.frame_choice import choose_frames
from training.sources.job_stamp import stamp_job
from training.sources.json_file import read_json_file
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
ODD += [[1] * 6, [1.0] * 7, [0] * 10, [1] * 18, {"min": 1}, "a" * 300, "a/" * 600, [10**400] * 3]
ODD_VALUES = st.integers(0, len(ODD) - 1).map(lambda place: copy.deepcopy(ODD[place]))
LEAVES = st.none() | st.booleans() | st.floats() | st.integers() | TEXTS
VALUES = ODD_VALUES | st.recursive(
    ODD_VALUES | LEAVES,
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
        self.ways = list(list_ways(json.loads(self.whole)))
        ways = st.sampled_from(self.ways)
        self.changes = st.lists(st.tuples(ways, KINDS, KEYS, VALUES), min_size=1, max_size=3)

    def check(self, document, read):
        """Read another document in its place."""
        self.path.write_text(json.dumps(document), encoding="utf-8")
        try:
            read_or_refuse(read)
        finally:
            self.path.write_bytes(self.whole)


@functools.cache
def published(path):
    return Published(path)


def read_or_refuse(read):
    """Return what was read, or None for a typed error; let any other exception through."""
    try:
        return read()
    except InputError as error:
        message = str(error)
    assert 20 < len(message) < 800
    return None


@pytest.fixture(scope="module")
def behave():
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_calibration(root, kinects=(0,))
        write_objects(root)
        write_frame_folders(root, DRAWN, times_sec=[0], kinects=(0,), form="joints")
        write_videos(root / "videos", DRAWN, kinects=(0,))
        (root / "split.json").write_text(json.dumps({"train": [SEQUENCE], "test": []}))
        write_error_list(root / "errors.json", {SEQUENCE: ["t0003.000"]}, good=["x"])
        yield root


@pytest.fixture(scope="module")
def egoexo4d():
    with tempfile.TemporaryDirectory() as name:
        write_egoexo4d(Path(name), TOUCH, descriptions=[describe(timestamp=3.0)])
        yield Path(name)


@pytest.fixture(scope="module")
def lerobot():
    with tempfile.TemporaryDirectory() as name:
        write_lerobot(Path(name), [DRAWN])
        yield Path(name)


def read_info_of_a_sequence(root, path):
    info = calibration.read_sequence_info(path, root)
    assert info.kinects
    assert all(type(number) is int for number in info.kinects)
    for folder in (info.intrinsics, info.config):
        assert folder is None or folder.resolve().is_relative_to(root.resolve())


def read_calibration(_, path):
    view = calibration.make_view(path.parents[1], 0, (96, 128))
    assert np.isfinite([view.camera.fx, view.camera.fy, view.camera.cx, view.camera.cy]).all()


def read_pose(_, path):
    assert np.isfinite(calibration.read_camera_from_world(path.parents[1], 0)).all()


def read_keypoints(_, path):
    hands = annotations.read_hands([(0.0, path.parent)], 0, np.array([0.0]))
    assert hands.shape == (1, 44, 2)


def read_joints(root, path):
    touches = contact.measure_contact(path.parents[1], "chairwood", root / "objects")
    assert touches in (None, True, False)


def read_clock(_, path):
    timed = frames.TimedVideo(path.with_name(f"{SEQUENCE}.0.color.mp4"), path)
    assert sum(map(len, choose_frames(timed.times_sec, 8.0))) <= 2_000_000


def read_split(root, _):
    assert all(isinstance(name, str) for name in listing.read_split(root, "train"))


def read_errors(_, path):
    assert all(isinstance(name, str) for name in listing.read_error_sequences(path))


def list_takes(root, _):
    assert all(len(stamp_job(job)) == 16 for job in list_take_jobs(root, RULES))


def read_points(_, path):
    for joints in parse_points(read_json_file(path), "cam01").values():
        assert all(np.isfinite(point).all() for point in joints.values())


def read_lerobot(root, _):
    info = read_info(root)
    assert np.isfinite(info.fps)
    assert info.gripper is None or np.isfinite(info.gripper.closed_value)


FRAME = f"sequences/{SEQUENCE}/t0000.000"
FILES = [
    ("behave", f"sequences/{SEQUENCE}/info.json", read_info_of_a_sequence),
    ("behave", "calibs/intrinsics/0/calibration.json", read_calibration),
    ("behave", "calibs/Date03/config/0/config.json", read_pose),
    ("behave", f"{FRAME}/k0.color.json", read_keypoints),
    ("behave", f"{FRAME}/person/person_J3d.json", read_joints),
    ("behave", f"videos/{SEQUENCE}.0.time.json", read_clock),
    ("behave", "split.json", read_split),
    ("behave", "errors.json", read_errors),
    ("egoexo4d", "takes.json", list_takes),
    ("egoexo4d", "annotations/atomic_descriptions_train.json", list_takes),
    ("egoexo4d", "annotations/relations_train.json", list_takes),
    ("egoexo4d", f"annotations/ego_pose/train/hand/annotation/{UID}.json", read_points),
    ("lerobot", "meta/info.json", read_lerobot),
    ("lerobot", "meta/stats.json", read_lerobot),
]
every_file = pytest.mark.parametrize(("source", "name", "read"), FILES)


@every_file
def test_every_value_may_be_anything_odd(request, source, name, read):
    root = request.getfixturevalue(source)
    file = published(root / name)
    # Of many that are alike, such as frames and joints, the last stands for the others.
    ways = {tuple("0" if str(key).isdecimal() else key for key in way): way for way in file.ways}
    for way, value in itertools.product(ways.values(), ODD):
        document = json.loads(file.whole)
        change(document, way, "value", "", value)
        file.check(document, lambda: read(root, root / name))


@every_file
@given(data=st.data())
def test_any_change_is_read_or_refused(request, source, name, read, data):
    root = request.getfixturevalue(source)
    file = published(root / name)
    document = json.loads(file.whole)
    for way, kind, key, value in data.draw(file.changes):
        change(document, way, kind, key, value)
    if not data.draw(st.integers(0, 19)):
        document = data.draw(VALUES)
    file.check(document, lambda: read(root, root / name))


@given(data=st.data(), kind=st.sampled_from(["hand", "body", "relations"]))
def test_a_take_with_any_change_is_opened_or_refused(egoexo4d, data, kind):
    path = egoexo4d / "annotations" / f"ego_pose/train/{kind}/annotation/{UID}.json"
    if kind == "relations":
        path = egoexo4d / "annotations" / "relations_train.json"
    file = published(path)
    document = json.loads(file.whole)
    for way, change_kind, key, value in data.draw(file.changes):
        change(document, way, change_kind, key, value)
    file.check(document, lambda: [list(job.open()) for job in list_take_jobs(egoexo4d, RULES)])


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


@given(key=st.sampled_from(["width", "height", "encodedMask"]), value=VALUES, place=st.integers(0))
def test_masks(key, value, place):
    sound = encode_mask(DRAWN.target_masks[0])
    packed = sound["encodedMask"]
    place %= len(packed)
    torn = {**sound, "encodedMask": packed[:place] + "B" + packed[place + 1 :]}
    for fields in ({**sound, key: value}, torn, value):
        mask = read_or_refuse(functools.partial(decode_mask, fields, (96, 128), "disc"))
        assert mask is None or mask.shape == (96, 128)


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
