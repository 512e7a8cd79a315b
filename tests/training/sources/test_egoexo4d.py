"""Ego-Exo4D becomes one recording for each described touch that can be seen."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tests.training.sources.drawn_touch import draw_touch, overlap, write_video
from tests.training.sources.published_behave import write_json
from tests.training.sources.published_egoexo4d import (
    TAKE,
    UID,
    describe,
    write_descriptions,
    write_egoexo4d,
    write_portrait,
    write_poses,
    write_relations,
    write_takes,
)
from training.sources.cut_rules import CutRules
from training.sources.egoexo4d.calibration import parse_gopro_lenses
from training.sources.egoexo4d.descriptions import match_object, parse_descriptions, write_caption
from training.sources.egoexo4d.hands import parse_points
from training.sources.egoexo4d.listing import list_take_jobs
from training.sources.egoexo4d.onset import HandSight, MaskSight, find_onset
from training.sources.recording import Recording, SourceNote

DRAWN = draw_touch(num_frames=300, contact=150)
RULES = CutRules(num_frames=17, size_hw=(64, 96))


def open_takes(root, **options):
    (job,) = list_take_jobs(root, RULES, **options)
    items = list(pickle.loads(pickle.dumps(job)).open())
    recordings = [item for item in items if isinstance(item, Recording)]
    return recordings, [item for item in items if isinstance(item, SourceNote)]


def test_a_described_touch(tmp_path):
    write_egoexo4d(tmp_path, DRAWN)
    (recording,), notes = open_takes(tmp_path)
    assert notes == []
    assert recording.name == f"{TAKE}_cam01_000"
    assert recording.caption == "The person picks up the red disc with his hand."
    assert recording.source == "egoexo4d"
    # The first start is the mask of second 2; the hand reaches the disc in frame 150, second 5.
    assert min(recording.target_masks) == 0
    onset = int(np.nonzero(recording.contact)[0].min())
    assert abs(onset - 3 * 8) <= 3
    assert not recording.contact[:onset].any()
    assert recording.contact[onset:].all()
    starts = [moment for moment in recording.target_masks if moment < onset]
    # A second before the touch the hand is nearer than its own length: no start.
    assert starts == [0, 8]
    # Person and target are in the window, whose intrinsics were shifted with it.
    rows, columns = recording.size_hw
    assert abs(columns / rows - 1.5) < 0.05
    assert (recording.camera.width, recording.camera.height) == (columns, rows)
    assert np.isfinite(recording.hand_pixels[0]).all(axis=1).sum() == 2
    frames = recording.read_frames(0, 1)
    inside = frames[0][recording.target_masks[0]]
    assert inside.mean(axis=0)[0] > 180
    assert inside.mean(axis=0)[1] < 80


def test_masks_are_straightened_with_the_frames(tmp_path):
    write_egoexo4d(tmp_path, DRAWN, bend=(0.2, 0.05, 0.0, 0.0))
    (recording,), _ = open_takes(tmp_path)
    frame = recording.read_frames(0, 1)[0].astype(int)
    is_red = (frame[..., 0] > 180) & (frame[..., 1] < 90)
    assert overlap(recording.target_masks[0], is_red) > 0.85


def test_a_portrait_view(tmp_path):
    """Some cameras stand on end: the window is as wide as their picture, with its own lens."""
    drawn = draw_touch(num_frames=240, contact=120, size_hw=(128, 96))
    write_egoexo4d(tmp_path, DRAWN, poses=False)
    write_portrait(tmp_path, drawn, timestamp=4.0)
    (recording,), notes = open_takes(tmp_path)
    assert notes == []
    assert recording.name == f"{TAKE}_cam03_000"
    assert recording.size_hw == (64, 96)
    assert recording.camera.width == 96
    assert recording.camera.cx == pytest.approx(47.5, abs=1)
    onset = int(np.nonzero(recording.contact)[0].min())
    assert abs(onset - 24) <= 1  # from second 1 to second 4
    frame = recording.read_frames(0, 1)[0].astype(int)
    is_red = (frame[..., 0] > 180) & (frame[..., 1] < 90)
    assert overlap(recording.target_masks[0], is_red) > 0.8


def test_touch_from_the_motion_of_the_mask_alone(tmp_path):
    write_egoexo4d(tmp_path, DRAWN, poses=False)
    (recording,), _ = open_takes(tmp_path)
    assert recording.hand_pixels is None
    onset = int(np.nonzero(recording.contact)[0].min())
    assert abs(onset - 24) <= 1


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        (describe(best_exo={"cam_id": "cam02"}), "no mask of what the description names"),
        (describe("C picks up the spoon."), "no mask of what the description names"),
        (describe(timestamp=0.4), "no mask 1 to 3 s before the description"),
        (describe(timestamp=8.5), "object moves before the description"),
    ],
)
def test_descriptions_that_cannot_be_used_are_counted(tmp_path, description, reason):
    write_egoexo4d(tmp_path, DRAWN, descriptions=[description])
    recordings, notes = open_takes(tmp_path)
    assert recordings == []
    assert [(note.reason, note.is_loss) for note in notes] == [(reason, False)]


def test_null_best_exo(tmp_path):
    """The take's best camera stands in; when it is null too, the description is counted."""
    write_egoexo4d(tmp_path, DRAWN, descriptions=[describe(best_exo=None)])
    write_takes(tmp_path, best_exo="cam01")
    (recording,), _ = open_takes(tmp_path)
    assert "cam01" in recording.name
    write_takes(tmp_path, best_exo=None)
    recordings, notes = open_takes(tmp_path)
    assert recordings == []
    assert notes[0].reason == "no best camera"


def test_hand_near_the_object_before(tmp_path):
    """The touch was described two seconds late: the hand is already there."""
    write_egoexo4d(tmp_path, DRAWN, descriptions=[describe(timestamp=6.0)])
    near = draw_touch(num_frames=300, contact=150)
    near.hand_pixels[:] = near.target_pixels + np.array([14, 0])
    write_poses(tmp_path, near)
    recordings, notes = open_takes(tmp_path)
    assert recordings == []
    assert notes[0].reason == "hand near the object before the description"


def test_person_too_small(tmp_path):
    write_egoexo4d(tmp_path, DRAWN)
    write_poses(tmp_path, DRAWN, person_rows=6)
    recordings, notes = open_takes(tmp_path)
    assert recordings == []
    assert [note.reason for note in notes] == ["person too small"]


def test_missing_files(tmp_path):
    write_egoexo4d(tmp_path, DRAWN)
    (tmp_path / "takes" / TAKE / "trajectory" / "gopro_calibs.csv").unlink()
    (recording,), notes = open_takes(tmp_path)
    assert recording.camera is None
    assert notes[0].reason == "lens unknown, frames stay bent"
    assert not notes[0].is_loss
    (tmp_path / "takes" / TAKE / "frame_aligned_videos" / "cam01.mp4").unlink()
    recordings, notes = open_takes(tmp_path)
    assert recordings == []
    assert notes[0].reason == "video of the best camera missing"
    assert notes[0].is_loss
    (tmp_path / "annotations" / "relations_train.json").unlink()
    with pytest.raises(InputError, match=r"annotations must hold relations_train\.json"):
        open_takes(tmp_path)


def test_downscaled_videos(tmp_path):
    write_egoexo4d(tmp_path, DRAWN)
    small = DRAWN.frames[:, ::2, ::2]
    folder = tmp_path / "takes" / TAKE / "frame_aligned_videos" / "downscaled" / "448"
    write_video(folder / "cam01.mp4", small)
    (recording,), _ = open_takes(tmp_path, downscaled=True)
    (large,), _ = open_takes(tmp_path)
    assert recording.size_hw[0] <= 48
    assert recording.contact.tolist() == large.contact.tolist()
    assert recording.target_masks[0].any()


def test_cut_off_video_gives_a_shorter_recording(tmp_path):
    write_egoexo4d(tmp_path, DRAWN)
    path = tmp_path / "takes" / TAKE / "frame_aligned_videos" / "cam01.mp4"
    data = path.read_bytes()
    (whole,), _ = open_takes(tmp_path)
    path.write_bytes(data[: len(data) * 5 // 8])
    recordings, _ = open_takes(tmp_path)
    assert all(recording.num_frames < whole.num_frames for recording in recordings)


def test_damaged_annotations_are_refused(tmp_path):
    write_egoexo4d(tmp_path, DRAWN)
    relations = tmp_path / "annotations" / "relations_train.json"
    text = relations.read_text()
    relations.write_text(text.replace('"encodedMask": "', '"encodedMask": "?', 3))
    with pytest.raises(InputError, match="encodedMask must be a packed text"):
        open_takes(tmp_path)
    relations.write_text(text[:-5])
    with pytest.raises(InputError, match=r"relations_train\.json must be a readable JSON"):
        open_takes(tmp_path)


def test_paths_that_leave_the_data_set_are_refused(tmp_path):
    write_egoexo4d(tmp_path, DRAWN)
    takes = (tmp_path / "takes.json").read_text()
    (tmp_path / "takes.json").write_text(takes.replace(f"takes/{TAKE}", "../elsewhere"))
    with pytest.raises(InputError, match=r"root_dir of takes\.json must be a path that stays"):
        open_takes(tmp_path)


def test_empty_lists_are_refused(tmp_path):
    write_egoexo4d(tmp_path, DRAWN, descriptions=[])
    with pytest.raises(InputError, match="must hold takes with descriptions of touches"):
        list_take_jobs(tmp_path, RULES)
    write_descriptions(tmp_path, [describe()])
    with pytest.raises(InputError, match="none that is wanted"):
        list_take_jobs(tmp_path, RULES, only=["other"])


def test_take_without_masks(tmp_path):
    write_egoexo4d(tmp_path, DRAWN)
    write_json(tmp_path / "annotations" / "relations_train.json", {"annotations": {}})
    recordings, notes = open_takes(tmp_path)
    assert recordings == []
    assert notes[0].reason == "take without masks"
    write_relations(tmp_path, DRAWN, name="red disc_12")
    assert len(open_takes(tmp_path)[0]) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"unsure": True},
        {"unsure": None},
        {"subject": "O"},
        {"text": "C looks at the disc."},
        {"text": ""},
        {"timestamp": None},
        {"timestamp": -1},
        {"timestamp": float("nan")},
    ],
)
def test_descriptions_of_others_or_unsure_are_left_out(fields):
    assert list(parse_descriptions([{"descriptions": [describe(**fields)]}])) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["descriptions", "text", "annotation2D", "cam01", "x", "y", "30"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(document=JSON)
def test_any_json_is_read_or_left_out(document):
    assert all(found.text for found in parse_descriptions(document))
    points = parse_points(document, "cam01")
    assert all(np.isfinite(p).all() for joints in points.values() for p in joints.values())


@given(text=st.text(max_size=300))
def test_any_text_is_lenses_or_refused(text):
    try:
        parse_gopro_lenses(text)
    except InputError as refused:
        assert "gopro_calibs.csv must" in str(refused)  # noqa: PT017 - both ends are right


def test_lenses_of_other_types_are_left_out():
    text = (
        "cam_uid,image_width,image_height,intrinsics_type,intrinsics_0\n"
        "cam01,3840,2160,LINEAR,1700\ncam02,3840,2160,KANNALABRANDTK3,nan\n"
    )
    assert parse_gopro_lenses(text) == {}


@pytest.mark.parametrize(
    ("text", "names", "found"),
    [
        ("C picks up the metal bowl.", ["bowl_0", "metal bowl_1", "glass bowl_2"], "metal bowl_1"),
        ("C grabs two knives.", ["knife_0"], "knife_0"),
        ("C opens the drawer.", ["knife_0"], None),
        ("C takes a milk box.", ["milk_0", "box_1"], "box_1"),
        ("C takes a box.", [], None),
    ],
)
def test_objects_by_their_noun(text, names, found):
    assert match_object(text, names) == found


def test_captions():
    assert write_caption("C picks up C's cup from O.") == (
        "The person picks up the person's cup from another person."
    )


def disc(column, radius=6, size_hw=(60, 90)):
    rows, columns = np.ogrid[: size_hw[0], : size_hw[1]]
    return (rows - 30) ** 2 + (columns - column) ** 2 <= radius**2


@given(
    stamp=st.floats(0, 10),
    shifts=st.lists(st.sampled_from([0, 0, 0, 1, 10]), min_size=1, max_size=8),
    distances=st.lists(st.floats(0, 40), max_size=8),
)
def test_starts_are_free_and_before_the_touch(stamp, shifts, distances):
    columns = 30 + np.cumsum(shifts) % 50
    masks = [MaskSight(float(second), disc(column)) for second, column in enumerate(columns)]
    hands = [
        HandSight(float(second), np.array([[masks[0].center[0] + 6 + distance, 30.0]]), 8.0)
        for second, distance in enumerate(distances)
    ]
    onset = find_onset(stamp, masks, hands)
    assert bool(onset.reason) == (onset.contact_sec is None)
    for free in onset.free_sec:
        assert 1 - 1e-6 <= stamp - free <= 3 + 1e-6
        assert free < onset.contact_sec


def test_another_take_of_the_same_uid_is_not_invented(tmp_path):
    write_egoexo4d(tmp_path, DRAWN)
    write_json(tmp_path / "takes.json", [{"take_uid": f"{UID}-x", "take_name": TAKE}])
    with pytest.raises(InputError, match="none that is wanted"):
        list_take_jobs(tmp_path, RULES)
