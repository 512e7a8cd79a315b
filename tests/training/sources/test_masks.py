"""Masks that are made: from clicks, and from what moves."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tavid_core.errors import InputError
from tavid_core.segment_prompt import Segmentation
from tests.source_jobs import draw_recording
from training.sources.clicks import Clicks, parse_clicks
from training.sources.cut_rules import CutRules
from training.sources.cutter import Window, cut
from training.sources.mask_store import MaskStore
from training.sources.masks import MaskMaker, _segment, complete_masks
from training.sources.recording import Recording, SourceNote

TRUTH = draw_recording(scale=3)
BARE = draw_recording(scale=3, target_masks={}, actor_masks={}, hand_pixels=None, contact=None)
RULES = CutRules(num_frames=17, size_hw=(64, 96))
JSON = '{"take": [{"frame": 2, "target": [[138, 150]], "background": [[5, 5]]}]}'
CSV = "recording,frame,kind,x,y,x1,y1\ntake,2,target,138,150,,\ntake,2,background,5,5,,\n"


def overlap(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def complete(tmp_path, text=None, **options):
    path = None
    if text is not None:
        path = tmp_path / "clicks.json"
        path.write_text(text)
    *notes, recording = complete_masks(BARE, MaskMaker(clicks_file=path, **options))
    assert isinstance(recording, Recording)
    return recording, notes


def test_clicks_mark_the_target_and_are_carried_to_the_first_frame(tmp_path):
    recording, notes = complete(tmp_path, JSON)
    assert notes == []
    assert overlap(recording.target_masks[2], TRUTH.target_masks[2]) > 0.9
    assert overlap(recording.target_masks[0], TRUTH.target_masks[0]) > 0.9


def test_who_comes_to_a_clicked_target_is_what_moves(tmp_path):
    recording, notes = complete(tmp_path, JSON)
    assert notes == []
    (found,) = cut(recording, RULES)
    assert isinstance(found, Window), (found.reason, found.detail)
    truth = int(np.argmax(TRUTH.contact)) - found.start
    assert abs(found.contact_frame - truth) <= 2
    # What the source knows is left as it is.
    known = dataclasses.replace(BARE, contact=TRUTH.contact)
    path = tmp_path / "clicks.json"
    *_, recording = complete_masks(known, MaskMaker(clicks_file=path))
    assert not recording.actor_masks


def test_a_clicked_target_that_nobody_moves_is_told(tmp_path):
    frames = np.repeat(TRUTH.read_frames(0, 1), 25, axis=0)
    path = tmp_path / "clicks.json"
    path.write_text(JSON)
    still = dataclasses.replace(BARE, read_frames=lambda a, b: frames[a:b])
    note, recording = complete_masks(still, MaskMaker(clicks_file=path))
    assert "target must be moved by the actor" in note.detail
    assert len(recording.target_masks) == 25


def test_a_box_for_every_recording_does_too(tmp_path):
    recording, _ = complete(tmp_path, '{"*": [{"frame": 0, "box": [115, 127, 161, 173]}]}')
    assert overlap(recording.target_masks[0], TRUTH.target_masks[0]) > 0.8


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (JSON.replace('"frame": 2', '"frame": 99'), "frame must be below 25"),
        (JSON.replace("138, 150", "900, 150"), "points must lie in the image"),
    ],
)
def test_clicks_that_give_no_mask_are_told(tmp_path, text, told):
    recording, (note,) = complete(tmp_path, text)
    assert told in note.detail
    assert len(recording.target_masks) == 0
    assert isinstance(note, SourceNote)
    assert not note.is_loss


def test_masks_of_the_wrong_size_or_score_are_not_used(tmp_path):
    for options, told in (({"max_share": 0.005}, "must cover"), ({"min_score": 1.1}, "must score")):
        _, (note,) = complete(tmp_path, JSON, **options)
        assert told in note.detail


class EdgeSegmenter:
    """Marks the half of the picture in which the first click lies."""

    def set_image(self, image):
        self.size_hw = image.shape[:2]

    def segment(self, points=None, labels=None, box=None):
        left = np.arange(self.size_hw[1]) < self.size_hw[1] // 2
        x = box[0] if points is None else points[0][0]
        is_left = x < self.size_hw[1] // 2
        mask = np.broadcast_to(left if is_left else ~left, self.size_hw)
        return Segmentation(mask=mask.copy(), score=0.9, method="sam")


@pytest.mark.parametrize(
    ("click", "is_stable"),
    [
        (Clicks(0, on_target=((50, 50),)), True),
        (Clicks(0, on_target=((143.5, 50),)), False),
        (Clicks(0, box=(143.5, 20, 160, 60)), False),
        # At the right edge it moves to the left.
        (Clicks(0, on_target=((287, 50),)), True),
    ],
)
def test_masks_that_hang_on_a_pixel_are_not_used(click, is_stable):
    words = (BARE, click, EdgeSegmenter(), MaskMaker(max_share=0.6))
    if is_stable:
        assert _segment(*words).any()
    else:
        with pytest.raises(InputError, match="must stay the same when the click moves"):
            _segment(*words)


def test_what_moves_is_the_target_and_makes_a_clip(tmp_path):
    recording, notes = complete(tmp_path, from_motion=True)
    assert notes == []
    assert overlap(recording.target_masks[0], TRUTH.target_masks[0]) > 0.8
    (found,) = cut(recording, RULES)
    assert isinstance(found, Window), found.reason


def test_where_nothing_moves_nothing_is_marked():
    frames = np.repeat(TRUTH.read_frames(0, 1), 25, axis=0)
    still = draw_recording(scale=3, target_masks={}, read_frames=lambda a, b: frames[a:b])
    note, recording = complete_masks(still, MaskMaker(from_motion=True))
    assert "got nothing that stood still" in note.detail
    assert not recording.target_masks


def test_json_and_csv_say_the_same():
    assert parse_clicks(JSON, is_csv=False) == parse_clicks(CSV, is_csv=True)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"a": []}',
        '{"a": [{"frame": -1, "target": [[1, 2]]}]}',
        '{"a": [{"frame": 0}]}',
        '{"a": [{"target": [[1]]}]}',
        '{"a": [{"target": [[1, NaN]]}]}',
        '{"a": [{"tagret": [[1, 2]]}]}',
        '{"a": [{"target": [[1, 2]]}, {"target": [[1, 2]]}]}',
    ],
)
def test_clicks_that_say_nothing_clear_are_refused(text):
    with pytest.raises(InputError, match="must"):
        parse_clicks(text, is_csv=False)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["frame", "target", "background", "box"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), st.lists(json_values, max_size=2), max_size=2))
def test_any_json_gives_clicks_or_a_typed_error(document):
    try:
        found = parse_clicks(json.dumps(document), is_csv=False)
    except InputError:
        return
    assert all(clicks and clicks[0].frame >= 0 for clicks in found.values())


@given(st.text(), st.booleans(), st.booleans())
def test_any_text_gives_clicks_or_a_typed_error(text, is_csv, has_header):
    header = CSV.splitlines()[0] + "\n" if has_header else ""
    try:
        parse_clicks(header + text, is_csv=is_csv)
    except InputError:
        return


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_stored_masks_come_back(seed, share):
    mask = np.random.default_rng(seed).random((13, 21)) < share
    store = MaskStore((13, 21))
    store.add(4, mask)
    assert 4 in store
    np.testing.assert_array_equal(store[4], mask)
