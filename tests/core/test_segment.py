"""GrabCut from clicks and boxes, what is refused, and which segmenter settings choose."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tavid_core
from tavid_core.errors import (
    ConfigError,
    InputError,
    MissingExtraError,
    NotReadyError,
    TavidError,
)
from tavid_core.files import read_image, read_mask
from tavid_core.segment import make_segmenter
from tavid_core.segment_grabcut import GrabCutSegmenter
from tests.drawn import draw_reach

SCENES = sorted((Path(tavid_core.__file__).parent / "assets" / "scenes").glob("*/mask.png"))


def overlap(mask, truth):
    """Intersection over union."""
    return (mask & truth).sum() / (mask | truth).sum()


def center_of(mask):
    """Column and row of the marked pixel nearest to the centroid."""
    pixels = np.argwhere(mask)
    row, column = pixels[np.argmin(((pixels - pixels.mean(axis=0)) ** 2).sum(axis=1))]
    return int(column), int(row)


def box_of(mask, margin):
    rows, columns = np.nonzero(mask)
    low = [columns.min() - margin, rows.min() - margin]
    return [*low, columns.max() + 1 + margin, rows.max() + 1 + margin]


def segmenter_of(image):
    segmenter = GrabCutSegmenter()
    segmenter.set_image(image)
    return segmenter


def segment_or_error(image, *words, **more):
    """Segment, or return the typed error; any other error fails the test."""
    try:
        return segmenter_of(image).segment(*words, **more)
    except TavidError as error:
        return error


def check_answer(answer, image):
    """A valid mask, or an error with rule, value and advice."""
    if isinstance(answer, TavidError):
        assert re.search(r" must .+, got .+\. [A-Z]", str(answer), re.DOTALL), answer
    else:
        check(answer, image)


def check(found, image):
    """A segmentation that a planner would take."""
    assert found.mask.dtype == np.bool_
    assert found.mask.shape == image.shape[:2]
    assert found.mask.any()
    assert not found.mask.all()
    assert 0.0 <= found.score <= 1.0
    assert found.method == "grabcut"


@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.parent.name)
def test_one_click_marks_the_object_of_a_shipped_scene(path):
    image = read_image(path.with_name("image.png"))
    truth = read_mask(path, image.shape[:2])
    segmenter = segmenter_of(image)
    for found in (
        segmenter.segment([center_of(truth)]),
        segmenter.segment(box=box_of(truth, 8)),
        segmenter.segment([center_of(truth)], box=box_of(truth, 8)),
    ):
        check(found, image)
        assert overlap(found.mask, truth) > 0.93
        assert found.score > 0.8


@pytest.mark.parametrize("scale", [1, 3, 12])
@pytest.mark.parametrize("target", [0, 1, 2])
def test_each_look_alike_is_marked_alone_at_any_size(target, scale):
    clip = draw_reach(scale=scale, noise=4.0)
    segmenter = segmenter_of(clip.frames[0])
    found = segmenter.segment([center_of(clip.masks[target])])
    assert overlap(found.mask, clip.masks[target]) > 0.8
    others = [mask for index, mask in enumerate(clip.masks) if index != target]
    assert not any((found.mask & mask).any() for mask in others)


def test_several_clicks_mark_several_parts_and_a_click_beside_takes_away():
    clip = draw_reach(scale=3)
    segmenter = segmenter_of(clip.frames[0])
    two = [center_of(clip.masks[0]), center_of(clip.masks[2])]
    found = segmenter.segment(two)
    assert overlap(found.mask, clip.masks[0] | clip.masks[2]) > 0.8
    found = segmenter.segment(two, [1, 0])
    assert overlap(found.mask, clip.masks[0]) > 0.8
    assert not found.mask[two[1][1], two[1][0]]


def test_clicked_pixels_keep_their_side():
    clip = draw_reach(scale=3)
    (x, y), beside = center_of(clip.masks[1]), (4, 4)
    found = segmenter_of(clip.frames[0]).segment([(x, y), beside], [1, 0])
    assert found.mask[y, x]
    assert not found.mask[beside[1], beside[0]]


def test_the_same_click_gives_the_same_mask():
    clip = draw_reach(scale=2, noise=8.0)
    at = center_of(clip.masks[1])
    masks = [segmenter_of(clip.frames[0]).segment([at]).mask for _ in range(2)]
    np.testing.assert_array_equal(*masks)


def test_a_mask_that_is_nearly_right_is_refined():
    clip = draw_reach(scale=4)
    truth = clip.masks[1]
    segmenter = segmenter_of(clip.frames[0])
    shifted = np.roll(truth, (2, 3), axis=(0, 1))
    found = segmenter.refine(shifted)
    assert overlap(found.mask, truth) > max(0.9, overlap(shifted, truth))
    with pytest.raises(InputError, match="mask must have shape"):
        segmenter.refine(truth[1:])
    with pytest.raises(InputError, match="mask must mark at least one pixel"):
        segmenter.refine(np.zeros_like(truth))


def test_an_even_picture_is_refused_or_marked_in_part():
    image = np.full((48, 64, 3), 90, dtype=np.uint8)
    check_answer(segment_or_error(image, [(20, 20)]), image)


@st.composite
def pictures(draw):
    """Noise, flats, steps and ramps of odd sizes."""
    height, width = draw(st.integers(16, 70)), draw(st.integers(16, 70))
    kind = draw(st.sampled_from(["noise", "flat", "steps", "ramp", "line"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = np.zeros((height, width, 3), dtype=np.uint8)
    if kind == "noise":
        image = rng.integers(0, 256, image.shape, dtype=np.uint8)
    elif kind == "flat":
        image[:] = rng.integers(0, 256, 3)
    elif kind == "steps":
        image[:] = rng.integers(0, 256, 3)
        for _ in range(3):
            y, x = rng.integers(0, height), rng.integers(0, width)
            image[y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)] = rng.integers(0, 256)
    elif kind == "ramp":
        image[:] = np.linspace(0, 255, width)[None, :, None].astype(np.uint8)
    else:
        image[height // 2] = 255
    return image


NUMBERS = st.floats(-20, 90, allow_nan=False) | st.sampled_from([np.nan, np.inf, -np.inf, 1e300])


def test_click_beside_every_object_is_told():
    folder = next(path.parent for path in SCENES if path.parent.name == "three_mugs")
    segmenter = segmenter_of(read_image(folder / "image.png"))
    with pytest.raises(InputError, match="points must lie on something that stands out"):
        segmenter.segment([(186, 168)])


@settings(max_examples=80, deadline=None)
@given(
    image=pictures(),
    points=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=4),
    labels=st.none() | st.lists(st.integers(-1, 2), max_size=4),
    box=st.none() | st.lists(NUMBERS, min_size=3, max_size=5),
)
def test_any_input_gives_a_valid_mask_or_a_typed_error(image, points, labels, box):
    check_answer(segment_or_error(image, points, labels, box), image)


@settings(max_examples=80, deadline=None)
@given(image=pictures(), data=st.data())
def test_any_click_and_box_inside_give_a_valid_mask_or_a_typed_error(image, data):
    height, width = image.shape[:2]
    points = data.draw(
        st.lists(
            st.tuples(st.integers(0, width - 1), st.integers(0, height - 1)), min_size=1, max_size=4
        )
    )
    labels = data.draw(st.lists(st.booleans(), min_size=len(points), max_size=len(points)))
    x0, y0 = data.draw(st.integers(0, width - 2)), data.draw(st.integers(0, height - 2))
    x1, y1 = data.draw(st.integers(x0 + 2, width)), data.draw(st.integers(y0 + 2, height))
    box = data.draw(st.sampled_from([None, (x0, y0, x1, y1)]))
    check_answer(segment_or_error(image, points, labels, box), image)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({}, "points must hold a click on the target, got 0"),
        ({"points": [(3, 3)], "labels": [0]}, "points must hold a click on the target, got 1"),
        ({"points": [(48, 3)]}, r"points must lie in the image \(48x32 pixels\), got \(48, 3\)"),
        ({"points": [(3, -1)]}, "points must lie in the image"),
        ({"points": [(np.nan, 3)]}, "points must be finite"),
        ({"points": [(3, 3, 3)]}, "points must have shape"),
        ({"points": [("a", "b")]}, "points must be numbers"),
        ({"points": [(3, 3)] * 65}, "points must be at most 64, got 65"),
        ({"points": [(3, 3)], "labels": [1, 1]}, r"labels must be one per point \(1\), got 2"),
        ({"points": [(3, 3)], "labels": [2]}, "labels must be 0 or 1"),
        ({"box": (3, 3, 3, 9)}, "box must be x0 y0 x1 y1 inside the image"),
        ({"box": (3, 3, 60, 9)}, "box must be x0 y0 x1 y1 inside the image"),
        ({"box": (3, 3, 9)}, "box must have shape"),
        ({"box": (0, 0, 48, 32)}, "box must leave some of the image"),
    ],
)
def test_unusable_prompts_are_refused_with_advice(words, match):
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    with pytest.raises(InputError, match=match):
        segmenter_of(image).segment(**words)


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (np.zeros((32, 48), np.uint8), "image must have shape"),
        (np.zeros((32, 48, 3), np.float32), "image must be uint8"),
        (np.zeros((8, 48, 3), np.uint8), "image must have sides of 16 to 4096 pixels, got 48x8"),
    ],
)
def test_unusable_images_are_refused(image, match):
    with pytest.raises(InputError, match=match):
        GrabCutSegmenter().set_image(image)


def test_a_click_needs_an_image():
    with pytest.raises(NotReadyError, match="image must be set before a click"):
        GrabCutSegmenter().segment([(1, 1)])


def test_settings_choose_the_segmenter(monkeypatch):
    assert isinstance(make_segmenter(), GrabCutSegmenter)
    assert isinstance(make_segmenter("grabcut", checkpoint="sam.pth"), GrabCutSegmenter)
    with pytest.raises(ConfigError, match="method must be one of auto, sam, grabcut, got 'magic'"):
        make_segmenter("magic")
    with pytest.raises(ConfigError, match="checkpoint must name segment-anything's weights"):
        make_segmenter("sam")
    with pytest.raises(ConfigError, match="model_type must be one of vit_b, vit_l, vit_h"):
        make_segmenter("sam", checkpoint="sam.pth", model_type="vit_z")
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    for method in ("auto", "sam"):
        with pytest.raises(MissingExtraError, match=r"pip install 'tavid\[sam\]'"):
            make_segmenter(method, checkpoint="sam.pth")


def draw_cup(color):
    """A cup on a white table, before a grey drawer."""
    image = np.full((240, 320, 3), (222, 220, 218), dtype=np.uint8)
    cv2.rectangle(image, (90, 30), (230, 120), (188, 182, 172), -1)
    cup = np.zeros((240, 320), np.uint8)
    cv2.ellipse(cup, (160, 120), (45, 60), 0, 0, 360, 1, -1)
    image[cup > 0] = color
    rng = np.random.default_rng(0)
    noisy = cv2.GaussianBlur(image, (0, 0), 1.0) + rng.normal(0, 2.0, image.shape)
    return noisy.clip(0, 255).astype(np.uint8), cup > 0


def test_the_score_is_low_where_two_things_were_taken_for_one():
    image, cup = draw_cup((30, 90, 200))
    found = segmenter_of(image).segment([(160, 130)])
    assert overlap(found.mask, cup) > 0.9
    assert found.score > 0.7
    # All of the outline lies on clear edges, but half of what is marked is drawer.
    image, cup = draw_cup((198, 191, 180))
    found = segmenter_of(image).segment([(160, 130)])
    assert overlap(found.mask, cup) < 0.7
    assert found.score < 0.5
